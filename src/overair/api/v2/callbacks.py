"""The account's listener for v2: show, register, replace, delete (API 5.17)."""

from typing import ClassVar

from msgspec import UNSET, UnsetType

from overair.api.routing import Call, Routes
from overair.api.v2.shapes import API_VERSION, PREFIX
from overair.api.wire import Answer, Body, Success, Url
from overair.core.errors import Refusal
from overair.engine import listeners as engine

routes = Routes(PREFIX, tag="v2 callbacks")


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


@routes.add("GET", "/callbacks/{acc}")
async def get_callback(call: Call[None, None]) -> RegisteredCallback:
    """Show where messages are sent."""
    account = await call.account()
    found = await call.db.read(engine.get, account.id, API_VERSION)
    return RegisteredCallback(url=UNSET if found is None else found.url)


@routes.add("POST", "/callbacks/{acc}", errors=(Refusal.CALLBACK_URL,))
async def register_callback(call: Call[CallbackRegistration, None]) -> Callback:
    """Register a listener; it replaces the one before."""
    return await _register(call)


@routes.add("PUT", "/callbacks/{acc}", errors=(Refusal.CALLBACK_URL,))
async def update_callback(call: Call[CallbackRegistration, None]) -> Callback:
    """Replace the listener, or register one."""
    return await _register(call)


async def _register(call: Call[CallbackRegistration, None]) -> Callback:
    account = await call.account()
    rules = engine.rules_of(call.settings)
    listener = await call.db.transact(
        engine.register, account.id, API_VERSION, call.body.url, rules, call.now
    )
    return Callback(url=listener.url)


@routes.add("DELETE", "/callbacks/{acc}", errors=(Refusal.CALLBACK_NOT_REGISTERED,))
async def delete_callback(call: Call[None, None]) -> Success:
    """Delete the listener; messages that wait for it are dropped."""
    account = await call.account()
    await call.db.transact(engine.delete, account.id, API_VERSION, call.now)
    return Success()
