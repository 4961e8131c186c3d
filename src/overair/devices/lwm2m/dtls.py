"""DTLS 1.2 with pre-shared keys, for one UDP socket (RFC 6347, 4279; ``lwm2m.md`` 12).

    wanted = server.wanted_identity(datagram, address, now)
                                                   whose key it takes to read this; look it up, ``offer`` it
    [(peer, plaintext)] = server.receive(datagram, address, now)
    server.send(peer, plaintext)

Whoever has not shown that an address is its own leaves nothing here: every first hello is answered with
a cookie (``hellos.py``). Behind that a handshake has a connection of OpenSSL, of which there is a bounded
number; a session has one too, and of sessions the one that was silent for longest goes.

- A handshake at the address of a session runs beside it; the session lives until the new one is there.
  Otherwise anybody could end it with one forged datagram.
- Alerts in the clear are not for sessions.
- A key that nobody has is a random one, so whoever gives an unknown identity sees what one with a wrong
  key sees, as late.
- Our flights are sent again when the peer's are.
- Records that do not verify, or were there before, are dropped by OpenSSL without a word.
- A device that comes from another address, or after we closed its session, may resume the former one:
  half a handshake. Whose that was is kept beside it, and the key has to be good still, so its identity
  is looked up as in any handshake; what is not known here is not resumed.

OpenSSL has no connection ids (RFC 9146), so records from an address without a session are nobody's.

Not in here: whose identity may be which device (``sockets.py``), sockets, CoAP.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

from OpenSSL import SSL

from overair.core.ids import DeviceId
from overair.devices.lwm2m import records
from overair.devices.lwm2m.hellos import Hellos
from overair.devices.lwm2m.psk import MTU, PskContext, is_resumed, let_go, pending, step
from overair.devices.lwm2m.records import Assembly
from overair.devices.lwm2m.udp import Address
from overair.ids import new_bytes

HANDSHAKE_S: Final = 60.0
RESUMED_S: Final = 86_400  # RFC 5246 F.1.4 suggests no more
MOST_RESUMABLE: Final = 16_384  # fewer than OpenSSL keeps (20,480), about 1 KiB each
_RECORD_BYTES: Final = 2048
_MOST_OFFERED: Final = 4096
_numbers = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Whose key it is, and the key."""

    device_id: DeviceId
    identity: bytes
    key: bytes
    fresh: bool = False
    """It was given to the device, and not used before."""

    @property
    def proof(self) -> tuple[DeviceId, bytes, bytes]:
        """What has to be the same for a session to go on."""
        return self.device_id, self.identity, self.key


class Session:
    """A peer: one handshake that was finished, or is under way."""

    __slots__ = (
        "address",
        "assembly",
        "begun_at",
        "connection",
        "credential",
        "flight",
        "heard_at",
        "number",
        "random",
        "resumes",
        "session_id",
        "sure",
    )

    def __init__(
        self, connection: SSL.Connection, address: Address, random: bytes, now: float
    ) -> None:
        self.number = next(_numbers)
        # None: it is over.
        self.connection: SSL.Connection | None = connection
        self.address = address
        self.random = random
        self.begun_at = now
        self.heard_at = now
        # Who it says it is; believed once the handshake is done.
        self.credential: Credential | None = None
        # Whose session it is, should it be one that is resumed.
        self.resumes: Credential | None = None
        # Under which it may be resumed; b"": it may not.
        self.session_id = b""
        # The message that has its identity, if it comes in pieces.
        self.assembly: Assembly | None = None
        # The handshake is done.
        self.sure = False
        # Our latest datagrams in it, to be sent again.
        self.flight: tuple[bytes, ...] = ()

    def __hash__(self) -> int:
        """Of this session and of no other, ever: messages are remembered by it when it is long over.

        Python's own is of a place in memory, which the next session may have.
        """
        return self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class DtlsLimits:
    """How many of each there may be."""

    sessions: int = 20_000
    handshakes: int = 1000


class DtlsServer:
    """Every session of one socket."""

    def __init__(
        self,
        transmit: Callable[[bytes, Address], None],
        on_end: Callable[[Session], None],
        limits: DtlsLimits,
        on_begin: Callable[[Session], None] = lambda _: None,
    ) -> None:
        """``on_begin`` and ``on_end`` are told of every session whose handshake is done."""
        self._transmit = transmit
        self._on_begin = on_begin
        self._on_end = on_end
        self._limits = limits
        self._sessions: OrderedDict[Address, Session] = OrderedDict()
        self._handshakes: OrderedDict[Address, Session] = OrderedDict()
        self._offered: OrderedDict[bytes, Credential] = OrderedDict()
        # Whose a session was, by its id.
        self._resumable: OrderedDict[bytes, Credential] = OrderedDict()
        self._hellos = hellos = Hellos(limits.handshakes, HANDSHAKE_S)
        # Sessions of the one may be resumed later; what cannot be resumed now is for the other.
        self._resuming = PskContext(self._key, hellos.cookie, hellos.is_cookie, resumed_s=RESUMED_S)
        self._anew = PskContext(self._key, hellos.cookie, hellos.is_cookie)
        self._listeners: dict[PskContext, SSL.Connection] = {}
        # Sessions by OpenSSL's connection, while it asks for a key.
        self._asking: Session | None = None

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return len(self._handshakes)

    # Keys

    def wanted_identity(self, datagram: bytes, address: Address, now: float) -> bytes | None:
        """Whose key ``receive`` is going to need for this."""
        if len(datagram) < 26 or datagram[0] != records.HANDSHAKE or datagram[3:5] != b"\0\0":
            return None
        if records.is_client_hello(datagram):
            return self._resumed_identity(datagram, address, now)
        handshake = self._handshakes.get(address)
        if handshake is None:
            return None
        for piece in records.pieces(datagram):
            if piece.kind != records.CLIENT_KEY_EXCHANGE:
                continue
            body = piece.body if piece.whole else _put_together(handshake, piece, now)
            if body is not None:
                return records.psk_identity(body)
        return None

    def _resumed_identity(self, datagram: bytes, address: Address, now: float) -> bytes | None:
        opening = self._hellos.proven(datagram, address, now)
        remembered = None if opening is None else self._resumable.get(opening.session_id)
        return None if remembered is None else remembered.identity

    def offer(self, credential: Credential) -> None:
        """Have this key at hand for the next ``receive``."""
        self._offered[credential.identity] = credential
        if len(self._offered) > _MOST_OFFERED:
            self._offered.popitem(last=False)

    def _key(self, connection: SSL.Connection, identity: bytes) -> bytes:
        credential = self._offered.pop(identity, None)
        session = self._asking
        if session is None or session.connection is not connection or credential is None:
            return new_bytes(16)
        session.credential = credential
        return credential.key

    # What comes

    def receive(self, datagram: bytes, address: Address, now: float) -> list[tuple[Session, bytes]]:
        """Take a datagram, whatever it is; what a peer said in it."""
        if records.is_client_hello(datagram):
            self._hello(datagram, address, now)
            return []
        session = self._meant(datagram, address)
        if session is None:
            return []
        return self._feed(session, datagram, now)

    def _meant(self, datagram: bytes, address: Address) -> Session | None:
        """The session or the handshake that a datagram is for."""
        if len(datagram) < 13 or datagram[1] != 254:
            return None
        kind, epoch = datagram[0], datagram[3] << 8 | datagram[4]
        session = self._sessions.get(address)
        handshake = self._handshakes.get(address)
        if session is None or handshake is None:
            found = handshake or session
            if found is session and kind == records.ALERT and epoch == 0:
                return None
            return found
        # With both, what is in the clear and what ends a handshake is for the new one.
        return handshake if epoch == 0 or kind == records.HANDSHAKE else session

    def _hello(self, datagram: bytes, address: Address, now: float) -> None:
        hello = self._hellos.read(datagram, address, now)
        if hello is None:
            return
        if isinstance(hello, bytes):
            self._transmit(hello, address)
            return
        opening = hello.opening
        under_way = self._handshakes.get(address)
        if under_way is not None and under_way.random == opening.random and under_way.flight:
            for each in under_way.flight:
                self._transmit(each, address)
            return
        resumes = self._resumes(opening.session_id)
        context = self._anew if opening.session_id and resumes is None else self._resuming
        listener = self._listeners.pop(context, None) or context.connection()
        self._hellos.about(opening, address, now)
        listener.bio_write(hello.datagram)
        try:
            listener.DTLSv1_listen()
        except SSL.WantReadError:
            self._listeners[context] = listener
            for each in records.datagrams(pending(listener), MTU):
                self._transmit(each, address)
            return
        except SSL.Error:
            return
        # The cookie is right, and the listener has become the connection of this peer.
        session = Session(listener, address, opening.random, now)
        session.resumes = resumes
        self._drop_handshake(address)
        if len(self._handshakes) >= self._limits.handshakes:
            self._drop_handshake(next(iter(self._handshakes)))
        self._handshakes[address] = session
        self._shake(session, now)

    def _resumes(self, session_id: bytes) -> Credential | None:
        """Whose session that was, if it was offered as one that is good still."""
        remembered = self._resumable.get(session_id)
        if remembered is None:
            return None
        offered = self._offered.pop(remembered.identity, None)
        return offered if offered is not None and offered.proof == remembered.proof else None

    def _drop_handshake(self, address: Address) -> None:
        former = self._handshakes.pop(address, None)
        if former is not None:
            former.connection = None

    def _feed(self, session: Session, datagram: bytes, now: float) -> list[tuple[Session, bytes]]:
        connection = session.connection
        assert connection is not None
        connection.bio_write(datagram)
        if not session.sure and not self._shake(session, now):
            return []
        heard: list[tuple[Session, bytes]] = []
        try:
            while True:
                heard.append((session, connection.recv(_RECORD_BYTES)))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self._end(session)
        except SSL.Error:
            self._end(session)
        if session.connection is not None:
            # A last flight that was asked for again.
            self._flush(session)
            if heard:
                session.heard_at = now
                self._sessions.move_to_end(session.address)
        return heard

    def _shake(self, session: Session, now: float) -> bool:
        """Carry a handshake on; whether it is done."""
        connection = session.connection
        assert connection is not None
        self._asking = session
        try:
            done = step(connection)
        except SSL.Error:
            self._flush(session)
            self._drop_handshake(session.address)
            return False
        finally:
            self._asking = None
        self._flush(session)
        if not done:
            return False
        del self._handshakes[session.address]
        if is_resumed(connection):
            session.credential = session.resumes
        if session.credential is None:
            session.connection = None
            return False
        former = self._sessions.pop(session.address, None)
        if former is not None:
            self._end(former)
        if len(self._sessions) >= self._limits.sessions:
            self.close(next(iter(self._sessions.values())))
        session.sure = True
        session.flight = ()
        session.assembly = None
        if session.session_id:
            self._remember(session.session_id, session.credential)
        self._sessions[session.address] = session
        self._on_begin(session)
        return True

    def _remember(self, session_id: bytes, credential: Credential) -> None:
        self._resumable[session_id] = credential
        self._resumable.move_to_end(session_id)
        if len(self._resumable) > MOST_RESUMABLE:
            self._resumable.popitem(last=False)

    def _flush(self, session: Session) -> None:
        assert session.connection is not None
        flight = tuple(records.datagrams(pending(session.connection), MTU))
        for each in flight:
            self._transmit(each, session.address)
        if flight and not session.sure:
            session.flight = flight
            if session_id := records.server_session_id(flight[0]):
                session.session_id = session_id

    # What leaves

    def send(self, session: Session, plaintext: bytes) -> None:
        """Send to a peer; nothing happens if its session is over."""
        connection = session.connection
        if connection is None:
            return
        try:
            connection.send(plaintext)
        except SSL.Error:
            self._end(session)
            return
        self._transmit(pending(connection), session.address)

    def close(self, session: Session) -> None:
        """End a session, and tell its peer."""
        if session.connection is None:
            return
        try:
            session.connection.shutdown()
            self._flush(session)
        except SSL.Error:
            pass  # it is over either way
        self._end(session)

    def _end(self, session: Session) -> None:
        if session.connection is None:
            return
        let_go(session.connection)
        session.connection = None
        if self._sessions.get(session.address) is session:
            del self._sessions[session.address]
        self._on_end(session)

    def tick(self, now: float) -> None:
        """Let go of handshakes that nobody goes on with."""
        self._hellos.tick(now)
        while self._handshakes:
            address, oldest = next(iter(self._handshakes.items()))
            if now - oldest.begun_at < HANDSHAKE_S:
                break
            self._drop_handshake(address)
        for session in list(self._handshakes.values()):
            # The last word in a resumed handshake is the client's; if that is lost, only we know.
            if session.resumes is not None:
                self._repeat(session)

    def _repeat(self, session: Session) -> None:
        assert session.connection is not None
        try:
            session.connection.DTLSv1_handle_timeout()
        except SSL.Error:
            self._drop_handshake(session.address)
            return
        # Under new sequence numbers: the peer takes the same ones for a replay.
        self._flush(session)

    def sessions(self) -> list[Session]:
        """Those that are finished, the one that was silent for longest first."""
        return list(self._sessions.values())


def _put_together(handshake: Session, piece: records.Piece, now: float) -> bytes | None:
    if piece.length > records.MOST_KEY_EXCHANGE_BYTES:
        return None
    if handshake.assembly is None or not handshake.assembly.is_of(piece):
        handshake.assembly = Assembly(piece, now)
    return handshake.assembly.add(piece)
