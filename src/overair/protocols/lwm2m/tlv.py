"""TLV, the format of LwM2M 1.0 (lwm2m 5; OMA TS 1.0 6.4.3).

    kind 2 bits | 16-bit id 1 | bytes of length 2 | length, if those are none, 3 | id | length | value

    instance of an object ── resource
                          └─ resource of many values ── one of them

Nothing else nests, so a payload has three levels at most. A read of an instance comes with the record of
the instance round it, or without. Not in here: what a value's bytes are (``values``).
"""

import struct
from collections.abc import Iterator, Mapping
from itertools import groupby

from overair.protocols.lwm2m.errors import UnreadableError, UnwritableError
from overair.protocols.lwm2m.values import ObjectLink, Path, Raw, Readings, Tlv

INSTANCE, RESOURCE_INSTANCE, MULTIPLE, RESOURCE = range(4)
_MOST_RECORDS = 2000
_INTEGERS = ((1, "b"), (2, "h"), (4, "i"), (8, "q"))


def decode_tlv(payload: bytes, base: Path) -> Readings:
    """Read what came for ``base``: an object, an instance, a resource or one of its values."""
    readings: Readings = {}
    for kind, number, value in _records(payload):
        if kind == INSTANCE:
            if not base:
                raise UnreadableError("an instance of no object")
            _resources(value, (base[0], number), readings)
        elif kind == RESOURCE_INSTANCE and len(base) >= 3:
            readings[*base[:3], number] = Tlv(value)
        else:
            _resource(kind, number, value, _instance(base), readings)
    return readings


def _instance(base: Path) -> Path:
    if not base:
        raise UnreadableError("a resource of no object")
    return (base[0], 0) if len(base) == 1 else base[:2]


def _resources(payload: bytes, base: Path, readings: Readings) -> None:
    for kind, number, value in _records(payload):
        _resource(kind, number, value, base, readings)


def _resource(kind: int, number: int, value: bytes, base: Path, readings: Readings) -> None:
    if kind == RESOURCE:
        readings[*base, number] = Tlv(value)
    elif kind == MULTIPLE:
        for inner, instance, single in _records(value):
            if inner != RESOURCE_INSTANCE:
                raise UnreadableError("a record where it cannot be")
            readings[*base, number, instance] = Tlv(single)
    else:
        raise UnreadableError("a record where it cannot be")
    if len(readings) > _MOST_RECORDS:
        raise UnreadableError("too many records")


def _records(payload: bytes) -> Iterator[tuple[int, int, bytes]]:
    at, size = 0, len(payload)
    while at < size:
        head = payload[at]
        id_end = at + 2 + (head >> 5 & 1)
        length_end = id_end + (head >> 3 & 3)
        if length_end > size:
            raise UnreadableError("a record past the end")
        number = int.from_bytes(payload[at + 1 : id_end], "big")
        length = int.from_bytes(payload[id_end:length_end], "big") if head >> 3 & 3 else head & 7
        at = length_end + length
        if at > size:
            raise UnreadableError("a record past the end")
        yield head >> 6, number, payload[length_end:at]


def encode_tlv(readings: Mapping[Path, Raw], base: Path) -> bytes:
    """Write the readings below ``base``; of an object, each instance has its record."""
    if not base:
        raise UnwritableError("TLV is of one object")
    inside = {path: raw for path, raw in readings.items() if path[: len(base)] == base}
    if len(base) > 1:
        return _written(inside)
    return b"".join(
        record(INSTANCE, instance, _written({path: inside[path] for path in paths}))
        for instance, paths in groupby(sorted(inside), key=lambda path: path[1])
    )


def _written(readings: Mapping[Path, Raw]) -> bytes:
    out = []
    for number, paths in groupby(sorted(readings), key=lambda path: path[2]):
        values = list(paths)
        if len(values[0]) == 3:
            out.append(record(RESOURCE, number, tlv_value(readings[values[0]])))
        else:
            out.append(
                record(
                    MULTIPLE,
                    number,
                    b"".join(
                        record(RESOURCE_INSTANCE, path[3], tlv_value(readings[path]))
                        for path in values
                    ),
                )
            )
    return b"".join(out)


def record(kind: int, number: int, value: bytes) -> bytes:
    """Write one record, as short as it can be."""
    head = kind << 6
    wide = number > 0xFF
    length = len(value)
    if length < 8:
        size, head = b"", head | length
    else:
        count = (length.bit_length() + 7) >> 3
        if count > 3:
            raise UnwritableError("a value of 16 MiB or more")
        size, head = length.to_bytes(count, "big"), head | count << 3
    return bytes([head | wide << 5]) + number.to_bytes(2 if wide else 1, "big") + size + value


def tlv_value(raw: Raw) -> bytes:
    """Write a value: integers in 1, 2, 4 or 8 bytes, floats in 8."""
    if isinstance(raw, bool):
        return bytes([raw])
    if isinstance(raw, int):
        for size, code in _INTEGERS:
            if -(1 << 8 * size - 1) <= raw < 1 << 8 * size - 1:
                return struct.pack(f">{code}", raw)
        raise UnwritableError("an integer of more than 64 bits")
    if isinstance(raw, float):
        return struct.pack(">d", raw)
    if isinstance(raw, str):
        return raw.encode()
    if isinstance(raw, ObjectLink):
        return struct.pack(">HH", *raw)
    return bytes(raw)
