"""Fuzzing: a hundred and thirty thousand inputs from one seed, grown from real messages.

Whatever comes, a decoder gives a value or an error of its own, and an endpoint gives events. With
``HYPOTHESIS_PROFILE=fuzz`` (``make fuzz``) there are twenty times as many, from another seed each time.
"""

import contextlib
import os
import random
import sys
from collections import Counter

from overair.protocols.coap.blocks import (
    Bodies,
    Push,
    Read,
    advance_push,
    begin_read,
    continue_read,
    wanted_block,
)
from overair.protocols.coap.errors import MalformedError, RefusedError
from overair.protocols.coap.events import Incoming
from overair.protocols.coap.links import decode_links
from overair.protocols.coap.message import decode_message, encode_message
from overair.protocols.coap.numbers import is_request
from overair.protocols.coap.request import read_request, read_response
from overair.protocols.coap.values import LIMITS, Request, Response
from tests.protocols.coap.vectors import DATAGRAMS, NAMES
from tests.protocols.coap.world import DEVICE, T0, endpoint

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"
SEED = random.SystemRandom().getrandbits(32) if LONG else 20260302
TIMES = 20 if LONG else 1
MESSAGES = 60_000 * TIMES
DATAGRAM_COUNT = 30_000 * TIMES
LISTS = 20_000 * TIMES
BLOCKS = 20_000 * TIMES
# Of the messages read, at least so many have these: Observe, Block1, Block2, Size1.
OF_INTEREST = {6: 5_000, 27: 4_000, 23: 2_500, 60: 1_000}
WITH_OPTIONS = [
    name
    for name in NAMES
    if {number for number, _ in decode_message(DATAGRAMS[name]).options} & OF_INTEREST.keys()
]

if LONG:
    sys.stderr.write(f"fuzzing: seed {SEED}\n")  # where one fails, it is put in above


def mutated(dice: random.Random, original: bytes) -> bytes:
    """Change, cut, double or add a little."""
    data = bytearray(original)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(data) + 1)
        match dice.randrange(5):
            case 0 if at < len(data):
                data[at] = dice.randrange(256)
            case 1 if at < len(data):
                data[at] ^= 1 << dice.randrange(8)
            case 2:
                del data[at : at + dice.randint(1, 8)]
            case 3:
                data[at:at] = dice.randbytes(dice.randint(1, 4))
            case _:
                data[at:at] = data[at : at + dice.randint(1, 20)]
    return bytes(data)


def test_any_message_is_read_or_refused() -> None:
    """Form and meaning: a value, or one of the errors of this room; and a form is written as it was read."""
    dice = random.Random(SEED)
    read = 0
    options = Counter[int]()
    for _ in range(MESSAGES):
        name = dice.choice(WITH_OPTIONS if dice.random() < 0.5 else NAMES)
        datagram = mutated(dice, DATAGRAMS[name])
        try:
            message = decode_message(datagram)
        except MalformedError:
            continue
        # There are several ways to write a length; the message is the same.
        assert decode_message(encode_message(message)) == message
        options.update({number for number, _ in message.options})
        try:
            value = (read_request if is_request(message.code) else read_response)(message)
        except (MalformedError, RefusedError):
            continue
        assert isinstance(value, Request | Response)
        read += 1
    assert read > MESSAGES // 10
    short = {
        number: options[number] for number, most in OF_INTEREST.items() if options[number] < most
    }
    assert not short


def test_any_block_is_taken_or_refused() -> None:
    """Of a request or an answer, in whatever order: bytes, an answer or an error, and nothing is kept for long."""
    dice = random.Random(SEED)
    bodies = Bodies(LIMITS)
    push, read = Push(size=5000), None
    taken = 0
    for number in range(BLOCKS):
        name = dice.choice(WITH_OPTIONS)
        try:
            message = decode_message(mutated(dice, DATAGRAMS[name]))
            value = (read_request if is_request(message.code) else read_response)(message)
        except (MalformedError, RefusedError):
            continue
        taken += 1
        if isinstance(value, Response):
            push = advance_push(push, value) or Push(size=dice.randint(1, 100_000))
            assert 0 <= push.offset < push.size
            found = (
                begin_read(value, LIMITS) if read is None else continue_read(read, value, LIMITS)
            )
            read = found if isinstance(found, Read) else None
            continue
        if value.block1 is not None:
            bodies.add((DEVICE, dice.randrange(3)), value, T0 + number / 100)
            assert len(bodies) <= LIMITS.bodies
        size = dice.randint(0, 100_000)
        with contextlib.suppress(RefusedError):
            part = wanted_block(value, size)
            assert part.offset + part.length <= size
    assert taken > BLOCKS // 10


def test_an_endpoint_takes_anything() -> None:
    """It never raises, answers nothing at length, and keeps working for those who make sense."""
    dice = random.Random(SEED)
    side = endpoint()
    now = T0
    for number in range(DATAGRAM_COUNT):
        now += dice.random()
        datagram = mutated(dice, DATAGRAMS[dice.choice(NAMES)])
        peer = ("192.0.2.1", dice.randrange(4))
        for event in side.receive(peer, datagram, now):
            if isinstance(event, Incoming) and dice.random() < 0.7:
                side.respond(event.exchange, Response(code=0x44), now)
        for _, said in side.drain():
            assert len(said) <= max(len(datagram), 21)
        if number % 50 == 0:
            side.request(peer, Request(method=1, path=("3",), observe=None), now, droppable=True)
            side.release(peer, now)
        if number % 20 == 0:
            side.tick(now)
            side.drain()
    side.forget(DEVICE)
    (event,) = side.receive(DEVICE, DATAGRAMS["Register, LwM2M 1.1, queue mode"], now + 1000)
    assert isinstance(event, Incoming)


def test_any_list_is_read_or_refused() -> None:
    """Links or an error of this room; in time that does not grow with what they look like."""
    dice = random.Random(SEED)
    seeds = [
        b'</>;rt="oma.lwm2m";ct="60 110 112",</1/1>,</3/0>,</5/0>;ver=1.1',
        b'</a>;t="x,\\"y",</b>;c;d=e , <>',
    ]
    for _ in range(LISTS):
        try:
            decode_links(mutated(dice, dice.choice(seeds)))
        except (MalformedError, RefusedError):
            continue
    for bomb in (
        b"</>" + b";" * 8000,
        b'</>;a="' + b"\\" * 8000,
        b"<" * 8000,
        b"</>;" + b"a" * 8000,
        b"," * 8000,
        b"</>" + b" " * 8000 + b"x",
    ):
        try:
            decode_links(bomb)
        except (MalformedError, RefusedError):
            continue
