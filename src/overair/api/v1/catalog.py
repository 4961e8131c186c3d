"""What an account has: firmware for its devices, and the devices (API 4.5, 4.6)."""

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from overair.api.lookup import START, device_page
from overair.api.routing import Call, Routes
from overair.api.v1.shapes import PREFIX, PROTOCOLS, ClientType, client_type
from overair.api.wire import Answer, DateTimeText, Imei, Query
from overair.core.errors import Refusal, RequestError
from overair.core.instants import datetime_text, time_text
from overair.store import packages
from overair.store.devices import Device

routes = Routes(PREFIX, tag="v1 firmware and devices")

NEVER: Final = "01/01/1900 0:0:0"
"""When a device was upgraded that never was."""


class ClientQuery(Query):
    client_type: ClientType | UnsetType = UNSET


class Firmware(Answer, kw_only=True):
    """Firmware that a device of the account can run."""

    firmware_name: str
    participant_name: str
    launch_date: DateTimeText
    release_note: str
    model: str
    make: str
    from_version: str
    to_version: str


class FirmwareDevice(Answer, kw_only=True):
    """A device's record."""

    device_id: Imei
    mdn: str
    model: str
    make: str
    firmware: str
    fota_eligible: bool
    license_assigned: bool
    upgrade_time: Annotated[str, Meta(examples=["2021-06-03 00:03:56.079 +0000 UTC", NEVER])]


class FirmwareDevices(Answer, kw_only=True):
    """A page of devices, by IMEI; ``lastSeenDeviceId`` is its last one as a number."""

    account_name: str
    has_more_data: bool
    last_seen_device_id: Annotated[int, Meta(ge=0)]
    device_list: list[FirmwareDevice]


@routes.add("GET", "/firmware/{acc}", errors=(Refusal.CLIENT_TYPE,))
async def list_firmware(call: Call[None, ClientQuery]) -> list[Firmware]:
    """List the firmware that is available for the account's devices."""
    account = await call.account()
    wanted = client_type(call.query.client_type)
    protocols = sorted(PROTOCOLS) if wanted is None else [wanted]
    found = await call.db.report(
        packages.visible_software, account.id, protocols, call.settings.limits.page_size
    )
    return [
        Firmware(
            firmware_name=package.name,
            participant_name=account.name,
            launch_date=datetime_text(package.launch_at),
            release_note=package.release_note,
            model=package.model,
            make=package.make,
            from_version=package.from_version,
            to_version=package.to_version,
        )
        for package in found
    ]


@routes.add("GET", "/devices/{acc}", documented=False)
@routes.add(
    "GET",
    "/devices/{acc}/index/{startIndex}",
    errors=(
        Refusal.CLIENT_TYPE,
        Refusal.INDEX,
        Refusal.DEVICE_ID,
        Refusal.LAST_SEEN_DEVICE_ID,
    ),
)
async def list_devices(call: Call[None, ClientQuery]) -> FirmwareDevices:
    """List the account's devices, those after the IMEI that is the index."""
    account = await call.account()
    protocol = client_type(call.query.client_type)
    limit = call.settings.limits.page_size
    cursor = _imei(call.path.get("startIndex", START))
    page = await call.db.report(device_page, account.id, cursor, protocol, limit)
    return FirmwareDevices(
        account_name=account.name,
        has_more_data=page.has_more,
        last_seen_device_id=int(page.items[-1].imei) if page.has_more else 0,
        device_list=[_device(device) for device in page.items],
    )


def _imei(start: str) -> str:
    """The IMEI that a page begins after; one with zeros in front comes back without them."""
    if not (start.isascii() and start.isdigit()):
        raise RequestError(Refusal.INDEX)
    if len(start) > 15:
        raise RequestError(Refusal.DEVICE_ID)
    return start.zfill(15) if int(start) else START


def _device(device: Device) -> FirmwareDevice:
    return FirmwareDevice(
        device_id=device.imei,
        mdn=device.mdn,
        model=device.model,
        make=device.make,
        firmware=device.version,
        fota_eligible=device.fota_eligible,
        license_assigned=device.licensed,
        upgrade_time=NEVER if device.upgraded_at is None else time_text(device.upgraded_at),
    )
