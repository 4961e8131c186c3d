"""Lists of devices, and the history of one."""

from datetime import timedelta

from overair.core.attempt import AttemptEvent
from overair.core.history import history_start
from overair.core.upgrade import Reason, UpgradeState
from overair.engine.licenses import assign_licenses, set_subscription
from overair.store import Database, Tx, devices
from overair.store.seen import CheckIn, flush
from tests.engine.stock import (
    NOW,
    SETTINGS,
    SOFTWARE,
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
from tests.store.passing import NotingTx


async def test_devices_are_listed_page_by_page_in_two_statements(database: Database) -> None:
    """Every device of the account comes once, by IMEI, with what it runs; a filter filters."""

    def story(tx: Tx) -> None:
        account, other = add_account(tx), add_account(tx, "0000123456-00002")
        add_devices(tx, account, [5, 1, 3])
        add_devices(tx, account, [2, 4], protocol="LWM2M")
        add_devices(tx, other, [6])
        for number in (1, 3, 5):
            for name in ("b.txt", "a.txt"):
                tx.execute(
                    "insert into device_software values (?, ?, '7', 'file', 0)",
                    (device_of(tx, number), name),
                )
        noting = NotingTx(tx)
        first = devices.page(noting, account, "0", None, 3)
        assert len(noting.statements) == 2
        assert [device.imei for device in first] == [imei(1), imei(2), imei(3)]
        assert [item.name for item in first[0].software] == ["a.txt", "b.txt"]
        assert first[1].software == ()
        rest = devices.page(tx, account, first[-1].imei, None, 3)
        assert [device.imei for device in rest] == [imei(4), imei(5)]
        assert devices.page(tx, account, imei(5), None, 3) == []
        filtered = devices.page(tx, account, imei(1), "HTTP", 9)
        assert [device.imei for device in filtered] == [imei(3), imei(5)]
        assert [len(device.software) for device in filtered] == [2, 2]
        assert (devices.count(tx, account), devices.count(tx, other)) == (5, 1)

    await database.transact(story)


async def test_one_device_is_found_in_its_account_only(database: Database) -> None:
    """A record says whether it is licensed and when it was seen; others' devices are not there."""

    def story(tx: Tx) -> None:
        account, other = add_account(tx), add_account(tx, "0000123456-00002")
        [device_id] = add_devices(tx, account, [1])
        found = devices.by_imei(tx, imei(1), account)
        assert found is not None
        assert (found.licensed, found.seen_at, found.version) == (False, None, "01")
        set_subscription(
            tx,
            account,
            purchase_type="TS-HFOTA-MRC",
            license_count=1,
            settings=SETTINGS,
            now=NOW,
        )
        assign_licenses(tx, account, [imei(1)], SETTINGS.limits, NOW)
        flush(tx, [CheckIn(device_id, 1000, "Failure", "Other")])
        found = devices.by_imei(tx, imei(1), account)
        assert found is not None
        assert (found.licensed, found.seen_at) == (True, None)
        flush(tx, [CheckIn(device_id, 2000, "Success", "None")])
        found = devices.by_imei(tx, imei(1))
        assert found is not None
        assert found.seen_at is not None
        assert devices.by_imei(tx, imei(1), other) is None
        assert devices.by_imei(tx, imei(2)) is None
        assert devices.device_id(tx, account, imei(1)) == device_id
        assert devices.device_id(tx, other, imei(1)) is None
        assert devices.ids_of(tx, account, [imei(2), imei(1)]) == {imei(1): device_id}

    await database.transact(story)


async def test_history_has_what_succeeded_or_failed_newest_first(database: Database) -> None:
    """Upgrades under way are no history yet, and old ones are none any more."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        one, two, three = add_devices(tx, account, [1, 2, 3])
        set_subscription(
            tx,
            account,
            purchase_type="TS-HFOTA-EVNT",
            license_count=0,
            settings=SETTINGS,
            now=NOW,
        )
        schedule(tx, account, [1, 2])
        upgrade(tx, 1)
        begin(tx, 2)
        report(tx, 2, AttemptEvent.FAIL)
        since = history_start(NOW, 6)
        assert devices.history(tx, two, 2, since, 10) == []
        end = NOW + timedelta(days=6)
        advance(tx, end)
        [done] = devices.history(tx, one, 2, since, 10)
        assert (done.state, done.reason) == (UpgradeState.SUCCEEDED, Reason.SUCCESS)
        assert (done.package_name, done.to_version, done.kind) == (SOFTWARE, "02", "software")
        assert (done.start_date, done.started_at, done.updated_at) == (NOW.date(), NOW, NOW)
        [failed] = devices.history(tx, two, 2, since, 10)
        assert (failed.state, failed.updated_at) == (UpgradeState.FAILED, end)
        assert devices.history(tx, three, 2, since, 10) == []
        tx.execute("update device set version = '01'")
        schedule(tx, account, [2], start=NOW)
        upgrade(tx, 2)
        states = [entry.state for entry in devices.history(tx, two, 2, since, 10)]
        assert states == [UpgradeState.SUCCEEDED, UpgradeState.FAILED]
        assert len(devices.history(tx, two, 2, since, 1)) == 1
        assert devices.history(tx, one, 2, NOW + timedelta(days=1), 10) == []

    await database.transact(story)
