"""Subscriptions, licences and candidates for cancellation from the client's side (lifecycle 6, 7)."""

from datetime import timedelta
from typing import Any

import pytest
from verizon.models.v2_license_imei import V2LicenseIMEI
from verizon.models.v2_list_of_licenses_to_remove_request import V2ListOfLicensesToRemoveRequest

from overair.cli import run
from tests.sdk.world import (
    BARE,
    BOTH,
    EVENT_FLEET,
    EVENTS,
    MONTHLY,
    MONTHLY_FLEET,
    MONTHLY_NOT_ELIGIBLE,
    UNKNOWN,
    Refusal,
    Sdk,
    World,
    imei,
    imeis,
)

FIRST = MONTHLY_FLEET[0]
SECOND, THIRD, FOURTH, FIFTH = MONTHLY_FLEET[1:5]
USED = ("Failure", "License removal not allowed for devices that have ever upgraded firmware.")
NONE = ("Failure", "No license attached to device")
SUCCESS = ("Success", "Success")


def assign(by: Sdk, *numbers: int) -> Any:
    return by.ok("assign_licenses_to_devices", V2LicenseIMEI(imeis(*numbers)))


def remove(by: Sdk, *numbers: int) -> Any:
    return by.ok("remove_licenses_from_devices", V2LicenseIMEI(imeis(*numbers)))


def outcomes(answer: Any) -> list[tuple[str, str]]:
    return [(one["status"], one["resultReason"]) for one in answer["deviceList"]]


def licensed(by: Sdk) -> list[str]:
    return [
        device["deviceId"]
        for page in by.pages("get_account_license_status", "lastSeenDeviceId")
        for device in page["deviceList"]
    ]


def candidates(by: Sdk, *numbers: int, more: bool = False) -> Any:
    asked = {"mtype": "append"} if more else {}
    return by.ok(
        "create_list_of_licenses_to_remove",
        V2ListOfLicensesToRemoveRequest(imeis(*numbers), **asked),
    )


def subscribe(world: World, count: int, account: str = MONTHLY, kind: str = "TS-HFOTA-MRC") -> None:
    """What an administrator does beside the running server."""
    status = run(
        [
            "subscription", "set", account, "--purchase-type", kind, "--license-count", str(count),
            "--data", world.server.settings.data, "--database", world.server.settings.database_url,
        ]
    )  # fmt: skip
    assert status == 0
    world.settle()


def test_the_pool_runs_empty(world: World) -> None:
    """Licences are given in the order of the request while there are any; each outcome is told."""
    ada = world.ada.on(MONTHLY)
    assign(ada, FIRST)
    answer = ada.ok(
        "assign_licenses_to_devices",
        V2LicenseIMEI(
            [*imeis(FIRST, SECOND, MONTHLY_NOT_ELIGIBLE), UNKNOWN, *imeis(THIRD, FOURTH)],
            account_name=MONTHLY,
        ),
    )
    assert [one["deviceId"] for one in answer["deviceList"]] == [
        *imeis(FIRST, SECOND, MONTHLY_NOT_ELIGIBLE),
        UNKNOWN,
        *imeis(THIRD, FOURTH),
    ]
    assert outcomes(answer) == [
        ("Success", "Device license preexisting"),
        SUCCESS,
        ("Failure", "Device not eligible for service"),
        ("Failure", "Device does not exist."),
        SUCCESS,
        ("Failure", "License not available"),
    ]
    assert (answer["licTotalCount"], answer["licUsedCount"]) == (3, 3)
    shown = ada.ok("get_account_subscription_status")
    assert (shown["licenseCount"], shown["licenseUsedCount"]) == (3, 3)
    assert licensed(ada) == imeis(FIRST, SECOND, THIRD)
    # One that comes back is there for the next.
    assert outcomes(remove(ada, SECOND)) == [SUCCESS]
    assert outcomes(assign(ada, FOURTH)) == [SUCCESS]
    devices = {one["deviceId"]: one for one in ada.ok("list_account_devices")["deviceList"]}
    assert devices[imei(FOURTH)]["licenseAssigned"] is True
    assert devices[imei(SECOND)]["licenseAssigned"] is False


def test_removal_rules(world: World) -> None:
    """A licence that was used since it was assigned, or is in use, stays; others come back."""
    ada = world.ada.on(MONTHLY)
    assign(ada, FIRST, SECOND, THIRD)
    campaign = world.campaign(FIRST, SECOND, THIRD, by=ada)
    world.device(FIRST, MONTHLY).succeed()
    world.device(SECOND, MONTHLY).begin()
    answer = ada.ok(
        "remove_licenses_from_devices",
        V2LicenseIMEI([*imeis(FIRST, SECOND, THIRD, FOURTH), UNKNOWN]),
    )
    assert outcomes(answer) == [USED, USED, SUCCESS, NONE, ("Failure", "Device Not Found.")]
    assert answer["licUsedCount"] == 2
    world.settle()
    # What was scheduled for the third and not started is off.
    assert ada.devices(campaign)[imei(THIRD)] == (
        "CampaignCancelled",
        "No license attached to device",
    )
    assert "deploymentBase" not in world.device(THIRD, MONTHLY).poll()


def test_event_accounts(world: World) -> None:
    """Without a pool nothing is counted, assigning succeeds, and upgrades need no licence."""
    ada = world.ada.on(EVENTS)
    answer = assign(ada, *EVENT_FLEET)
    assert (answer["licTotalCount"], answer["licUsedCount"]) == (0, 0)
    assert outcomes(answer) == [SUCCESS] * len(EVENT_FLEET)
    shown = ada.ok("get_account_license_status")
    assert (shown["totalLicense"], shown["assignedLicenses"], shown["deviceList"]) == (0, 0, [])
    campaign = world.campaign(EVENT_FLEET[0], by=ada)
    world.device(EVENT_FLEET[0], EVENTS).succeed()
    assert ada.devices(campaign)[imei(EVENT_FLEET[0])][0] == "UpgradeSuccess"


def test_not_subscribed(world: World) -> None:
    """An account that has bought nothing is told so."""
    ada = world.ada.on(BARE)
    refusal = Refusal("SUBSCRIPTION_NOT_FOUND", "Not subscribed")
    assert ada.refused("get_account_subscription_status") == refusal
    assert ada.refused("get_account_license_status") == refusal
    assert ada.refused("assign_licenses_to_devices", V2LicenseIMEI(imeis(1))) == refusal
    assert ada.refused("remove_licenses_from_devices", V2LicenseIMEI(imeis(1))) == refusal
    assert ada.refused("schedule_campaign_firmware_upgrade", world.request(1)) == refusal


def test_the_candidate_list(world: World) -> None:
    """The list is replaced, appended to, and dropped; the order is kept and strangers are not."""
    ada = world.ada
    empty = ada.ok("list_licenses_to_remove")
    assert empty == {"count": 0, "hasMoreData": False, "updateTime": "", "deviceList": []}
    answer = ada.ok(
        "create_list_of_licenses_to_remove",
        V2ListOfLicensesToRemoveRequest([*imeis(3, 1, 3), UNKNOWN], count=7),
    )
    assert answer == {"count": 2, "deviceList": imeis(3, 1)}
    assert candidates(ada, 1, 2, more=True) == {"count": 3, "deviceList": imeis(3, 1, 2)}
    assert ada.ok("list_licenses_to_remove", "2")["deviceList"] == imeis(2)
    assert ada.why("list_licenses_to_remove", "3") == "Index exceeds number of devices in list"
    assert ada.why("list_licenses_to_remove", "one") == "Invalid index value"
    assert candidates(ada, 2) == {"count": 1, "deviceList": imeis(2)}
    wrong = V2ListOfLicensesToRemoveRequest(imeis(1), mtype="prepend")
    assert ada.why("create_list_of_licenses_to_remove", wrong) == "Invalid type"
    assert ada.ok("delete_list_of_licenses_to_remove") == {"success": True}
    assert ada.ok("delete_list_of_licenses_to_remove") == {"success": True}
    assert ada.ok("list_licenses_to_remove") == empty


def test_a_shrinking_subscription(world: World) -> None:
    """Listed devices lose their licence first, from the list's head; then the oldest ones."""
    ada = world.ada.on(MONTHLY)
    subscribe(world, 5)
    for number in (FIFTH, FOURTH, THIRD, SECOND, FIRST):
        assign(ada, number)
        world.wait(hours=1)
    candidates(ada, MONTHLY_FLEET[8], THIRD, FIRST)  # one without a licence may be listed
    before = ada.ok("get_account_subscription_status")
    subscribe(world, 5)
    assert ada.ok("get_account_subscription_status") == before
    subscribe(world, 4)
    after = ada.ok("get_account_subscription_status")
    assert (after["licenseCount"], after["licenseUsedCount"]) == (4, 4)
    assert after["updateTime"] != before["updateTime"]
    assert licensed(ada) == imeis(FIRST, SECOND, FOURTH, FIFTH)
    assert ada.ok("list_licenses_to_remove")["deviceList"] == imeis(MONTHLY_FLEET[8], FIRST)
    subscribe(world, 2)
    assert licensed(ada) == imeis(SECOND, FOURTH)
    assert ada.ok("list_licenses_to_remove")["deviceList"] == imeis(MONTHLY_FLEET[8])
    subscribe(world, 9)
    assert licensed(ada) == imeis(SECOND, FOURTH)


def test_shrinking_during_campaigns(world: World) -> None:
    """An upgrade that has started goes on under its licence; one that has not is cancelled."""
    ada = world.ada.on(MONTHLY)
    assign(ada, FIRST, SECOND, THIRD)
    campaign = world.campaign(FIRST, SECOND, THIRD, by=ada)
    action, _ = world.device(FIRST, MONTHLY).begin()
    candidates(ada, FIRST, SECOND)
    subscribe(world, 1)
    found = ada.devices(campaign)
    assert found[imei(SECOND)] == ("CampaignCancelled", "No license attached to device")
    assert found[imei(FIRST)] == ("UpgradePending", "RovaClientDidNotReportStatus")
    world.device(FIRST, MONTHLY).say(action, "closed", "success")
    assert ada.devices(campaign)[imei(FIRST)][0] == "UpgradeSuccess"
    assert licensed(ada) == imeis(THIRD)
    # It has none any more, so no further campaign takes it.
    again = world.campaign(
        FIRST,
        by=ada,
        software_name="FOTA_Acme_X1_02To03",
        software_from="02",
        software_to="03",
    )
    assert ada.devices(again)[imei(FIRST)] == ("DeviceRejected", "No license attached to device")


def test_pages(paged_world: World) -> None:
    """Licences and candidates come in pages that leave nothing out and repeat nothing."""
    ada = paged_world.ada
    subscribe(paged_world, 20, BOTH)
    assign(ada, *range(1, 8))
    pages = list(ada.pages("get_account_license_status", "lastSeenDeviceId"))
    assert [len(page["deviceList"]) for page in pages] == [3, 3, 1]
    assert {page["maxPageSize"] for page in pages} == {3}
    assert licensed(ada) == imeis(*range(1, 8))
    candidates(ada, *range(10, 17))
    found: list[str] = []
    more = True
    while more:
        page = ada.ok("list_licenses_to_remove", str(len(found)))
        assert page["count"] == 7
        found += page["deviceList"]
        more = page["hasMoreData"]
    assert found == imeis(*range(10, 17))


@pytest.mark.parametrize(
    "name",
    [
        "assign_licenses_to_devices",
        "remove_licenses_from_devices",
        "create_list_of_licenses_to_remove",
    ],
)
def test_wrong_lists(untouched_world: World, name: str) -> None:
    """A list that is missing, empty or has something else than IMEIs in it is refused as a whole."""
    ada = untouched_world.ada
    for devices, message in (
        ([], "Device list is empty"),
        (None, "Device list is empty"),
        ("abc", "Device list is empty"),
        (["abc"], "Invalid device id format"),
        ([*imeis(1), 7], "Invalid device id format"),
    ):
        assert ada.why(name, {"deviceList": devices}) == message
    assert licensed(ada) == []


def test_assignment_time(world: World) -> None:
    """A licence shows when it was assigned, in campaign time."""
    assign(world.ada, 1)
    world.wait(hours=1)
    assign(world.ada, 2)
    times = [
        one["assignmentTime"] for one in world.ada.ok("get_account_license_status")["deviceList"]
    ]
    began = world.clock.now() - timedelta(hours=1)
    assert times == [f"{at:%Y-%m-%dT%H:%M:%S}.000Z" for at in (began, world.clock.now())]
