"""When devices were last seen, and each of their check-ins, written in bulk once a second.

A check-in is appended with a link to its device's previous one, and ``device_seen`` keeps the
latest: the history needs no index by device. Rows are written in the order of their keys, so that
pages are touched once; on PostgreSQL the devices' rows are locked first, in that order too, so that
two processes that have seen the same devices neither deadlock nor break a chain.

This is the one place where the two databases get SQL of their own: a statement a row costs
PostgreSQL ten times what arrays do.
"""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final, NamedTuple

from overair.core.ids import DeviceId
from overair.store.database import Tx, to_ms


class CheckIn(NamedTuple):
    """A device checked in. There is one for each poll, so it is a tuple."""

    device_id: DeviceId
    at_ms: int
    result: str  # Success, Failure
    failure_type: str  # None, Download, Install, Network, Other


_ORDER = attrgetter("device_id", "at_ms")
# Somebody with the wrong credentials: belongs into the device's history, and has not seen it.
REFUSED: Final = "Other"
NEVER: Final = 0


def flush(tx: Tx, polls: Sequence[CheckIn]) -> None:
    """Append check-ins and move last-seen times on; a time never goes back."""
    if not polls:
        return
    ordered = sorted(polls, key=_ORDER)
    if tx.dialect == "postgres":
        _flush_arrays(tx, ordered)
    else:
        _flush_rows(tx, ordered)


def _latest(ordered: Sequence[CheckIn], ids: Sequence[int]) -> dict[DeviceId, tuple[int, int]]:
    """(last seen, last check-in) of each device, in order of devices."""
    latest: dict[DeviceId, tuple[int, int]] = {}
    for (device_id, at_ms, _, failure), id_ in zip(ordered, ids, strict=True):
        if failure == REFUSED:
            at_ms = latest[device_id][0] if device_id in latest else NEVER
        latest[device_id] = (at_ms, id_)
    return latest


def _flush_rows(tx: Tx, ordered: Sequence[CheckIn]) -> None:
    # There is one writer, so ids can be given here; the newest row is never deleted (``purge``).
    row = tx.one("select coalesce(max(id), 0) from check_in")
    assert row is not None
    ids = range(row[0] + 1, row[0] + 1 + len(ordered))
    first: list[tuple[int, int, int, str, str, int]] = []
    further: list[tuple[int, int, int, str, str, int]] = []
    previous: DeviceId | None = None
    for id_, (device_id, at_ms, result, failure) in zip(ids, ordered, strict=True):
        if device_id == previous:
            further.append((id_, device_id, at_ms, result, failure, id_ - 1))
        else:
            first.append((id_, device_id, at_ms, result, failure, device_id))
        previous = device_id
    tx.many(
        "insert into check_in (id, device_id, at, result, failure_type, previous_id)"
        " values (?, ?, ?, ?, ?, (select check_in_id from device_seen where device_id = ?))",
        first,
    )
    tx.many(
        "insert into check_in (id, device_id, at, result, failure_type, previous_id)"
        " values (?, ?, ?, ?, ?, ?)",
        further,
    )
    tx.many(
        "insert into device_seen (device_id, seen_at, check_in_id) values (?, ?, ?)"
        " on conflict (device_id) do update set check_in_id = excluded.check_in_id,"
        " seen_at = max(seen_at, excluded.seen_at)",
        [(device, at, id_) for device, (at, id_) in _latest(ordered, ids).items()],
    )


def _flush_arrays(tx: Tx, ordered: Sequence[CheckIn]) -> None:
    devices = list(dict.fromkeys(poll.device_id for poll in ordered))
    lasts = _lock_seen(tx, devices)
    if len(lasts) < len(devices):
        tx.execute(
            "insert into device_seen (device_id, seen_at)"
            " select device, 0 from unnest(cast(? as bigint[])) device order by device"
            " on conflict (device_id) do nothing",
            ([device for device in devices if device not in lasts],),
        )
        lasts = _lock_seen(tx, devices)
    ids = [
        row[0]
        for row in tx.all(
            "select nextval(pg_get_serial_sequence('check_in', 'id')) from generate_series(1, ?)",
            (len(ordered),),
        )
    ]
    links: list[int | None] = []
    for id_, poll in zip(ids, ordered, strict=True):
        links.append(lasts[poll.device_id])
        lasts[poll.device_id] = id_
    tx.execute(
        "insert into check_in (id, device_id, at, result, failure_type, previous_id)"
        " select * from unnest(cast(? as bigint[]), cast(? as bigint[]), cast(? as bigint[]),"
        " cast(? as text[]), cast(? as text[]), cast(? as bigint[]))",
        (
            ids,
            [poll.device_id for poll in ordered],
            [poll.at_ms for poll in ordered],
            [poll.result for poll in ordered],
            [poll.failure_type for poll in ordered],
            links,
        ),
    )
    latest = _latest(ordered, ids)
    tx.execute(
        "update device_seen s set seen_at = greatest(s.seen_at, n.seen_at),"
        " check_in_id = n.check_in_id from unnest(cast(? as bigint[]), cast(? as bigint[]),"
        " cast(? as bigint[])) n (device_id, seen_at, check_in_id)"
        " where s.device_id = n.device_id",
        (list(latest), [at for at, _ in latest.values()], [id_ for _, id_ in latest.values()]),
    )


def _lock_seen(tx: Tx, devices: Sequence[DeviceId]) -> dict[DeviceId, int | None]:
    rows = tx.all(
        "select device_id, check_in_id from device_seen"
        " where device_id = any(cast(? as bigint[])) order by device_id for update",
        (devices,),
    )
    return {DeviceId(row[0]): row[1] for row in rows}


def purge(tx: Tx, before: datetime, limit: int) -> int:
    """Delete check-ins from before then, among the ``limit`` oldest; how many.

    Check-ins are appended as time goes by, so the oldest are those with the lowest ids. The newest
    row always stays: an id must never be given twice.
    """
    return tx.execute(
        "delete from check_in where at < ? and id < (select max(id) from check_in) and id <="
        " (select max(id) from (select id from check_in order by id limit ?) oldest)",
        (to_ms(before), limit),
    )
