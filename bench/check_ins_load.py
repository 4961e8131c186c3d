"""A load generator for check-ins beside other load, in a process of its own.

`python -m bench.check_ins_load` reads one order (a line of JSON) from standard input, registers its devices
over LwM2M and says `registered`. Then it sends Updates of their registrations, and polls of other devices over
HTTP, each at an even pace and whatever the answers do, until standard input ends; then it writes one result.
An answer's time counts from when its request was sent. Every one is in the result, so that those of a
certain time can be looked at.
"""

import asyncio
import contextlib
import itertools
import sys
import time
from collections.abc import AsyncIterator

import msgspec
import uvloop

from bench.lwm2m_images_load import LOOK_S, Fleet, Order
from bench.wire import Connection, devices, request
from overair.protocols.coap.message import Message
from overair.protocols.coap.numbers import Code

CONNECTIONS = 200  # polls over HTTP that may be under way


class CheckInOrder(msgspec.Struct, kw_only=True):
    """What to send, to which server."""

    coap: int
    http: int
    tenant: str
    polled: str  # a file of "id token" lines
    first: int
    count: int
    rate: float  # a second, of Updates and of polls


class CheckIns(msgspec.Struct, kw_only=True):
    """Each check-in: when it was sent, and the milliseconds to its answer; none: none came."""

    updates: list[tuple[float, float | None]] = []
    polls: list[tuple[float, float | None]] = []
    said_again: int = 0
    errors: int = 0
    first_error: str = ""


def check_in(order: CheckInOrder) -> CheckIns:
    """Send check-ins until nobody wants them any more."""
    fleet = Fleet(Order(kind="", coap=order.coap, first=order.first, count=order.count))
    fleet.enroll()
    found = CheckIns()
    uvloop.run(_check_in(order, fleet, found))
    found.said_again = fleet.taken.said_again
    found.errors += fleet.taken.errors
    found.first_error = found.first_error or fleet.taken.first_error
    return found


async def _check_in(order: CheckInOrder, fleet: Fleet, found: CheckIns) -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), over.set)
    await asyncio.gather(
        _updates(order, fleet, found.updates, over),
        _polls(order, found, over),
        _repeat(fleet, over),
    )
    loop.remove_reader(sys.stdin.fileno())


async def _paced(rate: float, over: asyncio.Event) -> AsyncIterator[int]:
    """Count at an even pace."""
    started = time.monotonic()
    for number in itertools.count():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(
                over.wait(), max(0.0, started + number / rate - time.monotonic())
            )
        if over.is_set():
            return
        yield number


async def _repeat(fleet: Fleet, over: asyncio.Event) -> None:
    async for _ in _paced(1 / LOOK_S, over):
        for device in fleet.devices:
            device.repeat(time.monotonic())


async def _updates(
    order: CheckInOrder, fleet: Fleet, found: list[tuple[float, float | None]], over: asyncio.Event
) -> None:
    loop = asyncio.get_running_loop()
    for device in fleet.devices:
        loop.add_reader(device.socket.fileno(), device.heard)
    async for number in _paced(order.rate, over):
        device = fleet.devices[number % len(fleet.devices)]
        sent = time.monotonic()
        found.append((sent, None))

        def answered(message: Message, at: int = len(found) - 1, sent: float = sent) -> None:
            found[at] = (sent, (time.monotonic() - sent) * 1e3)
            if message.code != Code.CHANGED:
                fleet.error(f"an Update gets {message.code:#x}")

        device.update(answered)


class Poller:
    """A connection that is kept, and the poll that is under way on it."""

    def __init__(self, found: CheckIns) -> None:
        self._found = found
        self._under_way: tuple[int, float] | None = None
        self._closed = False
        self.connection: Connection | None = None

    async def open(self, port: int) -> None:
        """Connect."""
        _, self.connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self.answered, self._lost), "127.0.0.1", port
        )

    def _lost(self) -> None:
        """Its poll has no answer, and it takes no other."""
        self._closed = True

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return self._under_way is None and not self._closed

    def poll(self, message: bytes) -> None:
        """Send one."""
        assert self.connection is not None
        sent = time.monotonic()
        self._under_way = (len(self._found.polls), sent)
        self._found.polls.append((sent, None))
        self.connection.transport.write(message)

    def answered(self, status: int, body: bytes) -> None:
        """Note when."""
        if self._under_way is None:
            return
        at, sent = self._under_way
        self._under_way = None
        self._found.polls[at] = (sent, (time.monotonic() - sent) * 1e3)
        if status != 200:
            self._found.errors += 1
            self._found.first_error = f"a poll gets {status} {body[:100]!r}"


async def _polls(order: CheckInOrder, found: CheckIns, over: asyncio.Event) -> None:
    requests = [
        request("GET", f"/{order.tenant}/controller/v1/{device}", token, order.http)
        for device, token in devices(order.polled)
    ]
    pollers = [Poller(found) for _ in range(CONNECTIONS)]
    for poller in pollers:
        await poller.open(order.http)
    async for number in _paced(order.rate, over):
        poller = pollers[number % CONNECTIONS]  # in turn, so that none is idle for long
        if poller.is_idle:
            poller.poll(requests[number % len(requests)])
        else:  # as bad as one that is never answered
            found.polls.append((time.monotonic(), None))
    for poller in pollers:
        assert poller.connection is not None
        poller.connection.transport.close()


def main() -> None:
    """Read the order, carry it out, write the result."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=CheckInOrder)
    result = check_in(order)
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")


if __name__ == "__main__":
    main()
