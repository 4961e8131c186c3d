"""v1: upgrades are scheduled, shown, changed and cancelled (API 4.7 to 4.10, lifecycle 3)."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overair.clock import ManualClock
from overair.config import Limits, Omadm
from overair.core.upgrade import Reason
from overair.engine.catalog import put_software
from tests.api.v1_world import (
    FIRMWARE,
    LIGHT,
    LIGHT_FIRMWARE,
    MINE,
    NOT_ELIGIBLE,
    UNKNOWN_TYPE,
    V1,
    v1_world,
)
from tests.api.v2_world import ABSENT, ACCOUNT, BARE_ACCOUNT, Refused
from tests.engine import pushed, stock
from tests.engine.stock import SOFTWARE, imei

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
DAY = timedelta(days=1)
NOWHERE = "60b5d639-ccdc-4db8-8824-069bd94c95bf"
ONE, TWO, THREE, FOUR = MINE[:4]
ACCEPTED = ("Device Accepted", "success")
NOTIFIED = ("UpgradePending", "Device notified; waiting for the device")
QUEUED = ("UpgradePending", "Upgrade failed, device is queued for retry")
STARTED = Refused("INVALID_STATE", "Upgrade has started")
NOT_CANCELLABLE = Refused("INVALID_STATE", "Campaign cannot be cancelled")
ELSEWHERE = (
    "Device scheduled for firmware-upgrade previously, it needs to be completed before another"
    " upgrade is scheduled."
)


def path(upgrade: str) -> str:
    return f"/upgrades/{{}}/upgrade/{upgrade}"


def change(type_: str, *numbers: int | str) -> dict[str, Any]:
    """The body of a change of an upgrade's list."""
    named = [imei(number) if isinstance(number, int) else number for number in numbers]
    return {"type": type_, "deviceList": named}


def outcomes(answer: Any) -> list[tuple[str, str]]:
    return [(one["status"], one["Reason"]) for one in answer["deviceList"]]


# Scheduling --------------------------------------------------------------------------------------


async def test_schedule(v1: V1) -> None:
    """The answer is the upgrade, pending, with its devices as they were named and no reasons."""
    answer = await v1.ada.ok("POST", "/upgrades", v1.upgrade([TWO, ONE, TWO]))
    assert UUID4.fullmatch(answer["id"])
    assert answer == {
        "id": answer["id"],
        "accountName": ACCOUNT,
        "firmwareName": FIRMWARE,
        "firmwareTo": "02",
        "startDate": "2026-03-03",
        "endDate": "2026-03-07",
        "status": "RequestPending",
        "deviceList": [
            {"deviceId": imei(TWO), "status": "RequestPending"},
            {"deviceId": imei(ONE), "status": "RequestPending"},
        ],
    }
    assert await v1.shown(answer["id"]) == answer
    await v1.advance()
    queued = await v1.ada.ok("GET", path(answer["id"].upper()))
    assert queued == answer | {
        "status": "Queued",
        "deviceList": [
            {"deviceId": imei(n), "status": "Device Accepted", "resultReason": "success"}
            for n in (TWO, ONE)
        ],
    }


async def test_dates(v1: V1) -> None:
    """Without an end an upgrade ends after a week; one that starts today may last longer than that."""
    for start, end, shown in (
        (v1.day(2), ..., "2026-03-11"),
        (v1.day(), None, "2026-03-09"),
        (v1.day(), v1.day(30), v1.day(30)),
        (v1.day() + "T10:00:00Z", v1.day(), v1.day()),
    ):
        body = v1.upgrade([ONE], startDate=start, endDate=end)
        answer = await v1.ada.ok("POST", "/upgrades", body)
        assert (answer["startDate"], answer["endDate"]) == (start[:10], shown)


async def test_rejected_devices(v1: V1) -> None:
    """Each device that does not pass the checks says why; the others go on."""
    await v1.scheduled([FOUR])
    await v1.run(
        put_software, stock.software(name="next", protocol="OMADM", from_version="02"), stock.NOW
    )
    numbers = [ONE, FOUR, NOT_ELIGIBLE, UNKNOWN_TYPE, 1]
    named = [imei(number) for number in numbers]
    upgrade = await v1.scheduled(deviceList=[*named, ABSENT, imei(301), "12345", "no-imei"])
    assert await v1.devices(upgrade) == {
        imei(ONE): ACCEPTED,
        imei(FOUR): ("Device Rejected", ELSEWHERE),
        imei(NOT_ELIGIBLE): ("Device Rejected", "Device not eligible for service."),
        imei(UNKNOWN_TYPE): ("Device Rejected", "Unknown client device type."),
        imei(1): (
            "Device Rejected",
            "Device make/model does not meet software prerequisites.",
        ),
        ABSENT: ("Device Rejected", "Device not found."),
        imei(301): ("Device Rejected", "Device not found."),
        "12345": ("Device Rejected", "Invalid Device IMEI."),
        "no-imei": ("Device Rejected", "Invalid Device IMEI."),
    }
    failed = await v1.scheduled([TWO], firmwareName="next")
    assert (await v1.shown(failed))["status"] == "RequestFailed"
    assert await v1.devices(failed) == {
        imei(TWO): (
            "Device Rejected",
            "Current device software version does not meet software prerequisites.",
        )
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accountName": ...}, "Invalid account name format"),
        ({"accountName": 1}, "Invalid account name format"),
        ({"accountName": "1-1"}, "Invalid account name format"),
        ({"deviceList": ...}, "Device list is empty"),
        ({"deviceList": []}, "Device list is empty"),
        ({"deviceList": {}}, "Device list is empty"),
        ({"deviceList": [1]}, "Invalid device id format"),
        ({"deviceList": [""]}, "Invalid device id format"),
        ({"deviceList": ["a b"]}, "Invalid device id format"),
        ({"deviceList": [ABSENT] * 6}, "Device list exceeds 5 devices"),
        ({"startDate": ...}, "FotaPostUpgrades: invalid start date"),
        ({"startDate": "tomorrow"}, "FotaPostUpgrades: invalid start date"),
        ({"startDate": "2026-02-30"}, "FotaPostUpgrades: invalid start date"),
        ({"startDate": "2026-03-01"}, "FotaPostUpgrades: invalid start date"),
        ({"endDate": "x"}, "Invalid end date"),
        ({"endDate": "2026-03-02"}, "End date before start date"),
        ({"firmwareName": "unknown"}, "Firmware not found"),
        ({"firmwareName": SOFTWARE}, "Firmware not found"),
        ({"firmwareName": ...}, "Invalid value for firmwareName"),
        ({"firmwareTo": "03"}, "firmwareFrom/firmwareTo do not match the firmware"),
        ({"firmwareTo": ...}, "Invalid value for firmwareTo"),
    ],
)
async def test_refused_requests(v1_small: V1, changes: Any, message: str) -> None:
    """What is wrong with a request as a whole is told at once, and nothing is scheduled."""
    assert (
        await v1_small.ada.why("POST", "/upgrades", v1_small.upgrade([ONE], **changes)) == message
    )
    report = await v1_small.ada.ok("GET", "/reports/{}/status/RequestPending")
    assert report["reportList"] == []


@pytest.fixture
async def v1_small(tmp_path: Path, clock: ManualClock) -> Any:
    """The server with small limits: lists of five devices, taken in by pieces of two."""
    limits = Limits(request_devices=5, sweep_devices=2)
    async with v1_world("", tmp_path / "data", clock, limits) as found:
        yield found


async def test_accounts_without_a_subscription(v1_sqlite: V1) -> None:
    """An account that has bought nothing upgrades nothing."""
    body = v1_sqlite.upgrade([ONE], accountName=BARE_ACCOUNT)
    refused = await v1_sqlite.ada.refused("POST", "/upgrades", body)
    assert refused == Refused("SUBSCRIPTION_NOT_FOUND", "Not subscribed")


async def test_a_long_list_is_shown_whole(v1_small: V1) -> None:
    """Devices that the engine has not taken in yet are pending like the others."""
    v1 = v1_small
    numbers = [ONE, TWO, THREE, FOUR, MINE[4]]
    answer = await v1.ada.ok("POST", "/upgrades", v1.upgrade(numbers))
    assert await v1.shown(answer["id"]) == answer
    report = await v1.ada.ok("GET", "/reports/{}/status/RequestPending")
    assert report["reportList"] == [answer]
    assert [one["deviceId"] for one in answer["deviceList"]] == [imei(n) for n in numbers]
    await v1.advance()
    assert set((await v1.devices(answer["id"])).values()) == {ACCEPTED}


# Upgrade ids -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_ids(v1: V1, method: str) -> None:
    """An id is a UUID, and of an upgrade of the account's; a campaign of v2 is none."""
    body = change("remove", ONE) if method == "PUT" else None
    campaign = await v1.v2.scheduled([1])
    for wrong in ("1", "x", "%00", NOWHERE[:-1], NOWHERE + "0"):
        assert await v1.ada.why(method, path(wrong), body) == "Invalid uuid"
    for unknown in (NOWHERE, campaign):
        assert await v1.ada.why(method, path(unknown), body) == "Invalid upgradeId"
    upgrade = await v1.scheduled([ONE])
    assert await v1.bob.why(method, path(upgrade), body) == "Invalid upgradeId"


async def test_versions_are_apart(v1: V1) -> None:
    """v2 does not show, change, report or stop what v1 scheduled; its devices are taken all the same."""
    upgrade = await v1.scheduled([ONE])
    v2 = v1.v2.ada
    body = {"type": "append", "deviceList": [imei(TWO)]}
    dates = {"startDate": v1.day(1), "endDate": v1.day(2)}
    assert await v2.why("GET", f"/campaigns/{{}}/{upgrade}") == "Invalid upgradeId"
    assert await v2.why("PUT", f"/campaigns/{{}}/{upgrade}", body) == "Invalid upgradeId"
    assert await v2.why("PUT", f"/campaigns/{{}}/{upgrade}/dates", dates) == "Invalid upgradeId"
    assert await v2.why("DELETE", f"/campaigns/{{}}/{upgrade}") == "Invalid upgradeId"
    assert await v2.why("GET", f"/reports/{{}}/campaigns/{upgrade}/devices") == "Invalid upgradeId"
    report = await v2.ok("GET", "/reports/{}/campaigns?campaignStatus=CampaignRequestQueued")
    assert report["campaignList"] == []
    other = await v1.scheduled([ONE, TWO])
    assert await v1.devices(other) == {
        imei(ONE): ("Device Rejected", ELSEWHERE),
        imei(TWO): ACCEPTED,
    }


# Changing the list -------------------------------------------------------------------------------


async def test_append(v1: V1) -> None:
    """Devices are checked as they are added; those that do not pass are told why, and left out."""
    await v1.scheduled([FOUR])
    upgrade = await v1.scheduled([ONE])
    body = change("append", TWO, FOUR, ABSENT, NOT_ELIGIBLE, "no-imei", ONE, TWO)
    assert await v1.ada.ok("PUT", path(upgrade), body) == {
        "accountName": ACCOUNT,
        "id": upgrade,
        "deviceList": [
            {
                "deviceId": imei(TWO),
                "status": "AddDeviceSucceed",
                "Reason": "Device added Successfully",
            },
            {"deviceId": imei(FOUR), "status": "AddDeviceFailed", "Reason": ELSEWHERE},
            {"deviceId": ABSENT, "status": "AddDeviceFailed", "Reason": "Device not found."},
            {
                "deviceId": imei(NOT_ELIGIBLE),
                "status": "AddDeviceFailed",
                "Reason": "Device not eligible for service.",
            },
            {
                "deviceId": "no-imei",
                "status": "AddDeviceFailed",
                "Reason": "Invalid Device IMEI.",
            },
            {
                "deviceId": imei(ONE),
                "status": "AddDeviceSucceed",
                "Reason": "Device added Successfully",
            },
        ],
    }
    assert await v1.devices(upgrade) == {imei(ONE): ACCEPTED, imei(TWO): ACCEPTED}


async def test_append_before_the_checks(v1: V1) -> None:
    """A pending upgrade takes devices too; one that was listed and does not pass stays to be seen."""
    made = await v1.ada.ok("POST", "/upgrades", v1.upgrade(deviceList=[ABSENT]))
    answer = await v1.ada.ok("PUT", path(made["id"]), change("append", ABSENT, ONE))
    assert outcomes(answer) == [
        ("AddDeviceFailed", "Device not found."),
        ("AddDeviceSucceed", "Device added Successfully"),
    ]
    await v1.advance()
    shown = await v1.shown(made["id"])
    assert shown["status"] == "Queued"
    assert await v1.devices(made["id"]) == {
        ABSENT: ("Device Rejected", "Device not found."),
        imei(ONE): ACCEPTED,
    }


async def test_remove(v1: V1) -> None:
    """Devices are free at once; one that was not in the upgrade is told so."""
    upgrade = await v1.scheduled([ONE, TWO, THREE])
    answer = await v1.ada.ok("PUT", path(upgrade), change("remove", TWO, FOUR, ABSENT))
    assert outcomes(answer) == [
        ("RemoveDeviceSucceed", "Device removed Successfully"),
        ("RemoveDeviceFailed", "Device is not in the upgrade"),
        ("RemoveDeviceFailed", "Device is not in the upgrade"),
    ]
    assert list(await v1.devices(upgrade)) == [imei(ONE), imei(THREE)]
    other = await v1.scheduled([TWO])
    assert await v1.devices(other) == {imei(TWO): ACCEPTED}


async def test_removing_every_device_cancels(v1: V1) -> None:
    """An upgrade without devices is gone as if it had been deleted."""
    upgrade = await v1.scheduled([ONE, TWO])
    assert (
        outcomes(await v1.ada.ok("PUT", path(upgrade), change("remove", ONE, TWO)))
        == [("RemoveDeviceSucceed", "Device removed Successfully")] * 2
    )
    for method, body in (("GET", None), ("PUT", change("append", ONE)), ("DELETE", None)):
        assert await v1.ada.why(method, path(upgrade), body) == "Invalid upgradeId"
    await v1.advance()
    for word in ("RequestPending", "Queued", "RequestFailed", "InProgress", "Finished"):
        assert (await v1.ada.ok("GET", f"/reports/{{}}/status/{word}"))["reportList"] == []
    assert await v1.devices(await v1.scheduled([ONE])) == {imei(ONE): ACCEPTED}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda body: body,
        lambda body: {"Type": body["type"], "devicelist": body["deviceList"]},
        lambda body: {"addOrRemoveDevice": [body]},
        lambda body: {"addOrRemoveDevice": body},
    ],
)
async def test_spellings_of_a_change(v1_sqlite: V1, wrap: Any) -> None:
    """Other spellings of the body are the same change (API 11)."""
    upgrade = await v1_sqlite.scheduled([ONE])
    answer = await v1_sqlite.ada.ok("PUT", path(upgrade), wrap(change("append", TWO)))
    assert outcomes(answer) == [("AddDeviceSucceed", "Device added Successfully")]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"deviceList": [imei(TWO)]}, "Invalid type"),
        ({"type": "replace", "deviceList": [imei(TWO)]}, "Invalid type"),
        ({"type": "append"}, "Device list is empty"),
        ({"type": "append", "deviceList": []}, "Device list is empty"),
        ({"type": "append", "devceList": [imei(TWO)]}, "Device list is empty"),
        ({"type": "append", "deviceList": [2]}, "Invalid device id format"),
        ({"type": "append", "deviceList": [ABSENT] * 6}, "Device list exceeds 5 devices"),
    ],
)
async def test_wrong_changes(v1_small: V1, body: Any, message: str) -> None:
    """What is no change of a list is refused, and changes nothing."""
    upgrade = await v1_small.scheduled([ONE])
    assert await v1_small.ada.why("PUT", path(upgrade), body) == message
    assert list(await v1_small.devices(upgrade)) == [imei(ONE)]


async def test_long_changes(v1_small: V1) -> None:
    """A change is made in pieces; what follows the one that emptied the upgrade came too late."""
    upgrade = await v1_small.scheduled([ONE, TWO])
    answer = await v1_small.ada.ok(
        "PUT", path(upgrade), change("append", THREE, FOUR, MINE[4], ABSENT, MINE[5])
    )
    assert [status for status, _ in outcomes(answer)] == [
        *["AddDeviceSucceed"] * 3,
        "AddDeviceFailed",
        "AddDeviceSucceed",
    ]
    assert len(await v1_small.devices(upgrade)) == 6
    small = await v1_small.scheduled([MINE[6], MINE[7]])
    answer = await v1_small.ada.ok("PUT", path(small), change("remove", MINE[6], MINE[7], ONE))
    assert outcomes(answer) == [
        *[("RemoveDeviceSucceed", "Device removed Successfully")] * 2,
        ("RemoveDeviceFailed", "Invalid upgradeId"),
    ]


async def test_changes_after_the_start(v1: V1) -> None:
    """Once it runs, and once it is over, an upgrade is neither changed nor cancelled."""
    upgrade = await v1.scheduled([ONE, TWO], startDate=v1.day())

    async def refuses(status: str) -> None:
        assert (await v1.shown(upgrade))["status"] == status
        for type_ in ("append", "remove"):
            assert await v1.ada.refused("PUT", path(upgrade), change(type_, TWO)) == STARTED
        assert await v1.ada.refused("DELETE", path(upgrade)) == NOT_CANCELLABLE

    await refuses("InProgress")
    for number in (ONE, TWO):
        await v1.tell(pushed.succeed, number)
    await v1.advance()
    await refuses("Finished")
    failed = await v1.scheduled(deviceList=[ABSENT])
    assert await v1.ada.refused("PUT", path(failed), change("append", THREE)) == STARTED
    assert await v1.ada.refused("DELETE", path(failed)) == NOT_CANCELLABLE


# Cancelling --------------------------------------------------------------------------------------


async def test_cancel(v1: V1) -> None:
    """A cancelled upgrade is not there any more, its devices are free, and nobody is notified."""
    upgrade = await v1.scheduled([ONE, TWO])
    other = await v1.scheduled([THREE])
    assert await v1.ada.ok("DELETE", path(upgrade)) == {"success": True}
    for method, body in (("GET", None), ("PUT", change("append", THREE)), ("DELETE", None)):
        assert await v1.ada.why(method, path(upgrade), body) == "Invalid upgradeId"
    for word in ("RequestPending", "Queued", "RequestFailed", "InProgress", "Finished"):
        listed = (await v1.ada.ok("GET", f"/reports/{{}}/status/{word}"))["reportList"]
        assert [one["id"] for one in listed] == ([other] if word == "Queued" else [])
    assert await v1.ada.ok("GET", f"/reports/{{}}/devices/{imei(ONE)}") == []
    answer = await v1.ada.ok("PUT", path(other), change("append", ONE, TWO))
    assert {status for status, _ in outcomes(answer)} == {"AddDeviceSucceed"}
    await v1.advance(3 * DAY)
    assert await v1.devices(other) == {imei(n): NOTIFIED for n in (ONE, TWO, THREE)}


async def test_cancelling_a_long_list(v1_small: V1) -> None:
    """All devices are free when the answer comes, however many pieces that takes."""
    upgrade = await v1_small.scheduled(MINE[:5])
    other = await v1_small.scheduled([MINE[5]])
    await v1_small.ada.ok("DELETE", path(upgrade))
    answer = await v1_small.ada.ok("PUT", path(other), change("append", *MINE[:5]))
    assert outcomes(answer) == [("AddDeviceSucceed", "Device added Successfully")] * 5


async def test_cancel_before_the_checks(v1: V1) -> None:
    """A pending upgrade is cancelled as a queued one is."""
    made = await v1.ada.ok("POST", "/upgrades", v1.upgrade([ONE]))
    assert await v1.ada.ok("DELETE", path(made["id"])) == {"success": True}
    await v1.advance()
    assert await v1.ada.why("GET", path(made["id"])) == "Invalid upgradeId"


# While it runs -----------------------------------------------------------------------------------


async def test_an_upgrade_from_its_start_to_its_end(v1: V1) -> None:
    """Devices are notified at the start; each shows how far it is, and the upgrade its status."""
    upgrade = await v1.scheduled([ONE, TWO], startDate=v1.day())
    assert (await v1.shown(upgrade))["status"] == "InProgress"
    assert await v1.devices(upgrade) == {imei(ONE): NOTIFIED, imei(TWO): NOTIFIED}
    await v1.tell(pushed.succeed, ONE)
    assert await v1.devices(upgrade) == {
        imei(ONE): ("UpgradeSuccess", "success"),
        imei(TWO): NOTIFIED,
    }
    await v1.tell(pushed.succeed, TWO)
    await v1.advance()
    assert (await v1.shown(upgrade))["status"] == "Finished"


async def test_a_device_that_fails_is_queued(v1: V1) -> None:
    """A failed attempt queues the device, and so it stays when the upgrade is over; then it succeeds."""
    upgrade = await v1.scheduled([ONE], startDate=v1.day(), endDate=v1.day(1))
    await v1.tell(pushed.fail, ONE, Reason.DOWNLOAD_FAILED)
    assert await v1.devices(upgrade) == {imei(ONE): QUEUED}
    assert (await v1.shown(upgrade))["status"] == "InProgress"
    await v1.advance(2 * DAY)
    await v1.advance()
    shown = await v1.shown(upgrade)
    assert shown["status"] == "Finished"
    assert shown["deviceList"][0]["status"] == "UpgradePending"
    await v1.tell(pushed.succeed, ONE)
    assert await v1.devices(upgrade) == {imei(ONE): ("UpgradeSuccess", "success")}


async def test_a_window_that_closes_queues_the_device(v1: V1) -> None:
    """A device that does not come within four hours is queued for a retry (lifecycle 3.5)."""
    upgrade = await v1.scheduled([ONE], startDate=v1.day())
    await v1.advance(timedelta(hours=4))
    assert await v1.devices(upgrade) == {imei(ONE): QUEUED}


async def test_the_old_rule(tmp_path: Path, clock: ManualClock) -> None:
    """Without re-queueing a device that does not come in time has failed (lifecycle 3.5)."""
    rules = Omadm(requeue=False)
    async with v1_world("", tmp_path / "data", clock, Limits(), omadm=rules) as v1:
        upgrade = await v1.scheduled([ONE], startDate=v1.day())
        await v1.advance(timedelta(hours=4))
        assert await v1.devices(upgrade) == {
            imei(ONE): ("UpgradeFailed", "Device did not respond within 4 hours")
        }


async def test_light_devices_wait(v1: V1) -> None:
    """LWM2M devices are accepted; one that nothing reached by the end has failed."""
    upgrade = await v1.scheduled(
        LIGHT[:1], firmwareName=LIGHT_FIRMWARE, startDate=v1.day(), endDate=v1.day(1)
    )
    assert await v1.devices(upgrade) == {imei(LIGHT[0]): ACCEPTED}
    await v1.advance(3 * DAY)
    await v1.advance()
    assert (await v1.shown(upgrade))["status"] == "Finished"
    assert await v1.devices(upgrade) == {
        imei(LIGHT[0]): ("UpgradeFailed", "Device did not report its status")
    }
