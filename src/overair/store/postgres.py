"""PostgreSQL: a few threads, each with a connection of its own, fed from one queue.

Transactions run at READ COMMITTED; a function locks the rows that it is about to change
(``for_update``) and its updates are compare-and-set. What PostgreSQL asks to be run again (a
serialisation failure, a deadlock) or what failed with a connection before its commit is run again;
a connection that breaks during a commit is reported, since nobody can tell what became of it.
"""

import asyncio
import contextlib
import functools
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
from psycopg import errors as pg_errors

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
    shaped,
)
from overair.store.gathered import Gathered
from overair.store.migrations import migrate

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

WRITERS = 4
READERS = 4
TRIES = 6
SLOTS = 16  # rows to a counter, so that writers seldom wait for one another
CONNECT_TIMEOUT_S = 10
MIGRATION_LOCK = 0x6F76_6572  # "over": any number that all our processes share


@functools.lru_cache(maxsize=2048)
def numbered(sql: str) -> str:
    """Our SQL with PostgreSQL's parameter marks."""
    return sql.replace("%", "%%").replace("?", "%s")


class PostgresTx:
    """A transaction of PostgreSQL."""

    dialect: Dialect = "postgres"

    def __init__(self, connection: psycopg.Connection[Row], slot: int = 0) -> None:
        self.connection = connection
        self.slot = slot
        self.hints: set[Hint] = set()
        self.gathered = Gathered()

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        return self.connection.execute(numbered(sql), params).fetchone()

    def row(self, shape: type[T], columns: str, rest: str, params: Sequence[Any] = ()) -> T | None:
        found = self.one(f"select {columns} {rest}", params)
        return None if found is None else shaped(found, shape)

    def rows(self, shape: type[T], columns: str, rest: str, params: Sequence[Any] = ()) -> list[T]:
        return [shaped(row, shape) for row in self.all(f"select {columns} {rest}", params)]

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return self.connection.execute(numbered(sql), params).fetchall()

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        return self.connection.execute(numbered(sql), params).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with self.connection.cursor() as cursor:
            cursor.executemany(numbered(sql), rows)

    def kept(self, fn: Callable[..., T], *args: Any) -> T:
        return fn(self, *args)  # others may have written it meanwhile

    def gather(
        self, fn: Callable[[Tx, Mapping[K, V]], None], key: K, value: V, join: Callable[[V, V], V]
    ) -> None:
        self.gathered.add(fn, key, value, join)

    def settle(self, fn: Callable[[Tx, Mapping[Any, Any]], None]) -> None:
        self.gathered.settle(self, fn)

    def hint(self, loop: Hint) -> None:
        self.hints.add(loop)


def translate(error: psycopg.Error) -> StoreError:
    """Our error for one of PostgreSQL's."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, pg_errors.DiskFull | pg_errors.OutOfMemory):
        return StoreFullError(f"the database has no room: {text}")
    if isinstance(error, pg_errors.LockNotAvailable | pg_errors.QueryCanceled):
        return StoreBusyError(f"the database was busy for too long: {text}")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreUnavailableError(f"the database cannot be reached: {text}")
    return StoreError(f"the database refused: {text}")


class _Job:
    __slots__ = ("fn", "future")

    def __init__(self, fn: Callable[[Tx], Any], future: asyncio.Future[Any]) -> None:
        self.fn = fn
        self.future = future


class PostgresDatabase:
    """One PostgreSQL database."""

    dialect: Dialect = "postgres"

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._changes: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakers: dict[Hint, list[Callable[[], None]]] = {}
        self._closing = False

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._migrate)
        except psycopg.Error as error:
            raise translate(error) from error
        for number in range(WRITERS):
            self._spawn(f"overair-writer-{number}", self._changes, read_only=False)
        for number in range(READERS):
            self._spawn(f"overair-reader-{number}", self._reads, read_only=True)

    def _spawn(self, name: str, jobs: queue.SimpleQueue[_Job | None], *, read_only: bool) -> None:
        thread = threading.Thread(target=self._work, name=name, args=(jobs, read_only), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _connect(self, *, read_only: bool) -> psycopg.Connection[Row]:
        connection: psycopg.Connection[Row] = psycopg.connect(
            self._url, connect_timeout=CONNECT_TIMEOUT_S, application_name="overair"
        )
        connection.execute("set lock_timeout = '15s'")
        connection.execute("set idle_in_transaction_session_timeout = '60s'")
        connection.execute("set timezone = 'UTC'")
        connection.commit()
        if read_only:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        return connection

    def _migrate(self) -> None:
        with psycopg.connect(self._url, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            connection.execute("select pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
            migrate(PostgresTx(connection), self._clock.now())

    async def close(self) -> None:
        self._closing = True
        for thread in self._threads:
            (self._changes if "writer" in thread.name else self._reads).put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def on_hint(self, loop: Hint, wake: Callable[[], None]) -> None:
        self._wakers.setdefault(loop, []).append(wake)

    async def _run(self, jobs: queue.SimpleQueue[_Job | None], fn: Callable[[Tx], T]) -> T:
        if self._closing or self._loop is None:
            raise StoreUnavailableError("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        jobs.put(_Job(fn, future))
        return await future

    async def transact(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._run(self._changes, lambda tx: fn(tx, *args, **kwargs))

    async def transact_brief(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._run(self._changes, lambda tx: fn(tx, *args, **kwargs))

    async def read(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._run(self._reads, lambda tx: fn(tx, *args, **kwargs))

    async def report(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._run(self._reads, lambda tx: fn(tx, *args, **kwargs))

    # A worker thread ---------------------------------------------------------------------------

    def _work(self, jobs: queue.SimpleQueue[_Job | None], read_only: bool) -> None:
        assert self._loop is not None
        slot = threading.get_ident() // 64 % SLOTS
        connection: psycopg.Connection[Row] | None = None
        while (job := jobs.get()) is not None:
            hints: set[Hint] = set()
            outcome: tuple[bool, Any] = (False, StoreUnavailableError("not tried"))
            for attempt in range(TRIES):
                committing = False
                try:
                    if connection is None or connection.closed:
                        connection = self._connect(read_only=read_only)
                    tx = PostgresTx(connection, slot)
                    value = job.fn(tx)
                    tx.gathered.settle_all(tx)
                    committing = not read_only
                    connection.commit()
                    outcome, hints = (True, value), tx.hints
                    break
                except psycopg.Error as error:
                    broken = connection is None or connection.closed or connection.broken
                    self._rollback(connection)
                    outcome = (False, translate(error))
                    again = isinstance(
                        error, pg_errors.SerializationFailure | pg_errors.DeadlockDetected
                    )
                    if broken and connection is not None:
                        connection = None
                    if (not again and (not broken or committing)) or attempt == TRIES - 1:
                        break
                except Exception as error:  # noqa: BLE001 - whatever the function raised is its caller's
                    self._rollback(connection)
                    outcome = (False, error)
                    break
            with contextlib.suppress(RuntimeError):  # the loop was closed under us: none to tell
                self._loop.call_soon_threadsafe(self._answer, job, outcome, hints)
        if connection is not None:
            connection.close()

    @staticmethod
    def _rollback(connection: psycopg.Connection[Row] | None) -> None:
        if connection is not None and not connection.closed:
            with contextlib.suppress(psycopg.Error):
                connection.rollback()

    def _answer(self, job: _Job, outcome: tuple[bool, Any], hints: set[Hint]) -> None:
        if not job.future.done():
            done, value = outcome
            if done:
                job.future.set_result(value)
            else:
                job.future.set_exception(value)
        for hint in hints:
            for wake in self._wakers.get(hint, ()):
                wake()
