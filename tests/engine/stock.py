"""What engine tests start from: accounts, devices, packages, and campaigns that are carried on.

Everything that the engine can make is made by the engine; accounts and devices, which come from
fleet files, are written as rows.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from overair.config import Settings
from overair.core.attempt import AttemptEvent
from overair.core.ids import AccountId, AttemptId, CampaignId, DeviceId
from overair.engine.advance import step
from overair.engine.assign import offer, retrieve
from overair.engine.catalog import Software, put_software
from overair.engine.outcome import DeviceEvent, record
from overair.engine.schedule import CampaignRequest, schedule_campaign
from overair.store import campaigns, polls
from overair.store.database import Tx, to_ms

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
SETTINGS = Settings()
SOFTWARE = "FOTA_Acme_X1_01To02"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """Digests of bytes that were never there."""

    sha256: str = "a" * 64
    sha1: str = "b" * 40
    md5: str = "c" * 32
    size_bytes: int = 1000


def imei(number: int) -> str:
    """A device id."""
    return f"99001390{number:07d}"


def add_account(tx: Tx, name: str = "0000123456-00001") -> AccountId:
    row = tx.one(
        "insert into account (name, created_at) values (?, ?) returning id", (name, to_ms(NOW))
    )
    assert row is not None
    return AccountId(row[0])


def add_devices(
    tx: Tx,
    account_id: AccountId,
    numbers: Sequence[int],
    *,
    make: str = "Acme",
    model: str = "X1",
    protocol: str = "HTTP",
    eligible: bool = True,
) -> list[DeviceId]:
    for number in numbers:
        tx.execute(
            "insert into device (account_id, imei, make, model, protocol, version, fota_eligible,"
            " controller_id, created_at, updated_at) values (?, ?, ?, ?, ?, '01', ?, ?, ?, ?)",
            (account_id, imei(number), make, model, protocol, eligible, imei(number), 0, 0),
        )
    return [device_of(tx, number) for number in numbers]


def device_of(tx: Tx, number: int) -> DeviceId:
    row = tx.one("select id from device where imei = ?", (imei(number),))
    assert row is not None
    return DeviceId(row[0])


def software(**changes: object) -> Software:
    """The package that the devices above can be upgraded with."""
    facts: dict[str, object] = {
        "name": SOFTWARE,
        "protocol": "HTTP",
        "make": "Acme",
        "model": "X1",
        "from_version": "01",
        "to_version": "02",
        "launch_at": NOW,
        "file_name": "x1-02.swu",
        "artifact": Bytes(),
    }
    return Software(**(facts | changes))  # type: ignore[arg-type]  # members by name, for tests


def schedule(
    tx: Tx, account_id: AccountId, numbers: Sequence[int], *, start: datetime = NOW
) -> CampaignId:
    """A campaign over these devices that passed its checks; one that starts today runs."""
    put_software(tx, software(), NOW)
    campaign = schedule_campaign(
        tx,
        CampaignRequest(
            uuid=str(uuid.UUID(int=1000 + numbers[0], version=4)),
            account_id=account_id,
            api_version=2,
            kind="software",
            name="a campaign",
            package_name=SOFTWARE,
            from_version="01",
            to_version="02",
            protocols=frozenset({"HTTP"}),
            distribution_type="HTTP",
            start_date=start.date(),
            end_date=start.date() + timedelta(days=5),
            download_after=None,
            download_windows=(),
            install_after=None,
            install_windows=(),
            imeis=[imei(number) for number in numbers],
        ),
        SETTINGS,
        NOW,
    )
    advance(tx, NOW)
    return campaign.id


def advance(tx: Tx, now: datetime) -> None:
    """Carry every due campaign as far as it goes."""
    claimed = campaigns.claim(tx, "test", now, now + timedelta(seconds=60), 100)
    for campaign_id in claimed:
        while step(tx, campaign_id, "test", SETTINGS, now):
            pass
    campaigns.release(tx, claimed, "test")


def begin(tx: Tx, number: int, now: datetime = NOW) -> AttemptId:
    """The device polls, is offered its upgrade, and fetches the deployment."""
    device_id = device_of(tx, number)
    offer(tx, device_id, SETTINGS, now)
    attempt_id = polls.get_device(tx, device_id).open_attempt_id
    assert attempt_id is not None
    retrieve(tx, device_id, attempt_id, now)
    return attempt_id


def report(tx: Tx, number: int, event: AttemptEvent, now: datetime = NOW) -> None:
    """The device's open action gets there."""
    device_id = device_of(tx, number)
    attempt_id = polls.get_device(tx, device_id).open_attempt_id
    assert attempt_id is not None
    record(tx, DeviceEvent(device_id=device_id, attempt_id=attempt_id, event=event), SETTINGS, now)


def upgrade(tx: Tx, number: int, now: datetime = NOW) -> None:
    """The device is upgraded, from offer to success."""
    begin(tx, number, now)
    report(tx, number, AttemptEvent.SUCCEED, now)
