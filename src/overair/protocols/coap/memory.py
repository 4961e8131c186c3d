"""What was said to which message, so that a repeated one gets the same answer (RFC 7252 4.5).

There are as many entries as messages in four minutes, so an entry is a number and a few bytes: which peer and
message id, as a hash, and until when it counts, and what was said. They are kept in layers, by when they
came. A layer that is full, or as old as its share of an exchange's lifetime, has a new one laid on it, and the
lowest goes as a whole: so it is bounded by count, the oldest go first, and none that still counts goes
by its age.

A *mark* says which message it was: a NAT gives the address of one device to another within that time, and what
that one says under the same message id is no repetition, and has no answer that was another's. Nor has who
shares the hash of another: their marks differ too, and only the newer of both is remembered.
"""

import struct
from collections import deque
from typing import Final

from overair.protocols.coap.events import Peer
from overair.protocols.coap.values import EXCHANGE_LIFETIME

# Until when it counts, and the mark.
_HEAD: Final = struct.Struct("dI")
_SIZE: Final = _HEAD.size
_LAYERS: Final = 9
# Eight more layers after an entry's own are a lifetime.
_LAYER_S: Final = EXCHANGE_LIFETIME / (_LAYERS - 1)

Layer = dict[int, bytes]


def mark_of(datagram: bytes) -> int:
    """Tell a message from others; a repetition is the same, byte for byte."""
    return hash(datagram) & 0xFFFFFFFF


class Memory:
    """Answers by peer and message id; ``most`` of them, or a few more where that is not many."""

    __slots__ = ("_layers", "_most", "_top", "_until")

    def __init__(self, most: int) -> None:
        self._most = -(-most // _LAYERS)  # in a layer
        self._top: Layer = {}
        self._layers: deque[Layer] = deque([self._top], maxlen=_LAYERS)  # the top is the first
        self._until = 0.0

    def recall(self, peer: Peer, mid: int, mark: int, now: float) -> bytes | None:
        """Return what was said, empty if nothing yet; None: that message was never seen."""
        key = hash((peer, mid))
        layer = self._layer_with(key)
        if layer is None:
            return None
        entry = layer[key]
        until, marked = _HEAD.unpack_from(entry)
        return entry[_SIZE:] if marked == mark and until > now else None

    def begin(self, peer: Peer, mid: int, mark: int, said: bytes, now: float) -> None:
        """A message that was not seen before; its age counts from now."""
        if len(self._top) >= self._most or now >= self._until:
            self._top = {}
            self._layers.appendleft(self._top)
            self._until = now + _LAYER_S
        self._top[hash((peer, mid))] = _HEAD.pack(now + EXCHANGE_LIFETIME, mark) + said

    def keep(self, peer: Peer, mid: int, mark: int, said: bytes, now: float) -> None:
        """Keep what was said to a message that has begun, unless that is forgotten or another's by now."""
        key = hash((peer, mid))
        layer = self._layer_with(key)
        if layer is not None:
            before = layer[key]
            until, marked = _HEAD.unpack_from(before)
            if marked == mark and until > now:
                layer[key] = before[:_SIZE] + said

    def drop(self, peer: Peer, mid: int, mark: int) -> None:
        """Let a repetition be a new message."""
        key = hash((peer, mid))
        layer = self._layer_with(key)
        if layer is not None and _HEAD.unpack_from(layer[key])[1] == mark:
            del layer[key]

    def _layer_with(self, key: int) -> Layer | None:
        """Return the uppermost that has it: below may be an older message of that key."""
        for layer in self._layers:
            if key in layer:
                return layer
        return None
