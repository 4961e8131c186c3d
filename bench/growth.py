"""What must not grow: waking devices as the queue gets longer, and planning slots for very many.

Both run in this process, without a server: `queue` on SQLite on disk, `slots` in memory only.
"""

from collections.abc import Iterator
from pathlib import Path

from bench import queue, slots
from bench.findings import Findings, Row

PLAN_S, REPLAN_S = 10.0, 1.0  # of a million devices, and of those of them that changed
GROWN = 2.0  # a thousand times as many devices may cost so much more each


def measure(directory: Path, devices: int, findings: Findings) -> None:
    """Fill queues up to this size, and plan as many devices."""
    directory.mkdir()
    sizes = tuple(size for size in (1_000, 100_000, 1_000_000) if size <= devices)
    findings.facts["queue"] = queue.measure(directory, sizes)
    plan(devices, findings)


def plan(devices: int, findings: Findings) -> None:
    """Plan slots for so many devices, once in a run."""
    if "slots" not in findings.facts:
        findings.facts["slots"] = slots.measure(devices, max(1, devices // 20))


def rows(findings: Findings) -> Iterator[Row]:
    """Say what was measured."""
    waking: list[queue.Waking] = findings.facts.get("queue", [])
    for one in waking:
        yield Row(
            what=f"waking a device of {one.devices:,} queued: attach + attempt",
            value=f"{one.attach_us:.0f} + {one.wake_us:.0f} µs; {one.cpu_us:.0f} µs of CPU",
        )
    if len(waking) > 1:
        few, many = waking[0], waking[-1]
        factor = many.cpu_us / few.cpu_us
        waited = (many.attach_us + many.wake_us) / (few.attach_us + few.wake_us)
        yield Row(
            what=f"  {many.devices:,} to {few.devices:,}",
            value=f"by CPU {factor:.2f}; by time {waited:.2f}",
            bar=f"≤ {GROWN:.0f}",
            met=factor <= GROWN,
        )
    planned: slots.Planning | None = findings.facts.get("slots")
    if planned is not None:
        yield Row(
            what=f"planning {planned.devices:,} devices in {planned.cells:,} cells",
            value=f"{planned.plan_s:.1f} s, {planned.plan_cpu_s:.1f} s of CPU",
            bar=f"< {PLAN_S:.0f} s",
            met=planned.plan_s < PLAN_S,
        )
        yield Row(
            what=f"  {planned.changed:,} anew; one by itself",
            value=f"{planned.replan_s:.2f} s; {planned.single_us:.0f} µs,"
            f" worst {planned.single_worst_us:,.0f}",
            bar=f"< {REPLAN_S:.0f} s",
            met=planned.replan_s < REPLAN_S,
        )
