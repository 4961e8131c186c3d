"""What an endpoint tells its owner.

A ``Handle`` names a request of ours until it is over; an ``Exchange`` names a request of a peer until it
is answered. Every request of ours comes to exactly one end: ``Answered``, ``TimedOut``, ``Rejected``,
``Unfinished`` or ``Dropped``; a cancelled one to none. Notifications are beside that, and as many as come.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NewType

from overair.protocols.coap.values import Request, Response

# Whatever the owner knows a peer by: an address, or a DTLS session.
Peer = Hashable
Handle = NewType("Handle", int)


class Exchange:
    """A request of a peer that waits for its answer. Opaque, but for what it was."""

    __slots__ = (
        "answered",
        "confirmable",
        "due",
        "key",
        "mid",
        "peer",
        "received",
        "request",
        "token",
    )

    def __init__(
        self,
        peer: Peer,
        mid: int,
        key: int,
        token: bytes,
        confirmable: bool,
        request: Request,
        received: int,
        due: float,
    ) -> None:
        self.peer = peer
        self.mid = mid
        # Which of all messages with that number.
        self.key = key
        self.token = token
        self.confirmable = confirmable
        self.request = request
        # Bytes of the datagram: what nobody answers with more than, before the peer is known.
        self.received = received
        # When an empty acknowledgement is to go first.
        self.due = due
        # None: not yet; False: acknowledged, not answered; True: done.
        self.answered: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A peer asks; ``Endpoint.respond`` answers."""

    peer: Peer
    exchange: Exchange
    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request of ours has its answer, whole if it came in blocks. ``handle`` is over, unless it observes."""

    peer: Peer
    handle: Handle
    response: Response
    observing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Notified:
    """An observed resource has a newer value. ``final``: no more will come under this handle."""

    peer: Peer
    handle: Handle
    response: Response
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """Nobody answered. What else waits for the peer waits until ``Endpoint.release``."""

    peer: Peer
    handle: Handle


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """The peer has reset our request, or a notification of ours."""

    peer: Peer
    handle: Handle


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """A push has come this far, in bytes that the peer has taken."""

    peer: Peer
    handle: Handle
    sent_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """The peer's queue was full, and this droppable request gave way."""

    peer: Peer
    handle: Handle


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What cannot come to an answer: one in blocks that is too long, or changes; a command abandoned."""

    peer: Peer
    handle: Handle
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unheard:
    """A peer notifies us of what we know nothing of, and was told so: it observes for somebody before us."""

    peer: Peer


Event = (
    Incoming
    | Answered
    | Notified
    | TimedOut
    | Rejected
    | Progressed
    | Dropped
    | Unfinished
    | Unheard
)
