"""A scripted LwM2M server for simulated devices: it registers whoever comes, and asks what a test wants.

It has no I/O: datagrams and the time go in, datagrams come out. What it knows of images is a list of
bytes by path.
"""

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from random import Random

from overair.protocols.coap.blocks import block_response, wanted_block
from overair.protocols.coap.endpoint import Endpoint
from overair.protocols.coap.events import (
    Answered,
    Event,
    Handle,
    Incoming,
    Notified,
    Progressed,
    Unheard,
)
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from overair.protocols.lwm2m.registration import Register, created, read_register

Peer = Hashable


@dataclass(slots=True)
class Seen:
    """A device as its server knows it."""

    peer: Peer
    register: Register
    location: str
    at: float
    updates: list[float] = field(default_factory=list)


class Head:
    """The server. ``answers`` are given to the next registrations in place of its own."""

    def __init__(self) -> None:
        self.endpoint = Endpoint(entropy=Random(5).randbytes)
        self.registered: defaultdict[str, list[Seen]] = defaultdict(list)
        self.gone: list[str] = []
        self.sent: list[bytes] = []
        self.notices: list[tuple[Handle, Response]] = []
        self.files: dict[str, bytes] = {}
        self.asked_for: list[int] = []
        self.answers: list[Response] = []
        self.ends: dict[Handle, Event] = {}
        self._locations: dict[str, Seen] = {}

    def receive(self, peer: Peer, data: bytes, now: float) -> None:
        """Take a datagram."""
        self._handle(self.endpoint.receive(peer, data, now), now)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._handle(self.endpoint.tick(now), now)

    def seen(self, name: str) -> Seen:
        """Return a device's registration, which it must have."""
        return self.registered[name][-1]

    def ask(self, name: str, request: Request, now: float) -> Handle:
        """Ask a device where it was last."""
        return self.endpoint.request(self.seen(name).peer, request, now)

    def push(self, name: str, image: bytes, now: float, szx: int = 6) -> Handle:
        """Push an image."""
        request = Request(method=Code.PUT, path=("5", "0", "0"), content_format=42)
        return self.endpoint.push(
            self.seen(name).peer,
            request,
            len(image),
            lambda offset, length: image[offset : offset + length],
            now,
            szx=szx,
        )

    def answer(self, handle: Handle) -> Response | None:
        """Return what came of it; None: nobody answered."""
        event = self.ends[handle]
        return event.response if isinstance(event, Answered) else None

    def _handle(self, events: list[Event], now: float) -> None:
        for event in events:
            if isinstance(event, Incoming):
                self.endpoint.respond(event.exchange, self._asked(event, now), now)
            elif isinstance(event, Notified):
                self.notices.append((event.handle, event.response))
            elif not isinstance(event, Progressed | Unheard):
                self.endpoint.release(event.peer, now)
                self.ends[event.handle] = event

    def _asked(self, event: Incoming, now: float) -> Response:
        request = event.request
        match request.path:
            case ("rd",):
                return self._register(event.peer, request, now)
            case ("rd", location):
                return self._known(event.peer, request, location, now)
            case ("dp",):
                self.sent.append(request.payload)
                return Response(code=Code.CHANGED)
            case ("fw", name):
                return self._file(request, name)
            case _:
                return Response(code=Code.NOT_FOUND)

    def _register(self, peer: Peer, request: Request, now: float) -> Response:
        if self.answers:
            return self.answers.pop(0)
        register = read_register(request)
        assert register.endpoint is not None
        before = self.registered[register.endpoint]
        if before:
            self.endpoint.retire_observations(before[-1].peer, now)
            self.endpoint.move(before[-1].peer, peer, now)
        location = f"{register.endpoint[-4:]}{len(before)}"
        seen = Seen(peer, register, location, now)
        before.append(seen)
        self._locations[location] = seen
        return created(location)

    def _known(self, peer: Peer, request: Request, location: str, now: float) -> Response:
        if self.answers:
            return self.answers.pop(0)
        seen = self._locations.get(location)
        if seen is None:
            return Response(code=Code.NOT_FOUND)
        if request.method == Code.DELETE:
            self.gone.append(location)
            return Response(code=Code.DELETED)
        seen.peer = peer
        seen.updates.append(now)
        return Response(code=Code.CHANGED)

    def _file(self, request: Request, name: str) -> Response:
        image = self.files.get(name)
        if image is None:
            return Response(code=Code.NOT_FOUND)
        part = wanted_block(request, len(image))
        self.asked_for.append(part.offset)
        payload = image[part.offset : part.offset + part.length]
        return block_response(part, payload, size=len(image), etag=b"12345678")
