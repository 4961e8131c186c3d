"""What many functions of one transaction write together, at its end (``Tx.gather``)."""

import asyncio
from collections.abc import Mapping
from operator import add

from overair.core.ids import CampaignId
from overair.core.upgrade import UpgradeState
from overair.store import Database, Tx, tally

CAMPAIGN = CampaignId(7)
DONE = UpgradeState.PENDING, UpgradeState.SUCCEEDED
UNDONE = DONE[::-1]


async def test_a_batch_writes_what_its_functions_share_once(sqlite_database: Database) -> None:
    """What is gathered for one key by several functions of a batch is joined, and written once."""
    written: list[Mapping[str, int]] = []

    def write(tx: Tx, values: Mapping[str, int]) -> None:
        written.append(values)

    def count(tx: Tx) -> None:
        tx.gather(write, "devices", 1, add)

    await asyncio.gather(*(sqlite_database.transact_brief(count) for _ in range(5)))
    assert written == [{"devices": 5}]
    await asyncio.gather(*(sqlite_database.transact(count) for _ in range(5)))
    assert sum(values["devices"] for values in written) == 10


async def test_what_a_failure_gathered_is_not_written(database: Database) -> None:
    """A function that fails takes what it gathered with it; the others' is written."""

    def count(tx: Tx, fails: bool) -> None:
        tally.move(tx, CAMPAIGN, [(None, UpgradeState.PENDING)])
        if fails:
            raise ValueError

    asked = (database.transact_brief(count, n == 1) for n in range(4))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(ValueError) == 1
    assert await database.read(tally.counts, CAMPAIGN) == {UpgradeState.PENDING: 3}


async def test_who_reads_what_is_gathered_sees_it(database: Database) -> None:
    """Counters are right in the middle of a transaction too, and after it; zeros are not written."""

    def story(tx: Tx) -> None:
        tally.move(tx, CAMPAIGN, [(None, UpgradeState.PENDING)] * 2)
        assert tally.counts(tx, CAMPAIGN) == {UpgradeState.PENDING: 2}
        tally.move(tx, CAMPAIGN, [DONE])
        assert tally.any_in(tx, CAMPAIGN, {UpgradeState.SUCCEEDED})
        tally.move(tx, CAMPAIGN, [UNDONE])
        assert not tally.any_in(tx, CAMPAIGN, {UpgradeState.SUCCEEDED})
        assert tally.sizes(tx, [CAMPAIGN]) == {CAMPAIGN: 2}
        tally.move(tx, CAMPAIGN, [DONE])

    await database.transact(story)
    expected = {UpgradeState.PENDING: 1, UpgradeState.SUCCEEDED: 1}
    assert await database.read(tally.counts, CAMPAIGN) == expected


async def test_what_is_gathered_at_the_end_is_written_too(database: Database) -> None:
    """Whoever writes what was gathered may gather more."""
    order: list[str] = []

    def second(tx: Tx, values: Mapping[str, int]) -> None:
        order.append(f"second {values}")

    def first(tx: Tx, values: Mapping[str, int]) -> None:
        order.append("first")
        tx.gather(second, "key", 2, max)

    def story(tx: Tx) -> None:
        tx.gather(first, "key", 1, max)
        tx.gather(first, "key", 3, max)
        order.append("story")

    await database.transact(story)
    assert order == ["story", "first", "second {'key': 2}"]
