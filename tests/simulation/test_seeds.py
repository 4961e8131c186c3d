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

FIXED = range(1, 21)
# Each found a bug, which docs/simulation.md tells of.
REGRESSIONS = {
    602: "a server whose clock was behind offered a campaign that another had started the next day",
    10881: "a success told late left the device's next slot taken",
    19187: "devices without a licence were upgraded on an account that paid by event no more",
}
FRESH_S = float(os.environ.get("OVERAIR_SIMULATION_S", "20"))


@pytest.mark.parametrize("seed", [*FIXED, *REGRESSIONS])
def test_everything_holds(ground: Ground, seed: int) -> None:
    """Whatever happens in this scenario, everything that must hold does."""
    outcome = ground.run(generate(seed))
    assert not outcome.broken, f"overair simulation run --seed {seed} --trace"
    assert not outcome.errors


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
