"""CBOR, as much of it as LwM2M has (RFC 8949; lwm2m 5, 14).

Read is every number, text, bytes, array and map, of known length or not; refused are tags, more than
eight levels, more than 64 KiB, and anything behind the value. A general library reads more than that,
tags and unbounded nesting first, and has no way to be told not to; the tests hold this one against it.
"""

import math
import struct
from collections.abc import Mapping, Sequence

from overair.protocols.lwm2m.errors import UnreadableError, UnwritableError

MOST_BYTES = 64 * 1024
MOST_DEPTH = 8

# Keys are numbers and texts, and in LwM2M CBOR arrays of numbers.
Key = int | str | tuple[int, ...]
Value = None | bool | int | float | str | bytes | list["Value"] | dict[Key, "Value"]

_BREAK = 0xFF
_FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_SIMPLE: dict[int, bool | None] = {20: False, 21: True, 22: None, 23: None}


def decode_cbor(payload: bytes) -> Value:
    """Read one value, which is the whole of the payload."""
    if len(payload) > MOST_BYTES:
        raise UnreadableError("more than 64 KiB of CBOR")
    reader = _Reader(payload)
    value = reader.value(0)
    if reader.at != len(payload):
        raise UnreadableError("something behind the value")
    return value


class _Reader:
    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self.at = 0

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._payload):
            raise UnreadableError("CBOR that ends in the middle")
        taken = self._payload[self.at : end]
        self.at = end
        return taken

    def _argument(self, low: int) -> int | None:
        """Return the number in or behind a head; None: the length is not known yet."""
        if low < 24:
            return low
        if low < 28:
            return int.from_bytes(self._take(1 << low - 24), "big")
        if low == 31:
            return None
        raise UnreadableError("a head of CBOR that is reserved")

    def _at_break(self) -> bool:
        if self._payload[self.at : self.at + 1] == bytes([_BREAK]):
            self.at += 1
            return True
        return False

    def value(self, depth: int) -> Value:
        if depth > MOST_DEPTH:
            raise UnreadableError("CBOR of more than eight levels")
        head = self._take(1)[0]
        major, low = head >> 5, head & 0x1F
        if major == 7:
            return self._simple(low)
        if major == 6:
            raise UnreadableError("a tag")
        argument = self._argument(low)
        if major < 2:
            if argument is None:
                raise UnreadableError("a number without end")
            return argument if major == 0 else -1 - argument
        if major == 2:
            return self._bytes(2, argument)
        if major == 3:
            try:
                return self._bytes(3, argument).decode()
            except UnicodeDecodeError:
                raise UnreadableError("a text that is not UTF-8") from None
        return self._array(argument, depth) if major == 4 else self._map(argument, depth)

    def _simple(self, low: int) -> Value:
        if low in _FLOATS:
            code, size = _FLOATS[low]
            number: float = struct.unpack(code, self._take(size))[0]
            return number
        if low in _SIMPLE:
            return _SIMPLE[low]
        raise UnreadableError("a simple value that nobody knows")

    def _bytes(self, major: int, length: int | None) -> bytes:
        if length is not None:
            return self._take(length)
        pieces = []
        while not self._at_break():
            head = self._take(1)[0]
            piece = self._argument(head & 0x1F) if head >> 5 == major else None
            if piece is None:
                raise UnreadableError("a piece of something else")
            pieces.append(self._take(piece))
        return b"".join(pieces)

    def _array(self, count: int | None, depth: int) -> list[Value]:
        items: list[Value] = []
        while not self._at_break() if count is None else len(items) < count:
            items.append(self.value(depth + 1))
        return items

    def _map(self, count: int | None, depth: int) -> dict[Key, Value]:
        items: dict[Key, Value] = {}
        seen = 0
        while not self._at_break() if count is None else seen < count:
            key = _key(self.value(depth + 1))
            if key in items:
                raise UnreadableError("a key twice")
            items[key] = self.value(depth + 1)
            seen += 1
        return items


def _key(value: Value) -> Key:
    if isinstance(value, bool):
        raise UnreadableError("a key that is none")
    if isinstance(value, int | str):
        return value
    if isinstance(value, list):
        numbers = tuple(each for each in value if type(each) is int)
        if len(numbers) == len(value):
            return numbers
    raise UnreadableError("a key that is none")


def encode_cbor(value: object) -> bytes:
    """Write a value, in the shortest form that holds it."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        encoded = value.encode()
        return _head(3, len(encoded)) + encoded
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, Mapping):
        pairs = (encode_cbor(key) + encode_cbor(item) for key, item in value.items())
        return _head(5, len(value)) + b"".join(pairs)
    if isinstance(value, Sequence):
        return _head(4, len(value)) + b"".join(map(encode_cbor, value))
    raise UnwritableError("nothing that CBOR has")


def _float(value: float) -> bytes:
    for head, code in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            packed = struct.pack(code, value)
        except OverflowError:
            continue
        if math.isnan(value) or struct.unpack(code, packed)[0] == value:
            return head + packed
    return b"\xfb" + struct.pack(">d", value)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for low, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument >> 8 * size == 0:
            return bytes([major << 5 | low]) + argument.to_bytes(size, "big")
    raise UnwritableError("a number of more than 64 bits")
