"""Our requests: one at a time for each peer, repeated until heard, each to its end.

    request ── queue ── current ── answer            NSTART 1 (RFC 7252 4.7)
                          │  ├──── the next block    the same handle, a new exchange
                          │  ├──── acknowledged      then the answer comes by itself, or never
                          │  └──── silence           repeated at 2, 6, 14, 30 s, given up at 62 (4.2)
                          └─ held, after a silence or by the owner, until somebody lets it go on

Times are for the parameters of the RFC without its random factor, which comes on top.

A token is a counter and four random bytes: it cannot be guessed, and none is used twice. A message id
is not used again within the time in which a peer may take it for the former one; should a peer be sent
that many messages, it waits.

Not in here: what peers ask of us (``endpoint``), and which datagrams are messages.
"""

from collections import deque

from overair.protocols.coap.blocks import (
    Push,
    advance_push,
    begin_read,
    can_push,
    continue_read,
)
from overair.protocols.coap.errors import UnencodableError
from overair.protocols.coap.events import (
    Answered,
    Dropped,
    Event,
    Handle,
    Peer,
    Progressed,
    Rejected,
    TimedOut,
    Unfinished,
)
from overair.protocols.coap.line import Delivery, Line, Observation, Pending, Reader
from overair.protocols.coap.lines import Entropy, Lines
from overair.protocols.coap.message import start
from overair.protocols.coap.numbers import Type
from overair.protocols.coap.observing import Observed
from overair.protocols.coap.request import push_body, push_head, request_body
from overair.protocols.coap.timers import Timers
from overair.protocols.coap.values import (
    CoapLimits,
    Request,
    Response,
    Timings,
)

_CON = int(Type.CON)
_TOKENS = 1 << 32


class Sending:
    """Everything that we began and that is not at its end."""

    def __init__(
        self,
        entropy: Entropy,
        limits: CoapLimits,
        timings: Timings,
        outgoing: list[tuple[Peer, bytes]],
    ) -> None:
        self._entropy = entropy
        self._limits = limits
        self._outgoing = outgoing
        self.lines = Lines(entropy, timings)
        self.timers = Timers()
        self._last_handle = 0
        self._last_token = int.from_bytes(entropy(4), "big")
        # Requests by their handles, with the peer of each.
        self._open: dict[Handle, tuple[Line, Pending]] = {}
        self.observed = Observed(limits)
        # Said at the next occasion: what came about where no events are returned.
        self.late: list[Event] = []

    # Peers

    def move(self, old: Peer, new: Peer, now: float) -> None:
        """Let a peer be somewhere else; what is on its way there is sent anew (lwm2m 3)."""
        line = self.lines.find(old)
        if line is None or old == new:
            return
        there = self.lines.move(line, new)
        if there is not None:
            self._merge(there, line)
        current = line.current
        if current is None:
            self.go_on(line, now)
        elif current.due is not None and current.tries >= 0:
            self._transmit_again(line, current, now)

    def _merge(self, there: Line, line: Line) -> None:
        """What was begun with the new address before it was known whose it is, waits behind the rest."""
        # To that address message ids go on from there: they must not mean two things.
        line.mid, line.mids_used, line.mids_since = there.mid, there.mids_used, there.mids_since
        for delivery in (there.deliveries or {}).values():
            delivery.due = None
        waiting = [] if there.current is None else [there.current]
        waiting += there.queue or ()
        if waiting:
            line.queue = line.queue or deque()
        for pending in waiting:
            # Its timer, if it has one, is for the line that is gone.
            pending.due = pending.armed = None
            self._open[pending.handle] = (line, pending)
            assert line.queue is not None
            line.queue.append(pending)
        for observation in there.observations:
            self.observed.add(line, observation)

    def forget(self, peer: Peer) -> list[Event]:
        """Drop everything about a peer."""
        line = self.lines.drop(peer)
        if line is None:
            return []
        unfinished = line.unfinished()
        for pending in unfinished:
            pending.due = None
            self._open.pop(pending.handle, None)
        for delivery in (line.deliveries or {}).values():
            delivery.due = None
        for observation in line.observations:
            self.observed.remove(line, observation)
        return [Dropped(peer=peer, handle=pending.handle) for pending in unfinished]

    # Requests

    def request(
        self, peer: Peer, request: Request, now: float, *, droppable: bool, front: bool
    ) -> Handle:
        """Send a request, or put it in line."""
        # First of all, so that what cannot be written is never in line.
        body = request_body(request)
        line = self.lines.known(peer)
        pending = Pending(self.new_handle(), request, droppable)
        pending.body = body
        if request.observe == 0:
            self.observed.check_room(line)
            pending.observation = Observation(pending.handle, self._token(), request)
            self.observed.add(line, pending.observation)
        self._enqueue(line, pending, now, front=front)
        return pending.handle

    def push(
        self, peer: Peer, request: Request, push: Push, reader: Reader, now: float, *, front: bool
    ) -> Handle:
        """Send a body in blocks; only one of them is ever in memory."""
        if push.size <= 0 or not can_push(push.size, push.szx):
            raise UnencodableError("a body of no bytes, or of more blocks than can be numbered")
        pending = Pending(self.new_handle(), request, droppable=False)
        pending.head = push_head(request)
        pending.push = push
        pending.reader = reader
        self._enqueue(self.lines.known(peer), pending, now, front=front)
        return pending.handle

    def _enqueue(self, line: Line, pending: Pending, now: float, *, front: bool) -> None:
        self._open[pending.handle] = (line, pending)
        if line.current is None and not line.held and not line.queue:
            line.current = pending
            self._transmit(line, pending, now)
            return
        if line.queue is None:
            line.queue = deque()
        if front:
            line.queue.appendleft(pending)
        else:
            line.queue.append(pending)
        if line.current is None and not line.held:
            self.go_on(line, now)
        elif len(line.queue) > self._limits.queued:
            oldest = next((each for each in line.queue if each.droppable), None)
            if oldest is not None:
                line.queue.remove(oldest)
                self._forget_request(oldest)
                self.late.append(Dropped(peer=line.peer, handle=oldest.handle))

    def resume(self, handle: Handle, now: float) -> None:
        """Ask the reader of a push again, which had nothing to give."""
        line, pending = self._open.get(handle, (None, None))
        if line is None or pending is None or line.current is not pending:
            return
        if pending.due is None and pending.push is not None:
            self._transmit(line, pending, now)

    def cancel(self, handle: Handle, now: float) -> None:
        """Forget a request or an observation; the peer is told nothing."""
        line, pending = self._open.get(handle, (None, None))
        if line is not None and pending is not None:
            self._forget_request(pending)
            if line.current is pending:
                line.current = None
                self.go_on(line, now)
            else:
                assert line.queue is not None, "what is not out is in line"
                line.queue.remove(pending)
        found = self.observed.find(handle)
        if found is not None:
            self.observed.remove(*found)

    def _forget_request(self, pending: Pending) -> None:
        pending.due = None
        del self._open[pending.handle]
        found = self.observed.find(pending.handle)
        if found is not None:
            self.observed.remove(*found)

    def go_on(self, line: Line, now: float) -> None:
        """Begin the next request of a peer, if there is one and none is out."""
        if line.current is None and not line.held and line.queue:
            line.current = line.queue.popleft()
            if not line.queue:
                line.queue = None  # it takes more room than all else that is known of a peer
            self._transmit(line, line.current, now)
        elif line.current is None:
            self.lines.settle(line)
        elif line.current.due is None and line.current.tries < 0:
            self._transmit(line, line.current, now)

    def _transmit(self, line: Line, pending: Pending, now: float) -> None:
        """Send an exchange for the first time."""
        if line.held:
            pending.due, pending.tries = None, -1
            return
        request = pending.request
        push = pending.push
        body = pending.body
        if push is not None:
            assert pending.reader is not None
            data = pending.reader(push.offset, push.length)
            if data is None:
                pending.due = None
                return
            if len(data) != push.length:
                self.late.append(
                    Unfinished(peer=line.peer, handle=pending.handle, why="the body is not there")
                )
                self._end(line, pending, now)
                return
            assert pending.head is not None
            first = push.size if push.offset == 0 else None
            body = push_body(pending.head, push.block, first, data)
        elif pending.read is not None:
            request = request._replace(block2=pending.read.block, observe=None, payload=b"")
            body = request_body(request)
        mid = self._next_mid(line, pending, now)
        if mid is None:
            return
        if pending.observation is not None and pending.read is None:
            pending.token = pending.observation.token
        else:
            pending.token = self._token()
        datagram = start(_CON, request.method, mid, pending.token) + body
        self._send(line, pending, mid, datagram, now)

    def _transmit_again(self, line: Line, pending: Pending, now: float) -> None:
        """Send the same exchange to another address: with a new message id, and the same token."""
        mid = self._next_mid(line, pending, now)
        if mid is not None:
            before = pending.datagram
            datagram = before[:2] + mid.to_bytes(2, "big") + before[4:]
            self._send(line, pending, mid, datagram, now)

    def _next_mid(self, line: Line, pending: Pending, now: float) -> int | None:
        mid = line.next_mid(now)
        if mid is None:
            pending.tries = -1
            self.timers.set(line.mids_until, line, pending)
        return mid

    def _send(self, line: Line, pending: Pending, mid: int, datagram: bytes, now: float) -> None:
        pending.mid = mid
        pending.datagram = datagram
        pending.tries = 0
        pending.acknowledged = False
        pending.timeout = self._timeout(line)
        self._outgoing.append((line.peer, datagram))
        self.timers.set(now + pending.timeout, line, pending)

    def _timeout(self, line: Line) -> float:
        timings = line.timings
        chance = int.from_bytes(self._entropy(2), "big") / 0xFFFF
        return timings.ack_timeout * (1 + (timings.ack_random_factor - 1) * chance)

    def _token(self) -> bytes:
        self._last_token = (self._last_token + 1) % _TOKENS
        return self._last_token.to_bytes(4, "big") + self._entropy(4)

    def new_handle(self) -> Handle:
        """Return a handle that nothing had before."""
        self._last_handle += 1
        return Handle(self._last_handle)

    # What comes back

    def acknowledged(self, line: Line, mid: int, now: float) -> None:
        """An empty acknowledgement: the answer takes time."""
        current = line.current
        if current is not None and current.mid == mid and current.due is not None:
            line.proven = True
            if not current.acknowledged and current.tries >= 0:
                current.acknowledged = True
                self.timers.set(now + line.timings.max_transmit_wait, line, current)
        elif line.deliveries and mid in line.deliveries:
            line.proven = True
            line.deliveries.pop(mid).due = None
            self.lines.settle(line)

    def reset(self, line: Line, mid: int, now: float, events: list[Event]) -> None:
        """The peer does not know what to do with what we sent."""
        current = line.current
        if current is not None and current.mid == mid and current.due is not None:
            events.append(Rejected(peer=line.peer, handle=current.handle))
            if current.observation is not None:
                self.observed.remove(line, current.observation)
            self._end(line, current, now)
            return
        handle = (line.recent or {}).pop(mid, None)
        if line.deliveries and mid in line.deliveries:
            delivery = line.deliveries.pop(mid)
            delivery.due = None
            handle = delivery.handle
            self.lines.settle(line)
        if handle is not None:
            events.append(Rejected(peer=line.peer, handle=handle))

    def answered(self, line: Line, response: Response, now: float, events: list[Event]) -> None:
        """The current request has an answer, or a part of it."""
        pending = line.current
        assert pending is not None
        line.proven = True
        peer, handle = line.peer, pending.handle
        if pending.push is not None:
            further = advance_push(pending.push, response)
            if further is not None:
                if further.offset > pending.push.offset:
                    events.append(Progressed(peer=peer, handle=handle, sent_bytes=further.offset))
                pending.push = further
                self._transmit(line, pending, now)
                return
        elif pending.read is not None or (
            # Whoever asks for one block gets that one.
            response.block2 is not None and pending.request.block2 is None
        ):
            found = (
                begin_read(response, self._limits)
                if pending.read is None
                else continue_read(pending.read, response, self._limits)
            )
            if isinstance(found, str):
                events.append(Unfinished(peer=peer, handle=handle, why=found))
                if pending.observation is not None:
                    self.observed.remove(line, pending.observation)
                self._end(line, pending, now)
                return
            if isinstance(found, Response):
                response = found
            elif found is not None:
                pending.read = found
                self._transmit(line, pending, now)
                return
        observing = self.observed.settle(line, pending, response, now)
        events.append(Answered(peer=peer, handle=handle, response=response, observing=observing))
        self._end(line, pending, now)

    def _end(self, line: Line, pending: Pending, now: float) -> None:
        pending.due = None
        self._open.pop(pending.handle, None)
        line.current = None
        self.go_on(line, now)

    def cancel_observation(self, handle: Handle, now: float) -> Handle | None:
        """Tell the peer to notify no more, under the same token (RFC 7641 3.6)."""
        found = self.observed.find(handle)
        if found is None:
            return None
        line, observation = found
        pending = Pending(self.new_handle(), observation.request._replace(observe=1), True)
        pending.body = request_body(pending.request)
        pending.observation = observation
        self._enqueue(line, pending, now, front=False)
        return pending.handle

    def restore(self, peer: Peer, token: bytes, request: Request, until: float | None) -> Handle:
        """Take up an observation again that was begun before a restart."""
        observation = Observation(self.new_handle(), token, request)
        observation.until = until
        self.observed.add(self.lines.known(peer), observation)
        return observation.handle

    # What we say unasked, or late

    def deliver(
        self,
        line: Line,
        mid: int,
        datagram: bytes,
        now: float,
        *,
        handle: Handle | None,
        once: bool,
    ) -> None:
        """Send a confirmable answer or notification until it is acknowledged; ``once``: no repetition."""
        self._outgoing.append((line.peer, datagram))
        delivery = Delivery(mid, datagram, handle, self._timeout(line))
        if once:
            delivery.tries = line.timings.max_retransmit
        if line.deliveries is None:
            line.deliveries = {}
        line.deliveries[mid] = delivery
        self.timers.set(now + delivery.timeout, line, delivery)

    # Time

    def tick(self, now: float, events: list[Event]) -> None:
        """Repeat what was not heard, and give up what was repeated often enough."""
        while (ringing := self.timers.pop(now)) is not None:
            line, what = ringing
            if isinstance(what, Pending) and what.tries < 0:
                self._transmit(line, what, now)
            elif what.tries < line.timings.max_retransmit and not (
                isinstance(what, Pending) and what.acknowledged
            ):
                what.tries += 1
                what.timeout *= 2
                if not line.held or isinstance(what, Delivery):
                    self._outgoing.append((line.peer, what.datagram))
                self.timers.set(now + what.timeout, line, what)
            else:
                self._give_up(line, what, events)

    def _give_up(self, line: Line, what: Pending | Delivery, events: list[Event]) -> None:
        what.due = None
        if isinstance(what, Delivery):
            assert line.deliveries is not None
            del line.deliveries[what.mid]
            if what.handle is not None:
                events.append(TimedOut(peer=line.peer, handle=what.handle))
            self.lines.settle(line)
            return
        events.append(TimedOut(peer=line.peer, handle=what.handle))
        if what.observation is not None:
            self.observed.remove(line, what.observation)
        self._open.pop(what.handle, None)
        line.current = None
        line.held = True
