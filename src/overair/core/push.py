"""When a device is told to come: the life of a notification.

A notification is kept deliverable for a window (four hours, ``lifecycle.md`` 3.5). Carriers that do
not store it are helped by repeats: at 0, 1, 5, 15 and 30 minutes, then every 30 (``oma-dm.md`` 9). A
server that was away sends the one repeat that is due, not all that it missed.

Not here: what a missed window means (``core/retry.py``), who sends (``push/``).
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

FIRST_REPEATS: Final = tuple(timedelta(minutes=m) for m in (0, 1, 5, 15, 30))
LATER_REPEATS: Final = timedelta(minutes=30)

# LwM2M in v1 (lifecycle.md 3.4): at these hours, for so many days.
LWM2M_HOURS: Final = (time(0, tzinfo=UTC), time(4, tzinfo=UTC))
LWM2M_DAYS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Notifications under way: since when, until when, and the last one sent."""

    called_at: datetime
    window_ends_at: datetime
    pushed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStep:
    """What to do with a call now, and when to look at it next."""

    over: bool = False  # its window has closed
    push: bool = False
    due_at: datetime | None = None  # not with ``over``


def carry_on(call: Call, now: datetime, pause: timedelta) -> CallStep:
    """The next step of a call. ``pause``: the least time between two notifications of a device."""
    if now >= call.window_ends_at:
        return CallStep(over=True)
    planned = latest_planned(call.called_at, now)
    push = planned is not None and (call.pushed_at is None or call.pushed_at < planned)
    if push and call.pushed_at is not None and now < call.pushed_at + pause:
        return CallStep(due_at=min(call.pushed_at + pause, call.window_ends_at))
    following = next_planned(call.called_at, now)
    if push:
        following = max(following, now + pause)
    return CallStep(push=push, due_at=min(following, call.window_ends_at))


def latest_planned(called_at: datetime, now: datetime) -> datetime | None:
    """The latest instant, not after ``now``, at which a notification was to be sent."""
    gone = now - called_at
    if gone < FIRST_REPEATS[0]:
        return None
    if gone < FIRST_REPEATS[-1]:
        return called_at + max(offset for offset in FIRST_REPEATS if offset <= gone)
    return called_at + gone // LATER_REPEATS * LATER_REPEATS


def next_planned(called_at: datetime, now: datetime) -> datetime:
    """The first instant after ``now`` at which a notification is to be sent."""
    gone = now - called_at
    for offset in FIRST_REPEATS:
        if offset > gone:
            return called_at + offset
    return called_at + (gone // LATER_REPEATS + 1) * LATER_REPEATS


def next_lwm2m_try(started: date, after: datetime) -> datetime | None:
    """When a v1 campaign tries a device over LwM2M next; None: its three days are over."""
    for day in range(LWM2M_DAYS):
        for hour in LWM2M_HOURS:
            instant = datetime.combine(started + timedelta(days=day), hour)
            if instant > after:
                return instant
    return None
