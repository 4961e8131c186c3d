"""Messages of v2 (``api.md`` 9.3): of a campaign's status, and of its devices as they change."""

from collections.abc import Sequence
from datetime import date
from typing import Final

import msgspec

from overair.core.words.v2 import CAMPAIGN_V2, device_v2
from overair.engine.notify.shape import Campaign, DeviceChange, Package, Shape
from overair.store.callbacks import Listener


class DeviceV2(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """As in the campaign's device report (``api.md`` 5.15)."""

    device_id: str
    status: str
    result_reason: str


class SoftwareV2(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """As in the list of software (``api.md`` 5.12)."""

    software_name: str
    launch_date: date
    release_note: str
    model: str
    make: str
    distribution_type: str
    device_platform_id: str


class MessageV2(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Every message of v2 (``api.md`` 9.3)."""

    account_name: str
    type: str  # campaignStatus, deviceStatus, newSoftware
    campaign_id: str = ""
    campaign_name: str = ""
    status: str = ""
    software_name: str = ""
    device_list: tuple[DeviceV2, ...] = ()
    software_list: tuple[SoftwareV2, ...] = ()


def _campaign(listener: Listener, campaign: Campaign) -> MessageV2:
    return MessageV2(
        account_name=listener.account_name,
        type="campaignStatus",
        campaign_id=campaign.uuid,
        campaign_name=campaign.name,
        status=CAMPAIGN_V2[campaign.status],
        software_name=campaign.package_name,
    )


def _devices(listener: Listener, campaign: Campaign, changes: Sequence[DeviceChange]) -> MessageV2:
    devices = []
    for change in changes:
        status, reason = device_v2(change.state, change.reason, campaign.status)
        devices.append(DeviceV2(device_id=change.imei, status=status, result_reason=reason))
    return msgspec.structs.replace(
        _campaign(listener, campaign), type="deviceStatus", device_list=tuple(devices)
    )


def _package(listener: Listener, package: Package) -> MessageV2:
    item = SoftwareV2(
        software_name=package.name,
        launch_date=package.launch_at.date(),
        release_note=package.release_note,
        model=package.model,
        make=package.make,
        distribution_type=package.protocol,
        device_platform_id="IoT",
    )
    return MessageV2(account_name=listener.account_name, type="newSoftware", software_list=(item,))


SHAPE_V2: Final = Shape(campaign=_campaign, devices=_devices, package=_package)
