"""What was said to which message, so that a repeated one gets the same answer (RFC 7252 4.5).

One entry is a peer, a message id and a few bytes: until when it counts, and what was said. There are as many
as messages in four minutes, so these are bytes and no tuple. It is bounded by count, the oldest go first,
and by age: after an exchange's lifetime a message id may mean something new.

A *mark* says which message it was: a NAT gives the address of one device to another within that time, and what
that one says under the same message id is no repetition, and has no answer that was another's.
"""

import struct
from collections import OrderedDict

from overair.protocols.coap.events import Peer
from overair.protocols.coap.values import EXCHANGE_LIFETIME

# Until when it counts, and the mark.
_HEAD = struct.Struct("dI")
_SIZE = _HEAD.size


def mark_of(datagram: bytes) -> int:
    """Tell a message from others; a repetition is the same, byte for byte."""
    return hash(datagram) & 0xFFFFFFFF


class Memory:
    """Answers by peer and message id."""

    __slots__ = ("_entries", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[tuple[Peer, int], bytes] = OrderedDict()

    def recall(self, peer: Peer, mid: int, mark: int, now: float) -> bytes | None:
        """Return what was said, empty if nothing yet; None: that message was never seen."""
        entry = self._entries.get((peer, mid))
        if entry is None:
            return None
        until, marked = _HEAD.unpack_from(entry)
        return entry[_SIZE:] if marked == mark and until > now else None

    def begin(self, peer: Peer, mid: int, mark: int, said: bytes, now: float) -> None:
        """A message that was not seen before; its age counts from now."""
        entries = self._entries
        key = (peer, mid)
        entries.pop(key, None)
        entries[key] = _HEAD.pack(now + EXCHANGE_LIFETIME, mark) + said
        # Two out for one in: it shrinks as long as there is something old, and no call takes long.
        for _ in range(2):
            oldest = next(iter(entries.values()))
            if len(entries) <= self._most and _HEAD.unpack_from(oldest)[0] > now:
                break
            entries.popitem(last=False)

    def keep(self, peer: Peer, mid: int, mark: int, said: bytes, now: float) -> None:
        """Keep what was said to a message that has begun, unless that is forgotten or another's by now."""
        before = self._entries.get((peer, mid))
        if before is not None:
            until, marked = _HEAD.unpack_from(before)
            if marked == mark and until > now:
                self._entries[(peer, mid)] = before[:_SIZE] + said

    def drop(self, peer: Peer, mid: int, mark: int) -> None:
        """Let a repetition be a new message."""
        entry = self._entries.get((peer, mid))
        if entry is not None and _HEAD.unpack_from(entry)[1] == mark:
            del self._entries[(peer, mid)]
