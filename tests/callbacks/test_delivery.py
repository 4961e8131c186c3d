"""Messages reach their listener: in order, at least once, whatever the listener does meanwhile."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, TypeVar

import msgspec
import pytest

from overair.clock import FastClock, ManualClock
from overair.core.errors import Refusal, RequestError
from overair.engine import deliveries, listeners
from overair.engine.deliveries import FIRST, OUTDATED, Bounds
from overair.store import Database, Tx, open_database
from overair.store.callback_log import Attempt, forget
from overair.store.callbacks import add_messages
from overair.store.database import Row
from overair.store.verify import Finding, verify
from tests.callbacks.conftest import SETTINGS, Outbox, add_account
from tests.callbacks.listening import CLOSE, HANG, Listening, Received, listening
from tests.store.passing import PassingTx
from tests.waiting import until

T = TypeVar("T")

RETRIES_S = (10, 60, 300, 1800, 7200)


def numbers(count: int) -> list[str]:
    return [f"m{n}" for n in range(count)]


async def test_a_message_is_posted_as_json(outbox: Outbox) -> None:
    """A listener gets the message as a POST of JSON, with an id, at the URL as registered."""
    async with listening(path="/a%2Fb?token=%41") as listener:
        await outbox.register(listener.url)
        await outbox.queue("c1", ["hello"])
        outbox.deliver()
        await until(outbox.is_empty)
        (received,) = listener.received
        assert received.path == "/a%2Fb?token=%41"
        assert received.headers["Content-Type"] == "application/json; charset=utf-8"
        assert received.headers["User-Agent"].startswith("overair/")
        assert received.body == {
            "accountName": "0242078689-00001",
            "type": "campaignStatus",
            "campaignId": "c1",
            "campaignName": "hello",
            "status": "CampaignScheduled",
            "softwareName": "software",
            "deviceList": [],
            "softwareList": [],
        }
        (line,) = await outbox.log()
        assert (line.state, line.status, line.error, line.attempts) == ("delivered", 200, "", 1)
        assert str(line.message_id) == received.id


async def test_a_stream_is_sent_in_order_and_one_at_a_time(outbox: Outbox) -> None:
    """Messages of one campaign come in order, each after the answer to the one before."""
    async with listening() as listener:
        await outbox.register(listener.url)
        outbox.deliver()
        for start in range(0, 60, 20):
            await outbox.queue("c1", [f"m{n}" for n in range(start, start + 20)])
        await until(outbox.is_empty)
        assert listener.names() == numbers(60)
        for first, second in pairwise(listener.received):
            assert first.ended is not None
            assert first.ended < second.begun


async def test_streams_are_sent_side_by_side(outbox: Outbox) -> None:
    """A listener that is slow for one campaign gets the messages of the others."""
    async with listening() as listener:
        listener.answer = lambda r, n: HANG if r.body["campaignId"] == "c0" else 200
        await outbox.register(listener.url)
        for n in range(4):
            await outbox.queue(f"c{n}", ["a", "b"])
        outbox.deliver()

        async def others_done() -> bool:
            return await outbox.depth() == 2

        await until(others_done)
        assert [
            r.body["campaignName"] for r in listener.received if r.body["campaignId"] == "c0"
        ] == ["a"]
        listener.go.set()
        await until(outbox.is_empty)


async def test_what_fails_is_tried_six_times_and_then_dropped(outbox: Outbox) -> None:
    """Attempts follow the settings' waits; after the last the message is dropped and the next sent."""
    async with listening() as listener:
        listener.answer = lambda r, n: 500 if r.body["campaignName"] == "bad" else 200
        await outbox.register(listener.url)
        await outbox.queue("c1", ["bad", "after"])
        outbox.deliver()
        for tries, wait_s in enumerate(RETRIES_S, start=1):

            async def tried(tries: int = tries) -> bool:
                outbox.pass_time(0.5)
                return len(await outbox.log(stream="c1")) == tries

            await until(tried)
            last = (await outbox.log(stream="c1"))[-1]
            assert last.due_at is not None
            wait = last.due_at - outbox.clock.now()
            assert abs(wait.total_seconds() - wait_s) < 5
            outbox.pass_time(wait.total_seconds() - 1)
            await a_turn(outbox, listener)
            assert listener.names("/callbacks").count("bad") == tries

        async def empty() -> bool:
            outbox.pass_time(0.5)
            return await outbox.is_empty()

        await until(empty)
        sent = [r for r in listener.received if r.body["campaignId"] == "c1"]
        assert [r.body["campaignName"] for r in sent] == ["bad"] * 6 + ["after"]
        assert len({r.id for r in sent[:6]}) == 1
        log = await outbox.log(stream="c1")
        assert [(line.state, line.status) for line in log] == [("dropped", 500)] * 6 + [
            ("delivered", 200)
        ]
        assert log[0].attempts == 6


async def a_turn(outbox: Outbox, listener: Listening) -> None:
    """Have the deliverer take a turn, as a message of another stream that it sends shows."""
    before = len(listener.received)
    await outbox.queue("probe", ["probe"])
    await until(
        lambda: _true("probe" in [r.body["campaignId"] for r in listener.received[before:]])
    )


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (500, 500, ""),
        (404, 404, ""),
        (302, 302, "redirects are not followed"),
        (CLOSE, None, "the connection was closed before an answer"),
        (HANG, None, "no answer in time"),
    ],
)
async def test_any_failure_is_recorded_and_tried_again(
    sqlite_outbox: Outbox, answer: int, status: int | None, error: str
) -> None:
    """Whatever is no 2xx in time is written down, and later messages wait for the retry."""
    settings = msgspec.structs.replace(SETTINGS, callback_timeout_s=0.3)
    async with listening() as listener:
        listener.headers = {"Location": listener.url + "/elsewhere"}
        listener.answer = lambda r, n: answer if n == 1 and r.body["campaignName"] == "a" else 200
        await sqlite_outbox.register(listener.url)
        await sqlite_outbox.queue("c1", ["a", "b"])
        sqlite_outbox.deliver(settings=settings)
        (line,) = await until(sqlite_outbox.log)
        assert (line.status, line.error, line.state) == (status, error, "queued")
        assert listener.names() == ["a"]
        sqlite_outbox.pass_time(10)
        await until(sqlite_outbox.is_empty)
        assert listener.names() == ["a", "a", "b"]
        assert {r.path for r in listener.received} == {"/callbacks"}


async def test_a_failure_in_the_middle_keeps_the_order(outbox: Outbox) -> None:
    """Messages behind one that fails wait for it; none is lost, repeated or overtaken."""
    failing = {"m0": 1, "m7": 3, "m8": 1, "m19": 2}

    async with listening() as listener:
        listener.answer = lambda r, n: 503 if n <= failing.get(r.body["campaignName"], 0) else 200
        await outbox.register(listener.url)
        await outbox.queue("c1", numbers(20))
        outbox.deliver()

        async def empty() -> bool:
            outbox.pass_time(5)
            return await outbox.is_empty()

        await until(empty)
        expected = [name for name in numbers(20) for _ in range(1 + failing.get(name, 0))]
        assert listener.names() == expected


async def test_a_listener_that_talks_forever_is_cut_off(sqlite_outbox: Outbox) -> None:
    """An answer's head acknowledges; of a large body only the beginning is read."""
    async with listening() as listener:
        listener.body = b"x" * (64 * 1024 * 1024)
        await sqlite_outbox.register(listener.url)
        await sqlite_outbox.queue("c1", ["a", "b"])
        sqlite_outbox.deliver()
        await until(sqlite_outbox.is_empty)
        assert listener.names() == ["a", "b"]


async def test_a_replaced_listener_gets_nothing_more(outbox: Outbox) -> None:
    """What is queued for the earlier listener is dropped and recorded, also behind one in flight."""
    async with listening() as old, listening() as new:
        old.answer = lambda r, n: HANG
        await outbox.register(old.url)
        await outbox.queue("c1", numbers(5))
        await outbox.queue("c2", ["other"])
        outbox.deliver(bounds=Bounds(streams=1))
        await until(lambda: _true(len(old.received) == 1))
        await outbox.register(new.url)
        await outbox.queue("c1", ["new"])
        old.go.set()
        await until(outbox.is_empty)
        assert old.names() == ["m0"]
        assert new.names() == ["new"]
        log = await outbox.log()
        assert [line.state for line in log].count("dropped") == 5
        assert {line.error for line in log if line.state == "dropped"} == {OUTDATED}


async def _true(value: bool) -> bool:
    return value


async def test_a_deleted_listener_gets_nothing_and_nothing_is_queued(outbox: Outbox) -> None:
    """After deletion the queue is dropped, no message is written, and a new listener starts afresh."""
    async with listening() as listener:
        await outbox.register(listener.url)
        await outbox.queue("c1", numbers(3))
        await outbox.db.transact(listeners.delete, outbox.account_id, 2, outbox.clock.now())
        outbox.deliver()
        await until(outbox.is_empty)
        assert [line.error for line in await outbox.log()] == [OUTDATED] * 3
        await outbox.queue("c1", ["nobody listens"])
        assert await outbox.is_empty()
        await outbox.register(listener.url)
        await outbox.queue("c1", ["again"])
        await until(outbox.is_empty)
        assert listener.names() == ["again"]


async def test_the_queue_survives_a_restart(database_url: str, clock: ManualClock) -> None:
    """A process that stops in the middle leaves the rest to the next, in order."""
    db = open_database(database_url, clock)
    await db.start()
    box = Outbox(db=db, clock=clock, account_id=await add_account(db))
    async with listening() as listener:
        listener.answer = lambda r, n: HANG if r.body["campaignName"] == "m3" and n == 1 else 200
        await box.register(listener.url)
        await box.queue("c1", numbers(10))
        box.deliver()
        await until(lambda: _true(listener.names()[-1:] == ["m3"]))
        await box.stop()
        await db.close()
        db = open_database(database_url, clock)
        await db.start()
        again = Outbox(db=db, clock=clock, account_id=box.account_id)
        again.deliver("two")
        await until(again.is_empty)
        assert listener.names() == [*numbers(4), *numbers(10)[3:]]
        await again.stop_all()
    await db.close()


async def test_what_a_dead_process_held_is_sent_after_its_lease(outbox: Outbox) -> None:
    """A claim that nobody settles is taken over once its lease has ended, and not before."""
    async with listening() as listener:
        await outbox.register(listener.url)
        await outbox.queue("c1", ["a", "b"])
        dead = await claim(outbox, "dead")
        assert [m for run in dead.runs for m in run.messages]
        outbox.deliver("alive")
        outbox.pass_time(59)
        await a_turn(outbox, listener)
        assert listener.names() == ["probe"]
        outbox.pass_time(2)
        await until(outbox.is_empty)
        assert listener.names() == ["probe", "a", "b"]


async def claim(outbox: Outbox, owner: str, bounds: Bounds | None = None) -> deliveries.Turn:
    return await outbox.db.transact(
        deliveries.turn,
        owner,
        (),
        {},
        bounds or Bounds(),
        RETRIES_S,
        timedelta(seconds=60),
        FIRST,
        outbox.clock.now(),
    )


async def test_a_stream_is_claimed_by_one(outbox: Outbox) -> None:
    """What one deliverer has claimed, and what follows in the stream, another does not get."""
    async with listening() as listener:
        await outbox.register(listener.url)
        await outbox.queue("c1", numbers(3))
        first = await claim(outbox, "one", Bounds(run=1))
        await outbox.queue("c1", ["later"])
        second = await claim(outbox, "two", Bounds(run=1))
        assert [len(run.messages) for run in first.runs] == [1]
        assert second.runs == ()


async def test_a_late_deliverer_changes_nothing(outbox: Outbox) -> None:
    """An answer that is settled after the lease went to another is written down, and no more."""
    async with listening() as listener:
        await outbox.register(listener.url)
        await outbox.queue("c1", ["a"])
        (late,) = (await claim(outbox, "late")).runs
        outbox.pass_time(61)
        (run,) = (await claim(outbox, "next")).runs
        assert run.messages == late.messages
        attempt = Attempt(
            message_id=late.messages[0].id,
            at=outbox.clock.now(),
            status=200,
            error="",
            duration_ms=1,
        )
        done = deliveries.Finished(run=late, attempts=(attempt,))
        await outbox.db.transact(deliveries.release, "late", [done], RETRIES_S, outbox.clock.now())
        assert [(line.state, line.status) for line in await outbox.log()] == [("queued", 200)]
        done = deliveries.Finished(run=run, attempts=(attempt,))
        await outbox.db.transact(deliveries.release, "next", [done], RETRIES_S, outbox.clock.now())
        assert await outbox.is_empty()


async def test_a_listener_that_hangs_starves_nobody(sqlite_outbox: Outbox) -> None:
    """However many campaigns wait for a listener that hangs, others get their messages."""
    box = sqlite_outbox
    async with listening() as hanging, listening() as fine:
        hanging.answer = lambda r, n: HANG
        other = await add_account(box.db, "0242078689-00002")
        await box.register(hanging.url)
        await box.register(fine.url, account_id=other)
        for n in range(40):
            await box.queue(f"h{n}", ["a", "b"])
        await box.queue("c1", numbers(30), account_id=other)
        box.deliver(bounds=Bounds(streams=6, streams_of_one=2))
        await until(lambda: _true(fine.names() == numbers(30)))
        assert len(hanging.received) == 2
        hanging.go.set()
        await until(box.is_empty)
        assert len(hanging.received) == 80


async def test_two_processes_share_one_database(
    database: Database, database_url: str, clock: ManualClock
) -> None:
    """Two deliverers on one database send each message once, in order, never two of a stream."""
    box = Outbox(db=database, clock=clock, account_id=await add_account(database))
    second = open_database(database_url, clock)
    await second.start()
    async with listening() as listener:
        listener.answer = lambda r, n: 503 if n == 1 and r.body["campaignName"] == "m5" else 200
        await box.register(listener.url)
        bounds = Bounds(streams=4, streams_of_one=4, run=3)
        box.deliver("one", bounds=bounds)
        box.deliver("two", bounds=bounds, db=second)
        for name in numbers(12):
            for n in range(6):
                await box.queue(f"c{n}", [name])

        async def empty() -> bool:
            box.pass_time(1)
            return await box.is_empty()

        await until(empty)
        for n in range(6):
            mine = [r for r in listener.received if r.body["campaignId"] == f"c{n}"]
            expected = [*numbers(6), *numbers(12)[5:]]
            assert [r.body["campaignName"] for r in mine] == expected
            _assert_one_at_a_time(mine)
    await box.stop_all()
    await second.close()


def _assert_one_at_a_time(received: list[Received]) -> None:
    for first, second in pairwise(received):
        assert first.ended is not None
        assert first.ended < second.begun


async def test_messages_that_commit_late_do_not_break_a_stream(
    database: Database, clock: ManualClock
) -> None:
    """Whoever writes while others send: each message arrives, and never two of a stream at once."""
    box = Outbox(db=database, clock=clock, account_id=await add_account(database))
    async with listening() as listener:
        await box.register(listener.url)
        box.deliver("one", bounds=Bounds(run=2))
        await asyncio.gather(
            *(box.queue("c1", [f"{writer}.{n}"]) for n in range(10) for writer in range(10))
        )

        async def empty() -> bool:
            box.pass_time(1)
            return await box.is_empty()

        await until(empty)
        assert sorted(listener.names()) == sorted(f"{w}.{n}" for n in range(10) for w in range(10))
        _assert_one_at_a_time(listener.received)
    await box.stop_all()


async def test_retries_run_with_a_fast_clock(sqlite_database: Database) -> None:
    """Where the clock runs faster, a retry of hours is a matter of moments."""
    clock = FastClock(rate=20_000)
    box = Outbox(db=sqlite_database, clock=clock, account_id=await add_account(sqlite_database))
    async with listening() as listener:
        listener.answer = lambda r, n: 500 if n < 6 else 200
        await box.register(listener.url)
        await box.queue("c1", ["a", "b"])
        box.deliver()
        await until(box.is_empty)
        assert listener.names() == ["a"] * 6 + ["b"] * 6
    await box.stop_all()


async def test_each_waiting_stream_has_one_message_that_is_due(outbox: Outbox) -> None:
    """While streams wait, fail and are claimed, the live check of the queue finds nothing."""
    async with listening() as listener:
        listener.answer = lambda r, n: 500 if r.body["campaignId"] == "c1" else 200
        await outbox.register(listener.url)
        for n in range(4):
            await outbox.queue(f"c{n}", numbers(5))
        outbox.deliver(bounds=Bounds(run=2))

        async def only_failing() -> bool:
            assert (await outbox.db.report(broken_streams)) == []
            return await outbox.depth() == 5

        await until(only_failing)
        await outbox.register(listener.url + "/new")
        await outbox.queue("c1", ["new"])

        async def dropped() -> bool:
            assert (await outbox.db.report(broken_streams)) == []
            outbox.pass_time(1)
            return await outbox.depth() == 1

        await until(dropped)


def broken_streams(tx: Tx) -> list[Finding]:
    return [found for check, found in verify(tx) if found and check.name == "callback streams"]


async def test_old_messages_are_forgotten(outbox: Outbox) -> None:
    """What was over longer ago than the log is kept goes, with its attempts; what waits stays."""
    async with listening() as listener:
        listener.answer = lambda r, n: 500 if r.body["campaignName"] == "waits" else 200
        await outbox.register(listener.url)
        await outbox.queue("c1", numbers(3))
        await outbox.queue("c2", ["waits"])
        outbox.deliver()

        async def sent() -> bool:
            return len(await outbox.log()) == 4

        await until(sent)
        await outbox.stop()
        outbox.pass_time(40 * 86_400)
        outbox.deliver("later")

        async def forgotten() -> bool:
            return not await outbox.log(stream="c1")

        await until(forgotten)
        assert {line.stream for line in await outbox.log()} == {"c2"}


async def test_forgetting_goes_on_where_it_was(outbox: Outbox) -> None:
    """Old messages are looked at a few at a time, and young ones end the search."""
    async with listening() as listener:
        await outbox.register(listener.url)
        await outbox.queue("c1", numbers(5))
        outbox.deliver()
        await until(outbox.is_empty)
        await outbox.stop()
        outbox.pass_time(1)
        after: int | None = 0
        rounds = 0
        while after is not None:
            after = await outbox.db.transact(forget, outbox.clock.now(), after, 2)
            rounds += 1
        assert rounds == 3
        assert await outbox.log() == []


async def test_a_long_queue_is_not_read_to_find_work(sqlite_outbox: Outbox) -> None:
    """Behind a head that waits, a hundred thousand messages cost a turn nothing."""
    box = sqlite_outbox
    to = await box.register("http://127.0.0.1:9/")

    def fill(tx: Tx) -> None:
        add_messages(tx, to, "c1", ["{}"] * 100_000, box.clock.now())

    await box.db.transact(fill)
    turn = await claim(box, "one")
    while turn.more:
        turn = await claim(box, "one")

    def plan(tx: Tx) -> list[str]:
        watched = Watching(tx)
        deliveries.turn(
            watched,
            "one",
            (),
            {},
            Bounds(),
            RETRIES_S,
            timedelta(seconds=60),
            FIRST,
            box.clock.now() + timedelta(seconds=61),
        )
        return watched.steps

    steps = await box.db.transact(plan)
    assert any("callback_message_due" in step for step in steps)
    assert not [s for s in steps if s.startswith("SCAN callback_message") and "INDEX" not in s]
    assert not [s for s in steps if "TEMP B-TREE" in s]


class Watching(PassingTx):
    """A transaction that takes down how SQLite means to run each query."""

    def __init__(self, tx: Tx) -> None:
        super().__init__(tx)
        self.steps: list[str] = []

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        rows = self.all(sql, params)
        return rows[0] if rows else None

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        self.steps += [str(row[-1]) for row in super().all(f"explain query plan {sql}", params)]
        return super().all(sql, params)


async def test_cancelling_a_deliverer_gives_its_claims_back(sqlite_outbox: Outbox) -> None:
    """A deliverer that is stopped leaves nothing leased: the next sends at once."""
    box = sqlite_outbox
    async with listening() as listener:
        listener.answer = lambda r, n: HANG if n == 1 else 200
        await box.register(listener.url)
        for n in range(5):
            await box.queue(f"c{n}", ["a"])
        box.deliver("one")
        await until(lambda: _true(len(listener.received) == 5))
        await box.stop("one")
        box.deliver("two")
        await until(box.is_empty)
        assert len(listener.received) == 10


async def test_deleting_what_is_not_registered_is_refused(outbox: Outbox) -> None:
    """DELETE without a listener has its own error."""
    with pytest.raises(RequestError) as refused:
        await outbox.db.transact(listeners.delete, outbox.account_id, 2, outbox.clock.now())
    assert refused.value.refusal is Refusal.CALLBACK_NOT_REGISTERED


async def test_registering_the_same_again_drops_nothing(outbox: Outbox) -> None:
    """A client that registers at each start keeps its queue; another URL makes a new generation."""
    first = await outbox.register("https://listener.example/a")
    await outbox.queue("c1", numbers(2))
    assert await outbox.register("https://listener.example/a") == first
    other = await outbox.register("https://listener.example/b")
    assert other.generation > first.generation
    with contextlib.suppress(RequestError):
        await outbox.db.transact(listeners.delete, outbox.account_id, 2, outbox.clock.now())
    again = await outbox.register("https://listener.example/a")
    assert again.generation > other.generation
    assert (await outbox.db.read(listeners.get, outbox.account_id, 3)) is None
