"""When devices were last seen, and each of their check-ins, written in bulk once a second.

A check-in is appended with a link to its device's previous one, and ``device_seen`` keeps the
latest: the history needs no index by device. Rows are written in the order of their keys, so that
pages are touched once; on PostgreSQL the devices' rows are locked first, in that order too, so that
two processes that have seen the same devices neither deadlock nor break a chain.

Here the two databases get SQL of their own, as elsewhere only where PostgreSQL is asked for many
devices at once (``store/lookup.py``). A statement a row costs
PostgreSQL ten times what arrays do; and SQLite's writer would let go of Python's lock and wait to
have it back at every row, while the event loop is busy answering devices. So either gets all rows
of a flush in a few values.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Final

import msgspec

from overair.core.ids import DeviceId
from overair.store.database import Tx, to_ms


class CheckIn(msgspec.Struct, frozen=True, gc=False):
    """A device checked in: there is one for each poll."""

    device_id: DeviceId
    at_ms: int
    result: str  # Success, Failure
    failure_type: str  # None, Download, Install, Network, Other


_ORDER: Final = attrgetter("device_id", "at_ms")
_AT: Final = attrgetter("at_ms")
# The part of a number that says when, within a batch; above it there is room for 2^31 devices.
_TIME_BITS: Final = 32
_SPAN_MS: Final = 1 << _TIME_BITS
# Somebody with the wrong credentials: belongs into the device's history, and has not seen it.
REFUSED: Final = "Other"
NEVER: Final = 0


def flush(tx: Tx, polls: Sequence[CheckIn]) -> None:
    """Append check-ins and move last-seen times on; a time never goes back."""
    for batch in _rounds(polls):
        if tx.dialect == "postgres":
            _flush_arrays(tx, batch)
        else:
            _flush_json(tx, batch)


def _rounds(polls: Sequence[CheckIn]) -> Iterator[list[CheckIn]]:
    """Parts in which each device is at most once, in order of devices; most often there is one."""
    rest = sorted(polls, key=_ORDER)
    while rest:
        batch: list[CheckIn] = []
        again: list[CheckIn] = []
        previous: DeviceId | None = None
        before = min(map(_AT, rest)) + _SPAN_MS
        for poll in rest:
            fits = poll.device_id != previous and poll.at_ms < before
            (batch if fits else again).append(poll)
            previous = poll.device_id
        yield batch
        rest = again


def _seen_ms(poll: CheckIn) -> int:
    return NEVER if poll.failure_type == REFUSED else poll.at_ms


def _flush_json(tx: Tx, batch: Sequence[CheckIn]) -> None:
    # A check-in goes as one number, device and time: SQLite takes twice as long over arrays of both.
    since = min(map(_AT, batch))
    kinds: dict[tuple[str, str], list[int]] = {}
    for poll in batch:
        kinds.setdefault((poll.result, poll.failure_type), []).append(
            (poll.device_id << _TIME_BITS) + poll.at_ms - since
        )
    for (result, failure_type), numbers in kinds.items():
        # There is one writer, so ids can be given here; the newest row is never deleted (``purge``).
        row = tx.one("select coalesce(max(id), 0) + 1 from check_in")
        assert row is not None
        text = msgspec.json.encode(numbers).decode()
        tx.execute(
            "insert into check_in (id, device_id, at, result, failure_type, previous_id)"
            " select ? + key, value >> ?, ? + (value & ?), ?, ?,"
            " (select check_in_id from device_seen where device_id = value >> ?) from json_each(?)",
            (row[0], _TIME_BITS, since, _SPAN_MS - 1, result, failure_type, _TIME_BITS, text),
        )
        seen = (NEVER, 0) if failure_type == REFUSED else (since, _SPAN_MS - 1)
        tx.execute(
            "insert into device_seen (device_id, seen_at, check_in_id)"
            " select value >> ?, ? + (value & ?), ? + key from json_each(?) where true"
            " on conflict (device_id) do update set check_in_id = excluded.check_in_id,"
            " seen_at = max(seen_at, excluded.seen_at)",
            (_TIME_BITS, *seen, row[0], text),
        )


def _flush_arrays(tx: Tx, batch: Sequence[CheckIn]) -> None:
    devices = _array([poll.device_id for poll in batch])
    if _lock_seen(tx, devices) < len(batch):
        tx.execute(
            "insert into device_seen (device_id, seen_at)"
            " select device, ? from unnest(cast(? as bigint[])) device order by device"
            " on conflict (device_id) do nothing",
            (NEVER, devices),
        )
        _lock_seen(tx, devices)
    kinds = {kind: n for n, kind in enumerate({(p.result, p.failure_type) for p in batch}, 1)}
    # A statement of its own, because only one that begins after the locks sees what they held back.
    tx.execute(
        "with poll as (select * from unnest(cast(? as bigint[]), cast(? as bigint[]),"
        " cast(? as bigint[]), cast(? as bigint[])) p (device_id, at, seen_at, kind)),"
        " added as (insert into check_in (device_id, at, result, failure_type, previous_id)"
        " select p.device_id, p.at, (cast(? as text[]))[p.kind], (cast(? as text[]))[p.kind],"
        " s.check_in_id from poll p join device_seen s on s.device_id = p.device_id"
        " returning id, device_id)"
        " update device_seen s set check_in_id = a.id, seen_at = greatest(s.seen_at, p.seen_at)"
        " from added a join poll p on p.device_id = a.device_id where s.device_id = a.device_id",
        (
            devices,
            _array([poll.at_ms for poll in batch]),
            _array([_seen_ms(poll) for poll in batch]),
            _array([kinds[poll.result, poll.failure_type] for poll in batch]),
            [result for result, _ in kinds],
            [failure for _, failure in kinds],
        ),
    )


def _array(numbers: Sequence[int]) -> str:
    """Numbers as PostgreSQL writes an array of them; the driver takes longer over a list."""
    return "{" + ",".join(map(str, numbers)) + "}"


def _lock_seen(tx: Tx, devices: str) -> int:
    row = tx.one(
        "select count(*) from (select 1 from device_seen"
        " where device_id = any(cast(? as bigint[])) order by device_id for update) locked",
        (devices,),
    )
    assert row is not None
    return int(row[0])


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
