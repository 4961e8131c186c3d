"""Stories of news that come late: of an attempt that is over, and that a newer one has followed.

Found by letting everything happen that may happen to two devices (``simulation/explore``).
"""

from datetime import timedelta

from overair.core.attempt import AttemptState
from overair.core.ids import AttemptId
from overair.core.licenses import MONTHLY
from overair.core.upgrade import Reason, UpgradeState
from overair.engine import licenses, push
from overair.engine.push import Job
from tests.engine import pushed
from tests.engine.world import World, imei, story


def _followed(w: World) -> tuple[AttemptId, Job]:
    """A queued device did not answer, and has come for its next attempt; the first one's job."""
    pushed.fleet(w, 1)
    made = pushed.campaign(w, [1], end=0)
    pushed.due(w)
    first = pushed.execute(w, 1)
    pushed.pass_time(w, days=3)  # asked how far it is, and silent
    assert w.state(first.attempt_id) is AttemptState.EXPIRED
    assert w.upgrade(1, made).state is UpgradeState.QUEUED
    second = pushed.job(w, 1)
    assert second.attempt_id != first.attempt_id
    late = push.job_by_correlator(w.tx, first.device_id, first.correlator, w.settings, w.now)
    assert late is not None
    return second.attempt_id, late


@story
def test_a_late_failure_says_nothing_of_the_attempt_under_way(w: World) -> None:
    """That one goes on as it was: its reason and when its device is due next stay."""
    second, late = _followed(w)
    before = push_state(w)
    push.failed(w.tx, late, Reason.INSTALL_FAILED, w.settings, w.now, code=410)
    assert w.state(late.attempt_id) is AttemptState.FAILED
    assert w.device(1).open_attempt_id == second
    assert push_state(w) == before


@story
def test_a_late_failure_without_a_licence_strands_nobody(w: World) -> None:
    """The attempt under way is the device's last, and is ended when its time is over."""
    w.settings = pushed.rules()
    licenses.set_subscription(
        w.tx, w.account, purchase_type=MONTHLY, license_count=1, settings=w.settings, now=w.now
    )
    pushed.fleet(w, 1)
    licenses.assign_licenses(w.tx, w.account, [imei(1)], w.settings.limits, w.now)
    made = pushed.campaign(w, [1], end=0)
    pushed.due(w)
    pushed.pass_time(w, days=1)
    assert w.upgrade(1, made).state is UpgradeState.QUEUED
    first = w.tx.one("select id from attempt order by id", ())
    assert first is not None
    second = pushed.job(w, 1)
    assert second.attempt_id != first[0]
    licenses.set_subscription(
        w.tx, w.account, purchase_type=MONTHLY, license_count=0, settings=w.settings, now=w.now
    )
    late = push.job_by_correlator(w.tx, second.device_id, f"c-{first[0]:x}", w.settings, w.now)
    assert late is not None
    push.failed(w.tx, late, Reason.INSTALL_FAILED, w.settings, w.now, code=410)
    assert w.device(1).open_attempt_id == second.attempt_id
    pushed.pass_time(w, days=2)
    assert w.device(1).open_attempt_id is None
    assert w.outcome(1, made) == (UpgradeState.FAILED, Reason.LICENSE_REMOVED)


@story
def test_a_late_success_that_is_not_shown_moves_nothing(w: World) -> None:
    """Nobody waits for the version of an attempt that is over; the one under way keeps its time."""
    _, late = _followed(w)
    before = push_state(w)
    w.now += timedelta(minutes=1)
    push.await_version(w.tx, late, w.settings, w.now, code=200)
    assert push_state(w) == before


def push_state(w: World) -> tuple[object, ...]:
    """Where the device is in its campaign, and when it is due."""
    row = w.tx.one("select state, reason, due_at, not_before from device_upgrade", ())
    assert row is not None
    return row
