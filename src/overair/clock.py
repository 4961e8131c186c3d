"""The only door to the time of day.

Everything below the edges takes ``now`` as an argument; everything at the edges asks a ``Clock``.
Campaign time may run faster than the wall's (``FastClock``), because waits of hours and midnights
are what a person trying the product has no patience for. Tokens, sessions and network time-outs
stay on the wall's clock: a client's own clock does not run faster with ours.

Not in here: any rule about dates or windows (``core/window.py``).
"""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

NAP_S = 0.05  # of the wall's time, after which a sleeper on a fast clock looks at it again


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds of this clock since some fixed moment, never going back."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait for that many seconds of this clock."""
        ...


class SystemClock:
    """The wall's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(max(0.0, delay_s))


class FastClock:
    """A clock that starts at the wall's time and then runs ``rate`` times as fast.

    ``set_rate`` may slow it down or speed it up at any moment; the time it shows never jumps.
    """

    def __init__(self, rate: float = 1.0, start: datetime | None = None) -> None:
        if rate <= 0:
            raise ValueError("rate must be above 0")
        self._rate = rate
        self._anchor = time.monotonic()
        self._elapsed_s = 0.0
        self._start = start or datetime.now(UTC)

    @property
    def rate(self) -> float:
        return self._rate

    def set_rate(self, rate: float) -> None:
        """Run ``rate`` times as fast as the wall's clock from this moment on."""
        if rate <= 0:
            raise ValueError("rate must be above 0")
        self._elapsed_s = self.monotonic()
        self._anchor = time.monotonic()
        self._rate = rate

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return self._elapsed_s + (time.monotonic() - self._anchor) * self._rate

    async def sleep(self, delay_s: float) -> None:
        # Short real naps, so that a change of rate takes hold during a long virtual wait.
        end = self.monotonic() + max(0.0, delay_s)
        while (left := end - self.monotonic()) > 0:  # noqa: ASYNC110 - it is time that is awaited
            await asyncio.sleep(min(left / self._rate, NAP_S))


class ManualClock:
    """A clock that a test moves by hand; ``sleep`` returns once it was moved far enough."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._now = start
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    def advance(self, delta: timedelta) -> None:
        """Move the time on and wake those whose sleep is over."""
        if delta < timedelta(0):
            raise ValueError("time does not go back")
        self._now += delta
        for wake_at, future in self._sleepers:
            if wake_at <= self._now and not future.done():
                future.set_result(None)
        self._sleepers = [entry for entry in self._sleepers if entry[0] > self._now]

    async def sleep(self, delay_s: float) -> None:
        if delay_s <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + timedelta(seconds=delay_s), future))
        await future
