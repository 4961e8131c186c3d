"""Devices to add to a campaign or to take out of it, asked for before its start."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from overair.core.ids import CampaignId
from overair.store.database import Row, Tx, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceListChange:
    """Devices to add to a campaign, or to take out of it."""

    id: int
    type: str  # append, remove
    imeis: tuple[str, ...]


_SELECT = "select id, type, imeis from campaign_change"


def _change(row: Row) -> DeviceListChange:
    return DeviceListChange(id=row[0], type=row[1], imeis=tuple(json.loads(row[2])))


def add(
    tx: Tx, campaign_id: CampaignId, uuid: str, type_: str, imeis: Iterable[str], now: datetime
) -> None:
    """Queue a change; changes are carried out in the order in which they were asked for."""
    tx.execute(
        "insert into campaign_change (uuid, campaign_id, type, imeis, requested_at)"
        " values (?, ?, ?, ?, ?)",
        (uuid, campaign_id, type_, json.dumps(list(imeis)), to_ms(now)),
    )


def next_of(tx: Tx, campaign_id: CampaignId) -> DeviceListChange | None:
    """The oldest change that was not carried out yet."""
    row = tx.one(f"{_SELECT} where campaign_id = ? order by id limit 1", (campaign_id,))
    return None if row is None else _change(row)


def end(tx: Tx, change: DeviceListChange) -> None:
    """It was carried out."""
    tx.execute("delete from campaign_change where id = ?", (change.id,))


def drop(tx: Tx, campaign_id: CampaignId) -> None:
    """The campaign was stopped: what was asked for is void."""
    tx.execute("delete from campaign_change where campaign_id = ?", (campaign_id,))


def of_campaign(tx: Tx, campaign_id: CampaignId) -> list[DeviceListChange]:
    """All changes that were not carried out yet, oldest first."""
    rows = tx.all(f"{_SELECT} where campaign_id = ? order by id", (campaign_id,))
    return [_change(row) for row in rows]
