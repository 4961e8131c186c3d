"""Stories of campaigns that end, or are stopped, with devices at every point of their way."""

from datetime import timedelta

import pytest

from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.errors import Refusal
from overair.core.ids import AttemptId, CampaignId
from overair.core.plan import Link
from overair.core.upgrade import Reason, UpgradeState
from overair.engine import advance, assign
from overair.engine.catalog import put_software
from overair.engine.outcome import Taken
from overair.store import changes, devices
from tests.engine.world import World, hours, imei, refused, settings, software, story

S = CampaignStatus
U = UpgradeState
R = Reason
A = AttemptState
E = AttemptEvent

ALL = range(1, 8)
WAITING, OFFERED, RETRIEVED, RUNNING, DOWNLOADED, FAILED, SUCCEEDED = ALL


def campaign_at_every_point(w: World) -> tuple[CampaignId, dict[int, AttemptId]]:
    """A campaign whose devices are each somewhere else on their way."""
    w.add_devices(*ALL)
    campaign = w.campaign(ALL)
    made = {}
    for number in ALL:
        if number == OFFERED:
            w.poll(number)
        elif number == FAILED:
            made[number] = w.fail(number)
        elif number == SUCCEEDED:
            made[number] = w.succeed(number)
        elif number != WAITING:
            w.begin(number)
        attempt = w.device(number).open_attempt_id
        if attempt is not None:
            made[number] = attempt
    w.report(RUNNING, E.PROGRESS)
    w.download(DOWNLOADED)
    return campaign, made


def states(w: World, made: dict[int, AttemptId]) -> dict[int, AttemptState]:
    return {number: w.state(attempt) for number, attempt in made.items()}


# Stopped -----------------------------------------------------------------------------------------


@story
def test_a_campaign_is_cancelled_before_its_start(w: World) -> None:
    """Nobody is offered anything, everybody is free, and waiting changes are void."""
    w.add_devices(1, 2, 3)
    campaign = w.campaign([1, 2], start=1)
    w.change(campaign, "append", 3)
    w.stop(campaign)
    assert w.status(campaign) is S.CANCELLED
    assert w.get(campaign).ended_at == w.now
    assert w.counts(campaign) == {U.CANCELLED: 2}
    assert changes.of_campaign(w.tx, campaign) == []
    assert w.outcome(1, campaign) == (U.CANCELLED, R.BY_USER)
    assert w.device(1).open_upgrade_id is None
    w.wait_for_day(1)
    assert not w.is_offered(1)
    assert w.explain(1).wait == "cancelled"


@story
def test_a_campaign_is_cancelled_before_its_checks(w: World) -> None:
    """Devices that nobody looked at yet are cancelled too."""
    w.settings = settings(sweep_devices=2)
    w.add_devices(*range(5))
    campaign = w.schedule(range(5), start=1)
    w.stop(campaign)
    assert w.counts(campaign) == {U.CANCELLED: 2}
    assert w.get(campaign).due_at is None


@story
def test_a_running_campaign_is_aborted(w: World) -> None:
    """Who has seen the update is asked to stop, who has not is stopped, who is done stays done."""
    campaign, made = campaign_at_every_point(w)
    w.stop(campaign)
    assert w.status(campaign) is S.ABORTED
    assert states(w, made) == {
        OFFERED: A.CANCELLED,
        RETRIEVED: A.CANCELLING,
        RUNNING: A.CANCELLING,
        DOWNLOADED: A.CANCELLING,
        FAILED: A.FAILED,
        SUCCEEDED: A.FINISHED,
    }
    assert w.counts(campaign) == {U.ABORTED: 6, U.SUCCEEDED: 1}
    assert w.outcome(FAILED, campaign) == (U.ABORTED, R.BY_USER)
    shown = {number: w.poll(number).link for number in ALL}
    assert shown == {
        number: Link.CANCEL if number in (RETRIEVED, RUNNING, DOWNLOADED) else Link.NOTHING
        for number in ALL
    }
    assert w.explain(RUNNING).wait == "cancelling"
    assert w.explain(RUNNING).until == w.get(campaign).rules.ends_at
    # A download under way is not cut.
    assert len(assign.may_download(w.tx, w.device(RUNNING), w.settings, w.now)) == 1


@story
def test_a_stop_is_obeyed_before_the_engine_has_carried_it(w: World) -> None:
    """From the moment of the request nothing is offered and nothing is linked."""
    campaign, _ = campaign_at_every_point(w)
    w.stop(campaign, carry_on=False)
    assert {w.poll(number).link for number in ALL} == {Link.NOTHING}
    assert w.explain(WAITING).wait == "over"
    assert w.explain(RUNNING).wait == "expiring"


@story
def test_a_stop_is_carried_sweep_by_sweep(w: World) -> None:
    """A large campaign is closed a few devices at a time."""
    w.settings = settings(sweep_devices=2)
    campaign, _ = campaign_at_every_point(w)
    w.stop(campaign, carry_on=False)
    assert w.carry_on() == 4  # three sweeps, and a last look
    assert w.counts(campaign) == {U.ABORTED: 6, U.SUCCEEDED: 1}
    assert w.get(campaign).closing is None


@story
def test_what_is_over_cannot_be_stopped(w: World) -> None:
    """Not twice, not after the end, and not after the end date has passed."""
    w.add_devices(1, 2)
    campaign, ended, failed = w.campaign([1]), w.campaign([2], end=0), w.campaign([9])
    w.stop(campaign)
    # Past its end, though the engine has not come to it.
    w.now += timedelta(days=1)
    assert w.status(ended) is S.SCHEDULED
    for one in (campaign, ended, failed):
        with refused(Refusal.NOT_CANCELLABLE):
            w.stop(one)
    w.carry_on()
    assert w.status(ended) is S.ENDED
    with refused(Refusal.NOT_CANCELLABLE):
        w.stop(ended)


@story
def test_a_device_confirms_that_it_stopped(w: World) -> None:
    """Then the action is cancelled, and saying so again changes nothing."""
    campaign, made = campaign_at_every_point(w)
    w.stop(campaign)
    attempt = made[RUNNING]
    assert w.report(RUNNING, E.NOTE, attempt, "stopping") is Taken.TAKEN
    assert w.report(RUNNING, E.CANCEL_CONFIRM, attempt) is Taken.TAKEN
    assert w.report(RUNNING, E.CANCEL_CONFIRM, attempt) is Taken.TAKEN
    assert w.state(attempt) is A.CANCELLED
    assert w.attempt(attempt).due_at is None
    assert w.poll(RUNNING).link is Link.NOTHING
    assert w.report(RUNNING, E.SUCCEED, attempt) is Taken.GONE
    assert w.outcome(RUNNING, campaign) == (U.ABORTED, R.BY_USER)


@pytest.mark.parametrize("ending", [E.SUCCEED, E.FAIL])
@story
def test_a_device_refuses_to_stop(w: World, ending: AttemptEvent) -> None:
    """Its action goes on, is shown again, and its end is believed: a success is one."""
    campaign, made = campaign_at_every_point(w)
    w.stop(campaign)
    attempt = made[DOWNLOADED]
    assert w.report(DOWNLOADED, E.CANCEL_REFUSE, attempt) is Taken.TAKEN
    assert w.state(attempt) is A.RUNNING
    assert w.poll(DOWNLOADED).link is Link.DEPLOYMENT
    assert w.explain(DOWNLOADED).wait == "running"
    assert w.report(DOWNLOADED, E.CANCEL_REFUSE, attempt) is Taken.GONE
    assert w.report(DOWNLOADED, ending, attempt) is Taken.TAKEN
    if ending is E.SUCCEED:
        assert w.outcome(DOWNLOADED, campaign) == (U.SUCCEEDED, R.SUCCESS)
    else:
        assert w.outcome(DOWNLOADED, campaign) == (U.ABORTED, R.BY_USER)
        w.wait(days=1)
    assert w.poll(DOWNLOADED).link is Link.NOTHING


@story
def test_a_device_that_goes_on_has_its_grace_too(w: World) -> None:
    """When it has refused to stop and then downloaded, its result is awaited as any other."""
    campaign, made = campaign_at_every_point(w)
    began = w.attempt(made[RUNNING]).running_at
    w.stop(campaign)
    w.now += timedelta(hours=1)
    w.report(RUNNING, E.CANCEL_REFUSE)
    end = w.get(campaign).rules.ends_at
    assert (w.attempt(made[RUNNING]).running_at, w.attempt(made[RUNNING]).due_at) == (began, end)
    w.download(RUNNING)
    assert w.attempt(made[RUNNING]).due_at == end + timedelta(days=1)
    assert w.explain(RUNNING).until == end + timedelta(days=1)


@story
def test_a_device_was_faster_than_the_stop(w: World) -> None:
    """The report of an end that crosses the cancellation is taken."""
    campaign, made = campaign_at_every_point(w)
    w.stop(campaign)
    assert w.report(RETRIEVED, E.SUCCEED, made[RETRIEVED]) is Taken.TAKEN
    assert w.report(RUNNING, E.FAIL, made[RUNNING]) is Taken.TAKEN
    assert w.outcome(RETRIEVED, campaign) == (U.SUCCEEDED, R.SUCCESS)
    assert w.outcome(RUNNING, campaign) == (U.ABORTED, R.BY_USER)
    assert w.device(RETRIEVED).open_attempt_id is None


@story
def test_silence_is_consent_at_the_end_date(w: World) -> None:
    """A device that never answers is cancelled when the campaign would have ended."""
    campaign, made = campaign_at_every_point(w)
    w.stop(campaign)
    w.report(DOWNLOADED, E.CANCEL_REFUSE, made[DOWNLOADED])
    w.wait_until(w.get(campaign).rules.ends_at - timedelta(seconds=1))
    assert w.state(made[RUNNING]) is A.CANCELLING
    w.wait(seconds=1)
    assert w.state(made[RUNNING]) is A.CANCELLED
    # The one that went on and has the artifact is left its grace.
    assert w.state(made[DOWNLOADED]) is A.RUNNING
    assert w.poll(DOWNLOADED).link is Link.DEPLOYMENT
    w.wait(days=1)
    assert w.state(made[DOWNLOADED]) is A.EXPIRED
    assert all(w.device(number).open_attempt_id is None for number in ALL)


# Another campaign --------------------------------------------------------------------------------


@story
def test_a_freed_device_waits_for_its_earlier_action(w: World) -> None:
    """It may be in another campaign at once, but is offered that only after it has answered."""
    first, made = campaign_at_every_point(w)
    w.stop(first)
    second = w.campaign([RUNNING, WAITING])
    assert w.outcome(RUNNING, second) == (U.ACCEPTED, R.CHECKED)
    assert w.is_offered(WAITING)
    assert w.poll(RUNNING).link is Link.CANCEL
    told = w.explain(RUNNING)
    assert (told.wait, told.until) == ("other_attempt", w.get(first).rules.ends_at)
    assert told.campaign is not None
    assert told.campaign.id == second
    w.report(RUNNING, E.CANCEL_CONFIRM, made[RUNNING])
    assert w.explain(RUNNING).wait == "check_in"
    w.succeed(RUNNING)
    assert w.outcome(RUNNING, second) == (U.SUCCEEDED, R.SUCCESS)
    assert w.outcome(RUNNING, first) == (U.ABORTED, R.BY_USER)


@story
def test_a_late_success_counts_for_its_own_campaign(w: World) -> None:
    """A device that finishes the stopped action is updated by that one; the other goes on waiting."""
    first, made = campaign_at_every_point(w)
    w.stop(first)
    second = w.campaign([RUNNING], start=1)
    assert w.explain(RUNNING).wait == "start"
    w.report(RUNNING, E.CANCEL_REFUSE, made[RUNNING])
    w.report(RUNNING, E.SUCCEED, made[RUNNING])
    assert w.outcome(RUNNING, first) == (U.SUCCEEDED, R.SUCCESS)
    assert w.outcome(RUNNING, second) == (U.ACCEPTED, R.CHECKED)
    assert w.device(RUNNING).open_upgrade_id == w.upgrade(RUNNING, second).id


@story
def test_a_device_is_in_one_unfinished_campaign(w: World) -> None:
    """A second campaign rejects it until the first is done with it."""
    w.add_devices(1, 2)
    first = w.campaign([1], start=2)
    second = w.campaign([1, 2], start=2)
    assert w.outcome(1, second) == (U.REJECTED, R.IN_CAMPAIGN)
    w.stop(first)
    assert w.outcome(1, w.campaign([1], start=2)) == (U.ACCEPTED, R.CHECKED)


# The end -----------------------------------------------------------------------------------------


@story
def test_a_campaign_ends_at_its_end_date(w: World) -> None:
    """Open actions expire, the one that was downloaded is left a day, and all have an outcome."""
    campaign, made = campaign_at_every_point(w)
    end = w.get(campaign).rules.ends_at
    w.wait_until(end - timedelta(seconds=1))
    assert w.status(campaign) is S.SCHEDULED
    w.wait(seconds=1)
    assert w.status(campaign) is S.ENDED
    assert w.get(campaign).ended_at == end
    assert states(w, made) == {
        OFFERED: A.EXPIRED,
        RETRIEVED: A.EXPIRED,
        RUNNING: A.EXPIRED,
        DOWNLOADED: A.DOWNLOADED,
        FAILED: A.FAILED,
        SUCCEEDED: A.FINISHED,
    }
    assert {number: w.outcome(number, campaign) for number in ALL} == {
        WAITING: (U.FAILED, R.NO_REPORT),
        OFFERED: (U.FAILED, R.NO_REPORT),
        RETRIEVED: (U.FAILED, R.NO_REPORT),
        RUNNING: (U.FAILED, R.NO_REPORT),
        DOWNLOADED: (U.FAILED, R.NOT_INSTALLED_YET),
        FAILED: (U.FAILED, R.DOWNLOAD_FAILED),
        SUCCEEDED: (U.SUCCEEDED, R.SUCCESS),
    }
    shown = {number for number in ALL if w.poll(number).link is not Link.NOTHING}
    assert shown == {DOWNLOADED}
    assert w.explain(DOWNLOADED).until == end + timedelta(days=1)
    w.wait(days=1)
    assert w.state(made[DOWNLOADED]) is A.EXPIRED
    assert w.poll(DOWNLOADED).link is Link.NOTHING


@story
def test_the_end_is_obeyed_before_the_engine_has_carried_it(w: World) -> None:
    """From 00:00 after the end date nothing is offered and nothing but the graced is linked."""
    campaign, _ = campaign_at_every_point(w)
    w.now = w.get(campaign).rules.ends_at
    shown = {number for number in ALL if w.poll(number).link is not Link.NOTHING}
    assert shown == {DOWNLOADED}


@story
def test_a_graced_device_reports_in_time(w: World) -> None:
    """Its success counts for the device, the campaign and the history."""
    campaign, made = campaign_at_every_point(w)
    w.wait_until(w.get(campaign).rules.ends_at)
    w.wait(hours=23)
    assert w.report(DOWNLOADED, E.SUCCEED) is Taken.TAKEN
    assert w.outcome(DOWNLOADED, campaign) == (U.SUCCEEDED, R.SUCCESS)
    assert w.counts(campaign) == {U.FAILED: 5, U.SUCCEEDED: 2}
    assert w.state(made[DOWNLOADED]) is A.FINISHED
    w.wait(days=2)
    assert w.state(made[DOWNLOADED]) is A.FINISHED


@story
def test_a_device_that_is_still_loading_has_no_grace(w: World) -> None:
    """An action that expired stays so when its download completes; its artifact is gone."""
    campaign, made = campaign_at_every_point(w)
    w.wait_until(w.get(campaign).rules.ends_at)
    assert w.report(RUNNING, E.DOWNLOAD, made[RUNNING]) is Taken.TAKEN
    assert w.state(made[RUNNING]) is A.EXPIRED
    assert not assign.may_download(w.tx, w.device(RUNNING), w.settings, w.now)


@pytest.mark.parametrize("ending", [E.SUCCEED, E.FAIL])
@story
def test_a_report_after_the_expiry(w: World, ending: AttemptEvent) -> None:
    """The truth that arrives late is recorded: a success counts, a failure changes no outcome."""
    campaign, made = campaign_at_every_point(w)
    w.wait_until(w.get(campaign).rules.ends_at)
    w.wait(days=30)
    attempt = made[RETRIEVED]
    assert w.report(RETRIEVED, E.PROGRESS, attempt, "still here") is Taken.TAKEN
    assert w.report(RETRIEVED, ending, attempt) is Taken.TAKEN
    assert w.report(RETRIEVED, ending, attempt) is Taken.GONE
    record = devices.by_imei(w.tx, imei(RETRIEVED))
    assert record is not None
    if ending is E.SUCCEED:
        assert w.state(attempt) is A.FINISHED
        assert w.outcome(RETRIEVED, campaign) == (U.SUCCEEDED, R.SUCCESS)
        assert record.version == "02"
    else:
        assert w.state(attempt) is A.FAILED
        assert w.outcome(RETRIEVED, campaign) == (U.FAILED, R.NO_REPORT)
        assert record.version == "01"
    assert w.status(campaign) is S.ENDED


@story
def test_a_late_success_leaves_a_newer_campaign_alone(w: World) -> None:
    """A device at work for another campaign may still report how the expired action ended."""
    first, made = campaign_at_every_point(w)
    w.wait_until(w.get(first).rules.ends_at)
    second = w.campaign([RETRIEVED])
    newer = w.begin(RETRIEVED)
    assert w.report(RETRIEVED, E.SUCCEED, made[RETRIEVED]) is Taken.TAKEN
    assert w.outcome(RETRIEVED, first) == (U.SUCCEEDED, R.SUCCESS)
    assert w.device(RETRIEVED).open_attempt_id == newer
    assert w.report(RETRIEVED, E.SUCCEED) is Taken.TAKEN
    assert w.outcome(RETRIEVED, second) == (U.SUCCEEDED, R.SUCCESS)


@story
def test_late_news_does_not_turn_a_version_back(w: World) -> None:
    """A success that is reported after a newer one counts, but is not what the device runs."""
    put_software(w.tx, software(name="newer", to_version="03"), w.now)
    first, made = campaign_at_every_point(w)
    w.wait_until(w.get(first).rules.ends_at)
    w.campaign([RETRIEVED], package_name="newer", to_version="03")
    newer = w.succeed(RETRIEVED)
    assert w.report(RETRIEVED, E.SUCCEED, made[RETRIEVED]) is Taken.TAKEN
    assert w.outcome(RETRIEVED, first) == (U.SUCCEEDED, R.SUCCESS)
    record = devices.by_imei(w.tx, imei(RETRIEVED))
    assert record is not None
    assert record.version == "03"
    assert w.device(RETRIEVED).installed_attempt_id == newer


@story
def test_a_graced_action_holds_back_the_next_campaign(w: World) -> None:
    """While the result of the ended campaign is awaited, nothing of another one is offered."""
    first, made = campaign_at_every_point(w)
    end = w.get(first).rules.ends_at
    w.wait_until(end)
    second = w.campaign([DOWNLOADED])
    look = w.poll(DOWNLOADED)
    assert look.deployment is not None
    assert look.deployment.attempt_id == made[DOWNLOADED]
    told = w.explain(DOWNLOADED)
    assert (told.wait, told.until) == ("other_attempt", end + timedelta(days=1))
    w.wait(days=1)
    assert w.is_offered(DOWNLOADED)
    assert w.upgrade(DOWNLOADED, second).attempts == 1


@story
def test_expiry_is_carried_batch_by_batch(w: World) -> None:
    """However many actions are over at once, a transaction takes only some."""
    w.settings = settings(pilot_devices=300, grace_s=60)
    numbers = range(advance.EXPIRY_BATCH + 5)
    w.add_devices(*numbers)
    campaign = w.campaign(numbers, end=0)
    for number in numbers:
        w.begin(number)
        w.download(number)
    w.wait_until(w.get(campaign).rules.ends_at)
    w.now += timedelta(seconds=60)
    assert advance.expire(w.tx, w.settings, w.now) == advance.EXPIRY_BATCH
    assert advance.expire(w.tx, w.settings, w.now) == 5
    assert advance.expire(w.tx, w.settings, w.now) == 0


@story
def test_windows_do_not_hold_back_reports(w: World) -> None:
    """A device may report its end whatever the hour."""
    w.add_devices(1)
    campaign = w.campaign([1], download_windows=hours((8, 9)))
    w.begin(1)
    w.wait(hours=10)
    w.report(1, E.SUCCEED)
    assert w.outcome(1, campaign) == (U.SUCCEEDED, R.SUCCESS)
