"""When something is to be done, for very many things of which most are done before that.

Each thing has one timer at most. Putting it off costs nothing: the timer rings at the former time, and is
wound up again. So a time that ``next`` gives may be early, and never late.
"""

import heapq

from overair.protocols.coap.line import Delivery, Line, Pending


class Timers:
    """What is due, of all peers."""

    __slots__ = ("_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Line, Pending | Delivery]] = []
        self._count = 0

    def set(self, due: float, line: Line, what: Pending | Delivery) -> None:
        """Let this be due then, and not when it was before."""
        what.due = due
        if what.armed is None or due < what.armed:
            what.armed = due
            self._count += 1
            heapq.heappush(self._heap, (due, self._count, line, what))

    @property
    def next(self) -> float | None:
        """When something may be due."""
        heap = self._heap
        while heap:
            rings, _, _, what = heap[0]
            if what.due is not None and what.armed == rings:
                return rings
            heapq.heappop(heap)
            if what.armed == rings:
                what.armed = None
        return None

    def pop(self, now: float) -> tuple[Line, Pending | Delivery] | None:
        """Take the next thing that is due, if one is."""
        while (rings := self.next) is not None and rings <= now:
            _, _, line, what = heapq.heappop(self._heap)
            what.armed = None
            if what.due is not None and what.due > now:
                self.set(what.due, line, what)
            else:
                return line, what
        return None
