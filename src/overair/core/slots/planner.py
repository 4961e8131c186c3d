"""Who begins in which slot, and why somebody does not.

``plan`` takes devices, places each one in the first slot that has room for it in its cell, and gives
for each either the place or a reason. Devices that can be reached come first, then the order of the
IMEI; the order in which they are given means nothing, and cells have nothing to do with each other.

A place, once given, is kept: nobody who is not among the devices given is moved, nobody makes way for
somebody else, and a hole that was left is filled by whoever is planned next. So planning a few anew
costs what they cost, whole campaigns and single devices go the same way, and times that were announced
hold. A device that is planned again (it moved, failed, missed its slot, was lost or found) first leaves
the place that it ``held``; all leave before any is placed. Work that has begun is not planned: its place
is spent (``occupancy``), and after a failure the device comes with no place held and ``not_before``.

Reasons become the texts of ``lifecycle.md`` 5.4. Tries and last contact are not asked for: tries have no
limit but the campaign's end (5.5), and last contact counts by way of ``reach`` (``radio.reach_of``).

Not here: when to ask again (``until`` is the latest), words, whether a device still has to be updated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter

from overair.core.slots.grid import Calendar, Slot
from overair.core.slots.occupancy import WHOLE, Cell, Held, Limits, Occupancy
from overair.core.slots.radio import UNKNOWN_CELL, CellKey, Reach, Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What planning has to know of a device."""

    imei: str
    cell: CellKey = UNKNOWN_CELL
    signal: Signal = Signal.UNKNOWN
    reach: Reach = Reach.REACHABLE
    not_before: datetime | None = None
    held: Held | None = None
    """The place that it has and leaves; None also when work has begun there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """It begins in this slot, and takes this share of it."""

    slot: Slot
    share: int

    def held(self, cell: CellKey) -> Held:
        """The place, as it is given back: for a device of this cell."""
        return Held(cell=cell, key=self.slot.key, share=self.share)


class Why(StrEnum):
    """Why a device has no slot."""

    NOT_REACHABLE = "not_reachable"  # it gets one when it can be reached
    NOT_KNOWN = "not_known"  # whether it can be reached; the network checks are not done
    CELL_FULL = "cell_full"  # there are slots, but no room in its cell up to the last
    NO_TIME_LEFT = "no_time_left"  # no slot is left in the campaign's dates and windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """It has no slot, for this reason and, unless something happens, until then."""

    why: Why
    until: datetime | None = None

    @property
    def final(self) -> bool:
        """Whether nothing that happens to the device can give it a slot: "no retry available"."""
        return self.why is Why.NO_TIME_LEFT


Outcome = Placed | Unplaced

_BY_IMEI = attrgetter("imei")
_NO_TIME = Unplaced(why=Why.NO_TIME_LEFT)


def plan(
    devices: Iterable[Device],
    calendar: Calendar,
    limits: Limits,
    occupancy: Occupancy,
    now: datetime,
) -> dict[str, Outcome]:
    """A place or a reason for every device, by IMEI. ``occupancy`` then has their places in it."""
    outcomes: dict[str, Outcome] = {}
    cells: dict[CellKey, list[Device]] = {}
    leaving: list[Held] = []
    count = 0
    for device in devices:  # once: with a million devices, looking at each is what takes the time
        count += 1
        outcomes[device.imei] = _NO_TIME
        group = cells.get(device.cell)
        if group is None:
            cells[device.cell] = [device]
        else:
            group.append(device)
        if device.held is not None:
            leaving.append(device.held)
    if len(outcomes) != count:
        raise ValueError("a device is given twice")
    for held in leaving:
        occupancy.give_back(held)
    search = _Search(calendar, now)
    if search.over:
        return outcomes
    for cell, group in cells.items():
        group.sort(key=_BY_IMEI)
        search.cell(occupancy.cell(cell), limits.shares(cell), group, outcomes)
    return outcomes


class _Line:
    """Devices of one share in one cell: where the next one of them is placed.

    While devices are placed, room only shrinks: where a share had none, it never will.
    """

    __slots__ = ("key", "number", "placed", "room", "share")

    def __init__(self, number: int, placed: Placed) -> None:
        self.share = placed.share
        self.room = WHOLE - placed.share  # a slot has room if no more than this is taken
        self.number = number
        self.key = placed.slot.key
        self.placed: Placed | None = placed  # None: no slot is left


class _Search:
    """One run of ``plan``: what is the same for all its devices, made once."""

    __slots__ = ("_calendar", "_first", "_now", "_places", "_reasons", "over", "until")

    def __init__(self, calendar: Calendar, now: datetime) -> None:
        self._calendar = calendar
        self._now = now.astimezone(UTC)
        self._first = calendar.number(now)
        self.over = self._first >= calendar.count
        self.until = calendar.closes_at
        # Places and reasons are values, so devices with the same one share it.
        self._places: dict[tuple[int, int], Placed] = {}
        self._reasons: dict[Why, Unplaced] = {}

    def cell(
        self,
        cell: Cell,
        shares: dict[Signal, int],
        group: list[Device],
        outcomes: dict[str, Outcome],
    ) -> None:
        """Place the devices of one cell, which are in order."""
        taken = cell.change()
        by_share = {
            share: _Line(self._first, self._place(self._first, share)) for share in shares.values()
        }
        lines = {signal: by_share[share] for signal, share in shares.items()}
        waiting: list[Device] = []
        for device in group:
            line = lines[device.signal]
            if device.reach is not Reach.REACHABLE:
                waiting.append(device)
            elif device.not_before is not None and device.not_before > self._now:
                outcomes[device.imei] = outcome = self._later(taken, line, device.not_before)
                if isinstance(outcome, Placed):
                    key = outcome.slot.key
                    taken[key] = taken.get(key, 0) + line.share
            else:
                if taken.get(line.key, 0) > line.room:
                    self._advance(taken, line)
                if line.placed is None:
                    outcomes[device.imei] = self._reason(Why.CELL_FULL)
                else:
                    taken[line.key] = taken.get(line.key, 0) + line.share
                    outcomes[device.imei] = line.placed
        for device in waiting:  # they take nothing
            outcomes[device.imei] = self._wait(device)

    def _place(self, number: int, share: int) -> Placed:
        placed = self._places.get((number, share))
        if placed is None:
            slot = self._calendar.slot(number, self._now)
            placed = self._places[number, share] = Placed(slot=slot, share=share)
        return placed

    def _advance(self, taken: Mapping[int, int], line: _Line) -> None:
        """Go on to the first slot with room."""
        if line.placed is None:
            return
        line.number = self._room(taken, line, line.number)
        if line.number < self._calendar.count:
            line.placed = self._place(line.number, line.share)
            line.key = line.placed.slot.key
        else:
            line.placed = None  # and ``key`` stays at a slot without room

    def _room(self, taken: Mapping[int, int], line: _Line, number: int) -> int:
        """The first slot from ``number`` on that has room; the calendar's count if none has."""
        calendar, count, room = self._calendar, self._calendar.count, line.room
        while number < count and taken.get(calendar.key(number), 0) > room:
            number += 1
        return number

    def _later(self, taken: Mapping[int, int], line: _Line, not_before: datetime) -> Outcome:
        """A place for a device that may begin from an instant to come."""
        calendar = self._calendar
        number = calendar.number(not_before)
        if number >= calendar.count:
            return _NO_TIME
        number = self._room(taken, line, max(number, line.number))
        if number >= calendar.count:
            return self._reason(Why.CELL_FULL)
        placed = self._place(number, line.share)
        if placed.slot.start >= not_before:
            return placed
        return Placed(slot=calendar.slot(number, not_before), share=line.share)

    def _wait(self, device: Device) -> Unplaced:
        """Why a device has no place that cannot be reached, or of which that is not known."""
        begins = device.not_before
        if begins is not None and self._calendar.number(begins) >= self._calendar.count:
            return _NO_TIME
        return self._reason(Why.NOT_KNOWN if device.reach is Reach.UNKNOWN else Why.NOT_REACHABLE)

    def _reason(self, why: Why) -> Unplaced:
        reason = self._reasons.get(why)
        if reason is None:
            reason = self._reasons[why] = Unplaced(why=why, until=self.until)
        return reason
