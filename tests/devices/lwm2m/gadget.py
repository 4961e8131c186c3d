"""A device made of aiocoap and a dictionary: it shares nothing with the server but the specifications.

It registers, answers for its objects resource by resource in text, takes images in blocks (which aiocoap
puts together), fetches them, restarts and registers anew. What it is asked is written down.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiocoap
from aiocoap import CHANGED, CONTENT, METHOD_NOT_ALLOWED, NOT_FOUND, Code, Message
from aiocoap.resource import ObservableResource

OBJECTS = '</>;rt="oma.lwm2m";ct=0,</1/0>,</3/0>,</4/0>,</5/0>'


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Tree(ObservableResource):
    """Everything below the root."""

    def __init__(self, gadget: "Gadget") -> None:
        super().__init__()
        self.gadget = gadget
        self.observations: dict[str, list[Any]] = {}

    async def add_observation(self, request: Message, serverobservation: Any) -> None:
        path = "/".join(request.opt.uri_path)
        mine = self.observations.setdefault(path, [])
        mine.append(serverobservation)

        def forget() -> None:
            if serverobservation in mine:
                mine.remove(serverobservation)

        serverobservation.accept(forget)

    async def render(self, request: Message) -> Message:
        return await self.gadget.asked(request)


class Gadget:
    """One device."""

    def __init__(self, endpoint: str, server: str, *, version: str = "01") -> None:
        self.endpoint = endpoint
        self.server = server
        self.lifetime = 300
        self.more = "lwm2m=1.1"
        self.objects = OBJECTS
        self.values: dict[str, str] = {
            "3/0/0": "Acme",
            "3/0/1": "X1",
            "3/0/3": version,
            "4/0/0": "6",
            "4/0/2": "-97",
            "4/0/8": "84281345",
            "4/0/9": "480",
            "4/0/10": "311",
            "5/0/3": "0",
            "5/0/5": "0",
            "5/0/9": "1",
        }
        self.target = "02"
        self.image = b""
        self.executes = 0
        self.log: list[str] = []
        self.location: tuple[str, ...] = ()
        # What it does when it is told to update; by default it updates, restarts, registers.
        self.on_execute: Callable[[], Any] = self.update
        self.on_image: Callable[[], Any] = lambda: self.show("5/0/3", "2")
        self.on_uri: Callable[[str], Any] = lambda uri: self.fetch(uri)
        self.tree = Tree(self)
        self.context: aiocoap.Context | None = None
        self.port = 0
        self.tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def on(self) -> AsyncIterator["Gadget"]:
        """Switched on."""
        await self.start()
        try:
            yield self
        finally:
            for task in list(self.tasks):
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            await self.stop()

    async def start(self) -> None:
        self.port = free_port()
        self.context = await aiocoap.Context.create_server_context(
            self.tree, bind=("127.0.0.1", self.port), transports=["udp6"]
        )

    async def stop(self) -> None:
        if self.context is not None:
            await self.context.shutdown()
            self.context = None

    def later(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # What it says

    async def ask(self, code: Code, path: str, payload: bytes = b"", **options: Any) -> Message:
        assert self.context is not None
        message = Message(code=code, uri=f"{self.server}{path}", payload=payload, **options)
        return await asyncio.wait_for(self.context.request(message).response, 30)

    async def register(self) -> Message:
        answer = await self.ask(
            aiocoap.POST,
            f"/rd?ep={self.endpoint}&lt={self.lifetime}&{self.more}",
            self.objects.encode(),
            content_format=40,
        )
        if answer.code is Code.CREATED:
            self.location = answer.opt.location_path
        return answer

    async def renew(self, query: str = "") -> Message:
        return await self.ask(aiocoap.POST, "/" + "/".join(self.location) + query)

    async def leave(self) -> Message:
        return await self.ask(aiocoap.DELETE, "/" + "/".join(self.location))

    async def restart(self) -> None:
        """Off and on again: another port, another registration."""
        await self.stop()
        self.tree = Tree(self)
        await self.start()
        await self.register()

    def show(self, path: str, value: str) -> None:
        """Change a value, and notify whoever observes it."""
        self.values[path] = value
        for observation in self.tree.observations.get(path, []):
            observation.trigger(Message(code=CONTENT, payload=value.encode(), content_format=0))

    # What it is asked

    async def asked(self, request: Message) -> Message:
        path = "/".join(request.opt.uri_path)
        self.log.append(f"{request.code.name} {path}")
        match request.code:
            case aiocoap.GET if path in self.values:
                return Message(code=CONTENT, payload=self.values[path].encode(), content_format=0)
            case aiocoap.GET:
                return Message(code=NOT_FOUND)
            case aiocoap.PUT if path == "5/0/0":
                return self.given_image(request.payload)
            case aiocoap.PUT if path == "5/0/1":
                return self.given_uri(request.payload.decode())
            case aiocoap.PUT if path in ("5/0/11", "5/0/13") and path in self.values:
                self.values[path] = request.payload.decode()
                return Message(code=CHANGED)
            case aiocoap.PUT if request.opt.uri_query:
                return Message(code=CHANGED)
            case aiocoap.POST if path == "5/0/2":
                return self.told_to_update()
            case _:
                return Message(code=METHOD_NOT_ALLOWED)

    def given_image(self, image: bytes) -> Message:
        if image == b"\0":
            self.show("5/0/3", "0")
            return Message(code=CHANGED)
        if self.values["5/0/3"] != "0":
            return Message(code=aiocoap.BAD_REQUEST)
        self.image = image
        self.values["5/0/5"] = "0"
        self.on_image()
        return Message(code=CHANGED)

    def given_uri(self, uri: str) -> Message:
        if not uri:
            self.show("5/0/3", "0")
            return Message(code=CHANGED)
        if self.values["5/0/3"] != "0":
            return Message(code=aiocoap.BAD_REQUEST)
        self.values["5/0/1"] = uri
        self.values["5/0/5"] = "0"
        self.later(self.on_uri(uri))
        return Message(code=CHANGED)

    async def fetch(self, uri: str) -> None:
        """Download it over CoAP, from a port of its own, as modules do."""
        self.show("5/0/3", "1")
        context = await aiocoap.Context.create_client_context(transports=["udp6"])
        try:
            request = Message(code=aiocoap.GET, uri=uri)
            answer = await asyncio.wait_for(context.request(request).response, 30)
        finally:
            await context.shutdown()
        if answer.code is CONTENT:
            self.image = answer.payload
            self.show("5/0/3", "2")
        else:
            self.values["5/0/3"] = "0"
            self.show("5/0/5", "7")

    def told_to_update(self) -> Message:
        if self.values["5/0/3"] != "2":
            return Message(code=METHOD_NOT_ALLOWED)
        self.executes += 1
        self.show("5/0/3", "3")
        self.later(self.on_execute())
        return Message(code=CHANGED)

    async def update(self) -> None:
        """Install, restart, and show the new version."""
        self.values |= {"5/0/3": "0", "5/0/5": "1", "3/0/3": self.target}
        await self.restart()

    async def fall_back(self) -> None:
        """Restart with the old version."""
        self.values |= {"5/0/3": "0", "5/0/5": "8"}
        await self.restart()
