"""The clocks of simulated processes: virtual time, perhaps a wrong one.

A process's clock may be off, and be stepped; its monotonic one never is. Polls, which look each second for
what another process may have left, are stretched while nothing happens anywhere: a day without work
takes a hundred of them and not a hundred thousand. That is what a slow machine would do, too.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Final

from overair.simulation.loop import VirtualLoop

POLL_S: Final = 1.0
POLLS_S: Final = (POLL_S, 30.0)
"""Between two looks for what another process may have left."""
LONGEST_S: Final = 3600.0
"""Each look in vain is followed by a nap of twice the length, up to this."""
TIDY_S: Final = 600.0
RARELY_S: Final = 6 * 3600.0
"""What is old is forgotten so often here: it is looked for in vain nearly always."""


class Pulse:
    """When something was last written, and who naps until something is."""

    def __init__(self, loop: VirtualLoop, nap_s: float) -> None:
        self._loop = loop
        self._nap_s = nap_s
        self._stirs = 0
        self._seen: dict[
            object, tuple[int, float]
        ] = {}  # who looked: after which stir, and then slept
        self._napping: list[asyncio.Future[None]] = []

    def stir(self) -> None:
        """Something was written."""
        self._stirs += 1
        napping, self._napping = self._napping, []
        for future in napping:
            if not future.done():
                future.set_result(None)

    async def nap(self) -> None:
        """Wait for the next poll: a second from when something was written, or for quite long."""
        who = asyncio.current_task()
        seen, nap_s = self._seen.get(who, (-1, 0.0))
        if seen == self._stirs:
            nap_s = min(max(self._nap_s, 2 * nap_s), LONGEST_S)
            future: asyncio.Future[None] = self._loop.create_future()
            self._napping.append(future)
            timer = self._loop.call_later(nap_s, _wake, future)
            try:
                await future
            finally:
                timer.cancel()
        if seen != self._stirs:
            await asyncio.sleep(POLL_S)
            nap_s = 0.0
        self._seen[who] = (self._stirs, nap_s)


def _wake(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class ProcessClock:
    """What one process believes that the time is."""

    def __init__(self, loop: VirtualLoop, begin: datetime, pulse: Pulse) -> None:
        self._loop = loop
        self._begin = begin
        self._pulse = pulse
        self.off = timedelta()

    def now(self) -> datetime:
        return self._begin + timedelta(seconds=self._loop.time()) + self.off

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, delay_s: float) -> None:
        if delay_s in POLLS_S:
            await self._pulse.nap()
        elif delay_s == TIDY_S:
            await asyncio.sleep(RARELY_S)
        else:
            await asyncio.sleep(max(0.0, delay_s))
