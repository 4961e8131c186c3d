"""Stories of devices while their campaign runs: offers, windows, reports, retries, successes."""

from datetime import UTC, datetime, time, timedelta

import pytest

from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.ids import AttemptId
from overair.core.licenses import MONTHLY, LicenseOutcome
from overair.core.plan import Link
from overair.core.upgrade import Reason, UpgradeState
from overair.engine import assign, licenses
from overair.engine.admission import leave_campaign
from overair.engine.outcome import Taken, note_bytes
from overair.store import attempts, billing, devices
from tests.engine.bills import billed
from tests.engine.world import SIZE, SOFTWARE, World, hours, imei, settings, story

S = CampaignStatus
U = UpgradeState
R = Reason
A = AttemptState
E = AttemptEvent


# A device that does as it is told ----------------------------------------------------------------


@story
def test_one_device_from_the_offer_to_the_end(w: World) -> None:
    """Offered, retrieved, running, downloaded, finished; and the campaign ends with it."""
    w.add_devices(1)
    campaign = w.campaign([1])
    look = w.poll(1)
    assert look.link is Link.DEPLOYMENT
    assert look.deployment is not None
    attempt = look.deployment.attempt_id
    assert w.state(attempt) is A.OFFERED
    assert w.outcome(1, campaign) == (U.PENDING, R.NO_REPORT)
    assert w.begin(1) == attempt
    assert w.state(attempt) is A.RETRIEVED
    w.download(1, (0, SIZE // 2))
    assert w.state(attempt) is A.RUNNING
    w.download(1, (SIZE // 2, SIZE))
    assert w.state(attempt) is A.DOWNLOADED
    assert w.outcome(1, campaign) == (U.PENDING, R.NOT_INSTALLED_YET)
    assert w.report(1, E.SUCCEED, None, "Update Installed.") is Taken.TAKEN
    assert w.state(attempt) is A.FINISHED
    assert w.outcome(1, campaign) == (U.SUCCEEDED, R.SUCCESS)
    assert w.status(campaign) is S.SCHEDULED
    w.carry_on()
    assert w.status(campaign) is S.ENDED
    assert w.explain(1).wait == "succeeded"
    done = w.attempt(attempt)
    assert (done.number, done.downloads, done.feedback_count) == (1, 1, 1)
    assert None not in (done.retrieved_at, done.running_at, done.downloaded_at, done.closed_at)


@story
def test_a_success_is_written_down_everywhere(w: World) -> None:
    """Version, times, installed action, history, and the wish to hear from the device again."""
    w.add_devices(1)
    w.tx.execute("update device set wants_attributes = false")
    campaign = w.campaign([1])
    w.wait(hours=1)
    attempt = w.succeed(1)
    record = devices.by_imei(w.tx, imei(1))
    assert record is not None
    assert (record.version, record.upgraded_at) == ("02", w.now)
    assert [(one.name, one.version) for one in record.software] == [(SOFTWARE, "02")]
    device = w.device(1)
    assert device.wants_attributes
    assert device.installed_attempt_id == attempt
    assert (device.open_upgrade_id, device.open_attempt_id) == (None, None)
    (past,) = devices.history(w.tx, device.id, 2, w.now - timedelta(days=1), 10)
    assert (past.campaign_uuid, past.state) == (w.get(campaign).uuid, U.SUCCEEDED)
    assert (past.started_at, past.updated_at) == (w.now, w.now)
    installed = assign.installed(w.tx, device, attempt)
    assert installed is not None
    assert installed.version == "02"
    assert assign.installed(w.tx, device, AttemptId(attempt + 1)) is None


@story
def test_a_file_leaves_the_version(w: World) -> None:
    """A delivered configuration file is listed beside the software, whose version stays."""
    name = w.add_file()
    w.add_devices(1)
    w.campaign([1], kind="file", package_name=name, from_version=None, to_version="7")
    w.succeed(1)
    record = devices.by_imei(w.tx, imei(1))
    assert record is not None
    assert record.version == "01"
    assert [(one.name, one.version, one.kind) for one in record.software] == [(name, "7", "file")]


@story
def test_licences_and_bills_follow_a_success(w: World) -> None:
    """A licence is used up by the first upgrade under it; without one the upgrade is billed."""
    monthly = w.add_account("0000123456-00003", kind=MONTHLY, count=2)
    w.add_devices(1)
    w.campaign([1])
    w.succeed(1)
    assert [event.kind for _, event in billed(w.tx, w.account, 0, 10)] == [billing.UPGRADE]
    w.account = monthly
    w.add_devices(2)
    licenses.assign_licenses(w.tx, monthly, [imei(2)], w.settings.limits, w.now)
    w.campaign([2])
    w.succeed(2)
    assert not billed(w.tx, monthly, 0, 10)
    removed = licenses.remove_licenses(w.tx, monthly, [imei(2)], w.settings, w.now)
    assert removed.outcomes == ((imei(2), LicenseOutcome.IN_USE),)


@story
def test_a_rejection_elsewhere_takes_no_licence(w: World) -> None:
    """A licence that ends with the upgrade under way outlives the device's rejection elsewhere."""
    w.account = w.add_account("0000123456-00003", kind=MONTHLY, count=1)
    w.add_devices(1)
    licenses.assign_licenses(w.tx, w.account, [imei(1)], w.settings.limits, w.now)
    w.campaign([1])
    w.begin(1)
    licenses.set_subscription(
        w.tx,
        w.account,
        purchase_type=MONTHLY,
        license_count=0,
        settings=w.settings,
        now=w.now,
    )
    other = w.campaign([1], start=1)
    assert w.outcome(1, other) == (U.REJECTED, R.IN_CAMPAIGN)
    assert licenses.get_subscription(w.tx, w.account).license_used_count == 1
    w.succeed(1)
    assert licenses.get_subscription(w.tx, w.account).license_used_count == 0


@story
def test_losing_a_licence_is_losing_the_place(w: World) -> None:
    """A device that was not offered anything leaves the campaign with its licence."""
    w.account = w.add_account("0000123456-00003", kind=MONTHLY, count=2)
    w.add_devices(1, 2)
    licenses.assign_licenses(w.tx, w.account, [imei(1), imei(2)], w.settings.limits, w.now)
    campaign = w.campaign([1, 2])
    licenses.remove_licenses(w.tx, w.account, [imei(1)], w.settings, w.now)
    assert w.outcome(1, campaign) == (U.CANCELLED, R.LICENSE_REMOVED)
    assert w.device(1).open_upgrade_id is None
    w.begin(2)
    # Whoever was offered the update stays.
    leave_campaign(w.tx, w.upgrade(2, campaign).id, R.LICENSE_REMOVED, w.settings, w.now)
    assert w.outcome(2, campaign) == (U.PENDING, R.NO_REPORT)
    w.succeed(2)
    w.carry_on()
    assert w.status(campaign) is S.ENDED


@story
def test_the_campaign_ends_when_all_have_succeeded(w: World) -> None:
    """Rejected devices are not waited for; one that failed for good is, until the end date."""
    w.settings = settings(max_attempts=1)
    w.add_devices(1, 2, 3, 4)
    w.add_devices(5, version="00")
    succeeding, failing = w.campaign([1, 2, 5]), w.campaign([3, 4])
    for number in (1, 2, 3):
        w.succeed(number)
    w.fail(4)
    w.wait(minutes=2)
    assert w.status(succeeding) is S.ENDED
    assert w.get(succeeding).closing is None
    assert w.status(failing) is S.SCHEDULED
    assert w.outcome(4, failing) == (U.FAILED, R.DOWNLOAD_FAILED)
    w.wait_for_day(6)
    assert w.status(failing) is S.ENDED


# What it is offered, and when --------------------------------------------------------------------


@story
def test_an_offer_is_one_attempt_however_often_it_is_asked_for(w: World) -> None:
    """Polls repeat the same action; nothing is made twice."""
    w.add_devices(1)
    campaign = w.campaign([1])
    seen = {w.begin(1) for _ in range(5)}
    assert len(seen) == 1
    assert w.upgrade(1, campaign).attempts == 1
    assign.offer(w.tx, w.device(1).id, w.settings, w.now)
    assert w.upgrade(1, campaign).attempts == 1


@story
def test_a_device_in_no_campaign_is_shown_nothing(w: World) -> None:
    """An idle poll has no link and nothing to wait for."""
    w.add_devices(1)
    assert w.poll(1) == assign.Look()
    assert w.explain(1).wait == "no_campaign"


@story
def test_a_device_of_a_protocol_that_does_not_ask_is_not_offered(w: World) -> None:
    """A device that was moved to another protocol is told that the software is for its old one."""
    w.add_devices(1)
    w.campaign([1])
    w.tx.execute("update device set protocol = 'LWM2M'")
    assert w.poll(1).link is Link.NOTHING
    assert w.explain(1).wait == "other_protocol"


@story
def test_windows_hold_back_the_offer_until_it_is_taken_up(w: World) -> None:
    """Outside its window a campaign offers nothing; an offer not fetched is withdrawn; one that was
    fetched is sticky."""
    w.add_devices(1, 2)
    w.campaign([1, 2], download_windows=hours((10, 12)))
    look = w.poll(1)
    ten = w.now.replace(hour=10, minute=0)
    assert (look.link, look.waits_until) == (Link.NOTHING, ten)
    assert w.explain(1).wait == "download_window"
    w.wait_until(ten)
    assert w.is_offered(1)
    w.begin(2)
    attempt = w.device(1).open_attempt_id
    w.wait(hours=2)
    assert w.poll(1).link is Link.NOTHING
    assert w.explain(1).wait == "download_window"
    assert w.poll(2).link is Link.DEPLOYMENT
    assert w.explain(2).wait == "retrieved"
    w.wait_for_day(1, hour=11)
    assert w.is_offered(1)
    assert w.device(1).open_attempt_id == attempt


@story
def test_what_may_be_seen_of_an_action(w: World) -> None:
    """A device sees its open action, and downloads for that and for the one installed."""
    w.add_devices(1, 2)
    w.campaign([1, 2], download_windows=hours((8, 10)))
    mine = w.begin(1)
    assert w.is_offered(2)
    device, other = w.device(1), w.device(2).open_attempt_id
    assert other is not None

    def seen(attempt: AttemptId) -> Link:
        return assign.deployment_for(w.tx, w.device(1), attempt, w.settings, w.now).link

    assert (seen(mine), seen(other)) == (Link.DEPLOYMENT, Link.NOTHING)
    may = assign.may_download(w.tx, device, w.settings, w.now)
    assert [one.attempt_id for one in may] == [mine]
    # Another device's action is not this one's to take up or to report on.
    assign.retrieve(w.tx, device.id, other, w.now)
    assert w.report(1, E.SUCCEED, other) is Taken.UNKNOWN
    assert w.report(1, E.SUCCEED, AttemptId(999_999)) is Taken.UNKNOWN
    assert w.state(other) is A.OFFERED
    w.report(1, E.SUCCEED)
    may = assign.may_download(w.tx, w.device(1), w.settings, w.now)
    assert [one.attempt_id for one in may] == [mine]
    assert seen(mine) is Link.NOTHING


@story
def test_a_device_in_two_phases(w: World) -> None:
    """It downloads in the download window, and is told when it may install."""
    w.add_devices(1, two_phase=True)
    w.campaign([1], download_windows=hours((8, 10)), install_windows=hours((20, 24)))
    w.begin(1)
    look = w.poll(1)
    assert (look.phased, look.install) == (True, False)
    w.download(1)
    w.wait_until(w.now.replace(hour=20))
    look = w.poll(1)
    assert (look.link, look.phased, look.install) == (Link.DEPLOYMENT, True, True)


@story
def test_hours_may_be_the_devices_own(w: World) -> None:
    """By setting, windows are read in the zone of a device that has one."""
    w.settings = settings(windows_in_device_time=True)
    w.add_devices(1, time_zone="America/New_York")
    w.add_devices(2)
    w.campaign([1, 2], download_windows=hours((3, 4)))
    assert w.is_offered(1)  # 08:00 UTC is 03:00 there
    assert not w.is_offered(2)


@story
def test_a_campaign_whose_windows_never_meet(w: World) -> None:
    """The install windows decide, or the device is told that it can never be."""
    w.add_devices(1)
    w.campaign([1], download_windows=hours((0, 4)), install_windows=hours((8, 10)))
    w.settings = settings(install_window_alone=False)
    assert not w.is_offered(1)
    assert w.explain(1).wait == "never_both"
    w.settings = settings()
    assert w.is_offered(1)


# Failures ----------------------------------------------------------------------------------------


@story
def test_a_failed_device_gets_further_attempts(w: World) -> None:
    """Each after a pause, up to three; then it has failed, and is free."""
    w.add_devices(1)
    campaign = w.campaign([1])
    numbers = []
    for attempt in range(3):
        numbers.append(w.attempt(w.fail(1)).number)
        left = attempt < 2
        assert w.outcome(1, campaign)[0] is (U.PENDING if left else U.FAILED)
        look = w.poll(1)
        assert look.link is Link.NOTHING
        if left:
            assert w.explain(1).wait == "retry"
            assert look.waits_until == w.now + timedelta(hours=1)
        w.wait(minutes=59, seconds=59)
        assert not w.is_offered(1)
        w.wait(seconds=1)
    assert not w.is_offered(1)
    assert numbers == [1, 2, 3]
    assert w.outcome(1, campaign) == (U.FAILED, R.DOWNLOAD_FAILED)
    assert w.device(1).open_upgrade_id is None
    assert w.explain(1).wait == "failed"
    assert w.status(campaign) is S.SCHEDULED


@story
def test_the_reason_of_a_failure_stays_until_more_is_known(w: World) -> None:
    """Download failed, install failed; a second attempt keeps the reason until it has downloaded."""
    w.settings = settings(retry_delay_s=0, max_attempts=4)
    w.add_devices(1)
    campaign = w.campaign([1])
    w.fail(1)
    assert w.outcome(1, campaign) == (U.PENDING, R.DOWNLOAD_FAILED)
    w.begin(1)
    assert w.outcome(1, campaign) == (U.PENDING, R.DOWNLOAD_FAILED)
    w.download(1)
    assert w.outcome(1, campaign) == (U.PENDING, R.NOT_INSTALLED_YET)
    w.report(1, E.FAIL)
    assert w.outcome(1, campaign) == (U.PENDING, R.INSTALL_FAILED)
    w.begin(1)
    w.report(1, E.PROGRESS)
    assert w.outcome(1, campaign) == (U.PENDING, R.INSTALL_FAILED)
    w.succeed(1)
    assert w.outcome(1, campaign) == (U.SUCCEEDED, R.SUCCESS)
    assert len(attempts.of_upgrade(w.tx, w.upgrade(1, campaign).id)) == 3


@story
def test_a_retry_keeps_to_the_windows(w: World) -> None:
    """The pause may end outside of the window; then the window is waited for."""
    w.add_devices(1)
    w.campaign([1], download_windows=hours((8, 9)))
    w.fail(1)
    assert w.explain(1).wait == "retry"
    w.wait(hours=1)
    assert w.explain(1).wait == "download_window"
    assert w.poll(1).waits_until == w.now + timedelta(hours=23)
    w.wait(hours=23)
    assert w.is_offered(1)


@story
def test_a_device_that_loads_for_ever_is_stopped(w: World) -> None:
    """The fifth complete download fails the attempt, and no further one is made (loop guard)."""
    w.add_devices(1)
    campaign = w.campaign([1])
    attempt = w.begin(1)
    for _ in range(4):
        w.download(1)
    assert w.state(attempt) is A.DOWNLOADED
    assert w.attempt(attempt).downloads == 4
    w.download(1)
    assert w.state(attempt) is A.FAILED
    assert w.outcome(1, campaign) == (U.FAILED, R.UNKNOWN_ERROR)
    w.wait(days=1)
    assert not w.is_offered(1)


@story
def test_pieces_of_a_download_add_up(w: World) -> None:
    """Ranges in any order make one download; what is sent after its end begins another."""
    w.add_devices(1)
    w.campaign([1])
    attempt = w.begin(1)
    w.download(1, (600, 800), (0, 300))
    w.download(1, (800, SIZE))
    assert w.state(attempt) is A.RUNNING
    w.download(1, (300, 600))
    assert w.state(attempt) is A.DOWNLOADED
    w.download(1, (0, 10))
    assert w.attempt(attempt).downloads == 1
    device = w.device(1)
    # Bytes for an action that is not the device's are nobody's.
    note_bytes(w.tx, device.id, AttemptId(999), ((0, SIZE),), SIZE, w.settings, w.now)
    assert w.attempt(attempt).downloads == 1


# What it says ------------------------------------------------------------------------------------


@story
def test_a_repeated_ending_changes_nothing(w: World) -> None:
    """The second report of an end is void, whatever it says, and nothing counts twice."""
    w.add_devices(1, 2)
    campaign = w.campaign([1, 2])
    attempt = w.succeed(1)
    counted = w.counts(campaign)
    for event in (E.SUCCEED, E.FAIL, E.PROGRESS, E.NOTE):
        assert w.report(1, event, attempt, "again") is Taken.GONE
    assert w.counts(campaign) == counted
    assert w.attempt(attempt).feedback_count == 0
    assert len(billed(w.tx, w.account, 0, 10)) == 1


@story
def test_words_are_kept_up_to_a_limit(w: World) -> None:
    """A chatty device's further messages are taken and not kept; its last word always is."""
    w.settings = settings(feedback_per_attempt=3)
    w.add_devices(1)
    w.campaign([1])
    attempt = w.begin(1)
    for number in range(10):
        assert w.report(1, E.PROGRESS, None, f"step {number}") is Taken.TAKEN
    assert w.report(1, E.FAIL, None, "broken", "really") is Taken.TAKEN
    kept = [message.details for message in attempts.messages(w.tx, attempt, 10)]
    assert kept == [("broken", "really"), ("step 2",), ("step 1",), ("step 0",)]


@story
def test_a_device_may_skip_steps(w: World) -> None:
    """A success without a word before it is a success."""
    w.add_devices(1, 2)
    campaign = w.campaign([1, 2])
    for number in (1, 2):
        assert w.is_offered(number)
    assert w.report(1, E.SUCCEED) is Taken.TAKEN
    assert w.report(2, E.DOWNLOAD) is Taken.TAKEN
    assert w.counts(campaign) == {U.SUCCEEDED: 1, U.PENDING: 1}
    assert w.outcome(2, campaign) == (U.PENDING, R.NOT_INSTALLED_YET)


# Explanations ------------------------------------------------------------------------------------


@story
def test_explanations_follow_a_device(w: World) -> None:
    """At each step explain says where the device is, until when, and what was tried."""
    w.add_devices(1)
    assert w.explain(1).campaign is None
    campaign = w.campaign([1], start=1, download_after=w.day(2))
    assert w.explain(1).wait == "start"
    w.wait_for_day(1)
    told = w.explain(1)
    assert (told.wait, told.until) == ("download_date", w.now + timedelta(days=1))
    w.wait_for_day(1)
    assert w.explain(1).wait == "check_in"
    for event, wait in (
        (None, "retrieved"),
        (E.PROGRESS, "running"),
        (E.DOWNLOAD, "downloaded"),
    ):
        if event is None:
            assert w.is_offered(1)
            assert w.explain(1).wait == "offered"
            w.begin(1)
        else:
            w.report(1, event)
        told = w.explain(1)
        assert (told.wait, told.until) == (wait, w.get(campaign).rules.ends_at)
        assert [one.number for one in told.attempts] == [1]
    w.report(1, E.SUCCEED)
    told = w.explain(1)
    assert told.version == "02"
    assert "updated to 02" in told.sentence


@pytest.mark.parametrize("ended", [False, True])
@story
def test_no_time_left(w: World, ended: bool) -> None:
    """When no window opens again before the end, that is said; after the end, that it is over."""
    w.add_devices(1)
    campaign = w.campaign([1], end=0, download_windows=hours((0, 4)))
    assert w.poll(1).waits_until == datetime.combine(w.day(1), time(), UTC)
    assert w.explain(1).wait == "no_time_left"
    w.now += timedelta(days=1)
    if ended:
        w.carry_on()
        assert w.outcome(1, campaign) == (U.FAILED, R.NO_REPORT)
        assert w.explain(1).wait == "failed"
    else:
        assert w.explain(1).wait == "over"
    assert not w.is_offered(1)
