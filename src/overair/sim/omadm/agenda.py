"""The timers of many devices in one place.

A device's timer moves with everything that happens to it, mostly back and forth, so a timer that has been
moved is only passed over when its time comes.
"""

import heapq
from datetime import datetime
from itertools import count
from typing import Generic, TypeVar

Instant = TypeVar("Instant", datetime, float)


class Agenda(Generic[Instant]):
    """When each device wants to be woken: a name has one time, or none."""

    def __init__(self) -> None:
        self._at: dict[str, Instant] = {}
        self._heap: list[tuple[Instant, int, str]] = []
        self._order = count()

    def put(self, name: str, at: Instant | None) -> bool:
        """Move a timer, or drop it; tell whether it is the earliest now."""
        if at is None:
            self._at.pop(name, None)
            return False
        if self._at.get(name) != at:
            self._at[name] = at
            heapq.heappush(self._heap, (at, next(self._order), name))
        return self._heap[0][2] == name and self._heap[0][0] == at

    def next_at(self) -> Instant | None:
        """Return when the next timer runs out."""
        while self._heap:
            at, _, name = self._heap[0]
            if self._at.get(name) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def take(self, now: Instant) -> str | None:
        """Return a name whose time has come, and drop its timer; None: there is none."""
        at = self.next_at()
        if at is None or at > now:
            return None
        _, _, name = heapq.heappop(self._heap)
        del self._at[name]
        return name
