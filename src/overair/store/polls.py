"""What a device's request needs to know, in as few statements as can be: the hottest reads.

An idle poll is one point read (``find_device``). Only a device that has an action or is in a
campaign costs a second one (``find_work``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from overair.core.attempt import AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.ids import AccountId, AttemptId, CampaignId, DeviceId, PackageId, UpgradeId
from overair.core.plan import Rules
from overair.core.upgrade import UpgradeState
from overair.core.window import decode_windows
from overair.store import attempts, upgrades
from overair.store.campaigns import Campaign
from overair.store.database import Row, Tx, for_update, from_ms, opt_from_ms
from overair.store.upgrades import Upgrade


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """An account as devices see it."""

    account_id: AccountId
    name: str
    alias: str | None
    active: bool
    gateway_token_hash: str | None
    auto_register: bool
    poll_interval_s: int | None


def tenants(tx: Tx) -> list[Tenant]:
    """Every account; there are few, and the edge keeps them for a second."""
    return [
        Tenant(
            account_id=AccountId(row[0]),
            name=row[1],
            alias=row[2],
            active=bool(row[3]),
            gateway_token_hash=row[4],
            auto_register=bool(row[5]),
            poll_interval_s=row[6],
        )
        for row in tx.all(
            "select id, name, alias, active, gateway_token_hash, auto_register, poll_interval_s"
            " from account"
        )
    ]


class Device(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A device as its own requests see it, in the order in which it is read."""

    id: DeviceId
    account_id: AccountId
    imei: str
    controller_id: str
    token_hash: str | None
    protocol: str
    two_phase: bool | None
    time_zone: str | None
    poll_interval_s: int | None
    wants_attributes: bool
    open_upgrade_id: UpgradeId | None
    open_attempt_id: AttemptId | None
    installed_attempt_id: AttemptId | None
    logging_until_ms: int | None  # its verbose logging is on until then

    @property
    def zone(self) -> tzinfo | None:
        return None if self.time_zone is None else ZoneInfo(self.time_zone)


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A device in an unfinished campaign, as an offer has to know it, and its place there."""

    protocol: str
    two_phase: bool | None
    time_zone: str | None
    open_attempt_id: AttemptId | None
    upgrade: Upgrade

    @property
    def zone(self) -> tzinfo | None:
        return None if self.time_zone is None else ZoneInfo(self.time_zone)


_DEVICE: Final = """id, account_id, imei, controller_id, token_hash, protocol, two_phase, time_zone,
 poll_interval_s, wants_attributes, open_upgrade_id, open_attempt_id, installed_attempt_id,
 (select expires_at from device_logging where device_id = device.id)"""


def find_device(tx: Tx, account_id: AccountId, controller_id: str) -> Device | None:
    """The account's device that calls itself so."""
    return tx.row(
        Device,
        _DEVICE,
        "from device where account_id = ? and controller_id = ?",
        (account_id, controller_id),
    )


def find_devices(
    tx: Tx, keys: Sequence[tuple[AccountId, str]]
) -> dict[tuple[AccountId, str], Device]:
    """Those of the devices that there are, by account and name."""
    if tx.dialect == "sqlite":
        return _of_accounts(tx, keys)
    found = tx.rows(
        Device,
        _DEVICE,
        "from device join unnest(cast(? as bigint[]), cast(? as text[])) asked (account, name)"
        " on account_id = account and controller_id = name",
        ([account_id for account_id, _ in keys], [name for _, name in keys]),
    )
    return {(device.account_id, device.controller_id): device for device in found}


def _of_accounts(
    tx: Tx, keys: Sequence[tuple[AccountId, str]]
) -> dict[tuple[AccountId, str], Device]:
    """``find_devices`` with a statement for each account: SQLite knows lists of one column only."""
    names: dict[AccountId, list[str]] = {}
    for account_id, name in keys:
        names.setdefault(account_id, []).append(name)
    found: dict[tuple[AccountId, str], Device] = {}
    for account_id, asked in names.items():
        if len(asked) == 1:
            device = find_device(tx, account_id, asked[0])
            if device is not None:
                found[account_id, asked[0]] = device
            continue
        for device in tx.rows(
            Device,
            _DEVICE,
            "from device where account_id = ? and controller_id in (select value from json_each(?))",
            (account_id, msgspec.json.encode(asked).decode()),
        ):
            found[account_id, device.controller_id] = device
    return found


def get_device(tx: Tx, device_id: DeviceId, *, lock: bool = False) -> Device:
    """The device, which must exist."""
    end = for_update(tx) if lock else ""
    device = tx.row(Device, _DEVICE, f"from device where id = ?{end}", (device_id,))
    assert device is not None, f"no device {device_id}"
    return device


def candidate(tx: Tx, device_id: DeviceId) -> Candidate | None:
    """The device and its place in an unfinished campaign, both locked; None if it is in none."""
    row = tx.row(
        Row,
        f"d.protocol, d.two_phase, d.time_zone, d.open_attempt_id, {upgrades.COLUMNS}",
        "from device d join device_upgrade u on u.id = d.open_upgrade_id"
        f" where d.id = ?{for_update(tx)}",
        (device_id,),
    )
    if row is None:
        return None
    two_phase = None if row[1] is None else bool(row[1])
    return Candidate(row[0], two_phase, row[2], row[3], upgrades.from_row(row[4:]))


def lock_device(tx: Tx, device_id: DeviceId) -> None:
    """Let nobody else change the device, or offer it anything, before this transaction is over."""
    if lock := for_update(tx):
        tx.one(f"select 1 from device where id = ?{lock}", (device_id,))


def try_lock_device(tx: Tx, device_id: DeviceId) -> bool:
    """``lock_device``, unless somebody else has it: then leave the device to them."""
    if tx.dialect == "sqlite":
        return True
    sql = "select 1 from device where id = ? for no key update skip locked"
    return tx.one(sql, (device_id,)) is not None


class OpenUpgrade(msgspec.Struct, frozen=True, gc=False):
    """The device's place in an unfinished campaign, with the campaign's rules."""

    id: UpgradeId
    campaign_id: CampaignId
    package_id: PackageId
    state: UpgradeState
    attempts: int
    not_before: datetime | None
    rules: Rules


class Deployment(msgspec.Struct, frozen=True, gc=False):
    """All that a device is told of an attempt, in the order in which it is read."""

    rules: Rules
    state: AttemptState
    attempt_id: AttemptId
    device_id: DeviceId
    upgrade_id: UpgradeId
    downloaded_ms: int | None
    cancel_refused_ms: int | None
    campaign_uuid: str
    campaign_tag: int
    package_id: PackageId
    kind: str
    name: str
    version: str
    part: str
    local_target_path: str
    file_name: str
    sha256: str
    sha1: str
    md5: str
    size_bytes: int
    stored_ms: int

    @property
    def stored_at(self) -> datetime:
        return from_ms(self.stored_ms)


_RULES = """c.status, c.start_date, c.end_date, c.download_after_date, c.download_windows,
 c.install_after_date, c.install_windows"""


def _rules(row: Row) -> Rules:
    return _read_rules(*row[:7])


@lru_cache(maxsize=1024)  # a hundred thousand devices ask for those of one campaign
def _read_rules(
    status: str,
    start_date: str,
    end_date: str,
    download_after: str | None,
    download_windows: str,
    install_after: str | None,
    install_windows: str,
) -> Rules:
    from_iso = date.fromisoformat
    return Rules(
        status=CampaignStatus(status),
        start_date=from_iso(start_date),
        end_date=from_iso(end_date),
        download_after=None if download_after is None else from_iso(download_after),
        download_windows=decode_windows(download_windows),
        install_after=None if install_after is None else from_iso(install_after),
        install_windows=decode_windows(install_windows),
    )


def open_upgrade(tx: Tx, upgrade_id: UpgradeId) -> OpenUpgrade | None:
    """The upgrade with its campaign's rules; None if it was just removed."""
    row = tx.row(
        Row,
        f"{_RULES}, u.id, u.campaign_id, c.package_id, u.state, u.attempts, u.not_before",
        "from device_upgrade u join campaign c on c.id = u.campaign_id where u.id = ?",
        (upgrade_id,),
    )
    if row is None:
        return None
    return OpenUpgrade(
        id=UpgradeId(row[7]),
        campaign_id=CampaignId(row[8]),
        package_id=PackageId(row[9]),
        state=upgrades.STATES[row[10]],
        attempts=row[11],
        not_before=opt_from_ms(row[12]),
        rules=_rules(row),
    )


def deployment(tx: Tx, attempt_id: AttemptId) -> Deployment | None:
    """The attempt of that id with all that its device is told of it."""
    row = tx.row(
        Row,
        f"{_RULES}, t.state, t.id, t.device_id, t.upgrade_id, t.downloaded_at,"
        " t.cancel_refused_at, c.uuid, c.tag, p.id, p.kind, p.name, p.to_version, p.part,"
        " p.local_target_path, t.file_name, f.sha256, f.sha1, f.md5, f.size_bytes,"
        " f.created_at",
        "from attempt t join campaign c on c.id = t.campaign_id"
        " join package p on p.id = t.package_id"
        " join artifact f on f.sha256 = t.artifact_sha256 where t.id = ?",
        (attempt_id,),
    )
    if row is None:
        return None
    return Deployment(_rules(row), attempts.STATES[row[7]], *row[8:])


def offered(
    tx: Tx,
    campaign: Campaign,
    device_id: DeviceId,
    upgrade_id: UpgradeId,
    attempt_id: AttemptId,
    sha256: str,
    file_name: str,
) -> Deployment:
    """The same of an attempt that was made a moment ago."""
    part, path, sha1, md5, size_bytes, stored_ms = tx.kept(_content, campaign.package_id, sha256)
    return Deployment(
        attempt_id=attempt_id,
        device_id=device_id,
        upgrade_id=upgrade_id,
        state=AttemptState.OFFERED,
        downloaded_ms=None,
        cancel_refused_ms=None,
        campaign_uuid=campaign.uuid,
        campaign_tag=campaign.tag,
        rules=campaign.rules,
        package_id=campaign.package_id,
        kind=campaign.kind,
        name=campaign.package_name,
        version=campaign.to_version,
        part=part,
        local_target_path=path,
        file_name=file_name,
        sha256=sha256,
        sha1=sha1,
        md5=md5,
        size_bytes=size_bytes,
        stored_ms=stored_ms,
    )


def _content(tx: Tx, package_id: PackageId, sha256: str) -> Row:
    row = tx.one(
        "select p.part, p.local_target_path, f.sha1, f.md5, f.size_bytes, f.created_at"
        " from package p join artifact f on f.sha256 = ? where p.id = ?",
        (sha256, package_id),
    )
    assert row is not None
    return row


def size_of(tx: Tx, sha256: str) -> int:
    """How many bytes an artifact has, which must exist."""
    row = tx.one("select size_bytes from artifact where sha256 = ?", (sha256,))
    assert row is not None, f"no artifact {sha256}"
    return int(row[0])


def artifact_of(tx: Tx, package_id: PackageId) -> tuple[str, str] | None:
    """(sha256, stored file name) of a package's bytes; None if it has none."""
    row = tx.one("select artifact_sha256, file_name from package where id = ?", (package_id,))
    if row is None or row[0] is None or row[1] is None:
        return None
    return row[0], row[1]
