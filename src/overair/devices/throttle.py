"""How many requests one device, or one public address, may send (``http-ddi.md`` 11).

A count per fixed window of ``burst / rate`` seconds: within a window ``burst`` requests may come at
once, over time ``rate`` a second. The counts are dropped with their window, so the memory is bounded
by who was there in one window. The first request of a window that is too many is logged, and no other.
"""

import math
from functools import lru_cache
from typing import Generic, TypeVar

import structlog

from overair.proxy import parse_address

_log = structlog.get_logger()

Key = TypeVar("Key")


class Throttle(Generic[Key]):
    """Counts by key. A rate of 0 is no limit; ``what`` is the word for a key in the log: ``imei``, ``address``."""

    def __init__(self, what: str, rate_per_s: int, burst: int) -> None:
        self._what = what
        self._burst = burst
        self._window_s = burst / rate_per_s if rate_per_s else 0.0
        self._began = 0.0
        self._counts: dict[Key, int] = {}

    def admit(self, key: Key, monotonic_s: float) -> int:
        """0 if the request may pass, else the whole seconds after which to try again."""
        if not self._window_s:
            return 0
        if monotonic_s - self._began >= self._window_s:
            self._began = monotonic_s
            self._counts = {}
        count = self._counts.get(key, 0) + 1
        self._counts[key] = count
        if count <= self._burst:
            return 0
        wait_s = max(1, math.ceil(self._began + self._window_s - monotonic_s))
        if count == self._burst + 1:
            _log.warning("too many requests", **{self._what: key}, refused_for_s=wait_s)
        return wait_s


@lru_cache(maxsize=65536)
def is_public(address: str) -> bool:
    """Whether the address is one of the public Internet; private ones are exempt from its limit."""
    parsed = parse_address(address)
    return parsed is not None and parsed.is_global
