"""Tokens, sessions and passwords (API 2): the calls that open the other ones."""

import base64
import binascii
from typing import Any

from msgspec import UNSET, UnsetType

from overair import ids
from overair.api.errors import OAuthError
from overair.api.gate import Security
from overair.api.routing import Call, Routes
from overair.api.wire import Answer, Body, Form, Uuid
from overair.core.errors import CredentialsError, Refusal
from overair.core.ids import ApplicationId
from overair.engine import identity as engine
from overair.store import identity as store

oauth_routes = Routes("/api/ts/v1", tag="OAuth")
session_routes = Routes("/api/m2m/v1/session", tag="Session")

PASSWORD_BYTES = 12


class TokenForm(Form):
    grant_type: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET


class RevokeForm(Form):
    token: str | UnsetType = UNSET
    grant_type: str | UnsetType = UNSET


class TokenAnswer(Form):
    """RFC 6749 5.1; snake case, unlike the rest of the API."""

    access_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 - the scheme, not a secret


class Revoked(Answer):
    result: str = "revoked"


class Login(Body):
    username: str
    password: str


class SessionToken(Answer):
    session_token: Uuid


class PasswordReset(Body):
    old_password: str


class NewPassword(Answer):
    new_password: str


@oauth_routes.add("POST", "/oauth2/token", security=Security.BASIC)
async def issue_token(call: Call[TokenForm, None]) -> TokenAnswer:
    """Ask for a bearer token.

    It is valid for an hour from its first issue, and asking again within that hour returns the same
    one.
    """
    key, secret = _basic(call.request.headers.get("authorization", ""))
    if call.body.grant_type is UNSET:
        raise OAuthError("invalid_request", "The grant_type value is missing")
    if call.body.grant_type != "client_credentials":
        raise OAuthError("unsupported_grant_type", "The grant_type must be client_credentials")
    application_id = await _application(call, key, secret)
    gate = call.rooms.gate
    issued = await call.db.transact(
        engine.issue_token,
        application_id,
        secret,
        ids.new_token(),
        gate.lifetimes,
        gate.clock.now(),
    )
    return TokenAnswer(access_token=issued.token, expires_in=issued.expires_in_s)


@oauth_routes.add("POST", "/oauth2/revoke", security=Security.BASIC)
async def revoke_token(call: Call[RevokeForm, None]) -> Revoked:
    """End a bearer token at once. One that is unknown, or another's, is no error (RFC 7009 2.2)."""
    key, secret = _basic(call.request.headers.get("authorization", ""))
    if call.body.token is UNSET:
        raise OAuthError("invalid_request", "The token value is missing")
    application_id = await _application(call, key, secret)
    await call.db.transact(
        engine.revoke_token, application_id, call.body.token, call.rooms.gate.clock.now()
    )
    return Revoked()


async def _application(call: Call[Any, Any], key: str, secret: str) -> ApplicationId:
    """The application with this key, if the secret is its own."""
    found = await call.db.read(store.application, key)
    stored = found[1] if found else None
    try:
        await call.rooms.gate.check(_address(call), f"application {key}", secret, stored)
    except CredentialsError as error:
        raise OAuthError(
            "invalid_client", error.message, retry_after_s=error.retry_after_s
        ) from error
    if found is None or not found[2]:
        raise OAuthError("invalid_client", Refusal.CREDENTIALS.text)
    return found[0]


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.strip().partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError("not Basic")
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
        key, colon, secret = text.partition(":")
        if not colon or "\0" in text:
            raise ValueError("no key and secret")
    except (binascii.Error, ValueError) as error:
        raise OAuthError(
            "invalid_client", "The Authorization header must be Basic base64(key:secret)"
        ) from error
    return key, secret


@session_routes.add(
    "POST",
    "/login",
    security=Security.BEARER,
    errors=(Refusal.CREDENTIALS, Refusal.LOGIN_THROTTLED),
)
async def log_in(call: Call[Login, None]) -> SessionToken:
    """Begin a session. It stays valid while it is used, and ends after 20 minutes without."""
    username, gate = call.body.username, call.rooms.gate
    found = await call.db.read(store.user, username)
    stored = found[1] if found else None
    await gate.check(_address(call), f"user {username}", call.body.password, stored)
    if found is None or not found[2]:
        raise CredentialsError
    token = ids.new_uuid()
    await call.db.transact(
        engine.open_session, found[0], found[1], token, gate.lifetimes, gate.clock.now()
    )
    return SessionToken(session_token=token)


@session_routes.add("POST", "/logout")
async def log_out(call: Call[None, None]) -> SessionToken:
    """End the session that the request carries."""
    gate, token = call.rooms.gate, call.caller.session_token
    await call.db.transact(engine.end_session, token, gate.lifetimes, gate.clock.now())
    return SessionToken(session_token=token)


@session_routes.add("PUT", "/password/actions/reset", errors=(Refusal.CREDENTIALS,))
async def reset_password(call: Call[PasswordReset, None]) -> NewPassword:
    """Replace the password by a random one, at once. Existing sessions stay valid."""
    gate, user_id = call.rooms.gate, call.caller.user_id
    assert user_id is not None
    stored = await call.db.read(store.user_password, user_id)
    await gate.check(_address(call), f"user id {user_id}", call.body.old_password, stored)
    assert stored is not None
    password = ids.new_token(PASSWORD_BYTES)
    await call.db.transact(engine.change_password, user_id, stored, await gate.hash(password))
    return NewPassword(new_password=password)


def _address(call: Call[Any, Any]) -> str:
    """Whom to count a wrong secret against."""
    client = call.request.client
    return client.host if client else ""
