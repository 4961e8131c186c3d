"""Carries a device's steps out over HTTP.

Two pools of connections for the whole fleet, one for small requests and one for files: with a single
one, devices behind slow links would hold all connections and wait for one more to poll with.

Whatever goes wrong on the way is an unanswered step (status 0). Credentials go with every request, to
whichever host a link leads, as the real clients do; over a redirect they are left out.
"""

import asyncio
import re
import ssl
from types import TracebackType
from typing import Self, assert_never

import aiohttp
from yarl import URL

from overair.clock import Clock
from overair.sim.connections import http_session
from overair.sim.http.steps import Ask, BackOff, Close, Open, Read, Reply, Sleep, Step
from overair.sim.http.timers import Timers

_ANSWER_LIMIT_BYTES = 1024 * 1024
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-")
# InvalidURL and yarl's complaints about a link are ValueErrors.
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


class Pools:
    """The connections and the time that a fleet shares."""

    def __init__(
        self,
        clock: Clock,
        *,
        connections: int,
        downloads: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.clock = clock
        self.timers = Timers(clock)
        self._connections = connections
        self._downloads = downloads
        self._tls: ssl.SSLContext | bool = True if tls is None else tls

    async def __aenter__(self) -> Self:
        self.small = http_session(self._connections, self._tls)
        self.files = http_session(self._downloads, self._tls)
        self._sleeper = asyncio.create_task(self.timers.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sleeper.cancel()
        await asyncio.gather(self._sleeper, return_exceptions=True)
        await self.small.close()
        await self.files.close()


class Link:
    """One device's way to the server."""

    def __init__(self, pools: Pools, headers: dict[str, str]) -> None:
        self._pools = pools
        self._headers = {
            "Accept": "application/hal+json, application/json;q=0.9, */*;q=0.1",
            "Accept-Encoding": "identity",
            **headers,
        }
        self._file: aiohttp.ClientResponse | None = None

    async def perform(self, step: Step) -> Reply:
        """Do what the device asks for."""
        try:
            match step:
                case Ask():
                    return await self._ask(step)
                case Open():
                    return await self._open(step)
                case Read():
                    return await self._read(step)
                case Close():
                    self.close()
                case Sleep():
                    await self._pools.timers.sleep(step.seconds)
                case BackOff():
                    # The wall's time, whatever the fleet's clock does.
                    await asyncio.sleep(step.seconds)
                case _:
                    assert_never(step)
        except _FAILURES as error:
            return self._reply(error=str(error) or type(error).__name__)
        return self._reply()

    def close(self) -> None:
        """Let go of the file. Its connection is closed unless the file was read to its end."""
        if self._file is not None:
            self._file.close()
            self._file = None

    async def _ask(self, step: Ask) -> Reply:
        headers = dict(self._headers)
        if step.body is not None:
            headers["Content-Type"] = "application/json"
        async with self._pools.small.request(
            step.method, URL(step.url, encoded=True), data=step.body, headers=headers
        ) as response:
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > _ANSWER_LIMIT_BYTES:
                    raise aiohttp.ClientPayloadError("the answer is too long")
            return self._reply(status=response.status, body=bytes(body))

    async def _open(self, step: Open) -> Reply:
        self.close()
        headers = dict(self._headers)
        if step.offset:
            headers["Range"] = f"bytes={step.offset}-"
        self._file = await self._pools.files.get(URL(step.url, encoded=True), headers=headers)
        matched = _CONTENT_RANGE.match(self._file.headers.get("Content-Range", ""))
        return self._reply(status=self._file.status, start=int(matched[1]) if matched else 0)

    async def _read(self, step: Read) -> Reply:
        if self._file is None:
            return self._reply(error="no file is open")
        return self._reply(status=200, body=await self._file.content.read(step.limit))

    def _reply(
        self, *, status: int = 0, body: bytes = b"", start: int = 0, error: str = ""
    ) -> Reply:
        now = self._pools.clock.now().timestamp()
        return Reply(now=now, status=status, body=body, start=start, error=error)
