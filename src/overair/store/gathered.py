"""What the functions of one transaction have gathered, to be written once at its end (``Tx.gather``)."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from overair.store.database import Tx

K = TypeVar("K")
V = TypeVar("V")

Write = Callable[[Tx, Mapping[Any, Any]], None]


class Gathered:
    """By who writes it, and by key."""

    def __init__(self) -> None:
        self._by_write: dict[Write, dict[Any, Any]] = {}

    def add(self, write: Write, key: K, value: V, join: Callable[[V, V], V]) -> None:
        values = self._by_write.setdefault(write, {})
        values[key] = join(values[key], value) if key in values else value

    def settle(self, tx: Tx, write: Write) -> None:
        """Have it write what is gathered for it."""
        values = self._by_write.pop(write, None)
        if values:
            write(tx, values)

    def settle_all(self, tx: Tx) -> None:
        """Have everything written, also what is gathered meanwhile."""
        while self._by_write:
            self.settle(tx, next(iter(self._by_write)))
