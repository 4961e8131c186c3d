"""Carries out over HTTP what devices ask for that speak something else: OMA-DM, or CoAP.

Messages and files have connections of their own: with a common pool, devices with slow downloads would
hold all of it and keep the others from talking. Whatever goes wrong on the way is an answer with status 0.
"""

import asyncio
import re
import ssl
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from overair.protocols.syncml.auth import HMAC_HEADER
from overair.sim.connections import http_session
from overair.sim.requests import Answer, Fetch, Post

_ANSWER_LIMIT_BYTES = 1024 * 1024
_READ_BYTES = 64 * 1024
_MESSAGE_S = 60.0
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")
_SECONDS = re.compile(r"[0-9]{1,6}")
# InvalidURL and yarl's complaints about an address are ValueErrors.
_FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


class Carrier:
    """The connections of a fleet."""

    def __init__(
        self, *, agent: str, connections: int, downloads: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self._agent = f"overair-sim/1 ({agent})"
        self._connections = connections
        self._downloads = downloads
        self._tls: ssl.SSLContext | bool = True if tls is None else tls

    async def __aenter__(self) -> Self:
        self._messages = http_session(self._connections, self._tls)
        self._files = http_session(self._downloads, self._tls)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._messages.close()
        await self._files.close()

    async def perform(self, step: Post | Fetch) -> Answer:
        """Do what a device asks for."""
        try:
            if isinstance(step, Post):
                async with asyncio.timeout(_MESSAGE_S):
                    return await self._post(step)
            return await self._fetch(step)
        except _FAILURES as error:
            return Answer(error=str(error) or type(error).__name__)

    async def _post(self, post: Post) -> Answer:
        headers = {"User-Agent": self._agent, "Content-Type": post.media_type, **dict(post.headers)}
        async with self._messages.post(
            URL(post.url, encoded=True), data=post.body, headers=headers, allow_redirects=False
        ) as response:
            body = await _read(response, _ANSWER_LIMIT_BYTES)
            if len(body) > _ANSWER_LIMIT_BYTES:
                return Answer(error="the answer is too long")
            return _answer(response, body)

    async def _fetch(self, fetch: Fetch) -> Answer:
        headers = {"User-Agent": self._agent, "Accept-Encoding": "identity"}
        if fetch.offset:
            headers["Range"] = f"bytes={fetch.offset}-"
        async with self._files.get(URL(fetch.url, encoded=True), headers=headers) as response:
            body = await _read(response, fetch.limit)
            # What comes beyond it stays in the connection, which is cut for that.
            return _answer(response, body[: fetch.limit])


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read to the end, or until there is more than the limit."""
    body = bytearray()
    while len(body) <= limit:
        piece = await response.content.read(min(_READ_BYTES, limit + 1 - len(body)))
        if not piece:
            return bytes(body)
        body += piece
    response.close()
    return bytes(body)


def _answer(response: aiohttp.ClientResponse, body: bytes) -> Answer:
    headers = response.headers
    found = _RANGE.fullmatch(headers.get("Content-Range", ""))
    retry = headers.get("Retry-After", "")
    return Answer(
        status=response.status,
        body=body,
        media_type=headers.get("Content-Type", "").partition(";")[0].strip().lower(),
        start=int(found[1]) if found else 0,
        total=int(found[2]) if found else response.content_length,
        retry_after_s=float(retry) if _SECONDS.fullmatch(retry) else None,
        mac=headers.get(HMAC_HEADER, ""),
    )
