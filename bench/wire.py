"""What load generators over HTTP have in common: orders, results, and just enough HTTP/1.1 to be no bottleneck.

Requests are put together before they are due; an answer is its status and its Content-Length.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

ANSWER_TIMEOUT_S = 30.0
LENGTH = re.compile(rb"content-length:[ \t]*(\d+)", re.IGNORECASE)


class Order(msgspec.Struct, kw_only=True):
    """What to do, against which server."""

    kind: str  # attributes | polls | constant | updates | fresh
    port: int
    tenant: str = ""
    devices: str = ""  # a file of "id token" lines
    path: str = "/"
    connections: int = 64
    seconds: float = 5.0
    count: int = 0  # updates: at most so many devices; fresh: so many polls within `seconds`
    first: int = 0  # the first device of the file to use
    seed: int = 1
    status: int = 200  # what every answer has to be; not of `updates` and `fresh`


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
    own_cpu_us: float = 0.0  # what the load generator itself took for each


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
            own_cpu_us=time.process_time() / max(1, done) * 1e6,
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


class Link:
    """A keep-alive connection with one awaitable request at a time, for a flow of steps."""

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
    """A step of a flow went otherwise than it must."""
