"""One walk through all of v2 with the published client: every method of it, each answer looked at."""

from verizon.models.device_logging_request import DeviceLoggingRequest
from verizon.models.download_time_window import DownloadTimeWindow
from verizon.models.fota_v2_callback_registration_request import (
    FotaV2CallbackRegistrationRequest,
)
from verizon.models.schedules_software_upgrade_request import SchedulesSoftwareUpgradeRequest
from verizon.models.upload_and_schedule_file_request import UploadAndScheduleFileRequest
from verizon.models.v2_add_or_remove_device_request import V2AddOrRemoveDeviceRequest
from verizon.models.v2_change_campaign_dates_request import V2ChangeCampaignDatesRequest
from verizon.models.v2_license_imei import V2LicenseIMEI
from verizon.models.v2_list_of_licenses_to_remove_request import V2ListOfLicensesToRemoveRequest

from tests.sdk.shapes import OPERATIONS, methods_of
from tests.sdk.world import IMAGE, SOFTWARE, World, file, imei, imeis, windows


def test_the_table_has_every_method_of_the_client() -> None:
    """What the client calls under /fota/v2 is what these tests call."""
    assert methods_of("SOFTWARE_MANAGEMENT_V2") == set(OPERATIONS)


def test_everything_once(world: World) -> None:
    """A campaign is bought, scheduled, changed, run and reported; every method answers by the book."""
    ada = world.ada
    bought = ada.ok("get_account_subscription_status")
    assert (bought["licenseCount"], bought["licenseUsedCount"]) == (3, 0)
    assigned = ada.ok("assign_licenses_to_devices", V2LicenseIMEI(imeis(1, 2)))
    assert (assigned["licTotalCount"], assigned["licUsedCount"]) == (3, 2)
    assert ada.ok("get_account_license_status")["assignedLicenses"] == 2
    ada.ok("remove_licenses_from_devices", V2LicenseIMEI(imeis(2)))
    ada.ok("create_list_of_licenses_to_remove", V2ListOfLicensesToRemoveRequest(imeis(2, 1)))
    assert ada.ok("list_licenses_to_remove")["deviceList"] == imeis(2, 1)
    ada.ok("delete_list_of_licenses_to_remove")

    url = "https://listener.example.com/fota"
    ada.ok("register_callback", FotaV2CallbackRegistrationRequest(url))
    ada.ok("update_callback", FotaV2CallbackRegistrationRequest(url))
    assert ada.ok("list_registered_callbacks") == {"url": url}
    ada.ok("deregister_callback")

    software = {item["softwareName"]: item for item in ada.ok("list_available_software", "HTTP")}
    assert software[SOFTWARE]["releaseNote"] == "faster"
    ada.ok("enable_logging_for_devices", DeviceLoggingRequest(imeis(1, 2)))
    ada.ok("enable_device_logging", imei(3))
    ada.ok("disable_device_logging", imei(3))
    ada.ok("disable_logging_for_devices", imeis(2))
    assert [one["deviceId"] for one in ada.ok("list_devices_with_logging_enabled")] == imeis(1)

    hours = [DownloadTimeWindow("0", "24")]
    scheduled = ada.ok(
        "schedule_sw_upgrade_http_devices",
        SchedulesSoftwareUpgradeRequest(
            "by strings", SOFTWARE, "01", "02", "HTTP",
            world.day(1).isoformat(), world.day(9).isoformat(),
            download_time_window_list=hours, install_time_window_list=hours,
            device_list=imeis(1, 2),
        ),
    )  # fmt: skip
    assert scheduled["downloadTimeWindowList"] == [{"startTime": "0", "endTime": "24"}]
    assert scheduled["deviceList"] == imeis(1, 2)
    campaign = scheduled["id"]
    world.settle()
    changed = ada.ok(
        "update_campaign_firmware_devices",
        campaign,
        V2AddOrRemoveDeviceRequest("append", [imei(3)]),
    )
    assert changed["campaignId"] == campaign
    dates = ada.ok(
        "update_campaign_dates",
        campaign,
        V2ChangeCampaignDatesRequest(
            world.day(1),
            world.day(8),
            download_after_date=world.day(2),
            download_time_window_list=windows((0, 12), (12, 24)),
            install_after_date=world.day(2),
        ),
    )
    assert dates["downloadTimeWindowList"] == [
        {"startTime": 0, "endTime": 12},
        {"startTime": 12, "endTime": 24},
    ]
    uploaded = ada.ok(
        "upload_config_file", file(b"a=1\n"), "1.0", "Acme", "X1", "/etc/settings.conf"
    )
    assert ada.ok("get_list_of_files", "HTTP")["AvailableFilesResponse"][0]["fileVersion"] == "1.0"
    with_file = ada.ok(
        "schedule_file_upgrade",
        UploadAndScheduleFileRequest(
            "a file", uploaded["fileName"], "1.0", "HTTP",
            world.day(0).isoformat(), world.day(3).isoformat(), device_list=imeis(4),
        ),
    )  # fmt: skip
    shown = ada.ok("get_campaign_information", with_file["id"])
    assert (shown["softwareName"], shown["softwareFrom"], shown["softwareTo"]) == (
        uploaded["fileName"],
        "",
        "1.0",
    )
    dropped = ada.schedule(world.request(5, start=2))
    ada.ok("cancel_campaign", dropped)

    world.wait(days=2)
    assert world.device(4).succeed() == b"a=1\n"
    for number in (1, 2, 3):
        assert world.device(number).succeed() == IMAGE
    status, _ = world.device(1).ask("POST", "/log", {"logType": "Event", "eventLog": "restarted"})
    assert status == 200
    world.settle()
    assert ada.status(campaign) == "CampaignEnded"
    assert ada.ok("get_campaign_history_by_status", "CampaignEnded")["campaignList"]
    assert set(ada.devices(campaign).values()) == {("UpgradeSuccess", "DownloadInstallSucceeded")}
    assert ada.ok("get_device_firmware_upgrade_history", imei(1))[0]["id"] == campaign
    world.in_loop(world.server.seen.flush)
    assert ada.ok("get_device_check_in_history", imei(1))
    assert ada.ok("list_device_logs", imei(1))
    devices = {one["deviceId"]: one for one in ada.ok("list_account_devices")["deviceList"]}
    assert devices[imei(1)]["softwareList"][0]["version"] == "02"
    assert devices[imei(4)]["softwareList"][-1]["version"] == "1.0"
    assert ada.called == set(OPERATIONS)
