"""Campaigns from the client's side: checks, states, changes, ends (lifecycle 2 and 4)."""

from pathlib import Path
from typing import Any

import pytest
from verizon.models.schedules_software_upgrade_request import SchedulesSoftwareUpgradeRequest
from verizon.models.upload_and_schedule_file_request import UploadAndScheduleFileRequest
from verizon.models.v2_add_or_remove_device_request import V2AddOrRemoveDeviceRequest
from verizon.models.v2_change_campaign_dates_request import V2ChangeCampaignDatesRequest

from tests.sdk.world import (
    FLEET,
    LWM2M,
    MONTHLY,
    MONTHLY_FLEET,
    NEXT_SOFTWARE,
    NOT_ELIGIBLE,
    OTHER_MODEL,
    OTHER_VERSION,
    SOFTWARE,
    SUSPENDED,
    THEIRS,
    UNKNOWN,
    Refusal,
    World,
    file,
    imei,
    imeis,
    open_world,
    windows,
)

ACCEPTED = ("Accepted", "Device cleared all checks so it can be added to the scheduled list.")
IN_CAMPAIGN = (
    "DeviceRejected",
    "Device scheduled for firmware upgrade previously, needs to be completed before another upgrade is scheduled.",
)
WAITING = ("UpgradePending", "")
OFFERED = ("UpgradePending", "RovaClientDidNotReportStatus")
SUCCESS = ("UpgradeSuccess", "DownloadInstallSucceeded")
CANCELLED = ("CampaignCancelled", "Campaign canceled by user.")
ABORTED = ("CampaignAborted", "Campaign aborted by user.")
NOT_MODIFIABLE = Refusal("INVALID_STATE", "Campaign cannot be modified")
NOT_CANCELLABLE = Refusal("INVALID_STATE", "Campaign cannot be cancelled")
PILOT_LIMIT = Refusal("PILOT_LIMIT_EXCEEDED", "Device limit exceeded: pilot campaign limit is 20")


def uploaded(world: World, name: str = "hello-world.txt", version: str = "1.0") -> str:
    """The generated name of a file of the account."""
    return str(
        world.ada.ok(
            "upload_config_file", file(b"hello", name), version, "Acme", "X1", "/etc/hello"
        )["fileName"]
    )


def file_request(world: World, name: str, *numbers: int, start: int = 0, **more: Any) -> Any:
    asked = {
        "file_name": name,
        "file_version": "1.0",
        "distribution_type": "HTTP",
        "start_date": world.day(start).isoformat(),
        "end_date": world.day(start + 3).isoformat(),
        "device_list": imeis(*numbers),
    }
    return UploadAndScheduleFileRequest(**(asked | more))


def append(*numbers: int) -> Any:
    return V2AddOrRemoveDeviceRequest("append", imeis(*numbers))


def remove(*numbers: int) -> Any:
    return V2AddOrRemoveDeviceRequest("remove", imeis(*numbers))


def dates(world: World, start: int, end: int, **more: Any) -> Any:
    return V2ChangeCampaignDatesRequest(world.day(start), world.day(end), **more)


# Checks ------------------------------------------------------------------------------------------


def test_every_rejection(world: World) -> None:
    """Each documented rejection reaches the report with its text, and the others go on."""
    ada = world.ada
    busy = world.campaign(2, start=3)
    numbers = [1, 2, NOT_ELIGIBLE, SUSPENDED, OTHER_MODEL, OTHER_VERSION, LWM2M, THEIRS[0]]
    campaign = world.campaign(
        start=1, device_list=[*imeis(*numbers), UNKNOWN, "99001390000000", "abc"]
    )
    make_model = ("DeviceRejected", "Device make/model does not meet software prerequisites.")
    assert ada.devices(campaign) == {
        imei(1): ACCEPTED,
        imei(2): IN_CAMPAIGN,
        imei(NOT_ELIGIBLE): (
            "DeviceRejected",
            "Device not eligible for service (not FOTA capable)",
        ),
        imei(SUSPENDED): (
            "DeviceRejected",
            "Device is not in active state or is not connected.",
        ),
        imei(OTHER_MODEL): make_model,
        imei(OTHER_VERSION): (
            "DeviceRejected",
            "Current device software version does not meet software prerequisites.",
        ),
        imei(LWM2M): make_model,
        imei(THEIRS[0]): ("DeviceRejected", "Device not found."),
        UNKNOWN: ("DeviceRejected", "Device not found."),
        "99001390000000": ("DeviceRejected", "Invalid device IMEI."),
        "abc": ("DeviceRejected", "Invalid device IMEI."),
    }
    assert ada.status(campaign) == ada.status(busy) == "CampaignRequestQueued"


def test_monthly_accounts_need_a_licence(world: World) -> None:
    """Where only monthly licences were bought, a device without one is rejected."""
    ada = world.ada.on(MONTHLY)
    campaign = world.campaign(MONTHLY_FLEET[0], by=ada)
    assert ada.status(campaign) == "CampaignRequestFailed"
    assert ada.devices(campaign) == {
        imei(MONTHLY_FLEET[0]): ("DeviceRejected", "No license attached to device")
    }


def test_files_have_no_version_prerequisite(world: World) -> None:
    """A configuration file goes to a device of any version, but only of its make and model."""
    name = uploaded(world)
    made = world.ada.ok(
        "schedule_file_upgrade", file_request(world, name, 1, OTHER_VERSION, OTHER_MODEL)
    )
    assert (made["fileName"], made["fileVersion"]) == (name, "1.0")
    assert "softwareName" not in made
    world.settle()
    assert world.ada.devices(made["id"]) == {
        imei(1): WAITING,
        imei(OTHER_VERSION): WAITING,
        imei(OTHER_MODEL): (
            "DeviceRejected",
            "Device make/model does not meet software prerequisites.",
        ),
    }


def test_a_device_is_free_again(world: World) -> None:
    """One that was removed, rejected, or whose campaign is over may be in another campaign."""
    ada = world.ada
    first = world.campaign(1, 2, 3, start=2)
    ada.ok("update_campaign_firmware_devices", first, remove(1))
    world.settle()
    second = world.campaign(1, 2, start=2)
    assert ada.devices(second) == {imei(1): ACCEPTED, imei(2): IN_CAMPAIGN}
    ada.ok("cancel_campaign", first)
    world.settle()
    third = world.campaign(2, 3, start=2)
    assert set(ada.devices(third).values()) == {ACCEPTED}


# States ------------------------------------------------------------------------------------------


def test_a_dated_campaign(world: World) -> None:
    """Pending, queued until 00:00 of its start, scheduled until its last second, ended."""
    ada = world.ada
    campaign = ada.schedule(world.request(1, 2, start=1, end=3))
    world.settle()
    assert ada.status(campaign) == "CampaignRequestQueued"
    assert ada.devices(campaign) == {imei(1): ACCEPTED, imei(2): ACCEPTED}
    begin, end = world.midnight(1), world.midnight(4)
    world.wait_until(begin)
    assert ada.status(campaign) == "CampaignScheduled"
    assert ada.devices(campaign) == {imei(1): WAITING, imei(2): WAITING}
    world.device(1).poll()
    assert ada.devices(campaign) == {imei(1): OFFERED, imei(2): WAITING}
    world.wait(seconds=(end - begin).total_seconds() - 1)
    assert ada.status(campaign) == "CampaignScheduled"
    world.wait(seconds=1)
    assert ada.status(campaign) == "CampaignEnded"
    failed = ("UpgradeFailed", "RovaClientDidNotReportStatus")
    assert ada.devices(campaign) == {imei(1): failed, imei(2): failed}
    assert "deploymentBase" not in world.device(1).poll()


def test_all_succeeded(world: World) -> None:
    """A campaign ends early when each of its devices has succeeded; rejected ones do not count."""
    campaign = world.campaign(1, 2, NOT_ELIGIBLE)
    world.device(1).succeed()
    world.settle()
    assert world.ada.status(campaign) == "CampaignScheduled"
    world.device(2).succeed()
    world.settle()
    assert world.ada.status(campaign) == "CampaignEnded"


def test_nobody_passes(world: World) -> None:
    """A campaign whose devices are all rejected has failed its request."""
    campaign = world.campaign(NOT_ELIGIBLE, SUSPENDED, start=1)
    assert world.ada.status(campaign) == "CampaignRequestFailed"
    assert world.ada.refused("cancel_campaign", campaign) == NOT_CANCELLABLE
    assert (
        world.ada.refused("update_campaign_dates", campaign, dates(world, 1, 2)) == NOT_MODIFIABLE
    )


def test_on_demand(world: World) -> None:
    """Today's campaign starts at once, and has a week, or less if that is asked for."""
    ada = world.ada
    for number, end, expected in ((1, 30, 7), (2, 7, 7), (3, 1, 1), (4, 0, 0)):
        campaign = world.campaign(number, end=end)
        shown = ada.ok("get_campaign_information", campaign)
        assert shown["status"] == "CampaignScheduled"
        assert shown["startDate"] == world.day(0).isoformat()
        assert shown["endDate"] == world.day(expected).isoformat()
    without_end = ada.ok(
        "schedule_sw_upgrade_http_devices",
        SchedulesSoftwareUpgradeRequest(
            software_name=SOFTWARE,
            software_from="01",
            software_to="02",
            distribution_type="HTTP",
            start_date=world.day(0).isoformat(),
            device_list=imeis(5),
        ),
    )
    assert without_end["endDate"] == world.day(7).isoformat()


def test_on_demand_delay(tmp_path: Path) -> None:
    """An on-demand campaign may be told to wait a while after its checks."""
    with open_world(tmp_path / "world", on_demand_delay_s=5400) as world:
        campaign = world.campaign(1)
        assert world.ada.status(campaign) == "CampaignRequestQueued"
        world.wait(seconds=5399)
        assert world.ada.status(campaign) == "CampaignRequestQueued"
        world.wait(seconds=1)
        assert world.ada.status(campaign) == "CampaignScheduled"


def test_while_pending(database_url: str, tmp_path: Path) -> None:
    """Before its checks a campaign is listed, changed and cancelled like a queued one."""
    with open_world(tmp_path / "world", database_url, engine=False) as world:
        ada = world.ada
        campaign = ada.schedule(world.request(1, 2, start=1))
        assert ada.status(campaign) == "CampaignRequestPending"
        assert set(ada.devices(campaign).values()) == {("RequestPending", "")}
        ada.ok("update_campaign_firmware_devices", campaign, append(3))
        assert ada.ok("update_campaign_dates", campaign, dates(world, 2, 4))["startDate"] == (
            world.day(2).isoformat()
        )
        (listed,) = ada.ok("get_campaign_history_by_status", "CampaignRequestPending")[
            "campaignList"
        ]
        assert listed["id"] == campaign
        ada.ok("cancel_campaign", campaign)
        assert ada.status(campaign) == "CampaignCancelled"


def test_outside_its_windows_nothing_is_offered(world: World) -> None:
    """A device gets the package on its day, within the hours of a download window."""
    world.campaign(
        1,
        download_after_date=world.day(1),
        download_time_window_list=windows((2, 4), (20, 21)),
    )
    device = world.device(1)
    assert "deploymentBase" not in device.poll()
    for hour, offered in ((1, False), (2, True)):
        world.wait_until(world.midnight(1).replace(hour=hour))
        assert ("deploymentBase" in device.poll()) is offered


# Ends --------------------------------------------------------------------------------------------


def test_cancel_before_the_start(world: World) -> None:
    """A queued campaign is cancelled for all of its devices, and then nothing can be changed."""
    ada = world.ada
    campaign = world.campaign(1, 2, OTHER_MODEL, start=1)
    ada.ok("cancel_campaign", campaign)
    world.settle()
    assert ada.status(campaign) == "CampaignCancelled"
    found = ada.devices(campaign)
    assert (found[imei(1)], found[imei(2)]) == (CANCELLED, CANCELLED)
    assert found[imei(OTHER_MODEL)][0] == "DeviceRejected"
    assert ada.refused("cancel_campaign", campaign) == NOT_CANCELLABLE
    assert ada.refused("update_campaign_firmware_devices", campaign, append(3)) == NOT_MODIFIABLE
    assert ada.refused("update_campaign_dates", campaign, dates(world, 1, 2)) == NOT_MODIFIABLE
    world.wait(days=2)
    assert "deploymentBase" not in world.device(1).poll()


def test_abort_after_the_start(world: World) -> None:
    """What is done stays done, what was not seen is over, what runs is asked to stop."""
    ada = world.ada
    campaign = world.campaign(1, 2, 3)
    world.device(1).succeed()
    action, _ = world.device(2).begin()
    ada.ok("cancel_campaign", campaign)
    world.settle()
    assert ada.status(campaign) == "CampaignAborted"
    assert ada.devices(campaign) == {imei(1): SUCCESS, imei(2): ABORTED, imei(3): ABORTED}
    links = world.device(2).poll()
    assert "cancelAction" in links
    assert "deploymentBase" not in links
    assert ada.refused("cancel_campaign", campaign) == NOT_CANCELLABLE
    world.device(2).say(action, "closed", "success")
    assert ada.devices(campaign)[imei(2)] == SUCCESS


def test_after_the_end(world: World) -> None:
    """An ended campaign can be neither changed nor stopped; a late success is recorded."""
    ada = world.ada
    campaign = world.campaign(1, end=0)
    action, _ = world.device(1).begin()
    world.device(1).say(action, "downloaded")
    world.wait(days=1)
    assert ada.status(campaign) == "CampaignEnded"
    assert ada.devices(campaign)[imei(1)] == (
        "UpgradeFailed",
        "RovaClientDownloadNotInstalledYet",
    )
    assert ada.refused("cancel_campaign", campaign) == NOT_CANCELLABLE
    assert ada.refused("update_campaign_dates", campaign, dates(world, 0, 4)) == NOT_MODIFIABLE
    assert ada.refused("update_campaign_firmware_devices", campaign, remove(1)) == NOT_MODIFIABLE
    world.device(1).say(action, "closed", "success")
    assert ada.devices(campaign)[imei(1)] == SUCCESS
    (past,) = ada.ok("get_device_firmware_upgrade_history", imei(1))
    assert (past["status"], past["reason"]) == SUCCESS


# Changes -----------------------------------------------------------------------------------------


def test_add_and_remove_devices(world: World) -> None:
    """Before the start devices come and go; the answer is a request, the outcome is in the list."""
    ada = world.ada
    campaign = world.campaign(1, 2, start=1)
    first = ada.ok("update_campaign_firmware_devices", campaign, append(2, 3, NOT_ELIGIBLE))
    second = ada.ok("update_campaign_firmware_devices", campaign, remove(1, 30))
    assert first["requestId"] != second["requestId"]
    world.settle()
    found = ada.devices(campaign)
    assert found == {
        imei(2): ACCEPTED,
        imei(3): ACCEPTED,
        imei(NOT_ELIGIBLE): found[imei(NOT_ELIGIBLE)],
    }
    assert found[imei(NOT_ELIGIBLE)][0] == "DeviceRejected"
    wrong = V2AddOrRemoveDeviceRequest("replace", imeis(1))
    assert ada.why("update_campaign_firmware_devices", campaign, wrong) == "Invalid type"
    assert ada.why("update_campaign_firmware_devices", campaign, append()) == "Device list is empty"
    world.wait_until(world.midnight(1))
    assert ada.refused("update_campaign_firmware_devices", campaign, append(4)) == NOT_MODIFIABLE
    assert ada.refused("update_campaign_firmware_devices", campaign, remove(2)) == NOT_MODIFIABLE


def test_a_campaign_that_is_emptied(world: World) -> None:
    """Taking the last device out of a campaign cancels it."""
    campaign = world.campaign(1, start=1)
    world.ada.ok("update_campaign_firmware_devices", campaign, remove(1))
    world.settle()
    assert world.ada.status(campaign) == "CampaignCancelled"
    assert world.ada.devices(campaign) == {}


def test_dates_before_the_start(world: World) -> None:
    """Start, end and windows may all change, and what is left out is gone."""
    ada = world.ada
    campaign = world.campaign(
        1,
        start=2,
        download_after_date=world.day(3),
        download_time_window_list=windows((1, 2)),
        install_after_date=world.day(4),
        install_time_window_list=windows((3, 4)),
    )
    shown = ada.ok("update_campaign_dates", campaign, dates(world, 3, 6))
    assert (shown["startDate"], shown["endDate"]) == (
        world.day(3).isoformat(),
        world.day(6).isoformat(),
    )
    assert not shown.keys() & {
        "downloadAfterDate",
        "installAfterDate",
        "downloadTimeWindowList",
        "installTimeWindowList",
    }
    world.wait_until(world.midnight(2))
    assert ada.status(campaign) == "CampaignRequestQueued"
    moved = ada.ok("update_campaign_dates", campaign, dates(world, 0, 30))
    assert moved["endDate"] == world.day(7).isoformat()
    world.settle()
    assert ada.status(campaign) == "CampaignScheduled"


@pytest.mark.parametrize(
    ("start", "end", "more", "message"),
    [
        (-1, 3, {}, "FotaPostUpgrades: invalid start date"),
        (3, 2, {}, "End date before start date"),
        (1, 3, {"download_time_window_list": windows((4, 4))}, "Invalid time window"),
        (1, 3, {"download_time_window_list": windows((5, 4))}, "Invalid time window"),
        (1, 3, {"install_time_window_list": windows((-1, 4))}, "Invalid time window"),
        (1, 3, {"install_time_window_list": windows((20, 25))}, "Invalid time window"),
    ],
)
def test_wrong_dates(
    world_sqlite: World, start: int, end: int, more: dict[str, Any], message: str
) -> None:
    """Dates and windows that make no sense are refused when scheduling and when changing alike."""
    world = world_sqlite
    request = world.request(1, start=start, end=end, **more)
    assert world.ada.why("schedule_campaign_firmware_upgrade", request) == message
    campaign = world.campaign(1, start=2)
    before = world.ada.ok("get_campaign_information", campaign)
    assert (
        world.ada.why("update_campaign_dates", campaign, dates(world, start, end, **more))
        == message
    )
    assert world.ada.ok("get_campaign_information", campaign) == before


def test_dates_after_the_start(world: World) -> None:
    """The end may move, not closer than 24 hours; windows may be added; the start stays."""
    ada = world.ada
    campaign = world.campaign(1, end=5, download_time_window_list=windows((9, 10)))
    kept = {"download_time_window_list": windows((9, 10))}

    def why(start: int, end: int, **more: Any) -> str:
        return ada.why("update_campaign_dates", campaign, dates(world, start, end, **more))

    assert why(1, 5, **kept) == "FotaPostUpgrades: invalid start date"
    assert why(0, 0, **kept) == "End date less than 24 hours from now"
    assert why(0, -1, **kept) == "End date before start date"
    removed = "Removing existing time windows is not allowed"
    assert why(0, 5) == removed
    assert why(0, 5, download_time_window_list=windows((9, 11))) == removed
    device = world.device(1)
    assert "deploymentBase" not in device.poll()
    shown = ada.ok(
        "update_campaign_dates",
        campaign,
        dates(
            world,
            0,
            1,
            download_time_window_list=windows((8, 9), (9, 10)),
            install_time_window_list=windows((0, 24)),
        ),
    )
    assert shown["endDate"] == world.day(1).isoformat()
    assert len(shown["downloadTimeWindowList"]) == 2
    assert "deploymentBase" in device.poll()
    world.wait_until(world.midnight(1))
    world.wait(hours=1)
    same = dates(
        world,
        -1,
        0,
        download_time_window_list=windows((8, 9), (9, 10)),
        install_time_window_list=windows((0, 24)),
    )
    # The same end again is no change of it, however near it is.
    assert ada.ok("update_campaign_dates", campaign, same)["endDate"] == (world.day(0).isoformat())


# The pilot ---------------------------------------------------------------------------------------


def test_the_pilot_limit_and_its_lifting(world: World) -> None:
    """Twenty devices until five have an outcome and half of them succeeded; then any number."""
    ada = world.ada
    too_many = world.request(*range(1, 22), start=1)
    assert ada.refused("schedule_campaign_firmware_upgrade", too_many) == PILOT_LIMIT
    pilot = world.campaign(*range(1, 21), start=1)
    # It is full: only a device that is in it already may be named again.
    ada.ok("update_campaign_firmware_devices", pilot, append(1, 2))
    assert ada.refused("update_campaign_firmware_devices", pilot, append(21)) == PILOT_LIMIT
    ada.ok("update_campaign_firmware_devices", pilot, remove(20))
    ada.ok("update_campaign_firmware_devices", pilot, append(21))
    world.wait_until(world.midnight(1))
    for number in range(1, 5):
        world.device(number).succeed()
    assert ada.refused("schedule_campaign_firmware_upgrade", too_many) == PILOT_LIMIT
    world.device(5).succeed()
    rest = [n for n in FLEET if n > 21 or n == 20]
    full = world.campaign(*rest, *range(1, 6))
    found = ada.devices(full)
    assert len(found) == len(rest) + 5 > 20
    assert {found[imei(n)] for n in rest} == {WAITING}
    # Another package of the account has its own pilot, and so has a file.
    name = uploaded(world)
    asked = file_request(world, name, *range(1, 22))
    assert ada.refused("schedule_file_upgrade", asked) == PILOT_LIMIT
    other = world.request(
        *range(1, 22), software_name=NEXT_SOFTWARE, software_from="02", software_to="03"
    )
    assert ada.refused("schedule_campaign_firmware_upgrade", other) == PILOT_LIMIT


def test_a_pilot_that_fails(world: World) -> None:
    """With fewer than half successful the limit stays, until further successes make up for it."""
    ada = world.ada
    world.campaign(*range(1, 6), end=0)
    world.device(1).succeed()
    world.device(2).succeed()
    world.wait(days=1)  # three have not reported: failed
    request = world.request(*range(10, 31))
    assert ada.refused("schedule_campaign_firmware_upgrade", request) == PILOT_LIMIT
    world.campaign(6)
    world.device(6).succeed()
    ada.schedule(request)
