"""Messages as requests and answers: what their options mean (RFC 7252 5.4, 5.10; lwm2m 14).

    option               a request                       an answer
    unknown, elective    passed over                     passed over
    unknown, critical    4.02                            unusable
    a second one, or     as unknown                      as unknown
    one of a wrong size

Odd numbers are critical. If-Match, If-None-Match and the like are unknown here: nobody serves them.

Not in here: what a NON gets (silence, and the endpoint sees to it), and which resources there are.
"""

from typing import NamedTuple

from overair.protocols.coap.errors import MalformedError, RefusedError, UnencodableError
from overair.protocols.coap.message import Message, encode_options
from overair.protocols.coap.numbers import Code, Option
from overair.protocols.coap.values import (
    LARGEST_SZX,
    LIMITS,
    MOST_BLOCKS,
    Block,
    CoapLimits,
    Request,
    Response,
)

# Plain integers: comparing with them is a good part of the time that an exchange takes.
_ETAG = int(Option.ETAG)
_OBSERVE = int(Option.OBSERVE)
_LOCATION_PATH = int(Option.LOCATION_PATH)
_URI_PATH = int(Option.URI_PATH)
_CONTENT_FORMAT = int(Option.CONTENT_FORMAT)
_MAX_AGE = int(Option.MAX_AGE)
_URI_QUERY = int(Option.URI_QUERY)
_ACCEPT = int(Option.ACCEPT)
_BLOCK2 = int(Option.BLOCK2)
_BLOCK1 = int(Option.BLOCK1)
_SIZE2 = int(Option.SIZE2)
_SIZE1 = int(Option.SIZE1)

# Options that are numbers and occur once: the most bytes each may have.
_NUMBERS = {
    _OBSERVE: 3,
    _CONTENT_FORMAT: 2,
    _MAX_AGE: 4,
    _ACCEPT: 2,
    _BLOCK2: 3,
    _BLOCK1: 3,
    _SIZE2: 4,
    _SIZE1: 4,
}
_IN_REQUESTS = {_OBSERVE, _CONTENT_FORMAT, _ACCEPT, _BLOCK2, _BLOCK1, _SIZE2, _SIZE1}
_IN_RESPONSES = {_OBSERVE, _CONTENT_FORMAT, _MAX_AGE, _BLOCK2, _BLOCK1, _SIZE2, _SIZE1}
_REQUEST_NUMBERS = {number: _NUMBERS[number] for number in _IN_REQUESTS}
_RESPONSE_NUMBERS = {number: _NUMBERS[number] for number in _IN_RESPONSES}
# Whose the name is by which we are called does not matter; only that it is one.
_NAMES = {int(Option.URI_HOST): (1, 255), int(Option.URI_PORT): (0, 2)}
_PROXY = {int(Option.PROXY_URI), int(Option.PROXY_SCHEME)}
_LAST_METHOD = int(Code.IPATCH)


def read_request(message: Message, limits: CoapLimits = LIMITS) -> Request:
    """Tell what is asked, or refuse with the code that it gets."""
    path: list[str] = []
    query: list[str] = []
    numbers: dict[int, int] = {}
    names: set[int] = set()
    used = len(message.options)
    for _, value in message.options:
        used += len(value)
    if used > limits.options_bytes:
        raise RefusedError(Code.BAD_REQUEST, "more options than anybody needs")
    for number, value in message.options:
        if number == _URI_PATH:
            path.append(_segment(value, limits))
        elif number == _URI_QUERY:
            query.append(_segment(value, limits))
        elif number in _REQUEST_NUMBERS:
            if number not in numbers and len(value) <= _REQUEST_NUMBERS[number]:
                numbers[number] = int.from_bytes(value, "big")
            elif number & 1:
                raise RefusedError(Code.BAD_OPTION, f"option {number} twice, or too long")
        elif number in _PROXY:
            raise RefusedError(Code.PROXYING_NOT_SUPPORTED, "this is no proxy")
        elif number & 1:
            least, most = _NAMES.get(number, (1, 0))
            if number in names or not least <= len(value) <= most:
                raise RefusedError(Code.BAD_OPTION, f"option {number} is critical, and unknown")
            names.add(number)
    if len(path) > limits.segments or len(query) > limits.segments:
        raise RefusedError(Code.BAD_REQUEST, "more path or query options than anybody needs")
    if message.code > _LAST_METHOD:
        raise RefusedError(Code.METHOD_NOT_ALLOWED, "an unknown method")
    return Request(
        method=message.code,
        path=tuple(path),
        query=tuple(query),
        content_format=numbers.get(_CONTENT_FORMAT),
        accept=numbers.get(_ACCEPT),
        observe=numbers.get(_OBSERVE),
        block1=_asked_block(numbers.get(_BLOCK1)),
        block2=_asked_block(numbers.get(_BLOCK2)),
        size1=numbers.get(_SIZE1),
        size2=numbers.get(_SIZE2),
        payload=message.payload,
    )


def _segment(value: bytes, limits: CoapLimits) -> str:
    if len(value) > limits.segment_bytes:
        raise RefusedError(Code.BAD_OPTION, "a path or query option of more than 255 bytes")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise RefusedError(Code.BAD_OPTION, "a path or query that is not UTF-8") from None


def _asked_block(value: int | None) -> Block | None:
    if value is None:
        return None
    block = _block(value)
    if block.szx > LARGEST_SZX:
        raise RefusedError(Code.BAD_REQUEST, "the block size that is reserved")
    return block


def _block(value: int) -> Block:
    return Block(value >> 4, bool(value & 0x08), value & 0x07)


def read_response(message: Message) -> Response:
    """Tell what is answered; ``MalformedError`` if a critical option makes the answer unusable."""
    etag: bytes | None = None
    location: list[str] = []
    numbers: dict[int, int] = {}
    for number, value in message.options:
        if number in _RESPONSE_NUMBERS:
            if number not in numbers and len(value) <= _RESPONSE_NUMBERS[number]:
                numbers[number] = int.from_bytes(value, "big")
            elif number & 1:
                raise MalformedError(f"option {number} twice, or too long")
        elif number == _ETAG:
            if etag is None and 1 <= len(value) <= 8:
                etag = value
        elif number == _LOCATION_PATH:
            location.append(value.decode(errors="replace"))
        elif number & 1:
            raise MalformedError(f"option {number} is critical, and unknown")
    block1, block2 = numbers.get(_BLOCK1), numbers.get(_BLOCK2)
    response = Response(
        code=message.code,
        content_format=numbers.get(_CONTENT_FORMAT),
        observe=numbers.get(_OBSERVE),
        etag=etag,
        location=tuple(location),
        max_age=numbers.get(_MAX_AGE),
        block1=None if block1 is None else _block(block1),
        block2=None if block2 is None else _block(block2),
        size1=numbers.get(_SIZE1),
        size2=numbers.get(_SIZE2),
        payload=message.payload,
    )
    for block in (response.block1, response.block2):
        if block is not None and block.szx > LARGEST_SZX:
            raise MalformedError("the block size that is reserved")
    return response


def request_body(request: Request) -> bytes:
    """Write the options and the payload of a request: all that follows its token."""
    options = _before_blocks(request)
    _blocks(options, request)
    return _with_payload(options, request.payload)


class PushHead(NamedTuple):
    """What is the same in each request of a push: what stands before Block1."""

    options: bytes
    last: int


def push_head(request: Request) -> PushHead:
    """Write it; Block1, and what follows it, is none of the request's."""
    options = _before_blocks(request)
    return PushHead(encode_options(options), options[-1][0] if options else 0)


def push_body(head: PushHead, block: Block, size: int | None, payload: bytes) -> bytes:
    """Write one request of a push, as ``request_body`` would; ``size`` is that of the whole."""
    options = [(_BLOCK1, _block_bytes(block))]
    if size is not None:
        options.append((_SIZE1, _number(size, 4)))
    return b"".join((head.options, encode_options(options, head.last), b"\xff", payload))


def _before_blocks(request: Request) -> list[tuple[int, bytes]]:
    options: list[tuple[int, bytes]] = []
    if request.observe is not None:
        options.append((_OBSERVE, _number(request.observe, 3)))
    options += [(_URI_PATH, _text(segment)) for segment in request.path]
    if request.content_format is not None:
        options.append((_CONTENT_FORMAT, _number(request.content_format, 2)))
    options += [(_URI_QUERY, _text(segment)) for segment in request.query]
    if request.accept is not None:
        options.append((_ACCEPT, _number(request.accept, 2)))
    return options


def response_body(response: Response) -> bytes:
    """Write the options and the payload of an answer."""
    options: list[tuple[int, bytes]] = []
    if response.etag is not None:
        if not 1 <= len(response.etag) <= 8:
            raise UnencodableError("an entity tag has 1 to 8 bytes")
        options.append((_ETAG, response.etag))
    if response.observe is not None:
        options.append((_OBSERVE, _number(response.observe, 3)))
    options += [(_LOCATION_PATH, _text(segment)) for segment in response.location]
    if response.content_format is not None:
        options.append((_CONTENT_FORMAT, _number(response.content_format, 2)))
    if response.max_age is not None:
        options.append((_MAX_AGE, _number(response.max_age, 4)))
    _blocks(options, response)
    return _with_payload(options, response.payload)


def _blocks(options: list[tuple[int, bytes]], value: Request | Response) -> None:
    if value.block2 is not None:
        options.append((_BLOCK2, _block_bytes(value.block2)))
    if value.block1 is not None:
        options.append((_BLOCK1, _block_bytes(value.block1)))
    if value.size2 is not None:
        options.append((_SIZE2, _number(value.size2, 4)))
    if value.size1 is not None:
        options.append((_SIZE1, _number(value.size1, 4)))


def _with_payload(options: list[tuple[int, bytes]], payload: bytes) -> bytes:
    return encode_options(options) + b"\xff" + payload if payload else encode_options(options)


def _block_bytes(block: Block) -> bytes:
    number, more, szx = block
    if not 0 <= number < MOST_BLOCKS or not 0 <= szx <= LARGEST_SZX:
        raise UnencodableError("a block that no option can name")
    value = number << 4 | more << 3 | szx
    return value.to_bytes((value.bit_length() + 7) >> 3, "big")


def _number(value: int, most: int) -> bytes:
    if not 0 <= value < 1 << 8 * most:
        raise UnencodableError(f"a number of at most {most} bytes")
    return value.to_bytes((value.bit_length() + 7) >> 3, "big")


def _text(segment: str) -> bytes:
    value = segment.encode()
    if len(value) > LIMITS.segment_bytes:
        raise UnencodableError("a path or query option has at most 255 bytes")
    return value
