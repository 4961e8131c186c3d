"""Stories of devices over OMA-DM: what a device says and shows, and when it is asked."""

from datetime import timedelta

from overair.core.attempt import AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.upgrade import Reason, UpgradeState
from overair.engine import push
from tests.engine.pushed import (
    attach,
    campaign,
    due,
    execute,
    fail,
    fleet,
    pass_time,
    rules,
    runs,
    session,
    told,
    woken,
)
from tests.engine.world import World, imei, story

S = CampaignStatus
U = UpgradeState
R = Reason
A = AttemptState

ONE, TWO, THREE = 1, 2, 3
HOUR = timedelta(hours=1)


@story
def test_a_lost_report_is_not_a_lost_success(w: World) -> None:
    """A device that shows the target without a word has succeeded (oma-dm 7.5)."""
    fleet(w, ONE)
    made = campaign(w, [ONE])
    due(w)
    execute(w, ONE)
    assert push.version_seen(w.tx, w.device(ONE).id, "02", w.settings, w.now)
    assert w.outcome(ONE, made) == (U.SUCCEEDED, R.SUCCESS)
    assert push.job_of(w.tx, w.device(ONE).id, w.settings, w.now) is None


@story
def test_what_a_device_has_begun_cannot_be_called_back(w: World) -> None:
    """Stopped or ended meanwhile, its campaign has it as a success when it shows that; not who had not begun."""
    fleet(w, ONE, TWO, THREE)
    stopped = campaign(w, [ONE, TWO], version=2, end=9)
    ended = campaign(w, [THREE], version=2, end=0)
    due(w)
    execute(w, ONE)
    execute(w, THREE)
    w.stop(stopped)
    pass_time(w, days=1)
    assert w.outcome(ONE, stopped)[0] is w.outcome(TWO, stopped)[0] is U.ABORTED
    assert w.outcome(THREE, ended)[0] is U.FAILED
    seen = []
    for number in (ONE, TWO, THREE):
        device_id = w.device(number).id
        assert not push.version_seen(w.tx, device_id, "03", w.settings, w.now)
        seen.append(push.version_seen(w.tx, device_id, "02", w.settings, w.now))
        assert not push.version_seen(w.tx, device_id, "02", w.settings, w.now)
    assert seen == [True, False, True]
    assert w.outcome(ONE, stopped) == w.outcome(THREE, ended) == (U.SUCCEEDED, R.SUCCESS)
    assert w.outcome(TWO, stopped)[0] is U.ABORTED


@story
def test_a_pause_that_a_wrong_clock_began(w: World) -> None:
    """Put right again, the device's next session is its next turn; no pause is longer than it may be."""
    fleet(w, ONE)
    campaign(w, [ONE], end=300)
    due(w)
    right, w.now = w.now, w.now + timedelta(days=200)
    fail(w, ONE)
    w.now = right
    assert told(w, ONE)[0] == "attach"
    assert attach(w, ONE) == 1
    assert woken(w) == [imei(ONE)]


@story
def test_a_device_that_failed_and_shows_success_has_succeeded(w: World) -> None:
    """It reported a failure, or was given up: what it runs is the truth."""
    fleet(w, ONE, TWO)
    made = campaign(w, [ONE, TWO], end=30)
    due(w)
    fail(w, ONE)
    pass_time(w, hours=4)
    for number in (ONE, TWO):
        assert push.version_seen(w.tx, w.device(number).id, "02", w.settings, w.now)
        assert w.outcome(number, made) == (U.SUCCEEDED, R.SUCCESS)


@story
def test_another_version_is_only_recorded(w: World) -> None:
    """Neither a success nor a failure by itself: whoever asked decides."""
    fleet(w, ONE)
    made = campaign(w, [ONE])
    due(w)
    assert not push.version_seen(w.tx, w.device(ONE).id, "01b", w.settings, w.now)
    assert runs(w, ONE) == "01b"
    assert w.outcome(ONE, made) == (U.PENDING, R.NOTIFIED)


@story
def test_a_reported_success_has_to_show(w: World) -> None:
    """For an hour the old version may be shown, however often it is said; then the attempt failed."""
    fleet(w, ONE)
    made = campaign(w, [ONE], end=30)
    due(w)
    taken = execute(w, ONE)
    push.await_version(w.tx, taken, w.settings, w.now, code=200)
    w.wait(minutes=20)
    again = push.job_of(w.tx, w.device(ONE).id, w.settings, w.now)
    assert again is not None
    push.await_version(w.tx, again, w.settings, w.now, code=200)
    pass_time(w, minutes=39)
    assert w.state(taken.attempt_id) is A.RUNNING
    w.wait(minutes=1)
    assert woken(w) == []
    assert (w.state(taken.attempt_id), w.attempt(taken.attempt_id).reason) == (
        A.EXPIRED,
        R.VERSION_UNCHANGED,
    )
    assert w.outcome(ONE, made) == (U.PENDING, R.RETRY_QUEUED)


@story
def test_a_device_that_has_to_show_its_version_is_called(w: World) -> None:
    """It may come by itself for half of the hour; then it is called, to another session."""
    fleet(w, ONE)
    made = campaign(w, [ONE], end=30)
    (first,) = due(w)
    push.await_version(w.tx, execute(w, ONE), w.settings, w.now, code=200)
    assert pass_time(w, minutes=29) == []
    assert [told for _, told in pass_time(w, minutes=1)] == [imei(ONE)]
    called = push.job_of(w.tx, w.device(ONE).id, w.settings, w.now)
    assert called is not None
    assert called.session != first.session
    push.begin_session(w.tx, w.device(ONE).id, w.settings, w.now)
    push.succeeded(w.tx, called, "02", w.settings, w.now)
    assert w.outcome(ONE, made) == (U.SUCCEEDED, R.SUCCESS)


@story
def test_a_device_that_restarted_to_show_its_version_is_called_at_once(w: World) -> None:
    """The network sees it; who is called already is not called to another session because of it."""
    fleet(w, ONE)
    campaign(w, [ONE], end=30)
    due(w)
    push.await_version(w.tx, execute(w, ONE), w.settings, w.now, code=200)
    w.wait(minutes=1)
    assert push.attached(w.tx, [w.device(ONE).id], w.settings, w.now) == 1
    assert woken(w) == [imei(ONE)]
    called = push.job_of(w.tx, w.device(ONE).id, w.settings, w.now)
    w.wait(seconds=30)
    push.attached(w.tx, [w.device(ONE).id], w.settings, w.now)
    assert woken(w) == []
    assert push.job_of(w.tx, w.device(ONE).id, w.settings, w.now) == called


@story
def test_a_device_that_came_and_showed_its_old_version_is_called_again(w: World) -> None:
    """It has not restarted yet: it has the rest of its hour, and is asked in it."""
    fleet(w, ONE)
    campaign(w, [ONE], end=30)
    due(w)
    taken = execute(w, ONE)
    push.await_version(w.tx, taken, w.settings, w.now, code=200)
    w.wait(minutes=1)
    push.attached(w.tx, [w.device(ONE).id], w.settings, w.now)
    assert woken(w) == [imei(ONE)]
    push.begin_session(w.tx, w.device(ONE).id, w.settings, w.now)
    assert pass_time(w, minutes=29) == []
    assert len(pass_time(w, minutes=1)) == 1
    pass_time(w, minutes=28)
    assert w.state(taken.attempt_id) is A.RUNNING
    pass_time(w, minutes=1)
    assert w.attempt(taken.attempt_id).reason == R.VERSION_UNCHANGED


@story
def test_a_silent_device_is_asked_before_it_is_given_up(w: World) -> None:
    """A day after its command it is called, to another session; if it does not come it is queued."""
    w.settings = rules(requeue_push_s=0)
    fleet(w, ONE)
    made = campaign(w, [ONE], end=30)
    (first,) = due(w)
    taken = execute(w, ONE)
    notified = pass_time(w, days=1)
    assert len(notified) == 1
    called = push.job_of(w.tx, w.device(ONE).id, w.settings, w.now)
    assert called is not None
    assert called.session != first.session
    assert len(pass_time(w, days=2)) == 10
    assert w.attempt(taken.attempt_id).reason == R.REPORT_LOST
    assert w.outcome(ONE, made) == (U.PENDING, R.RETRY_QUEUED)


@story
def test_a_silent_device_that_answers_has_as_long_again(w: World) -> None:
    """It says that it is still at work: nobody calls it for another day."""
    fleet(w, ONE)
    campaign(w, [ONE], end=30)
    due(w)
    execute(w, ONE)
    pass_time(w, days=1, minutes=2)
    session(w, ONE)
    assert pass_time(w, hours=23) == []
    assert len(pass_time(w, hours=1, minutes=1)) == 2


@story
def test_a_late_report_names_its_attempt(w: World) -> None:
    """By the correlator, whether the attempt is over or not; another device's is not found."""
    fleet(w, ONE, TWO)
    made = campaign(w, [ONE, TWO], end=30)
    due(w)
    taken = execute(w, ONE)
    pass_time(w, days=3)
    device_id = w.device(ONE).id
    found = push.job_by_correlator(w.tx, device_id, taken.correlator, w.settings, w.now)
    assert found is not None
    assert found.attempt_id == taken.attempt_id
    other = w.device(TWO).id
    assert push.job_by_correlator(w.tx, other, taken.correlator, w.settings, w.now) is None
    push.succeeded(w.tx, found, "02", w.settings, w.now, code=200)
    assert w.outcome(ONE, made) == (U.SUCCEEDED, R.SUCCESS)


@story
def test_every_wait_is_explained(w: World) -> None:
    """From its turn to its success, what a person is told is what the device meets."""
    w.settings = rules(requeue_push_s=0)
    fleet(w, ONE)
    made = campaign(w, [ONE], start=1, end=2)
    assert told(w, ONE)[0] == "start"
    w.wait_for_day(1)
    assert told(w, ONE) == ("turn", w.now)
    due(w)
    assert told(w, ONE) == ("offered", w.now + timedelta(hours=4))
    pass_time(w, hours=4)
    assert told(w, ONE) == ("attach", None)
    assert "did not come" in w.explain(ONE).sentence
    taken = fail(w, ONE)
    assert told(w, ONE) == ("retry", w.now + timedelta(minutes=15))
    w.wait(minutes=15)
    assert told(w, ONE) == ("attach", None)
    assert "could not install" in w.explain(ONE).sentence
    taken = execute(w, ONE)
    assert told(w, ONE) == ("running", w.now + timedelta(days=1))
    push.downloaded(w.tx, taken, w.settings, w.now)
    assert told(w, ONE)[0] == "downloaded"
    waiting = push.job_of(w.tx, w.device(ONE).id, w.settings, w.now)
    assert waiting is not None
    push.await_version(w.tx, waiting, w.settings, w.now)
    assert told(w, ONE) == ("version", w.now + timedelta(hours=1))
    pass_time(w, days=3)
    assert w.status(made) is S.ENDED
    assert told(w, ONE) == ("attach", None)
    assert push.version_seen(w.tx, w.device(ONE).id, "02", w.settings, w.now)
    assert told(w, ONE) == ("succeeded", None)
