"""v2: subscriptions, licences, and the list of those that are to go first (API 5.1 to 5.4)."""

from datetime import timedelta
from typing import Any

import pytest

from overair.config import Limits
from tests.api.v2_world import ABSENT, ACCOUNT, BARE_ACCOUNT, LICENSES, V2, Refused
from tests.engine import stock
from tests.engine.stock import imei

NOT_SUBSCRIBED = Refused("SUBSCRIPTION_NOT_FOUND", "Not subscribed")


@pytest.fixture
def limits() -> Limits:
    return Limits(page_size=2, request_devices=20)


def devices(*numbers: int, **further: Any) -> dict[str, Any]:
    return {"deviceList": [imei(number) for number in numbers], **further}


async def test_subscription(v2: V2) -> None:
    """The subscription is shown with its counts; an account without one is told so."""
    await v2.ada.ok("POST", "/licenses/{}/assign", devices(1, 2))
    assert await v2.ada.ok("GET", "/subscriptions/{}") == {
        "accountName": ACCOUNT,
        "purchaseType": "TS-HFOTA-EVNT,TS-HFOTA-MRC",
        "licenseCount": LICENSES,
        "licenseUsedCount": 2,
        "updateTime": "2026-03-02T08:00:00.000Z",
    }
    for method, path, body in (
        ("GET", "/subscriptions", None),
        ("GET", "/licenses", None),
        ("POST", "/licenses/{}/assign", devices(1)),
        ("POST", "/licenses/{}/remove", devices(1)),
    ):
        where = path.replace("{}", BARE_ACCOUNT) if "{}" in path else f"{path}/{BARE_ACCOUNT}"
        assert await v2.ada.refused(method, where, body) == NOT_SUBSCRIBED


async def test_assign(v2: V2) -> None:
    """Each device has its own outcome, in the order of the request, and counts are afterwards'."""
    body = devices(2, 1, 2, 101, accountName=ACCOUNT)
    body["deviceList"].append(ABSENT)
    assert await v2.ada.ok("POST", "/licenses/{}/assign", body) == {
        "accountName": ACCOUNT,
        "licTotalCount": LICENSES,
        "licUsedCount": 2,
        "deviceList": [
            {"deviceId": imei(2), "status": "Success", "resultReason": "Success"},
            {"deviceId": imei(1), "status": "Success", "resultReason": "Success"},
            *(
                {"deviceId": x, "status": "Failure", "resultReason": "Device does not exist."}
                for x in (imei(101), ABSENT)
            ),
        ],
    }
    again = await v2.ada.ok("POST", "/licenses/{}/assign", devices(1, *range(3, 13)))
    assert [(x["status"], x["resultReason"]) for x in again["deviceList"]] == [
        ("Success", "Device license preexisting"),
        *[("Success", "Success")] * 8,
        *[("Failure", "License not available")] * 2,
    ]
    assert again["licUsedCount"] == LICENSES


async def test_remove(v2: V2) -> None:
    """A licence goes back unless an upgrade has used it."""
    await v2.ada.ok("POST", "/licenses/{}/assign", devices(1, 2))
    await v2.run(stock.schedule, v2.account_id, [2])
    await v2.run(stock.upgrade, 2)
    answer = await v2.ada.ok("POST", "/licenses/{}/remove", devices(1, 2, 3, 101))
    assert (answer["licTotalCount"], answer["licUsedCount"]) == (LICENSES, 1)
    assert [(x["status"], x["resultReason"]) for x in answer["deviceList"]] == [
        ("Success", "Success"),
        ("Failure", "License removal not allowed for devices that have ever upgraded firmware."),
        ("Failure", "No license attached to device"),
        ("Failure", "Device Not Found."),
    ]


@pytest.mark.parametrize("path", ["assign", "remove", "cancel"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Device list is empty"),
        ({"deviceList": None}, "Device list is empty"),
        ({"deviceList": []}, "Device list is empty"),
        ({"deviceList": "990013900000001"}, "Device list is empty"),
        ({"deviceList": [1]}, "Invalid device id format"),
        ({"deviceList": ["99001390000000"]}, "Invalid device id format"),
        ({"deviceList": ["99001390000000x"]}, "Invalid device id format"),
        ({"deviceList": ["٩٩٠٠١٣٩٠٧٨٣٥٥٧٣"]}, "Invalid device id format"),
        ({"deviceList": [ABSENT] * 21}, "Device list exceeds 20 devices"),
        ([], "Input binding error"),
    ],
)
async def test_wrong_device_lists(v2_sqlite: V2, path: str, body: Any, message: str) -> None:
    """A request that names no devices, too many, or something else is refused."""
    assert await v2_sqlite.ada.why("POST", f"/licenses/{{}}/{path}", body) == message


@pytest.mark.parametrize(
    ("name", "message"),
    [("x", "Invalid account name format"), (BARE_ACCOUNT, "Account name differs from the path")],
)
async def test_wrong_account_in_the_body(v2_sqlite: V2, name: str, message: str) -> None:
    """An account in the body is the one in the path."""
    for path in ("assign", "remove"):
        body = devices(1, accountName=name)
        assert await v2_sqlite.ada.why("POST", f"/licenses/{{}}/{path}", body) == message


async def test_license_pages(v2: V2) -> None:
    """Licences come by IMEI, a page at a time, from the one after the cursor."""
    await v2.ada.ok("POST", "/licenses/{}/assign", devices(3, 1, 2))
    entry = {"assignmentTime": "2026-03-02T08:00:00.000Z"}
    first = {
        "accountName": ACCOUNT,
        "totalLicense": LICENSES,
        "assignedLicenses": 3,
        "hasMoreData": True,
        "lastSeenDeviceId": imei(2),
        "maxPageSize": 2,
        "deviceList": [{"deviceId": imei(1), **entry}, {"deviceId": imei(2), **entry}],
    }
    for start in ("", "?lastSeenDeviceId=0", "?lastSeenDeviceId="):
        assert await v2.ada.ok("GET", "/licenses/{}" + start) == first
    last = await v2.ada.ok("GET", f"/licenses/{{}}?lastSeenDeviceId={imei(2)}")
    assert (last["hasMoreData"], last["deviceList"]) == (False, [{"deviceId": imei(3), **entry}])
    past = await v2.ada.ok("GET", f"/licenses/{{}}?lastSeenDeviceId={imei(3)}")
    assert (past["hasMoreData"], past["deviceList"]) == (False, [])
    # A device that lost its licence between two pages is still a place in the order.
    await v2.ada.ok("POST", "/licenses/{}/remove", devices(2))
    after = await v2.ada.ok("GET", f"/licenses/{{}}?lastSeenDeviceId={imei(2)}")
    assert after["deviceList"] == [{"deviceId": imei(3), **entry}]


@pytest.mark.parametrize("cursor", [ABSENT, imei(101), "1", "x", "00", "%00", "-1"])
async def test_unknown_cursors(v2_sqlite: V2, cursor: str) -> None:
    """A cursor that is no device of the account's is refused, in every list of devices."""
    for path in ("/licenses/{}", "/devices/{}"):
        message = await v2_sqlite.ada.why("GET", f"{path}?lastSeenDeviceId={cursor}")
        assert message == "LastSeenDeviceId Not Valid"


async def test_cancellation_list(v2: V2) -> None:
    """The list is replaced, appended to, read by pages and dropped; strangers are left out."""
    nothing = {"count": 0, "hasMoreData": False, "updateTime": "", "deviceList": []}
    assert await v2.ada.ok("GET", "/licenses/{}/cancel") == nothing
    body = devices(3, 1, 3, 101, count=17)
    assert await v2.ada.ok("POST", "/licenses/{}/cancel", body) == {
        "count": 2,
        "deviceList": [imei(3), imei(1)],
    }
    v2.clock.advance(timedelta(milliseconds=69))
    added = await v2.ada.ok("POST", "/licenses/{}/cancel", devices(1, 2, type="append"))
    assert added == {"count": 3, "deviceList": [imei(3), imei(1), imei(2)]}
    assert await v2.ada.ok("GET", "/licenses/{}/cancel?startIndex=0") == {
        "count": 3,
        "hasMoreData": True,
        "updateTime": "2026-03-02 08:00:00.069 +0000 UTC",
        "deviceList": [imei(3), imei(1)],
    }
    rest = await v2.ada.ok("GET", "/licenses/{}/cancel?startIndex=2")
    assert (rest["count"], rest["hasMoreData"], rest["deviceList"]) == (3, False, [imei(2)])
    assert await v2.ada.ok("POST", "/licenses/{}/cancel", {"devicelist": [imei(5)]}) == {
        "count": 1,
        "deviceList": [imei(5)],
    }
    for _ in range(2):
        assert await v2.ada.ok("DELETE", "/licenses/{}/cancel") == {"success": True}
    assert await v2.ada.ok("GET", "/licenses/{}/cancel") == nothing


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("1", "Index exceeds number of devices in list"),
        ("999999999999999", "Index exceeds number of devices in list"),
        ("-1", "Invalid index value"),
        ("1.0", "Invalid index value"),
        ("x", "Invalid index value"),
        ("9" * 30, "Invalid index value"),
    ],
)
async def test_wrong_index(v2_sqlite: V2, index: str, message: str) -> None:
    """An offset is a number, and not past the end of a list that has one."""
    await v2_sqlite.ada.ok("POST", "/licenses/{}/cancel", devices(1))
    path = f"/licenses/{{}}/cancel?startIndex={index}"
    assert await v2_sqlite.ada.why("GET", path) == message


@pytest.mark.parametrize("kind", ["remove", "Append", "", 1])
async def test_wrong_type_of_list(v2_sqlite: V2, kind: Any) -> None:
    """A list is appended to or replaced."""
    body = devices(1, type=kind)
    assert await v2_sqlite.ada.why("POST", "/licenses/{}/cancel", body) == "Invalid type"


async def test_removal_takes_the_device_out_of_its_campaign(v2: V2) -> None:
    """A device that loses its licence before the start leaves the campaign."""
    await v2.ada.ok("POST", "/licenses/{}/assign", devices(1))
    campaign = await v2.scheduled([1, 2])
    await v2.ada.ok("POST", "/licenses/{}/remove", devices(1))
    await v2.advance()
    report = await v2.ada.ok("GET", f"/reports/{{}}/campaigns/{campaign}/devices")
    assert [x["status"] for x in report["deviceList"]] == ["CampaignCancelled", "Accepted"]
