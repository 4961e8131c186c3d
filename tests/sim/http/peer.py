"""A DDI server of many devices on a raw socket, scripted from the text of the specification.

Every device is offered one action, whose id is its place in the roster. What was acknowledged outlives
``kill``, which cuts all connections at once as a killed process does; ``start`` takes the port again.
"""

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from overair.sim.http.roster import SimDevice
from tests.peers.wire import HEAD_LIMIT, Head, WireError, read_body, read_head, response


@dataclass(slots=True, kw_only=True)
class Controller:
    """What the server knows of one device."""

    credentials: str
    action_id: int
    closed: str | None = None
    cancelled: bool = False
    closings: int = 0
    polls: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    agents: set[str] = field(default_factory=set)


class Peer:
    """Serves /default/controller/v1/{id} for a roster."""

    def __init__(self, roster: tuple[SimDevice, ...], file: bytes, *, gateway: str = "") -> None:
        self.file = file
        self.sleep = "00:00:30"
        self.cancelling = False
        self.ranges: list[int] = []
        self.port = 0
        self.open_connections = 0
        self.most_connections = 0
        # How many closing reports to take without answering: the connection is cut instead.
        self.unanswered = 0
        self.controllers = {
            device.controller_id: Controller(
                credentials=f"TargetToken {device.token}" if device.token else gateway,
                action_id=number,
            )
            for number, device in enumerate(roster, 1)
        }
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        """Return the server's address."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, on the same port as before."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", self.port, limit=HEAD_LIMIT, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def kill(self) -> None:
        """End at once, without a word to anybody."""
        assert self._server is not None
        self._server.close()
        tasks = list(self._connections)
        for task, writer in self._connections.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = writer
        self.open_connections += 1
        self.most_connections = max(self.most_connections, self.open_connections)
        try:
            while (head := await read_head(reader)) is not None:
                body = await read_body(reader, head)
                answer = self._answer(head, body)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, WireError):
            pass
        finally:
            self.open_connections -= 1
            del self._connections[task]
            writer.close()

    def _answer(self, head: Head, body: bytes) -> bytes | None:
        _, tenant, _, _, name, *rest = head.target.split("?")[0].split("/")
        known = self.controllers.get(unquote(name))
        if (
            known is None
            or tenant != "default"
            or head.header("Authorization") != known.credentials
        ):
            return response(401)
        known.agents.add(head.header("User-Agent") or "")
        base = f"{self.url}/default/controller/v1/{name}"
        match [head.method, *rest]:
            case ["GET"]:
                known.polls += 1
                return self._json(self._poll(known, base))
            case ["PUT", "configData"]:
                known.attributes = json.loads(body)["data"]
            case ["GET", "deploymentBase", number] if int(number) == known.action_id:
                return self._json(self._deployment(known, base))
            case ["GET", "cancelAction", number] if self.cancelling:
                return self._json({"id": number, "cancelAction": {"stopId": number}})
            case ["POST", resource, _, "feedback"]:
                return self._feedback(known, resource, json.loads(body)["status"])
            case ["GET" | "HEAD", "softwaremodules", *_]:
                return self._file(head)
            case _:
                return response(404)
        return response(200)

    def _feedback(self, known: Controller, resource: str, status: dict[str, Any]) -> bytes | None:
        if known.closed or known.cancelled:
            return response(410)
        if status["execution"] == "closed":
            if resource == "cancelAction":
                known.cancelled = True
            else:
                known.closed = status["result"]["finished"]
                known.closings += 1
            if self.unanswered > 0:
                self.unanswered -= 1
                return None
        return response(200)

    def _poll(self, known: Controller, base: str) -> dict[str, Any]:
        links: dict[str, Any] = {}
        if not (known.closed or known.cancelled):
            kind = "cancelAction" if self.cancelling else "deploymentBase"
            query = "" if self.cancelling else "?c=1f3a9c"
            links[kind] = {"href": f"{base}/{kind}/{known.action_id}{query}"}
        if not known.attributes:
            links["configData"] = {"href": f"{base}/configData"}
        return {"config": {"polling": {"sleep": self.sleep}}, "_links": links}

    def _deployment(self, known: Controller, base: str) -> dict[str, Any]:
        href = {"href": f"{base}/softwaremodules/77/artifacts/x%201.swu"}
        artifact = {
            "filename": "x 1.swu",
            "size": len(self.file),
            "hashes": {
                "sha1": hashlib.sha1(self.file, usedforsecurity=False).hexdigest(),
                "md5": hashlib.md5(self.file, usedforsecurity=False).hexdigest(),
                "sha256": hashlib.sha256(self.file).hexdigest(),
            },
            "_links": {"download": href, "download-http": href},
        }
        chunk = {"part": "os", "name": "FOTA", "version": "02", "artifacts": [artifact]}
        return {
            "id": str(known.action_id),
            "deployment": {"download": "forced", "update": "forced", "chunks": [chunk]},
        }

    def _file(self, head: Head) -> bytes:
        assert head.target.endswith("/artifacts/x%201.swu"), "the link is used as it is"
        size = len(self.file)
        wanted = head.header("Range")
        if wanted is None:
            return response(200, self.file, head_only=head.method == "HEAD")
        first = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.ranges.append(first)
        if first >= size:
            return response(416, headers={"Content-Range": f"bytes */{size}"})
        return response(
            206,
            self.file[first:],
            headers={"Content-Range": f"bytes {first}-{size - 1}/{size}"},
        )

    @staticmethod
    def _json(value: dict[str, Any]) -> bytes:
        return response(
            200, json.dumps(value).encode(), headers={"Content-Type": "application/hal+json"}
        )
