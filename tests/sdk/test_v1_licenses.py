"""v1's licences and candidates for cancellation from the client's side (lifecycle 6, 7)."""

from typing import Any

from verizon.models.v1_licenses_assigned_removed_request import V1LicensesAssignedRemovedRequest
from verizon.models.v1_list_of_licenses_to_remove_request import V1ListOfLicensesToRemoveRequest

from tests.sdk.test_v2_licenses import subscribe
from tests.sdk.v1_world import ACCEPTED, SdkV1, on_v1, scheduled, succeed
from tests.sdk.world import (
    EVENT_FLEET,
    EVENTS,
    PUSHED,
    PUSHED_FLEET,
    PUSHED_MONTHLY,
    PUSHED_MONTHLY_FLEET,
    PUSHED_NOT_ELIGIBLE,
    UNKNOWN,
    World,
    imei,
    imeis,
)

ONE, TWO, THREE, FOUR, FIVE = PUSHED_MONTHLY_FLEET[:5]
ASSIGNED = ("LicenseAssignSuccess", "Success")
REMOVED = ("LicenseRemoveSuccess", "Success")
NOT_REMOVED = "LicenseRemoveFailed"
NO_LICENSE = "No license attached to device"


def assign(by: SdkV1, *named: int | str) -> Any:
    devices = [imei(one) if isinstance(one, int) else one for one in named]
    return by.ok("assign_licenses_to_devices", V1LicensesAssignedRemovedRequest(devices))


def remove(by: SdkV1, *named: int | str) -> Any:
    devices = [imei(one) if isinstance(one, int) else one for one in named]
    return by.ok("remove_licenses_from_devices", V1LicensesAssignedRemovedRequest(devices))


def outcomes(answer: Any) -> list[tuple[str, str]]:
    return [(one["status"], one["Reason"]) for one in answer["deviceList"]]


def licensed(by: SdkV1) -> list[str]:
    return [
        device["deviceId"]
        for page in by.all_pages("get_account_license_status")
        for device in page["deviceList"]
    ]


def candidates(by: SdkV1, *numbers: int, more: bool = False) -> list[str]:
    asked = V1ListOfLicensesToRemoveRequest(imeis(*numbers), "append" if more else None)
    made = by.ok("create_list_of_licenses_to_remove", asked)
    assert made["count"] == len(made["deviceList"])
    return list(made["deviceList"])


def test_every_outcome(world: World) -> None:
    """Each device is told what became of it, in the order of the request (API 4.3)."""
    ada = on_v1(world.ada)
    one, two, three = PUSHED_FLEET[:3]
    assert outcomes(assign(ada, one)) == [ASSIGNED]
    answer = assign(ada, one, UNKNOWN, PUSHED_NOT_ELIGIBLE, two, three, PUSHED_FLEET[3])
    assert [entry["deviceId"] for entry in answer["deviceList"]] == [
        imei(one),
        UNKNOWN,
        *imeis(PUSHED_NOT_ELIGIBLE, two, three, PUSHED_FLEET[3]),
    ]
    assert outcomes(answer) == [
        ("LicenseAssignSuccess", "Device license preexisting"),
        ("LicenseAssignFailed", "Device Not Found."),
        ("LicenseAssignFailed", "Device not eligible for service"),
        ASSIGNED,
        ASSIGNED,
        ("LicenseAssignFailed", "License not available"),
    ]
    assert (answer["accountName"], answer["licCount"], answer["licUsedCount"]) == (PUSHED, 3, 3)
    assert licensed(ada) == imeis(one, two, three)
    scheduled(world, one)
    succeed(world, one)
    answer = remove(ada, one, two, PUSHED_FLEET[4], UNKNOWN)
    assert outcomes(answer) == [
        (
            NOT_REMOVED,
            "License removal not allowed for devices that have ever upgraded firmware.",
        ),
        REMOVED,
        (NOT_REMOVED, NO_LICENSE),
        (NOT_REMOVED, "Device Not Found."),
    ]
    assert answer["licUsedCount"] == 2
    # One pool for all versions.
    shown = ada.ok("get_account_subscription_status")
    assert (shown["licenseCount"], shown["licenseUsedCount"]) == (3, 2)
    of_v2 = world.ada.on(PUSHED).ok("get_account_license_status")
    assert [entry["deviceId"] for entry in of_v2["deviceList"]] == licensed(ada)


def test_monthly_accounts_need_licences(world: World) -> None:
    """Without one a device is rejected; one that loses it before the start does not take part."""
    ada = on_v1(world.ada, PUSHED_MONTHLY)
    assign(ada, ONE, TWO)
    upgrade = scheduled(world, ONE, TWO, THREE, start=1, account_name=PUSHED_MONTHLY)
    assert ada.devices(upgrade) == {
        imei(ONE): ACCEPTED,
        imei(TWO): ACCEPTED,
        imei(THREE): ("Device Rejected", NO_LICENSE),
    }
    assert ada.change(upgrade, "append", FOUR) == [("AddDeviceFailed", NO_LICENSE)]
    assert outcomes(remove(ada, TWO)) == [REMOVED]
    world.settle()
    assert ada.devices(upgrade)[imei(TWO)] == ("UpgradeFailed", NO_LICENSE)
    assert outcomes(assign(ada, THREE)) == [ASSIGNED]
    # It was rejected, and may be checked again.
    assert ada.change(upgrade, "append", THREE) == [
        ("AddDeviceSucceed", "Device added Successfully")
    ]
    world.wait_until(world.midnight(1))
    for number in (ONE, THREE):
        succeed(world, number)
    assert ada.status(upgrade) == "Finished"


def test_event_accounts(world: World) -> None:
    """Without a pool nothing is counted, and assigning succeeds."""
    ada = on_v1(world.ada, EVENTS)
    answer = assign(ada, *EVENT_FLEET)
    assert (answer["licCount"], answer["licUsedCount"]) == (0, 0)
    assert outcomes(answer) == [ASSIGNED] * len(EVENT_FLEET)
    shown = ada.ok("get_account_license_status", "0")
    assert (shown["totalLicenses"], shown["assignedLicenses"], shown["deviceList"]) == (0, 0, [])


def test_pages(paged_world: World) -> None:
    """Licences and candidates are paged by number of record, licences by IMEI too (API 7.2)."""
    world = paged_world
    subscribe(world, 5, PUSHED_MONTHLY)
    ada = on_v1(world.ada, PUSHED_MONTHLY)
    assign(ada, FIVE, FOUR, THREE, TWO, ONE)
    pages = list(ada.all_pages("get_account_license_status"))
    assert [page["lastSeenDeviceId"] for page in pages] == [3, 0]
    assert licensed(ada) == imeis(ONE, TWO, THREE, FOUR, FIVE)
    page = ada.ok("get_account_license_status", imei(ONE))
    assert (page["hasMoreData"], page["lastSeenDeviceId"]) == (True, 4)
    page = ada.ok("get_account_license_status", "4")
    assert [one["deviceId"] for one in page["deviceList"]] == imeis(FIVE)
    assert candidates(ada, FIVE, ONE, THREE, TWO) == imeis(FIVE, ONE, THREE, TWO)
    first = ada.ok("list_licenses_to_remove", "0")
    assert (first["hasMoreData"], first["count"]) == (True, 4)
    assert first["deviceList"] == imeis(FIVE, ONE, THREE)
    rest = ada.ok("list_licenses_to_remove", "3")
    assert (rest["hasMoreData"], rest["deviceList"]) == (False, imeis(TWO))


def test_candidates_go_first(world: World) -> None:
    """A shrinking subscription takes licences from the list's head, then the oldest (lifecycle 6.4)."""
    ada = on_v1(world.ada, PUSHED_MONTHLY)
    for number in (ONE, TWO, THREE):
        assign(ada, number)
        world.wait(minutes=1)
    assert ada.ok("list_licenses_to_remove", "0") == {
        "count": 0,
        "hasMoreData": False,
        "deviceList": [],
    }
    assert candidates(ada, THREE) == imeis(THREE)
    assert candidates(ada, THREE, ONE, more=True) == imeis(THREE, ONE)
    assert candidates(ada, THREE) == imeis(THREE)
    upgrade = scheduled(world, ONE, TWO, THREE, start=1, account_name=PUSHED_MONTHLY)
    subscribe(world, 1, PUSHED_MONTHLY)
    assert licensed(ada) == imeis(TWO)
    assert ada.devices(upgrade) == {
        imei(ONE): ("UpgradeFailed", NO_LICENSE),
        imei(TWO): ACCEPTED,
        imei(THREE): ("UpgradeFailed", NO_LICENSE),
    }
    left = ada.ok("list_licenses_to_remove", "0")
    assert (left["count"], left["deviceList"]) == (0, [])
    for _ in range(2):
        assert ada.ok("delete_list_of_licenses_to_remove") == {"success": True}
