"""What a run found, and how one measurement of it is taken."""

import subprocess
import sys
from typing import Any

import msgspec

from bench import goosebit, overair
from bench.process import Server, settle
from bench.wire import Order, Result

LOAD_EXTRA_S = 120.0


class Sample(msgspec.Struct, kw_only=True):
    """A result and what it cost the server."""

    result: Result
    cpu_us: float
    bystander_s: float = 0.0  # CPU that the other server took meanwhile

    @property
    def rate(self) -> float:
        """Return its requests (or updates, or sessions) a second."""
        return self.result.rate

    @property
    def cost(self) -> str:
        """Return the CPU that one took, of the server and of the load generator beside it."""
        return f"{self.cpu_us:,.0f} µs (the load {self.result.own_cpu_us:,.0f})"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table."""

    what: str
    value: str
    bar: str = ""
    met: bool | None = None


class Findings(msgspec.Struct, kw_only=True):
    """Everything measured."""

    machine: dict[str, Any]
    samples: dict[str, list[Sample]] = msgspec.field(default_factory=dict)
    facts: dict[str, Any] = msgspec.field(default_factory=dict)
    errors: list[str] = msgspec.field(default_factory=list)
    rows: list[Row] = msgspec.field(default_factory=list)

    def median(self, name: str) -> Sample | None:
        """Return the sample with the median rate."""
        samples = sorted(self.samples.get(name, []), key=lambda sample: sample.rate)
        return samples[len(samples) // 2] if samples else None


def run(
    order: Order,
    server: Server,
    findings: Findings,
    name: str,
    bystander: Server | None = None,
    *,
    load: str = "bench.load",
) -> Sample:
    """Have an order carried out in a process of its own; both servers have come to rest before."""
    for one in (server, bystander):
        if one is not None:
            settle(one)
    before = server.cpu_s()
    aside = bystander.cpu_s() if bystander is not None else 0.0
    done = subprocess.run(
        [sys.executable, "-m", load],
        cwd=goosebit.ROOT,
        input=msgspec.json.encode(order),
        capture_output=True,
        timeout=order.seconds + LOAD_EXTRA_S,
    )
    spent = server.cpu_s() - before
    if bystander is not None:
        aside = bystander.cpu_s() - aside
    if done.returncode != 0:
        raise overair.RunError(f"load ({name}): {done.stderr.decode()[-800:]}")
    result = msgspec.json.decode(done.stdout, type=Result)
    sample = Sample(result=result, cpu_us=spent / max(1, result.done) * 1e6, bystander_s=aside)
    findings.samples.setdefault(name, []).append(sample)
    if result.errors:
        findings.errors.append(f"{name}: {result.errors} errors, first: {result.first_error}")
    return sample
