"""Last-seen times and check-in history: written in bulk, read along the chain."""

import asyncio
from datetime import timedelta

import pytest

from overair.clock import ManualClock
from overair.core.ids import DeviceId
from overair.store import Database, Tx, open_database
from overair.store.database import from_ms, to_ms
from overair.store.devicelog import check_ins
from overair.store.seen import CheckIn, flush, purge
from tests.conftest import START
from tests.store.passing import NotingTx

BASE = to_ms(START)
LONG_AGO = START - timedelta(days=30)


def poll(device: int, at_s: float, failure: str = "None") -> CheckIn:
    result = "Success" if failure == "None" else "Failure"
    return CheckIn(DeviceId(device), BASE + round(at_s * 1000), result, failure)


def seen_s(tx: Tx) -> dict[int, float | None]:
    """Last-seen times in seconds after the start; None: never."""
    rows = tx.all("select device_id, seen_at from device_seen order by device_id")
    return {row[0]: (row[1] - BASE) / 1000 if row[1] else None for row in rows}


def times(tx: Tx, device: int, limit: int = 1000) -> list[float]:
    found = check_ins(tx, DeviceId(device), LONG_AGO, limit)
    return [(entry.at - START).total_seconds() for entry in found]


async def test_check_ins_are_chained_device_by_device(database: Database) -> None:
    """Each device's history comes newest first, whatever came in between and however often."""

    def story(tx: Tx) -> None:
        flush(tx, [])
        flush(tx, [poll(3, 1), poll(1, 2), poll(2, 3)])
        flush(tx, [poll(1, 9), poll(1, 5), poll(2, 6), poll(1, 7, "Download")])
        flush(tx, [poll(1, 10)])
        assert times(tx, 1) == [10, 9, 7, 5, 2]
        assert times(tx, 2) == [6, 3]
        assert times(tx, 3) == [1]
        assert times(tx, 4) == []
        assert times(tx, 1, limit=2) == [10, 9]
        assert seen_s(tx) == {1: 10, 2: 6, 3: 1}
        failed = check_ins(tx, DeviceId(1), LONG_AGO, 3)[2]
        assert (failed.result, failed.failure_type) == ("Failure", "Download")
        recent = check_ins(tx, DeviceId(1), START + timedelta(seconds=7), 1000)
        assert len(recent) == 3

    await database.transact(story)


async def test_a_refused_check_in_has_not_seen_the_device(database: Database) -> None:
    """Wrong credentials are in the history, and do not move the last-seen time, nor back."""

    def story(tx: Tx) -> None:
        flush(tx, [poll(1, 1), poll(2, 1, "Other")])
        flush(tx, [poll(1, 5, "Other"), poll(1, 4)])
        flush(tx, [poll(1, 6, "Other")])
        assert seen_s(tx) == {1: 4, 2: None}
        assert times(tx, 1) == [6, 5, 4, 1]
        flush(tx, [poll(1, 2)])
        assert seen_s(tx)[1] == 4

    await database.transact(story)


async def test_check_ins_a_season_apart_are_written_together(database: Database) -> None:
    """However far the times of one flush lie apart, each is kept to the millisecond."""
    season = 100 * 24 * 3600

    def story(tx: Tx) -> None:
        flush(tx, [poll(3, 0), poll(1, season), poll(2, 7), poll(1, 3 * season), poll(1, 1)])
        assert times(tx, 1) == [3 * season, season, 1]
        assert times(tx, 2) == [7]
        assert seen_s(tx) == {1: 3 * season, 2: 7, 3: 0}

    await database.transact(story)


async def test_old_check_ins_are_deleted_some_at_a_time(database: Database) -> None:
    """A purge takes the oldest, in bounded steps, and leaves chains readable; the newest row stays."""

    def story(tx: Tx) -> None:
        for second in range(10):
            flush(tx, [poll(1, second), poll(2, second)])
        cut = from_ms(BASE + 6000)
        assert [purge(tx, cut, 5) for _ in range(4)] == [5, 5, 2, 0]
        assert times(tx, 1) == [9, 8, 7, 6]
        assert purge(tx, START + timedelta(days=1), 100) == 7
        assert times(tx, 2) == [9]
        assert times(tx, 1) == []
        flush(tx, [poll(1, 11), poll(2, 12)])
        assert times(tx, 1) == [11]
        assert times(tx, 2) == [12, 9]

    await database.transact(story)


async def test_a_second_of_a_large_fleet_is_one_quick_flush(database: Database) -> None:
    """Ten thousand check-ins are a handful of statements, not one each."""

    def story(tx: Tx) -> None:
        noting = NotingTx(tx)
        flush(noting, [poll(device, 1) for device in range(10_000, 0, -1)])
        noting.statements.clear()
        flush(noting, [poll(device, 2) for device in range(1, 10_001)])
        assert times(tx, 5000) == [2, 1]
        assert len(noting.statements) <= 3

    await database.transact(story)


@pytest.mark.postgres
async def test_processes_that_saw_the_same_devices_break_no_chain(
    postgres_url: str, clock: ManualClock
) -> None:
    """Flushes of several processes at once wait for one another and lose nothing."""
    processes = [open_database(postgres_url, clock) for _ in range(2)]
    for process in processes:
        await process.start()
    try:
        rounds = [
            [poll(device, number + device / 1000) for device in range(1, 201)]
            for number in range(16)
        ]
        await asyncio.gather(
            *(
                processes[n % 2].transact(flush, batch[:: n % 3 - 1 or 1])
                for n, batch in enumerate(rounds)
            )
        )
        for device in (1, 100, 200):
            found = await processes[0].read(times, device)
            assert sorted(found) == [number + device / 1000 for number in range(16)]
    finally:
        for process in processes:
            await process.close()
