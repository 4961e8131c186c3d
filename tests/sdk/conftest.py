"""A world for each test: on each database where state matters, on SQLite elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sdk.world import World, open_world, with_limits


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A world, once on each kind of database."""
    with open_world(tmp_path / "world", database_url) as found:
        yield found


@pytest.fixture
def world_sqlite(tmp_path: Path) -> Iterator[World]:
    """A world where the database makes no difference."""
    with open_world(tmp_path / "world") as found:
        yield found


@pytest.fixture
def paged_world(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A world whose lists have pages of three."""
    with open_world(tmp_path / "world", database_url, limits=with_limits(page_size=3)) as found:
        yield found


@pytest.fixture(scope="module")
def untouched_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for tests of requests that change nothing."""
    with open_world(tmp_path_factory.mktemp("untouched")) as found:
        yield found


@pytest.fixture
def open_settings(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A world that may call listeners of its own host, without TLS."""
    with open_world(
        tmp_path / "world",
        database_url,
        callback_plain_http=True,
        callback_private_addresses=True,
        callback_retry_s=(0, 0, 0, 0, 0),
    ) as world:
        yield world
