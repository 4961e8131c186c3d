"""Licences, and the list of those that are to go first.

``subscription.license_used_count`` always equals the number of the account's licence rows. Whoever
adds or takes rows locks the subscription first, and the count moves by compare-and-set: it cannot
pass the pool, however many processes assign at once. Locks are taken in the order subscription,
devices by id, licences.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from overair.core.ids import AccountId, DeviceId, UpgradeId
from overair.core.licenses import LicensedDevice
from overair.core.upgrade import UpgradeState
from overair.store import devices, lwm2m_watch
from overair.store.database import Row, Tx, for_update, from_ms, marks, to_ms

CHUNK = 500  # values to one IN list


@dataclass(frozen=True, slots=True, kw_only=True)
class License:
    """A licence as the lists show it."""

    imei: str
    assigned_at: datetime


_LIST = """select d.imei, l.assigned_at from device d join license l on l.device_id = d.id
 where d.account_id = ?"""


def _license(row: Row) -> License:
    return License(imei=row[0], assigned_at=from_ms(row[1]))


def page(tx: Tx, account_id: AccountId, after_imei: str, limit: int) -> list[License]:
    """Licences by IMEI, from the one after ``after_imei``."""
    rows = tx.all(
        f"{_LIST} and d.imei > ? order by d.imei limit ?", (account_id, after_imei, limit)
    )
    return [_license(row) for row in rows]


def page_at(tx: Tx, account_id: AccountId, offset: int, limit: int) -> list[License]:
    """Licences by IMEI, without the first ``offset`` (v1 pages by number, ``api.md`` 7.2)."""
    rows = tx.all(f"{_LIST} order by d.imei limit ? offset ?", (account_id, limit, offset))
    return [_license(row) for row in rows]


def rank(tx: Tx, account_id: AccountId, imei: str) -> int:
    """How many licences there are up to that IMEI: the number of the first record after it."""
    row = tx.one(
        "select count(*) from device d join license l on l.device_id = d.id"
        " where d.account_id = ? and d.imei <= ?",
        (account_id, imei),
    )
    assert row is not None
    return int(row[0])


def _chunks(device_ids: Iterable[DeviceId]) -> Iterator[list[DeviceId]]:
    ordered = sorted(device_ids)
    for start in range(0, len(ordered), CHUNK):
        yield ordered[start : start + CHUNK]


def devices_by_imei(
    tx: Tx, account_id: AccountId, imeis: Sequence[str]
) -> dict[str, LicensedDevice]:
    """The account's devices among the IMEIs, locked."""
    return _locked(tx, devices.ids_of(tx, account_id, imeis).values())


def devices_by_id(tx: Tx, device_ids: Iterable[DeviceId]) -> list[LicensedDevice]:
    """These devices, locked."""
    return list(_locked(tx, device_ids).values())


def _locked(tx: Tx, device_ids: Iterable[DeviceId]) -> dict[str, LicensedDevice]:
    found: dict[str, LicensedDevice] = {}
    for chunk in _chunks(device_ids):
        # The lock first and the facts after it: a reader that waited would see what was before.
        if tx.dialect == "postgres":
            tx.all(
                f"select id from device where id in ({marks(len(chunk))}) order by id"
                + for_update(tx),
                chunk,
            )
        rows = tx.all(
            "select d.imei, d.id, d.fota_eligible, l.device_id, l.used_at, d.open_upgrade_id,"
            " u.state, d.open_attempt_id, l.ends_after_upgrade from device d"
            " left join license l on l.device_id = d.id"
            " left join device_upgrade u on u.id = d.open_upgrade_id"
            f" where d.id in ({marks(len(chunk))})",
            chunk,
        )
        for row in rows:
            upgrade_id = None if row[5] is None else UpgradeId(row[5])
            at_work = row[7] is not None
            found[row[0]] = LicensedDevice(
                id=DeviceId(row[1]),
                eligible=bool(row[2]),
                licensed=row[3] is not None,
                ending=bool(row[8]),
                used=row[4] is not None,
                open_upgrade_id=upgrade_id,
                started=upgrade_id is not None and (at_work or row[6] == UpgradeState.PENDING),
                at_work=at_work,
            )
    return found


def add(tx: Tx, account_id: AccountId, device_ids: Sequence[DeviceId], now: datetime) -> None:
    """Licences for devices that have none; the caller has seen that the pool has room."""
    tx.many(
        "insert into license (device_id, account_id, assigned_at) values (?, ?, ?)",
        [(device_id, account_id, to_ms(now)) for device_id in sorted(device_ids)],
    )
    changed = tx.execute(
        "update subscription set license_used_count = license_used_count + ?"
        " where account_id = ? and license_used_count + ? <= license_count",
        (len(device_ids), account_id, len(device_ids)),
    )
    assert changed == 1, f"account {account_id} has not {len(device_ids)} licences left"
    lwm2m_watch.follow(tx, device_ids)


def drop(tx: Tx, account_id: AccountId, device_ids: Iterable[DeviceId], now: datetime) -> int:
    """Take licences back into the pool, and the devices off the list; how many there were."""
    dropped = unlisted = 0
    leaving = list(device_ids)
    for chunk in _chunks(leaving):
        dropped += tx.execute(
            f"delete from license where account_id = ? and device_id in ({marks(len(chunk))})",
            [account_id, *chunk],
        )
        unlisted += tx.execute(
            "delete from cancel_candidate"
            f" where account_id = ? and device_id in ({marks(len(chunk))})",
            [account_id, *chunk],
        )
    if dropped:
        tx.execute(
            "update subscription set license_used_count = license_used_count - ?"
            " where account_id = ?",
            (dropped, account_id),
        )
        lwm2m_watch.follow(tx, leaving)
    if unlisted:
        tx.execute(
            "update cancel_list set updated_at = ? where account_id = ?", (to_ms(now), account_id)
        )
    return dropped


def lasting_count(tx: Tx, account_id: AccountId) -> int:
    """Licences that do not end with an upgrade under way."""
    row = tx.one(
        "select count(*) from license where account_id = ? and not ends_after_upgrade",
        (account_id,),
    )
    assert row is not None
    return int(row[0])


def listed_losers(tx: Tx, account_id: AccountId, limit: int) -> list[DeviceId]:
    """Devices of the cancellation list that have a lasting licence, from its head."""
    rows = tx.all(
        "select c.device_id from cancel_candidate c join license l on l.device_id = c.device_id"
        " where c.account_id = ? and not l.ends_after_upgrade order by c.position limit ?",
        (account_id, limit),
    )
    return [DeviceId(row[0]) for row in rows]


def oldest_losers(tx: Tx, account_id: AccountId, limit: int) -> list[DeviceId]:
    """Devices with a lasting licence, oldest assignment first."""
    rows = tx.all(
        "select device_id from license where account_id = ? and not ends_after_upgrade"
        " order by assigned_at, device_id limit ?",
        (account_id, limit),
    )
    return [DeviceId(row[0]) for row in rows]


def unlicensed_upgrades(tx: Tx, account_id: AccountId, limit: int | None) -> list[UpgradeId]:
    """What has not started, or is tried on after its campaign, on devices without a licence."""
    end = "" if limit is None else f" limit {limit}"
    rows = tx.all(
        "select u.id from device_upgrade u join device d on d.id = u.device_id"
        " left join license l on l.device_id = d.id"
        " where d.account_id = ? and l.device_id is null"
        " and (u.state = 'queued' or u.state = 'accepted' and u.id = d.open_upgrade_id)"
        f" order by u.id{end}",
        (account_id,),
    )
    return [UpgradeId(row[0]) for row in rows]


def end_after_upgrade(tx: Tx, device_ids: Iterable[DeviceId]) -> None:
    """These licences go when the devices' present upgrades have ended."""
    tx.many(
        "update license set ends_after_upgrade = true where device_id = ?",
        [(device_id,) for device_id in sorted(device_ids)],
    )


def keep(tx: Tx, device_ids: Iterable[DeviceId]) -> None:
    """These licences do not go with the devices' upgrades after all."""
    tx.many(
        "update license set ends_after_upgrade = false where device_id = ?",
        [(device_id,) for device_id in sorted(device_ids)],
    )


def is_monitored(tx: Tx, device_id: DeviceId) -> bool:
    """Whether the device has a licence, or is in a v3 campaign that is not over for it."""
    row = tx.one(
        "select 1 from device d where d.id = ? and (exists"
        " (select 1 from license l where l.device_id = d.id) or exists"
        " (select 1 from device_upgrade u join campaign c on c.id = u.campaign_id"
        " where u.id = d.open_upgrade_id and c.api_version = 3))",
        (device_id,),
    )
    return row is not None


def has_license(tx: Tx, device_id: DeviceId) -> bool:
    """Whether the device has a licence."""
    return tx.one("select 1 from license where device_id = ?", (device_id,)) is not None


def ending_account(tx: Tx, device_id: DeviceId) -> AccountId | None:
    """The account whose licence on this device ends with its upgrade; None: none does."""
    row = tx.one(
        "select account_id from license where device_id = ? and ends_after_upgrade", (device_id,)
    )
    return None if row is None else AccountId(row[0])


def mark_used(tx: Tx, account_id: AccountId, device_id: DeviceId, now: datetime) -> bool | None:
    """An upgrade completed under the device's licence: whether it stays; None if it has none."""
    row = tx.one(
        "update license set used_at = coalesce(used_at, ?) where device_id = ? and account_id = ?"
        " returning ends_after_upgrade",
        (to_ms(now), device_id, account_id),
    )
    return None if row is None else not row[0]


# Candidates for cancellation ---------------------------------------------------------------------


def lock_candidates(tx: Tx, account_id: AccountId, now: datetime) -> None:
    """Let one transaction at a time change the account's list, which exists from now on."""
    tx.execute(
        "insert into cancel_list (account_id, updated_at) values (?, ?)"
        " on conflict (account_id) do update set updated_at = excluded.updated_at",
        (account_id, to_ms(now)),
    )


def add_candidates(tx: Tx, account_id: AccountId, imeis: Sequence[str]) -> None:
    """Put the account's devices among the IMEIs at the end of the list, in order."""
    row = tx.one(
        "select coalesce(max(position), 0) from cancel_candidate where account_id = ?",
        (account_id,),
    )
    assert row is not None
    tx.many(
        "insert into cancel_candidate (account_id, position, device_id)"
        " select account_id, ?, id from device where account_id = ? and imei = ?"
        " on conflict (account_id, device_id) do nothing",
        [(row[0] + n, account_id, imei) for n, imei in enumerate(imeis, 1)],
    )


def clear_candidates(tx: Tx, account_id: AccountId) -> None:
    """Empty the list."""
    tx.execute("delete from cancel_candidate where account_id = ?", (account_id,))


def forget_candidates(tx: Tx, account_id: AccountId) -> None:
    """There is no list any more."""
    clear_candidates(tx, account_id)
    tx.execute("delete from cancel_list where account_id = ?", (account_id,))


def candidates(
    tx: Tx, account_id: AccountId, offset: int = 0, limit: int | None = None
) -> list[str]:
    """IMEIs on the list, from its head."""
    bound = "" if limit is None else " limit ? offset ?"
    rows = tx.all(
        "select d.imei from cancel_candidate c join device d on d.id = c.device_id"
        f" where c.account_id = ? order by c.position{bound}",
        (account_id,) if limit is None else (account_id, limit, offset),
    )
    return [row[0] for row in rows]


def candidate_count(tx: Tx, account_id: AccountId) -> int:
    """Devices on the list."""
    row = tx.one("select count(*) from cancel_candidate where account_id = ?", (account_id,))
    assert row is not None
    return int(row[0])


def candidates_updated_at(tx: Tx, account_id: AccountId) -> datetime | None:
    """When the list was last written; None if there is none."""
    row = tx.one("select updated_at from cancel_list where account_id = ?", (account_id,))
    return None if row is None else from_ms(row[0])
