"""How often a device is tried, and when again."""

from datetime import UTC, datetime, timedelta

import pytest

from overair.core.retry import RetryPolicy, next_try

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
PAUSE = timedelta(hours=1)


@pytest.mark.parametrize(
    ("made", "again"), [(0, NOW + PAUSE), (1, NOW + PAUSE), (2, NOW + PAUSE), (3, None), (4, None)]
)
def test_a_policy_with_three_attempts_gives_three(made: int, again: datetime | None) -> None:
    """A device is tried as often as the policy says, with its pause in between (``http-ddi.md`` 6)."""
    assert next_try(RetryPolicy(attempts=3, pause=PAUSE), made=made, now=NOW) == again


def test_without_limit_there_is_always_another() -> None:
    """A policy without a limit has a next attempt after any number of them (``lifecycle.md`` 3.5)."""
    policy = RetryPolicy(attempts=None, pause=PAUSE)
    assert next_try(policy, made=10_000, now=NOW) == NOW + PAUSE


def test_what_was_not_the_devices_doing_needs_no_pause() -> None:
    """A failure that is not the device's own is tried again at once, but counts as an attempt."""
    policy = RetryPolicy(attempts=2, pause=PAUSE)
    assert next_try(policy, made=1, now=NOW, paused=False) == NOW
    assert next_try(policy, made=2, now=NOW, paused=False) is None
