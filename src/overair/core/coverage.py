"""Which bytes of an artifact an attempt has been sent.

A device may fetch a file in one go, resume it, or read it in ranges of any size and order; the
download is complete when together they cover the file (http-ddi 5.4). A coverage is the sorted
tuple of the half-open intervals that were sent; intervals that touch are one.

A coverage is kept in a row of the database and grows by what a device asks for, so it is bounded:
at most ``MAX_INTERVALS``. Past that the shortest interval is forgotten. So a coverage may claim
less than was sent and never more: a device that jumps about without end hurts only its own
progress. The clients known stay far below the bound: a resumed download is one interval, and
RAUC's streaming reads a bundle in 128 KiB pieces that mostly follow each other.

Not in here: counting complete downloads (the loop guard), which is a matter of the attempt.
"""

import re
from bisect import bisect_left, bisect_right
from operator import itemgetter
from typing import Final

Coverage = tuple[tuple[int, int], ...]

EMPTY: Final[Coverage] = ()

# 128 intervals of a file of some gigabytes are a text of less than 3 KiB.
MAX_INTERVALS = 128

_INTERVAL = re.compile(r"(0|[1-9][0-9]{0,18})\+([1-9][0-9]{0,18})")
_START = itemgetter(0)
_END = itemgetter(1)


class CoverageError(ValueError):
    """A stored coverage that does not read as one."""


def add(coverage: Coverage, start: int, end: int, *, limit: int = MAX_INTERVALS) -> Coverage:
    """Add the bytes from ``start`` up to before ``end``; an empty interval adds nothing."""
    if not 0 <= start <= end:
        raise ValueError(f"not an interval of bytes: {start} to {end}")
    if start == end:
        return coverage
    if coverage and coverage[-1][1] == start:
        # As it nearly always is: what follows.
        return (*coverage[:-1], (coverage[-1][0], end))
    # All intervals that overlap or touch the new one become one with it.
    first = bisect_left(coverage, start, key=_END)
    after = bisect_right(coverage, end, key=_START)
    if first < after:
        start = min(start, coverage[first][0])
        end = max(end, coverage[after - 1][1])
    merged = (*coverage[:first], (start, end), *coverage[after:])
    if len(merged) > limit:
        shortest = min(range(len(merged)), key=lambda i: merged[i][1] - merged[i][0])
        merged = (*merged[:shortest], *merged[shortest + 1 :])
    return merged


def covers(coverage: Coverage, size: int) -> bool:
    """Whether a whole file of that many bytes was sent."""
    return size == 0 or (bool(coverage) and coverage[0][0] == 0 and coverage[0][1] >= size)


def sent_bytes(coverage: Coverage) -> int:
    """How many different bytes were sent."""
    return sum(end - start for start, end in coverage)


def encode(coverage: Coverage) -> str:
    """Write a coverage as text: ``start+length`` of each interval, separated by spaces."""
    return " ".join(f"{start}+{end - start}" for start, end in coverage)


def decode(text: str) -> Coverage:
    """Read what ``encode`` wrote."""
    intervals: list[tuple[int, int]] = []
    for word in text.split(" ") if text else ():
        parts = _INTERVAL.fullmatch(word)
        if parts is None:
            raise CoverageError(f"not an interval: {word[:50]!r}")
        start = int(parts[1])
        if intervals and start <= intervals[-1][1]:
            raise CoverageError(f"intervals out of order or touching at {start}")
        if len(intervals) == MAX_INTERVALS:
            raise CoverageError(f"more than {MAX_INTERVALS} intervals")
        intervals.append((start, start + int(parts[2])))
    return tuple(intervals)
