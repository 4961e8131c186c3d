"""What is known of one peer, and of what is on its way there: state, without rules.

Plain objects with slots, because there is one for each device and one for each exchange, and both are
written to all the time. The rules are in ``sending``.
"""

from collections import deque
from collections.abc import Callable

from overair.protocols.coap.blocks import Push, Read
from overair.protocols.coap.events import Handle, Peer
from overair.protocols.coap.message import MIDS
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.request import PushHead
from overair.protocols.coap.values import EXCHANGE_LIFETIME, Request, Timings

_MIDS = 1 << 16
# Message ids of one peer in one lifetime. The others are left for what was sent just before.
_MIDS_AT_ONCE = _MIDS // 2

_MOST_RECENT = 8

# Gives bytes of a body, exactly as many as asked for; None: they are not there yet.
Reader = Callable[[int, int], bytes | None]


class Pending:
    """A request of ours: waiting in line, or the one that is on its way."""

    __slots__ = (
        "acknowledged",
        "armed",
        "body",
        "datagram",
        "droppable",
        "due",
        "handle",
        "head",
        "mid",
        "observation",
        "push",
        "read",
        "reader",
        "request",
        "timeout",
        "token",
        "tries",
    )

    def __init__(self, handle: Handle, request: Request, droppable: bool) -> None:
        self.handle = handle
        self.request = request
        self.droppable = droppable
        self.token = b""
        self.mid = -1
        # What follows the token, if that is the same each time.
        self.body = b""
        self.datagram = b""
        # None: nothing is going to happen by itself.
        self.due: float | None = None
        # When the timer rings that is set for it: then, or before.
        self.armed: float | None = None
        self.timeout = 0.0
        # Retransmissions so far; -1: not sent, for want of a message id.
        self.tries = 0
        self.acknowledged = False
        self.push: Push | None = None
        self.head: PushHead | None = None
        self.reader: Reader | None = None
        self.read: Read | None = None
        # Set if this registers or cancels it.
        self.observation: Observation | None = None


class Delivery:
    """A confirmable answer or notification of ours, until it is acknowledged."""

    __slots__ = ("armed", "datagram", "due", "handle", "mid", "timeout", "tries")

    def __init__(self, mid: int, datagram: bytes, handle: Handle | None, timeout: float) -> None:
        self.mid = mid
        self.datagram = datagram
        self.handle = handle
        self.timeout = timeout
        self.tries = 0
        self.due: float | None = None
        self.armed: float | None = None


class Observation:
    """A resource of the peer that we observe."""

    __slots__ = ("handle", "heard_at", "line", "request", "sequence", "token", "until")

    def __init__(self, handle: Handle, token: bytes, request: Request) -> None:
        self.handle = handle
        self.token = token
        self.request = request
        # Whose it is, once it is heard.
        self.line: Line | None = None
        self.sequence: int | None = None
        self.heard_at = 0.0
        # Set once the peer has been told nothing of it any more: still heard until then.
        self.until: float | None = None

    def is_fresher(self, sequence: int, now: float) -> bool:
        """Tell whether a notification is newer than the last (RFC 7641 3.4)."""
        last = self.sequence
        if last is None or now > self.heard_at + 128:
            return True
        ahead = sequence - last
        return 0 < ahead < 1 << 23 or ahead < -(1 << 23)


class Line:
    """One peer: its queue, the one request that is out (NSTART 1), and what it notifies us of."""

    __slots__ = (
        "current",
        "deliveries",
        "held",
        "kept",
        "mid",
        "mids_since",
        "mids_used",
        "observations",
        "peer",
        "proven",
        "queue",
        "recent",
        "timings",
    )

    def __init__(self, peer: Peer, mid: int, timings: Timings) -> None:
        self.peer = peer
        self.timings = timings
        self.current: Pending | None = None
        # These come when they are needed: most peers need none of them most of the time.
        self.queue: deque[Pending] | None = None
        # A few, and of most peers one: a dictionary would be the largest part of all this.
        self.observations: tuple[Observation, ...] = ()
        self.deliveries: dict[int, Delivery] | None = None
        # Notifications that asked for no acknowledgement, and may still be reset.
        self.recent: dict[int, Handle] | None = None
        self.held = False
        # It stays until it is forgotten; others go when nothing is left to do.
        self.kept = False
        # It has answered or acknowledged something, so its address is its own.
        self.proven = False
        self.mid = mid
        # Counted up, and from the time that is at hand: small numbers are no objects of their own.
        self.mids_used = _MIDS_AT_ONCE
        self.mids_since = -EXCHANGE_LIFETIME

    @property
    def mids_until(self) -> float:
        """When as many message ids may be used again."""
        return self.mids_since + EXCHANGE_LIFETIME

    def next_mid(self, now: float) -> int | None:
        """Return a message id that the peer takes for nothing else; None: there is none just now."""
        if self.mids_used >= _MIDS_AT_ONCE or now >= self.mids_until:
            if now < self.mids_until:
                return None
            self.mids_used = 0
            self.mids_since = now
        self.mids_used += 1
        self.mid = MIDS[(self.mid + 1) % _MIDS]
        return self.mid

    def unfinished(self) -> list[Pending]:
        """Return the requests that have no end yet: the one that is out, and who waits behind it."""
        return [*(() if self.current is None else (self.current,)), *(self.queue or ())]

    def unrepeatable(self, *, anew: bool) -> list[Pending]:
        """Return those of them that are no repetition to a peer which does not know of the first."""
        return [
            each
            for each in self.unfinished()
            if each.request.method == Code.POST or (anew and each.push is not None)
        ]

    def remember_notice(self, mid: int, handle: Handle) -> None:
        """Keep by which handle the reset of a notification is told."""
        if self.recent is None:
            self.recent = {}
        elif len(self.recent) >= _MOST_RECENT:
            del self.recent[next(iter(self.recent))]
        self.recent[mid] = handle
