"""When a device has power: pure schedules, each device's own by its own dice."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from random import Random

_DAY = timedelta(days=1)


class Habit(Enum):
    """What kind of schedule a device has."""

    ALWAYS_ON = "always on"
    OFF_AT_NIGHT = "off at night"
    OFF_FOR_DAYS = "off for days"
    ERRATIC = "on at random"
    LATE = "off at first"


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerHours:
    """How long, in hours, a device of each habit is on and off; a night is given by its UTC hours."""

    night: tuple[float, float] = (22.0, 6.0)
    days_on: tuple[float, float] = (12.0, 72.0)
    days_off: tuple[float, float] = (24.0, 120.0)
    erratic_on: tuple[float, float] = (0.5, 6.0)
    erratic_off: tuple[float, float] = (0.5, 24.0)
    late: tuple[float, float] = (5.0, 48.0)

    def __post_init__(self) -> None:
        ranges = (self.days_on, self.days_off, self.erratic_on, self.erratic_off, self.late)
        # Below a minute, a month would be mostly switching.
        if not all(1 / 60 <= low <= high for low, high in ranges):
            raise ValueError("hours on and off are ranges of at least a minute")
        goes, comes = self.night
        # Longer than the half hour by which either end may be off, and so is the day.
        if not (0.0 <= goes < 24.0 and 0.0 <= comes < 24.0 and 2.0 <= (comes - goes) % 24 <= 22.0):
            raise ValueError("a night is two hours of the day, from two to 22 hours apart")


def changes(
    habit: Habit, hours: PowerHours, dice: Random, start: datetime
) -> Iterator[tuple[datetime, bool]]:
    """Yield when power comes (True) and goes, in order; the first is at ``start``."""
    if habit is Habit.ALWAYS_ON:
        yield start, True
    elif habit is Habit.LATE:
        yield start, False
        yield start + _span(dice, hours.late), True
    elif habit is Habit.OFF_AT_NIGHT:
        yield from _nights(hours.night, dice, start)
    elif habit is Habit.OFF_FOR_DAYS:
        yield from _turns(hours.days_on, hours.days_off, dice, start)
    else:
        yield from _turns(hours.erratic_on, hours.erratic_off, dice, start)


def _span(dice: Random, hours: tuple[float, float]) -> timedelta:
    return timedelta(hours=dice.uniform(*hours))


def _turns(
    on: tuple[float, float], off: tuple[float, float], dice: Random, start: datetime
) -> Iterator[tuple[datetime, bool]]:
    # Somewhere in a turn: on with the share of the time that it is on.
    powered = dice.random() < sum(on) / (sum(on) + sum(off))
    at = start
    length = _span(dice, on if powered else off) * dice.random()
    while True:
        yield at, powered
        at += length
        powered = not powered
        length = _span(dice, on if powered else off)


def _nights(
    night: tuple[float, float], dice: Random, start: datetime
) -> Iterator[tuple[datetime, bool]]:
    goes, comes = night
    morning = timedelta(hours=comes) + (_DAY if comes < goes else timedelta(0))
    day = start.replace(hour=0, minute=0, second=0, microsecond=0) - 2 * _DAY
    powered, told = True, False
    while True:
        for at, on in (
            (day + timedelta(hours=goes) + _about(dice), False),
            (day + morning + _about(dice), True),
        ):
            if at > start:
                if not told:
                    yield start, powered
                    told = True
                yield at, on
            powered = on
        day += _DAY


def _about(dice: Random) -> timedelta:
    # Nobody goes to bed by the minute.
    return timedelta(minutes=dice.uniform(-30.0, 30.0))
