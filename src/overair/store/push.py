"""Pushed devices: what is due for each, and what their attempts have beside those of others."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from overair.core.attempt import AttemptState
from overair.core.ids import AttemptId, CampaignId, DeviceId, UpgradeId
from overair.core.push import Call
from overair.core.upgrade import Reason, UpgradeState
from overair.store.database import Row, Tx, from_ms, marks, opt_from_ms, opt_ms, to_ms
from overair.store.upgrades import CHUNK


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAttempt:
    """What an attempt that is pushed has beside its own row."""

    attempt_id: AttemptId
    correlator: str
    session: int
    call: Call
    pushes: int
    executed_at: datetime | None
    verify_until: datetime | None
    download_only: bool


_SELECT = """select p.attempt_id, p.correlator, p.session, p.called_at, p.window_ends_at, p.pushed_at,
 p.pushes, p.executed_at, p.verify_until, p.download_only from push_attempt p"""


def _push_attempt(row: Row) -> PushAttempt:
    return PushAttempt(
        attempt_id=AttemptId(row[0]),
        correlator=row[1],
        session=row[2],
        call=Call(
            called_at=from_ms(row[3]),
            window_ends_at=from_ms(row[4]),
            pushed_at=opt_from_ms(row[5]),
        ),
        pushes=row[6],
        executed_at=opt_from_ms(row[7]),
        verify_until=opt_from_ms(row[8]),
        download_only=bool(row[9]),
    )


def find(tx: Tx, attempt_id: AttemptId) -> PushAttempt | None:
    """The attempt's row; None if it is not one that is pushed."""
    row = tx.one(f"{_SELECT} where p.attempt_id = ?", (attempt_id,))
    return None if row is None else _push_attempt(row)


def insert(
    tx: Tx,
    attempt_id: AttemptId,
    *,
    correlator: str,
    session: int,
    call: Call,
) -> None:
    """The row of a new attempt."""
    tx.execute(
        "insert into push_attempt (attempt_id, correlator, session, called_at, window_ends_at, pushed_at)"
        " values (?, ?, ?, ?, ?, ?)",
        (
            attempt_id,
            correlator,
            session,
            to_ms(call.called_at),
            to_ms(call.window_ends_at),
            opt_ms(call.pushed_at),
        ),
    )


def latest_session(tx: Tx, device_id: DeviceId) -> int:
    """The session number of the device's latest pushed attempt; 0 before the first."""
    row = tx.one(
        "select p.session from attempt t join push_attempt p on p.attempt_id = t.id"
        " where t.device_id = ? order by t.id desc limit 1",
        (device_id,),
    )
    return 0 if row is None else int(row[0])


def set_pushed(tx: Tx, attempt_id: AttemptId, now: datetime) -> None:
    """A notification goes out."""
    tx.execute(
        "update push_attempt set pushes = pushes + 1, pushed_at = ? where attempt_id = ?",
        (to_ms(now), attempt_id),
    )


def unsend(tx: Tx, attempt_id: AttemptId, number: int, again_at: datetime) -> bool:
    """Take the notification of that number back, if it is the attempt's latest: nobody carried it.

    Its device is due again then. False: it has gone on meanwhile.
    """
    taken = tx.execute(
        "update push_attempt set pushes = pushes - 1, pushed_at = null"
        " where attempt_id = ? and pushes = ?",
        (attempt_id, number),
    )
    if taken:
        tx.execute(
            "update device_upgrade set due_at = ? where due_at > ?"
            " and id = (select upgrade_id from attempt where id = ? and closed_at is null)",
            (to_ms(again_at), to_ms(again_at), attempt_id),
        )
    return bool(taken)


def call_again(tx: Tx, attempt_id: AttemptId, session: int, call: Call) -> None:
    """A device that has been silent is called to another session of the same attempt."""
    tx.execute(
        "update push_attempt set session = ?, called_at = ?, window_ends_at = ?, pushed_at = ?"
        " where attempt_id = ?",
        (
            session,
            to_ms(call.called_at),
            to_ms(call.window_ends_at),
            opt_ms(call.pushed_at),
            attempt_id,
        ),
    )


def set_executed(tx: Tx, attempt_id: AttemptId, now: datetime, *, download_only: bool) -> None:
    """The device is given its command."""
    tx.execute(
        "update push_attempt set executed_at = ?, download_only = ? where attempt_id = ?",
        (to_ms(now), download_only, attempt_id),
    )


def set_verify_until(tx: Tx, attempt_id: AttemptId, until: datetime) -> None:
    """The device said that it succeeded, and has until then to show it."""
    tx.execute(
        "update push_attempt set verify_until = ? where attempt_id = ?", (to_ms(until), attempt_id)
    )


# Due work ----------------------------------------------------------------------------------------


def due(tx: Tx, now: datetime, limit: int) -> list[UpgradeId]:
    """Upgrades that have to be looked at, earliest first.

    Others may see the same ones: who looks at one locks its device first, and asks again.
    """
    rows = tx.all(
        "select id from device_upgrade where due_at <= ? order by due_at, id limit ?",
        (to_ms(now), limit),
    )
    return [UpgradeId(row[0]) for row in rows]


def next_due(tx: Tx) -> datetime | None:
    """When the first of them is due."""
    row = tx.one("select min(due_at) from device_upgrade where due_at is not null")
    return None if row is None else opt_from_ms(row[0])


def device_of(tx: Tx, upgrade_id: UpgradeId) -> DeviceId | None:
    """The device of an upgrade; None if it was never found."""
    row = tx.one("select device_id from device_upgrade where id = ?", (upgrade_id,))
    return None if row is None or row[0] is None else DeviceId(row[0])


def set_due(tx: Tx, upgrade_id: UpgradeId, due_at: datetime | None) -> None:
    """When a device has to be looked at next."""
    tx.execute("update device_upgrade set due_at = ? where id = ?", (opt_ms(due_at), upgrade_id))


def start(tx: Tx, campaign_id: CampaignId, now: datetime, limit: int) -> int:
    """Make up to ``limit`` accepted devices of a campaign due that are not; how many."""
    return tx.execute(
        "update device_upgrade set due_at = ? where id in (select id from device_upgrade"
        " where campaign_id = ? and state = ? and due_at is null order by id limit ?)",
        (to_ms(now), campaign_id, UpgradeState.ACCEPTED, limit),
    )


def wanted(tx: Tx, device_id: DeviceId) -> UpgradeId | None:
    """The upgrade of a device that is free for campaigns, and is tried on."""
    row = tx.one(
        "select id from device_upgrade where device_id = ? and state = 'queued'"
        " order by id desc limit 1",
        (device_id,),
    )
    return None if row is None else UpgradeId(row[0])


def queued(tx: Tx, device_ids: Sequence[DeviceId]) -> list[UpgradeId]:
    """The upgrades of these devices that are tried on after their campaigns."""
    found: list[UpgradeId] = []
    for start_ in range(0, len(device_ids), CHUNK):
        chunk = device_ids[start_ : start_ + CHUNK]
        rows = tx.all(
            "select id from device_upgrade where state = 'queued'"
            f" and device_id in ({marks(len(chunk))}) order by id",
            list(chunk),
        )
        found += [UpgradeId(row[0]) for row in rows]
    return found


def _make_due(
    tx: Tx, which: str, device_ids: Sequence[DeviceId], now: datetime, *known: object
) -> int:
    """Let those upgrades of the devices be due that are not yet; how many. ``which`` has ``{devices}``."""
    changed = 0
    for start_ in range(0, len(device_ids), CHUNK):
        chunk = sorted(device_ids[start_ : start_ + CHUNK])
        changed += tx.execute(
            "update device_upgrade set due_at = ? where (due_at is null or due_at > ?) and "
            + which.format(devices=marks(len(chunk))),
            [to_ms(now), to_ms(now), *known, *chunk],
        )
    return changed


def hasten(tx: Tx, device_ids: Sequence[DeviceId], now: datetime) -> int:
    """The devices are there: those that wait for that are due, if only to see that they pause.

    How many were made due. Whoever has an attempt under way is left to it.
    """
    which = (
        "id in (select u.id from device_upgrade u join device d on d.id = u.device_id"
        " where d.id in ({devices}) and d.open_attempt_id is null"
        " and (u.state = 'queued' or (u.id = d.open_upgrade_id and u.state = 'pending'))"
        " and d.protocol = 'OMADM')"
    )
    return _make_due(tx, which, device_ids, now)


def recall(tx: Tx, device_ids: Sequence[DeviceId], now: datetime) -> int:
    """The devices are there: call those anew that were notified and have not come, in their windows.

    How many were made due.
    """
    changed = 0
    for start_ in range(0, len(device_ids), CHUNK):
        chunk = sorted(device_ids[start_ : start_ + CHUNK])
        rows = tx.all(
            "select p.attempt_id, t.upgrade_id from device d"
            " join attempt t on t.id = d.open_attempt_id and t.state = ?"
            " join push_attempt p on p.attempt_id = t.id and p.window_ends_at > ?"
            " and p.called_at < ?"
            f" where d.id in ({marks(len(chunk))}) and d.protocol = 'OMADM' order by d.id",
            [AttemptState.OFFERED, to_ms(now), to_ms(now), *chunk],
        )
        tx.many(
            "update push_attempt set called_at = ? where attempt_id = ?",
            [(to_ms(now), attempt_id) for attempt_id, _ in rows],
        )
        tx.many(
            "update device_upgrade set due_at = ? where id = ? and due_at > ?",
            [(to_ms(now), upgrade_id, to_ms(now)) for _, upgrade_id in rows],
        )
        changed += len(rows)
    return changed


def hasten_proof(tx: Tx, device_ids: Sequence[DeviceId], now: datetime) -> int:
    """The devices are there: those that said that they succeeded, and have yet to show it, are due.

    How many were made due.
    """
    which = (
        "id in (select t.upgrade_id from device d join attempt t on t.id = d.open_attempt_id"
        " join push_attempt p on p.attempt_id = t.id and p.verify_until > ?"
        " where d.id in ({devices}) and d.protocol = 'OMADM')"
    )
    return _make_due(tx, which, device_ids, now, to_ms(now))


def follow(tx: Tx, device_id: DeviceId, upgrade_id: UpgradeId, now: datetime) -> bool:
    """An attempt of that upgrade is over: whatever else waits for the device need not wait for it."""
    changed = tx.execute(
        "update device_upgrade set due_at = ? where due_at > ? and id <> ?"
        " and id = (select open_upgrade_id from device where id = ?)",
        (to_ms(now), to_ms(now), upgrade_id, device_id),
    )
    return bool(changed)


def undated(tx: Tx, after: UpgradeId, limit: int) -> list[UpgradeId]:
    """Upgrades that are queued for another try without a date for it, from the one after ``after``."""
    rows = tx.all(
        "select id from device_upgrade where id > ? and due_at is null and reason = ?"
        " and state in ('pending', 'queued') order by id limit ?",
        (after, Reason.RETRY_QUEUED, limit),
    )
    return [UpgradeId(row[0]) for row in rows]


def hasten_unplaced(tx: Tx, device_ids: Sequence[DeviceId], now: datetime) -> int:
    """The devices can be reached: those of v3 campaigns that have no slot for want of that get one.

    How many were made due.
    """
    which = (
        "due_at is null and reason = ? and state in ('accepted', 'pending')"
        " and id in (select open_upgrade_id from device"
        " where id in ({devices}) and protocol = 'LWM2M')"
    )
    return _make_due(tx, which, device_ids, now, Reason.NOT_REACHABLE)


def look_again(tx: Tx, campaign_id: CampaignId, now: datetime) -> None:
    """A v3 campaign has other dates: whoever waits for a slot in it, or for room in one, is due."""
    tx.execute(
        "update device_upgrade set due_at = ? where campaign_id = ? and"
        " (state = 'accepted' or state = 'pending' and reason in (?, ?, ?))",
        (
            to_ms(now),
            campaign_id,
            Reason.RETRY_QUEUED,
            Reason.CELL_FULL,
            Reason.NO_TIME_LEFT,
        ),
    )


def begun(tx: Tx, device_id: DeviceId) -> UpgradeId | None:
    """The upgrade of the device's latest attempt, if that was given its command and ended by us."""
    row = tx.one(
        "select t.upgrade_id from attempt t join push_attempt p on p.attempt_id = t.id"
        " where t.id = (select max(id) from attempt where device_id = ?) and t.state = 'expired'"
        " and p.executed_at is not null",
        (device_id,),
    )
    return None if row is None else UpgradeId(row[0])


def latest_attempt(tx: Tx, upgrade_id: UpgradeId) -> tuple[AttemptId, AttemptState] | None:
    """The latest attempt of an upgrade."""
    row = tx.one(
        "select id, state from attempt where upgrade_id = ? order by id desc limit 1",
        (upgrade_id,),
    )
    return None if row is None else (AttemptId(row[0]), AttemptState(row[1]))
