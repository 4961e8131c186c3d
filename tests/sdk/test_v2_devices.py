"""What is told of devices: statuses and reasons, reports, history, logging, check-ins (API 5.13 to 5.18)."""

import base64
from typing import Any

from verizon.models.device_logging_request import DeviceLoggingRequest

from tests.sdk.world import (
    FLEET,
    LWM2M,
    NEXT_SOFTWARE,
    NOT_ELIGIBLE,
    SOFTWARE,
    THEIRS,
    UNKNOWN,
    Refusal,
    World,
    imei,
    imeis,
)
from tests.waiting import wait_for

SUCCESS = ("UpgradeSuccess", "DownloadInstallSucceeded")
DEVICE_NOT_FOUND = Refusal("DEVICE_NOT_FOUND", "Device not found")


def pending(reason: str) -> tuple[str, str]:
    return "UpgradePending", reason


def failed(reason: str) -> tuple[str, str]:
    return "UpgradeFailed", reason


def listed(world: World) -> dict[str, Any]:
    """The account's devices by id."""
    return {
        device["deviceId"]: device
        for page in world.ada.pages("list_account_devices", "lastSeenDeviceId")
        for device in page["deviceList"]
    }


# Reports -----------------------------------------------------------------------------------------


def test_every_reason_of_an_upgrade(world: World) -> None:
    """While the campaign runs a failure is pending with its reason; at the end it is failed with it."""
    ada = world.ada
    campaign = world.campaign(*range(1, 8), end=1)
    world.device(2).poll()
    _, href = world.device(3).begin()
    world.device(3).download(href)
    world.device(4).fail()
    world.device(5).fail(downloaded=True)
    world.device(6).succeed()
    _, href = world.device(7).begin()
    for _ in range(5):
        world.device(7).download(href)
    loop = failed("Unknown device error.")
    running = {
        imei(1): pending(""),
        imei(2): pending("RovaClientDidNotReportStatus"),
        imei(3): pending("RovaClientDownloadNotInstalledYet"),
        imei(4): pending("RovaClientDownloadFailed"),
        imei(5): pending("RovaClientDownloadedInstallFailed"),
        imei(6): SUCCESS,
        imei(7): loop,
    }

    def as_expected() -> bool:
        assert ada.devices(campaign) == running
        return True

    wait_for(as_expected, "downloads to be counted, which is after their last byte was sent")
    world.wait(days=2)
    assert ada.status(campaign) == "CampaignEnded"
    ended = {device: failed(reason) for device, (_, reason) in running.items()}
    assert ada.devices(campaign) == ended | {
        imei(1): failed("RovaClientDidNotReportStatus"),
        imei(6): SUCCESS,
        imei(7): loop,
    }
    for number, (status, reason) in enumerate(ada.devices(campaign).values(), start=1):
        (past,) = ada.ok("get_device_firmware_upgrade_history", imei(number))
        assert (past["id"], past["status"], past["reason"]) == (campaign, status, reason)


def test_further_attempts(world: World) -> None:
    """A device that failed gets another offer after a pause, and has failed after its third."""
    ada = world.ada
    campaign = world.campaign(1, 2)
    device = world.device(1)
    device.fail()
    assert "deploymentBase" not in device.poll()
    world.wait(hours=1)
    device.fail(downloaded=True)
    assert ada.devices(campaign)[imei(1)] == pending("RovaClientDownloadedInstallFailed")
    world.wait(hours=1)
    device.fail()
    assert ada.devices(campaign)[imei(1)] == failed("RovaClientDownloadFailed")
    world.wait(hours=1)
    assert "deploymentBase" not in device.poll()
    world.device(2).fail()
    world.wait(hours=1)
    world.device(2).succeed()
    assert ada.devices(campaign)[imei(2)] == SUCCESS
    assert ada.status(campaign) == "CampaignScheduled"


def test_the_device_record(world: World) -> None:
    """After an upgrade a device shows its new version, and the next package fits it."""
    before = listed(world)[imei(1)]
    assert before["distributionType"] == "HTTP"
    assert [one["version"] for one in before["softwareList"]] == ["01"]
    assert "upgradeTime" not in before
    world.campaign(1)
    world.device(1).succeed()
    after = listed(world)[imei(1)]
    assert [(one["name"], one["version"]) for one in after["softwareList"]] == [(SOFTWARE, "02")]
    assert after["upgradeTime"].startswith(world.day().isoformat())
    world.settle()
    world.wait(days=1)
    world.campaign(1, software_name=NEXT_SOFTWARE, software_from="02", software_to="03")
    world.device(1).succeed()
    found = world.ada.ok("get_device_firmware_upgrade_history", imei(1))
    assert [one["softwareName"] for one in found] == [NEXT_SOFTWARE, SOFTWARE]
    assert [one["version"] for one in listed(world)[imei(1)]["softwareList"]] == ["03"]


def test_device_lists(world_sqlite: World) -> None:
    """Devices can be listed by distribution type; flags say what a device can be given."""
    ada = world_sqlite.ada
    (other,) = ada.ok("list_account_devices", distribution_type="LWM2M")["deviceList"]
    assert other["deviceId"] == imei(LWM2M)
    assert other["appFotaEligible"] is False
    assert ada.ok("list_account_devices", distribution_type="OMADM")["deviceList"] == []
    assert ada.why("list_account_devices", distribution_type="X") == "Invalid distributionType"
    found = listed(world_sqlite)
    assert found[imei(NOT_ELIGIBLE)]["fotaEligible"] is False
    assert found[imei(1)]["appFotaEligible"] is True
    assert imei(THEIRS[0]) not in found
    assert ada.ok("list_available_software", "LWM2M") == []
    assert ada.why("list_available_software", "X") == "Invalid distributionType"
    assert len(ada.ok("list_available_software")) == 2


def test_pages(paged_world: World) -> None:
    """Devices, campaigns and their devices come in pages that leave nothing out."""
    world, ada = paged_world, paged_world.ada
    assert len(listed(world)) == len(FLEET) + 5
    first = ada.ok("list_account_devices")
    assert (first["maxPageSize"], len(first["deviceList"])) == (3, 3)
    assert first["lastSeenDeviceId"] == first["deviceList"][-1]["deviceId"]
    assert ada.ok("list_account_devices", last_seen_device_id="0") == first

    made = [world.campaign(number, start=1) for number in range(1, 8)]
    other = world.campaign(8, start=1)
    ada.ok("cancel_campaign", other)
    world.settle()
    pages = list(
        ada.pages("get_campaign_history_by_status", "lastSeenCampaignId", "CampaignRequestQueued")
    )
    assert [one["id"] for page in pages for one in page["campaignList"]] == made
    assert len(pages) == 3
    # An old spelling of the state, and an id in capitals.
    page = ada.ok(
        "get_campaign_history_by_status", "CampaignQueued", last_seen_campaign_id=made[5].upper()
    )
    assert [one["id"] for one in page["campaignList"]] == [made[6]]
    (cancelled,) = ada.ok("get_campaign_history_by_status", "CampaignCancelled")["campaignList"]
    assert cancelled["id"] == other
    assert ada.ok("get_campaign_history_by_status", "CampaignEnded")["campaignList"] == []

    large = world.campaign(start=1, device_list=["0", *imeis(*range(10, 16)), UNKNOWN, "x"])
    assert set(ada.devices(large)) == {"0", *imeis(*range(10, 16)), UNKNOWN, "x"}
    assert ada.ok("get_campaign_device_status", large)["totalDevice"] == 9


def test_wrong_reports(world_sqlite: World) -> None:
    """Unknown statuses, cursors, campaigns and devices are refused, each in its own words."""
    ada = world_sqlite.ada
    campaign = world_sqlite.campaign(1, start=1)
    for status in ("", "Ended", "campaignended"):
        assert ada.why("get_campaign_history_by_status", status) == "Invalid campaign status"
    unknown = "60b5d639-ccdc-4db8-8824-069bd94c95bf"
    for cursor in (unknown, "x"):
        assert (
            ada.why("get_campaign_history_by_status", "CampaignEnded", cursor)
            == "LastSeenCampaignId Not Valid"
        )
    for cursor in (UNKNOWN, "1", "x", imei(THEIRS[0])):
        for name, *args in (
            ("list_account_devices",),
            ("get_account_license_status",),
            ("get_campaign_device_status", campaign),
        ):
            assert ada.why(name, *args, last_seen_device_id=cursor) == "LastSeenDeviceId Not Valid"
    for device in (UNKNOWN, imei(THEIRS[0])):
        for name in (
            "get_device_firmware_upgrade_history",
            "list_device_logs",
            "get_device_check_in_history",
            "enable_device_logging",
            "disable_device_logging",
        ):
            assert ada.refused(name, device) == DEVICE_NOT_FOUND
            assert ada.why(name, "12345") == "Invalid device id format"


# Logging and check-ins ---------------------------------------------------------------------------


def test_twenty_devices_are_logged(world: World) -> None:
    """A twenty-first device is refused, alone or in a list, and then none of the list is switched on."""
    ada = world.ada
    full = Refusal("INVALID_PARAMETER", "Maximum number of devices with logging enabled is 20")
    on = ada.ok("enable_logging_for_devices", DeviceLoggingRequest(imeis(*range(1, 20))))
    assert len(on) == 19
    assert {one["expiryDate"] for one in on} == {world.day(7).isoformat()}
    too_many = DeviceLoggingRequest(imeis(20, 21))
    assert ada.refused("enable_logging_for_devices", too_many) == full
    assert len(ada.ok("list_devices_with_logging_enabled")) == 19
    ada.ok("enable_device_logging", imei(20))
    assert ada.refused("enable_device_logging", imei(21)) == full
    # Another account has a limit of its own, and renewing takes no further place.
    world.bob.ok("enable_device_logging", imei(THEIRS[0]))
    world.wait(days=1)
    renewed = ada.ok("enable_logging_for_devices", DeviceLoggingRequest(imeis(1, 2)))
    dates = {one["deviceId"]: one["expiryDate"] for one in renewed}
    assert len(dates) == 20
    assert (dates[imei(1)], dates[imei(3)]) == (
        world.day(7).isoformat(),
        world.day(6).isoformat(),
    )
    assert ada.refused("enable_logging_for_devices", DeviceLoggingRequest([UNKNOWN])) == (
        DEVICE_NOT_FOUND
    )
    ada.ok("disable_device_logging", imei(1))
    ada.ok("disable_device_logging", imei(1))
    ada.ok("disable_logging_for_devices", imeis(2, 3))
    ada.ok("disable_logging_for_devices", ",".join(imeis(4, 5)))
    assert [one["deviceId"] for one in ada.ok("list_devices_with_logging_enabled")] == imeis(
        *range(6, 21)
    )
    ada.ok("enable_device_logging", imei(21))


def test_logging_ends_by_itself(world: World) -> None:
    """After seven days a device is not logged any more; its logs are kept for thirty."""
    ada, device = world.ada, world.device(1)
    assert "log" not in device.poll()
    ada.ok("enable_device_logging", imei(1))
    link = device.poll()["log"]
    entry = {"logType": "Wireless", "eventLog": "no signal"}
    assert device.ask("POST", link, [entry, entry | {"eventLog": "signal"}])[0] == 200
    world.wait(days=6)
    assert "log" in device.poll()
    world.wait(days=1)
    assert "log" not in device.poll()
    assert ada.ok("list_devices_with_logging_enabled") == []
    assert device.ask("POST", link, entry)[0] == 403
    logs = ada.ok("list_device_logs", imei(1))
    assert {(one["logType"], one["eventLog"]) for one in logs} == {
        ("Wireless", "no signal"),
        ("Wireless", "signal"),
    }
    world.wait(days=24)
    assert ada.ok("list_device_logs", imei(1)) == []


def test_binary_logs(world_sqlite: World) -> None:
    """A log that is no text comes as Base64, with its name."""
    ada, device = world_sqlite.ada, world_sqlite.device(1)
    ada.ok("enable_device_logging", imei(1))
    status, _ = device.ask(
        "POST",
        device.poll()["log"],
        raw=b"\x00\xff\x00",
        headers={
            "Content-Type": "application/octet-stream",
            "Content-Disposition": 'attachment; filename="trace.bin"',
        },
    )
    assert status == 200
    (log,) = ada.ok("list_device_logs", imei(1))
    assert base64.b64decode(log["binaryLogFileBase64"]) == b"\x00\xff\x00"
    assert log["binaryLogFilename"] == "trace.bin"


def test_check_in_history(world: World) -> None:
    """Every check-in is one entry, newest first, with what failed before it; for thirty days."""
    ada, device = world.ada, world.device(1)

    def history() -> list[tuple[str, str]]:
        world.in_loop(world.server.seen.flush)
        found = ada.ok("get_device_check_in_history", imei(1))
        times = [one["timeCompleted"] for one in found]
        assert times == sorted(times, reverse=True)
        return [(one["result"], one["failureType"]) for one in found]

    assert history() == []
    device.poll()
    world.wait(hours=12)
    device.poll()
    assert history() == [("Success", "None")] * 2
    world.campaign(1)
    world.wait(hours=1)
    device.fail(downloaded=True)
    world.wait(hours=1)
    device.poll()
    assert history()[0] == ("Failure", "Install")
    world.wait(days=31)
    assert history() == []
