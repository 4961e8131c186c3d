"""What an account has: firmware for its devices, and the devices (API 6.9, 6.12, 6.13)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Final, Literal

from msgspec import UNSET, UnsetType

from overair.api.installed import InstalledSoftware, files, running
from overair.api.lookup import START, device_page
from overair.api.routing import Call, Routes
from overair.api.v3.shapes import (
    PACKAGE_PROTOCOLS,
    PREFIX,
    DeviceProtocol,
    PackageProtocol,
    WantedProtocol,
    device_protocol,
    last_id,
    wanted_protocol,
)
from overair.api.wire import Answer, Body, DateTimeText, Imei, Query, TimeText
from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId, DeviceId
from overair.core.instants import datetime_text, time_text
from overair.core.words.v3 import report_text
from overair.store import devices, lwm2m_watch, packages
from overair.store.database import Tx
from overair.store.devices import Device
from overair.store.lwm2m_watch import Asked

routes = Routes(PREFIX, tag="v3 firmware and devices")

MOST_NAMED: Final = 1000
"""Devices whose details one request may ask for (API 8)."""


class FirmwareQuery(Query):
    protocol: WantedProtocol | UnsetType = UNSET


class FirmwarePackage(Answer, kw_only=True):
    """Firmware that a device of the account can run."""

    firmware_name: str
    firmware_from: str
    firmware_to: str
    launch_date: DateTimeText
    release_note: str
    model: str
    make: str
    protocol: PackageProtocol


class MonitoredQuery(Query):
    last_seen_device_id: str = START
    protocol: WantedProtocol | UnsetType = UNSET


class MonitoredDevice(Answer, kw_only=True):
    """A device's record."""

    device_id: Imei
    mdn: str
    model: str
    make: str
    firmware: str
    fota_eligible: bool
    status: str
    license_assigned: bool
    protocol: DeviceProtocol
    software_list: list[InstalledSoftware]
    file_list: list[InstalledSoftware]
    create_time: TimeText
    update_time: TimeText
    upgrade_time: TimeText | UnsetType = UNSET
    refresh_time: TimeText | UnsetType = UNSET


class MonitoredDevices(Answer, kw_only=True):
    """A page of devices, by IMEI."""

    account_name: str
    has_more_data: bool
    last_seen_device_id: Imei | UnsetType = UNSET
    max_page_size: int
    device_list: list[MonitoredDevice]


class NamedDevices(Body):
    """The devices to tell of."""

    aliases: ClassVar = {"devicelist": "deviceList"}

    device_list: list[Imei]


class DeviceDetails(Answer, kw_only=True):
    """What is known of a device; of one that is not the account's, that it is not."""

    device_id: Imei
    request_status: Literal["Success", "Failure"]
    result_reason: str
    mdn: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    make: str | UnsetType = UNSET
    firmware: str | UnsetType = UNSET
    fota_eligible: bool | UnsetType = UNSET
    status: str | UnsetType = UNSET
    license_assigned: bool | UnsetType = UNSET
    protocol: DeviceProtocol | UnsetType = UNSET
    software_list: list[InstalledSoftware] | UnsetType = UNSET
    file_list: list[InstalledSoftware] | UnsetType = UNSET
    create_time: TimeText | UnsetType = UNSET
    status_time: TimeText | UnsetType = UNSET
    update_time: TimeText | UnsetType = UNSET
    refresh_time: TimeText | UnsetType = UNSET
    last_connection_time: DateTimeText | UnsetType = UNSET


class DevicesDetails(Answer):
    """What is known of each device, in the order asked."""

    account_name: str
    device_count: int
    device_list: list[DeviceDetails]


@routes.add("GET", "/firmware/{acc}", errors=(Refusal.PROTOCOL,))
async def list_firmware(call: Call[None, FirmwareQuery]) -> list[FirmwarePackage]:
    """List the firmware that is available for the account's devices; over LwM2M, if nothing is asked."""
    account = await call.account()
    wanted = wanted_protocol(call.query.protocol)
    protocols = [one for one in PACKAGE_PROTOCOLS if wanted in (None, one)]
    if not protocols:  # over HTTP: that is software, and in the catalogue of v2
        return []
    found = await call.db.report(
        packages.visible_software, account.id, protocols, call.settings.limits.page_size
    )
    return [
        FirmwarePackage(
            firmware_name=package.name,
            firmware_from=package.from_version,
            firmware_to=package.to_version,
            launch_date=datetime_text(package.launch_at),
            release_note=package.release_note,
            model=package.model,
            make=package.make,
            protocol=PACKAGE_PROTOCOLS[package.protocol],
        )
        for package in found
    ]


@routes.add("GET", "/devices/{acc}", errors=(Refusal.LAST_SEEN_DEVICE_ID, Refusal.PROTOCOL))
async def list_devices(call: Call[None, MonitoredQuery]) -> MonitoredDevices:
    """List the account's devices; those over LwM2M, if nothing is asked."""
    account = await call.account()
    protocol = wanted_protocol(call.query.protocol)
    limit = call.settings.limits.page_size
    page = await call.db.report(
        device_page, account.id, call.query.last_seen_device_id, protocol, limit
    )
    return MonitoredDevices(
        account_name=account.name,
        has_more_data=page.has_more,
        last_seen_device_id=last_id([device.imei for device in page.items]),
        max_page_size=limit,
        device_list=[_device(device) for device in page.items],
    )


def _device(device: Device) -> MonitoredDevice:
    return MonitoredDevice(
        device_id=device.imei,
        mdn=device.mdn,
        model=device.model,
        make=device.make,
        firmware=device.version,
        fota_eligible=device.fota_eligible,
        status=device.status,
        license_assigned=device.licensed,
        protocol=device_protocol(device.protocol),
        software_list=running(device),
        file_list=files(device),
        create_time=time_text(device.created_at),
        update_time=time_text(device.updated_at),
        upgrade_time=_time(device.upgraded_at),
        refresh_time=_time(device.refreshed_at),
    )


def _time(instant: datetime | None) -> str | UnsetType:
    return UNSET if instant is None else time_text(instant)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The account's devices among those that were named, when each was last heard of, and asked."""

    devices: dict[str, Device]
    connected_at: dict[DeviceId, datetime]
    asked: Mapping[DeviceId, Asked]
    overdue_before: datetime

    def reason(self, device: Device) -> str:
        """What there is to say of a device that is known."""
        asked = self.asked.get(device.id)
        if asked is None:
            return "Success"
        overdue = asked.at <= self.overdue_before
        return report_text(asked.at, refused=asked.refused, overdue=overdue)


@routes.add("POST", "/devices/{acc}", errors=(Refusal.DEVICE_LIST_TOO_LONG,))
async def list_named_devices(call: Call[NamedDevices, None]) -> DevicesDetails:
    """Tell what is known of up to a thousand devices, each of which is the account's or is not."""
    account = await call.account()
    imeis = call.formats.imeis(call.body.device_list)
    if len(imeis) > MOST_NAMED:
        raise RequestError(Refusal.DEVICE_LIST_TOO_LONG, limit=MOST_NAMED)
    overdue_before = call.now - timedelta(seconds=call.settings.lwm2m.report_timeout_s)
    known = await call.db.report(_known, account.id, imeis, overdue_before)
    return DevicesDetails(
        account_name=account.name,
        device_count=len(imeis),
        device_list=[_details(imei, known) for imei in imeis],
    )


def _known(tx: Tx, account_id: AccountId, imeis: list[str], overdue_before: datetime) -> _Known:
    found = devices.named(tx, account_id, imeis)
    ids = [device.id for device in found.values()]
    return _Known(
        devices=found,
        connected_at=devices.connected_at(tx, ids),
        asked=lwm2m_watch.asked(tx, ids),
        overdue_before=overdue_before,
    )


def _details(imei: str, known: _Known) -> DeviceDetails:
    device = known.devices.get(imei)
    if device is None:
        return DeviceDetails(
            device_id=imei, request_status="Failure", result_reason="Device not found."
        )
    connected_at = known.connected_at.get(device.id)
    return DeviceDetails(
        device_id=imei,
        request_status="Success",
        result_reason=known.reason(device),
        mdn=device.mdn,
        model=device.model,
        make=device.make,
        firmware=device.version,
        fota_eligible=device.fota_eligible,
        status=device.status,
        license_assigned=device.licensed,
        protocol=device_protocol(device.protocol),
        software_list=running(device),
        file_list=files(device),
        create_time=time_text(device.created_at),
        status_time=_time(device.upgraded_at),  # of its firmware, as the client has it
        update_time=time_text(device.updated_at),
        refresh_time=_time(device.refreshed_at),
        last_connection_time=UNSET if connected_at is None else datetime_text(connected_at),
    )
