"""OMA-DM sessions as rows: at most one for each device, whole, so that any process can go on with it.

What is in it, also the last reply for a device that did not get it, is JSON of ``protocols/omadm``,
which this room does not read.
"""

from datetime import datetime

from overair.core.ids import DeviceId
from overair.store.database import Tx, to_ms


def find(tx: Tx, device_id: DeviceId) -> str | None:
    """The session that the device is in. Its account's lock guards it."""
    row = tx.one("select state from dm_session where device_id = ?", (device_id,))
    return None if row is None else str(row[0])


def put(tx: Tx, device_id: DeviceId, session_id: str, state: str, now: datetime) -> None:
    """Keep the session; one that was there is over."""
    tx.execute(
        "insert into dm_session (device_id, session_id, state, seen_at) values (?, ?, ?, ?)"
        " on conflict (device_id) do update set session_id = excluded.session_id,"
        " state = excluded.state, seen_at = excluded.seen_at",
        (device_id, session_id, state, to_ms(now)),
    )


def drop(tx: Tx, device_id: DeviceId) -> None:
    """Forget the device's session."""
    tx.execute("delete from dm_session where device_id = ?", (device_id,))


def purge(tx: Tx, before: datetime, limit: int) -> int:
    """Forget sessions of which nothing was heard since then; how many."""
    return tx.execute(
        "delete from dm_session where device_id in"
        " (select device_id from dm_session where seen_at < ? order by seen_at limit ?)",
        (to_ms(before), limit),
    )
