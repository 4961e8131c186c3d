"""Giving a device its account (lwm2m 13, 19)."""

import pytest

from overair.protocols.coap.message import decode_message, start
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.request import read_request, request_body
from overair.protocols.coap.values import Request
from overair.protocols.lwm2m.bootstrap import (
    Account,
    BootstrapRequest,
    delete,
    delete_all,
    discover,
    finish,
    free_instance,
    read_bootstrap_request,
    read_discovery,
    write_security,
    write_server,
)
from overair.protocols.lwm2m.errors import RegistrationError, UnreadableError
from tests.protocols.coap.vectors import DATAGRAMS

ACCOUNT = Account(
    uri="coaps://lwm2m.example:5684",
    identity=b"urn:imei:490154203237518",
    key=bytes.fromhex("00112233445566778899aabbccddeeff"),
    short_id=101,
)


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("Bootstrap delete all", delete_all()),
        ("Bootstrap write security instance 10", write_security(10, ACCOUNT)),
        ("Bootstrap write server instance 10", write_server(10, ACCOUNT)),
        ("Bootstrap finish", finish()),
    ],
)
def test_the_messages_of_the_specification(name: str, request_: Request) -> None:
    """Each is the example datagram, byte for byte."""
    message = decode_message(DATAGRAMS[name])
    head = start(message.type, request_.method, message.mid, message.token)
    assert head + request_body(request_) == DATAGRAMS[name]


def test_what_a_device_asks() -> None:
    """Its name, and the format that it likes."""
    request = read_request(decode_message(DATAGRAMS["Bootstrap request"]))
    assert read_bootstrap_request(request) == BootstrapRequest(
        endpoint="urn:imei:490154203237518", preferred=112
    )
    assert read_bootstrap_request(Request(method=Code.POST)) == BootstrapRequest(endpoint=None)


@pytest.mark.parametrize(
    ("query", "code"),
    [("pct=60", 0x8F), ("pct=x", 0x80), ("pct=", 0x80), ("ep=", 0x80), ("ep=\n", 0x80)],
)
def test_what_a_device_may_not_ask(query: str, code: int) -> None:
    """A format that is not written is 4.15, what is none 4.00."""
    with pytest.raises(RegistrationError) as error:
        read_bootstrap_request(Request(method=Code.POST, query=(query,)))
    assert error.value.code == code


def test_instances_in_use() -> None:
    """The bootstrap account is at 0/0 or 0/1, and is never overwritten."""
    wakaama = read_discovery(b"</>;lwm2m=1.0,</0/0>;ssid=0,</1/0>,</3/0>,</.x>")
    anjay = read_discovery(b"</0/1>,</1>,</3/0>")
    assert (0, 0) in wakaama
    assert free_instance(wakaama, 0) == 1
    assert free_instance(anjay, 0) == 0
    assert free_instance(anjay, 1) == 0
    assert free_instance(None, 0) == 10
    for wrong in (b"x", b"</70000>"):
        with pytest.raises(UnreadableError):
            read_discovery(wrong)


def test_asking_and_deleting() -> None:
    """What is there is asked for as links; one instance may be deleted by itself."""
    assert discover() == Request(method=Code.GET, accept=40)
    assert delete((0, 3)) == Request(method=Code.DELETE, path=("0", "3"))


def test_an_account_without_a_key() -> None:
    """It is written as one in the clear."""
    payload = write_security(0, Account(uri="coap://a", short_id=1)).payload
    assert bytes.fromhex("c10203") in payload
