"""What waits for a peer: one request at a time, in order, over its moves and silences (lwm2m 2, 4, 15)."""

import pytest

from overair.protocols.coap.endpoint import Endpoint
from overair.protocols.coap.errors import UnencodableError
from overair.protocols.coap.events import (
    Answered,
    Dropped,
    Event,
    Incoming,
    TimedOut,
    Unfinished,
)
from overair.protocols.coap.message import Message, decode_message, empty_ack
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.request import read_request
from overair.protocols.coap.values import LIMITS, Block, CoapLimits, Request, Response
from tests.protocols.coap.world import (
    DEVICE,
    SERVER,
    T0,
    answer,
    endpoint,
    entropy,
    one,
    request_datagram,
    response_datagram,
    sent,
)

OK = Response(code=Code.CONTENT)
ELSEWHERE = ("192.0.2.77", 40000)


def _read(resource: int) -> Request:
    return Request(method=Code.GET, path=("3", "0", str(resource)))


def _time_out(side: Endpoint) -> list[Event]:
    events: list[Event] = []
    while (due := side.next_due) is not None:
        events += side.tick(due)
    side.drain()
    return events


def test_one_request_at_a_time() -> None:
    """The next one goes when the one before has its end; another peer does not wait for that."""
    side = endpoint()
    handles = [side.request(DEVICE, _read(n), T0) for n in range(3)]
    side.request(SERVER, _read(9), T0)
    first, other = sent(side)
    assert other.options[-1] == (11, b"9")
    assert side.queued(DEVICE) == 3
    answered = []
    for _ in handles:
        answered += [
            event.handle for event in answer(side, first, OK, T0) if isinstance(event, Answered)
        ]
        waiting = sent(side)
        if waiting:
            (first,) = waiting
    assert answered == handles
    assert side.queued(DEVICE) == 0


def test_what_goes_first() -> None:
    """A request to the front passes what waits, not what is out."""
    side = endpoint()
    for number in range(3):
        side.request(DEVICE, _read(number), T0)
    side.request(DEVICE, _read(7), T0, front=True)
    order = []
    for _ in range(4):
        asked = one(side)
        order.append(asked.options[-1][1])
        answer(side, asked, OK, T0)
    assert order == [b"0", b"7", b"1", b"2"]


def test_a_silent_peer_is_held() -> None:
    """After a time-out nothing else is tried until somebody lets it go on."""
    side = endpoint()
    lost = side.request(DEVICE, _read(0), T0)
    side.request(DEVICE, _read(1), T0)
    assert _time_out(side) == [TimedOut(peer=DEVICE, handle=lost)]
    side.request(DEVICE, _read(0), T0 + 100, front=True)
    assert side.drain() == []
    side.release(DEVICE, T0 + 200)
    assert one(side).options[-1] == (11, b"0")


def test_a_sleeping_peer() -> None:
    """What is asked of a peer that is held waits."""
    side = endpoint()
    side.hold(DEVICE)
    side.request(DEVICE, _read(0), T0)
    assert side.drain() == []
    assert side.next_due is None
    side.release(DEVICE, T0)
    side.release(ELSEWHERE, T0)
    assert len(side.drain()) == 1


def test_nothing_leaves_while_a_peer_is_held() -> None:
    """Neither a repetition nor a further block goes to a peer that is held; both do afterwards."""
    side = endpoint()
    request = Request(method=Code.PUT, path=("5", "0", "0"))
    side.push(DEVICE, request, 3000, lambda _, length: b"x" * length, T0)
    first = one(side)
    side.hold(DEVICE)
    for later in range(1, 8):
        side.tick(T0 + later)
    assert side.drain() == []
    going_on = Response(code=Code.CONTINUE, block1=Block(0, True, 6))
    datagram = response_datagram(going_on, mid=first.mid, token=first.token)
    assert len(side.receive(DEVICE, datagram, T0 + 8)) == 1
    assert side.drain() == []
    assert side.next_due is None
    side.release(DEVICE, T0 + 9)
    assert read_request(one(side), LIMITS).block1 == Block(1, True, 6)


def test_a_full_line() -> None:
    """The oldest reading that may be dropped gives way; what may not be dropped never does."""
    side = Endpoint(entropy=entropy(), limits=CoapLimits(queued=2))
    side.hold(DEVICE)
    steps = [side.request(DEVICE, _read(0), T0)]
    reading = side.request(DEVICE, _read(1), T0, droppable=True)
    steps += [side.request(DEVICE, _read(n), T0) for n in (2, 3)]
    assert side.next_due == 0
    assert side.tick(T0) == [Dropped(peer=DEVICE, handle=reading)]
    last = side.request(DEVICE, _read(4), T0, droppable=True)
    assert side.receive(DEVICE, b"", T0) == [Dropped(peer=DEVICE, handle=last)]
    assert side.queued(DEVICE) == len(steps)


def test_what_is_cancelled_has_no_end() -> None:
    """Nothing comes of a cancelled request; the next one goes."""
    side = endpoint()
    out, waiting, last = (side.request(DEVICE, _read(n), T0) for n in range(3))
    asked = one(side)
    side.cancel(waiting, T0)
    side.cancel(out, T0)
    side.cancel(out, T0)
    following = one(side)
    assert following.options[-1] == (11, b"2")
    assert answer(side, asked, OK, T0) == []
    assert answer(side, following, OK, T0) == [Answered(peer=DEVICE, handle=last, response=OK)]


def test_a_forgotten_peer() -> None:
    """All that waited for it is dropped, and nothing is left."""
    side = endpoint()
    handles = [
        side.request(DEVICE, Request(method=Code.GET, path=("5", "0", "3"), observe=0), T0),
        side.request(DEVICE, _read(1), T0),
    ]
    side.notify(DEVICE, b"t", OK, T0, confirmable=True)
    assert side.forget(DEVICE) == [Dropped(peer=DEVICE, handle=handle) for handle in handles]
    assert side.forget(DEVICE) == []
    assert side.next_due is None
    assert side.token_of(handles[0]) is None


def test_a_peer_that_moves() -> None:
    """What is out is sent to the new address with a new id and the same token; the rest follows."""
    side = endpoint()
    first = side.request(DEVICE, _read(0), T0)
    side.request(DEVICE, _read(1), T0)
    before = one(side)
    side.receive(DEVICE, empty_ack(before.mid), T0)
    side.move(DEVICE, ELSEWHERE, T0 + 1)
    ((peer, _),) = datagrams = side.drain()
    assert peer == ELSEWHERE
    side.move(ELSEWHERE, ELSEWHERE, T0 + 1)
    assert answer(side, before, OK, T0 + 1) == []
    from_there = decode_message(datagrams[0][1])
    assert from_there.token == before.token
    assert from_there.mid != before.mid
    assert from_there.options == before.options
    events = side.receive(ELSEWHERE, _answer_to(from_there), T0 + 1)
    assert events == [Answered(peer=ELSEWHERE, handle=first, response=OK)]
    assert len(side.drain()) == 1
    side.move(DEVICE, SERVER, T0)
    assert side.drain() == []


def test_a_move_to_where_something_waits() -> None:
    """What was begun with the new address goes on behind what waited before."""
    side = endpoint()
    side.hold(DEVICE)
    handles = [side.request(DEVICE, _read(0), T0)]
    observe = Request(method=Code.GET, path=("5", "0", "3"), observe=0)
    side.restore_observation(ELSEWHERE, b"kept", observe)
    handles += [side.request(ELSEWHERE, observe, T0), side.request(ELSEWHERE, _read(2), T0)]
    side.drain()
    side.move(DEVICE, ELSEWHERE, T0)
    assert side.drain() == []
    side.release(ELSEWHERE, T0)
    order = []
    for _ in range(3):
        asked = one(side)
        order += side.receive(ELSEWHERE, _answer_to(asked), T0)
    assert [event.handle for event in order if isinstance(event, Answered)] == handles


def test_a_command_is_not_repeated_to_who_has_moved() -> None:
    """What may not be done twice ends when its peer is somewhere else; what may, is repeated there."""
    side = endpoint()
    command = side.request(DEVICE, Request(method=Code.POST, path=("5", "0", "2")), T0)
    reading = side.request(DEVICE, _read(3), T0)
    later = side.request(DEVICE, Request(method=Code.POST, path=("3", "0", "4")), T0)
    assert one(side).code == Code.POST
    ended = side.abandon(DEVICE, T0 + 1)
    assert [event.handle for event in ended if isinstance(event, Unfinished)] == [command, later]
    side.move(DEVICE, ELSEWHERE, T0 + 1)
    asked = sent(side)
    assert {message.code for message in asked} == {Code.GET}
    (answered,) = side.receive(ELSEWHERE, _answer_to(asked[-1]), T0 + 2)
    assert isinstance(answered, Answered)
    assert answered.handle == reading
    assert side.abandon(("192.0.2.9", 1), T0) == []


def test_an_image_does_not_go_on_where_a_peer_began_anew() -> None:
    """A push goes on at another address, and ends with a peer that has restarted."""
    side = endpoint()
    request = Request(method=Code.PUT, path=("5", "0", "0"))
    push = side.push(DEVICE, request, 3000, lambda _, length: b"x" * length, T0)
    assert side.abandon(DEVICE, T0 + 1) == []
    (ended,) = side.abandon(DEVICE, T0 + 1, anew=True)
    assert isinstance(ended, Unfinished)
    assert ended.handle == push


def test_message_ids_are_not_used_up() -> None:
    """A peer that is sent very much waits rather than taking a new message for an old one."""
    side = endpoint()
    seen: set[int] = set()
    now = T0
    value = Response(code=Code.CONTENT, observe=1)
    for _ in range(40_000):
        side.notify(DEVICE, b"t", value, now)
    seen = {message.mid for message in sent(side)}
    assert len(seen) == 32_768
    handle = side.request(DEVICE, _read(0), now)
    for type_ in (0, 1):
        asked_of_us = request_datagram(_read(1), type_=type_, mid=type_)
        (event,) = side.receive(DEVICE, asked_of_us, now)
        assert isinstance(event, Incoming)
        side.tick(now + 1)
        side.drain()
        side.respond(event.exchange, OK, now + 1)
        assert side.drain() == []
    lost = side.notify(DEVICE, b"t", value, now, confirmable=True)
    assert side.tick(now) == [TimedOut(peer=DEVICE, handle=lost)]
    assert side.drain() == []
    side.move(DEVICE, ELSEWHERE, now)
    due = side.next_due
    assert due == T0 + 247
    side.tick(due)
    asked = one(side)
    assert asked.mid not in seen
    assert side.receive(ELSEWHERE, _answer_to(asked), due) == [
        Answered(peer=ELSEWHERE, handle=handle, response=OK)
    ]


def test_tokens_are_never_the_same() -> None:
    """Half of a token counts, and the other half cannot be guessed."""
    side = endpoint()
    tokens = set()
    for _ in range(2000):
        side.request(DEVICE, _read(0), T0)
        asked = one(side)
        tokens.add(asked.token)
        answer(side, asked, OK, T0)
    assert len(tokens) == 2000
    assert len({token[4:] for token in tokens}) == 2000


def _answer_to(asked: Message) -> bytes:
    return response_datagram(OK, mid=asked.mid, token=asked.token)


def test_a_move_leaves_nothing_of_the_former_line() -> None:
    """Timers and answers of a line that was merged do nothing to the one that took it up."""
    side = endpoint()
    observe = Request(method=Code.GET, path=("5", "0", "3"), observe=0)
    handle = side.request(ELSEWHERE, observe, T0)
    before = one(side)
    side.notify(ELSEWHERE, b"t", OK, T0, confirmable=True)
    side.drain()
    first = side.request(DEVICE, _read(0), T0 + 1)
    side.drain()
    side.move(DEVICE, ELSEWHERE, T0 + 1)
    moved = one(side)
    assert moved.mid != before.mid
    ends = side.receive(ELSEWHERE, _answer_to(moved), T0 + 2)
    assert ends == [Answered(peer=ELSEWHERE, handle=first, response=OK)]
    again = one(side)
    assert again.token == before.token
    events: list[Event] = []
    count = 0
    while (due := side.next_due) is not None:
        events += side.tick(due)
        count += len(side.drain())
    assert events == [TimedOut(peer=ELSEWHERE, handle=handle)]
    assert count == 4
    side.release(ELSEWHERE, T0 + 500)
    side.request(ELSEWHERE, _read(1), T0 + 500)
    assert side.queued(ELSEWHERE) == 1


def test_a_separate_answer_of_a_line_that_is_gone() -> None:
    """It is given up with its line, and the line that has the address now stays."""
    side = endpoint()
    (event,) = side.receive(ELSEWHERE, request_datagram(_read(0)), T0)
    assert isinstance(event, Incoming)
    side.tick(T0 + 1)
    side.respond(event.exchange, OK, T0 + 2)
    side.request(DEVICE, _read(1), T0 + 2)
    side.drain()
    side.move(DEVICE, ELSEWHERE, T0 + 2)
    assert _time_out(side)[-1].peer == ELSEWHERE
    assert side.queued(DEVICE) == 0


def test_a_move_when_message_ids_are_used_up() -> None:
    """What is out waits for one, and then goes to the new address."""
    side = endpoint()
    side.request(DEVICE, _read(0), T0)
    value = Response(code=Code.CONTENT, observe=1)
    for _ in range(32_767):
        side.notify(DEVICE, b"t", value, T0)
    side.drain()
    side.move(DEVICE, ELSEWHERE, T0)
    assert side.drain() == []
    due = side.next_due
    while due is not None and not (datagrams := side.drain()):
        side.tick(due)
        due = side.next_due
    ((peer, _),) = datagrams
    assert peer == ELSEWHERE


def test_a_request_that_cannot_be_written_is_never_in_line() -> None:
    """It is our mistake, told at once, and what follows goes."""
    side = endpoint()
    wrong = Request(method=Code.GET, path=("a" * 256,))
    with pytest.raises(UnencodableError):
        side.request(DEVICE, wrong, T0)
    with pytest.raises(UnencodableError):
        side.push(DEVICE, wrong, 10, lambda _offset, length: b"x" * length, T0)
    assert side.queued(DEVICE) == 0
    side.request(DEVICE, _read(0), T0)
    assert len(side.drain()) == 1
