"""SQLite: one writer thread with group commit, readers beside it (WAL).

The writer takes what is waiting, runs each function (under its own savepoint, once one has failed),
commits once and then answers all of them: a commit costs a disk flush, and sixty-four devices that report at once share
it. ``synchronous=FULL``: what was answered survives a power cut.

Point reads run in the caller's thread on a read-only connection; long reads in two threads with a
connection each. Other processes (the command line) may write too; the lock is waited for.
"""

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from overair.clock import Clock
from overair.store.database import (
    Dialect,
    Hint,
    Row,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
    Tx,
)
from overair.store.migrations import migrate

P = ParamSpec("P")
T = TypeVar("T")

BATCH = 256  # functions to one commit, at most
BUSY_TIMEOUT_S = 15.0
REPORT_THREADS = 2
_CACHE_KIB = 64 * 1024  # of pages, for the writer; readers share the system's cache


class SqliteTx:
    """A transaction, or a reading connection, of SQLite."""

    dialect: Dialect = "sqlite"
    slot = 0  # there is one writer

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.hints: set[Hint] = set()

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        row: Row | None = self.connection.execute(sql, params).fetchone()
        return row

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return self.connection.execute(sql, params).fetchall()

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        return self.connection.execute(sql, params).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self.connection.executemany(sql, rows)

    def hint(self, loop: Hint) -> None:
        self.hints.add(loop)


def connect(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection with our settings; ``":memory:"`` is a database of its own."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )
    if path != ":memory:":
        connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = full")
    connection.execute("pragma foreign_keys = on")
    connection.execute("pragma temp_store = memory")
    connection.execute(f"pragma cache_size = -{_CACHE_KIB // (8 if read_only else 1)}")
    if read_only:
        connection.execute("pragma query_only = on")
    return connection


def translate(error: sqlite3.Error) -> StoreError:
    """Our error for one of SQLite's that is about its state, not about our SQL."""
    text = str(error)
    if "full" in text or "disk I/O" in text:
        return StoreFullError(f"the database could not write to its disk: {text}")
    if "locked" in text or "busy" in text:
        return StoreBusyError(f"another process holds the database: {text}")
    if "closed" in text or "unable to open" in text:
        return StoreUnavailableError(f"the database cannot be used: {text}")
    return StoreError(f"the database refused: {text}")


class _Job:
    __slots__ = ("fn", "future", "result")

    def __init__(self, fn: Callable[[Tx], Any], future: asyncio.Future[Any]) -> None:
        self.fn = fn
        self.future = future
        self.result: Any = None


class SqliteDatabase:
    """One SQLite file."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._writer: sqlite3.Connection | None = None
        self._reader: SqliteTx | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._pooled = threading.local()
        self._pooled_connections: list[sqlite3.Connection] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakers: dict[Hint, list[Callable[[], None]]] = {}
        self._closing = False

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._keep_private()
            self._writer = connect(str(self._path))
            await asyncio.to_thread(self._migrate, self._writer)
            self._reader = SqliteTx(connect(str(self._path), read_only=True))
        except sqlite3.Error as error:
            told = translate(error)
            if isinstance(error, sqlite3.DatabaseError) and not isinstance(
                error, sqlite3.OperationalError
            ):
                told = StoreUnavailableError(f"{told}: restore it from a backup")
            raise type(told)(f"{self._path}: {told}") from error
        except OSError as error:
            raise StoreUnavailableError(f"{self._path}: {error.strerror}") from error
        self._pool = ThreadPoolExecutor(REPORT_THREADS, thread_name_prefix="overair-report")
        self._thread = threading.Thread(target=self._write, name="overair-writer", daemon=True)
        self._thread.start()

    def _keep_private(self) -> None:
        """A new file is readable for its owner only; SQLite makes its journals with the same mode."""
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def _migrate(self, connection: sqlite3.Connection) -> None:
        connection.execute("begin immediate")
        try:
            migrate(SqliteTx(connection), self._clock.now())
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")

    async def close(self) -> None:
        self._closing = True
        if self._thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown)
        for connection in self._pooled_connections:
            connection.close()
        if self._reader is not None:
            self._reader.connection.close()
        if self._writer is not None:
            self._writer.close()

    def on_hint(self, loop: Hint, wake: Callable[[], None]) -> None:
        self._wakers.setdefault(loop, []).append(wake)

    async def transact(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        loop = self._loop
        if self._closing or loop is None:
            raise StoreUnavailableError("the database is closed")
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(lambda tx: fn(tx, *args, **kwargs), future))
        # A caller that goes away cancels the future, and not what the writer is about to commit.
        return await future

    async def read(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._closing or self._reader is None:
            raise StoreUnavailableError("the database is closed")
        try:
            return fn(self._reader, *args, **kwargs)
        except sqlite3.Error as error:
            raise translate(error) from error

    async def report(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._closing or self._pool is None or self._loop is None:
            raise StoreUnavailableError("the database is closed")
        return await self._loop.run_in_executor(
            self._pool, lambda: self._report(lambda tx: fn(tx, *args, **kwargs))
        )

    def _report(self, fn: Callable[[Tx], T]) -> T:
        tx: SqliteTx | None = getattr(self._pooled, "tx", None)
        try:
            if tx is None:
                tx = SqliteTx(connect(str(self._path), read_only=True))
                self._pooled_connections.append(tx.connection)
                self._pooled.tx = tx
            tx.connection.execute("begin")
            try:
                return fn(tx)
            finally:
                tx.connection.execute("rollback")
        except sqlite3.Error as error:
            raise translate(error) from error

    # The writer thread -------------------------------------------------------------------------

    def _write(self) -> None:
        assert self._loop is not None
        while (job := self._jobs.get()) is not None:
            batch: list[_Job] = [job]
            last = False
            while len(batch) < BATCH:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                batch.append(more)
            hints = self._commit(batch)
            with contextlib.suppress(RuntimeError):  # the loop was closed under us: none to tell
                self._loop.call_soon_threadsafe(self._answer, batch, hints)
            if last:
                return

    def _commit(self, batch: list[_Job]) -> set[Hint]:
        """Run and commit ``batch``; each job's result is a value or an exception to raise.

        Nearly always all of them succeed, so they run without savepoints first, which is two
        statements less for each. If one fails, everything is undone and run again, each function
        under a savepoint of its own.
        """
        try:
            hints = self._run_together(batch)
            return self._run_apart(batch) if hints is None else hints
        except sqlite3.Error as error:
            self._undo(batch, translate(error))
        except BaseException as error:  # noqa: BLE001 - the callers are told, the thread goes on
            self._undo(batch, StoreError(f"the transaction was lost: {error!r}"))
        return set()

    def _run_together(self, batch: list[_Job]) -> set[Hint] | None:
        """Run and commit all of them; None if one failed and nothing was done."""
        assert self._writer is not None
        writer = self._writer
        writer.execute("begin immediate")
        tx = SqliteTx(writer)
        try:
            for job in batch:
                job.result = (True, job.fn(tx))
        except Exception:  # it will be raised again, and given to its caller
            if not writer.in_transaction:
                raise  # a full disk may have rolled it back already
            writer.execute("rollback")
            return None
        writer.execute("commit")
        return tx.hints

    def _run_apart(self, batch: list[_Job]) -> set[Hint]:
        """Run each under its own savepoint, so that one failure undoes one function; then commit."""
        assert self._writer is not None
        writer = self._writer
        hints: set[Hint] = set()
        writer.execute("begin immediate")
        for job in batch:
            tx = SqliteTx(writer)
            writer.execute("savepoint job")
            try:
                job.result = (True, job.fn(tx))
                hints |= tx.hints
            except Exception as error:
                if not writer.in_transaction:
                    raise
                writer.execute("rollback to job")
                if isinstance(error, sqlite3.Error):
                    error = translate(error)
                job.result = (False, error)
            writer.execute("release job")
        writer.execute("commit")
        return hints

    def _undo(self, batch: list[_Job], error: StoreError) -> None:
        assert self._writer is not None
        if self._writer.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("rollback")
        for job in batch:
            job.result = (False, error)

    def _answer(self, batch: list[_Job], hints: set[Hint]) -> None:
        for job in batch:
            if job.future.done():
                continue
            done, value = job.result
            if done:
                job.future.set_result(value)
            else:
                job.future.set_exception(value)
        for hint in hints:
            for wake in self._wakers.get(hint, ()):
                wake()
