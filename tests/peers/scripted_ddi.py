"""A DDI server of one device, scripted from the text of the specification, to prove the peers against.

It knows one deployment and what the test tells it to show (`offer`, `cancel`, `nothing`); it writes down every
request. It is not a model of the server under test and shares nothing with it.
"""

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from tests.peers.wire import HEAD_LIMIT, Head, read_body, read_head, response


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One status report: which resource it was for, and what it said."""

    resource: str
    execution: str
    finished: str
    details: list[str] = field(default_factory=list)


class ScriptedDdi:
    """Serves BASE = /{tenant}/controller/v1/{controller_id} for one device and one token."""

    def __init__(
        self, *, tenant: str, controller_id: str, token: str, artifact: bytes, filename: str
    ) -> None:
        self.base = f"/{tenant}/controller/v1/{controller_id}"
        self.show = "offer"
        self.requests: list[str] = []
        self.ranges: list[str] = []
        self.feedback: list[Feedback] = []
        self.attributes: list[dict[str, Any]] = []
        self.port = 0
        self._token = token
        self._artifact = artifact
        self._filename = filename
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """Return the server's address."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (head := await read_head(reader)) is not None:
                if head.header("Expect") is not None:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = await read_body(reader, head)
                writer.write(self._answer(head, body))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    def _answer(self, head: Head, body: bytes) -> bytes:
        self.requests.append(f"{head.method} {head.target}")
        if head.header("Authorization") != f"TargetToken {self._token}":
            return response(401)
        origin = f"http://{head.header('Host')}{self.base}"
        path = head.target.split("?")[0].removeprefix(self.base)
        match head.method, path:
            case "GET", "":
                return self._json(self._poll(origin))
            case "GET", "/deploymentBase/4711" if self.show == "offer":
                return self._json(self._deployment(origin))
            case "GET", "/cancelAction/4711" if self.show == "cancel":
                return self._json({"id": "4711", "cancelAction": {"stopId": "4711"}})
            case "PUT", "/configData":
                self.attributes.append(json.loads(body, strict=False))
                return response(200)
            case "POST", "/deploymentBase/4711/feedback" | "/cancelAction/4711/feedback":
                status = json.loads(body, strict=False)["status"]
                self.feedback.append(
                    Feedback(
                        resource=path.split("/")[1],
                        execution=status["execution"],
                        finished=status["result"]["finished"],
                        details=status.get("details") or [],
                    )
                )
                if path.startswith("/cancelAction"):
                    self.show = "nothing"
                return response(200)
            case (("GET" | "HEAD"), "/softwaremodules/77/artifacts/" | str()) if path.startswith(
                "/softwaremodules/77/"
            ):
                return self._file(head)
            case _:
                return response(404)

    def _poll(self, origin: str) -> dict[str, Any]:
        links: dict[str, Any] = {}
        if self.show == "offer":
            links["deploymentBase"] = {"href": f"{origin}/deploymentBase/4711?c=1f3a9c"}
        if self.show == "cancel":
            links["cancelAction"] = {"href": f"{origin}/cancelAction/4711"}
        return {"config": {"polling": {"sleep": "00:00:01"}}, "_links": links}

    def _deployment(self, origin: str) -> dict[str, Any]:
        href = {"href": f"{origin}/softwaremodules/77/artifacts/{self._filename}"}
        artifact = {
            "filename": self._filename,
            "size": len(self._artifact),
            "hashes": {
                "sha1": hashlib.sha1(self._artifact, usedforsecurity=False).hexdigest(),
                "md5": hashlib.md5(self._artifact, usedforsecurity=False).hexdigest(),
                "sha256": hashlib.sha256(self._artifact).hexdigest(),
            },
            "_links": {"download": href, "download-http": href},
        }
        chunk = {"part": "os", "name": "FOTA_Acme", "version": "02", "artifacts": [artifact]}
        return {
            "id": "4711",
            "deployment": {"download": "forced", "update": "forced", "chunks": [chunk]},
        }

    def _file(self, head: Head) -> bytes:
        size = len(self._artifact)
        wanted = head.header("Range")
        if wanted is None:
            return response(200, self._artifact, head_only=head.method == "HEAD")
        self.ranges.append(wanted)
        first = int(wanted.removeprefix("bytes=").split("-")[0])
        if first >= size:
            return response(416, headers={"Content-Range": f"bytes */{size}"})
        return response(
            206,
            self._artifact[first:],
            headers={"Content-Range": f"bytes {first}-{size - 1}/{size}"},
        )

    @staticmethod
    def _json(value: dict[str, Any]) -> bytes:
        return response(
            200, json.dumps(value).encode(), headers={"Content-Type": "application/hal+json"}
        )
