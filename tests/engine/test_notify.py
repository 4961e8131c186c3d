"""Messages are queued with the change they tell of, for those who listen, in the published form."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from overair.clock import ManualClock
from overair.core.campaign import CampaignStatus
from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId
from overair.core.listener import ListenerRules
from overair.core.upgrade import Reason, UpgradeState
from overair.core.words.v2 import CAMPAIGN_V2
from overair.core.words.v3 import CAMPAIGN_V3
from overair.engine import listeners
from overair.engine.notify import (
    CATALOGUE,
    DeviceChange,
    notify_campaign,
    notify_devices,
    notify_package,
)
from overair.store import Database, Tx, open_database
from tests.callbacks.conftest import Told, add_account
from tests.conftest import START

STRICT = ListenerRules()
URL = "https://listener.example/fota"


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """A package that became available."""

    name: str = "VerizonFirmwareVersion-02To03"
    make: str = "Verizon"
    model: str = "VZW1"
    protocol: str = "HTTP"
    from_version: str = "02"
    to_version: str = "03"
    launch_at: datetime = datetime(2026, 2, 1, 23, 30, tzinfo=UTC)
    release_note: str = "better"


def queued(tx: Tx) -> list[tuple[str, int, dict[str, Any]]]:
    rows = tx.all("select stream, generation, body from callback_message order by id")
    return [(stream, generation, msgspec.json.decode(body)) for stream, generation, body in rows]


@pytest.fixture
async def account_id(database: Database) -> AccountId:
    """An account whose v2 listener is registered."""
    account_id = await add_account(database)
    await database.transact(listeners.register, account_id, 2, URL, STRICT, START)
    return account_id


def change(n: int, state: UpgradeState, reason: Reason) -> DeviceChange:
    return DeviceChange(imei=f"{n:015}", state=state, reason=reason)


async def test_a_campaign_tells_its_status(database: Database, account_id: AccountId) -> None:
    """A change of status is one message in the campaign's stream, with every member."""
    told = Told(uuid="c1", account_id=account_id, name="spring", package_name="pkg")
    await database.transact(notify_campaign, told, START)
    ((stream, generation, body),) = await database.report(queued)
    assert (stream, generation) == ("c1", 1)
    assert body == {
        "accountName": "0242078689-00001",
        "type": "campaignStatus",
        "campaignId": "c1",
        "campaignName": "spring",
        "status": "CampaignScheduled",
        "softwareName": "pkg",
        "deviceList": [],
        "softwareList": [],
    }


async def test_devices_are_told_as_in_the_report(database: Database, account_id: AccountId) -> None:
    """A device's status and reason are the published words of the device report."""
    told = Told(uuid="c1", account_id=account_id)
    changes = [
        change(1, UpgradeState.SUCCEEDED, Reason.SUCCESS),
        change(2, UpgradeState.REJECTED, Reason.NOT_FOUND),
        change(3, UpgradeState.ACCEPTED, Reason.CHECKED),
    ]
    await database.transact(notify_devices, told, changes, START)
    ((_, _, body),) = await database.report(queued)
    assert body["type"] == "deviceStatus"
    assert body["status"] == "CampaignScheduled"
    assert body["deviceList"] == [
        {
            "deviceId": "000000000000001",
            "status": "UpgradeSuccess",
            "resultReason": "DownloadInstallSucceeded",
        },
        {
            "deviceId": "000000000000002",
            "status": "DeviceRejected",
            "resultReason": "Device not found.",
        },
        {"deviceId": "000000000000003", "status": "UpgradePending", "resultReason": ""},
    ]


async def test_many_devices_are_split(database: Database, account_id: AccountId) -> None:
    """A message has at most a thousand devices; order is kept and none is lost."""
    told = Told(uuid="c1", account_id=account_id)
    changes = [change(n, UpgradeState.PENDING, Reason.NO_REPORT) for n in range(2500)]
    await database.transact(notify_devices, told, changes, START)
    bodies = [body for _, _, body in await database.report(queued)]
    assert [len(body["deviceList"]) for body in bodies] == [1000, 1000, 500]
    told_of = [item["deviceId"] for body in bodies for item in body["deviceList"]]
    assert told_of == [c.imei for c in changes]


async def test_new_software_is_told_to_those_who_listen(
    database: Database, account_id: AccountId
) -> None:
    """Each account with a v2 listener hears of a new package, in the stream of its catalogue."""
    silent = await add_account(database, "0242078689-00002")
    third = await add_account(database, "0242078689-00003")
    await database.transact(listeners.register, third, 2, URL, STRICT, START)
    accounts = [account_id, silent, third]
    await database.transact(notify_package, Software(), accounts, START)
    await database.transact(notify_package, Software(protocol="OMADM"), accounts, START)
    found = await database.report(queued)
    assert [stream for stream, _, _ in found] == [CATALOGUE] * 2
    assert [body["accountName"] for _, _, body in found] == [
        "0242078689-00001",
        "0242078689-00003",
    ]
    assert found[0][2]["type"] == "newSoftware"
    assert found[0][2]["softwareList"] == [
        {
            "softwareName": "VerizonFirmwareVersion-02To03",
            "launchDate": "2026-02-01",
            "releaseNote": "better",
            "model": "VZW1",
            "make": "Verizon",
            "distributionType": "HTTP",
            "devicePlatformId": "IoT",
        }
    ]


async def test_without_a_listener_nothing_is_written(
    database: Database, account_id: AccountId
) -> None:
    """No listener, one of another version, one that was deleted, or no devices: no message."""
    other = await add_account(database, "0242078689-00002")
    await database.transact(listeners.register, other, 1, URL, STRICT, START)
    for told in (Told(uuid="c1", account_id=other), Told(uuid="c1", account_id=account_id)):
        if told.account_id == account_id:
            await database.transact(notify_devices, told, [], START)
            await database.transact(listeners.delete, account_id, 2, START)
        await database.transact(notify_campaign, told, START)
        await database.transact(
            notify_devices, told, [change(1, UpgradeState.FAILED, Reason.OTHER)], START
        )
    await database.transact(notify_package, Software(), [account_id, other], START)
    assert await database.report(queued) == []


async def test_a_message_falls_with_its_change(database: Database, account_id: AccountId) -> None:
    """What a transaction that fails has queued is not queued."""

    def fail(tx: Tx) -> None:
        notify_campaign(tx, Told(uuid="c1", account_id=account_id), START)
        raise LookupError

    with pytest.raises(LookupError):
        await database.transact(fail)
    assert await database.report(queued) == []


@pytest.fixture
async def woken(tmp_path: Path, clock: ManualClock) -> AsyncIterator[tuple[Database, list[str]]]:
    """A database, and the hints that it gave."""
    db = open_database(f"sqlite:///{tmp_path / 'hints.db'}", clock)
    await db.start()
    hints: list[str] = []
    db.on_hint("callbacks", lambda: hints.append("callbacks"))
    yield db, hints
    await db.close()


async def test_the_deliverer_is_woken_when_there_is_something(
    woken: tuple[Database, list[str]],
) -> None:
    """A commit that queued something wakes the delivery; one that did not lets it sleep."""
    db, hints = woken
    account_id = await add_account(db)
    told = Told(uuid="c1", account_id=account_id)
    await db.transact(notify_campaign, told, START)
    assert hints == []
    await db.transact(listeners.register, account_id, 2, URL, STRICT, START)
    hints.clear()
    await db.transact(notify_campaign, told, START)
    assert hints == ["callbacks"]


@pytest.mark.parametrize(
    ("api_version", "status"),
    [*((2, status) for status in CAMPAIGN_V2), *((3, status) for status in CAMPAIGN_V3)],
)
async def test_every_status_has_its_message(
    sqlite_database: Database, api_version: int, status: CampaignStatus
) -> None:
    """There is no status of a campaign that could not be told."""
    account_id = await add_account(sqlite_database)
    await sqlite_database.transact(listeners.register, account_id, api_version, URL, STRICT, START)
    told = Told(uuid="c1", account_id=account_id, status=status, api_version=api_version)
    await sqlite_database.transact(notify_campaign, told, START)
    ((_, _, body),) = await sqlite_database.report(queued)
    assert body["status"].startswith("Campaign")


@pytest.mark.parametrize(
    ("url", "username", "refusal"),
    [
        ("http://listener.example/", "", Refusal.CALLBACK_URL),
        ("https://127.0.0.1/", "", Refusal.CALLBACK_URL),
        ("nonsense", "", Refusal.CALLBACK_URL),
        (URL, "a\nb", Refusal.VALUE),
    ],
)
async def test_a_listener_that_will_not_do_is_refused(
    sqlite_database: Database, url: str, username: str, refusal: Refusal
) -> None:
    """A bad URL or user name is the caller's error, and leaves the present listener alone."""
    account_id = await add_account(sqlite_database)
    before = await sqlite_database.transact(listeners.register, account_id, 2, URL, STRICT, START)
    with pytest.raises(RequestError) as refused:
        await sqlite_database.transact(
            listeners.register, account_id, 2, url, STRICT, START, username=username
        )
    assert refused.value.refusal is refusal
    assert await sqlite_database.read(listeners.get, account_id, 2) == before
