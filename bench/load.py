"""The load generator: devices that poll and update, over raw sockets, in a process of its own.

`python -m bench.load` reads one order (JSON) from standard input and writes one result (JSON) to standard output.
It speaks just enough HTTP/1.1 to be no bottleneck: requests are put together before the clock starts, an answer is its
status and its Content-Length. Every connection is a closed loop of one request at a time, as devices are; only
`fresh` is an open loop, whose latencies count from the moment a poll was *due*, so that a server which stops to think
cannot hide the wait of the polls behind it.
"""

import asyncio
import gc
import hashlib
import itertools
import json
import random
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import msgspec
import uvloop

ANSWER_TIMEOUT_S = 30.0
LENGTH = re.compile(rb"content-length:[ \t]*(\d+)", re.IGNORECASE)


class Order(msgspec.Struct, kw_only=True):
    """What to do, against which server."""

    kind: str  # polls | constant | updates | fresh
    port: int
    tenant: str = ""
    devices: str = ""  # a file of "id token" lines
    path: str = "/"
    connections: int = 64
    seconds: float = 5.0
    count: int = 0  # updates: at most so many devices; fresh: so many polls within `seconds`
    first: int = 0  # the first device of the file to use
    seed: int = 1
    status: int = 200  # what every answer has to be; of `polls` and `constant`


class Result(msgspec.Struct, kw_only=True):
    """What came of it; latencies in milliseconds."""

    kind: str
    done: int
    seconds: float
    rate: float
    p50_ms: float
    p99_ms: float
    worst_ms: float
    statuses: dict[str, int]
    errors: int
    first_error: str = ""


class Measure:
    """Collects what the connections see."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.errors = 0
        self.first_error = ""

    def error(self, text: str) -> None:
        """Count something that must not happen."""
        self.errors += 1
        self.first_error = self.first_error or text

    def result(self, kind: str, done: int, seconds: float) -> Result:
        """Close the account."""
        ordered = sorted(self.latencies)

        def at(share: float) -> float:
            return (
                ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0
            )

        return Result(
            kind=kind,
            done=done,
            seconds=seconds,
            rate=done / seconds if seconds else 0.0,
            p50_ms=at(0.50),
            p99_ms=at(0.99),
            worst_ms=at(1.0),
            statuses={str(status): count for status, count in sorted(self.statuses.items())},
            errors=self.errors,
            first_error=self.first_error,
        )


class Answered(Protocol):
    """Called with the status and the body of each answer."""

    def __call__(self, status: int, body: bytes) -> None: ...


class Connection(asyncio.Protocol):
    """One keep-alive connection; `answered` is called for each whole answer, `lost` when it closes."""

    def __init__(self, answered: Answered, lost: Callable[[], None]) -> None:
        self._answered = answered
        self._lost = lost
        self._rest = b""
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Cut one answer out of the bytes; there is never a second one under way."""
        if self._rest:
            data = self._rest + data
        head_end = data.find(b"\r\n\r\n")
        if head_end < 0:
            self._rest = data
            return
        found = LENGTH.search(data, 0, head_end)
        end = head_end + 4 + (int(found[1]) if found else 0)
        if len(data) < end:
            self._rest = data
            return
        self._rest = data[end:]
        self._answered(int(data[9:12]), data[head_end + 4 : end])

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that nothing more will come."""
        self._lost()


def request(method: str, target: str, token: str, port: int, body: bytes | None = None) -> bytes:
    """Put one request together."""
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Accept: application/hal+json",
    ]
    if token:
        lines.append(f"Authorization: TargetToken {token}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


def devices(path: str) -> list[tuple[str, str]]:
    """Read "id token" lines."""
    with open(path, encoding="ascii") as file:  # noqa: PTH123  one plain read at start
        return [(line[:15], line[16:48]) for line in file]


async def closed_loop(order: Order, requests: list[bytes]) -> Result:
    """Repeat random requests over keep-alive connections for a time."""
    loop = asyncio.get_running_loop()
    measure = Measure()
    rng = random.Random(order.seed)
    picks = itertools.cycle(rng.choices(range(len(requests)), k=500_000))
    clock = time.perf_counter
    started = clock()
    deadline = started + order.seconds
    finished: list[asyncio.Future[None]] = []
    record = measure.latencies.append
    statuses = measure.statuses

    async def connect() -> None:
        done = loop.create_future()
        sent = 0.0

        def answered(status: int, body: bytes) -> None:
            nonlocal sent
            now = clock()
            record(now - sent)
            statuses[status] += 1
            if status != order.status:
                measure.error(f"status {status}: {body[:200]!r}")
            if now >= deadline:
                connection.transport.close()
                return
            sent = now
            connection.transport.write(requests[next(picks)])

        def lost() -> None:
            if clock() < deadline:
                measure.error("connection closed by the server")
            if not done.done():
                done.set_result(None)

        finished.append(done)
        _, connection = await loop.create_connection(
            lambda: Connection(answered, lost), "127.0.0.1", order.port
        )
        sent = clock()
        connection.transport.write(requests[next(picks)])

    await asyncio.gather(*(connect() for _ in range(order.connections)))
    await asyncio.wait_for(asyncio.gather(*finished), order.seconds + ANSWER_TIMEOUT_S)
    return measure.result(order.kind, len(measure.latencies), clock() - started)


class Link:
    """A keep-alive connection with one awaitable request at a time, for the flow of an update."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self._connection: Connection | None = None

    async def open(self) -> None:
        """Connect."""
        loop = asyncio.get_running_loop()
        _, self._connection = await loop.create_connection(
            lambda: Connection(self._answered, self._lost), "127.0.0.1", self._port
        )

    async def ask(self, message: bytes) -> tuple[int, bytes]:
        """Send a request and wait for its answer."""
        assert self._connection is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._connection.transport.write(message)
        return await self._waiting

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None and self._connection.transport is not None:
            self._connection.transport.close()

    def _answered(self, status: int, body: bytes) -> None:
        assert self._waiting is not None
        self._waiting.set_result((status, body))

    def _lost(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("closed by the server"))


class FlowError(Exception):
    """A step of an update went otherwise than it must."""


def path_of(href: str) -> str:
    """Return the path and query of an absolute link."""
    return "/" + href.split("/", 3)[3]


async def update(link: Link, order: Order, device: str, token: str, statuses: Counter[int]) -> None:
    """Take one device through its update: poll, deployment, download, two feedbacks."""
    base = f"/{order.tenant}/controller/v1/{device}"

    async def step(method: str, target: str, body: bytes | None = None) -> bytes:
        status, answer = await link.ask(request(method, target, token, order.port, body))
        statuses[status] += 1
        if status != 200:
            raise FlowError(f"{method} {target}: {status} {answer[:200]!r}")
        return answer

    poll = json.loads(await step("GET", base))
    offer = poll.get("_links", {}).get("deploymentBase")
    if offer is None:
        raise FlowError(f"{device}: no deployment offered")
    target = path_of(offer["href"])
    deployment = json.loads(await step("GET", target))
    artifact = deployment["deployment"]["chunks"][0]["artifacts"][0]
    data = await step("GET", path_of(artifact["_links"]["download"]["href"]))
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    if len(data) != artifact["size"] or digest != artifact["hashes"]["sha1"]:
        raise FlowError(f"{device}: the download is not what the deployment promised")
    feedback = target.split("?")[0] + "/feedback"
    for execution, finished in (("proceeding", "none"), ("closed", "success")):
        status = {"execution": execution, "result": {"finished": finished}, "details": ["bench"]}
        body = json.dumps({"id": deployment["id"], "status": status}).encode()
        await step("POST", feedback, body)


async def updates(order: Order) -> Result:
    """Take devices through whole updates, each once, until they or the time run out."""
    measure = Measure()
    clock = time.perf_counter
    fleet = iter(devices(order.devices)[order.first : order.first + order.count])
    links = [Link(order.port) for _ in range(order.connections)]
    await asyncio.gather(*(link.open() for link in links))
    started = clock()
    deadline = started + order.seconds

    async def work(link: Link, mine: Iterator[tuple[str, str]]) -> None:
        for device, token in mine:
            before = clock()
            try:
                await asyncio.wait_for(
                    update(link, order, device, token, measure.statuses), ANSWER_TIMEOUT_S
                )
            except FlowError as error:
                measure.error(str(error))
                continue
            except (OSError, TimeoutError) as error:
                measure.error(f"{type(error).__name__}: {error}")
                link.close()
                await link.open()
                continue
            measure.latencies.append(clock() - before)
            if clock() >= deadline:
                return

    await asyncio.gather(*(work(link, fleet) for link in links))
    seconds = clock() - started
    for link in links:
        link.close()
    return measure.result(order.kind, len(measure.latencies), seconds)


async def fresh(order: Order, requests: list[bytes]) -> Result:
    """Send `count` polls within `seconds`, each on a connection of its own, at even distances."""
    loop = asyncio.get_running_loop()
    measure = Measure()
    rng = random.Random(order.seed)
    clock = time.perf_counter
    started = clock() + 0.1
    all_done = loop.create_future()
    left = order.count

    def settle(due: float, status: int | None, error: str) -> None:
        nonlocal left
        if status is not None:
            measure.latencies.append(clock() - due)
            measure.statuses[status] += 1
        if error:
            measure.error(error)
        left -= 1
        if left == 0:
            all_done.set_result(None)

    class Once(Connection):
        def __init__(self, due: float) -> None:
            super().__init__(self._got, self._gone)
            self._due = due
            self._settled = False

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.write(requests[rng.randrange(len(requests))])

        def _got(self, status: int, body: bytes) -> None:
            self._settled = True
            settle(self._due, status, "" if status == 200 else f"status {status}: {body[:200]!r}")
            self.transport.close()

        def _gone(self) -> None:
            if not self._settled:
                settle(self._due, None, "connection closed before the answer")

    async def one(number: int, due: float) -> None:
        # Several source addresses: one has too few ports for so many connections at once in TIME_WAIT.
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(
                socket.IPPROTO_IP, 24, 1
            )  # IP_BIND_ADDRESS_NO_PORT, unnamed before 3.12
            sock.bind((f"127.0.0.{2 + number % 8}", 0))
            await loop.sock_connect(sock, ("127.0.0.1", order.port))
            await loop.create_connection(lambda: Once(due), sock=sock)
        except OSError as error:
            sock.close()
            settle(due, None, f"connect: {error}")

    tasks: set[asyncio.Task[None]] = set()
    sent = 0
    while sent < order.count:
        due_now = min(order.count, int((clock() - started) / order.seconds * order.count) + 1)
        while sent < due_now:
            due = started + sent * order.seconds / order.count
            task = asyncio.create_task(one(sent, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.001)
    await asyncio.wait_for(all_done, ANSWER_TIMEOUT_S)
    return measure.result(order.kind, len(measure.latencies), clock() - started)


async def run(order: Order) -> Result:
    """Carry out one order."""
    if order.kind == "updates":
        return await updates(order)
    if order.kind == "constant":
        return await closed_loop(order, [request("GET", order.path, "", order.port)])
    requests = [
        request("GET", f"/{order.tenant}/controller/v1/{device}", token, order.port)
        for device, token in devices(order.devices)[order.first :]
    ]
    gc.collect()
    gc.freeze()
    if order.kind == "fresh":
        return await fresh(order, requests)
    return await closed_loop(order, requests)


def main() -> None:
    """Read the order, carry it out, write the result."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    result = uvloop.run(run(order))
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
