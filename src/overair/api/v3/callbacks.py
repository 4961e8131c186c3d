"""The account's listener for v3: show, register, replace, delete (API 6.17)."""

from overair.api import listening
from overair.api.listening import Callback, CallbackRegistration, RegisteredCallback
from overair.api.routing import Call, Routes
from overair.api.v3.shapes import API_VERSION, PREFIX
from overair.api.wire import Success
from overair.core.errors import Refusal

routes = Routes(PREFIX, tag="v3 callbacks")


@routes.add("GET", "/callbacks/{acc}")
async def get_callback(call: Call[None, None]) -> RegisteredCallback:
    """Show where messages are sent."""
    return await listening.listener(call, API_VERSION)


@routes.add("POST", "/callbacks/{acc}", errors=(Refusal.CALLBACK_URL,))
async def register_callback(call: Call[CallbackRegistration, None]) -> Callback:
    """Register a listener; it replaces the one before."""
    return await listening.register(call, API_VERSION)


@routes.add("PUT", "/callbacks/{acc}", errors=(Refusal.CALLBACK_URL,))
async def update_callback(call: Call[CallbackRegistration, None]) -> Callback:
    """Replace the listener, or register one."""
    return await listening.register(call, API_VERSION)


@routes.add("DELETE", "/callbacks/{acc}", errors=(Refusal.CALLBACK_NOT_REGISTERED,))
async def delete_callback(call: Call[None, None]) -> Success:
    """Delete the listener; messages that wait for it are dropped."""
    return await listening.delete(call, API_VERSION)
