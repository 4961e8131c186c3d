"""What was said to which message, so that a repeated one gets the same answer (RFC 7252 4.5).

A repetition comes from the same peer and is the same, byte for byte, so it is known by a hash of both. Its
message id alone would not do: a NAT gives the address of one device to another within that time, and what that one
says under the same id is no repetition, and has no answer that was another's.

There are as many entries as messages in four minutes, so an entry is a number and a few bytes, and its age is its
layer's. A layer that is full, or has been the uppermost for long enough, has a new one laid on it, and the lowest
goes as a whole: so they are bounded by count and by age, and the oldest go first.
"""

from collections import deque
from typing import Final, NamedTuple

from overair.protocols.coap.events import Peer
from overair.protocols.coap.values import EXCHANGE_LIFETIME

LAYERS: Final = 9
# The first message of a layer is remembered for a lifetime, and its last one for seven eighths of it: after that a
# message id may mean something new, and repetitions have long ceased (145 s, RFC 7252 4.8.2).
_LAYER_S: Final = EXCHANGE_LIFETIME / (LAYERS - 1)


class _Layer(NamedTuple):
    until: float
    said: dict[int, bytes]


def key_of(peer: Peer, datagram: bytes) -> int:
    """Tell a message from others. A peer that is an object has a hash that no other will ever have."""
    return hash((peer, datagram))


class Memory:
    """Answers by message; ``most`` of them, or one in each layer."""

    __slots__ = ("_each", "_full_at", "_layers", "_top")

    def __init__(self, most: int) -> None:
        self._each = max(1, most // LAYERS)
        self._layers: deque[_Layer] = deque(maxlen=LAYERS)  # the uppermost is the first
        self._top: dict[int, bytes] = {}
        self._full_at = float("-inf")

    def recall(self, key: int, now: float) -> bytes | None:
        """Return what was said, empty if nothing yet; None: that message was never seen."""
        for until, said in self._layers:
            if key in said:
                return said[key] if until > now else None
        return None

    def begin(self, key: int, said: bytes, now: float) -> None:
        """A message that was not seen before."""
        if len(self._top) >= self._each or now >= self._full_at:
            self._top = {}
            self._layers.appendleft(_Layer(now + EXCHANGE_LIFETIME, self._top))
            self._full_at = now + _LAYER_S
        self._top[key] = said

    def keep(self, key: int, said: bytes) -> None:
        """Keep what was said to a message that has begun, unless that is forgotten by now."""
        for layer in self._layers:
            if key in layer.said:
                layer.said[key] = said
                return

    def drop(self, key: int) -> None:
        """Let a repetition be a new message."""
        for layer in self._layers:
            if layer.said.pop(key, None) is not None:
                return
