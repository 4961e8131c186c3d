"""A yard on SQLite for most tests; on each database for those about state."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.devices.lwm2m.yard import Yard, open_yard


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    """A server with an account and a firmware."""
    async with open_yard(tmp_path / "data") as made:
        yield made


@pytest.fixture
async def each_yard(tmp_path: Path, database_url: str) -> AsyncIterator[Yard]:
    """The same, once on each database."""
    async with open_yard(tmp_path / "data", database_url) as made:
        yield made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A device of aiocoap that is switched off while a request arrives says so; that is its own affair."""
    for item in items:
        if "/devices/lwm2m/" in str(item.path):
            item.add_marker(
                pytest.mark.filterwarnings("ignore:coroutine 'Context._render_to_pipe'")
            )
