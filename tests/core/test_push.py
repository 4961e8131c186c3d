"""When a device is notified, and when no longer."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from overair.core.push import (
    FIRST_REPEATS,
    LATER_REPEATS,
    Call,
    CallStep,
    carry_on,
    latest_planned,
    next_lwm2m_try,
    next_planned,
)

BEGIN = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
WINDOW = timedelta(hours=4)
PAUSE = timedelta(minutes=1)


def pushes(call: Call, *, late: timedelta = timedelta()) -> list[timedelta]:
    """When a server that looks whenever it is due, or so much later, sends notifications."""
    now = call.called_at
    sent: list[timedelta] = []
    while True:
        step = carry_on(call, now, PAUSE)
        if step.over:
            return sent
        if step.push:
            sent.append(now - call.called_at)
            call = Call(called_at=call.called_at, window_ends_at=call.window_ends_at, pushed_at=now)
        assert step.due_at is not None
        assert step.due_at > now
        now = step.due_at + late


def test_a_call_is_repeated_as_specified() -> None:
    """At 0, 1, 5, 15 and 30 minutes, then every 30, and not when the window closes (oma-dm 9)."""
    call = Call(called_at=BEGIN, window_ends_at=BEGIN + WINDOW)
    minutes = [sent // timedelta(minutes=1) for sent in pushes(call)]
    assert minutes == [0, 1, 5, 15, 30, 60, 90, 120, 150, 180, 210]


def test_a_server_that_was_away_sends_one_repeat() -> None:
    """What was missed is not made up for."""
    call = Call(called_at=BEGIN, window_ends_at=BEGIN + WINDOW, pushed_at=BEGIN)
    step = carry_on(call, BEGIN + timedelta(minutes=47), PAUSE)
    assert step.push
    assert step.due_at == BEGIN + timedelta(minutes=60)


def test_a_window_that_has_closed_is_over() -> None:
    """Not a moment before its end, and from then on."""
    call = Call(called_at=BEGIN, window_ends_at=BEGIN + WINDOW)
    assert not carry_on(call, BEGIN + WINDOW - timedelta(milliseconds=1), PAUSE).over
    assert carry_on(call, BEGIN + WINDOW, PAUSE).over


@given(
    late=st.timedeltas(timedelta(), timedelta(hours=1)),
    window=st.timedeltas(timedelta(seconds=1), timedelta(days=1)),
)
def test_notifications_keep_apart_and_end(late: timedelta, window: timedelta) -> None:
    """However late the server looks, two are a pause apart and none is after the window."""
    sent = pushes(Call(called_at=BEGIN, window_ends_at=BEGIN + window), late=late)
    assert sent[0] == timedelta()
    assert all(after - before >= PAUSE for before, after in pairwise(sent))
    assert sent[-1] < window


@given(st.timedeltas(timedelta(), timedelta(days=2)))
def test_planned_instants_are_neighbours(gone: timedelta) -> None:
    """The latest one that has come and the next one have none between them."""
    now = BEGIN + gone
    before, after = latest_planned(BEGIN, now), next_planned(BEGIN, now)
    assert before is not None
    assert before <= now < after
    planned = [*FIRST_REPEATS, *(LATER_REPEATS * n for n in range(2, 100))]
    assert planned.index(after - BEGIN) == planned.index(before - BEGIN) + 1


def test_lwm2m_is_tried_twice_a_night_for_three_days() -> None:
    """At 00:00 and 04:00, for up to three days (lifecycle 3.4)."""
    tries, last = [], BEGIN - timedelta(seconds=1)
    while (following := next_lwm2m_try(date(2026, 3, 2), last)) is not None:
        tries.append(following)
        last = following
    assert [(t.day, t.hour) for t in tries] == [(2, 0), (2, 4), (3, 0), (3, 4), (4, 0), (4, 4)]


def test_a_notification_is_not_repeated_before_its_time() -> None:
    """One that was sent just when it was planned is the one that was planned."""
    call = Call(called_at=BEGIN, window_ends_at=BEGIN + WINDOW, pushed_at=BEGIN)
    step = carry_on(call, BEGIN + timedelta(seconds=30), PAUSE)
    assert step == CallStep(push=False, due_at=BEGIN + timedelta(minutes=1))
    repeated = replace(call, pushed_at=BEGIN + timedelta(minutes=1))
    step = carry_on(repeated, BEGIN + timedelta(minutes=3), PAUSE)
    assert step == CallStep(push=False, due_at=BEGIN + timedelta(minutes=5))


def test_a_repeat_waits_for_the_pause() -> None:
    """After one that went out late the next waits until they are a pause apart, or all is over."""
    late = BEGIN + timedelta(seconds=50)
    now = BEGIN + timedelta(minutes=1)
    call = Call(called_at=BEGIN, window_ends_at=BEGIN + WINDOW, pushed_at=late)
    assert carry_on(call, now, PAUSE) == CallStep(push=False, due_at=late + PAUSE)
    assert carry_on(call, late + PAUSE, PAUSE).push
    short = Call(called_at=BEGIN, window_ends_at=now + timedelta(seconds=5), pushed_at=late)
    assert carry_on(short, now, PAUSE) == CallStep(push=False, due_at=short.window_ends_at)


def test_the_next_look_is_a_pause_after_a_notification() -> None:
    """Who sends a late repeat does not look again at the planned instant that comes at once."""
    call = Call(called_at=BEGIN, window_ends_at=BEGIN + WINDOW, pushed_at=BEGIN)
    now = BEGIN + timedelta(minutes=4, seconds=50)
    assert carry_on(call, now, PAUSE) == CallStep(push=True, due_at=now + PAUSE)


def test_a_clock_that_was_put_back_sends_nothing() -> None:
    """Before a call begins nothing is due but its beginning."""
    call = Call(called_at=BEGIN, window_ends_at=BEGIN + WINDOW)
    assert carry_on(call, BEGIN - PAUSE, PAUSE) == CallStep(push=False, due_at=BEGIN)


def test_what_is_over_is_over() -> None:
    """A call whose window has closed sends nothing and is not looked at again."""
    call = Call(called_at=BEGIN, window_ends_at=BEGIN + WINDOW)
    assert carry_on(call, BEGIN + WINDOW, PAUSE) == CallStep(over=True, push=False, due_at=None)
