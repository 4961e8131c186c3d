"""A month of a v3 campaign under simulated time: 10,000 devices in 300 cells, that move and fail."""

import gc
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from overair.core.campaign import CampaignStatus
from overair.core.slots.occupancy import WHOLE, Limits
from overair.core.slots.radio import CellKey, Thresholds, signal_class
from overair.core.upgrade import Reason, UpgradeState
from overair.core.window import Window
from overair.sim.lwm2m.profile import Behaviour
from overair.sim.lwm2m.roster import Kinds, generate_cells, generate_roster
from overair.sim.lwm2m.tally import DeviceTruth, Kind, Work
from overair.store.upgrades import Upgrade
from tests.e2e.air import BEGIN, Air, Started
from tests.virtual import run_virtually

pytestmark = pytest.mark.slow

DEVICES = 10_000
CELLS = 300
DAYS = 30
START = (BEGIN + timedelta(days=1)).date()
END = (BEGIN + timedelta(days=27)).date()
WINDOWS = (Window(start=22, end=24), Window(start=0, end=6))
HOURS = frozenset({22, 23, 0, 1, 2, 3, 4, 5})
LONG = timedelta(days=6)  # so long on and in the network while it may begin, a device ends updated

WORLD = Behaviour(
    download_failure=0.05,
    corruption=0.02,
    unsupported=0.002,
    bad_uri=0.02,
    install_failure=0.05,
    fallback=0.03,
    silent_fallback=0.02,
    lost_result=0.03,
    hang=0.002,
    deferral=0.001,
    early_restart=0.02,
    cut=0.05,
    moving=0.15,
    unreachable=0.2,
    powerless=0.06,
    odd=0.1,
    slow=0.05,
    in_place=0.1,
    slow_bytes_per_s=150.0,
    move_every_h=(24.0, 96.0),
    reachable_h=(24.0, 120.0),
    unreachable_h=(2.0, 24.0),
    powered_h=(12.0, 96.0),
    install_s=(15.0, 50.0),
    hang_s=(7200.0, 14400.0),
)
KINDS = Kinds(lifetime_s=604_800, queue=0.02, old=0.2, push=0.3, http=0.2, seed=3)
ABSENT = 1000  # one in so many is never switched on: its campaign lasts until its last day
SLEEPERS_S = 21_600  # who listens after its Updates only has to come while its slot is open

# What ends a device's upgrade for good (lwm2m 7): at once, or when it comes a second time. Who says 9
# of its only way has no other.
_AT_ONCE = frozenset({2, 6, 9})
_THE_SECOND_TIME = frozenset({5, 7})


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is one."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


@pytest.fixture(autouse=True)
def memory_is_seldom_searched() -> Iterator[None]:
    """As in the server's own process: what is there stays, and looking through it is dear."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


class Month:
    """What came of it."""

    status: CampaignStatus
    ended_by_day: int
    upgrades: dict[str, Upgrade]
    truths: dict[str, DeviceTruth]
    signals: dict[str, int]
    started: list[Started]
    findings: list[str]
    air: Air


async def live(directory: Path, devices: int, cells: int) -> Month:
    """Let the month pass."""
    month = Month()
    roster = [
        replace(sim, lifetime_s=SLEEPERS_S) if sim.queue_mode else sim
        for sim in generate_roster(devices, kinds=KINDS)
    ]
    air = month.air = Air(directory, roster, WORLD, generate_cells(cells), seed=7, loss=0.005)
    await air.open(absent=range(0, devices, ABSENT))
    try:
        campaign = await air.schedule(START, END, WINDOWS)
        month.ended_by_day = 0
        for day in range(1, DAYS + 1):
            await air.pass_time(BEGIN + timedelta(days=day))
            month.status = await air.status(campaign)
            if month.status is CampaignStatus.ENDED and not month.ended_by_day:
                month.ended_by_day = day
        month.upgrades = await air.upgrades(campaign)
        month.truths = {device.sim.imei: device.truth() for device in air.devices}
        month.signals = {device.sim.imei: device.plan.signal for device in air.devices}
        month.started = await air.started()
        month.findings = await air.findings()
    finally:
        await air.close()
    return month


def _end() -> datetime:
    return datetime.combine(END + timedelta(days=1), datetime.min.time(), BEGIN.tzinfo)


def _spells(truth: DeviceTruth) -> Iterator[tuple[datetime, datetime]]:
    """When the device was on and in the network."""
    is_on, is_reached, since = False, True, BEGIN
    for moment in truth.moments:
        was = is_on and is_reached
        match moment.kind:
            case Kind.ON:
                is_on = True
            case Kind.OFF | Kind.RESTARTED:
                is_on = False
            case Kind.REACHED:
                is_reached = True
            case Kind.LOST:
                is_reached = False
            case _:
                continue
        at = datetime.fromtimestamp(moment.at, BEGIN.tzinfo)
        if was:
            yield since, at
        since = at
    if is_on and is_reached:
        yield since, BEGIN + timedelta(days=DAYS)


def _reachable(truth: DeviceTruth) -> timedelta:
    """For how long the device could be reached while work might begin, in all."""
    hour, found = timedelta(hours=1), timedelta()
    first = datetime.combine(START, datetime.min.time(), BEGIN.tzinfo)
    for since, until in _spells(truth):
        at = max(since, first)
        end = min(until, _end())
        while at < end:
            step = min(end, at.replace(minute=0, second=0, microsecond=0) + hour)
            if at.hour in HOURS:
                found += step - at
            at = step
    return found


def _is_hopeless(truth: DeviceTruth) -> bool:
    """Whether it said what there is no sense in trying again after."""
    said = Counter(work.result for work in truth.work)
    return any(said[result] for result in _AT_ONCE) or any(
        said[result] > 1 for result in _THE_SECOND_TIME
    )


def _first_work(truth: DeviceTruth, since: datetime, until: datetime) -> Work | None:
    """What the device began first between the two."""
    return next(
        (w for w in truth.work if since.timestamp() <= w.began_at < until.timestamp()), None
    )


def _shares(signal_dbm: int) -> int:
    limits = Limits().shares(CellKey("311-480-1"))
    return limits[signal_class(signal_dbm, Thresholds(), 6)]


def _keeps_to_its_slots(month: Month) -> None:
    """Nothing begins outside of its slot, a window or the dates, and no cell has too much in a slot."""
    taken: Counter[tuple[str, int]] = Counter()
    for one in month.started:
        assert one.starts_at <= one.at < one.ends_at, one
        assert one.at.hour in HOURS, one
        assert START <= one.at.date() <= END, one
        taken[one.cell, one.slot_key] += one.share
    assert max(taken.values()) <= WHOLE
    # The same by what the devices say: when the first byte came, and where they were then.
    began: Counter[tuple[str, int]] = Counter()
    by_device: defaultdict[str, list[Started]] = defaultdict(list)
    for one in month.started:
        by_device[one.imei].append(one)
    for imei, ones in by_device.items():
        truth = month.truths[imei]
        assert all(work.began_at >= ones[0].at.timestamp() - 1 for work in truth.work)
        ends = [*(one.at for one in ones[1:]), _end() + timedelta(days=1)]
        for one, until in zip(ones, ends, strict=True):
            work = _first_work(truth, one.at, until)
            if work is not None:
                cell = "-".join(map(str, work.cell))
                began[cell, one.slot_key] += _shares(month.signals[imei])
    assert max(began.values()) <= WHOLE


def _tells_the_truth(month: Month) -> None:
    """The report says of each device what the device is."""
    assert len(month.upgrades) == len(month.truths)
    absent = [imei for imei, truth in month.truths.items() if not truth.moments]
    assert {month.upgrades[imei].reason for imei in absent} == {Reason.NOT_REACHABLE}
    for imei, place in month.upgrades.items():
        updated = month.truths[imei].version == "02"
        assert (place.state is UpgradeState.SUCCEEDED) == updated, (place, month.truths[imei])
        assert updated or place.state is UpgradeState.FAILED


def _leaves_nobody_out(month: Month) -> None:
    """Whoever could be reached for long enough was updated."""
    for truth in month.truths.values():
        if not _is_hopeless(truth) and _reachable(truth) >= LONG:
            assert truth.version == "02", (truth, _reachable(truth))


def test_a_month_of_lwm2m(memory: Path) -> None:
    """Cells are spared, nothing begins when it may not, who can be reached is updated, and all agree."""
    month: Month = run_virtually(lambda: live(memory, DEVICES, CELLS))
    assert month.findings == []
    assert month.status is CampaignStatus.ENDED
    assert month.ended_by_day == (_end() - BEGIN).days + 1
    _tells_the_truth(month)
    _keeps_to_its_slots(month)
    _leaves_nobody_out(month)
    updated = sum(truth.version == "02" for truth in month.truths.values())
    assert updated > 0.95 * DEVICES
    assert sum(place.attempts > 2 for place in month.upgrades.values()) > 0.02 * DEVICES
    assert month.air.tally.moves > DEVICES
    assert {work.result for truth in month.truths.values() for work in truth.work} >= set(
        range(11)
    ) - {9}
    assert not [error for truth in month.truths.values() for error in truth.errors]
