"""The server as a value: what its end leaves behind."""

from pathlib import Path

from overair.app import Server
from overair.clock import ManualClock
from overair.config import Settings
from overair.store import open_database
from overair.store.database import Tx, to_ms
from tests.conftest import START
from tests.engine import stock


async def test_an_orderly_end_loses_no_check_in(tmp_path: Path) -> None:
    """What was only in memory when the server stopped is in the database afterwards."""
    settings = Settings(data=str(tmp_path), engine=False)
    clock = ManualClock(START)
    server = Server(settings, clock=clock)
    await server.start()
    (device_id,) = await server.db.transact(
        lambda tx: stock.add_devices(tx, stock.add_account(tx), [1])
    )
    server.seen.note(device_id, to_ms(START))
    await server.close()

    def seen_at(tx: Tx) -> object:
        return tx.one("select seen_at from device_seen where device_id = ?", (device_id,))

    reopened = open_database(settings.database_url, clock)
    await reopened.start()
    try:
        assert await reopened.report(seen_at) == (to_ms(START),)
    finally:
        await reopened.close()
