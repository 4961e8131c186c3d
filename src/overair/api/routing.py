"""Typed routes over ASGI: what a handler of the management API looks like, and what surrounds it.

A handler says everything by its signature, and is registered on the ``Routes`` of its version::

    routes = Routes("/api/fota/v2", tag="Software management v2")

    @routes.add("POST", "/licenses/{acc}/assign", errors=(Refusal.NOT_SUBSCRIBED,))
    async def assign_licenses(call: Call[DeviceList, None]) -> LicenseAssignment:
        \"\"\"Assign licences to devices.\"\"\"
        account = await call.account()
        ...

``Call[Body, Query]``: the body is a ``wire.Body``, a ``wire.Form``, ``Streamed[Parts]`` for what must
not be held in memory, or None; the query a ``wire.Query`` or None. ``openapi.py`` writes the
document from the same signatures, and the summary from the docstring.

Around each handler, in this order: the path is matched (unknown: 404, wrong method: 405), tokens are
checked, query and body are read and decoded, the handler runs, and its answer is encoded. Doubled
and trailing slashes are accepted in any path (API 1.1). Whatever goes wrong is answered in the
protocol's shape; what is our own fault goes to the log with the request's id, and to the caller as
``INTERNAL_SYSTEM_ERROR``.

Not in here: rules. A handler makes one call into the engine or the reports, and encodes.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from overair import ids
from overair.api.binding import Fields, JsonBody, path_segments
from overair.api.errors import MethodError, NoRouteError, refuse
from overair.api.gate import Account, Caller, Gate, Security
from overair.api.wire import Form, Formats
from overair.artifacts.errors import StorageError
from overair.artifacts.storage import ArtifactStorage
from overair.clock import Clock
from overair.config import Settings
from overair.core.errors import Refusal, RequestError
from overair.store.database import (
    Database,
    StoreBusyError,
    StoreFullError,
    StoreUnavailableError,
)

B = TypeVar("B")
Q = TypeVar("Q")
T = TypeVar("T")
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[object]])

BODY_TIMEOUT_S = 60.0
"""Time for a JSON body or a form to arrive; whoever is slower holds a connection for nothing."""

_STATES = (StoreFullError, StoreBusyError, StoreUnavailableError, StorageError)
"""Failures that are the machine's and not a bug of ours."""

_log = structlog.get_logger("overair.api")
_encoder = msgspec.json.Encoder()
_REQUEST_ID = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-")


class Streamed(Generic[T]):
    """A body that the handler reads piece by piece; ``T`` describes its parts."""

    def __init__(self, content_type: str, chunks: AsyncIterator[bytes]) -> None:
        self.content_type = content_type
        self.chunks = chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What handlers work with; built once, in ``app.py``."""

    settings: Settings
    db: Database
    clock: Clock
    """Campaign time. Tokens are on the gate's clock."""
    gate: Gate
    storage: ArtifactStorage


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[B, Q]):
    """One request, decoded."""

    rooms: Rooms
    request: Request
    path: Mapping[str, str]
    body: B
    query: Q
    caller: Caller

    @property
    def db(self) -> Database:
        return self.rooms.db

    @property
    def settings(self) -> Settings:
        return self.rooms.settings

    @property
    def formats(self) -> Formats:
        """The checks of account names and device ids."""
        return self.rooms.gate.formats

    @property
    def now(self) -> datetime:
        """Campaign time."""
        return self.rooms.clock.now()

    async def account(self, name: str | None = None) -> Account:
        """The account called ``name``, or in the path; raises if the caller may not use it."""
        return await self.rooms.gate.account(
            self.caller, self.path["acc"] if name is None else name
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An operation: what its handler declares, and how to read and refuse for it."""

    method: str
    path: str
    handler: Callable[[Call[Any, Any]], Awaitable[object]]
    body: Any
    query: Any
    response: Any
    errors: tuple[Refusal, ...]
    security: Security
    tag: str
    documented: bool
    decode_body: Callable[[bytes], Any] | None
    decode_query: Callable[[bytes], Any] | None

    @property
    def parameters(self) -> list[str]:
        """Names of the path's parameters, in order."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    @property
    def oauth(self) -> bool:
        """Whether errors have OAuth's shape."""
        return self.security is Security.BASIC

    @classmethod
    def of(cls, handler: Callable[..., Awaitable[object]], **known: Any) -> "Route":
        """The route that the signature of ``handler`` describes."""
        hints = get_type_hints(handler, include_extras=True)
        call = hints.get("call")
        if get_origin(call) is not Call or "return" not in hints:
            raise TypeError(f"{handler.__qualname__} needs `call: Call[Body, Query]` and an answer")
        body, query = get_args(call)
        decode_body: Callable[[bytes], Any] | None = None
        if isinstance(body, type) and issubclass(body, msgspec.Struct):
            decode_body = Fields(body).decode if issubclass(body, Form) else JsonBody(body).decode
        return cls(
            handler=handler,
            body=body,
            query=query,
            response=hints["return"],
            decode_body=decode_body,
            decode_query=None if query is type(None) else Fields(query).decode,
            **known,
        )


class Routes:
    """The operations of one version, in the order of their document."""

    def __init__(self, prefix: str, *, tag: str) -> None:
        self._prefix = prefix
        self._tag = tag
        self._routes: list[Route] = []

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def add(
        self,
        method: str,
        path: str,
        *,
        errors: Iterable[Refusal] = (),
        security: Security = Security.SESSION,
        documented: bool = True,
    ) -> Callable[[Handler], Handler]:
        """Register a handler; more than once for paths that are served alike.

        ``errors`` are the refusals of its own, for the document. An alias that only older clients
        know is not ``documented``.
        """

        def register(handler: Handler) -> Handler:
            route = Route.of(
                handler,
                method=method,
                path=self._prefix + path,
                errors=tuple(errors),
                security=security,
                tag=self._tag,
                documented=documented,
            )
            self._routes.append(route)
            return handler

        return register


class _Node:
    """Paths that begin alike."""

    __slots__ = ("literal", "parameter", "routes")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.routes: dict[str, Route] = {}

    def grow(self, parts: list[str]) -> "_Node":
        node = self
        for part in parts:
            if part.startswith("{"):
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.literal.setdefault(part, _Node())
        return node

    def find(
        self, segments: list[str], at: int = 0, values: tuple[str, ...] = ()
    ) -> Iterable[tuple["_Node", tuple[str, ...]]]:
        """Every node that ``segments`` lead to; literal ways before those through parameters."""
        if at == len(segments):
            if self.routes:
                yield self, values
            return
        literal = self.literal.get(segments[at])
        if literal is not None:
            yield from literal.find(segments, at + 1, values)
        if self.parameter is not None:
            yield from self.parameter.find(segments, at + 1, (*values, segments[at]))


class Api:
    """The ASGI application of the management API."""

    def __init__(self, routes: Iterable[Route], rooms: Rooms) -> None:
        self._rooms = rooms
        self._tree = _Node()
        for route in routes:
            node = self._tree.grow([part for part in route.path.split("/") if part])
            if route.method in node.routes:
                raise ValueError(f"{route.method} {route.path} is registered twice")
            node.routes[route.method] = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        request_id = _request_id(request.headers.get("x-request-id", ""))
        oauth = False
        status, headers, answer = 200, list[tuple[str, str]](), b"{}"
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                route, path = self._match(scope)
                oauth = route.oauth
                answer = _encoder.encode(await self._run(route, path, request))
            except Exception as error:  # noqa: BLE001 - the last door: nothing leaves but an answer
                if isinstance(error, ClientDisconnect):
                    # It may have closed its own side only, and reads on: unanswered, it is told 500.
                    error = RequestError(Refusal.BINDING)
                refused = refuse(error, oauth=oauth)
                if refused.status >= 500:
                    # A full disk is told in a sentence; what nobody foresaw needs its place.
                    told: dict[str, object] = (
                        {"error": str(error)} if isinstance(error, _STATES) else {"exc_info": error}
                    )
                    _log.error("request failed", method=request.method, path=_shown(scope), **told)
                status, headers = refused.status, refused.headers
                answer = _encoder.encode(refused.body)
        headers = [
            ("content-type", "application/json"),
            ("content-length", str(len(answer))),
            # Answers hold tokens, or the state of this moment (RFC 6749 5.1).
            ("cache-control", "no-store"),
            ("x-request-id", request_id),
            *headers,
        ]
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": encoded})
        body = b"" if request.method == "HEAD" else answer
        await send({"type": "http.response.body", "body": body})

    def _match(self, scope: Scope) -> tuple[Route, dict[str, str]]:
        raw = scope.get("raw_path") or scope["path"].encode()
        # HEAD is GET without the content (RFC 9110 9.3.2).
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        # The most literal path decides, as in OpenAPI: `files` in an account's place is no account.
        for node, values in self._tree.find(path_segments(raw.partition(b"?")[0])):
            route = node.routes.get(method)
            if route is not None:
                return route, dict(zip(route.parameters, values, strict=True))
            allowed = set(node.routes)
            raise MethodError(allowed | ({"HEAD"} if "GET" in allowed else set()))
        raise NoRouteError

    async def _run(self, route: Route, path: dict[str, str], request: Request) -> object:
        caller = await self._rooms.gate.admit(request.headers, route.security)
        query = None
        if route.decode_query is not None:
            query = route.decode_query(request.scope["query_string"])
        body: Any = None
        if route.decode_body is not None:
            limit = self._rooms.settings.limits.request_body_bytes
            body = route.decode_body(await _read(request, limit))
        elif get_origin(route.body) is Streamed:
            body = Streamed(request.headers.get("content-type", ""), request.stream())
        call: Call[Any, Any] = Call(
            rooms=self._rooms, request=request, path=path, body=body, query=query, caller=caller
        )
        try:
            return await route.handler(call)
        except Exception:
            if isinstance(body, Streamed):
                await _drain(body.chunks, 2 * self._rooms.settings.limits.upload_bytes)
            raise


async def _read(request: Request, limit: int) -> bytes:
    """The whole body, if it is not too long and arrives in time."""
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for piece in request.stream():
                size += len(piece)
                if size <= limit:
                    pieces.append(piece)
                else:
                    # Read on, and keep nothing: a client that is still sending would see a broken
                    # connection instead of the answer. One that goes on and on is cut off.
                    pieces.clear()
                    if size > 8 * limit:
                        break
    except TimeoutError as error:
        raise RequestError(Refusal.BINDING) from error
    if size > limit:
        raise RequestError(Refusal.BODY_TOO_LARGE, limit=limit)
    return b"".join(pieces)


async def _drain(chunks: AsyncIterator[bytes], limit: int) -> None:
    """Read on and keep nothing, for the same reason as above; whoever is refused waits for us."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in chunks:
                limit -= len(chunk)
                if limit < 0:
                    break


def _request_id(given: str) -> str:
    """The caller's id for this request, if it is one that can go to a log; else a new one."""
    if 0 < len(given) <= 128 and _REQUEST_ID.issuperset(given):
        return given
    return ids.new_token(12)


def _shown(scope: Scope) -> str:
    path: str = scope["path"]
    return path[:200]
