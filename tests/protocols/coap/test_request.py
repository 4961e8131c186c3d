"""What options mean: the second half of the table of lwm2m 14."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.coap.errors import MalformedError, RefusedError, UnencodableError
from overair.protocols.coap.message import Message, decode_message, start
from overair.protocols.coap.numbers import Code, Option
from overair.protocols.coap.request import (
    read_request,
    read_response,
    request_body,
    response_body,
)
from overair.protocols.coap.values import Block, Request, Response

PATH = (Option.URI_PATH, b"rd")


def _asked(*options: tuple[int, bytes], code: int = Code.GET) -> Request:
    ordered = tuple(sorted(options, key=lambda each: each[0]))
    return read_request(Message(type=0, code=code, mid=1, options=ordered))


REFUSED = {
    "an unknown critical option": ([(9, b"")], Code.BAD_OPTION),
    "If-Match": ([(Option.IF_MATCH, b"")], Code.BAD_OPTION),
    "If-None-Match": ([(Option.IF_NONE_MATCH, b"")], Code.BAD_OPTION),
    "a second Accept": ([(Option.ACCEPT, b""), (Option.ACCEPT, b"")], Code.BAD_OPTION),
    "a second Block1": ([(Option.BLOCK1, b""), (Option.BLOCK1, b"")], Code.BAD_OPTION),
    "a second Uri-Host": ([(Option.URI_HOST, b"a"), (Option.URI_HOST, b"b")], Code.BAD_OPTION),
    "an Accept of three bytes": ([(Option.ACCEPT, b"abc")], Code.BAD_OPTION),
    "an empty Uri-Host": ([(Option.URI_HOST, b"")], Code.BAD_OPTION),
    "a Uri-Port of three bytes": ([(Option.URI_PORT, b"abc")], Code.BAD_OPTION),
    "a path that is not UTF-8": ([(Option.URI_PATH, b"\xff")], Code.BAD_OPTION),
    "a query that is not UTF-8": ([(Option.URI_QUERY, b"ep=\xc3")], Code.BAD_OPTION),
    "a path of 256 bytes": ([(Option.URI_PATH, b"a" * 256)], Code.BAD_OPTION),
    "33 path options": ([(Option.URI_PATH, b"a")] * 33, Code.BAD_REQUEST),
    "33 query options": ([(Option.URI_QUERY, b"a")] * 33, Code.BAD_REQUEST),
    "1,153 bytes of options": ([(Option.URI_PATH, b"a" * 230)] * 5, Code.BAD_REQUEST),
    "Proxy-Uri": ([(Option.PROXY_URI, b"coap://a")], Code.PROXYING_NOT_SUPPORTED),
    "Proxy-Scheme": ([(Option.PROXY_SCHEME, b"coap")], Code.PROXYING_NOT_SUPPORTED),
    "Block1 of size 7": ([(Option.BLOCK1, b"\x07")], Code.BAD_REQUEST),
    "Block2 of size 7": ([(Option.BLOCK2, b"\x0f")], Code.BAD_REQUEST),
}


@pytest.mark.parametrize(("options", "code"), REFUSED.values(), ids=REFUSED)
def test_requests_that_are_refused(options: list[tuple[int, bytes]], code: Code) -> None:
    """Each row of the table has its code."""
    with pytest.raises(RefusedError) as error:
        _asked(*options)
    assert error.value.code == code


def test_an_unknown_method() -> None:
    """A method that nobody knows is no method for any path."""
    with pytest.raises(RefusedError) as error:
        _asked(PATH, code=0x1F)
    assert error.value.code == Code.METHOD_NOT_ALLOWED


def test_what_is_elective_is_passed_over() -> None:
    """Unknown elective options, a second one and one of a wrong size change nothing."""
    plain = _asked(PATH, (Option.CONTENT_FORMAT, b"\x28"))
    assert plain.content_format == 40
    assert plain == _asked(
        PATH,
        (Option.ETAG, b"123"),
        (Option.OBSERVE, b"1234"),
        (Option.CONTENT_FORMAT, b"\x28"),
        (Option.CONTENT_FORMAT, b"\x29"),
        (2048, b"whatever"),
    )


def test_the_most_that_is_taken() -> None:
    """Limits are the last that is accepted: 32 segments, 255 bytes each, and a host and a port."""
    assert len(_asked(*[(Option.URI_PATH, b"a")] * 32).path) == 32
    assert _asked((Option.URI_PATH, b"a" * 255)).path == ("a" * 255,)
    assert _asked((Option.URI_HOST, b"host"), (Option.URI_PORT, b"\x16\x33"), PATH).path == ("rd",)


@pytest.mark.parametrize(
    "options",
    [
        ((9, b""),),
        ((Option.BLOCK2, b"\x07"),),
        ((Option.BLOCK1, b"\x0f"),),
        ((Option.BLOCK2, b"\x06"), (Option.BLOCK2, b"\x06")),
        ((Option.BLOCK2, b"1234"),),
    ],
)
def test_answers_that_cannot_be_used(options: tuple[tuple[int, bytes], ...]) -> None:
    """An answer with a critical option that means nothing is no answer."""
    with pytest.raises(MalformedError):
        read_response(Message(type=2, code=Code.CONTENT, mid=1, options=options))


def test_answers_with_what_is_elective() -> None:
    """Entity tags that are none, second ones and unknown options are passed over."""
    options = (
        (Option.ETAG, b""),
        (Option.ETAG, b"12"),
        (Option.ETAG, b"34"),
        (Option.LOCATION_PATH, b"\xff"),
        (Option.MAX_AGE, b"\x3c"),
        (Option.MAX_AGE, b"\x3d"),
        (2048, b""),
    )
    response = read_response(Message(type=2, code=Code.CONTENT, mid=1, options=options))
    assert response == Response(
        code=Code.CONTENT, etag=b"12", location=("\N{REPLACEMENT CHARACTER}",), max_age=60
    )
    assert response.ok
    assert not Response(code=Code.NOT_FOUND).ok


TEXTS = st.text(max_size=20).filter(lambda text: "\ud800" not in text)
BLOCKS = st.builds(Block, st.integers(0, (1 << 20) - 1), st.booleans(), st.integers(0, 6))
REQUESTS = st.builds(
    Request,
    method=st.integers(1, 7),
    path=st.lists(TEXTS, max_size=4).map(tuple),
    query=st.lists(TEXTS, max_size=4).map(tuple),
    content_format=st.none() | st.integers(0, 65535),
    accept=st.none() | st.integers(0, 65535),
    observe=st.none() | st.integers(0, 1),
    block1=st.none() | BLOCKS,
    block2=st.none() | BLOCKS,
    size1=st.none() | st.integers(0, 2**32 - 1),
    size2=st.none() | st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=40),
)
RESPONSES = st.builds(
    Response,
    code=st.integers(0x40, 0x5F) | st.integers(0x80, 0xBF),
    content_format=st.none() | st.integers(0, 65535),
    observe=st.none() | st.integers(0, 2**24 - 1),
    etag=st.none() | st.binary(min_size=1, max_size=8),
    location=st.lists(TEXTS, max_size=4).map(tuple),
    max_age=st.none() | st.integers(0, 2**32 - 1),
    block1=st.none() | BLOCKS,
    block2=st.none() | BLOCKS,
    size1=st.none() | st.integers(0, 2**32 - 1),
    size2=st.none() | st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=40),
)


@given(REQUESTS)
def test_any_request_survives(request: Request) -> None:
    """Whatever is asked is understood as the same."""
    datagram = start(0, request.method, 1, b"t") + request_body(request)
    assert read_request(decode_message(datagram)) == request


@given(RESPONSES)
def test_any_answer_survives(response: Response) -> None:
    """Whatever is answered is understood as the same."""
    datagram = start(2, response.code, 1, b"t") + response_body(response)
    assert read_response(decode_message(datagram)) == response


@pytest.mark.parametrize(
    "request_",
    [
        Request(method=1, accept=65536),
        Request(method=1, accept=-1),
        Request(method=1, path=("a" * 256,)),
        Request(method=1, block1=Block(0, False, 7)),
        Request(method=1, block2=Block(1 << 20, False, 6)),
    ],
)
def test_requests_that_cannot_be_written(request_: Request) -> None:
    """Numbers and texts that no option can hold are our mistake."""
    with pytest.raises(UnencodableError):
        request_body(request_)


def test_answers_that_cannot_be_written() -> None:
    """An entity tag has 1 to 8 bytes."""
    with pytest.raises(UnencodableError):
        response_body(Response(code=Code.CONTENT, etag=b""))
