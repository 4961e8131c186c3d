"""Where scenarios are run: in memory, all from one template."""

from collections.abc import Iterator

import pytest

from overair.simulation.batch import Ground
from overair.simulation.running import memory


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    with memory() as directory:
        yield Ground(directory)
