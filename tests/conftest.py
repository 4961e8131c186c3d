"""Fixtures that every room's tests may use.

Not in here: anything that only one room needs; that stands in the conftest.py of that room.
"""

import os
from collections.abc import Iterator

import pytest

from tests.postgres import PostgresMissingError, Server, running_server


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
