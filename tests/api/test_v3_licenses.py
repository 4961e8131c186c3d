"""v3: subscriptions and licences (API 6.1 to 6.3), and the lists that an older text names here (11, row 7)."""

from typing import Any

import pytest

from overair.config import Limits
from tests.api.v2_world import ABSENT, ACCOUNT, BARE_ACCOUNT, LICENSES, Refused
from tests.api.v3_world import AIR, THEIRS, V3
from tests.engine.stock import imei

ONE, TWO, THREE = AIR[:3]
ASSIGN = ("/licenses/{}/assign", "/firmware/licenses/{}/assign")
LISTS = ("/licenses/{}?lastSeenDeviceId=", "/licenses/{}/index/")


@pytest.fixture
def limits() -> Limits:
    return Limits(page_size=2)


def devices(*numbers: int) -> dict[str, Any]:
    return {"deviceList": [imei(number) for number in numbers]}


def outcome(device: str, status: str, reason: str) -> dict[str, str]:
    return {"deviceId": device, "status": status, "resultReason": reason, "Reason": reason}


async def test_subscription(v3: V3) -> None:
    """All versions show the same subscription."""
    found = await v3.ada.ok("GET", "/subscriptions/{}")
    assert found == await v3.v2.ada.ok("GET", "/subscriptions/{}")
    assert (found["licenseCount"], found["licenseUsedCount"]) == (LICENSES, 0)
    refused = await v3.ada.refused("GET", f"/subscriptions/{BARE_ACCOUNT}")
    assert refused == Refused("SUBSCRIPTION_NOT_FOUND", "Not subscribed")


@pytest.mark.parametrize("path", ASSIGN)
async def test_assign_and_remove(v3: V3, path: str) -> None:
    """Counts and reasons have the names of the client and of the documentation."""
    body = {"deviceList": [imei(ONE), ABSENT, imei(THEIRS[0]), imei(TWO)]}
    assert await v3.ada.ok("POST", path, body) == {
        "accountName": ACCOUNT,
        "licCount": LICENSES,
        "licTotalCount": LICENSES,
        "licUsedCount": 2,
        "deviceList": [
            outcome(imei(ONE), "LicenseAssignSuccess", "Success"),
            outcome(ABSENT, "LicenseAssignFailed", "Device Not Found."),
            outcome(imei(THEIRS[0]), "LicenseAssignFailed", "Device Not Found."),
            outcome(imei(TWO), "LicenseAssignSuccess", "Success"),
        ],
    }
    again = await v3.ada.ok("POST", path, devices(ONE))
    assert again["deviceList"] == [
        outcome(imei(ONE), "LicenseAssignSuccess", "Device license preexisting")
    ]
    removed = await v3.ada.ok("POST", "/licenses/{}/remove", devices(TWO, THREE))
    assert removed["licUsedCount"] == 1
    assert removed["deviceList"] == [
        outcome(imei(TWO), "LicenseRemoveSuccess", "Success"),
        outcome(imei(THREE), "LicenseRemoveFailed", "No license attached to device"),
    ]


async def test_a_removed_licence_takes_the_device_out(v3: V3) -> None:
    """What was scheduled for the device and not begun is cancelled for it, and its slot is free."""
    await v3.ada.ok("POST", "/licenses/{}/assign", devices(ONE))
    campaign = await v3.scheduled([ONE, TWO])
    await v3.ada.ok("POST", "/licenses/{}/remove", devices(ONE))
    found = await v3.devices(campaign)
    assert found[imei(ONE)] == ("CampaignCancelled", "No license attached to device")
    assert found[imei(TWO)][0] == "UpgradeScheduled"


@pytest.mark.parametrize("path", LISTS)
async def test_license_pages(v3: V3, path: str) -> None:
    """Pages go by IMEI, with the cursor in the query or in the path."""
    await v3.ada.ok("POST", ASSIGN[0], devices(ONE, TWO, THREE))
    first = await v3.ada.ok("GET", path + "0")
    time = "2026-03-02 08:00:00.000 +0000 UTC"
    assert first == {
        "accountName": ACCOUNT,
        "totalLicenses": LICENSES,
        "totalLicense": LICENSES,
        "assignedLicenses": 3,
        "hasMoreData": True,
        "lastSeenDeviceId": imei(TWO),
        "maxPageSize": 2,
        "deviceList": [{"deviceId": imei(n), "assignmentTime": time} for n in (ONE, TWO)],
    }
    assert first == await v3.ada.ok("GET", "/licenses/{}")
    last = await v3.ada.ok("GET", path + first["lastSeenDeviceId"])
    assert ([x["deviceId"] for x in last["deviceList"]], last["hasMoreData"]) == (
        [imei(THREE)],
        False,
    )
    for wrong in (ABSENT, imei(THEIRS[0]), "x"):
        assert await v3.ada.why("GET", path + wrong) == "LastSeenDeviceId Not Valid"


@pytest.mark.parametrize("path", [*ASSIGN, "/licenses/{}/remove"])
async def test_wrong_device_lists(v3_sqlite: V3, path: str) -> None:
    """A list of devices has at least one, and each of them is an IMEI."""
    for body, message in (
        ({}, "Device list is empty"),
        ({"deviceList": []}, "Device list is empty"),
        ({"deviceList": ["x"]}, "Invalid device id format"),
        ("x", "Input binding error"),
    ):
        assert await v3_sqlite.ada.why("POST", path, body) == message


async def test_cancellation_list(v3: V3) -> None:
    """The list is the same under v3 as under v2."""
    path = "/licenses/{}/cancel"
    body = devices(TWO, ONE)
    assert await v3.ada.ok("POST", path, body) == {"count": 2} | body
    assert await v3.ada.ok("POST", path, devices(THREE) | {"type": "append"}) == {
        "count": 3,
        "deviceList": [imei(TWO), imei(ONE), imei(THREE)],
    }
    for start in ("", "?startIndex=2"):
        shown = await v3.ada.ok("GET", path + start)
        assert shown == await v3.v2.ada.ok("GET", path + start)
    assert await v3.ada.why("GET", path + "?startIndex=x") == "Invalid index value"
    assert await v3.ada.ok("DELETE", path) == {"success": True}
    assert (await v3.v2.ada.ok("GET", path))["count"] == 0
