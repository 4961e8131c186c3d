"""SQLite: one writer with group commit (``writer.py``), readers beside it (WAL).

Point reads run in the caller's thread on a read-only connection; long reads in two threads with a
connection each. All of them see what is committed and nothing else: the writer's connection is not
theirs. Other processes (the command line) may write too; the lock is waited for, never in the event
loop.
"""

import asyncio
import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from overair.clock import Clock
from overair.store.connection import Connect, SqliteTx, connect, translate
from overair.store.database import Dialect, Hint, StoreUnavailableError, Tx
from overair.store.migrations import migrate
from overair.store.writer import Hand, Thread, Writer

P = ParamSpec("P")
T = TypeVar("T")

REPORT_THREADS = 2


class SqliteDatabase:
    """One SQLite file.

    Whoever simulates a disk brings connections of his own, and somebody to run what may wait.
    """

    dialect: Dialect = "sqlite"

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        connect: Connect = connect,
        hand: Callable[[], Hand] = Thread,
    ) -> None:
        self._path = path
        self._clock = clock
        self._connect = connect
        self._hand = hand
        self._connection: sqlite3.Connection | None = None  # the writer's
        self._writer: Writer | None = None
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
            await asyncio.to_thread(self._migrate)
            # Without a timeout: the writer waits in its own way, and the event loop not at all.
            self._connection = self._connect(str(self._path), timeout_s=0.0)
            self._reader = SqliteTx(self._connect(str(self._path), read_only=True))
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
        self._writer = Writer(self._connection, self._loop, self._wake, self._hand())

    def _keep_private(self) -> None:
        """A new file is readable for its owner only; SQLite makes its journals with the same mode."""
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def _migrate(self) -> None:
        with contextlib.closing(self._connect(str(self._path))) as connection:
            connection.execute("begin immediate")
            try:
                migrate(SqliteTx(connection), self._clock.now())
            except BaseException:
                connection.execute("rollback")
                raise
            connection.execute("commit")

    async def close(self) -> None:
        self._closing = True
        if self._writer is not None:
            await self._writer.close()
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown)
        for connection in self._pooled_connections:
            connection.close()
        if self._reader is not None:
            self._reader.connection.close()
        if self._connection is not None:
            self._connection.close()

    def on_hint(self, loop: Hint, wake: Callable[[], None]) -> None:
        self._wakers.setdefault(loop, []).append(wake)

    def _wake(self, hint: Hint) -> None:
        for wake in self._wakers.get(hint, ()):
            wake()

    async def transact(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._closing or self._writer is None:
            raise StoreUnavailableError("the database is closed")
        return await self._writer.long(lambda tx: fn(tx, *args, **kwargs))

    async def transact_brief(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._closing or self._writer is None:
            raise StoreUnavailableError("the database is closed")
        return await self._writer.brief(lambda tx: fn(tx, *args, **kwargs))

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
                tx = SqliteTx(self._connect(str(self._path), read_only=True))
                self._pooled_connections.append(tx.connection)
                self._pooled.tx = tx
            tx.connection.execute("begin")
            try:
                return fn(tx)
            finally:
                tx.connection.execute("rollback")
        except sqlite3.Error as error:
            raise translate(error) from error
