"""A connection to an SQLite file: its settings, its errors in our words, a transaction on it.

WAL, so that readers see what was committed last while somebody writes; ``synchronous=FULL``, so that
what was answered survives a power cut.

Not in here: who uses a connection, and when (``sqlite.py`` reads, ``writer.py`` writes).
"""

import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Final, Protocol, TypeVar

import msgspec

from overair.store.database import (
    KEPT,
    Dialect,
    Hint,
    Row,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
    Tx,
)
from overair.store.gathered import Gathered

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

BUSY_TIMEOUT_S: Final = 15.0  # how long we wait for another process's lock
_WRITTEN: Final = re.compile(r"\s*(?:insert\s+into|update)\s+(\w+)")
_MOST_KEPT: Final = 1024
_CACHE_KIB: Final = 32 * 1024  # of pages, for the writer; readers share the system's cache


class SqliteTx:
    """A transaction, or a reading connection, of SQLite."""

    dialect: Dialect = "sqlite"
    slot = 0  # there is one writer

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        kept: dict[Any, Any] | None = None,
        gathered: Gathered | None = None,
    ) -> None:
        self.connection = connection
        # For what gives no rows, which is at its end at once: one for all, made once.
        self._cursor = connection.cursor()
        self.hints: set[Hint] = set()
        # None where nobody settles it at the end: then all is written at once.
        self._gathered = gathered
        # None on a reading connection: there others write between two statements.
        self._kept = kept

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        if self._kept and _forgets(sql):
            self._kept.clear()
        row: Row | None = self.connection.execute(sql, params).fetchone()
        return row

    def row(self, shape: type[T], columns: str, rest: str, params: Sequence[Any] = ()) -> T | None:
        found = self.connection.execute(f"select json_array({columns}) {rest}", params).fetchone()
        if found is None:
            return None
        value: T = _row_decoder(shape).decode(found[0])
        return value

    def rows(self, shape: type[T], columns: str, rest: str, params: Sequence[Any] = ()) -> list[T]:
        sql = f"select json_group_array(json_array({columns})) {rest}"
        found = self.connection.execute(sql, params).fetchone()
        values: list[T] = _rows_decoder(shape).decode(found[0])
        return values

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        if self._kept and _forgets(sql):
            self._kept.clear()
        return self.connection.execute(sql, params).fetchall()

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        if self._kept and _forgets(sql):
            self._kept.clear()
        return self._cursor.execute(sql, params).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        if self._kept and _forgets(sql):
            self._kept.clear()
        self.connection.executemany(sql, rows)

    def kept(self, fn: Callable[..., T], *args: Any) -> T:
        if self._kept is None:
            return fn(self, *args)
        key = (fn, *args)
        try:
            found: T = self._kept[key]
        except KeyError:
            found = fn(self, *args)
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found

    def gather(
        self, fn: Callable[[Tx, Mapping[K, V]], None], key: K, value: V, join: Callable[[V, V], V]
    ) -> None:
        if self._gathered is None:
            fn(self, {key: value})
        else:
            self._gathered.add(fn, key, value, join)

    def settle(self, fn: Callable[[Tx, Mapping[Any, Any]], None]) -> None:
        if self._gathered is not None:
            self._gathered.settle(self, fn)

    def hint(self, loop: Hint) -> None:
        self.hints.add(loop)


# What ``shaped`` does, of a row that comes as JSON, and of many.
_row_decoder: Final[Callable[[Any], msgspec.json.Decoder[Any]]] = cache(
    lambda shape: msgspec.json.Decoder(shape, strict=False)
)
_rows_decoder: Final[Callable[[Any], msgspec.json.Decoder[Any]]] = cache(
    lambda shape: msgspec.json.Decoder(list.__class_getitem__(shape), strict=False)
)


@lru_cache(maxsize=4096)
def _forgets(sql: str) -> bool:
    """Whether a statement may write a table of which something is kept."""
    if sql.startswith("select "):
        return False
    written = _WRITTEN.match(sql)
    # What is not understood may be anything; and deleting may reach further than its own table.
    return written is None or written[1] in KEPT


class Connect(Protocol):
    """Opens a database, as ``connect`` does."""

    def __call__(
        self, path: str, *, read_only: bool = False, timeout_s: float = BUSY_TIMEOUT_S
    ) -> sqlite3.Connection: ...


def connect(
    path: str,
    *,
    read_only: bool = False,
    timeout_s: float = BUSY_TIMEOUT_S,
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> sqlite3.Connection:
    """A connection with our settings; ``":memory:"`` is a database of its own."""
    connection = sqlite3.connect(
        path,
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
        factory=factory,
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
