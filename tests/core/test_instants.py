"""How instants are written (API 1.4)."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.core import instants


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))])))
def test_instants_keep_milliseconds(instant: datetime) -> None:
    """Every form of an instant is in UTC and reads back, to the millisecond or to the second."""
    kept = (
        instant.astimezone(UTC)
        if instant.year not in (1, 9999)
        else datetime(2020, 1, 1, tzinfo=UTC)
    )
    text = instants.datetime_text(kept)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert kept - datetime.fromisoformat(text) < timedelta(milliseconds=1)
    assert instants.second_text(kept) == text[:19] + "Z"
    assert instants.time_text(kept) == text.replace("T", " ").replace("Z", " +0000 UTC")


def test_instants_as_published() -> None:
    """The contract's own examples."""
    instant = datetime(2018, 4, 1, 16, 3, tzinfo=UTC)
    assert instants.datetime_text(instant) == "2018-04-01T16:03:00.000Z"
    instant = datetime(2021, 6, 3, 0, 3, 56, 79_000, tzinfo=UTC)
    assert instants.time_text(instant) == "2021-06-03 00:03:56.079 +0000 UTC"
    instant = datetime(2018, 3, 5, 19, 7, 21, 999_000, tzinfo=UTC)
    assert instants.second_text(instant) == "2018-03-05T19:07:21Z"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose own time zone is not UTC."""
    monkeypatch.setenv("TZ", "America/Los_Angeles")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_instants_are_utc_on_any_machine(elsewhere: None) -> None:
    """Where the machine stands changes nothing: all that is written is in UTC."""
    instant = datetime(2021, 6, 3, 2, 3, 56, tzinfo=timezone(timedelta(hours=2)))
    assert instants.datetime_text(instant) == "2021-06-03T00:03:56.000Z"
    assert instants.second_text(instant) == "2021-06-03T00:03:56Z"
    assert instants.time_text(instant) == "2021-06-03 00:03:56.000 +0000 UTC"
    assert instants.minute_text(instant) == "03 Jun 21 00:03 UTC"
