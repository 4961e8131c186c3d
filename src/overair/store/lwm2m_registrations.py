"""Registrations of LwM2M devices, as they are kept over a restart; written many at a time.

A registration costs the database a share of one statement: a fleet that comes back registers thousands of
devices in a second. On SQLite all rows of a batch go in one value, for the same reason as check-ins do
(``store/seen.py``).

Not in here: who may register, and what is answered (``devices/lwm2m``).
"""

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from overair.core.ids import AttemptId, DeviceId, UpgradeId
from overair.store.database import Row, Tx, marks, to_ms

PAGE = 5000


class Registration(NamedTuple):
    """One device's registration."""

    device_id: DeviceId
    location: str
    endpoint: str
    address: str
    """host:port; "": over DTLS."""
    identity: str
    """Of the DTLS session; "": none."""
    version: str
    binding: str
    queue_mode: bool
    lifetime_s: int
    sms: str
    objects: str
    """The list, as links."""
    registered_ms: int
    expires_ms: int | None


_COLUMNS = """device_id, location, endpoint, address, identity, version, binding, queue_mode, lifetime_s,
 sms, objects, registered_at, expires_at"""
_MERGE = """ on conflict (device_id) do update set location = excluded.location,
 endpoint = excluded.endpoint, address = excluded.address, identity = excluded.identity,
 version = excluded.version, binding = excluded.binding, queue_mode = excluded.queue_mode,
 lifetime_s = excluded.lifetime_s, sms = excluded.sms, objects = excluded.objects,
 registered_at = excluded.registered_at, expires_at = excluded.expires_at"""


def _registration(row: Row) -> Registration:
    return Registration(
        DeviceId(row[0]), row[1], row[2], row[3], row[4], row[5], row[6], bool(row[7]),
        row[8], row[9], row[10], row[11], row[12],
    )  # fmt: skip


def put(tx: Tx, rows: Sequence[Registration]) -> None:
    """Write registrations, each device at most once; a former one of the device is replaced."""
    if not rows:
        return
    if tx.dialect == "sqlite":
        values = ", ".join(f"value ->> {place}" for place in range(13))
        tx.execute(
            f"insert into lwm2m_registration ({_COLUMNS}) select {values} from json_each(?)"
            f" where true{_MERGE}",
            (json.dumps(rows, ensure_ascii=False),),
        )
        return
    tx.many(
        f"insert into lwm2m_registration ({_COLUMNS})"
        f" values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?){_MERGE}",
        sorted(rows),
    )


def prolong(tx: Tx, ends: Sequence[tuple[DeviceId, int | None]]) -> None:
    """Write when registrations end that go on as they are."""
    if not ends:
        return
    if tx.dialect == "sqlite":
        tx.execute(
            "update lwm2m_registration set expires_at = told.value ->> 1 from json_each(?) told"
            " where device_id = told.value ->> 0",
            (json.dumps(ends),),
        )
        return
    tx.many(
        "update lwm2m_registration set expires_at = ? where device_id = ?",
        [(expires_ms, device_id) for device_id, expires_ms in sorted(ends, key=lambda e: e[0])],
    )


def drop(tx: Tx, gone: Sequence[tuple[DeviceId, str]]) -> None:
    """Delete registrations of (device, location), unless the device has registered anew."""
    tx.many(
        "delete from lwm2m_registration where device_id = ? and location = ?",
        [(device_id, location) for device_id, location in sorted(gone)],
    )


def forget_addresses(tx: Tx, device_ids: Sequence[DeviceId]) -> None:
    """Where these devices are, is not known any more."""
    tx.many(
        "update lwm2m_registration set address = '' where device_id = ?",
        [(device_id,) for device_id in sorted(device_ids)],
    )


class Kept(NamedTuple):
    """A registration with what there is to know of its device."""

    registration: Registration
    model: str


def pages(tx: Tx) -> Iterator[list[Kept]]:
    """All of them, by device."""
    after = 0
    columns = ", ".join(f"r.{name.strip()}" for name in _COLUMNS.split(","))
    while True:
        rows = tx.all(
            f"select {columns}, d.make, d.model from lwm2m_registration r"
            " join device d on d.id = r.device_id"
            " where r.device_id > ? order by r.device_id limit ?",
            (after, PAGE),
        )
        if not rows:
            return
        yield [
            Kept(
                _registration(row),
                sys.intern(f"{row[13]} {row[14]}"),
            )
            for row in rows
        ]
        after = rows[-1][0]


def of_device(tx: Tx, device_id: DeviceId) -> Registration | None:
    """The device's registration."""
    row = tx.one(f"select {_COLUMNS} from lwm2m_registration where device_id = ?", (device_id,))
    if row is None:
        return None
    return _registration(row)


# Whether a device can be reached -----------------------------------------------------------------


class Presence(NamedTuple):
    """What the planner of slots has to know of a registration."""

    device_id: DeviceId
    registered: bool
    queue_mode: bool
    lifetime_s: int


def note_presence(tx: Tx, rows: Sequence[Presence], heard_at: datetime) -> None:
    """Devices were heard, or are registered no more; each is there at most once."""
    if not rows:
        return
    at = to_ms(heard_at)
    columns = "device_id, registered, queue_mode, lifetime_s, heard_at"
    merge = (
        " on conflict (device_id) do update set registered = excluded.registered,"
        " queue_mode = excluded.queue_mode, lifetime_s = excluded.lifetime_s,"
        " heard_at = excluded.heard_at"
    )
    if tx.dialect == "sqlite":
        values = ", ".join(f"value ->> {place}" for place in range(4))
        tx.execute(
            f"insert into device_network ({columns}) select {values}, ? from json_each(?)"
            f" where true{merge}",
            (at, json.dumps(rows)),
        )
        return
    tx.many(
        f"insert into device_network ({columns}) values (?, ?, ?, ?, ?){merge}",
        [(*row, at) for row in sorted(rows)],
    )


# What waits for devices ---------------------------------------------------------------------------


class Wanted(NamedTuple):
    """A device that is in a campaign, has an attempt, holds the image of one that was called off, or is to
    report what it runs.
    """

    device_id: DeviceId
    upgrade_id: UpgradeId | None
    attempt_id: AttemptId | None
    report: bool


def wanted(tx: Tx, device_ids: Sequence[DeviceId], asked_since: datetime) -> list[Wanted]:
    """Those of these devices for which something is to be done. The caller bounds their number."""
    if not device_ids:
        return []
    rows = tx.all(
        "select d.id, d.open_upgrade_id, d.open_attempt_id, r.device_id is not null from device d"
        " left join lwm2m_report r on r.device_id = d.id and r.asked_at > ? and not r.refused"
        f" where d.id in ({marks(len(device_ids))})"
        " and (d.open_upgrade_id is not null or d.open_attempt_id is not null"
        " or r.device_id is not null or exists"
        " (select 1 from attempt t join lwm2m_attempt l on l.attempt_id = t.id"
        " where t.device_id = d.id and not l.settled and l.method <> ''))",
        [to_ms(asked_since), *device_ids],
    )
    return [Wanted(row[0], row[1], row[2], bool(row[3])) for row in rows]


def open_attempts(tx: Tx, after: AttemptId, limit: int) -> list[tuple[AttemptId, DeviceId]]:
    """Attempts of LwM2M devices that are not at their end, after that one, in order."""
    rows = tx.all(
        "select open_attempt_id, id from device where open_attempt_id > ? and protocol = 'LWM2M'"
        " order by open_attempt_id limit ?",
        (after, limit),
    )
    return [(AttemptId(row[0]), DeviceId(row[1])) for row in rows]
