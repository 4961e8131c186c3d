"""What we want of a device once it is there: one task for each that is being seen to (``lwm2m.md`` 4).

    contact ── visit: 1. its turn in a campaign, if it waits for one
                      2. its firmware attempt, as far as the device goes along      (attempt.py)
                      3. after a Register, what it is and what it runs              (object 3)
                      4. its cell, if that is followed and was not heard for long   (object 4)

A visit ends when there is nothing left to do, or the device is silent: it begins anew with the next
contact, and finds in the store how far it was. Nobody is asked while asleep.

Not in here: what an attempt does; sockets and registrations (``edge.py``).
"""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from overair.clock import Clock
from overair.config import Settings
from overair.core.ids import AttemptId, DeviceId
from overair.devices.lwm2m import effects
from overair.devices.lwm2m.attempt import carry_on
from overair.devices.lwm2m.attempt_core import AttemptRooms
from overair.devices.lwm2m.clients import Client, Clients
from overair.devices.lwm2m.device import Device
from overair.devices.lwm2m.exchanges import Exchanges, SilentError
from overair.devices.lwm2m.files import Files
from overair.devices.lwm2m.reading import read_instance
from overair.engine import push
from overair.protocols.coap.errors import FullError
from overair.protocols.coap.events import Handle, Notified
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.errors import UnreadableError
from overair.protocols.lwm2m.formats import ContentFormat, decode
from overair.protocols.lwm2m.objects import CELL_ID, read_connectivity, read_device
from overair.protocols.lwm2m.values import path_segments
from overair.store import lwm2m_registrations as store
from overair.store.database import Database, StoreError
from overair.store.lwm2m_registrations import Wanted

log = structlog.get_logger()

LOOK_S: Final = 30.0  # attempts that another process has opened are found after this
FOUND: Final = 1000  # attempts to one read
CELL_PMIN_S: Final = 300
_DEVICE: Final = 3
_CONNECTIVITY: Final = 4


@dataclass(slots=True)
class _Asked:
    """What a visit is for."""

    turn: bool = False  # it may have a turn, or has an attempt
    fresh: bool = False  # it has registered
    radio: bool = False  # its cell may be another


class Visits:
    """The devices that are being seen to."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        settings: Settings,
        clients: Clients,
        exchanges: Exchanges,
        files: Files,
    ) -> None:
        self._db = db
        self._clock = clock
        self._settings = settings
        self._rules = settings.lwm2m
        self._clients = clients
        self._exchanges = exchanges
        self._attempts = AttemptRooms(
            db=db,
            clock=clock,
            settings=settings,
            files=files,
            exchanges=exchanges,
            transfers=asyncio.Semaphore(self._rules.max_transfers),
        )
        self._running: dict[DeviceId, asyncio.Task[None]] = {}
        self._asked: dict[DeviceId, _Asked] = {}
        self._hinted = asyncio.Event()
        self._cells: dict[Handle, DeviceId] = {}
        self._loop: asyncio.Task[None] | None = None
        self._closed = False

    def __len__(self) -> int:
        return len(self._running)

    def start(self) -> None:
        """Look for attempts, now and whenever there is a hint."""
        self._db.on_hint("lwm2m", self._hinted.set)
        self._hinted.set()
        self._loop = asyncio.create_task(self._look())

    async def close(self) -> None:
        """See to nobody any more."""
        self._closed = True
        tasks = [*self._running.values(), *([self._loop] if self._loop else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What begins a visit

    def visit(self, client: Client, wanted: Wanted | None, *, fresh: bool) -> None:
        """It has registered, or updated its registration."""
        radio = fresh or self._is_old(client.radio_at)
        if wanted is None and not fresh and not radio:
            client.tell()
            return
        self._begin(client, _Asked(turn=wanted is not None, fresh=fresh, radio=radio))

    def notified(self, client: Client, event: Notified) -> None:
        """A resource that we observe has changed: which, and to what, is read again."""
        radio = event.handle in self._cells
        if radio and event.final:
            self._cells.pop(event.handle, None)
        self._begin(client, _Asked(turn=not radio, radio=radio))

    def sent(self, client: Client, request: Request) -> Response:
        """A Send: as a notification, it makes us read again."""
        try:
            decode(request.content_format or ContentFormat.SENML_CBOR, (), request.payload)
        except UnreadableError:
            return Response(code=Code.BAD_REQUEST)
        self._begin(client, _Asked(turn=True, fresh=True))
        return Response(code=Code.CHANGED)

    def left(self, client: Client) -> None:
        """It is registered no more."""
        if client.cell_handle is not None:
            self._cells.pop(client.cell_handle, None)

    def _is_old(self, radio_at: datetime | None) -> bool:
        if radio_at is None:
            return True
        age = self._clock.now() - radio_at
        return age >= timedelta(seconds=self._rules.cell_max_age_s)

    def _begin(self, client: Client, asked: _Asked) -> None:
        if self._closed:  # whoever is in the midst of a visit may have said something meanwhile
            return
        device_id = client.device_id
        before = self._asked.get(device_id)
        if before is not None:
            asked = _Asked(
                turn=asked.turn or before.turn,
                fresh=asked.fresh or before.fresh,
                radio=asked.radio or before.radio,
            )
        self._asked[device_id] = asked
        if device_id in self._running:
            client.tell()
            return
        task = asyncio.create_task(self._visit(device_id))
        self._running[device_id] = task

    async def _look(self) -> None:
        """Find attempts that were opened for devices that are here."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hinted.wait(), LOOK_S)
            self._hinted.clear()
            try:
                await self._find()
            except StoreError as error:
                log.error("attempts could not be looked for", error=str(error))

    async def _find(self) -> None:
        after = AttemptId(0)
        while found := await self._db.read(store.open_attempts, after, FOUND):
            after = found[-1][0]
            for _, device_id in found:
                client = self._clients.of_device(device_id)
                if client is None or not client.is_there(self._exchanges.now()):
                    continue
                if device_id in self._running:
                    # It may be past that already; then there is another look.
                    self._asked.setdefault(device_id, _Asked()).turn = True
                else:
                    self._begin(client, _Asked(turn=True))
            await asyncio.sleep(0)

    # The visit

    async def _visit(self, device_id: DeviceId) -> None:
        device = Device(device_id, self._clients, self._exchanges, self._clock)
        try:
            while (asked := self._asked.pop(device_id, None)) is not None:
                await self._see_to(device, asked)
        except SilentError as error:
            log.debug("a device is silent", device=device_id, why=str(error))
        except StoreError as error:
            log.error("a device could not be seen to", device=device_id, error=str(error))
        except asyncio.CancelledError:
            raise
        except Exception:
            # One device that we trip over is no reason to leave the others.
            log.exception("a device could not be seen to", device=device_id)
        finally:
            self._running.pop(device_id, None)
            again = self._asked.get(device_id)
            client = self._clients.of_device(device_id)
            if client is None:
                self._asked.pop(device_id, None)
            elif again is not None and client.is_there(self._exchanges.now()):
                self._begin(client, again)

    async def _see_to(self, device: Device, asked: _Asked) -> None:
        settings, now = self._settings, self._clock.now()
        if asked.turn:
            await self._db.transact(push.begin_session, device.id, settings, now)
            await carry_on(device, self._attempts)
        if asked.fresh:
            await self._read_device(device)
        if asked.radio:
            await self._read_radio(device)

    async def _read_device(self, device: Device) -> None:
        if not device.client.objects.has(_DEVICE):
            return
        found = await read_instance(device.client, device.ask, _DEVICE, device.seconds())
        if found:
            reading = read_device(found, min(device.client.objects.instances(_DEVICE), default=0))
            await self._db.transact(
                effects.note_device, device.id, reading, self._settings, self._clock.now()
            )

    async def _read_radio(self, device: Device) -> None:
        client = device.client
        client.radio_at = self._clock.now()
        if not client.objects.has(_CONNECTIVITY):
            return
        if not await self._db.read(effects.monitored, device.id):
            return
        found = await read_instance(client, device.ask, _CONNECTIVITY, device.seconds())
        if found is not None:
            reading = read_connectivity(
                found, min(client.objects.instances(_CONNECTIVITY), default=0)
            )
            await self._db.transact(effects.note_radio, device.id, reading, self._clock.now())
        if self._rules.observe_cell:
            await self._observe_cell(device)

    async def _observe_cell(self, device: Device) -> None:
        client = device.client
        if client.cell_handle is not None:
            return
        path = path_segments(CELL_ID)
        await device.ask(
            Request(method=Code.PUT, path=path, query=(f"pmin={CELL_PMIN_S}",)), droppable=True
        )
        with contextlib.suppress(FullError):
            request = Request(method=Code.GET, path=path, observe=0, accept=ContentFormat.TEXT)
            _, handle = await device.observe(request)
            if handle is not None:
                client.cell_handle = handle
                self._cells[handle] = device.id
