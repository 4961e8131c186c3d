"""A scenario of a large fleet over many days: how fast the simulation is, and that it holds there, too.

Devices of the three protocols in equal parts. Each protocol has its campaigns: a pilot where there is such a
rule, everybody, and then the next version for everybody. Operators change and stop some of them, and every
kind of fault comes, spread over the days: which, when and to whom the seed's dice say.

There is one process: it has the port of the LwM2M devices, whom two cannot share. What two do to each other is
for the small scenarios (``generate.py``).
"""

from datetime import UTC, datetime
from random import Random
from typing import Final

from overair.simulation.generate import HOUR_S, ZONES, fault_of
from overair.simulation.scenario import (
    DAY_S,
    Action,
    Fault,
    Kind,
    Rules,
    Scenario,
    SimulatedDevice,
    Step,
    Trouble,
)
from overair.simulation.template import Fleet

BEGIN: Final = datetime(2024, 3, 25, tzinfo=UTC)
PILOT: Final = 20
IN_A_CELL: Final = 5
DAYS: Final = 10  # at the least: the campaigns take as long

_API: Final = {Kind.HTTP: 2, Kind.OMADM: 1, Kind.LWM2M: 3}


def fleet_of(scenario: Scenario) -> Fleet:
    """What has to be in the database for it."""
    return Fleet(
        http=scenario.numbers(Kind.HTTP),
        omadm=scenario.numbers(Kind.OMADM),
        lwm2m=scenario.numbers(Kind.LWM2M),
    )


def large(devices: int, *, seed: int = 1) -> Scenario:
    """So many devices, ten days."""
    dice = Random(f"large/{seed}")
    kinds = tuple(Kind)
    fleet = tuple(
        SimulatedDevice(
            number=number // len(kinds),
            kind=kinds[number % len(kinds)],
            two_phase=dice.random() < 0.3,
            start_s=dice.uniform(0.0, 4 * HOUR_S),
            clumsy=dice.random() < 0.2,
            slow=dice.random() < 0.1,
            sleepy=dice.random() < 0.3,
            zone=dice.choice(ZONES),
        )
        for number in range(devices)
    )
    rules = Rules(
        poll_s=int(8 * HOUR_S),
        nap_s=900.0,
        device_time=True,
        pilot_devices=PILOT,
        cells=max(1, devices // len(kinds) // IN_A_CELL),
    )
    return Scenario(
        seed=seed,
        begin=BEGIN,
        rules=rules,
        devices=fleet,
        steps=tuple(sorted(_steps(dice, fleet), key=lambda step: step.at)),
        faults=tuple(sorted(_faults(dice, fleet, rules), key=lambda fault: fault.at)),
    )


def _steps(dice: Random, devices: tuple[SimulatedDevice, ...]) -> list[Step]:
    found = [
        Step(at=30.0 + version, action=Action.LISTENER, version=version, number=1)
        for version in (1, 2, 3)
    ]
    for kind in Kind:
        names = [device.name for device in devices if device.kind is kind]
        pilot = names[: min(PILOT, 1 + len(names) // 10)]
        for day, to_version, chosen, days in (
            (0, "02", pilot, 1),
            (1, "02", names[len(pilot) :], 3),
            (5, "03", pilot, 1),
            (6, "03", names[len(pilot) :], 3),
        ):
            campaign = f"{kind}-{day}".lower()
            at = day * DAY_S + dice.uniform(HOUR_S, 3 * HOUR_S)
            if not chosen:
                continue
            found.append(
                Step(
                    at=at,
                    action=Action.SCHEDULE,
                    campaign=campaign,
                    version=_API[kind],
                    devices=tuple(chosen),
                    package=f"{kind}:{to_version}",
                    days=days,
                    download=((0, 8), (12, 24)) if kind is not Kind.OMADM and day > 1 else (),
                )
            )
            if not day:
                continue
            # A few change their minds; one campaign in the end is stopped.
            some = tuple(dice.sample(chosen, max(1, len(chosen) // 50)))
            found += [
                Step(
                    at=at + dice.uniform(60.0, DAY_S),
                    action=action,
                    campaign=campaign,
                    version=_API[kind],
                    devices=some,
                    number=1,
                    days=3,
                )
                for action in (Action.REMOVE, Action.APPEND, Action.READ, Action.DATES)
            ]
    last = Kind.HTTP.lower()
    found.append(Step(at=7.5 * DAY_S, action=Action.STOP, campaign=f"{last}-6"))
    return found


def _faults(dice: Random, devices: tuple[SimulatedDevice, ...], rules: Rules) -> list[Fault]:
    return [
        fault_of(dice, trouble, devices, rules, dice.uniform(HOUR_S, (DAYS - 1) * DAY_S), [])
        for trouble in Trouble
        for _ in range(3)
    ]
