"""Bodies that are made to cost: they are refused at once, and in little memory (oma-dm 15, 17.9).

And the bounded part of fuzzing: a hundred thousand inputs from one seed, grown from real messages.
"""

import random
import tracemalloc

import pytest

from overair.protocols.syncml.codec import Form, MediaType, decode, encode
from overair.protocols.syncml.values import (
    LIMITS,
    LimitError,
    MalformedError,
    SyncmlLimits,
)
from tests.protocols.syncml.vectors import NAMES, wbxml, xml

FRAME = bytes.fromhex("02a4016a")
INPUTS = 100_000
SEED = 20260302
# Whatever comes, this much more memory than before is enough: the largest text that is accepted, as
# pieces and joined, at four bytes a character.
MOST_MEMORY = 4 * 1024 * 1024


def _integer(value: int) -> bytes:
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))


def _table(size: int, uses: int) -> bytes:
    return FRAME + _integer(size) + b"a" * size + b"\x4f" + b"\x83\x00" * uses + b"\x01"


BOMBS = {
    "deep xml": (MediaType.XML, b"<SyncML>" * 8000),
    "deep wbxml": (MediaType.WBXML, FRAME + b"\x00" + b"\x6d" * 60_000),
    "deep groups": (MediaType.WBXML, FRAME + b"\x00\x6d\x6b" + b"\x48" * 60_000),
    "wide xml": (MediaType.XML, b"<SyncML>" + b"<a/>" * 16_000 + b"</SyncML>"),
    "wide wbxml": (MediaType.WBXML, FRAME + b"\x00\x6d" + b"\x12" * 60_000 + b"\x01"),
    "attributes": (
        MediaType.XML,
        b"<SyncML " + b" ".join(b'a%d=""' % n for n in range(6000)) + b"><a/></SyncMLx>",
    ),
    "a long name": (MediaType.XML, b"<" + b"a" * 65_000 + b">"),
    "string table": (MediaType.WBXML, _table(60_000, 2000)),
    "many small strings": (MediaType.WBXML, FRAME + b"\x00\x4f" + b"\x03a\x00" * 20_000),
    "many empty strings": (MediaType.WBXML, FRAME + b"\x00\x4f" + b"\x03\x00" * 30_000),
    "many page switches": (MediaType.WBXML, FRAME + b"\x00" + b"\x00\x00" * 30_000),
    "a lying opaque length": (MediaType.WBXML, FRAME + b"\x00\x4f\xc3\x8f\xff\xff\xff\x7f" + b"a"),
    "a lying table length": (MediaType.WBXML, FRAME + b"\x8f\xff\xff\xff\x7f" + b"a" * 60_000),
    "many comments": (MediaType.XML, b"<SyncML>" + b"<!---->" * 9000),
    "many references": (MediaType.XML, b"<SyncML>" + b"&amp;" * 13_000),
    "entity bomb": (
        MediaType.XML,
        b'<!DOCTYPE SyncML [<!ENTITY a0 "ha">'
        + b"".join(b'<!ENTITY a%d "&a%d;&a%d;">' % (n, n - 1, n - 1) for n in range(1, 40))
        + b"]><SyncML>&a39;</SyncML>",
    ),
    "quadratic entities": (
        MediaType.XML,
        b'<!DOCTYPE SyncML [<!ENTITY a "' + b"a" * 30_000 + b'">]><SyncML>' + b"&a;" * 9000,
    ),
    "a number of a million digits": (
        MediaType.XML,
        b"<SyncML><SyncHdr><SessionID>1</SessionID><MsgID>"
        + b"1" * 60_000
        + b"</MsgID></SyncHdr></SyncML>",
    ),
    "a megabyte": (MediaType.WBXML, FRAME + b"\x00\x4f\x03" + b"a" * 2**20 + b"\x00\x01"),
    "a megabyte of xml": (MediaType.XML, b"<SyncML>" + b"a" * 2**20 + b"</SyncML>"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_little_memory(name: str) -> None:
    """A hostile body is refused, and costs a few times what may be accepted at most."""
    kind, body = BOMBS[name]
    tracemalloc.start()
    try:
        with pytest.raises((MalformedError, LimitError)):
            decode(body, kind)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def test_a_string_table_counts_each_time_it_is_used() -> None:
    """60 KB used four times are 240 KB of text and accepted by the decoder; five times are not."""
    with pytest.raises(MalformedError, match="not SyncML"):
        decode(_table(60_000, 4), MediaType.WBXML)
    with pytest.raises(LimitError):
        decode(_table(60_000, 5), MediaType.WBXML)


def test_the_largest_that_is_accepted_costs_little() -> None:
    """A message with as much text as is allowed stays within the same bound."""
    piece = (LIMITS.text - 100) // 60_000
    data = b"\x4f" + b"\x83\x00" * piece + b"\x01"
    body = b"".join(
        [
            FRAME + _integer(60_000) + b"a" * 60_000,
            b"\x6d\x6c\x65\x031\x00\x01\x5b\x031\x00\x01\x01",
            b"\x6b\x60\x54" + data + b"\x01\x01\x01\x01",
        ]
    )
    tracemalloc.start()
    try:
        message, _ = decode(body, MediaType.WBXML)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    again = encode(message, Form())
    assert decode(again, MediaType.WBXML, SyncmlLimits(body_bytes=2**20))[0] == message


@pytest.mark.parametrize("kind", [MediaType.XML, MediaType.WBXML])
def test_errors_do_not_repeat_what_was_sent(kind: MediaType) -> None:
    """An error says what is wrong and not what stood there: bodies hold credentials."""
    secret = b"mpEvbGT7hseAEbznuqwTTw=="
    body = wbxml("m1") if kind.is_wbxml else xml("m1")
    for bad in (
        body.replace(b"B7", secret),
        body.replace(secret, secret + b"\xff"),
        body[: body.index(secret) + 20],
        body + secret,
    ):
        with pytest.raises(MalformedError) as caught:
            decode(bad, kind)
        assert "mpEv" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.slow
def test_a_hundred_thousand_inputs() -> None:
    """Changed, cut and spliced messages are read or refused with our own error, in flat memory."""
    dice = random.Random(SEED)
    seeds = {
        kind: [(wbxml if kind.is_wbxml else xml)(name) for name in NAMES] for kind in MediaType
    }
    kinds = [MediaType.XML, MediaType.WBXML, MediaType.WBXML]
    read = 0
    for _ in range(2000):
        _try(dice, seeds, kinds)
    tracemalloc.start(1)
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            _try(dice, seeds, kinds)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < MOST_MEMORY
    assert after - before < 100_000
    for _ in range(INPUTS):
        read += _try(dice, seeds, kinds)
    # Some of them are messages; else nothing but the front door was tried.
    assert INPUTS // 20 < read < INPUTS


def _try(dice: random.Random, seeds: dict[MediaType, list[bytes]], kinds: list[MediaType]) -> bool:
    kind = dice.choice(kinds)
    body = bytearray(dice.choice(seeds[kind]))
    for _ in range(dice.choice([1, 1, 2, 3, 8])):
        _change(dice, body, seeds[kind])
    try:
        message, form = decode(bytes(body), kind)
    except (MalformedError, LimitError):
        return False
    assert decode(encode(message, form), kind)[0] == message
    return True


def _change(dice: random.Random, body: bytearray, seeds: list[bytes]) -> None:
    at = dice.randrange(len(body) + 1)
    end = min(len(body), at + dice.choice([1, 2, 8, 64]))
    match dice.randrange(6):
        case 0:
            body[at:end] = dice.randbytes(end - at)
        case 1:
            del body[at:end]
        case 2:
            body[at:at] = body[at:end]
        case 3:
            other = dice.choice(seeds)
            start = dice.randrange(len(other))
            body[at:end] = other[start : start + end - at]
        case 4:
            body[at:at] = bytes(
                [dice.choice([0x00, 0x01, 0x03, 0x83, 0xC3, 0x7F, 0x80, 0xFF, 0x3C])]
            )
        case _:
            if end > at:
                body[at] ^= 1 << dice.randrange(8)
