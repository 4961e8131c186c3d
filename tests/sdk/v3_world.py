"""The vendor's client on v3, and devices over LwM2M in cells.

What devices and the network say they say here to the store and to the engine itself: their own protocols
are proven elsewhere (``tests/devices/lwm2m``), and v3 shows what became of it.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from verizon.exceptions.fota_v3_result_exception import FotaV3ResultException
from verizon.models.campaign_firmware_upgrade import CampaignFirmwareUpgrade
from verizon.models.v3_add_or_remove_device_request import V3AddOrRemoveDeviceRequest
from verizon.models.v3_change_campaign_dates_request import V3ChangeCampaignDatesRequest
from verizon.models.v3_time_window import V3TimeWindow

from overair.config import Lwm2m, Settings, Slots
from overair.core.slots.radio import CellKey
from overair.core.upgrade import Reason
from overair.engine import push
from overair.engine.push import Job
from overair.store import Tx, devices, slots
from tests.sdk.shapes_v3 import OPERATIONS
from tests.sdk.world import (
    CELLULAR,
    CELLULAR_FLEET,
    CELLULAR_MONTHLY_FLEET,
    CELLULAR_OTHER,
    LIGHT_FIRMWARE,
    Sdk,
    Version,
    World,
    imei,
    imeis,
    open_world,
)

V3 = Version(prefix="/api/fota/v3", operations=OPERATIONS, refusal=FotaV3ResultException)
HERE, THERE = CellKey("311-480-1"), CellKey("311-480-2")
PER_SLOT = 2
SUCCEEDED = ("UpgradeSuccess", "Upgrade completed successfully")
UNHEARD = ("NoDeviceDataFromNetwork", "The network reports this device is not reachable.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SdkV3(Sdk):
    """The client of v3, on one account."""

    def campaign(self, campaign: str) -> Any:
        return self.ok("get_campaign_information", campaign)

    def change(self, campaign: str, type_: str, *named: int | str) -> list[tuple[str, str]]:
        """Status and reason of each device that was to be added or taken out."""
        answer = self.ok("update_campaign_firmware_devices", campaign, change(type_, *named))
        assert answer["id"] == answer["campaignId"] == campaign
        return [(one["status"], one["Reason"]) for one in answer["deviceList"]]

    def standings(self, campaign: str) -> dict[str, Any]:
        """All that is said of each device of a campaign."""
        return {
            device["deviceId"]: device
            for page in self.pages("get_campaign_device_status", "lastSeenDeviceId", campaign)
            for device in page["deviceList"]
        }

    def history(self, number: int) -> list[Any]:
        found = self.ok("get_device_firmware_upgrade_history", imei(number))
        assert isinstance(found, list)
        return found

    def by_status(self, word: str) -> list[str]:
        """The ids of the campaigns that have a status."""
        name = "get_campaign_history_by_status"
        return [
            one["id"]
            for page in self.pages(name, "lastSeenCampaignId", word)
            for one in page["campaignList"]
        ]


def on_v3(user: Sdk, account: str = CELLULAR) -> SdkV3:
    """The same user on v3."""
    return SdkV3(connection=user.connection, account=account, base=user.base, version=V3)


def bob_on_v3(world: World) -> SdkV3:
    return on_v3(world.bob, CELLULAR_OTHER)


@contextlib.contextmanager
def open_v3_world(directory: Path, database: str = "", **changes: Any) -> Iterator[World]:
    """A world with a server for LwM2M; two devices of a cell begin in a slot."""
    plain = {
        "lwm2m": Lwm2m(coap="127.0.0.1:0", no_sec=True),
        "slots": Slots(good=PER_SLOT, fair=1, poor=1),
    }
    with open_world(directory, database, **(plain | changes)) as world:
        come(world, *CELLULAR_FLEET, *CELLULAR_MONTHLY_FLEET)
        yield world


def request(world: World, *numbers: int, start: int = 0, end: int = 5, **more: Any) -> Any:
    """A request for a campaign; dates in days from today."""
    asked = {
        "firmware_name": LIGHT_FIRMWARE,
        "firmware_from": "01",
        "firmware_to": "02",
        "start_date": world.day(start),
        "end_date": world.day(end),
        "device_list": imeis(*numbers),
        "auto_assign_license_flag": False,
        "auto_add_devices_flag": False,
    }
    return CampaignFirmwareUpgrade(**(asked | more))


def change(type_: str, *named: int | str) -> Any:
    """A change of a campaign's list of devices."""
    return V3AddOrRemoveDeviceRequest(
        type_, [imei(one) if isinstance(one, int) else one for one in named]
    )


def dates(world: World, start: int, end: int, *hours: tuple[int, int]) -> Any:
    """Other dates, in days from today, and windows."""
    more = {"campaign_time_window_list": windows(*hours)} if hours else {}
    return V3ChangeCampaignDatesRequest(world.day(start), world.day(end), **more)


def windows(*hours: tuple[int, int]) -> list[Any]:
    return [V3TimeWindow(start, end) for start, end in hours]


def scheduled(world: World, *numbers: int, account: str = CELLULAR, **asked: Any) -> str:
    """The id of a campaign that has its slots."""
    made = on_v3(world.ada, account).schedule(request(world, *numbers, **asked))
    world.settle()
    return made


# Devices -----------------------------------------------------------------------------------------


def _come(
    tx: Tx, numbers: tuple[int, ...], cell: CellKey, settings: Settings, now: datetime
) -> None:
    for number in numbers:
        device = devices.by_imei(tx, imei(number))
        assert device is not None
        slots.set_registration(
            tx,
            device.id,
            registered=True,
            queue_mode=False,
            lifetime_s=400 * 86_400,
            heard_at=now,
        )
        slots.set_location(tx, device.id, cell, -80, 6, now)
        push.attached(tx, [device.id], settings, now)


def come(world: World, *numbers: int, cell: CellKey = HERE) -> None:
    """Devices register, and say where they are."""
    world.run(_come, numbers, cell, world.server.settings, world.clock.now())


def _job(tx: Tx, number: int, settings: Settings, now: datetime) -> Job:
    """The device, whose slot is open, takes its command."""
    device = devices.by_imei(tx, imei(number))
    assert device is not None
    job = push.job_of(tx, device.id, settings, now)
    assert job is not None
    assert job.in_window
    push.executed(tx, job, settings, now)
    return job


def _succeed(tx: Tx, number: int, settings: Settings, now: datetime) -> None:
    job = _job(tx, number, settings, now)
    push.succeeded(tx, job, job.to_version, settings, now)


def _fail(tx: Tx, number: int, reason: Reason, settings: Settings, now: datetime) -> None:
    push.failed(tx, _job(tx, number, settings, now), reason, settings, now)


def succeed(world: World, number: int) -> None:
    """The device is updated, and shows it."""
    world.run(_succeed, number, world.server.settings, world.clock.now())
    world.settle()


def fail(world: World, number: int, reason: Reason = Reason.DOWNLOAD_FAILED) -> None:
    """The device does not make it."""
    world.run(_fail, number, reason, world.server.settings, world.clock.now())
    world.settle()
