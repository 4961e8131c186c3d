"""What the housekeeping forgets, and what it must not: a whole turn on a database and a store."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from overair.artifacts.choice import open_storage
from overair.artifacts.errors import ArtifactMissingError
from overair.artifacts.storage import Artifact, ArtifactStorage
from overair.clock import ManualClock
from overair.config import Settings
from overair.engine import devicelog
from overair.engine.catalog import put_software
from overair.housekeeping import BATCH, YOUNG, Housekeeping
from overair.store import seen
from overair.store.database import Database, Tx, to_ms
from overair.store.devicelog import LogEntry
from overair.store.seen import CheckIn
from tests.engine import stock

SETTINGS = Settings()


async def put(storage: ArtifactStorage, content: bytes) -> Artifact:
    async with storage.receive(len(content)) as intake:
        await intake.write(content)
        return await intake.commit()


async def test_a_turn_forgets_what_is_old_and_nobody_refers_to(
    database: Database, clock: ManualClock, tmp_path: Path
) -> None:
    """Old check-ins, logs and bytes go, however many; young and referenced ones stay."""
    storage = open_storage(tmp_path / "artifacts")
    kept, young, old = [await put(storage, name) for name in (b"kept", b"young", b"old")]
    wall = clock.now()
    for artifact, age in ((kept, 9 * YOUNG), (old, 9 * YOUNG), (young, YOUNG / 2)):
        (path,) = (tmp_path / "artifacts").rglob(artifact.sha256)
        os.utime(path, times=((wall - age).timestamp(),) * 2)
    month = timedelta(days=30)
    older = clock.now() - month - timedelta(minutes=1)

    def fill(tx: Tx) -> None:
        (device_id,) = stock.add_devices(tx, stock.add_account(tx), [1])
        old_ones = [CheckIn(device_id, to_ms(older) + n, "Success", "None") for n in range(BATCH)]
        seen.flush(tx, [*old_ones, CheckIn(device_id, to_ms(clock.now()), "Success", "None")])
        for at in (older, clock.now()):
            entry = LogEntry(at=at, type="EVENT", text="something")
            devicelog.add_entries(tx, device_id, [entry], SETTINGS.limits, at)
        put_software(tx, stock.software(artifact=kept), clock.now())

    await database.transact(fill)
    await Housekeeping(database, storage, clock, clock, SETTINGS).turn()

    for artifact in (kept, young):
        await (await storage.open(artifact.sha256)).close()
    with pytest.raises(ArtifactMissingError):
        await storage.open(old.sha256)
    for table in ("check_in", "device_log"):
        left = await database.report(lambda tx, name: tx.one(f"select count(*) from {name}"), table)
        assert left == (1,), table
    await storage.close()
