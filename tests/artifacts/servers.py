"""Both ASGI servers, on real sockets, in the test's own event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from granian.constants import Interfaces
from granian.server.embed import Server

from tests.waiting import until

App = Callable[[Any, Any, Any], Awaitable[None]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def serving(kind: str, app: App) -> AsyncIterator[int]:
    """Run the app on granian or uvicorn; gives the port."""
    port = free_port()
    if kind == "granian":
        granian = Server(
            app, address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False
        )
        running = asyncio.create_task(granian.serve())
        stop: Callable[[], object] = granian.stop
    else:
        unicorn = uvicorn.Server(
            uvicorn.Config(app, port=port, log_level="critical", lifespan="off", loop="asyncio")
        )
        running = asyncio.create_task(unicorn.serve())
        stop = lambda: setattr(unicorn, "should_exit", True)  # noqa: E731 - one of two ways to stop

    async def answers() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    await until(answers, "the server to listen")
    try:
        yield port
    finally:
        stop()
        await asyncio.wait([running], timeout=10)
