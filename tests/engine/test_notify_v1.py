"""What listeners of v1 are told (API 9.2): the whole list once the checks are done, then what changes."""

from collections.abc import Sequence
from typing import Any

import pytest

from overair.core.campaign import CampaignStatus
from overair.core.ids import AccountId, CampaignId
from overair.core.upgrade import Reason, UpgradeState
from overair.engine import listeners
from overair.engine.notify import CATALOGUE, notify_campaign, notify_devices, notify_package
from overair.engine.notify.queueing import MESSAGE_DEVICES
from overair.store import Database, Tx
from tests.callbacks.conftest import Told, add_account
from tests.conftest import START
from tests.engine.test_notify import STRICT, URL, Software, change, queued

U, R, S = UpgradeState, Reason, CampaignStatus
NOTHING: dict[str, Any] = {"firmwareList": [], "upgradeScheduled": {}, "upgradeProgress": {}}


@pytest.fixture
async def account_id(database: Database) -> AccountId:
    """An account whose v1 listener is registered, with credentials of its own."""
    account_id = await add_account(database)

    def register(tx: Tx) -> None:
        listeners.register(
            tx, account_id, 1, URL, STRICT, START, username="carrier", password="pigeon"
        )

    await database.transact(register)
    return account_id


def told(account_id: AccountId, status: CampaignStatus, **changes: Any) -> Told:
    return Told(uuid="u1", account_id=account_id, api_version=1, status=status, **changes)


def upgrade(status: str, *devices: tuple[str, str, str]) -> dict[str, Any]:
    """The member that tells of an upgrade."""
    return {
        "firmwareName": "software",
        "upgradeId": "u1",
        "startDate": "2026-03-02",
        "status": status,
        "deviceList": [
            {"deviceId": device, "status": word, "resultReason": reason}
            for device, word, reason in devices
        ],
    }


def message(type_: str, **members: Any) -> dict[str, Any]:
    """A whole message."""
    return {
        "accountName": "0242078689-00001",
        "participantName": "",
        "type": type_,
        "username": "carrier",
        "password": "pigeon",
        **NOTHING,
        **members,
    }


def add_campaign(
    tx: Tx, account_id: AccountId, devices: Sequence[tuple[str, UpgradeState, Reason]]
) -> CampaignId:
    """A campaign's rows, with devices as they came out of the checks."""
    tx.execute(
        "insert into package (kind, name, protocol, make, model, from_version, to_version, launch_at,"
        " created_at, updated_at) values ('software', 'p', 'OMADM', 'A', 'B', '1', '2', 0, 0, 0)"
    )
    row = tx.one(
        "insert into campaign (uuid, account_id, api_version, kind, package_id, distribution_type,"
        " status, start_date, end_date, created_at) select 'u1', ?, 1, 'software', id, '',"
        " 'request_queued', '2026-03-02', '2026-03-09', 0 from package returning id",
        (account_id,),
    )
    assert row is not None
    tx.many(
        "insert into device_upgrade (campaign_id, imei, state, reason, updated_at)"
        " values (?, ?, ?, ?, 0)",
        [(row[0], imei, state, reason) for imei, state, reason in devices],
    )
    return CampaignId(row[0])


@pytest.mark.parametrize(
    ("status", "word"), [(S.REQUEST_QUEUED, "Queued"), (S.REQUEST_FAILED, "RequestFailed")]
)
async def test_the_checks_are_told_at_once(
    database: Database, account_id: AccountId, status: CampaignStatus, word: str
) -> None:
    """When the checks are done one message tells what became of every device."""
    devices = [("1", U.ACCEPTED, R.CHECKED), ("2", U.REJECTED, R.NOT_FOUND)]
    campaign_id = await database.transact(add_campaign, account_id, devices)
    await database.transact(notify_campaign, told(account_id, status, id=campaign_id), START)
    ((stream, _, body),) = await database.report(queued)
    assert stream == "u1"
    assert body == message(
        "upgradeScheduled",
        upgradeScheduled=upgrade(
            word,
            ("1", "Device Accepted", "success"),
            ("2", "Device Rejected", "Device not found."),
        ),
    )


async def test_a_long_list_is_split(database: Database, account_id: AccountId) -> None:
    """A message has at most a thousand devices; none is lost."""
    names = [f"{number:015}" for number in range(2 * MESSAGE_DEVICES + 1)]
    campaign_id = await database.transact(
        add_campaign, account_id, [(name, U.ACCEPTED, R.CHECKED) for name in names]
    )
    await database.transact(
        notify_campaign, told(account_id, S.REQUEST_QUEUED, id=campaign_id), START
    )
    lists = [body["upgradeScheduled"]["deviceList"] for _, _, body in await database.report(queued)]
    assert [len(devices) for devices in lists] == [1000, 1000, 1]
    assert [one["deviceId"] for devices in lists for one in devices] == names


@pytest.mark.parametrize(
    ("status", "word"),
    [(S.SCHEDULED, "InProgress"), (S.ENDED, "Finished"), (S.FAILED, "UpgradeFailed")],
)
async def test_progress_is_told(
    database: Database, account_id: AccountId, status: CampaignStatus, word: str
) -> None:
    """Once it runs, an upgrade tells its status, and of devices those that changed."""
    await database.transact(notify_campaign, told(account_id, status), START)
    changes = [
        change(1, U.SUCCEEDED, R.SUCCESS),
        change(2, U.QUEUED, R.RETRY_QUEUED),
    ]
    await database.transact(notify_devices, told(account_id, status), changes, START)
    own, devices = [body for _, _, body in await database.report(queued)]
    assert own == message("upgradeProgress", upgradeProgress=upgrade(word))
    assert devices == message(
        "upgradeProgress",
        upgradeProgress=upgrade(
            word,
            ("000000000000001", "UpgradeSuccess", "success"),
            ("000000000000002", "UpgradePending", "Upgrade failed, device is queued for retry"),
        ),
    )


async def test_devices_added_before_the_start(database: Database, account_id: AccountId) -> None:
    """Devices that come into an upgrade that waits are told of as those that were there."""
    changes = [change(1, U.ACCEPTED, R.CHECKED)]
    await database.transact(notify_devices, told(account_id, S.REQUEST_QUEUED), changes, START)
    ((_, _, body),) = await database.report(queued)
    assert body["type"] == "upgradeScheduled"
    assert body["upgradeScheduled"]["deviceList"] == [
        {"deviceId": "000000000000001", "status": "Device Accepted", "resultReason": "success"}
    ]


@pytest.mark.parametrize("status", [S.REQUEST_PENDING, S.CANCELLED, S.ABORTED])
async def test_nothing_is_told(
    database: Database, account_id: AccountId, status: CampaignStatus
) -> None:
    """While the checks are under way there is nothing to tell, and what was cancelled never was."""
    await database.transact(notify_campaign, told(account_id, status), START)
    changes = [change(1, U.CANCELLED, R.BY_USER)]
    await database.transact(notify_devices, told(account_id, status), changes, START)
    assert await database.report(queued) == []


async def test_new_firmware_is_told(database: Database, account_id: AccountId) -> None:
    """Firmware for devices that are pushed is told as the catalogue shows it; software is v2's."""
    await database.transact(notify_package, Software(protocol="HTTP"), [account_id], START)
    for protocol in ("OMADM", "LWM2M"):
        package = Software(protocol=protocol)
        await database.transact(notify_package, package, [account_id], START)
    found = await database.report(queued)
    firmware = {
        "firmwareName": "VerizonFirmwareVersion-02To03",
        "participantName": "0242078689-00001",
        "launchDate": "2026-02-01T23:30:00.000Z",
        "releaseNote": "better",
        "model": "VZW1",
        "make": "Verizon",
        "fromVersion": "02",
        "toVersion": "03",
    }
    assert [(stream, body) for stream, _, body in found] == [
        (CATALOGUE, message("newFirmware", firmwareList=[firmware]))
    ] * 2
