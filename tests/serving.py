"""An ASGI application on a real loopback socket, inside the test's own event loop.

Two servers: granian, which the product runs on, and uvicorn, which must keep working. For tests of
bytes that no HTTP client would send, ``ask`` speaks ASGI to the application directly.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
import uvicorn
from granian.constants import Interfaces
from granian.server.embed import Server as Granian
from starlette.types import ASGIApp, Message

from tests.waiting import until

ServerName = Literal["granian", "uvicorn"]


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, server: ServerName = "granian") -> AsyncIterator[str]:
    """The base URL of ``app`` while it is served."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    stop: Any
    if server == "uvicorn":
        config = uvicorn.Config(app, port=port, lifespan="off", log_config=None)
        uvicorned = uvicorn.Server(config)
        task = asyncio.create_task(uvicorned.serve())

        def stop() -> None:
            uvicorned.should_exit = True
    else:
        granian = Granian(app, port=port, interface=Interfaces.ASGINL, log_enabled=False)
        task = asyncio.create_task(granian.serve())
        stop = granian.stop
    try:
        await until(lambda: _listens(port), f"{server} to listen")
        yield f"http://127.0.0.1:{port}"
    finally:
        stop()
        await task


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@dataclass
class Answered:
    """What an application answered."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


async def ask(
    app: ASGIApp,
    method: str,
    path: bytes,
    *,
    headers: dict[str, str] | None = None,
    body: bytes | Iterable[bytes] = b"",
) -> Answered:
    """One request by ASGI; ``path`` is as on the wire, with its query."""
    raw_path, _, query = path.partition(b"?")
    pieces = iter([body] if isinstance(body, bytes) else body)
    answered = Answered()

    async def receive() -> Message:
        piece = next(pieces, None)
        if piece is None:
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answered.status = message["status"]
            answered.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            answered.body += message["body"]

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": raw_path.decode("latin-1"),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(n.lower().encode(), v.encode()) for n, v in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return answered
