"""Exchanges with one peer, made of bytes: what peers ask, and what we do (lwm2m 2, 14)."""

import pytest

from overair.protocols.coap.endpoint import Endpoint
from overair.protocols.coap.events import Answered, Incoming, Rejected, TimedOut
from overair.protocols.coap.message import Message, empty_ack, encode_message, reset
from overair.protocols.coap.numbers import Code, Type
from overair.protocols.coap.values import CoapLimits, Request, Response, Timings
from tests.protocols.coap.test_message import SILENT, WRONG
from tests.protocols.coap.vectors import DATAGRAMS
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

READ = Request(method=Code.GET, path=("3", "0", "3"), accept=0)
CHANGED = Response(code=Code.CHANGED)


def _incoming(side: Endpoint, datagram: bytes, now: float = T0) -> Incoming:
    (event,) = side.receive(DEVICE, datagram, now)
    assert isinstance(event, Incoming)
    return event


# What a peer asks


def test_a_register_is_answered_in_its_acknowledgement() -> None:
    """The example Register gets the example answer, byte for byte."""
    side = endpoint()
    event = _incoming(side, DATAGRAMS["Register, LwM2M 1.1, queue mode"])
    assert event.request.path == ("rd",)
    side.respond(event.exchange, Response(code=Code.CREATED, location=("rd", "5a3f")), T0)
    assert side.drain() == [(DEVICE, DATAGRAMS["Register answer"])]


def test_a_repeated_request_gets_the_same_answer() -> None:
    """It is not carried out again for as long as its message id means it."""
    side = endpoint()
    datagram = request_datagram(Request(method=Code.POST, path=("rd",)))
    side.respond(_incoming(side, datagram).exchange, CHANGED, T0)
    first = side.drain()
    assert side.receive(DEVICE, datagram, T0 + 246) == []
    assert side.drain() == first
    _incoming(side, datagram, T0 + 248)


def test_a_repetition_before_the_answer() -> None:
    """A request that is being worked on is neither carried out again nor answered twice."""
    side = endpoint()
    datagram = request_datagram(Request(method=Code.POST, path=("rd",)))
    event = _incoming(side, datagram)
    assert side.receive(DEVICE, datagram, T0 + 0.5) == []
    assert side.drain() == []
    side.respond(event.exchange, CHANGED, T0 + 0.6)
    assert one(side).code == Code.CHANGED


def test_long_answers_are_not_kept() -> None:
    """A long answer to what may be asked twice is worked out again rather than remembered."""
    side = endpoint()
    datagram = request_datagram(Request(method=Code.GET, path=("fw", "x")))
    long = Response(code=Code.CONTENT, payload=b"x" * 1024)
    side.respond(_incoming(side, datagram).exchange, long, T0)
    side.respond(_incoming(side, datagram, T0 + 1).exchange, long, T0 + 1)
    first, second = side.drain()
    assert first == second


def test_long_work_is_acknowledged_first() -> None:
    """After a second an empty acknowledgement goes, and the answer follows as a message of its own."""
    side = endpoint()
    datagram = request_datagram(Request(method=Code.POST, path=("rd",)), mid=7, token=b"tok")
    event = _incoming(side, datagram)
    assert side.next_due == T0 + 1
    assert side.tick(T0 + 1) == []
    assert side.drain() == [(DEVICE, empty_ack(7))]
    assert side.receive(DEVICE, datagram, T0 + 2) == []
    assert side.drain() == [(DEVICE, empty_ack(7))]
    side.respond(event.exchange, CHANGED, T0 + 3)
    late = one(side)
    assert (late.type, late.token, late.code) == (Type.CON, b"tok", Code.CHANGED)
    due = side.next_due
    assert due is not None
    side.tick(due)
    assert one(side) == late
    side.receive(DEVICE, empty_ack(late.mid), due)
    assert side.next_due is None


def test_a_late_answer_is_given_up_quietly() -> None:
    """Nobody acknowledges a separate answer: that is the peer's affair, and of no peer anything stays."""
    side = endpoint()
    event = _incoming(side, request_datagram(Request(method=Code.POST, path=("rd",))))
    side.tick(T0 + 1)
    side.respond(event.exchange, CHANGED, T0 + 2)
    while (due := side.next_due) is not None:
        assert side.tick(due) == []
    assert len(side.drain()) == 1 + 5
    assert side.queued(DEVICE) == 0


def test_long_late_answers_to_strangers_are_sent_once() -> None:
    """Whoever asks in another's name does not make us send a long answer there again and again."""
    side = endpoint()
    event = _incoming(side, request_datagram(Request(method=Code.GET, path=("fw", "x"))))
    side.tick(T0 + 1)
    side.respond(event.exchange, Response(code=Code.CONTENT, payload=b"x" * 1024), T0 + 2)
    while (due := side.next_due) is not None:
        side.tick(due)
    assert len(side.drain()) == 1 + 1


def test_a_guess_does_not_prove_an_address() -> None:
    """An acknowledgement of what was never sent, forged with the request, changes nothing of that."""
    side = endpoint()
    side.request(DEVICE, READ, T0)
    mid = one(side).mid
    side.receive(DEVICE, empty_ack((mid + 1) & 0xFFFF), T0)
    long = Request(method=Code.GET, path=("fw", "x"))
    event = _incoming(side, request_datagram(long, mid=mid))
    side.tick(T0 + 1)
    side.respond(event.exchange, Response(code=Code.CONTENT, payload=b"x" * 1024), T0 + 2)
    while (due := side.next_due) is not None:
        side.tick(due)
    assert sum(len(datagram) > 1024 for _, datagram in side.drain()) == 1


def test_a_request_that_wants_no_acknowledgement() -> None:
    """A NON is answered by a NON, and nothing is repeated."""
    side = endpoint()
    datagram = request_datagram(READ, type_=Type.NON, token=b"n")
    event = _incoming(side, datagram)
    side.respond(event.exchange, Response(code=Code.CONTENT), T0)
    message = one(side)
    assert (message.type, message.token) == (Type.NON, b"n")
    assert side.next_due is None
    assert side.receive(DEVICE, datagram, T0) == []
    assert side.drain() == []


@pytest.mark.parametrize("datagram", [*SILENT.values(), *WRONG.values()], ids=[*SILENT, *WRONG])
def test_messages_of_wrong_form(datagram: str) -> None:
    """They get silence or a reset, and are no event."""
    side = endpoint()
    assert side.receive(DEVICE, bytes.fromhex(datagram), T0) == []
    expected = [(DEVICE, reset(10))] if datagram in WRONG.values() else []
    assert side.drain() == expected


def test_too_long_a_datagram() -> None:
    """More than 1,500 bytes are not looked at."""
    side = endpoint()
    assert side.receive(DEVICE, b"\x40\x01\x00\x01\xff" + b"x" * 1500, T0) == []
    assert side.drain() == []


def test_refused_requests() -> None:
    """A CON with a critical option that nobody knows gets 4.02, each time it comes; a NON silence."""
    side = endpoint()
    head = Message(type=Type.CON, code=Code.GET, mid=9, token=b"abc", options=((9, b""),))
    for _ in range(2):
        assert side.receive(DEVICE, encode_message(head), T0) == []
        refused = one(side)
        assert (refused.type, refused.code, refused.mid) == (Type.ACK, Code.BAD_OPTION, 9)
        assert (refused.token, refused.payload) == (b"abc", b"")
    quiet = Message(type=Type.NON, code=Code.GET, mid=10, options=((9, b""),))
    assert side.receive(DEVICE, encode_message(quiet), T0) == []
    assert side.drain() == []


@pytest.mark.parametrize("type_", [Type.ACK, Type.RST])
@pytest.mark.parametrize("code", [Code.GET, Code.CONTENT])
def test_messages_that_contradict_themselves(type_: Type, code: Code) -> None:
    """An acknowledgement or reset that asks, and one that answers nothing, get silence."""
    side = endpoint()
    message = Message(type=type_, code=code, mid=1, token=b"t")
    assert side.receive(DEVICE, encode_message(message), T0) == []
    assert side.drain() == []


def test_a_ping() -> None:
    """An empty CON is reset, which says that we are here; an empty NON says nothing."""
    side = endpoint()
    side.receive(DEVICE, DATAGRAMS["CoAP ping"], T0)
    assert side.drain() == [(DEVICE, DATAGRAMS["Answer to a ping"])]
    side.receive(DEVICE, encode_message(Message(type=Type.NON, code=0, mid=1)), T0)
    assert side.drain() == []


def test_answers_to_nothing() -> None:
    """An answer with a token that means nothing: a CON is reset, an acknowledgement gets silence."""
    side = endpoint()
    plain = Response(code=Code.CONTENT)
    for type_, expected in ((0, [reset(5)]), (1, []), (2, []), (3, [])):
        datagram = response_datagram(plain, type_=type_, mid=5, token=b"??")
        assert side.receive(DEVICE, datagram, T0) == []
        assert [said for _, said in side.drain()] == expected


def test_nothing_that_is_said_unasked_is_longer_than_what_came() -> None:
    """Resets and refusals are no use to whoever wants to have somebody else flooded."""
    side = endpoint()
    for name, datagram in [*DATAGRAMS.items(), *((n, bytes.fromhex(d)) for n, d in WRONG.items())]:
        side.receive(DEVICE, datagram, T0)
        for _, said in side.drain():
            assert len(said) <= len(datagram), name


def test_the_memory_is_bounded() -> None:
    """The oldest answers are forgotten when there are too many."""
    side = Endpoint(entropy=entropy(), limits=CoapLimits(remembered=9))
    post = Request(method=Code.POST, path=("rd",))
    for mid in range(10):
        event = _incoming(side, request_datagram(post, mid=mid))
        side.respond(event.exchange, CHANGED, T0)
    side.drain()
    assert len(side.receive(DEVICE, request_datagram(post, mid=0), T0)) == 1
    assert side.receive(DEVICE, request_datagram(post, mid=9), T0) == []
    assert side.receive(DEVICE, request_datagram(post, mid=2), T0) == []


# What we ask


def test_a_request_and_its_answer() -> None:
    """An answer in the acknowledgement ends the request."""
    side = endpoint()
    handle = side.request(DEVICE, READ, T0)
    asked = one(side)
    assert (asked.type, asked.code, len(asked.token)) == (Type.CON, Code.GET, 8)
    response = Response(code=Code.CONTENT, content_format=0, payload=b"1.0")
    assert answer(side, asked, response, T0) == [
        Answered(peer=DEVICE, handle=handle, response=response)
    ]
    assert side.next_due is None


def test_a_request_is_repeated_and_given_up() -> None:
    """At 2, 6, 14 and 30 seconds the same datagram goes again; after 62 it is over (and up to half more)."""
    side = Endpoint(entropy=lambda n: b"\x00" * n)
    handle = side.request(DEVICE, READ, T0)
    times, datagrams, events = [T0], side.drain(), []
    while (due := side.next_due) is not None:
        events = side.tick(due)
        times.append(due)
        datagrams += side.drain()
    assert [time - T0 for time in times] == [0, 2, 6, 14, 30, 62]
    assert len(datagrams) == 5
    assert len(set(datagrams)) == 1
    assert events == [TimedOut(peer=DEVICE, handle=handle)]
    assert Timings().max_transmit_wait == 93


def test_a_slow_peer_has_more_time() -> None:
    """Its own parameters count, with the random factor."""
    side = endpoint()
    side.set_timings(DEVICE, Timings(ack_timeout=10, max_retransmit=1))
    side.request(DEVICE, READ, T0)
    due = side.next_due
    assert due is not None
    assert T0 + 10 <= due <= T0 + 15
    side.tick(due)
    last = side.next_due
    assert last is not None
    (event,) = side.tick(last)
    assert isinstance(event, TimedOut)


def test_an_answer_that_comes_later() -> None:
    """After an empty acknowledgement nothing is repeated; the answer is acknowledged, however often it comes."""
    side = endpoint()
    handle = side.request(DEVICE, READ, T0)
    asked = one(side)
    assert side.receive(DEVICE, empty_ack(asked.mid), T0 + 1) == []
    assert side.receive(DEVICE, empty_ack(asked.mid), T0 + 50) == []
    assert side.tick(T0 + 60) == []
    late = response_datagram(CHANGED, type_=Type.CON, mid=77, token=asked.token)
    assert side.receive(DEVICE, late, T0 + 61) == [
        Answered(peer=DEVICE, handle=handle, response=CHANGED)
    ]
    assert side.drain() == [(DEVICE, empty_ack(77))]
    assert side.receive(DEVICE, late, T0 + 62) == []
    assert side.drain() == [(DEVICE, empty_ack(77))]


def test_an_answer_that_never_comes() -> None:
    """A peer that acknowledged and then says nothing has the time of a whole exchange."""
    side = endpoint()
    side.request(DEVICE, READ, T0)
    side.receive(DEVICE, empty_ack(one(side).mid), T0)
    assert side.tick(T0 + 92.9) == []
    (event,) = side.tick(T0 + 93)
    assert isinstance(event, TimedOut)


@pytest.mark.parametrize("type_", [Type.CON, Type.NON])
def test_an_answer_without_acknowledgement(type_: Type) -> None:
    """A message of its own with our token is the answer, whether or not the acknowledgement was lost."""
    side = endpoint()
    side.request(DEVICE, READ, T0)
    asked = one(side)
    datagram = response_datagram(CHANGED, type_=type_, mid=3, token=asked.token)
    (event,) = side.receive(DEVICE, datagram, T0)
    assert isinstance(event, Answered)
    assert side.next_due is None


def test_answers_that_do_not_fit() -> None:
    """The right id with the wrong token, or an answer that cannot be used: the request goes on."""
    side = endpoint()
    side.request(DEVICE, READ, T0)
    asked = one(side)
    wrong_token = response_datagram(CHANGED, mid=asked.mid, token=b"wrong")
    wrong_mid = response_datagram(CHANGED, mid=asked.mid ^ 1, token=asked.token)
    critical = Message(
        type=2, code=Code.CONTENT, mid=asked.mid, token=asked.token, options=((9, b""),)
    )
    separate = Message(type=0, code=Code.CONTENT, mid=4, token=asked.token, options=((9, b""),))
    for datagram in (wrong_token, wrong_mid, encode_message(critical)):
        assert side.receive(DEVICE, datagram, T0) == []
        assert side.drain() == []
    assert side.receive(DEVICE, encode_message(separate), T0) == []
    assert side.drain() == [(DEVICE, reset(4))]
    assert (
        side.receive(SERVER, response_datagram(CHANGED, mid=asked.mid, token=asked.token), T0) == []
    )
    assert len(answer(side, asked, CHANGED, T0)) == 1


def test_a_reset_ends_a_request() -> None:
    """A peer that resets our request will not answer it."""
    side = endpoint()
    handle = side.request(DEVICE, READ, T0)
    asked = one(side)
    assert side.receive(DEVICE, reset(asked.mid ^ 1), T0) == []
    assert side.receive(DEVICE, reset(asked.mid), T0) == [Rejected(peer=DEVICE, handle=handle)]
    assert side.next_due is None


def test_notifications_of_ours() -> None:
    """The observed side sends them with and without acknowledgement, and is told of resets."""
    side = endpoint()
    value = Response(code=Code.CONTENT, observe=5, payload=b"1")
    quiet = side.notify(SERVER, b"tok", value, T0)
    loud = side.notify(SERVER, b"tok", value, T0, confirmable=True)
    first, second = sent(side)
    assert (first.type, second.type) == (Type.NON, Type.CON)
    assert side.receive(SERVER, reset(first.mid), T0) == [Rejected(peer=SERVER, handle=quiet)]
    assert side.receive(SERVER, reset(second.mid), T0) == [Rejected(peer=SERVER, handle=loud)]
    gone = side.notify(SERVER, b"tok", value, T0, confirmable=True)
    events = []
    while (due := side.next_due) is not None:
        events += side.tick(due)
    assert events == [TimedOut(peer=SERVER, handle=gone)]
    for _ in range(20):
        side.notify(SERVER, b"tok", value, T0)
    assert side.receive(SERVER, reset(first.mid), T0) == []
