"""v1's upgrades from the client's side: every status and reason, retries, changes, the lists (lifecycle 3)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from overair.config import Omadm
from overair.core.upgrade import Reason
from overair.store import Tx
from tests.sdk.v1_world import (
    ACCEPTED,
    NOTIFIED,
    QUEUED,
    SUCCEEDED,
    fail,
    on_v1,
    request,
    scheduled,
    succeed,
)
from tests.sdk.world import (
    BOTH,
    FIRMWARE,
    LIGHT_FIRMWARE,
    NEXT_FIRMWARE,
    PUSHED,
    PUSHED_FLEET,
    PUSHED_LIGHT,
    PUSHED_NOT_ELIGIBLE,
    PUSHED_OTHER_MODEL,
    PUSHED_OTHER_VERSION,
    PUSHED_OVER_HTTP,
    PUSHED_SUSPENDED,
    PUSHED_THEIRS,
    PUSHED_UNKNOWN_TYPE,
    UNKNOWN,
    World,
    imei,
    imeis,
    open_world,
)

ONE, TWO, THREE, FOUR = PUSHED_FLEET[:4]
ADDED = ("AddDeviceSucceed", "Device added Successfully")
REMOVED = ("RemoveDeviceSucceed", "Device removed Successfully")
ELSEWHERE = (
    "Device scheduled for firmware-upgrade previously, it needs to be completed before another"
    " upgrade is scheduled."
)
MODEL = "Device make/model does not meet software prerequisites."
# What keeps a device out of an upgrade (lifecycle 3.3).
REJECTIONS = {
    imei(FOUR): ELSEWHERE,
    imei(PUSHED_NOT_ELIGIBLE): "Device not eligible for service.",
    imei(PUSHED_SUSPENDED): "Device is not in active state or is not connected.",
    imei(PUSHED_OTHER_MODEL): MODEL,
    imei(PUSHED_OTHER_VERSION): (
        "Current device software version does not meet software prerequisites."
    ),
    imei(PUSHED_UNKNOWN_TYPE): "Unknown client device type.",
    imei(PUSHED_LIGHT): MODEL,
    imei(PUSHED_OVER_HTTP): MODEL,
    imei(PUSHED_THEIRS[0]): "Device not found.",
    UNKNOWN: "Device not found.",
    "12345": "Invalid Device IMEI.",
    "not-an-imei": "Invalid Device IMEI.",
}


def forget_type(tx: Tx) -> None:
    """Nobody knows what client this device has."""
    tx.execute("update device set protocol = '' where imei = ?", (imei(PUSHED_UNKNOWN_TYPE),))


# Scheduling --------------------------------------------------------------------------------------


def test_every_rejection(world: World) -> None:
    """Devices that do not pass say why: in the upgrade that named them, or when they are added."""
    ada = on_v1(world.ada)
    world.run(forget_type)
    scheduled(world, FOUR, start=1)
    named = [imei(ONE), *REJECTIONS]
    made = ada.ok("schedule_firmware_upgrade", request(world, start=1, device_list=named))
    assert made["deviceList"] == [
        {"deviceId": device, "status": "RequestPending"} for device in named
    ]
    world.settle()
    upgrade = ada.upgrade(made["id"])
    assert upgrade["status"] == "Queued"
    assert [one["deviceId"] for one in upgrade["deviceList"]] == named
    assert ada.devices(made["id"]) == {imei(ONE): ACCEPTED} | {
        device: ("Device Rejected", reason) for device, reason in REJECTIONS.items()
    }
    other = scheduled(world, TWO, start=1)
    assert ada.change(other, "append", THREE, *REJECTIONS) == [
        ADDED,
        *(("AddDeviceFailed", reason) for reason in REJECTIONS.values()),
    ]
    assert ada.devices(other) == {imei(TWO): ACCEPTED, imei(THREE): ACCEPTED}


def test_when_nobody_passes(world: World) -> None:
    """An upgrade whose devices are all rejected has failed, and says why for each."""
    ada = on_v1(world.ada)
    failed = scheduled(world, ONE, start=1, firmware_name=NEXT_FIRMWARE, firmware_to="03")
    assert ada.status(failed) == "RequestFailed"
    assert ada.devices(failed) == {
        imei(ONE): ("Device Rejected", REJECTIONS[imei(PUSHED_OTHER_VERSION)])
    }
    assert ada.by_status("RequestFailed") == [failed]
    assert ada.devices(scheduled(world, ONE, start=1)) == {imei(ONE): ACCEPTED}


def test_start_times(world: World) -> None:
    """One for today begins at once, one for later at midnight (lifecycle 3.2)."""
    ada = on_v1(world.ada)
    today = scheduled(world, ONE)
    later = scheduled(world, TWO, start=2, end=2)
    assert (ada.status(today), ada.status(later)) == ("InProgress", "Queued")
    assert ada.devices(today) == {imei(ONE): NOTIFIED}
    midnight = world.midnight(2)
    world.wait(hours=39)
    assert ada.status(later) == "Queued"
    world.wait_until(midnight)
    assert ada.status(later) == "InProgress"
    assert ada.devices(later) == {imei(TWO): NOTIFIED}


# While it runs -----------------------------------------------------------------------------------


def test_retries_without_end(world: World) -> None:
    """What fails is queued, again and again, beyond the upgrade's end; one entry follows it (3.5)."""
    ada = on_v1(world.ada)
    upgrade = scheduled(world, ONE, TWO, start=0, end=0)
    succeed(world, TWO)
    seen = []
    for reason in (Reason.DOWNLOAD_FAILED, Reason.INSTALL_FAILED, Reason.DECLINED):
        fail(world, ONE, reason)
        assert ada.status(upgrade) == "InProgress"
        assert ada.devices(upgrade) == {imei(ONE): QUEUED, imei(TWO): SUCCEEDED}
        (entry,) = ada.history(ONE)
        assert (entry["id"], entry["status"], entry["reason"]) == (upgrade, *QUEUED)
        seen.append(entry["upgradeStartTime"])
        world.wait(hours=1)
    assert seen == [
        "2026-03-02T08:00:00Z",
        "2026-03-02T09:00:00Z",
        "2026-03-02T10:00:00Z",
    ]
    world.wait_until(world.midnight(1))
    assert ada.status(upgrade) == "Finished"
    assert ada.devices(upgrade)[imei(ONE)] == QUEUED
    fail(world, ONE)
    assert ada.devices(upgrade)[imei(ONE)] == QUEUED
    world.wait(hours=1)
    succeed(world, ONE)
    assert ada.devices(upgrade)[imei(ONE)] == SUCCEEDED
    assert ada.by_status("Finished") == [upgrade]
    (entry,) = ada.history(ONE)
    assert (entry["status"], entry["reason"]) == SUCCEEDED
    assert (entry["firmwareFrom"], entry["firmwareTo"]) == ("01", "02")


def test_nobody_comes(world: World) -> None:
    """The notification lives for four hours; a device that has not come by then is queued."""
    ada = on_v1(world.ada)
    upgrade = scheduled(world, ONE)
    for _ in range(8):
        assert ada.devices(upgrade) == {imei(ONE): NOTIFIED}
        world.wait(minutes=30)
    assert ada.devices(upgrade) == {imei(ONE): QUEUED}


@pytest.fixture
def old_rule(tmp_path: Path) -> Iterator[World]:
    """A world in which an attempt that failed is the last."""
    with open_world(tmp_path / "world", omadm=Omadm(requeue=False)) as world:
        yield world


def test_without_requeueing(old_rule: World) -> None:
    """By the old rule a failed attempt is the end, and its reason is shown (lifecycle 3.5)."""
    world = old_rule
    ada = on_v1(world.ada)
    upgrade = scheduled(world, ONE, TWO, THREE, FOUR)
    fail(world, ONE, Reason.DOWNLOAD_FAILED)
    fail(world, TWO, Reason.INSTALL_FAILED)
    fail(world, THREE, Reason.DECLINED)
    world.wait(hours=4)
    assert ada.devices(upgrade) == {
        imei(ONE): ("UpgradeFailed", "Download failed"),
        imei(TWO): ("UpgradeFailed", "Install failed"),
        imei(THREE): ("UpgradeFailed", "Upgrade declined by the device"),
        imei(FOUR): ("UpgradeFailed", "Device did not respond within 4 hours"),
    }
    assert ada.status(upgrade) == "Finished"
    (entry,) = ada.history(FOUR)
    assert (entry["status"], entry["reason"]) == (
        "UpgradeFailed",
        "Device did not respond within 4 hours",
    )


def test_a_device_in_one_upgrade_at_a_time(world: World) -> None:
    """Until its upgrade is finished a device takes no other; then a new one takes it from the queue."""
    ada = on_v1(world.ada)
    first = scheduled(world, ONE, end=0)
    fail(world, ONE)
    second = scheduled(world, ONE, start=1)
    assert ada.devices(second) == {imei(ONE): ("Device Rejected", ELSEWHERE)}
    world.wait_until(world.midnight(1))
    assert ada.devices(first) == {imei(ONE): QUEUED}
    third = scheduled(world, ONE)
    assert ada.devices(third) == {imei(ONE): NOTIFIED}
    assert ada.devices(first) == {
        imei(ONE): ("UpgradeFailed", "Another upgrade was scheduled for the device")
    }
    succeed(world, ONE)
    assert [(one["id"], one["status"]) for one in ada.history(ONE)] == [
        (third, "UpgradeSuccess"),
        (first, "UpgradeFailed"),
    ]


def test_light_devices(world: World) -> None:
    """Firmware of LWM2M devices is scheduled too; what nothing reached by the end has failed."""
    ada = on_v1(world.ada)
    upgrade = scheduled(world, PUSHED_LIGHT, end=0, firmware_name=LIGHT_FIRMWARE)
    assert ada.devices(upgrade) == {imei(PUSHED_LIGHT): ACCEPTED}
    world.wait_until(world.midnight(1))
    assert ada.status(upgrade) == "Finished"
    assert ada.devices(upgrade) == {
        imei(PUSHED_LIGHT): ("UpgradeFailed", "Device did not report its status")
    }


# Changing and cancelling -------------------------------------------------------------------------


def test_taking_devices_out(world: World) -> None:
    """Who is out is free at once; who was not in is told so; the last one out cancels the upgrade."""
    ada = on_v1(world.ada)
    upgrade = scheduled(world, ONE, TWO, THREE, start=1)
    assert ada.change(upgrade, "remove", TWO, FOUR) == [
        REMOVED,
        ("RemoveDeviceFailed", "Device is not in the upgrade"),
    ]
    other = scheduled(world, TWO, start=1)
    assert ada.devices(other) == {imei(TWO): ACCEPTED}
    assert ada.change(upgrade, "remove", ONE, THREE) == [REMOVED, REMOVED]
    assert ada.why("list_firmware_upgrade_details", upgrade) == "Invalid upgradeId"
    assert ada.by_status("Queued") == [other]
    assert ada.change(other, "append", ONE, THREE) == [ADDED, ADDED]


def test_cancelling(world: World) -> None:
    """What was cancelled is nowhere to be seen, and its devices are free."""
    ada = on_v1(world.ada)
    upgrade = scheduled(world, ONE, TWO, start=1)
    assert ada.ok("cancel_scheduled_firmware_upgrade", upgrade) == {"success": True}
    assert ada.why("list_firmware_upgrade_details", upgrade) == "Invalid upgradeId"
    assert ada.why("cancel_scheduled_firmware_upgrade", upgrade) == "Invalid upgradeId"
    for word in ("RequestPending", "Queued", "RequestFailed", "InProgress", "Finished"):
        assert ada.by_status(word) == []
    world.settle()
    again = scheduled(world, ONE, start=1)
    assert ada.devices(again) == {imei(ONE): ACCEPTED}
    assert ada.history(ONE) == []


# Lists -------------------------------------------------------------------------------------------


def test_pages(paged_world: World) -> None:
    """Upgrades by number of record, devices by IMEI, each list as a program would read it."""
    world = paged_world
    ada = on_v1(world.ada)
    made = [scheduled(world, number, start=1) for number in PUSHED_FLEET[:7]]
    assert ada.by_status("Queued") == made
    pages = list(ada.all_pages("list_upgrades_for_specified_status", "Queued"))
    assert [page["lastSeenUpgradeId"] for page in pages] == [3, 6, 0]
    pages = list(ada.all_pages("list_account_devices"))
    found = [one["deviceId"] for page in pages for one in page["deviceList"]]
    assert found == sorted(found)
    assert found == imeis(*PUSHED_FLEET, *range(121, 128))
    assert [page["lastSeenDeviceId"] for page in pages][:2] == [int(imei(103)), int(imei(106))]


def test_versions_are_apart(world: World) -> None:
    """v1's upgrades and v2's campaigns know nothing of each other, but for the devices they hold."""
    ada, v2 = on_v1(world.ada), world.ada.on(PUSHED)
    upgrade = scheduled(world, ONE)
    assert v2.why("get_campaign_information", upgrade) == "Invalid upgradeId"
    assert v2.ok("get_campaign_history_by_status", "CampaignScheduled")["campaignList"] == []
    campaign = world.campaign(1)
    here = on_v1(world.ada, BOTH)
    assert here.why("list_firmware_upgrade_details", campaign) == "Invalid upgradeId"
    assert here.by_status("InProgress") == []
    succeed(world, ONE)
    world.device(1).succeed()
    assert len(ada.history(ONE)) == 1
    assert v2.ok("get_device_firmware_upgrade_history", imei(ONE)) == []
    assert here.history(1) == []
    # One catalogue: v2 lists what is delivered over OMA-DM too, v1 nothing that is pulled.
    assert FIRMWARE in {one["softwareName"] for one in v2.ok("list_available_software")}
    assert here.ok("list_available_firmware") == []
