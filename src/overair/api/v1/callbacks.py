"""The account's listener for v1: show, register, delete (API 4.13).

There is one service, ``Fota``; whoever registers or deletes names it, in any case.
"""

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from overair.api.routing import Call, Routes
from overair.api.v1.shapes import API_VERSION, PREFIX
from overair.api.wire import Answer, Body, Success, Url
from overair.core.errors import Refusal, RequestError
from overair.core.listener import MAX_CREDENTIAL
from overair.engine import listeners as engine

routes = Routes(PREFIX, tag="v1 callbacks")

SERVICE: Final = "Fota"
ServiceName = Annotated[str, Meta(examples=[SERVICE])]
# What may be in it is judged with the rest of the registration.
Credential = Annotated[str, Meta(extra_json_schema={"maxLength": MAX_CREDENTIAL})]


class CallbackService(Body):
    """Where to send messages, and what to write into them so that the listener knows the sender."""

    name: ServiceName
    url: Url
    username: Credential | None = None
    password: Credential | None = None


class RegisteredService(Answer):
    """A service whose messages are sent now."""

    account_name: str
    service_name: ServiceName


class ServiceListener(Answer):
    """The registered listener."""

    aname: str
    name: ServiceName
    url: Url
    username: str | UnsetType = UNSET
    password: str | UnsetType = UNSET


@routes.add("GET", "/callbacks/{acc}")
async def list_callbacks(call: Call[None, None]) -> list[ServiceListener]:
    """Show where messages are sent: to one listener, or nowhere."""
    account = await call.account()
    found = await call.db.read(engine.get, account.id, API_VERSION)
    if found is None:
        return []
    return [
        ServiceListener(
            aname=account.name,
            name=SERVICE,
            url=found.url,
            username=found.username or UNSET,
            password=found.password or UNSET,
        )
    ]


@routes.add(
    "POST",
    "/callbacks/{acc}",
    errors=(Refusal.CALLBACK_NAME, Refusal.CALLBACK_URL),
)
async def register_callback(call: Call[CallbackService, None]) -> RegisteredService:
    """Register a listener; it replaces the one before. Plain http will do."""
    account = await call.account()
    body = call.body
    _check_service(body.name)
    await call.db.transact(
        engine.register,
        account.id,
        API_VERSION,
        body.url,
        engine.rules_of(call.settings),
        call.now,
        username=body.username or "",
        password=body.password or "",
    )
    return RegisteredService(account_name=account.name, service_name=SERVICE)


@routes.add(
    "DELETE",
    "/callbacks/{acc}/name/{service}",
    errors=(Refusal.CALLBACK_NAME, Refusal.CALLBACK_NOT_REGISTERED),
)
async def delete_callback(call: Call[None, None]) -> Success:
    """Delete the listener; messages that wait for it are dropped."""
    account = await call.account()
    _check_service(call.path["service"])
    await call.db.transact(engine.delete, account.id, API_VERSION, call.now)
    return Success()


def _check_service(name: str) -> None:
    if name.casefold() != SERVICE.casefold():
        raise RequestError(Refusal.CALLBACK_NAME)
