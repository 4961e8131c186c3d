"""Sending an artifact to a device, and what was sent of it: for every kind of device.

That a device *has* a file is a fact of ours and not only its word, so what was sent is noted while it is
sent (``artifacts/serving.py`` knows what counts as sent). Not in here: who may have what.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import structlog

from overair.artifacts.errors import StorageError
from overair.artifacts.serving import serve_bytes, serve_handoff
from overair.artifacts.storage import ArtifactStorage
from overair.core.ids import DeviceId
from overair.devices.asgi import Answer, Request, Send
from overair.store.database import StoreError

log = structlog.get_logger()

SETTLE_S = 2.0  # more than writing down what was sent takes

# Writes down that bytes from one place up to another were sent.
Note = Callable[[int, int], Awaitable[None]]


class Sending:
    """The downloads of one process."""

    def __init__(self, storage: ArtifactStorage) -> None:
        self._storage = storage
        self._ending: dict[DeviceId, set[asyncio.Future[None]]] = {}
        self._under_way: set[asyncio.Task[Any]] = set()

    async def cut(self) -> None:
        """End the downloads that are under way; what was sent of them is noted."""
        for task in self._under_way:
            task.cancel()
        if self._under_way:
            await asyncio.wait(set(self._under_way), timeout=SETTLE_S)

    async def settled(self, device_id: DeviceId) -> None:
        """Wait until downloads of which the device may have the last byte are noted.

        A device reports right behind its download, on another connection: its report must not
        overtake what it is about. Only of this process, and not for ever.
        """
        ending = self._ending.get(device_id)
        if ending:
            await asyncio.wait(tuple(ending), timeout=SETTLE_S)

    async def serve(
        self,
        request: Request,
        send: Send,
        *,
        device_id: DeviceId,
        sha256: str,
        file_name: str,
        stored_at: datetime,
        note: Note | None,
    ) -> Answer | None:
        """Send the file, or the answer that says why not; without ``note``, it counts for nothing."""
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            handoff = await self._storage.hand_off(sha256)
            if handoff is not None:
                await serve_handoff(send, handoff, filename=file_name)
                return None
            return await self._stream(request, send, device_id, sha256, file_name, stored_at, note)
        except StorageError as error:
            log.error("an artifact cannot be read", sha256=sha256, error=str(error))
            return Answer(503, headers=((b"retry-after", b"30"),))
        finally:
            self._under_way.discard(task)

    async def _stream(
        self,
        request: Request,
        send: Send,
        device_id: DeviceId,
        sha256: str,
        file_name: str,
        stored_at: datetime,
        note: Note | None,
    ) -> Answer | None:
        reader = await self._storage.open(sha256)
        started = False
        noted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_last() -> None:
            self._ending.setdefault(device_id, set()).add(noted)

        async def tracked_send(message: object) -> None:
            nonlocal started
            started = True
            await send(message)  # type: ignore[arg-type]  # one message type, two names for it

        async def on_sent(start: int, end: int) -> None:
            if note is None:
                return
            # Queued before anything else is awaited: the device's next report comes behind it.
            try:
                await note(start, end)
            except StoreError as error:
                # The download goes on: the device's own report will say what came of it.
                log.error("bytes sent could not be noted", error=str(error))

        try:
            await serve_bytes(
                request.scope,
                request.receive,
                tracked_send,
                reader=reader,
                filename=file_name,
                etag=f'"{sha256}"',
                last_modified=stored_at,
                on_sent=on_sent,
                on_last=on_last,
            )
        except StorageError as error:
            if not started:
                raise
            log.error("an artifact cannot be read", sha256=sha256, error=str(error))
        finally:
            noted.set_result(None)
            ending = self._ending.get(device_id, set())
            ending.discard(noted)
            if not ending:
                self._ending.pop(device_id, None)
            await reader.close()
        return None
