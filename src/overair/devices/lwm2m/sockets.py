"""The two sockets, and DTLS behind one of them: whole CoAP messages come out, from peers.

A peer is an address, or a session of DTLS. The key of a handshake is found before OpenSSL asks for it,
because OpenSSL cannot wait, and the database may have to.

Not in here: what a message means.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from overair.clock import Clock
from overair.config import ConfigError, Lwm2m
from overair.devices.lwm2m.clients import Peer
from overair.devices.lwm2m.dtls import Credential, DtlsLimits, DtlsServer, Session
from overair.devices.lwm2m.psk import MOST_IDENTITY_BYTES, PskUnavailableError, check
from overair.devices.lwm2m.quiet import Quiet
from overair.devices.lwm2m.udp import Address, DatagramSocket, OpenSocket, parse_address
from overair.engine.lwm2m_accounts import find_key, keys_by_device
from overair.sealing import Seal, SealError
from overair.store.database import Database, StoreError

log = structlog.get_logger()

CHECKED: Final = 200  # sessions whose keys are looked up in one turn


class Sockets:
    """Where devices reach this process."""

    def __init__(
        self,
        *,
        db: Database,
        wall: Clock,
        rules: Lwm2m,
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
        self._checked = 0

    def bind(self) -> None:
        """Bind them. Raises ConfigError."""
        rules = self._rules
        if rules.coaps:
            try:
                check()
            except PskUnavailableError as error:
                raise ConfigError(f"settings: lwm2m.coaps: {error}") from error
            self.secure = self._open_socket(*parse_address(rules.coaps), self._on_secure)
            limits = DtlsLimits(sessions=rules.max_sessions, handshakes=rules.max_handshakes)
            self.dtls = DtlsServer(self.secure.send, self._on_end, limits)
        if rules.coap:
            self.plain = self._open_socket(*parse_address(rules.coap), self._on_plain)

    def start(self) -> None:
        """Hear from now on."""
        for each in (self.plain, self.secure):
            if each is not None:
                each.start()

    async def close(self) -> None:
        """Hear and say nothing more."""
        for each in (self.plain, self.secure):
            if each is not None:
                each.close()
        for task in self._lookups:
            task.cancel()
        await asyncio.gather(*self._lookups, return_exceptions=True)

    def _on_plain(self, datagrams: list[tuple[bytes, Address]]) -> None:
        now = self._wall.monotonic()
        for datagram, address in datagrams:
            self._on_message(address, datagram, now)
        self._on_turn()

    def _on_secure(self, datagrams: list[tuple[bytes, Address]]) -> None:
        assert self.dtls is not None
        now = self._wall.monotonic()
        for datagram, address in datagrams:
            identity = self.dtls.wanted_identity(datagram)
            if identity is None:
                self._read_secure(datagram, address, now)
            elif len(self._lookups) < self._rules.max_handshakes:
                task = asyncio.create_task(self._look_up(identity, datagram, address))
                self._lookups.add(task)
                task.add_done_callback(self._lookups.discard)
        self._on_turn()

    def _read_secure(self, datagram: bytes, address: Address, now: float) -> None:
        assert self.dtls is not None
        for session, plaintext in self.dtls.receive(datagram, address, now):
            self._on_message(session, plaintext, now)

    async def _look_up(self, identity: bytes, datagram: bytes, address: Address) -> None:
        """Find the key before OpenSSL asks for it: it cannot wait, and the database may have to."""
        assert self.dtls is not None
        found = None
        try:
            # OpenSSL takes an identity as a C string: with a zero in it, it is nobody's.
            if len(identity) <= MOST_IDENTITY_BYTES and b"\0" not in identity:
                found = await self._db.read(
                    find_key, identity.decode("utf-8", "replace"), self._seal
                )
        except SealError as error:
            self._quiet.warn("a device's key does not open", str(address[0]), error=str(error))
        except StoreError as error:
            self._quiet.warn("a device's key cannot be read", str(address[0]), error=str(error))
            return
        if found is not None:
            self.dtls.offer(Credential(device_id=found[0], identity=identity, key=found[1]))
        self._read_secure(datagram, address, self._wall.monotonic())
        self._on_turn()

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
        owners = {each.credential.device_id for each in some if each.credential is not None}
        try:
            keys = await self._db.read(keys_by_device, sorted(owners), self._seal)
        except StoreError as error:
            log.error("keys could not be looked up", error=str(error))
            return
        for session in some:
            credential = session.credential
            if credential is None:
                continue
            found = keys.get(credential.device_id)
            identity = credential.identity.decode("utf-8", "replace")
            if found != (identity, credential.key):
                self.dtls.close(session)
