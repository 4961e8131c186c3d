"""Every peer of whom something is known, by its address or session.

A line that was asked for stays until it is dropped. One that only came about because a stranger is told
something goes as soon as that is over: strangers cost nothing.
"""

from collections.abc import Callable

from overair.protocols.coap.events import Peer
from overair.protocols.coap.line import Line
from overair.protocols.coap.values import Timings

Entropy = Callable[[int], bytes]


class Lines:
    """Lines by peer."""

    __slots__ = ("_entropy", "_lines", "_timings")

    def __init__(self, entropy: Entropy, timings: Timings) -> None:
        self._entropy = entropy
        self._timings = timings
        self._lines: dict[Peer, Line] = {}

    def find(self, peer: Peer) -> Line | None:
        """Return what is known of a peer, if anything is."""
        return self._lines.get(peer)

    def known(self, peer: Peer, *, kept: bool = True) -> Line:
        """Return what is known of a peer, from now on."""
        line = self._lines.get(peer)
        if line is None:
            line = Line(peer, int.from_bytes(self._entropy(2), "big"), self._timings)
            self._lines[peer] = line
        line.kept |= kept
        return line

    def move(self, line: Line, new: Peer) -> Line | None:
        """Let a line be of another peer, and return the one that was there."""
        del self._lines[line.peer]
        there = self._lines.get(new)
        line.peer = new
        line.proven = False
        self._lines[new] = line
        return there

    def drop(self, peer: Peer) -> Line | None:
        """Know nothing of a peer any more; return what was known."""
        return self._lines.pop(peer, None)

    def settle(self, line: Line) -> None:
        """Let go of a stranger with whom nothing is left to do."""
        busy = line.kept or line.current or line.queue or line.deliveries or line.observations
        if not busy and self._lines.get(line.peer) is line:
            del self._lines[line.peer]
