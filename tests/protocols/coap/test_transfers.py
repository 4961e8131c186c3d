"""Transfers between two endpoints, over a network that loses, doubles and overtakes, in its own time."""

import functools
import random

import pytest

from overair.protocols.coap.blocks import block_response, wanted_block
from overair.protocols.coap.errors import UnencodableError
from overair.protocols.coap.events import (
    Answered,
    Event,
    Handle,
    Incoming,
    Peer,
    Progressed,
    TimedOut,
    Unfinished,
)
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Block, Request, Response
from tests.protocols.coap.world import DEVICE, SERVER, T0, Network, answer, endpoint, one, sent

IMAGE = random.Random(7).randbytes(70_001)
PACKAGE = Request(method=Code.PUT, path=("5", "0", "0"), content_format=42)
FILE = Request(method=Code.GET, path=("fw", "token"))


def _image(offset: int, length: int) -> bytes:
    return IMAGE[offset : offset + length]


class PushedDevice:
    """A device that takes a package in blocks, the way Anjay and Wakaama do."""

    def __init__(self, network: Network, *, most_szx: int = 6, hints: bool = True) -> None:
        self.image = b""
        self.done = False
        self.loses: set[int] = set()
        self._network = network
        self._most, self._hints = most_szx, hints
        network.on_event = self._on_event

    def _on_event(self, side: Peer, event: Event) -> None:
        if side == DEVICE and isinstance(event, Incoming):
            self._network.sides[DEVICE].respond(
                event.exchange, self.take(event.request), self._network.now
            )

    def take(self, request: Request) -> Response:
        """Answer one block."""
        block = request.block1
        assert block is not None
        if block.szx > self._most:
            self.image = b""
            hint = Block(block.number, True, self._most) if self._hints else None
            return Response(code=Code.REQUEST_ENTITY_TOO_LARGE, block1=hint)
        if block.number == 0:
            self.image = b""
        if block.offset != len(self.image) or block.number in self.loses:
            self.loses.discard(block.number)
            return Response(code=Code.REQUEST_ENTITY_INCOMPLETE)
        self.image += request.payload
        self.done = not block.more
        return Response(code=Code.CONTINUE if block.more else Code.CHANGED, block1=block)


def _push(network: Network) -> list[Event]:
    """Push the image until it is over, as the server does: a device that was silent is tried again."""
    server = network.sides[SERVER]
    while True:
        handle = server.push(DEVICE, PACKAGE, len(IMAGE), _image, network.now)
        network.run(functools.partial(_ended, network, handle))
        if any(isinstance(event, Answered) for event in network.events[SERVER]):
            return network.events[SERVER]
        server.release(DEVICE, network.now)


def _ended(network: Network, handle: Handle) -> bool:
    return any(
        isinstance(event, Answered | TimedOut | Unfinished) and event.handle == handle
        for event in network.events[SERVER]
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_push_over_a_bad_network(seed: int) -> None:
    """With a fifth lost, a tenth doubled and a tenth overtaken, the image arrives byte for byte."""
    network = Network(seed, loss=0.2, double=0.1, late=0.1)
    device = PushedDevice(network)
    _push(network)
    assert device.done
    assert device.image == IMAGE


@pytest.mark.parametrize("hints", [True, False])
def test_a_push_to_a_small_device(hints: bool) -> None:
    """A device that takes 128 bytes at most says so, or only refuses; it gets them all the same."""
    network = Network(1)
    device = PushedDevice(network, most_szx=3, hints=hints)
    events = _push(network)
    assert device.image == IMAGE
    progress = [event.sent_bytes for event in events if isinstance(event, Progressed)]
    assert progress == sorted(progress)
    assert progress[:2] == [128, 256]


def test_a_push_to_a_device_that_loses_its_order() -> None:
    """It begins again, twice; the third time the refusal is the answer."""
    network = Network(1)
    device = PushedDevice(network)
    device.loses = {3, 20}
    _push(network)
    assert device.image == IMAGE
    device.loses = {3, 4, 5}
    events = _push(network)
    (*_, last) = events
    assert isinstance(last, Answered)
    assert last.response.code == Code.REQUEST_ENTITY_INCOMPLETE


@pytest.mark.parametrize("seed", range(4))
def test_a_pull_over_a_bad_network(seed: int) -> None:
    """A device fetches the image block by block from a server that keeps nothing about it."""
    network = Network(seed, loss=0.2, double=0.1, late=0.1)
    fetched = bytearray()
    server, device = network.sides[SERVER], network.sides[DEVICE]

    def on_event(side: Peer, event: Event) -> None:
        if side == SERVER and isinstance(event, Incoming):
            part = wanted_block(event.request, len(IMAGE))
            payload = _image(part.offset, part.length)
            response = block_response(part, payload, size=len(IMAGE), etag=b"etag")
            server.respond(event.exchange, response, network.now)

    network.on_event = on_event
    while len(fetched) < len(IMAGE):
        block = Block(len(fetched) // 1024, False, 6)
        # Each block by itself, as modems do that resume: what is answered is only that block.
        asked = Request(method=FILE.method, path=FILE.path, block2=block)
        before = len(network.events[DEVICE])
        handle = device.request(SERVER, asked, network.now)
        network.run(lambda: len(network.events[DEVICE]) > before)  # noqa: B023 - run at once
        (event,) = network.events[DEVICE][before:]
        if isinstance(event, TimedOut):
            device.release(SERVER, network.now)
            continue
        assert isinstance(event, Answered)
        assert event.handle == handle
        fetched += event.response.payload
    assert bytes(fetched) == IMAGE


def test_a_large_register_over_a_bad_network() -> None:
    """A Register in blocks is one request to the server, once."""
    network = Network(3, loss=0.2, double=0.2)
    links = b",".join(b"</%d/0>" % number for number in range(1200))
    request = Request(
        method=Code.POST, path=("rd",), query=("ep=a",), content_format=40, payload=b""
    )
    seen: list[bytes] = []

    def on_event(side: Peer, event: Event) -> None:
        if side == SERVER and isinstance(event, Incoming):
            seen.append(event.request.payload)
            network.sides[SERVER].respond(
                event.exchange, Response(code=Code.CREATED, location=("rd", "x")), network.now
            )

    network.on_event = on_event
    device = network.sides[DEVICE]
    device.push(SERVER, request, len(links), lambda at, length: links[at : at + length], T0, szx=4)
    network.run(lambda: any(isinstance(each, Answered) for each in network.events[DEVICE]))
    (*_, last) = network.events[DEVICE]
    assert isinstance(last, Answered)
    assert last.response.location == ("rd", "x")
    assert seen == [links]


def _block(number: int, payload: bytes, *, more: bool) -> Response:
    return Response(code=Code.CONTENT, block2=Block(number, more, 0), payload=payload)


def test_a_large_reading_is_one_answer() -> None:
    """An answer in blocks is asked for to its end, and is one event."""
    side = endpoint()
    handle = side.request(DEVICE, Request(method=Code.GET, path=("3",), accept=112), T0)
    tokens = []
    events: list[Event] = []
    for number in range(3):
        asked = one(side)
        tokens.append(asked.token)
        events += answer(side, asked, _block(number, b"x" * 16, more=number < 2), T0)
    assert events == [
        Answered(
            peer=DEVICE,
            handle=handle,
            response=Response(code=Code.CONTENT, payload=b"x" * 48),
        )
    ]
    assert len(set(tokens)) == 3


def test_a_large_reading_of_something_observed() -> None:
    """Only the first request observes; the rest of the answer is fetched beside it."""
    side = endpoint()
    request = Request(method=Code.GET, path=("3",), observe=0)
    handle = side.request(DEVICE, request, T0)
    first = one(side)
    begun = Response(code=Code.CONTENT, observe=4, block2=Block(0, True, 0), payload=b"x" * 16)
    assert answer(side, first, begun, T0) == []
    second = one(side)
    assert all(number != 6 for number, _ in second.options)
    assert second.token != first.token
    (event,) = answer(side, second, _block(1, b"y", more=False), T0)
    assert isinstance(event, Answered)
    assert event.observing
    assert side.token_of(handle) == first.token


def test_a_large_reading_that_fails() -> None:
    """What cannot be put together is said to be so; nothing is observed then."""
    side = endpoint()
    handle = side.request(DEVICE, Request(method=Code.GET, path=("3",), observe=0), T0)
    answer(side, one(side), _block(0, b"x" * 16, more=True), T0)
    events = answer(side, one(side), _block(2, b"x" * 16, more=True), T0)
    assert events == [Unfinished(peer=DEVICE, handle=handle, why="a block that was not asked for")]
    assert side.token_of(handle) is None
    assert side.queued(DEVICE) == 0
    plain = side.request(DEVICE, Request(method=Code.GET, path=("3",)), T0)
    middle = answer(side, one(side), _block(7, b"x", more=False), T0)
    assert middle == [Unfinished(peer=DEVICE, handle=plain, why="the answer begins in the middle")]
    whole = side.request(DEVICE, Request(method=Code.GET, path=("3",)), T0)
    (event,) = answer(side, one(side), _block(0, b"x", more=False), T0)
    assert isinstance(event, Answered)
    assert event.handle == whole


def test_a_push_waits_for_its_bytes() -> None:
    """Where the next block is not there yet nothing is sent, until somebody says that it is."""
    side = endpoint()
    there = 1024

    def read(offset: int, length: int) -> bytes | None:
        return _image(offset, length) if offset + length <= there else None

    handle = side.push(DEVICE, PACKAGE, 3000, read, T0)
    assert answer(side, one(side), Response(code=Code.CONTINUE), T0) == [
        Progressed(peer=DEVICE, handle=handle, sent_bytes=1024)
    ]
    assert sent(side) == []
    assert side.next_due is None
    side.resume(handle, T0)
    assert sent(side) == []
    there = 3000
    side.resume(handle, T0 + 500)
    assert one(side).payload == IMAGE[1024:2048]
    side.resume(handle, T0 + 500)
    assert sent(side) == []
    side.cancel(handle, T0)
    side.resume(handle, T0)
    assert sent(side) == []


def test_a_push_whose_bytes_are_gone() -> None:
    """A body that ends early ends the push, and the next request goes."""
    side = endpoint()
    handle = side.push(DEVICE, PACKAGE, 3000, lambda _offset, _length: b"short", T0)
    assert side.tick(T0) == [Unfinished(peer=DEVICE, handle=handle, why="the body is not there")]
    assert side.queued(DEVICE) == 0


def test_what_cannot_be_pushed() -> None:
    """A body of nothing, and one of more blocks than can be numbered, are our mistake."""
    for size, szx in ((0, 6), ((1 << 24) + 1, 0)):
        with pytest.raises(UnencodableError):
            endpoint().push(DEVICE, PACKAGE, size, _image, T0, szx=szx)
