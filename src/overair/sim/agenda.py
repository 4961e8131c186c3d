"""The timers of many devices in one place, and who wakes them.

A device's timer moves with everything that happens to it, mostly back and forth, so a timer that has been
moved is only passed over when its time comes.
"""

import asyncio
import heapq
from collections.abc import Callable
from datetime import datetime
from itertools import count
from typing import Final, Generic, TypeVar

from overair.clock import Clock

Instant = TypeVar("Instant", datetime, float)

AT_ONCE: Final = 50
"""Timers that are handled before sockets have their turn."""


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


class Ticker(Generic[Instant]):
    """Wakes whoever is due by the time of the fleet's clock.

    ``now`` reads that time as the agenda has it, ``until`` says how many of its seconds an instant is away.
    """

    def __init__(
        self,
        clock: Clock,
        wake: Callable[[str], None],
        *,
        now: Callable[[], Instant],
        until: Callable[[Instant], float],
    ) -> None:
        self._clock = clock
        self._wake = wake
        self._now: Callable[[], Instant] = now
        self._until: Callable[[Instant], float] = until
        self._agenda: Agenda[Instant] = Agenda()
        self._earlier = asyncio.Event()

    def put(self, name: str, at: Instant | None) -> None:
        """Move a device's timer, or drop it."""
        if self._agenda.put(name, at):
            self._earlier.set()

    async def run(self) -> None:
        """Wake devices, for ever."""
        while True:
            self._earlier.clear()
            handled = 0
            while (name := self._agenda.take(self._now())) is not None:
                self._wake(name)
                handled += 1
                if handled % AT_ONCE == 0:
                    await asyncio.sleep(0)
            nap = asyncio.ensure_future(self._nap())
            changed = asyncio.ensure_future(self._earlier.wait())
            try:
                await asyncio.wait({nap, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                nap.cancel()
                changed.cancel()

    async def _nap(self) -> None:
        at = self._agenda.next_at()
        if at is None:
            await self._earlier.wait()
            return
        await self._clock.sleep(self._until(at))
