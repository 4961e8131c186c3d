"""What a version has to say of its messages, and what messages are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

import msgspec

from overair.core.campaign import CampaignStatus
from overair.core.ids import AccountId, CampaignId, UpgradeId
from overair.core.upgrade import Reason, UpgradeState
from overair.store.callbacks import Listener


class Campaign(Protocol):
    """What a message tells of a campaign; ``store.campaigns.Campaign`` is one."""

    @property
    def id(self) -> CampaignId: ...
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
    def start_date(self) -> date: ...
    @property
    def end_date(self) -> date: ...
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
    def from_version(self) -> str: ...
    @property
    def to_version(self) -> str: ...
    @property
    def launch_at(self) -> datetime: ...
    @property
    def release_note(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChange:
    """A device of a campaign, and where it is now; its place is only known to versions that say it."""

    imei: str
    state: UpgradeState
    reason: Reason
    upgrade_id: UpgradeId | None = None
    attempts: int = 0
    begins_at: datetime | None = None
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How one API version writes its messages. All members are always present in them; those that do
    not apply are empty.
    """

    campaign: Callable[[Listener, Campaign], msgspec.Struct]
    devices: Callable[[Listener, Campaign, Sequence[DeviceChange]], msgspec.Struct]
    package: Callable[[Listener, Package], msgspec.Struct]
    silent: frozenset[CampaignStatus] = frozenset()
    """Of campaigns that are there nothing is told, nor of their devices."""
    listed: frozenset[CampaignStatus] = frozenset()
    """Of campaigns that get there all devices are told."""
    placed: bool = False
    """What is told of devices holds their places in slots."""
