"""v1: reports on upgrades by status, and on a device's past (API 4.11, 4.12, lifecycle 3.5)."""

from datetime import timedelta
from typing import Any

import pytest

from overair.config import Limits
from overair.core.upgrade import Reason
from tests.api.test_v1_upgrades import change, path
from tests.api.v1_world import FIRMWARE, MINE, V1
from tests.api.v2_world import ABSENT, ACCOUNT, Refused
from tests.engine import pushed, stock
from tests.engine.stock import imei

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
ONE, TWO, THREE, FOUR, FIVE = MINE[:5]
RETRY = "Upgrade failed, device is queued for retry"
NOTHING: dict[str, Any] = {"hasMoreFlag": False, "lastSeenUpgradeId": 0, "reportList": []}


@pytest.fixture
def limits() -> Limits:
    return Limits(page_size=2, reported_devices=3)


def status(word: str, index: int | str = 0) -> str:
    return f"/reports/{{}}/status/{word}/index/{index}"


def history(number: int) -> str:
    return f"/reports/{{}}/devices/{imei(number)}"


# Upgrades by status ------------------------------------------------------------------------------


async def test_upgrades_by_status(v1: V1) -> None:
    """Upgrades are listed in the order in which they were made, as GET shows each of them."""
    made = [await v1.scheduled([number]) for number in (ONE, TWO, THREE)]
    await v1.ada.ok("DELETE", path(made[1]))
    expected = {
        "hasMoreFlag": False,
        "lastSeenUpgradeId": 0,
        "reportList": [await v1.shown(upgrade) for upgrade in (made[0], made[2])],
    }
    assert await v1.ada.ok("GET", status("Queued")) == expected
    assert await v1.ada.ok("GET", "/reports/{}/status/Queued") == expected
    assert await v1.bob.ok("GET", status("Queued")) == NOTHING
    for word in ("RequestPending", "RequestFailed", "InProgress", "Finished", "UpgradeFailed"):
        assert await v1.ada.ok("GET", status(word)) == NOTHING
    pending = (await v1.ada.ok("POST", "/upgrades", v1.upgrade([TWO])))["id"]
    failed = await v1.ada.ok("POST", "/upgrades", v1.upgrade(deviceList=[ABSENT]))
    listed = (await v1.ada.ok("GET", status("RequestPending")))["reportList"]
    assert [one["id"] for one in listed] == [pending, failed["id"]]
    await v1.advance()
    listed = (await v1.ada.ok("GET", status("RequestFailed")))["reportList"]
    assert listed == [await v1.shown(failed["id"])]


async def test_pages(v1: V1) -> None:
    """The cursor is the number of the next record, and 0 after the last."""
    made = [await v1.scheduled([number]) for number in (ONE, TWO, THREE, FOUR, FIVE)]
    found, cursors = [], [0]
    for more in (True, True, False):
        page = await v1.ada.ok("GET", status("Queued", cursors[-1]))
        assert page["hasMoreFlag"] is more
        found += [one["id"] for one in page["reportList"]]
        cursors.append(page["lastSeenUpgradeId"])
    assert found == made
    assert cursors == [0, 2, 4, 0]
    for wrong in ("5", "99999999999999", imei(1)):
        message = await v1.ada.why("GET", status("Queued", wrong))
        assert message == "Index exceeds number of devices in list"
    for wrong in ("-1", "x", "1.0", "9" * 16):
        assert await v1.ada.why("GET", status("Queued", wrong)) == "Invalid index value"
    assert await v1.ada.ok("GET", status("Finished", 7)) == NOTHING


async def test_pages_of_large_upgrades(v1: V1) -> None:
    """A page ends before its devices are too many, but never without an upgrade."""
    made = [
        await v1.scheduled([ONE, TWO]),
        await v1.scheduled([THREE, FOUR]),
        await v1.scheduled(MINE[5:10]),
    ]
    assert [await v1.shown(upgrade) for upgrade in made]
    for start, end in ((0, 1), (1, 2), (2, 0)):
        page = await v1.ada.ok("GET", status("Queued", start))
        assert [one["id"] for one in page["reportList"]] == [made[start]]
        assert (page["hasMoreFlag"], page["lastSeenUpgradeId"]) == (end > 0, end)


async def test_reports_are_kept_for_six_months(v1: V1) -> None:
    """What ended longer ago is not reported; what has not ended is."""
    finished = await v1.scheduled([ONE], startDate=v1.day())
    await v1.tell(pushed.succeed, ONE)
    await v1.advance()
    assert [one["id"] for one in (await v1.ada.ok("GET", status("Finished")))["reportList"]] == [
        finished
    ]
    far = await v1.scheduled([TWO], startDate=v1.day(300), endDate=v1.day(301))
    await v1.advance(6 * 31 * DAY)
    assert await v1.ada.ok("GET", status("Finished")) == NOTHING
    assert [one["id"] for one in (await v1.ada.ok("GET", status("Queued")))["reportList"]] == [far]


@pytest.mark.parametrize("word", ["Cancelled", "queued", "Request Pending", "CampaignEnded", "x"])
async def test_unknown_statuses(v1_sqlite: V1, word: str) -> None:
    """A status is one of the published ones."""
    found = await v1_sqlite.ada.why("GET", status(word.replace(" ", "%20")))
    assert found == "Invalid upgrade status"


# A device's past ---------------------------------------------------------------------------------


async def test_history(v1: V1) -> None:
    """An upgrade that ended is one entry, newest first, for six months."""
    assert await v1.ada.ok("GET", history(ONE)) == []
    first = await v1.scheduled([ONE], startDate=v1.day())
    assert await v1.ada.ok("GET", history(ONE)) == []
    v1.clock.advance(5 * MINUTE)
    await v1.tell(pushed.succeed, ONE)
    await v1.advance()
    succeeded = {
        "deviceId": imei(ONE),
        "id": first,
        "accountName": ACCOUNT,
        "firmwareFrom": "01",
        "firmwareTo": "02",
        "startDate": "2026-03-02",
        "upgradeStartTime": "2026-03-02T08:00:00Z",
        "status": "UpgradeSuccess",
        "reason": "success",
    }
    assert await v1.ada.ok("GET", history(ONE)) == [succeeded]
    assert await v1.ada.ok("GET", history(ONE).replace("devices", "device")) == [succeeded]
    v1.clock.advance(6 * 31 * DAY)
    assert await v1.ada.ok("GET", history(ONE)) == []


async def test_one_entry_follows_its_attempts(v1: V1) -> None:
    """From the first failed attempt there is one entry, which shows the latest one until the end."""
    upgrade = await v1.scheduled([ONE], startDate=v1.day(), endDate=v1.day())

    async def entry() -> tuple[str, str, str]:
        (one,) = await v1.ada.ok("GET", history(ONE))
        assert one["id"] == upgrade
        return one["upgradeStartTime"], one["status"], one["reason"]

    await v1.tell(pushed.fail, ONE, Reason.DOWNLOAD_FAILED)
    assert await entry() == ("2026-03-02T08:00:00Z", "UpgradePending", RETRY)
    v1.clock.advance(60 * MINUTE)
    await v1.tell(pushed.execute, ONE)
    assert await entry() == (
        "2026-03-02T09:00:00Z",
        "UpgradePending",
        "Device notified; waiting for the device",
    )
    await v1.tell(pushed.fail, ONE)
    await v1.advance(DAY - 120 * MINUTE)
    await v1.advance()
    assert (await v1.shown(upgrade))["status"] == "Finished"
    started, word, reason = await entry()
    assert (word, reason) == ("UpgradePending", RETRY)
    v1.clock.advance(60 * MINUTE)
    await v1.tell(pushed.succeed, ONE)
    ended, word, reason = await entry()
    assert (word, reason) == ("UpgradeSuccess", "success")
    assert ended > started


async def test_a_queued_device_that_another_upgrade_takes(v1: V1) -> None:
    """The new upgrade replaces the queued attempt: the old entry has failed, and stands below."""
    old = await v1.scheduled([ONE], startDate=v1.day(), endDate=v1.day())
    await v1.tell(pushed.fail, ONE)
    await v1.advance(DAY)
    await v1.advance()
    new = await v1.scheduled([ONE], startDate=v1.day())
    v1.clock.advance(60 * MINUTE)
    await v1.tell(pushed.succeed, ONE)
    entries = await v1.ada.ok("GET", history(ONE))
    assert [(one["id"], one["status"], one["reason"]) for one in entries] == [
        (new, "UpgradeSuccess", "success"),
        (old, "UpgradeFailed", "Another upgrade was scheduled for the device"),
    ]


async def test_a_queued_device_that_loses_its_licence(v1: V1) -> None:
    """It is not tried on, and its entry says why."""
    body = {"deviceList": [imei(ONE)]}
    await v1.ada.ok("POST", "/licenses/{}/assign", body)
    upgrade = await v1.scheduled([ONE], startDate=v1.day(), endDate=v1.day())
    await v1.tell(pushed.fail, ONE)
    await v1.advance(DAY)
    await v1.advance()
    answer = await v1.ada.ok("POST", "/licenses/{}/remove", body)
    assert answer["deviceList"][0]["status"] == "LicenseRemoveSuccess"
    lost = ("UpgradeFailed", "No license attached to device")
    assert await v1.devices(upgrade) == {imei(ONE): lost}
    (entry,) = await v1.ada.ok("GET", history(ONE))
    assert (entry["status"], entry["reason"]) == lost


async def test_histories_are_apart(v1: V1) -> None:
    """What v1 upgraded is not in v2's history of the device, and the other way round."""
    upgrade = await v1.scheduled([ONE], startDate=v1.day())
    await v1.tell(pushed.succeed, ONE)
    await v1.v2.scheduled([1], startDate=v1.day())
    await v1.run(stock.upgrade, 1)
    assert [one["id"] for one in await v1.ada.ok("GET", history(ONE))] == [upgrade]
    assert await v1.ada.ok("GET", history(1)) == []
    assert await v1.v2.ada.ok("GET", history(ONE)) == []
    assert len(await v1.v2.ada.ok("GET", history(1))) == 1


async def test_removed_devices_have_no_history(v1: V1) -> None:
    """A device that left an upgrade, or was rejected by it, was not upgraded."""
    upgrade = await v1.scheduled([ONE, TWO])
    await v1.scheduled([TWO], firmwareName=FIRMWARE)
    await v1.ada.ok("PUT", path(upgrade), change("remove", ONE))
    for number in (ONE, TWO):
        assert await v1.ada.ok("GET", history(number)) == []


async def test_unknown_devices(v1: V1) -> None:
    """A device that is not the account's is not found; what is no IMEI is named so."""
    absent = Refused("DEVICE_NOT_FOUND", "Device not found")
    for device in (ABSENT, imei(301)):
        assert await v1.ada.refused("GET", f"/reports/{{}}/devices/{device}") == absent
    for wrong in ("1", "x", ABSENT + "0", "%00"):
        message = await v1.ada.why("GET", f"/reports/{{}}/devices/{wrong}")
        assert message == "Invalid device id format"
