"""v3: reports on campaigns, on their devices, and on a device's past (API 6.14 to 6.16, lifecycle 5.4)."""

from datetime import timedelta

import pytest

from overair.config import Limits
from overair.core.upgrade import Reason
from tests.api.v2_world import ABSENT, ACCOUNT, Refused
from tests.api.v3_world import AIR, FAR, FIRMWARE, THEIRS, V3
from tests.engine.stock import imei

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NOWHERE = "60b5d639-ccdc-4db8-8824-069bd94c95bf"
ONE, TWO, THREE = AIR[:3]
PATHS = ("/reports/{}/firmware/campaigns", "/reports/{}/campaigns")
UNHEARD = "The network reports this device is not reachable."
FINAL_UNHEARD = "The network does not report this device is reachable"


@pytest.fixture
def limits() -> Limits:
    return Limits(page_size=2)


def devices_path(campaign: str) -> str:
    return f"/reports/{{}}/campaigns/{campaign}/devices"


def history_path(number: int) -> str:
    return f"/reports/{{}}/devices/{imei(number)}"


# Campaigns ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
async def test_campaigns_by_status(v3: V3, path: str) -> None:
    """Campaigns are listed in the order in which they were made, without their flags."""
    made = [await v3.scheduled([number]) for number in (ONE, TWO, THREE)]
    await v3.ada.ok("DELETE", f"/campaigns/{{}}/{made[1]}")
    flags = {"autoAssignLicenseFlag", "autoAddDevicesFlag"}
    for word, those in (
        ("CampaignScheduled", [made[0], made[2]]),
        ("CampaignCancelled", [made[1]]),
    ):
        report = await v3.ada.ok("GET", f"{path}?campaignStatus={word}")
        assert report == {
            "hasMoreData": False,
            "lastSeenCampaignId": those[-1],
            "campaignList": [
                {k: v for k, v in (await v3.shown(campaign)).items() if k not in flags}
                for campaign in those
            ],
        }
    nothing = {"hasMoreData": False, "campaignList": []}
    assert await v3.bob.ok("GET", f"{path}?campaignStatus=CampaignScheduled") == nothing
    for word in (
        *("CampaignRequestPending", "CampaignRequestFailed", "CampaignRequestQueued"),
        *("CampaignQueued", "CampaignPreScheduled", "CampaignAborted", "CampaignFailed"),
        "CampaignEnded",
    ):
        assert await v3.ada.ok("GET", f"{path}?campaignStatus={word}") == nothing
    for query in ("", "?campaignStatus=", "?campaignStatus=Ended", "?x=1"):
        assert await v3.ada.why("GET", path + query) == "Invalid campaign status"


async def test_campaign_pages(v3: V3) -> None:
    """A page begins after the cursor's campaign, also when that has another status by now."""
    made = [await v3.scheduled([number]) for number in AIR[:5]]
    path = f"{PATHS[0]}?campaignStatus=CampaignScheduled"
    first = await v3.ada.ok("GET", f"{path}&lastSeenCampaignId=0")
    assert [campaign["id"] for campaign in first["campaignList"]] == made[:2]
    assert (first["hasMoreData"], first["lastSeenCampaignId"]) == (True, made[1])
    await v3.ada.ok("DELETE", f"/campaigns/{{}}/{made[1]}")
    second = await v3.ada.ok("GET", f"{path}&lastSeenCampaignId={made[1].upper()}")
    assert [campaign["id"] for campaign in second["campaignList"]] == made[2:4]
    last = await v3.ada.ok("GET", f"{path}&lastSeenCampaignId={made[3]}")
    assert ([c["id"] for c in last["campaignList"]], last["hasMoreData"]) == (made[4:], False)
    of_v2 = await v3.v2.scheduled([1])
    for wrong in (NOWHERE, "x", "1", "%00", of_v2):
        found = await v3.ada.why("GET", f"{path}&lastSeenCampaignId={wrong}")
        assert found == "LastSeenCampaignId Not Valid"


# The devices of a campaign -----------------------------------------------------------------------


async def test_a_device_through_its_campaign(v3: V3) -> None:
    """A device shows its turn, that it failed and when it is tried again, and that it succeeded."""
    campaign = await v3.scheduled([ONE], startDate=v3.day())

    async def shown() -> dict[str, str]:
        (found,) = (await v3.standings(campaign)).values()
        assert isinstance(found, dict)
        return found

    running = (
        "The upgrade is scheduled to begin on 02 Mar 26 08:00 UTC, and the estimated completion is"
        " 02 Mar 26 12:00 UTC."
    )
    assert await shown() == {
        "status": "UpgradeScheduled",
        "resultReason": running,
        "updatedTime": "2026-03-02T08:00:00.000Z",
        "recentAttemptTime": "2026-03-02T08:00:00.000Z",
    }
    await v3.advance(timedelta(minutes=30))
    await v3.fail(ONE)
    assert await shown() == {
        "status": "UpgradeFailed",
        "resultReason": (
            "Upgrade failed, estimated retry time on 02 Mar 26 09:30 UTC, try count 1."
        ),
        "updatedTime": "2026-03-02T08:30:00.000Z",
        "recentAttemptTime": "2026-03-02T08:00:00.000Z",
        "nextAttemptTime": "2026-03-02T09:30:00.000Z",
    }
    await v3.advance(HOUR)
    assert (await shown())["recentAttemptTime"] == "2026-03-02T09:30:00.000Z"
    await v3.fail(ONE)
    assert (await shown())["resultReason"].endswith("try count 2.")
    await v3.advance(timedelta(hours=2, minutes=30))  # what the slot had is spent
    await v3.succeed(ONE)
    assert await shown() == {
        "status": "UpgradeSuccess",
        "resultReason": "Upgrade completed successfully",
        "updatedTime": "2026-03-02T12:00:00.000Z",
        "recentAttemptTime": "2026-03-02T12:00:00.000Z",
    }


async def test_a_slot_without_the_device_is_no_try(v3: V3) -> None:
    """A device that was there but never answered has not failed: it has another slot, and tries begin then."""
    campaign = await v3.scheduled(
        [ONE],
        startDate=v3.day(),
        endDate=v3.day(1),
        campaignTimeWindowList=[{"startTime": 8, "endTime": 12}],
    )
    await v3.advance(4 * HOUR)
    (missed,) = (await v3.standings(campaign)).values()
    assert missed == {
        "status": "UpgradeScheduled",
        "resultReason": (
            "The upgrade is scheduled to begin on 03 Mar 26 08:00 UTC, and the estimated completion is"
            " 03 Mar 26 12:00 UTC."
        ),
        "updatedTime": "2026-03-02T12:00:00.000Z",
        "nextAttemptTime": "2026-03-03T08:00:00.000Z",
    }
    await v3.advance(20 * HOUR)
    await v3.fail(ONE)
    (failed,) = (await v3.standings(campaign)).values()
    assert failed["resultReason"] == (
        "Upgrade failed, estimated retry time on 03 Mar 26 09:00 UTC, try count 1."
    )
    await v3.come(ONE, registered=False)
    await v3.advance(HOUR)
    await v3.come(ONE)
    await v3.advance(20 * HOUR)
    over = "no retry available, try count 1."
    (ended,) = (await v3.standings(campaign)).values()
    assert ended["resultReason"].endswith(over)
    (past,) = await v3.ada.ok("GET", history_path(ONE))
    assert past["reason"].endswith(over)


async def test_devices_at_the_end_of_a_campaign(v3: V3) -> None:
    """What was not upgraded has no retry available; one that nobody reached was not reachable."""
    plain = {"startDate": v3.day(), "endDate": v3.day()}
    campaign = await v3.scheduled([ONE, FAR[0]], **plain)
    assert (await v3.devices(campaign))[imei(FAR[0])] == ("NoDeviceDataFromNetwork", UNHEARD)
    await v3.fail(ONE)
    await v3.advance(timedelta(hours=16))
    await v3.advance()
    assert await v3.status(campaign) == "CampaignEnded"
    assert await v3.devices(campaign) == {
        imei(ONE): ("UpgradeFailed", "Upgrade failed, no retry available, try count 1."),
        imei(FAR[0]): (
            "NoDeviceDataFromNetwork",
            f"{FINAL_UNHEARD}, no retry available, try count 0.",
        ),
    }
    found = await v3.standings(campaign)
    assert all("nextAttemptTime" not in one for one in found.values())


async def test_campaign_device_pages(v3: V3) -> None:
    """Devices come by IMEI; a rejected one that is not the account's is a cursor too."""
    campaign = await v3.scheduled([THREE, ONE, TWO, *THEIRS])
    found, cursor = [], "0"
    for more in (True, True, False):
        page = await v3.ada.ok("GET", f"{devices_path(campaign)}?lastSeenDeviceId={cursor}")
        assert (page["hasMoreData"], page["totalDevice"], page["maxPageSize"]) == (more, 5, 2)
        found += [device["deviceId"] for device in page["deviceList"]]
        cursor = page["lastSeenDeviceId"]
    assert found == [imei(number) for number in (ONE, TWO, THREE, *THEIRS)]
    past = await v3.ada.ok("GET", f"{devices_path(campaign)}?lastSeenDeviceId={cursor}")
    assert past == {"totalDevice": 5, "hasMoreData": False, "maxPageSize": 2, "deviceList": []}
    for wrong in (ABSENT, "x"):
        refused = await v3.ada.why("GET", f"{devices_path(campaign)}?lastSeenDeviceId={wrong}")
        assert refused == "LastSeenDeviceId Not Valid"
    assert await v3.ada.why("GET", devices_path("x")) == "Invalid uuid"
    of_v2 = await v3.v2.scheduled([1])
    for unknown in (NOWHERE, of_v2):
        assert await v3.ada.why("GET", devices_path(unknown)) == "Invalid upgradeId"


# A device's past ---------------------------------------------------------------------------------


async def test_history(v3: V3) -> None:
    """A device's past holds what succeeded and what failed, newest first, under both names of its id."""
    plain = {"startDate": v3.day(), "endDate": v3.day()}
    first = await v3.scheduled([ONE], **plain)
    assert await v3.ada.ok("GET", history_path(ONE)) == []
    await v3.fail(ONE, Reason.INSTALL_FAILED)
    assert await v3.ada.ok("GET", history_path(ONE)) == []  # it is tried again
    await v3.ada.ok(
        "PUT",
        f"/campaigns/firmware/{{}}/{first}/dates",
        {"startDate": v3.day(), "endDate": v3.day(2)},
    )
    await v3.advance(4 * HOUR)
    await v3.succeed(ONE)
    assert await v3.ada.ok("GET", history_path(ONE)) == [
        {
            "deviceId": imei(ONE),
            "campaignId": first,
            "id": first,
            "accountName": ACCOUNT,
            "firmwareName": FIRMWARE,
            "firmwareFrom": "01",
            "firmwareTo": "02",
            "startDate": "2026-03-02",
            "status": "UpgradeSuccess",
            "reason": "Upgrade completed successfully",
            "reportUpdatedTime": "2026-03-02 12:00:00.000 +0000 UTC",
        }
    ]
    await v3.scheduled([FAR[0]], **plain)
    await v3.advance(DAY)
    await v3.advance()
    (past,) = await v3.ada.ok("GET", history_path(FAR[0]))
    assert (past["status"], past["reason"]) == (
        "NoDeviceDataFromNetwork",
        f"{FINAL_UNHEARD}, no retry available, try count 0.",
    )
    not_found = Refused("DEVICE_NOT_FOUND", "Device not found")
    assert await v3.bob.refused("GET", history_path(ONE)) == not_found
    assert await v3.ada.refused("GET", f"/reports/{{}}/devices/{ABSENT}") == not_found
    assert await v3.ada.why("GET", "/reports/{}/devices/x") == "Invalid device id format"
