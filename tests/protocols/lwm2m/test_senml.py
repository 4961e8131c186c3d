"""SenML and the JSON before it, as clients write them (lwm2m 5, 14, 17, 19)."""

import base64
import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.coap.message import decode_message
from overair.protocols.lwm2m.errors import UnreadableError
from overair.protocols.lwm2m.senml import (
    decode_json,
    decode_senml_cbor,
    decode_senml_json,
    encode_senml_cbor,
    encode_senml_json,
)
from overair.protocols.lwm2m.values import ObjectLink, Path, Raw, Readings
from tests.protocols.coap.vectors import DATAGRAMS


def _json(*records: object) -> Readings:
    return decode_senml_json(json.dumps(records).encode())


def test_the_values_of_the_specification() -> None:
    """The four values of the example, both ways byte for byte."""
    payload = decode_message(DATAGRAMS["The same four values in SenML CBOR"]).payload
    readings: dict[Path, Raw] = {
        (4, 0, 2): -97,
        (4, 0, 8): 84281345,
        (4, 0, 9): 480,
        (4, 0, 10): 311,
    }
    assert decode_senml_cbor(payload) == readings
    assert encode_senml_cbor(readings, (4, 0)) == payload


def test_the_send_of_the_specification() -> None:
    """State, result and version after a reboot, both ways byte for byte."""
    name = "Send after reboot: state 0, result 1, version"
    payload = decode_message(DATAGRAMS[name]).payload
    readings = decode_senml_cbor(payload)
    assert readings == {(5, 0, 3): 0, (5, 0, 5): 1, (3, 0, 3): "2.1.0"}
    assert encode_senml_cbor(readings, ()) == payload


@pytest.mark.parametrize(
    "record",
    [
        {"bn": "/3/0/", "n": "3", "vs": "1"}, {"bn": "/3/0", "n": "/3", "vs": "1"},
        {"bn": "/3/0/3", "vs": "1"}, {"n": "/3/0/3", "vs": "1"}, {"n": "3/0/3", "vs": "1"},
    ],
)  # fmt: skip
def test_names_are_joined(record: dict[str, object]) -> None:
    """Wherever the slash stands, and if there is only one of the two."""
    assert _json(record) == {(3, 0, 3): "1"}


def test_a_base_name_holds_for_what_follows() -> None:
    """Until there is another one; a record that only has a base has no value."""
    assert _json(
        {"bn": "/3/0/"},
        {"n": "3", "vs": "1"},
        {"n": "9", "v": 95},
        {"bn": "/5/0/", "n": "3", "v": 0},
    ) == {(3, 0, 3): "1", (3, 0, 9): 95, (5, 0, 3): 0}


def test_every_kind_of_value() -> None:
    """Numbers, text, booleans, bytes and links, in both forms."""
    values: dict[Path, Raw] = {
        (9, 0, 0): 1, (9, 0, 1): 1.5, (9, 0, 2): "é", (9, 0, 3): True, (9, 0, 4): b"\xfb\xff",
        (9, 0, 5): ObjectLink(3, 0), (9, 0, 6, 7): -1,
    }  # fmt: skip
    assert decode_senml_json(encode_senml_json(values, (9, 0))) == values
    assert decode_senml_cbor(encode_senml_cbor(values, (9, 0))) == values
    labels = [set(record) for record in cbor2.loads(encode_senml_cbor(values, (9, 0)))]
    assert labels == [{-2, 0, 2}, {0, 2}, {0, 3}, {0, 4}, {0, 8}, {0, "vlo"}, {0, 2}]


def test_the_newest_of_several_values_counts() -> None:
    """By time, whichever stands first; a relative one counts from now."""
    assert _json(
        {"bn": "/5/0/3", "bt": 1_700_000_000, "v": 1}, {"t": 5, "v": 2}, {"t": 3, "v": 9}
    ) == {(5, 0, 3): 2}
    payload = json.dumps(
        [{"n": "/5/0/3", "t": -10, "v": 1}, {"n": "/5/0/3", "t": 1_700_000_000, "v": 2}]
    ).encode()
    assert decode_senml_json(payload, now=1_800_000_000) == {(5, 0, 3): 1}
    assert decode_senml_json(payload, now=1_600_000_000) == {(5, 0, 3): 2}


@pytest.mark.parametrize(
    "records",
    [
        [1], [{"v": 1, "vs": "1"}], [{"n": 3, "v": 1}], [{"bn": None, "v": 1}], [{"n": "/x", "v": 1}],
        [{"n": "/3", "v": "1"}], [{"n": "/3", "v": True}], [{"n": "/3", "vs": 1}],
        [{"n": "/3", "vb": 1}], [{"n": "/3", "vd": "*"}], [{"n": "/3", "vd": 1}],
        [{"n": "/3", "vlo": "x"}], [{"n": "/3", "vlo": 1}], [{"n": "/3", "t": "x", "v": 1}],
        [{"n": "/3", "t": True, "v": 1}], [{"n": "/3", "bt": 1e300, "v": 1}], [{"n": "/3", "s": 1}],
        [{"bv": 1, "n": "/3", "v": 1}], {"n": "/3"}, "x", [{}] * 2001, [{"n": "/3", "v": 10**30}],
    ],
)  # fmt: skip
def test_what_is_no_pack(records: object) -> None:
    """Values that are not of their type, names that are no paths, sums: the reading is missing."""
    with pytest.raises(UnreadableError):
        decode_senml_json(json.dumps(records).encode())


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"{", b"\xff", b"[" * 60_000, b'[{"n":"/3","v":NaN}]', b'[{"n":"/3","v":1e999}]',
        b'[{"n":"/3","v":' + b"9" * 5000 + b"}]", b" " * 70_000 + b"[]",
    ],
)  # fmt: skip
def test_what_is_no_json(payload: bytes) -> None:
    """Broken, bottomless or endless JSON is an error of ours, and nothing else."""
    with pytest.raises(UnreadableError):
        decode_senml_json(payload)


def test_the_json_of_the_first_version() -> None:
    """One base name, records in "e", links and booleans under other labels, bytes as text."""
    payload = {
        "bn": "/3/0/",
        "bt": 25462634,
        "e": [
            {"n": "0", "sv": "Open Mobile Alliance"},
            {"n": "9", "v": 100},
            {"n": "6/0", "v": 1},
            {"n": "20", "bv": True},
            {"n": "21", "ov": "66:0"},
            {"n": "22", "sv": base64.b64encode(b"\x01").decode(), "t": -5},
        ],
    }
    assert decode_json(json.dumps(payload).encode()) == {
        (3, 0, 0): "Open Mobile Alliance",
        (3, 0, 9): 100,
        (3, 0, 6, 0): 1,
        (3, 0, 20): True,
        (3, 0, 21): ObjectLink(66, 0),
        (3, 0, 22): "AQ==",
    }
    for wrong in (b"[]", b"{}", b'{"e":1}', b'{"e":[1]}', b'{"e":[{"n":"x","v":1}]}'):
        with pytest.raises(UnreadableError):
            decode_json(wrong)


PATHS = st.lists(st.integers(0, 65535), min_size=0, max_size=2).map(tuple)
RAWS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.binary(max_size=10)
    | st.builds(ObjectLink, st.integers(0, 65535), st.integers(0, 65535))
)
BELOW = st.dictionaries(PATHS, RAWS, min_size=1, max_size=5)


@given(BELOW, st.sampled_from([(), (5,), (5, 0)]))
def test_any_readings_survive(below: dict[Path, Raw], base: Path) -> None:
    """Whatever is written in either form is read as the same."""
    readings = {(*base, *path): raw for path, raw in below.items() if base or path}
    assert decode_senml_cbor(encode_senml_cbor(readings, base)) == readings
    assert decode_senml_json(encode_senml_json(readings, base)) == readings
