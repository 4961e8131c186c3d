"""A gateway speaks for a device that nobody has registered (``http-ddi.md`` 3)."""

from datetime import datetime

from overair.core.ids import AccountId
from overair.store import inventory, polls
from overair.store.database import Tx
from overair.store.polls import Device


def register_device(
    tx: Tx, account_id: AccountId, controller_id: str, now: datetime
) -> Device | None:
    """Make an unlicensed HTTP device of that name; None if another account has it.

    A controller id that is no IMEI stands in its place, and campaigns will say so of the device.
    """
    inventory.insert_unknown(tx, account_id, controller_id, now)
    return polls.find_device(tx, account_id, controller_id)
