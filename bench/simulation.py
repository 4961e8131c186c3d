"""How fast the simulation of the whole system goes: a thousand devices, ten days, campaigns, operators, faults.

In this process, which is the only one: the real server is within it. Invariants are checked at every commit and
every six hours as a whole, as always; that is part of the time.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.findings import Findings, Row
from overair.simulation.batch import Ground
from overair.simulation.large import fleet_of, large
from overair.simulation.running import memory

DEVICES = 1_000
BAR = 1_000.0  # simulated seconds a second
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What a run came to, and what it took."""

    devices: int
    virtual_s: float
    wall_s: float
    cpu_s: float
    campaigns: int
    updates: int
    requests: int
    commits: int
    faults: dict[str, int]

    @property
    def speed(self) -> float:
        """Return simulated seconds a second."""
        return self.virtual_s / self.wall_s


def measure(findings: Findings, devices: int = DEVICES) -> None:
    """Run the scenario once. What does not hold in it is an error."""
    scenario = large(devices)
    with memory() as directory:
        ground = Ground(directory, fleet_of(scenario))
        began, worked = time.perf_counter(), time.process_time()
        outcome = ground.run(scenario)
        wall_s, cpu_s = time.perf_counter() - began, time.process_time() - worked
    findings.errors += [f"simulation: {what}" for what in (*outcome.broken, *outcome.errors)]
    findings.facts["simulation"] = Simulated(
        devices=devices,
        virtual_s=outcome.virtual_s,
        wall_s=wall_s,
        cpu_s=cpu_s,
        campaigns=outcome.campaigns,
        updates=outcome.attempts,
        requests=outcome.requests,
        commits=outcome.commits,
        faults=dict(outcome.faults),
    )


def rows(findings: Findings) -> Iterator[Row]:
    """Say what was measured."""
    run: Simulated | None = findings.facts.get("simulation")
    if run is None:
        return
    days = run.virtual_s / DAY_S
    yield Row(
        what=f"simulation of {run.devices:,} devices, {days:.1f} days in {run.wall_s:.0f} s",
        value=f"{run.speed:,.0f} s a second; {run.virtual_s / run.cpu_s:,.0f} a CPU second",
        bar=f"≥ {BAR:,.0f}",
        met=run.speed >= BAR,
    )
    failed = [error for error in findings.errors if error.startswith("simulation: ")]
    yield Row(
        what="  device-days a CPU second / what did not hold",
        value=f"{run.devices * days / run.cpu_s:,.0f} / {len(failed)}",
        bar="nothing",
        met=not failed,
    )
    yield Row(
        what="  campaigns / updates begun / requests / commits / faults",
        value=f"{run.campaigns} / {run.updates:,} / {run.requests:,} / {run.commits:,}"
        f" / {sum(run.faults.values()):,}",
    )
