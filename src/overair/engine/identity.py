"""Issuing and ending tokens and sessions, and changing passwords: one transaction each (API 2).

Secrets are checked before a transaction begins, because that takes a tenth of a second; what was
checked is compared again inside (``expected``), so that a secret replaced in the meantime opens
nothing. Old tokens and sessions are cleared away by those who ask for new ones, a few at a time: no
loop of its own, and the tables stay as small as their use.
"""

from dataclasses import dataclass
from datetime import datetime

from overair.core import credentials
from overair.core.errors import CredentialsError, Refusal, SessionError
from overair.core.identity import BearerToken, Lifetimes, SessionState
from overair.core.ids import ApplicationId, UserId
from overair.store import identity as store
from overair.store.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A bearer token for its owner."""

    token: str
    expires_in_s: int


def issue_token(
    tx: Tx,
    application_id: ApplicationId,
    secret: str,
    fresh_nonce: str,
    lifetimes: Lifetimes,
    now: datetime,
) -> Issued:
    """The application's present token, or a new one where it is over, revoked or of an old secret."""
    store.lock_application(tx, application_id)
    store.forget_bearers(tx, application_id, now - lifetimes.kept)
    present = store.latest_bearer(tx, application_id)
    if present is not None and present.is_valid(now) and present.remaining_s(now) > 0:
        token = credentials.bearer_token(secret, present.nonce)
        if credentials.fingerprint(token) == present.token_hash:
            return Issued(token=token, expires_in_s=present.remaining_s(now))
    token = credentials.bearer_token(secret, fresh_nonce)
    fresh = BearerToken(
        application_id=application_id,
        token_hash=credentials.fingerprint(token),
        nonce=fresh_nonce,
        expires_at=now + lifetimes.bearer,
        revoked_at=None,
    )
    store.add_bearer(tx, fresh, now)
    return Issued(token=token, expires_in_s=fresh.remaining_s(now))


def revoke_token(tx: Tx, application_id: ApplicationId, token: str, now: datetime) -> bool:
    """End a token of this application; one that is not its own stays as it is."""
    return store.revoke_bearers(tx, application_id, now, credentials.fingerprint(token)) > 0


def open_session(
    tx: Tx, user_id: UserId, expected: str, token: str, lifetimes: Lifetimes, now: datetime
) -> None:
    """Begin a session for a user whose password was checked against ``expected``."""
    if store.user_password(tx, user_id) != expected:
        raise CredentialsError
    store.forget_sessions(tx, now - lifetimes.session_idle - lifetimes.kept)
    store.add_session(tx, user_id, credentials.fingerprint(token), now)


def use_session(tx: Tx, token_hash: str, lifetimes: Lifetimes, now: datetime) -> None:
    """Write down that a session was used, unless it ended while the request was on its way."""
    if not store.touch_session(tx, token_hash, now, now - lifetimes.session_idle):
        raise SessionError(Refusal.SESSION_INVALID)


def end_session(tx: Tx, token: str, lifetimes: Lifetimes, now: datetime) -> None:
    """Log out."""
    token_hash = credentials.fingerprint(token)
    session = store.session(tx, token_hash)
    if session is None or session.state(now, lifetimes.session_idle) is not SessionState.OPEN:
        raise SessionError(Refusal.SESSION_INVALID)
    store.end_session(tx, token_hash, now)


def change_password(tx: Tx, user_id: UserId, expected: str, new_hash: str) -> None:
    """Replace the password that was checked against ``expected``; sessions stay valid (API 2.5)."""
    if not store.replace_password(tx, user_id, expected, new_hash):
        raise CredentialsError


def put_application(
    tx: Tx, key: str, secret_hash: str, active: bool, now: datetime
) -> ApplicationId:
    """Create or replace an application; the tokens of a replaced secret end."""
    before = store.application(tx, key)
    application_id = store.save_application(tx, key, secret_hash, active)
    if before is not None and before[1] != secret_hash:
        store.revoke_bearers(tx, application_id, now)
    return application_id


def put_user(
    tx: Tx, username: str, password_hash: str, active: bool, accounts: list[str]
) -> list[str]:
    """Create or replace a user and its accounts; the account names that do not exist."""
    user_id = store.save_user(tx, username, password_hash, active)
    return store.grant_accounts(tx, user_id, accounts)
