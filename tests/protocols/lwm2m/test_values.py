"""What a raw value may be taken for: lenient only where it is unambiguous (lwm2m 5)."""

import pytest

from overair.protocols.lwm2m.errors import UnreadableError
from overair.protocols.lwm2m.values import (
    ObjectLink,
    Raw,
    Tlv,
    as_boolean,
    as_integer,
    as_link,
    as_number,
    as_opaque,
    as_text,
    parse_path,
    path_segments,
    path_text,
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (2, 2), ("2", 2), ("-97", -97), (2.0, 2), (Tlv(b"\x02"), 2), (Tlv(b"\xff\x9f"), -97),
        (2.5, None), (True, None), ("two", None), ("", None), ("2.0", None), (" 2", None), ("²", None),
        (b"\x02", None), (Tlv(b""), None), (Tlv(b"\x00\x00\x02"), None), (Tlv(b"\x00" * 16), None),
        (ObjectLink(1, 2), None), (None, None), ("9" * 21, None), (float("inf"), None),
    ],
)  # fmt: skip
def test_integers(raw: Raw | None, expected: int | None) -> None:
    """Numbers, decimal text and TLV of 1, 2, 4 or 8 bytes."""
    assert as_integer(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (2, 2.0), (2.5, 2.5), ("2.5", 2.5), ("-1e3", -1000.0), (Tlv(b"\x3f\xc0\x00\x00"), 1.5),
        (Tlv(b"\x02"), None), (True, None), ("nan", None), ("", None), (b"\x3f\xc0\x00\x00", None),
        (10**400, None), (None, None),
    ],
)  # fmt: skip
def test_numbers(raw: Raw | None, expected: float | None) -> None:
    """Numbers with a fraction, from what is one."""
    assert as_number(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("a", "a"), (Tlv(b"a"), "a"), (b"", ""), (Tlv(b""), ""), (b"\xff", None), (2, None), (None, None)],
)  # fmt: skip
def test_texts(raw: Raw | None, expected: str | None) -> None:
    """Text, and bytes that are UTF-8; no bytes are the empty text."""
    assert as_text(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (True, True), (0, False), ("1", True), ("false", False), (Tlv(b"\x01"), True),
        (2, None), ("yes", None), (Tlv(b"\x02"), None), (None, None),
    ],
)  # fmt: skip
def test_booleans(raw: Raw | None, expected: bool | None) -> None:
    """True and false, 0 and 1."""
    assert as_boolean(raw) is expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\x00", b"\x00"), (Tlv(b"a"), b"a"), ("AQI=", b"\x01\x02"), ("-_8", b"\xfb\xff"),
        ("AQI", b"\x01\x02"), ("*", None), ("é", None), ("A", None), (1, None), (None, None),
    ],
)  # fmt: skip
def test_bytes(raw: Raw | None, expected: bytes | None) -> None:
    """Bytes, and base64 in either alphabet."""
    assert as_opaque(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (ObjectLink(3, 0), ObjectLink(3, 0)), ("3:0", ObjectLink(3, 0)),
        (Tlv(b"\x00\x03\x00\x01"), ObjectLink(3, 1)), ("3", None), ("3:65536", None),
        (Tlv(b"\x00"), None), (3, None), (None, None),
    ],
)  # fmt: skip
def test_links(raw: Raw | None, expected: ObjectLink | None) -> None:
    """The name of an instance."""
    assert as_link(raw) == expected


def test_paths() -> None:
    """With slashes round it or not; four ids of 16 bits at most."""
    assert parse_path("/5/0/3") == parse_path("5/0/3/") == (5, 0, 3)
    assert parse_path("/") == parse_path("") == ()
    assert path_text((5, 0, 3)) == "/5/0/3"
    assert path_text(()) == "/"
    assert path_segments((5, 0)) == ("5", "0")
    for wrong in ("/a", "/5//3", "/1/2/3/4/5", "/65536", "/-1", "/٣"):
        with pytest.raises(UnreadableError):
            parse_path(wrong)
