"""LwM2M devices that are to report what they run, and those whose monitoring has begun or ended.

A request for a report stands until its device has answered; when it is too old to be put to the device any
more is for the caller to say. Whose monitoring has changed is noted until the edge has seen it: what
it is now is read there (``store.licenses.is_monitored``).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from overair.core.ids import DeviceId
from overair.core.protocols import LWM2M
from overair.store.database import Tx, from_ms, marks, to_ms

CHUNK = 500


class Asked(NamedTuple):
    """A report that was asked for, and has not come."""

    at: datetime
    refused: bool
    """The device has answered, and does not tell."""


def ask(tx: Tx, device_id: DeviceId, now: datetime) -> None:
    """Want a report of a device, if it is one over LwM2M."""
    tx.execute(
        "insert into lwm2m_report (device_id, asked_at, refused)"
        " select id, ?, false from device where id = ? and protocol = ?"
        " on conflict (device_id) do update set asked_at = excluded.asked_at, refused = false",
        (to_ms(now), device_id, LWM2M),
    )


def told(tx: Tx, device_id: DeviceId) -> None:
    """The device says what it runs."""
    tx.execute("delete from lwm2m_report where device_id = ?", (device_id,))


def refused(tx: Tx, device_id: DeviceId) -> None:
    """The device has answered, and does not tell."""
    tx.execute("update lwm2m_report set refused = true where device_id = ?", (device_id,))


def pending(tx: Tx, since: datetime, after: DeviceId, limit: int) -> list[DeviceId]:
    """Devices that are still to be asked, of those asked for since then, in order."""
    rows = tx.all(
        "select device_id from lwm2m_report where device_id > ? and asked_at > ? and not refused"
        " order by device_id limit ?",
        (after, to_ms(since), limit),
    )
    return [DeviceId(row[0]) for row in rows]


def asked(tx: Tx, device_ids: Sequence[DeviceId]) -> Mapping[DeviceId, Asked]:
    """What was asked of these devices and has not come."""
    found: dict[DeviceId, Asked] = {}
    for chunk in _chunks(device_ids):
        for row in tx.all(
            "select device_id, asked_at, refused from lwm2m_report"
            f" where device_id in ({marks(len(chunk))})",
            chunk,
        ):
            found[DeviceId(row[0])] = Asked(from_ms(row[1]), bool(row[2]))
    return found


def follow(tx: Tx, device_ids: Iterable[DeviceId]) -> None:
    """Something has changed in whether these are monitored."""
    changed = 0
    for chunk in _chunks(device_ids):
        changed += tx.execute(
            "insert into lwm2m_follow (device_id) select id from device"
            f" where id in ({marks(len(chunk))}) and protocol = ? order by id"
            " on conflict do nothing",
            [*chunk, LWM2M],
        )
    if changed:
        tx.hint("lwm2m")


def any_followed(tx: Tx) -> bool:
    """Whether there are such devices."""
    return tx.one("select 1 from lwm2m_follow limit 1", ()) is not None


def take_followed(tx: Tx, limit: int) -> list[DeviceId]:
    """Such devices; they are not told of again."""
    rows = tx.all(
        "delete from lwm2m_follow where device_id in"
        " (select device_id from lwm2m_follow order by device_id limit ?) returning device_id",
        (limit,),
    )
    return [DeviceId(row[0]) for row in rows]


def _chunks(device_ids: Iterable[DeviceId]) -> Iterable[list[DeviceId]]:
    ids = sorted(device_ids)
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
