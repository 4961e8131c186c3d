"""How many notifications may leave now: a bucket that fills at an even rate.

It holds a second's worth, so what was not needed is not saved up for a burst. Its time is the wall's,
however fast campaign time runs: it is the carrier that is spared, and that lives in real time.
"""


class Pace:
    """``per_s`` a second, from one process."""

    def __init__(self, per_s: float, now_s: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._left = self._most
        self._at_s = now_s

    def left(self, now_s: float) -> int:
        """How many may leave now."""
        self._left = min(self._most, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return int(self._left + 1e-6)  # what was waited for is there, whatever floats lose of it

    def take(self, count: int) -> None:
        """So many leave."""
        self._left -= count

    def wait_s(self, now_s: float, handful_s: float = 0.0) -> float:
        """Until the next one may leave, or those of ``handful_s`` seconds; 0: they may."""
        self.left(now_s)
        wanted = max(1.0, handful_s * self._per_s)
        return max(0.0, (wanted - self._left) / self._per_s)
