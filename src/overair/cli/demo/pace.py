"""How fast the demo's clock runs: as fast as the fleet can follow.

Days in which devices only check in may fly by; an hour in which dozens of them download may not, or
they would be overtaken by the closing of the window. So the rate is what keeps the number of requests
a (real) second about the same, and less where the machine does not keep up with that.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from overair.cli.demo.world import BUSY_POLL_S, POLL_S
from overair.clock import FastClock
from overair.sim.http.tally import FleetSnapshot

TICK_S: Final = 0.05
REQUESTS_PER_S: Final = 450.0
LEAST_REQUESTS_PER_S: Final = 50.0
LEAST_RATE: Final = 60.0
BUSY_REQUEST_S: Final = 15.0  # between two requests of a device that is at work
# Sleepers doze for a moment before they see that the clock runs faster.
FASTER: Final = 1.2


def demand_per_s(seen: FleetSnapshot) -> float:
    """Requests that a fleet makes in a second of its time."""
    busy = seen.downloading + seen.installing + seen.rebooting + seen.reporting
    idle = seen.devices - busy - seen.waiting
    return idle / POLL_S + seen.waiting / BUSY_POLL_S + busy / BUSY_REQUEST_S


class Pace:
    """Sets the clock's rate, up to ``highest``; ``demand`` is in requests a second of its time."""

    def __init__(self, clock: FastClock, highest: float, demand: Callable[[], float]) -> None:
        self._clock = clock
        self._highest = highest
        self._demand = demand
        self._requests_per_s = REQUESTS_PER_S / 3

    async def run_until(self, done: Callable[[], bool], end: datetime | None = None) -> None:
        """Run the clock until ``done``, or without overshooting until it shows ``end``."""
        tick = time.monotonic()
        while not done():
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            self._adapt(late_s=now - tick - TICK_S)
            tick = now
            wanted = self._wanted()
            if end is not None:
                left = (end - self._clock.now()) / timedelta(seconds=1)
                if left <= 1.0:
                    return
                wanted = min(wanted, max(1.0, left / (4 * TICK_S)))
            self._clock.set_rate(min(wanted, max(self._clock.rate, LEAST_RATE) * FASTER))

    def _adapt(self, *, late_s: float) -> None:
        """Ask for less of a machine that is late."""
        if late_s > TICK_S:
            self._requests_per_s = max(LEAST_REQUESTS_PER_S, self._requests_per_s * 0.8)
        else:
            self._requests_per_s = min(REQUESTS_PER_S, self._requests_per_s * 1.05)

    def _wanted(self) -> float:
        demand = max(self._demand(), 1e-9)
        return min(self._highest, max(LEAST_RATE, self._requests_per_s / demand))
