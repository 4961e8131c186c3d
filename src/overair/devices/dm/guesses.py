"""How often somebody may be wrong about an account from one address (``oma-dm.md`` 11.2).

Counts of one minute, dropped with it, as in ``devices/throttle.py``; each process counts for itself. Only
wrong credentials count: a device that was given none yet, or whose nonce is stale now and then, is never
kept out.
"""

from hashlib import blake2b
from typing import Final

WRONG_A_MINUTE: Final = 30
MINUTE_S: Final = 60.0
# Whoever has so many names, or addresses, is not stopped by counting them.
MOST: Final = 100_000

Key = tuple[str, str]


class Guesses:
    """Counts by account, as it was claimed, and address."""

    def __init__(self) -> None:
        self._began = 0.0
        self._counts: dict[bytes, int] = {}

    def wait_s(self, key: Key, monotonic_s: float) -> int:
        """0 if another try may pass, else the seconds after which to come again."""
        self._turn(monotonic_s)
        if self._counts.get(_mark(key), 0) < WRONG_A_MINUTE:
            return 0
        return max(1, int(self._began + MINUTE_S - monotonic_s) + 1)

    def note(self, key: Key, monotonic_s: float) -> None:
        """Somebody was wrong."""
        self._turn(monotonic_s)
        mark = _mark(key)
        if mark in self._counts or len(self._counts) < MOST:
            self._counts[mark] = self._counts.get(mark, 0) + 1

    def _turn(self, monotonic_s: float) -> None:
        if monotonic_s - self._began >= MINUTE_S:
            self._began = monotonic_s
            self._counts = {}


def _mark(key: Key) -> bytes:
    """What stands for it here: a stranger's name may have 60 KB, and there are many strangers."""
    account, address = key
    return blake2b(f"{address} {account}".encode("utf-8", "surrogatepass"), digest_size=16).digest()
