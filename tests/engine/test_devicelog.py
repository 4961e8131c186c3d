"""Stories of verbose logging: on, off, by itself, and what is kept of it."""

from datetime import timedelta

import pytest

from overair.config import Limits, Settings
from overair.core.errors import Refusal, RequestError
from overair.engine import devicelog
from overair.store import Database, Tx
from overair.store import devicelog as store
from overair.store.devicelog import LogEntry
from tests.engine.stock import NOW, SETTINGS, add_account, add_devices, imei

WEEK = timedelta(days=7)


async def test_logging_is_switched_on_for_all_or_none(database: Database) -> None:
    """A request that would pass the limit, or names an unknown device, enables nothing."""

    def story(tx: Tx) -> None:
        account, other = add_account(tx), add_account(tx, "0000123456-00002")
        add_devices(tx, account, range(25))
        add_devices(tx, other, [50])
        on = devicelog.switch_on(tx, account, [imei(n) for n in range(19)], SETTINGS, NOW)
        assert [entry.imei for entry in on] == [imei(n) for n in range(19)]
        assert {entry.expires_at for entry in on} == {NOW + WEEK}
        for refusal, numbers in (
            (Refusal.LOGGING_FULL, [19, 20]),
            (Refusal.DEVICE_NOT_FOUND, [19, 99]),
            (Refusal.DEVICE_NOT_FOUND, [50]),
            (Refusal.DEVICE_LIST_EMPTY, []),
        ):
            with pytest.raises(RequestError) as refused:
                devicelog.switch_on(tx, account, [imei(n) for n in numbers], SETTINGS, NOW)
            assert refused.value.refusal is refusal
        assert store.switched_on(tx, account, NOW) == on
        assert len(devicelog.switch_on(tx, account, [imei(19)] * 2, SETTINGS, NOW)) == 20
        assert len(devicelog.switch_on(tx, other, [imei(50)], SETTINGS, NOW)) == 1

    await database.transact(story)


async def test_logging_is_renewed_and_goes_off_by_itself(database: Database) -> None:
    """Enabling again counts the week anew; what has run out does not count."""

    def story(tx: Tx) -> None:
        account = add_account(tx)
        add_devices(tx, account, range(40))
        first = [imei(n) for n in range(20)]
        devicelog.switch_on(tx, account, first, SETTINGS, NOW)
        later = NOW + timedelta(days=3)
        devicelog.switch_on(tx, account, first[:1], SETTINGS, later)
        assert store.switched_on(tx, account, NOW + WEEK) == [
            store.Logging(imei=first[0], expires_at=later + WEEK)
        ]
        others = [imei(n) for n in range(20, 39)]
        assert len(devicelog.switch_on(tx, account, others, SETTINGS, NOW + WEEK)) == 20
        assert devicelog.purge(tx, SETTINGS, NOW + WEEK, 5) == 5
        assert devicelog.purge(tx, SETTINGS, NOW + WEEK, 100) == 14
        assert len(store.switched_on(tx, account, NOW + WEEK)) == 20

    await database.transact(story)


async def test_logging_is_switched_off_silently(database: Database) -> None:
    """Off twice is off; only a device that is not the account's is an error."""

    def story(tx: Tx) -> None:
        account, other = add_account(tx), add_account(tx, "0000123456-00002")
        add_devices(tx, account, [1, 2])
        devicelog.switch_on(tx, account, [imei(1), imei(2)], SETTINGS, NOW)
        for _ in range(2):
            devicelog.switch_off(tx, account, [imei(1)])
        assert [entry.imei for entry in store.switched_on(tx, account, NOW)] == [imei(2)]
        with pytest.raises(RequestError):
            devicelog.switch_off(tx, other, [imei(2)])
        assert len(store.switched_on(tx, account, NOW)) == 1

    await database.transact(story)


async def test_entries_are_bounded_and_read_newest_first(database: Database) -> None:
    """A device's oldest entries go when there are too many, and all after a month."""
    limits = Limits(logs_per_device=4)

    def story(tx: Tx) -> None:
        account = add_account(tx)
        one, two = add_devices(tx, account, [1, 2])
        devicelog.note_details(tx, one, ["a", "b"], limits, NOW)
        devicelog.note_event(tx, two, "attributes", limits, NOW)
        blob = LogEntry(at=NOW, type="Event", text="", binary=b"\x00\xff?%", binary_name="log.bin")
        devicelog.add_entries(tx, one, [blob], limits, NOW)
        found = store.entries(tx, one, NOW, limit=10, limit_bytes=1000)
        assert [entry.text for entry in found] == ["", "b", "a"]
        assert found[0] == blob
        assert found[1].type == "SoftwareUpdate"
        devicelog.note_details(tx, one, "cdefgh", limits, NOW + timedelta(days=1))
        found = store.entries(tx, one, NOW, limit=10, limit_bytes=1000)
        assert [entry.text for entry in found] == ["h", "g", "f", "e"]
        assert len(store.entries(tx, one, NOW, limit=2, limit_bytes=1000)) == 2
        assert store.entries(tx, one, NOW + timedelta(days=2), limit=2, limit_bytes=9) == []
        [other] = store.entries(tx, two, NOW, limit=10, limit_bytes=1000)
        assert (other.type, other.text, other.binary) == ("Event", "attributes", None)
        month = NOW + timedelta(days=30, hours=1)
        assert devicelog.purge(tx, Settings(), month, 100) == 1
        assert store.entries(tx, two, NOW, limit=10, limit_bytes=1000) == []
        assert len(store.entries(tx, one, NOW, limit=10, limit_bytes=1000)) == 4

    await database.transact(story)


async def test_one_answer_holds_only_so_many_bytes(database: Database) -> None:
    """Large logs cannot make an answer grow without end; the newest is always in it."""

    def story(tx: Tx) -> None:
        [device] = add_devices(tx, add_account(tx), [1])
        devicelog.add_entries(
            tx,
            device,
            [LogEntry(at=NOW, type="Event", text="", binary=bytes(600)) for _ in range(5)],
            SETTINGS.limits,
            NOW,
        )
        for most, count in ((10, 1), (1200, 2), (1500, 2), (9000, 5)):
            assert len(store.entries(tx, device, NOW, limit=10, limit_bytes=most)) == count

    await database.transact(story)
