"""What was said to which message, so that a repeated one gets the same answer (RFC 7252 4.5).

One entry is a peer, a message id and a few bytes: until when it counts, and what was said. There are as many
as messages in four minutes, so these are bytes and no tuple. It is bounded by count, the oldest go first,
and by age: after an exchange's lifetime a message id may mean something new.
"""

import struct
from collections import OrderedDict

from overair.protocols.coap.events import Peer
from overair.protocols.coap.values import EXCHANGE_LIFETIME

_UNTIL = struct.Struct("d")
_SIZE = _UNTIL.size


class Memory:
    """Answers by peer and message id."""

    __slots__ = ("_entries", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[tuple[Peer, int], bytes] = OrderedDict()

    def recall(self, peer: Peer, mid: int, now: float) -> bytes | None:
        """Return what was said, empty if nothing yet; None: that message was never seen."""
        entry = self._entries.get((peer, mid))
        if entry is None or _UNTIL.unpack_from(entry)[0] <= now:
            return None
        return entry[_SIZE:]

    def keep(self, peer: Peer, mid: int, said: bytes, now: float) -> None:
        """Keep what was said; the age of a message counts from when it came."""
        entries = self._entries
        key = (peer, mid)
        before = entries.get(key)
        if before is not None:
            if _UNTIL.unpack_from(before)[0] > now:
                entries[key] = before[:_SIZE] + said
                return
            del entries[key]
        entries[key] = _UNTIL.pack(now + EXCHANGE_LIFETIME) + said
        # Two out for one in: it shrinks as long as there is something old, and no call takes long.
        for _ in range(2):
            oldest = next(iter(entries.values()))
            if len(entries) <= self._most and _UNTIL.unpack_from(oldest)[0] > now:
                break
            entries.popitem(last=False)

    def drop(self, peer: Peer, mid: int) -> None:
        """Let a repetition be a new message."""
        self._entries.pop((peer, mid), None)
