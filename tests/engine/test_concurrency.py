"""Many at once: real transactions from many tasks, and several processes on one PostgreSQL."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from overair.clock import ManualClock
from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.ids import AttemptId, CampaignId, DeviceId
from overair.core.upgrade import UpgradeState
from overair.engine import assign
from overair.engine.advance import Advance, expire, step
from overair.engine.outcome import DeviceEvent, Taken, record
from overair.engine.schedule import stop_campaign
from overair.store import Database, Tx, campaigns, figures, open_database, tally, upgrades
from overair.store.database import Row
from tests.engine.bills import billed
from tests.engine.world import MONDAY, SETTINGS, World, assert_verified, settings
from tests.store.passing import PassingTx
from tests.waiting import until

S = CampaignStatus
U = UpgradeState
A = AttemptState
E = AttemptEvent


def success(device: DeviceId, attempt: AttemptId) -> DeviceEvent:
    return DeviceEvent(device_id=device, attempt_id=attempt, event=E.SUCCEED)


# Devices at once ---------------------------------------------------------------------------------


async def test_the_same_ending_many_times_at_once_counts_once(verified: Database) -> None:
    """Of 64 identical closing reports one is taken; the counters move once, one bill is written."""

    def prepare(tx: Tx) -> tuple[World, CampaignId, DeviceEvent]:
        w = World(tx)
        w.add_devices(1, 2)
        campaign = w.campaign([1, 2])
        attempt = w.begin(1)
        return w, campaign, success(w.device(1).id, attempt)

    w, campaign, event = await verified.transact(prepare)
    answers = await asyncio.gather(
        *(verified.transact(record, event, SETTINGS, MONDAY) for _ in range(64))
    )
    assert Counter(answers) == {Taken.TAKEN: 1, Taken.GONE: 63}
    assert await verified.read(tally.counts, campaign) == {U.SUCCEEDED: 1, U.ACCEPTED: 1}
    assert len(await verified.read(billed, w.account, 0, 100)) == 1


async def test_many_devices_at_once_are_counted_exactly(verified: Database) -> None:
    """64 devices that poll and succeed at the same time leave a campaign of 64 successes, ended."""
    numbers = range(64)
    with_room = settings(pilot_devices=64)

    def prepare(tx: Tx) -> tuple[CampaignId, list[DeviceId]]:
        w = World(tx, settings=with_room)
        w.add_devices(*numbers)
        return w.campaign(numbers), [w.device(number).id for number in numbers]

    campaign, devices = await verified.transact(prepare)

    async def update(device: DeviceId) -> None:
        look = await verified.transact(assign.offer, device, with_room, MONDAY)
        assert look.deployment is not None
        event = success(device, look.deployment.attempt_id)
        for expected in (Taken.TAKEN, Taken.GONE):
            assert await verified.transact(record, event, with_room, MONDAY) is expected

    await asyncio.gather(*(update(device) for device in devices))
    assert await verified.read(tally.counts, campaign) == {U.SUCCEEDED: 64}
    clock = ManualClock(MONDAY + timedelta(minutes=2))
    await Advance(verified, clock, with_room, "engine").turn()
    ended = await verified.read(campaigns.by_id, campaign)
    assert ended.status is S.ENDED


async def test_polls_at_once_make_one_attempt(verified: Database) -> None:
    """However many polls of a device ask for the offer together, they are given the same one."""

    def prepare(tx: Tx) -> tuple[CampaignId, DeviceId]:
        w = World(tx)
        w.add_devices(1)
        return w.campaign([1]), w.device(1).id

    campaign, device = await verified.transact(prepare)
    looks = await asyncio.gather(
        *(verified.transact(assign.offer, device, SETTINGS, MONDAY) for _ in range(32))
    )
    assert len({look.deployment and look.deployment.attempt_id for look in looks}) == 1
    (upgrade,) = await verified.read(upgrades.in_state, campaign, U.PENDING, 10)
    assert upgrade.attempts == 1


async def test_offers_and_a_stop_at_once(verified: Database) -> None:
    """Whatever comes first, after the stop was carried nobody has an action that is not over."""
    numbers = range(20)

    def prepare(tx: Tx) -> tuple[CampaignId, list[DeviceId]]:
        w = World(tx)
        w.add_devices(*numbers)
        return w.campaign(numbers), [w.device(number).id for number in numbers]

    campaign, devices = await verified.transact(prepare)
    engine = Advance(verified, ManualClock(MONDAY), settings(sweep_devices=3), "engine")

    def stop(tx: Tx) -> None:
        stop_campaign(tx, campaigns.by_id(tx, campaign), MONDAY)

    async def stop_and_carry() -> None:
        await verified.transact(stop)
        await engine.turn()

    offers = [verified.transact(assign.offer, device, SETTINGS, MONDAY) for device in devices]
    await asyncio.gather(*offers[:10], stop_and_carry(), *offers[10:])
    await engine.turn()
    assert await verified.read(tally.counts, campaign) == {U.ABORTED: 20}
    states = await verified.read(lambda tx: {row[0] for row in tx.all("select state from attempt")})
    assert states <= {A.CANCELLED}


async def test_reports_and_the_end_at_once(verified: Database) -> None:
    """Successes that come while the campaign is being closed and its actions expire all count."""
    numbers = range(20)
    engine_settings = settings(sweep_devices=2, grace_s=0)

    def prepare(tx: Tx) -> tuple[CampaignId, list[DeviceEvent]]:
        w = World(tx, settings=engine_settings)
        w.add_devices(*numbers)
        campaign = w.campaign(numbers, end=0)
        events = []
        for number in numbers:
            attempt = w.begin(number)
            if number % 2:
                w.download(number)
            events.append(success(w.device(number).id, attempt))
        return campaign, events

    campaign, events = await verified.transact(prepare)
    end = (await verified.read(campaigns.by_id, campaign)).rules.ends_at
    engines = [
        Advance(verified, ManualClock(end), engine_settings, owner) for owner in ("one", "two")
    ]
    reports = [verified.transact(record, event, engine_settings, end) for event in events]
    await asyncio.gather(*reports[:8], *(engine.turn() for engine in engines), *reports[8:])
    for engine in engines:
        await engine.turn()
    assert await verified.read(tally.counts, campaign) == {U.SUCCEEDED: 20}
    assert (await verified.read(campaigns.by_id, campaign)).status is S.ENDED


# Engines at once ---------------------------------------------------------------------------------


@pytest.fixture
async def processes(postgres_url: str, clock: ManualClock) -> AsyncIterator[list[Database]]:
    """Two processes' ends of one PostgreSQL."""
    opened = [open_database(postgres_url, clock) for _ in range(2)]
    for one in opened:
        await one.start()
    yield opened
    await assert_verified(opened[0])
    for one in opened:
        await one.close()


@pytest.mark.postgres
async def test_two_engines_share_the_work(processes: list[Database]) -> None:
    """Two engines on one database carry every campaign to its start, once each, none twice."""
    small = settings(sweep_devices=2, claim_campaigns=3)

    def prepare(tx: Tx) -> list[CampaignId]:
        w = World(tx, settings=small)
        w.add_devices(*range(60))
        # Each device is asked for by two campaigns: one of them gets it.
        return [w.schedule(range(start, start + 10)) for start in (*range(0, 60, 5), 50)]

    made = await processes[0].transact(prepare)
    engines = [
        Advance(one, ManualClock(MONDAY), small, f"engine {n}") for n, one in enumerate(processes)
    ]

    def waiting(tx: Tx) -> int:
        due = campaigns.claim(tx, "nobody", MONDAY, MONDAY, 100)
        return len(due)

    async def work() -> bool:
        await asyncio.gather(*(engine.turn() for engine in engines))
        return await processes[0].transact(waiting) == 0

    await until(work, "all campaigns")
    counts: Counter[UpgradeState] = Counter()
    for campaign in made:
        found = await processes[1].read(campaigns.by_id, campaign)
        assert found.status in (S.SCHEDULED, S.REQUEST_FAILED)
        counts.update(await processes[1].read(tally.counts, campaign))
    assert counts[U.ACCEPTED] == 60
    assert set(counts) == {U.ACCEPTED, U.REJECTED}


async def test_a_lease_that_ends_gives_the_work_back(verified: Database) -> None:
    """A process that died holds its campaigns no longer than its lease; then another goes on."""
    later = MONDAY + timedelta(seconds=60)

    def tell(tx: Tx) -> None:
        w = World(tx, settings=settings(sweep_devices=2))
        w.add_devices(*range(5))
        campaign = w.schedule(range(5))
        assert campaigns.claim(tx, "dead", MONDAY, later, 10) == [campaign]
        assert step(tx, campaign, "dead", w.settings, MONDAY)
        # The other gets nothing, and may do nothing.
        assert campaigns.claim(tx, "alive", MONDAY, later, 10) == []
        assert not step(tx, campaign, "alive", w.settings, MONDAY)
        assert campaigns.claim(tx, "dead", MONDAY, later, 10) == [campaign]  # its own again
        assert not step(tx, campaign, "dead", w.settings, later)  # its lease is over
        assert campaigns.claim(tx, "alive", later, later + timedelta(seconds=60), 10) == [campaign]
        # The dead one wakes up too late, and may do nothing either.
        assert not step(tx, campaign, "dead", w.settings, later)
        while step(tx, campaign, "alive", w.settings, later):
            pass
        assert w.counts(campaign) == {U.ACCEPTED: 5}
        assert w.status(campaign) is S.SCHEDULED
        campaigns.release(tx, [campaign], "dead")  # not its own any more
        w.now = later + timedelta(seconds=59)
        assert campaigns.claim(tx, "third", w.now, w.now, 10) == []
        campaigns.release(tx, [campaign], "alive")

    await verified.transact(tell)


@pytest.mark.postgres
async def test_closing_goes_on_when_a_sweep_ended_by_itself(processes: list[Database]) -> None:
    """Devices that report while the engine waits for their locks do not make it stop early."""
    one_by_one = settings(sweep_devices=1)

    def prepare(tx: Tx) -> tuple[CampaignId, DeviceEvent]:
        w = World(tx, settings=one_by_one)
        w.add_devices(1, 2)
        campaign = w.campaign([1, 2])
        attempt = w.begin(1)
        w.begin(2)
        w.stop(campaign, carry_on=False)
        campaigns.claim(tx, "engine", MONDAY, MONDAY + timedelta(seconds=60), 10)
        return campaign, success(w.device(1).id, attempt)

    campaign, event = await processes[0].transact(prepare)
    reported, go_on = threading.Event(), threading.Event()

    def report(tx: Tx) -> None:
        record(tx, event, SETTINGS, MONDAY)
        reported.set()
        assert go_on.wait(20)

    async def engine_waits() -> bool:
        def waits(tx: Tx) -> bool:
            sql = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
            return tx.one(sql) is not None

        return await processes[1].read(waits)

    reporting = asyncio.ensure_future(processes[0].transact(report))
    assert await asyncio.to_thread(reported.wait, 20)
    stepping = asyncio.ensure_future(
        processes[1].transact(step, campaign, "engine", one_by_one, MONDAY)
    )
    try:
        await until(engine_waits, "the engine to wait for the device")
    finally:
        go_on.set()
    await reporting
    assert await stepping  # there is more to do
    while await processes[1].transact(step, campaign, "engine", one_by_one, MONDAY):
        pass
    assert await processes[0].read(tally.counts, campaign) == {U.SUCCEEDED: 1, U.ABORTED: 1}


async def test_expiry_by_two_at_once(verified: Database) -> None:
    """Two engines that find the same actions over end each of them once."""
    numbers = range(20)
    at_once = settings(grace_s=1)

    def prepare(tx: Tx) -> World:
        w = World(tx, settings=at_once)
        w.add_devices(*numbers)
        campaign = w.campaign(numbers, end=0)
        for number in numbers:
            w.begin(number)
            w.download(number)
        w.wait_until(w.get(campaign).rules.ends_at)
        return w

    w = await verified.transact(prepare)
    later = w.now + timedelta(seconds=1)
    await asyncio.gather(*(verified.transact(expire, at_once, later) for _ in range(4)))
    states = await verified.read(lambda tx: {row[0] for row in tx.all("select state from attempt")})
    assert states == {A.EXPIRED}


async def test_a_campaign_that_cannot_be_carried_on_is_put_off(database: Database) -> None:
    """One whose row makes us stumble is tried again later; the others go on meanwhile."""

    def prepare(tx: Tx) -> list[CampaignId]:
        w = World(tx)
        w.add_devices(1, 2)
        made = [w.schedule([1]), w.schedule([2])]
        tx.execute("update campaign set download_windows = 'broken' where id = ?", (made[0],))
        return made

    broken, sound = await database.transact(prepare)
    clock = ManualClock(MONDAY)
    engine = Advance(database, clock, SETTINGS, "engine")
    await engine.turn()
    assert (await database.read(campaigns.by_id, sound)).status is S.SCHEDULED

    def mend(tx: Tx) -> None:
        tx.execute("update campaign set download_windows = ''")

    await database.transact(mend)
    await engine.turn()
    assert (await database.read(campaigns.by_id, broken)).status is S.REQUEST_PENDING
    clock.advance(timedelta(minutes=1))
    await engine.turn()
    assert (await database.read(campaigns.by_id, broken)).status is S.SCHEDULED
    await assert_verified(database)


async def test_the_loop_works_when_it_is_hinted(verified: Database) -> None:
    """A scheduled campaign is taken on by the running loop without waiting for its next look."""
    slow = settings(engine_interval_s=3600.0)
    loop = asyncio.create_task(Advance(verified, ManualClock(MONDAY), slow, "engine").run())

    def schedule(tx: Tx) -> CampaignId:
        w = World(tx)
        w.add_devices(1)
        return w.schedule([1])

    try:
        campaign = await verified.transact(schedule)

        async def runs() -> bool:
            return (await verified.read(campaigns.by_id, campaign)).status is S.SCHEDULED

        await until(runs, "the campaign to start")
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


class TickingClock(ManualClock):
    """A clock on which a second passes at every look."""

    def now(self) -> datetime:
        self.advance(timedelta(seconds=1))
        return super().now()


async def test_a_turn_ends_before_its_lease(verified: Database) -> None:
    """An engine that cannot finish in half of its lease claims anew, and is not taken over."""
    small = settings(sweep_devices=1, lease_s=10)

    def prepare(tx: Tx) -> CampaignId:
        w = World(tx, settings=small)
        w.add_devices(*range(8))
        return w.schedule(range(8))

    campaign = await verified.transact(prepare)
    engine = Advance(verified, TickingClock(MONDAY), small, "engine")
    turns = 1
    while await engine.turn():
        turns += 1
    assert turns > 2
    assert await verified.read(tally.counts, campaign) == {U.ACCEPTED: 8}


async def test_a_database_that_is_away_is_waited_for(
    sqlite_database: Database, clock: ManualClock
) -> None:
    """The loop says so and tries again."""
    await sqlite_database.close()
    eager = settings(engine_interval_s=0.01)
    with structlog.testing.capture_logs() as logs:
        loop = asyncio.create_task(Advance(sqlite_database, clock, eager, "engine").run())

        async def tried_again() -> bool:
            return len(logs) >= 2

        await until(tried_again, "two tries")
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
    assert {entry["event"] for entry in logs} == {"the engine cannot work"}


async def test_figures_for_the_operator(verified: Database) -> None:
    """Devices and actions by state, and for how long the engine has not come to its work."""

    def prepare(tx: Tx) -> World:
        w = World(tx)
        w.add_devices(*range(4))
        w.stop(w.campaign([3]))
        w.campaign(range(3))
        w.begin(0)
        w.succeed(1)
        return w

    w = await verified.transact(prepare)
    devices = await verified.read(figures.devices_by_state)
    assert {state: count for state, count in devices.items() if count} == {
        U.ACCEPTED: 1,
        U.PENDING: 1,
        U.SUCCEEDED: 1,
    }
    actions = await verified.read(figures.attempts_by_state)
    assert {state: count for state, count in actions.items() if count} == {A.RETRIEVED: 1}
    assert await verified.read(figures.engine_lag_ms, w.now) == 0
    late = w.now + timedelta(seconds=90)
    assert await verified.read(figures.engine_lag_ms, late) == 30_000
    assert await verified.read(figures.callbacks_queued) == 0
    assert await verified.read(figures.is_reachable)


# A large campaign --------------------------------------------------------------------------------


class CountingTx(PassingTx):
    """A transaction that counts the rows that it was told to write, or asked to read."""

    def __init__(self, tx: Tx) -> None:
        super().__init__(tx)
        self.most = 0

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        rows = super().all(sql, params)
        self.most = max(self.most, len(rows))
        return rows

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        changed = super().execute(sql, params)
        self.most = max(self.most, changed)
        return changed

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        given = list(rows)
        self.most = max(self.most, len(given))
        super().many(sql, given)


async def test_a_large_campaign_is_many_small_transactions(verified: Database) -> None:
    """20,000 devices are taken on, checked and stopped a sweep at a time; reports come in between."""
    size = 20_000
    large = settings(request_devices=size, pilot_devices=size + 1)

    def prepare(tx: Tx) -> tuple[CampaignId, CampaignId, DeviceId, AttemptId]:
        w = World(tx, settings=large)
        w.add_devices(*range(size + 1))
        mine = w.campaign([size])
        attempt = w.begin(size)
        return w.schedule(range(size)), mine, w.device(size).id, attempt

    campaign, mine, device, attempt = await verified.transact(prepare)
    hello = DeviceEvent(device_id=device, attempt_id=attempt, event=E.PROGRESS)
    engine_works = True
    reports = 0

    async def device_reports() -> None:
        nonlocal reports
        while engine_works:
            await verified.transact(record, hello, large, MONDAY)
            reports += 1

    def one_step(tx: Tx) -> tuple[bool, int]:
        counting = CountingTx(tx)
        return step(counting, campaign, "engine", large, MONDAY), counting.most

    async def carry_on() -> int:
        nonlocal engine_works
        engine_works, steps = True, 0
        lease = MONDAY + timedelta(seconds=60)
        await verified.transact(campaigns.claim, "engine", MONDAY, lease, 10)
        reporting = asyncio.ensure_future(device_reports())
        more = True
        while more:
            more, most = await verified.transact(one_step)
            assert most <= large.limits.sweep_devices
            steps += 1
        engine_works = False
        await reporting
        return steps

    sweeps = size // large.limits.sweep_devices
    steps = await carry_on()
    assert steps == 2 * sweeps  # the list but its first piece, the checks, the start
    assert await verified.read(tally.counts, campaign) == {U.ACCEPTED: size}
    assert reports >= steps // 2

    await verified.transact(lambda tx: stop_campaign(tx, campaigns.by_id(tx, campaign), MONDAY))
    reports = 0
    assert await carry_on() == sweeps + 1
    assert await verified.read(tally.counts, campaign) == {U.ABORTED: size}
    assert reports >= sweeps // 2
    assert await verified.read(tally.counts, mine) == {U.PENDING: 1}
