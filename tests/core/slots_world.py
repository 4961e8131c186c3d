"""What the tests of the slot planner share: made-up campaigns, and a planner that only a test can afford.

``pieces`` walks a campaign in steps of ten minutes and asks ``is_open`` at each; ``plan_slowly`` looks
through those pieces from the first for each device. Neither knows what the planner knows about days.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from hypothesis import strategies as st

from overair.core.slots.grid import Calendar, key_of
from overair.core.slots.occupancy import Limits
from overair.core.slots.planner import Device
from overair.core.slots.radio import UNKNOWN_CELL, CellKey, Reach, Signal
from overair.core.window import Window, Windows, end_of, is_open, start_of

DAY = date(2026, 3, 28)  # the next day, clocks in Europe are put forward
STEP = timedelta(minutes=10)
CELLS = (UNKNOWN_CELL, CellKey("311-480-1"), CellKey("311-480-2"))

windows = st.lists(
    st.tuples(st.integers(0, 23), st.integers(1, 24)).filter(lambda pair: pair[0] < pair[1]),
    max_size=3,
).map(lambda pairs: tuple(Window(*pair) for pair in pairs))
calendars = st.builds(
    lambda days, windows, minutes, least: Calendar(
        start_date=DAY,
        end_date=DAY + timedelta(days=days),
        windows=windows,
        slot_minutes=minutes,
        least=timedelta(minutes=least),
    ),
    st.integers(0, 2),
    windows,
    st.sampled_from((20, 30, 60, 80, 90, 120, 180, 240, 480, 720, 1440)),
    st.sampled_from((0, 10, 30, 60)),
)
# Edges of slots and windows, and anything, to the microsecond.
instants = st.one_of(
    st.integers(-12 * 6, 80 * 6).map(lambda number: start_of(DAY) + number * STEP),
    st.integers(-12 * 3600, 80 * 3600).map(
        lambda second: start_of(DAY) + timedelta(seconds=second)
    ),
    st.timedeltas(timedelta(hours=-12), timedelta(hours=80)).map(start_of(DAY).__add__),
)
# Few per slot, so that a dozen devices fill it; all of them divide the whole.
limits = st.builds(
    Limits,
    good=st.integers(1, 6),
    fair=st.integers(1, 4),
    poor=st.integers(1, 2),
    unknown_cell=st.integers(1, 3),
)


def devices_of(most: int = 24) -> st.SearchStrategy[list[Device]]:
    """Different devices in few cells, in any order."""
    return st.lists(
        st.builds(
            Device,
            imei=st.integers(0, 99).map("99{:013d}".format),
            cell=st.sampled_from(CELLS),
            signal=st.sampled_from(Signal),
            reach=st.sampled_from((Reach.REACHABLE,) * 3 + (Reach.UNREACHABLE, Reach.UNKNOWN)),
            not_before=st.none() | instants,
        ),
        max_size=most,
        unique_by=lambda device: device.imei,
    )


def share_of(limits: Limits, cell: CellKey, signal: Signal) -> Fraction:
    """One part in the limit."""
    if cell == UNKNOWN_CELL:
        return Fraction(1, limits.unknown_cell)
    limit = {Signal.GOOD: limits.good, Signal.POOR: limits.poor}.get(signal, limits.fair)
    return Fraction(1, limit)


def pieces(
    calendar: Calendar, windows: Windows | None = None
) -> list[tuple[datetime, datetime, int]]:
    """Each slot of a campaign, and its key, found by walking."""
    found: list[tuple[datetime, datetime, int]] = []
    open_windows = calendar.windows if windows is None else windows
    at = start_of(calendar.start_date)
    while at < end_of(calendar.end_date):
        if is_open(open_windows, at):
            key = key_of(at, calendar.slot_minutes)
            if found and found[-1][1] == at and found[-1][2] == key:
                found[-1] = (found[-1][0], at + STEP, key)
            else:
                found.append((at, at + STEP, key))
        at += STEP
    return found


def plan_slowly(
    devices: Iterable[Device], calendar: Calendar, limits: Limits, now: datetime
) -> dict[str, tuple[datetime, datetime, int] | None]:
    """For each device the slot that it must get, if it can be reached, or that it would have."""
    taken: dict[tuple[CellKey, int], Fraction] = {}
    places: dict[str, tuple[datetime, datetime, int] | None] = {}
    slots = pieces(calendar)
    order = sorted(devices, key=lambda d: (d.reach is not Reach.REACHABLE, d.imei))
    for device in order:
        earliest = max(now, device.not_before or now)
        share = share_of(limits, device.cell, device.signal)
        places[device.imei] = None
        for start, end, key in slots:
            if earliest > start and (end <= earliest or end - earliest < calendar.least):
                continue
            if taken.get((device.cell, key), Fraction(0)) + share <= 1:
                places[device.imei] = (max(start, earliest), end, key)
                if device.reach is Reach.REACHABLE:
                    taken[device.cell, key] = taken.get((device.cell, key), Fraction(0)) + share
                break
    return places


def utc(text: str) -> datetime:
    """``2026-03-28 09:30`` as an instant."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
