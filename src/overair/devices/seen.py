"""Last-seen times and check-in history, gathered and written once a second.

A poll writes nothing by itself: it is noted here, and a flush writes all that was noted, sorted, in
one transaction. A crash loses at most what was noted since the last flush, one second
(``http-ddi.md`` 8). Polls of one device less than five seconds apart count as one, because SWUpdate
polls twice in a row before an installation.
"""

import asyncio
from typing import Final

import structlog

from overair.clock import Clock
from overair.core.ids import DeviceId
from overair.store import seen
from overair.store.database import Database, StoreError, to_ms
from overair.store.seen import CheckIn

COALESCE_MS: Final = 5000
# Of refused ones one an hour: a month of them leaves room in the history for the real ones.
REFUSED_MS: Final = 3600 * 1000
FLUSH_S: Final = 1.0
MOST_PAUSE_S: Final = 30.0
PIECE: Final = 2000
# While the database is away, so much is kept; then the oldest goes.
MAX_WAITING: Final = 500_000

log = structlog.get_logger()


class SeenBuffer:
    """What was seen since the last flush."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._waiting: list[CheckIn] = []
        # Two generations of "when last noted", so that the memory of it stays bounded.
        self._recent: dict[DeviceId, int] = {}
        self._former: dict[DeviceId, int] = {}
        self._turned_ms = 0
        self._refused: dict[DeviceId, int] = {}
        self._failures: dict[DeviceId, str] = {}
        self._some = asyncio.Event()  # something waits to be written

    def note(self, device_id: DeviceId, at_ms: int) -> None:
        """The device checked in."""
        failure = self._failures.pop(device_id, None) if self._failures else None
        is_new = self._is_new(device_id, at_ms)
        if failure is not None:
            self._recent[device_id] = at_ms
            self._add(CheckIn(device_id, at_ms, "Failure", failure))
        elif is_new:
            self._add(CheckIn(device_id, at_ms, "Success", "None"))

    def note_refused(self, device_id: DeviceId, at_ms: int) -> None:
        """Somebody called himself this device with the wrong credentials."""
        last = self._refused.get(device_id)
        if last is not None and at_ms - last < REFUSED_MS:
            return
        if len(self._refused) >= MAX_WAITING:
            self._refused = {}
        self._refused[device_id] = at_ms
        self._add(CheckIn(device_id, at_ms, "Failure", "Other"))

    def note_failure(self, device_id: DeviceId, failure: str) -> None:
        """An attempt of the device failed: its next check-in says so (Download, Install)."""
        if len(self._failures) < MAX_WAITING:
            self._failures[device_id] = failure

    def _is_new(self, key: DeviceId, at_ms: int) -> bool:
        if at_ms - self._turned_ms >= COALESCE_MS:
            self._former, self._recent = self._recent, {}
            if at_ms - self._turned_ms >= 2 * COALESCE_MS:
                self._former = {}
            self._turned_ms = at_ms
        last = self._recent.get(key)
        if last is None:
            last = self._former.get(key)
        if last is not None and at_ms - last < COALESCE_MS:
            return False
        self._recent[key] = at_ms
        return True

    def _add(self, check_in: CheckIn) -> None:
        self._waiting.append(check_in)
        if not self._some.is_set():
            self._some.set()

    @property
    def waiting(self) -> int:
        """Check-ins not written yet."""
        return len(self._waiting)

    async def flush(self) -> bool:
        """Write what was noted. False: it cannot be written, and is kept for the next time."""
        # In pieces, so that neither the event loop nor a device's report waits for all of them.
        for _ in range(0, len(self._waiting), PIECE):
            piece, self._waiting = self._waiting[:PIECE], self._waiting[PIECE:]
            try:
                await self._db.transact(seen.flush, piece)
            except StoreError as error:
                self._waiting = (piece + self._waiting)[-MAX_WAITING:]
                log.error(
                    "check-ins could not be written",
                    waiting=len(self._waiting),
                    error=str(error),
                )
                return False
        return True

    async def run(self) -> None:
        """Flush once a second of the wall's time, while there is anything, until cancelled.

        A database that cannot be written to is tried less and less often, down to twice a minute.
        """
        pause_s = FLUSH_S
        while True:
            await self._some.wait()
            await asyncio.sleep(pause_s)
            pause_s = FLUSH_S if await self.flush() else min(2 * pause_s, MOST_PAUSE_S)
            if not self._waiting:
                self._some.clear()

    def now_ms(self) -> int:
        return to_ms(self._clock.now())
