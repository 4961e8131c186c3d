"""Paths, readings, and what a raw value may be taken for.

Formats differ in how much they say about a value: JSON knows numbers from text, TLV has bytes and
nothing else. So a value stays as raw as it came, and whoever knows the resource asks for a type. What
is lenient here is what is unambiguous: decimal text for a number, a whole float for an integer. All
else is None, and that reading counts as missing (lwm2m 5).
"""

import base64
import binascii
import re
import struct
from functools import lru_cache
from typing import NamedTuple

from overair.protocols.lwm2m.errors import UnreadableError

# Object, instance, resource, resource instance: none to four of them.
Path = tuple[int, ...]
MOST_IDS = 4
LARGEST_ID = 65535
_USUAL_CHARS = 24  # of four ids, each as long as it may be


class Tlv(bytes):
    """A value in TLV: the bytes of a number, a text or whatever the resource is."""

    __slots__ = ()


class ObjectLink(NamedTuple):
    """A value that names an object instance."""

    object_id: int
    instance: int

    def __str__(self) -> str:
        return f"{self.object_id}:{self.instance}"


Raw = int | float | bool | str | bytes | Tlv | ObjectLink
Readings = dict[Path, Raw]

_DECIMAL = re.compile(r"-?[0-9]{1,20}")
_FLOAT = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?")
_LINK = re.compile(r"([0-9]{1,5}):([0-9]{1,5})")
_ID = re.compile(r"[0-9]{1,5}")
_INTEGER_BYTES = {1, 2, 4, 8}


def parse_path(text: str) -> Path:
    """Read "/5/0/3"; a slash at the end, or none at the beginning, does not matter."""
    return _usual_path(text) if len(text) <= _USUAL_CHARS else _path(text)


def _path(text: str) -> Path:
    parts = text.strip("/").split("/") if text.strip("/") else []
    if len(parts) > MOST_IDS or not all(_ID.fullmatch(part) for part in parts):
        raise UnreadableError("a path that is none")
    path = tuple(int(part) for part in parts)
    if any(number > LARGEST_ID for number in path):
        raise UnreadableError("an id of more than 16 bits")
    return path


def path_text(path: Path) -> str:
    """Write "/5/0/3"; the root is "/"."""
    return "/" + "/".join(map(str, path))


# All devices have the same few paths, and say them again and again.
_usual_path = lru_cache(maxsize=4096)(_path)


@lru_cache(maxsize=1024)
def path_segments(path: Path) -> tuple[str, ...]:
    """Return a path as a request has it."""
    return tuple(map(str, path))


def as_integer(raw: Raw | None) -> int | None:
    """Take a value for an integer."""
    if isinstance(raw, bool) or raw is None:
        return None
    if isinstance(raw, int):
        return raw
    if isinstance(raw, float):
        return int(raw) if raw.is_integer() else None
    if isinstance(raw, str):
        return int(raw) if _DECIMAL.fullmatch(raw) else None
    if isinstance(raw, Tlv) and len(raw) in _INTEGER_BYTES:
        return int.from_bytes(raw, "big", signed=True)
    return None


def as_number(raw: Raw | None) -> float | None:
    """Take a value for a number with a fraction."""
    if isinstance(raw, bool) or raw is None:
        return None
    if isinstance(raw, int | float):
        try:
            return float(raw)
        except OverflowError:
            return None
    if isinstance(raw, str):
        return float(raw) if _FLOAT.fullmatch(raw) else None
    if isinstance(raw, Tlv) and len(raw) in {4, 8}:
        value: float = struct.unpack(">f" if len(raw) == 4 else ">d", raw)[0]
        return value
    return None


def as_text(raw: Raw | None) -> str | None:
    """Take a value for a text. What has no bytes is the empty text."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bytes):
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return None
    return None


def as_boolean(raw: Raw | None) -> bool | None:
    """Take a value for a boolean."""
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw in {"true", "false"}:
        return raw == "true"
    number = as_integer(raw)
    return bool(number) if number in {0, 1} else None


def as_opaque(raw: Raw | None) -> bytes | None:
    """Take a value for bytes; text is base64 then."""
    if isinstance(raw, bytes):
        return bytes(raw)
    if isinstance(raw, str):
        return from_base64(raw)
    return None


def as_link(raw: Raw | None) -> ObjectLink | None:
    """Take a value for the name of an object instance."""
    if isinstance(raw, ObjectLink):
        return raw
    if isinstance(raw, str) and (found := _LINK.fullmatch(raw)):
        link = ObjectLink(int(found[1]), int(found[2]))
        return link if max(link) <= LARGEST_ID else None
    if isinstance(raw, Tlv) and len(raw) == 4:
        return ObjectLink(int.from_bytes(raw[:2], "big"), int.from_bytes(raw[2:], "big"))
    return None


def from_base64(text: str) -> bytes | None:
    """Read base64 in either alphabet, padded or not; None: it is neither."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
