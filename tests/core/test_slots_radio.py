"""Cells, signal classes and reachability, as reported by devices and networks that report anything."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.core.slots.radio import (
    UNKNOWN_CELL,
    Contact,
    Reach,
    Signal,
    Thresholds,
    cell_key,
    fault_of,
    reach_of,
    signal_class,
)

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
numbers = st.none() | st.integers(-5, 5) | st.integers(-(2**40), 2**40)


@pytest.mark.parametrize(
    ("mcc", "mnc", "cell", "bearer", "key"),
    [
        (311, 480, 84281345, 6, "311-480-84281345"),
        (44, 33, 69696969, None, "44-33-69696969"),
        (0, 0, 12345, None, "0-0-12345"),
        (None, None, 12345, None, "0-0-12345"),
        (0, 33, 12345, None, "0-0-12345"),
        (1000, 33, 12345, None, "0-0-12345"),
        (1, 999, 7, None, "1-999-7"),
        (999, 1000, 7, None, "999-0-7"),
        (311, -1, 7, None, "311-0-7"),
        (311, 0, 7, None, "311-0-7"),
        (311, None, 7, None, "311-0-7"),
        (311, 480, 0, None, "311-480-0"),
        (311, 480, None, 6, ""),
        (311, 480, -1, 6, ""),
        (311, 480, 2**28 - 1, 6, f"311-480-{2**28 - 1}"),
        (311, 480, 2**28, 6, ""),
        (311, 480, 2**28, None, ""),
        (311, 480, 2**28, 8, f"311-480-{2**28}"),
        (311, 480, 2**36 - 1, 9, f"311-480-{2**36 - 1}"),
        (311, 480, 2**36, 9, ""),
    ],
)
def test_a_cell_is_known_by_network_and_number(
    mcc: int | None, mnc: int | None, cell: int | None, bearer: int | None, key: str
) -> None:
    """Without a usable cell id a device is in the pool, without a network in network 0 (11)."""
    assert cell_key(mcc, mnc, cell, bearer) == key


@given(numbers, numbers, numbers, numbers)
def test_any_numbers_are_a_cell_or_the_pool(
    mcc: int | None, mnc: int | None, cell: int | None, bearer: int | None
) -> None:
    """Whatever is reported gives a key of three numbers, or the pool of the unknown."""
    key = cell_key(mcc, mnc, cell, bearer)
    assert key == UNKNOWN_CELL or [int(part) >= 0 for part in key.split("-")] == [True] * 3


@pytest.mark.parametrize(
    ("dbm", "bearer", "expected"),
    [
        (-60, 6, Signal.GOOD),
        (-95, 7, Signal.GOOD),
        (-96, 5, Signal.FAIR),
        (-110, None, Signal.FAIR),
        (-111, 8, Signal.POOR),
        (-156, 9, Signal.POOR),
        (-31, 6, Signal.GOOD),
        (-95, 8, Signal.GOOD),
        (-95, 10, Signal.UNKNOWN),
        (-95, 4, Signal.UNKNOWN),
        (-157, 9, Signal.UNKNOWN),
        (-30, 6, Signal.UNKNOWN),
        (0, 6, Signal.UNKNOWN),
        (67, 6, Signal.UNKNOWN),
        (None, 6, Signal.UNKNOWN),
        (-60, 0, Signal.UNKNOWN),
        (-60, 21, Signal.UNKNOWN),
    ],
)
def test_signal_classes(dbm: int | None, bearer: int | None, expected: Signal) -> None:
    """By two thresholds of RSRP; what is no RSRP, or cannot be one, is unknown."""
    assert signal_class(dbm, Thresholds(), bearer) is expected


@pytest.mark.parametrize(("good", "fair"), [(-95, -95), (-110, -95), (-20, -95), (-95, -160)])
def test_thresholds_that_make_no_classes_are_refused(good: int, fair: int) -> None:
    """Good is above fair, and both are values that a signal can have."""
    with pytest.raises(
        ValueError, match=r"^thresholds are -156 <= fair < good <= -31 \(dBm RSRP\)$"
    ):
        Thresholds(good_dbm=good, fair_dbm=fair)


def test_thresholds_may_be_the_ends_of_what_a_signal_can_be() -> None:
    """Then everything in between is fair."""
    widest = Thresholds(good_dbm=-31, fair_dbm=-156)
    assert signal_class(-31, widest) is Signal.GOOD
    assert signal_class(-32, widest) is Signal.FAIR
    assert signal_class(-156, widest) is Signal.FAIR


def test_classes_and_reach_keep_their_words() -> None:
    """Settings, the command line and the log name them so."""
    assert list(Signal) == ["good", "fair", "poor", "unknown"]
    assert list(Reach) == ["reachable", "unreachable", "unknown"]


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("contact", "expected"),
    [
        (Contact(), Reach.UNKNOWN),
        (Contact(network=True, network_at=NOW), Reach.REACHABLE),
        (Contact(network=False, network_at=NOW), Reach.UNREACHABLE),
        (Contact(registered=True, last_contact=NOW - 9 * HOUR), Reach.REACHABLE),
        (Contact(registered=False, last_contact=NOW), Reach.UNREACHABLE),
        (
            Contact(registered=False, last_contact=NOW - HOUR, network=True, network_at=NOW),
            Reach.UNREACHABLE,
        ),
        (
            Contact(registered=True, last_contact=NOW - HOUR, network=False, network_at=NOW),
            Reach.UNREACHABLE,
        ),
        (
            Contact(registered=True, last_contact=NOW, network=False, network_at=NOW - HOUR),
            Reach.REACHABLE,
        ),
        # Of two words of the same instant the device's own counts: it was there to say it.
        (
            Contact(registered=True, last_contact=NOW, network=False, network_at=NOW),
            Reach.REACHABLE,
        ),
        (Contact(registered=True, network=False), Reach.UNREACHABLE),
        (Contact(registered=True, last_contact=NOW, network=False), Reach.REACHABLE),
        (Contact(registered=True, queue_mode=True, lifetime=HOUR), Reach.UNREACHABLE),
        (
            Contact(registered=True, queue_mode=True, lifetime=HOUR, last_contact=NOW - HOUR),
            Reach.REACHABLE,
        ),
        (
            Contact(registered=True, queue_mode=True, lifetime=HOUR, last_contact=NOW - 2 * HOUR),
            Reach.UNREACHABLE,
        ),
        (Contact(registered=True, queue_mode=True, last_contact=NOW - 900 * HOUR), Reach.REACHABLE),
    ],
)
def test_reachability(contact: Contact, expected: Reach) -> None:
    """Registered, in queue mode heard from within the lifetime, and not lost by the network since."""
    assert reach_of(contact, NOW) is expected


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ({}, ""),
        ({"mcc": 1, "mnc": 0, "cell": 0, "bearer": 0, "rsrp_dbm": -156}, ""),
        ({"mcc": 999, "mnc": 999, "cell": 2**36 - 1, "bearer": 8, "rsrp_dbm": -31}, ""),
        ({"bearer": 50, "mnc": 999}, ""),
        ({"cell": 2**28 - 1}, ""),
        ({"cell": -1}, "cell is 0 to 268435455"),
        ({"bearer": -1}, "bearer is 0 to 50"),
        ({"mnc": -1}, "mnc is 0 to 999"),
        ({"rsrp_dbm": -157}, "rsrp is -156 to -31"),
        ({"mcc": 1000}, "mcc is 1 to 999"),
        ({"mcc": 0}, "mcc is 1 to 999"),
        ({"mnc": 1000}, "mnc is 0 to 999"),
        ({"cell": 2**28}, "cell is 0 to 268435455"),
        ({"cell": 2**36, "bearer": 8}, "cell is 0 to 68719476735"),
        ({"bearer": 51}, "bearer is 0 to 50"),
        ({"rsrp_dbm": -30}, "rsrp is -156 to -31"),
    ],
)
def test_what_no_network_can_mean(told: dict[str, int], fault: str) -> None:
    """The first value that cannot be is named with what it may be; what is missing is no fault."""
    assert fault_of(**told) == fault
