"""What an account has: software for its devices, and the devices (API 5.12, 5.13)."""

from datetime import date

from msgspec import UNSET, UnsetType

from overair.api.installed import InstalledSoftware, files, running
from overair.api.lookup import START, device_page
from overair.api.routing import Call, Routes
from overair.api.v2.shapes import (
    PLATFORM,
    PREFIX,
    Distribution,
    distribution_type,
    last_id,
    wanted_protocol,
)
from overair.api.wire import Answer, Imei, Query, TimeText
from overair.core.errors import Refusal
from overair.core.instants import time_text
from overair.store import packages
from overair.store.devices import Device

routes = Routes(PREFIX, tag="v2 software and devices")


class SoftwareQuery(Query):
    distribution_type: Distribution | UnsetType = UNSET


class SoftwarePackage(Answer):
    """Software that a device of the account can run."""

    software_name: str
    launch_date: date
    release_note: str
    model: str
    make: str
    distribution_type: Distribution
    device_platform_id: str


class DeviceQuery(Query):
    last_seen_device_id: str = START
    distribution_type: Distribution | UnsetType = UNSET


class AccountDevice(Answer, kw_only=True):
    """A device's record."""

    device_id: Imei
    mdn: str
    model: str
    make: str
    distribution_type: Distribution
    fota_eligible: bool
    app_fota_eligible: bool
    license_assigned: bool
    software_list: list[InstalledSoftware]
    create_time: TimeText
    update_time: TimeText
    upgrade_time: TimeText | UnsetType = UNSET
    refresh_time: TimeText | UnsetType = UNSET


class AccountDevices(Answer, kw_only=True):
    """A page of devices, by IMEI."""

    account_name: str
    has_more_data: bool
    last_seen_device_id: Imei | UnsetType = UNSET
    max_page_size: int
    device_list: list[AccountDevice]


@routes.add("GET", "/software/{acc}", errors=(Refusal.DISTRIBUTION_TYPE,))
async def list_software(call: Call[None, SoftwareQuery]) -> list[SoftwarePackage]:
    """List the software that is available for the account's devices."""
    account = await call.account()
    protocol = wanted_protocol(call.query.distribution_type)
    found = await call.db.report(
        packages.visible_software,
        account.id,
        None if protocol is None else [protocol],
        call.settings.limits.page_size,
    )
    return [
        SoftwarePackage(
            software_name=package.name,
            launch_date=package.launch_at.date(),
            release_note=package.release_note,
            model=package.model,
            make=package.make,
            distribution_type=distribution_type(package.protocol),
            device_platform_id=PLATFORM,
        )
        for package in found
    ]


@routes.add(
    "GET", "/devices/{acc}", errors=(Refusal.LAST_SEEN_DEVICE_ID, Refusal.DISTRIBUTION_TYPE)
)
async def list_devices(call: Call[None, DeviceQuery]) -> AccountDevices:
    """List the account's devices."""
    account = await call.account()
    protocol = wanted_protocol(call.query.distribution_type)
    limit = call.settings.limits.page_size
    page = await call.db.report(
        device_page, account.id, call.query.last_seen_device_id, protocol, limit
    )
    return AccountDevices(
        account_name=account.name,
        has_more_data=page.has_more,
        last_seen_device_id=last_id([device.imei for device in page.items]),
        max_page_size=limit,
        device_list=[_device(device) for device in page.items],
    )


def _device(device: Device) -> AccountDevice:
    return AccountDevice(
        device_id=device.imei,
        mdn=device.mdn,
        model=device.model,
        make=device.make,
        distribution_type=distribution_type(device.protocol),
        fota_eligible=device.fota_eligible,
        # Software other than firmware comes over HTTP only.
        app_fota_eligible=device.fota_eligible and device.protocol == "HTTP",
        license_assigned=device.licensed,
        software_list=[*running(device), *files(device)],
        create_time=time_text(device.created_at),
        update_time=time_text(device.updated_at),
        upgrade_time=UNSET if device.upgraded_at is None else time_text(device.upgraded_at),
        refresh_time=UNSET if device.refreshed_at is None else time_text(device.refreshed_at),
    )
