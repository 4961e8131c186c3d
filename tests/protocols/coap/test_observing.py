"""Observations of ours: what is news, what ends them, and what is heard after a restart (lwm2m 6)."""

import pytest

from overair.protocols.coap.endpoint import Endpoint
from overair.protocols.coap.errors import FullError
from overair.protocols.coap.events import (
    Answered,
    Event,
    Handle,
    Notified,
    Peer,
    TimedOut,
    Unheard,
)
from overair.protocols.coap.message import empty_ack, reset
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from tests.protocols.coap.vectors import DATAGRAMS
from tests.protocols.coap.world import DEVICE, T0, answer, endpoint, entropy, one, response_datagram

OBSERVE = Request(method=Code.GET, path=("5", "0", "3"), accept=0, observe=0)
ELSEWHERE = ("192.0.2.77", 40000)
DAY = 86_400


def _value(sequence: int | None, payload: bytes = b"1") -> Response:
    return Response(code=Code.CONTENT, observe=sequence, content_format=0, payload=payload)


def _notice(
    side: Endpoint, token: bytes, response: Response, mid: int, now: float, *, type_: int = 1
) -> list[Event]:
    return side.receive(DEVICE, response_datagram(response, type_=type_, mid=mid, token=token), now)


def _observing(side: Endpoint, sequence: int = 1) -> tuple[Handle, bytes]:
    handle = side.request(DEVICE, OBSERVE, T0)
    asked = one(side)
    assert asked.token == side.token_of(handle)
    (event,) = answer(side, asked, _value(sequence), T0)
    assert isinstance(event, Answered)
    assert event.observing
    return handle, asked.token


def test_the_observation_of_the_specification() -> None:
    """The example device notifies twice; the confirmable one is acknowledged with the example's bytes."""
    side = endpoint()
    handle = side.restore_observation(DEVICE, bytes.fromhex("51aa0102"), OBSERVE)
    (event,) = side.receive(DEVICE, DATAGRAMS["Notify (NON), state Downloading"], T0)
    assert isinstance(event, Notified)
    assert (event.handle, event.response.payload) == (handle, b"1")
    assert side.drain() == []
    (event,) = side.receive(DEVICE, DATAGRAMS["Notify (CON), state Downloaded"], T0)
    assert isinstance(event, Notified)
    assert event.response.payload == b"2"
    assert side.drain() == [(DEVICE, DATAGRAMS["Acknowledge the CON notify"])]


def test_a_notification_that_nobody_wants() -> None:
    """An unknown token is reset with the example's bytes, with or without confirmation."""
    side = endpoint()
    unheard = [Unheard(peer=DEVICE)]
    assert side.receive(DEVICE, DATAGRAMS["Notify (CON), state Downloaded"], T0) == unheard
    assert side.drain() == [(DEVICE, reset(0x3002))]
    assert side.receive(DEVICE, DATAGRAMS["Notify (NON), state Downloading"], T0) == unheard
    assert side.drain() == [(DEVICE, reset(0x3001))]


def test_a_notification_under_a_token_that_is_not_right() -> None:
    """Beside what is observed a guess is reset, whoever it seems to come from, and the right one is heard still."""
    side = endpoint()
    handle, token = _observing(side)
    other, _ = _observing(side)
    guesses = (b"", b"\0" * 8, token[:-1] + bytes([token[-1] ^ 1]), token[:-1], token[1:])
    for mid, guess in enumerate(guesses):
        assert _notice(side, guess, _value(9, b"3"), mid, T0) == [Unheard(peer=DEVICE)]
        assert side.drain() == [(DEVICE, reset(mid))]
    assert side.token_of(other) is not None
    (event,) = _notice(side, token, _value(2, b"2"), 9, T0)
    assert isinstance(event, Notified)
    assert (event.handle, event.response.payload) == (handle, b"2")


def test_a_notification_from_somewhere_else() -> None:
    """Who is known to be the one that was asked elsewhere is heard, and is there from now on; nobody else is."""
    told: list[Peer] = []

    def former(peer: Peer) -> Peer | None:
        told.append(peer)
        return DEVICE if peer == ELSEWHERE else None

    side = Endpoint(entropy=entropy(), former=former)
    handle, token = _observing(side)
    stranger = ("192.0.2.78", 40000)
    notice = response_datagram(_value(2, b"2"), type_=0, mid=7, token=token)
    assert side.receive(stranger, notice, T0) == [Unheard(peer=stranger)]
    assert side.drain() == [(stranger, reset(7))]
    side.hold(DEVICE)
    (event,) = side.receive(ELSEWHERE, notice, T0)
    assert isinstance(event, Notified)
    assert (event.peer, event.handle, event.response.payload) == (ELSEWHERE, handle, b"2")
    assert side.drain() == [(ELSEWHERE, empty_ack(7))]
    side.request(ELSEWHERE, Request(method=Code.GET, path=("3",)), T0)
    assert len(side.drain()) == 1  # it is not held any more
    assert told == [stranger, ELSEWHERE]


def test_a_peer_that_does_not_notify() -> None:
    """An answer without Observe is a plain reading; nothing is heard under its token afterwards."""
    side = endpoint()
    handle = side.request(DEVICE, OBSERVE, T0)
    asked = one(side)
    (event,) = answer(side, asked, _value(None), T0)
    assert isinstance(event, Answered)
    assert not event.observing
    assert side.token_of(handle) is None
    _notice(side, asked.token, _value(5), 9, T0)
    assert side.drain() == [(DEVICE, reset(9))]


@pytest.mark.parametrize(
    ("last", "next_", "later", "fresh"),
    [
        (1, 2, 1, True),
        (2, 1, 1, False),
        (2, 2, 1, False),
        (2, 1, 129, True),
        (0xFFFFFF, 0, 1, True),
        (0, 0xFFFFFF, 1, False),
        (0, (1 << 23) - 1, 1, True),
        (0, 1 << 23, 1, False),
        ((1 << 23) + 1, 0, 1, True),
    ],
)
def test_what_is_news(last: int, next_: int, later: float, fresh: bool) -> None:
    """Sequence numbers go round in 24 bits, and after 128 seconds everything is news."""
    side = endpoint()
    _, token = _observing(side, last)
    events = _notice(side, token, _value(next_), 9, T0 + later, type_=0)
    assert bool(events) is fresh
    assert side.drain() == [(DEVICE, empty_ack(9))]


@pytest.mark.parametrize("type_", [0, 1])
def test_a_repeated_notification(type_: int) -> None:
    """The same message again is no news, even when the time for that is over, and acknowledged again."""
    side = endpoint()
    _, token = _observing(side)
    assert len(_notice(side, token, _value(2), 9, T0, type_=type_)) == 1
    before = side.drain()
    assert _notice(side, token, _value(2), 9, T0 + 200, type_=type_) == []
    assert side.drain() == before


@pytest.mark.parametrize("last", [Response(code=Code.NOT_FOUND), _value(None)])
def test_the_last_notification(last: Response) -> None:
    """An error, or a value without Observe, ends the observation."""
    side = endpoint()
    handle, token = _observing(side)
    (event,) = _notice(side, token, last, 9, T0)
    assert event == Notified(peer=DEVICE, handle=handle, response=last, final=True)
    assert side.token_of(handle) is None


def test_a_notification_before_the_answer() -> None:
    """What overtakes the answer to its own observation counts as that answer."""
    side = endpoint()
    handle = side.request(DEVICE, OBSERVE, T0)
    token = one(side).token
    (event,) = _notice(side, token, _value(2), 9, T0, type_=0)
    assert event == Answered(peer=DEVICE, handle=handle, response=_value(2), observing=True)


def test_cancelling() -> None:
    """The peer is asked under the same token, and what it notifies meanwhile is no answer to that."""
    side = endpoint()
    handle, token = _observing(side)
    cancelling = side.cancel_observation(handle, T0)
    asked = one(side)
    assert (asked.token, asked.options[0]) == (token, (6, b"\x01"))
    (event,) = _notice(side, token, _value(2), 9, T0)
    assert isinstance(event, Notified)
    (event,) = answer(side, asked, _value(None), T0)
    assert isinstance(event, Answered)
    assert event.handle == cancelling
    assert side.token_of(handle) is None
    assert side.cancel_observation(handle, T0) is None


def test_forgetting_silently() -> None:
    """A cancelled handle is heard no more; the peer learns it by a reset."""
    side = endpoint()
    handle, token = _observing(side)
    side.cancel(handle, T0)
    assert _notice(side, token, _value(2), 9, T0) == [Unheard(peer=DEVICE)]
    assert side.drain() == [(DEVICE, reset(9))]
    waiting = side.request(DEVICE, OBSERVE, T0)
    side.drain()
    side.cancel(waiting, T0)
    assert side.token_of(waiting) is None


def test_an_observation_that_is_never_answered() -> None:
    """A time-out, or a reset, leaves nothing to be heard."""
    side = endpoint()
    handle = side.request(DEVICE, OBSERVE, T0)
    events: list[Event] = []
    while (due := side.next_due) is not None:
        events += side.tick(due)
    assert events == [TimedOut(peer=DEVICE, handle=handle)]
    assert side.token_of(handle) is None
    side.drain()
    side.release(DEVICE, T0)
    again = side.request(DEVICE, OBSERVE, T0)
    side.receive(DEVICE, reset(one(side).mid), T0)
    assert side.token_of(again) is None


def test_there_are_only_so_many() -> None:
    """Eight observations of one peer are enough."""
    side = endpoint()
    for _ in range(8):
        _observing(side)
    with pytest.raises(FullError):
        side.request(DEVICE, OBSERVE, T0)


def test_old_tokens_are_heard_for_a_day() -> None:
    """After a new registration all is observed anew, and the end of an update may come on the old token."""
    side = endpoint()
    handle, token = _observing(side)
    side.retire_observations(DEVICE, T0 + 10)
    side.retire_observations(ELSEWHERE, T0 + 10)
    side.move(DEVICE, ELSEWHERE, T0 + 10)
    datagram = response_datagram(_value(2, b"0"), type_=0, mid=5, token=token)
    (event,) = side.receive(ELSEWHERE, datagram, T0 + DAY)
    assert isinstance(event, Notified)
    assert (event.peer, event.handle, event.response.payload) == (ELSEWHERE, handle, b"0")
    late = response_datagram(_value(3), type_=0, mid=6, token=token)
    side.drain()
    assert side.receive(ELSEWHERE, late, T0 + 10 + DAY) == [Unheard(peer=ELSEWHERE)]
    assert side.drain() == [(ELSEWHERE, reset(6))]


def test_retired_observations_do_not_pile_up() -> None:
    """They do not count as observations, and only so many of them are heard."""
    side = endpoint()
    handles = []
    for _ in range(30):
        handles.append(_observing(side)[0])
        side.retire_observations(DEVICE, T0)
    assert [side.token_of(handle) is not None for handle in handles] == [False] * 14 + [True] * 16


def test_observations_over_a_restart() -> None:
    """A token that was kept is heard by the next process, until its day is over."""
    side = endpoint()
    handle = side.restore_observation(DEVICE, b"kept", OBSERVE, until=T0 + 10)
    (event,) = _notice(side, b"kept", _value(9), 1, T0)
    assert isinstance(event, Notified)
    assert event.handle == handle
    assert _notice(side, b"kept", _value(10), 2, T0 + 10) == [Unheard(peer=DEVICE)]
    side.restore_observation(DEVICE, b"kept", OBSERVE)
    side.forget(DEVICE)
    assert _notice(side, b"kept", _value(11), 3, T0) == [Unheard(peer=DEVICE)]
