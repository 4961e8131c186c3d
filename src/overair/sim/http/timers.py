"""One sleeper for a whole fleet.

Thousands of devices that each slept on the clock would each wake up now and then only to see whether
the clock runs faster by now. Here one task sleeps until the earliest of them is due.
"""

import asyncio
import heapq
from itertools import count

from overair.clock import Clock


class Timers:
    """Sleeps of many tasks on one clock. ``run`` must be running."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        self._earlier = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        """Wait for that many seconds of the clock."""
        if seconds <= 0:
            # Still lets the others go on: no device keeps the loop to itself.
            await asyncio.sleep(0)
            return
        due_at = self._clock.monotonic() + seconds
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._due, (due_at, next(self._order), future))
        if self._due[0][2] is future:
            self._earlier.set()
        await future

    async def run(self) -> None:
        """Wake whoever is due, for ever."""
        while True:
            self._earlier.clear()
            self._wake(self._clock.monotonic())
            nap = asyncio.ensure_future(self._nap())
            changed = asyncio.ensure_future(self._earlier.wait())
            try:
                await asyncio.wait({nap, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                nap.cancel()
                changed.cancel()

    async def _nap(self) -> None:
        if not self._due:
            await self._earlier.wait()
            return
        await self._clock.sleep(self._due[0][0] - self._clock.monotonic())

    def _wake(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, _, future = heapq.heappop(self._due)
            if not future.done():
                future.set_result(None)
