"""Stories from the request to the start: refusals, checks, pilots, device lists, dates."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from overair.core.campaign import CampaignStatus
from overair.core.errors import Refusal
from overair.core.licenses import MONTHLY
from overair.core.upgrade import Reason, UpgradeState
from overair.engine import licenses
from overair.engine.catalog import put_software
from overair.store import proofs
from tests.engine.world import (
    SOFTWARE,
    Bytes,
    World,
    hours,
    imei,
    names,
    refused,
    settings,
    software,
    story,
)

S = CampaignStatus
U = UpgradeState
R = Reason


# The request -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "asked"),
    [
        (Refusal.SOFTWARE_NOT_FOUND, {"package_name": "nothing of that name"}),
        (Refusal.SOFTWARE_VERSIONS, {"from_version": "00"}),
        (Refusal.SOFTWARE_VERSIONS, {"to_version": "03"}),
        (Refusal.DISTRIBUTION_TYPE, {"protocols": frozenset({"LWM2M"})}),
        (Refusal.START_DATE, {"start": -1}),
        (Refusal.END_BEFORE_START, {"start": 3, "end": 2}),
        (Refusal.DOWNLOAD_AFTER_DATE, {"download_after": date(2026, 3, 9)}),
        (Refusal.INSTALL_AFTER_DATE, {"install_after": date(2026, 3, 9)}),
        (Refusal.DEVICE_LIST_EMPTY, {"imeis": []}),
        (Refusal.DEVICE_LIST_TOO_LONG, {"imeis": [str(n) for n in range(31)]}),
        (Refusal.PILOT_LIMIT, {"imeis": [str(n) for n in range(21)]}),
        (Refusal.FILE_NOT_FOUND, {"kind": "file", "package_name": "nothing.conf"}),
    ],
)
@story
def test_requests_are_checked_as_a_whole(w: World, refusal: Refusal, asked: dict[str, Any]) -> None:
    """A request that cannot be met is refused at once, with its row of the catalogue."""
    w.settings = settings(request_devices=30)
    w.add_devices(1)
    with refused(refusal):
        w.schedule([1], **asked)
    assert w.tx.one("select 1 from campaign") is None


@story
def test_an_account_needs_a_subscription(w: World) -> None:
    """Without one nothing is scheduled."""
    w.tx.execute("delete from subscription")
    with refused(Refusal.NOT_SUBSCRIBED):
        w.schedule([1])


@story
def test_on_demand_campaigns_last_a_week(w: World) -> None:
    """Starting today: a week, or less if asked for; starting later: as asked for."""
    w.add_devices(1)
    lengths = [
        (0, None, 7),
        (0, 3, 3),
        (0, 30, 7),
        (0, 0, 0),
        (2, None, 9),
        (2, 30, 30),
    ]
    for start, end, last in lengths:
        campaign = w.get(w.schedule([1], start=start, end=end))
        assert (campaign.start_date, campaign.end_date) == (w.day(start), w.day(last))


# The checks --------------------------------------------------------------------------------------


@story
def test_each_device_is_told_why_not(w: World) -> None:
    """Every check has its rejection, and who passes goes on (lifecycle.md 2.3)."""
    other = w.add_account("0000123456-00002")
    w.add_devices(1)
    w.add_devices(2, account=other)
    w.add_devices(3, protocol="MQTT")
    w.add_devices(4, fota_eligible=False)
    w.add_devices(5, status="Deactivated")
    w.add_devices(6)
    w.add_devices(7, model="X2")
    w.add_devices(8, version="00")
    w.campaign([6], start=1)
    campaign = w.campaign([1, 2, 3, 4, 5, 6, 7, 8, 9, "12 34", "", "49015420323751"])
    assert w.status(campaign) is S.SCHEDULED
    told: dict[int | str, tuple[UpgradeState, Reason]] = {
        1: (U.ACCEPTED, R.CHECKED),
        2: (U.REJECTED, R.NOT_FOUND),  # it is another account's
        3: (U.REJECTED, R.UNKNOWN_TYPE),
        4: (U.REJECTED, R.NOT_ELIGIBLE),
        5: (U.REJECTED, R.NOT_ACTIVE),
        6: (U.REJECTED, R.IN_CAMPAIGN),
        7: (U.REJECTED, R.MAKE_MODEL),
        8: (U.REJECTED, R.VERSION),
        9: (U.REJECTED, R.NOT_FOUND),
        "12 34": (U.REJECTED, R.INVALID_IMEI),
        "": (U.REJECTED, R.INVALID_IMEI),
        "49015420323751": (U.REJECTED, R.INVALID_IMEI),
    }
    assert {device: w.outcome(device, campaign) for device in told} == told
    assert w.counts(campaign) == {U.ACCEPTED: 1, U.REJECTED: 11}
    assert w.explain(8).wait == "rejected"
    assert "version" in w.explain(8).sentence


@story
def test_check_digits_are_checked_where_asked(w: World) -> None:
    """With the setting, an IMEI whose check digit is wrong is invalid."""
    w.settings = settings(check_imei_digit=True)
    right = next(n for n in range(10) if _luhn(imei(n)))
    wrong = next(n for n in range(10) if not _luhn(imei(n)))
    w.add_devices(right, wrong)
    campaign = w.campaign([right, wrong])
    assert w.outcome(right, campaign)[0] is U.ACCEPTED
    assert w.outcome(wrong, campaign) == (U.REJECTED, R.INVALID_IMEI)


def _luhn(text: str) -> bool:
    doubled = [int(d) * (1 + n % 2) for n, d in enumerate(text)]
    return sum(n // 10 + n % 10 for n in doubled) % 10 == 0


@story
def test_monthly_accounts_need_licences(w: World) -> None:
    """On an account that pays by month a device without a licence is rejected; files are no exception."""
    w.account = w.add_account("0000123456-00003", kind=MONTHLY, count=1)
    w.add_devices(1, 2)
    licenses.assign_licenses(w.tx, w.account, [imei(1)], w.settings.limits, w.now)
    campaign = w.campaign([1, 2])
    assert w.outcome(1, campaign) == (U.ACCEPTED, R.CHECKED)
    assert w.outcome(2, campaign) == (U.REJECTED, R.NO_LICENSE)


@story
def test_files_ask_for_no_version(w: World) -> None:
    """A configuration file goes on any version of the make and model."""
    name = w.add_file()
    w.add_devices(1, version="unheard of")
    w.add_devices(2, model="X2")
    campaign = w.campaign([1, 2], kind="file", package_name=name, from_version=None, to_version="7")
    assert w.outcome(1, campaign) == (U.ACCEPTED, R.CHECKED)
    assert w.outcome(2, campaign) == (U.REJECTED, R.MAKE_MODEL)


@story
def test_the_name_of_what_a_device_runs_is_a_prerequisite(w: World) -> None:
    """ "From" may name the package that the device got its version from, not an earlier one."""
    for name, start, end in (("second", "02", "03"), ("by name", SOFTWARE, "04")):
        put_software(
            w.tx,
            software(name=name, from_version=start, to_version=end, artifact=_other(name)),
            w.now,
        )
    w.add_devices(1)
    w.campaign([1])
    w.succeed(1)
    by_name = {"package_name": "by name", "from_version": SOFTWARE, "to_version": "04"}
    campaign = w.campaign([1], **by_name)
    assert w.outcome(1, campaign) == (U.ACCEPTED, R.CHECKED)
    w.stop(campaign)
    w.campaign([1], package_name="second", from_version="02", to_version="03")
    w.succeed(1)
    assert w.outcome(1, w.campaign([1], **by_name)) == (U.REJECTED, R.VERSION)


def _other(name: str) -> Bytes:
    return Bytes(sha256=name.encode().hex().ljust(64, "0"))


@story
def test_a_campaign_without_a_fitting_device_fails(w: World) -> None:
    """When every device is rejected, so is the request; none of them is taken."""
    w.add_devices(1, version="00")
    campaign = w.campaign([1, 2])
    assert w.status(campaign) is S.REQUEST_FAILED
    assert w.get(campaign).ended_at == w.now
    assert w.counts(campaign) == {U.REJECTED: 2}
    assert w.device(1).open_upgrade_id is None
    assert w.poll(1).link == "nothing"
    assert w.get(campaign).due_at is None


@story
def test_repeated_devices_count_once(w: World) -> None:
    """A device that the request names twice is in the campaign once."""
    w.add_devices(1, 2)
    campaign = w.campaign([1, 2, 1, 1])
    assert w.counts(campaign) == {U.ACCEPTED: 2}


@story
def test_long_lists_are_checked_piece_by_piece(w: World) -> None:
    """Lists are expanded and checked a sweep at a time, and nothing starts before all are."""
    w.settings = settings(sweep_devices=4)
    w.add_devices(*range(10))
    campaign = w.schedule(range(10))
    assert w.counts(campaign) == {U.REQUESTED: 4}
    assert w.explain(1).wait == "requested"
    assert "checks" in w.explain(1).sentence
    # Two more pieces, three sweeps of checks, and the start.
    assert w.carry_on() == 6
    assert w.counts(campaign) == {U.ACCEPTED: 10}
    assert w.status(campaign) is S.SCHEDULED


# The start ---------------------------------------------------------------------------------------


@story
def test_a_dated_campaign_starts_at_midnight(w: World) -> None:
    """Pending, queued, and scheduled from 00:00 UTC of the start date."""
    w.add_devices(1)
    campaign = w.schedule([1], start=2)
    assert w.status(campaign) is S.REQUEST_PENDING
    w.carry_on()
    assert w.status(campaign) is S.REQUEST_QUEUED
    assert w.explain(1).wait == "start"
    midnight = datetime.combine(w.day(2), time(), UTC)
    assert w.poll(1).waits_until == midnight
    w.wait_until(midnight - timedelta(milliseconds=1))
    assert w.status(campaign) is S.REQUEST_QUEUED
    assert not w.is_offered(1)
    w.wait_until(midnight)
    assert w.status(campaign) is S.SCHEDULED
    assert w.get(campaign).started_at == midnight
    assert w.is_offered(1)


@story
def test_an_on_demand_campaign_starts_now(w: World) -> None:
    """Starting today is starting when the checks are done, or a little later by setting."""
    w.add_devices(1, 2)
    assert w.status(w.campaign([1])) is S.SCHEDULED
    w.settings = settings(on_demand_delay_s=5400)
    campaign = w.campaign([2])
    assert w.status(campaign) is S.REQUEST_QUEUED
    w.wait(minutes=90)
    assert w.status(campaign) is S.SCHEDULED


@story
def test_an_engine_that_slept_through_a_campaign_ends_it(w: World) -> None:
    """If nobody was there between its start and its end, a campaign ends without an offer."""
    w.add_devices(1)
    campaign = w.campaign([1], start=1, end=2)
    w.wait(days=10)
    assert w.status(campaign) is S.ENDED
    assert w.outcome(1, campaign) == (U.FAILED, R.NO_REPORT)
    assert w.device(1).open_upgrade_id is None


# Pilots ------------------------------------------------------------------------------------------


@story
def test_pilots_lift_the_limit(w: World) -> None:
    """Twenty devices until five ended well enough; then as many as wanted, for good."""
    w.add_devices(*range(30))
    pilot = w.campaign(range(20))
    with refused(Refusal.PILOT_LIMIT):
        w.schedule(range(21))
    for number in range(4):
        w.succeed(number)
    with refused(Refusal.PILOT_LIMIT):
        w.schedule(range(21))
    w.succeed(4)
    campaign = w.campaign([*range(20, 30), *[f"{n}" for n in range(20)]])
    assert w.counts(campaign) == {U.ACCEPTED: 10, U.REJECTED: 20}
    # Failures after the proof do not take it away.
    w.wait(days=8)
    assert w.status(pilot) is S.ENDED
    w.schedule([str(n) for n in range(21)])


@story
def test_failing_pilots_prove_nothing(w: World) -> None:
    """Half of the outcomes must be successes; a later success makes up for an earlier failure."""
    w.settings = settings(max_attempts=1)
    w.add_devices(*range(6))
    campaign = w.campaign(range(6))
    for number in range(3):
        w.fail(number)
    w.succeed(3)
    w.succeed(4)
    package = w.get(campaign).package_id
    proof = proofs.get(w.tx, w.account, package)
    assert proof is not None
    assert (proof.succeeded, proof.failed, proof.proven_at) == (2, 3, None)
    w.succeed(5)
    proof = proofs.get(w.tx, w.account, package)
    assert proof is not None
    assert proof.proven_at == w.now


@story
def test_additions_respect_the_pilot_limit(w: World) -> None:
    """Devices may be added up to the limit, counting what waiting changes add and take."""
    w.add_devices(*range(40))
    campaign = w.campaign(range(18), start=1)
    w.change(campaign, "append", 17, 18, 19)
    with refused(Refusal.PILOT_LIMIT):
        w.change(campaign, "append", 20)
    w.change(campaign, "remove", 0, 1)
    w.change(campaign, "append", 20, 21)
    with refused(Refusal.PILOT_LIMIT):
        w.change(campaign, "append", 22)
    w.change(campaign, "append", 21, 2)  # they are in it
    w.carry_on()
    assert w.members(campaign) == set(names(range(2, 22)))
    assert w.counts(campaign) == {U.ACCEPTED: 20}


# Changes to the list -----------------------------------------------------------------------------


@story
def test_devices_are_added_and_removed_before_the_start(w: World) -> None:
    """Changes are carried out in the order asked; who is added is checked, who leaves is free."""
    w.settings = settings(sweep_devices=2)
    w.add_devices(*range(6))
    campaign = w.campaign([0, 1, 2], start=1)
    w.change(campaign, "append", 3, 4, 5, 9, "not an imei")
    w.change(campaign, "remove", 0, 3)
    w.change(campaign, "append", 3)
    w.carry_on()
    assert w.status(campaign) is S.REQUEST_QUEUED
    assert w.members(campaign) == {*names([1, 2, 3, 4, 5, 9]), "not an imei"}
    assert w.counts(campaign) == {U.ACCEPTED: 5, U.REJECTED: 2}
    assert w.outcome("not an imei", campaign) == (U.REJECTED, R.INVALID_IMEI)
    assert w.device(0).open_upgrade_id is None
    assert w.outcome(0, w.campaign([0])) == (U.ACCEPTED, R.CHECKED)
    w.change(campaign, "remove", "not an imei")
    w.carry_on()
    assert "not an imei" not in w.members(campaign)


@story
def test_an_added_device_waits_for_its_checks(w: World) -> None:
    """Until the engine has come to it, explain says so, in a campaign whose checks were done."""
    w.settings = settings(sweep_devices=1)
    w.add_devices(1, 2)
    campaign = w.campaign([1], start=1)
    w.change(campaign, "append", 2)
    assert w.explain(2).wait == "no_campaign"
    assert w.step(campaign)
    assert "checks are not done" in w.explain(2).sentence
    w.carry_on()
    assert w.explain(2).wait == "start"


@story
def test_a_campaign_that_lost_all_its_devices_is_cancelled(w: World) -> None:
    """Removing the last device ends the campaign; nothing is left to be done."""
    w.add_devices(1, 2)
    campaign = w.campaign([1, 2], start=1)
    w.change(campaign, "remove", 1, 2)
    w.carry_on()
    assert w.status(campaign) is S.CANCELLED
    assert w.counts(campaign) == {}
    assert w.device(1).open_upgrade_id is None
    with refused(Refusal.NOT_MODIFIABLE):
        w.change(campaign, "append", 1)


@story
def test_a_campaign_left_with_rejected_devices_fails(w: World) -> None:
    """If those who passed are removed, nobody is left to be updated."""
    w.add_devices(1)
    w.add_devices(2, version="00")
    campaign = w.campaign([1, 2], start=1)
    w.change(campaign, "remove", 1)
    w.carry_on()
    assert w.status(campaign) is S.REQUEST_FAILED


@story
def test_lists_change_only_before_the_start(w: World) -> None:
    """A running campaign, and one that is over, keep their devices; empty lists change nothing."""
    w.add_devices(1, 2, 3)
    waiting, running, over = w.campaign([1], start=1), w.campaign([2]), w.campaign([3], start=1)
    w.stop(over)
    for campaign in (running, over):
        for type_ in ("append", "remove"):
            with refused(Refusal.NOT_MODIFIABLE):
                w.change(campaign, type_, 1)
    with refused(Refusal.DEVICE_LIST_EMPTY):
        w.change(waiting, "append")
    w.settings = settings(request_devices=2)
    with refused(Refusal.DEVICE_LIST_TOO_LONG):
        w.change(waiting, "remove", 1, 2, 3)


@story
def test_a_change_at_midnight_is_still_carried_out(w: World) -> None:
    """What was asked for before the start is in the campaign when it starts."""
    w.add_devices(1, 2)
    campaign = w.campaign([1], start=1)
    w.change(campaign, "append", 2)
    w.wait_for_day(1)
    assert w.status(campaign) is S.SCHEDULED
    assert w.counts(campaign) == {U.ACCEPTED: 2}


# Dates -------------------------------------------------------------------------------------------


@story
def test_dates_and_windows_change_before_the_start(w: World) -> None:
    """The whole set is replaced; moving the start to today turns the campaign on demand."""
    w.add_devices(1)
    campaign = w.campaign([1], start=3, end=6, download_windows=hours((0, 4)))
    moved = w.dates(
        campaign,
        start_date=w.day(2),
        end_date=w.day(20),
        download_windows=(),
        install_windows=hours((8, 10), (20, 24)),
        install_after=w.day(4),
    )
    assert (moved.start_date, moved.end_date) == (w.day(2), w.day(20))
    assert (moved.download_windows, moved.install_windows) == ((), hours((8, 10), (20, 24)))
    assert moved.install_after == w.day(4)
    w.carry_on()
    assert w.status(campaign) is S.REQUEST_QUEUED
    w.dates(campaign, start_date=w.day(0), install_after=None)
    w.carry_on()
    assert w.status(campaign) is S.SCHEDULED
    assert w.get(campaign).end_date == w.day(7)
    assert w.is_offered(1)


@pytest.mark.parametrize(
    ("refusal", "changes"),
    [
        (Refusal.START_DATE, {"start_date": date(2026, 3, 1)}),
        (Refusal.END_BEFORE_START, {"end_date": date(2026, 3, 4)}),
        (Refusal.DOWNLOAD_AFTER_DATE, {"download_after": date(2026, 3, 20)}),
        (Refusal.INSTALL_AFTER_DATE, {"install_after": date(2026, 3, 20)}),
    ],
)
@story
def test_dates_before_the_start_must_fit(
    w: World, refusal: Refusal, changes: dict[str, Any]
) -> None:
    """Not in the past, not backward, and nothing after the end."""
    w.add_devices(1)
    campaign = w.campaign([1], start=3, end=6)
    before = w.get(campaign)
    with refused(refusal):
        w.dates(campaign, **changes)
    assert w.get(campaign) == before


@pytest.mark.parametrize(
    ("refusal", "changes"),
    [
        (Refusal.START_DATE, {"start_date": date(2026, 3, 3)}),
        (Refusal.END_BEFORE_START, {"end_date": date(2026, 3, 1)}),
        (Refusal.END_TOO_SOON, {"end_date": date(2026, 3, 2)}),
        (Refusal.DOWNLOAD_AFTER_DATE, {"download_after": date(2026, 3, 4)}),
        (Refusal.INSTALL_AFTER_DATE, {"install_after": date(2026, 3, 4)}),
        (Refusal.TIME_WINDOW_REMOVED, {"download_windows": ()}),
        (Refusal.TIME_WINDOW_REMOVED, {"download_windows": hours((0, 5), (8, 12))}),
        (Refusal.TIME_WINDOW_REMOVED, {"install_windows": hours((20, 24))}),
    ],
)
@story
def test_a_running_campaign_keeps_what_it_promised(
    w: World, refusal: Refusal, changes: dict[str, Any]
) -> None:
    """Its start, its windows and at least 24 hours stay (lifecycle.md 4.6)."""
    w.add_devices(1)
    campaign = w.campaign(
        [1], download_windows=hours((0, 4), (8, 12)), install_windows=hours((0, 24))
    )
    before = w.get(campaign)
    with refused(refusal):
        w.dates(campaign, **changes)
    assert w.get(campaign) == before


@story
def test_a_running_campaign_may_end_later_and_open_wider(w: World) -> None:
    """Its end may move, if it leaves a day, and windows may be added; devices are told anew."""
    w.add_devices(1)
    campaign = w.campaign([1], end=3, download_windows=hours((0, 4)))
    assert w.poll(1).link == "nothing"
    before = w.get(campaign).tag
    changed = w.dates(campaign, end_date=w.day(10), download_windows=hours((8, 9), (0, 4)))
    assert changed.tag > before
    assert w.is_offered(1)
    w.dates(campaign, end_date=w.day(1))  # ends 40 hours from now
    w.wait_for_day(2)
    assert w.status(campaign) is S.ENDED


@story
def test_the_same_dates_are_no_change(w: World) -> None:
    """In its last hours a campaign may be sent its own dates again."""
    w.add_devices(1)
    campaign = w.campaign([1], end=0)
    w.wait(hours=15)
    assert w.dates(campaign).end_date == w.day(0)


@story
def test_dates_of_a_campaign_that_is_over_stay(w: World) -> None:
    """Cancelled, aborted, failed or ended: nothing may be changed."""
    w.add_devices(1, 2, 3)
    cancelled, aborted, ended = w.campaign([1], start=1), w.campaign([2]), w.campaign([3], end=0)
    failed = w.campaign([9])
    w.stop(cancelled)
    w.stop(aborted)
    # Past its end, though the engine has not come to it.
    w.now += timedelta(days=1)
    for campaign in (cancelled, aborted, failed, ended):
        with refused(Refusal.NOT_MODIFIABLE):
            w.dates(campaign, end_date=w.day(20))
    w.carry_on()
    with refused(Refusal.NOT_MODIFIABLE):
        w.dates(ended, end_date=w.day(20))
