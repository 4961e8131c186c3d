"""The smallest driver of an endpoint: one UDP socket of a running event loop, on loopback."""

import asyncio
import secrets
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

from overair.protocols.coap.endpoint import Endpoint
from overair.protocols.coap.events import Event


class Driver:
    """An endpoint on a socket. Events go to a function, or wait in a queue."""

    def __init__(self, on_event: Callable[["Driver", Event], bool] | None = None) -> None:
        self.endpoint = Endpoint(entropy=secrets.token_bytes)
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    @property
    def now(self) -> float:
        """The time of the loop."""
        return self._loop.time()

    async def __aenter__(self) -> Self:
        self._loop.add_reader(self._socket, self._readable)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.remove_reader(self._socket)
        if self._timer is not None:
            self._timer.cancel()
        self._socket.close()

    def _readable(self) -> None:
        for _ in range(64):
            try:
                datagram, peer = self._socket.recvfrom(2048)
            except BlockingIOError:
                break
            self._heard(self.endpoint.receive(peer, datagram, self.now))
        self.flush()

    def _tick(self) -> None:
        self._heard(self.endpoint.tick(self.now))
        self.flush()

    def _heard(self, events: list[Event]) -> None:
        for event in events:
            if self._on_event is None or not self._on_event(self, event):
                self.events.put_nowait(event)

    def flush(self) -> None:
        """Send what there is, and wake up when something is due; after anything that was asked."""
        for peer, datagram in self.endpoint.drain():
            assert isinstance(peer, tuple)
            self._socket.sendto(datagram, peer)
        if self._timer is not None:
            self._timer.cancel()
        due = self.endpoint.next_due
        self._timer = None if due is None else self._loop.call_at(due, self._tick)
