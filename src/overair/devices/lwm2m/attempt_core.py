"""What all steps of a firmware attempt share: its place in the store, and what is read of its device."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from overair.clock import Clock
from overair.config import Settings
from overair.core.ids import AttemptId, DeviceId
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

_OBSERVED: Final = (STATE, RESULT)
POLL_S: Final = 15.0  # between two looks at a device that does not notify
WATCHED_S: Final = 60.0  # and at one that does
# The same while a user puts the update off, which may be for days: it is the user who is waited for.
POLL_PUT_OFF_S: Final = 600.0
WATCHED_PUT_OFF_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRooms:
    """What attempts work with."""

    db: Database
    clock: Clock
    settings: Settings
    files: Files
    exchanges: Exchanges
    transfers: asyncio.Semaphore
    pushing: dict[AttemptId, Handle] = field(default_factory=dict)
    """Images on their way, to be given up when their attempts are called off."""
    under_way: dict[AttemptId, DeviceId] = field(default_factory=dict)
    """Attempts that somebody is at just now."""

    def give_up(self, attempt_id: AttemptId) -> None:
        """No more is sent of an image that is on its way."""
        handle = self.pushing.get(attempt_id)
        if handle is not None:
            self.exchanges.give_up(handle)


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
        """What was observed for it is observed no more, if it is over; else it is heard on."""
        if self.over:
            self._device.forget_machine()

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
        client = self._device.client
        token_of = self._rooms.exchanges.endpoint.token_of
        self._handles = [each for each in client.machine_handles if token_of(each) is not None]
        if len(self._handles) == len(_OBSERVED):
            return  # from an earlier visit, or from another step of this
        self._device.forget_machine()
        self._handles = []
        for path in _OBSERVED:
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
                client.machine_handles = (*client.machine_handles, handle)

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

    def _patience(self, put_off_until: datetime | None = None) -> float:
        """Until when nothing has to be heard; ``put_off_until``: when a user's time is over."""
        watched = len(self._handles) == len(_OBSERVED)
        if put_off_until is None:
            return WATCHED_S if watched else POLL_S
        left = (put_off_until - self._now).total_seconds()
        return max(1.0, min(left, WATCHED_PUT_OFF_S if watched else POLL_PUT_OFF_S))
