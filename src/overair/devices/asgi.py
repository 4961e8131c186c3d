"""The little of HTTP that device endpoints need: plain ASGI, no framework.

Every answer has a Content-Length and is sent in one piece: small clients need the length
(``http-ddi.md`` 4.2). Artifacts are sent by ``artifacts/serving.py``.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


# Time for a body to arrive: whoever is slower holds a connection, and what came of it, for nothing.
BODY_S: Final = 60.0


class DisconnectError(Exception):
    """The client went away before its request was whole."""


class TooLargeError(Exception):
    """The request's body is longer than allowed."""


class SlowError(Exception):
    """The request's body did not arrive in time."""


class Request:
    """A request as ASGI gives it; headers are looked up by their lower-case name."""

    __slots__ = ("_expired", "_receive", "headers", "method", "path", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        # Of a header that is repeated the first one counts: backwards, it is put in last.
        self.headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        # Still percent-encoded: only there is an encoded slash different from a separator.
        self.path: bytes | str = scope.get("raw_path") or scope["path"]
        self._receive = receive
        self._expired = False  # its body was waited for too long

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    @property
    def query(self) -> str:
        raw: bytes = self.scope.get("query_string", b"")
        return raw.decode("latin-1")

    @property
    def client(self) -> str:
        """The peer's address, or an empty text."""
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    @property
    def receive(self) -> Receive:
        return self._receive

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises TooLargeError, DisconnectError, SlowError."""
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > limit:
            raise TooLargeError
        # What asyncio.timeout does, at a third of its price: nearly every body is there already.
        task = asyncio.current_task()
        assert task is not None
        others = task.cancelling()
        timer = asyncio.get_running_loop().call_later(BODY_S, self._expire, task)
        try:
            return await self._body(limit)
        except asyncio.CancelledError:
            if self._expired and task.uncancel() <= others:
                raise SlowError from None
            raise
        finally:
            timer.cancel()

    def _expire(self, task: "asyncio.Task[object]") -> None:
        self._expired = True
        task.cancel()

    async def _body(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise DisconnectError
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise TooLargeError
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)


class Answer(NamedTuple):
    """A whole answer. A tuple, because every poll makes one: a frozen dataclass takes twice as long."""

    status: int = 200
    body: bytes = b""
    content_type: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def respond(send: Send, answer: Answer, *, head: bool = False) -> None:
    """Send ``answer``; of one to HEAD only the headers."""
    status, body, content_type, more = answer
    if status == 304:
        headers = list(more)  # a length here would be that of the full answer
    else:
        headers = [(b"content-length", b"%d" % len(body)), *more]
        if content_type:
            headers.append((b"content-type", content_type))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
