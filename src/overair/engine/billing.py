"""What an upgrade does to licences and bills when it ends (``lifecycle.md`` 2.5, 6).

A completed upgrade of a device with a licence makes that licence unremovable; without one, on an
account that pays by event, it goes on the bill. A licence that a shrinking subscription let go on
until the upgrade was over goes then.

Not in here: whoever hands licences out and takes them back (``engine/licenses.py``), which in turn
takes devices out of campaigns. That is why these two are apart.
"""

from datetime import datetime

from overair.core.ids import AccountId, CampaignId, DeviceId
from overair.core.licenses import bills_events
from overair.store import billing, licenses, subscriptions
from overair.store.billing import BillingEvent
from overair.store.database import Tx


def record_upgrade_license(
    tx: Tx, *, account_id: AccountId, device_id: DeviceId, campaign_id: CampaignId, now: datetime
) -> bool:
    """An upgrade completed: mark the device's licence used, or put the event on the bill.

    Whether it has one that stays: then there is nothing to release.
    """
    stays = licenses.mark_used(tx, account_id, device_id, now)
    if stays is not None:
        return stays
    subscription = subscriptions.get(tx, account_id)
    if subscription is None or not bills_events(subscription.purchase_type):
        # A device whose licence was taken while its upgrade could not be stopped any more.
        return False
    billing.bill(
        tx,
        BillingEvent(
            account_id=account_id,
            device_id=device_id,
            campaign_id=campaign_id,
            kind=billing.UPGRADE,
            at=now,
        ),
    )
    return False


def release_ending_license(tx: Tx, device_id: DeviceId, now: datetime) -> None:
    """The device's upgrade is over: its licence goes, if it only waited for that."""
    account_id = licenses.ending_account(tx, device_id)
    if account_id is None:
        return
    subscriptions.get(tx, account_id, lock=True)
    licenses.drop(tx, account_id, [device_id], now)
