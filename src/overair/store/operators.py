"""Operators' tokens: for those who are neither a device nor an application, such as the network.

Only fingerprints are stored. A token that was revoked keeps its row, so that it can still be told whose
it was and when; its name is free for another.
"""

from dataclasses import dataclass
from datetime import datetime

from overair.store.database import Tx, from_ms, opt_from_ms, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorToken:
    """A token without itself."""

    name: str
    created_at: datetime
    revoked_at: datetime | None


def add(tx: Tx, name: str, token_hash: str, now: datetime) -> bool:
    """Write a new token down; False: there is one of that name."""
    return bool(
        tx.execute(
            "insert into operator_token (name, token_hash, created_at) values (?, ?, ?)"
            " on conflict (name) where revoked_at is null do nothing",
            (name, token_hash, to_ms(now)),
        )
    )


def revoke(tx: Tx, name: str, now: datetime) -> bool:
    """End the token of that name; False: there is none that is valid."""
    return bool(
        tx.execute(
            "update operator_token set revoked_at = ? where name = ? and revoked_at is null",
            (to_ms(now), name),
        )
    )


def name_of(tx: Tx, token_hash: str) -> str | None:
    """The name of a token, if it is valid."""
    row = tx.one(
        "select name from operator_token where token_hash = ? and revoked_at is null",
        (token_hash,),
    )
    return None if row is None else str(row[0])


def tokens(tx: Tx, limit: int) -> list[OperatorToken]:
    """The latest ``limit`` tokens, the latest first."""
    rows = tx.all(
        "select name, created_at, revoked_at from operator_token order by id desc limit ?",
        (limit,),
    )
    return [
        OperatorToken(name=row[0], created_at=from_ms(row[1]), revoked_at=opt_from_ms(row[2]))
        for row in rows
    ]
