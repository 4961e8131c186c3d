"""The slots of a campaign: where they begin and end, and which is the next."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from overair.core.slots.grid import Calendar, Slot, key_instant, key_of
from overair.core.window import Window, Windows, end_of, is_open, start_of
from tests.core.slots_world import DAY, calendars, instants, pieces, utc

BERLIN = ZoneInfo("Europe/Berlin")


def texts(calendar: Calendar, since: datetime | None = None) -> list[str]:
    """Slots as ``28 02:00-04:00``."""
    return [f"{s.start:%d %H:%M}-{s.end:%H:%M}" for s in calendar.slots(since)]


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        (
            (),
            [
                "00:00-04:00",
                "04:00-08:00",
                "08:00-12:00",
                "12:00-16:00",
                "16:00-20:00",
                "20:00-00:00",
            ],
        ),
        ((Window(2, 5),), ["02:00-04:00", "04:00-05:00"]),
        ((Window(20, 24), Window(0, 4)), ["00:00-04:00", "20:00-00:00"]),
        ((Window(0, 1), Window(3, 4)), ["00:00-01:00", "03:00-04:00"]),
        ((Window(1, 2), Window(2, 3)), ["01:00-03:00"]),
        ((Window(1, 3), Window(0, 9), Window(2, 4)), ["00:00-04:00", "04:00-08:00", "08:00-09:00"]),
    ],
)
def test_slots_are_cut_by_windows(windows: Windows, expected: list[str]) -> None:
    """Slots lie on one grid; a campaign has of each what its windows leave."""
    assert texts(Calendar(start_date=DAY, end_date=DAY, windows=windows)) == [
        f"28 {text}" for text in expected
    ]


def test_a_running_slot_may_be_given_from_now_on() -> None:
    """As long as enough of it is left; a whole one however short it is."""
    calendar = Calendar(start_date=DAY, end_date=DAY, windows=(Window(9, 11),), slot_minutes=60)
    assert texts(calendar, utc("2026-03-28 09:50"))[0] == "28 09:50-10:00"
    hardly = utc("2026-03-28 09:50") + timedelta(milliseconds=1)
    assert texts(calendar, hardly)[0] == "28 10:00-11:00"
    assert texts(calendar, utc("2026-03-28 10:51")) == []
    assert calendar.next_slot(utc("2026-03-28 10:51")) is None
    last = replace(calendar, least=timedelta())
    assert texts(last, utc("2026-03-28 10:00")) == ["28 10:00-11:00"]
    short = Calendar(start_date=DAY, end_date=DAY, slot_minutes=20, least=timedelta(hours=1))
    assert texts(short, utc("2026-03-28 09:50"))[0] == "28 10:00-10:20"


def test_a_slot_is_open_from_its_start_to_before_its_end() -> None:
    """Work begins in it, not at its end."""
    slot = Slot(start=utc("2026-03-28 02:00"), end=utc("2026-03-28 04:00"), key=0)
    assert not slot.open(slot.start - timedelta(milliseconds=1))
    assert slot.open(slot.start)
    assert slot.open(slot.end - timedelta(milliseconds=1))
    assert not slot.open(slot.end)


@given(calendars)
def test_all_slots_of_a_campaign(calendar: Calendar) -> None:
    """They are what a walk through its days and hours finds, in order, none twice."""
    assert [(s.start, s.end, s.key) for s in calendar.slots()] == pieces(calendar)
    assert calendar.count == len(pieces(calendar))
    assert calendar.closes_at == pieces(calendar)[-1][1]
    assert [calendar.key(n) for n in range(calendar.count)] == [s.key for s in calendar.slots()]


@given(calendars, instants)
def test_the_next_slot_after_an_instant(calendar: Calendar, instant: datetime) -> None:
    """The first that begins then or later, or that runs and has enough left."""
    expected = [
        (max(start, instant), end, key)
        for start, end, key in pieces(calendar)
        if instant <= start or (end > instant and end - instant >= calendar.least)
    ]
    found = [(s.start, s.end, s.key) for s in calendar.slots(instant)]
    assert found == expected


@given(calendars, instants)
def test_when_work_may_begin(calendar: Calendar, instant: datetime) -> None:
    """Inside the dates and inside a window."""
    inside = start_of(calendar.start_date) <= instant < end_of(calendar.end_date)
    assert calendar.allows(instant) == (inside and is_open(calendar.windows, instant))


@given(calendars, instants)
def test_the_zone_that_an_instant_is_told_in_means_nothing(
    calendar: Calendar, instant: datetime
) -> None:
    """All is UTC, also on the day on which a zone's clocks are changed."""
    there = instant.astimezone(BERLIN)
    assert calendar.number(there) == calendar.number(instant)
    assert list(calendar.slots(there)) == list(calendar.slots(instant))
    assert all(slot.start.tzinfo is UTC for slot in calendar.slots(there))


def test_every_day_has_the_same_slots() -> None:
    """Also the days on which clocks somewhere are put forward or back."""
    calendar = Calendar(
        start_date=date(2026, 3, 1), end_date=date(2026, 11, 30), windows=(Window(1, 4),)
    )
    assert {(s.start.time(), s.end - s.start) for s in calendar.slots()} == {
        (utc("2026-03-01 01:00").time(), timedelta(hours=3))
    }


@given(instants)
def test_a_key_is_where_its_slot_begins(instant: datetime) -> None:
    """And the same for every campaign."""
    begins = key_instant(key_of(instant, 240))
    assert begins <= instant < begins + timedelta(hours=4)
    assert begins.hour % 4 == begins.minute == 0


@pytest.mark.parametrize("minutes", [0, -240, 7, 1441, 2880])
def test_slots_divide_a_day(minutes: int) -> None:
    """Others would begin at another hour each day."""
    with pytest.raises(ValueError, match=r"^a slot's minutes divide a day$"):
        Calendar(start_date=DAY, end_date=DAY, slot_minutes=minutes)


def test_a_slot_may_be_a_minute() -> None:
    """The shortest slot is a minute long."""
    calendar = Calendar(start_date=DAY, end_date=DAY, slot_minutes=1, least=timedelta())
    assert calendar.count == 1440
    assert texts(calendar)[:2] == ["28 00:00-00:01", "28 00:01-00:02"]


def test_a_running_slot_is_given_to_the_second() -> None:
    """Where nothing need be left of it, up to its last second; else up to the instant of the rule."""
    calendar = Calendar(start_date=DAY, end_date=DAY, windows=(Window(9, 10),), least=timedelta())
    assert texts(calendar, utc("2026-03-28 09:59") + timedelta(seconds=59)) == ["28 09:59-10:00"]
    ten = replace(calendar, least=timedelta(minutes=10))
    assert texts(ten, utc("2026-03-28 09:50")) == ["28 09:50-10:00"]
    assert texts(ten, utc("2026-03-28 09:50") + timedelta(microseconds=1)) == []


def test_at_the_end_of_a_window_no_work_begins() -> None:
    """The first minute behind a window is outside of it."""
    calendar = Calendar(start_date=DAY, end_date=DAY, windows=(Window(9, 10),))
    assert calendar.allows(utc("2026-03-28 09:00"))
    assert calendar.allows(utc("2026-03-28 09:59"))
    assert not calendar.allows(utc("2026-03-28 10:00"))
    assert not calendar.allows(utc("2026-03-28 08:59"))


def test_a_calendar_is_written_as_it_was_made() -> None:
    """What it derives for itself is not in what is printed of it, but the number of its slots is."""
    assert repr(Calendar(start_date=DAY, end_date=DAY)) == (
        "Calendar(start_date=datetime.date(2026, 3, 28), end_date=datetime.date(2026, 3, 28),"
        " windows=(), slot_minutes=240, least=datetime.timedelta(seconds=600), count=6)"
    )


def test_a_campaign_does_not_end_before_it_starts() -> None:
    """Dates in the wrong order are refused."""
    with pytest.raises(ValueError, match=r"^a campaign ends after it starts$"):
        Calendar(start_date=DAY, end_date=DAY - timedelta(days=1))
