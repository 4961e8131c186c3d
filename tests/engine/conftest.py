"""What engine tests share: a database that has to be in order at the end of a story."""

from collections.abc import AsyncIterator

import pytest

from overair.store import Database
from tests.engine.world import assert_verified


@pytest.fixture
async def verified(database: Database) -> AsyncIterator[Database]:
    """A database that is verified once the test is over."""
    yield database
    await assert_verified(database)
