"""A subscription that changes in pieces: each leaves what is true, and all of them come to what one would."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from overair.clock import ManualClock
from overair.core.ids import AccountId, CampaignId
from overair.core.licenses import EVENT, MONTHLY, LicenseTermsError
from overair.core.upgrade import UpgradeState
from overair.engine import licenses
from overair.engine.buying import approach, subscribe
from overair.engine.licenses import Purchase, get_subscription
from overair.store import Database, Tx, upgrades
from overair.store import licenses as store
from overair.store.verify import verify
from tests.engine.stock import NOW, SETTINGS, add_account, add_devices, imei, schedule

PIECES = replace(SETTINGS, limits=replace(SETTINGS.limits, sweep_devices=2))
DEVICES = range(1, 8)
BOTH = f"{EVENT},{MONTHLY}"


def furnish(tx: Tx, terms: str, licensed: int) -> tuple[AccountId, CampaignId]:
    """Seven devices of one campaign that starts later; so many of them have licences."""
    account = add_account(tx)
    add_devices(tx, account, list(DEVICES))
    licenses.set_subscription(
        tx, account, purchase_type=terms, license_count=licensed, settings=SETTINGS, now=NOW
    )
    for number in DEVICES[:licensed]:
        at = NOW + timedelta(minutes=number)
        licenses.assign_licenses(tx, account, [imei(number)], SETTINGS.limits, at)
    return account, schedule(tx, account, list(DEVICES), start=NOW + timedelta(days=2))


def licensed(tx: Tx, account: AccountId) -> list[str]:
    return [entry.imei for entry in store.page(tx, account, "0", 1000)]


def standing(tx: Tx, campaign: CampaignId) -> list[UpgradeState]:
    return [upgrade.state for upgrade in upgrades.page(tx, campaign, "0", 10)]


def assert_true(tx: Tx) -> None:
    assert not [finding for _, finding in verify(tx) if finding is not None]


async def test_a_pool_shrinks_in_pieces(database: Database) -> None:
    """The list first, then the oldest; the pool is as large as what is left, and none of it is untrue."""
    account, campaign = await database.transact(furnish, MONTHLY, 7)
    order = [imei(n) for n in (6, 3, 1, 2, 4, 5, 7)]
    await database.transact(
        lambda tx: licenses.put_candidates(
            tx, account, order[:2], SETTINGS.limits, NOW, append=False
        )
    )
    purchase = Purchase(account_id=account, purchase_type=MONTHLY, license_count=1)
    for lost in (2, 4):
        assert await database.transact(licenses.approach_subscription, purchase, PIECES, NOW)
        assert await database.report(licensed, account) == sorted(order[lost:])
        assert (await database.report(get_subscription, account)).license_count == 7 - lost
        await database.report(assert_true)
    assert not await database.transact(licenses.approach_subscription, purchase, PIECES, NOW)
    bought = await subscribe(database, purchase, PIECES, ManualClock(NOW))
    assert (bought.license_count, bought.license_used_count) == (1, 1)
    assert await database.report(licensed, account) == [imei(7)]
    await database.report(assert_true)
    states = await database.report(standing, campaign)
    assert states == [UpgradeState.CANCELLED] * 6 + [UpgradeState.ACCEPTED]


async def test_what_events_paid_for_is_cancelled_in_pieces(database: Database) -> None:
    """The terms change last: until then nothing is scheduled that they would not allow."""
    account, campaign = await database.transact(furnish, BOTH, 1)
    purchase = Purchase(account_id=account, purchase_type=MONTHLY, license_count=1)
    for lost in (2, 4):
        assert await database.transact(licenses.approach_subscription, purchase, PIECES, NOW)
        states = await database.report(standing, campaign)
        assert states.count(UpgradeState.CANCELLED) == lost
        assert (await database.report(get_subscription, account)).purchase_type == BOTH
        await database.report(assert_true)
    assert not await database.transact(licenses.approach_subscription, purchase, PIECES, NOW)
    bought = await subscribe(database, purchase, PIECES, ManualClock(NOW))
    assert bought.purchase_type == MONTHLY
    states = await database.report(standing, campaign)
    assert states == [UpgradeState.ACCEPTED] + [UpgradeState.CANCELLED] * 6
    await database.report(assert_true)


@pytest.mark.parametrize(("terms", "count"), [(EVENT, 1), (MONTHLY, -1), ("TS-NOTHING", 0)])
async def test_terms_that_are_not_for_sale_take_nothing(
    database: Database, terms: str, count: int
) -> None:
    """They are refused before the first piece."""
    account, _ = await database.transact(furnish, MONTHLY, 7)
    purchase = Purchase(account_id=account, purchase_type=terms, license_count=count)
    with pytest.raises(LicenseTermsError):
        await approach(database, purchase, PIECES, ManualClock(NOW))
    assert len(await database.report(licensed, account)) == 7


async def test_from_a_pool_to_events(database: Database) -> None:
    """Every licence goes, and with it what was scheduled, as in one piece."""
    account, campaign = await database.transact(furnish, MONTHLY, 7)
    purchase = Purchase(account_id=account, purchase_type=EVENT, license_count=0)
    bought = await subscribe(database, purchase, PIECES, ManualClock(NOW))
    assert (bought.purchase_type, bought.license_used_count) == (EVENT, 0)
    assert set(await database.report(standing, campaign)) == {UpgradeState.CANCELLED}
    await database.report(assert_true)
