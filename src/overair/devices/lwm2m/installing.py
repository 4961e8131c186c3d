"""The second half of a firmware attempt: telling the device to update, and seeing whether it did.

An update is told once: that is on disk before it leaves, and a second time only after the device was seen to
hold the image still, either because it never took the command or because it has restarted since
(``lwm2m.md`` 8, APPLY and CHECK).
"""

import contextlib
from dataclasses import replace
from datetime import timedelta

from overair.devices.lwm2m import effects, machine
from overair.devices.lwm2m.attempt_core import AttemptCore
from overair.devices.lwm2m.exchanges import SilentError
from overair.protocols.lwm2m import firmware
from overair.protocols.lwm2m.delivery import execute_update
from overair.protocols.lwm2m.firmware import Executed, Next, Step
from overair.protocols.lwm2m.objects import FIRMWARE, FirmwareReading
from overair.protocols.lwm2m.results import DEFER_S, Result, ResultClass, State


class Installing(AttemptCore):
    """An attempt whose device has the image."""

    # APPLY

    async def _downloaded(self) -> None:
        rooms = self._rooms
        await rooms.db.transact(effects.downloaded, self._work, rooms.settings, self._now)
        await self._apply()

    async def _apply(self) -> None:
        while True:
            if not await self._is_current():
                return
            location = self._device.reachable().registration.location
            self._track = await self._rooms.db.transact(
                effects.execute, self._work, location, self._rooms.settings, self._now
            )
            code: int | None = None
            # It may be restarting already, and not answer: what it shows then is what counts.
            with contextlib.suppress(SilentError):
                code = (await self._device.ask(execute_update())).code
            if code is not None and code >> 5 == 2:
                await self._keep(replace(self._track, accepted=True))
            state: int | None = None
            if code is not None and code >> 5 != 2:
                state = (await machine.state_and_result(self._device)).state
            found = firmware.apply_answered(code, state, executed=self._track.executes)
            if found.step is Step.FAILED:
                await self._fail(found)
                return
            if found.step is not Step.EXECUTE:
                await self._is_current()
                await self._check()
                return

    # CHECK

    async def _check(self) -> None:
        await self._observe()
        while True:
            if await self._is_deferred():
                return
            reading = await self._checked_reading()
            version = await self._version()
            found = firmware.check(reading, version, self._executed())
            if self._never_took_it(found, reading):
                found = replace(found, step=Step.EXECUTE)
            match found.step:
                case Step.SUCCEEDED:
                    await self._succeed(version, found)
                    return
                case Step.FAILED:
                    await self._fail(found)
                    return
                case Step.EXECUTE:
                    await self._apply()
                    return
                case Step.DEFERRED:
                    until = self._now + timedelta(seconds=DEFER_S)
                    await self._keep(replace(self._track, deferred_until=until))
                case _:
                    pass
            await self._device.news(self._patience())
            if not await self._is_current():
                return

    async def _checked_reading(self) -> FirmwareReading | None:
        if not self._device.client.objects.has(FIRMWARE):
            return None
        return await machine.state_and_result(self._device)

    def _executed(self) -> Executed:
        executed_at = self._work.job.executed_at
        elapsed = 0.0 if executed_at is None else (self._now - executed_at).total_seconds()
        location = self._device.client.registration.location
        return Executed(
            target=self._work.job.to_version,
            registered=bool(self._track.location) and location != self._track.location,
            executed=self._track.executes,
            elapsed_s=elapsed,
            require_version=self._rooms.settings.lwm2m.require_version,
        )

    def _never_took_it(self, found: Next, reading: FirmwareReading | None) -> bool:
        """It stands there with the image, and nobody heard it take the command: one more is no second."""
        return (
            found.step is Step.WAIT
            and reading is not None
            and reading.state == State.DOWNLOADED
            and not self._track.accepted
            and self._track.executes < 2
        )

    async def _is_deferred(self) -> bool:
        """Whether its user has put it off for too long; else wait that long."""
        until = self._track.deferred_until
        if until is None or self._now < until:
            return False
        why = firmware.failed("Update deferred", ResultClass.WAIT, Result.DEFERRED)
        await self._fail(why)
        return True
