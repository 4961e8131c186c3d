"""A pair of sockets, and DTLS behind one of them: whole CoAP messages come out, from peers.

A peer is an address, or a session of DTLS. The key of a handshake is found before OpenSSL asks for it,
because OpenSSL cannot wait, and the database may have to. What the same address sends meanwhile waits: a
small device puts each record of a flight into a datagram of its own, and OpenSSL drops those that come
too early.

A device that asks for something to be done (Register, Update, Send) goes before blocks of images and other
answers: a thousand transfers have a thousand messages on their way here at any time, and who checks in would
wait for all of them. So everything that has come is read, and of what can wait a little is taken at a time.

Not in here: what a message means.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from overair.clock import Clock
from overair.config import ConfigError, Lwm2m
from overair.core.ids import DeviceId
from overair.devices.lwm2m.clients import Peer
from overair.devices.lwm2m.dtls import Credential, DtlsLimits, DtlsServer, Session
from overair.devices.lwm2m.psk import MOST_IDENTITY_BYTES, PskUnavailableError, check
from overair.devices.lwm2m.udp import Address, DatagramSocket, OpenSocket, parse_address
from overair.devices.quiet import Quiet
from overair.engine.lwm2m_accounts import FoundKey, Pair
from overair.protocols.coap.numbers import Code
from overair.sealing import Seal, SealError
from overair.store.database import Database, StoreError, Tx

log = structlog.get_logger()

CHECKED: Final = 200  # sessions whose keys are looked up in one turn
_GET: Final = int(Code.GET)
_LAST_METHOD: Final = 0x1F  # known or not
SLICE: Final = 32  # messages that can wait, before it is looked again whether others have come
MOST_HELD: Final = 8192  # of them; more are lost, and CoAP repeats them
MOST_BEHIND: Final = 16  # datagrams of one address that wait for a look-up; a flight has four


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Where the keys of a server are."""

    find: Callable[[Tx, str, Seal], FoundKey | None]
    by_device: Callable[[Tx, Sequence[DeviceId], Seal], Mapping[DeviceId, frozenset[Pair]]]
    take_over: Callable[[Tx, DeviceId, str, Seal], bool] | None = None
    """What the first handshake with a fresh one does; None: there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where a server listens; "": not at all."""

    coap: str
    coaps: str
    setting: str
    """What the names of the two settings begin with."""


class Sockets:
    """Where devices reach a server of this process."""

    def __init__(
        self,
        *,
        db: Database,
        wall: Clock,
        rules: Lwm2m,
        ports: Ports,
        keys: Keys,
        seal: Seal,
        quiet: Quiet,
        open_socket: OpenSocket,
        on_message: Callable[[Peer, bytes, float], None],
        on_turn: Callable[[], None],
        on_end: Callable[[Session], None],
    ) -> None:
        """``on_turn`` follows the messages of a wake-up, ``on_end`` is told of sessions that are over."""
        self._db = db
        self._wall = wall
        self._rules = rules
        self._ports = ports
        self._keys = keys
        self._seal = seal
        self._quiet = quiet
        self._open_socket = open_socket
        self._on_message = on_message
        self._on_turn = on_turn
        self._on_end = on_end
        self.plain: DatagramSocket | None = None
        self.secure: DatagramSocket | None = None
        self.dtls: DtlsServer | None = None
        self._lookups: set[asyncio.Task[None]] = set()
        # What came from addresses for which something is being looked up.
        self._behind: dict[Address, deque[bytes]] = {}
        # Sessions that a datagram has begun with keys which were not used before.
        self._fresh: list[Session] = []
        self._checked = 0
        self._held: deque[tuple[Peer, bytes]] = deque()
        self._going_on: asyncio.Handle | None = None

    def bind(self) -> None:
        """Bind them. Raises ConfigError."""
        rules, ports = self._rules, self._ports
        if ports.coaps:
            try:
                check()
            except PskUnavailableError as error:
                raise ConfigError(f"settings: {ports.setting}coaps: {error}") from error
            self.secure = self._open_socket(*parse_address(ports.coaps), self._on_secure)
            limits = DtlsLimits(sessions=rules.max_sessions, handshakes=rules.max_handshakes)
            self.dtls = DtlsServer(self.secure.send, self._on_end, limits, self._begun)
        if ports.coap:
            self.plain = self._open_socket(*parse_address(ports.coap), self._on_plain)

    def start(self) -> None:
        """Hear from now on."""
        for each in (self.plain, self.secure):
            if each is not None:
                each.start()

    async def close(self) -> None:
        """Hear and say nothing more."""
        self._held.clear()
        for each in (self.plain, self.secure):
            if each is not None:
                each.close()
        for task in self._lookups:
            task.cancel()
        await asyncio.gather(*self._lookups, return_exceptions=True)

    def _on_plain(self, datagrams: list[tuple[bytes, Address]]) -> None:
        now = self._wall.monotonic()
        for datagram, address in datagrams:
            self._sort(address, datagram, now)
        self._go_on_now()

    def _sort(self, peer: Peer, message: bytes, now: float) -> None:
        if is_urgent(message):
            self._on_message(peer, message, now)
        elif len(self._held) < MOST_HELD:
            self._held.append((peer, message))

    def _go_on_now(self) -> None:
        """Take a slice, unless one is due anyway; then only answer those who were heard just now."""
        if self._going_on is None:
            self._take_slice()
        else:
            self._on_turn()

    def _take_slice(self) -> None:
        now = self._wall.monotonic()
        held = self._held
        for _ in range(min(SLICE, len(held))):
            self._on_message(*held.popleft(), now)
        self._on_turn()
        if held and self._going_on is None:
            self._going_on = asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._going_on = None
        self._take_slice()

    def _on_secure(self, datagrams: list[tuple[bytes, Address]]) -> None:
        now = self._wall.monotonic()
        for datagram, address in datagrams:
            behind = self._behind.get(address)
            if behind is None:
                self._take(datagram, address, now)
            elif len(behind) < MOST_BEHIND:
                behind.append(datagram)
        self._go_on_now()

    def _take(self, datagram: bytes, address: Address, now: float) -> None:
        assert self.dtls is not None
        identity = self.dtls.wanted_identity(datagram, address, now)
        if identity is not None:
            self._later(address, self._look_up(identity, datagram, address))
            return
        heard = self.dtls.receive(datagram, address, now)
        fresh, self._fresh = self._fresh, []
        if not fresh:
            self._hear(heard)
        elif not self._later(address, self._take_over(fresh, heard)):
            for session in fresh:
                self._begin_again(session)

    def _hear(self, heard: list[tuple[Session, bytes]]) -> None:
        now = self._wall.monotonic()
        for session, plaintext in heard:
            self._sort(session, plaintext, now)

    def _begun(self, session: Session) -> None:
        if session.credential is not None and session.credential.fresh:
            self._fresh.append(session)

    def _later(self, address: Address, work: Coroutine[Any, Any, None]) -> bool:
        """Do what has to wait for the database; what the address sends meanwhile waits, too.

        False: too much waits already, and it is not done.
        """
        if len(self._lookups) >= self._rules.max_handshakes:
            work.close()
            return False
        self._behind[address] = deque()
        task = asyncio.create_task(self._in_order(address, work))
        self._lookups.add(task)
        task.add_done_callback(self._lookups.discard)
        return True

    async def _in_order(self, address: Address, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            behind = self._behind.pop(address)
        while behind and address not in self._behind:
            self._take(behind.popleft(), address, self._wall.monotonic())
        if behind:
            self._behind[address].extend(behind)
        self._go_on_now()

    async def _look_up(self, identity: bytes, datagram: bytes, address: Address) -> None:
        """Find the key before OpenSSL asks for it: it cannot wait, and the database may have to."""
        assert self.dtls is not None
        found = None
        try:
            # OpenSSL takes an identity as a C string: with a zero in it, it is nobody's.
            if len(identity) <= MOST_IDENTITY_BYTES and b"\0" not in identity:
                found = await self._db.read(
                    self._keys.find, identity.decode("utf-8", "replace"), self._seal
                )
        except SealError as error:
            self._quiet.warn("a device's key does not open", str(address[0]), error=str(error))
        except StoreError as error:
            self._quiet.warn("a device's key cannot be read", str(address[0]), error=str(error))
            return
        if found is not None:
            self.dtls.offer(
                Credential(
                    device_id=found.device_id, identity=identity, key=found.key, fresh=found.fresh
                )
            )
        heard = self.dtls.receive(datagram, address, self._wall.monotonic())
        fresh, self._fresh = self._fresh, []
        await self._take_over(fresh, heard)

    async def _take_over(self, fresh: list[Session], heard: list[tuple[Session, bytes]]) -> None:
        """Make what devices just proved to have their accounts, before anything else is heard of them."""
        for session in fresh:
            credential = session.credential
            if credential is None or self._keys.take_over is None:
                continue
            identity = credential.identity.decode("utf-8", "replace")
            try:
                await self._db.transact(
                    self._keys.take_over, credential.device_id, identity, self._seal
                )
            except (SealError, StoreError) as error:
                log.error("a device's new key could not be taken over", error=str(error))
                self._begin_again(session)
                heard = [each for each in heard if each[0] is not session]
        self._hear(heard)

    def _begin_again(self, session: Session) -> None:
        """Whoever could not be made who it is, is nobody in this session, and may be in its next."""
        assert self.dtls is not None
        self.dtls.close(session)

    def transmit(self, peer: Peer, datagram: bytes) -> None:
        if isinstance(peer, Session):
            if self.dtls is not None:
                self.dtls.send(peer, datagram)
        elif self.plain is not None:
            self.plain.send(datagram, peer)  # type: ignore[arg-type]  # a peer that is no session is an address

    async def check(self) -> None:
        """Let go of old handshakes, and of some sessions if their keys are no more."""
        if self.dtls is None:
            return
        self.dtls.tick(self._wall.monotonic())
        sessions = self.dtls.sessions()
        some = sessions[self._checked : self._checked + CHECKED]
        self._checked = self._checked + CHECKED if some else 0
        if not some:
            return
        owners = {each.credential.device_id for each in some if each.credential is not None}
        try:
            keys = await self._db.read(self._keys.by_device, sorted(owners), self._seal)
        except StoreError as error:
            log.error("keys could not be looked up", error=str(error))
            return
        for session in some:
            credential = session.credential
            if credential is None:
                continue
            good = keys.get(credential.device_id, frozenset())
            identity = credential.identity.decode("utf-8", "replace")
            if (identity, credential.key) not in good:
                self.dtls.close(session)


def is_urgent(message: bytes) -> bool:
    """Whether it asks for something to be done; what reads, answers or acknowledges can wait."""
    return len(message) > 1 and _GET < message[1] <= _LAST_METHOD
