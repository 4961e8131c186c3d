"""Stories of licences: assigned, taken back, used up, and lost to a smaller subscription."""

import asyncio
from datetime import timedelta

import pytest

from overair.clock import ManualClock
from overair.config import Limits
from overair.core.attempt import AttemptEvent
from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId
from overair.core.licenses import EVENT, MONTHLY, LicenseOutcome, LicenseTermsError
from overair.core.upgrade import Reason, UpgradeState
from overair.engine import licenses
from overair.store import Database, Tx, open_database, upgrades
from overair.store import billing as bills
from overair.store import licenses as store
from tests.engine.bills import billed
from tests.engine.stock import (
    NOW,
    SETTINGS,
    add_account,
    add_devices,
    advance,
    begin,
    device_of,
    imei,
    report,
    schedule,
    upgrade,
)

BOTH = f"{EVENT},{MONTHLY}"
Became = LicenseOutcome


def subscribe(tx: Tx, account_id: AccountId, count: int, kind: str = MONTHLY, days: int = 0) -> int:
    changed = licenses.set_subscription(
        tx,
        account_id,
        purchase_type=kind,
        license_count=count,
        settings=SETTINGS,
        now=NOW + timedelta(days=days),
    )
    assert_counted(tx, account_id)
    return changed.license_used_count


def assign(tx: Tx, account_id: AccountId, *numbers: int, days: int = 0) -> list[LicenseOutcome]:
    answer = licenses.assign_licenses(
        tx, account_id, [imei(n) for n in numbers], SETTINGS.limits, NOW + timedelta(days=days)
    )
    assert [entry[0] for entry in answer.outcomes] == [imei(n) for n in numbers]
    assert_counted(tx, account_id)
    return [entry[1] for entry in answer.outcomes]


def remove(tx: Tx, account_id: AccountId, *numbers: int) -> list[LicenseOutcome]:
    answer = licenses.remove_licenses(tx, account_id, [imei(n) for n in numbers], SETTINGS, NOW)
    assert_counted(tx, account_id)
    return [entry[1] for entry in answer.outcomes]


def assert_counted(tx: Tx, account_id: AccountId) -> None:
    """The counter equals the rows."""
    row = tx.one("select count(*) from license where account_id = ?", (account_id,))
    assert row is not None
    assert licenses.get_subscription(tx, account_id).license_used_count == row[0]


def licensed(tx: Tx, account_id: AccountId) -> list[str]:
    return [entry.imei for entry in store.page(tx, account_id, "0", 1000)]


def list_first(tx: Tx, account_id: AccountId, *numbers: int, append: bool = False) -> list[str]:
    imeis = [imei(n) for n in numbers]
    return licenses.put_candidates(tx, account_id, imeis, SETTINGS.limits, NOW, append=append)


def kinds_billed(tx: Tx, account_id: AccountId) -> list[tuple[str, int]]:
    return [(event.kind, event.device_id) for _, event in billed(tx, account_id, 0, 100)]


async def test_licences_are_assigned_in_order_while_there_are_any(database: Database) -> None:
    """Each device gets its own answer; an empty pool refuses only who comes too late."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1, 2, 3])
        add_devices(tx, account, [4], eligible=False)
        subscribe(tx, account, 2)
        assert assign(tx, account, 9, 4, 2, 2, 1, 3) == [
            Became.NOT_FOUND,
            Became.NOT_ELIGIBLE,
            Became.ASSIGNED,
            Became.PREEXISTING,
            Became.ASSIGNED,
            Became.POOL_EMPTY,
        ]
        assert licensed(tx, account) == [imei(1), imei(2)]
        assert assign(tx, account, 1) == [Became.PREEXISTING]

    await database.transact(story)


async def test_devices_of_other_accounts_are_not_found(database: Database) -> None:
    """A licence cannot be given to, or taken from, a device of somebody else."""

    def story(tx: Tx) -> None:
        mine, other = add_account(tx), add_account(tx, "0000123456-00002")
        add_devices(tx, other, [1])
        subscribe(tx, mine, 5)
        subscribe(tx, other, 5)
        assign(tx, other, 1)
        assert assign(tx, mine, 1) == [Became.NOT_FOUND]
        assert remove(tx, mine, 1) == [Became.NOT_FOUND]
        assert list_first(tx, mine, 1) == []
        assert licensed(tx, other) == [imei(1)]

    await database.transact(story)


async def test_an_event_account_needs_no_pool(database: Database) -> None:
    """Assigning succeeds without a count, and there is nothing to take back."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1])
        subscribe(tx, account, 0, EVENT)
        assert assign(tx, account, 1, 1) == [Became.ASSIGNED, Became.ASSIGNED]
        assert licensed(tx, account) == []
        assert remove(tx, account, 1) == [Became.NOT_LICENSED]

    await database.transact(story)


async def test_only_unused_licences_are_taken_back(database: Database) -> None:
    """An upgrade under way or completed keeps the licence where it is."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1, 2, 3, 4])
        subscribe(tx, account, 3)
        assign(tx, account, 1, 2, 3)
        schedule(tx, account, [1, 2])
        begin(tx, 1)
        upgrade(tx, 2)
        assert remove(tx, account, 1, 2, 3, 3, 4, 9) == [
            Became.IN_USE,
            Became.IN_USE,
            Became.REMOVED,
            Became.NOT_LICENSED,
            Became.NOT_LICENSED,
            Became.NOT_FOUND,
        ]
        assert assign(tx, account, 4) == [Became.ASSIGNED]

    await database.transact(story)


async def test_what_was_scheduled_is_cancelled_with_the_licence(database: Database) -> None:
    """A device whose upgrade has not started leaves its campaign, and is free for another."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1, 2])
        subscribe(tx, account, 2)
        assign(tx, account, 1, 2)
        campaign = schedule(tx, account, [1, 2], start=NOW + timedelta(days=2))
        assert remove(tx, account, 1) == [Became.REMOVED]
        left, stays = upgrades.page(tx, campaign, "0", 10)
        assert (left.state, left.reason) == (UpgradeState.CANCELLED, Reason.LICENSE_REMOVED)
        assert stays.state is UpgradeState.ACCEPTED
        row = tx.one("select open_upgrade_id from device where imei = ?", (imei(1),))
        assert row == (None,)

    await database.transact(story)


async def test_a_smaller_subscription_takes_the_list_first_then_the_oldest(
    database: Database,
) -> None:
    """Listed devices lose their licence from the head, then others by age; losers leave the list."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1, 2, 3, 4, 5, 6])
        subscribe(tx, account, 6)
        assign(tx, account, 3, days=0)
        assign(tx, account, 1, days=1)
        assign(tx, account, 2, 4, 5, days=2)
        list_first(tx, account, 5, 6, 4, 2)  # 6 has no licence
        assert subscribe(tx, account, 5, days=3) == 5
        assert subscribe(tx, account, 3, days=4) == 3
        assert licensed(tx, account) == [imei(1), imei(2), imei(3)]
        assert store.candidates(tx, account) == [imei(6), imei(2)]
        assert subscribe(tx, account, 1, days=5) == 1
        assert licensed(tx, account) == [imei(1)]

    await database.transact(story)


async def test_a_stable_or_growing_subscription_takes_nothing(database: Database) -> None:
    """Being on the list changes nothing by itself; the same terms again change not even the time."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1, 2])
        subscribe(tx, account, 2)
        assign(tx, account, 1, 2)
        list_first(tx, account, 1)
        assert subscribe(tx, account, 2, days=1) == 2
        assert licenses.get_subscription(tx, account).updated_at == NOW
        assert subscribe(tx, account, 9, BOTH.lower(), days=2) == 2
        bought = licenses.get_subscription(tx, account)
        assert bought.purchase_type == BOTH
        assert bought.updated_at == NOW + timedelta(days=2)
        assert store.candidates(tx, account) == [imei(1)]

    await database.transact(story)


async def test_a_started_upgrade_completes_under_a_licence_billed_once_more(
    database: Database,
) -> None:
    """The licence of a device at work goes when its upgrade ends, and the month is billed."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1, 2, 3])
        subscribe(tx, account, 3)
        assign(tx, account, 1, 2, 3)
        campaign = schedule(tx, account, [1, 2])
        begin(tx, 1)
        list_first(tx, account, 1, 2)
        assert subscribe(tx, account, 1, days=1) == 2
        assert licensed(tx, account) == [imei(1), imei(3)]
        assert kinds_billed(tx, account) == [(bills.LICENSE_MONTH, device_of(tx, 1))]
        assert assign(tx, account, 2) == [Became.POOL_EMPTY]
        assert remove(tx, account, 1) == [Became.IN_USE]
        assert subscribe(tx, account, 0, EVENT, days=2) == 1, "it is not billed again"
        assert len(kinds_billed(tx, account)) == 1
        report(tx, 1, AttemptEvent.SUCCEED)
        assert licensed(tx, account) == []
        assert store.candidates(tx, account) == []
        assert_counted(tx, account)
        states = [u.state for u in upgrades.page(tx, campaign, "0", 10)]
        assert states == [UpgradeState.SUCCEEDED, UpgradeState.CANCELLED]

    await database.transact(story)


async def test_an_ending_licence_also_goes_when_the_campaign_ends(database: Database) -> None:
    """However an upgrade ends, the licence that waited for it is gone then."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1])
        subscribe(tx, account, 1)
        assign(tx, account, 1)
        schedule(tx, account, [1])
        begin(tx, 1)
        subscribe(tx, account, 0)
        assert licensed(tx, account) == [imei(1)]
        advance(tx, NOW + timedelta(days=10))
        assert licensed(tx, account) == []
        assert_counted(tx, account)

    await database.transact(story)


async def test_an_ending_licence_stays_if_it_is_assigned_again(database: Database) -> None:
    """The pool has grown again: who asks for it keeps it, as far as there is room."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1, 2, 3])
        subscribe(tx, account, 2)
        assign(tx, account, 1, 2)
        schedule(tx, account, [1, 2])
        begin(tx, 1)
        begin(tx, 2)
        subscribe(tx, account, 0)
        assert assign(tx, account, 1) == [Became.POOL_EMPTY]
        subscribe(tx, account, 1)
        assert assign(tx, account, 3, 2, 1) == [
            Became.POOL_EMPTY,
            Became.ASSIGNED,
            Became.POOL_EMPTY,
        ]
        advance(tx, NOW + timedelta(days=10))
        assert licensed(tx, account) == [imei(2)]
        assert_counted(tx, account)

    await database.transact(story)


async def test_upgrades_without_a_licence_are_billed_as_events(database: Database) -> None:
    """On an account with both kinds a licensed device costs nothing more, another is billed."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1, 2])
        subscribe(tx, account, 1, BOTH)
        assign(tx, account, 1)
        campaign = schedule(tx, account, [1, 2])
        upgrade(tx, 1)
        upgrade(tx, 2)
        events = [event for _, event in billed(tx, account, 0, 100)]
        assert [(e.kind, e.device_id, e.campaign_id) for e in events] == [
            (bills.UPGRADE, device_of(tx, 2), campaign)
        ]
        assert remove(tx, account, 1) == [Became.IN_USE]

    await database.transact(story)


async def test_without_events_nothing_is_scheduled_on_a_device_without_a_licence(
    database: Database,
) -> None:
    """When upgrades are paid by event no more, only those with a licence, or under way, go on."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1, 2, 3])
        subscribe(tx, account, 1, BOTH)
        assign(tx, account, 1)
        campaign = schedule(tx, account, [1, 2, 3])
        begin(tx, 2)
        subscribe(tx, account, 2, BOTH)
        assert {u.state for u in upgrades.page(tx, campaign, "0", 10)} == {
            UpgradeState.ACCEPTED,
            UpgradeState.PENDING,
        }
        subscribe(tx, account, 2)
        licensed_one, started, left = upgrades.page(tx, campaign, "0", 10)
        assert licensed_one.state is UpgradeState.ACCEPTED
        assert started.state is UpgradeState.PENDING
        assert (left.state, left.reason) == (UpgradeState.CANCELLED, Reason.LICENSE_REMOVED)
        row = tx.one("select open_upgrade_id from device where imei = ?", (imei(3),))
        assert row == (None,)

    await database.transact(story)


async def test_the_list_is_replaced_extended_and_dropped(database: Database) -> None:
    """Devices are listed once, where they were first seen; unknown ones are left out."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [1, 2, 3, 4])
        empty = licenses.list_candidates(tx, account, 0, 10)
        assert (empty.imeis, empty.count, empty.updated_at, empty.has_more) == ((), 0, None, False)
        assert list_first(tx, account, 3, append=True) == [imei(3)]
        assert list_first(tx, account, 2, 9, 2, 1) == [imei(2), imei(1)]
        assert list_first(tx, account, 4, 2, append=True) == [imei(2), imei(1), imei(4)]
        first = licenses.list_candidates(tx, account, 0, 2)
        assert (first.imeis, first.count, first.has_more) == ((imei(2), imei(1)), 3, True)
        last = licenses.list_candidates(tx, account, 2, 2)
        assert (last.imeis, last.has_more, last.updated_at) == ((imei(4),), False, NOW)
        with pytest.raises(RequestError) as past:
            licenses.list_candidates(tx, account, 3, 2)
        assert past.value.refusal is Refusal.INDEX_TOO_HIGH
        licenses.drop_candidates(tx, account, NOW)
        licenses.drop_candidates(tx, account, NOW)
        assert licenses.list_candidates(tx, account, 0, 10) == empty

    await database.transact(story)


async def test_licences_are_listed_page_by_page(database: Database) -> None:
    """By IMEI or by number of record, every licence comes once."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, [5, 3, 1, 2, 4])
        subscribe(tx, account, 5)
        assign(tx, account, 1, 2, 3, 4)
        first = licenses.list_licenses(tx, account, "0", 3)
        assert [entry.imei for entry in first.licenses] == [imei(1), imei(2), imei(3)]
        assert first.has_more
        assert first.licenses[0].assigned_at == NOW
        rest = licenses.list_licenses(tx, account, imei(3), 3)
        assert ([entry.imei for entry in rest.licenses], rest.has_more) == ([imei(4)], False)
        same = licenses.list_licenses_at(tx, account, 3, 3)
        assert same == rest
        with pytest.raises(RequestError) as past:
            licenses.list_licenses_at(tx, account, 4, 3)
        assert past.value.refusal is Refusal.INDEX_TOO_HIGH

    await database.transact(story)


async def test_requests_that_cannot_be_met_are_refused(database: Database) -> None:
    """No subscription, no devices, too many devices, and terms that nobody sells."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        for refusal, imeis, limits in (
            (Refusal.NOT_SUBSCRIBED, [imei(1)], SETTINGS.limits),
            (Refusal.DEVICE_LIST_EMPTY, [], SETTINGS.limits),
            (Refusal.DEVICE_LIST_TOO_LONG, [imei(1)] * 3, Limits(request_devices=2)),
        ):
            with pytest.raises(RequestError) as refused:
                licenses.assign_licenses(tx, account, imeis, limits, NOW)
            assert refused.value.refusal is refusal
        for kind, count in (("TS-HFOTA", 1), ("", 1), (EVENT, 1), (MONTHLY, -1)):
            with pytest.raises(LicenseTermsError):
                subscribe(tx, account, count, kind)

    await database.transact(story)


@pytest.mark.postgres
async def test_processes_that_assign_at_once_never_pass_the_pool(
    postgres_url: str, clock: ManualClock
) -> None:
    """However many ask at the same time, the pool is given out once, and counted."""
    processes = [open_database(postgres_url, clock) for _ in range(2)]
    for process in processes:
        await process.start()
    try:

        def prepare(tx: Tx) -> AccountId:
            account = add_account(tx)
            add_devices(tx, account, range(60))
            subscribe(tx, account, 25)
            return account

        account = await processes[0].transact(prepare)

        def ask(tx: Tx, first: int) -> int:
            # Each device is asked for twice, in opposite orders: who locks as asked would deadlock.
            imeis = [imei(n % 60) for n in range(first, first + 6)]
            answer = licenses.assign_licenses(
                tx, account, imeis[:: 1 if first % 2 else -1], SETTINGS.limits, NOW
            )
            return [outcome for _, outcome in answer.outcomes].count(Became.ASSIGNED)

        given = await asyncio.gather(*(processes[n % 2].transact(ask, n * 3) for n in range(20)))
        assert sum(given) == 25
        await processes[1].transact(assert_counted, account)
        used = await processes[1].read(licenses.get_subscription, account)
        assert used.license_used_count == 25
    finally:
        for process in processes:
            await process.close()
