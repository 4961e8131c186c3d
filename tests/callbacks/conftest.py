"""An account with campaigns to tell of, and deliverers that end with the test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import pytest
import uvloop

from overair.callbacks import CallbackDelivery
from overair.clock import Clock, ManualClock
from overair.config import Settings
from overair.core.campaign import CampaignStatus
from overair.core.ids import AccountId, CampaignId
from overair.core.listener import ListenerRules
from overair.engine import listeners
from overair.engine.deliveries import Bounds
from overair.engine.notify import notify_campaign
from overair.store import Database, Tx, callback_log
from overair.store.callback_log import Delivery
from overair.store.callbacks import Listener
from tests.callbacks.listening import Authority, make_authority

SETTINGS = Settings(callback_private_addresses=True, callback_plain_http=True)
NO_CAMPAIGN = CampaignId(0)
RULES = ListenerRules(plain_http=True, private_addresses=True)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Requests are tested on both event loops: uvloop, which serves, has errors of its own."""
    if item.path.stem == "test_sender":
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A campaign as far as a message tells of it."""

    uuid: str
    account_id: AccountId
    account_name: str = "0242078689-00001"
    api_version: int = 2
    name: str = ""
    package_name: str = "software"
    status: CampaignStatus = CampaignStatus.SCHEDULED
    id: CampaignId = NO_CAMPAIGN
    start_date: date = date(2026, 3, 2)
    end_date: date = date(2026, 3, 9)


@dataclass(slots=True, kw_only=True)
class Outbox:
    """A database with accounts, what is queued in it, and who delivers it."""

    db: Database
    clock: Clock
    account_id: AccountId
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def register(
        self, url: str, api_version: int = 2, account_id: AccountId | None = None
    ) -> Listener:
        return await self.db.transact(
            listeners.register,
            account_id or self.account_id,
            api_version,
            url,
            RULES,
            self.clock.now(),
        )

    async def queue(
        self,
        campaign: str,
        names: Sequence[str],
        account_id: AccountId | None = None,
    ) -> None:
        """Queue one message for each name, in the stream of the campaign."""

        def write(tx: Tx) -> None:
            for name in names:
                told = Told(uuid=campaign, account_id=account_id or self.account_id, name=name)
                notify_campaign(tx, told, self.clock.now())

        await self.db.transact(write)

    def deliver(
        self,
        owner: str = "one",
        *,
        settings: Settings = SETTINGS,
        bounds: Bounds | None = None,
        db: Database | None = None,
    ) -> None:
        """Start a deliverer."""
        loop = CallbackDelivery(db or self.db, self.clock, settings, owner, bounds)
        self._running[owner] = asyncio.create_task(loop.run())

    async def stop(self, owner: str = "one") -> None:
        """Stop a deliverer as a process that ends does."""
        task = self._running.pop(owner)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def stop_all(self) -> None:
        for owner in list(self._running):
            await self.stop(owner)

    async def log(self, stream: str | None = None) -> list[Delivery]:
        """The delivery log, oldest first."""
        found = await self.db.report(callback_log.list_deliveries, limit=10_000, stream=stream)
        return found[::-1]

    async def depth(self) -> int:
        return await self.db.report(callback_log.outbox_depth)

    async def is_empty(self) -> bool:
        return await self.depth() == 0

    def pass_time(self, seconds: float) -> None:
        assert isinstance(self.clock, ManualClock)
        self.clock.advance(timedelta(seconds=seconds))


async def add_account(db: Database, name: str = "0242078689-00001") -> AccountId:
    """A new account."""

    def write(tx: Tx) -> AccountId:
        row = tx.one("insert into account (name, created_at) values (?, 0) returning id", (name,))
        assert row is not None
        return AccountId(row[0])

    return await db.transact(write)


@pytest.fixture
async def outbox(database: Database, clock: ManualClock) -> AsyncIterator[Outbox]:
    """A database with one account."""
    box = Outbox(db=database, clock=clock, account_id=await add_account(database))
    yield box
    await box.stop_all()


@pytest.fixture
async def sqlite_outbox(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[Outbox]:
    """The same, on SQLite only."""
    box = Outbox(db=sqlite_database, clock=clock, account_id=await add_account(sqlite_database))
    yield box
    await box.stop_all()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A certificate authority that nobody knows of yet."""
    return make_authority(tmp_path)
