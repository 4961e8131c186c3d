"""What surrounds a handler: paths, methods, bodies, request ids, faults."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from typing import Any

import aiohttp
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType
from starlette.types import Message
from yarl import URL

from overair.api.gate import Security
from overair.api.published import published_routes
from overair.api.routing import Api, Call, Rooms, Routes, Streamed
from overair.api.wire import Answer, Body, Query
from overair.core.errors import Refusal, RequestError
from overair.core.identity import Lifetimes
from overair.engine import identity
from overair.store import Database
from overair.store import identity as store
from overair.store.database import StoreFullError
from tests.api.conftest import KEY, SECRET, World
from tests.serving import ServerName, ask, serving

routes = Routes("/api/test/v1", tag="test")
BIG = 900_000


class Note(Body):
    text: str
    count: int | UnsetType = UNSET


class Find(Query):
    limit: int | UnsetType = UNSET


class Echo(Answer):
    path: dict[str, str]
    text: str | UnsetType = UNSET
    count: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET


class Parts(Answer):
    size: int


@routes.add("GET", "/things/{first}/{second}", security=Security.BEARER)
@routes.add("GET", "/things/{first}", security=Security.BEARER)
async def get_thing(call: Call[None, Find]) -> Echo:
    """Get a thing."""
    return Echo(path=dict(call.path), limit=call.query.limit)


@routes.add("POST", "/things/literal/{second}", security=Security.BEARER)
async def post_literal(call: Call[Note, None]) -> Echo:
    """Post to the literal path."""
    return Echo(path={"literal": call.path["second"]}, text=call.body.text, count=call.body.count)


@routes.add("POST", "/streams", security=Security.BEARER)
async def post_stream(call: Call[Streamed[Parts], None]) -> Parts:
    """Count the bytes of a stream."""
    size = 0
    async for chunk in call.body.chunks:
        size += len(chunk)
    return Parts(size=size)


@routes.add("GET", "/faults/{kind}", security=Security.BEARER)
async def fail(call: Call[None, None]) -> Answer:
    """Fail."""
    raise {
        "ours": RuntimeError("password=secret"),
        "full": StoreFullError("disk"),
        "deep": RecursionError(),
        "theirs": RequestError(Refusal.NOT_CANCELLABLE),
    }[call.path["kind"]]


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """Nothing here depends on the kind of database."""
    return sqlite_database


@pytest.fixture
def api(world: World) -> Api:
    return Api(routes, world.rooms)


@pytest.fixture
async def token(world: World) -> dict[str, str]:
    """Headers with a bearer token."""
    application = await world.db.read(store.application, KEY)
    assert application is not None
    issued = await world.db.transact(
        identity.issue_token, application[0], SECRET, "nonce", Lifetimes(), world.clock.now()
    )
    return {"Authorization": f"Bearer {issued.token}"}


@pytest.fixture(params=["granian", "uvicorn"])
async def base(request: pytest.FixtureRequest, api: Api) -> AsyncIterator[str]:
    """The address of the served routes, on both servers."""
    server: ServerName = request.param
    async with serving(api, server) as url:
        yield url


@pytest.fixture
async def client(base: str, token: dict[str, str]) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of theirs with a bearer token."""
    async with aiohttp.ClientSession(base, headers=token) as session:
        yield session


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/api/test/v1/things/a", {"first": "a"}),
        ("//api///test/v1//things//a//", {"first": "a"}),
        ("/api/test/v1/things/a/b/", {"first": "a", "second": "b"}),
        ("/api/test/v1/things/a%2Fb", {"first": "a/b"}),
        ("/api/test/v1/things/a%2fb%2F/c", {"first": "a/b/", "second": "c"}),
        ("/api/test/v1/things/%C3%A4%20%2B+", {"first": "ä ++"}),
        ("/api/test/v1/things/%252F", {"first": "%2F"}),
        ("/api/test/v1/things/%00%FF", {"first": "\ufffd\ufffd"}),
        ("/api/test/v1/things/a%3Fb?x=1", {"first": "a?b"}),
        ("/api/test/v1/th%69ngs/b/literal", {"first": "b", "second": "literal"}),
        ("/api/test/v1/things/{first}", {"first": "{first}"}),
    ],
)
async def test_paths(
    client: aiohttp.ClientSession, base: str, path: str, found: dict[str, str]
) -> None:
    """Doubled and trailing slashes do not matter, and parameters are decoded once."""
    async with client.get(URL(base + path, encoded=True)) as response:
        assert (response.status, await response.json()) == (200, {"path": found})


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/api", "/api/test/v1/", "/api/test/v1/thing/a", "/api/test/v1/things"),
        *("/api/test/v1/things/a/b/c", "/api/test/v1/Things/a", "/%2Fapi/test/v1/things/a"),
    ],
)
async def test_unknown_paths(client: aiohttp.ClientSession, base: str, path: str) -> None:
    """A path that no API has is the gateway's 404."""
    async with client.get(URL(base + path, encoded=True)) as response:
        body = await response.json()
        assert (response.status, body["fault"]["code"]) == (404, "900906")
        assert body["fault"]["message"] == (
            "No matching resource found in the API for the given request"
        )
        assert (body["errorCode"], body["errorMessage"]) == ("900906", body["fault"]["message"])


async def test_wrong_methods(client: aiohttp.ClientSession) -> None:
    """A path that exists answers 405 to other methods, and says which it has; the most literal."""
    async with client.get("/api/test/v1/things/literal/b") as response:
        assert response.status == 405
    async with client.delete("/api/test/v1/things/b/literal") as response:
        assert response.headers["Allow"] == "GET, HEAD"
    async with client.delete("/api/test/v1/things/literal/b") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert set(await response.json()) == {"errorCode", "errorMessage"}


async def test_head_is_get_without_content(client: aiohttp.ClientSession) -> None:
    """HEAD has GET's status and headers, and no body."""
    async with client.head("/api/test/v1/things/a") as response:
        assert response.status == 200
        assert response.headers["Content-Length"] == str(len('{"path":{"first":"a"}}'))
        assert await response.read() == b""


@pytest.mark.parametrize(
    "content_type", ["*/*", "application/json", "text/plain", "nonsense", None]
)
async def test_bodies_are_json_whatever_their_type(
    client: aiohttp.ClientSession, content_type: str | None
) -> None:
    """The Content-Type does not matter; unknown members and nulls do not either."""
    async with client.post(
        "/api/test/v1/things/literal/x",
        data=b'{"text": "hello", "count": null, "other": [1]}',
        headers={"Content-Type": content_type} if content_type else {},
        skip_auto_headers=["Content-Type"],
    ) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json"
        assert await response.json() == {"path": {"literal": "x"}, "text": "hello"}


async def test_large_bodies(client: aiohttp.ClientSession) -> None:
    """A body up to the limit is read; one beyond it is refused with an answer, chunked or not."""

    async def chunks(size: int) -> AsyncIterator[bytes]:
        yield b'{"text":"'
        for _ in range(size // 1000):
            yield b"x" * 1000
        yield b'"}'

    url = "/api/test/v1/things/literal/x"
    for size, status in ((BIG, 200), (2 * BIG, 400)):
        for data in (BytesIO(b'{"text":"' + b"x" * size + b'"}'), chunks(size)):
            async with client.post(url, data=data) as response:
                assert response.status == status
                if status == 400:
                    body = await response.json()
                    assert body["errorCode"] == "INVALID_PARAMETER"
                    assert body["errorMessage"] == "Request body exceeds 1000000 bytes"


async def test_streams_have_no_limit_here(client: aiohttp.ClientSession) -> None:
    """A streamed body goes to its handler whatever its size."""
    async with client.post("/api/test/v1/streams", data=BytesIO(b"x" * 2_000_000)) as response:
        assert await response.json() == {"size": 2_000_000}


@pytest.mark.parametrize("limit", ["x", "1.5", "9" * 5000])
async def test_wrong_query(client: aiohttp.ClientSession, limit: str) -> None:
    """A query parameter of the wrong form is named."""
    async with client.get("/api/test/v1/things/a", params={"limit": limit}) as response:
        body = await response.json()
        assert (response.status, body["errorMessage"]) == (400, "Invalid value for limit")


async def test_query(client: aiohttp.ClientSession) -> None:
    """A number in a query is a number."""
    async with client.get("/api/test/v1/things/a?limit=5&limit=6&x") as response:
        assert (await response.json())["limit"] == 5


async def test_request_ids(client: aiohttp.ClientSession) -> None:
    """A caller's id comes back; without one, or with one that would spoil a log, there is a new one."""
    url = "/api/test/v1/things/a"
    async with client.get(url, headers={"X-Request-Id": "abc-1.2:3_4"}) as response:
        assert response.headers["X-Request-Id"] == "abc-1.2:3_4"
    given = set()
    for header in ({}, {"X-Request-Id": "a b"}, {"X-Request-Id": "x" * 129}):
        async with client.get(url, headers=header) as response:
            given.add(response.headers["X-Request-Id"])
    assert len(given) == 3
    assert not given & {"a b", "x" * 129}


@pytest.mark.parametrize(
    ("kind", "status", "code", "text"),
    [
        ("ours", 500, "INTERNAL_SYSTEM_ERROR", "Internal error"),
        ("deep", 500, "INTERNAL_SYSTEM_ERROR", "Internal error"),
        ("unknown", 500, "INTERNAL_SYSTEM_ERROR", "Internal error"),
        ("full", 500, "INTERNAL_SYSTEM_ERROR", "Internal error: no room left on the server's disk"),
        ("theirs", 400, "INVALID_STATE", "Campaign cannot be cancelled"),
    ],
)
async def test_faults(
    api: Api, token: dict[str, str], kind: str, status: int, code: str, text: str
) -> None:
    """A fault of ours is logged with the request's id, and the answer says nothing of the inside."""
    path = f"/api/test/v1/faults/{kind}".encode()
    with structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as logged:
        answered = await ask(api, "GET", path, headers={**token, "X-Request-Id": "r-1"})
    assert (answered.status, answered.json()) == (status, {"errorCode": code, "errorMessage": text})
    assert answered.headers["x-request-id"] == "r-1"
    assert [line["request_id"] for line in logged] == (["r-1"] if status == 500 else [])


def posting(token: dict[str, str]) -> dict[str, Any]:
    """The scope of a request whose body the test brings itself."""
    return {
        "type": "http",
        "method": "POST",
        "path": "/api/test/v1/things/literal/x",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in token.items()],
    }


async def test_client_that_goes_away(api: Api, token: dict[str, str]) -> None:
    """A request that breaks off is refused without a complaint: its client may have closed its side only."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = posting(token)
    with structlog.testing.capture_logs() as logged:
        await api(scope, receive, send)
    assert (sent[0]["status"], logged) == (400, [])


async def test_slow_body(api: Api, token: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not arrive in time is refused."""
    monkeypatch.setattr("overair.api.routing.BODY_TIMEOUT_S", 0.01)
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nothing ever comes")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = posting(token)
    await api(scope, receive, send)
    assert sent[0]["status"] == 400


def test_handlers_declare_themselves(rooms: Rooms) -> None:
    """A handler without a typed call is refused at once, and so is a second one for a path."""
    other = Routes("/x", tag="x")
    with pytest.raises(TypeError):

        @other.add("GET", "/a")
        async def untyped(call: Any) -> Answer:
            return Answer()

    with pytest.raises(ValueError):
        Api([*routes, *routes], rooms)


async def test_any_request_is_answered(world: World) -> None:
    """Whatever path, headers and body: a documented kind of answer in the error shape, never a 5xx."""
    known = [route.path.encode() for route in published_routes()]
    paths = st.sampled_from(known) | st.binary().map(lambda tail: b"/" + tail)
    tokens = st.text(st.characters(max_codepoint=0x10FFFF, exclude_categories=["Cs"]), max_size=30)

    @settings(max_examples=150)
    @given(
        st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "x"]),
        paths,
        st.dictionaries(
            st.sampled_from(["authorization", "vz-m2m-token", "x-request-id", "content-type"]),
            tokens | tokens.map("Basic ".__add__) | tokens.map("Bearer ".__add__),
        ),
        st.binary(max_size=60) | st.just(b"grant_type=client_credentials"),
    )
    def check(method: str, path: bytes, headers: dict[str, str], body: bytes) -> None:
        answered = runner(lambda: ask(world.api, method, path, headers=headers, body=body))
        assert answered.status in (200, 400, 401, 404, 405)
        if answered.status != 200 and method != "HEAD":
            body_members = answered.json()
            assert {"errorCode", "errorMessage"} <= set(body_members) or "error" in body_members

    loop = asyncio.get_running_loop()

    def runner(call: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(call(), loop).result(20)

    await asyncio.to_thread(check)


def test_logs_are_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing was left running that complains when it is collected."""
    gc.collect()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
