"""One firmware attempt, as far as its device goes along (``lwm2m.md`` 8 to 10).

    carry_on ─ prepare ─┬─ reset ─┬─ deliver: push, or write an address ─ wait ─ apply ─ check ─ done
                        └─────────┘                                              │
             ─ check <───────────── it was told to update before ────────────────┘

What is next is said by the tables of ``protocols/lwm2m/firmware.py``, from what is read of the device now
and what the store has of the attempt. Nothing is remembered here, so a server that is started again goes
on where the last one was; a device that is silent ends this, and its next contact begins it anew.

Not in here: whose turn it is and what an outcome means (``engine/push``).
"""

import asyncio
import functools
from dataclasses import replace
from typing import Final

import structlog

from overair.core.attempt import AttemptState
from overair.core.ids import AttemptId
from overair.devices.lwm2m import effects, machine
from overair.devices.lwm2m.attempt_core import POLL_S, AttemptRooms
from overair.devices.lwm2m.device import Device
from overair.devices.lwm2m.installing import Installing
from overair.devices.lwm2m.transfer import ImageError, send_image
from overair.protocols.coap.values import Response
from overair.protocols.lwm2m import firmware
from overair.protocols.lwm2m.delivery import (
    BEGIN_LATER_S,
    BEGIN_S,
    PUSHED_S,
    STALLED_S,
    Delivery,
    Scheme,
    pull_s,
    push_s,
    write_uri,
)
from overair.protocols.lwm2m.firmware import Delivered, Next, Step
from overair.protocols.lwm2m.objects import CONNECTIVITY, FirmwareReading
from overair.protocols.lwm2m.results import Result, ResultClass, State

log = structlog.get_logger()

PUSH: Final = "push"
UNREADABLE: Final = "State and result cannot be read"
STALLED: Final = "Download stalled"
NOT_BEGUN: Final = "Download not begun"
NO_WAY: Final = "Unsupported download protocol"
TOO_SLOW: Final = "Image not transferred in time"
TOO_OFTEN: Final = "Image begun with too often"
_MOST_READS: Final = 4
MOST_BEGINS: Final = 10  # a device that breaks off each time has had its try then


async def carry_on(device: Device, rooms: AttemptRooms) -> None:
    """Do what there is to do, until there is nothing. Raises SilentError."""
    done: AttemptId | None = None
    while True:
        now = rooms.clock.now()
        work = await rooms.db.transact(effects.load, device.id, rooms.settings, now)
        if work is None:
            await _clean_up(device, rooms)
            return
        if work.job.attempt_id == done:
            log.error("an attempt that was ended is not at its end", attempt=done)
            return
        attempt = _Attempt(device, rooms, work)
        rooms.under_way[work.job.attempt_id] = device.id
        try:
            await attempt.run()
        finally:
            del rooms.under_way[work.job.attempt_id]
            attempt.leave()
        if attempt.over:
            done = work.job.attempt_id


async def _clean_up(device: Device, rooms: AttemptRooms) -> None:
    """Take back the image of an attempt that was called off."""
    attempt_id = await rooms.db.read(effects.called_off, device.id)
    if attempt_id is None:
        return
    device.forget_machine()
    reading = await machine.read_all(device)
    state = None if reading is None else reading.state
    holds = reading is not None and state not in (None, State.IDLE)
    if reading is not None and holds and firmware.cancelled(state) is Step.RESET:
        await machine.reset(device, reading, cancel_first=True)
    rooms.files.forget(attempt_id)
    await rooms.db.transact(effects.take_back, attempt_id)


class _Attempt(Installing):
    """One attempt, in the course of one visit."""

    async def run(self) -> None:
        """Carry it as far as the device goes along."""
        if self._work.job.executed_at is not None:
            await self._check()
        else:
            await self._prepare()

    # PREPARE

    async def _prepare(self) -> None:
        for _ in range(_MOST_READS):
            version = await self._version()
            reading = await machine.read_all(self._device)
            found = firmware.prepare(
                reading,
                version=version,
                target=self._work.job.to_version,
                ours=reading is not None and self._is_ours(reading),
                pull=True,
            )
            if found.step is not Step.READ:
                await self._prepared(found, reading, version)
                return
            await self._device.news(POLL_S)
        await self._fail(firmware.failed(UNREADABLE))

    async def _prepared(
        self, found: Next, reading: FirmwareReading | None, version: str | None
    ) -> None:
        match found.step:
            case Step.SUCCEEDED:
                await self._succeed(version, found)
            case Step.DELIVER if reading is not None:
                await self._deliver(reading)
            case Step.RESET if reading is not None:
                reset = await machine.reset(self._device, reading, cancel_first=False)
                if reset.step is Step.FAILED:
                    await self._fail(reset)
                    return
                await self._prepare_again()
            case Step.ADOPT | Step.APPLY:
                await self._adopt()
            case Step.CHECK:
                await self._check()
            case _:
                await self._fail(found)

    async def _prepare_again(self) -> None:
        """The machine is idle now: what it shows is what we begin with."""
        reading = await machine.read_all(self._device)
        if reading is None or reading.result is None:
            await self._fail(firmware.failed(UNREADABLE))
            return
        await self._deliver(reading)

    def _is_ours(self, reading: FirmwareReading) -> bool:
        uri = None
        if self._track.method not in ("", PUSH):
            uri = self._uri(Scheme[self._track.method])
        return firmware.holds_ours(reading, stored=self._work.same_image, uri=uri)

    # DELIVER

    async def _is_in_its_cell(self) -> bool:
        """Whether the device, of which nothing was asked yet, is where it has a slot (clause 11).

        Else that is another cell's: it has its turn there, which may be now.
        """
        work = self._work
        if work.job.state is not AttemptState.OFFERED:
            return True
        place = await self._rooms.db.read(effects.cell_of_place, work)
        if place is None or not self._device.client.objects.has(CONNECTIVITY):
            return True
        found = await machine.read_connectivity(self._device)
        if found is None:
            return True
        self.over = not await self._rooms.db.transact(
            effects.stays, work, found, place, self._rooms.settings, self._now
        )
        return not self.over

    def _uri(self, scheme: Scheme) -> str:
        return self._rooms.files.uri(scheme, self._work.job.attempt_id)

    async def _deliver(self, reading: FirmwareReading) -> None:
        if not await self._is_in_its_cell():
            return
        await self._observe()
        while True:
            chosen = self._choose(reading)
            if chosen is None:
                await self._fail(firmware.failed(NO_WAY, ResultClass.PERMANENT))
                return
            if self._track.begins >= MOST_BEGINS:
                await self._fail(firmware.failed(TOO_OFTEN))
                return
            track = replace(
                self._track,
                method=PUSH if chosen.scheme is None else chosen.scheme.name,
                former_result=reading.result or 0,
                written_at=None,
                begins=self._track.begins + 1,
            )
            self._track = track
            await self._rooms.db.transact(
                effects.begin, self._work, track, self._rooms.settings, self._now
            )
            if chosen.scheme is None:
                response = await self._push()
            else:
                response = await self._device.ask(write_uri(self._uri(chosen.scheme)))
            if response is None:
                return
            if response.ok:
                await self._written()
                return
            if not await self._refused(response, chosen):
                return

    async def _push(self) -> Response | None:
        """Send the image in blocks; None: it is not to be sent any more."""
        async with self._rooms.transfers:
            if not await self._is_current():
                return None
            rooms, job = self._rooms, self._work.job
            rules = rooms.settings.lwm2m
            try:
                # On the wire it is the wall's time; others wait for the place.
                async with asyncio.timeout(rules.transfer_timeout_s or push_s(job.size_bytes)):
                    return await send_image(
                        self._device,
                        job,
                        rules,
                        rooms.exchanges,
                        rooms.files.images,
                        functools.partial(rooms.pushing.__setitem__, job.attempt_id),
                    )
            except TimeoutError:
                await self._fail(firmware.failed(TOO_SLOW))
                return None
            except ImageError:
                await self._fail(firmware.failed(effects.NO_IMAGE))
                return None
            finally:
                rooms.pushing.pop(job.attempt_id, None)

    async def _refused(self, response: Response, chosen: Delivery) -> bool:
        """The device does not take it; whether there is another way to try."""
        if chosen.scheme is None:
            refusal = firmware.push_refused(response.code)
            if refusal.step is Step.FAILED:
                await self._fail(refusal)
                return False
        reading = await machine.read_all(self._device)
        result = None if reading is None else reading.result
        if result == Result.UNSUPPORTED_PROTOCOL and chosen.scheme is not None:
            self._failed_schemes.append(chosen.scheme)
            return True
        if reading is not None and result is not None:
            found = firmware.deliver(reading, self._delivered(PUSHED_S))
            if found.step is Step.FAILED:
                await self._fail(found)
                return False
        code = f"{response.code >> 5}.{response.code & 31:02}"
        await self._fail(firmware.failed(f"Image refused with {code}"))
        return False

    async def _written(self) -> None:
        self._track = replace(self._track, written_at=self._now)
        await self._rooms.db.transact(
            effects.written, self._work, self._track, self._rooms.settings, self._now
        )
        await self._wait_for_download()

    async def _adopt(self) -> None:
        """It has our image already, or is fetching it."""
        await self._observe()
        if self._track.written_at is None:
            await self._keep(
                replace(self._track, method=self._track.method or PUSH, written_at=self._now)
            )
        await self._rooms.db.transact(
            effects.begin, self._work, self._track, self._rooms.settings, self._now
        )
        await self._wait_for_download()

    def _delivered(
        self, patience_s: float, *, changed: bool = False, cleared: bool = False
    ) -> Delivered:
        written_at = self._track.written_at
        waited = None if written_at is None else (self._now - written_at).total_seconds()
        return Delivered(
            remembered=self._track.former_result,
            state_changed=changed,
            result_cleared=cleared,
            accepted_for_s=waited,
            patience_s=patience_s,
        )

    async def _wait_for_download(self) -> None:
        pull = self._track.method != PUSH
        patience_s = pull_s(self._work.job.size_bytes) if pull else float(PUSHED_S)
        changed = cleared = False
        location = self._device.client.registration.location
        while True:
            reading = await machine.state_and_result(self._device)
            changed = changed or reading.state not in (None, State.IDLE)
            cleared = cleared or reading.result == Result.INITIAL
            found = firmware.deliver(
                reading, self._delivered(patience_s, changed=changed, cleared=cleared)
            )
            if found.step is Step.APPLY:
                await self._downloaded()
                return
            restarted = self._device.client.registration.location != location
            if found.step is Step.WAIT and restarted and reading.state == State.IDLE:
                # It has forgotten what it was to fetch.
                await self._prepare()
                return
            if found.step is Step.WAIT and pull:
                found = self._stalled(reading) or found
            if found.step is Step.FAILED:
                await self._download_failed(found)
                return
            if found.step is Step.DEFERRED:
                await self._fail(firmware.failed(found.reason, ResultClass.RETRY, found.result))
                return
            await self._device.news(self._patience())
            if not await self._is_current():
                return

    async def _download_failed(self, found: Next) -> None:
        """By another scheme, if it was that; else it is over."""
        method = self._track.method
        if found.kind is ResultClass.OTHER_PROTOCOL and method in Scheme.__members__:
            self._failed_schemes.append(Scheme[method])
            reading = await machine.read_all(self._device)
            if reading is not None and self._choose(reading) is not None:
                await self._deliver(reading)
                return
        if found.reason == STALLED:
            reading = await machine.read_all(self._device)
            if reading is not None:
                await machine.reset(self._device, reading, cancel_first=False)
        await self._fail(found)

    def _stalled(self, reading: FirmwareReading) -> Next | None:
        """A pull that does not begin, or does not go on."""
        written_at = self._track.written_at
        if written_at is None:
            return None
        waited = (self._now - written_at).total_seconds()
        progress = self._rooms.files.progress(self._work.job.attempt_id)
        if progress is None:
            late = waited >= BEGIN_S + BEGIN_LATER_S and reading.state != State.DOWNLOADING
            return firmware.failed(NOT_BEGUN) if late else None
        silent = self._rooms.exchanges.now() - progress.asked_at
        if silent >= STALLED_S and reading.state == State.DOWNLOADING:
            return firmware.failed(STALLED)
        return None
