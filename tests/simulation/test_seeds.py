"""Seeds of the whole system: a fixed set, those that found bugs, and some that nobody has seen.

``OVERAIR_SIMULATION_S`` is for how many seconds fresh ones are run; which, is printed, and depends on the day
and on nothing else.
"""

import os
from itertools import count
from time import monotonic

import pytest

from overair.clock import SystemClock
from overair.simulation.batch import Ground
from overair.simulation.generate import generate
from tests.simulation import plants

FIXED = range(1, 21)
# Each found a bug, which docs/simulation.md tells of, and finds it again if its mending is taken away.
REGRESSIONS: dict[int, plants.Plant] = {
    602: plants.begun_by_another_clock,
    10881: plants.late_success_keeps_its_slot,
    19187: plants.scheduled_without_a_licence,
    96534: plants.licence_that_ends_counts,
}
FRESH_S = float(os.environ.get("OVERAIR_SIMULATION_S", "20"))


@pytest.mark.parametrize("seed", [*FIXED, *REGRESSIONS])
def test_everything_holds(ground: Ground, seed: int) -> None:
    """Whatever happens in this scenario, everything that must hold does."""
    outcome = ground.run(generate(seed))
    assert not outcome.broken, f"overair simulation run --seed {seed} --trace"
    assert not outcome.errors


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_a_seed_that_found_a_bug_finds_it_again(
    ground: Ground, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without what mended it, the scenario fails as it did."""
    with monkeypatch.context() as patch:
        REGRESSIONS[seed](patch)
        assert ground.run(generate(seed)).broken


def test_everything_holds_in_fresh_seeds(ground: Ground) -> None:
    """So does it in scenarios that nobody has seen yet."""
    began = monotonic()
    first = 1_000_000 + SystemClock().now().date().toordinal() * 1000
    ran = 0
    for seed in count(first):
        if monotonic() - began >= FRESH_S:
            break
        outcome = ground.run(generate(seed))
        assert not outcome.broken, f"overair simulation run --seed {seed} --trace"
        ran += 1
    print(f"{ran} fresh seeds from {first}")
    assert ran
