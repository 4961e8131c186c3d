"""Devices over OMA-DM that are to be notified, and who notifies them."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import uvloop

from overair.clock import ManualClock
from overair.config import Settings
from overair.core.ids import CampaignId, DeviceId
from overair.engine import dm_accounts
from overair.fleetfile import shapes
from overair.push import PushDelivery
from overair.push.transport import Transport
from overair.sealing import Seal
from overair.store import Database, Tx
from overair.store.database import from_ms
from tests.engine import pushed
from tests.engine.world import World, imei

SEAL = Seal(b"an installation's key of 32 bytes")
SECRET = "server-secret-of-16"


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Carriers are tested on both event loops: uvloop, which serves, has errors of its own."""
    if item.path.stem in ("test_smpp", "test_udp"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What was counted: when, by which carrier, and what came of it."""

    at_s: float
    transport: str
    result: str


@dataclass(slots=True, kw_only=True)
class Region:
    """A database with devices, campaigns for them, and the loops that notify."""

    db: Database
    clock: ManualClock
    settings: Settings
    url: str = ""
    carried: list[Carried] = field(default_factory=list)
    _stories: int = 0
    _running: list[asyncio.Task[None]] = field(default_factory=list)

    async def story(self, tell: Callable[[World], Any]) -> Any:
        """Let the engine's own functions do something now."""

        def run(tx: Tx) -> Any:
            self._stories += 100
            world = World(tx, now=self.clock.now(), settings=self.settings, made=self._stories)
            return tell(world)

        return await self.db.transact(run)

    async def devices(self, *numbers: int, port: int = 0, host: str = "127.0.0.1") -> None:
        """Devices with accounts, who are reached at that port by UDP, and by SMS."""

        def add(w: World) -> None:
            pushed.fleet(w, *numbers)
            notify = shapes.Notify(host=host, port=port) if port else None
            block = shapes.Omadm(client_secret="c" * 16, server_secret=SECRET, notify=notify)
            blocks = [(w.device(n).id, imei(n), block) for n in numbers]
            dm_accounts.put_blocks(w.tx, blocks, SEAL)
            for number in numbers:
                w.tx.execute(
                    "update device set mdn = ? where imei = ?",
                    (f"+1555{number:07d}", imei(number)),
                )

        await self.story(add)

    async def campaign(self, *numbers: int) -> CampaignId:
        """A campaign for these devices that begins now."""

        def begin(w: World) -> CampaignId:
            found = pushed.campaign(w, numbers)
            w.tx.hint("push")
            return found

        return CampaignId(await self.story(begin))

    def deliver(self, transport: Transport, db: Database | None = None) -> None:
        """Start a loop."""

        def count(name: str, result: str) -> None:
            self.carried.append(Carried(at_s=self.clock.monotonic(), transport=name, result=result))

        loop = PushDelivery(
            db or self.db, self.clock, self.clock, self.settings, SEAL, transport, count
        )
        self._running.append(asyncio.create_task(loop.run()))

    async def stop(self) -> None:
        """Stop the loops as a process that ends does."""
        for task in self._running:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._running.clear()

    def results(self) -> Counter[str]:
        return Counter(each.result for each in self.carried)

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    async def due(self) -> dict[str, float | None]:
        """In how many seconds each device's upgrade is due, by IMEI."""

        def read(tx: Tx) -> dict[str, float | None]:
            rows = tx.all("select imei, due_at from device_upgrade")
            now = self.clock.now()
            return {
                name: None if at is None else (from_ms(at) - now).total_seconds()
                for name, at in rows
            }

        return await self.db.report(read)

    async def ids(self, numbers: Iterable[int]) -> list[DeviceId]:
        return list(await self.story(lambda w: [w.device(number).id for number in numbers]))


@pytest.fixture
async def region(
    database: Database, database_url: str, clock: ManualClock
) -> AsyncIterator[Region]:
    """Somewhere to notify devices, once on each kind of database."""
    found = Region(db=database, clock=clock, settings=pushed.rules(), url=database_url)
    yield found
    await found.stop()


@pytest.fixture
async def sqlite_region(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[Region]:
    """The same, where the database makes no difference."""
    found = Region(db=sqlite_database, clock=clock, settings=pushed.rules())
    yield found
    await found.stop()
