"""An account's listener where there is one without credentials: v2 and v3 say the same (API 5.17, 6.17).

Each version has its own listener; their operations differ in paths only.
"""

from typing import ClassVar

from msgspec import UNSET, UnsetType

from overair.api.routing import Call
from overair.api.wire import Answer, Body, Success, Url
from overair.engine import listeners as engine


class CallbackRegistration(Body):
    """Where to send messages."""

    aliases: ClassVar = {"callback": "url"}

    url: Url


class Callback(Answer):
    """The registered listener."""

    url: Url


class RegisteredCallback(Answer):
    """The registered listener; without ``url`` there is none."""

    url: Url | UnsetType = UNSET


async def listener(call: Call[None, None], api_version: int) -> RegisteredCallback:
    """Where messages of a version are sent."""
    account = await call.account()
    found = await call.db.read(engine.get, account.id, api_version)
    return RegisteredCallback(url=UNSET if found is None else found.url)


async def register(call: Call[CallbackRegistration, None], api_version: int) -> Callback:
    """Register a listener for a version, in place of the one before. Raises RequestError."""
    account = await call.account()
    rules = engine.rules_of(call.settings)
    made = await call.db.transact(
        engine.register, account.id, api_version, call.body.url, rules, call.now
    )
    return Callback(url=made.url)


async def delete(call: Call[None, None], api_version: int) -> Success:
    """Delete a version's listener; messages that wait for it are dropped. Raises RequestError."""
    account = await call.account()
    await call.db.transact(engine.delete, account.id, api_version, call.now)
    return Success()
