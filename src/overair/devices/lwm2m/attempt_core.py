"""What all steps of a firmware attempt share: its place in the store, and what is read of its device."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from overair.clock import Clock
from overair.config import Settings
from overair.devices.lwm2m import effects, machine
from overair.devices.lwm2m.device import Device
from overair.devices.lwm2m.effects import Work
from overair.devices.lwm2m.exchanges import Exchanges, SilentError
from overair.devices.lwm2m.files import Files
from overair.protocols.coap.errors import FullError
from overair.protocols.coap.events import Handle
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request
from overair.protocols.lwm2m.delivery import (
    Delivery,
    Forced,
    Scheme,
    choose_delivery,
)
from overair.protocols.lwm2m.firmware import Next
from overair.protocols.lwm2m.formats import ContentFormat
from overair.protocols.lwm2m.objects import (
    FIRMWARE_VERSION,
    RESULT,
    STATE,
    FirmwareReading,
)
from overair.protocols.lwm2m.values import path_segments
from overair.store.database import Database
from overair.store.lwm2m_attempts import Track

POLL_S: Final = 15.0  # between two looks at a device that does not notify
WATCHED_S: Final = 60.0  # and at one that does


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRooms:
    """What attempts work with."""

    db: Database
    clock: Clock
    settings: Settings
    files: Files
    exchanges: Exchanges
    transfers: asyncio.Semaphore


class AttemptCore:
    """One attempt, in the course of one visit."""

    def __init__(self, device: Device, rooms: AttemptRooms, work: Work) -> None:
        self._device = device
        self._rooms = rooms
        self._work = work
        self._track = work.track
        self._handles: list[Handle] = []
        self._failed_schemes: list[Scheme] = []
        self._push_failed = False
        self.over = False

    def leave(self) -> None:
        """What was observed for it is observed no more."""
        if self.over:
            for handle in self._handles:
                self._device.cancel(handle)

    # The store

    @property
    def _now(self) -> datetime:
        return self._rooms.clock.now()

    async def _keep(self, track: Track) -> None:
        self._track = track
        await self._rooms.db.transact(effects.keep, track)

    async def _fail(self, why: Next) -> None:
        self.over = True
        other_way = self._choose(FirmwareReading()) is not None
        await self._rooms.db.transact(
            effects.fail,
            self._work,
            why,
            other_way=other_way,
            settings=self._rooms.settings,
            now=self._now,
        )
        self._rooms.files.forget(self._work.job.attempt_id)

    async def _succeed(self, version: str | None, why: Next) -> None:
        self.over = True
        await self._rooms.db.transact(
            effects.succeed, self._work, version, why, self._rooms.settings, self._now
        )
        self._rooms.files.forget(self._work.job.attempt_id)

    async def _is_current(self) -> bool:
        """Whether it is still to be done; nobody but us does it."""
        work = await self._rooms.db.transact(
            effects.load, self._device.id, self._rooms.settings, self._now
        )
        if work is None or work.job.attempt_id != self._work.job.attempt_id:
            self.over = True
            return False
        self._work = work
        return True

    async def _version(self) -> str | None:
        value = await machine.read_value(self._device, FIRMWARE_VERSION)
        return value if isinstance(value, str) else None

    async def _observe(self) -> None:
        """Have changes of state and result told; they only make us read again."""
        if self._handles:
            return
        for path in (STATE, RESULT):
            request = Request(
                method=Code.GET,
                path=path_segments(path),
                observe=0,
                accept=ContentFormat.TEXT,
            )
            try:
                _, handle = await self._device.observe(request)
            except FullError:
                return
            if handle is not None:
                self._handles.append(handle)

    def _choose(self, reading: FirmwareReading) -> Delivery | None:
        rules = self._rooms.settings.lwm2m
        model = rules.models.get(self._model())
        forced = Forced(model.delivery) if model is not None and model.delivery else None
        return choose_delivery(
            reading,
            self._rooms.files.schemes(),
            plain_allowed=rules.plain_download,
            forced=forced,
            failed=self._failed_schemes,
            push_failed=self._push_failed,
        )

    def _model(self) -> str:
        try:
            return self._device.client.model
        except SilentError:
            return ""

    def _patience(self) -> float:
        return WATCHED_S if len(self._handles) == 2 else POLL_S
