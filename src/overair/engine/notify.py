"""Messages for callback listeners, queued in the transaction of the change they tell of.

A message is written only where the account has a listener for the API version concerned; that is
one point read, and all that a system without listeners pays. What is queued here is sent by
``callbacks/``, in order for each *stream*: a campaign is one, the catalogue of an account another.

``SHAPES`` has the bodies of each version (``api.md`` 9.2, 9.3). All members are always present, as
the vendor has them in v1; those that do not apply are empty. Not here: when there is something to
tell, which the callers know.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, Protocol

import msgspec

from overair.core.campaign import CampaignStatus
from overair.core.ids import AccountId
from overair.core.upgrade import Reason, UpgradeState
from overair.core.words import CAMPAIGN_V2, device_v2
from overair.store import callbacks
from overair.store.callbacks import Listener
from overair.store.database import Tx

MESSAGE_DEVICES: Final = 1000  # in one message; more are split
CATALOGUE: Final = "catalogue"


class Campaign(Protocol):
    """What a message tells of a campaign; ``store.campaigns.Campaign`` is one."""

    @property
    def uuid(self) -> str: ...
    @property
    def account_id(self) -> AccountId: ...
    @property
    def account_name(self) -> str: ...
    @property
    def api_version(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def package_name(self) -> str: ...
    @property
    def status(self) -> CampaignStatus: ...


class Package(Protocol):
    """What a message tells of a package that became available."""

    @property
    def name(self) -> str: ...
    @property
    def make(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def protocol(self) -> str: ...
    @property
    def launch_at(self) -> datetime: ...
    @property
    def release_note(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChange:
    """A device of a campaign, and where it is now."""

    imei: str
    state: UpgradeState
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How one API version writes its messages."""

    campaign: Callable[[Listener, Campaign], msgspec.Struct]
    devices: Callable[[Listener, Campaign, Sequence[DeviceChange]], msgspec.Struct]
    package: Callable[[Listener, Package], msgspec.Struct]


# v2 ----------------------------------------------------------------------------------------------


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


def _campaign_v2(listener: Listener, campaign: Campaign) -> MessageV2:
    return MessageV2(
        account_name=listener.account_name,
        type="campaignStatus",
        campaign_id=campaign.uuid,
        campaign_name=campaign.name,
        status=CAMPAIGN_V2[campaign.status],
        software_name=campaign.package_name,
    )


def _devices_v2(
    listener: Listener, campaign: Campaign, changes: Sequence[DeviceChange]
) -> MessageV2:
    devices = []
    for change in changes:
        status, reason = device_v2(change.state, change.reason, campaign.status)
        devices.append(DeviceV2(device_id=change.imei, status=status, result_reason=reason))
    return msgspec.structs.replace(
        _campaign_v2(listener, campaign), type="deviceStatus", device_list=tuple(devices)
    )


def _package_v2(listener: Listener, package: Package) -> MessageV2:
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


SHAPES: Final = {
    2: Shape(campaign=_campaign_v2, devices=_devices_v2, package=_package_v2),
}
# The API versions whose catalogue has packages of a protocol.
VERSIONS: Final = {"HTTP": (2,)}

# Queueing ----------------------------------------------------------------------------------------


def notify_campaign(tx: Tx, campaign: Campaign, now: datetime) -> None:
    """Tell of the campaign's status."""
    listener = _listener(tx, campaign)
    if listener is not None:
        shape = SHAPES[campaign.api_version]
        _queue(tx, listener, campaign.uuid, [shape.campaign(listener, campaign)], now)


def notify_devices(
    tx: Tx, campaign: Campaign, changes: Sequence[DeviceChange], now: datetime
) -> None:
    """Tell where devices of the campaign are now, at most a thousand to a message."""
    listener = _listener(tx, campaign) if changes else None
    if listener is not None:
        shape = SHAPES[campaign.api_version]
        bodies = [shape.devices(listener, campaign, part) for part in _parts(changes)]
        _queue(tx, listener, campaign.uuid, bodies, now)


def notify_package(
    tx: Tx, package: Package, account_ids: Sequence[AccountId], now: datetime
) -> None:
    """Tell accounts of a package that became available for devices of theirs."""
    for api_version in VERSIONS.get(package.protocol, ()):
        for listener in callbacks.listeners_of(tx, account_ids, api_version):
            body = SHAPES[api_version].package(listener, package)
            _queue(tx, listener, CATALOGUE, [body], now)


def _listener(tx: Tx, campaign: Campaign) -> Listener | None:
    return callbacks.listener(tx, campaign.account_id, campaign.api_version)


def _parts(changes: Sequence[DeviceChange]) -> Iterator[Sequence[DeviceChange]]:
    for start in range(0, len(changes), MESSAGE_DEVICES):
        yield changes[start : start + MESSAGE_DEVICES]


def _queue(
    tx: Tx, listener: Listener, stream: str, bodies: Sequence[msgspec.Struct], now: datetime
) -> None:
    texts = [msgspec.json.encode(body).decode() for body in bodies]
    callbacks.add_messages(tx, listener, stream, texts, now)
    tx.hint("callbacks")
