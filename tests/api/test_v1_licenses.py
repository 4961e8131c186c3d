"""v1: subscriptions, licences, and the list of those that are to go first (API 4.1 to 4.4)."""

from datetime import timedelta
from typing import Any

import pytest

from overair.config import Limits
from tests.api.v1_world import MINE, V1
from tests.api.v2_world import ABSENT, ACCOUNT, BARE_ACCOUNT, LICENSES, Refused
from tests.engine import pushed
from tests.engine.stock import imei

ONE, TWO, THREE, FOUR, FIVE = MINE[:5]
NOT_SUBSCRIBED = Refused("SUBSCRIPTION_NOT_FOUND", "Not subscribed")
AT = "2026-03-02T08:00:00.000Z"


@pytest.fixture
def limits() -> Limits:
    return Limits(page_size=2, request_devices=20)


def devices(*numbers: int, **further: Any) -> dict[str, Any]:
    return {"deviceList": [imei(number) for number in numbers], **further}


def outcomes(answer: Any) -> list[tuple[str, str]]:
    return [(one["status"], one["Reason"]) for one in answer["deviceList"]]


async def test_subscription(v1: V1) -> None:
    """The pool that v2 shows too; an account that has bought nothing is told so."""
    await v1.ada.ok("POST", "/licenses/{}/assign", devices(ONE, TWO))
    assert await v1.ada.ok("GET", "/subscriptions/{}") == {
        "accountName": ACCOUNT,
        "purchaseType": "TS-HFOTA-EVNT,TS-HFOTA-MRC",
        "licenseCount": LICENSES,
        "licenseUsedCount": 2,
        "updateTime": AT,
    }
    for method, path, body in (
        ("GET", "/subscriptions/{}", None),
        ("GET", "/licenses/{}/index/0", None),
        ("POST", "/licenses/{}/assign", devices(ONE)),
        ("POST", "/licenses/{}/remove", devices(ONE)),
    ):
        where = path.replace("{}", BARE_ACCOUNT)
        assert await v1.ada.refused(method, where, body) == NOT_SUBSCRIBED


async def test_assign(v1: V1) -> None:
    """Each device has its own outcome, in the order of the request, with a Reason."""
    body = devices(TWO, ONE, TWO, 301)
    body["deviceList"].append(ABSENT)
    assert await v1.ada.ok("POST", "/licenses/{}/assign", body) == {
        "accountName": ACCOUNT,
        "licCount": LICENSES,
        "licUsedCount": 2,
        "deviceList": [
            *(
                {"deviceId": imei(n), "status": "LicenseAssignSuccess", "Reason": "Success"}
                for n in (TWO, ONE)
            ),
            *(
                {"deviceId": x, "status": "LicenseAssignFailed", "Reason": "Device Not Found."}
                for x in (imei(301), ABSENT)
            ),
        ],
    }
    again = await v1.ada.ok("POST", "/licenses/{}/assign", devices(ONE, 241, *MINE[2:12]))
    assert outcomes(again) == [
        ("LicenseAssignSuccess", "Device license preexisting"),
        ("LicenseAssignFailed", "Device not eligible for service"),
        *[("LicenseAssignSuccess", "Success")] * 8,
        *[("LicenseAssignFailed", "License not available")] * 2,
    ]


async def test_remove(v1: V1) -> None:
    """A licence goes back unless an upgrade has used it."""
    await v1.ada.ok("POST", "/licenses/{}/assign", devices(ONE, TWO))
    await v1.scheduled([TWO], startDate=v1.day())
    await v1.tell(pushed.succeed, TWO)
    answer = await v1.ada.ok("POST", "/licenses/{}/remove", devices(ONE, TWO, THREE, 301))
    assert (answer["licCount"], answer["licUsedCount"]) == (LICENSES, 1)
    assert outcomes(answer) == [
        ("LicenseRemoveSuccess", "Success"),
        (
            "LicenseRemoveFailed",
            "License removal not allowed for devices that have ever upgraded firmware.",
        ),
        ("LicenseRemoveFailed", "No license attached to device"),
        ("LicenseRemoveFailed", "Device Not Found."),
    ]


async def test_a_removed_licence_ends_what_was_not_begun(v1: V1) -> None:
    """A device that loses its licence before the start does not take part, and is told why."""
    await v1.ada.ok("POST", "/licenses/{}/assign", devices(ONE, TWO))
    upgrade = await v1.scheduled([ONE, TWO])
    await v1.ada.ok("POST", "/licenses/{}/remove", devices(ONE))
    await v1.advance()
    assert await v1.devices(upgrade) == {
        imei(ONE): ("UpgradeFailed", "No license attached to device"),
        imei(TWO): ("Device Accepted", "success"),
    }


@pytest.mark.parametrize("path", ["assign", "remove", "cancel"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Device list is empty"),
        ({"deviceList": None}, "Device list is empty"),
        ({"deviceList": []}, "Device list is empty"),
        ({"devceList": [imei(ONE)]}, "Device list is empty"),
        ({"deviceList": "990013900000001"}, "Device list is empty"),
        ({"deviceList": [1]}, "Invalid device id format"),
        ({"deviceList": ["99001390000000"]}, "Invalid device id format"),
        ({"deviceList": [ABSENT] * 21}, "Device list exceeds 20 devices"),
        ([], "Input binding error"),
    ],
)
async def test_wrong_device_lists(v1_sqlite: V1, path: str, body: Any, message: str) -> None:
    """A request that names no devices, too many, or something else is refused."""
    assert await v1_sqlite.ada.why("POST", f"/licenses/{{}}/{path}", body) == message


async def test_license_pages(v1: V1) -> None:
    """Licences come by IMEI; the cursor is the number of the next record, and 0 at the end."""
    await v1.ada.ok("POST", "/licenses/{}/assign", devices(THREE, ONE, TWO, FIVE, FOUR))
    entries = [{"deviceId": imei(n), "assignmentTime": AT} for n in MINE[:5]]
    first = {
        "accountName": ACCOUNT,
        "totalLicenses": LICENSES,
        "assignedLicenses": 5,
        "hasMoreData": True,
        "lastSeenDeviceId": 2,
        "deviceList": entries[:2],
    }
    for path in ("/licenses/{}", "/licenses/{}/index/0", "//licenses//{}//index/00/"):
        assert await v1.ada.ok("GET", path) == first
    second = await v1.ada.ok("GET", "/licenses/{}/index/2")
    assert (second["lastSeenDeviceId"], second["deviceList"]) == (4, entries[2:4])
    last = await v1.ada.ok("GET", "/licenses/{}/index/4")
    assert (last["hasMoreData"], last["lastSeenDeviceId"]) == (False, 0)
    assert last["deviceList"] == entries[4:]


async def test_license_pages_by_imei(v1: V1) -> None:
    """A cursor of fifteen digits is an IMEI; what comes back is a number of a record again."""
    await v1.ada.ok("POST", "/licenses/{}/assign", devices(*MINE[:5]))
    page = await v1.ada.ok("GET", f"/licenses/{{}}/index/{imei(ONE)}")
    assert [one["deviceId"] for one in page["deviceList"]] == [imei(TWO), imei(THREE)]
    assert (page["hasMoreData"], page["lastSeenDeviceId"]) == (True, 3)
    page = await v1.ada.ok("GET", f"/licenses/{{}}/index/{page['lastSeenDeviceId']}")
    assert [one["deviceId"] for one in page["deviceList"]] == [imei(FOUR), imei(FIVE)]
    past = await v1.ada.ok("GET", f"/licenses/{{}}/index/{imei(FIVE)}")
    assert (past["hasMoreData"], past["lastSeenDeviceId"], past["deviceList"]) == (False, 0, [])


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("1", "Index exceeds number of devices in list"),
        ("99999999999999", "Index exceeds number of devices in list"),
        (ABSENT, "LastSeenDeviceId Not Valid"),
        (imei(301), "LastSeenDeviceId Not Valid"),
        ("-1", "Invalid index value"),
        ("1.0", "Invalid index value"),
        ("x", "Invalid index value"),
        ("9" * 30, "Invalid index value"),
    ],
)
async def test_wrong_indexes_of_licences(v1_sqlite: V1, index: str, message: str) -> None:
    """An offset is a number within the list, an IMEI one of the account's."""
    await v1_sqlite.ada.ok("POST", "/licenses/{}/assign", devices(ONE))
    assert await v1_sqlite.ada.why("GET", f"/licenses/{{}}/index/{index}") == message


async def test_cancellation_list(v1: V1) -> None:
    """The list is replaced, appended to, read by pages and dropped; strangers are left out."""
    nothing = {"count": 0, "hasMoreData": False, "deviceList": []}
    assert await v1.ada.ok("GET", "/licenses/{}/cancel/index/0") == nothing
    body = devices(THREE, ONE, THREE, 301)
    assert await v1.ada.ok("POST", "/licenses/{}/cancel", body) == {
        "count": 2,
        "deviceList": [imei(THREE), imei(ONE)],
    }
    v1.clock.advance(timedelta(milliseconds=69))
    added = await v1.ada.ok("POST", "/licenses/{}/cancel", devices(ONE, TWO, type="append"))
    assert added == {"count": 3, "deviceList": [imei(THREE), imei(ONE), imei(TWO)]}
    for path in ("/licenses/{}/cancel", "/licenses/{}/cancel/index/0"):
        assert await v1.ada.ok("GET", path) == {
            "count": 3,
            "hasMoreData": True,
            "updateTime": "2026-03-02T08:00:00.069Z",
            "deviceList": [imei(THREE), imei(ONE)],
        }
    rest = await v1.ada.ok("GET", "/licenses/{}/cancel/index/2")
    assert (rest["count"], rest["hasMoreData"], rest["deviceList"]) == (3, False, [imei(TWO)])
    for _ in range(2):
        assert await v1.ada.ok("DELETE", "/licenses/{}/cancel") == {"success": True}
    assert await v1.ada.ok("GET", "/licenses/{}/cancel/index/0") == nothing


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("1", "Index exceeds number of devices in list"),
        ("-1", "Invalid index value"),
        ("x", "Invalid index value"),
        (imei(ONE) + "0", "Invalid index value"),
    ],
)
async def test_wrong_indexes_of_candidates(v1_sqlite: V1, index: str, message: str) -> None:
    """An offset is a number, and not past the end of a list that has one."""
    await v1_sqlite.ada.ok("POST", "/licenses/{}/cancel", devices(ONE))
    assert await v1_sqlite.ada.why("GET", f"/licenses/{{}}/cancel/index/{index}") == message


@pytest.mark.parametrize("kind", ["remove", "Append", "", 1])
async def test_wrong_type_of_list(v1_sqlite: V1, kind: Any) -> None:
    """A list is appended to or replaced."""
    body = devices(ONE, type=kind)
    assert await v1_sqlite.ada.why("POST", "/licenses/{}/cancel", body) == "Invalid type"
