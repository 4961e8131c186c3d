"""Reports: upgrades by status, and the history of a device (API 4.11, 4.12).

A report shows upgrades with all their devices, so a page of it may be short of records: it ends where
its devices would be too many, but never before its first upgrade.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from overair.api.lookup import START, device_named
from overair.api.routing import Call, Routes
from overair.api.v1.shapes import (
    API_VERSION,
    PREFIX,
    DayText,
    DeviceWord,
    FirmwareUpgrade,
    Offset,
    whole_upgrades,
)
from overair.api.wire import Answer, DateTimeText, Imei, Uuid, index
from overair.config import Limits
from overair.core.campaign import CampaignStatus
from overair.core.errors import Refusal, RequestError
from overair.core.history import history_start
from overair.core.ids import AccountId
from overair.core.instants import second_text
from overair.core.words.v1 import CAMPAIGN_FILTER_V1, device_v1
from overair.engine.licenses import check_offset
from overair.store import campaigns, devices, tally
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.devices import PastUpgrade

routes = Routes(PREFIX, tag="v1 reports")


class UpgradeReport(Answer, kw_only=True):
    """A page of upgrades, oldest first; ``lastSeenUpgradeId`` is the number of the next record."""

    has_more_flag: bool
    last_seen_upgrade_id: Offset
    report_list: list[FirmwareUpgrade]


class PastFirmwareUpgrade(Answer, kw_only=True):
    """An upgrade of a device that has ended, or that is tried again."""

    device_id: Imei
    id: Uuid
    account_name: str
    firmware_from: str
    firmware_to: str
    start_date: DayText
    upgrade_start_time: (
        Annotated[DateTimeText, Meta(examples=["2018-03-05T19:07:21Z"])] | UnsetType
    ) = UNSET
    status: DeviceWord
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """Upgrades, and the number of the record after them; 0 after the last."""

    upgrades: list[FirmwareUpgrade]
    next: int


@routes.add("GET", "/reports/{acc}/status/{upgradeStatus}", documented=False)
@routes.add(
    "GET",
    "/reports/{acc}/status/{upgradeStatus}/index/{startIndex}",
    errors=(Refusal.UPGRADE_STATUS, Refusal.INDEX, Refusal.INDEX_TOO_HIGH),
)
async def list_upgrades(call: Call[None, None]) -> UpgradeReport:
    """List the upgrades that have a status; the index is the number of a record."""
    account = await call.account()
    status = CAMPAIGN_FILTER_V1.get(call.path["upgradeStatus"])
    if status is None:
        raise RequestError(Refusal.UPGRADE_STATUS)
    page = await call.db.report(
        _upgrades,
        account.id,
        status,
        history_start(call.now, call.settings.history_months),
        index(call.path.get("startIndex", START)),
        call.settings.limits,
    )
    return UpgradeReport(
        has_more_flag=page.next > 0, last_seen_upgrade_id=page.next, report_list=page.upgrades
    )


def _upgrades(
    tx: Tx,
    account_id: AccountId,
    status: CampaignStatus,
    since: datetime,
    offset: int,
    limits: Limits,
) -> _Page:
    count = campaigns.count_by_status(tx, account_id, API_VERSION, status, since)
    check_offset(offset, count)
    found = _affordable(
        tx,
        campaigns.by_status_at(
            tx, account_id, API_VERSION, status, since, offset, limits.page_size
        ),
        limits.reported_devices,
    )
    end = offset + len(found)
    return _Page(upgrades=whole_upgrades(tx, found), next=end if end < count else 0)


def _affordable(tx: Tx, found: list[Campaign], limit: int) -> list[Campaign]:
    """As many of the upgrades as have not too many devices together."""
    sizes = tally.sizes(tx, [campaign.id for campaign in found])
    total = 0
    for number, campaign in enumerate(found):
        total += sizes.get(campaign.id, 0)
        if number and total > limit:
            return found[:number]
    return found


@routes.add("GET", "/reports/{acc}/device/{deviceId}", documented=False)
@routes.add(
    "GET",
    "/reports/{acc}/devices/{deviceId}",
    errors=(Refusal.DEVICE_ID, Refusal.DEVICE_NOT_FOUND),
)
async def list_device_history(call: Call[None, None]) -> list[PastFirmwareUpgrade]:
    """List a device's upgrades of the last six months, newest first.

    Each is one entry, from its first attempt that failed, or from its end. While it is tried again,
    the entry shows the latest attempt.
    """
    account = await call.account()
    imei = call.formats.imei(call.path["deviceId"])
    since = history_start(call.now, call.settings.history_months)
    found = await call.db.report(_history, account.id, imei, since, call.settings.limits.page_size)
    return [_past_upgrade(upgrade, imei, account.name) for upgrade in found]


def _history(
    tx: Tx, account_id: AccountId, imei: str, since: datetime, limit: int
) -> list[PastUpgrade]:
    device_id = device_named(tx, account_id, imei)
    return devices.history_with_retries(tx, device_id, API_VERSION, since, limit)


def _past_upgrade(upgrade: PastUpgrade, imei: str, account_name: str) -> PastFirmwareUpgrade:
    status, reason = device_v1(upgrade.state, upgrade.reason)
    started_at = upgrade.started_at
    return PastFirmwareUpgrade(
        device_id=imei,
        id=upgrade.campaign_uuid,
        account_name=account_name,
        firmware_from=upgrade.from_version,
        firmware_to=upgrade.to_version,
        start_date=upgrade.start_date.isoformat(),
        upgrade_start_time=UNSET if started_at is None else second_text(started_at),
        status=status,
        reason=reason,
    )
