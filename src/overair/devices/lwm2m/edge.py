"""LwM2M devices: what arrives at the two sockets, and what becomes of it (``lwm2m.md`` 2 to 4).

    sockets ─ exchanges ─┬─ /rd          registrations, written many at a time   (registrar.py)
                         ├─ /dp          values that a device sends by itself    (visits.py)
                         ├─ /fw/<token>  blocks of images                        (files.py)
                         └─ notifications                                        (visits.py)

A device that has registered is visited: there is everything that we want from it. What cannot be
understood has its answer in CoAP, or none, and one line in the log a minute at most.

Beside it, on sockets of its own, is the bootstrap server (bootstrap.py).
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from overair.clock import Clock
from overair.config import Settings
from overair.devices.lwm2m.bootstrap import Bootstrap, BootstrapRooms
from overair.devices.lwm2m.clients import Client, Clients, Peer
from overair.devices.lwm2m.dtls import DtlsServer, Session
from overair.devices.lwm2m.exchanges import Exchanges
from overair.devices.lwm2m.files import Files
from overair.devices.lwm2m.registrar import Registrar, RegistrarRooms, peer_of
from overair.devices.lwm2m.sockets import Keys, Ports, Sockets
from overair.devices.lwm2m.udp import DatagramSocket, OpenSocket, UdpSocket
from overair.devices.lwm2m.visits import Visits
from overair.devices.quiet import Quiet
from overair.devices.seen import SeenBuffer
from overair.engine.lwm2m_accounts import find_key, keys_by_device
from overair.engine.lwm2m_bootstrap import take_over
from overair.protocols.coap.events import Exchange, Incoming, Notified
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from overair.sealing import Seal
from overair.store import lwm2m_registrations
from overair.store.database import Database, Tx, to_ms
from overair.store.lwm2m_registrations import Kept

SWEEP_S: Final = 1.0
SWEPT: Final = 2000  # registrations that end in one turn


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
    open_socket: OpenSocket = UdpSocket


class Lwm2m:
    """The LwM2M server of one process."""

    def __init__(self, rooms: Lwm2mRooms) -> None:
        self._rooms = rooms
        self._rules = rooms.settings.lwm2m
        self.clients = Clients()
        quiet = Quiet(rooms.wall.monotonic)
        self.sockets = Sockets(
            db=rooms.db,
            wall=rooms.wall,
            rules=self._rules,
            ports=Ports(coap=self._rules.coap, coaps=self._rules.coaps, setting="lwm2m."),
            keys=Keys(find=find_key, by_device=keys_by_device, take_over=take_over),
            seal=rooms.seal,
            quiet=quiet,
            open_socket=rooms.open_socket,
            on_message=self._message,
            on_turn=self._turned,
            on_end=self._session_ended,
        )
        self.exchanges = Exchanges(
            self._rules,
            rooms.wall,
            self.sockets.transmit,
            self._incoming,
            self._notified,
            self._silent,
            self._heard,
            self._unheard,
            self._former,
        )
        self.visits = Visits(
            db=rooms.db,
            clock=rooms.clock,
            wall=rooms.wall,
            settings=rooms.settings,
            clients=self.clients,
            exchanges=self.exchanges,
            files=rooms.files,
        )
        self.registrar = Registrar(
            RegistrarRooms(
                db=rooms.db,
                clock=rooms.clock,
                settings=rooms.settings,
                seen=rooms.seen,
                clients=self.clients,
                exchanges=self.exchanges,
                visits=self.visits,
                quiet=quiet,
                on_contact=rooms.on_contact,
            )
        )
        self.bootstrap = Bootstrap(
            BootstrapRooms(
                db=rooms.db,
                clock=rooms.clock,
                wall=rooms.wall,
                rules=self._rules,
                seal=rooms.seal,
                quiet=quiet,
                open_socket=rooms.open_socket,
            )
        )
        self._files: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def plain(self) -> DatagramSocket | None:
        """The socket for CoAP in the clear."""
        return self.sockets.plain

    @property
    def secure(self) -> DatagramSocket | None:
        """The socket for CoAP over DTLS."""
        return self.sockets.secure

    @property
    def dtls(self) -> DtlsServer | None:
        """The sessions behind it."""
        return self.sockets.dtls

    async def start(self) -> None:
        """Take up what was registered, and listen. Raises ConfigError, StoreError."""
        try:
            self.sockets.bind()
            self.bootstrap.sockets.bind()
            shared: set[Peer] = set()
            for kept in await self._rooms.db.report(_all_kept):
                self._take_up(kept, shared)
        except BaseException:
            await self.sockets.close()
            await self.bootstrap.sockets.close()
            raise
        self.sockets.start()
        self.bootstrap.sockets.start()
        self._sweeping = asyncio.create_task(self._sweep())
        self.visits.start()

    def _take_up(self, kept: Kept, shared: set[Peer]) -> None:
        client = Client(kept.registration, kept.model)
        client.observed_before = True
        if kept.registration.address:
            # Where it was when we stopped; behind a NAT it may be elsewhere by now, and will say so.
            client.peer = peer = peer_of(kept.registration.address)
            other = self.clients.of_peer(peer)
            if other is not None or peer in shared:
                # Who was there last, we did not live to write down: neither is, until it says so.
                shared.add(peer)
                self.clients.displace(client)
                if other is not None:
                    self.clients.displace(other)
        self.clients.add(client)

    async def close(self) -> None:
        """Stop."""
        await self.sockets.close()
        await self.bootstrap.close()
        self.exchanges.close()
        tasks = [*self._files, *([self._sweeping] if self._sweeping else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.registrar.close()
        await self.visits.close()
        await self._rooms.files.close()

    async def _sweep(self) -> None:
        """End registrations, and sessions, whose time is over."""
        while True:
            await self._rooms.wall.sleep(SWEEP_S)
            now_ms = to_ms(self._rooms.clock.now())
            self.registrar.expire(self.clients.expired(now_ms, SWEPT))
            await self.sockets.check()
            await self.bootstrap.sockets.check()
            self._turned()

    # What comes

    def _message(self, peer: Peer, datagram: bytes, now: float) -> None:
        client = self.clients.of_peer(peer)
        if client is not None and client.peer is not None:
            peer = (
                client.peer
            )  # the same, and not another object for each message that is remembered
        self.exchanges.receive(peer, datagram, now)

    def _turned(self) -> None:
        """All messages of a wake-up are read: answer what can be answered at once, and write the rest."""
        self.exchanges.flush()
        self.registrar.turn()

    def _session_ended(self, session: Session) -> None:
        client = self.clients.of_peer(session)
        if client is None:
            self.exchanges.forget(session)
            return
        # What it observes is moved to its next session; modules report the end of an update under
        # tokens from before it.
        self.clients.leave(client)
        self.exchanges.endpoint.hold(session)
        client.tell()

    def _heard(self, peer: Peer) -> None:
        client = self.clients.of_peer(peer)
        if client is not None:
            self.registrar.contact(client)

    def _silent(self, peer: Peer) -> None:
        client = self.clients.of_peer(peer)
        if client is not None:
            client.silent = True
            client.tell()

    def _former(self, peer: Peer) -> Peer | None:
        """Where the device was whose session this is, if it is nowhere now (``lwm2m.md`` 6).

        Modules that have restarted report the end of an update under the token from before, in a new
        session and before they register. Without DTLS nobody knows who that is.
        """
        client = self._nowhere(peer)
        if client is None or client.former_peer is None:
            return None
        former, client.former_peer = client.former_peer, None
        self.clients.place(client, peer)
        return former

    def _nowhere(self, peer: Peer) -> Client | None:
        """Whose session it is, if that device has no other."""
        if not isinstance(peer, Session) or peer.credential is None:
            return None
        client = self.clients.of_device(peer.credential.device_id)
        return client if client is not None and client.peer is None else None

    def _unheard(self, peer: Peer) -> None:
        """A device goes on notifying the server that was before us: what it observes is observed anew."""
        client = self.clients.of_peer(peer) or self._nowhere(peer)
        if client is None or not client.observed_before:
            return
        client.observed_before = False  # who says so again has had its turn
        if client.peer is None:
            self.clients.place(client, peer)
        self.registrar.contact(client)
        self.visits.unheard(client)

    def _notified(self, event: Notified) -> None:
        client = self.clients.of_peer(event.peer)
        if client is not None:
            self.visits.notified(client, event)

    def _incoming(self, event: Incoming) -> None:
        peer, request, exchange = event.peer, event.request, event.exchange
        match request.path:
            case ("rd",):
                self.registrar.register(peer, exchange, request)
            case ("rd", location):
                self.registrar.registered(peer, exchange, request, location)
            case ("dp",):
                self._respond(exchange, self._sent(peer, request))
            case ("fw", token):
                self._file(peer, exchange, request, token)
            case _:
                self._respond(exchange, Response(code=Code.NOT_FOUND))

    def _respond(self, exchange: Exchange, response: Response) -> None:
        self.exchanges.endpoint.respond(exchange, response, self.exchanges.now())

    def _sent(self, peer: Peer, request: Request) -> Response:
        """A Send: values that the device gives by itself (LwM2M 1.1)."""
        if request.method != Code.POST:
            return Response(code=Code.METHOD_NOT_ALLOWED)
        client = self.clients.of_peer(peer)
        if client is None:
            return Response(code=Code.NOT_FOUND)
        return self.visits.sent(client, request)

    def _file(self, peer: Peer, exchange: Exchange, request: Request, token: str) -> None:
        clear = not isinstance(peer, Session)
        if clear and not self._rules.plain_download:
            self._respond(exchange, Response(code=Code.NOT_FOUND))
            return
        response = self._rooms.files.at_hand(request, token, clear=clear)
        if response is not None:
            self._respond(exchange, response)
            return
        task = asyncio.create_task(self._send_file(exchange, request, token, clear=clear))
        self._files.add(task)
        task.add_done_callback(self._files.discard)

    async def _send_file(
        self, exchange: Exchange, request: Request, token: str, *, clear: bool
    ) -> None:
        self._respond(exchange, await self._rooms.files.block(request, token, clear=clear))
        self.exchanges.flush()


def _all_kept(tx: Tx) -> list[Kept]:
    return [kept for page in lwm2m_registrations.pages(tx) for kept in page]
