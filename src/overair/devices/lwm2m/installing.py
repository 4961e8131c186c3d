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
from overair.devices.lwm2m.reading import read_path
from overair.protocols.lwm2m import firmware
from overair.protocols.lwm2m.delivery import execute_update, write_integer
from overair.protocols.lwm2m.firmware import Executed, Next, Step
from overair.protocols.lwm2m.objects import DEFER_PERIOD, FIRMWARE, SEVERITY, FirmwareReading
from overair.protocols.lwm2m.results import DEFER_S, Result, ResultClass, Severity, State
from overair.protocols.lwm2m.values import Path, as_integer


class Installing(AttemptCore):
    """An attempt whose device has the image."""

    _changed = False  # it has shown something else since it was told to update

    # APPLY

    async def _downloaded(self) -> None:
        rooms = self._rooms
        await rooms.db.transact(effects.downloaded, self._work, rooms.settings, self._now)
        # Should it have lost the image again, the attempt begins anew with what there is.
        await self._apply()

    async def _apply(self) -> bool:
        """Tell it to update, and see to what comes of that; False: it has nothing to update to."""
        await self._prefer()
        while True:
            # What it shows before it is told is no outcome of that.
            before = await machine.state_and_result(self._device)
            if before.state != State.DOWNLOADED:
                return False
            location = self._device.reachable().registration.location
            told = await self._rooms.db.transact(
                effects.execute,
                self._work,
                location,
                before.result or 0,
                self._rooms.settings,
                self._now,
            )
            if told is None:
                self.over = True
                return True
            self._track, self._changed = told, False
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
                return True
            if found.step is not Step.EXECUTE:
                await self._is_current()
                await self._check()
                return True

    async def _prefer(self) -> None:
        """Say how urgent it is, and for how long it may be put off, to a device that has room for that."""
        rules = self._rooms.settings.lwm2m
        if rules.severity:
            await self._set(SEVERITY, Severity[rules.severity.upper()])
        if rules.max_defer_s >= 0:
            await self._set(DEFER_PERIOD, rules.max_defer_s)

    async def _set(self, path: Path, value: int) -> None:
        device = self._device
        found = await read_path(device.client, device.ask, path, device.seconds())
        if found and path in found and as_integer(found[path]) != value:
            # Should it not want to be told, it does as it likes.
            await device.ask(write_integer(path, value))

    # CHECK

    async def _check(self) -> None:
        await self._observe()
        while True:
            reading = await self._checked_reading()
            version = await self._version()
            self._changed = self._changed or self._is_another(reading)
            found = firmware.check(reading, version, self._executed())
            if self._never_took_it(found, reading):
                found = replace(found, step=Step.EXECUTE)
            if found.step is Step.DEFERRED:
                found = await self._put_off(found)
            match found.step:
                case Step.SUCCEEDED:
                    await self._succeed(version, found)
                    return
                case Step.FAILED:
                    await self._fail(found)
                    return
                case Step.EXECUTE:
                    if await self._apply():
                        return
                case _:
                    pass
            put_off = found.step is Step.DEFERRED
            await self._device.news(self._patience(self._track.deferred_until if put_off else None))
            if not await self._is_current():
                return

    def _is_another(self, reading: FirmwareReading | None) -> bool:
        """Whether it shows something else than when it was told to update."""
        return reading is not None and (
            reading.state not in (None, State.DOWNLOADED)
            or reading.result not in (None, self._track.former_result)
        )

    async def _put_off(self, found: Next) -> Next:
        """Its user has put it off: that is waited for as long as is allowed, once."""
        until = self._track.deferred_until
        if until is None:
            allowed_s = self._rooms.settings.lwm2m.max_defer_s
            until = self._now + timedelta(seconds=DEFER_S if allowed_s < 0 else allowed_s)
            self._track = replace(self._track, deferred_until=until)
            await self._rooms.db.transact(
                effects.put_off, self._work, self._track, self._rooms.settings, self._now
            )
        if self._now < until:
            return found
        return firmware.failed(found.reason, ResultClass.WAIT, Result.DEFERRED)

    async def _checked_reading(self) -> FirmwareReading | None:
        if not self._device.client.objects.has(FIRMWARE):
            return None
        return await machine.state_and_result(self._device)

    def _executed(self) -> Executed:
        since = self._work.job.executed_at or self._now
        if self._track.deferred_until is not None:
            # Its user may say so until then; what follows takes as long as it always does.
            since = max(since, self._track.deferred_until)
        elapsed = max(0.0, (self._now - since).total_seconds())
        location = self._device.client.registration.location
        return Executed(
            target=self._work.job.to_version,
            registered=bool(self._track.location) and location != self._track.location,
            executed=self._track.executes,
            elapsed_s=elapsed,
            remembered=self._track.former_result,
            changed=self._changed,
            require_version=self._rooms.settings.lwm2m.require_version,
            patience_s=self._rooms.settings.lwm2m.result_timeout_s,
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
