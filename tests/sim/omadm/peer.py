"""The scripted OMA-DM server on real sockets: HTTP with keep-alive, notifications over UDP, network feed.

A device that attaches and is not updated is notified, as by a server that has it queued.
"""

import asyncio
import json
import socket
from itertools import count

from overair.protocols.syncml import codec
from overair.sim.omadm.roster import OmadmDevice
from tests.peers.wire import HEAD_LIMIT, Head, WireError, read_body, read_head, response
from tests.sim.omadm.dm_server import DmServer

TOKEN = "operator-token"


class Peer:
    """Serves /dm, /dd, /package, /notify and /api/network/v1/events for a roster."""

    def __init__(self, roster: tuple[OmadmDevice, ...], file: bytes) -> None:
        self.server = DmServer(roster, file=file)
        self.port = 0
        self.attaches: list[dict[str, str]] = []
        self.batches = 0
        self.connections = 0
        self.messages = 0
        self.ranges: list[int] = []
        # The next answers in place of the server's own, by the path they are for.
        self.statuses: dict[str, list[int]] = {}
        self.mute = False
        self._numbers = count(1)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    @property
    def url(self) -> str:
        """Return the server's address."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> "Peer":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]
        self.server.base = self.url
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._udp.close()

    def push(self, imei: str) -> None:
        """Notify a device where its roster says."""
        address = self.server.client(imei).device.address
        assert address is not None
        self._udp.sendto(self.server.push(imei, next(self._numbers)), address)

    def push_all(self) -> None:
        """Notify everybody."""
        for client in self.server.clients.values():
            self.push(client.device.imei)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (head := await read_head(reader)) is not None:
                writer.write(self._answer(head, await read_body(reader, head)))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, WireError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    def _answer(self, head: Head, body: bytes) -> bytes:
        path = head.target
        for beginning, statuses in self.statuses.items():
            if path.startswith(beginning) and statuses:
                return response(statuses.pop(0))
        if path == "/dm":
            self.messages += 1
            kind = codec.media_type(head.header("Content-Type") or "")
            assert kind is not None
            answer = self.server.handle(body, kind)
            return response(200, answer, headers={"Content-Type": kind.value})
        if path == "/api/network/v1/events":
            return self._events(head, json.loads(body)["events"])
        _, kind_of, name = path.split("/")
        if kind_of == "notify":
            self.server.notices.append(body.decode())
            return response(200)
        if kind_of == "dd":
            return response(
                200,
                self.server.descriptor_of(name),
                headers={"Content-Type": "application/vnd.oma.dd+xml; charset=utf-8"},
            )
        return self._package(head)

    def _events(self, head: Head, events: list[dict[str, str]]) -> bytes:
        if head.header("Authorization") != f"Bearer {TOKEN}":
            return response(401)
        self.batches += 1
        self.attaches += events
        for event in events:
            client = self.server.client(event["imei"])
            if not self.mute and client.known.get("./DevDetail/FwV") != self.server.want:
                self.push(event["imei"])
        return response(200, b'{"applied": 1, "events": []}')

    def _package(self, head: Head) -> bytes:
        file = self.server.file
        wanted = head.header("Range")
        if wanted is None:
            return response(200, file)
        first = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.ranges.append(first)
        return response(
            206,
            file[first:],
            headers={"Content-Range": f"bytes {first}-{len(file) - 1}/{len(file)}"},
        )
