"""What several operations of v1 say alike: upgrades, outcomes of single devices, numbers as cursors.

Cursors are numbers in the path (API 7.2): of a record, or an IMEI written as one. What follows the
last record is page 0.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from overair.api.wire import Answer, DeviceText, Uuid, protocol
from overair.core.campaign import CampaignStatus
from overair.core.errors import Refusal, RequestError
from overair.core.upgrade import UpgradeState
from overair.core.words.v1 import CAMPAIGN_V1, DEVICE_V1, device_v1
from overair.store import changes, upgrades
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.upgrades import Upgrade

PREFIX: Final = "/api/fota/v1"
API_VERSION: Final = 1

PROTOCOLS: Final = frozenset({"OMADM", "LWM2M"})
"""What v1 delivers by; software for devices that pull is not in its catalogue."""

DayText = Annotated[str, Meta(extra_json_schema={"format": "date"})]
ClientType = Annotated[str, Meta(examples=["OMADM", "LWM2M"])]
UpgradeWord = Annotated[str, Meta(extra_json_schema={"enum": [*CAMPAIGN_V1.values()]})]
DeviceWord = Annotated[str, Meta(extra_json_schema={"enum": [*dict.fromkeys(DEVICE_V1.values())]})]
# Two of the published clients hold it in 32 bits.
Offset = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class UpgradeDevice(Answer):
    """Where a device of an upgrade is; before its checks there is no reason."""

    device_id: DeviceText
    status: DeviceWord
    result_reason: str | UnsetType = UNSET


class FirmwareUpgrade(Answer, kw_only=True):
    """An upgrade, with all its devices (API 4.7)."""

    id: Uuid
    account_name: str
    firmware_name: str
    firmware_to: str
    start_date: DayText
    end_date: DayText
    status: UpgradeWord
    device_list: list[UpgradeDevice]


def firmware_upgrade(
    campaign: Campaign, members: Iterable[Upgrade], waiting: Iterable[str] = ()
) -> FirmwareUpgrade:
    """The upgrade, as v1 shows it; ``waiting`` are devices that were only just asked for."""
    return FirmwareUpgrade(
        id=campaign.uuid,
        account_name=campaign.account_name,
        firmware_name=campaign.package_name,
        firmware_to=campaign.to_version,
        start_date=campaign.start_date.isoformat(),
        end_date=campaign.end_date.isoformat(),
        status=CAMPAIGN_V1[campaign.status],
        device_list=[*map(_device, members), *map(_requested, waiting)],
    )


def whole_upgrades(tx: Tx, found: Sequence[Campaign]) -> list[FirmwareUpgrade]:
    """These upgrades, each with all its devices."""
    members = upgrades.of_campaigns(tx, [campaign.id for campaign in found])
    return [
        firmware_upgrade(campaign, members[campaign.id], _waiting(tx, campaign))
        for campaign in found
    ]


def _waiting(tx: Tx, campaign: Campaign) -> list[str]:
    """The rest of a long list, which the engine takes in piece by piece."""
    if campaign.status is not CampaignStatus.REQUEST_PENDING:
        return []
    return [imei for change in changes.of_campaign(tx, campaign.id) for imei in change.imeis]


def _device(upgrade: Upgrade) -> UpgradeDevice:
    if upgrade.state is UpgradeState.REQUESTED:
        return _requested(upgrade.imei)
    status, reason = device_v1(upgrade.state, upgrade.reason)
    return UpgradeDevice(device_id=upgrade.imei, status=status, result_reason=reason)


def _requested(imei: str) -> UpgradeDevice:
    return UpgradeDevice(device_id=imei, status=DEVICE_V1[UpgradeState.REQUESTED])


def client_type(text: str | UnsetType) -> str | None:
    """The protocol that a list is filtered by, if it is."""
    if text is UNSET:
        return None
    found = protocol(text, Refusal.CLIENT_TYPE)
    if found not in PROTOCOLS:
        raise RequestError(Refusal.CLIENT_TYPE)
    return found
