"""Verbose logging of devices, what they sent, and when they checked in.

Check-ins have no index by device, which would cost a page for each of them: each row knows its
device's previous one, and ``device_seen`` the latest (``store/seen.py`` writes both).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from overair.core.ids import AccountId, DeviceId
from overair.store.database import Row, Tx, from_ms, to_ms

# Switches ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """A device with logging on."""

    imei: str
    expires_at: datetime


_ON = """select d.imei, g.expires_at from device_logging g join device d on d.id = g.device_id
 where g.account_id = ? and g.expires_at > ?"""


def _logging(row: Row) -> Logging:
    return Logging(imei=row[0], expires_at=from_ms(row[1]))


def lock_account(tx: Tx, account_id: AccountId) -> None:
    """Let one transaction at a time switch an account's devices."""
    if tx.dialect == "postgres":
        # Weaker than "for update": rows that refer to the account may still be written.
        tx.one("select id from account where id = ? for no key update", (account_id,))


def switched_on(tx: Tx, account_id: AccountId, now: datetime) -> list[Logging]:
    """The account's devices with logging on, by IMEI."""
    rows = tx.all(f"{_ON} order by d.imei", (account_id, to_ms(now)))
    return [_logging(row) for row in rows]


def switched_on_ids(tx: Tx, account_id: AccountId, now: datetime) -> set[DeviceId]:
    """The same, as ids."""
    rows = tx.all(
        "select device_id from device_logging where account_id = ? and expires_at > ?",
        (account_id, to_ms(now)),
    )
    return {DeviceId(row[0]) for row in rows}


def switch_on(
    tx: Tx, account_id: AccountId, device_ids: Iterable[DeviceId], expires_at: datetime
) -> None:
    """On, or on for longer."""
    tx.many(
        "insert into device_logging (device_id, account_id, expires_at) values (?, ?, ?)"
        " on conflict (device_id) do update set expires_at = excluded.expires_at",
        [(device_id, account_id, to_ms(expires_at)) for device_id in sorted(device_ids)],
    )


def switch_off(tx: Tx, device_ids: Iterable[DeviceId]) -> None:
    """Off; where it is off already nothing happens."""
    tx.many(
        "delete from device_logging where device_id = ?",
        [(device_id,) for device_id in sorted(device_ids)],
    )


def forget_expired(tx: Tx, now: datetime, limit: int) -> int:
    """Delete switches that went off by themselves; how many."""
    return tx.execute(
        "delete from device_logging where device_id in"
        " (select device_id from device_logging where expires_at <= ? limit ?)",
        (to_ms(now), limit),
    )


# Entries -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """Something that a device logged; a binary log has a name and no text."""

    at: datetime
    type: str  # as published (``api.md`` 5.18)
    text: str
    binary: bytes | None = None
    binary_name: str = ""


def add(tx: Tx, device_id: DeviceId, entries: Iterable[LogEntry]) -> None:
    """Keep what a device logged, in order."""
    tx.many(
        "insert into device_log (device_id, at, type, text, binary_file, binary_name)"
        " values (?, ?, ?, ?, ?, ?)",
        [
            (device_id, to_ms(entry.at), entry.type, entry.text, entry.binary, entry.binary_name)
            for entry in entries
        ],
    )


def keep_latest(tx: Tx, device_id: DeviceId, count: int) -> None:
    """Delete all but the device's latest ``count`` entries."""
    row = tx.one(
        "select id from device_log where device_id = ? order by id desc limit 1 offset ?",
        (device_id, count),
    )
    if row is not None:
        tx.execute("delete from device_log where device_id = ? and id <= ?", (device_id, row[0]))


def entries(
    tx: Tx, device_id: DeviceId, since: datetime, *, limit: int, limit_bytes: int
) -> list[LogEntry]:
    """The device's latest entries, newest first: so many, and of so many bytes, at most.

    The newest is always there, however long it is.
    """
    oldest: int | None = None
    total = 0
    sizes = tx.all(
        "select id, length(text) + coalesce(length(binary_file), 0) from device_log"
        " where device_id = ? and at >= ? order by id desc limit ?",
        (device_id, to_ms(since), limit),
    )
    for entry_id, size in sizes:
        total += size
        if oldest is not None and total > limit_bytes:
            break
        oldest = entry_id
    if oldest is None:
        return []
    rows = tx.all(
        "select at, type, text, binary_file, binary_name from device_log"
        " where device_id = ? and at >= ? and id >= ? order by id desc",
        (device_id, to_ms(since), oldest),
    )
    return [
        LogEntry(
            at=from_ms(row[0]),
            type=row[1],
            text=row[2],
            binary=None if row[3] is None else bytes(row[3]),
            binary_name=row[4],
        )
        for row in rows
    ]


def forget_entries(tx: Tx, before: datetime, limit: int) -> int:
    """Delete entries older than that, oldest first; how many."""
    return tx.execute(
        "delete from device_log where id in"
        " (select id from device_log where at < ? order by at limit ?)",
        (to_ms(before), limit),
    )


# Check-ins ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCheckIn:
    """A check-in as the history shows it."""

    at: datetime
    result: str
    failure_type: str


def check_ins(tx: Tx, device_id: DeviceId, since: datetime, limit: int) -> list[PastCheckIn]:
    """The device's check-ins, newest first."""
    # Ids only grow and old rows go first, so a link may lead nowhere, and never to a younger row.
    rows = tx.all(
        "with recursive chain (id, at, result, failure_type, previous_id, place) as ("
        "select c.id, c.at, c.result, c.failure_type, c.previous_id, 1 from device_seen s"
        " join check_in c on c.id = s.check_in_id and c.device_id = s.device_id"
        " where s.device_id = ?"
        " union all"
        " select c.id, c.at, c.result, c.failure_type, c.previous_id, chain.place + 1 from chain"
        " join check_in c on c.id = chain.previous_id where c.device_id = ? and chain.place < ?)"
        " select at, result, failure_type from chain where at >= ? order by place",
        (device_id, device_id, limit, to_ms(since)),
    )
    return [PastCheckIn(at=from_ms(row[0]), result=row[1], failure_type=row[2]) for row in rows]
