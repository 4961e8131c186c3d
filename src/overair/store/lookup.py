"""Devices looked up for their requests: on PostgreSQL one statement for all that ask together.

PostgreSQL is a network and a thread away, so what is asked for in one turn of the event loop goes in
one statement, and what is asked for while that is under way goes in the next: the busier the server,
the more devices share one. A device that asks alone waits for nobody.

On SQLite a look-up is a point read in the caller's thread. Reading many at once was tried there as
well: it takes less time, and yet the slowest polls wait longer (``docs/performance.md``).

Not in here: who may ask (``devices/gate.py``), and changes: those read their device again, locked.
"""

import asyncio
from typing import Final

from overair.core.ids import AccountId
from overair.store import polls
from overair.store.database import Database
from overair.store.polls import Device

Key = tuple[AccountId, str]
Asked = tuple[Key, "asyncio.Future[Device | None]"]

UNDER_WAY: Final = 2  # statements at once: one is read while the answers to the other are given
MOST_KEYS: Final = 1000  # in one statement


class DeviceLookup:
    """Finds devices by account and controller id."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: list[Asked] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._called = False

    async def find(self, account_id: AccountId, controller_id: str) -> Device | None:
        """The account's device that calls itself so. Raises StoreError."""
        if self._db.dialect == "sqlite":
            return await self._db.read(polls.find_device, account_id, controller_id)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Device | None] = loop.create_future()
        self._waiting.append(((account_id, controller_id), future))
        if not self._called and len(self._tasks) < UNDER_WAY:
            self._called = True
            loop.call_soon(self._send)
        return await future

    def _send(self) -> None:
        self._called = False
        while self._waiting and len(self._tasks) < UNDER_WAY:
            batch, self._waiting = self._waiting[:MOST_KEYS], self._waiting[MOST_KEYS:]
            task = asyncio.ensure_future(self._fetch(batch))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._send()

    async def _fetch(self, batch: list[Asked]) -> None:
        try:
            found = await self._db.read(polls.find_devices, [key for key, _ in batch])
        except Exception as error:  # noqa: BLE001 - it is for those who asked
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for key, future in batch:
            if not future.done():  # whoever asked may have gone away
                future.set_result(found.get(key))
