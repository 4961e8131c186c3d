"""The little of HTTP that device endpoints need: plain ASGI, no framework.

Every answer has a Content-Length and is sent in one piece: small clients need the length
(``http-ddi.md`` 4.2). Artifacts are sent by ``artifacts/serving.py``.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

import msgspec

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


class CrowdedError(Exception):
    """The request's body was slow to arrive, and so were too many others."""


class Slow(Protocol):
    """Keeps count of requests whose bodies are slow to arrive, and may ``cut`` some of them."""

    after_s: float
    """What is slow."""

    def join(self, request: "Request") -> None: ...

    def leave(self, request: "Request") -> None: ...


class Request:
    """A request as ASGI gives it; headers are looked up by their lower-case name."""

    __slots__ = ("_ended", "_reader", "_receive", "_timer", "headers", "method", "path", "scope")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        # Of a header that is repeated the first one counts: backwards, it is put in last.
        self.headers: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        # Still percent-encoded: only there is an encoded slash different from a separator.
        self.path: bytes | str = scope.get("raw_path") or scope["path"]
        self._receive = receive
        self._ended: type[Exception] | None = None  # why its body is waited for no longer

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

    async def body(self, limit: int, slow: Slow | None = None) -> bytes:
        """The whole body. Raises TooLargeError, DisconnectError, SlowError, and with ``slow`` CrowdedError."""
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > limit:
            raise TooLargeError
        # What asyncio.timeout does, at a third of its price: nearly every body is there already.
        task = asyncio.current_task()
        assert task is not None
        others = task.cancelling()
        later = asyncio.get_running_loop().call_later
        self._reader = task
        if slow is None:
            self._timer = later(BODY_S, self._end, SlowError)
        else:
            self._timer = later(slow.after_s, self._note, slow)
        try:
            return await self._body(limit)
        except asyncio.CancelledError:
            if self._ended is not None and task.uncancel() <= others:
                raise self._ended from None
            raise
        finally:
            self._timer.cancel()
            if slow is not None:
                slow.leave(self)

    def _note(self, slow: Slow) -> None:
        self._timer = asyncio.get_running_loop().call_later(
            BODY_S - slow.after_s, self._end, SlowError
        )
        slow.join(self)

    def cut(self) -> None:
        """Wait for its body no longer, which is being waited for: there are too many."""
        self._end(CrowdedError)

    def _end(self, why: type[Exception]) -> None:
        if self._ended is None:
            self._ended = why
            self._reader.cancel()

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


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A whole answer. A struct, as all that every poll makes: a tuple takes four times as long."""

    status: int = 200
    body: bytes = b""
    content_type: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def respond(send: Send, answer: Answer, *, head: bool = False) -> None:
    """Send ``answer``; of one to HEAD only the headers."""
    body = answer.body
    if answer.status == 304:
        headers = list(answer.headers)  # a length here would be that of the full answer
    else:
        headers = [(b"content-length", b"%d" % len(body)), *answer.headers]
        if answer.content_type:
            headers.append((b"content-type", answer.content_type))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else body})
