"""What the rest of the system knows of a database: transactions that are functions.

``await db.transact(record, event, now)`` runs ``record(tx, event, now)``: synchronous, all or
nothing, and safe to run again, because PostgreSQL may ask for that. Nothing below the edges is
async, so a test calls the function with a ``tx`` of its own.

- ``transact`` changes. There may be many to a commit, and one that fails undoes only itself. It
  returns when the commit is on disk.
- ``transact_brief`` is for a change of a few rows, which on SQLite runs in the caller's thread:
  hundreds of microseconds at most, or everybody waits. Whatever sweeps, or imports, or may grow with
  the fleet is for ``transact``, which on SQLite runs in a thread of its own.
- ``read`` is for point reads. On SQLite it runs in the caller's thread: 6 us against 35 us.
- ``report`` is for reads that may take long. It runs in a small pool of read-only threads, in one
  snapshot.

SQL is the common subset of SQLite 3.40 and PostgreSQL 15 with ``?`` for parameters. Instants are
stored as milliseconds since the epoch.

Errors::

    StoreError                  the database could not do it; nothing was changed
    ├── StoreFullError          no room on its disk
    ├── StoreBusyError          locked by somebody else for longer than we wait
    ├── StoreUnavailableError   it cannot be reached, or is closing
    └── MigrationError          its schema is not one that this program can use

Deliberately not here: any SQL of the product (the modules beside this one), any rule.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, Final, Literal, ParamSpec, Protocol, TypeVar

import msgspec

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

Dialect = Literal["sqlite", "postgres"]
Row = tuple[Any, ...]
Hint = Literal["advance", "callbacks", "push", "lwm2m"]

# What ``Tx.kept`` may read: what the devices of a campaign have in common.
KEPT: Final = frozenset(
    {
        "account",
        "artifact",
        "callback_listener",
        "campaign",
        "package",
        "package_proof",
        "subscription",
    }
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class StoreError(Exception):
    """The database could not do what was asked; nothing was changed."""


class StoreFullError(StoreError):
    """The database has no room left on its disk."""


class StoreBusyError(StoreError):
    """Another process held the database's lock for longer than we wait."""


class StoreUnavailableError(StoreError):
    """The database cannot be reached, or this end is closing."""


class MigrationError(StoreError):
    """The schema in the database is not one that this program can use."""


class Tx(Protocol):
    """One open transaction: the only way to send SQL."""

    dialect: Dialect
    slot: int  # which of a counter's rows this writer adds to (``store/tally.py``)

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        """The first row, or None."""
        ...

    def row(self, shape: type[T], columns: str, rest: str, params: Sequence[Any] = ()) -> T | None:
        """``one`` of ``select {columns} {rest}``, ``shaped``; for many columns in hot places (no bytes).

        SQLite's driver lets go of Python's lock at every column of a row, for another thread to
        take; so there they come as one.
        """
        ...

    def rows(self, shape: type[T], columns: str, rest: str, params: Sequence[Any] = ()) -> list[T]:
        """``all`` of them, in any order; on SQLite these come as one, too."""
        ...

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """Every row. The caller's SQL bounds their number."""
        ...

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        """Run a statement; the number of rows it changed."""
        ...

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each row of parameters."""
        ...

    def kept(self, fn: Callable[..., T], *args: Any) -> T:
        """``fn(tx, *args)``, of rows that seldom change (``KEPT``), perhaps from before.

        Where one connection writes, what was read once is known to all its transactions, until one
        of these tables is written, or anything by another process.
        """
        ...

    def gather(
        self, fn: Callable[["Tx", Mapping[K, V]], None], key: K, value: V, join: Callable[[V, V], V]
    ) -> None:
        """Have ``fn(tx, values)`` run before this is committed, with what is gathered for it by key.

        For rows that all devices of a campaign share: where one transaction is of many devices, they
        are written once. Who reads what ``fn`` writes calls ``settle`` first.
        """
        ...

    def settle(self, fn: Callable[["Tx", Mapping[Any, Any]], None]) -> None:
        """Run ``fn`` now, if anything is gathered for it."""
        ...

    def hint(self, loop: Hint) -> None:
        """Once this is committed, wake that loop of this process early."""
        ...


class Database(Protocol):
    """A database that was opened with ``overair.store.open_database``."""

    dialect: Dialect

    async def start(self) -> None:
        """Connect, and bring the schema up to date. Raises MigrationError, StoreUnavailableError."""
        ...

    async def close(self) -> None:
        """Finish what was begun, then disconnect."""
        ...

    async def transact(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``fn(tx, …)`` in a transaction and commit it. What ``fn`` raises undoes it."""
        ...

    async def transact_brief(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As ``transact``, for a ``fn`` of some point statements: cheaper, and it must be short."""
        ...

    async def read(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``fn(tx, …)``, a few point reads, as cheaply as can be."""
        ...

    async def report(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``fn(tx, …)``, which only reads and may take long, in one snapshot."""
        ...

    def on_hint(self, loop: Hint, wake: Callable[[], None]) -> None:
        """Call ``wake`` (in the event loop) after each commit that gave this hint."""
        ...


def to_ms(instant: datetime) -> int:
    """Milliseconds since the epoch, rounded down."""
    return (instant - EPOCH) // _MILLISECOND


def from_ms(value: int) -> datetime:
    """The aware UTC instant of a stored number of milliseconds."""
    return EPOCH + value * _MILLISECOND  # exact, and half the price of timedelta(milliseconds=…)


def opt_ms(instant: datetime | None) -> int | None:
    """``to_ms`` that keeps None."""
    return None if instant is None else to_ms(instant)


def opt_from_ms(value: int | None) -> datetime | None:
    """``from_ms`` that keeps None."""
    return None if value is None else from_ms(value)


def shaped(row: Row, shape: type[T]) -> T:
    """A row as a value: a struct (``array_like``) whose fields are the columns in their order, or a ``Row``.

    SQLite has numbers for booleans, and states are texts in either database.
    """
    return msgspec.convert(row, shape, strict=False)


def marks(count: int) -> str:
    """``?,?,?`` for an IN list of ``count`` values."""
    return ",".join("?" * count)


def for_update(tx: Tx) -> str:
    """The end of a SELECT whose rows this transaction is about to change.

    PostgreSQL locks them (not their keys, so that rows which refer to them can still be written);
    SQLite has one writer and needs nothing.
    """
    return " for no key update" if tx.dialect == "postgres" else ""
