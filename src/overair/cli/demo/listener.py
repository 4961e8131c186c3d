"""The demo's callback listener: takes what the server sends, and keeps what was said last.

It stays on loopback, on a port of its own. Messages come at least once and, of one campaign, in
order; a repeated one has the same ``X-Overair-Message-Id``.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from overair.cli.demo.ledger import Standing


class Listener:
    """What was received."""

    def __init__(self) -> None:
        self.url = ""
        self.messages: Counter[str] = Counter()  # by type
        self.repeated = 0
        self.statuses: dict[str, list[str]] = {}  # of campaigns, in the order told
        self.devices: dict[str, dict[str, Standing]] = {}  # by campaign: the latest told
        self._seen: set[str] = set()

    @property
    def received(self) -> int:
        return self.messages.total()

    async def take(self, request: web.Request) -> web.Response:
        """One message."""
        number = request.headers.get("X-Overair-Message-Id", "")
        message: dict[str, Any] = await request.json()
        if number in self._seen:
            self.repeated += 1
            return web.Response()
        self._seen.add(number)
        self.messages[message["type"]] += 1
        if "upgradeProgress" in message:
            self._take_v1(message)
            return web.Response()
        campaign = message["campaignId"]
        if message["type"] == "campaignStatus":
            self.statuses.setdefault(campaign, []).append(message["status"])
        told = self.devices.setdefault(campaign, {})
        for device in message["deviceList"]:
            told[device["deviceId"]] = Standing(device["status"], device["resultReason"])
        return web.Response()

    def _take_v1(self, message: dict[str, Any]) -> None:
        """A message of v1, which has what changed in a member of its own."""
        changed = message["upgradeProgress"] or message["upgradeScheduled"]
        if not changed:
            return  # of firmware
        self.statuses.setdefault(changed["upgradeId"], []).append(changed["status"])
        told = self.devices.setdefault(changed["upgradeId"], {})
        for device in changed["deviceList"]:
            told[device["deviceId"]] = Standing(device["status"], device["resultReason"])


@asynccontextmanager
async def listening() -> AsyncIterator[Listener]:
    """A listener on loopback, for the length of the block."""
    listener = Listener()
    app = web.Application()
    app.router.add_post("/callbacks", listener.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}/callbacks"
        yield listener
    finally:
        await runner.cleanup()
