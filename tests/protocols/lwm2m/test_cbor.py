"""CBOR, held against a general library, and what of it is refused (lwm2m 14)."""

import math

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.lwm2m.cbor import decode_cbor, encode_cbor
from overair.protocols.lwm2m.errors import UnreadableError, UnwritableError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=30)
    | st.binary(max_size=30)
)
KEYS = st.integers(-(2**64), 2**64 - 1) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


SHALLOW = VALUES.filter(lambda value: _depth(value) <= 8)


@given(SHALLOW)
def test_the_library_reads_what_we_write(value: object) -> None:
    """Any value is the same to it, and to us."""
    assert cbor2.loads(encode_cbor(value)) == value
    assert decode_cbor(encode_cbor(value)) == value


@given(SHALLOW)
def test_we_read_what_the_library_writes(value: object) -> None:
    """Any value is the same to us, and the bytes are the same in its shortest form."""
    assert decode_cbor(cbor2.dumps(value)) == value
    assert encode_cbor(value) == cbor2.dumps(value, canonical=True) or isinstance(
        value, dict | list
    )


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        ("9f0102ff", [1, 2]), ("bf6161 01ff", {"a": 1}), ("5f41014102ff", b"\x01\x02"),
        ("7f61616162ff", "ab"), ("f93e00", 1.5), ("fa3fc00000", 1.5), ("f7", None),
        ("1818", 24), ("1b0000000000000001", 1), ("a1820300 05", {(3, 0): 5}),
    ],
)  # fmt: skip
def test_forms(payload: str, value: object) -> None:
    """Lengths that are told at the end, long numbers, floats of every size, arrays for keys."""
    assert decode_cbor(bytes.fromhex(payload)) == value


@pytest.mark.parametrize(
    "payload",
    [
        "", "18", "1c", "1f", "3f", "61", "61ff", "8101 02", "9f", "bf01", "a101", "a2010101 02",
        "c001", "d81c01", "f8ff", "f4f4", "ff", "5f01ff", "5f5f4101ffff", "7f4101ff", "5f5a",
        "a1f401", "a18101 01"[:4], "a1f60 1".replace(" ", ""), "a1a000", "a181f401", "fc", "9bffffffffffffffff",
        "5bffffffffffffffff", "bbffffffffffffffff",
    ],
)  # fmt: skip
def test_what_is_refused(payload: str) -> None:
    """What ends early or late, tags, reserved heads, keys twice or of nothing that is a key."""
    with pytest.raises(UnreadableError):
        decode_cbor(bytes.fromhex(payload))


def test_depth_and_length() -> None:
    """Eight levels and 64 KiB, and no more."""
    assert decode_cbor(b"\x81" * 8 + b"\x01") == [[[[[[[[1]]]]]]]]
    for payload in (b"\x81" * 9 + b"\x01", b"\x81" * 60_000, b"\x59\xff\xff" + b"x" * 0x1FFFF):
        with pytest.raises(UnreadableError):
            decode_cbor(payload)


def test_what_cannot_be_written() -> None:
    """Numbers of more than 64 bits, and things, are our mistake; what is no number is."""
    for value in (2**64, -(2**64) - 1, object()):
        with pytest.raises(UnwritableError):
            encode_cbor(value)
    again = decode_cbor(encode_cbor(math.nan))
    assert isinstance(again, float)
    assert math.isnan(again)
