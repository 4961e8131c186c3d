"""What goes on an account's bill: appended, never changed."""

from dataclasses import dataclass
from datetime import datetime

from overair.core.ids import AccountId, CampaignId, DeviceId, UpgradeId
from overair.store.database import Tx, from_ms, to_ms

UPGRADE = "upgrade"
LICENSE_MONTH = "license_month"


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingEvent:
    """Something to be put on the account's bill."""

    account_id: AccountId
    device_id: DeviceId
    campaign_id: CampaignId | None
    kind: str
    at: datetime


def bill(tx: Tx, event: BillingEvent) -> None:
    """Write it down."""
    tx.execute(
        "insert into billing_event (account_id, device_id, campaign_id, kind, at)"
        " values (?, ?, ?, ?, ?)",
        (event.account_id, event.device_id, event.campaign_id, event.kind, to_ms(event.at)),
    )


def billed(tx: Tx, account_id: AccountId, after: int, limit: int) -> list[tuple[int, BillingEvent]]:
    """(id, event) of what was billed after the event ``after``, oldest first."""
    rows = tx.all(
        "select id, device_id, campaign_id, kind, at from billing_event"
        " where account_id = ? and id > ? order by id limit ?",
        (account_id, after, limit),
    )
    return [
        (
            row[0],
            BillingEvent(
                account_id=account_id,
                device_id=DeviceId(row[1]),
                campaign_id=None if row[2] is None else CampaignId(row[2]),
                kind=row[3],
                at=from_ms(row[4]),
            ),
        )
        for row in rows
    ]


def campaign_of(tx: Tx, upgrade_id: UpgradeId) -> CampaignId:
    """The campaign of a device upgrade, which must exist."""
    row = tx.one("select campaign_id from device_upgrade where id = ?", (upgrade_id,))
    assert row is not None, f"no device upgrade {upgrade_id}"
    return CampaignId(row[0])
