"""One walk through all of v1 with the published client: every method of it, each answer looked at."""

from verizon.models.fota_v1_callback_registration_request import (
    FotaV1CallbackRegistrationRequest,
)
from verizon.models.v1_licenses_assigned_removed_request import V1LicensesAssignedRemovedRequest
from verizon.models.v1_list_of_licenses_to_remove_request import V1ListOfLicensesToRemoveRequest

from tests.sdk.shapes import methods_of
from tests.sdk.shapes_v1 import OPERATIONS
from tests.sdk.v1_world import ACCEPTED, NOTIFIED, SUCCEEDED, fail, on_v1, request, succeed
from tests.sdk.world import FIRMWARE, PUSHED, PUSHED_FLEET, World, imei, imeis

ONE, TWO, THREE, FOUR = PUSHED_FLEET[:4]


def test_the_table_has_every_method_of_the_client() -> None:
    """What the client calls under /fota/v1 is what these tests call."""
    assert methods_of("SOFTWARE_MANAGEMENT_V1") == set(OPERATIONS)
    assert len(OPERATIONS) == 18


def test_everything_once(world: World) -> None:
    """An upgrade is bought, scheduled, changed, run and reported; every method answers by the book."""
    ada = on_v1(world.ada)
    bought = ada.ok("get_account_subscription_status")
    assert (bought["licenseCount"], bought["licenseUsedCount"]) == (3, 0)
    assigned = ada.ok(
        "assign_licenses_to_devices", V1LicensesAssignedRemovedRequest(imeis(ONE, TWO))
    )
    assert (assigned["licCount"], assigned["licUsedCount"]) == (3, 2)
    assert ada.ok("get_account_license_status", "0")["assignedLicenses"] == 2
    ada.ok("remove_licenses_from_devices", V1LicensesAssignedRemovedRequest(imeis(TWO)))
    ada.ok("create_list_of_licenses_to_remove", V1ListOfLicensesToRemoveRequest(imeis(TWO, ONE)))
    assert ada.ok("list_licenses_to_remove", "0")["deviceList"] == imeis(TWO, ONE)
    ada.ok("delete_list_of_licenses_to_remove")

    url = "http://listener.example.com/fota"
    ada.ok("register_callback", FotaV1CallbackRegistrationRequest("Fota", url, "me", "secret"))
    assert ada.ok("list_registered_callbacks") == [
        {"aname": PUSHED, "name": "Fota", "url": url, "username": "me", "password": "secret"}
    ]
    ada.ok("deregister_callback", "Fota")

    firmware = {item["firmwareName"]: item for item in ada.ok("list_available_firmware")}
    assert firmware[FIRMWARE]["releaseNote"] == "safer"
    upgrade = ada.start(request(world, ONE, TWO, start=1))
    world.settle()
    assert ada.status(upgrade) == "Queued"
    assert ada.change(upgrade, "append", THREE) == [
        ("AddDeviceSucceed", "Device added Successfully")
    ]
    assert ada.change(upgrade, "remove", TWO) == [
        ("RemoveDeviceSucceed", "Device removed Successfully")
    ]
    dropped = ada.start(request(world, FOUR, start=2))
    ada.ok("cancel_scheduled_firmware_upgrade", dropped)
    assert ada.devices(upgrade) == {imei(ONE): ACCEPTED, imei(THREE): ACCEPTED}

    world.wait_until(world.midnight(1))
    assert ada.devices(upgrade) == {imei(ONE): NOTIFIED, imei(THREE): NOTIFIED}
    succeed(world, ONE)
    fail(world, THREE)
    assert [one["status"] for one in ada.history(THREE)] == ["UpgradePending"]
    world.wait(hours=1)
    succeed(world, THREE)
    assert ada.by_status("Finished") == [upgrade]
    assert ada.by_status("Queued") == []
    assert set(ada.devices(upgrade).values()) == {SUCCEEDED}
    assert [(one["id"], one["status"]) for one in ada.history(ONE)] == [(upgrade, "UpgradeSuccess")]
    devices = {
        one["deviceId"]: one
        for page in ada.all_pages("list_account_devices")
        for one in page["deviceList"]
    }
    assert devices[imei(ONE)]["firmware"] == "02"
    assert devices[imei(TWO)]["upgradeTime"] == "01/01/1900 0:0:0"
    assert ada.called == set(OPERATIONS)
