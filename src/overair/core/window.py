"""Dates and hours: when a campaign may do what.

A window list is a set of hours of the day, ``startTime <= hour < endTime``; an empty list is always
open. A campaign runs from 00:00 of its start date to the end of its end date. All of that is UTC,
or, by a setting, the device's own time zone for the hours (``lifecycle.md`` 4.2, ``http-ddi.md`` 7).

The text form (``"0-4,20-24"``) is what the store keeps.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Hours of the day, from ``start`` up to, not including, ``end``."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= 24:
            raise ValueError("a window is 0 <= start < end <= 24")


Windows = tuple[Window, ...]


def encode_windows(windows: Iterable[Window]) -> str:
    """``"0-4,20-24"``."""
    return ",".join(f"{window.start}-{window.end}" for window in windows)


def decode_windows(text: str) -> Windows:
    """The inverse of ``encode_windows``. Raises ValueError."""
    if not text:
        return ()
    pairs = (part.split("-") for part in text.split(","))
    return tuple(Window(int(start), int(end)) for start, end in pairs)


@lru_cache(maxsize=1024)  # every device of a campaign asks for the same days
def start_of(day: date) -> datetime:
    """00:00 UTC of ``day``."""
    return datetime.combine(day, time(), UTC)


@lru_cache(maxsize=1024)
def end_of(day: date) -> datetime:
    """The first instant after ``day``, UTC."""
    return start_of(day) + _DAY


def is_open(windows: Windows, now: datetime, zone: tzinfo = UTC) -> bool:
    """Whether ``now`` is in one of ``windows``."""
    if not windows:
        return True
    hour = now.astimezone(zone).hour
    return any(window.start <= hour < window.end for window in windows)


def overlap(one: Windows, other: Windows) -> bool:
    """Whether there is an hour of the day in both lists."""
    if not one or not other:
        return True
    return any(a.start < b.end and b.start < a.end for a in one for b in other)


Rule = tuple[date | None, Windows]  # from the beginning of that day, in these hours


def next_open(
    rules: Iterable[Rule], now: datetime, until: datetime, zone: tzinfo = UTC
) -> datetime | None:
    """The first instant from ``now`` to before ``until`` at which every rule is open, or None."""
    begin = now
    limited: list[Windows] = []
    for day, windows in rules:
        if day is not None:
            begin = max(begin, start_of(day))
        if windows:
            limited.append(windows)
    # Windows repeat daily, so what is not open within two days never is (a day that a zone's
    # change of clock cuts an hour out of is why it is two).
    return _first(limited, True, begin, min(until, begin + 2 * _DAY), zone)


def next_close(
    rules: Iterable[Rule], now: datetime, until: datetime, zone: tzinfo = UTC
) -> datetime:
    """The instant from which some rule that is open ``now`` is open no longer; at most ``until``."""
    limited = [windows for _, windows in rules if windows]
    if not limited:  # most campaigns, and at every offer
        return until
    return _first(limited, False, now, min(until, now + 2 * _DAY), zone) or until


def _first(
    limited: list[Windows], wanted: bool, begin: datetime, stop: datetime, zone: tzinfo
) -> datetime | None:
    # Steps are counted in UTC, so that a local hour that is skipped or comes twice is neither
    # missed nor passed over; zones with offsets of quarter hours are met by the smaller step.
    step = _HOUR if zone is UTC else _HOUR / 4
    at = begin
    while at < stop:
        if all(is_open(windows, at, zone) for windows in limited) is wanted:
            return at
        at += step - (at - _EPOCH) % step
    return None
