"""A scenario that fails is made small, and fails in the same way."""

from dataclasses import replace

import pytest

from overair.simulation.batch import Ground
from overair.simulation.generate import generate
from overair.simulation.scenario import Action, Fault, Scenario, Step, Trouble
from overair.simulation.shrink import shrink
from tests.simulation import plants


def test_a_failing_scenario_is_made_small(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left of a leaking licence is a device, what gives it one and what takes it away."""
    plants.licence_leak(monkeypatch)
    scenario, name = next(
        (generate(seed), outcome.broken[0].name)
        for seed in range(1, 200)
        if (outcome := ground.run(generate(seed))).broken
    )

    def fails(candidate: Scenario) -> bool:
        return any(broken.name == name for broken in ground.run(candidate).broken)

    small = shrink(scenario, fails, most_runs=120)
    assert fails(small)
    assert small.size < scenario.size
    assert not small.faults
    assert len(small.steps) <= 4
    assert small.rules.processes == 1


def test_what_is_needed_stays() -> None:
    """Parts go that are not needed, alone or together with others, and no others."""
    steps = tuple(Step(at=float(at), action=Action.READ) for at in range(10))
    faults = tuple(Fault(at=float(at), trouble=Trouble.LOSS) for at in range(7))
    scenario = replace(Scenario(seed=1), steps=steps, faults=faults)

    def fails(candidate: Scenario) -> bool:
        times = {step.at for step in candidate.steps}
        return {3.0, 4.0} <= times and any(fault.at == 6.0 for fault in candidate.faults)

    small = shrink(scenario, fails)
    assert [step.at for step in small.steps] == [3.0, 4.0]
    assert [fault.at for fault in small.faults] == [6.0]


def test_no_more_is_tried_than_allowed() -> None:
    """A scenario whose runs take long is tried so often and no more."""
    runs = 0

    def fails(candidate: Scenario) -> bool:
        nonlocal runs
        runs += 1
        return False

    steps = tuple(Step(at=float(at), action=Action.READ) for at in range(100))
    shrink(replace(Scenario(seed=1), steps=steps), fails, most_runs=17)
    assert runs == 17
