"""What it costs to plan: a campaign of a million devices over fifty thousand cells, a part of it anew,
and devices one by one.

Half the cells are as large as each other; the rest of the devices crowd into few, as they do in cities.
One in a hundred does not know its cell, every tenth cannot be reached. "Anew" is one device in a hundred
that has moved to another cell, failed and waits, or was found again; each leaves its place and is placed
beside those who keep theirs. One by one the same devices are planned each in a call of its own, as the
engine does it, with the rows of its cell read from nothing.

Pure computing in this process: no database, no clock but the stop-watch.
"""

import gc
import random
import statistics
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from overair.core.slots.grid import Calendar
from overair.core.slots.occupancy import Limits, Occupancy
from overair.core.slots.planner import Device, Outcome, Placed, plan
from overair.core.slots.radio import UNKNOWN_CELL, CellKey, Reach, Signal
from overair.core.window import Window

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
CALENDAR = Calendar(
    start_date=date(2026, 3, 1), end_date=date(2026, 3, 31), windows=(Window(0, 6), Window(20, 24))
)
LIMITS = Limits()
SINGLES = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """What one size of campaign cost."""

    devices: int
    cells: int
    placed: int
    fullest: int  # devices in the cell that has the most
    plan_s: float
    plan_cpu_s: float  # the same without what others on the machine took
    changed: int
    replan_s: float
    single_us: float  # median, one device planned by itself
    single_worst_us: float


def measure(devices: int = 1_000_000, cells: int = 50_000, seed: int = 1) -> Planning:
    """Plan a campaign, then a hundredth of it anew, then devices one by one."""
    dice = random.Random(seed)
    keys = [CellKey(f"311-480-{number}") for number in range(cells)]
    fleet = [_device(number, keys, dice) for number in range(devices)]
    dice.shuffle(fleet)
    occupancy = Occupancy()
    gc.collect()
    began, worked = time.perf_counter(), time.process_time()
    outcomes = plan(fleet, CALENDAR, LIMITS, occupancy, NOW)
    plan_s, plan_cpu_s = time.perf_counter() - began, time.process_time() - worked
    later = NOW + timedelta(hours=5)
    changed = [
        _changed(device, outcomes[device.imei], keys, later, dice)
        for device in dice.sample(fleet, max(1, devices // 100))
    ]
    gc.collect()
    began = time.perf_counter()
    plan(changed, CALENDAR, LIMITS, occupancy, later)
    replan_s = time.perf_counter() - began
    rows: dict[CellKey, list[tuple[int, int]]] = {}
    for row in occupancy.rows():
        rows.setdefault(row.cell, []).append((row.key, row.share))
    singles: list[float] = []
    for device in changed[:SINGLES]:
        alone = replace(device, held=None)
        began = time.perf_counter()
        plan([alone], CALENDAR, LIMITS, Occupancy(lambda cell: rows.get(cell, ())), later)
        singles.append(time.perf_counter() - began)
    crowd: dict[CellKey, int] = {}
    for device in fleet:
        crowd[device.cell] = crowd.get(device.cell, 0) + 1
    return Planning(
        devices=devices,
        cells=len(crowd),
        placed=sum(isinstance(outcome, Placed) for outcome in outcomes.values()),
        fullest=max(crowd.values()),
        plan_s=plan_s,
        plan_cpu_s=plan_cpu_s,
        changed=len(changed),
        replan_s=replan_s,
        single_us=statistics.median(singles) * 1e6,
        single_worst_us=max(singles) * 1e6,
    )


def _device(number: int, keys: list[CellKey], dice: random.Random) -> Device:
    where = dice.random()
    if where < 0.01:
        cell = UNKNOWN_CELL
    elif number < len(keys):  # nobody's cell is empty
        cell = keys[number]
    elif where < 0.5:
        cell = keys[int(len(keys) * dice.random() ** 3)]
    else:
        cell = dice.choice(keys)
    return Device(
        imei=f"99{number:013d}",
        cell=cell,
        signal=dice.choices(tuple(Signal), (60, 25, 5, 10))[0],
        reach=Reach.REACHABLE if dice.random() < 0.9 else Reach.UNREACHABLE,
    )


def _changed(
    device: Device, outcome: Outcome, keys: list[CellKey], now: datetime, dice: random.Random
) -> Device:
    held = outcome.held(device.cell) if isinstance(outcome, Placed) else None
    what = dice.random()
    if held is None:
        return replace(device, reach=Reach.REACHABLE)
    if what < 0.5:
        return replace(device, cell=dice.choice(keys), held=held)
    return replace(device, not_before=now + timedelta(hours=1))  # its place is spent


def main() -> None:
    """Print the figures."""
    print(measure())


if __name__ == "__main__":
    main()
