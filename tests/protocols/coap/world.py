"""Endpoints without sockets: a peer made of bytes, and a network with its own time."""

import heapq
import random
from collections.abc import Callable

from overair.protocols.coap.endpoint import Endpoint
from overair.protocols.coap.events import Event, Peer
from overair.protocols.coap.message import Message, decode_message, encode_message
from overair.protocols.coap.request import request_body, response_body
from overair.protocols.coap.values import Request, Response

DEVICE = ("192.0.2.1", 5683)
SERVER = ("192.0.2.2", 5683)
T0 = 1000.0


def entropy(seed: int = 1) -> Callable[[int], bytes]:
    """Return a source of bytes that is the same each time."""
    return random.Random(seed).randbytes


def endpoint(seed: int = 1) -> Endpoint:
    """Return an endpoint of which nothing is left to chance."""
    return Endpoint(entropy=entropy(seed))


def sent(side: Endpoint) -> list[Message]:
    """Return what an endpoint has to send, as messages."""
    return [decode_message(datagram) for _, datagram in side.drain()]


def one(side: Endpoint) -> Message:
    """Return the one message that an endpoint has to send."""
    (message,) = sent(side)
    return message


def request_datagram(
    request: Request, *, type_: int = 0, mid: int = 1, token: bytes = b"t"
) -> bytes:
    """Write a request of a peer."""
    head = Message(type=type_, code=request.method, mid=mid, token=token)
    return encode_message(head) + request_body(request)


def response_datagram(response: Response, *, type_: int = 2, mid: int, token: bytes) -> bytes:
    """Write an answer of a peer."""
    head = Message(type=type_, code=response.code, mid=mid, token=token)
    return encode_message(head) + response_body(response)


def answer(side: Endpoint, asked: Message, response: Response, now: float) -> list[Event]:
    """Let the device answer a request of ours in its acknowledgement."""
    return side.receive(DEVICE, response_datagram(response, mid=asked.mid, token=asked.token), now)


class Network:
    """Two endpoints, and datagrams between them that take time and may be lost, doubled, overtaken."""

    def __init__(
        self, seed: int, *, loss: float = 0.0, double: float = 0.0, late: float = 0.0
    ) -> None:
        self.now = T0
        device = Endpoint(entropy=entropy(seed + 1), whole_bodies=False)
        self.sides: dict[Peer, Endpoint] = {SERVER: endpoint(seed), DEVICE: device}
        self.events: dict[Peer, list[Event]] = {SERVER: [], DEVICE: []}
        self.on_event: Callable[[Peer, Event], None] = lambda _side, _event: None
        self.carried = 0
        self._dice = random.Random(seed)
        self._loss, self._double, self._late = loss, double, late
        self._on_the_way: list[tuple[float, int, Peer, Peer, bytes]] = []

    def _send(self) -> None:
        for source, side in self.sides.items():
            for target, datagram in side.drain():
                copies = 1 + (self._dice.random() < self._double)
                for _ in range(copies):
                    if self._dice.random() < self._loss:
                        continue
                    delay = 0.05 + (
                        self._dice.random() * 5 if self._dice.random() < self._late else 0
                    )
                    self.carried += 1
                    heapq.heappush(
                        self._on_the_way,
                        (self.now + delay, self.carried, source, target, datagram),
                    )

    def _heard(self, side: Peer, events: list[Event]) -> None:
        for event in events:
            self.events[side].append(event)
            self.on_event(side, event)

    def run(self, until: Callable[[], bool], *, most: int = 200_000) -> None:
        """Let time pass until something is so, or nothing happens any more."""
        for _ in range(most):
            self._send()
            if until():
                return
            times = [self._on_the_way[0][0]] if self._on_the_way else []
            times += [due for side in self.sides.values() if (due := side.next_due) is not None]
            if not times:
                return
            self.now = max(self.now, min(times))
            while self._on_the_way and self._on_the_way[0][0] <= self.now:
                _, _, source, target, datagram = heapq.heappop(self._on_the_way)
                self._heard(target, self.sides[target].receive(source, datagram, self.now))
            for name, side in self.sides.items():
                self._heard(name, side.tick(self.now))
        raise AssertionError("it does not come to an end")
