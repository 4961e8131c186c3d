"""What a device may be offered, by examples and against a model that looks at every minute."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.core.attempt import AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.plan import (
    Decision,
    Link,
    Place,
    Rules,
    Wait,
    decide,
    link,
    phase,
    poll_interval,
)
from overair.core.upgrade import FINAL, UpgradeState
from overair.core.window import Window, Windows

S = CampaignStatus
U = UpgradeState

RULES = Rules(status=S.SCHEDULED, start_date=date(2026, 3, 2), end_date=date(2026, 3, 9))
PLACE = Place(state=U.ACCEPTED)
END = datetime(2026, 3, 10, tzinfo=UTC)
MORNING: Windows = (Window(4, 8),)
NOON: Windows = (Window(6, 12),)
NIGHT: Windows = (Window(20, 24),)


def at(hour: int, minute: int = 0, *, day: int = 2) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


# Nothing can be offered at all ------------------------------------------------------------------


@pytest.mark.parametrize("status", list(S))
def test_only_a_running_campaign_offers(status: CampaignStatus) -> None:
    """The campaign's status says what the device waits for, if it does."""
    waits = {
        S.REQUEST_PENDING: (Wait.CHECKS, None),
        S.REQUEST_QUEUED: (Wait.START, at(0, day=4)),
        S.SCHEDULED: (Wait.CHECK_IN, END),
    }
    rules = replace(RULES, status=status, start_date=date(2026, 3, 4))
    decision = decide(rules, PLACE, at(10, day=2 if status is S.REQUEST_QUEUED else 4))
    assert (decision.wait, decision.until) == waits.get(status, (Wait.OVER, None))
    assert decision.offer is (status is S.SCHEDULED)


def test_who_is_behind_whoever_started_it_waits_for_the_day() -> None:
    """Of two servers, one's clock may be before midnight still: by that one nobody is offered anything yet."""
    rules = replace(RULES, start_date=date(2026, 3, 4))
    waits = Decision(offer=False, wait=Wait.START, until=at(0, day=4))
    assert decide(rules, PLACE, at(23, 59, day=3)) == waits
    assert decide(rules, PLACE, at(0, day=4)).offer


def test_a_start_that_is_late_is_awaited_from_now() -> None:
    """A campaign whose start has come, and that the engine has yet to start, may start any time."""
    rules = replace(RULES, status=S.REQUEST_QUEUED)
    assert decide(rules, PLACE, at(10)).until == at(10)


@pytest.mark.parametrize("state", list(U))
def test_only_an_open_place_is_offered(state: UpgradeState) -> None:
    """A device that is not checked waits for that; one that no campaign keeps for nothing."""
    decision = decide(RULES, PLACE._replace(state=state), at(10))
    if state in FINAL | {U.QUEUED}:
        assert (decision.offer, decision.wait, decision.until) == (False, Wait.DONE, None)
    elif state is U.REQUESTED:
        assert (decision.offer, decision.wait, decision.until) == (False, Wait.CHECKS, None)
    else:
        assert decision.offer


def test_the_end_is_the_end() -> None:
    """Nothing is offered from the first instant after the end date, even if the engine is late."""
    last = END - timedelta(milliseconds=1)
    assert decide(RULES, PLACE, last).offer
    assert decide(RULES, PLACE, END).wait is Wait.OVER


def test_one_action_at_a_time() -> None:
    """A device with an action that is not at its end is offered no other."""
    decision = decide(RULES, PLACE._replace(busy=True), at(10))
    assert (decision.offer, decision.wait) == (False, Wait.OTHER_ATTEMPT)


def test_only_devices_that_ask_are_offered_anything() -> None:
    """A device whose protocol does not pull is not waited for in vain: it says so."""
    decision = decide(RULES, PLACE._replace(served=False), at(10))
    assert (decision.offer, decision.wait, decision.until) == (False, Wait.NO_TRANSPORT, END)


# Dates and windows -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "now", "wait", "until"),
    [
        ({}, at(10), Wait.CHECK_IN, END),
        ({"download_after": date(2026, 3, 4)}, at(10), Wait.DOWNLOAD_DATE, at(0, day=4)),
        ({"download_after": date(2026, 3, 2)}, at(10), Wait.CHECK_IN, END),
        ({"install_after": date(2026, 3, 5)}, at(10), Wait.INSTALL_DATE, at(0, day=5)),
        ({"download_windows": MORNING}, at(4), Wait.CHECK_IN, at(8)),
        ({"download_windows": MORNING}, at(8), Wait.DOWNLOAD_WINDOW, at(4, day=3)),
        ({"install_windows": NOON}, at(4), Wait.INSTALL_WINDOW, at(6)),
        # It installs right after the download: both must be open, and stay so until one closes.
        ({"download_windows": MORNING, "install_windows": NOON}, at(4), Wait.INSTALL_WINDOW, at(6)),
        ({"download_windows": MORNING, "install_windows": NOON}, at(7), Wait.CHECK_IN, at(8)),
        # The window is told only once its day has come; until is when both have.
        (
            {"download_after": date(2026, 3, 4), "download_windows": NIGHT},
            at(21),
            Wait.DOWNLOAD_DATE,
            at(20, day=4),
        ),
        ({"download_windows": MORNING}, at(9, day=9), Wait.NO_TIME_LEFT, END),
        ({"download_after": date(2026, 3, 10)}, at(9), Wait.NO_TIME_LEFT, END),
    ],
)
def test_dates_and_windows(
    changes: dict[str, object], now: datetime, wait: Wait, until: datetime
) -> None:
    """The first thing that holds the offer back is told, with the moment at which all is open."""
    rules = replace(RULES, **changes)  # type: ignore[arg-type]  # a table of changes, by name
    decision = decide(rules, PLACE, now)
    assert (decision.wait, decision.until) == (wait, until)
    assert decision.offer is (wait is Wait.CHECK_IN)


def test_windows_that_never_meet() -> None:
    """Of two lists without a common hour the install windows decide, or nothing is offered."""
    rules = replace(RULES, download_windows=MORNING, install_windows=NIGHT)
    assert decide(rules, PLACE, at(21)).offer
    assert decide(rules, PLACE, at(5)).wait is Wait.INSTALL_WINDOW
    never = decide(rules, PLACE, at(21), install_window_alone=False)
    assert (never.offer, never.wait, never.until) == (False, Wait.NEVER_BOTH, END)
    # The download's date still holds.
    later = replace(rules, download_after=date(2026, 3, 4))
    assert decide(later, PLACE, at(21)).wait is Wait.DOWNLOAD_DATE


def test_the_devices_own_hours() -> None:
    """With a zone the hours are the device's, the dates stay UTC."""
    place = PLACE._replace(zone=ZoneInfo("Asia/Kathmandu"))  # 5:45 ahead
    rules = replace(RULES, download_windows=NIGHT)
    assert decide(rules, place, at(14)).until == at(14, 15)
    offered = decide(rules, place, at(14, 15))
    assert (offered.offer, offered.until) == (True, at(18, 15))
    both = place._replace(two_phase=True)
    assert phase(replace(RULES, install_windows=NIGHT), both, at(14)) == (True, False)
    assert phase(replace(RULES, install_windows=NIGHT), both, at(14, 15)) == (True, True)


def test_without_a_zone_the_hours_are_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine stands has no part in it."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        assert decide(replace(RULES, download_windows=MORNING), PLACE, at(4)).offer
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_plain_offer_is_installed_at_once() -> None:
    """A device in a campaign without windows, or without two phases, installs what it has."""
    for rules in (RULES, replace(RULES, download_windows=MORNING)):
        decision = decide(rules, PLACE, at(5))
        assert (decision.offer, decision.install, decision.phased) == (True, True, False)


def test_a_wait_promises_nothing() -> None:
    """Who is offered nothing may not install either, and is in no phase."""
    over = decide(replace(RULES, status=S.ABORTED), PLACE, at(10))
    assert over == Decision(offer=False, wait=Wait.OVER, until=None, install=False, phased=False)


def test_reasons_to_wait_keep_their_words() -> None:
    """They are in what ``overair explain --json`` prints, which programs read."""
    assert " ".join(Wait) == (
        "checks start download_date download_window install_date install_window retry"
        " other_attempt never_both no_time_left no_transport other_protocol no_image over done"
        " check_in turn attach reach slot cell version"
    )


def test_the_pause_after_a_failure() -> None:
    """A device that just failed is offered nothing until the pause is over."""
    place = PLACE._replace(state=U.PENDING, not_before=at(11))
    decision = decide(RULES, place, at(10, 59))
    assert (decision.offer, decision.wait, decision.until) == (False, Wait.RETRY, at(11))
    assert decide(RULES, place, at(11)).offer
    windowed = decide(replace(RULES, download_windows=NOON), place, at(10, 59))
    assert (windowed.offer, windowed.wait, windowed.until) == (False, Wait.RETRY, at(11))


def test_two_phases_need_only_the_download() -> None:
    """A device that can download ahead is offered it then, and told whether it may install."""
    rules = replace(RULES, download_windows=MORNING, install_windows=NIGHT)
    place = PLACE._replace(two_phase=True)
    ahead = decide(rules, place, at(5), install_window_alone=False)
    assert (ahead.offer, ahead.phased, ahead.install) == (True, True, False)
    assert not decide(rules, place, at(21)).offer
    both = decide(replace(rules, install_windows=MORNING), place, at(5))
    assert (both.offer, both.phased, both.install) == (True, True, True)
    plain = decide(replace(rules, install_windows=()), place, at(5))
    assert (plain.offer, plain.phased, plain.install) == (True, False, True)


@pytest.mark.parametrize(
    ("changes", "two_phase", "expected"),
    [
        ({"install_windows": NIGHT}, False, (False, True)),
        ({}, True, (False, True)),
        ({"install_windows": NIGHT}, True, (True, False)),
        ({"install_windows": MORNING}, True, (True, True)),
        ({"install_after": date(2026, 3, 3)}, True, (True, False)),
        ({"install_after": date(2026, 3, 2)}, True, (True, True)),
        ({"install_after": date(2026, 3, 3), "install_windows": MORNING}, True, (True, False)),
    ],
)
def test_phase(changes: dict[str, object], two_phase: bool, expected: tuple[bool, bool]) -> None:
    """An offer has phases when the device can and the campaign asks; then both must be open."""
    rules = replace(RULES, **changes)  # type: ignore[arg-type]  # a table of changes, by name
    assert phase(rules, PLACE._replace(two_phase=two_phase), at(5)) == expected


# Against the model -------------------------------------------------------------------------------

window = st.integers(0, 23).flatmap(
    lambda start: st.integers(start + 1, 24).map(lambda end: Window(start, end))
)
window_lists = st.lists(window, max_size=2).map(tuple)
near_days = st.none() | st.integers(1, 11).map(lambda day: date(2026, 3, day))
rules_of_campaigns = st.builds(
    Rules,
    status=st.just(S.SCHEDULED),
    start_date=st.just(date(2026, 3, 2)),
    end_date=st.integers(2, 5).map(lambda day: date(2026, 3, day)),
    download_after=near_days,
    download_windows=window_lists,
    install_after=near_days,
    install_windows=window_lists,
)
places = st.builds(
    Place,
    state=st.sampled_from([U.ACCEPTED, U.PENDING]),
    not_before=st.none() | st.integers(0, 6000).map(lambda m: at(0) + timedelta(minutes=m)),
    two_phase=st.booleans(),
    busy=st.just(False),
    served=st.just(True),
    zone=st.just(UTC),
)
moments = st.integers(0, 3 * 1440).map(lambda m: at(0) + timedelta(minutes=m))


def hours(windows: Windows) -> set[int]:
    return {h for w in windows for h in range(w.start, w.end)} if windows else set(range(24))


def model_offers(rules: Rules, place: Place, now: datetime, *, alone: bool) -> bool:
    """The sentences of http-ddi.md 7, one after the other."""
    today = now.date()
    if not rules.start_date <= today <= rules.end_date:
        return False
    if place.not_before is not None and now < place.not_before:
        return False
    download_day = rules.download_after is None or today >= rules.download_after
    install_day = rules.install_after is None or today >= rules.install_after
    downloads, installs = hours(rules.download_windows), hours(rules.install_windows)
    if place.two_phase:
        return download_day and now.hour in downloads
    if not downloads & installs:
        return alone and download_day and install_day and now.hour in installs
    return download_day and install_day and now.hour in downloads & installs


@given(rules_of_campaigns, places, moments, st.booleans())
def test_offers_are_those_of_the_model(
    rules: Rules, place: Place, now: datetime, alone: bool
) -> None:
    """A device is offered the update exactly when the specification's sentences allow it."""
    decision = decide(rules, place, now, install_window_alone=alone)
    assert decision.offer is model_offers(rules, place, now, alone=alone)


@given(rules_of_campaigns, places, moments, st.booleans())
def test_a_wait_ends_when_it_says(rules: Rules, place: Place, now: datetime, alone: bool) -> None:
    """Between now and ``until`` nothing changes; and whoever is told to wait is told an end."""
    decision = decide(rules, place, now, install_window_alone=alone)
    if decision.wait is Wait.OVER:
        return
    assert decision.until is not None
    assert decision.until > now
    for moment in _between(now, decision.until):
        assert model_offers(rules, place, moment, alone=alone) is decision.offer
    if decision.wait in (Wait.DOWNLOAD_DATE, Wait.DOWNLOAD_WINDOW, Wait.INSTALL_DATE) or (
        decision.wait is Wait.INSTALL_WINDOW
    ):
        then = decide(rules, place, decision.until, install_window_alone=alone)
        assert then.offer or then.wait is Wait.RETRY
    if decision.wait in (Wait.NO_TIME_LEFT, Wait.NEVER_BOTH):
        assert decision.until == rules.ends_at


def _between(start: datetime, end: datetime) -> Iterator[datetime]:
    moment = start
    while moment < end:
        yield moment
        moment += timedelta(minutes=15)
    if end - timedelta(minutes=1) > start:
        yield end - timedelta(minutes=1)


# Links -------------------------------------------------------------------------------------------

A = AttemptState
OPEN_STATES = (A.OFFERED, A.RETRIEVED, A.RUNNING, A.DOWNLOADED)
GRACE = timedelta(hours=24)


def shown(
    state: AttemptState,
    now: datetime,
    *,
    status: CampaignStatus = S.SCHEDULED,
    downloaded: bool = False,
    cancel_refused: bool = False,
) -> Link:
    return link(
        state,
        replace(RULES, status=status),
        now,
        grace=GRACE,
        downloaded=downloaded,
        cancel_refused=cancel_refused,
    )


def test_an_open_action_is_shown_while_the_campaign_runs() -> None:
    """The offer is sticky, whatever the hour; a cancellation is shown as one; an end is not."""
    for state, hour in product(A, range(24)):
        expected = Link.DEPLOYMENT if state in OPEN_STATES else Link.NOTHING
        if state is A.CANCELLING:
            expected = Link.CANCEL
        assert shown(state, at(hour)) is expected


@pytest.mark.parametrize("state", OPEN_STATES)
def test_the_grace_is_for_who_has_downloaded(state: AttemptState) -> None:
    """At the campaign's end an action disappears; with the artifact there, a grace later."""
    for status in (S.SCHEDULED, S.ENDED):
        assert shown(state, END, status=status) is Link.NOTHING
        assert shown(state, END, status=status, downloaded=True) is Link.DEPLOYMENT
        last = END + GRACE - timedelta(milliseconds=1)
        assert shown(state, last, status=status, downloaded=True) is Link.DEPLOYMENT
        assert shown(state, END + GRACE, status=status, downloaded=True) is Link.NOTHING
    # A campaign can end early, when all its devices have succeeded.
    assert shown(state, at(10), status=S.ENDED) is Link.NOTHING
    assert shown(state, at(10), status=S.FAILED) is Link.NOTHING
    assert shown(state, at(10), status=S.ENDED, downloaded=True) is Link.DEPLOYMENT


@pytest.mark.parametrize("state", OPEN_STATES)
@pytest.mark.parametrize("status", [S.CANCELLED, S.ABORTED])
def test_a_stop_is_obeyed_at_once(state: AttemptState, status: CampaignStatus) -> None:
    """A stopped campaign shows nothing, except to a device that has refused to be stopped."""
    assert shown(state, at(10), status=status) is Link.NOTHING
    assert shown(state, at(10), status=status, downloaded=True) is Link.NOTHING
    assert shown(state, at(10), status=status, cancel_refused=True) is Link.DEPLOYMENT
    assert shown(state, END, status=status, cancel_refused=True) is Link.NOTHING


def test_a_cancellation_is_shown_until_it_is_answered() -> None:
    """Also after the campaign's end: the device's answer is what is awaited."""
    for status in (S.ABORTED, S.CANCELLED, S.SCHEDULED):
        assert shown(A.CANCELLING, END + GRACE, status=status) is Link.CANCEL


# Poll intervals ----------------------------------------------------------------------------------

seconds = st.integers(1, 86_399)


@pytest.mark.parametrize(
    "minutes", [0.5, 1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 720]
)
def test_intervals_are_round(minutes: float) -> None:
    """An interval is told in the steps of a clock's face, so that it seldom changes."""
    step = timedelta(minutes=minutes)
    assert poll_interval(86_400, at(10), at(10) + 3 * step, 1) == step // timedelta(seconds=1)


def test_an_idle_device_keeps_its_interval() -> None:
    """Without anything ahead, or with what is due already, the interval is the normal one."""
    assert poll_interval(43_200, at(10), None, 30) == 43_200
    assert poll_interval(43_200, at(10), at(10), 30) == 43_200
    assert poll_interval(43_200, at(10), at(9), 30) == 43_200


@pytest.mark.parametrize(
    ("ahead", "interval"),
    [
        (timedelta(days=30), 43_200),
        (timedelta(hours=36), 43_200),
        (timedelta(hours=24), 6 * 3600),
        (timedelta(hours=6), 2 * 3600),
        (timedelta(hours=1), 20 * 60),
        (timedelta(minutes=10), 120),
        (timedelta(minutes=3), 60),
        (timedelta(seconds=90), 30),
        (timedelta(seconds=10), 30),
    ],
)
def test_three_check_ins_before_a_window(ahead: timedelta, interval: int) -> None:
    """The interval is the longest step that fits three times before the window."""
    assert poll_interval(43_200, at(10), at(10) + ahead, 30) == interval


@given(seconds, seconds, st.integers(-100, 400_000))
def test_interval_bounds(normal: int, minimum: int, ahead: int) -> None:
    """Never above the normal interval, and never below the smaller of the two settings."""
    interval = poll_interval(normal, at(10), at(10) + timedelta(seconds=ahead), minimum)
    assert min(minimum, normal) <= interval <= normal


@given(st.integers(3600, 86_399), st.integers(180, 400_000))
def test_the_device_comes_before_the_window(normal: int, ahead: int) -> None:
    """A device that follows its intervals checks in before the window opens, and soon after."""
    now, opens = at(10), at(10) + timedelta(seconds=ahead)
    asked = 0
    while now < opens:
        asked += 1
        now += timedelta(seconds=poll_interval(normal, now, opens, 30))
    assert asked >= 3
    assert now - opens <= timedelta(seconds=60)
