"""A scenario from a seed.

Half of what happens is drawn to be ordinary, so that campaigns do run; the other half is not. The kinds of
faults are drawn first, a few for each scenario: everything at once hides more than it shows.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

from overair.simulation.scenario import (
    DAY_S,
    WEATHER,
    Action,
    Fault,
    Kind,
    Rules,
    Scenario,
    SimulatedDevice,
    Step,
    Trouble,
)
from overair.simulation.template import HTTP_DEVICES, LWM2M_DEVICES, OMADM_DEVICES

HOUR_S: Final = 3600.0
# Around the days when clocks change in Europe and in America, at the end of a year, and any others.
BEGINNINGS: Final = tuple(
    datetime(2024, month, day, tzinfo=UTC)
    for month, day in ((3, 8), (3, 29), (10, 25), (11, 1), (12, 29), (2, 27), (6, 10))
)


# What came later, with dice of its own: seeds go on to mean what they meant.
LATER: Final = frozenset({Trouble.SKEW})
TROUBLES: Final = tuple(trouble for trouble in Trouble if trouble not in LATER)
# Where clocks change in spring and in autumn, by an hour or by half of one, and where they never do.
ZONES: Final = (
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
)
SKEWS_S: Final = (-DAY_S, -5400.0, -30.0, 30.0, 5400.0, DAY_S)
# Everything at once hides more than it shows.
THEMES: Final = (
    TROUBLES,
    tuple(sorted(WEATHER)),
    (Trouble.CRASH, Trouble.PAUSE, Trouble.CLOCK),
    (Trouble.SLOW_DISK, Trouble.FULL_DISK, Trouble.CRASH),
    (Trouble.REBOOT, Trouble.OFF, Trouble.LOSS),
    (
        Trouble.LISTENER_FAILS,
        Trouble.LISTENER_HANGS,
        Trouble.LISTENER_SLOW,
        Trouble.LISTENER_ACCEPTS_UNHEARD,
    ),
)


def generate(seed: int) -> Scenario:
    """The scenario of a seed."""
    dice = Random(f"scenario/{seed}")
    begin = dice.choice(BEGINNINGS) + timedelta(days=dice.randrange(3))
    days = dice.choice((2, 3, 3, 4, 5))
    rules = _rules(dice)
    devices = _devices(dice, rules)
    steps = _steps(dice, devices, rules, days)
    faults = _faults(dice, devices, rules, days, steps) if dice.random() < 0.9 else ()
    # With dice of their own: what came later to be drawn changes nothing of what was there.
    files = _files(Random(f"files/{seed}"), devices, days)
    steps = tuple(sorted((*steps, *files), key=lambda step: step.at))
    faults = (*faults, *_skews(Random(f"device clocks/{seed}"), devices, days, steps))
    rules, devices = _at_home(Random(f"zones/{seed}"), rules, devices)
    return Scenario(
        seed=seed, begin=begin, rules=rules, devices=devices, steps=steps, faults=faults
    )


def _at_home(
    dice: Random, rules: Rules, devices: tuple[SimulatedDevice, ...]
) -> tuple[Rules, tuple[SimulatedDevice, ...]]:
    """Devices in zones of their own, whose clocks may change while campaigns run."""
    if dice.random() < 0.7:
        return rules, devices
    somewhere = (*ZONES, "")
    placed = tuple(replace(device, zone=dice.choice(somewhere)) for device in devices)
    return replace(rules, device_time=True), placed


def _rules(dice: Random) -> Rules:
    processes = dice.choice((1, 2))
    return Rules(
        processes=processes,
        engines=dice.randint(1, processes),
        poll_s=dice.choice((1800, 2 * 3600, 4 * 3600)),
        nap_s=dice.choice((900.0, 1800.0, 3600.0)),
        active_poll_s=dice.choice((300, 900, 1800)),
        retry_delay_s=dice.choice((600, 3600, 4 * 3600)),
        grace_s=dice.choice((3600, 6 * 3600, 86_400)),
        lease_s=dice.choice((20, 60)),
        max_attempts=dice.choice((1, 2, 3)),
        pilot_devices=dice.choice((3, 20, 20)),
        sweep_devices=dice.choice((1, 2, 1000)),
        licences=dice.choice((2, 4, 20)),
        event_terms=dice.random() < 0.7,
        requeue_push_s=dice.choice((3600, 21_600)),
        cell_limit=dice.choice((1, 2, 5)),
        shuffled=dice.random() < 0.5,
    )


def _devices(dice: Random, rules: Rules) -> tuple[SimulatedDevice, ...]:
    http = dice.randrange(0, 5)
    omadm = dice.randrange(0 if http else 1, 4)
    clumsy = dice.choice((0.0, 0.3, 0.8))
    # One process has their port: who has not serves none of them.
    lwm2m = dice.randint(1, 6) if rules.processes == 1 and dice.random() < 0.4 else 0
    if lwm2m:
        http, omadm = http // 2, omadm // 2
    found = [
        SimulatedDevice(
            number=number,
            kind=Kind.HTTP,
            two_phase=dice.random() < 0.4,
            start_s=dice.uniform(0.0, 2 * HOUR_S),
            clumsy=dice.random() < clumsy,
            slow=dice.random() < 0.3,
        )
        for number in sorted(dice.sample(range(HTTP_DEVICES), http))
    ]
    found += [
        SimulatedDevice(
            number=number,
            kind=Kind.OMADM,
            start_s=dice.uniform(0.0, 2 * HOUR_S),
            clumsy=dice.random() < clumsy,
            sleepy=dice.random() < 0.4,
        )
        for number in sorted(dice.sample(range(OMADM_DEVICES), omadm))
    ]
    found += [
        SimulatedDevice(
            number=number,
            kind=Kind.LWM2M,
            two_phase=dice.random() < 0.4,
            start_s=dice.uniform(0.0, HOUR_S),
            clumsy=dice.random() < clumsy,
            sleepy=dice.random() < 0.4,
        )
        for number in sorted(dice.sample(range(LWM2M_DEVICES), lwm2m))
    ]
    return tuple(found)


# What operators do ---------------------------------------------------------------------------------


def _steps(
    dice: Random, devices: tuple[SimulatedDevice, ...], rules: Rules, days: int
) -> tuple[Step, ...]:
    found: list[Step] = []
    names = tuple(device.name for device in devices)
    if not rules.event_terms:
        found.append(Step(at=30.0, action=Action.SUBSCRIPTION, number=rules.licences))
        some = tuple(dice.sample(names, dice.randint((len(names) + 1) // 2, len(names))))
        found.append(Step(at=60.0, action=Action.ASSIGN, devices=some))
    if dice.random() < 0.8:
        found += [
            Step(at=90.0 + version, action=Action.LISTENER, version=version, number=1)
            for version in dice.choice(((1, 2, 3), (2, 3), (1,)))
        ]
    campaigns: list[tuple[str, float, int]] = []
    for number in range(dice.randint(1, 3)):
        step = _schedule(dice, devices, f"c{number}", days)
        if step is not None:
            found.append(step)
            campaigns.append((step.campaign, step.at, step.first_day))
    found += [_change(dice, names, campaigns, days) for _ in range(dice.choice((0, 2, 4, 8)))]
    return tuple(sorted(found, key=lambda step: step.at))


def _files(dice: Random, devices: tuple[SimulatedDevice, ...], days: int) -> tuple[Step, ...]:
    """A configuration file: uploaded, given to devices, replaced meanwhile, and a new version of it."""
    able = tuple(device.name for device in devices if device.kind is Kind.HTTP)
    if not able or dice.random() < 0.75:
        return ()
    at = dice.uniform(200.0, DAY_S)
    found = []
    for number in range(1, dice.randint(2, 4)):
        chosen = tuple(dice.sample(able, dice.randint(1, len(able))))
        found += [
            Step(at=at, action=Action.UPLOAD, number=number),
            Step(at=at + dice.uniform(1.0, 600.0), action=Action.REPLACE, number=number),
            Step(
                at=at + dice.uniform(1.0, 1200.0),
                action=Action.SCHEDULE,
                campaign=f"f{number}",
                devices=chosen,
                package="FILE:",
                days=dice.randint(1, 3),
            ),
            Step(at=at + dice.uniform(600.0, DAY_S), action=Action.REPLACE, number=number),
        ]
        at += dice.uniform(HOUR_S, days * DAY_S)
    return tuple(found)


def _schedule(
    dice: Random, devices: tuple[SimulatedDevice, ...], name: str, days: int
) -> Step | None:
    kind = dice.choice([device.kind for device in devices])
    able = [device.name for device in devices if device.kind is kind]
    chosen = dice.sample(able, dice.randint(1, len(able)))
    if dice.random() < 0.1:
        chosen.append(dice.choice([device.name for device in devices]))
    version = 1 if kind is Kind.OMADM and dice.random() < 0.7 else 2
    if kind is Kind.LWM2M:
        version = dice.choice((1, 3, 3, 3))
    later = name != "c0" and dice.random() < 0.5
    at = 120.0 + dice.uniform(0.0, HOUR_S)
    if later:
        at = dice.uniform(HOUR_S, days * DAY_S)
    return Step(
        at=at,
        action=Action.SCHEDULE,
        campaign=name,
        version=version,
        devices=tuple(dict.fromkeys(chosen)),
        package=f"{kind}:{'03' if name == 'c2' and dice.random() < 0.6 else '02'}",
        first_day=dice.choice((0, 0, 0, 1, 2)),
        days=dice.choice((1, 1, 2, 3, 4)),
        download=_windows(dice) if version != 1 else (),
        install=_windows(dice) if version == 2 else (),
    )


def _windows(dice: Random) -> tuple[tuple[int, int], ...]:
    match dice.randrange(5):
        case 0:
            start = dice.randrange(20)
            return ((start, start + dice.randint(2, 4)),)
        case 1:
            return ((0, 4), (dice.randint(10, 20), 24))
        case _:
            return ()


def _change(
    dice: Random, names: tuple[str, ...], campaigns: list[tuple[str, float, int]], days: int
) -> Step:
    action = dice.choice(
        (
            Action.STOP,
            Action.STOP,
            Action.STOP,
            Action.DATES,
            Action.DATES,
            Action.APPEND,
            Action.REMOVE,
            Action.ASSIGN,
            Action.UNASSIGN,
            Action.SUBSCRIPTION,
            Action.LISTENER,
            Action.NO_LISTENER,
            Action.READ,
        )
    )
    at = dice.uniform(200.0, (days + 1) * DAY_S)
    name = ""
    if campaigns:
        name, made_at, _ = dice.choice(campaigns)
        if dice.random() < 0.7:
            at = made_at + dice.choice((60.0, HOUR_S, 6 * HOUR_S, DAY_S)) * dice.random()
    return Step(
        at=at,
        action=action,
        campaign=name,
        version=dice.choice((1, 2, 3)),
        devices=tuple(dice.sample(names, dice.randint(1, len(names)))),
        first_day=dice.choice((0, 1)),
        days=dice.randint(1, 4),
        number=dice.randint(0, 4),
        download=_windows(dice),
    )


# What goes wrong -------------------------------------------------------------------------------------


def _faults(
    dice: Random,
    devices: tuple[SimulatedDevice, ...],
    rules: Rules,
    days: int,
    steps: tuple[Step, ...],
) -> tuple[Fault, ...]:
    # Half of them come when somebody does something: that is when there is something to lose.
    moments = [step.at for step in steps]
    ends = [
        ((step.at // DAY_S) + step.first_day + step.days) * DAY_S
        for step in steps
        if step.action is Action.SCHEDULE
    ]
    kinds = dice.sample(list(dice.choice(THEMES)), dice.randint(1, 3))
    if dice.random() < 0.3:
        kinds += dice.sample(TROUBLES, 2)
    found: list[Fault] = []
    for kind in kinds:
        for _ in range(dice.choice((1, 2, 4))):
            at = _moment(dice, days, moments)
            found.append(fault_of(dice, kind, devices, rules, at, ends))
    return tuple(sorted(found, key=lambda fault: (fault.at, fault.trouble)))


def _skews(
    dice: Random, devices: tuple[SimulatedDevice, ...], days: int, steps: tuple[Step, ...]
) -> tuple[Fault, ...]:
    """Clocks of devices that go wrong, and are put right."""
    if dice.random() < 0.7:
        return ()
    moments = [step.at for step in steps]
    found = []
    for _ in range(dice.choice((1, 2, 4))):
        at = _moment(dice, days, moments)
        found.append(fault_of(dice, Trouble.SKEW, devices, Rules(), at, []))
    return tuple(sorted(found, key=lambda fault: fault.at))


def _over_an_end(dice: Random, trouble: Trouble, process: str, end: float) -> Fault:
    """Nobody is reached, or nobody serves, from before a campaign's end until long after it."""
    crash = trouble is Trouble.CRASH
    return Fault(
        at=max(HOUR_S, end - dice.uniform(0.0, 20 * HOUR_S)),
        until=end + dice.uniform(0.0, 36 * HOUR_S),
        trouble=trouble,
        rate=1.0,
        who=process if crash else "http",
        when="now" if crash else "",
    )


def _moment(dice: Random, days: int, moments: list[float]) -> float:
    match dice.randrange(4):
        case 0:
            return dice.uniform(0.0, days * DAY_S)
        case 1:
            return dice.uniform(60.0, 4 * HOUR_S)
        case _:
            return max(
                1.0, dice.choice(moments) + dice.choice((-600.0, -1.0, 0.0, 0.05, 1.0, 60.0))
            )


def fault_of(
    dice: Random,
    trouble: Trouble,
    devices: tuple[SimulatedDevice, ...],
    rules: Rules,
    at: float,
    ends: list[float],
) -> Fault:
    process = f"p{dice.randrange(rules.processes)}"
    if (
        trouble in (Trouble.LOSS, Trouble.REPLY_LOSS, Trouble.CRASH)
        and ends
        and dice.random() < 0.3
    ):
        return _over_an_end(dice, trouble, process, dice.choice(ends))
    if trouble in WEATHER:
        return Fault(
            at=at,
            until=at + dice.choice((600.0, HOUR_S, 12 * HOUR_S)),
            trouble=trouble,
            rate=dice.choice((0.1, 0.3, 0.8, 1.0)),
            who=dice.choice(("", "", "http", "omadm", "lwm2m", "operator", "network")),
        )
    match trouble:
        case Trouble.CRASH:
            return Fault(
                at=at,
                until=at + dice.choice((20.0, 20.0, 600.0, 2 * HOUR_S, 18 * HOUR_S)),
                trouble=trouble,
                who=process,
                when=dice.choice(("now", "before", "after")),
                count=dice.choice((1, 1, 2, 3, 5, 12)),
            )
        case Trouble.PAUSE:
            seconds = dice.choice((1.0, 10.0, 90.0, 600.0, 2 * HOUR_S))
            return Fault(at=at, until=at + seconds, trouble=trouble, who=process)
        case Trouble.SLOW_DISK:
            seconds = dice.choice((60.0, HOUR_S))
            slow = dice.choice((0.01, 0.3, 4.0))
            return Fault(at=at, until=at + seconds, trouble=trouble, rate=slow)
        case Trouble.FULL_DISK:
            return Fault(at=at, until=at + dice.choice((5.0, 600.0, 2 * HOUR_S)), trouble=trouble)
        case Trouble.REBOOT | Trouble.OFF:
            seconds = 30.0 if trouble is Trouble.REBOOT else dice.choice((HOUR_S, DAY_S))
            who = dice.choice(devices).name
            return Fault(at=at, until=at + seconds, trouble=trouble, who=who)
        case Trouble.SKEW:
            return Fault(
                at=at,
                until=at + dice.choice((60.0, 6 * HOUR_S, 2 * DAY_S)),
                trouble=trouble,
                who=dice.choice(devices).name,
                rate=dice.choice(SKEWS_S),
            )
        case Trouble.CLOCK:
            return Fault(
                at=at,
                until=at + dice.choice((60.0, 6 * HOUR_S)),
                trouble=trouble,
                who=process,
                rate=dice.choice((-5400.0, -30.0, 30.0, 5400.0)),
            )
        case _:
            return Fault(at=at, until=at + dice.choice((30.0, HOUR_S, 8 * HOUR_S)), trouble=trouble)
