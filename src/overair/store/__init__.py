"""Every SQL statement, and the two databases that run them."""

from pathlib import Path

from overair.clock import Clock
from overair.store.database import Database, StoreError, Tx
from overair.store.sqlite import SqliteDatabase

__all__ = ["Database", "StoreError", "Tx", "open_database"]


def open_database(url: str, clock: Clock) -> Database:
    """The database at ``sqlite:///path`` or ``postgresql://…``; ``start`` it before use.

    Raises ValueError for any other address.
    """
    if url.startswith("sqlite:///"):
        return SqliteDatabase(Path(url.removeprefix("sqlite:///")), clock)
    if url.startswith(("postgresql://", "postgres://")):
        # Loaded where it is used: its driver takes longer to load than most commands to run.
        from overair.store.postgres import PostgresDatabase

        return PostgresDatabase(url, clock)
    raise ValueError("a database is sqlite:///path/of/file or postgresql://user@host/name")
