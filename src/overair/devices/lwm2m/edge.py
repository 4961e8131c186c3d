"""LwM2M devices: what arrives at the two sockets, and what becomes of it (``lwm2m.md`` 2 to 4).

    datagram ─ dtls ─┬─ exchanges ─┬─ /rd          registrations, written many at a time
    datagram ────────┘             ├─ /dp          readings that a device sends by itself
                                   ├─ /fw/<token>  blocks of images
                                   └─ notifications ── visits

Registrations are answered when they are on disk. A device that has been answered is visited: that is where
everything is that we want from it (``visits.py``).

What cannot be understood has its answer in CoAP, or none, and one line in the log a minute at most.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from overair.clock import Clock
from overair.config import ConfigError, Settings
from overair.core.ids import DeviceId
from overair.devices.lwm2m import registering
from overair.devices.lwm2m.clients import Client, Clients, Peer
from overair.devices.lwm2m.dtls import Credential, DtlsLimits, DtlsServer, Session
from overair.devices.lwm2m.exchanges import Exchanges
from overair.devices.lwm2m.files import Files
from overair.devices.lwm2m.psk import MOST_IDENTITY_BYTES, PskUnavailableError, check
from overair.devices.lwm2m.registering import Accepted, Arrival, Batch, Change
from overair.devices.lwm2m.udp import Address, UdpSocket, parse_address
from overair.devices.lwm2m.visits import Visits
from overair.devices.seen import SeenBuffer
from overair.engine.lwm2m_accounts import find_key, keys_by_device
from overair.ids import new_token
from overair.protocols.coap.events import Exchange, Incoming, Notified
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.errors import RegistrationError
from overair.protocols.lwm2m.registration import (
    created,
    read_register,
    read_update,
)
from overair.sealing import Seal, SealError
from overair.store import lwm2m_registrations
from overair.store.database import Database, StoreError, Tx, to_ms
from overair.store.lwm2m_registrations import Kept, Registration

log = structlog.get_logger()

BATCH: Final = 256  # registrations in one transaction
MOST_WAITING: Final = 20_000  # registrations not written yet; more are told to come again
BUSY_S: Final = 30  # after which
SWEEP_S: Final = 1.0
SWEPT: Final = 2000  # registrations that end in one turn
CHECKED: Final = 200  # sessions whose keys are looked up in one turn
LOCATION_BYTES: Final = 9  # 12 characters
QUIET_S: Final = 60.0  # between two lines of the log about one address
MOST_QUIET: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Lwm2mRooms:
    """What the edge works with; built once, in ``app.py``."""

    db: Database
    clock: Clock
    wall: Clock
    settings: Settings
    seal: Seal
    seen: SeenBuffer
    files: Files
    on_contact: Callable[[], None]


class Lwm2m:
    """The LwM2M server of one process."""

    def __init__(self, rooms: Lwm2mRooms) -> None:
        self._rooms = rooms
        self._rules = rooms.settings.lwm2m
        self.clients = Clients()
        self.exchanges = Exchanges(
            self._rules,
            rooms.wall,
            self._transmit,
            self._incoming,
            self._notified,
            self._silent,
            self._heard,
        )
        self.visits = Visits(
            db=rooms.db,
            clock=rooms.clock,
            settings=rooms.settings,
            clients=self.clients,
            exchanges=self.exchanges,
            files=rooms.files,
        )
        self.plain: UdpSocket | None = None
        self.secure: UdpSocket | None = None
        self.dtls: DtlsServer | None = None
        self._arrivals: list[tuple[Exchange, Peer, Arrival]] = []
        self._changes: list[tuple[Exchange, Client, Change]] = []
        self._gone: list[tuple[Exchange | None, Client]] = []
        self._writing: asyncio.Task[None] | None = None
        self._lookups: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._quiet: dict[str, float] = {}

    async def start(self) -> None:
        """Take up what was registered, and listen. Raises ConfigError, StoreError."""
        try:
            self._bind()
            for kept in await self._rooms.db.report(_all_kept):
                self._take_up(kept)
        except BaseException:
            self.close_sockets()
            raise
        for each in (self.plain, self.secure):
            if each is not None:
                each.start()
        self._tasks = [asyncio.create_task(self._sweep())]
        self.visits.start()

    def _bind(self) -> None:
        rules = self._rules
        if rules.coaps:
            try:
                check()
            except PskUnavailableError as error:
                raise ConfigError(f"settings: lwm2m.coaps: {error}") from error
            self.secure = UdpSocket(*parse_address(rules.coaps), self._on_secure)
            limits = DtlsLimits(sessions=rules.max_sessions, handshakes=rules.max_handshakes)
            self.dtls = DtlsServer(self.secure.send, self._session_ended, limits)
        if rules.coap:
            self.plain = UdpSocket(*parse_address(rules.coap), self._on_plain)

    def _take_up(self, kept: Kept) -> None:
        client = Client(kept.registration, kept.imei, kept.model)
        if kept.registration.address:
            # Where it was when we stopped; behind a NAT it may be elsewhere by now, and will say so.
            client.peer = _peer_of(kept.registration.address)
        self.clients.add(client)

    def close_sockets(self) -> None:
        """Hear and say nothing more."""
        for each in (self.plain, self.secure):
            if each is not None:
                each.close()

    async def close(self) -> None:
        """Stop."""
        self.close_sockets()
        self.exchanges.close()
        tasks = [*self._tasks, *self._lookups]
        if self._writing is not None:
            tasks.append(self._writing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.visits.close()

    # Datagrams

    def _on_plain(self, datagrams: list[tuple[bytes, Address]]) -> None:
        now = self.exchanges.now()
        for datagram, address in datagrams:
            self.exchanges.receive(address, datagram, now)
        self._turned()

    def _on_secure(self, datagrams: list[tuple[bytes, Address]]) -> None:
        assert self.dtls is not None
        now = self.exchanges.now()
        for datagram, address in datagrams:
            identity = self.dtls.wanted_identity(datagram)
            if identity is None:
                self._read_secure(datagram, address, now)
            elif len(self._lookups) < self._rules.max_handshakes:
                task = asyncio.create_task(self._look_up(identity, datagram, address))
                self._lookups.add(task)
                task.add_done_callback(self._lookups.discard)
        self._turned()

    def _read_secure(self, datagram: bytes, address: Address, now: float) -> None:
        assert self.dtls is not None
        for session, plaintext in self.dtls.receive(datagram, address, now):
            self.exchanges.receive(session, plaintext, now)

    async def _look_up(self, identity: bytes, datagram: bytes, address: Address) -> None:
        """Find the key before OpenSSL asks for it: it cannot wait, and the database may have to."""
        assert self.dtls is not None
        found = None
        try:
            # OpenSSL takes an identity as a C string: with a zero in it, it is nobody's.
            if len(identity) <= MOST_IDENTITY_BYTES and b"\0" not in identity:
                found = await self._rooms.db.read(
                    find_key, identity.decode("utf-8", "replace"), self._rooms.seal
                )
        except SealError as error:
            self._warn("a device's key does not open", str(address[0]), error=str(error))
        except StoreError as error:
            self._warn("a device's key cannot be read", str(address[0]), error=str(error))
            return
        if found is not None:
            self.dtls.offer(Credential(device_id=found[0], identity=identity, key=found[1]))
        self._read_secure(datagram, address, self.exchanges.now())
        self._turned()

    def _transmit(self, peer: Peer, datagram: bytes) -> None:
        if isinstance(peer, Session):
            if self.dtls is not None:
                self.dtls.send(peer, datagram)
        elif self.plain is not None:
            self.plain.send(datagram, peer)  # type: ignore[arg-type]  # a peer that is no session is an address

    def _turned(self) -> None:
        """All datagrams of a wake-up are read: answer what can be answered at once, and write the rest."""
        self.exchanges.flush()
        if (self._arrivals or self._changes or self._gone) and self._writing is None:
            self._writing = asyncio.create_task(self._write())

    def _session_ended(self, session: Session) -> None:
        client = self.clients.of_peer(session)
        if client is not None:
            self.clients.leave(client)
            client.tell()
        self.exchanges.forget(session)

    # What comes in CoAP

    def _heard(self, peer: Peer) -> None:
        client = self.clients.of_peer(peer)
        if client is not None:
            self._contact(client)

    def _contact(self, client: Client) -> None:
        """It is there, and in queue mode it listens for a while."""
        model = self._rules.models.get(client.model)
        awake_s = (model.awake_s if model is not None else 0) or self._rules.awake_s
        client.awake_until = self.exchanges.now() + awake_s
        if client.silent and client.peer is not None:
            client.silent = False
            self.exchanges.endpoint.release(client.peer, self.exchanges.now())

    def _silent(self, peer: Peer) -> None:
        client = self.clients.of_peer(peer)
        if client is not None:
            client.silent = True
            client.tell()

    def _notified(self, event: Notified) -> None:
        client = self.clients.of_peer(event.peer)
        if client is not None:
            self.visits.notified(client, event)

    def _incoming(self, event: Incoming) -> None:
        request, exchange = event.request, event.exchange
        match request.path:
            case ("rd",):
                self._register(event.peer, exchange, request)
            case ("rd", location):
                self._registered(event.peer, exchange, request, location)
            case ("dp",):
                self._respond(exchange, self._sent(event.peer, request))
            case ("fw", token):
                self._file(event.peer, exchange, request, token)
            case _:
                self._respond(exchange, Response(code=Code.NOT_FOUND))

    def _respond(self, exchange: Exchange, response: Response) -> None:
        if not exchange.answered:
            self.exchanges.endpoint.respond(exchange, response, self.exchanges.now())

    def _may_register(self, peer: Peer) -> bool:
        return isinstance(peer, Session) or self._rules.no_sec

    def _register(self, peer: Peer, exchange: Exchange, request: Request) -> None:
        if request.method != Code.POST:
            self._respond(exchange, Response(code=Code.METHOD_NOT_ALLOWED))
            return
        if not self._may_register(peer):
            self._respond(exchange, Response(code=Code.FORBIDDEN))
            return
        try:
            asked = read_register(request)
            links = _links_of(request)
        except RegistrationError as error:
            self._refused(peer, str(error))
            self._respond(exchange, Response(code=error.code))
            return
        if len(self._arrivals) >= MOST_WAITING:
            self._respond(exchange, Response(code=Code.SERVICE_UNAVAILABLE, max_age=BUSY_S))
            return
        session = peer if isinstance(peer, Session) else None
        credential = None if session is None else session.credential
        arrival = Arrival(
            # The list is kept as it came; read it is the same for a whole model.
            asked=asked,
            links=links,
            address="" if session is not None else _text_of(peer),
            device_id=None if credential is None else credential.device_id,
            identity="" if credential is None else credential.identity.decode("utf-8", "replace"),
            location=new_token(LOCATION_BYTES),
        )
        self._arrivals.append((exchange, peer, arrival))

    def _registered(self, peer: Peer, exchange: Exchange, request: Request, location: str) -> None:
        """An Update, or the end of a registration."""
        client = self.clients.at(location)
        if client is None or not self._owns(peer, client):
            self._respond(exchange, Response(code=Code.NOT_FOUND))
            return
        if request.method == Code.DELETE:
            self._gone.append((exchange, client))
        elif request.method in (Code.POST, Code.PUT):
            self._update(peer, exchange, request, client)
        else:
            self._respond(exchange, Response(code=Code.METHOD_NOT_ALLOWED))

    def _owns(self, peer: Peer, client: Client) -> bool:
        """Whether it is its registration; without DTLS, whoever knows the location is believed."""
        if not isinstance(peer, Session):
            return self._rules.no_sec and not client.registration.identity
        return peer.credential is not None and peer.credential.device_id == client.device_id

    def _update(self, peer: Peer, exchange: Exchange, request: Request, client: Client) -> None:
        try:
            asked = read_update(request)
            links = _links_of(request)
        except RegistrationError as error:
            self._refused(peer, str(error))
            self._respond(exchange, Response(code=error.code))
            return
        address = "" if isinstance(peer, Session) else _text_of(peer)
        change = registering.updated(
            client.registration,
            asked,
            links,
            address,
            self._rooms.settings,
            self._rooms.clock.now(),
        )
        self._move(client, peer)
        self._contact(client)
        self.clients.change(client, change.registration)
        self._changes.append((exchange, client, change))

    def _move(self, client: Client, peer: Peer) -> None:
        before = client.peer or client.former_peer
        if before == peer:
            if client.peer is None:
                self.clients.place(client, peer)
            return
        if before is not None:
            self.exchanges.endpoint.move(before, peer, self.exchanges.now())
        self.clients.place(client, peer)
        client.former_peer = None

    def _sent(self, peer: Peer, request: Request) -> Response:
        """A Send: values that the device gives by itself (LwM2M 1.1)."""
        if request.method != Code.POST:
            return Response(code=Code.METHOD_NOT_ALLOWED)
        client = self.clients.of_peer(peer)
        if client is None:
            return Response(code=Code.NOT_FOUND)
        return self.visits.sent(client, request)

    def _file(self, peer: Peer, exchange: Exchange, request: Request, token: str) -> None:
        secure = isinstance(peer, Session)
        if not secure and not self._rules.plain_download:
            self._respond(exchange, Response(code=Code.NOT_FOUND))
            return
        response = self._rooms.files.at_hand(request, token)
        if response is not None:
            self._respond(exchange, response)
            return
        task = asyncio.create_task(self._send_file(exchange, request, token))
        self._lookups.add(task)
        task.add_done_callback(self._lookups.discard)

    async def _send_file(self, exchange: Exchange, request: Request, token: str) -> None:
        self._respond(exchange, await self._rooms.files.block(request, token))
        self.exchanges.flush()

    def _refused(self, peer: Peer, why: str) -> None:
        self._warn("a registration is refused", _host_of(peer), why=why)

    def _warn(self, event: str, host: str, **more: object) -> None:
        """At most one line a minute about an address."""
        now = self.exchanges.now()
        if now - self._quiet.get(host, -QUIET_S) < QUIET_S:
            return
        if len(self._quiet) >= MOST_QUIET:
            self._quiet = {}
        self._quiet[host] = now
        log.warning(event, address=host, **more)

    # Registrations, many at a time

    async def _write(self) -> None:
        try:
            while self._arrivals or self._changes or self._gone:
                arrivals, self._arrivals = self._arrivals[:BATCH], self._arrivals[BATCH:]
                changes, self._changes = self._changes[:BATCH], self._changes[BATCH:]
                gone, self._gone = self._gone[:BATCH], self._gone[BATCH:]
                await self._write_batch(arrivals, changes, gone)
        finally:
            self._writing = None

    async def _write_batch(
        self,
        arrivals: Sequence[tuple[Exchange, Peer, Arrival]],
        changes: Sequence[tuple[Exchange, Client, Change]],
        gone: Sequence[tuple[Exchange | None, Client]],
    ) -> None:
        rooms = self._rooms
        now = rooms.clock.now()
        # Whoever registered anew meanwhile has nothing to change or to end.
        live = [each for each in changes if self._is_known(each[1])]
        ended = [each for each in gone if self._is_over(*each, to_ms(now))]
        batch = Batch(
            arrivals=[arrival for _, _, arrival in arrivals],
            changes=[change for _, _, change in live],
            gone=[client.registration for _, client in ended],
            room=self._rules.max_registrations - len(self.clients),
        )
        try:
            accepted = await rooms.db.transact(registering.accept, batch, rooms.settings, now)
        except StoreError as error:
            log.error("registrations could not be written", error=str(error))
            busy = Response(code=Code.SERVICE_UNAVAILABLE, max_age=BUSY_S)
            for exchange in [e for e, *_ in arrivals] + [e for e, *_ in changes]:
                self._respond(exchange, busy)
            for left, _ in gone:
                if left is not None:
                    self._respond(left, busy)
            self.exchanges.flush()
            return
        fresh = self._welcome(arrivals, accepted, now)
        for exchange, client, _ in changes:
            known = self._is_known(client)
            self._respond(exchange, Response(code=Code.CHANGED if known else Code.NOT_FOUND))
        for left, client in gone:
            if left is not None or (left, client) in ended:
                self._dismiss(client)
            if left is not None:
                self._respond(left, Response(code=Code.DELETED))
        self.exchanges.flush()
        wanted = {each.device_id: each for each in accepted.wanted}
        now_ms = to_ms(now)
        for client in [*fresh, *(client for _, client, _ in live)]:
            if self._is_known(client):
                rooms.seen.note(client.device_id, now_ms)
                rooms.on_contact()
                self.visits.visit(client, wanted.get(client.device_id), fresh=client in fresh)

    def _is_over(self, exchange: Exchange | None, client: Client, now_ms: int) -> bool:
        """Whether it has said so, or has been silent for too long."""
        expires_ms = client.registration.expires_ms
        late = expires_ms is not None and expires_ms <= now_ms
        return self._is_known(client) and (exchange is not None or late)

    def _is_known(self, client: Client) -> bool:
        return self.clients.of_device(client.device_id) is client

    def _welcome(
        self,
        arrivals: Sequence[tuple[Exchange, Peer, Arrival]],
        accepted: Accepted,
        now: datetime,
    ) -> list[Client]:
        fresh: dict[DeviceId, Client] = {}
        for (exchange, peer, _), verdict in zip(arrivals, accepted.verdicts, strict=True):
            registration = verdict.registration
            if registration is None:
                self._refused(peer, verdict.why)
                busy = verdict.code == Code.SERVICE_UNAVAILABLE
                self._respond(
                    exchange, Response(code=verdict.code, max_age=BUSY_S if busy else None)
                )
                continue
            client = self._enter(registration, verdict.imei, verdict.model, peer)
            self._respond(exchange, created(registration.location))
            fresh[client.device_id] = client
        return list(fresh.values())

    def _enter(self, registration: Registration, imei: str, model: str, peer: Peer) -> Client:
        client = Client(registration, imei, model)
        before = self.clients.of_device(registration.device_id)
        if before is not None:
            former = before.peer or before.former_peer
            client.refused = before.refused
            client.news = before.news
            self.clients.remove(before)
            if former is not None:
                # What it observed, and what was asked of it, is from before; some tokens stay good.
                self.exchanges.endpoint.retire_observations(former, self.exchanges.now())
                if former != peer:
                    self.exchanges.endpoint.move(former, peer, self.exchanges.now())
        client.peer = peer
        self.clients.add(client)
        self.exchanges.endpoint.release(peer, self.exchanges.now())
        self._contact(client)
        return client

    def _dismiss(self, client: Client) -> None:
        if not self._is_known(client):
            return
        peer = client.peer
        self.clients.remove(client)
        self.visits.left(client)
        client.tell()
        if peer is not None and not isinstance(peer, Session):
            self.exchanges.forget(peer)

    # Time

    async def _sweep(self) -> None:
        """End registrations, handshakes, and sessions whose keys are no more."""
        checked = 0
        while True:
            await asyncio.sleep(SWEEP_S)
            now_ms = to_ms(self._rooms.clock.now())
            for client in self.clients.expired(now_ms, SWEPT):
                self._gone.append((None, client))
            if self.dtls is not None:
                self.dtls.tick(self.exchanges.now())
                checked = await self._check_sessions(checked)
            self._turned()

    async def _check_sessions(self, place: int) -> int:
        """Look whether the keys of some sessions are still theirs; where to go on."""
        assert self.dtls is not None
        sessions = self.dtls.sessions()
        some = sessions[place : place + CHECKED]
        if not some:
            return 0
        owners = {each.credential.device_id for each in some if each.credential is not None}
        try:
            keys = await self._rooms.db.read(keys_by_device, sorted(owners), self._rooms.seal)
        except StoreError as error:
            log.error("keys could not be looked up", error=str(error))
            return place
        for session in some:
            credential = session.credential
            if credential is None:
                continue
            found = keys.get(credential.device_id)
            identity = credential.identity.decode("utf-8", "replace")
            if found != (identity, credential.key):
                self.dtls.close(session)
        return place + CHECKED


def _all_kept(tx: Tx) -> list[Kept]:
    return [kept for page in lwm2m_registrations.pages(tx) for kept in page]


def _links_of(request: Request) -> str:
    """The list of objects, which was read and is UTF-8. Raises RegistrationError."""
    if b"\0" in request.payload:
        raise RegistrationError(Code.BAD_REQUEST, "a list that cannot be kept")
    return request.payload.decode()


def _text_of(peer: Peer) -> str:
    """An address as it is kept."""
    assert isinstance(peer, tuple)
    host, port = peer[0], peer[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _peer_of(text: str) -> Peer:
    host, _, port = text.rpartition(":")
    if host.startswith("["):
        return (host[1:-1], int(port), 0, 0)
    return (host, int(port))


def _host_of(peer: Peer) -> str:
    address = peer.address if isinstance(peer, Session) else peer
    return str(address[0]) if isinstance(address, tuple) else ""
