"""The simulated disk: one database file that several processes share, its lock, and its faults.

The file is a real one, in memory where there is such a place, and the statements are the product's own.
What is simulated is what may happen to a write:

- Whoever would wait for another process's lock waits in virtual time, without holding anybody up.
- At a write the process may die: before its commit, and nothing of it is left; or after it and before
  anybody is told, and all of it is.
- The disk may be slow: a commit takes as long as it takes. It may be full: commits fail, and are undone.

A commit is atomic, and survives. Torn pages, and disks that lie about having written, are SQLite's own
subject, and not in here.
"""

import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from overair.simulation.loop import VirtualLoop
from overair.store import witness
from overair.store.connection import BUSY_TIMEOUT_S, connect


class ProcessDiedError(BaseException):
    """The process is no more."""


class Owner(Protocol):
    """The process that a connection belongs to."""

    name: str
    alive: bool

    def may_die(self, when: str) -> None:
        """Called around each commit of something that was changed. Raises Crash."""
        ...


class Disk:
    """What all processes share: who may write, and how the disk does."""

    def __init__(self, loop: VirtualLoop, on_commit: Callable[[bool], None]) -> None:
        # Told of each commit, and whether more was written than check-ins.
        self.loop = loop
        self.on_commit = on_commit
        self.full = False
        self.commit_s = 0.0
        self.commits = 0
        self.refused = 0
        self.check_ins = 0  # the latest one's number
        self._holder: SimulatedConnection | None = None
        self._waiting: deque[tuple[float, SimulatedHand]] = deque()

    def is_free_for(self, connection: "SimulatedConnection | None") -> bool:
        return self._holder is None or self._holder is connection

    def take(self, connection: "SimulatedConnection") -> None:
        self._holder = connection

    def release(self, connection: "SimulatedConnection") -> None:
        if self._holder is not connection:
            return
        self._holder = None
        if self._waiting:
            _, hand = self._waiting.popleft()
            self.loop.call_soon(hand.go_on, context=hand.context)

    def wait(self, hand: "SimulatedHand") -> None:
        """Have ``hand`` go on when the lock is free, or when it has waited for long enough."""
        self._waiting.append((self.loop.time(), hand))
        self.loop.call_later(BUSY_TIMEOUT_S, self._give_up, hand, context=hand.context)

    def _give_up(self, hand: "SimulatedHand") -> None:
        for place, (_, waiting) in enumerate(self._waiting):
            if waiting is hand:
                del self._waiting[place]
                hand.go_on()
                return


class SimulatedConnection(sqlite3.Connection):
    """A connection of one process to the shared file."""

    disk: Disk
    owner: Owner
    writes = False
    _before = 0

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if sql == "commit":
            return self._commit()
        if sql.startswith("pragma busy_timeout"):
            return self.cursor()  # it is waited in virtual time, before
        if sql == "begin immediate":
            if not self.disk.is_free_for(self):
                raise sqlite3.OperationalError("database is locked")
            cursor = super().execute(sql)
            self.disk.take(self)
            self._before = self.total_changes
            return cursor
        cursor = super().execute(sql, *args)
        if sql == "rollback":
            self.disk.release(self)
        return cursor

    def _commit(self) -> sqlite3.Cursor:
        changes = self.total_changes - self._before
        check_ins = 0
        if changes:
            check_ins = super().execute(witness.LATEST_CHECK_IN).fetchone()[0]
            self.owner.may_die("before")
            if self.disk.full:
                self.disk.refused += 1
                super().execute("rollback")
                self.disk.release(self)
                raise sqlite3.OperationalError("database or disk is full")
        cursor = super().execute("commit")
        self.disk.release(self)
        if changes:
            self.disk.commits += 1
            added, self.disk.check_ins = check_ins - self.disk.check_ins, check_ins
            self.disk.on_commit(changes != 2 * added)  # a check-in is written, and the device seen
            self.owner.may_die("after")
        return cursor

    def die(self) -> None:
        """The process is gone: what was not committed never was."""
        self.close()
        self.disk.release(self)


class SimulatedHand:
    """Runs what may wait, in the process's own name: after the disk's time, once the lock is free."""

    def __init__(self, disk: Disk, process: Any) -> None:
        self._disk = disk
        self._process = process
        self._work: deque[Callable[[], None]] = deque()
        self._busy = False
        self.context = process.context

    def put(self, work: Callable[[], None]) -> None:
        self._work.append(work)
        if not self._busy:
            self._busy = True
            self._later()

    def _later(self) -> None:
        loop, seconds = self._disk.loop, self._disk.commit_s
        if seconds:
            loop.call_later(seconds, self._try, context=self.context)
        else:
            loop.call_soon(self._try, context=self.context)

    def _try(self) -> None:
        if self._disk.is_free_for(self._process.writer):
            self.go_on()
        else:
            self._disk.wait(self)

    def go_on(self) -> None:
        """Do what is next, whether the lock could be had or not."""
        work = self._work.popleft()
        try:
            work()
        finally:
            self._busy = bool(self._work)
            if self._busy:
                self._later()

    async def close(self) -> None:
        """There is nothing to wait for: who closes has seen to the end of his work."""


def connector(disk: Disk, process: Any) -> Any:
    """How ``process`` opens the database (``store.connection.Connect``)."""

    def open_(path: str, *, read_only: bool = False, timeout_s: float = 0.0) -> sqlite3.Connection:
        connection = connect(path, read_only=read_only, timeout_s=0.0, factory=SimulatedConnection)
        assert isinstance(connection, SimulatedConnection)
        connection.disk = disk
        connection.owner = process
        # The crash model is that of the disk above; what the system does with pages is not ours.
        sqlite3.Connection.execute(connection, "pragma synchronous = off")
        if not read_only:
            process.writer = connection
        process.connections.append(connection)
        return connection

    return open_
