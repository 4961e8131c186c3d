"""How many notifications may leave at a time."""

import pytest

from overair.push.pace import Pace


def test_a_second_s_worth_at_once() -> None:
    """What was not needed is not saved up beyond a second."""
    pace = Pace(50, 0.0)
    assert pace.left(1000.0) == 50
    pace.take(50)
    assert pace.left(1000.0) == 0
    assert pace.wait_s(1000.0) == pytest.approx(0.02)


@pytest.mark.parametrize("per_s", [1, 3, 7, 50, 999])
def test_an_even_rate(per_s: int) -> None:
    """Whoever waits as long as told may send one, and a minute holds as many as it should."""
    pace, now, sent = Pace(per_s, 0.0), 0.0, 0
    pace.take(pace.left(now))
    while now < 60:
        now += max(pace.wait_s(now), 1e-6)
        if pace.left(now) >= 1:
            pace.take(1)
            sent += 1
    assert sent == pytest.approx(60 * per_s, abs=2)


def test_more_was_taken_than_there_was() -> None:
    """A debt is waited for."""
    pace = Pace(10, 0.0)
    pace.take(15)
    assert pace.left(0.0) < 1
    assert pace.wait_s(0.0) == pytest.approx(0.6)


def test_a_handful() -> None:
    """Who wants several at once waits for as many."""
    pace = Pace(50, 0.0)
    pace.take(50)
    assert pace.wait_s(0.0, 0.1) == pytest.approx(0.1)
    assert pace.left(0.1) == 5
    assert Pace(1, 0.0).wait_s(0.0, 0.1) == 0
