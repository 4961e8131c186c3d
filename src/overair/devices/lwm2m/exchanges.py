"""The CoAP endpoint in the event loop: requests that can be awaited, timers, and what leaves.

    response = await exchanges.ask(peer, request)     raises SilentError: nobody answered
    exchanges.begin()/end()                           round everything that may make datagrams

The endpoint is one for both sockets: a peer is an address, or a session of DTLS. Its clock is the wall's,
however fast campaigns run.

Not in here: which requests, and what comes from devices by itself (``edge.py``).
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from overair.clock import Clock
from overair.config import Lwm2m, Lwm2mModel
from overair.devices.lwm2m.dtls import Session
from overair.ids import new_bytes
from overair.protocols.coap.endpoint import Endpoint
from overair.protocols.coap.events import (
    Answered,
    Dropped,
    Event,
    Handle,
    Incoming,
    Notified,
    Peer,
    Progressed,
    Rejected,
    TimedOut,
    Unfinished,
    Unheard,
)
from overair.protocols.coap.line import Reader
from overair.protocols.coap.values import CoapLimits, Request, Response, Timings

_DRAWN_BYTES: Final = 1024


class SilentError(Exception):
    """No answer: the device is gone, asleep, or does not know what to do with it."""


class _Drawn:
    """Random bytes, drawn many at a time: every message of ours needs a few, and the system takes longer
    over a call than over the bytes.
    """

    __slots__ = ("_at", "_bytes")

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return bytes that nobody had before."""
        at, end = self._at, self._at + count
        if end > len(self._bytes):
            self._bytes = new_bytes(max(count, _DRAWN_BYTES))
            at, end = 0, count
        self._at = end
        return self._bytes[at:end]


class Exchanges:
    """What is said to devices, and what they answer."""

    def __init__(
        self,
        rules: Lwm2m,
        wall: Clock,
        transmit: Callable[[Peer, bytes], None],
        on_incoming: Callable[[Incoming], None],
        on_notified: Callable[[Notified], None],
        on_silent: Callable[[Peer], None],
        on_heard: Callable[[Peer], None],
        on_unheard: Callable[[Peer], None] = lambda _peer: None,
        former: Callable[[Peer], Peer | None] = lambda _peer: None,
    ) -> None:
        self._wall = wall
        self._transmit = transmit
        self._on_incoming = on_incoming
        self._on_notified = on_notified
        self._on_silent = on_silent
        self._on_heard = on_heard
        self._on_unheard = on_unheard
        self._timings = Timings(
            ack_timeout=rules.ack_timeout_s,
            ack_random_factor=rules.ack_random_factor,
            max_retransmit=rules.max_retransmit,
        )
        # In the clear nobody may say anything that takes blocks, unless everybody may.
        self.endpoint = Endpoint(
            entropy=_Drawn().take,
            limits=CoapLimits(),
            timings=self._timings,
            former=former,
            takes_bodies=lambda peer: rules.no_sec or isinstance(peer, Session),
        )
        self._by_model: dict[Lwm2mModel, Timings] = {}
        self._waiting: dict[Handle, asyncio.Future[Answered]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._closed = False

    def now(self) -> float:
        """Of the clock that does not jump."""
        return self._wall.monotonic()

    # What comes

    def receive(self, peer: Peer, datagram: bytes, now: float) -> None:
        """Take a datagram; ``flush`` has to follow."""
        self._tell(self.endpoint.receive(peer, datagram, now))

    def flush(self) -> None:
        """Send what is to be sent, and look at the clock when it is time."""
        for peer, datagram in self.endpoint.drain():
            self._transmit(peer, datagram)
        due = self.endpoint.next_due
        if due is None or self._closed:
            return
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._timer.cancel()
        self._timer_at = due
        delay = max(0.0, due - self.now())
        self._timer = asyncio.get_running_loop().call_later(delay, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._tell(self.endpoint.tick(self.now()))
        self.flush()

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Incoming():
                    self._on_heard(event.peer)
                    self._on_incoming(event)
                case Notified():
                    self._on_heard(event.peer)
                    self._on_notified(event)
                case Answered():
                    self._on_heard(event.peer)
                    future = self._waiting.pop(event.handle, None)
                    if future is not None and not future.done():
                        future.set_result(event)
                case Progressed():
                    self._on_heard(event.peer)
                case TimedOut():
                    self._on_silent(event.peer)
                    self._fail(event.handle, "no answer in time")
                case Rejected():
                    self._on_heard(event.peer)
                    self._fail(event.handle, "a reset")
                case Dropped():
                    self._fail(event.handle, "given up")
                case Unheard():
                    self._on_unheard(event.peer)
                case Unfinished():
                    self._fail(event.handle, event.why)

    def _fail(self, handle: Handle, why: str) -> None:
        future = self._waiting.pop(handle, None)
        if future is not None and not future.done():
            future.set_exception(SilentError(why))

    # What is asked

    async def ask(
        self, peer: Peer, request: Request, *, droppable: bool = False, front: bool = False
    ) -> Response:
        """Ask, and wait for the answer. Raises SilentError."""
        handle = self.endpoint.request(peer, request, self.now(), droppable=droppable, front=front)
        return (await self._answer(handle)).response

    async def observe(self, peer: Peer, request: Request) -> tuple[Response, Handle | None]:
        """Ask for a value and for what follows; no handle: it will not tell. Raises SilentError."""
        handle = self.endpoint.request(peer, request, self.now())
        answered = await self._answer(handle)
        return answered.response, handle if answered.observing else None

    async def push(
        self,
        peer: Peer,
        request: Request,
        size: int,
        read: Reader,
        szx: int,
        on_begin: Callable[[Handle], None],
    ) -> Response:
        """Send a body in blocks, and wait for the answer to the last. Raises SilentError."""
        handle = self.endpoint.push(peer, request, size, read, self.now(), szx=szx)
        on_begin(handle)
        return (await self._answer(handle)).response

    def be_patient(self, peer: Peer, model: Lwm2mModel) -> None:
        """Let a peer have the times of its model to answer, from the next message on."""
        timings = self._by_model.get(model)
        if timings is None:
            plain, most = self._timings, model.max_retransmit
            timings = self._by_model[model] = replace(
                plain,
                ack_timeout=model.ack_timeout_s or plain.ack_timeout,
                ack_random_factor=model.ack_random_factor or plain.ack_random_factor,
                max_retransmit=plain.max_retransmit if most < 0 else most,
            )
        if timings != self._timings:
            self.endpoint.set_timings(peer, timings)

    def give_up(self, handle: Handle) -> None:
        """Whoever waits for this hears that nothing comes."""
        self.endpoint.cancel(handle, self.now())
        self._fail(handle, "given up")

    def resume(self, handle: Handle) -> None:
        """What a push had to wait for is there."""
        self.endpoint.resume(handle, self.now())
        self.flush()

    async def _answer(self, handle: Handle) -> Answered:
        future: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._waiting[handle] = future
        self.flush()
        try:
            return await future
        except asyncio.CancelledError:
            self._waiting.pop(handle, None)
            self.endpoint.cancel(handle, self.now())
            self.flush()
            raise

    def abandon(self, peer: Peer, *, anew: bool = False) -> None:
        """Commands that are on their way are not repeated: whoever waits for them looks first.

        ``anew``: it may have restarted, and knows nothing of blocks before.
        """
        self._tell(self.endpoint.abandon(peer, self.now(), anew=anew))

    def forget(self, peer: Peer) -> None:
        """Drop everything about a peer."""
        self._tell(self.endpoint.forget(peer))

    def close(self) -> None:
        """Ask and repeat nothing more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for handle in list(self._waiting):
            self._fail(handle, "the server stops")
