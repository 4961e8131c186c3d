"""A fleet of some size over ten days: all of its campaigns, every kind of fault, and everything holds."""

from overair.simulation.batch import Ground
from overair.simulation.large import DAYS, fleet_of, large
from overair.simulation.running import memory
from overair.simulation.scenario import DAY_S, Action, Kind

DEVICES = 60


def test_a_large_fleet_comes_to_its_end() -> None:
    """Sixty devices of the three protocols go through all campaigns, and nothing fails."""
    scenario = large(DEVICES)
    with memory() as directory:
        outcome = Ground(directory, fleet_of(scenario)).run(scenario)
    assert not outcome.broken
    assert not outcome.errors
    assert outcome.virtual_s >= DAYS * DAY_S
    asked = sum(step.action is Action.SCHEDULE for step in scenario.steps)
    assert outcome.campaigns > asked / 2
    assert outcome.attempts > DEVICES


def test_every_protocol_has_its_part() -> None:
    """Devices are of the three protocols in equal parts, as many as were asked for."""
    fleet = fleet_of(large(1000))
    assert sorted((fleet.http, fleet.omadm, fleet.lwm2m)) == [333, 333, 334]
    assert {device.kind for device in large(3).devices} == set(Kind)
