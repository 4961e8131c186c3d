"""Reports: campaigns by status, the devices of a campaign, the history of a device (API 5.14 to 5.16)."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from overair.api.lookup import (
    START,
    Page,
    campaign_named,
    campaign_page,
    device_cursor,
    device_named,
)
from overair.api.routing import Call, Routes
from overair.api.v2.shapes import API_VERSION, PREFIX, CampaignSoftware, campaign_software, last_id
from overair.api.wire import Answer, DateTimeText, DeviceText, Imei, Query, Uuid, uuid_text
from overair.core.campaign import CampaignStatus
from overair.core.errors import Refusal, RequestError
from overair.core.history import history_start
from overair.core.ids import AccountId
from overair.core.instants import datetime_text
from overair.core.words.v2 import CAMPAIGN_FILTER_V2, device_v2
from overair.store import devices, tally, upgrades
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.devices import PastUpgrade
from overair.store.upgrades import Upgrade

routes = Routes(PREFIX, tag="v2 reports")


class CampaignQuery(Query):
    campaign_status: Annotated[str, Meta(extra_json_schema={"enum": [*CAMPAIGN_FILTER_V2]})]
    last_seen_campaign_id: str = START


class CampaignHistory(Answer, kw_only=True):
    """A page of campaigns, in the order of their creation."""

    has_more_data: bool
    last_seen_campaign_id: Uuid | UnsetType = UNSET
    campaign_list: list[CampaignSoftware]


class CampaignDeviceQuery(Query):
    last_seen_device_id: str = START


class CampaignDevice(Answer):
    """What became of a device in a campaign."""

    device_id: DeviceText
    status: str
    result_reason: str


class CampaignDevices(Answer, kw_only=True):
    """A page of a campaign's devices, by IMEI."""

    total_device: int
    has_more_data: bool
    last_seen_device_id: DeviceText | UnsetType = UNSET
    max_page_size: int
    device_list: list[CampaignDevice]


class DeviceUpgrade(Answer, kw_only=True):
    """An upgrade of a device that has ended."""

    device_id: Imei
    id: Uuid
    account_name: str
    software_name: str
    start_date: date
    upgrade_start_time: DateTimeText | UnsetType = UNSET
    status: Annotated[str, Meta(extra_json_schema={"enum": ["UpgradeSuccess", "UpgradeFailed"]})]
    reason: str


@routes.add(
    "GET",
    "/reports/{acc}/campaigns",
    errors=(Refusal.CAMPAIGN_STATUS, Refusal.LAST_SEEN_CAMPAIGN_ID),
)
async def list_campaigns(call: Call[None, CampaignQuery]) -> CampaignHistory:
    """List the campaigns that have a status."""
    account = await call.account()
    status = CAMPAIGN_FILTER_V2.get(call.query.campaign_status)
    if status is None:
        raise RequestError(Refusal.CAMPAIGN_STATUS)
    page = await call.db.report(
        campaign_page,
        account.id,
        API_VERSION,
        status,
        call.query.last_seen_campaign_id,
        call.settings.limits.page_size,
    )
    return CampaignHistory(
        has_more_data=page.has_more,
        last_seen_campaign_id=last_id([campaign.uuid for campaign in page.items]),
        campaign_list=[campaign_software(campaign) for campaign in page.items],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _CampaignDevices:
    """A page of a campaign's devices, with what is said beside it."""

    campaign: Campaign
    total: int
    page: Page[Upgrade]


@routes.add(
    "GET",
    "/reports/{acc}/campaigns/{campaignId}/devices",
    errors=(Refusal.UUID, Refusal.UPGRADE_ID, Refusal.LAST_SEEN_DEVICE_ID),
)
async def list_campaign_devices(call: Call[None, CampaignDeviceQuery]) -> CampaignDevices:
    """List the devices of a campaign, and where each of them is."""
    account = await call.account()
    uuid = uuid_text(call.path["campaignId"])
    limit = call.settings.limits.page_size
    found = await call.db.report(
        _campaign_devices, account.id, uuid, call.query.last_seen_device_id, limit
    )
    return CampaignDevices(
        total_device=found.total,
        has_more_data=found.page.has_more,
        last_seen_device_id=last_id([upgrade.imei for upgrade in found.page.items]),
        max_page_size=limit,
        device_list=[_device(upgrade, found.campaign) for upgrade in found.page.items],
    )


def _campaign_devices(
    tx: Tx, account_id: AccountId, uuid: str, cursor: str, limit: int
) -> _CampaignDevices:
    campaign = campaign_named(tx, account_id, uuid, API_VERSION)
    after = device_cursor(tx, account_id, cursor, campaign_id=campaign.id)
    found = upgrades.page(tx, campaign.id, after, limit + 1)
    return _CampaignDevices(
        campaign=campaign,
        total=sum(tally.counts(tx, campaign.id).values()),
        page=Page.of(found, limit),
    )


def _device(upgrade: Upgrade, campaign: Campaign) -> CampaignDevice:
    status, reason = device_v2(upgrade.state, upgrade.reason, campaign.status)
    return CampaignDevice(device_id=upgrade.imei, status=status, result_reason=reason)


@routes.add(
    "GET",
    "/reports/{acc}/devices/{deviceId}",
    errors=(Refusal.DEVICE_ID, Refusal.DEVICE_NOT_FOUND),
)
async def list_device_history(call: Call[None, None]) -> list[DeviceUpgrade]:
    """List the upgrades of a device that succeeded or failed, newest first."""
    account = await call.account()
    imei = call.formats.imei(call.path["deviceId"])
    since = history_start(call.now, call.settings.history_months)
    found = await call.db.report(_history, account.id, imei, since, call.settings.limits.page_size)
    return [_past_upgrade(upgrade, imei, account.name) for upgrade in found]


def _history(
    tx: Tx, account_id: AccountId, imei: str, since: datetime, limit: int
) -> list[PastUpgrade]:
    return devices.history(tx, device_named(tx, account_id, imei), API_VERSION, since, limit)


def _past_upgrade(upgrade: PastUpgrade, imei: str, account_name: str) -> DeviceUpgrade:
    status, reason = device_v2(upgrade.state, upgrade.reason, CampaignStatus.ENDED)
    started_at = upgrade.started_at
    return DeviceUpgrade(
        device_id=imei,
        id=upgrade.campaign_uuid,
        account_name=account_name,
        software_name=upgrade.package_name,
        start_date=upgrade.start_date,
        upgrade_start_time=UNSET if started_at is None else datetime_text(started_at),
        status=status,
        reason=reason,
    )
