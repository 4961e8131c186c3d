"""Transfers in blocks: what comes after what (RFC 7959; lwm2m 9, 10, 14).

    we send      Push      one block a request; advanced by its answers
    we read      Read      an answer in blocks, put together
    we are sent  Bodies    a request in blocks, put together, for as long as a message id lives
    we serve     wanted_block, block_response: any block in any order, and nothing kept between them

``Push`` and ``Read`` are values; what moves them are functions from one to the next.

Not in here: exchanges (the endpoint), and what a failed transfer does to an attempt.
"""

from dataclasses import dataclass
from typing import NamedTuple

from overair.protocols.coap.errors import RefusedError
from overair.protocols.coap.events import Peer
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import (
    EXCHANGE_LIFETIME,
    LARGEST_SZX,
    MOST_BLOCKS,
    Block,
    CoapLimits,
    Request,
    Response,
)

# Without a hint a refused size is halved down to 64 bytes (lwm2m 9).
_SMALLEST_GUESS = 2
_MOST_RESTARTS = 2


class Push(NamedTuple):
    """How far a body that we send has come."""

    size: int
    szx: int = LARGEST_SZX
    offset: int = 0
    # How often the peer has lost the order, and it began again.
    restarts: int = 0

    @property
    def length(self) -> int:
        """How many bytes the next block has."""
        return min(16 << self.szx, self.size - self.offset)

    @property
    def block(self) -> Block:
        """The option of the next block."""
        number = self.offset >> (self.szx + 4)
        return Block(number, self.offset + (16 << self.szx) < self.size, self.szx)


def advance_push(push: Push, response: Response) -> Push | None:
    """Return how it goes on after the answer to the current block; None: that was the last word."""
    hint = response.block1
    if response.code == Code.REQUEST_ENTITY_TOO_LARGE:
        # Nothing was kept, whatever came before.
        if hint is not None and hint.szx < push.szx:
            return push._replace(szx=hint.szx, offset=0)
        if push.szx > _SMALLEST_GUESS:
            return push._replace(szx=push.szx - 1, offset=0)
        return None
    if response.code == Code.REQUEST_ENTITY_INCOMPLETE:
        if push.restarts < _MOST_RESTARTS:
            return push._replace(offset=0, restarts=push.restarts + 1)
        return None
    if not push.block.more:
        return None
    # A peer that acts on each block by itself says 2.04 to each, and names the block. One that knows
    # nothing of blocks names none, and has taken the first for the whole.
    if response.code == Code.CONTINUE or (response.ok and hint is not None):
        szx = push.szx if hint is None else min(hint.szx, push.szx)
        return Push(push.size, szx, push.offset + push.length, push.restarts)
    return None


def can_push(size: int, szx: int) -> bool:
    """Tell whether a body has few enough blocks of this size to be numbered."""
    return size <= MOST_BLOCKS << (szx + 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What has come of an answer in blocks."""

    body: bytes
    szx: int
    first: Response

    @property
    def block(self) -> Block:
        """The option that asks for what follows."""
        return Block(len(self.body) >> (self.szx + 4), False, self.szx)


def begin_read(response: Response, limits: CoapLimits) -> Read | str | None:
    """Return what is there after the first answer; None: all of it; a text: why it cannot be had."""
    block = response.block2
    if block is None or not response.ok or not (block.more or block.number):
        return None
    if block.number:
        return "the answer begins in the middle"
    return _read_on(b"", response, block, response, limits)


def continue_read(read: Read, response: Response, limits: CoapLimits) -> Read | Response | str:
    """Return what is there after a further answer: more to ask for, the whole, or why there is none."""
    block = response.block2
    if not response.ok:
        return response
    if block is None or block.offset != len(read.body):
        return "a block that was not asked for"
    if response.etag != read.first.etag:
        return "the resource changed while it was read"
    going_on = _read_on(read.body, response, block, read.first, limits)
    if isinstance(going_on, str) or block.more:
        return going_on
    return read.first._replace(payload=going_on.body, block2=None)


def _read_on(
    body: bytes, response: Response, block: Block, first: Response, limits: CoapLimits
) -> Read | str:
    if block.more and len(response.payload) != block.size:
        return "a block that is not full, and not the last"
    if len(body) + len(response.payload) > limits.read_bytes:
        return "an answer that is too long"
    return Read(body=body + response.payload, szx=block.szx, first=first)


class _Body(NamedTuple):
    """A request on its way."""

    begun: float
    method: int
    content_format: int | None
    received: bytes


class Bodies:
    """Requests that come in blocks, put together by peer, path and query."""

    __slots__ = ("_limits", "_on_the_way")

    def __init__(self, limits: CoapLimits) -> None:
        self._limits = limits
        self._on_the_way: dict[tuple[Peer, tuple[str, ...], tuple[str, ...]], _Body] = {}

    def add(self, peer: Peer, request: Request, now: float) -> Request | Response:
        """Take one block; return the whole request after the last, else what to say to this one."""
        block = request.block1
        assert block is not None
        key = (peer, request.path, request.query)
        body = self._on_the_way.pop(key, None)
        if block.number == 0:
            received = b""
            if body is None and len(self._on_the_way) >= self._limits.bodies:
                del self._on_the_way[next(iter(self._on_the_way))]
        elif body is None or not self._continues(body, request, block, now):
            return Response(code=Code.REQUEST_ENTITY_INCOMPLETE)
        else:
            received = body.received
        if block.more and len(request.payload) != block.size:
            return Response(code=Code.BAD_REQUEST)
        # The same block under another message id: said again, and not added again.
        if block.offset == len(received):
            received += request.payload
        most = self._limits.body_bytes
        if len(received) > most or (request.size1 or 0) > most:
            return Response(code=Code.REQUEST_ENTITY_TOO_LARGE, size1=most)
        if block.more:
            begun = now if body is None or block.number == 0 else body.begun
            self._on_the_way[key] = _Body(begun, request.method, request.content_format, received)
            return Response(code=Code.CONTINUE, block1=block)
        return request._replace(payload=received)

    def _continues(self, body: _Body, request: Request, block: Block, now: float) -> bool:
        reached = len(body.received)
        return (
            now - body.begun <= EXCHANGE_LIFETIME
            and (body.method, body.content_format) == (request.method, request.content_format)
            and (block.offset == reached or (block.more and block.offset + block.size == reached))
        )

    def __len__(self) -> int:
        return len(self._on_the_way)


class Part(NamedTuple):
    """The block of a resource that a request asks for."""

    offset: int
    length: int
    block: Block


def wanted_block(request: Request, size: int, szx: int = LARGEST_SZX) -> Part:
    """Tell which part of ``size`` bytes is asked for; without Block2, the first in blocks of ours."""
    asked = request.block2
    if asked is None or (asked.number == 0 and asked.szx > szx):
        asked = Block(0, False, szx)
    offset = asked.offset
    if offset >= size and offset > 0:
        raise RefusedError(Code.BAD_REQUEST, "a block past the end")
    length = min(asked.size, size - offset)
    return Part(offset, length, Block(asked.number, offset + length < size, asked.szx))


def block_response(
    part: Part, payload: bytes, *, size: int, etag: bytes | None, content_format: int | None = 42
) -> Response:
    """Answer with one block; the first says how long the whole is."""
    assert len(payload) == part.length
    return Response(
        code=Code.CONTENT,
        content_format=content_format,
        etag=etag,
        block2=part.block,
        size2=size if part.offset == 0 else None,
        payload=payload,
    )
