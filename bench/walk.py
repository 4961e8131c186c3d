"""Devices that take whole updates, one after the other on each of some connections.

A poll, the deployment, the download, two reports. Every answer is looked at as a device would, and as cheaply as
can be: the machine is shared with the server under load, so what is spent here is missing there. Links and
digests are found by their names instead of by a JSON parser, an image is compared with one whose digest was computed, and
each step is a callback.
"""

import asyncio
import gc
import hashlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from bench.wire import (
    ANSWER_TIMEOUT_S,
    Connection,
    FlowError,
    Measure,
    Order,
    Result,
    devices,
)

OFFER = re.compile(rb'"deploymentBase"\s*:\s*\{\s*"href"\s*:\s*"https?://[^/"]+(/[^"]*)"')
DOWNLOAD = re.compile(rb'"download(?:-http)?"\s*:\s*\{\s*"href"\s*:\s*"https?://[^/"]+(/[^"]*)"')
NUMBER = re.compile(rb'"id"\s*:\s*("[^"]*"|\d+)')
SIZE = re.compile(rb'"size"\s*:\s*(\d+)')
SHA1 = re.compile(rb'"sha1"\s*:\s*"([0-9a-f]{40})"')
REPORTS = tuple(
    b',"status":{"execution":"%b","result":{"finished":"%b"},"details":["bench"]}}' % report
    for report in ((b"proceeding", b"none"), (b"closed", b"success"))
)


class Images:
    """The images whose digest was computed already, by it."""

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}

    def check(self, data: bytes, sha1: bytes, size: int) -> None:
        """Raise FlowError if that is not what was promised."""
        known = self._known.get(sha1)
        if known is None:
            digest = hashlib.sha1(data, usedforsecurity=False).hexdigest().encode()
            if digest != sha1:
                raise FlowError("the download has another digest than the deployment promised")
            self._known[sha1] = known = data
        if len(data) != size or data != known:
            raise FlowError("the download is not what the deployment promised")


class Walk:
    """One connection, and the devices that update over it."""

    def __init__(
        self,
        order: Order,
        fleet: Iterator[tuple[str, str]],
        measure: Measure,
        images: Images,
        deadline: float,
    ) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.asked_at = 0.0
        self._order = order
        self._fleet = fleet
        self._measure = measure
        self._images = images
        self._deadline = deadline
        self._connection: Connection | None = None
        self._transport: Any = None
        self._device = ""
        self._tail = b""
        self._began = 0.0
        self._then: Callable[[bytes], None] = self._offered
        self._feedback = b""
        self._number = b""
        self._sha1 = b""
        self._size = 0

    async def open(self) -> None:
        """Connect, and begin with the first device."""
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._answered, lambda: self._lost(connection)),
            "127.0.0.1",
            self._order.port,
        )
        self._connection, self._transport = connection, connection.transport
        self._next()

    def give_up(self, why: str) -> None:
        """The device's answer does not come; go on with the next, on another connection."""
        self._measure.error(f"{self._device}: {why}")
        self._connection = None
        self._transport.close()
        self.asked_at = time.perf_counter()
        self._opening = asyncio.get_running_loop().create_task(self._open_again())

    async def _open_again(self) -> None:
        try:
            await self.open()
        except OSError as error:
            self._measure.error(f"{type(error).__name__}: {error}")
            self.done.set_result(None)

    def _lost(self, connection: Connection) -> None:
        if connection is self._connection and not self.done.done():
            self.give_up("the server closed the connection")

    def _next(self) -> None:
        now = time.perf_counter()
        found = None if now >= self._deadline else next(self._fleet, None)
        if found is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._device, token = found
        self._tail = (
            f" HTTP/1.1\r\nHost: 127.0.0.1:{self._order.port}\r\nAccept: application/hal+json\r\n"
            f"Authorization: TargetToken {token}\r\n"
        ).encode()
        self._began = now
        self._then = self._offered
        self._get(f"/{self._order.tenant}/controller/v1/{self._device}".encode())

    def _get(self, target: bytes) -> None:
        self.asked_at = time.perf_counter()
        self._transport.write(b"GET " + target + self._tail + b"\r\n")

    def _post(self, report: bytes) -> None:
        body = b'{"id":' + self._number + report
        length = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.asked_at = time.perf_counter()
        self._transport.write(b"POST " + self._feedback + self._tail + length + body)

    def _answered(self, status: int, body: bytes) -> None:
        self._measure.statuses[status] += 1
        try:
            if status != 200:
                raise FlowError(f"{self._then.__name__[1:]}: {status} {body[:200]!r}")
            self._then(body)
        except FlowError as error:
            self._measure.error(f"{self._device}: {error}")
            self._next()

    def _offered(self, body: bytes) -> None:
        target = _found(OFFER, body)
        self._feedback = target.split(b"?", 1)[0] + b"/feedback"
        self._then = self._deployed
        self._get(target)

    def _deployed(self, body: bytes) -> None:
        self._number, self._sha1 = _found(NUMBER, body), _found(SHA1, body)
        self._size = int(_found(SIZE, body))
        self._then = self._downloaded
        self._get(_found(DOWNLOAD, body))

    def _downloaded(self, body: bytes) -> None:
        self._images.check(body, self._sha1, self._size)
        self._then = self._proceeding
        self._post(REPORTS[0])

    def _proceeding(self, _body: bytes) -> None:
        self._then = self._closed
        self._post(REPORTS[1])

    def _closed(self, _body: bytes) -> None:
        self._measure.latencies.append(time.perf_counter() - self._began)
        self._next()


def _found(what: re.Pattern[bytes], body: bytes) -> bytes:
    found = what.search(body)
    if found is None:
        raise FlowError(f"nothing like {what.pattern!r} in {body[:200]!r}")
    return found[1]


async def updates(order: Order) -> Result:
    """Take devices through whole updates, each once, until they or the time run out."""
    measure, images = Measure(), Images()
    fleet = iter(devices(order.devices)[order.first : order.first + order.count])
    gc.collect()
    gc.freeze()
    started = time.perf_counter()
    deadline = started + order.seconds
    walks = [Walk(order, fleet, measure, images, deadline) for _ in range(order.connections)]
    await asyncio.gather(*(walk.open() for walk in walks))
    waiting = {walk.done for walk in walks}
    while waiting:
        _, waiting = await asyncio.wait(waiting, timeout=1.0)
        late = time.perf_counter() - ANSWER_TIMEOUT_S
        for walk in walks:
            if not walk.done.done() and walk.asked_at < late:
                walk.give_up(f"no answer in {ANSWER_TIMEOUT_S:.0f} s")
    return measure.result(order.kind, len(measure.latencies), time.perf_counter() - started)
