"""The load generator: devices that poll and update, over raw sockets, in a process of its own.

`python -m bench.load` reads one order (JSON) from standard input and writes one result (JSON) to standard output.
It speaks just enough HTTP/1.1 to be no bottleneck: requests are put together before the clock starts, an answer is its
status and its Content-Length. Every connection is a closed loop of one request at a time, as devices are; only
`fresh` is an open loop, whose latencies count from the moment a poll was *due*, so that a server which stops to think
cannot hide the wait of the polls behind it.
"""

import asyncio
import gc
import itertools
import random
import socket
import sys
import time
from collections.abc import Iterator

import msgspec
import uvloop

from bench.walk import updates
from bench.wire import ANSWER_TIMEOUT_S, Connection, Measure, Order, Result, devices, request

# What a device tells of itself when it is asked to, once.
ATTRIBUTES = b'{"mode":"replace","data":{"board":"x1","hwRevision":"2","kernel":"6.1.0"}}'


def at_random(order: Order, requests: list[bytes]) -> Iterator[bytes]:
    """Draw from the requests without end."""
    picks = random.Random(order.seed).choices(range(len(requests)), k=500_000)
    return map(requests.__getitem__, itertools.cycle(picks))


async def closed_loop(order: Order, requests: Iterator[bytes]) -> Result:
    """Send requests over keep-alive connections until they, or the time, run out."""
    loop = asyncio.get_running_loop()
    measure = Measure()
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
            following = None if now >= deadline else next(requests, None)
            if following is None:
                done.set_result(None)
                connection.transport.close()
                return
            sent = now
            connection.transport.write(following)

        def lost() -> None:
            if not done.done():
                measure.error("connection closed by the server")
                done.set_result(None)

        finished.append(done)
        _, connection = await loop.create_connection(
            lambda: Connection(answered, lost), "127.0.0.1", order.port
        )
        sent = clock()
        connection.transport.write(next(requests))

    await asyncio.gather(*(connect() for _ in range(order.connections)))
    await asyncio.wait_for(asyncio.gather(*finished), order.seconds + ANSWER_TIMEOUT_S)
    return measure.result(order.kind, len(measure.latencies), clock() - started)


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
        constant = request("GET", order.path, "", order.port)
        return await closed_loop(order, itertools.repeat(constant))
    method, below, body = "GET", "", None
    if order.kind == "attributes":
        method, below, body = "PUT", "/configData", ATTRIBUTES
    requests = [
        request(method, f"/{order.tenant}/controller/v1/{device}{below}", token, order.port, body)
        for device, token in devices(order.devices)[order.first :]
    ]
    gc.collect()
    gc.freeze()
    if order.kind == "fresh":
        return await fresh(order, requests)
    if order.kind == "attributes":
        return await closed_loop(order, iter(requests))
    return await closed_loop(order, at_random(order, requests))


def main() -> None:
    """Read the order, carry it out, write the result."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    result = uvloop.run(run(order))
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
