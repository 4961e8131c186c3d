"""What can be seen of DTLS records from outside: just enough to tell whose a datagram is (RFC 6347 4).

    record     type (1) version (2) epoch (2) sequence (6) length (2) fragment
    handshake  type (1) length (3) sequence (2) offset (3) fragment length (3) fragment

Not in here: anything that a key is needed for; OpenSSL does that, and reads these too.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

CHANGE_CIPHER_SPEC: Final = 20
ALERT: Final = 21
HANDSHAKE: Final = 22
APPLICATION_DATA: Final = 23
CLIENT_HELLO: Final = 1
CLIENT_KEY_EXCHANGE: Final = 16
_HEADER: Final = 13
_HANDSHAKE_HEADER: Final = 12
_RANDOM: Final = 32
_MAJOR: Final = 254  # of any version of DTLS, the ones complement of 1


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


def _whole(record: Record, kind: int) -> bytes | None:
    """The message in a record of a handshake, if it is of that kind and in one piece."""
    fragment = record.fragment
    if record.kind != HANDSHAKE or record.epoch or len(fragment) < _HANDSHAKE_HEADER:
        return None
    if fragment[0] != kind or fragment[6:9] != b"\0\0\0" or fragment[1:4] != fragment[9:12]:
        return None
    length = int.from_bytes(fragment[1:4], "big")
    body = fragment[_HANDSHAKE_HEADER : _HANDSHAKE_HEADER + length]
    return body if len(body) == length else None


def client_random(datagram: bytes) -> bytes | None:
    """The random of the ClientHello that a datagram is; None: it is none."""
    for record in records(datagram):
        body = _whole(record, CLIENT_HELLO)
        return body[2 : 2 + _RANDOM] if body is not None and len(body) >= 2 + _RANDOM else None
    return None


def is_client_hello(datagram: bytes) -> bool:
    """Tell whether a handshake begins here, in one piece or not."""
    return (
        len(datagram) > _HEADER
        and datagram[0] == HANDSHAKE
        and datagram[3:5] == b"\0\0"
        and datagram[_HEADER] == CLIENT_HELLO
    )


def psk_identity(datagram: bytes) -> bytes | None:
    """The identity in the ClientKeyExchange of a datagram (RFC 4279 2); None: there is none."""
    for record in records(datagram):
        body = _whole(record, CLIENT_KEY_EXCHANGE)
        if body is not None and len(body) >= 2:
            length = int.from_bytes(body[:2], "big")
            return body[2 : 2 + length] if len(body) == 2 + length else None
    return None
