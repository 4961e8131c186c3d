"""Devices looked up for their requests: one statement for all that ask at the same moment.

On SQLite a look-up is a point read in the caller's thread and nothing can be saved. PostgreSQL is a
network and a thread away, so what is asked for in one turn of the event loop goes in one statement,
and what is asked for while that is under way goes in the next: the busier the server, the more
devices share one. A device that asks alone waits for nobody.

Not in here: who may ask (``devices/gate.py``), and changes: those read their device again, locked.
"""

import asyncio
from typing import Final

from overair.core.ids import AccountId
from overair.store import polls
from overair.store.database import Database
from overair.store.polls import Device

Key = tuple[AccountId, str]

UNDER_WAY: Final = 2  # statements at once: one is read while the answers to the other are given
MOST_KEYS: Final = 1000  # in one statement


class DeviceLookup:
    """Finds devices by account and controller id."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: dict[Key, asyncio.Future[Device | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._called = False

    async def find(self, account_id: AccountId, controller_id: str) -> Device | None:
        """The account's device that calls itself so. Raises StoreError."""
        if self._db.dialect == "sqlite":
            return await self._db.read(polls.find_device, account_id, controller_id)
        key = (account_id, controller_id)
        future = self._waiting.get(key)
        if future is None:
            loop = asyncio.get_running_loop()
            future = self._waiting[key] = loop.create_future()
            if not self._called and len(self._tasks) < UNDER_WAY:
                self._called = True
                loop.call_soon(self._send)
        # Others may wait for the same answer: one that goes away must not take it from them.
        return await asyncio.shield(future)

    def _send(self) -> None:
        self._called = False
        while self._waiting and len(self._tasks) < UNDER_WAY:
            keys = list(self._waiting)[:MOST_KEYS]
            batch = {key: self._waiting.pop(key) for key in keys}
            task = asyncio.ensure_future(self._fetch(batch))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._send()

    async def _fetch(self, batch: dict[Key, asyncio.Future[Device | None]]) -> None:
        try:
            found = await self._db.read(polls.find_devices, list(batch))
        except Exception as error:  # noqa: BLE001 - it is for those who asked
            for future in batch.values():
                future.set_exception(error)
            return
        for key, future in batch.items():
            future.set_result(found.get(key))
