"""Windows against the plainest model: look at every minute."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overair.core.window import (
    Rule,
    Window,
    Windows,
    decode_windows,
    encode_windows,
    end_of,
    is_open,
    next_close,
    next_open,
    overlap,
    start_of,
)

MINUTE = timedelta(minutes=1)
DAY = date(2026, 3, 2)


def at(hour: int, minute: int = 0, *, day: int = 2, month: int = 3, second: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, second, tzinfo=UTC)


# The model ---------------------------------------------------------------------------------------


def minutes(now: datetime, until: datetime) -> Iterator[datetime]:
    """``now`` and every full minute after it, before ``until``."""
    moment = now
    while moment < until:
        yield moment
        moment = moment.replace(second=0, microsecond=0) + MINUTE


def all_open(rules: list[Rule], moment: datetime, zone: tzinfo) -> bool:
    local = moment.astimezone(zone)
    for day, windows in rules:
        if day is not None and moment < datetime(day.year, day.month, day.day, tzinfo=UTC):
            return False
        if windows and local.hour not in {h for w in windows for h in range(w.start, w.end)}:
            return False
    return True


def model_open(rules: list[Rule], now: datetime, until: datetime, zone: tzinfo) -> datetime | None:
    return next((m for m in minutes(now, until) if all_open(rules, m, zone)), None)


def model_close(rules: list[Rule], now: datetime, until: datetime, zone: tzinfo) -> datetime:
    return next((m for m in minutes(now, until) if not all_open(rules, m, zone)), until)


# Whole hours, half hours, quarters, and each kind of change of clock: an hour, and half an hour.
ZONES: list[tzinfo] = [
    UTC,
    ZoneInfo("Europe/Berlin"),
    ZoneInfo("America/New_York"),
    ZoneInfo("Asia/Kolkata"),
    ZoneInfo("Asia/Kathmandu"),
    ZoneInfo("Pacific/Chatham"),
    ZoneInfo("Australia/Lord_Howe"),
    ZoneInfo("Pacific/Kiritimati"),
    timezone(timedelta(hours=-12)),
]
# About the days on which clocks change, and an ordinary one.
DAYS = [
    date(2026, 3, 7),
    date(2026, 3, 28),
    date(2026, 4, 4),
    date(2026, 10, 3),
    date(2026, 10, 24),
]

window = st.integers(0, 23).flatmap(
    lambda start: st.integers(start + 1, 24).map(lambda end: Window(start, end))
)
windows = st.lists(window, max_size=3).map(tuple)
moments = st.builds(
    lambda day, seconds: start_of(day) + timedelta(seconds=seconds),
    st.sampled_from(DAYS),
    st.integers(0, 2 * 86400),
)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[list[Rule], datetime, datetime, tzinfo]:
    now = draw(moments)
    days = st.none() | st.integers(-1, 2).map(lambda n: (now + timedelta(days=n)).date())
    rules = draw(st.lists(st.tuples(days, windows), min_size=1, max_size=2))
    until = end_of(now.date() + timedelta(days=draw(st.integers(0, 4))))
    return rules, now, until, draw(st.sampled_from(ZONES))


@settings(max_examples=150)
@given(scenes())
def test_the_next_opening_is_the_first_open_minute(
    scene: tuple[list[Rule], datetime, datetime, tzinfo],
) -> None:
    """In any zone, over any change of clock: what is found is the first, and none is missed."""
    rules, now, until, zone = scene
    assert next_open(rules, now, until, zone) == model_open(rules, now, until, zone)


@settings(max_examples=150)
@given(scenes())
def test_the_next_closing_is_the_first_closed_minute(
    scene: tuple[list[Rule], datetime, datetime, tzinfo],
) -> None:
    """From an open moment on: the first minute at which some rule is closed, or the end."""
    rules, now, until, zone = scene
    opened = model_open(rules, now, until, zone)
    if opened is None:
        return
    close = next_close(rules, opened, until, zone)
    assert close == model_close(rules, opened, until, zone)
    assert opened < close <= until


@settings(max_examples=150)
@given(scenes())
def test_is_open_is_the_model(scene: tuple[list[Rule], datetime, datetime, tzinfo]) -> None:
    """A moment is in a list of windows when its local hour is."""
    rules, now, _, zone = scene
    for _, some in rules:
        assert is_open(some, now, zone) == all_open([(None, some)], now, zone)


@given(windows, windows)
def test_overlap_is_a_common_hour(one: Windows, other: Windows) -> None:
    """Two lists overlap when an hour is in both; an empty list has every hour."""
    hours = [
        {h for w in some for h in range(w.start, w.end)} if some else set(range(24))
        for some in (one, other)
    ]
    assert overlap(one, other) is bool(hours[0] & hours[1])


# Edges -------------------------------------------------------------------------------------------

NIGHT = (Window(0, 4),)
EVENING = (Window(20, 24),)


@pytest.mark.parametrize(
    ("some", "now", "opens"),
    [
        (NIGHT, at(0), at(0)),  # the first instant is in
        (NIGHT, at(3, 59, second=59), at(3, 59, second=59)),
        (NIGHT, at(4), at(0, day=3)),  # the last hour is not
        (EVENING, at(19, 59, second=59), at(20)),
        (EVENING, at(23, 59, second=59), at(23, 59, second=59)),
        (EVENING, at(0), at(20)),  # 24 ends the day and does not begin the next
        ((Window(0, 24),), at(13, 37), at(13, 37)),
        ((Window(23, 24), Window(0, 1)), at(12), at(23)),
        ((), at(13, 37, second=1), at(13, 37, second=1)),
    ],
)
def test_openings_at_the_edges(some: Windows, now: datetime, opens: datetime) -> None:
    """A window has its first hour and lacks its last."""
    assert next_open([(None, some)], now, end_of(date(2026, 3, 9))) == opens


@pytest.mark.parametrize(
    ("some", "now", "closes"),
    [
        (NIGHT, at(0), at(4)),
        (NIGHT, at(3, 59, second=59), at(4)),
        (EVENING, at(20), at(0, day=3)),
        ((Window(20, 24), Window(0, 4)), at(21), at(4, day=3)),  # over midnight, as two
        ((Window(0, 24),), at(5), at(0, day=10)),  # never: the end of the campaign
        ((), at(5), at(0, day=10)),
        (NIGHT, at(4), at(4)),  # it is closed already
    ],
)
def test_closings_at_the_edges(some: Windows, now: datetime, closes: datetime) -> None:
    """A window is closed from its last hour on; two that touch are one."""
    assert next_close([(None, some)], now, at(0, day=10)) == closes


def test_nothing_opens_at_the_end_of_the_campaign() -> None:
    """The end is not in the campaign: a window that opens with it opens too late."""
    assert next_open([(None, NIGHT)], at(5), at(0, day=3)) is None
    assert next_open([(None, NIGHT)], at(5), at(0, 1, day=3)) == at(0, day=3)
    assert next_open([(None, ())], at(0, day=3), at(0, day=3)) is None
    assert next_open([(date(2026, 3, 3), ())], at(5), at(0, day=3)) is None


def test_a_campaign_may_end_within_a_window() -> None:
    """What is open stays open until the campaign's end at most."""
    assert next_close([(None, EVENING)], at(21), at(22)) == at(22)


def test_a_date_begins_at_midnight_utc() -> None:
    """A first day counts from 00:00 UTC, also where the hours are the device's."""
    rules: list[Rule] = [(date(2026, 3, 4), ()), (None, EVENING)]
    assert next_open(rules, at(5), at(0, day=10)) == at(20, day=4)
    kathmandu = ZoneInfo("Asia/Kathmandu")  # 20:00 there is 14:15 UTC
    assert next_open(rules, at(5), at(0, day=10), kathmandu) == at(14, 15, day=4)


def test_an_hour_that_is_skipped_opens_a_day_later() -> None:
    """On the day whose clocks skip 02:00 to 03:00 that window does not open."""
    berlin = ZoneInfo("Europe/Berlin")  # 2026-03-29 01:00 UTC
    rules: list[Rule] = [(None, (Window(2, 3),))]
    opened = next_open(rules, at(2, day=28), at(0, day=31), berlin)
    assert opened == at(0, day=30)


def test_an_hour_that_comes_twice_is_open_twice() -> None:
    """On the day whose clocks go back from 03:00 to 02:00 that window lasts two hours."""
    berlin = ZoneInfo("Europe/Berlin")  # 2026-10-25 01:00 UTC
    rules: list[Rule] = [(None, (Window(2, 3),))]
    opened = next_open(rules, at(12, day=24, month=10), at(0, day=30, month=10), berlin)
    assert opened == at(0, day=25, month=10)
    assert next_close(rules, opened, at(0, day=30, month=10), berlin) == at(2, day=25, month=10)


def test_days() -> None:
    """A day is from its midnight to the next."""
    assert start_of(DAY) == at(0)
    assert end_of(DAY) == at(0, day=3)


@given(windows)
def test_text_form(some: Windows) -> None:
    """What is stored is read back."""
    assert decode_windows(encode_windows(some)) == some


def test_text_form_is_readable() -> None:
    """Hours with a dash, windows with a comma."""
    assert encode_windows((Window(0, 4), Window(20, 24))) == "0-4,20-24"
    assert encode_windows(()) == ""


@pytest.mark.parametrize("text", ["4-4", "5-4", "0-25", "-1-4", "24-24", "a-b", "1", "1-2-3", ","])
def test_what_is_no_window_is_refused(text: str) -> None:
    """Empty, backward, outside of the day, or no hours at all."""
    with pytest.raises(ValueError):
        decode_windows(text)


def test_windows_that_only_touch_have_no_hour_in_common() -> None:
    """A window ends before the hour of its end, so the one that begins there is another."""
    early, late = (Window(4, 8),), (Window(8, 12),)
    assert not overlap(early, late)
    assert not overlap(late, early)
    assert overlap(early, (Window(7, 8),))


@pytest.mark.parametrize(("start", "end"), [(24, 24), (24, 25), (-1, 4), (5, 4), (4, 4)])
def test_hours_that_are_no_window_are_refused(start: int, end: int) -> None:
    """The message says what a window is."""
    with pytest.raises(ValueError, match=r"^a window is 0 <= start < end <= 24$"):
        Window(start, end)
