"""``overair simulation run``: seeds of the whole system; one of them line by line, or made small."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count, takewhile
from pprint import pformat
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from overair.cli import CommandError
from overair.cli.options import print_json
from overair.cli.screen import Screen
from overair.clock import SystemClock
from overair.simulation.batch import Ground, run_seeds
from overair.simulation.generate import generate
from overair.simulation.running import Outcome, memory
from overair.simulation.scenario import Scenario
from overair.simulation.shrink import shrink

_YEAR_S = 365.25 * 86_400
_SHOWN = 20


def run(
    *,
    seeds: Annotated[
        int | None, Parameter(help="Run so many seeds.", validator=Number(gte=1))
    ] = None,
    first: Annotated[int, Parameter(name="--from", help="The first of them.")] = 1,
    jobs: Annotated[
        int | None, Parameter(help="Processes; default one for each core.", validator=Number(gte=1))
    ] = None,
    seconds: Annotated[
        float | None, Parameter(help="Begin no further seed after so many seconds.")
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
        return _one(seed, trace=trace, smaller=smaller, as_json=as_json)
    if trace or smaller:
        raise CommandError("--trace and --shrink are for one seed: say which with --seed N")
    wanted = seeds if seeds is not None else None if seconds is not None else 100
    return _many(wanted, first, jobs or os.cpu_count() or 1, seconds, as_json=as_json)


def _many(
    wanted: int | None, first: int, jobs: int, seconds: float | None, *, as_json: bool
) -> int:
    clock = SystemClock()
    began = clock.monotonic()
    screen = Screen()

    def chosen() -> Iterator[int]:
        numbers = count(first) if wanted is None else iter(range(first, first + wanted))
        return takewhile(lambda _: seconds is None or clock.monotonic() - began < seconds, numbers)

    ran = 0
    virtual_s = device_s = 0.0
    faults: Counter[str] = Counter()
    acts: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    failed: list[Outcome] = []
    for outcome in run_seeds(chosen(), jobs):
        ran += 1
        virtual_s += outcome.virtual_s
        device_s += outcome.device_s
        faults.update(outcome.faults)
        acts.update(outcome.acts)
        totals.update(
            commits=outcome.commits,
            requests=outcome.requests,
            campaigns=outcome.campaigns,
            attempts=outcome.attempts,
        )
        if outcome.broken or outcome.errors:
            failed.append(outcome)
            if not as_json and len(failed) <= _SHOWN:
                screen.print(f"seed {outcome.seed}: {_problems(outcome)[0]}", style="red")
    took_s = clock.monotonic() - began
    if as_json:
        print_json(
            {
                "seeds": ran,
                "failed": {o.seed: _problems(o) for o in failed},
                "deviceYears": device_s / _YEAR_S,
                "virtualSeconds": virtual_s,
                "seconds": took_s,
                "faults": dict(sorted(faults.items())),
                "acts": dict(sorted(acts.items())),
                **totals,
            }
        )
        return 1 if failed else 0
    screen.print(
        f"{ran} seeds in {took_s:.0f} s, {len(failed)} failed: {device_s / _YEAR_S:.2f} device-years,"
        f" {totals['campaigns']} campaigns, {totals['attempts']} attempts,"
        f" {totals['requests']} requests, {totals['commits']} commits."
    )
    screen.print(f"Faults: {_listed(faults)}.")
    screen.print(f"Operators: {_listed(acts)}.")
    if failed:
        screen.print(
            f"Look at one with `overair simulation run --seed {failed[0].seed} --trace`, or make it"
            " small with --shrink."
        )
    return 1 if failed else 0


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in sorted(counted.items())) or "none"


def _problems(outcome: Outcome) -> list[str]:
    return [*map(str, outcome.broken), *outcome.errors]


def _one(seed: int, *, trace: bool, smaller: bool, as_json: bool) -> int:
    screen = Screen()
    with memory() as directory:
        ground = Ground(directory)
        scenario = generate(seed)
        outcome = ground.run(scenario, trace=trace and not smaller)
        if smaller and outcome.broken:
            scenario = _smaller(ground, scenario, outcome)
            outcome = ground.run(scenario, trace=trace)
    if as_json:
        print_json(_as_json(scenario, outcome))
        return 1 if outcome.broken else 0
    for line in outcome.lines:
        print(line)
    if smaller:
        screen.print(pformat(asdict(scenario), width=110, sort_dicts=False))
    screen.print(
        f"seed {seed}: {outcome.virtual_s / 86_400:.1f} days, {outcome.attempts} attempts,"
        f" digest {outcome.digest[:16]}"
    )
    for problem in _problems(outcome):
        screen.print(problem, style="red")
    if not _problems(outcome):
        screen.print("Everything holds.", style="green")
    return 1 if _problems(outcome) else 0


def _smaller(ground: Ground, scenario: Scenario, outcome: Outcome) -> Scenario:
    names = {broken.name for broken in outcome.broken}

    def fails(candidate: Scenario) -> bool:
        return bool(names & {broken.name for broken in ground.run(candidate).broken})

    return shrink(scenario, fails)


def _as_json(scenario: Scenario, outcome: Outcome) -> dict[str, Any]:
    return {
        "seed": outcome.seed,
        "digest": outcome.digest,
        "problems": _problems(outcome),
        "scenario": asdict(scenario),
        "faults": dict(sorted(outcome.faults.items())),
        "acts": dict(sorted(outcome.acts.items())),
        "lines": list(outcome.lines),
    }
