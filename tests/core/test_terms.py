"""What the campaigns of each version promise, and those of the others do not."""

from overair.core.terms import TERMS
from overair.core.upgrade import UpgradeState as U

WAITING = {U.REQUESTED, U.ACCEPTED, U.PENDING}


def _of(name: str) -> list[object]:
    return [getattr(TERMS[version], name) for version in (1, 2, 3)]


def test_there_are_three_versions() -> None:
    """v1, v2 and v3 have their rules, and nobody else (``lifecycle.md`` 1)."""
    assert set(TERMS) == {1, 2, 3}


def test_how_long_campaigns_are() -> None:
    """On demand v2 lasts a week, and never longer (4.3); v3 is advised a month (5.2); v1 says no end."""
    assert _of("days") == [7, 7, 30]
    assert _of("on_demand_days") == [None, 7, None]


def test_pilots_are_of_v2_and_v3() -> None:
    """A package that is not proven goes to few devices, but not in v1 (``lifecycle.md`` 2.4)."""
    assert _of("pilot") == [False, True, True]


def test_only_v2_is_stopped_after_its_start() -> None:
    """A campaign of v1 or v3 that has begun runs to its end (``lifecycle.md`` 3.6, 5.1)."""
    assert _of("stoppable") == [False, True, False]


def test_v2_waits_for_devices_that_failed() -> None:
    """v2 ends early when every device succeeded (4.1), v1 and v3 when each is at its end (3.1, 5.1)."""
    assert _of("needs_success") == [False, True, False]
    assert [TERMS[version].lasting for version in (1, 2, 3)] == [
        WAITING,
        WAITING | {U.FAILED},
        WAITING,
    ]


def test_only_v1_tries_on_after_its_end() -> None:
    """The queue without end is v1's (``lifecycle.md`` 3.5)."""
    assert _of("queues") == [True, False, False]


def test_only_v3_gives_slots() -> None:
    """Devices have their turn in a slot of their cell in v3 alone (``lifecycle.md`` 5.2)."""
    assert _of("slots") == [False, False, True]


def test_v2_on_demand_is_never_seen_queued() -> None:
    """v2 goes from Pending to Scheduled when it starts today (4.1); v1 and v3 pass through Queued."""
    assert _of("announces_queued") == [True, False, True]
