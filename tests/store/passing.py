"""A transaction that passes on what it is asked, for tests that look at what that is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from overair.store import Tx
from overair.store.database import Dialect, Hint, Row, shaped

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


class PassingTx:
    """Whoever watches overrides what is to be seen: ``row``, ``rows`` and ``kept`` come as ``one`` and ``all``."""

    def __init__(self, tx: Tx) -> None:
        self.tx = tx
        self.dialect: Dialect = tx.dialect
        self.slot = tx.slot

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        return self.tx.one(sql, params)

    def row(self, shape: type[T], columns: str, rest: str, params: Sequence[Any] = ()) -> T | None:
        found = self.one(f"select {columns} {rest}", params)
        return None if found is None else shaped(found, shape)

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        return self.tx.all(sql, params)

    def rows(self, shape: type[T], columns: str, rest: str, params: Sequence[Any] = ()) -> list[T]:
        return [shaped(row, shape) for row in self.all(f"select {columns} {rest}", params)]

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        return self.tx.execute(sql, params)

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self.tx.many(sql, rows)

    def kept(self, fn: Callable[..., T], *args: Any) -> T:
        return fn(self, *args)

    def gather(
        self, fn: Callable[[Tx, Mapping[K, V]], None], key: K, value: V, join: Callable[[V, V], V]
    ) -> None:
        self.tx.gather(fn, key, value, join)

    def settle(self, fn: Callable[[Tx, Mapping[Any, Any]], None]) -> None:
        self.tx.settle(fn)

    def hint(self, loop: Hint) -> None:
        self.tx.hint(loop)


class NotingTx(PassingTx):
    """Takes down its statements, in ``statements``; nothing may be written a row at a time."""

    def __init__(self, tx: Tx) -> None:
        super().__init__(tx)
        self.statements: list[str] = []

    def one(self, sql: str, params: Sequence[Any] = ()) -> Row | None:
        self.statements.append(sql)
        return self.tx.one(sql, params)

    def all(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        self.statements.append(sql)
        return self.tx.all(sql, params)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> int:
        self.statements.append(sql)
        return self.tx.execute(sql, params)

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        raise AssertionError("a statement a row")
