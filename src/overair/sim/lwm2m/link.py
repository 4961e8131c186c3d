"""A device's conversation with its server: its registration, what is observed, and when it listens.

    open ── Register ── (Update …) ── close          one socket from a start to the next
                 │
                 └ 4.04, or no answer: Register anew, after pauses that grow

In queue mode it listens for a while after each message, by the time of the wire, and is asleep then until
its next Update. Who is out of the network is not asleep: it hears nothing, and says nothing.

Not in here: what its objects answer (``objects``).
"""

from collections.abc import Callable
from random import Random
from typing import Protocol

from overair.protocols.coap.endpoint import Endpoint
from overair.protocols.coap.events import (
    Answered,
    Event,
    Exchange,
    Handle,
    Incoming,
    Rejected,
    TimedOut,
    Unfinished,
)
from overair.protocols.coap.numbers import Code, dotted
from overair.protocols.coap.values import CoapLimits, Request, Response, Timings
from overair.protocols.lwm2m.formats import ContentFormat, encode
from overair.protocols.lwm2m.registration import (
    Register,
    Update,
    deregister_request,
    register_request,
    update_request,
)
from overair.protocols.lwm2m.values import Path, Readings
from overair.sim.lwm2m.profile import DevicePlan, Oddity
from overair.sim.lwm2m.roster import Lwm2mDevice
from overair.sim.lwm2m.tree import object_list

SERVER = "server"
_LIMITS = CoapLimits(remembered=512)
# Before the end of a lifetime, so that an Update can be repeated (lwm2m 16).
_MARGIN_S = 93.0
_RETRY_S = (5.0, 30.0, 120.0, 600.0, 3600.0)
_TOLD = 8
UPDATE = "update"


class Host(Protocol):
    """The device, as its link sees it."""

    now: float
    wire: float

    @property
    def is_busy(self) -> bool:
        """Whether it must stay awake."""

    def ring(self, name: str, after_s: float | None) -> None:
        """Set one of its timers; None: no more."""

    def new_channel(self) -> int:
        """Open another socket."""

    def asked(self, incoming: Incoming) -> Response | None:
        """Answer a request; None: the power went before the answer."""

    def value(self, path: Path, accept: int | None) -> Response:
        """What a read of it would get."""

    def result(self) -> Readings:
        """State, result and version, as they are sent after a restart."""

    def registered(self, *, anew: bool) -> None:
        """The server knows it, or has heard of it again."""

    def unregistered(self) -> None:
        """It is registered no more."""

    def wrong(self, text: str) -> None:
        """An answer that no device should get."""


class Link:
    """One device's messages."""

    def __init__(
        self, host: Host, sim: Lwm2mDevice, plan: DevicePlan, dice: Random, timings: Timings
    ) -> None:
        self._host = host
        self._sim = sim
        self._plan = plan
        self._dice = dice
        self._timings = timings
        self.lifetime_s = sim.lifetime_s
        self.location: tuple[str, ...] = ()
        self.channel = 0
        self.is_asleep = False
        self._sleeps_at: float | None = None
        self._endpoint = self._new_endpoint()
        self._asking: dict[Handle, Callable[[Response | None], None]] = {}
        self._is_connecting = False
        self._tries = 0
        self._observers: dict[Path, tuple[bytes, int | None]] = {}
        self._told: dict[Handle, Path] = {}
        self._sequence = dice.randrange(1 << 16)
        self._tells_result = False

    def _new_endpoint(self) -> Endpoint:
        return Endpoint(
            entropy=self._dice.randbytes,
            limits=_LIMITS,
            timings=self._timings,
            whole_bodies=False,
        )

    @property
    def next_due(self) -> float | None:
        """When ``tick`` is to be called, by the time of the wire."""
        due = self._endpoint.next_due
        sleeps_at = self._sleeps_at
        if due is None or sleeps_at is None:
            return sleeps_at if due is None else due
        return min(due, sleeps_at)

    def drain(self) -> list[bytes]:
        """Return what it says, and forget it."""
        return [data for _, data in self._endpoint.drain()]

    # From one start to the next

    def open(self) -> None:
        """The device has started."""
        self.channel = self._host.new_channel()
        self._endpoint = self._new_endpoint()
        self.is_asleep = False
        self.connect()

    def close(self, *, tells_result: bool) -> None:
        """The device goes down, and nobody is told."""
        # Whatever is still being handled is not heard any more.
        self._endpoint = self._new_endpoint()
        self._asking.clear()
        self._sleeps_at = None
        self._is_connecting = False
        self._tells_result = tells_result
        self._unregister()

    def leave(self) -> None:
        """De-register."""
        if self.location:
            self._ask(deregister_request(self.location), lambda _: None)
            self._unregister()

    def lose(self) -> None:
        """The network is gone, and with it whatever was being said."""
        self._endpoint.forget(SERVER)
        self._endpoint.drain()
        self._asking.clear()
        self._is_connecting = False

    def _unregister(self) -> None:
        if self.location:
            self.location = ()
            self._host.unregistered()

    # Registration

    def connect(self) -> None:
        """Be heard of, in whatever way."""
        if self._is_connecting:
            return
        was_asleep = self.is_asleep
        if was_asleep and self._plan.has(Oddity.NEW_PORT):
            self.channel = self._host.new_channel()
            self._endpoint = self._new_endpoint()
            self._unregister()
        if not self.location:
            self._register()
            return
        self._is_connecting = True
        self._ask(update_request(self.location, Update()), self._updated)

    def _register(self) -> None:
        self._unregister()
        if not self._plan.has(Oddity.OLD_TOKEN):
            self._observers.clear()
        old = self._sim.enabler == "1.0"
        register = Register(
            endpoint=self._sim.name,
            lifetime=self.lifetime_s,
            version=self._sim.enabler,
            binding="UQ" if old and self._sim.queue_mode else "U",
            queue_mode=self._sim.queue_mode,
            objects=object_list(self._plan, self._sim.enabler),
        )
        self._is_connecting = True
        self._ask(register_request(register), self._registered)

    def _registered(self, response: Response | None) -> None:
        self._is_connecting = False
        if response is None or response.code != Code.CREATED or not response.location:
            if response is not None:
                self._host.wrong(f"a Register was answered with {dotted(response.code)}")
            pause = _RETRY_S[min(self._tries, len(_RETRY_S) - 1)]
            self._tries += 1
            self._host.ring(UPDATE, pause * self._dice.uniform(0.8, 1.2))
            return
        self._tries = 0
        self.location = response.location
        self._plan_update()
        self._host.registered(anew=True)
        if self._tells_result:
            self._tells_result = False
            self._tell_result()

    def _tell_result(self) -> None:
        if self._plan.has(Oddity.SENDS_RESULT) and self._sim.enabler != "1.0":
            told = self._host.result()
            form = ContentFormat.SENML_CBOR
            body = encode(form, told, ())
            request = Request(method=Code.POST, path=("dp",), content_format=form, payload=body)
            self._ask(request, lambda _: None)
        if self._plan.has(Oddity.OLD_TOKEN):
            self.notify(*self._observers)

    def _plan_update(self) -> None:
        lifetime = float(self.lifetime_s)
        wait = lifetime - _MARGIN_S if lifetime > 4 * _MARGIN_S else lifetime / 2
        self._host.ring(UPDATE, wait * self._dice.uniform(0.9, 1.0))

    def _updated(self, response: Response | None) -> None:
        self._is_connecting = False
        if response is not None and response.ok:
            self._plan_update()
            self._host.registered(anew=False)
            return
        # A server that does not know it, or does not answer: it registers anew.
        self._register()

    # Sleep

    def wake(self) -> None:
        """Listen, for a while if it is in queue mode."""
        self.is_asleep = False
        if self._sim.queue_mode:
            self._sleeps_at = self._host.wire + self._sim.awake_s

    def tick(self) -> None:
        """Do what is due."""
        wire = self._host.wire
        if self._sleeps_at is not None and self._sleeps_at <= wire:
            if self._host.is_busy or self._asking:
                self.wake()
            else:
                self.is_asleep = True
                self._sleeps_at = None
        due = self._endpoint.next_due
        if due is not None and due <= wire:
            self._handle(self._endpoint.tick(wire))

    # Messages

    def _ask(self, request: Request, then: Callable[[Response | None], None]) -> None:
        self.wake()
        self._asking[self._endpoint.request(SERVER, request, self._host.wire)] = then

    def receive(self, data: bytes) -> None:
        """Take a datagram of the server's."""
        self.wake()
        self._handle(self._endpoint.receive(SERVER, data, self._host.wire))

    def _handle(self, events: list[Event]) -> None:
        endpoint = self._endpoint
        for event in events:
            if endpoint is not self._endpoint:
                # It went down meanwhile: nobody hears the rest.
                return
            if isinstance(event, Incoming):
                response = self._host.asked(event)
                if response is not None and endpoint is self._endpoint:
                    endpoint.respond(event.exchange, response, self._host.wire)
            elif isinstance(event, Answered):
                self._end(event.handle, event.response)
            elif isinstance(event, TimedOut | Rejected | Unfinished):
                if (path := self._told.pop(event.handle, None)) is not None:
                    self._observers.pop(path, None)
                endpoint.release(SERVER, self._host.wire)
                self._end(event.handle, None)

    def _end(self, handle: Handle, response: Response | None) -> None:
        then = self._asking.pop(handle, None)
        if then is not None:
            then(response)

    # What is observed

    def observe(self, path: Path, exchange: Exchange, response: Response) -> Response:
        """Begin to tell of a value, or go on under another token; the answer to that."""
        if self._plan.has(Oddity.NO_OBSERVE) or not response.ok:
            return response
        self._observers[path] = (exchange.token, exchange.request.accept)
        return self._numbered(response)

    def forget(self, path: Path) -> None:
        """Tell of a value no more."""
        self._observers.pop(path, None)

    def notify(self, *paths: Path) -> None:
        """Tell whoever observes these values that they have changed."""
        for path in paths:
            observed = self._observers.get(path)
            if observed is None:
                continue
            token, accept = observed
            self.wake()
            handle = self._endpoint.notify(
                SERVER,
                token,
                self._numbered(self._host.value(path, accept)),
                self._host.wire,
                confirmable=self._plan.has(Oddity.CONFIRMS),
            )
            self._told[handle] = path
            while len(self._told) > _TOLD:
                del self._told[next(iter(self._told))]

    def _numbered(self, response: Response) -> Response:
        self._sequence = (self._sequence + 1) & 0xFFFFFF
        return Response(
            code=response.code,
            content_format=response.content_format,
            observe=self._sequence,
            payload=response.payload,
        )
