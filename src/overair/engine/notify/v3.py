"""Messages of v3 (``api.md`` 9.3): of a campaign's status, and of its devices as they change.

A device's reason says when it begins or is tried again, so what is told of it holds its place.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from overair.core.instants import datetime_text
from overair.core.words.v3 import CAMPAIGN_V3, Standing, device_v3
from overair.engine.notify.shape import Campaign, DeviceChange, Package, Shape
from overair.store.callbacks import Listener


class DeviceV3(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """As in the campaign's device report (``api.md`` 6.15)."""

    device_id: str
    status: str
    result_reason: str


class FirmwareV3(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """As in the list of firmware (``api.md`` 6.9)."""

    firmware_name: str
    firmware_from: str
    firmware_to: str
    launch_date: str
    release_note: str
    model: str
    make: str
    protocol: str


class MessageV3(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Every message of v3 (``api.md`` 9.3)."""

    account_name: str
    type: str  # campaignStatus, deviceStatus, newFirmware
    campaign_id: str = ""
    campaign_name: str = ""
    status: str = ""
    firmware_name: str = ""
    device_list: tuple[DeviceV3, ...] = ()
    firmware_list: tuple[FirmwareV3, ...] = ()


def _campaign(listener: Listener, campaign: Campaign) -> MessageV3:
    return MessageV3(
        account_name=listener.account_name,
        type="campaignStatus",
        campaign_id=campaign.uuid,
        campaign_name=campaign.name,
        status=CAMPAIGN_V3[campaign.status],
        firmware_name=campaign.package_name,
    )


def _devices(listener: Listener, campaign: Campaign, changes: Sequence[DeviceChange]) -> MessageV3:
    return msgspec.structs.replace(
        _campaign(listener, campaign),
        type="deviceStatus",
        device_list=tuple(_device(change, campaign) for change in changes),
    )


def _device(change: DeviceChange, campaign: Campaign) -> DeviceV3:
    standing = Standing(
        state=change.state,
        reason=change.reason,
        status=campaign.status,
        end_date=campaign.end_date,
        attempts=change.attempts,
        begins_at=change.begins_at,
        ends_at=change.ends_at,
    )
    status, reason = device_v3(standing)
    return DeviceV3(device_id=change.imei, status=status, result_reason=reason)


def _package(listener: Listener, package: Package) -> MessageV3:
    item = FirmwareV3(
        firmware_name=package.name,
        firmware_from=package.from_version,
        firmware_to=package.to_version,
        launch_date=datetime_text(package.launch_at),
        release_note=package.release_note,
        model=package.model,
        make=package.make,
        protocol=package.protocol,
    )
    return MessageV3(account_name=listener.account_name, type="newFirmware", firmware_list=(item,))


SHAPE_V3: Final = Shape(campaign=_campaign, devices=_devices, package=_package, placed=True)
