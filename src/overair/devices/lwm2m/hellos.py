"""How a handshake begins: cookies, and hellos that come in pieces (RFC 6347 4.2.1, 4.2.3).

A cookie is a MAC over the address, the client's random and the time, so nothing is kept of whoever has
not shown that an address is its own. OpenSSL does that for a hello in one datagram, and drops one in
pieces. Here the first piece, which has the cookie in it, is answered or believed by itself; only behind
a good cookie are pieces kept, and once all are there OpenSSL is given the hello in one.

Whoever sends less than the beginning of a hello in its first piece gets nothing: that would have to be
kept for anybody. 68 bytes hold it, with a session id 100, and no link of IPv6 or 6LoWPAN is as narrow.

Not in here: what follows a hello.
"""

import hmac
from collections import OrderedDict
from typing import Final, NamedTuple

from overair.devices.lwm2m import records
from overair.devices.lwm2m.records import Assembly, Opening
from overair.devices.lwm2m.udp import Address
from overair.ids import new_bytes

COOKIE_S: Final = 30.0  # a cookie is good for this long, and as long again


class Hello(NamedTuple):
    """A ClientHello, as OpenSSL reads it."""

    datagram: bytes
    opening: Opening


class Hellos:
    """Hellos to one socket."""

    def __init__(self, most: int, patience_s: float) -> None:
        """``most``: how many in pieces at once, each for ``patience_s`` seconds."""
        self._most = most
        self._patience_s = patience_s
        self._cookie_key = new_bytes(32)
        self._partial: OrderedDict[Address, Assembly] = OrderedDict()
        self._told = b""
        self._now = 0.0

    def __len__(self) -> int:
        return len(self._partial)

    def about(self, opening: Opening, address: Address, now: float) -> None:
        """Whose cookies ``cookie`` and ``is_cookie`` are, from now on."""
        self._told = opening.random + repr(address).encode()
        self._now = now

    def cookie(self) -> bytes:
        """The cookie to give out."""
        return self._cookie(0)

    def _cookie(self, ago: int) -> bytes:
        period = int(self._now // COOKIE_S) - ago
        return hmac.digest(self._cookie_key, b"%d " % period + self._told, "sha256")

    def is_cookie(self, given: bytes) -> bool:
        """Whether it was given out, lately."""
        return any(hmac.compare_digest(given, self._cookie(ago)) for ago in (0, 1))

    def proven(self, datagram: bytes, address: Address, now: float) -> Opening | None:
        """How the hello in a datagram begins, if its cookie shows whose the address is."""
        for piece in records.pieces(datagram):
            if piece.kind == records.CLIENT_HELLO and piece.offset == 0:
                found = records.opening(piece.body)
                if found is None or not found.cookie:
                    return None
                self.about(found, address, now)
                return found if self.is_cookie(found.cookie) else None
        return None

    def read(self, datagram: bytes, address: Address, now: float) -> Hello | bytes | None:
        """The hello that a datagram is, or is the last piece of.

        Bytes: what is answered to a first piece; None: pieces are missing, or it is no hello.
        """
        for piece in records.pieces(datagram):
            if piece.kind != records.CLIENT_HELLO or piece.length > records.MOST_HELLO_BYTES:
                return None
            found = records.opening(piece.body) if piece.offset == 0 else None
            if piece.whole:
                return None if found is None else Hello(datagram, found)
            if found is not None:
                self.about(found, address, now)
                if not self.is_cookie(found.cookie):
                    return records.hello_verify_request(datagram, self.cookie())
            body = self._put(piece, found is not None, address, now)
            if body is not None:
                found = records.opening(body)
                if found is None:
                    return None
                return Hello(records.client_hello(datagram, piece, body), found)
        return None

    def _put(
        self, piece: records.Piece, believed: bool, address: Address, now: float
    ) -> bytes | None:
        assembly = self._partial.get(address)
        if assembly is None or not assembly.is_of(piece):
            if not believed:
                return None
            self._partial.pop(address, None)
            if len(self._partial) >= self._most:
                self._partial.popitem(last=False)
            assembly = self._partial[address] = Assembly(piece, now)
        body = assembly.add(piece)
        if body is not None:
            del self._partial[address]
        return body

    def tick(self, now: float) -> None:
        """Let go of pieces whose rest does not come."""
        while self._partial:
            address, oldest = next(iter(self._partial.items()))
            if now - oldest.begun_at < self._patience_s:
                break
            del self._partial[address]
