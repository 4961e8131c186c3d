"""The vendor's client on v1, and devices that come when they are told to.

What devices say they say here to the engine itself: their own protocol is proven elsewhere
(``tests/devices/dm``), and v1 shows what became of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from verizon.exceptions.fota_v1_result_exception import FotaV1ResultException
from verizon.models.firmware_upgrade_change_request import FirmwareUpgradeChangeRequest
from verizon.models.firmware_upgrade_request import FirmwareUpgradeRequest

from overair.config import Settings
from overair.core.upgrade import Reason
from overair.engine import push
from overair.engine.push import Job
from overair.store import Tx, devices
from tests.sdk.shapes_v1 import OPERATIONS
from tests.sdk.world import FIRMWARE, PUSHED, PUSHED_OTHER, Sdk, Version, World, imei, imeis

V1 = Version(prefix="/api/fota/v1", operations=OPERATIONS, refusal=FotaV1ResultException)
CURSORS = {"hasMoreData": "lastSeenDeviceId", "hasMoreFlag": "lastSeenUpgradeId"}
ACCEPTED = ("Device Accepted", "success")
NOTIFIED = ("UpgradePending", "Device notified; waiting for the device")
QUEUED = ("UpgradePending", "Upgrade failed, device is queued for retry")
SUCCEEDED = ("UpgradeSuccess", "success")


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkV1(Sdk):
    """The client of v1, on one account."""

    def start(self, request: FirmwareUpgradeRequest) -> str:
        """The id of a new upgrade."""
        made = self.ok("schedule_firmware_upgrade", request)
        assert made["status"] == "RequestPending"
        return str(made["id"])

    def upgrade(self, upgrade: str) -> Any:
        return self.ok("list_firmware_upgrade_details", upgrade)

    def status(self, campaign: str) -> str:
        return str(self.upgrade(campaign)["status"])

    def devices(self, campaign: str) -> dict[str, tuple[str, str]]:
        """Status and reason of each device of an upgrade."""
        return {
            one["deviceId"]: (one["status"], one.get("resultReason", ""))
            for one in self.upgrade(campaign)["deviceList"]
        }

    def change(self, upgrade: str, type_: str, *named: int | str) -> list[tuple[str, str]]:
        """Status and reason of each device that was to be added or taken out."""
        answer = self.ok("update_firmware_upgrade_devices", upgrade, change(type_, *named))
        assert answer["id"] == upgrade
        return [(one["status"], one["Reason"]) for one in answer["deviceList"]]

    def history(self, number: int) -> list[Any]:
        found = self.ok("get_device_firmware_upgrade_history", imei(number))
        assert isinstance(found, list)
        return found

    def by_status(self, word: str) -> list[str]:
        """The ids of the upgrades that have a status."""
        return [
            one["id"]
            for page in self.all_pages("list_upgrades_for_specified_status", word)
            for one in page["reportList"]
        ]

    def all_pages(self, name: str, *args: Any) -> Iterator[Any]:
        """The pages of a list, as a program would read them: the cursor is the last argument."""
        page = self.ok(name, *args, "0")
        yield page
        more = next(member for member in CURSORS if member in page)
        while page[more]:
            page = self.ok(name, *args, str(page[CURSORS[more]]))
            yield page
        assert page.get(CURSORS[more], 0) == 0


def on_v1(user: Sdk, account: str = PUSHED) -> SdkV1:
    """The same user on v1."""
    return SdkV1(connection=user.connection, account=account, base=user.base, version=V1)


def bob_on_v1(world: World) -> SdkV1:
    return on_v1(world.bob, PUSHED_OTHER)


def request(world: World, *numbers: int, start: int = 0, end: int = 5, **more: Any) -> Any:
    """A request for an upgrade; dates in days from today."""
    asked = {
        "account_name": PUSHED,
        "firmware_name": FIRMWARE,
        "firmware_to": "02",
        "start_date": world.day(start),
        "end_date": world.day(end),
        "device_list": imeis(*numbers),
    }
    return FirmwareUpgradeRequest(**(asked | more))


def change(type_: str, *named: int | str) -> Any:
    """A change of an upgrade's list of devices."""
    return FirmwareUpgradeChangeRequest(
        type_, [imei(one) if isinstance(one, int) else one for one in named]
    )


def scheduled(world: World, *numbers: int, **asked: Any) -> str:
    """The id of an upgrade whose devices were checked; of one that starts today they are notified."""
    user = on_v1(world.ada, asked.get("account_name", PUSHED))
    made = user.start(request(world, *numbers, **asked))
    world.settle()
    return made


# Devices -----------------------------------------------------------------------------------------


def _job(tx: Tx, number: int, settings: Settings, now: datetime) -> Job:
    """The device opens a session, and takes its command."""
    device = devices.by_imei(tx, imei(number))
    assert device is not None
    push.begin_session(tx, device.id, settings, now)
    job = push.job_of(tx, device.id, settings, now)
    assert job is not None
    assert job.in_window
    push.executed(tx, job, settings, now)
    return job


def _succeed(tx: Tx, number: int, settings: Settings, now: datetime) -> None:
    job = _job(tx, number, settings, now)
    push.succeeded(tx, job, job.to_version, settings, now, code=200)


def _fail(tx: Tx, number: int, reason: Reason, settings: Settings, now: datetime) -> None:
    push.failed(tx, _job(tx, number, settings, now), reason, settings, now, code=410)


def succeed(world: World, number: int) -> None:
    """The device comes, is upgraded, and shows it."""
    world.run(_succeed, number, world.server.settings, world.clock.now())
    world.settle()


def fail(world: World, number: int, reason: Reason = Reason.DOWNLOAD_FAILED) -> None:
    """The device comes, and does not make it."""
    world.run(_fail, number, reason, world.server.settings, world.clock.now())
    world.settle()
