"""Applications, bearer tokens, users, sessions, and which accounts a user has."""

from datetime import datetime
from typing import Any

from overair.core.identity import BearerToken, Session
from overair.core.ids import AccountId, ApplicationId, UserId
from overair.store.database import Tx, for_update, from_ms, marks, opt_from_ms, to_ms

# Applications and their tokens ---------------------------------------------------------------------


def application(tx: Tx, key: str) -> tuple[ApplicationId, str, bool] | None:
    """Id, stored secret and whether it is active."""
    row = tx.one("select id, secret_hash, active from application where key = ?", (key,))
    return None if row is None else (ApplicationId(row[0]), str(row[1]), bool(row[2]))


def save_application(tx: Tx, key: str, secret_hash: str, active: bool) -> ApplicationId:
    """Create or replace an application."""
    row = tx.one(
        "insert into application (key, secret_hash, active) values (?, ?, ?)"
        " on conflict (key) do update set secret_hash = excluded.secret_hash,"
        " active = excluded.active returning id",
        (key, secret_hash, active),
    )
    assert row is not None
    return ApplicationId(row[0])


def lock_application(tx: Tx, application_id: ApplicationId) -> None:
    """Let one transaction at a time issue this application's tokens."""
    tx.one(f"select id from application where id = ?{for_update(tx)}", (application_id,))


_BEARER = "application_id, token_hash, nonce, expires_at, revoked_at"


def _bearer(row: tuple[Any, ...]) -> BearerToken:
    return BearerToken(
        application_id=ApplicationId(row[0]),
        token_hash=row[1],
        nonce=row[2],
        expires_at=from_ms(row[3]),
        revoked_at=opt_from_ms(row[4]),
    )


def bearer(tx: Tx, token_hash: str) -> BearerToken | None:
    """The token with this fingerprint, if its application is active."""
    row = tx.one(
        "select application_id, token_hash, nonce, expires_at, revoked_at from bearer_token"
        " where token_hash = ? and exists"
        " (select 1 from application a where a.id = application_id and a.active)",
        (token_hash,),
    )
    return None if row is None else _bearer(row)


def latest_bearer(tx: Tx, application_id: ApplicationId) -> BearerToken | None:
    """The application's token that lasts longest of those not revoked."""
    row = tx.one(
        f"select {_BEARER} from bearer_token where application_id = ? and revoked_at is null"
        " order by expires_at desc limit 1",
        (application_id,),
    )
    return None if row is None else _bearer(row)


def add_bearer(tx: Tx, token: BearerToken, issued_at: datetime) -> None:
    tx.execute(
        "insert into bearer_token (token_hash, application_id, nonce, issued_at, expires_at)"
        " values (?, ?, ?, ?, ?)",
        (
            token.token_hash,
            token.application_id,
            token.nonce,
            to_ms(issued_at),
            to_ms(token.expires_at),
        ),
    )


def revoke_bearers(
    tx: Tx, application_id: ApplicationId, now: datetime, token_hash: str | None = None
) -> int:
    """End one token of the application, or all of them."""
    one = "" if token_hash is None else " and token_hash = ?"
    return tx.execute(
        "update bearer_token set revoked_at = ?"
        f" where application_id = ? and revoked_at is null{one}",
        (to_ms(now), application_id, *(() if token_hash is None else (token_hash,))),
    )


def forget_bearers(tx: Tx, application_id: ApplicationId, before: datetime) -> int:
    """Delete the application's tokens that were over by then."""
    return tx.execute(
        "delete from bearer_token where application_id = ? and expires_at < ?",
        (application_id, to_ms(before)),
    )


# Users and their sessions --------------------------------------------------------------------------


def user(tx: Tx, username: str) -> tuple[UserId, str, bool] | None:
    """Id, stored password and whether it is active."""
    row = tx.one("select id, password_hash, active from m2m_user where username = ?", (username,))
    return None if row is None else (UserId(row[0]), str(row[1]), bool(row[2]))


def user_password(tx: Tx, user_id: UserId) -> str | None:
    """The stored password of a user."""
    row = tx.one("select password_hash from m2m_user where id = ?", (user_id,))
    return None if row is None else str(row[0])


def save_user(tx: Tx, username: str, password_hash: str, active: bool) -> UserId:
    """Create or replace a user."""
    row = tx.one(
        "insert into m2m_user (username, password_hash, active) values (?, ?, ?)"
        " on conflict (username) do update set password_hash = excluded.password_hash,"
        " active = excluded.active returning id",
        (username, password_hash, active),
    )
    assert row is not None
    return UserId(row[0])


def replace_password(tx: Tx, user_id: UserId, old_hash: str, new_hash: str) -> bool:
    """Set a new password if the stored one is still the one that was checked."""
    changed = tx.execute(
        "update m2m_user set password_hash = ? where id = ? and password_hash = ?",
        (new_hash, user_id, old_hash),
    )
    return changed == 1


def grant_accounts(tx: Tx, user_id: UserId, names: list[str]) -> list[str]:
    """Make ``names`` the user's accounts; the names that do not exist."""
    rows = tx.all(f"select id, name from account where name in ({marks(len(names))})", names)
    tx.execute("delete from user_account where user_id = ?", (user_id,))
    tx.many(
        "insert into user_account (user_id, account_id) values (?, ?)",
        [(user_id, account_id) for account_id, _ in rows],
    )
    found = {name for _, name in rows}
    return [name for name in names if name not in found]


def account_of_user(tx: Tx, user_id: UserId, name: str) -> tuple[AccountId, bool] | None:
    """Id of the account of that name and whether it is active, if the user has it."""
    row = tx.one(
        "select a.id, a.active from account a join user_account u on u.account_id = a.id"
        " where u.user_id = ? and a.name = ?",
        (user_id, name),
    )
    return None if row is None else (AccountId(row[0]), bool(row[1]))


def session(tx: Tx, token_hash: str) -> Session | None:
    """The session with this fingerprint, if its user is active."""
    row = tx.one(
        "select s.user_id, s.token_hash, s.used_at, s.ended_at from session s"
        " join m2m_user u on u.id = s.user_id where s.token_hash = ? and u.active",
        (token_hash,),
    )
    if row is None:
        return None
    return Session(
        user_id=UserId(row[0]),
        token_hash=row[1],
        used_at=from_ms(row[2]),
        ended_at=opt_from_ms(row[3]),
    )


def add_session(tx: Tx, user_id: UserId, token_hash: str, now: datetime) -> None:
    tx.execute(
        "insert into session (token_hash, user_id, created_at, used_at) values (?, ?, ?, ?)",
        (token_hash, user_id, to_ms(now), to_ms(now)),
    )


def touch_session(tx: Tx, token_hash: str, now: datetime, not_before: datetime) -> bool:
    """Move the last use on, if the session is still open: ended ones stay so."""
    changed = tx.execute(
        "update session set used_at = case when used_at < ? then ? else used_at end"
        " where token_hash = ? and ended_at is null and used_at > ?",
        (to_ms(now), to_ms(now), token_hash, to_ms(not_before)),
    )
    return changed == 1


def end_session(tx: Tx, token_hash: str, now: datetime) -> bool:
    """End a session that has not ended."""
    changed = tx.execute(
        "update session set ended_at = ? where token_hash = ? and ended_at is null",
        (to_ms(now), token_hash),
    )
    return changed == 1


def forget_sessions(tx: Tx, before: datetime) -> int:
    """Delete sessions that were last used before then, some at a time."""
    return tx.execute(
        "delete from session where token_hash in"
        " (select token_hash from session where used_at < ? order by used_at limit 100)",
        (to_ms(before),),
    )
