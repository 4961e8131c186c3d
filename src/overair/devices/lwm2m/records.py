"""What can be seen of DTLS records from outside: just enough to tell whose a datagram is (RFC 6347 4).

    record       type (1) version (2) epoch (2) sequence (6) length (2) fragment
    handshake    type (1) length (3) sequence (2) offset (3) fragment length (3) fragment
    ClientHello  version (2) random (32) session id (1+) cookie (1+) …
    ServerHello  version (2) random (32) session id (1+) …

A message of a handshake may come in pieces, in any order (4.2.3); ``Assembly`` puts one together.

Not in here: anything that a key is needed for; OpenSSL does that, and reads these too.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

CHANGE_CIPHER_SPEC: Final = 20
ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION_DATA: Final = 23
CLIENT_HELLO: Final = 1
SERVER_HELLO: Final = 2
HELLO_VERIFY_REQUEST: Final = 3
CLIENT_KEY_EXCHANGE: Final = 16
_HEADER: Final = 13
_HANDSHAKE_HEADER: Final = 12
_RANDOM: Final = 32
_MAJOR: Final = 254  # of any version of DTLS, the ones complement of 1
_DTLS_1_0: Final = b"\xfe\xff"  # what a HelloVerifyRequest says, whatever is spoken later (4.2.1)
MOST_HELLO_BYTES: Final = 2048
MOST_KEY_EXCHANGE_BYTES: Final = 1024


class Record(NamedTuple):
    """One record of a datagram."""

    kind: int
    epoch: int
    fragment: bytes


def records(datagram: bytes) -> Iterator[Record]:
    """The records of a datagram, up to the first that is none."""
    at = 0
    while at + _HEADER <= len(datagram):
        end = at + _HEADER + int.from_bytes(datagram[at + 11 : at + 13], "big")
        if datagram[at + 1] != _MAJOR or end > len(datagram):
            return
        epoch = int.from_bytes(datagram[at + 3 : at + 5], "big")
        yield Record(datagram[at], epoch, datagram[at + _HEADER : end])
        at = end


def datagrams(flight: bytes, most: int) -> Iterator[bytes]:
    """Cut what came out of a memory BIO, which keeps no boundaries, into datagrams."""
    at = start = 0
    while at + _HEADER <= len(flight):
        end = at + _HEADER + int.from_bytes(flight[at + 11 : at + 13], "big")
        if end - start > most and at > start:
            yield flight[start:at]
            start = at
        at = end
    if start < len(flight):
        yield flight[start:]


class Piece(NamedTuple):
    """A message of a handshake in the clear, or a part of one."""

    kind: int
    length: int
    sequence: int
    offset: int
    body: bytes

    @property
    def whole(self) -> bool:
        """Whether it is all of it."""
        return self.offset == 0 and len(self.body) == self.length


def pieces(datagram: bytes) -> Iterator[Piece]:
    """The messages of a handshake in a datagram, as far as they are in the clear, and well formed."""
    for record in records(datagram):
        if record.kind != HANDSHAKE or record.epoch:
            continue
        at, fragment = 0, record.fragment
        while at + _HANDSHAKE_HEADER <= len(fragment):
            head = fragment[at : at + _HANDSHAKE_HEADER]
            length, offset, here = (int.from_bytes(head[i : i + 3], "big") for i in (1, 6, 9))
            at += _HANDSHAKE_HEADER
            if at + here > len(fragment) or offset + here > length:
                return
            sequence = int.from_bytes(head[4:6], "big")
            yield Piece(head[0], length, sequence, offset, fragment[at : at + here])
            at += here


class Assembly:
    """One message that comes in pieces."""

    __slots__ = ("_body", "_seen", "begun_at", "kind", "sequence")

    def __init__(self, first: Piece, now: float) -> None:
        self.kind = first.kind
        self.sequence = first.sequence
        self.begun_at = now
        self._body = bytearray(first.length)
        self._seen = bytearray(first.length)

    def is_of(self, piece: Piece) -> bool:
        """Whether a piece is one of this message."""
        mine = (self.kind, self.sequence, len(self._body))
        return mine == (piece.kind, piece.sequence, piece.length)

    def add(self, piece: Piece) -> bytes | None:
        """Put a piece in its place; the whole message, once it is there."""
        end = piece.offset + len(piece.body)
        self._body[piece.offset : end] = piece.body
        self._seen[piece.offset : end] = b"\1" * len(piece.body)
        return bytes(self._body) if all(self._seen) else None


class Opening(NamedTuple):
    """How a ClientHello begins; its first piece is enough to see that."""

    random: bytes
    session_id: bytes
    cookie: bytes


def opening(body: bytes) -> Opening | None:
    """Read the beginning of a ClientHello; None: it is too short, or none."""
    at = 2 + _RANDOM
    fields: list[bytes] = []
    for most in (32, 255):
        if at >= len(body) or body[at] > most or at + 1 + body[at] > len(body):
            return None
        fields.append(body[at + 1 : at + 1 + body[at]])
        at += 1 + body[at]
    return Opening(body[2 : 2 + _RANDOM], fields[0], fields[1])


def is_client_hello(datagram: bytes) -> bool:
    """Tell whether a handshake begins here, in one piece or not."""
    return (
        len(datagram) > _HEADER
        and datagram[0] == HANDSHAKE
        and datagram[3:5] == b"\0\0"
        and datagram[_HEADER] == CLIENT_HELLO
    )


def client_hello(datagram: bytes, piece: Piece, body: bytes) -> bytes:
    """A datagram with the whole message, from the datagram of its last piece."""
    length = len(body).to_bytes(3, "big")
    sequence = piece.sequence.to_bytes(2, "big")
    head = bytes((CLIENT_HELLO,)) + length + sequence + b"\0\0\0" + length
    return datagram[:11] + (len(head) + len(body)).to_bytes(2, "big") + head + body


def hello_verify_request(datagram: bytes, cookie: bytes) -> bytes:
    """What asks whoever sent a ClientHello to show that the address is its own (4.2.1)."""
    body = _DTLS_1_0 + bytes((len(cookie),)) + cookie
    length = len(body).to_bytes(3, "big")
    message = bytes((HELLO_VERIFY_REQUEST,)) + length + b"\0\0" + b"\0\0\0" + length + body
    # Under the sequence number of what it answers, for nothing is kept that could count.
    head = bytes((HANDSHAKE,)) + _DTLS_1_0 + datagram[3:11]
    return head + len(message).to_bytes(2, "big") + message


def server_session_id(flight: bytes) -> bytes:
    """The session id in the ServerHello of a flight of ours; b"": there is none."""
    for piece in pieces(flight):
        at = 2 + _RANDOM
        if piece.kind == SERVER_HELLO and piece.offset == 0 and len(piece.body) > at:
            return piece.body[at + 1 : at + 1 + piece.body[at]]
    return b""


def psk_identity(body: bytes) -> bytes | None:
    """The identity in a ClientKeyExchange (RFC 4279 2); None: there is none."""
    if len(body) < 2:
        return None
    length = int.from_bytes(body[:2], "big")
    return body[2 : 2 + length] if len(body) == 2 + length else None
