"""One socket's half of CoAP, for any number of peers: datagrams and the time in, datagrams and events out.

    events = endpoint.receive(peer, datagram, now)      whatever it is, this does not raise
    endpoint.respond(exchange, response, now)           to an ``Incoming``; at once, or when it is done
    handle = endpoint.request(peer, request, now)       its end comes as an event
    events = endpoint.tick(now)                         at ``next_due``
    for peer, datagram in endpoint.drain(): send        after each of these

What a peer asks is kept for as long as its message may be repeated, as bytes: a repeated request gets
the same answer and is not carried out again. Long answers to what may be asked twice are not kept; a
repeated request for one of those comes as a new event.

Whoever has not shown that an address is its own gets no more from it than it sent: what is answered
without asking the owner of this endpoint is never longer than what came, and a late answer that is
much longer is sent once and not repeated. Datagrams to a group, or from ourselves, are for the socket's
owner to drop.

``sending`` is the other half: what we ask.
"""

from collections import deque
from collections.abc import Callable

from overair.protocols.coap.blocks import Bodies, Push
from overair.protocols.coap.errors import MalformedError, RefusedError
from overair.protocols.coap.events import (
    Event,
    Exchange,
    Handle,
    Incoming,
    Peer,
    TimedOut,
    Unfinished,
    Unheard,
)
from overair.protocols.coap.line import Line, Reader
from overair.protocols.coap.memory import Memory, key_of
from overair.protocols.coap.message import (
    Message,
    decode_message,
    empty_ack,
    reset,
    start,
)
from overair.protocols.coap.numbers import Code, Option, Type, is_request
from overair.protocols.coap.request import read_request, read_response, response_body
from overair.protocols.coap.sending import Sending
from overair.protocols.coap.values import (
    LARGEST_SZX,
    LIMITS,
    TIMINGS,
    CoapLimits,
    Request,
    Response,
    Timings,
)

_CON = int(Type.CON)
_NON = int(Type.NON)
_ACK = int(Type.ACK)
_RST = int(Type.RST)
_OBSERVE = int(Option.OBSERVE)
# May be carried out again, when it is repeated.
_SAFE = frozenset({int(Code.GET), int(Code.FETCH)})
# An answer to somebody unknown that is more than this many times the request is not repeated.
_AMPLIFICATION = 3


class Endpoint:
    """CoAP on one socket."""

    def __init__(
        self,
        *,
        entropy: Callable[[int], bytes],
        limits: CoapLimits = LIMITS,
        timings: Timings = TIMINGS,
        whole_bodies: bool = True,
        former: Callable[[Peer], Peer | None] = lambda _peer: None,
        takes_bodies: Callable[[Peer], bool] = lambda _peer: True,
    ) -> None:
        """``takes_bodies``: whose requests in blocks are put together, for which there is only so much room.

        ``former``: where a peer was before that notifies under a token which it was not given there.

        A device may be somewhere else by now without having said so; whose word counts for that is for the
        owner to know. What is known of the peer is moved.
        """
        self._limits = limits
        self._former = former
        self._takes_bodies = takes_bodies
        # Put requests in blocks together; else each block is a request (and a device that is pushed
        # an image sees every one of them).
        self._whole_bodies = whole_bodies
        self._outgoing: list[tuple[Peer, bytes]] = []
        self._sending = Sending(entropy, limits, timings, self._outgoing)
        self._memory = Memory(limits.remembered)
        self._bodies = Bodies(limits)
        # Requests of peers in order of their arrival, until they are answered or acknowledged.
        self._waiting: deque[Exchange] = deque()
        # For answers that ask for no acknowledgement, to peers of whom nothing is kept.
        self._stray_mid = int.from_bytes(entropy(2), "big")

    def drain(self) -> list[tuple[Peer, bytes]]:
        """Return the datagrams to send, in order, and forget them."""
        datagrams = self._outgoing[:]
        self._outgoing.clear()
        return datagrams

    @property
    def next_due(self) -> float | None:
        """When to call ``tick``; None: not before something else happens."""
        if self._sending.late:
            return 0.0
        due = self._sending.timers.next
        waiting = self._waiting
        while waiting and waiting[0].answered is not None:
            waiting.popleft()
        if waiting and (due is None or waiting[0].due < due):
            return waiting[0].due
        return due

    def tick(self, now: float) -> list[Event]:
        """Do what is due."""
        events = self._late_events()
        waiting = self._waiting
        while waiting and (waiting[0].answered is not None or waiting[0].due <= now):
            exchange = waiting.popleft()
            if exchange.answered is None:
                exchange.answered = False
                said = empty_ack(exchange.mid)
                self._memory.keep(exchange.key, said)
                self._outgoing.append((exchange.peer, said))
        self._sending.tick(now, events)
        return events

    def _late_events(self) -> list[Event]:
        events = self._sending.late
        self._sending.late = []
        return events

    # What comes

    def receive(self, peer: Peer, datagram: bytes, now: float) -> list[Event]:
        """Take a datagram of a peer, whatever it is."""
        events = self._late_events()
        if len(datagram) > self._limits.datagram_bytes:
            return events
        try:
            message = decode_message(datagram)
        except MalformedError as error:
            if error.rejection is not None:
                self._outgoing.append((peer, error.rejection))
            return events
        if message.code == Code.EMPTY:
            self._empty(peer, message, now, events)
        elif is_request(message.code):
            if message.type < _ACK:
                self._asked(peer, message, datagram, now, events)
        elif message.type != _RST:
            self._answered(peer, message, datagram, now, events)
        return events

    def _empty(self, peer: Peer, message: Message, now: float, events: list[Event]) -> None:
        if message.type == _CON:
            self._outgoing.append((peer, reset(message.mid)))
            return
        line = self._sending.lines.find(peer)
        if line is None:
            return
        if message.type == _ACK:
            self._sending.acknowledged(line, message.mid, now)
        elif message.type == _RST:
            self._sending.reset(line, message.mid, now, events)

    def _asked(
        self, peer: Peer, message: Message, datagram: bytes, now: float, events: list[Event]
    ) -> None:
        mid, key = message.mid, key_of(peer, datagram)
        confirmable = message.type == _CON
        said = self._memory.recall(key, now)
        if said is not None:
            if said and confirmable:
                self._outgoing.append((peer, said))
            return
        try:
            request = read_request(message, self._limits)
        except RefusedError as error:
            if confirmable:
                said = start(_ACK, error.code, mid, message.token)
                self._memory.begin(key, said, now)
                self._outgoing.append((peer, said))
            return
        due = now + self._limits.separate_after
        exchange = Exchange(peer, mid, key, message.token, confirmable, request, len(datagram), due)
        self._memory.begin(key, b"", now)
        if request.block1 is not None and self._whole_bodies and self._takes_bodies(peer):
            whole = self._bodies.add(peer, request, now)
            if isinstance(whole, Response):
                self.respond(exchange, whole, now)
                return
            exchange.request = request = whole
        if confirmable:
            self._waiting.append(exchange)
        events.append(Incoming(peer=peer, exchange=exchange, request=request))

    def _answered(
        self, peer: Peer, message: Message, datagram: bytes, now: float, events: list[Event]
    ) -> None:
        mid = message.mid
        asks = message.type != _ACK
        key = key_of(peer, datagram)
        if asks and (said := self._memory.recall(key, now)) is not None:
            if said:
                self._outgoing.append((peer, said))
            return
        line = self._sending.lines.find(peer)
        answers = line is not None and self._is_answer(line, message)
        notifies = asks and _is_notification(message)
        if notifies and not answers and (line is None or not self._is_heard(line, message, now)):
            line = self._come_from_elsewhere(peer, now, events)
            answers = line is not None and self._is_answer(line, message)
        if line is None or not (answers or self._is_heard(line, message, now)):
            if message.type == _CON or notifies:
                self._outgoing.append((peer, reset(mid)))
            if notifies:
                events.append(Unheard(peer=peer))
            return
        try:
            response = read_response(message)
        except MalformedError:
            # An answer that cannot be used is none: the request goes on.
            if message.type == _CON:
                self._outgoing.append((peer, reset(mid)))
            return
        if asks:
            said = empty_ack(mid) if message.type == _CON else b""
            self._memory.begin(key, said, now)
            if said:
                self._outgoing.append((peer, said))
        if answers:
            self._sending.answered(line, response, now, events)
        else:
            observation = self._sending.observed.heard(line, message.token, now)
            assert observation is not None, "it was expected"
            self._sending.observed.notified(line, observation, response, now, events)

    def _come_from_elsewhere(self, peer: Peer, now: float, events: list[Event]) -> Line | None:
        former = self._former(peer)
        if former is not None:
            events += self.abandon(former, now)
            self.move(former, peer, now)
            self.release(peer, now)
        return self._sending.lines.find(peer)

    def _is_heard(self, line: Line, message: Message, now: float) -> bool:
        """Tell whether it comes under the token of an observation."""
        return (
            message.type != _ACK
            and self._sending.observed.heard(line, message.token, now) is not None
        )

    @staticmethod
    def _is_answer(line: Line, message: Message) -> bool:
        """Tell whether it is for the request that is out; else it may be a notification."""
        current = line.current
        if current is None or current.due is None or current.token != message.token:
            return False
        if message.type == _ACK:
            return current.mid == message.mid
        # While an observation is being cancelled, its notifications come under the same token.
        return not (current.request.observe == 1 and _is_notification(message))

    # What we answer

    def respond(self, exchange: Exchange, response: Response, now: float) -> None:
        """Answer a request of a peer, once."""
        assert not exchange.answered, "a request has one answer"
        asked = exchange.request
        if asked.block1 is not None and response.block1 is None and response.ok:
            response = response._replace(block1=asked.block1)
        body = response_body(response)
        peer = exchange.peer
        if not exchange.confirmable:
            self._stray_mid = (self._stray_mid + 1) & 0xFFFF
            line = self._sending.lines.find(peer)
            mid = line.next_mid(now) if line is not None else self._stray_mid
            if mid is not None:
                head = start(_NON, response.code, mid, exchange.token)
                self._outgoing.append((peer, head + body))
        elif exchange.answered is None:
            datagram = start(_ACK, response.code, exchange.mid, exchange.token) + body
            if len(datagram) > self._limits.remembered_bytes and asked.method in _SAFE:
                self._memory.drop(exchange.key)
            else:
                self._memory.keep(exchange.key, datagram)
            self._outgoing.append((peer, datagram))
        else:
            line = self._sending.lines.known(peer, kept=False)
            mid = line.next_mid(now)
            if mid is not None:
                datagram = start(_CON, response.code, mid, exchange.token) + body
                once = not line.proven and len(datagram) > _AMPLIFICATION * exchange.received
                self._sending.deliver(line, mid, datagram, now, handle=None, once=once)
        exchange.answered = True

    def ignore(self, exchange: Exchange) -> None:
        """Say nothing to a request, ever; one that repeats it is looked at anew."""
        exchange.answered = True
        self._memory.drop(exchange.key)

    def notify(
        self,
        peer: Peer,
        token: bytes,
        response: Response,
        now: float,
        *,
        confirmable: bool = False,
    ) -> Handle:
        """Tell a peer that observes us; ``Rejected`` comes if it does not, ``TimedOut`` if it is gone."""
        line = self._sending.lines.known(peer)
        mid = line.next_mid(now)
        handle = self._sending.new_handle()
        if mid is None:
            # Notifications are best effort, and this is more than anybody takes in.
            if confirmable:
                self._sending.late.append(TimedOut(peer=peer, handle=handle))
            return handle
        head = start(_CON if confirmable else _NON, response.code, mid, token)
        datagram = head + response_body(response)
        if confirmable:
            self._sending.deliver(line, mid, datagram, now, handle=handle, once=False)
        else:
            self._outgoing.append((peer, datagram))
            line.remember_notice(mid, handle)
        return handle

    # What we ask

    def request(
        self,
        peer: Peer,
        request: Request,
        now: float,
        *,
        droppable: bool = False,
        front: bool = False,
    ) -> Handle:
        """Ask a peer, when it is its turn. Observe 0 in the request begins an observation.

        ``droppable``: may be dropped when too much waits; ``front``: goes before what waits.
        """
        return self._sending.request(peer, request, now, droppable=droppable, front=front)

    def push(
        self,
        peer: Peer,
        request: Request,
        size: int,
        read: Reader,
        now: float,
        *,
        szx: int = LARGEST_SZX,
        front: bool = False,
    ) -> Handle:
        """Send a body in blocks. ``read`` gives the bytes of each, or None, and then ``resume`` follows.

        It is called while datagrams are taken in, so it does not raise: bytes that cannot be had are
        fewer than were asked for, and end the push as ``Unfinished``.
        """
        push = Push(size=size, szx=szx)
        return self._sending.push(peer, request, push, read, now, front=front)

    def resume(self, handle: Handle, now: float) -> None:
        """Read on: what ``read`` had not, is there."""
        self._sending.resume(handle, now)

    def cancel(self, handle: Handle, now: float) -> None:
        """Forget a request or an observation. Its peer is told nothing, and no event comes."""
        self._sending.cancel(handle, now)

    def cancel_observation(self, handle: Handle, now: float) -> Handle | None:
        """Ask the peer to notify no more; the request for it has a handle of its own."""
        return self._sending.cancel_observation(handle, now)

    def restore_observation(
        self, peer: Peer, token: bytes, request: Request, *, until: float | None = None
    ) -> Handle:
        """Hear notifications under a token that was given out before a restart."""
        return self._sending.restore(peer, token, request, until)

    def token_of(self, handle: Handle) -> bytes | None:
        """Return the token of an observation, to be kept over a restart."""
        found = self._sending.observed.find(handle)
        return None if found is None else found[1].token

    # Peers

    def move(self, old: Peer, new: Peer, now: float) -> None:
        """Let a peer be somewhere else, with all that waits for it and all that is observed."""
        self._sending.move(old, new, now)

    def abandon(self, peer: Peer, now: float, *, anew: bool = False) -> list[Event]:
        """End what may not be done twice, though it may have been heard: its owner looks first (lwm2m 4).

        To a peer that is elsewhere, or was silent, a repetition is news. ``anew``: so is the next block.
        """
        line = self._sending.lines.find(peer)
        unsafe = [] if line is None else line.unrepeatable(anew=anew)
        for pending in unsafe:
            self._sending.cancel(pending.handle, now)
        return [
            Unfinished(peer=peer, handle=p.handle, why="nobody knows whether it was heard")
            for p in unsafe
        ]

    def retire_observations(self, peer: Peer, now: float) -> None:
        """After a new registration: observe anew, and hear the old tokens for a day beside."""
        line = self._sending.lines.find(peer)
        if line is not None:
            self._sending.observed.retire(line, now)

    def hold(self, peer: Peer) -> None:
        """Send a peer nothing of what we ask, until ``release``."""
        self._sending.lines.known(peer).held = True

    def release(self, peer: Peer, now: float) -> None:
        """Begin what waits for a peer that was held, or that did not answer."""
        line = self._sending.lines.find(peer)
        if line is not None:
            line.held = False
            self._sending.go_on(line, now)

    def forget(self, peer: Peer) -> list[Event]:
        """Drop all that waits for a peer, and all that is known of it."""
        return self._sending.forget(peer)

    def set_timings(self, peer: Peer, timings: Timings) -> None:
        """Let one peer have more time than others."""
        self._sending.lines.known(peer).timings = timings

    def queued(self, peer: Peer) -> int:
        """Count the requests that wait for a peer, with the one that is out."""
        line = self._sending.lines.find(peer)
        return 0 if line is None else len(line.unfinished())


def _is_notification(message: Message) -> bool:
    return any(number == _OBSERVE for number, _ in message.options)
