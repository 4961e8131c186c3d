"""What the network says of a device, in whatever order it arrives."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.core.network import (
    AddressError,
    EventKind,
    EventResult,
    NetworkEvent,
    NetworkState,
    split_address,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def attach(minutes: float, address: str = "") -> NetworkEvent:
    return NetworkEvent(imei="1", kind=EventKind.ATTACH, at=at(minutes), address=address)


def detach(minutes: float) -> NetworkEvent:
    return NetworkEvent(imei="1", kind=EventKind.DETACH, at=at(minutes))


def told(*events: NetworkEvent, now: datetime | None = None) -> NetworkState:
    state = NetworkState()
    for event in events:
        state = state.after(event, now or at(60)) or state
    return state


def test_a_device_comes_and_goes() -> None:
    """An attach puts it in line to be woken, with its address; a detach takes both away."""
    assert NetworkState().attached is None
    here = told(attach(1, "10.0.0.1:2948"))
    assert (here.attached, here.address, here.waking_at) == (True, "10.0.0.1:2948", at(60))
    gone = told(attach(1, "10.0.0.1:2948"), detach(2))
    assert (gone.attached, gone.address, gone.waking_at) == (False, "", None)
    assert (gone.attached_at, gone.detached_at) == (at(1), at(2))
    assert told(detach(1)).attached is False


def test_what_is_older_or_the_same_changes_nothing() -> None:
    """Repeats and events that were overtaken do not count."""
    state = told(attach(1), detach(3))
    for late in (attach(1), attach(2), detach(3), detach(2), attach(0)):
        assert state.after(late, at(60)) is None
    assert state.after(attach(4), at(60)) is not None


def test_of_one_instant_the_later_told_counts() -> None:
    """A network without fine dates tells in order."""
    assert told(attach(1), detach(1)).attached is False
    assert told(detach(1), attach(1)).attached is True
    assert told(attach(1), detach(1), attach(1)).attached is True


def test_the_future_is_now() -> None:
    """An event that is dated ahead of us counts now, and does not silence what follows."""
    state = told(attach(500), now=at(10))
    assert state.attached_at == at(10)
    after = state.after(detach(11), at(12))
    assert after is not None
    assert after.attached is False


def test_it_stays_where_it_was_in_line() -> None:
    """Another attach keeps the place in line, and the address if it brings none."""
    first = told(attach(1, "10.0.0.1"), now=at(2))
    second = first.after(attach(3), at(5))
    assert second is not None
    assert (second.waking_at, second.address) == (at(2), "10.0.0.1")


def test_instants_are_compared_as_they_are_stored() -> None:
    """A repeat with microseconds is a repeat."""
    event = NetworkEvent(imei="1", kind=EventKind.ATTACH, at=NOON.replace(microsecond=123456))
    state = told(event)
    assert state.attached_at == NOON.replace(microsecond=123000)
    assert state.after(event, at(60)) is None


def test_a_device_that_left_and_is_back_has_both_dates() -> None:
    """An attach keeps when it was gone before, a detach when it was here."""
    back = told(detach(1), attach(2))
    assert (back.attached, back.attached_at, back.detached_at) == (True, at(2), at(1))
    left = told(attach(1), detach(2))
    assert (left.attached, left.attached_at, left.detached_at) == (False, at(1), at(2))


def test_dates_are_cut_and_not_rounded() -> None:
    """What is stored is the millisecond that had begun."""
    event = NetworkEvent(imei="1", kind=EventKind.DETACH, at=NOON.replace(microsecond=999999))
    assert told(event).detached_at == NOON.replace(microsecond=999000)
    event = NetworkEvent(imei="1", kind=EventKind.DETACH, at=NOON.replace(microsecond=1000))
    assert told(event).detached_at == event.at


def test_what_an_event_does_not_say_is_not_known() -> None:
    """An event is in order, and says nothing of address, cell and signal unless it does."""
    event = NetworkEvent(imei="1", kind=EventKind.ATTACH, at=NOON)
    assert (event.address, event.fault) == ("", "")
    assert (event.reachable, event.cell, event.rsrp_dbm, event.bearer) == (None,) * 4
    assert NetworkState() == NetworkState(
        attached_at=None, detached_at=None, address="", waking_at=None
    )


@pytest.mark.parametrize(
    ("kind", "said", "reaches"),
    [
        (EventKind.ATTACH, None, True),
        (EventKind.DETACH, None, False),
        (EventKind.REACHABILITY, True, True),
        (EventKind.REACHABILITY, False, False),
        (EventKind.CELL, None, None),
        (EventKind.SIGNAL, None, None),
    ],
)
def test_what_events_say_of_reachability(
    kind: EventKind, said: bool | None, reaches: bool | None
) -> None:
    """A device that has come can be reached, one that has gone cannot; others say it or do not."""
    event = NetworkEvent(imei="1", kind=kind, at=NOON, reachable=said)
    assert event.reaches is reaches


def test_kinds_and_results_are_written_as_published() -> None:
    """The words of the network feed, which networks send and read (``docs/network.md``)."""
    assert [kind.value for kind in EventKind] == [
        *("attach", "detach", "reachability", "cell", "signal")
    ]
    assert [result.value for result in EventResult] == [
        *("applied", "outdated", "unknownDevice", "unknownType", "rejected")
    ]


def test_any_order_ends_the_same() -> None:
    """Whatever overtakes what, the latest events stand."""
    events = [attach(1), detach(2), attach(3), detach(4), attach(5)]
    ends = {
        (state.attached, state.attached_at)
        for state in (told(*order) for order in permutations(events))
    }
    assert ends == {(True, at(5))}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.1.2.3", ("10.1.2.3", 2948)),
        ("10.1.2.3:99", ("10.1.2.3", 99)),
        ("::1", ("::1", 2948)),
        ("[2001:DB8::1]:65535", ("2001:db8::1", 65535)),
        ("[::1]", ("::1", 2948)),
        ("modem-7.example.net:1", ("modem-7.example.net", 1)),
        ("modem_7", ("modem_7", 2948)),
        ("Modem.Example.NET:1", ("Modem.Example.NET", 1)),
        ("M", ("M", 2948)),
    ],
)
def test_addresses(text: str, found: tuple[str, int]) -> None:
    """Numbers of both families and names, with a port or without."""
    assert split_address(text, 2948) == found


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":1", "a:", "a:0", "a:65536", "a:1:2", "a:-1", "a:+1", "a:١"),
        *("[::1", "[::1]x", "[::1]:", "[::1]:0", "[a]:1", "[]:1", "[10.1.1.1]:1", "::g"),
        *("1.2.3", "256.1.1.1", "a b", "-a", "a..b", "x" * 254),
    ],
)
def test_addresses_that_are_none(text: str) -> None:
    """Nothing else is one."""
    with pytest.raises(AddressError) as error:
        split_address(text, 2948)
    assert str(error.value).startswith(repr(text))


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_our_error(text: str) -> None:
    """Whatever is given, there is a host and a port, or our own error."""
    try:
        host, port = split_address(text, 2948)
    except AddressError:
        return
    assert host
    assert 1 <= port <= 65535
