"""Hours in the devices' own time, on days when their clocks change, and devices whose clocks are wrong."""

from datetime import UTC, datetime

import pytest

from overair.simulation.batch import Ground
from overair.simulation.running import Outcome
from overair.simulation.scenario import (
    Action,
    Fault,
    Kind,
    Rules,
    Scenario,
    SimulatedDevice,
    Step,
    Trouble,
)

VERSIONS = {Kind.HTTP: 2, Kind.OMADM: 2, Kind.LWM2M: 3}


def _run(
    ground: Ground,
    kind: Kind,
    begin: datetime,
    *,
    zone: str,
    window: tuple[int, int],
    faults: tuple[Fault, ...] = (),
) -> Outcome:
    """Four devices in a zone, and a campaign of three days with a window."""
    devices = tuple(SimulatedDevice(number=number, kind=kind, zone=zone) for number in range(4))
    step = Step(
        at=300.0,
        action=Action.SCHEDULE,
        campaign="c",
        version=VERSIONS[kind],
        devices=tuple(device.name for device in devices),
        package=f"{kind}:02",
        days=3,
        download=(window,),
    )
    rules = Rules(device_time=True, nap_s=900.0, poll_s=1800)
    scenario = Scenario(
        seed=5, begin=begin, rules=rules, devices=devices, steps=(step,), faults=faults
    )
    outcome = ground.run(scenario, trace=True)
    assert not outcome.broken
    assert not outcome.errors
    return outcome


def _succeeded(outcome: Outcome) -> int:
    return sum("-> succeeded" in line for line in outcome.lines)


def _first_begun(outcome: Outcome) -> str:
    return next(line[6:11] for line in outcome.lines if line.endswith("begins"))


@pytest.mark.parametrize(
    ("begin", "zone", "first"),
    [
        (datetime(2024, 3, 9, tzinfo=UTC), "America/New_York", "08:00"),
        (datetime(2024, 3, 10, tzinfo=UTC), "America/New_York", "07:00"),
        (datetime(2024, 10, 26, tzinfo=UTC), "Europe/Berlin", "01:00"),
        (datetime(2024, 10, 27, tzinfo=UTC), "Europe/Berlin", "02:00"),
    ],
)
def test_an_hour_is_the_devices_own(ground: Ground, begin: datetime, zone: str, first: str) -> None:
    """Three in the morning comes an hour earlier after the clocks were put forward, and later after back."""
    outcome = _run(ground, Kind.HTTP, begin, zone=zone, window=(3, 4))
    assert _first_begun(outcome)[:2] == first[:2]
    assert _succeeded(outcome) == 4


@pytest.mark.parametrize("window", [(0, 2), (10, 12)])
def test_a_slot_is_not(ground: Ground, window: tuple[int, int]) -> None:
    """Hours of v3 are UTC whatever the zone, and a device that is called in its slot gets its command."""
    begin = datetime(2024, 3, 9, tzinfo=UTC)
    outcome = _run(ground, Kind.LWM2M, begin, zone="America/New_York", window=window)
    assert int(_first_begun(outcome)[:2]) == window[0]
    assert _succeeded(outcome) == 4


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("off_s", [-86_400.0, -5400.0, 5400.0, 86_400.0])
def test_a_wrong_clock_is_the_devices_own_affair(ground: Ground, kind: Kind, off_s: float) -> None:
    """Whatever a device's clock says, it is updated, and in the campaign's hours."""
    fault = Fault(at=1.0, until=7200.0, trouble=Trouble.SKEW, who=f"{kind.lower()}1", rate=off_s)
    begin = datetime(2024, 3, 9, tzinfo=UTC)
    outcome = _run(ground, kind, begin, zone="", window=(0, 24), faults=(fault,))
    assert _succeeded(outcome) == 4
    assert outcome.faults[Trouble.SKEW.value] == 1


def test_changes_of_clocks_are_counted(ground: Ground) -> None:
    """Each device whose clock changed while the scenario ran counts once."""
    spring = datetime(2024, 3, 9, tzinfo=UTC)
    changed = _run(ground, Kind.HTTP, spring, zone="America/New_York", window=(3, 4))
    assert changed.faults["daylight saving"] == 4
    never = _run(ground, Kind.HTTP, spring, zone="Asia/Kathmandu", window=(3, 4))
    assert not never.faults["daylight saving"]
