"""The whole server with two accounts, and clients of its v2 that look closely at every answer.

Every answer a client gets is compared with the OpenAPI document: its status must be one that the
operation has, and its body of the shape that the document gives it. That a required member is never
missing is proven in passing, by every test.

Tokens are on the wall's clock, campaigns on one that the test moves; the engine's loops do not run,
``V2.advance`` does their work.
"""

import functools
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
from jsonschema_rs import Draft202012Validator

from overair.api.openapi import openapi_document
from overair.app import Server
from overair.clock import ManualClock
from overair.config import Limits, Settings
from overair.core.credentials import Cost, hash_secret
from overair.core.identity import Lifetimes
from overair.core.ids import AccountId
from overair.engine import identity
from overair.engine.catalog import put_software
from overair.engine.licenses import set_subscription
from overair.store import Tx
from overair.store import identity as identity_store
from tests.engine import stock
from tests.engine.stock import imei
from tests.serving import Answered, ask

P = ParamSpec("P")
T = TypeVar("T")

ACCOUNT, OTHER_ACCOUNT, INACTIVE_ACCOUNT, BARE_ACCOUNT = (
    f"0000123456-{number:05d}" for number in range(1, 5)
)
MINE = range(1, 31)
"""Numbers of the account's devices; ``imei`` makes ids of them."""
THEIRS = range(101, 106)
ABSENT = "123456789012345"
LICENSES = 10
BASE = "/api/fota/v2"

_COST = Cost(log2_n=4, r=1, p=1)


@dataclass(frozen=True, slots=True)
class Refused:
    """What a refused call says."""

    code: str
    message: str


@dataclass(kw_only=True)
class Client:
    """A user of the API."""

    world: "V2"
    headers: dict[str, str]
    account: str
    base: str = BASE

    async def call(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None
    ) -> Answered:
        """Call an operation below the version's prefix; ``{}`` in the path is the user's account."""
        sent = raw if raw is not None else b"" if body is None else msgspec.json.encode(body)
        full = self.base + path.replace("{}", self.account)
        answered = await ask(
            self.world.server, method, full.encode(), headers=self.headers, body=sent
        )
        check(method, full.partition("?")[0], answered)
        return answered

    async def ok(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None
    ) -> Any:
        """The body of a call that succeeds."""
        answered = await self.call(method, path, body, raw=raw)
        assert answered.status == 200, answered.body
        return answered.json()

    async def refused(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None
    ) -> Refused:
        """What a call that is refused with 400 says."""
        answered = await self.call(method, path, body, raw=raw)
        assert answered.status == 400, answered.body
        found = answered.json()
        assert set(found) == {"errorCode", "errorMessage"}
        return Refused(found["errorCode"], found["errorMessage"])

    async def why(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None
    ) -> str:
        """The text of a refusal whose code says nothing more."""
        found = await self.refused(method, path, body, raw=raw)
        assert found.code == "INVALID_PARAMETER"
        return found.message


@dataclass(kw_only=True)
class V2:
    """The server, and two users who know nothing of each other."""

    server: Server
    clock: ManualClock
    account_id: AccountId
    other_id: AccountId
    ada: Client
    bob: Client

    async def run(
        self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do something in a transaction."""
        return await self.server.db.transact(fn, *args, **kwargs)

    async def advance(self, delta: timedelta = timedelta()) -> None:
        """Move the time on, and let the engine do what is due."""
        self.clock.advance(delta)
        await self.run(stock.advance, self.clock.now())

    def day(self, days: int = 0) -> str:
        """A date, so many days from today."""
        return (self.clock.now().date() + timedelta(days=days)).isoformat()

    def campaign(self, numbers: Any = (1, 2, 3), **changes: Any) -> dict[str, Any]:
        """The body of a request for a campaign that starts tomorrow."""
        body = {
            "campaignName": "smart firmware",
            "softwareName": stock.SOFTWARE,
            "softwareFrom": "01",
            "softwareTo": "02",
            "distributionType": "HTTP",
            "startDate": self.day(1),
            "endDate": self.day(5),
            "deviceList": [imei(number) for number in numbers],
        }
        return {name: value for name, value in (body | changes).items() if value is not ...}

    async def scheduled(self, numbers: Any = (1, 2, 3), **changes: Any) -> str:
        """The id of a new campaign whose devices were checked."""
        found = await self.ada.ok("POST", "/campaigns/{}", self.campaign(numbers, **changes))
        await self.advance()
        return str(found["id"])


def _populate(tx: Tx, wall: Any, settings: Settings) -> dict[str, Any]:
    ids = {
        name: stock.add_account(tx, name)
        for name in (ACCOUNT, OTHER_ACCOUNT, INACTIVE_ACCOUNT, BARE_ACCOUNT)
    }
    tx.execute("update account set active = false where name = ?", (INACTIVE_ACCOUNT,))
    stock.add_devices(tx, ids[ACCOUNT], MINE)
    stock.add_devices(tx, ids[OTHER_ACCOUNT], THEIRS)
    for name in (ACCOUNT, OTHER_ACCOUNT, INACTIVE_ACCOUNT):
        set_subscription(
            tx,
            ids[name],
            purchase_type="TS-HFOTA-EVNT,TS-HFOTA-MRC",
            license_count=LICENSES,
            settings=settings,
            now=stock.NOW,
        )
    put_software(tx, stock.software(release_note="what is new"), stock.NOW)
    secret, hashed = "secret", hash_secret("secret", b"s" * 16, _COST)
    identity.put_application(tx, "key", hashed, True, wall)
    application = identity_store.application(tx, "key")
    assert application is not None
    token = identity.issue_token(tx, application[0], secret, "nonce", Lifetimes(), wall).token
    found: dict[str, Any] = {"accounts": ids, "headers": {}}
    for user, accounts in (
        ("ada", [ACCOUNT, INACTIVE_ACCOUNT, BARE_ACCOUNT]),
        ("bob", [OTHER_ACCOUNT]),
    ):
        identity.put_user(tx, user, hashed, True, accounts)
        row = identity_store.user(tx, user)
        assert row is not None
        identity.open_session(tx, row[0], hashed, f"session of {user}", Lifetimes(), wall)
        found["headers"][user] = {
            "Authorization": f"Bearer {token}",
            "VZ-M2M-Token": f"session of {user}",
        }
    return found


@asynccontextmanager
async def v2_world(
    database_url: str, data: Path, clock: ManualClock, limits: Limits, **changes: Any
) -> AsyncIterator[V2]:
    """A server with everything in it that the tests speak of."""
    settings = Settings(
        data=str(data), database=database_url, engine=False, limits=limits, **changes
    )
    server = Server(settings, clock=clock)
    await server.start()
    try:
        made = await server.db.transact(_populate, server.wall.now(), settings)
        world = V2(
            server=server,
            clock=clock,
            account_id=made["accounts"][ACCOUNT],
            other_id=made["accounts"][OTHER_ACCOUNT],
            ada=None,  # type: ignore[arg-type]  # each needs the other; set in the next lines
            bob=None,  # type: ignore[arg-type]  # likewise
        )
        world.ada = Client(world=world, headers=made["headers"]["ada"], account=ACCOUNT)
        world.bob = Client(world=world, headers=made["headers"]["bob"], account=OTHER_ACCOUNT)
        yield world
    finally:
        await server.close()


# The document ------------------------------------------------------------------------------------


@functools.cache
def _document() -> Any:
    return json.loads(msgspec.json.encode(openapi_document()))


@functools.cache
def _paths() -> list[tuple[re.Pattern[str], str]]:
    """Patterns of the documented paths, literal ones before those through parameters."""
    paths = sorted(
        _document()["paths"], key=lambda path: [p.startswith("{") for p in path.split("/")]
    )
    return [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), path) for path in paths]


def operation(method: str, path: str) -> tuple[str, Any] | None:
    """The documented operation of a request, with its path."""
    for pattern, template in _paths():
        if pattern.fullmatch(path):
            found = _document()["paths"][template].get(method.lower())
            return None if found is None else (template, found)
    return None


@functools.cache
def _validator(method: str, template: str, status: str) -> Draft202012Validator:
    response = _document()["paths"][template][method.lower()]["responses"][status]
    schema = response["content"]["application/json"]["schema"]
    return Draft202012Validator({**schema, "components": _document()["components"]})


def check(method: str, path: str, answered: Answered) -> None:
    """An answer is one that the document has."""
    body = answered.json()
    found = operation(method, path)
    if found is None:
        return
    template, described = found
    assert str(answered.status) in described["responses"], (method, path, answered)
    _validator(method, template, str(answered.status)).validate(body)
    assert not _has_null(body), f"{method} {path} answers a null"


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_null(member) for member in value.values())
    return any(map(_has_null, value)) if isinstance(value, list) else value is None
