"""Content formats: which one to ask for, and what came in it (lwm2m 5).

The format of an answer decides how it is read, never the one that was asked for. A format that a device
refused with 4.06 is not asked for again; when there is none left, what is wanted is read one by one.
"""

import base64
from collections.abc import Mapping
from enum import IntEnum

from overair.protocols.lwm2m.cbor import Value, decode_cbor, encode_cbor
from overair.protocols.lwm2m.errors import UnreadableError, UnwritableError
from overair.protocols.lwm2m.senml import (
    decode_json,
    decode_senml_cbor,
    decode_senml_json,
    encode_senml_cbor,
    encode_senml_json,
)
from overair.protocols.lwm2m.tlv import decode_tlv, encode_tlv
from overair.protocols.lwm2m.values import (
    LARGEST_ID,
    MOST_IDS,
    ObjectLink,
    Path,
    Raw,
    Readings,
)


class ContentFormat(IntEnum):
    """Formats that are read here; some are written."""

    TEXT = 0
    LINK = 40
    OPAQUE = 42
    CBOR = 60
    SENML_JSON = 110
    SENML_CBOR = 112
    TLV = 11542
    JSON = 11543
    LWM2M_CBOR = 11544


# Before they were registered.
_OLD_NUMBERS = {
    1541: ContentFormat.TEXT,
    1542: ContentFormat.TLV,
    1543: ContentFormat.JSON,
    1544: ContentFormat.OPAQUE,
}
_LONGEST = 64 * 1024
_MOST_VALUES = 2000
# What is asked for in turn, from where a device is likely to begin.
_CHAIN = (
    ContentFormat.SENML_CBOR,
    ContentFormat.SENML_JSON,
    ContentFormat.TLV,
    ContentFormat.JSON,
)


def choose_accept(
    path: Path,
    *,
    version: str,
    listed: frozenset[int] = frozenset(),
    refused: frozenset[int] = frozenset(),
    multiple: bool = False,
) -> ContentFormat | None:
    """Choose what to ask for; None: nothing is left that the device has not refused.

    ``listed`` is the ``ct`` of its object list, ``multiple`` a resource of many values, which is never text.
    """
    if len(path) >= 3 and not multiple and ContentFormat.TEXT not in refused:
        return ContentFormat.TEXT
    modern = ContentFormat.SENML_CBOR in listed or version != "1.0"
    chain = _CHAIN if modern else _CHAIN[2:]
    return next((each for each in chain if each not in refused), None)


def decode(content_format: int | None, path: Path, payload: bytes, now: float = 0.0) -> Readings:
    """Read what came for ``path``; ``now``, in seconds since 1970, is for relative times."""
    if len(payload) > _LONGEST:
        raise UnreadableError("more than 64 KiB")
    if content_format is None:
        return {path: _text_or_opaque(payload)}
    match _OLD_NUMBERS.get(content_format, content_format):
        case ContentFormat.TEXT:
            return {path: _text(payload)}
        case ContentFormat.OPAQUE:
            return {path: payload}
        case ContentFormat.TLV:
            return decode_tlv(payload, path)
        case ContentFormat.SENML_CBOR:
            return decode_senml_cbor(payload, now)
        case ContentFormat.SENML_JSON:
            return decode_senml_json(payload, now)
        case ContentFormat.JSON:
            return decode_json(payload, now)
        case ContentFormat.CBOR:
            return {path: _single(decode_cbor(payload))}
        case ContentFormat.LWM2M_CBOR:
            readings: Readings = {}
            _nested(decode_cbor(payload), (), readings)
            return readings
        case _:
            raise UnreadableError(f"content format {content_format}")


def _text(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise UnreadableError("a text that is not UTF-8") from None


def _text_or_opaque(payload: bytes) -> Raw:
    """Of a device that does not say (lwm2m 17, node): text, if it reads as text."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload
    return text if text.isprintable() else payload


def _single(value: Value) -> Raw:
    if value is None or isinstance(value, list | dict):
        raise UnreadableError("no single value")
    return value


def _nested(value: Value, path: Path, readings: Readings) -> None:
    """Read LwM2M CBOR: maps in maps, each key an id or an array of them."""
    if not isinstance(value, dict):
        if len(path) < 3 or len(readings) >= _MOST_VALUES:
            raise UnreadableError("a value of no resource, or too many")
        readings[path] = _single(value)
        return
    for key, inner in value.items():
        ids = key if isinstance(key, tuple) else (key,)
        further: list[int] = []
        for each in ids:
            if not isinstance(each, int) or not 0 <= each <= LARGEST_ID:
                raise UnreadableError("a key that is no id")
            further.append(each)
        deeper = (*path, *further)
        if len(deeper) > MOST_IDS:
            raise UnreadableError("a path that is none")
        _nested(inner, deeper, readings)


def encode(content_format: int, readings: Mapping[Path, Raw], base: Path) -> bytes:
    """Write readings below ``base``; text, opaque and CBOR hold the one that is ``base`` itself."""
    match content_format:
        case ContentFormat.TLV:
            return encode_tlv(readings, base)
        case ContentFormat.SENML_CBOR:
            return encode_senml_cbor(readings, base)
        case ContentFormat.SENML_JSON:
            return encode_senml_json(readings, base)
        case ContentFormat.TEXT | ContentFormat.OPAQUE | ContentFormat.CBOR:
            if set(readings) != {base}:
                raise UnwritableError("not the one value")
            return _encode_single(content_format, readings[base])
        case _:
            raise UnwritableError(f"content format {content_format}")


def _encode_single(content_format: int, raw: Raw) -> bytes:
    if content_format == ContentFormat.OPAQUE:
        if not isinstance(raw, bytes):
            raise UnwritableError("only bytes are opaque")
        return bytes(raw)
    if content_format == ContentFormat.CBOR:
        return encode_cbor(str(raw) if isinstance(raw, ObjectLink) else raw)
    return encode_text(raw)


def encode_text(raw: Raw) -> bytes:
    """Write a value as text: booleans 0 and 1, bytes in base64."""
    if isinstance(raw, bool):
        return b"1" if raw else b"0"
    if isinstance(raw, bytes):
        return base64.b64encode(raw)
    return str(raw).encode()
