"""The one place that builds things: settings → clocks → database → edges → loops.

``Server`` holds everything that one process runs, as values that a test can build too; ``serving`` puts
it on a socket. Requests are told apart by their first path segments: device endpoints go to raw handlers,
the management API to its routes, everything else is one of the operator's ``pages``.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from overair import ids
from overair.api.gate import Gate as ApiGate
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
from overair.devices.asgi import Receive, Scope, Send, respond
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
from overair.metrics import Metrics
from overair.pages import Pages
from overair.proxy import networks, see_through
from overair.push import PushDelivery, Transport, chosen_transport
from overair.sealing import Seal
from overair.store import open_database
from overair.store.database import (
    Database,
    StoreBusyError,
    StoreFullError,
    StoreUnavailableError,
)

log = structlog.get_logger()

STAND_BY_S = 5.0  # between two tries to have the ports of a process that died


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
        self.pages = Pages(self.db, self.clock, self.metrics, settings)
        self._courier = courier
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Open the database and start the loops. Raises StoreError."""
        await self.db.start()
        while await self.db.transact(adopt, self.seal):
            pass
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
            page = await self.pages.answer(scope["method"], path)
            await respond(send, page, head=scope["method"] == "HEAD")


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
