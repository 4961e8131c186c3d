"""What goes on an account's bill: appended, never changed."""

from dataclasses import dataclass
from datetime import datetime

from overair.core.ids import AccountId, CampaignId, DeviceId, UpgradeId
from overair.store.database import Tx, to_ms

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


def campaign_of(tx: Tx, upgrade_id: UpgradeId) -> CampaignId:
    """The campaign of a device upgrade, which must exist."""
    row = tx.one("select campaign_id from device_upgrade where id = ?", (upgrade_id,))
    assert row is not None, f"no device upgrade {upgrade_id}"
    return CampaignId(row[0])
