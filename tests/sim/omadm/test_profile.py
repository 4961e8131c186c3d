"""The dice: what befalls devices, and when they have power."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from random import Random

import pytest

from overair.sim.omadm.power import Habit, PowerHours, changes
from overair.sim.omadm.profile import Behaviour, Fate

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
MONTH = timedelta(days=30)


def schedule(habit: Habit, seed: int, start: datetime = START) -> list[tuple[datetime, bool]]:
    """Return the changes of a month."""
    found = changes(habit, PowerHours(), Random(seed), start)
    return [change for change in islice(found, 2000) if change[0] < start + MONTH]


@pytest.mark.parametrize("habit", Habit)
@pytest.mark.parametrize("seed", range(20))
def test_power_comes_and_goes_in_turn(habit: Habit, seed: int) -> None:
    """A schedule begins at the start, and each change is later than the last and another way."""
    found = schedule(habit, seed)
    assert found[0][0] == START
    for (before, was), (at, on) in pairwise(found):
        assert at > before
        assert on is not was


@pytest.mark.parametrize("hour", [0, 3, 12, 23])
def test_nights_are_dark(hour: int) -> None:
    """Off at night is off at three and on at noon, whenever it begins."""
    start = START.replace(hour=hour)
    found = schedule(Habit.OFF_AT_NIGHT, 1, start)
    for day in range(1, 25):
        for at, expected in ((3, False), (12, True)):
            moment = (start + timedelta(days=day)).replace(hour=at)
            assert [on for change, on in found if change <= moment][-1] is expected


def test_days_off_are_days() -> None:
    """A device that is off for days is off for one to five of them at a time."""
    found = schedule(Habit.OFF_FOR_DAYS, 5)
    off = [later - at for (at, on), (later, _) in pairwise(found[1:]) if not on]
    assert off
    assert all(timedelta(days=1) <= span <= timedelta(days=5) for span in off)


def test_rates_are_kept() -> None:
    """Over many attempts each fate comes as often as it should."""
    behaviour = Behaviour(install_failure=0.3, decline=0.1, silent_fallback=0.2)
    drawn = [behaviour.draw(1, f"{number}", 1).fate for number in range(4000)]
    assert drawn.count(Fate.INSTALL_FAILS) == pytest.approx(1200, rel=0.1)
    assert drawn.count(Fate.DECLINES) == pytest.approx(400, rel=0.2)
    assert drawn.count(Fate.VANISHES) == pytest.approx(800, rel=0.1)
    assert drawn.count(Fate.INSTALLS) == pytest.approx(1600, rel=0.1)


def test_shares_of_devices_are_kept() -> None:
    """Over many devices each trait comes as often as it should, and each device keeps its own."""
    behaviour = Behaviour(erratic=0.2, off_at_night=0.3, odd=0.5, xml=0.25, wrong_credentials=0.1)
    plans = [behaviour.draw_device(1, f"{number}", "./FUMO") for number in range(4000)]
    assert plans == [behaviour.draw_device(1, f"{number}", "./FUMO") for number in range(4000)]
    habits = [plan.habit for plan in plans]
    assert habits.count(Habit.ERRATIC) == pytest.approx(800, rel=0.15)
    assert habits.count(Habit.OFF_AT_NIGHT) == pytest.approx(1200, rel=0.15)
    assert sum(bool(plan.manners.oddities) for plan in plans) == pytest.approx(2000, rel=0.1)
    assert sum(not plan.manners.form.media_type.is_wbxml for plan in plans) == pytest.approx(
        1000, rel=0.1
    )
    wrong = [plan for plan in plans if plan.wrong_client_secret or plan.wrong_server_secret]
    assert len(wrong) == pytest.approx(400, rel=0.2)
    assert not any(plan.wrong_client_secret and plan.wrong_server_secret for plan in plans)


@pytest.mark.parametrize(
    "wrong",
    [
        {"decline": 1.5},
        {"decline": 0.6, "silence": 0.6},
        {"late": 0.6, "erratic": 0.6},
        {"slow_bytes_per_s": 0.0},
        {"think_s": (3.0, 1.0)},
    ],
)
def test_behaviour_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    """Rates beyond one, alone or together, and spans that are none."""
    with pytest.raises(ValueError):
        Behaviour(**wrong)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize(
    "wrong", [{"night": (22.0, 23.0)}, {"night": (25.0, 6.0)}, {"late": (0.0, 1.0)}]
)
def test_hours_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    """Nights that are too short, hours that no day has, spells without length."""
    with pytest.raises(ValueError):
        PowerHours(**wrong)  # type: ignore[arg-type]  # wrong on purpose
