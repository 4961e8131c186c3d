"""When a device is notified, and when no longer."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from overair.core.push import (
    FIRST_REPEATS,
    LATER_REPEATS,
    Call,
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
