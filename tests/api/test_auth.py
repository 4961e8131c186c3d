"""Tokens, sessions and passwords over real sockets, on both databases (API 2)."""

import asyncio
import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from overair.api.gate import Gate
from overair.api.routing import Api, Call, Routes
from overair.api.wire import Answer
from overair.config import Settings
from overair.core.credentials import hash_secret
from overair.core.errors import RequestError
from overair.core.identity import Throttle, ThrottleLimits
from overair.engine import identity
from tests.api.conftest import (
    ACCOUNT,
    FAST,
    INACTIVE_ACCOUNT,
    KEY,
    OTHER_ACCOUNT,
    OTHER_USER,
    PASSWORD,
    SECRET,
    USER,
    World,
)
from tests.serving import ask, serving

TOKEN = "/api/ts/v1/oauth2/token"
REVOKE = "/api/ts/v1/oauth2/revoke"
LOGIN = "/api/m2m/v1/session/login"
LOGOUT = "/api/m2m/v1/session/logout"
RESET = "/api/m2m/v1/session/password/actions/reset"
GRANT = {"grant_type": "client_credentials"}
INVALID_SESSION = "UnifiedWebService.REQUEST_FAILED.SessionToken.Invalid"
EXPIRED_SESSION = "UnifiedWebService.REQUEST_FAILED.SessionToken.Expired"
WRONG = "UnifiedWebService.INPUT_INVALID.Login.InvalidCredentials"

Http = aiohttp.ClientSession


class Named(Answer):
    account: str


def account_routes() -> Routes:
    routes = Routes("/api/fota/v2", tag="test")

    @routes.add("GET", "/subscriptions/{acc}")
    async def name_account(call: Call[None, None]) -> Named:
        """Name the account."""
        return Named(account=(await call.account()).name)

    return routes


async def post(http: Http, path: str, **request: Any) -> tuple[int, Any]:
    async with http.post(path, **request) as response:
        return response.status, await response.json()


def basic(key: str = KEY, secret: str = SECRET) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(key, secret)}


async def bearer(http: Http, key: str = KEY) -> dict[str, str]:
    status, body = await post(http, TOKEN, data=GRANT, headers=basic(key))
    assert status == 200, body
    return {"Authorization": f"Bearer {body['access_token']}"}


async def both(http: Http, user: str = USER) -> dict[str, str]:
    headers = await bearer(http)
    status, body = await post(
        http, LOGIN, json={"username": user, "password": PASSWORD}, headers=headers
    )
    assert status == 200, body
    return {**headers, "VZ-M2M-Token": body["sessionToken"]}


async def test_token_is_the_same_within_its_hour(http: Http, world: World) -> None:
    """Asking again within the hour gives the same token with what is left; later a new one."""
    status, first = await post(http, TOKEN, data=GRANT, headers=basic())
    assert (status, first["token_type"], first["expires_in"]) == (200, "Bearer", 3600)
    world.clock.advance(timedelta(minutes=59, seconds=58))
    _, again = await post(http, TOKEN, data=GRANT, headers=basic())
    assert again == {**first, "expires_in": 2}
    world.clock.advance(timedelta(seconds=2))
    _, new = await post(http, TOKEN, data=GRANT, headers=basic())
    assert new["access_token"] != first["access_token"]
    assert new["expires_in"] == 3600


async def test_applications_have_tokens_of_their_own(http: Http) -> None:
    """Two applications with the same secret do not share a token."""
    assert await bearer(http, "key-1") != await bearer(http, "key-2")


async def test_many_at_once_get_one_token(http: Http) -> None:
    """Requests in parallel are given the same token."""
    found = await asyncio.gather(*(bearer(http) for _ in range(8)))
    assert len({headers["Authorization"] for headers in found}) == 1


async def test_token_answers_are_not_cached(http: Http) -> None:
    """RFC 6749 5.1: no-store."""
    async with http.post(TOKEN, data=GRANT, headers=basic()) as response:
        assert response.headers["Cache-Control"] == "no-store"


async def test_revoked_token_is_refused_and_replaced(http: Http) -> None:
    """A revoked token opens nothing from then on, and the next one is new."""
    headers = await both(http)
    token = headers["Authorization"].removeprefix("Bearer ")
    assert await post(http, REVOKE, data={"token": token}, headers=basic()) == (
        200,
        {"result": "revoked"},
    )
    status, body = await post(http, LOGOUT, headers=headers)
    assert (status, body["fault"]["code"], body["errorCode"]) == (401, "900901", "900901")
    assert await bearer(http) != {"Authorization": headers["Authorization"]}


async def test_revoking_what_is_not_ones_own_changes_nothing(http: Http) -> None:
    """An unknown token, and one of another application, answer 200 and stay as they were."""
    headers = await bearer(http, "key-2")
    token = headers["Authorization"].removeprefix("Bearer ")
    for other in (token, "no-such-token"):
        status, _ = await post(http, REVOKE, data={"token": other}, headers=basic())
        assert status == 200
    assert await bearer(http, "key-2") == headers


@pytest.mark.parametrize(
    ("form", "headers", "status", "error"),
    [
        ({}, basic(), 400, "invalid_request"),
        ({"grant_type": ""}, basic(), 400, "invalid_request"),
        ({"grant_type": "password"}, basic(), 400, "unsupported_grant_type"),
        (GRANT, {}, 401, "invalid_client"),
        (GRANT, {"Authorization": "Basic ###"}, 401, "invalid_client"),
        (GRANT, {"Authorization": "Basic bm9jb2xvbg=="}, 401, "invalid_client"),
        (GRANT, {"Authorization": "Basic /w=="}, 401, "invalid_client"),
        (GRANT, {"Authorization": "Basic AAA6AA=="}, 401, "invalid_client"),
        (GRANT, {"Authorization": "Bearer x"}, 401, "invalid_client"),
        (GRANT, basic(secret="wrong"), 401, "invalid_client"),
        (GRANT, basic(key="unknown"), 401, "invalid_client"),
        (GRANT, basic(key="key-off"), 401, "invalid_client"),
    ],
)
async def test_token_errors(
    http: Http, form: dict[str, str], headers: dict[str, str], status: int, error: str
) -> None:
    """A refused token request has OAuth's shape and the status of its kind."""
    async with http.post(TOKEN, data=form, headers=headers) as response:
        body = await response.json()
        assert (response.status, body["error"]) == (status, error)
        assert body["error_description"]
        assert set(body) == {"error", "error_description", "error_uri"}
        assert ("WWW-Authenticate" in response.headers) == (status == 401)


async def test_missing_grant_type_is_named(http: Http) -> None:
    """The description says that the grant_type value is missing."""
    _, body = await post(http, TOKEN, headers=basic())
    assert "grant_type value is missing" in body["error_description"]


async def test_new_secret_ends_the_old_ones_token(http: Http, world: World) -> None:
    """A token of a replaced secret is refused, and the old secret gives none."""
    headers = await bearer(http)
    stored = hash_secret("secret-2", b"t" * 16, FAST)
    await world.db.transact(identity.put_application, KEY, stored, True, world.clock.now())
    status, _ = await post(
        http, LOGIN, json={"username": USER, "password": PASSWORD}, headers=headers
    )
    assert status == 401
    status, _ = await post(http, TOKEN, data=GRANT, headers=basic())
    assert status == 401
    status, _ = await post(http, TOKEN, data=GRANT, headers=basic(secret="secret-2"))
    assert status == 200


async def test_login_needs_a_bearer_token(http: Http) -> None:
    """Without one the gateway misses credentials; with an unknown one they are invalid."""
    for headers, code in (
        ({}, "900902"),
        (basic(), "900902"),
        ({"Authorization": "Bearer "}, "900902"),
        ({"Authorization": "Bearer unknown"}, "900901"),
    ):
        async with http.post(LOGIN, json={}, headers=headers) as response:
            body = await response.json()
            assert (response.status, body["fault"]["code"], body["errorCode"]) == (401, code, code)
            assert body["errorMessage"] == body["fault"]["message"]
            assert body["fault"]["description"]
            assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_bearer_token_expires_after_an_hour(http: Http, world: World) -> None:
    """At the end of its hour the token is refused."""
    headers = await bearer(http)
    world.clock.advance(timedelta(hours=1))
    status, body = await post(http, LOGIN, json={}, headers=headers)
    assert (status, body["errorCode"]) == (401, "900901")


@pytest.mark.parametrize(
    "body",
    [
        {"username": USER, "password": "wrong"},
        {"username": "nobody", "password": PASSWORD},
        {"username": "user-off", "password": PASSWORD},
        {"username": "", "password": ""},
    ],
)
async def test_wrong_credentials(http: Http, body: dict[str, str]) -> None:
    """Whatever is wrong with them, the answer is the same."""
    status, answer = await post(http, LOGIN, json=body, headers=await bearer(http))
    assert (status, answer) == (400, {"errorCode": WRONG, "errorMessage": "invalid credentials"})


@pytest.mark.parametrize("body", ["{}", '{"username": 1, "password": "x"}', "[]", "", "x"])
async def test_login_that_does_not_parse(http: Http, body: str) -> None:
    """A login without its members is an invalid parameter."""
    status, answer = await post(http, LOGIN, data=body, headers=await bearer(http))
    assert (status, answer["errorCode"]) == (400, "INVALID_PARAMETER")


async def test_sessions_are_uuids_and_many(http: Http) -> None:
    """One user may hold several sessions, each named by a UUID."""
    one, two = await both(http), await both(http)
    assert UUID(one["VZ-M2M-Token"]) != UUID(two["VZ-M2M-Token"])
    assert (await post(http, LOGOUT, headers=one))[0] == 200
    assert (await post(http, LOGOUT, headers=two))[0] == 200


async def test_logout_ends_the_session(http: Http) -> None:
    """Logging out names the token it ended, which is refused afterwards."""
    headers = await both(http)
    token = headers["VZ-M2M-Token"]
    assert await post(http, LOGOUT, headers=headers) == (200, {"sessionToken": token})
    status, body = await post(http, LOGOUT, headers=headers)
    assert (status, body["errorCode"]) == (400, INVALID_SESSION)


async def test_session_token_missing_or_unknown(http: Http) -> None:
    """Neither opens anything."""
    headers = await bearer(http)
    for session in ({}, {"VZ-M2M-Token": ""}, {"VZ-M2M-Token": "x"}):
        status, body = await post(http, LOGOUT, headers={**headers, **session})
        assert (status, body["errorCode"]) == (400, INVALID_SESSION)


async def test_session_lives_while_used(world: World) -> None:
    """Each use gives 20 minutes more; 20 minutes without end it."""
    api = Api(account_routes(), world.rooms)
    async with serving(world.api) as base, Http(base) as http:
        headers = await both(http)
    path = f"/api/fota/v2/subscriptions/{ACCOUNT}".encode()
    for _ in range(5):
        world.clock.advance(timedelta(minutes=11))
        assert (await ask(api, "GET", path, headers=headers)).status == 200
    world.clock.advance(timedelta(minutes=4))
    async with serving(world.api) as base, Http(base) as http:
        headers |= await bearer(http)  # the first one's hour is nearly over
        world.clock.advance(timedelta(minutes=16))
        headers |= await bearer(http)
        status, body = await post(http, LOGOUT, headers=headers)
        assert (status, body) == (
            400,
            {"errorCode": EXPIRED_SESSION, "errorMessage": "session has expired"},
        )


async def test_password_reset(http: Http) -> None:
    """The new password applies at once, the old one stops, and sessions stay."""
    headers = await both(http)
    async with http.put(RESET, json={"oldPassword": "wrong"}, headers=headers) as response:
        assert (response.status, (await response.json())["errorCode"]) == (400, WRONG)
    async with http.put(RESET, json={"oldPassword": PASSWORD}, headers=headers) as response:
        assert response.status == 200
        new = (await response.json())["newPassword"]
    old = await post(http, LOGIN, json={"username": USER, "password": PASSWORD}, headers=headers)
    assert old[1]["errorCode"] == WRONG
    status, _ = await post(http, LOGIN, json={"username": USER, "password": new}, headers=headers)
    assert status == 200
    assert (await post(http, LOGOUT, headers=headers))[0] == 200


async def test_account_of_another_user(world: World) -> None:
    """Two users never see each other's accounts, and unknown ones look like others'."""
    api = Api(account_routes(), world.rooms)
    async with serving(world.api) as base, Http(base) as http:
        ada, bob = await both(http, USER), await both(http, OTHER_USER)

    async def answer(account: str, headers: dict[str, str]) -> Any:
        found = await ask(
            api, "GET", f"/api/fota/v2/subscriptions/{account}".encode(), headers=headers
        )
        return found.status, found.json().get("errorCode"), found.json().get("errorMessage")

    foreign = (400, "UNAUTHORIZED_ACCOUNT", "Not authorised for account")
    assert await answer(ACCOUNT, ada) == (200, None, None)
    assert await answer(OTHER_ACCOUNT, bob) == (200, None, None)
    assert await answer(OTHER_ACCOUNT, ada) == foreign
    assert await answer(ACCOUNT, bob) == foreign
    assert await answer("9999999999-99999", bob) == foreign
    assert await answer(INACTIVE_ACCOUNT, bob) == foreign
    assert await answer(INACTIVE_ACCOUNT, ada) == (400, "INVALID_PARAMETER", "Inactive account")
    for malformed in (
        "123",
        "0000123456-0000",
        "0000123456%2F00001",
        "%00",
        "%FF",
        ACCOUNT + "%0A",
    ):
        assert await answer(malformed, ada) == (
            400,
            "INVALID_PARAMETER",
            "Invalid account name format",
        )


async def test_guessing_is_slowed_down(world: World) -> None:
    """After too many wrong secrets not even the right one is looked at, for a while."""
    limits = ThrottleLimits(window=timedelta(minutes=1), per_pair=3, per_name=4, per_address=6)
    gate = Gate(
        db=world.db, clock=world.clock, settings=Settings(), throttle=Throttle(limits), cost=FAST
    )
    stored = hash_secret(PASSWORD, b"p" * 16, FAST)

    async def attempt(address: str, name: str, secret: str) -> str:
        try:
            await gate.check(address, name, secret, stored)
        except RequestError as error:
            return error.code.rpartition(".")[2]
        return "right"

    for _ in range(3):
        assert await attempt("a", "ada", "wrong") == "InvalidCredentials"
    assert await attempt("a", "ada", PASSWORD) == "Throttled"
    assert await attempt("b", "ada", PASSWORD) == "right"
    assert await attempt("b", "ada", "wrong") == "InvalidCredentials"
    assert await attempt("c", "ada", PASSWORD) == "Throttled"
    assert await attempt("a", "bob", PASSWORD) == "right"
    world.clock.advance(timedelta(minutes=1))
    assert await attempt("a", "ada", PASSWORD) == "right"
    gate.close()


async def test_many_workers_may_log_in_at_once(world: World) -> None:
    """Right secrets in parallel are all let in; of wrong ones no more are looked at than else."""
    gate = Gate(db=world.db, clock=world.clock, settings=Settings(), cost=FAST)
    stored = hash_secret(PASSWORD, b"p" * 16, FAST)

    async def attempt(secret: str) -> str:
        try:
            await gate.check("a", "ada", secret, stored)
        except RequestError as error:
            return error.code.rpartition(".")[2]
        return "right"

    assert await asyncio.gather(*(attempt(PASSWORD) for _ in range(40))) == ["right"] * 40
    answers = await asyncio.gather(*(attempt("wrong") for _ in range(40)))
    assert answers.count("InvalidCredentials") == ThrottleLimits().per_pair
    assert answers.count("Throttled") == 40 - ThrottleLimits().per_pair
    crowd = await asyncio.gather(*(attempt(PASSWORD) for _ in range(90)))
    assert set(crowd) == {"Throttled"}
    gate.close()


async def test_throttled_answers_have_their_shape(http: Http, world: World) -> None:
    """A throttled login and a throttled token request are refusals with a Retry-After."""
    headers = await bearer(http)

    async def login() -> tuple[int, Any, Any]:
        body = {"username": "x", "password": "y"}
        async with http.post(LOGIN, json=body, headers=headers) as response:
            return response.status, await response.json(), response.headers.get("Retry-After")

    async def token() -> tuple[int, Any, Any]:
        async with http.post(TOKEN, data=GRANT, headers=basic("x", "y")) as response:
            return response.status, await response.json(), response.headers.get("Retry-After")

    for _ in range(10):
        assert (await login())[1]["errorCode"] == WRONG
        assert (await token())[1]["error"] == "invalid_client"
    status, body, retry = await login()
    assert (status, body["errorCode"].rpartition(".")[2], retry) == (400, "Throttled", "60")
    status, body, retry = await token()
    assert (status, body["error"], retry) == (401, "invalid_client", "60")


async def test_secrets_stay_out_of_logs_and_database(
    http: Http, world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a log line nor a table holds a secret, a password or a token."""
    caplog.set_level(logging.DEBUG)
    headers = await both(http)
    await post(http, LOGIN, json={"username": USER, "password": "guess-9"}, headers=headers)
    await post(http, LOGOUT, headers=headers)
    kept = await world.db.read(
        lambda tx: repr(
            [
                tx.all(f"select * from {t}")
                for t in ("application", "bearer_token", "m2m_user", "session")
            ]
        )
    )
    shown = "".join(capsys.readouterr())
    token = headers["Authorization"].removeprefix("Bearer ")
    for secret in (SECRET, PASSWORD, "guess-9", token, headers["VZ-M2M-Token"]):
        assert secret not in caplog.text + kept + shown


async def test_old_tokens_and_sessions_are_cleared_away(http: Http, world: World) -> None:
    """Asking for new ones deletes those that were over long ago."""
    await both(http)
    world.clock.advance(timedelta(days=2))
    await both(http)

    counts = await world.db.read(
        lambda tx: (
            tx.one("select count(*) from session"),
            tx.one("select count(*) from bearer_token"),
        )
    )
    assert counts == ((1,), (1,))
