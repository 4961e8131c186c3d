"""What has to be forgotten: old check-ins, device logs, sessions, slots, and bytes that nobody refers to.

Each turn deletes in small batches, so that devices' reports come in between, and starts again when
there was nothing more. Sessions of people are forgotten by logins, callbacks by their delivery.
"""

from datetime import timedelta
from typing import Final

import structlog

from overair.artifacts.errors import StorageError
from overair.artifacts.storage import ArtifactStorage
from overair.clock import Clock
from overair.config import Settings
from overair.core.slots.grid import key_of
from overair.engine import devicelog
from overair.store import dm_sessions, packages, seen, slots
from overair.store.database import Database, StoreError

BATCH: Final = 5000  # rows to one delete
INTERVAL_S: Final = 600.0
OLD_SLOTS: Final = timedelta(days=2)  # longer than a slot, and than a place is missed for
YOUNG: Final = timedelta(days=1)  # bytes this new may belong to a request that is under way

log = structlog.get_logger()


class Housekeeping:
    """The loop that does it, in one process."""

    def __init__(
        self,
        db: Database,
        storage: ArtifactStorage,
        clock: Clock,
        wall: Clock,
        settings: Settings,
    ) -> None:
        self._db = db
        self._storage = storage
        self._clock = clock
        self._wall = wall
        self._settings = settings

    async def run(self) -> None:
        """Every ten minutes of the wall's time, until cancelled."""
        while True:
            await self._wall.sleep(INTERVAL_S)
            try:
                await self.turn()
            except (StoreError, StorageError) as error:
                log.error("housekeeping could not finish", error=str(error))

    async def turn(self) -> None:
        """Forget everything that is due to be forgotten now."""
        settings = self._settings
        now, wall = self._clock.now(), self._wall.now()
        check_ins = now - timedelta(days=settings.check_in_keep_days)
        while await self._db.transact(seen.purge, check_ins, BATCH) >= BATCH:
            pass
        while await self._db.transact(devicelog.purge, settings, now, BATCH) >= BATCH:
            pass
        silent = now - timedelta(seconds=settings.omadm.session_idle_s)
        while await self._db.transact(dm_sessions.purge, silent, BATCH) >= BATCH:
            pass
        over = key_of(now - OLD_SLOTS, settings.slots.minutes)
        while await self._db.transact(slots.drop_taken, over, BATCH) >= BATCH:
            pass
        referenced = await self._db.report(packages.referenced)
        await self._storage.sweep(referenced, before=wall - YOUNG)
