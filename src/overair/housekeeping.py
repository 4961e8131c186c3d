"""What has to be forgotten: old check-ins, logs, sessions, callbacks, and bytes nobody refers to.

Each turn deletes in small batches, so that devices' reports come in between, and starts again when
there was nothing more. Days are the campaign clock's; tokens and sessions are on the wall's.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from overair.artifacts.errors import StorageError
from overair.artifacts.storage import ArtifactStorage
from overair.clock import Clock
from overair.config import Settings
from overair.store import callbacks, devicelog, identity, packages, seen
from overair.store.database import Database, StoreError, Tx

BATCH: Final = 5000  # rows to one delete
INTERVAL_S: Final = 600.0
YOUNG: Final = timedelta(days=1)  # bytes this new may belong to a request that is under way

Purge = Callable[[Tx, datetime, int], int]

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
        work: list[tuple[Purge, datetime]] = [
            (seen.purge, now - timedelta(days=settings.check_in_keep_days)),
            (devicelog.purge, now - timedelta(days=settings.log_keep_days)),
            (callbacks.purge, wall - timedelta(days=settings.callback_keep_days)),
            (identity.purge, wall - timedelta(days=1)),
        ]
        for purge, before in work:
            while await self._db.transact(purge, before, BATCH) >= BATCH:
                pass
        referenced = await self._db.report(packages.referenced_artifacts)
        await self._storage.sweep(referenced, before=wall - YOUNG)
