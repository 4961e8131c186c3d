"""Reports: campaigns by status, the devices of a campaign, the history of a device (API 6.14 to 6.16)."""

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
from overair.api.v3.shapes import (
    API_VERSION,
    PREFIX,
    DeviceWord,
    FirmwareCampaign,
    firmware_campaign,
    last_id,
)
from overair.api.wire import (
    Answer,
    DateTimeText,
    DeviceText,
    Imei,
    Query,
    TimeText,
    Uuid,
    uuid_text,
)
from overair.core.campaign import CampaignStatus
from overair.core.errors import Refusal, RequestError
from overair.core.history import history_start
from overair.core.ids import AccountId, UpgradeId
from overair.core.instants import datetime_text, time_text
from overair.core.upgrade import OPEN
from overair.core.words.v3 import CAMPAIGN_FILTER_V3, Standing, device_v3
from overair.store import attempts, devices, slots, tally, upgrades
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.devices import PastUpgrade
from overair.store.slots import SlotRow
from overair.store.upgrades import Upgrade

routes = Routes(PREFIX, tag="v3 reports")


class StatusQuery(Query):
    campaign_status: Annotated[str, Meta(extra_json_schema={"enum": [*CAMPAIGN_FILTER_V3]})]
    last_seen_campaign_id: str = START


class FirmwareCampaigns(Answer, kw_only=True):
    """A page of campaigns, in the order of their creation."""

    has_more_data: bool
    last_seen_campaign_id: Uuid | UnsetType = UNSET
    campaign_list: list[FirmwareCampaign]


class StandingQuery(Query):
    last_seen_device_id: str = START


class DeviceStanding(Answer, kw_only=True):
    """Where a device of a campaign is, when it was tried last, and when it will be next."""

    device_id: DeviceText
    status: DeviceWord
    result_reason: str
    updated_time: DateTimeText
    recent_attempt_time: DateTimeText | UnsetType = UNSET
    next_attempt_time: DateTimeText | UnsetType = UNSET


class DeviceStandings(Answer, kw_only=True):
    """A page of a campaign's devices, by IMEI."""

    total_device: int
    has_more_data: bool
    last_seen_device_id: DeviceText | UnsetType = UNSET
    max_page_size: int
    device_list: list[DeviceStanding]


class PastDeviceUpgrade(Answer, kw_only=True):
    """An upgrade of a device that has ended; the campaign's id has two names."""

    device_id: Imei
    campaign_id: Uuid
    id: Uuid
    account_name: str
    firmware_name: str
    firmware_from: str
    firmware_to: str
    start_date: date
    status: DeviceWord
    reason: str
    report_updated_time: TimeText


@routes.add("GET", "/reports/{acc}/campaigns", documented=False)
@routes.add(
    "GET",
    "/reports/{acc}/firmware/campaigns",
    errors=(Refusal.CAMPAIGN_STATUS, Refusal.LAST_SEEN_CAMPAIGN_ID),
)
async def list_campaigns(call: Call[None, StatusQuery]) -> FirmwareCampaigns:
    """List the campaigns that have a status."""
    account = await call.account()
    status = CAMPAIGN_FILTER_V3.get(call.query.campaign_status)
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
    return FirmwareCampaigns(
        has_more_data=page.has_more,
        last_seen_campaign_id=last_id([campaign.uuid for campaign in page.items]),
        campaign_list=[firmware_campaign(campaign) for campaign in page.items],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standings:
    """A page of a campaign's devices, with what is said beside it."""

    campaign: Campaign
    total: int
    page: Page[Upgrade]
    places: dict[UpgradeId, SlotRow]
    missed: dict[UpgradeId, int]

    def tries(self, upgrade: Upgrade) -> int:
        """How often a device was tried: that it did not turn up in its slot is no try."""
        return upgrade.attempts - self.missed.get(upgrade.id, 0)


@routes.add(
    "GET",
    "/reports/{acc}/campaigns/{campaignId}/devices",
    errors=(Refusal.UUID, Refusal.UPGRADE_ID, Refusal.LAST_SEEN_DEVICE_ID),
)
async def list_campaign_devices(call: Call[None, StandingQuery]) -> DeviceStandings:
    """List the devices of a campaign, where each of them is, and when it has its turn."""
    account = await call.account()
    uuid = uuid_text(call.path["campaignId"])
    limit = call.settings.limits.page_size
    found = await call.db.report(
        _standings, account.id, uuid, call.query.last_seen_device_id, limit
    )
    return DeviceStandings(
        total_device=found.total,
        has_more_data=found.page.has_more,
        last_seen_device_id=last_id([upgrade.imei for upgrade in found.page.items]),
        max_page_size=limit,
        device_list=[_device(upgrade, found) for upgrade in found.page.items],
    )


def _standings(tx: Tx, account_id: AccountId, uuid: str, cursor: str, limit: int) -> _Standings:
    campaign = campaign_named(tx, account_id, uuid, API_VERSION)
    after = device_cursor(tx, account_id, cursor, campaign_id=campaign.id)
    page = Page.of(upgrades.page(tx, campaign.id, after, limit + 1), limit)
    ids = [upgrade.id for upgrade in page.items]
    return _Standings(
        campaign=campaign,
        total=sum(tally.counts(tx, campaign.id).values()),
        page=page,
        places=slots.places(tx, ids),
        missed=attempts.missed(tx, ids),
    )


def _device(upgrade: Upgrade, found: _Standings) -> DeviceStanding:
    place = found.places.get(upgrade.id)
    standing = Standing(
        state=upgrade.state,
        reason=upgrade.reason,
        status=found.campaign.status,
        end_date=found.campaign.end_date,
        attempts=found.tries(upgrade),
        begins_at=None if place is None else place.starts_at,
        ends_at=None if place is None else place.ends_at,
    )
    status, reason = device_v3(standing)
    return DeviceStanding(
        device_id=upgrade.imei,
        status=status,
        result_reason=reason,
        updated_time=datetime_text(upgrade.updated_at),
        recent_attempt_time=_time(upgrade.started_at if found.tries(upgrade) else None),
        next_attempt_time=_next(upgrade, place),
    )


def _next(upgrade: Upgrade, place: SlotRow | None) -> str | UnsetType:
    """When it is tried next: in a place in which nothing was begun."""
    if place is None or place.begun or upgrade.state not in OPEN:
        return UNSET
    return datetime_text(place.starts_at)


def _time(instant: datetime | None) -> str | UnsetType:
    return UNSET if instant is None else datetime_text(instant)


@routes.add(
    "GET",
    "/reports/{acc}/devices/{deviceId}",
    errors=(Refusal.DEVICE_ID, Refusal.DEVICE_NOT_FOUND),
)
async def list_device_history(call: Call[None, None]) -> list[PastDeviceUpgrade]:
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


def _past_upgrade(upgrade: PastUpgrade, imei: str, account_name: str) -> PastDeviceUpgrade:
    standing = Standing(
        state=upgrade.state,
        reason=upgrade.reason,
        status=CampaignStatus.ENDED,
        end_date=upgrade.start_date,  # of an upgrade that has ended nothing is estimated
        attempts=upgrade.attempts,
    )
    status, reason = device_v3(standing)
    return PastDeviceUpgrade(
        device_id=imei,
        campaign_id=upgrade.campaign_uuid,
        id=upgrade.campaign_uuid,
        account_name=account_name,
        firmware_name=upgrade.package_name,
        firmware_from=upgrade.from_version,
        firmware_to=upgrade.to_version,
        start_date=upgrade.start_date,
        status=status,
        reason=reason,
        report_updated_time=time_text(upgrade.updated_at),
    )
