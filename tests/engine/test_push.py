"""Stories of devices over OMA-DM: the window, and the queue without end."""

from datetime import timedelta

from overair.core.attempt import AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.errors import Refusal
from overair.core.licenses import MONTHLY
from overair.core.upgrade import Reason, UpgradeState
from overair.engine import assign, licenses, push, schedule
from tests.engine.pushed import (
    attach,
    campaign,
    due,
    execute,
    fail,
    fleet,
    job,
    open_attempt,
    pass_time,
    rules,
    runs,
    session,
    succeed,
    woken,
)
from tests.engine.world import World, hours, imei, refused, story

S = CampaignStatus
U = UpgradeState
R = Reason
A = AttemptState

ONE, TWO, THREE = 1, 2, 3
HOUR = timedelta(hours=1)


# The window --------------------------------------------------------------------------------------


@story
def test_a_campaign_notifies_its_devices_at_its_start(w: World) -> None:
    """Each accepted device once; those that were rejected not at all."""
    fleet(w, ONE, TWO)
    w.add_devices(THREE)  # over HTTP
    made = campaign(w, [ONE, TWO, THREE, 4])
    assert w.status(made) is S.SCHEDULED
    assert woken(w) == [imei(ONE), imei(TWO)]
    assert woken(w) == []
    assert w.outcome(ONE, made) == (U.PENDING, R.NOTIFIED)
    assert w.counts(made) == {U.PENDING: 2, U.REJECTED: 2}


@story
def test_a_dated_campaign_notifies_at_midnight(w: World) -> None:
    """00:00 UTC of its start date, not before (lifecycle 3.2)."""
    fleet(w, ONE)
    made = campaign(w, [ONE], start=2, end=9)
    notified = pass_time(w, days=1, hours=15, minutes=59)
    assert notified == []
    assert w.status(made) is S.REQUEST_QUEUED
    w.wait_for_day(1)
    assert woken(w) == [imei(ONE)]


@story
def test_a_notification_lives_for_four_hours(w: World) -> None:
    """It is repeated for as long; then the device is queued, and silence follows."""
    w.settings = rules(requeue_push_s=0)
    fleet(w, ONE)
    made = campaign(w, [ONE], end=30)
    begun = w.now
    notified = pass_time(w, days=10)
    assert [(at - begun) // timedelta(minutes=1) for at, _ in notified] == [
        *(0, 1, 5, 15, 30, 60, 90, 120, 150, 180, 210)
    ]
    assert w.outcome(ONE, made) == (U.PENDING, R.RETRY_QUEUED)
    assert w.status(made) is S.SCHEDULED
    (attempt,) = w.explain(ONE).attempts
    assert (attempt.state, attempt.reason) == (A.EXPIRED, R.NO_RESPONSE)
    assert attempt.closed_at == begun + timedelta(hours=4)


@story
def test_repeats_are_the_same_notification(w: World) -> None:
    """The same session each time, so that the device opens one; the next attempt has another."""
    fleet(w, ONE)
    campaign(w, [ONE])
    (first,) = due(w)
    w.wait(minutes=1)
    (again,) = due(w)
    assert (first.session, first.attempt_id) == (again.session, again.attempt_id)
    assert (first.number, again.number) == (1, 2)
    w.wait(hours=4)
    due(w)
    attach(w, ONE)
    (later,) = due(w)
    assert later.session != first.session
    assert later.valid_until == w.now + timedelta(hours=4)


@story
def test_a_device_comes_within_its_window(w: World) -> None:
    """It is given its command, reports, shows the new version: the campaign is over."""
    fleet(w, ONE)
    made = campaign(w, [ONE])
    due(w)
    w.wait(hours=3, minutes=59)
    taken = job(w, ONE)
    assert (taken.from_version, taken.to_version, taken.state) == ("01", "02", A.OFFERED)
    push.executed(w.tx, taken, w.settings, w.now)
    assert job(w, ONE).state is A.RUNNING
    push.downloaded(w.tx, taken, w.settings, w.now, code=255)
    assert w.outcome(ONE, made) == (U.PENDING, R.NOT_INSTALLED_YET)
    push.succeeded(w.tx, taken, "02", w.settings, w.now, code=200)
    assert w.outcome(ONE, made) == (U.SUCCEEDED, R.SUCCESS)
    assert runs(w, ONE) == "02"
    w.carry_on()
    assert w.status(made) is S.ENDED
    assert pass_time(w, days=30) == []


@story
def test_nobody_is_notified_after_taking_the_command(w: World) -> None:
    """A device at work is left alone until it has been silent for too long."""
    fleet(w, ONE)
    campaign(w, [ONE], end=30)
    due(w)
    execute(w, ONE)
    assert pass_time(w, hours=23, minutes=59) == []


# The queue without end ---------------------------------------------------------------------------


@story
def test_a_device_is_woken_when_the_network_sees_it(w: World) -> None:
    """However long that takes, and however often it misses its window."""
    w.settings = rules(requeue_push_s=0)
    fleet(w, ONE)
    made = campaign(w, [ONE], end=90)
    for number in range(1, 6):
        assert len(pass_time(w, days=9)) == 11
        assert w.upgrade(ONE, made).attempts == number
        assert attach(w, ONE) == 1
        assert w.outcome(ONE, made) == (U.PENDING, R.RETRY_QUEUED)
    assert woken(w) == [imei(ONE)]
    succeed(w, ONE)
    assert w.outcome(ONE, made) == (U.SUCCEEDED, R.SUCCESS)
    assert w.upgrade(ONE, made).attempts == 6


@story
def test_a_queued_device_that_opens_a_session_is_served_there(w: World) -> None:
    """No notification is needed by one that is here; and no pause, for it did nothing wrong."""
    w.settings = rules(requeue_push_s=0)
    fleet(w, ONE)
    made = campaign(w, [ONE], end=30)
    pass_time(w, days=2)
    taken = execute(w, ONE)
    assert w.upgrade(ONE, made).attempts == 2
    assert woken(w) == []
    push.succeeded(w.tx, taken, "02", w.settings, w.now)
    assert w.outcome(ONE, made)[0] is U.SUCCEEDED


@story
def test_a_session_that_comes_to_nothing_is_called_for_again(w: World) -> None:
    """A device that came and went without its command is notified as any other."""
    fleet(w, ONE)
    campaign(w, [ONE], end=30)
    pass_time(w, hours=5)
    session(w, ONE)
    assert woken(w) == []
    notified = pass_time(w, minutes=6)
    assert len(notified) == 2


@story
def test_a_session_after_the_window_is_the_next_attempt(w: World) -> None:
    """Also if nobody has noticed yet that the window has closed."""
    fleet(w, ONE)
    made = campaign(w, [ONE], end=30)
    due(w)
    first = open_attempt(w, ONE)
    w.wait(hours=4)
    execute(w, ONE)
    assert w.state(first) is A.EXPIRED
    assert w.upgrade(ONE, made).attempts == 2


@story
def test_where_no_network_tells_devices_are_called_once_a_day(w: World) -> None:
    """The slow repeat of oma-dm 9: each call is a window of its own, at other hours than the last."""
    fleet(w, ONE)
    made = campaign(w, [ONE], end=30)
    notified = pass_time(w, days=3, hours=11)
    assert len(notified) == 33
    assert [notified[first][0].hour for first in (0, 11, 22)] == [8, 12, 16]
    assert w.upgrade(ONE, made).attempts == 3


@story
def test_a_failed_attempt_pauses(w: World) -> None:
    """A device that fails at once does not loop; an attach in the pause counts when it is over."""
    fleet(w, ONE)
    made = campaign(w, [ONE], end=30)
    due(w)
    fail(w, ONE)
    assert w.outcome(ONE, made) == (U.PENDING, R.RETRY_QUEUED)
    assert session(w, ONE) is None
    attach(w, ONE)
    w.wait(minutes=14)
    assert woken(w) == []
    w.wait(minutes=1)
    assert woken(w) == [imei(ONE)]
    (latest, failed) = w.explain(ONE).attempts
    assert (failed.state, failed.reason) == (A.FAILED, R.INSTALL_FAILED)
    assert latest.state is A.OFFERED


@story
def test_failures_are_without_limit(w: World) -> None:
    """Ten, and the eleventh try succeeds."""
    fleet(w, ONE)
    made = campaign(w, [ONE], end=30)
    due(w)
    for _ in range(10):
        fail(w, ONE)
        w.wait(minutes=15)
    succeed(w, ONE)
    assert w.outcome(ONE, made) == (U.SUCCEEDED, R.SUCCESS)
    assert w.upgrade(ONE, made).attempts == 11


@story
def test_under_the_old_rule_the_first_failure_is_final(w: World) -> None:
    """Not reached within four hours, or failed: a new campaign is needed (lifecycle 3.5)."""
    w.settings = rules(requeue=False)
    fleet(w, ONE, TWO)
    made = campaign(w, [ONE, TWO])
    due(w)
    fail(w, TWO)
    assert w.outcome(TWO, made) == (U.FAILED, R.INSTALL_FAILED)
    pass_time(w, hours=4)
    assert w.outcome(ONE, made) == (U.FAILED, R.NO_RESPONSE)
    assert w.status(made) is S.ENDED
    assert attach(w, ONE, TWO) == 0
    assert pass_time(w, days=3) == []


# Beyond the campaign's end -----------------------------------------------------------------------


@story
def test_a_device_is_tried_on_after_its_campaign(w: World) -> None:
    """The campaign is Finished and the device free; its late success is recorded everywhere."""
    w.settings = rules(requeue_push_s=0)
    fleet(w, ONE, TWO)
    made = campaign(w, [ONE, TWO], end=1)
    due(w)
    succeed(w, TWO)
    pass_time(w, days=3)
    assert w.status(made) is S.ENDED
    assert w.outcome(ONE, made) == (U.QUEUED, R.RETRY_QUEUED)
    assert w.device(ONE).open_upgrade_id is None
    pass_time(w, days=100)
    assert attach(w, ONE) == 1
    assert woken(w) == [imei(ONE)]
    succeed(w, ONE)
    assert w.outcome(ONE, made) == (U.SUCCEEDED, R.SUCCESS)
    assert w.counts(made) == {U.SUCCEEDED: 2}
    assert runs(w, ONE) == "02"


@story
def test_a_device_that_is_tried_on_pauses_too(w: World) -> None:
    """One that fails at once does not loop after its campaign either."""
    fleet(w, ONE)
    made = campaign(w, [ONE], end=0)
    pass_time(w, hours=17)
    assert w.outcome(ONE, made) == (U.QUEUED, R.RETRY_QUEUED)
    assert session(w, ONE) is not None
    fail(w, ONE)
    assert w.outcome(ONE, made) == (U.QUEUED, R.RETRY_QUEUED)
    assert session(w, ONE) is None
    attach(w, ONE)
    w.wait(minutes=14)
    assert woken(w) == []
    w.wait(minutes=1)
    assert woken(w) == [imei(ONE)]


@story
def test_a_licence_taken_during_an_attempt_ends_what_follows(w: World) -> None:
    """A queued device that loses its licence at work ends its attempt, and has no other."""
    w.settings = rules(requeue_push_s=0)
    w.account = w.add_account("0000123456-00007", kind=MONTHLY, count=2)
    fleet(w, ONE, TWO)
    licenses.assign_licenses(w.tx, w.account, [imei(ONE), imei(TWO)], w.settings.limits, w.now)
    made = campaign(w, [ONE, TWO], end=0)
    pass_time(w, hours=17)
    assert w.outcome(ONE, made)[0] is U.QUEUED
    attach(w, ONE)
    assert woken(w) == [imei(ONE)]
    taken = execute(w, ONE)
    taken_from = "select id from device where imei = ?"
    w.tx.execute(f"delete from license where device_id = ({taken_from})", (imei(ONE),))
    w.tx.execute(
        "update subscription set license_used_count = 1 where account_id = ?", (w.account,)
    )
    push.failed(w.tx, taken, R.INSTALL_FAILED, w.settings, w.now)
    assert w.outcome(ONE, made) == (U.FAILED, R.LICENSE_REMOVED)
    w.wait(hours=1)
    assert attach(w, ONE) == 0


@story
def test_an_attempt_goes_on_over_the_end(w: World) -> None:
    """A device at work when the campaign ends is not called back."""
    fleet(w, ONE, TWO)
    made = campaign(w, [ONE, TWO], end=0)
    due(w)
    w.wait(hours=14)
    taken = execute(w, ONE)
    w.wait(hours=3)
    assert w.status(made) is S.ENDED
    assert w.outcome(ONE, made)[0] is U.QUEUED
    assert w.state(taken.attempt_id) is A.RUNNING
    found = session(w, ONE)
    assert found is not None
    assert found.attempt_id == taken.attempt_id
    push.succeeded(w.tx, taken, "02", w.settings, w.now)
    assert w.outcome(ONE, made) == (U.SUCCEEDED, R.SUCCESS)


@story
def test_a_new_campaign_takes_a_queued_device(w: World) -> None:
    """The attempt of the old one is replaced; its success, should it come, is the new one's."""
    fleet(w, ONE)
    old = campaign(w, [ONE], end=0)
    due(w)
    w.wait(hours=14)
    taken = execute(w, ONE)
    w.wait(hours=3)
    new = campaign(w, [ONE], end=5)
    assert w.outcome(ONE, old) == (U.FAILED, R.SUPERSEDED)
    assert w.state(taken.attempt_id) is A.EXPIRED
    assert woken(w) == [imei(ONE)]
    assert push.version_seen(w.tx, w.device(ONE).id, "02", w.settings, w.now)
    assert w.outcome(ONE, new) == (U.SUCCEEDED, R.SUCCESS)


@story
def test_a_licence_that_ends_is_none_for_a_new_campaign(w: World) -> None:
    """It goes with the upgrade that it is there for, which the new one would end; so that goes on."""
    w.account = w.add_account("0000123456-00007", kind=MONTHLY, count=1)
    fleet(w, ONE)
    licenses.assign_licenses(w.tx, w.account, [imei(ONE)], w.settings.limits, w.now)
    old = campaign(w, [ONE], end=0)
    due(w)
    execute(w, ONE)
    buy(w, 0)
    pass_time(w, hours=17)
    assert w.outcome(ONE, old)[0] is U.QUEUED
    new = campaign(w, [ONE], end=5)
    assert w.outcome(ONE, new) == (U.REJECTED, R.NO_LICENSE)
    assert w.outcome(ONE, old)[0] is U.QUEUED
    buy(w, 1)
    licenses.assign_licenses(w.tx, w.account, [imei(ONE)], w.settings.limits, w.now)
    newer = campaign(w, [ONE], end=5)
    assert w.outcome(ONE, newer)[0] in (U.ACCEPTED, U.PENDING)
    assert w.outcome(ONE, old) == (U.FAILED, R.SUPERSEDED)


def buy(w: World, count: int) -> None:
    """So many licences from now on."""
    licenses.set_subscription(
        w.tx,
        w.account,
        purchase_type=MONTHLY,
        license_count=count,
        settings=w.settings,
        now=w.now,
    )


@story
def test_a_device_in_a_running_campaign_is_taken(w: World) -> None:
    """Queued for a retry or not, another campaign rejects it until its own is Finished."""
    fleet(w, ONE)
    campaign(w, [ONE], end=5)
    pass_time(w, hours=5)
    other = campaign(w, [ONE], end=5)
    assert w.outcome(ONE, other) == (U.REJECTED, R.IN_CAMPAIGN)
    assert w.status(other) is S.REQUEST_FAILED


@story
def test_a_session_before_the_start_changes_nothing(w: World) -> None:
    """The device has its turn when the campaign starts, even if that is late, and not before."""
    fleet(w, ONE)
    made = campaign(w, [ONE], start=1, end=9)
    assert session(w, ONE) is None
    w.now = w.now.replace(hour=0) + timedelta(days=1)
    assert session(w, ONE) is None
    assert woken(w) == []
    assert w.upgrade(ONE, made).due_at is None
    w.carry_on()
    assert woken(w) == [imei(ONE)]


# Many at once, and what stands in the way ---------------------------------------------------------


@story
def test_work_is_taken_in_pieces(w: World) -> None:
    """No more than asked for, the longest waiting first, nobody twice, nobody left out."""
    numbers = list(range(1, 31))
    fleet(w, *numbers)
    campaign(w, numbers)
    taken: list[str] = []
    for _ in range(3):
        some = [wake.imei for wake in due(w, 10)]
        assert len(some) == 10
        taken += some
    assert sorted(taken) == [imei(number) for number in numbers]
    assert due(w, 10) == []


@story
def test_one_device_is_set_aside(w: World) -> None:
    """The first that is due waits a minute; the others have their turn."""
    fleet(w, ONE, TWO)
    campaign(w, [ONE, TWO])
    push.set_aside(w.tx, w.now)
    assert woken(w) == [imei(TWO)]
    w.wait(minutes=1)
    assert imei(ONE) in woken(w)


@story
def test_an_attach_wakes_only_who_waits(w: World) -> None:
    """Not a device at work, notified just now, done, of another protocol, or in no campaign."""
    fleet(w, *range(1, 6))
    w.add_devices(6)
    campaign(w, [1, 2, 3], end=30)
    due(w)
    execute(w, 1)
    succeed(w, 2)
    assert attach(w, *range(1, 7)) == 0


# What is particular to v1, and not -----------------------------------------------------------------


@story
def test_a_started_upgrade_of_v1_cannot_be_stopped(w: World) -> None:
    """Nor changed (lifecycle 3.6); before its start it can."""
    fleet(w, ONE, TWO)
    made = campaign(w, [ONE])
    with refused(Refusal.NOT_CANCELLABLE):
        w.stop(made)
    with refused(Refusal.UPGRADE_STARTED):
        schedule.change_devices_now(w.tx, w.get(made), "append", [imei(TWO)], w.settings, w.now)
    later = campaign(w, [TWO], start=1)
    w.stop(later)
    assert w.status(later) is S.CANCELLED
    assert w.device(TWO).open_upgrade_id is None


@story
def test_devices_are_added_and_taken_out_at_once(w: World) -> None:
    """Each with what became of it; who does not pass is not in the upgrade."""
    fleet(w, ONE, TWO, THREE)
    made = campaign(w, [ONE], start=1)

    def change(type_: str, *devices: str) -> list[tuple[str, bool, Reason]]:
        changed = schedule.change_devices_now(w.tx, w.get(made), type_, devices, w.settings, w.now)
        return [(each.imei, each.done, each.reason) for each in changed]

    assert change("append", imei(TWO), imei(9), "nonsense", imei(ONE)) == [
        (imei(TWO), True, R.CHECKED),
        (imei(9), False, R.NOT_FOUND),
        ("nonsense", False, R.INVALID_IMEI),
        (imei(ONE), True, R.CHECKED),
    ]
    assert w.members(made) == {imei(ONE), imei(TWO)}
    assert change("remove", imei(TWO), imei(THREE)) == [
        (imei(TWO), True, R.NONE),
        (imei(THREE), False, R.NONE),
    ]
    assert w.device(TWO).open_upgrade_id is None
    change("remove", imei(ONE))
    w.carry_on()
    assert w.status(made) is S.CANCELLED


@story
def test_v2_holds_its_windows_over_oma_dm(w: World) -> None:
    """Nobody is notified, or given the command, outside the campaign's windows."""
    fleet(w, ONE)
    made = campaign(w, [ONE], version=2, download_windows=hours((10, 12)))  # now it is 8
    assert woken(w) == []
    notified = pass_time(w, hours=2)
    assert [at.hour for at, _ in notified] == [10]
    w.wait(hours=2)
    assert session(w, ONE) is None
    w.stop(made)
    assert w.status(made) is S.ABORTED
    assert w.outcome(ONE, made)[0] is U.ABORTED
    assert w.device(ONE).open_attempt_id is None


@story
def test_v2_does_not_try_on_after_its_end(w: World) -> None:
    """A device over OMA-DM in a campaign of v2 has failed when that ends."""
    fleet(w, ONE)
    made = campaign(w, [ONE], version=2, end=1)
    pass_time(w, days=3)
    assert w.status(made) is S.ENDED
    assert w.outcome(ONE, made)[0] is U.FAILED
    assert attach(w, ONE) == 0
    assert pass_time(w, days=10) == []


# Devices that change their protocol --------------------------------------------------------------


def move(w: World, number: int, protocol: str) -> None:
    """The operator says that the device has another protocol."""
    w.tx.execute("update device set protocol = ? where imei = ?", (protocol, imei(number)))


@story
def test_a_queued_device_that_was_moved_is_let_alone(w: World) -> None:
    """Nothing is offered to it over the other protocol; back over its own it has its turn."""
    fleet(w, ONE)
    made = campaign(w, [ONE])
    due(w)
    fail(w, ONE)
    move(w, ONE, "HTTP")
    assert pass_time(w, days=3) == []
    assert w.device(ONE).open_attempt_id is None
    move(w, ONE, "OMADM")
    succeed(w, ONE)
    assert w.outcome(ONE, made) == (U.SUCCEEDED, R.SUCCESS)


@story
def test_software_of_another_protocol_is_not_offered_to_one_that_asks(w: World) -> None:
    """A device that was moved to HTTP before its campaign began gets nothing of it there."""
    fleet(w, ONE)
    campaign(w, [ONE], start=1, end=9)
    move(w, ONE, "HTTP")
    w.wait(days=1, hours=1)
    look = assign.offer(w.tx, w.device(ONE).id, w.settings, w.now)
    assert look == assign.Look()
    assert due(w) == []
    assert w.device(ONE).open_attempt_id is None
