"""What is on an account's bill; the server only writes it."""

from overair.core.ids import AccountId, CampaignId, DeviceId
from overair.store.billing import BillingEvent
from overair.store.database import Tx, from_ms


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
