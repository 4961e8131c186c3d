"""Lines of the log about strangers, at most one a minute for each address.

Anybody can send anything; what it is worth is one line.
"""

from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger()

QUIET_S: Final = 60.0
MOST: Final = 10_000


class Quiet:
    """Who was written of lately."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._said: dict[str, float] = {}

    def warn(self, event: str, address: str, **more: object) -> None:
        """Write a line, unless there was one about that address."""
        now = self._now()
        if now - self._said.get(address, -QUIET_S) < QUIET_S:
            return
        if len(self._said) >= MOST:
            self._said = {}
        self._said[address] = now
        log.warning(event, address=address, **more)
