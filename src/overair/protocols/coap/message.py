"""Datagrams as messages, read strictly (RFC 7252 3, lwm2m 14).

     0                   1                   2                   3
    |Ver| T |  TKL  |      Code     |          Message ID           |
    | Token (0 to 8) ... | Options ... | 11111111 | Payload ...

An option is its distance from the one before it and its length, four bits each, of which 13 and 14 mean
that one or two more bytes follow, and 15 nothing but the marker of a payload.

A message that is wrong in form is answered by a reset if it asked for an acknowledgement and was long
enough to have an id; else by silence. What its options mean is no matter of form: ``request``.
"""

from typing import NamedTuple

from overair.protocols.coap.errors import MalformedError, UnencodableError
from overair.protocols.coap.numbers import Type

Options = tuple[tuple[int, bytes], ...]

LONGEST_TOKEN = 8
# Every message id there is, once: hundreds of thousands are remembered at a time.
MIDS = tuple(range(1 << 16))
_HEADER_BYTES = 4
_MARKER = 0xFF
_VERSION_BITS = 0x40
# Classes that nobody may use; 3 is unassigned, and an answer of a class that nobody knows.
_RESERVED = frozenset({1, 6, 7})

_RESET = bytes([_VERSION_BITS | Type.RST << 4, 0])
_EMPTY_ACK = bytes([_VERSION_BITS | Type.ACK << 4, 0])


class Message(NamedTuple):
    """A datagram, its options in order of their numbers. A tuple, because one is made of every datagram."""

    type: int
    code: int
    mid: int
    token: bytes = b""
    options: Options = ()
    payload: bytes = b""


def reset(mid: int) -> bytes:
    """Write the rejection of a message."""
    return _RESET + mid.to_bytes(2, "big")


def empty_ack(mid: int) -> bytes:
    """Write the acknowledgement that says nothing more."""
    return _EMPTY_ACK + mid.to_bytes(2, "big")


def decode_message(datagram: bytes) -> Message:
    """Read a datagram, or say why it is none."""
    size = len(datagram)
    if size < _HEADER_BYTES:
        raise MalformedError("less than four bytes")
    first, code = datagram[0], datagram[1]
    if first >> 6 != 1:
        raise MalformedError("not version 1")
    mid = MIDS[datagram[2] << 8 | datagram[3]]
    length = first & 0x0F
    if length > LONGEST_TOKEN:
        raise _wrong(first, mid, "a token of more than 8 bytes")
    if code >> 5 in _RESERVED:
        raise _wrong(first, mid, "a reserved class of codes")
    if code == 0 and (length or size > _HEADER_BYTES):
        raise _wrong(first, mid, "an empty message with something in it")
    at = _HEADER_BYTES + length
    if at > size:
        raise _wrong(first, mid, "a token past the end")
    options: list[tuple[int, bytes]] = []
    payload = b""
    number = 0
    while at < size:
        head = datagram[at]
        at += 1
        if head == _MARKER:
            if at == size:
                raise _wrong(first, mid, "a payload marker without payload")
            payload = datagram[at:]
            break
        delta, length = head >> 4, head & 0x0F
        if delta >= 13:
            delta, at = _extended(datagram, delta, at)
        if length >= 13:
            length, at = _extended(datagram, length, at)
        end = at + length
        if delta < 0 or length < 0 or end > size:
            raise _wrong(first, mid, "an option past the end, or with 15 for a length")
        number += delta
        options.append((number, datagram[at:end]))
        at = end
    return Message(
        first >> 4 & 0x03,
        code,
        mid,
        datagram[_HEADER_BYTES : _HEADER_BYTES + (first & 0x0F)],
        tuple(options),
        payload,
    )


def _extended(datagram: bytes, nibble: int, at: int) -> tuple[int, int]:
    """Return the number that a nibble of 13 or more stands for, -1 if for none, and where it ends."""
    if nibble == 13 and at < len(datagram):
        return datagram[at] + 13, at + 1
    if nibble == 14 and at + 1 < len(datagram):
        return (datagram[at] << 8 | datagram[at + 1]) + 269, at + 2
    return -1, len(datagram)


def _wrong(first: int, mid: int, what: str) -> MalformedError:
    confirmable = first >> 4 & 0x03 == Type.CON
    return MalformedError(what, reset(mid) if confirmable else None)


def encode_message(message: Message) -> bytes:
    """Write a message; its options have to be in order."""
    return (
        start(message.type, message.code, message.mid, message.token)
        + encode_options(message.options)
        + (b"\xff" + message.payload if message.payload else b"")
    )


def start(type_: int, code: int, mid: int, token: bytes) -> bytes:
    """Write what stands before the options."""
    if len(token) > LONGEST_TOKEN:
        raise UnencodableError("a token has at most 8 bytes")
    return bytes((_VERSION_BITS | type_ << 4 | len(token), code, mid >> 8, mid & 0xFF)) + token


def encode_options(options: Options | list[tuple[int, bytes]], before: int = 0) -> bytes:
    """Write options, in the order in which they are given; ``before``: the number that stands before them."""
    out = bytearray()
    for number, value in options:
        delta = number - before
        before = number
        length = len(value)
        if length < 13 and 0 <= delta < 13:
            out.append(delta << 4 | length)
        elif length < 13 <= delta < 269:
            out.append(0xD0 | length)
            out.append(delta - 13)
        else:
            _long_option(out, delta, length)
        out += value
    return bytes(out)


def _long_option(out: bytearray, delta: int, length: int) -> None:
    if delta < 0:
        raise UnencodableError("options that are not in order")
    nibbles = []
    extra = bytearray()
    for number in (delta, length):
        if number < 13:
            nibbles.append(number)
        elif number < 269:
            nibbles.append(13)
            extra.append(number - 13)
        elif number < 269 + 0x10000:
            nibbles.append(14)
            extra += (number - 269).to_bytes(2, "big")
        else:
            raise UnencodableError("an option of more than 65804 bytes, or that far away")
    out.append(nibbles[0] << 4 | nibbles[1])
    out += extra
