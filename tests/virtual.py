"""An event loop, clocks and a database for a whole world in one thread and in virtual time.

Nothing is waited for: when nobody has anything to do, the time jumps to the next timer. There are no
threads and no sockets, so two runs with one seed are the same; what would be given to a thread is done at
once. The database is SQLite in memory, with the product's own statements and migrations.
"""

import asyncio
import selectors
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import datetime, timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

from overair.clock import Clock
from overair.store.connection import SqliteTx, connect, translate
from overair.store.database import Dialect, Hint, Tx
from overair.store.migrations import migrate

P = ParamSpec("P")
T = TypeVar("T")


class _Jumps(selectors.SelectSelector):
    """Where a loop waits for sockets: here the time goes by instead."""

    def __init__(self) -> None:
        super().__init__()
        self.passed: Callable[[float], None] = lambda _seconds: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever happen")
        if timeout > 0:
            self.passed(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps."""

    def __init__(self) -> None:
        self._virtual_s = 0.0
        jumps = _Jumps()
        super().__init__(jumps)
        jumps.passed = self._pass

    def _pass(self, seconds: float) -> None:
        self._virtual_s += seconds

    def time(self) -> float:
        return self._virtual_s

    def run_in_executor(  # type: ignore[override]  # asyncio's own has type variables of 3.11 and later
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class VirtualClock:
    """A clock of that loop, from ``start`` on, ``rate`` times as fast as the loop's own time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start: datetime, rate: float = 1.0) -> None:
        self._loop = loop
        self.start = start
        self.rate = rate

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self._loop.time() * self.rate)

    def monotonic(self) -> float:
        return self._loop.time() * self.rate

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(max(0.0, delay_s) / self.rate)


class VirtualDatabase:
    """SQLite in memory, in the loop's own thread: each transaction is over when it is asked for."""

    dialect: Dialect = "sqlite"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.connection: sqlite3.Connection = connect(":memory:")
        self._wakers: dict[Hint, list[Callable[[], None]]] = {}
        # How often each function ran, for whoever looks for what costs.
        self.ran: dict[str, int] = {}

    async def start(self) -> None:
        self.connection.execute("begin")
        migrate(SqliteTx(self.connection), self._clock.now())
        self.connection.execute("commit")

    async def close(self) -> None:
        self.connection.close()

    async def transact(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        connection = self.connection
        tx = SqliteTx(connection, kept={})
        connection.execute("begin")
        try:
            value = fn(tx, *args, **kwargs)
        except sqlite3.Error as error:
            connection.execute("rollback")
            raise translate(error) from error
        except BaseException:
            connection.execute("rollback")
            raise
        connection.execute("commit")
        for hint in tx.hints:
            for wake in self._wakers.get(hint, ()):
                wake()
        return value

    async def transact_brief(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self.transact(fn, *args, **kwargs)

    async def read(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            return fn(SqliteTx(self.connection), *args, **kwargs)
        except sqlite3.Error as error:
            raise translate(error) from error

    async def report(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self.read(fn, *args, **kwargs)

    def on_hint(self, loop: Hint, wake: Callable[[], None]) -> None:
        self._wakers.setdefault(loop, []).append(wake)


def run_virtually(body: Callable[[], Any]) -> Any:
    """Run a coroutine function to its end, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(body())


async def ask_app(
    app: Callable[[Any, Any, Any], Any],
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes = b"",
) -> tuple[int, dict[str, str], bytes]:
    """An HTTP request to an ASGI application, without HTTP: status, headers and body."""
    sent: list[dict[str, Any]] = []
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return given.pop(0) if given else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    bare, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": bare,
        "raw_path": bare.encode(),
        "query_string": query.encode(),
        "headers": [(n.lower().encode(), v.encode("latin-1")) for n, v in headers.items()],
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, b"".join(message.get("body", b"") for message in sent[1:])
