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

from collections.abc import Iterable
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
    estimate: Slot | None = None
    """The slot that it would have if it could be reached now. None: none has room."""

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
    devices = list(devices)
    outcomes: dict[str, Outcome] = dict.fromkeys(map(_BY_IMEI, devices), _NO_TIME)
    if len(outcomes) != len(devices):
        raise ValueError("a device is given twice")
    cells: dict[CellKey, list[Device]] = {}
    for device in devices:
        if device.held is not None:
            occupancy.give_back(device.held)
        group = cells.get(device.cell)
        if group is None:
            cells[device.cell] = [device]
        else:
            group.append(device)
    search = _Search(calendar, now)
    if search.over:
        return outcomes
    for cell, group in cells.items():
        group.sort(key=_BY_IMEI)
        search.cell(occupancy.cell(cell), limits.shares(cell), group, outcomes)
    return outcomes


class _Search:
    """One run of ``plan``: what is the same for all its devices, made once."""

    __slots__ = ("_calendar", "_first", "_now", "_placed", "_until", "_waiting", "over")

    def __init__(self, calendar: Calendar, now: datetime) -> None:
        self._calendar = calendar
        self._now = now.astimezone(UTC)
        self._first = calendar.number(now)
        self.over = self._first >= calendar.count
        self._until = calendar.closes_at
        # Places and reasons are values, so devices with the same one share it.
        self._placed: dict[tuple[int, int], Placed] = {}
        self._waiting: dict[tuple[Why, int], Unplaced] = {}

    def cell(
        self,
        cell: Cell,
        shares: dict[Signal, int],
        group: list[Device],
        outcomes: dict[str, Outcome],
    ) -> None:
        """Place the devices of one cell, which are in order."""
        # While devices are placed, room only shrinks: where a share had none, it never will.
        cursors = dict.fromkeys(shares.values(), self._first)
        waiting: list[Device] = []
        for device in group:
            if device.reach is not Reach.REACHABLE:
                waiting.append(device)
                continue
            share = shares[device.signal]
            number = self._find(cell, share, cursors, device.not_before)
            if number is None:
                outcomes[device.imei] = self._none_left(device)
            else:
                placed = self._place(number, share, device.not_before)
                cell.take(placed.slot.key, share)
                outcomes[device.imei] = placed
        # Those who wait take nothing, and are told what is left when everybody else has a place.
        for device in waiting:
            share = shares[device.signal]
            number = self._find(cell, share, cursors, device.not_before)
            outcomes[device.imei] = self._wait(device, number, share)

    def _find(
        self, cell: Cell, share: int, cursors: dict[int, int], not_before: datetime | None
    ) -> int | None:
        """The first slot with room, by its number."""
        number = cursors[share]
        follows = True
        if not_before is not None and not_before > self._now:
            later = self._calendar.number(not_before)
            if later > number:
                number, follows = later, False
        taken, room = cell.taken, WHOLE - share
        calendar, count = self._calendar, self._calendar.count
        while number < count and taken.get(calendar.key(number), 0) > room:
            number += 1
        if follows:
            cursors[share] = number
        return number if number < count else None

    def _place(self, number: int, share: int, not_before: datetime | None) -> Placed:
        placed = self._placed.get((number, share))
        if placed is None:
            slot = self._calendar.slot(number, self._now)
            placed = self._placed[number, share] = Placed(slot=slot, share=share)
        if not_before is not None and not_before > placed.slot.start:
            return Placed(slot=self._calendar.slot(number, not_before), share=share)
        return placed

    def _none_left(self, device: Device) -> Unplaced:
        """Why a device that can be reached, in a campaign with slots left, found none."""
        if (
            device.not_before is not None
            and self._calendar.number(device.not_before) >= self._calendar.count
        ):
            return _NO_TIME
        return self._reason(Why.CELL_FULL, None, 0)

    def _wait(self, device: Device, number: int | None, share: int) -> Unplaced:
        unknown = device.reach is Reach.UNKNOWN
        why = Why.NOT_KNOWN if unknown else Why.NOT_REACHABLE
        if number is None:
            none_left = self._none_left(device)
            return none_left if none_left.final else self._reason(why, None, 0)
        placed = self._place(number, share, device.not_before)
        if placed is not self._placed.get((number, share)):  # a beginning of its own
            return Unplaced(why=why, until=self._until, estimate=placed.slot)
        return self._reason(why, placed, number)

    def _reason(self, why: Why, placed: Placed | None, number: int) -> Unplaced:
        key = (why, -1 if placed is None else number)
        reason = self._waiting.get(key)
        if reason is None:
            slot = None if placed is None else placed.slot
            reason = self._waiting[key] = Unplaced(why=why, until=self._until, estimate=slot)
        return reason
