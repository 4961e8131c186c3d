"""v3: campaigns are scheduled, shown, changed and cancelled (API 6.4 to 6.8, lifecycle 5)."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overair.clock import ManualClock
from overair.config import Limits, Slots
from overair.engine.catalog import put_software
from overair.engine.licenses import set_subscription
from tests.api.v1_world import FIRMWARE as PUSHED_FIRMWARE
from tests.api.v1_world import MINE as PUSHED
from tests.api.v2_world import ABSENT, ACCOUNT, BARE_ACCOUNT, Refused
from tests.api.v3_world import AIR, FAR, FIRMWARE, PER_SLOT, THEIRS, V3, v3_world
from tests.engine import stock
from tests.engine.stock import SOFTWARE, imei

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NOWHERE = "60b5d639-ccdc-4db8-8824-069bd94c95bf"
DAY = timedelta(days=1)
ONE, TWO, THREE, FOUR = AIR[:4]
ACCEPTED = ("Accepted", "Device cleared all checks so it can be added to the scheduled list.")
NOT_MODIFIABLE = Refused("INVALID_STATE", "Campaign cannot be modified")
NOT_CANCELLABLE = Refused("INVALID_STATE", "Campaign cannot be cancelled")
ADDED = ("AddDeviceSucceed", "Device added Successfully")
REMOVED = ("RemoveDeviceSucceed", "Device removed Successfully")
ELSEWHERE = (
    "Device scheduled for firmware upgrade previously, needs to be completed before another"
    " upgrade is scheduled."
)


def at(begin: str, end: str) -> tuple[str, str]:
    """A device that has its slot."""
    return (
        "UpgradeScheduled",
        (
            f"The upgrade is scheduled to begin on {begin} UTC, and the estimated completion is"
            f" {end} UTC."
        ),
    )


FIRST = at("03 Mar 26 00:00", "03 Mar 26 04:00")
SECOND = at("03 Mar 26 04:00", "03 Mar 26 08:00")


def path(campaign: str) -> str:
    return f"/campaigns/{{}}/{campaign}"


def list_path(campaign: str) -> str:
    return f"/campaigns/firmware/{{}}/{campaign}"


def dates_path(campaign: str) -> str:
    return f"/campaigns/firmware/{{}}/{campaign}/dates"


def change(type_: str, *numbers: int | str) -> dict[str, Any]:
    """The body of a change of a campaign's list."""
    named = [imei(number) if isinstance(number, int) else number for number in numbers]
    return {"type": type_, "deviceList": named}


def outcomes(answer: Any) -> list[tuple[str, str]]:
    return [(one["status"], one["Reason"]) for one in answer["deviceList"]]


# Scheduling --------------------------------------------------------------------------------------


async def test_schedule(v3: V3) -> None:
    """The answer is the campaign, pending; the whole of it is shown with its flags."""
    windows = [{"startTime": 20, "endTime": 24}, {"startTime": "0", "endTime": "4"}]
    body = v3.campaign([TWO, ONE, TWO], campaignTimeWindowList=windows, autoAddDevicesFlag=True)
    answer = await v3.ada.ok("POST", "/campaigns/firmware/{}", body)
    assert UUID4.fullmatch(answer["id"])
    assert answer == {
        "id": answer["id"],
        "accountName": ACCOUNT,
        "campaignName": "smart firmware",
        "firmwareName": FIRMWARE,
        "firmwareFrom": "01",
        "firmwareTo": "02",
        "protocol": "LWM2M",
        "make": "Acme",
        "model": "X1",
        "startDate": "2026-03-03",
        "endDate": "2026-03-07",
        "campaignTimeWindowList": [
            {"startTime": 20, "endTime": 24},
            {"startTime": 0, "endTime": 4},
        ],
        "status": "CampaignRequestPending",
    }
    flags = {"autoAssignLicenseFlag": False, "autoAddDevicesFlag": True}
    assert await v3.shown(answer["id"]) == answer | flags
    assert await v3.devices(answer["id"]) == {imei(n): ("RequestPending", "") for n in (ONE, TWO)}
    await v3.advance()
    scheduled = answer | flags | {"status": "CampaignScheduled"}
    assert await v3.shown(answer["id"].upper()) == scheduled


async def test_what_may_be_left_out(v3: V3) -> None:
    """Name, protocol, windows and flags are optional; a null is as good as nothing, and a date a time."""
    for named in ("/campaigns/firmware/{}", "/campaigns/software/{}"):
        body = v3.campaign(
            [ONE],
            campaignName=None,
            protocol=...,
            campaignTimeWindowList=None,
            autoAssignLicenseFlag=...,
            autoAddDevicesFlag=None,
            startDate=v3.day(1) + "T10:00:00Z",
        )
        answer = await v3.ada.ok("POST", named, body)
        assert answer["protocol"] == "LWM2M"
        assert answer["startDate"] == v3.day(1)
        assert not answer.keys() & {"campaignName", "campaignTimeWindowList"}
        shown = await v3.shown(answer["id"])
        assert (shown["autoAssignLicenseFlag"], shown["autoAddDevicesFlag"]) == (False, False)


async def test_slots(v3: V3) -> None:
    """No more devices of a cell begin in a slot than may; each says when it has its turn."""
    campaign = await v3.scheduled(AIR[: PER_SLOT + 1])
    shown = await v3.standings(campaign)
    now = "2026-03-02T08:00:00.000Z"
    for number, (status, reason), begin in (
        (ONE, FIRST, "2026-03-03T00:00:00.000Z"),
        (TWO, FIRST, "2026-03-03T00:00:00.000Z"),
        (THREE, SECOND, "2026-03-03T04:00:00.000Z"),
    ):
        assert shown[imei(number)] == {
            "status": status,
            "resultReason": reason,
            "updatedTime": now,
            "nextAttemptTime": begin,
        }


async def test_rejected_devices(v3: V3) -> None:
    """Each device that does not pass the checks says why; the others go on."""
    await v3.scheduled([FOUR])
    numbers = [imei(number) for number in (ONE, FOUR, THEIRS[0], PUSHED[0])]
    campaign = await v3.scheduled(deviceList=[*numbers, ABSENT, "12345"])
    model = "Device make/model does not meet software prerequisites."
    assert await v3.devices(campaign) == {
        imei(ONE): FIRST,
        imei(FOUR): ("DeviceRejected", ELSEWHERE),
        imei(THEIRS[0]): ("DeviceRejected", "Device not found."),
        imei(PUSHED[0]): ("DeviceRejected", model),
        ABSENT: ("DeviceRejected", "Device not found."),
        "12345": ("DeviceRejected", "Invalid device IMEI."),
    }
    failed = await v3.scheduled(deviceList=[ABSENT])
    assert await v3.status(failed) == "CampaignRequestFailed"


async def test_devices_that_nobody_can_reach(v3: V3) -> None:
    """They wait without a slot, and get one when they come."""
    campaign = await v3.scheduled([ONE, FAR[0]])
    waits = ("NoDeviceDataFromNetwork", "The network reports this device is not reachable.")
    assert await v3.devices(campaign) == {imei(ONE): FIRST, imei(FAR[0]): waits}
    assert "nextAttemptTime" not in (await v3.standings(campaign))[imei(FAR[0])]
    await v3.advance(timedelta(hours=20))
    await v3.come(FAR[0])
    await v3.advance()
    assert (await v3.devices(campaign))[imei(FAR[0])][0] == "UpgradeScheduled"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deviceList": ...}, "Device list is empty"),
        ({"deviceList": []}, "Device list is empty"),
        ({"deviceList": {}}, "Device list is empty"),
        ({"deviceList": [1]}, "Invalid device id format"),
        ({"deviceList": ["a b"]}, "Invalid device id format"),
        ({"deviceList": [ABSENT] * 6}, "Device list exceeds 5 devices"),
        ({"startDate": ...}, "FotaPostUpgrades: invalid start date"),
        ({"startDate": "2026-02-30"}, "FotaPostUpgrades: invalid start date"),
        ({"startDate": "2026-03-01"}, "FotaPostUpgrades: invalid start date"),
        ({"endDate": ...}, "Invalid end date"),
        ({"endDate": "x"}, "Invalid end date"),
        ({"endDate": "2026-03-02"}, "End date before start date"),
        ({"campaignTimeWindowList": {}}, "Invalid time window"),
        ({"campaignTimeWindowList": [{"startTime": 1}]}, "Invalid time window"),
        ({"campaignTimeWindowList": [{"startTime": 4, "endTime": 4}]}, "Invalid time window"),
        ({"campaignTimeWindowList": [{"startTime": 23, "endTime": 25}]}, "Invalid time window"),
        ({"protocol": "FTP"}, "Invalid protocol"),
        ({"protocol": "HTTP"}, "Invalid protocol"),
        ({"protocol": "OMD-DM"}, "Invalid protocol"),
        ({"protocol": 1}, "Invalid protocol"),
        ({"firmwareName": "unknown"}, "Firmware not found"),
        ({"firmwareName": ...}, "Invalid value for firmwareName"),
        ({"firmwareName": SOFTWARE}, "Invalid protocol"),
        ({"firmwareName": PUSHED_FIRMWARE}, "Invalid protocol"),
        ({"firmwareFrom": "00"}, "firmwareFrom/firmwareTo do not match the firmware"),
        ({"firmwareTo": "03"}, "firmwareFrom/firmwareTo do not match the firmware"),
        ({"firmwareTo": ...}, "Invalid value for firmwareTo"),
        ({"autoAssignLicenseFlag": "yes"}, "Invalid value for autoAssignLicenseFlag"),
        ({"autoAddDevicesFlag": 1}, "Invalid value for autoAddDevicesFlag"),
    ],
)
async def test_refused_requests(v3_small: V3, changes: Any, message: str) -> None:
    """What is wrong with a request as a whole is told at once, and nothing is scheduled."""
    body = v3_small.campaign([ONE], **changes)
    assert await v3_small.ada.why("POST", "/campaigns/firmware/{}", body) == message
    report = await v3_small.ada.ok(
        "GET", "/reports/{}/firmware/campaigns?campaignStatus=CampaignRequestPending"
    )
    assert report["campaignList"] == []


@pytest.fixture
async def v3_small(tmp_path: Path, clock: ManualClock) -> Any:
    """The server with small limits: lists of five devices, taken in by pieces of two."""
    limits = Limits(request_devices=5, sweep_devices=2, pilot_devices=4)
    async with v3_world("", tmp_path / "data", clock, limits) as found:
        yield found


async def test_accounts_without_a_subscription(v3_sqlite: V3) -> None:
    """An account that has bought nothing upgrades nothing."""
    refused = await v3_sqlite.ada.refused(
        "POST", f"/campaigns/firmware/{BARE_ACCOUNT}", v3_sqlite.campaign()
    )
    assert refused == Refused("SUBSCRIPTION_NOT_FOUND", "Not subscribed")


async def test_pilots_are_small(v3_small: V3) -> None:
    """Until firmware is proven a campaign may not be larger, nor grow to be, than a pilot."""
    pilot = Refused("PILOT_LIMIT_EXCEEDED", "Device limit exceeded: pilot campaign limit is 4")
    v3 = v3_small
    body = v3.campaign(AIR[:5])
    assert await v3.ada.refused("POST", "/campaigns/firmware/{}", body) == pilot
    campaign = await v3.asked(AIR[:4])
    body = change("append", AIR[4])
    assert await v3.ada.refused("PUT", list_path(campaign), body) == pilot
    assert outcomes(
        await v3.ada.ok("PUT", list_path(campaign), change("append", *AIR[:4]))
    ) == 4 * [ADDED]


async def test_a_long_list_goes_piece_by_piece(v3_small: V3) -> None:
    """Devices that the engine has not taken in yet are checked and given slots like the others."""
    campaign = await v3_small.scheduled(AIR[:4])
    assert list((await v3_small.devices(campaign)).values()) == 2 * [FIRST] + 2 * [SECOND]


# Licences ----------------------------------------------------------------------------------------


async def test_licences_are_assigned(v3: V3) -> None:
    """With the flag, devices get a licence as long as there are any; the others are rejected."""

    async def bought(count: int) -> None:
        await v3.run(
            set_subscription,
            v3.v2.account_id,
            purchase_type="TS-HFOTA-MRC",
            license_count=count,
            settings=v3.v2.server.settings,
            now=v3.clock.now(),
        )

    await bought(3)
    await v3.ada.ok("POST", "/licenses/{}/assign", {"deviceList": [imei(ONE)]})
    without = ("DeviceRejected", "No license attached to device")
    plain = await v3.scheduled([ONE, TWO])
    assert await v3.devices(plain) == {imei(ONE): FIRST, imei(TWO): without}
    await v3.ada.ok("DELETE", path(plain))
    await v3.advance()
    flagged = await v3.scheduled([ONE, TWO, THREE, FOUR], autoAssignLicenseFlag=True)
    assert await v3.devices(flagged) == {
        imei(ONE): FIRST,
        imei(TWO): FIRST,
        imei(THREE): SECOND,
        imei(FOUR): without,
    }
    page = await v3.ada.ok("GET", "/licenses/{}")
    assert [one["deviceId"] for one in page["deviceList"]] == [imei(n) for n in (ONE, TWO, THREE)]
    assert page["assignedLicenses"] == 3


async def test_devices_join_by_themselves(v3: V3) -> None:
    """With the flag, devices that fit are taken in while it runs, as many as a pilot may have."""
    plain = await v3.scheduled([ONE], startDate=v3.day())
    flagged = await v3.scheduled([TWO], startDate=v3.day(), autoAddDevicesFlag=True)
    await v3.advance(timedelta(minutes=1))
    assert list(await v3.devices(plain)) == [imei(ONE)]
    found = await v3.devices(flagged)
    assert len(found) == Limits().pilot_devices
    assert imei(ONE) not in found
    assert {word for word, _ in found.values()} <= {
        "UpgradeScheduled",
        "NoDeviceDataFromNetwork",
    }


# Campaign ids ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "place", "body"),
    [
        ("GET", path, None),
        ("DELETE", path, None),
        ("PUT", list_path, change("remove", ONE)),
        ("PUT", path, change("remove", ONE)),
        ("PUT", dates_path, {"startDate": "2026-03-03", "endDate": "2026-03-07"}),
    ],
)
async def test_ids(v3: V3, method: str, place: Any, body: Any) -> None:
    """An id is a UUID, and of a campaign of the account's; one of v2 is none."""
    of_v2 = await v3.v2.scheduled([1])
    for wrong in ("1", "x", "%00", NOWHERE[:-1], NOWHERE + "0"):
        assert await v3.ada.why(method, place(wrong), body) == "Invalid uuid"
    campaign = await v3.asked([ONE])
    for unknown in (NOWHERE, of_v2):
        assert await v3.ada.why(method, place(unknown), body) == "Invalid upgradeId"
    assert await v3.bob.why(method, place(campaign), body) == "Invalid upgradeId"
    assert await v3.v2.ada.why("GET", path(campaign)) == "Invalid upgradeId"
    await v3.ada.ok(method, place(campaign.upper()), body)


# Changing the list -------------------------------------------------------------------------------


async def test_add_and_remove(v3: V3) -> None:
    """Before it is scheduled each device is checked at once, and its outcome is the answer."""
    other = await v3.asked([FOUR])
    await v3.tell(lambda w: w.carry_on())
    campaign = await v3.asked([ONE])
    body = {"Type": "append", "deviceList": [imei(TWO), imei(FOUR), imei(ONE), ABSENT]}
    answer = await v3.ada.ok("PUT", list_path(campaign), body)
    assert answer == {
        "accountName": ACCOUNT,
        "campaignId": campaign,
        "id": campaign,
        "deviceList": [
            {"deviceId": imei(TWO), "status": ADDED[0], "Reason": ADDED[1]},
            {"deviceId": imei(FOUR), "status": "AddDeviceFailed", "Reason": ELSEWHERE},
            {"deviceId": imei(ONE), "status": ADDED[0], "Reason": ADDED[1]},
            {"deviceId": ABSENT, "status": "AddDeviceFailed", "Reason": "Device not found."},
        ],
    }
    assert await v3.devices(campaign) == {imei(ONE): ACCEPTED, imei(TWO): ACCEPTED}
    wrapped = {"addOrRemoveDevice": [change("remove", TWO, THREE)]}
    answer = await v3.ada.ok("PUT", path(campaign), wrapped)
    assert outcomes(answer) == [REMOVED, ("RemoveDeviceFailed", "Device is not in the campaign")]
    assert list(await v3.devices(campaign)) == [imei(ONE)]
    await v3.ada.ok("PUT", list_path(campaign), change("remove", ONE))
    assert await v3.status(campaign) == "CampaignCancelled"
    assert await v3.status(other) == "CampaignScheduled"


async def test_no_changes_once_it_is_scheduled(v3: V3) -> None:
    """With its slots given a campaign's list stands, also before its start date."""
    campaign = await v3.scheduled([ONE])
    for body in (change("append", TWO), change("remove", ONE)):
        assert await v3.ada.refused("PUT", list_path(campaign), body) == NOT_MODIFIABLE


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"deviceList": [ABSENT]}, "Invalid type"),
        ({"type": "replace", "deviceList": [ABSENT]}, "Invalid type"),
        ({"type": "append"}, "Device list is empty"),
        ({"type": "append", "deviceList": []}, "Device list is empty"),
        ({"type": "append", "deviceList": [7]}, "Invalid device id format"),
    ],
)
async def test_refused_changes(v3_sqlite: V3, body: Any, message: str) -> None:
    """A change has a type and a list."""
    campaign = await v3_sqlite.asked([ONE])
    assert await v3_sqlite.ada.why("PUT", list_path(campaign), body) == message


# Dates -------------------------------------------------------------------------------------------


async def test_dates_before_the_start(v3: V3) -> None:
    """Start, end and windows may change, though slots are given; devices get new ones."""
    campaign = await v3.scheduled([ONE, TWO, THREE])
    body = {
        "startDate": v3.day(2),
        "endDate": v3.day(3),
        "campaignTimeWindowList": [{"startTime": 12, "endTime": 20}],
    }
    answer = await v3.ada.ok("PUT", dates_path(campaign), body)
    assert (answer["startDate"], answer["endDate"]) == ("2026-03-04", "2026-03-05")
    assert answer["campaignTimeWindowList"] == [{"startTime": 12, "endTime": 20}]
    await v3.advance()
    moved = at("04 Mar 26 12:00", "04 Mar 26 16:00")
    later = at("04 Mar 26 16:00", "04 Mar 26 20:00")
    assert list((await v3.devices(campaign)).values()) == [moved, moved, later]
    answer = await v3.ada.ok(
        "PUT", dates_path(campaign), {"startDate": v3.day(1), "endDate": v3.day(3)}
    )
    assert "campaignTimeWindowList" not in answer


async def test_dates_after_the_start(v3: V3) -> None:
    """Only the end may move, to a day that leaves 24 hours; all else is sent as it was."""
    hours = [{"startTime": 0, "endTime": 12}]
    plain: dict[str, Any] = {
        "startDate": v3.day(1),
        "endDate": v3.day(2),
        "campaignTimeWindowList": hours,
    }
    campaign = await v3.scheduled([ONE], **plain)
    await v3.advance(DAY)
    why: dict[str, dict[str, Any]] = {
        "FotaPostUpgrades: invalid start date": {"startDate": v3.day(1)},
        "End date before start date": {"endDate": v3.day(-1)},
        "End date less than 24 hours from now": {"endDate": v3.day()},
        "Removing existing time windows is not allowed": {"campaignTimeWindowList": []},
        "Adding time windows after the start is not allowed": {
            "campaignTimeWindowList": [*hours, {"startTime": 20, "endTime": 24}]
        },
    }
    for message, changes in why.items():
        assert await v3.ada.why("PUT", dates_path(campaign), plain | changes) == message
    answer = await v3.ada.ok("PUT", dates_path(campaign), plain | {"endDate": v3.day(9)})
    assert answer["endDate"] == v3.day(9)
    await v3.succeed(ONE)
    await v3.advance(timedelta(minutes=1))
    assert await v3.status(campaign) == "CampaignEnded"
    assert await v3.ada.refused("PUT", dates_path(campaign), plain) == NOT_MODIFIABLE


async def test_a_later_end_makes_room(v3: V3) -> None:
    """A device for which its cell had no room gets a slot in the days that were added."""
    campaign = await v3.scheduled(
        [ONE, TWO, THREE],
        startDate=v3.day(),
        endDate=v3.day(),
        campaignTimeWindowList=[{"startTime": 8, "endTime": 12}],
    )
    full = (
        "UpgradePending",
        "Upgrade pending, the device upgrade is estimated to be scheduled for 02 Mar 26 23:59 UTC",
    )
    assert (await v3.devices(campaign))[imei(THREE)] == full
    body = {
        "startDate": v3.day(),
        "endDate": v3.day(2),
        "campaignTimeWindowList": [{"startTime": 8, "endTime": 12}],
    }
    await v3.ada.ok("PUT", dates_path(campaign), body)
    await v3.advance()
    assert (await v3.devices(campaign))[imei(THREE)] == at("03 Mar 26 08:00", "03 Mar 26 12:00")
    assert (await v3.devices(campaign))[imei(ONE)] == at("02 Mar 26 08:00", "02 Mar 26 12:00")


# Stopping ----------------------------------------------------------------------------------------


async def test_cancel(v3: V3) -> None:
    """Before its start date a campaign can be cancelled, whatever its status; devices are free again."""
    for made, numbers in ((v3.asked, [ONE]), (v3.scheduled, [ONE, TWO])):
        campaign = await made(numbers)
        assert await v3.ada.ok("DELETE", path(campaign)) == {"success": True}
        assert await v3.status(campaign) == "CampaignCancelled"
        await v3.advance()
        said = ("CampaignCancelled", "Campaign canceled by user.")
        assert set((await v3.devices(campaign)).values()) == {said}
        assert await v3.ada.refused("DELETE", path(campaign)) == NOT_CANCELLABLE
    assert (await v3.devices(await v3.scheduled([ONE, TWO])))[imei(TWO)] == FIRST


async def test_no_cancelling_after_the_start(v3: V3) -> None:
    """A campaign that has started runs to its end."""
    campaign = await v3.scheduled([ONE], startDate=v3.day())
    assert await v3.ada.refused("DELETE", path(campaign)) == NOT_CANCELLABLE
    other = await v3.scheduled([TWO])
    await v3.advance(DAY)
    assert await v3.ada.refused("DELETE", path(other)) == NOT_CANCELLABLE


async def test_aborting_by_a_setting(tmp_path: Path, clock: ManualClock, limits: Limits) -> None:
    """An installation may let campaigns be aborted; devices that are done stay done."""
    slots = Slots(good=2, allow_abort=True)
    async with v3_world("", tmp_path / "data", clock, limits, slots=slots) as v3:
        campaign = await v3.scheduled([ONE, TWO], startDate=v3.day())
        await v3.succeed(ONE)
        await v3.ada.ok("DELETE", path(campaign))
        await v3.advance()
        assert await v3.status(campaign) == "CampaignAborted"
        assert await v3.devices(campaign) == {
            imei(ONE): ("UpgradeSuccess", "Upgrade completed successfully"),
            imei(TWO): ("CampaignAborted", "Campaign aborted by user."),
        }


async def test_version_prerequisite(v3_sqlite: V3) -> None:
    """A device that does not run what the firmware begins with is rejected."""
    v3 = v3_sqlite
    await v3.run(
        put_software,
        stock.software(name="next", protocol="LWM2M", from_version="02", to_version="03"),
        stock.NOW,
    )
    failed = await v3.scheduled([ONE], firmwareName="next", firmwareFrom="02", firmwareTo="03")
    assert await v3.devices(failed) == {
        imei(ONE): (
            "DeviceRejected",
            "Current device software version does not meet software prerequisites.",
        )
    }


@pytest.fixture
def limits() -> Limits:
    return Limits()
