"""Devices as the management API lists them, and their upgrade history. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from overair.core.ids import AccountId, DeviceId
from overair.core.upgrade import Reason, UpgradeState
from overair.store.database import Row, Tx, from_ms, marks, opt_from_ms, to_ms

CHUNK = 500  # values to one IN list


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """Something that an upgrade put on a device."""

    name: str
    version: str
    kind: str  # software, file
    upgraded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device's record."""

    id: DeviceId
    account_id: AccountId
    imei: str
    mdn: str
    make: str
    model: str
    protocol: str
    version: str
    fota_eligible: bool
    status: str
    licensed: bool
    software: tuple[Software, ...]  # by name
    created_at: datetime
    updated_at: datetime
    upgraded_at: datetime | None
    refreshed_at: datetime | None
    seen_at: datetime | None


_SELECT = """select d.id, d.account_id, d.imei, d.mdn, d.make, d.model, d.protocol, d.version,
 d.fota_eligible, d.status, l.device_id, d.created_at, d.updated_at, d.upgraded_at, d.refreshed_at,
 s.seen_at from device d left join license l on l.device_id = d.id
 left join device_seen s on s.device_id = d.id"""


def _device(row: Row, software: Sequence[Software]) -> Device:
    return Device(
        id=DeviceId(row[0]),
        account_id=AccountId(row[1]),
        imei=row[2],
        mdn=row[3],
        make=row[4],
        model=row[5],
        protocol=row[6],
        version=row[7],
        fota_eligible=bool(row[8]),
        status=row[9],
        licensed=row[10] is not None,
        software=tuple(software),
        created_at=from_ms(row[11]),
        updated_at=from_ms(row[12]),
        upgraded_at=opt_from_ms(row[13]),
        refreshed_at=opt_from_ms(row[14]),
        # 0 is written for a device that has only been called by others (``store/seen.py``).
        seen_at=opt_from_ms(row[15] or None),
    )


def page(
    tx: Tx, account_id: AccountId, after_imei: str, protocol: str | None, limit: int
) -> list[Device]:
    """The account's devices by IMEI, from the one after ``after_imei``; of one protocol, if given.

    Two statements, however long the page is.
    """
    only = "" if protocol is None else " and d.protocol = ?"
    params: list[Any] = [account_id, after_imei]
    if protocol is not None:
        params.append(protocol)
    rows = tx.all(
        f"{_SELECT} where d.account_id = ? and d.imei > ?{only} order by d.imei limit ?",
        [*params, limit],
    )
    if not rows:
        return []
    software: dict[DeviceId, list[Software]] = {}
    for row in tx.all(
        "select w.device_id, w.name, w.version, w.kind, w.upgraded_at from device d"
        " join device_software w on w.device_id = d.id"
        f" where d.account_id = ? and d.imei > ?{only} and d.imei <= ? order by d.imei, w.name",
        [*params, rows[-1][2]],
    ):
        software.setdefault(DeviceId(row[0]), []).append(_software(row[1:]))
    return [_device(row, software.get(DeviceId(row[0]), ())) for row in rows]


def _software(row: Row) -> Software:
    return Software(name=row[0], version=row[1], kind=row[2], upgraded_at=from_ms(row[3]))


def by_imei(tx: Tx, imei: str, account_id: AccountId | None = None) -> Device | None:
    """The device of that IMEI, if it is the account's; without an account, for operators only."""
    row = tx.one(f"{_SELECT} where d.imei = ?", (imei,))
    if row is None or (account_id is not None and row[1] != account_id):
        return None
    software = tx.all(
        "select name, version, kind, upgraded_at from device_software where device_id = ?"
        " order by name",
        (row[0],),
    )
    return _device(row, [_software(item) for item in software])


def named(tx: Tx, account_id: AccountId, imeis: Sequence[str]) -> dict[str, Device]:
    """The account's devices among the IMEIs, by IMEI."""
    rows: list[Row] = []
    software: dict[DeviceId, list[Software]] = {}
    for start in range(0, len(imeis), CHUNK):
        chunk = imeis[start : start + CHUNK]
        among = f"d.account_id = ? and d.imei in ({marks(len(chunk))})"
        rows += tx.all(f"{_SELECT} where {among}", [account_id, *chunk])
        for row in tx.all(
            "select w.device_id, w.name, w.version, w.kind, w.upgraded_at from device d"
            f" join device_software w on w.device_id = d.id where {among} order by w.name",
            [account_id, *chunk],
        ):
            software.setdefault(DeviceId(row[0]), []).append(_software(row[1:]))
    return {row[2]: _device(row, software.get(DeviceId(row[0]), ())) for row in rows}


def connected_at(tx: Tx, device_ids: Sequence[DeviceId]) -> dict[DeviceId, datetime]:
    """When these devices were last heard of, by us or by the network; those that never were are missing."""
    found: dict[DeviceId, datetime] = {}
    for start in range(0, len(device_ids), CHUNK):
        chunk = device_ids[start : start + CHUNK]
        for device_id, *instants in tx.all(
            "select d.id, s.seen_at, n.heard_at, n.attached_at,"
            " case when n.reachable then n.reachable_at end from device d"
            " left join device_seen s on s.device_id = d.id"
            " left join device_network n on n.device_id = d.id"
            f" where d.id in ({marks(len(chunk))})",
            list(chunk),
        ):
            last = max(instant or 0 for instant in instants)
            if last:
                found[DeviceId(device_id)] = from_ms(last)
    return found


def ids_of(tx: Tx, account_id: AccountId, imeis: Sequence[str]) -> dict[str, DeviceId]:
    """Ids of the account's devices among the IMEIs."""
    found: dict[str, DeviceId] = {}
    for start in range(0, len(imeis), CHUNK):
        chunk = imeis[start : start + CHUNK]
        rows = tx.all(
            f"select imei, id from device where account_id = ? and imei in ({marks(len(chunk))})",
            [account_id, *chunk],
        )
        found.update((row[0], DeviceId(row[1])) for row in rows)
    return found


def device_id(tx: Tx, account_id: AccountId, imei: str) -> DeviceId | None:
    """The id of the account's device of that IMEI: also whether it may be a cursor."""
    row = tx.one("select id from device where account_id = ? and imei = ?", (account_id, imei))
    return None if row is None else DeviceId(row[0])


def count(tx: Tx, account_id: AccountId) -> int:
    """How many devices the account has."""
    row = tx.one("select count(*) from device where account_id = ?", (account_id,))
    assert row is not None
    return int(row[0])


# History -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PastUpgrade:
    """A device's upgrade that has ended, or at least one attempt of it."""

    campaign_uuid: str
    campaign_name: str
    api_version: int
    kind: str  # software, file
    package_name: str
    from_version: str
    to_version: str
    start_date: date
    state: UpgradeState
    reason: Reason
    started_at: datetime | None
    updated_at: datetime
    attempts: int  # those for which the device turned up


_HISTORY = """select c.uuid, c.name, c.api_version, c.kind, p.name, p.from_version, p.to_version,
 c.start_date, u.state, u.reason, u.started_at, u.updated_at,
 u.attempts - (select count(*) from attempt t where t.upgrade_id = u.id and t.state = 'expired'
  and t.reason = 'no_response') from device_upgrade u
 join campaign c on c.id = u.campaign_id join package p on p.id = c.package_id
 where u.device_id = ? and c.api_version = ? and u.updated_at >= ?"""
_FAILED_ONCE = """u.attempts > 1 or u.attempts = 1 and (u.reason = ? or u.state = ?)"""


def history(
    tx: Tx, device_id: DeviceId, api_version: int, since: datetime, limit: int
) -> list[PastUpgrade]:
    """Upgrades of the device that succeeded or failed since then, newest first."""
    rows = tx.all(
        f"{_HISTORY} and u.state in (?, ?) order by u.id desc limit ?",
        (device_id, api_version, to_ms(since), UpgradeState.SUCCEEDED, UpgradeState.FAILED, limit),
    )
    return _past(rows)


def history_with_retries(
    tx: Tx, device_id: DeviceId, api_version: int, since: datetime, limit: int
) -> list[PastUpgrade]:
    """The same, and those of which an attempt failed, whether others follow or not (v1)."""
    rows = tx.all(
        f"{_HISTORY} and (u.state in (?, ?) or ({_FAILED_ONCE})) order by u.id desc limit ?",
        (
            device_id,
            api_version,
            to_ms(since),
            UpgradeState.SUCCEEDED,
            UpgradeState.FAILED,
            Reason.RETRY_QUEUED,
            UpgradeState.CANCELLED,
            limit,
        ),
    )
    return _past(rows)


def _past(rows: Sequence[Row]) -> list[PastUpgrade]:
    return [
        PastUpgrade(
            campaign_uuid=row[0],
            campaign_name=row[1],
            api_version=row[2],
            kind=row[3],
            package_name=row[4],
            from_version=row[5],
            to_version=row[6],
            start_date=date.fromisoformat(row[7]),
            state=UpgradeState(row[8]),
            reason=Reason(row[9]),
            started_at=opt_from_ms(row[10]),
            updated_at=from_ms(row[11]),
            attempts=row[12],
        )
        for row in rows
    ]
