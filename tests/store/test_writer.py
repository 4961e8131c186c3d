"""The one writer of an SQLite file: short changes in the event loop, commits in a thread."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from overair.clock import ManualClock
from overair.store import Database, StoreError, Tx, open_database
from overair.store.connection import SqliteTx, connect
from overair.store.database import Row, StoreFullError, StoreUnavailableError
from tests.conftest import START

LOOP = threading.get_ident


def _add(tx: Tx, name: str) -> int:
    tx.execute("insert into account (name, created_at) values (?, 0)", (name,))
    return LOOP()


def _names(tx: Tx) -> list[str]:
    return [row[0] for row in tx.all("select name from account order by id")]


@pytest.fixture
def other(sqlite_database: Database, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of somebody else, who does not wait."""
    with closing(connect(str(tmp_path / "overair.db"), timeout_s=0.0)) as connection:
        yield connection


async def test_brief_changes_run_in_the_loop_and_long_ones_beside_it(
    sqlite_database: Database,
) -> None:
    """Which of the two a change is decides who runs it, and nothing else."""
    assert await sqlite_database.transact_brief(_add, "brief") == LOOP()
    assert await sqlite_database.transact(_add, "long") != LOOP()
    assert await sqlite_database.read(_names) == ["brief", "long"]


async def test_nobody_sees_a_change_before_it_is_committed(
    sqlite_database: Database, other: sqlite3.Connection
) -> None:
    """What has run but is not committed is neither read here nor elsewhere; its caller waits."""
    seen: list[list[str]] = []

    def add_and_look(tx: Tx) -> None:
        _add(tx, "one")
        seen.append(_names(SqliteTx(other)))

    await sqlite_database.transact_brief(add_and_look)
    assert seen == [[]]
    assert _names(SqliteTx(other)) == ["one"]
    assert await sqlite_database.read(_names) == ["one"]


async def test_a_caller_is_answered_after_the_commit(
    sqlite_database: Database, other: sqlite3.Connection
) -> None:
    """At the moment of the answer the change is there for everybody, sixty-four at a time."""
    found: list[bool] = []

    async def add(name: str) -> None:
        await sqlite_database.transact_brief(_add, name)
        found.append(name in _names(SqliteTx(other)))

    await asyncio.gather(*(add(f"a{n}") for n in range(64)))
    assert found == [True] * 64


async def test_the_loop_goes_on_while_another_process_writes(
    sqlite_database: Database, other: sqlite3.Connection
) -> None:
    """Somebody else's lock holds up changes, and neither reads nor the loop."""
    other.execute("begin immediate")
    _add(SqliteTx(other), "theirs")
    ours = asyncio.ensure_future(sqlite_database.transact_brief(_add, "ours"))
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(1000):
        assert await sqlite_database.read(_names) == []
        await asyncio.sleep(0)
    # Far less than the lock is waited for; a loop that waits would not have come here at all.
    assert loop.time() - began < 10
    assert not ours.done()
    other.execute("commit")
    await ours
    assert await sqlite_database.read(_names) == ["theirs", "ours"]


async def test_brief_changes_are_not_held_up_for_ever(sqlite_database: Database) -> None:
    """Brief and long changes take turns, in their own order."""
    order: list[str] = []

    def note(tx: Tx, name: str) -> None:
        order.append(name)

    def first(tx: Tx) -> None:
        # While this runs, the others gather.
        assert gathered.wait(10)

    gathered = threading.Event()
    waiting = [asyncio.ensure_future(sqlite_database.transact(first))]
    await asyncio.sleep(0)
    for n in range(3):
        waiting.append(asyncio.ensure_future(sqlite_database.transact(note, f"long {n}")))
        waiting.append(asyncio.ensure_future(sqlite_database.transact_brief(note, f"brief {n}")))
    await asyncio.sleep(0)
    gathered.set()
    await asyncio.gather(*waiting)
    brief = [f"brief {n}" for n in range(3)]
    assert order == [*brief, *(f"long {n}" for n in range(3))]


async def test_one_failure_among_brief_changes_undoes_one(sqlite_database: Database) -> None:
    """The others of its batch are committed, also those that ran before it."""
    outcomes = await asyncio.gather(
        *(sqlite_database.transact_brief(_add, f"a{n % 10}") for n in range(12)),
        return_exceptions=True,
    )
    assert [isinstance(outcome, StoreError) for outcome in outcomes] == [False] * 10 + [True] * 2
    assert await sqlite_database.read(_names) == [f"a{n}" for n in range(10)]


async def test_a_caller_that_goes_away_stops_nothing(sqlite_database: Database) -> None:
    """Its change is carried out, and the others of the batch with it."""
    gone = asyncio.ensure_future(sqlite_database.transact_brief(_add, "gone"))
    stays = asyncio.ensure_future(sqlite_database.transact_brief(_add, "stays"))
    await asyncio.sleep(0)
    gone.cancel()
    await stays
    assert await sqlite_database.read(_names) == ["gone", "stays"]


async def test_closing_finishes_what_was_asked(tmp_path: Path) -> None:
    """An orderly end commits what waits, and takes nothing more."""
    database = open_database(f"sqlite:///{tmp_path / 'closing.db'}", ManualClock(START))
    await database.start()
    asked = [asyncio.ensure_future(database.transact_brief(_add, f"b{n}")) for n in range(5)]
    asked += [asyncio.ensure_future(database.transact(_add, f"l{n}")) for n in range(5)]
    await asyncio.sleep(0)
    await database.close()
    assert all(one.done() and one.exception() is None for one in asked)
    with pytest.raises(StoreUnavailableError):
        await database.transact_brief(_add, "late")
    with closing(connect(str(tmp_path / "closing.db"))) as connection:
        assert len(_names(SqliteTx(connection))) == 10


async def test_a_full_disk_is_told_and_passes(sqlite_database: Database) -> None:
    """A change that finds no room is undone with a clear error; the next one may find some."""

    def shrink(tx: Tx, pages: int) -> None:
        row = tx.one("pragma page_count")
        assert row is not None
        tx.one(f"pragma max_page_count = {row[0] + pages}")

    def fill(tx: Tx) -> None:
        tx.many(
            "insert into account (name, created_at) values (?, 0)",
            [("x" * 4000 + str(n),) for n in range(50)],
        )

    await sqlite_database.transact(shrink, 2)
    with pytest.raises(StoreFullError):
        await sqlite_database.transact_brief(fill)
    assert await sqlite_database.read(_names) == []
    await sqlite_database.transact(shrink, 1000)
    await sqlite_database.transact_brief(_add, "room")
    assert await sqlite_database.read(_names) == ["room"]


CRASH = """
import asyncio, os, signal, sys
from overair.clock import SystemClock
from overair.store import open_database

def add(tx, name, die):
    tx.execute("insert into account (name, created_at) values (?, 0)", (name,))
    if die:
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    database = open_database(sys.argv[1], SystemClock())
    await database.start()
    await database.transact_brief(add, "kept", False)
    await asyncio.gather(*(database.transact_brief(add, f"lost{n}", n == 3) for n in range(4)))

asyncio.run(main())
"""


async def test_a_crash_before_the_commit_leaves_nothing_of_it(tmp_path: Path) -> None:
    """What ran in a batch that was never committed is gone; what was answered before is there."""
    file = tmp_path / "crash.db"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", CRASH, f"sqlite:///{file}"],
        env=dict(os.environ),
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    with closing(connect(str(file))) as connection:
        assert _names(SqliteTx(connection)) == ["kept"]


# What is kept for a batch ------------------------------------------------------------------------


def _count(tx: Tx) -> int:
    row = tx.one("select count(*) from account")
    assert row is not None
    return int(row[0])


async def test_what_is_kept_is_forgotten_when_it_is_written(database: Database) -> None:
    """Within one transaction a kept answer is never older than the last write of its table."""

    def story(tx: Tx) -> list[int]:
        counts = [tx.kept(_count), tx.kept(_count)]
        _add(tx, "one")
        counts.append(tx.kept(_count))
        tx.all("insert into account (name, created_at) values ('two', 0) returning id")
        counts.append(tx.kept(_count))
        tx.many("update account set name = ? where name = ?", [("2", "two")])
        tx.execute("delete from account where name = ?", ("2",))
        counts.append(tx.kept(_count))
        return counts

    assert await database.transact_brief(story) == [0, 0, 1, 2, 1]


async def test_what_is_kept_is_never_what_was_undone(database: Database) -> None:
    """After a write, and in a batch that is run again, it is read anew."""

    def count(tx: Tx) -> int:
        return tx.kept(_count)

    def add_and_fail(tx: Tx) -> None:
        _add(tx, "undone")
        assert tx.kept(_count) >= 1
        raise LookupError

    assert await database.transact_brief(count) == 0
    await database.transact(_add, "one")
    assert await database.transact_brief(count) == 1
    outcomes = await asyncio.gather(
        database.transact_brief(count),
        database.transact_brief(add_and_fail),
        database.transact_brief(count),
        return_exceptions=True,
    )
    assert outcomes[0] == outcomes[2] == 1
    assert isinstance(outcomes[1], LookupError)
    assert await database.transact(count) == 1


async def test_what_is_kept_is_known_until_anybody_writes_it(
    sqlite_database: Database, other: sqlite3.Connection
) -> None:
    """Batches of either kind read it once for all, until it is written here or by another process."""
    reads: list[int] = []

    def read(tx: Tx) -> int:
        reads.append(_count(tx))
        return reads[-1]

    def count(tx: Tx) -> int:
        return tx.kept(read)

    for change in (sqlite_database.transact_brief, sqlite_database.transact):
        assert await change(count) == 0
    assert reads == [0]
    await sqlite_database.transact(_add, "here")
    for _ in range(3):
        assert await sqlite_database.transact_brief(count) == 1
    assert reads == [0, 1]
    _add(SqliteTx(other), "elsewhere")
    for change in (sqlite_database.transact, sqlite_database.transact_brief):
        assert await change(count) == 2
    assert reads == [0, 1, 2]


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows are asked for, the memory of them is not."""
    monkeypatch.setattr("overair.store.connection._MOST_KEPT", 4)
    kept: dict[Any, Any] = {}

    def same(tx: Tx, number: int) -> int:
        return number

    with closing(connect(":memory:")) as memory:
        tx = SqliteTx(memory, kept=kept)
        assert [tx.kept(same, n) for n in range(100)] == list(range(100))
    assert len(kept) <= 4


async def test_a_row_of_many_columns_is_the_same_in_one(database: Database) -> None:
    """``row`` answers what ``one`` does and ``rows`` what ``all`` does, with texts of any kind and nulls."""
    name = 'a "quoted" \\ line\nand ünïcode \U0001f4e1'

    def story(tx: Tx) -> None:
        tx.execute("insert into account (name, created_at) values (?, ?)", (name, 2**53 + 1))
        columns, rest = "id, name, alias, created_at", "from account where name = ?"
        row = tx.row(Row, columns, rest, (name,))
        assert row == tx.one(f"select {columns} {rest}", (name,))
        assert row is not None
        assert row[1:] == (name, None, 2**53 + 1)
        assert tx.row(Row, columns, rest, ("nobody",)) is None
        tx.execute("insert into account (name, created_at) values (?, ?)", ("another", 1))
        rest = "from account where name in (?, ?)"
        rows = tx.rows(Row, columns, rest, (name, "another"))
        assert sorted(rows) == sorted(tx.all(f"select {columns} {rest}", (name, "another")))
        assert len(rows) == 2
        assert tx.rows(Row, columns, rest, ("nobody", "nobody else")) == []

    await database.transact_brief(story)
