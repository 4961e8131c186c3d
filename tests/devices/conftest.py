"""A field on SQLite for most tests; on each database for those about state."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.devices.field import Field, Peer, open_field


@pytest.fixture
async def field(tmp_path: Path) -> AsyncIterator[Field]:
    """A server with an account and a package."""
    async with open_field(tmp_path / "data") as made:
        yield made


@pytest.fixture
async def each_field(tmp_path: Path, database_url: str) -> AsyncIterator[Field]:
    """The same, once on each database."""
    async with open_field(tmp_path / "data", database_url) as made:
        yield made


@pytest.fixture
async def peer(field: Field) -> Peer:
    """A device that is in no campaign."""
    return await field.new_peer(1)
