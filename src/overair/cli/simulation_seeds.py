"""Many seeds of the whole system, with what was done and what did not hold.

Interrupted once, it begins no further seed, and says what there was until then.
"""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, takewhile
from types import FrameType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from overair.cli.options import print_json
from overair.cli.screen import Screen
from overair.clock import SystemClock
from overair.simulation.batch import run_seeds
from overair.simulation.running import Outcome

_YEAR_S = 365.25 * 86_400
_SHOWN = 20  # seeds that failed
_INTERRUPTED = 128 + signal.SIGINT


def problems(outcome: Outcome) -> list[str]:
    """What did not hold in a seed."""
    return [*map(str, outcome.broken), *outcome.errors]


@dataclass(slots=True, kw_only=True)
class _Totals:
    """What many seeds come to."""

    seeds: int = 0
    virtual_s: float = 0.0
    device_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    failed: dict[int, list[str]] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """Another seed has been run."""
        self.seeds += 1
        self.virtual_s += outcome.virtual_s
        self.device_s += outcome.device_s
        self.faults.update(outcome.faults)
        self.acts.update(outcome.acts)
        self.done.update(
            commits=outcome.commits,
            requests=outcome.requests,
            campaigns=outcome.campaigns,
            attempts=outcome.attempts,
        )
        if found := problems(outcome):
            self.failed[outcome.seed] = found

    def as_json(self, seconds: float) -> dict[str, Any]:
        return {
            "seeds": self.seeds,
            "failed": self.failed,
            "deviceYears": self.device_s / _YEAR_S,
            "virtualSeconds": self.virtual_s,
            "seconds": seconds,
            "faults": dict(sorted(self.faults.items())),
            "acts": dict(sorted(self.acts.items())),
            **self.done,
        }

    def show(self, screen: Screen, seconds: float) -> None:
        done = self.done
        screen.print(
            f"{self.seeds} seeds in {seconds:.0f} s, {len(self.failed)} failed:"
            f" {self.device_s / _YEAR_S:.2f} device-years, {done['campaigns']} campaigns,"
            f" {done['attempts']} attempts, {done['requests']} requests, {done['commits']} commits."
        )
        screen.print(f"Faults: {_listed(self.faults)}.")
        screen.print(f"Operators: {_listed(self.acts)}.")
        for first in self.failed:
            screen.print(
                f"Look at one with `overair simulation run --seed {first} --trace`, or make it"
                " small with --shrink."
            )
            break


def _listed(counted: Counter[str]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in sorted(counted.items())) or "none"


def run_many(
    wanted: int | None, first: int, jobs: int, seconds: float | None, *, as_json: bool
) -> int:
    """Run so many seeds, or as many as can be begun in so many seconds; the exit status."""
    clock = SystemClock()
    began = clock.monotonic()
    screen = Screen()
    totals = _Totals()
    shown = screen.is_terminal and not as_json
    with _stopped_once() as interrupted, _progress(screen, shown=shown) as progress:

        def goes_on(_seed: int) -> bool:
            in_time = seconds is None or clock.monotonic() - began < seconds
            return in_time and not interrupted

        numbers = count(first) if wanted is None else iter(range(first, first + wanted))
        task = progress.add_task("seeds", total=wanted, failed=0)
        for outcome in run_seeds(takewhile(goes_on, numbers), jobs):
            totals.add(outcome)
            progress.update(task, advance=1, failed=len(totals.failed))
            if outcome.seed in totals.failed and not as_json and len(totals.failed) <= _SHOWN:
                screen.print(f"seed {outcome.seed}: {problems(outcome)[0]}", style="red")
    took_s = clock.monotonic() - began
    if as_json:
        print_json(totals.as_json(took_s))
    else:
        totals.show(screen, took_s)
    return 1 if totals.failed else _INTERRUPTED if interrupted else 0


@contextmanager
def _stopped_once() -> Iterator[list[int]]:
    """What it gives is empty until somebody interrupts; whoever does so twice does not wait."""
    interrupted: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, _frame: FrameType | None) -> None:
        interrupted.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _progress(screen: Screen, *, shown: bool) -> Progress:
    """How far it is; what is printed on the same screen meanwhile stands above it."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TimeElapsedColumn(),
        console=screen,
        transient=True,
        disable=not shown,
    )
