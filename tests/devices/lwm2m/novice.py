"""A device that has nothing but its bootstrap account, made of aiocoap and a dictionary.

It asks for its account, takes what it is given, and then registers with it. TLV is read here by a reader
of its own, so that not two ends of one codec agree.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiocoap
from aiocoap import CHANGED, CONTENT, DELETED, METHOD_NOT_ALLOWED, Code, Message
from aiocoap.resource import Resource

from tests.devices.lwm2m.gadget import free_port

Answer = Callable[[Message], Message | None]


def read_tlv(data: bytes) -> dict[int, bytes]:
    """Resources of one instance by their ids (OMA-TS-LightweightM2M 6.4.3)."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        kind = data[at]
        assert kind >> 6 == 3, "a resource with a value"
        wide = kind >> 5 & 1
        number = int.from_bytes(data[at + 1 : at + 2 + wide], "big")
        at += 2 + wide
        size = kind >> 3 & 3
        length = int.from_bytes(data[at : at + size], "big") if size else kind & 7
        at += size
        found[number] = data[at : at + length]
        at += length
    return found


class Novice(Resource):
    """One device, before it knows where to register."""

    def __init__(self, server: str, query: str) -> None:
        super().__init__()
        self.server = server
        self.query = query
        self.links: str | None = "</>;lwm2m=1.0,</0/0>,</1/0>;ssid=7,</3/0>,</0/2>;ssid=7"
        self.log: list[str] = []
        self.objects: dict[str, dict[int, bytes]] = {}
        self.formats: list[int | None] = []
        self.finished = asyncio.Event()
        # What it answers otherwise than it should, by method and path; None: nothing for a long time.
        self.odd: dict[str, Answer] = {}
        self.context: aiocoap.Context | None = None

    @contextlib.asynccontextmanager
    async def on(self) -> AsyncIterator["Novice"]:
        """Switched on."""
        self.context = await aiocoap.Context.create_server_context(
            self, bind=("127.0.0.1", free_port()), transports=["udp6"]
        )
        try:
            yield self
        finally:
            await self.context.shutdown()

    async def ask(self) -> Message:
        """Ask for its account."""
        assert self.context is not None
        message = Message(code=aiocoap.POST, uri=f"{self.server}/bs?{self.query}")
        return await asyncio.wait_for(self.context.request(message).response, 20)

    # aiocoap's side of a tree with everything in it

    async def needs_blockwise_assembly(self, request: Message) -> bool:
        return True

    def get_resources_as_linkheader(self) -> Any:
        raise NotImplementedError

    async def render(self, request: Message) -> Message:
        path = "/" + "/".join(request.opt.uri_path)
        what = f"{request.code.name} {path}"
        self.log.append(what)
        if what in self.odd:
            answer = self.odd[what](request)
            if answer is None:
                await asyncio.Event().wait()
            assert answer is not None
            return answer
        match request.code:
            case aiocoap.GET if path == "/" and self.links is not None:
                return Message(code=CONTENT, payload=self.links.encode(), content_format=40)
            case aiocoap.DELETE if path == "/":
                return Message(code=DELETED)
            case aiocoap.PUT:
                self.formats.append(request.opt.content_format)
                self.objects[path] = read_tlv(request.payload)
                return Message(code=CHANGED)
            case aiocoap.POST if path == "/bs":
                self.finished.set()
                return Message(code=CHANGED)
            case _:
                return Message(code=METHOD_NOT_ALLOWED)


def refusing(code: Code) -> Answer:
    """An answer with a code."""
    return lambda _: Message(code=code)


def silent(_: Message) -> None:
    """No answer."""
