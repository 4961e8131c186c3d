"""Check-ins gathered in memory and written in pieces."""

from overair.clock import ManualClock
from overair.core.ids import DeviceId
from overair.devices.seen import PIECE, SeenBuffer
from overair.store import Database, Tx
from overair.store.database import to_ms
from tests.engine.stock import add_account, add_devices


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
