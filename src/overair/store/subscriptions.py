"""What accounts have bought.

The subscription's row is also what whoever adds or takes licences locks first, before devices
(``store/licenses.py``).
"""

from dataclasses import dataclass
from datetime import datetime

from overair.core.ids import AccountId
from overair.store.database import Tx, for_update, from_ms, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """What an account has bought, and how much of it is in use."""

    purchase_type: str
    license_count: int
    license_used_count: int
    updated_at: datetime


def get(tx: Tx, account_id: AccountId, *, lock: bool = False) -> Subscription | None:
    """The account's subscription, if it has one."""
    row = tx.one(
        "select purchase_type, license_count, license_used_count, updated_at from subscription"
        f" where account_id = ?{for_update(tx) if lock else ''}",
        (account_id,),
    )
    if row is None:
        return None
    return Subscription(
        purchase_type=row[0],
        license_count=row[1],
        license_used_count=row[2],
        updated_at=from_ms(row[3]),
    )


def create(
    tx: Tx, account_id: AccountId, purchase_type: str, license_count: int, now: datetime
) -> bool:
    """A first subscription; False if the account has one by now."""
    changed = tx.execute(
        "insert into subscription (account_id, purchase_type, license_count, updated_at)"
        " values (?, ?, ?, ?) on conflict (account_id) do nothing",
        (account_id, purchase_type, license_count, to_ms(now)),
    )
    return changed == 1


def change(
    tx: Tx, account_id: AccountId, purchase_type: str, license_count: int, now: datetime
) -> None:
    """Other terms for an account whose subscription is locked."""
    tx.execute(
        "update subscription set purchase_type = ?, license_count = ?, updated_at = ?"
        " where account_id = ?",
        (purchase_type, license_count, to_ms(now), account_id),
    )
