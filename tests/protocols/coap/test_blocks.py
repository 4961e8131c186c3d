"""What follows what in a transfer: every rule of lwm2m 9 and 10, and of 14 where it is about blocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.coap.blocks import (
    Bodies,
    Push,
    Read,
    advance_push,
    begin_read,
    block_response,
    can_push,
    continue_read,
    wanted_block,
)
from overair.protocols.coap.errors import RefusedError
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import LIMITS, Block, CoapLimits, Request, Response

GO_ON = Response(code=Code.CONTINUE)
TOO_LARGE = Response(code=Code.REQUEST_ENTITY_TOO_LARGE)
INCOMPLETE = Response(code=Code.REQUEST_ENTITY_INCOMPLETE)


def _hinted(response: Response, szx: int, number: int = 0) -> Response:
    return Response(code=response.code, block1=Block(number, True, szx))


# Push


def test_a_push_goes_on() -> None:
    """2.31: the next block; all are full but the last, after which there is none."""
    push = Push(size=2100)
    blocks = []
    while True:
        blocks.append((push.block, push.length))
        further = advance_push(push, GO_ON)
        if further is None:
            break
        push = further
    assert blocks == [
        (Block(0, True, 6), 1024),
        (Block(1, True, 6), 1024),
        (Block(2, False, 6), 52),
    ]


def test_a_push_goes_on_in_smaller_blocks() -> None:
    """A smaller size in 2.31: on at the byte that is reached; a larger one changes nothing."""
    push = Push(size=1 << 20, offset=2048)
    smaller = advance_push(push, _hinted(GO_ON, 4))
    assert smaller == Push(size=1 << 20, offset=3072, szx=4)
    assert smaller.block == Block(12, True, 4)
    assert advance_push(smaller, _hinted(GO_ON, 6)) == Push(size=1 << 20, offset=3328, szx=4)


def test_a_push_begins_again_with_the_size_that_is_wanted() -> None:
    """4.13 with a smaller size: nothing was kept, so from block 0."""
    push = Push(size=1 << 20, offset=4096)
    assert advance_push(push, _hinted(TOO_LARGE, 4)) == Push(size=1 << 20, szx=4)
    assert advance_push(push, _hinted(TOO_LARGE, 0)) == Push(size=1 << 20, szx=0)


def test_a_push_guesses_a_size_and_gives_up() -> None:
    """4.13 without a hint, or with none that helps: 512, 256, 128, 64, and no more."""
    for refusal in (TOO_LARGE, _hinted(TOO_LARGE, 6)):
        push: Push | None = Push(size=1 << 20)
        sizes = []
        while push is not None:
            sizes.append(push.block.size)
            push = advance_push(push, refusal)
        assert sizes == [1024, 512, 256, 128, 64]


def test_a_push_that_lost_its_order() -> None:
    """4.08: from block 0 again, twice at most."""
    push = Push(size=1 << 20, offset=4096)
    first = advance_push(push, INCOMPLETE)
    assert first == Push(size=1 << 20, restarts=1)
    second = advance_push(first, INCOMPLETE)
    assert second == Push(size=1 << 20, restarts=2)
    assert advance_push(second, INCOMPLETE) is None


def test_a_push_that_is_over() -> None:
    """2.04 on the last block, 2.04 from a device that ignores Block1, and every other answer."""
    middle, last = Push(size=4096), Push(size=4096, offset=3072)
    assert advance_push(last, Response(code=Code.CHANGED)) is None
    assert advance_push(middle, Response(code=Code.CHANGED)) is None
    for code in (Code.BAD_REQUEST, Code.METHOD_NOT_ALLOWED, Code.INTERNAL_SERVER_ERROR):
        assert advance_push(middle, Response(code=code)) is None


def test_a_push_to_a_device_that_acts_on_each_block() -> None:
    """2.04 that names the block asks for the next one."""
    push = Push(size=4096)
    each = Response(code=Code.CHANGED, block1=Block(0, False, 6))
    assert advance_push(push, each) == Push(size=4096, offset=1024)


def test_how_much_can_be_pushed() -> None:
    """A block has twenty bits for its number."""
    assert can_push(1 << 30, 6)
    assert not can_push((1 << 30) + 1, 6)
    assert not can_push((1 << 24) + 1, 0)


@given(
    st.integers(1, 100_000),
    st.lists(st.sampled_from([0x5F, 0x44, 0x88, 0x8D, 0x80]), max_size=300),
    st.lists(st.none() | st.integers(0, 6), min_size=300, max_size=300),
)
def test_any_answers_to_a_push(size: int, codes: list[int], hints: list[int | None]) -> None:
    """Whatever is answered, it goes on within the body, in whole blocks, or ends."""
    push: Push | None = Push(size=size)
    for code, hint in zip(codes, hints, strict=False):
        assert push is not None
        block = None if hint is None else Block(0, False, hint)
        push = advance_push(push, Response(code=code, block1=block))
        if push is None:
            return
        assert 0 <= push.offset < size
        assert push.offset % push.block.size == 0
        assert push.block.offset == push.offset
        assert push.block.more == (push.offset + push.length < size)


# Read


def _part(number: int, payload: bytes, *, more: bool, szx: int = 0, etag: bytes = b"1") -> Response:
    return Response(code=Code.CONTENT, block2=Block(number, more, szx), etag=etag, payload=payload)


def test_an_answer_in_blocks() -> None:
    """Blocks are asked for in order and put together; the first says what the whole is."""
    read = begin_read(_part(0, b"a" * 16, more=True), LIMITS)
    assert isinstance(read, Read)
    assert read.block == Block(1, False, 0)
    further = continue_read(read, _part(1, b"b" * 16, more=True), LIMITS)
    assert isinstance(further, Read)
    whole = continue_read(further, _part(2, b"c", more=False), LIMITS)
    assert whole == Response(code=Code.CONTENT, etag=b"1", payload=b"a" * 16 + b"b" * 16 + b"c")


def test_an_answer_in_one_block_is_whole() -> None:
    """No block, the only block, or an error: nothing is left to ask for."""
    assert begin_read(Response(code=Code.CONTENT), LIMITS) is None
    assert begin_read(_part(0, b"a", more=False), LIMITS) is None
    assert begin_read(Response(code=Code.NOT_FOUND, block2=Block(0, True, 0)), LIMITS) is None


def test_an_answer_that_cannot_be_put_together() -> None:
    """In the middle, not full, out of order, changed, too long: it is said why."""
    limits = CoapLimits(read_bytes=40)
    assert begin_read(_part(1, b"a" * 16, more=True), limits) == "the answer begins in the middle"
    short = begin_read(_part(0, b"a", more=True), limits)
    assert short == "a block that is not full, and not the last"
    read = begin_read(_part(0, b"a" * 16, more=True), limits)
    assert isinstance(read, Read)
    for answer, why in (
        (_part(2, b"b" * 16, more=True), "a block that was not asked for"),
        (Response(code=Code.CONTENT), "a block that was not asked for"),
        (_part(1, b"b" * 16, more=True, etag=b"2"), "the resource changed while it was read"),
        (_part(1, b"b" * 32, more=False), "an answer that is too long"),
    ):
        assert continue_read(read, answer, limits) == why
    refused = Response(code=Code.NOT_FOUND)
    assert continue_read(read, refused, limits) == refused


# Requests in blocks

REGISTER = Request(method=Code.POST, path=("rd",), query=("ep=a",), content_format=40)


def _block1(number: int, payload: bytes, *, more: bool, szx: int = 0) -> Request:
    return REGISTER._replace(block1=Block(number, more, szx), payload=payload)


def test_a_register_in_blocks() -> None:
    """Each block but the last is answered 2.31; with the last the request is whole."""
    bodies = Bodies(LIMITS)
    first = bodies.add("a", _block1(0, b"x" * 16, more=True), 0)
    assert first == Response(code=Code.CONTINUE, block1=Block(0, True, 0))
    again = bodies.add("a", _block1(0, b"x" * 16, more=True), 0)
    assert again == first
    second = bodies.add("a", _block1(1, b"y" * 16, more=True), 1)
    assert second == Response(code=Code.CONTINUE, block1=Block(1, True, 0))
    assert bodies.add("a", _block1(1, b"y" * 16, more=True), 1) == second
    whole = bodies.add("a", _block1(2, b"z", more=False), 2)
    assert isinstance(whole, Request)
    assert whole.payload == b"x" * 16 + b"y" * 16 + b"z"
    assert len(bodies) == 0


def test_a_gap_or_a_continuation_of_nothing() -> None:
    """Another peer's, another query's, a later, an old or a different block is 4.08."""
    for block in (
        ("b", _block1(1, b"y" * 16, more=True), 0),
        ("a", _block1(1, b"y" * 16, more=True)._replace(query=("ep=b",)), 0),
        ("a", _block1(2, b"y" * 16, more=True), 0),
        ("a", _block1(1, b"y" * 16, more=True), 248),
        ("a", _block1(1, b"y" * 16, more=True)._replace(method=Code.PUT), 0),
        ("a", _block1(1, b"y" * 16, more=True)._replace(content_format=None), 0),
    ):
        bodies = Bodies(LIMITS)
        bodies.add("a", _block1(0, b"x" * 16, more=True), 0)
        assert bodies.add(*block) == Response(code=Code.REQUEST_ENTITY_INCOMPLETE)


def test_a_body_that_is_too_large() -> None:
    """4.13 says how much is taken, when it is passed or announced; what there was is dropped."""
    too_large = Response(code=Code.REQUEST_ENTITY_TOO_LARGE, size1=16 * 1024)
    bodies = Bodies(LIMITS)
    assert bodies.add("a", _block1(0, b"x" * 16, more=True)._replace(size1=20_000), 0) == too_large
    for number in range(16):
        bodies.add("a", _block1(number, b"x" * 1024, more=True, szx=6), 0)
    assert bodies.add("a", _block1(16, b"x", more=False, szx=6), 0) == too_large
    assert len(bodies) == 0


def test_a_block_that_is_not_full() -> None:
    """Only the last block may be shorter than its size says."""
    refused = Bodies(LIMITS).add("a", _block1(0, b"x", more=True), 0)
    assert refused == Response(code=Code.BAD_REQUEST)


def test_bodies_on_their_way_are_bounded() -> None:
    """The oldest gives way to a new one."""
    bodies = Bodies(CoapLimits(bodies=2))
    for peer in "abc":
        bodies.add(peer, _block1(0, b"x" * 16, more=True), 0)
    assert len(bodies) == 2
    assert isinstance(bodies.add("a", _block1(1, b"", more=False), 0), Response)
    assert isinstance(bodies.add("c", _block1(1, b"", more=False), 0), Request)


# Serving

IMAGE = bytes(range(256)) * 10


def _get(block2: Block | None) -> Response:
    part = wanted_block(Request(method=Code.GET, block2=block2), len(IMAGE))
    payload = IMAGE[part.offset : part.offset + part.length]
    return block_response(part, payload, size=len(IMAGE), etag=b"etag")


def test_the_first_answer() -> None:
    """Without Block2 the first kilobyte, saying that there is more and how much; in ours if theirs is larger."""
    first = _get(None)
    assert first == Response(
        code=Code.CONTENT,
        content_format=42,
        etag=b"etag",
        block2=Block(0, True, 6),
        size2=2560,
        payload=IMAGE[:1024],
    )
    smaller = wanted_block(Request(method=Code.GET, block2=Block(0, False, 6)), 2560, szx=5)
    assert smaller.block == Block(0, True, 5)


@pytest.mark.parametrize("szx", range(7))
def test_any_block_of_any_size(szx: int) -> None:
    """In any order, each with the same tag; together they are the image."""
    size = 16 << szx
    numbers = range(-(-len(IMAGE) // size))
    parts = {number: _get(Block(number, False, szx)) for number in reversed(numbers)}
    assert b"".join(parts[number].payload for number in numbers) == IMAGE
    assert [part.block2 for part in parts.values() if part.block2 and not part.block2.more] == [
        Block(numbers[-1], False, szx)
    ]
    assert {part.size2 for number, part in parts.items() if number} <= {None}


def test_a_block_past_the_end() -> None:
    """It is 4.00; the first block of nothing is nothing."""
    with pytest.raises(RefusedError) as error:
        _get(Block(160, False, 0))
    assert error.value.code == Code.BAD_REQUEST
    assert wanted_block(Request(method=Code.GET), 0).length == 0
