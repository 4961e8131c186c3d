"""Troubles that befall servers at work, each on real processes, and each over when it returns.

- ``kill``     ``kill -9``, now and then before the first answer; it is started again
- ``freeze``   ``SIGSTOP`` for longer than any lease, as a virtual machine is frozen, then on it goes
- ``fill``     no file may grow: writes fail as they do on a full disk (SQLite)
- ``crowd``    a file takes all the room that there is where the database is (PostgreSQL on a small disk)
- ``step``     the clock is put forward or back
- ``restart``  the database server goes away, at once or in order, and comes back (PostgreSQL)

The full disk is a limit on the size of files (``prlimit``), which needs no privileges: a write beyond it
fails as one on a full disk does, with another number. PostgreSQL does not survive that of its log, so its
databases are on a disk of their own. The clock is the one door to the time of day
(``overair/clock.py``), which the servers here are started with another reading of; the program itself has no
setting for it.
"""

import asyncio
import contextlib
import random
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.installation import Installation, Process
from tests.postgres import Server
from tests.waiting import until

LIFE_S: Final = (0.05, 1.5)  # of a server, from its first answer to the next trouble
UNREADY: Final = 0.15  # of the kills come before the first answer
HEARD_S: Final = 20.0
OFFSETS_S: Final = (5400, -1800, 86_400, 0)  # from the wall's time
NO_ROOM: Final = 4096  # bytes, up to which every file may be written
FULL_S: Final = 1.0
CROWDED_S: Final = 3.0  # what is free within the database's own files is used up first

# The time of day with what a file says added to it.
PROGRAM: Final = """
import sys
from datetime import timedelta
from pathlib import Path
from overair.clock import SystemClock
told, right = Path(sys.argv.pop(1)), SystemClock.now
SystemClock.now = lambda clock: right(clock) + timedelta(seconds=int(told.read_text() or 0))
from overair.cli import main
main()
"""


@dataclass(slots=True)
class Stage:
    """Where troubles happen: an installation, and its servers by port."""

    place: Installation
    dice: random.Random
    offset: Path
    postgres: Server | None
    frozen_s: float
    servers: dict[int, Process] = field(default_factory=dict)
    errors: Callable[[], int] = lambda: 0  # requests of devices that failed so far
    stepped: bool = False

    def start(self, port: int) -> Process:
        """Start a server, which need not be ready yet."""
        self.servers[port] = self.place.serve(port)
        return self.servers[port]

    async def ready(self) -> None:
        """Wait until every server answers."""
        for server in self.servers.values():
            await asyncio.to_thread(server.wait_ready)

    def set_clock(self, offset_s: int) -> None:
        """Put the clock of all servers forward or back."""
        fresh = self.offset.with_suffix(".new")
        fresh.write_text(str(offset_s))
        fresh.replace(self.offset)  # a reader sees the one or the other


def program(offset: Path) -> tuple[str, ...]:
    """What starts a server whose clock can be put forward and back."""
    offset.write_text("0")
    return (sys.executable, "-c", PROGRAM, str(offset))


Trouble = Callable[[Stage], Awaitable[str]]


async def kill(stage: Stage) -> str:
    port = stage.dice.choice(sorted(stage.servers))
    if stage.dice.random() < UNREADY:
        moment = stage.dice.uniform(0.0, 1.0)
    else:
        await stage.ready()
        moment = stage.dice.uniform(*LIFE_S)
    await asyncio.sleep(moment)
    stage.servers[port].kill()
    stage.start(port)
    return f"killed after {moment:.3f} s"


async def freeze(stage: Stage) -> str:
    await stage.ready()
    await asyncio.sleep(stage.dice.uniform(*LIFE_S))
    server = stage.servers[stage.dice.choice(sorted(stage.servers))]
    server.popen.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(stage.frozen_s)
    finally:
        server.popen.send_signal(signal.SIGCONT)
    await stage.ready()
    return f"stood still for {stage.frozen_s:g} s"


async def fill(stage: Stage) -> str:
    await stage.ready()
    before = stage.errors()
    kept = {}
    for server in stage.servers.values():
        pid = server.popen.pid
        kept[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (NO_ROOM, kept[pid][1]))
    await asyncio.sleep(FULL_S)
    for pid, limits in kept.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    for server in stage.servers.values():
        assert server.popen.poll() is None, (
            f"a full disk ended it: {server.log.read_text()[-2000:]}"
        )
    await stage.ready()
    return f"the disk was full for {FULL_S:g} s, {stage.errors() - before} requests failed"


async def crowd(stage: Stage) -> str:
    assert stage.postgres is not None
    assert stage.postgres.disk is not None
    await stage.ready()
    await asyncio.sleep(stage.dice.uniform(*LIFE_S))
    before = stage.errors()
    ballast = stage.postgres.disk / "ballast"
    taken = _take_all(ballast)
    await asyncio.sleep(CROWDED_S)
    ballast.unlink()
    for server in stage.servers.values():
        assert server.popen.poll() is None, (
            f"a full disk ended it: {server.log.read_text()[-2000:]}"
        )
    await stage.ready()
    failed = stage.errors() - before
    return f"{taken >> 20} MiB more were taken for {CROWDED_S:g} s, {failed} requests failed"


def _take_all(ballast: Path) -> int:
    """Write until there is no room, to the last page."""
    with ballast.open("wb", buffering=0) as file:
        for piece in (bytes(1 << 20), bytes(4096)):
            with contextlib.suppress(OSError):
                while file.write(piece) == len(piece):
                    pass
    return ballast.stat().st_size


async def step(stage: Stage) -> str:
    present = int(stage.offset.read_text())
    offset = stage.dice.choice([other for other in OFFSETS_S if other != present])
    stage.set_clock(offset)
    stage.stepped = True
    await stage.ready()
    await asyncio.sleep(stage.dice.uniform(*LIFE_S))
    return f"the clock is {offset / 60:+g} minutes off"


async def restart(stage: Stage) -> str:
    assert stage.postgres is not None
    assert stage.postgres.restart is not None
    await stage.ready()
    await asyncio.sleep(stage.dice.uniform(*LIFE_S))
    how = stage.dice.choice([signal.SIGINT, signal.SIGQUIT])
    # Not in a thread: the database server ends with the thread that has started it.
    stage.postgres.restart(how)
    for server in stage.servers.values():
        assert server.popen.poll() is None, f"it did not wait: {server.log.read_text()[-2000:]}"
    await until(lambda: asyncio.to_thread(_all_ready, stage), "servers to be ready", HEARD_S)
    return f"the database was stopped with {signal.Signals(how).name}"


def _all_ready(stage: Stage) -> bool:
    return all(server.is_ready() for server in stage.servers.values())


def rounds_of(stage: Stage, kills: int, others: int) -> list[Trouble]:
    """So many kills, and each other trouble that there is so often, in an order of the dice."""
    if stage.postgres is None:
        kinds: list[Trouble] = [freeze, fill, step]
    elif stage.postgres.disk is not None:
        kinds = [crowd]
    elif stage.postgres.restart is None:
        kinds = [freeze, step]
    else:
        kinds = [freeze, step, restart]
    troubles: list[Trouble] = [kill] * kills + kinds * others
    stage.dice.shuffle(troubles)
    return troubles
