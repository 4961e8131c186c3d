"""Bugs that are planted are found: one of each of ten kinds, each within a thousand seeds.

So that this does not take minutes, the search begins with the seed that found it; how many seeds it
takes from the first is in ``docs/simulation.md``. When scenarios come to be made in another way, other seeds find
them, and the search takes longer, once: then write the new ones down.
"""

import pytest

from overair.simulation.batch import Ground
from overair.simulation.generate import generate
from overair.simulation.running import Outcome
from tests.simulation import plants

MOST = 1000
# Where the search begins.
BEGIN: dict[plants.Plant, int] = {
    plants.lost_update: 4,
    plants.double_offer: 9,
    plants.offer_after_cancel: 825,
    plants.window_off_by_an_hour: 7,
    plants.skipped_callback: 1,
    plants.licence_leak: 4,
    plants.lease_ignored: 143,
    plants.late_result_dropped: 35,
    plants.retry_without_end: 23,
    plants.cell_limit_ignored: 76,
}


@pytest.mark.parametrize("plant", plants.PLANTS, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(
    ground: Ground, plant: plants.Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some seed finds it, and the same seed finds nothing without it."""
    with monkeypatch.context() as patch:
        plant(patch)
        found = _search(ground, BEGIN[plant])
    assert found is not None, "no seed finds it"
    print(f"{plant.__name__} is found by seed {found.seed}: {found.broken[0]}")
    assert not ground.run(generate(found.seed)).broken


def _search(ground: Ground, begin: int) -> Outcome | None:
    for number in range(MOST):
        outcome = ground.run(generate(1 + (begin - 1 + number) % MOST))
        if outcome.broken:
            return outcome
    return None


def test_every_kind_is_planted() -> None:
    """There are ten."""
    assert set(BEGIN) == set(plants.PLANTS)
    assert len(plants.PLANTS) == 10
