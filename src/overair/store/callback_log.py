"""The log of callback deliveries: every attempt with its answer, and messages given up without one.

It says what became of a message and never what was in it; an address may carry a secret in its path
or query, so none is kept here either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from overair.store.database import Tx, from_ms, marks, opt_from_ms, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to deliver a message: the answer's status, or why there was none."""

    message_id: int
    at: datetime
    status: int | None
    error: str
    duration_ms: int


def add_attempts(tx: Tx, made: Sequence[Attempt]) -> None:
    """Write attempts into the log."""
    tx.many(
        "insert into callback_delivery (message_id, at, status, error, duration_ms)"
        " values (?, ?, ?, ?, ?)",
        [(a.message_id, to_ms(a.at), a.status, a.error, a.duration_ms) for a in made],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A line of the log: one attempt, or a message that was given up, with its message's state."""

    id: int
    message_id: int
    account_name: str
    api_version: int
    stream: str
    state: str
    attempts: int
    created_at: datetime
    at: datetime
    status: int | None
    error: str
    duration_ms: int
    due_at: datetime | None  # of the message's next attempt


def list_deliveries(
    tx: Tx,
    *,
    account_name: str | None = None,
    stream: str | None = None,
    state: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Delivery]:
    """The log, latest first, from the line before ``before`` on."""
    chosen = {"a.name": account_name, "m.stream": stream, "m.state": state}
    where = [f"{column} = ?" for column, value in chosen.items() if value is not None]
    params: list[Any] = [value for value in chosen.values() if value is not None]
    if before is not None:
        where.append("d.id < ?")
        params.append(before)
    rows = tx.all(
        "select d.id, m.id, a.name, m.api_version, m.stream, m.state, m.attempts, m.created_at,"
        " d.at, d.status, d.error, d.duration_ms, m.due_at from callback_delivery d"
        " join callback_message m on m.id = d.message_id join account a on a.id = m.account_id"
        + (f" where {' and '.join(where)}" if where else "")
        + " order by d.id desc limit ?",
        [*params, limit],
    )
    return [
        Delivery(
            id=row[0],
            message_id=row[1],
            account_name=row[2],
            api_version=row[3],
            stream=row[4],
            state=row[5],
            attempts=row[6],
            created_at=from_ms(row[7]),
            at=from_ms(row[8]),
            status=row[9],
            error=row[10],
            duration_ms=row[11],
            due_at=opt_from_ms(row[12]),
        )
        for row in rows
    ]


def outbox_depth(tx: Tx) -> int:
    """How many messages are neither delivered nor dropped."""
    row = tx.one(
        "select (select count(*) from callback_message where state = 'new')"
        " + (select count(*) from callback_message where state = 'queued')"
    )
    assert row is not None
    return int(row[0])


def forget(tx: Tx, before: datetime, after: int, limit: int) -> int | None:
    """Delete what was over before then, among ``limit`` messages from behind ``after`` on.

    Messages are looked at in the order of their ids, which is about that of their age, so this needs
    no index of its own. The id to go on from, None when there is none.
    """
    rows = tx.all(
        "select id, created_at, done_at from callback_message where id > ? order by id limit ?",
        (after, limit),
    )
    old = [int(id_) for id_, _, done_at in rows if done_at is not None and done_at < to_ms(before)]
    if old:
        tx.execute(f"delete from callback_delivery where message_id in ({marks(len(old))})", old)
        tx.execute(f"delete from callback_message where id in ({marks(len(old))})", old)
    if len(rows) < limit or rows[-1][1] >= to_ms(before):
        return None
    return int(rows[-1][0])
