"""Someone else's CoAP reads what we write and we read what it writes; and both speak over real sockets."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiocoap
import aiocoap.resource
import pytest
from aiocoap.message import Direction
from aiocoap.numbers.codes import Code as TheirCode
from hypothesis import given, settings

from overair.protocols.coap.blocks import block_response, wanted_block
from overair.protocols.coap.events import Answered, Event, Incoming, Notified, Progressed
from overair.protocols.coap.message import Message, decode_message, encode_message, start
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.request import request_body, response_body
from overair.protocols.coap.values import Request, Response
from tests.protocols.coap.test_request import REQUESTS, RESPONSES
from tests.protocols.coap.udp import Driver
from tests.protocols.coap.vectors import DATAGRAMS, NAMES
from tests.waiting import until

IMAGE = random.Random(3).randbytes(20_000)


# As codecs


def _theirs(datagram: bytes) -> Message:
    """Return what it makes of a datagram, in our words."""
    message = aiocoap.Message.decode(datagram)
    return Message(
        type=int(message.mtype),
        code=int(message.code),
        mid=message.mid,
        token=message.token,
        options=tuple((int(o.number), o.encode()) for o in message.opt.option_list()),
        payload=message.payload,
    )


def _again(message: aiocoap.Message) -> bytes:
    """Return what it writes of what it has read."""
    message.direction = Direction.OUTGOING
    datagram: bytes = message.encode()
    return datagram


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_the_examples_as_we_do(name: str) -> None:
    """Each datagram of the specification means the same to both, and both write it alike."""
    assert _theirs(DATAGRAMS[name]) == decode_message(DATAGRAMS[name])
    assert _again(aiocoap.Message.decode(DATAGRAMS[name])) == DATAGRAMS[name]


@settings(max_examples=200)
@given(REQUESTS)
def test_it_reads_our_requests(request: Request) -> None:
    """Any request that we write is the same request to it, and the same bytes after it."""
    datagram = start(0, request.method, 5, b"tok") + request_body(request)
    theirs = aiocoap.Message.decode(datagram)
    assert theirs.opt.uri_path == request.path
    assert theirs.opt.uri_query == request.query
    assert theirs.opt.observe == request.observe
    assert theirs.payload == request.payload
    if request.block1 is not None:
        assert tuple(theirs.opt.block1) == request.block1
    assert _again(theirs) == datagram
    assert encode_message(_theirs(datagram)) == datagram


@settings(max_examples=200)
@given(RESPONSES.filter(lambda response: response.code in set(map(int, TheirCode))))
def test_it_reads_our_answers(response: Response) -> None:
    """Any answer that we write is the same answer to it, and the same bytes after it."""
    datagram = start(2, response.code, 5, b"tok") + response_body(response)
    theirs = aiocoap.Message.decode(datagram)
    assert theirs.opt.etag == response.etag
    assert theirs.opt.max_age == response.max_age
    assert theirs.opt.location_path == response.location
    assert theirs.payload == response.payload
    assert _again(theirs) == datagram


# As a client of ours


@asynccontextmanager
async def _client() -> AsyncIterator[aiocoap.Context]:
    context = await aiocoap.Context.create_client_context(transports=["simple6"])
    try:
        yield context
    finally:
        await context.shutdown()


def _serve(driver: Driver, event: Event) -> bool:
    """Be a server with a file, an echo and something that takes long."""
    if not isinstance(event, Incoming):
        return False
    request, exchange = event.request, event.exchange
    match request.path:
        case ("fw", _):
            part = wanted_block(request, len(IMAGE))
            payload = IMAGE[part.offset : part.offset + part.length]
            response = block_response(part, payload, size=len(IMAGE), etag=b"etag")
        case ("echo",):
            response = Response(code=Code.CHANGED, payload=request.payload[:1000])
        case ("slow",):
            return False
        case _:
            response = Response(code=Code.NOT_FOUND)
    driver.endpoint.respond(exchange, response, driver.now)
    return True


async def test_it_fetches_a_file_from_us() -> None:
    """It puts our blocks together to the image."""
    async with Driver(_serve) as driver, _client() as client:
        uri = f"coap://127.0.0.1:{driver.port}/fw/token"
        answer = await client.request(aiocoap.Message(code=TheirCode.GET, uri=uri)).response
        assert answer.payload == IMAGE
        missing = f"coap://127.0.0.1:{driver.port}/nothing"
        answer = await client.request(aiocoap.Message(code=TheirCode.GET, uri=missing)).response
        assert answer.code == TheirCode.NOT_FOUND


async def test_it_sends_us_a_large_request() -> None:
    """Its blocks are one request to us."""
    async with Driver(_serve) as driver, _client() as client:
        uri = f"coap://127.0.0.1:{driver.port}/echo"
        message = aiocoap.Message(code=TheirCode.POST, uri=uri, payload=IMAGE[:9000])
        answer = await client.request(message).response
        assert (answer.code, answer.payload) == (TheirCode.CHANGED, IMAGE[:1000])


async def test_it_waits_for_a_late_answer_of_ours() -> None:
    """An empty acknowledgement after a second, and the answer by itself."""
    async with Driver(_serve) as driver, _client() as client:
        uri = f"coap://127.0.0.1:{driver.port}/slow"
        asked = client.request(aiocoap.Message(code=TheirCode.POST, uri=uri))
        event = await driver.events.get()
        assert isinstance(event, Incoming)
        exchange = event.exchange

        async def acknowledged() -> bool:
            return exchange.answered is not None

        await until(acknowledged, "the empty acknowledgement")
        driver.endpoint.respond(exchange, Response(code=Code.CHANGED), driver.now)
        driver.flush()
        assert (await asked.response).code == TheirCode.CHANGED


# As a server, as devices are


class _Observed(aiocoap.resource.ObservableResource):
    def __init__(self) -> None:
        super().__init__()
        self.value = 0

    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(payload=str(self.value).encode(), content_format=0)

    def set(self, value: int) -> None:
        self.value = value
        self.updated_state()


class _Package(aiocoap.resource.Resource):
    def __init__(self) -> None:
        super().__init__()
        self.image = b""

    async def render_put(self, request: aiocoap.Message) -> aiocoap.Message:
        self.image = request.payload
        return aiocoap.Message(code=TheirCode.CHANGED)

    async def render_get(self, request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(payload=self.image, content_format=42)


@asynccontextmanager
async def _device() -> AsyncIterator[tuple[tuple[str, int], _Observed, _Package]]:
    site, state, package = aiocoap.resource.Site(), _Observed(), _Package()
    site.add_resource(["5", "0", "3"], state)
    site.add_resource(["5", "0", "0"], package)
    port = _free_port()
    context = await aiocoap.Context.create_server_context(
        site, bind=("127.0.0.1", port), transports=["simplesocketserver"]
    )
    try:
        yield ("127.0.0.1", port), state, package
    finally:
        await context.shutdown()


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _answered(driver: Driver) -> Answered:
    while True:
        event = await asyncio.wait_for(driver.events.get(), 10)
        if isinstance(event, Answered):
            return event
        assert isinstance(event, Progressed)


async def test_we_push_to_it_and_read_it_back() -> None:
    """It has the image, byte for byte, and so have we after reading it in blocks."""
    async with _device() as (peer, _, package), Driver() as driver:
        put = Request(method=Code.PUT, path=("5", "0", "0"), content_format=42)
        driver.endpoint.push(
            peer, put, len(IMAGE), lambda at, length: IMAGE[at : at + length], driver.now
        )
        driver.flush()
        event = await _answered(driver)
        assert event.response.code == Code.CHANGED
        assert package.image == IMAGE
        driver.endpoint.request(peer, Request(method=Code.GET, path=("5", "0", "0")), driver.now)
        driver.flush()
        event = await _answered(driver)
        assert event.response.payload == IMAGE


async def test_we_observe_it() -> None:
    """Its notifications are events, until we ask it to stop."""
    async with _device() as (peer, state, _), Driver() as driver:
        observe = Request(method=Code.GET, path=("5", "0", "3"), accept=0, observe=0)
        handle = driver.endpoint.request(peer, observe, driver.now)
        driver.flush()
        event = await _answered(driver)
        assert (event.observing, event.response.payload) == (True, b"0")
        for value in (1, 2):
            state.set(value)
            notice = await asyncio.wait_for(driver.events.get(), 10)
            assert isinstance(notice, Notified)
            assert (notice.handle, notice.response.payload) == (handle, b"%d" % value)
        driver.endpoint.cancel_observation(handle, driver.now)
        driver.flush()
        event = await _answered(driver)
        assert event.response.ok
        assert driver.endpoint.token_of(handle) is None
