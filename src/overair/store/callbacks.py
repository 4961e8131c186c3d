"""Callback listeners and the messages queued for them, stream by stream.

A message is *new* until a deliverer puts it at the end of its stream: then it is *queued*, and in the
end *delivered* or *dropped*. Of each stream only the first message has a ``due_at``, so looking for
work never reads the rest of a long queue. Writers only insert new rows and wait for nobody; whoever
moves a stream on holds the lock of its listener's row, so that two deliverers never see a stream
differently.

While a message is being sent its ``due_at`` is the end of the lease: a deliverer that dies gives it
back by doing nothing.

The row of a deleted listener stays, without a URL, and keeps the generation: a message belongs to the
listener of its generation and to no later one. What became of each message is in
``store/callback_log.py``.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from overair.core.ids import AccountId
from overair.store.database import Tx, for_update, marks, to_ms

CHUNK = 500  # values to one IN list


class ListenerKey(NamedTuple):
    """A listener's place: there is one for each account and API version."""

    account_id: AccountId
    api_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where an account wants to be told of changes in one API version."""

    account_id: AccountId
    account_name: str
    api_version: int
    generation: int
    url: str
    username: str
    password: str

    @property
    def key(self) -> ListenerKey:
        return ListenerKey(self.account_id, self.api_version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message to send."""

    id: int
    body: str
    attempts: int  # that failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The first message of a stream, which is due."""

    id: int
    key: ListenerKey
    stream: str
    generation: int


# Listeners ---------------------------------------------------------------------------------------

_LISTENER = (
    "select l.account_id, a.name, l.api_version, l.generation, l.url, l.username, l.password"
    " from callback_listener l join account a on a.id = l.account_id"
)


def _listener(row: tuple[Any, ...]) -> Listener:
    return Listener(
        account_id=AccountId(row[0]),
        account_name=row[1],
        api_version=row[2],
        generation=row[3],
        url=row[4],
        username=row[5],
        password=row[6],
    )


def listener(tx: Tx, account_id: AccountId, api_version: int) -> Listener | None:
    """The account's listener for that API version."""
    return tx.kept(_find_listener, account_id, api_version)


def _find_listener(tx: Tx, account_id: AccountId, api_version: int) -> Listener | None:
    row = tx.one(
        f"{_LISTENER} where l.account_id = ? and l.api_version = ? and l.url <> ''",
        (account_id, api_version),
    )
    return None if row is None else _listener(row)


def listeners_of(tx: Tx, account_ids: Sequence[AccountId], api_version: int) -> Iterator[Listener]:
    """The listeners that these accounts have for that API version."""
    for start in range(0, len(account_ids), CHUNK):
        chunk = account_ids[start : start + CHUNK]
        rows = tx.all(
            f"{_LISTENER} where l.account_id in ({marks(len(chunk))}) and l.api_version = ?"
            " and l.url <> '' order by l.account_id",
            (*chunk, api_version),
        )
        yield from map(_listener, rows)


def put_listener(
    tx: Tx, key: ListenerKey, url: str, username: str, password: str, now: datetime
) -> None:
    """Set the listener, or with an empty URL delete it; the generation grows."""
    tx.execute(
        "insert into callback_listener (account_id, api_version, generation, url, username,"
        " password, registered_at) values (?, ?, 1, ?, ?, ?, ?)"
        " on conflict (account_id, api_version) do update set"
        " generation = callback_listener.generation + 1, url = excluded.url,"
        " username = excluded.username, password = excluded.password,"
        " registered_at = excluded.registered_at",
        (*key, url, username, password, to_ms(now)),
    )


def lock_listener(tx: Tx, key: ListenerKey, *, wait: bool) -> tuple[int, str] | None:
    """Hold the listener's streams: its generation and URL ('' if it was deleted).

    Without ``wait``, None means that another deliverer holds them.
    """
    end = for_update(tx)
    row = tx.one(
        "select generation, url from callback_listener where account_id = ? and api_version = ?"
        + (end if wait or not end else f"{end} skip locked"),
        key,
    )
    return None if row is None else (int(row[0]), str(row[1]))


def is_current(tx: Tx, key: ListenerKey, generation: int) -> bool:
    """Whether the listener of that generation is still registered."""
    row = tx.one(
        "select 1 from callback_listener where account_id = ? and api_version = ?"
        " and generation = ? and url <> ''",
        (*key, generation),
    )
    return row is not None


# Into the streams --------------------------------------------------------------------------------


def add_messages(tx: Tx, to: Listener, stream: str, bodies: Sequence[str], now: datetime) -> None:
    """Write messages for the listener, in order; a deliverer will find them."""
    tx.many(
        "insert into callback_message (account_id, api_version, generation, stream, body, state,"
        " created_at) values (?, ?, ?, ?, ?, 'new', ?)",
        [(*to.key, to.generation, stream, body, to_ms(now)) for body in bodies],
    )


def work_waits(tx: Tx, now: datetime) -> bool:
    """Whether a deliverer would find anything."""
    row = tx.one(
        "select case when exists (select 1 from callback_message where state = 'new')"
        " or exists (select 1 from callback_message where due_at <= ?) then 1 else 0 end",
        (to_ms(now),),
    )
    return row is not None and bool(row[0])


def next_with_new(tx: Tx, after: ListenerKey) -> ListenerKey | None:
    """The first listener behind ``after`` that has new messages."""
    row = tx.one(
        "select account_id, api_version from callback_message where state = 'new'"
        " and (account_id, api_version) > (?, ?) order by account_id, api_version limit 1",
        after,
    )
    return None if row is None else ListenerKey(AccountId(row[0]), int(row[1]))


def new_messages(tx: Tx, key: ListenerKey, limit: int) -> list[tuple[int, str, int]]:
    """(id, stream, generation) of the listener's oldest new messages, in order."""
    rows = tx.all(
        "select id, stream, generation from callback_message where account_id = ?"
        " and api_version = ? and state = 'new' order by id limit ?",
        (*key, limit),
    )
    return [(int(row[0]), str(row[1]), int(row[2])) for row in rows]


def has_queued(tx: Tx, key: ListenerKey, stream: str) -> bool:
    """Whether the stream has a message that is not at its end."""
    row = tx.one(
        "select 1 from callback_message where account_id = ? and api_version = ? and stream = ?"
        " and state = 'queued' limit 1",
        (*key, stream),
    )
    return row is not None


def enqueue(tx: Tx, message_ids: Sequence[int], head_ids: Sequence[int], now: datetime) -> None:
    """Put new messages into their streams; ``head_ids`` are the first of theirs."""
    for chunk in _chunks(message_ids):
        tx.execute(
            "update callback_message set state = 'queued'"
            f" where id in ({marks(len(chunk))}) and state = 'new'",
            chunk,
        )
    for chunk in _chunks(head_ids):
        tx.execute(
            f"update callback_message set due_at = ? where id in ({marks(len(chunk))})",
            (to_ms(now), *chunk),
        )


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]


# Claims ------------------------------------------------------------------------------------------


def due_heads(tx: Tx, now: datetime, without: Collection[ListenerKey], limit: int) -> list[Head]:
    """Streams that are due, longest first, leaving some listeners out."""
    left_out = " and not (account_id = ? and api_version = ?)" * len(without)
    params: list[Any] = [to_ms(now)]
    for key in without:
        params += key
    rows = tx.all(
        "select id, account_id, api_version, stream, generation from callback_message"
        f" where due_at <= ?{left_out} order by due_at limit ?",
        [*params, limit],
    )
    return [
        Head(
            id=row[0],
            key=ListenerKey(AccountId(row[1]), row[2]),
            stream=row[3],
            generation=row[4],
        )
        for row in rows
    ]


def take(tx: Tx, head: Head, owner: str, lease_until: datetime, now: datetime) -> bool:
    """Lease the stream, if it is still due."""
    until = to_ms(lease_until)
    changed = tx.execute(
        "update callback_message set lease_owner = ?, lease_until = ?, due_at = ? where id = ?"
        " and state = 'queued' and due_at <= ?",
        (owner, until, until, head.id, to_ms(now)),
    )
    return changed == 1


def first_of(tx: Tx, head: Head, limit: int) -> list[Message]:
    """The stream's messages from its head on that are for the same listener."""
    columns = "select id, generation, body, attempts from callback_message"
    rows = tx.all(f"{columns} where id = ?", (head.id,)) + tx.all(
        f"{columns} where account_id = ? and api_version = ? and stream = ?"
        " and state = 'queued' and due_at is null order by id limit ?",
        (*head.key, head.stream, limit - 1),
    )
    found = []
    for id_, generation, body, attempts in rows:
        if generation != head.generation:
            break
        found.append(Message(id=id_, body=body, attempts=attempts))
    return found


def holds(tx: Tx, head_id: int, owner: str, attempts: int) -> bool:
    """Whether the stream is still leased to ``owner``, and nobody has tried its head meanwhile."""
    row = tx.one(
        "select 1 from callback_message where id = ? and state = 'queued' and lease_owner = ?"
        " and attempts = ?",
        (head_id, owner, attempts),
    )
    return row is not None


# Out of the streams ------------------------------------------------------------------------------


def retry(tx: Tx, message_id: int, failed: int, due_at: datetime) -> None:
    """The message has failed that many times, and is its stream's head from ``due_at`` on."""
    tx.execute(
        "update callback_message set attempts = ?, due_at = ?, lease_owner = null,"
        " lease_until = null where id = ? and state = 'queued'",
        (failed, to_ms(due_at), message_id),
    )


def finish(tx: Tx, message_id: int, state: str, attempts: int, now: datetime) -> None:
    """The message is ``delivered`` or ``dropped``."""
    tx.execute(
        "update callback_message set state = ?, attempts = ?, done_at = ?, due_at = null,"
        " lease_owner = null, lease_until = null where id = ? and state = 'queued'",
        (state, attempts, to_ms(now), message_id),
    )


def promote(tx: Tx, key: ListenerKey, stream: str, now: datetime) -> None:
    """The next message of a stream whose head is done becomes its head."""
    tx.execute(
        "update callback_message set due_at = ? where id = (select id from callback_message"
        " where account_id = ? and api_version = ? and stream = ? and state = 'queued'"
        " order by id limit 1)",
        (to_ms(now), *key, stream),
    )


def outdated(tx: Tx, head: Head, generation: int, limit: int) -> list[int]:
    """Messages of the stream that are for an earlier listener."""
    rows = tx.all(
        "select id from callback_message where account_id = ? and api_version = ? and stream = ?"
        " and state = 'queued' and generation <> ? order by id limit ?",
        (*head.key, head.stream, generation, limit),
    )
    return [int(row[0]) for row in rows]


def drop(tx: Tx, message_ids: Sequence[int], why: str, now: datetime) -> None:
    """Give messages up without a try, and write down why."""
    for chunk in _chunks(message_ids):
        tx.execute(
            "insert into callback_delivery (message_id, at, status, error, duration_ms)"
            f" select id, ?, null, ?, 0 from callback_message where id in ({marks(len(chunk))})"
            " and state in ('new', 'queued')",
            (to_ms(now), why, *chunk),
        )
        tx.execute(
            "update callback_message set state = 'dropped', done_at = ?, due_at = null,"
            f" lease_owner = null, lease_until = null where id in ({marks(len(chunk))})"
            " and state in ('new', 'queued')",
            (to_ms(now), *chunk),
        )
