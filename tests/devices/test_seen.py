"""Check-ins gathered in memory and written in pieces."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from overair.clock import ManualClock
from overair.core.ids import DeviceId
from overair.devices.seen import PIECE, SeenBuffer
from overair.store import Database, Tx
from overair.store.database import to_ms
from tests.engine.stock import add_account, add_devices
from tests.virtual import VirtualClock, VirtualDatabase, run_virtually


def _written(tx: Tx) -> int:
    row = tx.one("select count(*) from check_in")
    assert row is not None
    return int(row[0])


async def test_everything_noted_is_written(database: Database, clock: ManualClock) -> None:
    """However many pieces it takes, each check-in is written once and nothing is left."""
    count = 2 * PIECE + 1

    def stock(tx: Tx) -> int:
        add_devices(tx, add_account(tx), range(count))
        row = tx.one("select min(id) from device")
        assert row is not None
        return int(row[0])

    first = await database.transact(stock)
    buffer = SeenBuffer(database, clock)
    now_ms = to_ms(clock.now())
    for n in range(count):
        buffer.note(DeviceId(first + n), now_ms)
    assert buffer.waiting == count
    await buffer.flush()
    assert buffer.waiting == 0
    assert await database.read(_written) == count


async def test_what_cannot_be_written_waits(database: Database, clock: ManualClock) -> None:
    """With the database away nothing is lost, and what is noted meanwhile comes behind it."""
    buffer = SeenBuffer(database, clock)
    now_ms = to_ms(clock.now())
    for n in range(PIECE + 5):
        buffer.note(DeviceId(n + 1), now_ms)
    await database.close()
    await buffer.flush()
    assert buffer.waiting == PIECE + 5
    buffer.note(DeviceId(PIECE + 6), now_ms)
    await buffer.flush()
    assert buffer.waiting == PIECE + 6


def test_a_database_that_refuses_is_left_in_peace() -> None:
    """It is tried less and less often, down to twice a minute; and each second again once it has taken one."""
    tried: list[float] = []

    class Watched(VirtualDatabase):
        async def transact(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
            tried.append(asyncio.get_running_loop().time())
            return await super().transact(fn, *args, **kwargs)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        clock = VirtualClock(loop, datetime(2026, 1, 1, tzinfo=UTC))
        database = Watched(clock)
        await database.start()
        database.connection.execute("pragma query_only = on")
        loop.call_at(100.0, database.connection.execute, "pragma query_only = off")
        buffer = SeenBuffer(database, clock)
        running = loop.create_task(buffer.run())
        buffer.note(DeviceId(1), to_ms(clock.now()))
        await asyncio.sleep(200.0)
        assert buffer.waiting == 0
        buffer.note(DeviceId(2), to_ms(clock.now()))
        await asyncio.sleep(5.0)
        running.cancel()
        await database.close()

    run_virtually(scene)
    assert tried == [1.0, 3.0, 7.0, 15.0, 31.0, 61.0, 91.0, 121.0, 201.0]
