"""One device as those see it who talk with it: whoever it is that is registered just now.

A device that registers anew is another client, at another address perhaps; what is asked of it goes on.
"""

import asyncio
import contextlib

from overair.clock import Clock
from overair.core.ids import DeviceId
from overair.devices.lwm2m.clients import Client, Clients
from overair.devices.lwm2m.exchanges import Exchanges, SilentError
from overair.protocols.coap.events import Handle
from overair.protocols.coap.values import Request, Response


class Device:
    """What can be asked of a device, as long as it is there."""

    __slots__ = ("_clients", "_clock", "_exchanges", "id")

    def __init__(
        self, device_id: DeviceId, clients: Clients, exchanges: Exchanges, clock: Clock
    ) -> None:
        self.id = device_id
        self._clients = clients
        self._exchanges = exchanges
        self._clock = clock

    @property
    def client(self) -> Client:
        """Its registration. Raises SilentError."""
        client = self._clients.of_device(self.id)
        if client is None:
            raise SilentError("not registered")
        return client

    def seconds(self) -> float:
        """Since 1970, for the relative times in what it says."""
        return self._clock.now().timestamp()

    def reachable(self) -> Client:
        """Its registration, if it listens. Raises SilentError."""
        client = self.client
        if not client.is_there(self._exchanges.now()):
            raise SilentError("asleep, or away")
        return client

    async def ask(self, request: Request, *, droppable: bool = False) -> Response:
        """Ask it. Raises SilentError."""
        client = self.reachable()
        return await self._exchanges.ask(client.peer, below(client, request), droppable=droppable)

    async def observe(self, request: Request) -> tuple[Response, Handle | None]:
        """Ask it for a value and what follows; no handle: nothing does. Raises SilentError, FullError."""
        client = self.reachable()
        return await self._exchanges.observe(client.peer, below(client, request))

    def cancel(self, handle: Handle) -> None:
        """Ask it to notify no more; if it is not there, it is not chased for that."""
        client = self._clients.of_device(self.id)
        if client is not None and client.is_there(self._exchanges.now()):
            self._exchanges.endpoint.cancel_observation(handle, self._exchanges.now())
            self._exchanges.flush()
        else:
            self._exchanges.endpoint.cancel(handle, self._exchanges.now())

    def forget_machine(self) -> None:
        """Ask it to tell no more of its update machine."""
        client = self._clients.of_device(self.id)
        if client is None:
            return
        handles, client.machine_handles = client.machine_handles, ()
        for handle in handles:
            self.cancel(handle)

    async def news(self, patience_s: float) -> None:
        """Wait until it says something, or for so long. Raises SilentError if it is gone by then."""
        client = self.reachable()
        if client.stirred:
            client.stirred = False
            return
        news = client.news = asyncio.Event()
        waiting = asyncio.ensure_future(news.wait())
        pause = asyncio.ensure_future(self._clock.sleep(patience_s))
        try:
            await asyncio.wait((waiting, pause), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (waiting, pause):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            client.news = None
        self.reachable().stirred = False


def below(client: Client, request: Request) -> Request:
    """The request with the path as the device has it: some have all of their objects below a root."""
    root = client.objects.root.strip("/")
    if not root:
        return request
    return Request(
        method=request.method,
        path=(*root.split("/"), *request.path),
        query=request.query,
        content_format=request.content_format,
        accept=request.accept,
        observe=request.observe,
        payload=request.payload,
    )
