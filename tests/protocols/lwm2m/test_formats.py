"""Which format to ask for, and how what came is read (lwm2m 5)."""

import pytest

from overair.protocols.lwm2m.cbor import encode_cbor
from overair.protocols.lwm2m.errors import UnreadableError, UnwritableError
from overair.protocols.lwm2m.formats import ContentFormat, choose_accept, decode, encode
from overair.protocols.lwm2m.values import ObjectLink, Path, Raw, Readings

STATE: Path = (5, 0, 3)
SENML_CBOR, SENML_JSON = ContentFormat.SENML_CBOR, ContentFormat.SENML_JSON
TEXT, TLV, JSON = ContentFormat.TEXT, ContentFormat.TLV, ContentFormat.JSON


def _choose(path: Path, version: str, *refused: int, listed: tuple[int, ...] = ()) -> int | None:
    return choose_accept(
        path, version=version, listed=frozenset(listed), refused=frozenset(refused)
    )


def test_what_is_asked_for() -> None:
    """Text for one resource; else SenML CBOR, if the client lists it or is new enough, or TLV."""
    assert _choose(STATE, "1.0") == TEXT
    assert _choose((5, 0), "1.0") == TLV
    assert _choose((5, 0), "1.0", listed=(112,)) == SENML_CBOR
    assert _choose((5, 0), "1.1") == SENML_CBOR
    assert choose_accept((5, 0, 8), version="1.0", multiple=True) == TLV


def test_what_is_asked_for_after_a_refusal() -> None:
    """112, 110, TLV, the old JSON; then nothing is left."""
    assert _choose((4, 0), "1.1", SENML_CBOR) == SENML_JSON
    assert _choose((4, 0), "1.1", SENML_CBOR, SENML_JSON) == TLV
    assert _choose((4, 0), "1.1", SENML_CBOR, SENML_JSON, TLV) == JSON
    assert _choose((4, 0), "1.1", SENML_CBOR, SENML_JSON, TLV, JSON) is None
    assert _choose(STATE, "1.0", TEXT) == TLV
    assert _choose((4, 0), "1.0", TLV, JSON) is None


@pytest.mark.parametrize(
    ("content_format", "payload", "raw"),
    [
        (0, b"2", "2"), (1541, b"2", "2"), (42, b"2", b"2"), (1544, b"\xff", b"\xff"),
        (11542, b"\xc1\x03\x02", b"\x02"), (1542, b"\xc1\x03\x02", b"\x02"),
        (112, encode_cbor([{-2: "/5/0/3", 2: 2}]), 2), (110, b'[{"n":"/5/0/3","v":2}]', 2),
        (11543, b'{"bn":"/5/0/3","e":[{"v":2}]}', 2), (1543, b'{"bn":"/5/0/3","e":[{"v":2}]}', 2),
        (60, b"\x02", 2), (11544, encode_cbor({5: {0: {3: 2}}}), 2),
        (11544, bytes.fromhex("a1820500a10302"), 2),
        (None, b"2", "2"), (None, b"\xff\x00", b"\xff\x00"), (None, b"\x00", b"\x00"),
    ],
)  # fmt: skip
def test_one_reading_in_every_format(content_format: int | None, payload: bytes, raw: Raw) -> None:
    """By the number that came, old numbers too; without one as text if it reads as text."""
    assert decode(content_format, STATE, payload) == {STATE: raw}


@pytest.mark.parametrize(
    ("content_format", "payload"),
    [
        (0, b"\xff"), (60, b"\x80"), (60, b"\xf6"), (60, b""), (40, b"</5>"), (65000, b""),
        (0, b"a" * 65_537), (11544, b"\x02"), (11544, encode_cbor({5: 1})), (11542, b"\xc1"),
        (11544, encode_cbor({5: {0: {"x": 1}}})), (11544, encode_cbor({5: {0: {70_000: 1}}})),
        (11544, encode_cbor({5: {0: {3: {0: {0: 1}}}}})), (11544, encode_cbor({5: {0: {3: [1]}}})),
        (11544, encode_cbor({5: {0: dict.fromkeys(range(2001), 1)}})),
    ],
)  # fmt: skip
def test_what_is_missing(content_format: int, payload: bytes) -> None:
    """Formats that nobody knows, and payloads that are not of theirs."""
    with pytest.raises(UnreadableError):
        decode(content_format, STATE, payload)


@pytest.mark.parametrize(
    ("content_format", "raw", "written"),
    [
        (0, 2, b"2"), (0, True, b"1"), (0, False, b"0"), (0, b"\x00", b"AA=="), (0, 1.5, b"1.5"),
        (0, ObjectLink(3, 0), b"3:0"), (42, b"\x00", b"\x00"), (60, 2, b"\x02"),
        (60, ObjectLink(3, 0), b"\x633:0"), (11542, 2, b"\xc1\x03\x02"),
        (112, 2, bytes.fromhex("81a22166") + b"/5/0/3" + b"\x02\x02"),
        (110, 2, b'[{"bn":"/5/0/3","v":2}]'),
    ],
)  # fmt: skip
def test_what_is_written(content_format: int, raw: Raw, written: bytes) -> None:
    """One value in each format that is written."""
    readings: Readings = {STATE: raw}
    base = (5, 0) if content_format == 11542 else STATE
    assert encode(content_format, readings, base) == written


def test_what_is_not_written() -> None:
    """Opaque text, two values as one, and formats that are only read, are our mistake."""
    for content_format, readings in (
        (42, {STATE: "x"}),
        (0, {STATE: 1, (5, 0, 5): 1}),
        (11543, {STATE: 1}),
    ):
        with pytest.raises(UnwritableError):
            encode(content_format, readings, STATE)
