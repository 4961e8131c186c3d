"""The database fixtures do what every other room's tests take for granted."""

from overair.store import Database, Tx


def _accounts(tx: Tx) -> list[tuple[object, ...]]:
    return tx.all("select name from account")


def _add(tx: Tx) -> None:
    tx.execute("insert into account (name, created_at) values (?, ?)", ("0000123456-00001", 0))


async def test_each_test_has_an_empty_database_with_the_schema(database: Database) -> None:
    """A test finds the tables and nothing in them, whatever tests before it wrote."""
    assert await database.read(_accounts) == []
    await database.transact(_add)
    assert await database.read(_accounts) == [("0000123456-00001",)]


async def test_the_next_test_does_too(database: Database) -> None:
    """What another test wrote into its database is not in this one."""
    assert await database.read(_accounts) == []
