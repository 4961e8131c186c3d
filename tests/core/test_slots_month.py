"""A month of two campaigns over 300 cells: devices move, fail, are lost and found, in virtual time.

It does what an engine does, without one: the planner is asked when a device is found or lost, has failed,
turns up in another cell than planned, or let its slot go by. Between two plans only rows are kept. After
every hour all is counted again, from what the devices have and where they began.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from random import Random

import pytest

from overair.core.slots.grid import Calendar, key_of
from overair.core.slots.occupancy import WHOLE, Held, Limits, Occupancy
from overair.core.slots.planner import Device, Outcome, Placed, Unplaced, Why, plan
from overair.core.slots.radio import UNKNOWN_CELL, CellKey, Reach, Signal
from overair.core.window import Window, end_of, is_open, start_of
from tests.core.slots_world import share_of

# Few per slot, so that thirty devices in a cell, and a hundred in some, are days of work for it.
LIMITS = Limits(good=4, fair=2, poor=1, unknown_cell=4)
PARTS = 4
WHOLE_MONTH = Calendar(start_date=date(2026, 3, 15), end_date=date(2026, 4, 14))
# Begins later, ends earlier, and has of each slot what its windows leave.
BY_NIGHT = Calendar(
    start_date=date(2026, 3, 18),
    end_date=date(2026, 4, 12),
    windows=(Window(22, 24), Window(0, 6), Window(13, 14)),
)
HOUR = timedelta(hours=1)
RETRY = timedelta(hours=3)
LONG_ENOUGH = 48
"""Hours of its campaign in which a device could be reached."""


@dataclass(slots=True)
class Subject:
    """A simulated device: as it is, as it was when it was planned, and what it has."""

    device: Device
    calendar: Calendar
    shy: bool
    planned: Device | None = None
    outcome: Outcome | None = None
    updated: bool = False
    tries: int = 0
    reachable_hours: int = 0

    @property
    def held(self) -> Held | None:
        """The place that it has, if work has not begun there."""
        if self.planned is None or not isinstance(self.outcome, Placed):
            return None
        return self.outcome.held(self.planned.cell)


class Month:
    """All devices, and the rows that are kept."""

    def __init__(self, seed: int, devices: int, cells: int) -> None:
        self.dice = Random(seed)
        self.cells = [CellKey(f"311-480-{n}") for n in range(cells)]
        self.rows: dict[CellKey, Counter[int]] = defaultdict(Counter)
        self.spent: Counter[tuple[CellKey, int]] = Counter()  # where work began, in PARTS
        self.seen: Counter[str] = Counter()
        self.subjects = [self._subject(number) for number in range(devices)]

    def _subject(self, number: int) -> Subject:
        shy = self.dice.random() < 0.02
        reach = self.dice.choices(tuple(Reach), (80, 15, 5))[0]
        device = Device(
            imei=f"99{number:013d}",
            cell=self._cell(),
            signal=self._signal(),
            reach=Reach.UNKNOWN if shy else reach,
        )
        return Subject(device=device, calendar=BY_NIGHT if number % 3 else WHOLE_MONTH, shy=shy)

    def _cell(self) -> CellKey:
        """Some cells are crowded, and some devices do not know theirs."""
        if self.dice.random() < 0.02:
            return UNKNOWN_CELL
        return self.cells[int(len(self.cells) * self.dice.random() ** 1.3)]

    def _signal(self) -> Signal:
        return self.dice.choices(tuple(Signal), (55, 25, 10, 10))[0]

    def plan(self, subjects: Iterable[Subject], now: datetime) -> None:
        """Plan these anew, as after a restart: from the rows."""
        chosen = list(subjects)
        for calendar in (WHOLE_MONTH, BY_NIGHT):
            some = [subject for subject in chosen if subject.calendar is calendar]
            occupancy = Occupancy(lambda cell: self.rows[cell].items())
            devices = [replace(subject.device, held=subject.held) for subject in some]
            outcomes = plan(devices, calendar, LIMITS, occupancy, now)
            for row in occupancy.drain():
                self.rows[row.cell][row.key] += row.share
            for subject in some:
                subject.outcome = outcomes[subject.device.imei]
                subject.planned = subject.device

    def step(self, now: datetime) -> None:
        """One hour."""
        active = [subject for subject in self.subjects if not subject.updated]
        self.plan([s for s in active if self._world(s, now) or self._asks(s, now)], now)
        here = [s for s in active if self._open(s, now) and self.dice.random() < 0.7]
        # A cell is read again when the slot opens (lwm2m 11).
        moved = [s for s in here if s.planned is not None and s.planned.cell != s.device.cell]
        self.plan(moved, now)
        self.seen["moved"] += len(moved)
        for subject in here:
            if self._open(subject, now):
                self._work(subject, now)
            else:
                self.seen["no room in the new cell"] += 1

    def _world(self, subject: Subject, now: datetime) -> bool:
        """What happens to a device in an hour; whether the planner has to know at once."""
        device, what = subject.device, self.dice.random()
        reachable = device.reach is Reach.REACHABLE
        calendar = subject.calendar
        if start_of(calendar.start_date) <= now < end_of(calendar.end_date):
            subject.reachable_hours += reachable
        if what < (0.2 if subject.shy else 0.03) and reachable:
            self.seen["lost"] += 1
            subject.device = replace(device, reach=Reach.UNREACHABLE)
        elif what < (0.001 if subject.shy else 0.06) and not reachable:
            self.seen["found"] += 1
            subject.device = replace(device, reach=Reach.REACHABLE)
        else:
            if what > 0.99:
                subject.device = replace(device, cell=self._cell(), signal=self._signal())
            return False
        return True

    def _asks(self, subject: Subject, now: datetime) -> bool:
        """Whether it has no outcome, let its slot go by, or hopes for room at midnight."""
        outcome = subject.outcome
        if isinstance(outcome, Placed):
            self.seen["missed"] += outcome.slot.end <= now
            return outcome.slot.end <= now
        if isinstance(outcome, Unplaced):
            self.seen["full"] += outcome.why is Why.CELL_FULL
            return outcome.why is Why.CELL_FULL and now.hour == 0
        return True

    def _open(self, subject: Subject, now: datetime) -> bool:
        return isinstance(subject.outcome, Placed) and subject.outcome.slot.open(now)

    def _work(self, subject: Subject, now: datetime) -> None:
        planned, outcome, calendar = subject.planned, subject.outcome, subject.calendar
        assert planned is not None
        assert isinstance(outcome, Placed)
        assert start_of(calendar.start_date) <= now < end_of(calendar.end_date)
        assert is_open(calendar.windows, now)
        assert planned.cell == subject.device.cell
        assert subject.device.reach is Reach.REACHABLE
        assert subject.device.not_before is None or subject.device.not_before <= now
        self.spent[planned.cell, outcome.slot.key] += self._parts(planned)
        subject.tries += 1
        subject.outcome = None
        if self.dice.random() < 0.3:
            subject.updated = True
        else:
            self.seen["failed"] += 1
            subject.device = replace(subject.device, not_before=now + RETRY)

    @staticmethod
    def _parts(device: Device) -> int:
        return int(share_of(LIMITS, device.cell, device.signal) * PARTS)

    def check(self) -> None:
        """No cell is above its limit in any slot, and the rows are what the devices say."""
        parts = self.spent.copy()
        for subject in self.subjects:
            if not subject.updated and (held := subject.held) is not None:
                assert subject.planned is not None
                parts[held.cell, held.key] += self._parts(subject.planned)
        assert max(parts.values(), default=0) <= PARTS
        rows = {(c, k): n for c, slots in self.rows.items() for k, n in slots.items() if n}
        assert rows == {row: n * WHOLE // PARTS for row, n in parts.items()}

    def forget(self, now: datetime) -> None:
        """Drop the rows of slots that were over yesterday: nobody asks for them."""
        yesterday = key_of(now - timedelta(days=1), 1)
        for cell, slots in self.rows.items():
            self.rows[cell] = Counter({key: n for key, n in slots.items() if key >= yesterday})
        self.spent = Counter({row: n for row, n in self.spent.items() if row[1] >= yesterday})


@pytest.mark.parametrize(
    ("seed", "devices", "cells"),
    [(1, 300, 9), pytest.param(2, 10_000, 300, marks=pytest.mark.slow)],
)
def test_a_month(seed: int, devices: int, cells: int) -> None:
    """Limits, dates and windows hold at every hour; who could be reached long enough is updated."""
    month = Month(seed, devices, cells)
    now = start_of(WHOLE_MONTH.start_date) - 6 * HOUR
    while now < end_of(WHOLE_MONTH.end_date) + 6 * HOUR:
        month.step(now)
        month.check()
        now += HOUR
        if now.hour == 0:
            month.forget(now)
    left = [subject for subject in month.subjects if not subject.updated]
    assert 0 < len(left) < devices / 50, f"seed {seed}"
    month.plan(left, now)
    for subject in left:
        assert subject.outcome == Unplaced(why=Why.NO_TIME_LEFT)
        assert subject.reachable_hours < LONG_ENOUGH, f"seed {seed}: {subject}"
    for what in ("moved", "no room in the new cell", "lost", "found", "missed", "failed"):
        assert month.seen[what], what
