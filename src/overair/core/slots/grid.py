"""When a campaign may begin work: slots, cut by its windows, inside its dates.

The day is divided into slots of one length from 00:00 on, the same for every campaign, because they
share the cells. A campaign has of each slot what its windows leave: with slots of four hours and the
window 2-5 that is 02:00-04:00 of the first slot and 04:00-05:00 of the second. Two windows may leave
two pieces of one slot. Windows that touch are one.

All of it is UTC. Local clocks are changed twice a year, this one is not: every day has the same slots,
and no hour is missing or comes twice.

A slot says when work may *begin*. Work that has begun may go on after it, after its window, and after
the campaign's end (``lifecycle.md`` 5.3). A slot that is running may still be given, from now on, as
long as ``least`` of it is left: a device that just turned up would otherwise wait four hours next to
an idle cell.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from overair.core.window import Windows

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MINUTES: Final = 1440
_HOUR_MINUTES: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A time in which the work on a device may begin."""

    start: datetime
    end: datetime
    key: int
    """The slot that it is (a piece of): minutes from 1970 to its beginning, the same in all campaigns."""

    def open(self, now: datetime) -> bool:
        """Whether work may begin now."""
        return self.start <= now < self.end


def key_of(instant: datetime, slot_minutes: int) -> int:
    """The key of the slot that an instant is in."""
    minutes = (instant - _EPOCH) // timedelta(minutes=1)
    return minutes - minutes % slot_minutes


def key_instant(key: int) -> datetime:
    """When the slot of a key begins."""
    return _EPOCH + timedelta(minutes=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """What windows leave of one slot of a day, in minutes of the day."""

    begin: int
    end: int
    slot: int  # where the slot begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """All slots of a campaign, numbered from 0; making one costs little and depends on no length."""

    start_date: date
    end_date: date
    windows: Windows = ()
    slot_minutes: int = 240
    least: timedelta = timedelta(minutes=10)
    _pieces: tuple[_Piece, ...] = field(init=False, repr=False)
    _latest_s: tuple[int, ...] = field(init=False, repr=False)
    _first_day: int = field(init=False, repr=False)
    count: int = field(init=False)

    def __post_init__(self) -> None:
        if self.slot_minutes < 1 or _DAY_MINUTES % self.slot_minutes:
            raise ValueError("a slot's minutes divide a day")
        if self.end_date < self.start_date:
            raise ValueError("a campaign ends after it starts")
        pieces = _pieces(self.windows, self.slot_minutes)
        least_s = int(self.least / timedelta(seconds=1))
        set_field = object.__setattr__  # how a frozen value derives its own fields
        set_field(self, "_pieces", pieces)
        # A whole piece will do however short it is; of one that has begun, ``least`` must be left.
        set_field(
            self,
            "_latest_s",
            tuple(max(p.begin * 60, p.end * 60 - max(1, least_s)) for p in pieces),
        )
        set_field(self, "_first_day", (self.start_date - _EPOCH.date()).days)
        days = (self.end_date - self.start_date).days + 1
        set_field(self, "count", days * len(pieces))

    def number(self, instant: datetime) -> int:
        """The first slot in which a device may begin that may not before ``instant``.

        ``count`` or more: there is none.
        """
        since = instant - _EPOCH
        second = since.seconds + (since.microseconds > 0)
        days = since.days - self._first_day
        return max(0, days * len(self._pieces) + bisect_left(self._latest_s, second))

    def key(self, number: int) -> int:
        """The key of a slot by its number."""
        day, piece = divmod(number, len(self._pieces))
        return (self._first_day + day) * _DAY_MINUTES + self._pieces[piece].slot

    def slot(self, number: int, earliest: datetime | None = None) -> Slot:
        """A slot by its number, not beginning before ``earliest``."""
        day, of_day = divmod(number, len(self._pieces))
        piece = self._pieces[of_day]
        midnight = (self._first_day + day) * _DAY_MINUTES
        start = key_instant(midnight + piece.begin)
        if earliest is not None and earliest > start:
            start = earliest.astimezone(UTC)
        return Slot(start=start, end=key_instant(midnight + piece.end), key=midnight + piece.slot)

    def slots(self, since: datetime | None = None) -> Iterator[Slot]:
        """All slots from an instant on, or all."""
        first = 0 if since is None else self.number(since)
        return (self.slot(number, since) for number in range(first, self.count))

    def next_slot(self, after: datetime) -> Slot | None:
        """The first slot that may be given from an instant on."""
        return next(self.slots(after), None)

    def allows(self, instant: datetime) -> bool:
        """Whether work may begin at an instant. For slots that were given under other dates."""
        since = instant - _EPOCH
        day = since.days - self._first_day
        if not 0 <= day * len(self._pieces) < self.count:
            return False
        minute = since.seconds // 60
        return any(piece.begin <= minute < piece.end for piece in self._pieces)

    @property
    def closes_at(self) -> datetime:
        """When the last slot ends."""
        return self.slot(self.count - 1).end


def _pieces(windows: Windows, slot_minutes: int) -> tuple[_Piece, ...]:
    pieces: list[_Piece] = []
    for begin, end in _hours(windows):
        slot = begin - begin % slot_minutes
        while slot < end:
            pieces.append(
                _Piece(begin=max(begin, slot), end=min(end, slot + slot_minutes), slot=slot)
            )
            slot += slot_minutes
    return tuple(pieces)


def _hours(windows: Windows) -> list[tuple[int, int]]:
    """The allowed times of a day in minutes, in order, those that touch or overlap made one."""
    if not windows:
        return [(0, _DAY_MINUTES)]
    merged: list[tuple[int, int]] = []
    for window in sorted(windows):
        begin, end = window.start * _HOUR_MINUTES, window.end * _HOUR_MINUTES
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
