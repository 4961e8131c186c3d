"""Register, Update and the end of registrations: decided in memory or in the store, written many at a time.

    register, registered ── waiting ── write ── answers, and visits

A device has its answer when its registration is on disk. While one batch is written the next gathers, so
a fleet that comes back all at once costs a few transactions (``lwm2m.md`` 3).

In the clear a device is known by its endpoint's name and its registration's location, never by its address:
that may be another's tomorrow. Whoever registers or updates last has the address, and who had it before is
nowhere until it says something itself. While it is not known yet whether a Register is accepted, nothing goes
to its address.

Not in here: whose name an endpoint is (``registering.py``).
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from overair.clock import Clock
from overair.config import Settings
from overair.core.ids import DeviceId
from overair.devices.lwm2m import registering
from overair.devices.lwm2m.clients import Client, Clients, Peer
from overair.devices.lwm2m.dtls import Session
from overair.devices.lwm2m.exchanges import Exchanges
from overair.devices.lwm2m.registering import Accepted, Arrival, Batch, Change
from overair.devices.lwm2m.visits import Visits
from overair.devices.quiet import Quiet
from overair.devices.seen import SeenBuffer
from overair.devices.throttle import Throttle
from overair.ids import new_token
from overair.protocols.coap.events import Exchange
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.errors import RegistrationError
from overair.protocols.lwm2m.registration import created, read_register, read_update
from overair.store.database import Database, StoreError, to_ms
from overair.store.lwm2m_registrations import Registration

log = structlog.get_logger()

BATCH: Final = 256  # registrations in one transaction
FEW: Final = 16
MOST_WAITING: Final = 20_000  # registrations not written yet; more are told to come again
BUSY_S: Final = 30  # after which
AT_ONCE: Final = 2  # seconds' worth of registrations from one address
LOCATION_BYTES: Final = 9  # 12 characters


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrarRooms:
    """What registering works with."""

    db: Database
    clock: Clock
    settings: Settings
    seen: SeenBuffer
    clients: Clients
    exchanges: Exchanges
    visits: Visits
    quiet: Quiet
    on_contact: Callable[[], None]


class Registrar:
    """Who comes, stays and goes."""

    def __init__(self, rooms: RegistrarRooms) -> None:
        self._rooms = rooms
        self._rules = rooms.settings.lwm2m
        self.clients = rooms.clients
        self.exchanges = rooms.exchanges
        self.visits = rooms.visits
        self._quiet = rooms.quiet
        rate = self._rules.register_rate
        self._throttle: Throttle[str] = Throttle("address", rate, AT_ONCE * rate)
        self._arrivals: list[tuple[Exchange, Peer, Arrival]] = []
        self._changes: list[tuple[Exchange, Client, Change]] = []
        self._gone: list[tuple[Exchange | None, Client]] = []
        # Who was at the addresses from which others ask to be registered.
        self._contested: dict[Peer, Client] = {}
        # Who is nowhere because another is at its address: written with what comes next. Until then two have
        # that address on disk, of whom a restart believes neither.
        self._displaced: list[Client] = []
        self._writing: asyncio.Task[None] | None = None

    def expire(self, clients: Sequence[Client]) -> None:
        """The time of these is over."""
        self._gone += [(None, client) for client in clients]

    def turn(self) -> None:
        """Write what waits, unless somebody is at it."""
        if (self._arrivals or self._changes or self._gone) and self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def close(self) -> None:
        """Write no more; whoever has no answer asks the next server."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    def contact(self, client: Client) -> None:
        """It is there, and in queue mode it listens for a while."""
        model = self._rules.models.get(client.model)
        awake_s = (model.awake_s if model is not None else 0) or self._rules.awake_s
        if client.registration.queue_mode:
            client.awake_until = self.exchanges.now() + awake_s
        if model is not None and client.peer is not None:
            self.exchanges.be_patient(client.peer, model)
        if client.silent and client.peer is not None:
            client.silent = False
            self.exchanges.abandon(client.peer)
            self.exchanges.endpoint.release(client.peer, self.exchanges.now())

    def _respond(self, exchange: Exchange, response: Response) -> None:
        if not exchange.answered:
            self.exchanges.endpoint.respond(exchange, response, self.exchanges.now())

    def _may_register(self, peer: Peer) -> bool:
        return isinstance(peer, Session) or self._rules.no_sec

    def register(self, peer: Peer, exchange: Exchange, request: Request) -> None:
        if request.method != Code.POST:
            self._respond(exchange, Response(code=Code.METHOD_NOT_ALLOWED))
            return
        if not self._may_register(peer):
            self._respond(exchange, Response(code=Code.FORBIDDEN))
            return
        if self._throttle.admit(host_of(peer), self.exchanges.now()):
            self.exchanges.endpoint.ignore(exchange)
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
            address="" if session is not None else text_of(peer),
            device_id=None if credential is None else credential.device_id,
            identity="" if credential is None else credential.identity.decode("utf-8", "replace"),
            location=new_token(LOCATION_BYTES),
        )
        self._contest(peer, asked.endpoint)
        self._arrivals.append((exchange, peer, arrival))

    def _contest(self, peer: Peer, endpoint: str | None) -> None:
        """Nothing goes to an address while it may be another's than we believe."""
        occupant = self.clients.of_peer(peer)
        if isinstance(peer, Session) or occupant is None:
            return
        if occupant.registration.endpoint != endpoint:
            self.clients.leave(occupant)
            self.exchanges.endpoint.hold(peer)
            self._contested[peer] = occupant

    def _uphold(self, peer: Peer) -> None:
        """Whoever was there is there, as nobody else is."""
        occupant = self._contested.pop(peer, None)
        if occupant is None or not self._is_known(occupant) or self.clients.of_peer(peer):
            return
        if occupant.peer is None and occupant.former_peer == peer:
            self.clients.place(occupant, peer)
            self.exchanges.endpoint.release(peer, self.exchanges.now())

    def _make_way(self, peer: Peer, device_id: DeviceId) -> None:
        """A device is there: nobody else is, and what was for anybody else does not go there."""
        contested = self._contested.pop(peer, None)
        occupant = self.clients.of_peer(peer) or contested
        if occupant is None or occupant.device_id == device_id:
            return
        if not self._is_known(occupant) or (occupant.peer or occupant.former_peer) != peer:
            return  # it has said something itself, from somewhere else
        self.clients.displace(occupant)
        self.visits.left(occupant)
        self.exchanges.forget(peer)
        occupant.tell()
        self._displaced.append(occupant)

    def registered(self, peer: Peer, exchange: Exchange, request: Request, location: str) -> None:
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
        address = "" if isinstance(peer, Session) else text_of(peer)
        change = registering.updated(
            client.registration,
            asked,
            links,
            address,
            self._rooms.settings,
            self._rooms.clock.now(),
            moved=bool(address) and client.peer != peer,
        )
        self._move(client, peer)
        self.clients.change(client, change.registration)
        self.contact(client)
        self._changes.append((exchange, client, change))

    def _move(self, client: Client, peer: Peer) -> None:
        self._make_way(peer, client.device_id)
        before = client.peer or client.former_peer
        if before == peer:
            if client.peer is None:
                self.clients.place(client, peer)
                self.exchanges.endpoint.release(peer, self.exchanges.now())
            return
        if before is not None:
            self.exchanges.abandon(before)
            self.exchanges.endpoint.move(before, peer, self.exchanges.now())
        self.clients.place(client, peer)
        client.former_peer = None
        self.exchanges.endpoint.release(peer, self.exchanges.now())

    def _refused(self, peer: Peer, why: str) -> None:
        self._quiet.warn("a registration is refused", host_of(peer), why=why)

    # Many at a time

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
        displaced, self._displaced = self._displaced, []
        live = [each for each in changes if self._is_known(each[1])]
        ended = [each for each in gone if self._is_over(*each, to_ms(now))]
        batch = Batch(
            arrivals=[arrival for _, _, arrival in arrivals],
            changes=[change for _, _, change in live],
            gone=[client.registration for _, client in ended],
            displaced=[client.device_id for client in displaced if client.peer is None],
            room=self._rules.max_registrations - len(self.clients),
        )
        try:
            # A few are written at once, in this thread: beside a thousand transfers the other one waits for
            # Python's lock at each statement.
            few = len(arrivals) + len(changes) + len(gone) <= FEW
            write = rooms.db.transact_brief if few else rooms.db.transact
            accepted = await write(registering.accept, batch, rooms.settings, now)
        except StoreError as error:
            log.error("registrations could not be written", error=str(error))
            busy = Response(code=Code.SERVICE_UNAVAILABLE, max_age=BUSY_S)
            for exchange in [e for e, *_ in arrivals] + [e for e, *_ in changes]:
                self._respond(exchange, busy)
            for _, peer, _ in arrivals:
                self._uphold(peer)
            self._displaced += displaced
            for left, _ in gone:
                if left is not None:
                    self._respond(left, busy)
            self.exchanges.flush()
            return
        fresh = self._welcome(arrivals, accepted)
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
        for client in [*fresh.values(), *(client for _, client, _ in live)]:
            if self._is_known(client):
                rooms.seen.note(client.device_id, now_ms)
                rooms.on_contact()
                is_fresh = fresh.get(client.device_id) is client
                self.visits.visit(client, wanted.get(client.device_id), fresh=is_fresh)

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
    ) -> dict[DeviceId, Client]:
        fresh: dict[DeviceId, Client] = {}
        for (exchange, peer, _), verdict in zip(arrivals, accepted.verdicts, strict=True):
            registration = verdict.registration
            if registration is None:
                self._refused(peer, verdict.why)
                busy = verdict.code == Code.SERVICE_UNAVAILABLE
                self._respond(
                    exchange, Response(code=verdict.code, max_age=BUSY_S if busy else None)
                )
                self._uphold(peer)
                continue
            client = self._enter(registration, verdict.model, peer)
            self._respond(exchange, created(registration.location))
            fresh[client.device_id] = client
        return fresh

    def _enter(self, registration: Registration, model: str, peer: Peer) -> Client:
        client = Client(registration, model)
        self._make_way(peer, registration.device_id)
        before = self.clients.of_device(registration.device_id)
        if before is not None:
            former = before.peer or before.former_peer
            client.refused = before.refused
            client.news = before.news
            self.clients.remove(before)
            self.visits.left(before)
            if former is not None:
                # What it observed, and what was asked of it, is from before; some tokens stay good.
                self.exchanges.abandon(former, anew=True)
                self.exchanges.endpoint.retire_observations(former, self.exchanges.now())
                if former != peer:
                    self.exchanges.endpoint.move(former, peer, self.exchanges.now())
        client.peer = peer
        self.clients.add(client)
        self.exchanges.endpoint.release(peer, self.exchanges.now())
        self.contact(client)
        return client

    def _dismiss(self, client: Client) -> None:
        if not self._is_known(client):
            return
        peer = client.peer or client.former_peer
        self.clients.remove(client)
        self.visits.left(client)
        client.tell()
        if peer is not None:
            self.exchanges.forget(peer)


def _links_of(request: Request) -> str:
    """The list of objects, which was read and is UTF-8. Raises RegistrationError."""
    if b"\0" in request.payload:
        raise RegistrationError(Code.BAD_REQUEST, "a list that cannot be kept")
    return request.payload.decode()


def text_of(peer: Peer) -> str:
    """An address as it is kept."""
    assert isinstance(peer, tuple)
    host, port = peer[0], peer[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def peer_of(text: str) -> Peer:
    host, _, port = text.rpartition(":")
    if host.startswith("["):
        return (host[1:-1], int(port), 0, 0)
    return (host, int(port))


def host_of(peer: Peer) -> str:
    address = peer.address if isinstance(peer, Session) else peer
    return str(address[0]) if isinstance(address, tuple) else ""
