"""Devices looked up for their requests."""

import asyncio

import pytest

from overair.core.ids import AccountId
from overair.store import Database, StoreError, Tx
from overair.store.lookup import DeviceLookup
from tests.engine.stock import add_account, add_devices, imei


async def test_each_asker_gets_its_own_device(database: Database) -> None:
    """However many ask at once, and twice for one: each gets what it asked for, or None."""

    def story(tx: Tx) -> tuple[AccountId, AccountId]:
        one, other = add_account(tx), add_account(tx, "0000123456-00002")
        add_devices(tx, one, range(1, 50))
        add_devices(tx, other, [100])
        return one, other

    one, other = await database.transact(story)
    lookup = DeviceLookup(database)
    numbers = [*range(1, 60), 7, 7, 100]
    found = await asyncio.gather(*(lookup.find(one, imei(n)) for n in numbers))
    for number, device in zip(numbers, found, strict=True):
        assert (None if device is None else device.imei) == (imei(number) if number < 50 else None)
    theirs = await lookup.find(other, imei(100))
    assert theirs is not None
    assert theirs.account_id == other
    assert await lookup.find(other, imei(1)) is None


async def test_one_that_goes_away_takes_nothing_from_the_others(database: Database) -> None:
    """A cancelled look-up leaves the same look-up of somebody else alone."""

    def story(tx: Tx) -> AccountId:
        account = add_account(tx)
        add_devices(tx, account, [1])
        return account

    account = await database.transact(story)
    lookup = DeviceLookup(database)
    first = lookup.find(account, imei(1))
    second = lookup.find(account, imei(1))
    first.cancel()
    found = await second
    assert found is not None
    assert found.imei == imei(1)


async def test_a_database_that_is_away_is_told_to_everybody(database: Database) -> None:
    """All that wait get the error, and the next look-up tries again."""
    lookup = DeviceLookup(database)
    await database.close()
    for _ in range(2):
        asked = [lookup.find(AccountId(1), imei(n)) for n in range(3)]
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(outcome, StoreError)


@pytest.mark.parametrize("count", [1, 3000])
async def test_more_than_one_statement_holds(database: Database, count: int) -> None:
    """What does not fit into one statement goes with the next."""
    lookup = DeviceLookup(database)
    found = await asyncio.gather(*(lookup.find(AccountId(1), imei(n)) for n in range(count)))
    assert found == [None] * count
