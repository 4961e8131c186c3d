"""Changes that are waiting at the same moment: each is all or nothing, whatever the others do."""

import asyncio

import pytest

from overair.store import Database, StoreError, Tx


class _RefusedError(Exception):
    """What a change raises when it must not be."""


def _add(tx: Tx, name: str, *, refuse: bool = False, break_: bool = False) -> str:
    tx.execute("insert into account (name, created_at) values (?, 0)", (name,))
    if break_:
        tx.execute("insert into account (name, created_at) values (?, 0)", (name,))
    if refuse:
        tx.hint("callbacks")
        raise _RefusedError(name)
    tx.hint("advance")
    return name


def _names(tx: Tx) -> list[str]:
    return [row[0] for row in tx.all("select name from account order by name")]


async def test_one_failure_undoes_one_change(database: Database) -> None:
    """Among many at once, those that fail leave nothing and get their own error; the others stay."""
    woken: list[str] = []
    database.on_hint("advance", lambda: woken.append("advance"))
    database.on_hint("callbacks", lambda: woken.append("callbacks"))
    outcomes = await asyncio.gather(
        *(database.transact(_add, f"a{n:02d}", refuse=n % 7 == 3) for n in range(40)),
        database.transact(_add, "twice", break_=True),
        return_exceptions=True,
    )
    for number, outcome in enumerate(outcomes[:-1]):
        if number % 7 == 3:
            assert isinstance(outcome, _RefusedError)
            assert str(outcome) == f"a{number:02d}"
        else:
            assert outcome == f"a{number:02d}"
    assert isinstance(outcomes[-1], StoreError)
    kept = [f"a{n:02d}" for n in range(40) if n % 7 != 3]
    assert await database.read(_names) == kept
    assert set(woken) == {"advance"}


@pytest.mark.parametrize("how", ["refuse", "break_"])
async def test_a_failure_alone_leaves_nothing(database: Database, how: str) -> None:
    """A change that fails by itself is undone, and the next one is carried out."""
    with pytest.raises((_RefusedError, StoreError)):
        await database.transact(_add, "one", **{how: True})
    assert await database.transact(_add, "two") == "two"
    assert await database.read(_names) == ["two"]
