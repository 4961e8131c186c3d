"""What we want of a device once it is there: one task for each that is being seen to (``lwm2m.md`` 4).

    contact ── visit: 1. its turn in a campaign, if it waits for one
                      2. its firmware attempt, as far as the device goes along      (attempt.py)
                      3. after a Register, or if somebody asks, what it is and runs (object 3)
                      4. its cell, if that is followed and was not heard for long   (following.py)

A visit ends when there is nothing left to do, or the device is silent: it begins anew with the next
contact, and finds in the store how far it was. Nobody is asked while asleep.

Of those who are only read, some are at a time and the others wait in line: when a whole fleet comes back,
registrations are answered first, and what waits costs no task each. Who is slow to answer holds nobody up.

Not in here: what an attempt does; sockets and registrations (``edge.py``).
"""

import asyncio
from collections import OrderedDict, deque
from datetime import timedelta
from typing import Final

import structlog

from overair.clock import Clock
from overair.config import Settings
from overair.core.ids import AttemptId, DeviceId
from overair.devices.lwm2m import effects, machine
from overair.devices.lwm2m.attempt import carry_on
from overair.devices.lwm2m.attempt_core import AttemptRooms
from overair.devices.lwm2m.clients import Client, Clients
from overair.devices.lwm2m.device import Device
from overair.devices.lwm2m.exchanges import Exchanges, SilentError
from overair.devices.lwm2m.files import Files
from overair.devices.lwm2m.following import Following
from overair.devices.lwm2m.reading import read_instance
from overair.engine import push
from overair.protocols.coap.events import Notified
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.errors import UnreadableError
from overair.protocols.lwm2m.formats import ContentFormat, decode
from overair.protocols.lwm2m.objects import DeviceReading, read_device
from overair.store import lwm2m_registrations as store
from overair.store import lwm2m_watch as watch
from overair.store.database import Database, StoreError
from overair.store.lwm2m_registrations import Wanted

log = structlog.get_logger()

LOOK_S: Final = 30.0  # attempts that another process has opened are found after this
FOUND: Final = 1000  # attempts to one read
AT_ONCE: Final = 128  # visits that get on; more wait, unless they are for an attempt
SLOW_S: Final = 1.0  # one that takes longer is not counted any more: it waits for its device
_DEVICE: Final = 3


# What a visit is for: one or more of these. A number, for there may be one for each of a whole fleet.
_TURN: Final = 1  # it may have a turn, or has an attempt
_FRESH: Final = 2  # it has registered
_RADIO: Final = 4  # its cell may be another, or is to be followed no more
_REPORT: Final = 8  # somebody wants to know what it runs
_IN_LINE: Final = 16  # and it waits for room


class Visits:
    """The devices that are being seen to."""

    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        wall: Clock,
        settings: Settings,
        clients: Clients,
        exchanges: Exchanges,
        files: Files,
    ) -> None:
        self._db = db
        self._clock = clock
        self._wall = wall
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
        self._asked: dict[DeviceId, int] = {}
        # Those who are to be visited when there is room, in order; some may have had their visit.
        self._waiting: deque[DeviceId] = deque()
        # When the visits began that get on, in order.
        self._brisk: OrderedDict[DeviceId, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._hinted = asyncio.Event()
        self._following = Following(db, clock, self._rules, clients)
        self._loops: list[asyncio.Task[None]] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._running) + len(self._waiting)

    def start(self) -> None:
        """Look for attempts, now and whenever there is a hint."""
        self._db.on_hint("lwm2m", self._hinted.set)
        self._hinted.set()
        self._loops = [asyncio.create_task(self._look()), asyncio.create_task(self._poll())]

    async def close(self) -> None:
        """See to nobody any more."""
        self._closed = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        tasks = [*self._running.values(), *self._loops]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # What begins a visit

    def visit(self, client: Client, wanted: Wanted | None, *, fresh: bool) -> None:
        """It has registered, or updated its registration."""
        asked = _FRESH if fresh else 0
        if fresh or self._following.is_old(client.radio_at):
            asked |= _RADIO
        if wanted is not None:
            asked |= _TURN | _REPORT if wanted.report else _TURN
        if asked:
            self._begin(client, asked)
        else:
            client.tell()

    def notified(self, client: Client, event: Notified) -> None:
        """A resource that we observe has changed: which, and to what, is read again."""
        radio = self._following.is_cell(client, event.handle)
        if radio and event.final:
            self._following.forget(client)
        self._begin(client, _RADIO if radio else _TURN)

    def unheard(self, client: Client) -> None:
        """It has told of something that we have not asked for: whatever that was, it is read."""
        self._begin(client, _TURN | _RADIO)

    def sent(self, client: Client, request: Request) -> Response:
        """A Send: as a notification, it makes us read again."""
        try:
            decode(request.content_format or ContentFormat.SENML_CBOR, (), request.payload)
        except UnreadableError:
            return Response(code=Code.BAD_REQUEST)
        self._begin(client, _TURN | _FRESH)
        return Response(code=Code.CHANGED)

    def left(self, client: Client) -> None:
        """It is registered no more."""
        self._following.forget(client)

    def _begin(self, client: Client, asked: int) -> None:
        if self._closed:  # whoever is in the midst of a visit may have said something meanwhile
            return
        device_id = client.device_id
        asked |= self._asked.get(device_id, 0)
        self._asked[device_id] = asked
        if device_id in self._running:
            client.tell()
        elif asked & _TURN:
            self._go(device_id)
        elif not asked & _IN_LINE:
            self._asked[device_id] = asked | _IN_LINE
            self._waiting.append(device_id)
            self._go_on()

    def _go(self, device_id: DeviceId) -> None:
        self._asked[device_id] &= ~_IN_LINE
        self._brisk[device_id] = self._exchanges.now()
        self._running[device_id] = asyncio.create_task(self._visit(device_id))

    def _has_room(self) -> bool:
        since = self._exchanges.now() - SLOW_S
        while self._brisk and next(iter(self._brisk.values())) <= since:
            self._brisk.popitem(last=False)
        return len(self._brisk) < AT_ONCE

    def _go_on(self) -> None:
        """Begin with those who wait, as far as there is room."""
        while self._waiting and self._has_room():
            device_id = self._waiting.popleft()
            if self._asked.get(device_id, 0) & _IN_LINE:
                self._go(device_id)
        if self._waiting and self._timer is None:
            # Should all of them be slow, no visit's end would begin the next.
            self._timer = asyncio.get_running_loop().call_later(SLOW_S, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._go_on()

    async def _poll(self) -> None:
        while True:
            await self._wall.sleep(LOOK_S)
            self._hinted.set()

    async def _look(self) -> None:
        """Find what was opened, asked or changed for devices that are here."""
        while True:
            await self._hinted.wait()
            self._hinted.clear()
            try:
                await self._find()
                await self._find_asked()
                for client in await self._following.changed():
                    self._begin_if_there(client, _RADIO)
            except StoreError as error:
                log.error("what devices are wanted for could not be read", error=str(error))

    async def _find(self) -> None:
        after = AttemptId(0)
        # Whoever begins while we look is open, and may not be among those that are read.
        under_way = dict(self._attempts.under_way)
        while found := await self._db.read(store.open_attempts, after, FOUND):
            after = found[-1][0]
            for attempt_id, device_id in found:
                under_way.pop(attempt_id, None)
                client = self._clients.of_device(device_id)
                if client is None or not client.is_there(self._exchanges.now()):
                    continue
                if device_id in self._running:
                    # It may be past that already; then there is another look.
                    self._asked[device_id] = self._asked.get(device_id, 0) | _TURN
                else:
                    self._begin(client, _TURN)
            await asyncio.sleep(0)
        for attempt_id, device_id in under_way.items():
            # Called off, or over in another way: what it left at the device is taken back.
            self._attempts.give_up(attempt_id)
            client = self._clients.of_device(device_id)
            if client is not None:
                self._begin_if_there(client, _TURN)

    async def _find_asked(self) -> None:
        since = self._clock.now() - timedelta(seconds=self._rules.report_timeout_s)
        after = DeviceId(0)
        while found := await self._db.read(watch.pending, since, after, FOUND):
            after = found[-1]
            for device_id in found:
                client = self._clients.of_device(device_id)
                if client is not None:
                    self._begin_if_there(client, _REPORT)

    def _begin_if_there(self, client: Client, asked: int) -> None:
        """One that is not there is visited at its next contact."""
        if client.is_there(self._exchanges.now()):
            self._begin(client, asked)

    # The visit

    async def _visit(self, device_id: DeviceId) -> None:
        device = Device(device_id, self._clients, self._exchanges, self._clock)
        try:
            while asked := self._asked.pop(device_id, 0):
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
            self._brisk.pop(device_id, None)
            again = self._asked.get(device_id)
            client = self._clients.of_device(device_id)
            if client is None:
                self._asked.pop(device_id, None)
            elif again is not None and client.is_there(self._exchanges.now()):
                self._begin(client, again)
            self._go_on()

    async def _see_to(self, device: Device, asked: int) -> None:
        settings, now = self._settings, self._clock.now()
        if asked & _TURN:
            await self._db.transact(push.begin_session, device.id, settings, now)
            await carry_on(device, self._attempts)
        if asked & (_FRESH | _REPORT):
            await self._read_device(device, report=bool(asked & _REPORT))
        if asked & _RADIO:
            await self._following.read(device)

    async def _read_device(self, device: Device, *, report: bool) -> None:
        """``report``: somebody has asked for it, and hears of it if there is nothing to read."""
        reading, firmware = DeviceReading(), None
        if device.client.objects.has(_DEVICE):
            found = await read_instance(device.client, device.ask, _DEVICE, device.seconds())
            reading = read_device(
                found or {}, min(device.client.objects.instances(_DEVICE), default=0)
            )
        if report and reading.firmware_version:
            firmware = await machine.read_all(device)
        if report or reading.firmware_version:
            now = self._clock.now()
            await self._db.transact_brief(
                effects.note_device, device.id, reading, firmware, self._settings, now
            )
