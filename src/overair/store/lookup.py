"""Devices looked up for their requests: one statement for all that ask together.

What is asked for in one turn of the event loop goes in one statement: the busier the server, the more
devices share one, and a device that asks alone waits for nobody. PostgreSQL is a network and a
thread away: there, what is asked for while a statement is under way goes in the next. On SQLite a
statement runs in the caller's thread, and costs less in what it reads than in that Python's lock
changes hands around it (``docs/performance.md``).

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
MOST_KEYS: Final = 250  # in one statement: on SQLite the loop stands still for a millisecond


class DeviceLookup:
    """Finds devices by account and controller id."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._waiting: list[Asked] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._begun = False  # the last task has not yet taken what it is for

    def find(self, account_id: AccountId, controller_id: str) -> "asyncio.Future[Device | None]":
        """The account's device that calls itself so. Raises StoreError."""
        future: asyncio.Future[Device | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(((account_id, controller_id), future))
        if not self._begun:
            self._begin()
        return future

    def _begin(self) -> None:
        if self._waiting and len(self._tasks) < UNDER_WAY:
            self._begun = True
            task = asyncio.ensure_future(self._fetch())
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._begun:
            self._begin()

    async def _fetch(self) -> None:
        # A turn later than the first who asked: whoever asked in the same turn is in it.
        batch, self._waiting = self._waiting[:MOST_KEYS], self._waiting[MOST_KEYS:]
        self._begun = False
        self._begin()
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
