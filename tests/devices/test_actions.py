"""The life of an action (http-ddi 6) and the words of reports for it (8)."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from overair.core.window import Window
from tests.devices.field import MONDAY, Field, open_field
from tests.waiting import until

END = datetime(2026, 3, 8, tzinfo=MONDAY.tzinfo)  # of a campaign of five days from Monday


async def test_scheduled_shows_nothing(field: Field) -> None:
    """Before the campaign's start the device is accepted and shown nothing; at it, offered."""
    peer = await field.new_peer(1)
    campaign = await field.campaign(1, start=1)
    assert await field.word(1, campaign) == (
        "Accepted",
        "Device cleared all checks so it can be added to the scheduled list.",
    )
    assert await peer.offered() is None
    await field.wait(hours=15, minutes=59)
    assert await peer.offered() is None
    await field.wait(minutes=1)
    assert await field.word(1, campaign) == ("UpgradePending", "")
    assert await peer.offered() is not None


async def test_the_words_on_the_way_to_success(each_field: Field) -> None:
    """Offered, retrieved, running: no report; downloaded: not installed yet; finished: success."""
    field = each_field
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    assert await field.word(1, campaign) == ("UpgradePending", "")
    await peer.offered()
    silent = ("UpgradePending", "RovaClientDidNotReportStatus")
    assert await field.word(1, campaign) == silent
    action, document = await peer.retrieve()
    assert await field.word(1, campaign) == silent
    await peer.say(action, "proceeding")
    assert await field.word(1, campaign) == silent
    await peer.download(document)

    async def is_downloaded() -> bool:
        return await field.word(1, campaign) == (
            "UpgradePending",
            "RovaClientDownloadNotInstalledYet",
        )

    await until(is_downloaded)
    await peer.close_with(action, "success")
    assert await field.word(1, campaign) == ("UpgradeSuccess", "DownloadInstallSucceeded")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("nothing", "RovaClientDownloadFailed"),
        ("part", "RovaClientDownloadFailed"),
        ("whole", "RovaClientDownloadedInstallFailed"),
        ("word", "RovaClientDownloadedInstallFailed"),
    ],
)
async def test_the_words_of_a_failure(field: Field, how: str, reason: str) -> None:
    """Failed before or after the whole artifact was there, and pending while it may be tried."""
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    action, document = await peer.retrieve()
    if how == "part":
        href = document["deployment"]["chunks"][0]["artifacts"][0]["_links"]["download"]["href"]
        await peer.get(href, {"Range": "bytes=0-9998"})
    elif how == "whole":
        await peer.download(document)
    elif how == "word":
        await peer.say(action, "downloaded")
    await peer.close_with(action, "failure")
    assert await field.word(1, campaign) == ("UpgradePending", reason)
    await field.wait_until(END)
    assert await field.word(1, campaign) == ("UpgradeFailed", reason)


async def test_without_any_check_in(field: Field) -> None:
    """A device that never came failed because it did not report."""
    await field.add(1)
    campaign = await field.campaign(1)
    await field.wait_until(END)
    assert await field.word(1, campaign) == ("UpgradeFailed", "RovaClientDidNotReportStatus")


async def test_success_is_stored_and_shown(each_field: Field) -> None:
    """On success: the version, attributes wanted, installedBase; the campaign ends with it."""
    field = each_field
    peer = await field.new_peer(1)
    await peer.send_attributes(hw="2")
    campaign = await field.campaign(1)
    action = await peer.succeed()
    assert await peer.version() == "02"
    assert set(await peer.links()) == {"configData", "installedBase"}
    assert await field.state(action) == "finished"
    await field.carry_on()
    assert await field.counts(campaign) == {"succeeded": 1}


async def test_success_only_by_the_device_s_word(field: Field) -> None:
    """A complete download and any progress are no success."""
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    action, document = await peer.retrieve()
    await peer.download(document)
    for execution in ("downloaded", "proceeding", "canceled"):
        await peer.say(action, execution, "success", "All Chunks Installed.")
    assert (await field.word(1, campaign))[0] == "UpgradePending"
    assert await peer.version() == "01"


async def test_an_offer_is_sticky_once_it_was_retrieved(field: Field) -> None:
    """The link stays, whatever the windows say, until the action is at its end."""
    await field.add(1, 2)
    await field.campaign(1, 2, download_windows=(Window(8, 9),))
    taken, waiting = field.peer(1), field.peer(2)
    action, document = await taken.retrieve()
    assert await waiting.offered() is not None
    await field.wait(hours=2)
    assert await taken.offered() == action
    assert (await taken.get(f"/deploymentBase/{action}")).status == 200
    assert (await taken.download(document)).status == 200
    assert await waiting.offered() is None
    await field.wait(days=3)
    assert await taken.offered() == action
    await taken.close_with(action, "success")
    assert await taken.offered() is None


async def test_the_end_expires_what_was_not_downloaded(each_field: Field) -> None:
    """After the end: no link, deployment and artifact 404, feedback 200."""
    field = each_field
    peer = await field.new_peer(1)
    await field.campaign(1)
    action, document = await peer.retrieve()
    await field.wait_until(END - timedelta(seconds=1))
    assert await peer.offered() == action
    field.clock.advance(timedelta(seconds=1))
    assert await peer.offered() is None  # at once, before the engine has come by
    await field.carry_on()
    assert await field.state(action) == "expired"
    assert (await peer.get(f"/deploymentBase/{action}")).status == 404
    assert (await peer.download(document)).status == 404
    for execution in ("proceeding", "downloaded", "rejected"):
        assert (await peer.say(action, execution)).status == 200
    assert await field.state(action) == "expired"


async def test_a_downloaded_action_has_a_grace_time(each_field: Field) -> None:
    """With its artifact complete the link stays for 24 hours more, then it expires too."""
    field = each_field
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    action, document = await peer.retrieve()
    await peer.download(document)
    await field.wait_until(END)
    assert await peer.offered() == action
    assert (await peer.get(f"/deploymentBase/{action}")).status == 200
    assert (await peer.download(document)).status == 200
    assert await field.word(1, campaign) == ("UpgradeFailed", "RovaClientDownloadNotInstalledYet")
    await field.wait(hours=23, minutes=59)
    assert await peer.offered() == action
    await field.wait(minutes=1)
    assert await peer.offered() is None
    assert await field.state(action) == "expired"
    assert (await peer.download(document)).status == 404


@pytest.mark.parametrize("downloaded", [False, True])
@pytest.mark.parametrize("days", [0, 3, 40])
async def test_a_late_success_counts(field: Field, downloaded: bool, days: int) -> None:
    """A success after the end counts for the device and its history, once."""
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    action, document = await peer.retrieve()
    if downloaded:
        await peer.download(document)
    await field.wait_until(END + timedelta(days=days))
    await peer.close_with(action, "success")
    assert await field.word(1, campaign) == ("UpgradeSuccess", "DownloadInstallSucceeded")
    assert await peer.version() == "02"
    assert await field.counts(campaign) == {"succeeded": 1}
    assert "installedBase" in await peer.links()
    assert (await peer.say(action, "closed", "success")).status == 410


async def test_a_late_failure_is_recorded(field: Field) -> None:
    """A failure after the end ends the action and changes nothing else."""
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    action, _ = await peer.retrieve()
    await field.wait_until(END + timedelta(days=2))
    await peer.close_with(action, "failure")
    assert await field.state(action) == "failed"
    assert (await field.word(1, campaign))[0] == "UpgradeFailed"
    assert (await peer.say(action, "closed", "success")).status == 410


async def test_a_further_attempt_after_the_delay(each_field: Field) -> None:
    """A failed device is not offered the update in its very next poll, but after the delay."""
    field = each_field
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    first = await peer.fail()
    for minutes in (0, 1, 30, 28):
        await field.wait(minutes=minutes)
        assert await peer.offered() is None
    await field.wait(minutes=1)
    second = await peer.offered()
    assert second is not None
    assert second != first
    assert await field.state(first) == "failed"
    assert (await peer.get(f"/deploymentBase/{first}")).status == 404
    assert await field.word(1, campaign) == ("UpgradePending", "RovaClientDownloadFailed")


async def test_the_first_reason_stays_until_the_second_is_downloaded(field: Field) -> None:
    """During a further attempt the reason of the one before is kept until it knows better."""
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    await peer.fail()
    await field.wait(hours=1)
    failed = ("UpgradePending", "RovaClientDownloadFailed")
    action, _ = await peer.retrieve()
    assert await field.word(1, campaign) == failed
    await peer.say(action, "proceeding")
    assert await field.word(1, campaign) == failed
    await peer.say(action, "downloaded")
    assert (await field.word(1, campaign))[1] == "RovaClientDownloadNotInstalledYet"


async def test_attempts_are_limited(each_field: Field) -> None:
    """Three attempts in one campaign; then the device has failed, and no more are offered."""
    field = each_field
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    actions = []
    for _ in range(3):
        assert (await field.word(1, campaign))[0] == "UpgradePending"
        actions.append(await peer.fail())
        await field.wait(hours=1)
    assert len(set(actions)) == 3
    assert await peer.offered() is None
    assert await field.word(1, campaign) == ("UpgradeFailed", "RovaClientDownloadFailed")
    await field.wait(days=2)
    assert await peer.offered() is None


async def test_a_further_attempt_may_succeed(field: Field) -> None:
    """A failure is not the device's last word."""
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    await peer.fail()
    await field.wait(hours=1)
    await peer.succeed()
    assert await field.word(1, campaign) == ("UpgradeSuccess", "DownloadInstallSucceeded")
    assert await field.counts(campaign) == {"succeeded": 1}


async def test_a_further_attempt_waits_for_a_window(field: Field) -> None:
    """After the delay it is offered at a check-in in an open window."""
    peer = await field.new_peer(1)
    await field.campaign(1, download_windows=(Window(8, 9),))
    await peer.fail()
    await field.wait(hours=2)
    assert await peer.offered() is None
    await field.wait(hours=22)
    assert await peer.offered() is not None


async def test_delay_and_attempts_are_settings(tmp_path: Path) -> None:
    """Both can be set."""
    async with open_field(tmp_path, retry_delay_s=60, max_attempts=1) as field:
        peer = await field.new_peer(1)
        campaign = await field.campaign(1)
        await peer.fail()
        assert (await field.word(1, campaign))[0] == "UpgradeFailed"
        await field.wait(hours=2)
        assert await peer.offered() is None


async def test_the_loop_guard(each_field: Field) -> None:
    """The fifth complete download of an action fails it, and no further attempt is made."""
    field = each_field
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    action, document = await peer.retrieve()
    for number in range(1, 6):
        assert await peer.offered() == action
        assert (await peer.download(document)).status == 200
        await peer.say(action, "proceeding", "none", "Installed Chunk.")

        async def is_counted(number: int = number) -> bool:
            return (await field.attempt(action)).downloads == number

        await until(is_counted)
    assert await field.state(action) == "failed"
    assert await field.word(1, campaign) == ("UpgradeFailed", "Unknown device error.")
    assert await peer.offered() is None
    await field.wait(hours=5)
    assert await peer.offered() is None
    assert (await peer.download(document)).status == 404
    assert (await peer.say(action, "closed", "success")).status == 410


async def test_one_action_at_a_time(field: Field) -> None:
    """A device in a campaign is rejected by another, and never shown two actions."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    action, _ = await peer.retrieve()
    second = await field.campaign(1)
    assert (await field.word(1, second))[0] == "DeviceRejected"
    assert await peer.offered() == action
    rows = await field.run(lambda tx: tx.all("select id from attempt"))
    assert len(rows) == 1


async def test_an_action_of_an_ended_campaign_comes_first(field: Field) -> None:
    """While the grace of an old action lasts, a new campaign's waits for it."""
    await field.add(1)
    peer = field.peer(1)
    await field.campaign(1)
    action, document = await peer.retrieve()
    await peer.download(document)
    await field.wait_until(END)
    await field.campaign(1)
    assert await peer.offered() == action
    await field.wait(hours=24)
    later = await peer.offered()
    assert later is not None
    assert later != action
