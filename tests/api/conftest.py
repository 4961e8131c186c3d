"""A management API over a fresh database, with one application, two users and two accounts."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from overair.api.gate import Gate
from overair.api.published import published_routes
from overair.api.routing import Api, Rooms
from overair.artifacts.choice import open_storage
from overair.clock import ManualClock
from overair.config import Limits, Settings
from overair.core.credentials import Cost, hash_secret
from overair.engine import identity
from overair.store import Database, Tx
from tests.api.v1_world import V1, v1_world
from tests.api.v2_world import V2, v2_world
from tests.api.v3_world import V3, v3_world
from tests.serving import serving

KEY, SECRET = "key-1", "secret-1"
USER, PASSWORD = "ada", "pass-word"
OTHER_USER = "bob"
ACCOUNT, OTHER_ACCOUNT, INACTIVE_ACCOUNT = (
    "0000123456-00001",
    "0000123456-00002",
    "0000123456-00003",
)
FAST = Cost(log2_n=4, r=1, p=1)


@dataclass
class World:
    """The API and its surroundings."""

    rooms: Rooms
    api: Api
    clock: ManualClock

    @property
    def db(self) -> Database:
        return self.rooms.db


def populate(tx: Tx, clock: ManualClock) -> None:
    """Accounts as an import would make them."""
    for name in (ACCOUNT, OTHER_ACCOUNT, INACTIVE_ACCOUNT):
        tx.execute(
            "insert into account (name, active, created_at) values (?, ?, ?)",
            (name, name != INACTIVE_ACCOUNT, 0),
        )
    stored = hash_secret(SECRET, b"s" * 16, FAST)
    identity.put_application(tx, KEY, stored, True, clock.now())
    identity.put_application(tx, "key-2", stored, True, clock.now())
    identity.put_application(tx, "key-off", stored, False, clock.now())
    stored = hash_secret(PASSWORD, b"p" * 16, FAST)
    assert identity.put_user(tx, USER, stored, True, [ACCOUNT, INACTIVE_ACCOUNT]) == []
    assert identity.put_user(tx, OTHER_USER, stored, True, [OTHER_ACCOUNT]) == []
    assert identity.put_user(tx, "user-off", stored, False, [ACCOUNT]) == []


@pytest.fixture
def limits() -> Limits:
    return Limits(request_body_bytes=1_000_000)


@pytest.fixture
async def rooms(
    database: Database, clock: ManualClock, limits: Limits, tmp_path: Path
) -> AsyncIterator[Rooms]:
    settings = Settings(limits=limits)
    gate = Gate(db=database, clock=clock, settings=settings, cost=FAST)
    storage = open_storage(tmp_path / "artifacts")
    yield Rooms(settings=settings, db=database, clock=clock, gate=gate, storage=storage)
    await storage.close()
    gate.close()


@pytest.fixture
async def world(rooms: Rooms, clock: ManualClock) -> World:
    await rooms.db.transact(populate, clock)
    return World(rooms=rooms, api=Api(published_routes(), rooms), clock=clock)


@pytest.fixture
async def http(world: World) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the served API."""
    async with (
        serving(world.api) as base,
        aiohttp.ClientSession(base, timeout=aiohttp.ClientTimeout(total=20)) as session,
    ):
        yield session


@pytest.fixture
async def v2(
    database_url: str, tmp_path: Path, clock: ManualClock, limits: Limits
) -> AsyncIterator[V2]:
    """The whole server, once on each kind of database."""
    async with v2_world(database_url, tmp_path / "data", clock, limits) as found:
        yield found


@pytest.fixture
async def v2_sqlite(tmp_path: Path, clock: ManualClock, limits: Limits) -> AsyncIterator[V2]:
    """The whole server, where the database makes no difference."""
    async with v2_world("", tmp_path / "data", clock, limits) as found:
        yield found


@pytest.fixture
async def v1(
    database_url: str, tmp_path: Path, clock: ManualClock, limits: Limits
) -> AsyncIterator[V1]:
    """The whole server as users of v1 see it, once on each kind of database."""
    async with v1_world(database_url, tmp_path / "data", clock, limits) as found:
        yield found


@pytest.fixture
async def v1_sqlite(tmp_path: Path, clock: ManualClock, limits: Limits) -> AsyncIterator[V1]:
    """The same, where the database makes no difference."""
    async with v1_world("", tmp_path / "data", clock, limits) as found:
        yield found


@pytest.fixture
async def v3(
    database_url: str, tmp_path: Path, clock: ManualClock, limits: Limits
) -> AsyncIterator[V3]:
    """The whole server as users of v3 see it, once on each kind of database."""
    async with v3_world(database_url, tmp_path / "data", clock, limits) as found:
        yield found


@pytest.fixture
async def v3_sqlite(tmp_path: Path, clock: ManualClock, limits: Limits) -> AsyncIterator[V3]:
    """The same, where the database makes no difference."""
    async with v3_world("", tmp_path / "data", clock, limits) as found:
        yield found
