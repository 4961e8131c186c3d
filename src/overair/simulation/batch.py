"""Many seeds, on all cores: each in a process and a directory of its own."""

import multiprocessing
import shutil
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from overair.simulation.generate import generate
from overair.simulation.running import Outcome, memory, simulate
from overair.simulation.scenario import Scenario
from overair.simulation.template import ORDINARY, Fleet, Template, make_template

AHEAD = 4  # seeds that wait for each process


class Ground:
    """Where scenarios are run, one after the other; between ``with`` and its end."""

    def __init__(self, directory: Path, fleet: Fleet = ORDINARY) -> None:
        self._directory = directory
        self._template = make_template(directory / "template", fleet)
        self._count = 0

    def run(self, scenario: Scenario, *, trace: bool = False) -> Outcome:
        """Run a scenario."""
        self._count += 1
        place = self._directory / str(self._count)
        try:
            return simulate(scenario, self._template, place, trace=trace)
        finally:
            shutil.rmtree(place, ignore_errors=True)

    @property
    def template(self) -> Template:
        return self._template


_ground: Ground | None = None


def _prepare(directory: str) -> None:
    global _ground
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever gives out the seeds is told, and stops
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    own = Path(directory) / multiprocessing.current_process().name
    _ground = Ground(own)


def _one(seed: int) -> Outcome:
    assert _ground is not None, "each process prepares itself"
    return replace(_ground.run(generate(seed)), lines=())


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A process that is begun meanwhile is not interrupted before it can say what it thinks of that."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_seeds(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    """Run scenarios of seeds, in so many processes; outcomes come as they are done."""
    with memory() as directory:
        if jobs == 1:
            ground = Ground(directory)
            for seed in seeds:
                yield ground.run(generate(seed))
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            jobs, mp_context=context, initializer=_prepare, initargs=(str(directory),)
        ) as pool:
            waiting: set[Future[Outcome]] = set()
            for seed in seeds:
                with _uninterrupted():
                    waiting.add(pool.submit(_one, seed))
                if len(waiting) >= jobs * AHEAD:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield future.result()
            for future in waiting:
                yield future.result()
