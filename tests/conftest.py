"""Fixtures that every room's tests may use.

A test that asks for ``database`` or ``database_url`` runs twice, on SQLite and on PostgreSQL. One
that is about something else and only needs somewhere to keep its facts asks for
``sqlite_database`` and runs once.

Not in here: anything that only one room needs; that stands in the conftest.py of that room.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from overair.clock import ManualClock
from overair.store import Database, open_database
from tests.postgres import PostgresMissingError, Server, running_server

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

# A failing example prints how to run it again; a slow machine is no failure.
settings.register_profile(
    "overair",
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("fuzz", settings.get_profile("overair"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "overair"))


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still until the test moves it; it starts on a Monday morning."""
    return ManualClock(START)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """One PostgreSQL server for this test process."""
    try:
        with running_server() as server:
            yield server
    except PostgresMissingError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL for the tests: {error}")


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Server) -> str:
    """The name of a database with overair's schema in it, to be copied."""
    name = postgres_server.create()
    database = open_database(postgres_server.url(name), ManualClock(START))

    async def migrate() -> None:
        await database.start()
        await database.close()

    asyncio.run(migrate())
    return name


@pytest.fixture
def postgres_url(postgres_server: Server, postgres_template: str) -> Iterator[str]:
    """The address of a fresh PostgreSQL database with overair's schema."""
    with postgres_server.database(postgres_template) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a fresh database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'overair.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
async def database(database_url: str, clock: ManualClock) -> AsyncIterator[Database]:
    """A started database with overair's schema, once of each kind."""
    opened = open_database(database_url, clock)
    await opened.start()
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def sqlite_database(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Database]:
    """A started SQLite database with overair's schema."""
    opened = open_database(f"sqlite:///{tmp_path / 'overair.db'}", clock)
    await opened.start()
    try:
        yield opened
    finally:
        await opened.close()
