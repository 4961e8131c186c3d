"""A run: from a scenario to what came of it, in a directory that is empty before.

``simulate`` is a function of the scenario alone: whatever else a run could depend on (identities, the order in
which garbage is collected, what the server logs) is taken in hand here.
"""

import asyncio
import contextlib
import gc
import logging
import os
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from overair import ids
from overair.simulation.invariants import BrokenError
from overair.simulation.judge import Judge
from overair.simulation.loop import EndlessError, StuckError, VirtualLoop
from overair.simulation.scenario import Scenario
from overair.simulation.template import Template
from overair.simulation.transcript import Transcript
from overair.simulation.world import UNFORESEEN, World

IN_MEMORY: Final = "/dev/shm"  # noqa: S108 - names in it are mkdtemp's own
ENDINGS: Final = 50  # turns that a task has to end in, when all is over
SHOWN: Final = 5  # things that do not hold, of one run


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a run."""

    seed: int
    broken: tuple[BrokenError, ...]
    digest: str
    virtual_s: float
    device_s: float
    turns: int
    commits: int
    requests: int
    campaigns: int
    attempts: int
    faults: Counter[str]
    acts: Counter[str]
    lines: tuple[str, ...]
    errors: tuple[str, ...] = ()


@contextlib.contextmanager
def memory() -> Iterator[Path]:
    """A directory in memory, where there is such a place."""
    where = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="overair-simulation-", dir=where) as directory:
        yield Path(directory)


@contextlib.contextmanager
def overhearing(judge: Judge | None) -> Iterator[None]:
    """Listen to the log: what the server itself did not foresee is a finding."""
    before = structlog.get_config()

    def hear(_logger: Any, _method: str, event: Any) -> Any:
        if judge is not None and event.get("exc_info"):
            given = event["exc_info"]
            error = given if isinstance(given, BaseException) else sys.exception()
            trace = "".join(traceback.format_exception(error)).strip().splitlines()
            judge.find(UNFORESEEN, f"{event.get('event')}: {' | '.join(trace[-3:])}")
        raise structlog.DropEvent

    structlog.configure(
        processors=[hear],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def simulate(scenario: Scenario, template: Template, directory: Path, *, trace: bool) -> Outcome:
    """Run a scenario in an empty directory."""
    template.copy(directory)
    dice = scenario.dice("ids")
    shuffled = scenario.dice("order") if scenario.rules.shuffled else None
    loop = VirtualLoop(shuffled=shuffled)
    transcript = Transcript(loop, scenario.begin, keep=trace)
    collects = gc.isenabled()
    gc.disable()  # when a cycle is collected must not make a difference
    broken: list[BrokenError] = []
    try:
        with ids.drawn_from(dice.randbytes):
            asyncio.set_event_loop(loop)
            world = World(scenario, loop, directory, transcript)
            loop.set_exception_handler(world.handle)
            with overhearing(world.judge):
                try:
                    loop.run_until_complete(world.run())
                except BrokenError:
                    pass  # the judge has it, and maybe others
                except (StuckError, EndlessError) as error:
                    broken.append(BrokenError("the system lives", str(error)))
            for name, rows in world.judge.content():
                transcript.add(repr((name, rows)).encode())
            outcome = _outcome(world, transcript, (*world.judge.broken, *broken))
            with overhearing(None):
                _take_down(world)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        if collects:
            gc.enable()
    return outcome


def _outcome(world: World, transcript: Transcript, broken: tuple[BrokenError, ...]) -> Outcome:
    loop = world.loop
    return Outcome(
        seed=world.scenario.seed,
        broken=broken[:SHOWN],
        digest=transcript.digest(),
        virtual_s=loop.time(),
        device_s=loop.time() * len(world.scenario.devices),
        turns=loop.turns,
        commits=world.disk.commits,
        requests=world.network.requests,
        campaigns=len(world.ledger.campaigns),
        attempts=world.judge.attempts,
        faults=world.all_faults(),
        acts=world.all_acts(),
        lines=tuple(transcript.lines),
        errors=tuple(world.errors[:SHOWN]),
    )


def _take_down(world: World) -> None:
    """End everybody's tasks, so that nothing is left for the collector to complain about."""
    loop = world.loop
    loop.set_exception_handler(lambda *_: None)
    loop.drop_timers()
    lives = [*world.dead, *(p for p in world.processes.values() if p is not None)]
    for process in lives:
        process.ready = False
        for connection in process.connections:
            connection.die()
        process.alive = True  # its tasks may end now; there is nothing they could do
        loop.resume([*process.dropped, *(process.held or ())])
        process.held = None
    world.processes.clear()
    for _ in range(ENDINGS):
        tasks = asyncio.all_tasks(loop)
        if not tasks:
            break
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.drop_timers()
