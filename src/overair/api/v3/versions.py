"""Firmware that devices report: read at once, or asked of the device itself (API 6.10, 6.11; lifecycle 5.8).

The device-management server is this one, and what it knows last of a device is in the device's record, so
the synchronous call has nothing to copy: it tells. The other one makes the server ask; the answer comes when
the device answers, and is read with its details, which say until then that it is awaited.
"""

from datetime import datetime
from typing import ClassVar, Final

from msgspec import UNSET, UnsetType, field

from overair import ids
from overair.api.lookup import device_named
from overair.api.routing import Call, Routes
from overair.api.v3.shapes import PREFIX
from overair.api.wire import Answer, Body, DateTimeText, Imei, Uuid
from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId
from overair.core.instants import datetime_text
from overair.core.words.v3 import VERSION_KNOWN, VERSION_NOT_KNOWN, VERSION_OF_NO_DEVICE
from overair.engine import inventory as engine
from overair.store import devices
from overair.store.database import Tx
from overair.store.devices import Device

routes = Routes(PREFIX, tag="v3 firmware and devices")

MOST_SYNCHRONISED: Final = 100
"""Devices to one synchronous request: the text counts, not the client's model (API 11, row 34)."""


class SynchronizedDevices(Body):
    """The devices whose firmware is asked for."""

    aliases: ClassVar = {"devicelist": "deviceList"}

    device_list: list[Imei]


class FirmwareVersion(Answer, kw_only=True):
    """What a device runs; reason and time have two names."""

    device_id: Imei
    firmware_version: str
    status: str
    reason: str
    capital_reason: str = field(name="Reason")
    firmware_version_update_time: DateTimeText | UnsetType = UNSET
    version_update_time: DateTimeText | UnsetType = field(default=UNSET, name="VersionUpdateTime")


class FirmwareVersions(Answer):
    """What each device runs, in the order asked. The list's name is spelt as the vendor does."""

    account_name: str
    device_firmwar_version_list: list[FirmwareVersion]


class ReportRequested(Answer):
    """The device will be asked."""

    account_name: str
    request_id: Uuid


class DeviceFirmware(Answer):
    """What one device runs."""

    account_name: str
    device_id: Imei
    firmware_version: str


@routes.add("PUT", "/firmware/{acc}/devices", errors=(Refusal.DEVICE_LIST_TOO_LONG,))
async def synchronize_firmware(call: Call[SynchronizedDevices, None]) -> FirmwareVersions:
    """Tell which firmware up to a hundred devices reported last."""
    account = await call.account()
    imeis = call.formats.imeis(call.body.device_list)
    if len(imeis) > MOST_SYNCHRONISED:
        raise RequestError(Refusal.DEVICE_LIST_TOO_LONG, limit=MOST_SYNCHRONISED)
    found = await call.db.report(devices.named, account.id, imeis)
    return FirmwareVersions(
        account_name=account.name,
        device_firmwar_version_list=[_version(imei, found.get(imei)) for imei in imeis],
    )


def _version(imei: str, device: Device | None) -> FirmwareVersion:
    words, version, known_at = VERSION_KNOWN, "", None
    if device is None:
        words = VERSION_OF_NO_DEVICE
    elif not device.version:
        words = VERSION_NOT_KNOWN
    else:
        version, known_at = device.version, _known_at(device)
    at = UNSET if known_at is None else datetime_text(known_at)
    return FirmwareVersion(
        device_id=imei,
        firmware_version=version,
        status=words[0],
        reason=words[1],
        capital_reason=words[1],
        firmware_version_update_time=at,
        version_update_time=at,
    )


def _known_at(device: Device) -> datetime:
    """When it reported that version, or was given it, or was entered with it."""
    said = [at for at in (device.refreshed_at, device.upgraded_at) if at is not None]
    return max(said, default=device.created_at)


@routes.add("PUT", "/firmware/{acc}/{deviceId}", documented=False)
async def synchronize_one(call: Call[None, None]) -> DeviceFirmware:
    """Tell which firmware one device reported last, as a page of the documentation has it."""
    account = await call.account()
    imei = call.formats.imei(call.path["deviceId"])
    found = await call.db.report(_device, account.id, imei)
    return DeviceFirmware(account_name=account.name, device_id=imei, firmware_version=found.version)


def _device(tx: Tx, account_id: AccountId, imei: str) -> Device:
    found = devices.by_imei(tx, imei, account_id)
    if found is None:
        raise RequestError(Refusal.DEVICE_NOT_FOUND)
    return found


@routes.add(
    "PUT",
    "/firmware/{acc}/async/{deviceId}",
    errors=(Refusal.DEVICE_ID, Refusal.DEVICE_NOT_FOUND),
)
async def report_firmware(call: Call[None, None]) -> ReportRequested:
    """Ask a device for its firmware; its details show the answer when it has come."""
    account = await call.account()
    imei = call.formats.imei(call.path["deviceId"])
    await call.db.transact(_ask, account.id, imei, call.now)
    return ReportRequested(account_name=account.name, request_id=ids.new_uuid())


def _ask(tx: Tx, account_id: AccountId, imei: str, now: datetime) -> None:
    engine.ask_again(tx, device_named(tx, account_id, imei), now)
