"""The one place that builds things: settings → clocks → database → servers → loops.

``Server`` holds everything that one process runs, as values that a test can build too; ``serve`` puts
it on a socket and keeps it there until a signal comes. Requests are told apart by their first path
segments: device endpoints go to raw handlers, the management API to its routes, and a few pages
for the operator are answered here.
"""

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import structlog
import uvloop
from granian.constants import Interfaces, SSLProtocols
from granian.server.embed import Server as Granian

from overair import ids
from overair.api.gate import Gate as ApiGate
from overair.api.openapi import openapi_json
from overair.api.published import published_routes
from overair.api.routing import Api, Rooms
from overair.artifacts.choice import ARTIFACTS_FOLDER, open_storage
from overair.artifacts.errors import ArtifactError, StorageError
from overair.artifacts.storage import ArtifactStorage
from overair.callbacks import CallbackDelivery, Courier
from overair.clock import Clock, FastClock, SystemClock
from overair.config import ConfigError, Settings
from overair.core.credentials import Cost
from overair.devices.artifacts import Artifacts
from overair.devices.asgi import Answer, Receive, Scope, Send, respond
from overair.devices.ddi import Ddi
from overair.devices.desk import DeviceRooms
from overair.devices.dm.accounts import Accounts
from overair.devices.dm.downloads import Downloads
from overair.devices.dm.edge import PATH as DM_PATH
from overair.devices.dm.edge import Dm, DmRooms
from overair.devices.gate import Gate as DeviceGate
from overair.devices.lwm2m.edge import Lwm2m, Lwm2mRooms
from overair.devices.lwm2m.files import PATH as FILES_PATH
from overair.devices.lwm2m.files import Files
from overair.devices.lwm2m.images import Images
from overair.devices.lwm2m.udp import OpenSocket, UdpSocket
from overair.devices.seen import SeenBuffer
from overair.devices.sending import Sending
from overair.engine.advance import Advance
from overair.engine.fleet_devices import adopt
from overair.housekeeping import Housekeeping
from overair.installation import installation_key
from overair.log import set_up_logging
from overair.metrics import Metrics, StoreFigures
from overair.proxy import networks, see_through
from overair.push import PushDelivery, Transport, chosen_transport
from overair.sealing import Seal
from overair.store import figures, open_database
from overair.store.database import (
    Database,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
    Tx,
)
from overair.store.occupied import sole_server
from overair.workers import supervise

log = structlog.get_logger()

BACKLOG = 4096  # a fleet that comes back after a power cut opens its connections all at once
GC_THRESHOLD = (20_000, 20, 20)
DRAIN_S = 20.0  # for what is under way at a stop; service managers kill after 90 or less
STAND_BY_S = 5.0  # between two tries to have the ports of a process that died
TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"


class Server:
    """Everything that one process runs.

    Whoever simulates all of it brings clocks, a database, sockets and carriers of his own, a name that
    no other process has, and secrets that are cheaply checked.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        wall: Clock | None = None,
        database: Database | None = None,
        open_socket: OpenSocket = UdpSocket,
        carrier: Transport | None = None,
        courier: Courier | None = None,
        name: str = "",
        cost: Cost | None = None,
    ) -> None:
        self.settings = settings
        self.wall = wall or SystemClock()
        self.clock = clock or (
            FastClock(settings.time_rate) if settings.time_rate != 1.0 else self.wall
        )
        self.owner = name or f"{socket.gethostname()}:{os.getpid()}:{ids.new_bytes(4).hex()}"
        self.key = installation_key(settings)
        self.db = database or open_database(settings.database_url, self.clock)
        self.storage: ArtifactStorage = _storage(settings)
        self.metrics = Metrics()
        self._proxies = networks(settings.trusted_proxies)
        self.seen = SeenBuffer(self.db, self.clock)
        self.api_gate = ApiGate(db=self.db, clock=self.wall, settings=settings, cost=cost)
        self.api = Api(
            published_routes(),
            Rooms(
                settings=settings,
                db=self.db,
                clock=self.clock,
                gate=self.api_gate,
                storage=self.storage,
            ),
        )
        self.seal = Seal(self.key)
        self.sending = Sending(self.storage)
        gate = DeviceGate(self.db, self.clock, settings, self.seen, self.key)
        self.ddi = Ddi(
            DeviceRooms(
                db=self.db,
                clock=self.clock,
                settings=settings,
                gate=gate,
                seen=self.seen,
                artifacts=Artifacts(self.db, self.sending, settings, self.key),
                on_poll=self.metrics.count_check_in,
            )
        )
        self.dm = Dm(
            DmRooms(
                db=self.db,
                clock=self.clock,
                settings=settings,
                gate=gate,
                seen=self.seen,
                storage=self.storage,
                accounts=Accounts(self.seal, self.key, settings.omadm.server_id),
                downloads=Downloads(self.db, settings, self.key, self.sending),
                on_session=self.metrics.count_check_in,
            )
        )
        self.files = Files(
            self.db,
            self.clock,
            self.wall,
            settings,
            self.key,
            self.sending,
            Images(self.storage, settings.lwm2m.image_cache_bytes),
        )
        self.lwm2m = Lwm2m(
            Lwm2mRooms(
                db=self.db,
                clock=self.clock,
                wall=self.wall,
                settings=settings,
                seal=self.seal,
                seen=self.seen,
                files=self.files,
                on_contact=self.metrics.count_check_in,
                open_socket=open_socket,
            )
        )
        self.push = PushDelivery(
            self.db,
            self.clock,
            self.wall,
            settings,
            Seal(self.key),
            carrier or chosen_transport(settings.omadm),
            self.metrics.count_push,
        )
        self._courier = courier
        self._openapi = b""
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the database and start the loops. Raises StoreError."""
        await self.db.start()
        while await self.db.transact(adopt, self.seal):
            pass
        self._openapi = openapi_json()
        await self._open_lwm2m()
        loops: list[Callable[[], Awaitable[None]]] = [self.seen.run]
        if self.settings.engine:
            loops += [
                Advance(self.db, self.clock, self.settings, self.owner).run,
                CallbackDelivery(
                    self.db, self.wall, self.settings, self.owner, sender=self._courier
                ).run,
                self.push.run,
                Housekeeping(self.db, self.storage, self.clock, self.wall, self.settings).run,
            ]
        self._tasks += [asyncio.create_task(_kept_alive(loop)) for loop in loops]

    async def _open_lwm2m(self) -> None:
        """Listen for LwM2M devices, if we are to. Raises ConfigError.

        Of several processes one has the ports, and with them everything that is about these devices; the
        others stand by, should it die.
        """
        rules = self.settings.lwm2m
        if not (rules.coap or rules.coaps or rules.bootstrap_coap or rules.bootstrap_coaps):
            return
        if self.settings.workers == 1:
            await self.lwm2m.start()
        else:
            self._tasks.append(asyncio.create_task(self._stand_by()))

    async def _stand_by(self) -> None:
        while True:
            try:
                await self.lwm2m.start()
            except ConfigError:
                await asyncio.sleep(STAND_BY_S)
            else:
                return

    async def close(self) -> None:
        """Stop the loops, write what is only in memory, and let go of everything."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.lwm2m.close()
        await self.seen.flush()
        self.api_gate.close()
        await self.storage.close()
        await self.db.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI: where each request goes."""
        if scope["type"] != "http":
            return
        if self._proxies:
            see_through(scope, self._proxies)
        path: str = scope["path"]
        loop = asyncio.get_running_loop()
        began = loop.time()
        if path.startswith("/api/"):
            await self.api(scope, receive, send)
            self.metrics.api_latency.observe(loop.time() - began)
        elif "/controller/v1/" in path:
            await self.ddi(scope, receive, send)
            self.metrics.device_latency.observe(loop.time() - began)
        elif path == DM_PATH or path.startswith(f"{DM_PATH}/"):
            await self.dm(scope, receive, send)
            self.metrics.device_latency.observe(loop.time() - began)
        elif path.startswith(f"{FILES_PATH}/"):
            await self.files(scope, receive, send)
        else:
            await respond(send, await self._page(scope, path), head=scope["method"] == "HEAD")

    async def _page(self, scope: Scope, path: str) -> Answer:
        known = path in ("/healthz", "/readyz", "/openapi.json") or (
            path == "/metrics" and self.settings.metrics
        )
        if not known:
            return Answer(404, b'{"errorCode":"NOT_FOUND","errorMessage":"Not found"}', JSON)
        if scope["method"] not in ("GET", "HEAD"):
            return Answer(405, headers=((b"allow", b"GET, HEAD"),))
        match path:
            case "/healthz":
                return Answer(200, b"ok\n", TEXT)
            case "/readyz":
                return await self._readiness()
            case "/openapi.json":
                return Answer(200, self._openapi, JSON)
            case _:
                figured = await self.db.report(self._figures)
                return Answer(200, self.metrics.render(figured), TEXT)

    async def _readiness(self) -> Answer:
        try:
            ready = await self.db.report(figures.is_reachable)
        except StoreError as error:
            return Answer(503, f"the database: {error}\n".encode(), TEXT)
        return Answer(200, b"ready\n", TEXT) if ready else Answer(503, b"no schema\n", TEXT)

    def _figures(self, tx: Tx) -> StoreFigures:
        return StoreFigures(
            devices=figures.devices_by_state(tx),
            attempts=figures.attempts_by_state(tx),
            engine_lag_s=figures.engine_lag_ms(tx, self.clock.now()) / 1000,
            callbacks_queued=figures.callbacks_queued(tx),
            push_lag_s=figures.push_lag_ms(tx, self.clock.now()) / 1000,
            attaches_waiting=figures.attaches_waiting(tx),
        )


async def _kept_alive(loop: Callable[[], Awaitable[None]]) -> None:
    """Run a loop for ever; a fault in one of its turns is logged and not the end of it."""
    while True:
        try:
            await loop()
        except asyncio.CancelledError:
            raise
        except (StoreBusyError, StoreFullError, StoreUnavailableError, StorageError) as error:
            log.error("a loop failed and starts again", loop=_named(loop), error=str(error))
            await asyncio.sleep(1.0)
        except Exception:
            log.exception("a loop failed and starts again", loop=_named(loop))
            await asyncio.sleep(1.0)


def _named(loop: Callable[[], Awaitable[None]]) -> str:
    return str(getattr(loop, "__qualname__", ""))


def _storage(settings: Settings) -> ArtifactStorage:
    try:
        return open_storage(
            Path(settings.data) / ARTIFACTS_FOLDER,
            location=settings.storage,
            options=settings.storage_options,
            delivery=settings.artifact_delivery,
        )
    except ValueError as error:
        raise ConfigError(f"settings: {error}") from error
    except ArtifactError as error:
        raise StoreUnavailableError(str(error)) from error


@contextlib.asynccontextmanager
async def listening(server: Server) -> AsyncIterator[Server]:
    """``server`` on its address, for as long as the context lasts. Raises ConfigError, StoreError."""
    with sole_server(server.settings.database_url):
        async with _answering(server):
            yield server


@contextlib.asynccontextmanager
async def _answering(server: Server) -> AsyncIterator[None]:
    settings = server.settings
    host, port = settings.listen
    await server.start()
    granian = Granian(
        server,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        websockets=False,
        backlog=BACKLOG,
        log_enabled=False,
        ssl_cert=Path(settings.tls_certificate) if settings.tls_certificate else None,
        ssl_key=Path(settings.tls_key) if settings.tls_key else None,
        # Modems in the field speak 1.2.
        ssl_protocol_min=SSLProtocols.tls12,
    )
    task = asyncio.create_task(granian.serve())
    try:
        await _until_listening(task, host, port)
        yield
    finally:
        granian.stop()  # type: ignore[no-untyped-call]  # granian's own signature has no types
        await asyncio.wait((task,), timeout=DRAIN_S)
        if not task.done():
            # A device that has stopped reading would keep us for ever. It resumes at the next start.
            log.warning("requests that do not end are cut", after_s=DRAIN_S)
            await server.sending.cut()
            task.cancel()
        await server.close()


async def _until_listening(task: "asyncio.Task[None]", host: str, port: int) -> None:
    """Wait until the socket answers. Raises ConfigError if the address cannot be used."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    for _ in range(500):
        if task.done():
            break
        try:
            _, writer = await asyncio.open_connection(target, port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
    raise ConfigError(f"settings: http: cannot listen on {host}:{port}; is it in use?")


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with listening(Server(settings)) as server:
        # All that is here now stays: to look through it again would hold everybody up for 20 ms.
        gc.collect()
        gc.freeze()
        # What a request makes is gone with it: to look for cycles after each 700 objects finds none.
        gc.set_threshold(*GC_THRESHOLD)
        log.info("overair serves", address=settings.http, database=server.db.dialect)
        await stop.wait()
        log.info("overair stops")


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; the exit status. Raises ConfigError, StoreError."""
    check_free(*settings.listen)
    _allow_connections()
    if settings.workers > 1:
        return supervise(settings, run_worker)
    uvloop.run(_serve(settings))
    return 0


def _allow_connections() -> None:
    """Take as many descriptors as we may have; workers inherit them.

    The usual 1024 is for programs that are not servers. Without any left, the server would accept
    nobody, and be busy with trying.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run_worker(settings: Settings) -> None:
    """Serve in one of several processes."""
    set_up_logging(settings.log_level, settings.log_format)
    uvloop.run(_serve(settings))


def check_free(host: str, port: int) -> None:
    """Raise ConfigError if somebody else listens there: our own sockets share their address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"settings: http: cannot listen on {host}:{port}: {error.strerror}"
                " (is another server running? choose another address with --http)"
            ) from error
