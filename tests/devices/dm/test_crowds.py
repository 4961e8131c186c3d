"""Many devices at once, beside everybody else who changes what they change."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from overair.app import Server
from overair.engine.dm_accounts import put_blocks
from overair.fleetfile import shapes
from tests.devices.dm.modem import EXEC, VERSION, WBXML, XML, Modem
from tests.devices.dm.yard import Yard, imei, open_yard
from tests.serving import serving

DEVICES = 24


@contextlib.asynccontextmanager
async def bases(yard: Yard) -> AsyncIterator[list[str]]:
    """The addresses of the server's processes: two, where the database lets there be two."""
    if yard.field.server.db.dialect == "sqlite":
        yield [yard.field.base_url]
        return
    other = Server(yard.field.settings, clock=yard.field.clock)
    await other.start()
    try:
        async with serving(other) as base_url:
            yield [yard.field.base_url, base_url]
    finally:
        await other.close()


async def until(stop: asyncio.Event, yard: Yard) -> int:
    """The push loop and an operator, at work on the same devices; how often."""
    turns = 0
    while not stop.is_set():
        await yard.due()
        blocks = []
        for number in range(1, DEVICES + 1, 5):
            block = shapes.Omadm(notify=shapes.Notify(host=f"h{turns}"))
            blocks.append((await yard.device_id(number), imei(number), block))
        seal = yard.field.server.seal
        await yard.field.server.db.transact(put_blocks, blocks, seal)
        turns += 1
        await asyncio.sleep(0)
    return turns


@pytest.mark.parametrize("aged", [False, True], ids=["report", "version"])
async def test_a_whole_fleet_at_once(tmp_path: Path, database_url: str, aged: bool) -> None:
    """Every device is updated exactly once, whichever process it meets, and nobody stands in the way."""
    async with open_yard(tmp_path / "data", database_url, secret_key="k" * 32) as yard:
        numbers = range(1, DEVICES + 1)
        modems = [await yard.modem(n, WBXML if n % 2 else XML) for n in numbers]
        campaign = await yard.campaign(*numbers)
        async with bases(yard) as addresses:

            async def updated(at: int, modem: Modem) -> None:
                modem.headers = {"Host": "fota.example"}
                modem.base_url = addresses[at % len(addresses)]
                await modem.session(code=1200)
                assert modem.wanted == EXEC
                modem.base_url = addresses[(at + 1) % len(addresses)]
                modem.tree[VERSION] = "02"
                await modem.session(*([] if aged else [modem.result(200)]))

            stop = asyncio.Event()
            others = asyncio.create_task(until(stop, yard))
            await asyncio.gather(*(updated(at, modem) for at, modem in enumerate(modems)))
            stop.set()
            assert await others > 0
        counts = await yard.field.counts(campaign)
        assert counts["succeeded"] == DEVICES
        row = await yard.field.run(lambda tx: tx.one("select count(*) from attempt"))
        assert row == (DEVICES,)
