"""How far back a history reaches."""

from datetime import UTC, datetime

import pytest

from overair.core.history import history_start


@pytest.mark.parametrize(
    ("now", "months", "start"),
    [
        ((2026, 8, 31), 6, (2026, 2, 28)),
        ((2024, 8, 31), 6, (2024, 2, 29)),
        ((2026, 3, 15), 6, (2025, 9, 15)),
        ((2026, 1, 1), 1, (2025, 12, 1)),
        ((2026, 12, 31), 12, (2025, 12, 31)),
        ((2026, 6, 30), 6, (2025, 12, 30)),
    ],
)
def test_history_reaches_back_by_the_calendar(
    now: tuple[int, int, int], months: int, start: tuple[int, int, int]
) -> None:
    """Whole months, over the turn of the year; a day that the month lacks is its last."""
    moment = datetime(*now, 13, 37, 5, tzinfo=UTC)
    assert history_start(moment, months) == datetime(*start, 13, 37, 5, tzinfo=UTC)
