"""The specification's own datagrams, both ways, byte for byte; and what they say."""

import pytest

from overair.protocols.coap.message import Message, decode_message, encode_message, start
from overair.protocols.coap.numbers import Code, Type, is_request, is_response
from overair.protocols.coap.request import (
    read_request,
    read_response,
    request_body,
    response_body,
)
from overair.protocols.coap.values import Block, Request, Response
from tests.protocols.coap.vectors import DATAGRAMS, NAMES


@pytest.mark.parametrize("name", NAMES)
def test_messages_both_ways(name: str) -> None:
    """Each datagram is read, and written again byte for byte."""
    assert encode_message(decode_message(DATAGRAMS[name])) == DATAGRAMS[name]


@pytest.mark.parametrize("name", NAMES)
def test_values_both_ways(name: str) -> None:
    """Each request and answer is the same bytes after having been a value: nothing of it is lost."""
    message = decode_message(DATAGRAMS[name])
    head = start(message.type, message.code, message.mid, message.token)
    if is_request(message.code):
        assert head + request_body(read_request(message)) == DATAGRAMS[name]
    elif is_response(message.code):
        assert head + response_body(read_response(message)) == DATAGRAMS[name]
    else:
        assert head == DATAGRAMS[name]


def _request(name: str) -> Request:
    return read_request(decode_message(DATAGRAMS[name]))


def _response(name: str) -> Response:
    return read_response(decode_message(DATAGRAMS[name]))


def test_a_register() -> None:
    """A Register has its parameters in the query and its objects as links."""
    request = _request("Register, LwM2M 1.1, queue mode")
    assert request.method == Code.POST
    assert request.path == ("rd",)
    assert request.query == ("ep=urn:imei:490154203237518", "lt=86400", "lwm2m=1.1", "b=U", "Q")
    assert request.content_format == 40
    assert request.payload.startswith(b'</>;rt="oma.lwm2m"')
    assert _response("Register answer").location == ("rd", "5a3f")


def test_observing() -> None:
    """An observation is asked for with 0, and each notification has a sequence number."""
    request = _request("Observe firmware state")
    assert (request.observe, request.path, request.accept) == (0, ("5", "0", "3"), 0)
    first = _response("Observe accepted, state Idle")
    last = _response("Notify (CON), state Downloaded")
    assert (first.observe, first.payload) == (1, b"0")
    assert (last.observe, last.payload) == (3, b"2")


def test_blocks() -> None:
    """Blocks have number, size and whether more follow; the first says how long the whole is."""
    first = _request("Push: block 0 of 1 MiB (first 8 payload bytes kept here)")
    assert (first.block1, first.size1) == (Block(0, True, 6), 1 << 20)
    last = _request("Push: last block 1023")
    assert last.block1 == Block(1023, False, 6)
    refused = _response("Push refused, 256-byte blocks wanted")
    assert (refused.code, refused.block1) == (0x8D, Block(0, True, 4))
    assert _response("Push refused, no hint").block1 is None
    assert _request("Pull: resume at block 512").block2 == Block(512, False, 6)


def test_pings_and_acknowledgements() -> None:
    """Messages that say nothing are four bytes."""
    assert decode_message(DATAGRAMS["CoAP ping"]) == Message(type=Type.CON, code=0, mid=0x6001)
    assert decode_message(DATAGRAMS["Acknowledge the CON notify"]).type == Type.ACK
    assert decode_message(DATAGRAMS["Answer to a ping"]).type == Type.RST
