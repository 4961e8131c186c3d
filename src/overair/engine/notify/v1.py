"""Messages of v1 (``api.md`` 9.2).

Its *upgradeScheduled* is one message about the whole request: it comes when the checks are done, with
what became of every device. So nothing is told while they are under way; and nothing of an upgrade
that was cancelled, for which v1 has no word.

The listener's user name and password are in the body, as the vendor has it.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from overair.core.campaign import BEFORE_START, CampaignStatus
from overair.core.instants import datetime_text
from overair.core.words import is_shown
from overair.core.words.v1 import CAMPAIGN_V1, device_v1
from overair.engine.notify.shape import Campaign, DeviceChange, Package, Shape
from overair.store.callbacks import Listener


class DeviceV1(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """As in the upgrade's device list (``api.md`` 4.8)."""

    device_id: str
    status: str
    result_reason: str


class FirmwareV1(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """As in the list of firmware (``api.md`` 4.5)."""

    firmware_name: str
    participant_name: str
    launch_date: str
    release_note: str
    model: str
    make: str
    from_version: str
    to_version: str


class UpgradeV1(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An upgrade, and devices of it."""

    firmware_name: str
    upgrade_id: str
    start_date: str
    status: str
    device_list: tuple[DeviceV1, ...]


class EmptyV1(msgspec.Struct, frozen=True):
    """What a member holds that does not apply."""


class MessageV1(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Every message of v1."""

    account_name: str
    participant_name: str = ""
    type: str  # newFirmware, upgradeScheduled, upgradeProgress
    username: str
    password: str
    firmware_list: tuple[FirmwareV1, ...] = ()
    upgrade_scheduled: UpgradeV1 | EmptyV1 = EmptyV1()
    upgrade_progress: UpgradeV1 | EmptyV1 = EmptyV1()


_SCHEDULED: Final = BEFORE_START | {CampaignStatus.REQUEST_FAILED}


def _campaign(listener: Listener, campaign: Campaign) -> MessageV1:
    return _devices(listener, campaign, ())


def _devices(listener: Listener, campaign: Campaign, changes: Sequence[DeviceChange]) -> MessageV1:
    scheduled = campaign.status in _SCHEDULED
    upgrade = UpgradeV1(
        firmware_name=campaign.package_name,
        upgrade_id=campaign.uuid,
        start_date=campaign.start_date.isoformat(),
        status=CAMPAIGN_V1[campaign.status],
        device_list=tuple(map(_device, changes)),
    )
    return MessageV1(
        account_name=listener.account_name,
        type="upgradeScheduled" if scheduled else "upgradeProgress",
        username=listener.username,
        password=listener.password,
        upgrade_scheduled=upgrade if scheduled else EmptyV1(),
        upgrade_progress=EmptyV1() if scheduled else upgrade,
    )


def _device(change: DeviceChange) -> DeviceV1:
    status, reason = device_v1(change.state, change.reason)
    return DeviceV1(device_id=change.imei, status=status, result_reason=reason)


def _package(listener: Listener, package: Package) -> MessageV1:
    firmware = FirmwareV1(
        firmware_name=package.name,
        participant_name=listener.account_name,
        launch_date=datetime_text(package.launch_at),
        release_note=package.release_note,
        model=package.model,
        make=package.make,
        from_version=package.from_version,
        to_version=package.to_version,
    )
    return MessageV1(
        account_name=listener.account_name,
        type="newFirmware",
        username=listener.username,
        password=listener.password,
        firmware_list=(firmware,),
    )


SHAPE_V1: Final = Shape(
    campaign=_campaign,
    devices=_devices,
    package=_package,
    silent=frozenset(
        {CampaignStatus.REQUEST_PENDING, *(s for s in CampaignStatus if not is_shown(1, s))}
    ),
    listed=frozenset({CampaignStatus.REQUEST_QUEUED, CampaignStatus.REQUEST_FAILED}),
)
