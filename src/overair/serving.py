"""Puts a ``Server`` on its sockets, and keeps it there until a signal comes."""

import asyncio
import contextlib
import gc
import resource
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import structlog
import uvloop
from granian.constants import Interfaces, SSLProtocols
from granian.server.embed import Server as Granian

from overair.app import Server
from overair.config import ConfigError, Settings
from overair.log import set_up_logging
from overair.store.occupied import sole_server
from overair.workers import supervise

log = structlog.get_logger()

BACKLOG: Final = 4096
"""A fleet that comes back after a power cut opens its connections all at once."""
GC_THRESHOLD: Final = (20_000, 20, 20)
DRAIN_S: Final = 20.0
"""For what is under way at a stop; service managers kill after 90 or less."""


@contextlib.asynccontextmanager
async def listening(server: Server) -> AsyncIterator[Server]:
    """``server`` on its address, for as long as the context lasts. Raises ConfigError, StoreError."""
    with sole_server(server.settings.database_url):
        async with _answering(server):
            yield server


@contextlib.asynccontextmanager
async def _answering(server: Server) -> AsyncIterator[None]:
    settings = server.settings
    host, port = settings.listen
    await server.start()
    granian = Granian(
        server,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        websockets=False,
        backlog=BACKLOG,
        log_enabled=False,
        ssl_cert=Path(settings.tls_certificate) if settings.tls_certificate else None,
        ssl_key=Path(settings.tls_key) if settings.tls_key else None,
        # Modems in the field speak 1.2.
        ssl_protocol_min=SSLProtocols.tls12,
    )
    task = asyncio.create_task(granian.serve())
    try:
        await _until_listening(task, host, port)
        yield
    finally:
        granian.stop()  # type: ignore[no-untyped-call]  # granian's own signature has no types
        await asyncio.wait((task,), timeout=DRAIN_S)
        if not task.done():
            # A device that has stopped reading would keep us for ever. It resumes at the next start.
            log.warning("requests that do not end are cut", after_s=DRAIN_S)
            await server.sending.cut()
            task.cancel()
        await server.close()


async def _until_listening(task: "asyncio.Task[None]", host: str, port: int) -> None:
    """Wait until the socket answers. Raises ConfigError if the address cannot be used."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    for _ in range(500):
        if task.done():
            break
        try:
            _, writer = await asyncio.open_connection(target, port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return
    raise ConfigError(f"settings: http: cannot listen on {host}:{port}; is it in use?")


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with listening(Server(settings)) as server:
        # All that is here now stays: to look through it again would hold everybody up for 20 ms.
        gc.collect()
        gc.freeze()
        # What a request makes is gone with it: to look for cycles after each 700 objects finds none.
        gc.set_threshold(*GC_THRESHOLD)
        log.info("overair serves", address=settings.http, database=server.db.dialect)
        await stop.wait()
        log.info("overair stops")


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; the exit status. Raises ConfigError, StoreError."""
    check_free(*settings.listen)
    _allow_connections()
    if settings.workers > 1:
        return supervise(settings, run_worker)
    uvloop.run(_serve(settings))
    return 0


def _allow_connections() -> None:
    """Take as many descriptors as we may have; workers inherit them.

    The usual 1024 is for programs that are not servers. Without any left, the server would accept
    nobody, and be busy with trying.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run_worker(settings: Settings) -> None:
    """Serve in one of several processes."""
    set_up_logging(settings.log_level, settings.log_format)
    uvloop.run(_serve(settings))


def check_free(host: str, port: int) -> None:
    """Raise ConfigError if somebody else listens there: our own sockets share their address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"settings: http: cannot listen on {host}:{port}: {error.strerror}"
                " (is another server running? choose another address with --http)"
            ) from error
