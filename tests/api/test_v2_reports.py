"""v2: reports on campaigns, on their devices, and on a device's past (API 5.14 to 5.16)."""

from datetime import timedelta

import pytest

from overair.config import Limits
from overair.core.attempt import AttemptEvent
from tests.api.test_v2_campaigns import NOWHERE, file_added
from tests.api.v2_world import ABSENT, ACCOUNT, V2, Refused
from tests.engine import stock
from tests.engine.stock import SOFTWARE, imei

DAY = timedelta(days=1)


@pytest.fixture
def limits() -> Limits:
    return Limits(page_size=2)


# Campaigns ---------------------------------------------------------------------------------------


async def test_campaigns_by_status(v2: V2) -> None:
    """Campaigns are listed in the order in which they were made, as GET shows each of them."""
    made = [await v2.scheduled([number]) for number in (1, 2, 3)]
    await v2.ada.ok("DELETE", f"/campaigns/{{}}/{made[1]}")
    for word in ("CampaignRequestQueued", "CampaignQueued"):
        report = await v2.ada.ok("GET", f"/reports/{{}}/campaigns?campaignStatus={word}")
        assert report == {
            "hasMoreData": False,
            "lastSeenCampaignId": made[2],
            "campaignList": [
                await v2.ada.ok("GET", f"/campaigns/{{}}/{campaign}")
                for campaign in (made[0], made[2])
            ],
        }
    cancelled = "/reports/{}/campaigns?campaignStatus=CampaignCancelled"
    report = await v2.ada.ok("GET", cancelled)
    assert [campaign["id"] for campaign in report["campaignList"]] == [made[1]]
    nothing = {"hasMoreData": False, "campaignList": []}
    assert await v2.bob.ok("GET", cancelled) == nothing
    for word in (
        *("CampaignRequestPending", "CampaignRequestFailed", "CampaignAborted"),
        *("CampaignFailed", "CampaignScheduled", "CampaignEnded"),
    ):
        assert await v2.ada.ok("GET", f"/reports/{{}}/campaigns?campaignStatus={word}") == nothing


@pytest.mark.parametrize("query", ["", "?campaignStatus=", "?campaignStatus=Ended", "?x=1"])
async def test_unknown_statuses(v2_sqlite: V2, query: str) -> None:
    """A status is named, and one of the published ones."""
    found = await v2_sqlite.ada.why("GET", f"/reports/{{}}/campaigns{query}")
    assert found == "Invalid campaign status"


async def test_campaign_pages(v2: V2) -> None:
    """A page begins after the cursor's campaign, also when that has another status by now."""
    made = [await v2.scheduled([number]) for number in (1, 2, 3, 4, 5)]
    path = "/reports/{}/campaigns?campaignStatus=CampaignRequestQueued"
    first = await v2.ada.ok("GET", f"{path}&lastSeenCampaignId=0")
    assert [campaign["id"] for campaign in first["campaignList"]] == made[:2]
    assert (first["hasMoreData"], first["lastSeenCampaignId"]) == (True, made[1])
    await v2.ada.ok("DELETE", f"/campaigns/{{}}/{made[1]}")
    second = await v2.ada.ok("GET", f"{path}&lastSeenCampaignId={made[1].upper()}")
    assert [campaign["id"] for campaign in second["campaignList"]] == made[2:4]
    last = await v2.ada.ok("GET", f"{path}&lastSeenCampaignId={made[3]}")
    assert [campaign["id"] for campaign in last["campaignList"]] == made[4:]
    assert last["hasMoreData"] is False
    past = await v2.ada.ok("GET", f"{path}&lastSeenCampaignId={made[4]}")
    assert past == {"hasMoreData": False, "campaignList": []}
    for wrong in (NOWHERE, "x", "1", "%00"):
        found = await v2.ada.why("GET", f"{path}&lastSeenCampaignId={wrong}")
        assert found == "LastSeenCampaignId Not Valid"
    assert await v2.bob.why("GET", f"{path}&lastSeenCampaignId={made[0]}") == (
        "LastSeenCampaignId Not Valid"
    )


# The devices of a campaign -----------------------------------------------------------------------


async def test_device_statuses(v2: V2) -> None:
    """Each device shows how far it is, and why it is not further."""
    campaign = await v2.scheduled(
        [1, 2], startDate=v2.day(), endDate=v2.day(1), deviceList=[imei(1), imei(2)]
    )
    path = f"/reports/{{}}/campaigns/{campaign}/devices"

    async def shown() -> list[tuple[str, str]]:
        report = await v2.ada.ok("GET", path)
        assert report == {
            "totalDevice": 2,
            "hasMoreData": False,
            "lastSeenDeviceId": imei(2),
            "maxPageSize": 2,
            "deviceList": report["deviceList"],
        }
        return [(x["status"], x["resultReason"]) for x in report["deviceList"]]

    waiting = ("UpgradePending", "")
    assert await shown() == [waiting, waiting]
    await v2.run(stock.begin, 1, v2.clock.now())
    assert await shown() == [("UpgradePending", "RovaClientDidNotReportStatus"), waiting]
    await v2.run(stock.report, 1, AttemptEvent.FAIL, v2.clock.now())
    assert (await shown())[0] == ("UpgradePending", "RovaClientDownloadFailed")
    v2.clock.advance(timedelta(hours=2))
    await v2.run(stock.begin, 1, v2.clock.now())
    await v2.run(stock.report, 1, AttemptEvent.DOWNLOAD, v2.clock.now())
    assert (await shown())[0] == ("UpgradePending", "RovaClientDownloadNotInstalledYet")
    await v2.run(stock.report, 1, AttemptEvent.SUCCEED, v2.clock.now())
    assert (await shown())[0] == ("UpgradeSuccess", "DownloadInstallSucceeded")
    await v2.run(stock.begin, 2, v2.clock.now())
    await v2.advance(3 * DAY)
    await v2.advance()
    assert await shown() == [
        ("UpgradeSuccess", "DownloadInstallSucceeded"),
        ("UpgradeFailed", "RovaClientDidNotReportStatus"),
    ]


async def test_campaign_device_pages(v2: V2) -> None:
    """Devices come by IMEI; a rejected one that is not the account's is a cursor too."""
    campaign = await v2.scheduled([3, 1, 2, 101, 102])
    path = f"/reports/{{}}/campaigns/{campaign}/devices"
    found, cursor = [], "0"
    for more in (True, True, False):
        page = await v2.ada.ok("GET", f"{path}?lastSeenDeviceId={cursor}")
        assert (page["hasMoreData"], page["totalDevice"]) == (more, 5)
        found += [device["deviceId"] for device in page["deviceList"]]
        cursor = page["lastSeenDeviceId"]
    assert found == [imei(number) for number in (1, 2, 3, 101, 102)]
    past = await v2.ada.ok("GET", f"{path}?lastSeenDeviceId={cursor}")
    assert past == {"totalDevice": 5, "hasMoreData": False, "maxPageSize": 2, "deviceList": []}
    for wrong in (ABSENT, imei(103), "x"):
        refused = await v2.ada.why("GET", f"{path}?lastSeenDeviceId={wrong}")
        assert refused == "LastSeenDeviceId Not Valid"
    # Taken out of the campaign between two pages, a device is still a place in the order.
    body = {"type": "remove", "deviceList": [imei(2)]}
    await v2.ada.ok("PUT", f"/campaigns/{{}}/{campaign}", body)
    await v2.advance()
    page = await v2.ada.ok("GET", f"{path}?lastSeenDeviceId={imei(2)}")
    assert [device["deviceId"] for device in page["deviceList"]] == [imei(3), imei(101)]
    assert page["totalDevice"] == 4


# A device's past ---------------------------------------------------------------------------------


async def test_history(v2: V2) -> None:
    """Upgrades that ended are listed, newest first, for six months."""
    path = f"/reports/{{}}/devices/{imei(1)}"
    assert await v2.ada.ok("GET", path) == []
    first = await v2.scheduled([1], startDate=v2.day())
    await v2.run(stock.begin, 1, v2.clock.now())
    assert await v2.ada.ok("GET", path) == []
    v2.clock.advance(timedelta(minutes=5))
    await v2.run(stock.report, 1, AttemptEvent.SUCCEED, v2.clock.now())
    await v2.advance()
    succeeded = {
        "deviceId": imei(1),
        "id": first,
        "accountName": ACCOUNT,
        "softwareName": SOFTWARE,
        "startDate": "2026-03-02",
        "upgradeStartTime": "2026-03-02T08:00:00.000Z",
        "status": "UpgradeSuccess",
        "reason": "DownloadInstallSucceeded",
    }
    assert await v2.ada.ok("GET", path) == [succeeded]
    await file_added(v2)
    file = "configfile-Acme_X1_hello-world.txt"
    request = v2.campaign([1], fileName=file, fileVersion="1.0", startDate=v2.day())
    second = (await v2.ada.ok("POST", "/campaigns/files/{}", request))["id"]
    await v2.advance()
    for _ in range(stock.SETTINGS.limits.max_attempts):
        v2.clock.advance(timedelta(hours=2))
        await v2.run(stock.begin, 1, v2.clock.now())
        await v2.run(stock.report, 1, AttemptEvent.FAIL, v2.clock.now())
    failed = {
        **succeeded,
        "id": second,
        "softwareName": file,
        "upgradeStartTime": "2026-03-02T14:05:00.000Z",
        "status": "UpgradeFailed",
        "reason": "RovaClientDownloadFailed",
    }
    assert await v2.ada.ok("GET", path) == [failed, succeeded]
    v2.clock.advance(timedelta(days=6 * 31))
    assert await v2.ada.ok("GET", path) == []


@pytest.mark.parametrize(
    "path",
    [
        "/reports/{}/devices/IMEI",
        "/logging/{}/devices/IMEI/logs",
        "/logging/{}/devices/IMEI/checkInHistory",
    ],
)
async def test_unknown_devices(v2: V2, path: str) -> None:
    """A device that is not the account's is not found; what is no IMEI is named so."""
    absent = Refused("DEVICE_NOT_FOUND", "Device not found")
    for number in (ABSENT, imei(101)):
        assert await v2.ada.refused("GET", path.replace("IMEI", number)) == absent
    for wrong in ("1", "x", ABSENT + "0", "99001390783557%20", "%00"):
        assert await v2.ada.why("GET", path.replace("IMEI", wrong)) == "Invalid device id format"
