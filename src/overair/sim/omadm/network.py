"""Tells the server which devices attached, as their network would (``POST /api/network/v1/events``).

Devices that attach within a moment go in one batch. A batch that is not taken is sent again, so that a
server that restarts misses nobody.
"""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from overair.sim.connections import http_session

PATH = "/api/network/v1/events"
_AT_ONCE = 500
_MOMENT_S = 0.05
_RETRY_S = 2.0
_WAITING = 1_000_000


class Network:
    """The network of a fleet; ``wrong`` is told what no network should be answered."""

    def __init__(
        self,
        url: str,
        token: str,
        *,
        wrong: Callable[[str], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._url = url.rstrip("/") + PATH
        self._token = token
        self._wrong = wrong
        self._tls: ssl.SSLContext | bool = True if tls is None else tls
        self._events: deque[dict[str, str]] = deque(maxlen=_WAITING)
        self._some = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._http = http_session(2, self._tls)
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._http.close()

    def attached(self, imei: str, address: tuple[str, int] | None) -> None:
        """Tell of a device, and where it is reached from now on."""
        event = {"imei": imei, "type": "attach"}
        if address is not None:
            host, port = address
            event["address"] = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._events.append(event)
        self._some.set()

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            # More of them come in the same moment.
            await asyncio.sleep(_MOMENT_S)
            self._some.clear()
            while self._events:
                batch = [self._events[place] for place in range(min(_AT_ONCE, len(self._events)))]
                if await self._tell(batch):
                    for _ in batch:
                        self._events.popleft()
                else:
                    await asyncio.sleep(_RETRY_S)

    async def _tell(self, batch: list[dict[str, str]]) -> bool:
        """Send a batch; return whether it is settled, one way or the other."""
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
        }
        try:
            async with self._http.post(
                URL(self._url, encoded=True),
                data=json.dumps({"events": batch}).encode(),
                headers=headers,
            ) as response:
                if response.status in (200, 202):
                    return True
                self._wrong(f"network events answered {response.status}")
                # Asked wrongly once, asked wrongly always; only a busy server may change its mind.
                return response.status < 500 and response.status not in (408, 429)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            self._wrong(f"network events: {str(error) or type(error).__name__}")
            return False
