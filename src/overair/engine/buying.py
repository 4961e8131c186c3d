"""Changing what an account has bought, in pieces: beside a server, with room for its devices between them."""

import asyncio

from overair.clock import Clock
from overair.config import Settings
from overair.engine import licenses
from overair.engine.licenses import Purchase
from overair.store.database import Database
from overair.store.subscriptions import Subscription


async def approach(db: Database, purchase: Purchase, settings: Settings, clock: Clock) -> None:
    """Leave so much of the change that it is one short transaction.

    Raises LicenseTermsError with nothing changed; StoreError.
    """
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        now = clock.now()
        if not await db.transact(licenses.approach_subscription, purchase, settings, now):
            return
        # SQLite has one writer: whoever waits for our end needs some time to come in.
        await asyncio.sleep(loop.time() - began)


async def subscribe(
    db: Database, purchase: Purchase, settings: Settings, clock: Clock
) -> Subscription:
    """Change what the account has bought. Raises as ``approach`` does."""
    await approach(db, purchase, settings, clock)
    return await db.transact(
        licenses.set_subscription,
        purchase.account_id,
        purchase_type=purchase.purchase_type,
        license_count=purchase.license_count,
        settings=settings,
        now=clock.now(),
    )
