"""``overair simulation run``: seeds of the whole system; one of them line by line, or made small.

Many of them: ``simulation_seeds.py``.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from pprint import pformat
from types import FrameType
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from overair.cli import CommandError
from overair.cli.options import print_json
from overair.cli.screen import Screen
from overair.cli.simulation_seeds import problems, run_many
from overair.simulation.batch import Ground
from overair.simulation.generate import generate
from overair.simulation.running import Outcome, memory
from overair.simulation.scenario import Scenario
from overair.simulation.shrink import shrink

DEFAULT_SEEDS = 100


def run(
    *,
    seeds: Annotated[
        int | None, Parameter(help="Run so many seeds.", validator=Number(gte=1))
    ] = None,
    first: Annotated[
        int | None, Parameter(name="--from", help="The first of them. [default: 1]")
    ] = None,
    jobs: Annotated[
        int | None, Parameter(help="Processes; default one for each core.", validator=Number(gte=1))
    ] = None,
    seconds: Annotated[
        float | None,
        Parameter(help="Begin no further seed after so many seconds.", validator=Number(gt=0)),
    ] = None,
    seed: Annotated[int | None, Parameter(help="Run this one only.")] = None,
    trace: Annotated[
        bool, Parameter(negative="", help="Print what happens, line by line.")
    ] = False,
    smaller: Annotated[
        bool, Parameter(name="--shrink", negative="", help="Make a seed that fails small.")
    ] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Answer in JSON.")] = False,
) -> int:
    """Run the whole system in virtual time, and check what must always hold.

    With --seeds, many; a line for each that fails. With --seed, one: --trace prints its transcript, and
    --shrink looks for the smallest scenario that fails in the same way.
    """
    if seed is not None:
        if (seeds, first, jobs, seconds) != (None, None, None, None):
            raise CommandError(
                "--seed N is one seed: leave --seeds, --from, --jobs and --seconds out"
            )
        return _one(seed, trace=trace, smaller=smaller, as_json=as_json)
    if trace or smaller:
        raise CommandError("--trace and --shrink are for one seed: say which with --seed N")
    wanted = DEFAULT_SEEDS if seeds is None and seconds is None else seeds
    begin = 1 if first is None else first
    return run_many(wanted, begin, jobs or os.cpu_count() or 1, seconds, as_json=as_json)


@contextmanager
def _left_at_once(directory: Path) -> Iterator[None]:
    """Whoever interrupts this wants it gone: a run that is taken apart half way has much to say."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        shutil.rmtree(directory, ignore_errors=True)
        os._exit(128 + signal.SIGINT)

    before = signal.signal(signal.SIGINT, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _one(seed: int, *, trace: bool, smaller: bool, as_json: bool) -> int:
    screen = Screen()
    with memory() as directory, _left_at_once(directory):
        ground = Ground(directory)
        scenario = generate(seed)
        outcome = ground.run(scenario, trace=trace)
        small = smaller and bool(outcome.broken)
        if small:
            scenario = _smaller(ground, scenario, outcome)
            outcome = ground.run(scenario, trace=trace)
    if as_json:
        print_json(_as_json(scenario, outcome))
        return 1 if outcome.broken else 0
    for line in outcome.lines:
        print(line)
    if small:
        screen.print(pformat(asdict(scenario), width=110, sort_dicts=False))
    screen.print(
        f"seed {seed}: {outcome.virtual_s / 86_400:.1f} days, {outcome.attempts} attempts,"
        f" digest {outcome.digest[:16]}"
    )
    for problem in problems(outcome):
        screen.print(problem, style="red")
    if not problems(outcome):
        shrunk = " There is nothing to make smaller." if smaller else ""
        screen.print(f"Everything holds.{shrunk}", style="green")
    return 1 if problems(outcome) else 0


def _smaller(ground: Ground, scenario: Scenario, outcome: Outcome) -> Scenario:
    names = {broken.name for broken in outcome.broken}

    def fails(candidate: Scenario) -> bool:
        return bool(names & {broken.name for broken in ground.run(candidate).broken})

    return shrink(scenario, fails)


def _as_json(scenario: Scenario, outcome: Outcome) -> dict[str, Any]:
    return {
        "seed": outcome.seed,
        "digest": outcome.digest,
        "turns": outcome.turns,
        "commits": outcome.commits,
        "requests": outcome.requests,
        "problems": problems(outcome),
        "scenario": asdict(scenario),
        "faults": dict(sorted(outcome.faults.items())),
        "acts": dict(sorted(outcome.acts.items())),
        "lines": list(outcome.lines),
    }
