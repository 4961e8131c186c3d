"""A small database in memory whose whole content is a value: taken, put back, compared.

For whoever tries out what may happen from one state in many ways (``simulation/explore``): a branch is
a savepoint that is always undone. Only tables that were written in it are read again; the others are the
same objects in the content after it, so that many contents take little time and room.

Everything happens in one transaction that never ends. References between tables are not checked by
each statement, for a content is put back table by table, but when ``dangling`` is asked.

Not here: which of the content matters (``simulation/explore/canonical.py``).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

from overair.store.connection import SqliteTx, connect
from overair.store.database import Row, Tx
from overair.store.migrations import migrate

T = TypeVar("T")

Rows = tuple[Row, ...]
Content = tuple[Rows, ...]
"""Every row of every table, in the order of ``SmallDatabase.tables``."""

_COUNTERS: Final = "sqlite_sequence"  # which ids were given: SQLite writes it behind our backs
_WRITES: Final = re.compile(r"\b(?:insert\s+into|update|delete\s+from)\s+(\w+)")


@lru_cache(maxsize=4096)
def _written(sql: str) -> frozenset[str]:
    """The tables that a statement may write."""
    return frozenset() if sql.startswith("select ") else frozenset(_WRITES.findall(sql))


class Branch(SqliteTx):
    """A transaction that knows which tables it wrote."""

    def __init__(self, database: "SmallDatabase", connection: Any) -> None:
        # As the writer does it: what seldom changes is read once in a transaction.
        super().__init__(connection, kept={})
        self._database = database
        self._writes: set[str] = set()

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        self._writes |= _written(sql)
        return super().one(sql, params)

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        self._writes |= _written(sql)
        return super().all(sql, params)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        self._writes |= _written(sql)
        return super().execute(sql, params)

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._writes |= _written(sql)
        super().many(sql, rows)

    def content(self) -> Content:
        """What the database holds now."""
        return self._database.read(self._writes)

    def dangling(self) -> list[Row]:
        """References to rows that are not there: table, row, the table referred to."""
        return self.connection.execute("pragma foreign_key_check").fetchall()


class SmallDatabase:
    """The database, and what it holds."""

    def __init__(self, now: datetime) -> None:
        self._connection = connect(":memory:")
        self._connection.execute("pragma foreign_keys = off")
        self._connection.execute("begin")
        migrate(SqliteTx(self._connection), now)
        # After a rollback in the transaction that made the schema every statement is compiled anew.
        self._connection.execute("commit")
        self._connection.execute("begin")
        named = self._connection.execute(
            "select name from sqlite_master where type = 'table' order by name"
        )
        names = [name for (name,) in named if name != _COUNTERS]
        self.tables: Final = (*names, _COUNTERS)  # last, for others' rows are counted there
        self.columns: Final = {name: self._columns(name) for name in self.tables}
        self.present: Content = tuple(self._rows(table) for table in self.tables)
        """What the database holds, out of a branch."""

    def close(self) -> None:
        """Forget everything."""
        self._connection.close()

    def _columns(self, table: str) -> tuple[str, ...]:
        described = self._connection.execute(f"select * from {table} limit 0").description
        return tuple(column[0] for column in described)

    def _rows(self, table: str) -> Rows:
        return tuple(self._connection.execute(f"select * from {table}").fetchall())

    def read(self, written: set[str] | None = None) -> Content:
        """What the database holds, of which these tables were written; None: any may have been."""
        if written is None:
            return tuple(self._rows(table) for table in self.tables)
        if not written:
            return self.present
        read = written | {_COUNTERS}
        return tuple(
            self._rows(table) if table in read else rows
            for table, rows in zip(self.tables, self.present, strict=True)
        )

    def change(self, fn: Callable[[Tx], T]) -> T:
        """Do something that stays."""
        result = fn(SqliteTx(self._connection))
        self.present = self.read()
        return result

    @contextmanager
    def branch(self) -> Iterator[Branch]:
        """Try something out: at the end of the block nothing of it is left."""
        self._connection.execute("savepoint branch")
        try:
            yield Branch(self, self._connection)
        finally:
            self._connection.execute("rollback to branch")
            self._connection.execute("release branch")

    def restore(self, content: Content) -> None:
        """Put a content back."""
        if content is self.present:
            return
        execute = self._connection.execute
        changed = False
        for table, rows, present in zip(self.tables, content, self.present, strict=True):
            if rows is present and not (changed and table == _COUNTERS):
                continue
            changed = True
            execute(f"delete from {table}")
            if rows:
                marks = ",".join("?" * len(rows[0]))
                self._connection.executemany(f"insert into {table} values ({marks})", rows)
        self.present = content
