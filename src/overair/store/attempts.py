"""Attempts: one row for each try of a device, its messages, and what a device is told of it."""

import json
from collections.abc import Sequence
from datetime import datetime
from json.encoder import encode_basestring
from typing import Final, NamedTuple

import msgspec

from overair.core.attempt import AttemptState
from overair.core.ids import AttemptId, CampaignId, DeviceId, PackageId, UpgradeId
from overair.core.upgrade import Reason
from overair.store.database import (
    Tx,
    for_update,
    from_ms,
    marks,
    opt_from_ms,
    opt_ms,
    shaped,
    to_ms,
)


class Attempt(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One try, in the order in which it is read.

    Instants are made when they are asked for: a report looks at one of them, if any.
    """

    id: AttemptId
    upgrade_id: UpgradeId
    campaign_id: CampaignId
    device_id: DeviceId
    package_id: PackageId
    artifact_sha256: str
    file_name: str
    number: int
    state: AttemptState
    offered_ms: int
    retrieved_ms: int | None
    running_ms: int | None
    downloaded_ms: int | None
    closed_ms: int | None
    cancel_refused_ms: int | None
    coverage: str
    downloads: int
    feedback_count: int
    due_ms: int | None
    reason: str  # why it failed

    @property
    def offered_at(self) -> datetime:
        return from_ms(self.offered_ms)

    @property
    def retrieved_at(self) -> datetime | None:
        return opt_from_ms(self.retrieved_ms)

    @property
    def running_at(self) -> datetime | None:
        return opt_from_ms(self.running_ms)

    @property
    def downloaded_at(self) -> datetime | None:
        return opt_from_ms(self.downloaded_ms)

    @property
    def closed_at(self) -> datetime | None:
        return opt_from_ms(self.closed_ms)

    @property
    def cancel_refused_at(self) -> datetime | None:
        return opt_from_ms(self.cancel_refused_ms)

    @property
    def due_at(self) -> datetime | None:
        """When it expires by itself."""
        return opt_from_ms(self.due_ms)


class Progress(NamedTuple):
    """What was sent of the download under way (``core/coverage.py``), and how many are complete."""

    coverage: str
    downloads: int


_COLUMNS = """t.id, t.upgrade_id, t.campaign_id, t.device_id, t.package_id, t.artifact_sha256,
 t.file_name, t.number, t.state, t.offered_at, t.retrieved_at, t.running_at, t.downloaded_at,
 t.closed_at, t.cancel_refused_at, t.coverage, t.downloads, t.feedback_count, t.due_at, t.reason"""
_SELECT = f"select {_COLUMNS} from attempt t"


STATES: Final = {state.value: state for state in AttemptState}
# The way back: asking a member for its value calls a Python function.
_TEXTS: Final = {state: text for text, state in STATES.items()}


def find(tx: Tx, attempt_id: AttemptId, *, lock: bool = False) -> Attempt | None:
    """The attempt of that id, if there is one."""
    end = for_update(tx) if lock else ""
    return tx.row(Attempt, _COLUMNS, f"from attempt t where t.id = ?{end}", (attempt_id,))


def of_device(tx: Tx, device_id: DeviceId, limit: int) -> list[Attempt]:
    """The device's latest attempts, newest first."""
    rows = tx.all(f"{_SELECT} where t.device_id = ? order by t.id desc limit ?", (device_id, limit))
    return [shaped(row, Attempt) for row in rows]


def of_upgrade(tx: Tx, upgrade_id: UpgradeId) -> list[Attempt]:
    """The attempts of one device in one campaign, in their order."""
    rows = tx.all(f"{_SELECT} where t.upgrade_id = ? order by t.id", (upgrade_id,))
    return [shaped(row, Attempt) for row in rows]


def missed(tx: Tx, upgrade_ids: Sequence[UpgradeId]) -> dict[UpgradeId, int]:
    """How many attempts of these upgrades their devices did not turn up for; no entry: none."""
    found: dict[UpgradeId, int] = {}
    for start in range(0, len(upgrade_ids), 500):
        chunk = upgrade_ids[start : start + 500]
        for upgrade_id, count in tx.all(
            "select upgrade_id, count(*) from attempt where state = ? and reason = ?"
            f" and upgrade_id in ({marks(len(chunk))}) group by upgrade_id",
            [AttemptState.EXPIRED.value, Reason.NO_RESPONSE.value, *chunk],
        ):
            found[UpgradeId(upgrade_id)] = int(count)
    return found


def insert(
    tx: Tx,
    *,
    upgrade_id: UpgradeId,
    campaign_id: CampaignId,
    device_id: DeviceId,
    package_id: PackageId,
    artifact_sha256: str,
    file_name: str,
    number: int,
    now: datetime,
) -> AttemptId:
    """A new attempt, offered; it becomes the device's open one."""
    row = tx.one(
        "insert into attempt (upgrade_id, campaign_id, device_id, package_id, artifact_sha256,"
        " file_name, number, state, offered_at) values (?, ?, ?, ?, ?, ?, ?, ?, ?) returning id",
        (
            upgrade_id,
            campaign_id,
            device_id,
            package_id,
            artifact_sha256,
            file_name,
            number,
            _TEXTS[AttemptState.OFFERED],
            to_ms(now),
        ),
    )
    assert row is not None
    attempt_id = AttemptId(row[0])
    changed = tx.execute(
        "update device set open_attempt_id = ? where id = ? and open_attempt_id is null",
        (attempt_id, device_id),
    )
    assert changed == 1, f"device {device_id} has an open attempt already"
    return attempt_id


_TIMES = {
    AttemptState.RETRIEVED: "retrieved_at",
    AttemptState.RUNNING: "running_at",
    AttemptState.DOWNLOADED: "downloaded_at",
    AttemptState.FINISHED: "closed_at",
    AttemptState.FAILED: "closed_at",
    AttemptState.CANCELLED: "closed_at",
    AttemptState.EXPIRED: "closed_at",
}


def move(
    tx: Tx,
    attempt: Attempt,
    state: AttemptState,
    now: datetime,
    *,
    due_at: datetime | None = None,
    cancel_refused: bool = False,
    messages: int = 0,
    progress: Progress | None = None,
) -> None:
    """Move an attempt on; it must still be where the caller saw it. ``due_at`` replaces its own.

    ``messages``: how many were added with the move; they are counted here.
    """
    column = _TIMES.get(state)
    stamp = f", {column} = coalesce({column}, ?)" if column else ""
    refused = ", cancel_refused_at = ?" if cancel_refused else ""
    sent = ", coverage = ?, downloads = ?" if progress else ""
    changed = tx.execute(
        "update attempt set state = ?, due_at = ?, feedback_count = feedback_count + ?"
        f"{stamp}{refused}{sent} where id = ? and state = ?",
        (
            _TEXTS[state],
            opt_ms(due_at),
            messages,
            *([to_ms(now)] if column else []),
            *([to_ms(now)] if cancel_refused else []),
            *(progress or ()),
            attempt.id,
            _TEXTS[attempt.state],
        ),
    )
    assert changed == 1, f"attempt {attempt.id} is not {attempt.state} any more"


def retrieved(tx: Tx, attempt_id: AttemptId, device_id: DeviceId, now: datetime) -> bool:
    """The device is told of it for the first time; False if it was, or cannot be."""
    changed = tx.execute(
        "update attempt set state = ?, retrieved_at = coalesce(retrieved_at, ?)"
        " where id = ? and device_id = ? and state = ?",
        (
            _TEXTS[AttemptState.RETRIEVED],
            to_ms(now),
            attempt_id,
            device_id,
            _TEXTS[AttemptState.OFFERED],
        ),
    )
    return changed == 1


def set_downloaded(tx: Tx, attempt_id: AttemptId, now: datetime) -> None:
    """The device has the whole artifact, whatever state it is in."""
    tx.execute(
        "update attempt set downloaded_at = coalesce(downloaded_at, ?) where id = ?",
        (to_ms(now), attempt_id),
    )


def set_due(tx: Tx, attempt_id: AttemptId, due_at: datetime) -> None:
    """When it expires by itself."""
    tx.execute("update attempt set due_at = ? where id = ?", (to_ms(due_at), attempt_id))


def set_reason(tx: Tx, attempt_id: AttemptId, reason: str) -> None:
    """Why it failed."""
    tx.execute("update attempt set reason = ? where id = ?", (reason, attempt_id))


def set_progress(tx: Tx, attempt_id: AttemptId, progress: Progress) -> None:
    """What was sent to it."""
    tx.execute(
        "update attempt set coverage = ?, downloads = ? where id = ?", (*progress, attempt_id)
    )


def release_device(tx: Tx, attempt: Attempt) -> None:
    """The attempt is at its end: the device may get another."""
    tx.execute(
        "update device set open_attempt_id = null where id = ? and open_attempt_id = ?",
        (attempt.device_id, attempt.id),
    )


def due(tx: Tx, now: datetime, limit: int) -> list[AttemptId]:
    """Attempts whose time is over, earliest first."""
    rows = tx.all(
        "select id from attempt where due_at <= ? order by due_at, id limit ?", (to_ms(now), limit)
    )
    return [AttemptId(row[0]) for row in rows]


class Message(msgspec.Struct, frozen=True, gc=False):
    """What a device said of an attempt."""

    at: datetime
    execution: str
    finished: str
    code: int | None
    details: tuple[str, ...]


def _written(details: Sequence[str]) -> str:
    """A JSON list of texts. The encoder for anything takes five times as long."""
    return "[" + ", ".join(map(encode_basestring, details)) + "]"


def add_message(tx: Tx, attempt_id: AttemptId, message: Message) -> None:
    """Keep what a device said; the caller counts it (``move``, ``count_message``)."""
    tx.execute(
        "insert into feedback (attempt_id, at, execution, finished, code, details)"
        " values (?, ?, ?, ?, ?, ?)",
        (
            attempt_id,
            to_ms(message.at),
            message.execution,
            message.finished,
            message.code,
            _written(message.details),
        ),
    )


def count_message(tx: Tx, attempt_id: AttemptId) -> None:
    """A message was added to an attempt that stays where it is."""
    tx.execute("update attempt set feedback_count = feedback_count + 1 where id = ?", (attempt_id,))


def messages(tx: Tx, attempt_id: AttemptId, limit: int) -> list[Message]:
    """The latest messages of an attempt, newest first."""
    rows = tx.all(
        "select at, execution, finished, code, details from feedback where attempt_id = ?"
        " order by id desc limit ?",
        (attempt_id, limit),
    )
    return [
        Message(
            at=from_ms(row[0]),
            execution=row[1],
            finished=row[2],
            code=row[3],
            details=tuple(json.loads(row[4])),
        )
        for row in rows
    ]


def open_of_devices(tx: Tx, upgrade_ids: Sequence[UpgradeId]) -> dict[UpgradeId, Attempt]:
    """The attempts of these upgrades that are their devices' open ones, locked."""
    found: dict[UpgradeId, Attempt] = {}
    lock = " for no key update of t" if for_update(tx) else ""
    for start in range(0, len(upgrade_ids), 500):
        chunk = upgrade_ids[start : start + 500]
        for row in tx.all(
            f"{_SELECT} join device d on d.open_attempt_id = t.id"
            f" where t.upgrade_id in ({marks(len(chunk))}) order by t.id{lock}",
            list(chunk),
        ):
            attempt = shaped(row, Attempt)
            found[attempt.upgrade_id] = attempt
    return found
