"""Push or pull, by which scheme, in which time; and the requests of a firmware attempt (lwm2m 9, 10, 19)."""

import pytest

from overair.protocols.coap.message import decode_message, start
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.request import request_body
from overair.protocols.coap.values import Request
from overair.protocols.lwm2m.delivery import (
    Delivery,
    Forced,
    Scheme,
    choose_delivery,
    choose_scheme,
    execute_update,
    pull_s,
    reset_request,
    write_package,
    write_uri,
)
from overair.protocols.lwm2m.errors import UnwritableError
from overair.protocols.lwm2m.firmware import ResetMove
from overair.protocols.lwm2m.objects import FirmwareReading
from tests.protocols.coap.vectors import DATAGRAMS

ALL = tuple(Scheme)


def test_schemes_in_their_order() -> None:
    """The first that both sides have; plain ones last, and only if they are allowed."""
    order = []
    left = list(range(6))
    while (scheme := choose_scheme(left, ALL, plain_allowed=True)) is not None:
        order.append(scheme.text)
        left.remove(scheme.protocol)
    assert order == ["coaps", "https", "coaps+tcp", "coap", "http", "coap+tcp"]
    assert choose_scheme([0, 2, 4], ALL, plain_allowed=False) is None
    assert choose_scheme([0, 9], ALL, plain_allowed=True) is Scheme.COAP
    assert choose_scheme([1, 3], [Scheme.HTTPS], plain_allowed=True) is Scheme.HTTPS
    assert choose_scheme([1], [Scheme.HTTPS], plain_allowed=True) is None
    assert choose_scheme([1, 3], ALL, plain_allowed=True, failed=[Scheme.COAPS]) is Scheme.HTTPS


PUSH, PULL = Delivery(), Delivery(scheme=Scheme.COAPS)


@pytest.mark.parametrize(
    ("delivery", "protocols", "forced", "chosen"),
    [
        (0, {1}, None, PULL), (1, {1}, None, PUSH), (2, {1}, None, PULL), (None, {1}, None, PULL),
        (7, {1}, None, PULL), (2, set(), None, PUSH), (None, set(), None, PUSH), (0, set(), None, None),
        (2, {1}, Forced.PUSH, PUSH), (2, {1}, Forced.PULL, PULL), (2, set(), Forced.PULL, None),
        (0, {1}, Forced.PUSH, None), (1, {1}, Forced.PULL, None),
    ],
)  # fmt: skip
def test_push_or_pull(
    delivery: int | None, protocols: set[int], forced: Forced | None, chosen: Delivery | None
) -> None:
    """What the device says that it can, what is forced, and a pull where a scheme fits."""
    reading = FirmwareReading(delivery=delivery, protocols=frozenset(protocols))
    assert choose_delivery(reading, ALL, plain_allowed=False, forced=forced) == chosen
    assert PULL.is_pull
    assert not PUSH.is_pull


def test_another_way_after_a_failure() -> None:
    """Result 9: another scheme, then a push, then none."""
    reading = FirmwareReading(delivery=2, protocols=frozenset({1, 3}))

    def choose(*failed: Scheme, push_failed: bool = False) -> Delivery | None:
        return choose_delivery(
            reading, ALL, plain_allowed=False, failed=failed, push_failed=push_failed
        )

    assert choose(Scheme.COAPS) == Delivery(scheme=Scheme.HTTPS)
    assert choose(Scheme.COAPS, Scheme.HTTPS) == PUSH
    assert choose(Scheme.COAPS, Scheme.HTTPS, push_failed=True) is None


def test_how_long_a_download_may_take() -> None:
    """A kilobyte a second and ten minutes, half an hour at least."""
    assert pull_s(1) == 1800
    assert pull_s(10 << 20) == 10240 + 600


def _written(request: Request, name: str) -> bytes:
    message = decode_message(DATAGRAMS[name])
    return start(message.type, request.method, message.mid, message.token) + request_body(request)


def test_the_requests_of_the_specification() -> None:
    """The URI, the execute and the reset are the example datagrams, byte for byte."""
    name = "Write Package URI (pull)"
    uri = decode_message(DATAGRAMS[name]).payload.decode()
    assert _written(write_uri(uri), name) == DATAGRAMS[name]
    name = "Execute Update"
    assert _written(execute_update(), name) == DATAGRAMS[name]
    name = "Reset the update machine"
    assert _written(reset_request(ResetMove.EMPTY_URI), name) == DATAGRAMS[name]


def test_other_requests() -> None:
    """The cancel, the zero byte, and the request of a push."""
    assert reset_request(ResetMove.CANCEL) == Request(method=Code.POST, path=("5", "0", "10"))
    zero = reset_request(ResetMove.ZERO_BYTE)
    assert zero == Request(
        method=Code.PUT, path=("5", "0", "0"), content_format=42, payload=b"\x00"
    )
    assert write_package() == Request(method=Code.PUT, path=("5", "0", "0"), content_format=42)


@pytest.mark.parametrize("uri", ["", "coap://" + "a" * 249])
def test_uris_that_cannot_be_written(uri: str) -> None:
    """One to 255 bytes."""
    with pytest.raises(UnwritableError):
        write_uri(uri)
