"""The one writer of an SQLite file: many functions to a commit, and short ones in the event loop.

A commit costs a disk flush, and sixty-four devices that report at once share it. There is one
connection; whoever has it runs a batch of what is waiting:

- *Brief* functions (a device's report: some point statements) run here, in the event loop's own thread,
  in one transaction. A statement takes 6 us there; in another thread it takes eight times as long,
  because SQLite lets go of Python's lock at each, and the loop takes it meanwhile. Then only the
  commit is lent to the thread: the loop goes on while the disk is waited for, and what is asked for
  meanwhile gathers for the next batch.
- *Long* ones (a sweep of the engine, a flush of check-ins, an import) run in the thread, and commit
  there. The two kinds take turns, so that neither waits for more than one batch of the other.

The event loop never waits for anybody's lock: if another process writes, the batch goes to the thread,
which waits. Nor does it sort out failures: if a function fails, everything is undone and the thread
runs the batch again, each function under a savepoint of its own, so that one undoes only itself.

What all devices share is cheap for each: it is read once and known to all batches (``Tx.kept``), until
somebody writes it, be it another process; and it is written once, at the end of a batch (``Tx.gather``).

A caller is told when its function is on disk, and not before; until then no reader sees it either.
One that goes away does not stop what it asked for.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from overair.store.connection import BUSY_TIMEOUT_S, SqliteTx, translate
from overair.store.database import Hint, StoreError, Tx
from overair.store.gathered import Gathered

T = TypeVar("T")

BRIEF_BATCH: Final = 128  # functions to one commit, at most: the loop does nothing else meanwhile
LONG_BATCH: Final = 256


class _Job:
    __slots__ = ("error", "fn", "future", "value")

    def __init__(self, fn: Callable[[Tx], Any], future: asyncio.Future[Any]) -> None:
        self.fn = fn
        self.future = future
        self.value: Any = None
        self.error: Exception | None = None


_Batch = list[_Job]


class Hand(Protocol):
    """Who has the connection while the event loop does not, and may wait."""

    def put(self, work: Callable[[], None]) -> None:
        """Have it done soon, after what was given before. Called in the event loop."""
        ...

    async def close(self) -> None:
        """Wait for the end of what was given."""
        ...


class Thread:
    """A thread of its own."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="overair-writer", daemon=True)
        self._thread.start()

    def put(self, work: Callable[[], None]) -> None:
        self._work.put(work)

    async def close(self) -> None:
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()


class Writer:
    """Runs functions on ``connection``, which waits for no lock by itself (``timeout_s=0``)."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        loop: asyncio.AbstractEventLoop,
        wake: Callable[[Hint], None],
        hand: Hand,
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._wake = wake
        self._hand = hand
        self._brief: deque[_Job] = deque()
        self._long: deque[_Job] = deque()
        self._kept: dict[Any, Any] = {}  # of all transactions here (``Tx.kept``)
        self._version = -1  # which the database had when that was read
        self._was_brief = False  # the last batch
        self._called = False  # a turn is due in the loop
        self._lent = False  # the thread has the connection
        self._rest: asyncio.Future[None] | None = None  # done when nothing is left to do

    def brief(self, fn: Callable[[Tx], T]) -> asyncio.Future[T]:
        """Run ``fn``, which is short, in the event loop's thread."""
        return self._queue(self._brief, fn)

    def long(self, fn: Callable[[Tx], T]) -> asyncio.Future[T]:
        """Run ``fn``, however long it takes, in the writer's thread."""
        return self._queue(self._long, fn)

    async def close(self) -> None:
        """Finish what was asked for."""
        if self._lent or self._brief or self._long:
            self._rest = self._loop.create_future()
            await self._rest
        await self._hand.close()

    # In the event loop -------------------------------------------------------------------------

    def _queue(self, jobs: deque[_Job], fn: Callable[[Tx], T]) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self._loop.create_future()
        jobs.append(_Job(fn, future))
        if not self._lent and not self._called:
            # Not at once: what else this turn of the loop asks for goes into the same commit.
            self._called = True
            self._loop.call_soon(self._turn)
        return future

    def _turn(self) -> None:
        """Begin the next batch, if there is anything to do."""
        self._called = False
        if self._lent:
            return
        if self._brief and not (self._long and self._was_brief):
            self._was_brief = True
            batch = _take(self._brief, BRIEF_BATCH)
            tx = self._run_here(batch)
            if tx is None:
                self._lend(lambda: self._commit(batch))
            else:
                self._lend(lambda: self._end(batch, tx.hints))
        elif self._long:
            self._was_brief = False
            batch = _take(self._long, LONG_BATCH)
            self._lend(lambda: self._commit(batch))

    def _run_here(self, batch: _Batch) -> SqliteTx | None:
        """Run all of them, and leave the commit; None if nothing was done."""
        gathered = Gathered()
        tx = SqliteTx(self._connection, kept=self._kept, gathered=gathered)
        try:
            self._connection.execute("begin immediate")  # which does not wait
            self._look_for_others()
            for job in batch:
                job.value = job.fn(tx)
            gathered.settle_all(tx)
        except Exception:  # noqa: BLE001 - the thread runs into it again, and tells whom it is for
            self._undo()
            return None
        except BaseException as error:
            self._fail(batch, StoreError(f"the transaction was lost: {error!r}"))
            self._answer(batch, set())
            raise
        return tx

    def _lend(self, work: Callable[[], None]) -> None:
        self._lent = True
        self._hand.put(work)

    def _returned(self, batch: _Batch, hints: set[Hint]) -> None:
        self._lent = False
        self._answer(batch, hints)
        if self._brief or self._long:
            self._turn()
        elif self._rest is not None and not self._rest.done():
            self._rest.set_result(None)

    def _answer(self, batch: _Batch, hints: set[Hint]) -> None:
        for job in batch:
            if job.future.done():
                continue  # nobody waits for it any more
            if job.error is None:
                job.future.set_result(job.value)
            else:
                job.future.set_exception(job.error)
        for hint in sorted(hints):  # a set of words has an order of its own in each process
            self._wake(hint)

    # In the thread, which has the connection then -----------------------------------------------

    def _give_back(self, batch: _Batch, hints: set[Hint]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed under us: none to tell
            self._loop.call_soon_threadsafe(self._returned, batch, hints)

    def _end(self, batch: _Batch, hints: set[Hint]) -> None:
        """Commit what the event loop ran."""
        try:
            self._connection.execute("commit")
        except Exception as error:  # noqa: BLE001 - the callers are told, the thread goes on
            self._fail(batch, _told(error))
            hints = set()
        self._give_back(batch, hints)

    def _commit(self, batch: _Batch) -> None:
        """Run and commit ``batch``.

        Nearly always all of them succeed, so they run without savepoints first, which is two
        statements less for each. If one fails, everything is undone and run again, each function
        under a savepoint of its own.
        """
        hints: set[Hint] | None = set()
        try:
            hints = self._run_together(batch)
            if hints is None:
                hints = self._run_apart(batch)
        except BaseException as error:  # noqa: BLE001 - the callers are told, the thread goes on
            self._fail(batch, _told(error))
            hints = set()
        self._give_back(batch, hints)

    def _run_together(self, batch: _Batch) -> set[Hint] | None:
        """Run and commit all of them; None if one failed and nothing was done."""
        self._begin()
        gathered = Gathered()
        tx = SqliteTx(self._connection, kept=self._kept, gathered=gathered)
        try:
            for job in batch:
                job.value = job.fn(tx)
            gathered.settle_all(tx)
        except Exception:  # it will be raised again, and given to its caller
            if not self._connection.in_transaction:
                raise  # a full disk may have rolled it back already
            self._undo()
            return None
        self._connection.execute("commit")
        return tx.hints

    def _run_apart(self, batch: _Batch) -> set[Hint]:
        """Run each under its own savepoint, so that one failure undoes one function; then commit."""
        connection = self._connection
        hints: set[Hint] = set()
        self._begin()
        for job in batch:
            gathered = Gathered()
            tx = SqliteTx(connection, kept=self._kept, gathered=gathered)
            connection.execute("savepoint job")
            try:
                job.value = job.fn(tx)
                gathered.settle_all(tx)
                hints |= tx.hints
            except Exception as error:
                if not connection.in_transaction:
                    raise
                connection.execute("rollback to job")
                self._kept.clear()
                job.error = translate(error) if isinstance(error, sqlite3.Error) else error
            connection.execute("release job")
        connection.execute("commit")
        return hints

    def _begin(self) -> None:
        """Begin to write, once nobody else does. Raises sqlite3.OperationalError after a while."""
        self._connection.execute(f"pragma busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
        try:
            self._connection.execute("begin immediate")
        finally:
            self._connection.execute("pragma busy_timeout = 0")
        self._look_for_others()

    def _look_for_others(self) -> None:
        """Forget what is kept if another process has written. Nobody else can from here on."""
        (version,) = self._connection.execute("pragma data_version").fetchone()
        if version != self._version:
            self._version = version
            self._kept.clear()

    def _fail(self, batch: _Batch, error: StoreError) -> None:
        self._undo()
        for job in batch:
            job.error = error

    def _undo(self) -> None:
        self._kept.clear()  # it may have been read of what was never committed
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("rollback")


def _take(jobs: deque[_Job], most: int) -> _Batch:
    return [jobs.popleft() for _ in range(min(most, len(jobs)))]


def _told(error: BaseException) -> StoreError:
    if isinstance(error, sqlite3.Error):
        return translate(error)
    return StoreError(f"the transaction was lost: {error!r}")
