"""What deliverers of callbacks do to the queue: settle what was sent, and claim what is to be sent.

``turn`` is one transaction of one deliverer. In it,

1. what came back since the last turn is *settled*: acknowledged messages are delivered; a failed one
   waits for its next attempt, or after the last is dropped, and what follows in its stream goes on;
2. new messages are *placed* at the end of their streams;
3. streams that are due are *claimed* under a lease, each as a *run* of a few messages to be sent one
   after the other, stopping at the first that fails.

Guarantees: messages of a stream are sent in the order in which they were queued, one at a time, by
one deliverer. Each is sent at least once: a deliverer that dies between the answer and the next turn
leaves messages (at most a run) that are sent again, with the same message id. Messages for a listener
that was replaced or deleted are dropped and recorded.

Deliverers of several processes meet at the row of the listener. Locks of what they have to settle
are taken first, in order; others only where nobody holds them; so none waits in a circle.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from overair.core.ids import AccountId
from overair.core.listener import acknowledges, retry_after_s
from overair.store import callback_log, callbacks
from overair.store.callback_log import Attempt
from overair.store.callbacks import Head, ListenerKey, Message
from overair.store.database import Tx

PLACED: Final = 2000  # new messages to one turn
PLACED_OF_ONE: Final = 500  # of one listener
DROPPED: Final = 500  # outdated messages of a stream to one visit
VISITS: Final = 8  # to outdated streams in one turn
FIRST: Final = ListenerKey(AccountId(0), 0)

OUTDATED: Final = "not sent: the listener was replaced or deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much one deliverer does at once."""

    streams: int = 64  # being sent
    streams_of_one: int = 8  # to one listener, so that one that hangs holds up few
    run: int = 16  # messages of a stream to one claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Claimed messages of one stream, to be sent in order."""

    key: ListenerKey
    generation: int
    stream: str
    url: str
    messages: tuple[Message, ...]
    lease_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A run, and the attempts that were made: all acknowledged, but perhaps the last."""

    run: Run
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What a turn found to do."""

    runs: tuple[Run, ...]
    placed_to: ListenerKey  # where the next turn goes on placing
    more: bool  # a limit of this turn was reached: the next is worth having at once


def turn(
    tx: Tx,
    owner: str,
    finished: Sequence[Finished],
    sending: Mapping[int, ListenerKey],
    bounds: Bounds,
    delays_s: Sequence[int],
    lease: timedelta,
    placed_to: ListenerKey,
    now: datetime,
) -> Turn:
    """Settle, place and claim. ``sending`` has the heads of the runs that are still under way."""
    locked: dict[ListenerKey, tuple[int, str]] = {}
    for key in sorted({done.run.key for done in finished}):
        row = callbacks.lock_listener(tx, key, wait=True)
        assert row is not None, "listeners' rows are never deleted"
        locked[key] = row
    for done in finished:
        _settle(tx, owner, done, delays_s, now)
    placed_to, more_new = _place(tx, locked, placed_to, now)
    runs, more_due = _claim(tx, owner, locked, sending, bounds, lease, now)
    return Turn(runs=tuple(runs), placed_to=placed_to, more=more_new or more_due)


def release(
    tx: Tx, owner: str, finished: Sequence[Finished], delays_s: Sequence[int], now: datetime
) -> None:
    """Settle the last runs of a deliverer that stops; what it did not send is due at once."""
    for key in sorted({done.run.key for done in finished}):
        callbacks.lock_listener(tx, key, wait=True)
    for done in finished:
        _settle(tx, owner, done, delays_s, now)
    tx.hint("callbacks")


# Settling ----------------------------------------------------------------------------------------


def _settle(tx: Tx, owner: str, done: Finished, delays_s: Sequence[int], now: datetime) -> None:
    run = done.run
    head = run.messages[0]
    callback_log.add_attempts(tx, done.attempts)
    # A lease that ended may be another's by now, and a turn whose commit nobody heard of may be run
    # again: what is not ours any more is only written down.
    if not callbacks.holds(tx, head.id, owner, head.attempts):
        return
    if not done.attempts:
        callbacks.retry(tx, head.id, head.attempts, now)
        return
    for message, attempt in zip(run.messages, done.attempts, strict=False):
        if acknowledges(attempt.status):
            callbacks.finish(tx, message.id, "delivered", message.attempts + 1, now)
            continue
        failed = message.attempts + 1
        delay_s = retry_after_s(failed, delays_s)
        if delay_s is not None:
            callbacks.retry(tx, message.id, failed, now + timedelta(seconds=delay_s))
            return
        callbacks.finish(tx, message.id, "dropped", failed, now)
    callbacks.promote(tx, run.key, run.stream, now)


# Placing -----------------------------------------------------------------------------------------


def _place(
    tx: Tx, locked: dict[ListenerKey, tuple[int, str]], placed_to: ListenerKey, now: datetime
) -> tuple[ListenerKey, bool]:
    """Put new messages into their streams, each listener once, going on behind ``placed_to``."""
    left = PLACED
    cut = False
    after, wrapped = placed_to, False
    while left > 0:
        key = callbacks.next_with_new(tx, after)
        if key is None and not wrapped:
            after, wrapped = FIRST, True
            continue
        if key is None or (wrapped and key > placed_to):
            return placed_to, cut
        after = key
        listener = locked.get(key) or callbacks.lock_listener(tx, key, wait=False)
        if listener is None:
            continue
        locked[key] = listener
        limit = min(left, PLACED_OF_ONE)
        found = callbacks.new_messages(tx, key, limit)
        cut = cut or len(found) == limit
        left -= len(found)
        _place_of(tx, key, listener[0], found, now)
    return after, True


def _place_of(
    tx: Tx, key: ListenerKey, generation: int, found: list[tuple[int, str, int]], now: datetime
) -> None:
    outdated = [id_ for id_, _, of in found if of != generation]
    callbacks.drop(tx, outdated, OUTDATED, now)
    current = [(id_, stream) for id_, stream, of in found if of == generation]
    first: dict[str, int] = {}
    for id_, stream in current:
        first.setdefault(stream, id_)
    heads = [id_ for stream, id_ in first.items() if not callbacks.has_queued(tx, key, stream)]
    callbacks.enqueue(tx, [id_ for id_, _ in current], heads, now)


# Claiming ----------------------------------------------------------------------------------------


def _claim(
    tx: Tx,
    owner: str,
    locked: dict[ListenerKey, tuple[int, str]],
    sending: Mapping[int, ListenerKey],
    bounds: Bounds,
    lease: timedelta,
    now: datetime,
) -> tuple[list[Run], bool]:
    busy: dict[ListenerKey, int] = {}
    for key in sending.values():
        busy[key] = busy.get(key, 0) + 1
    without = {key for key, count in busy.items() if count >= bounds.streams_of_one}
    free = bounds.streams - len(sending)
    visits = 0
    runs: list[Run] = []
    # Each round takes streams, or leaves out a listener that the round before did not.
    while free > 0:
        heads = callbacks.due_heads(tx, now, without, free)
        if not heads:
            return runs, False
        for head in heads:
            if head.key in without:
                continue
            listener = locked.get(head.key) or callbacks.lock_listener(tx, head.key, wait=False)
            if listener is None:
                without.add(head.key)
                continue
            locked[head.key] = listener
            generation, url = listener
            if not callbacks.take(tx, head, owner, now + lease, now) or head.id in sending:
                continue  # another was faster; or it is ours still, and only the lease had ended
            if head.generation != generation:
                _drop_outdated(tx, head, generation, now)
                visits += 1
                if visits == VISITS:
                    return runs, True
                continue
            runs.append(
                Run(
                    key=head.key,
                    generation=generation,
                    stream=head.stream,
                    url=url,
                    messages=tuple(callbacks.first_of(tx, head, bounds.run)),
                    lease_until=now + lease,
                )
            )
            free -= 1
            busy[head.key] = busy.get(head.key, 0) + 1
            if busy[head.key] >= bounds.streams_of_one:
                without.add(head.key)
    return runs, False


def _drop_outdated(tx: Tx, head: Head, generation: int, now: datetime) -> None:
    outdated: Collection[int] = callbacks.outdated(tx, head, generation, DROPPED)
    callbacks.drop(tx, sorted({head.id, *outdated}), OUTDATED, now)
    callbacks.promote(tx, head.key, head.stream, now)
