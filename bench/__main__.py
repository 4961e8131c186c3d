"""`python -m bench`: one run, one table, one JSON file.

The run takes the servers in turns (constants, polls, polls of the other server, and again), because the speed of a machine
wanders and only figures taken side by side make a ratio. Before each turn both servers must have come to rest, so that
neither pays for what the other still has to write. Of several rounds the median counts. What a bar asks for
stands beside each figure; a missed bar is printed as missed and changes no exit status: only an error does.
"""

import argparse
import contextlib
import hashlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench import goosebit, growth, lwm2m, lwm2m_images, omadm, overair, simulation
from bench.findings import Findings, Row, run
from bench.process import Server, StartError
from bench.wire import Order

PILOT = 20
SMALL_FLEET = 1_000
SAMPLED = 50
NOWHERE = "990013000000000/no/such/resource"  # below a device: read as its requests are, then 404
CONNECTIONS = 64
IMAGE_BYTES = 16 * 1024


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How much to measure."""

    devices: int
    rounds: int
    seconds: float
    updates: int
    fresh: int
    fresh_seconds: float
    sessions: int
    queued: int
    images: int
    with_goosebit: bool
    with_overair: bool

    @property
    def reserved(self) -> int:
        """Return how many devices are kept for updates; idle polls come from the others."""
        return PILOT + self.updates


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller fleet and shorter rounds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--devices", type=int, default=100_000)
    parser.add_argument("--no-goosebit", action="store_true")
    parser.add_argument("--no-overair", action="store_true")
    parser.add_argument(
        "--parts", nargs="*", choices=PARTS, default=list(PARTS), help="leave the others out"
    )
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    given = parser.parse_args()
    options = Options(
        devices=20_000 if given.quick else given.devices,
        rounds=1 if given.quick else given.rounds,
        seconds=2.0 if given.quick else 5.0,
        updates=2_000 if given.quick else 10_000,
        fresh=6_000 if given.quick else 60_000,
        fresh_seconds=3.0 if given.quick else 30.0,
        sessions=2_000 if given.quick else 10_000,
        queued=100_000 if given.quick else 1_000_000,
        images=200 if given.quick else lwm2m_images.AT_ONCE,
        with_goosebit=not given.no_goosebit,
        with_overair=not given.no_overair,
    )
    console = Console()
    findings = Findings(machine=_machine())
    with tempfile.TemporaryDirectory(prefix="overair-bench-") as directory:
        try:
            for part in given.parts:
                PARTS[part](options, Path(directory), findings, console)
        except (overair.RunError, StartError, subprocess.SubprocessError) as error:
            findings.errors.append(f"{type(error).__name__}: {error}")
    findings.rows = [
        *_rows(options, findings),
        *omadm.rows(findings),
        *growth.rows(findings),
        *lwm2m.rows(findings),
        *lwm2m_images.rows(findings),
        *simulation.rows(findings),
        Row(what="load of the machine, before and after", value=_load(findings)),
    ]
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_bytes(msgspec.json.format(msgspec.json.encode(findings), indent=1))
    _print(console, options, findings, given.json)
    return 1 if findings.errors else 0


def _measure(options: Options, directory: Path, findings: Findings, console: Console) -> None:
    fleet = directory / "fleet.txt"
    with fleet.open("w") as out:
        for number in range(options.devices):
            token = hashlib.sha256(b"bench device %d" % number).hexdigest()[:32]
            out.write(f"{990013000000000 + number} {token}\n")
    image = directory / "x1-02.swu"
    image.write_bytes(hashlib.shake_256(b"bench image").digest(IMAGE_BYTES))
    with contextlib.ExitStack() as stack:
        ours = other = None
        if options.with_overair:
            if missing := overair.available():
                raise overair.RunError(missing)
            console.print(f"importing {options.devices:,} devices …")
            findings.facts["import_s"] = overair.fill(directory / "overair", fleet, image)
            ours = stack.enter_context(overair.running(directory / "overair"))
        if options.with_goosebit:
            if missing := goosebit.prepare_environment():
                findings.errors.append(f"goosebit's environment could not be made: {missing}")
            else:
                other = stack.enter_context(
                    goosebit.running(directory / "goosebit", fleet, image, options.reserved)
                )
        _polls(options, fleet, ours, other, findings, console)
        if other is not None:
            _small_fleet(options, directory, image, ours, findings, console)
        if ours is not None:
            _our_updates(options, directory, fleet, ours, findings, console)
        if other is not None:
            console.print("whole updates, goosebit …")
            order = _order(options, "updates", other, fleet, goosebit.TENANT)
            order.first, order.count, order.seconds = PILOT, options.updates, options.seconds * 2
            sample = run(order, other, findings, "goosebit updates", ours)
            counted, finished = goosebit.counted(directory / "goosebit")
            findings.facts["goosebit_updates"] = {
                "load generator": sample.result.done,
                "its rollout counted": counted,
                "its devices finished": finished,
            }
        if ours is not None and options.fresh:
            console.print(f"{options.fresh:,} polls on fresh connections …")
            order = _order(options, "fresh", ours, fleet, overair.TENANT)
            order.count, order.seconds = options.fresh, options.fresh_seconds
            run(order, ours, findings, "fresh", other)
        if ours is not None:
            findings.facts["peak_mib"] = ours.peak_mib()
            findings.facts["verify"] = overair.verify(directory / "overair")
        if other is not None:
            findings.facts["goosebit_peak_mib"] = other.peak_mib()


def _sessions(options: Options, directory: Path, findings: Findings, console: Console) -> None:
    if options.with_overair:
        console.print(f"OMA-DM sessions of {options.sessions:,} devices …")
        omadm.measure(directory / "omadm", options.sessions, findings)


def _growth(options: Options, directory: Path, findings: Findings, console: Console) -> None:
    if options.with_overair:
        console.print(f"{options.queued:,} queued devices, and as many in slots …")
        growth.measure(directory / "growth", options.queued, findings)


def _lwm2m(options: Options, directory: Path, findings: Findings, console: Console) -> None:
    if options.with_overair:
        console.print(f"{options.devices:,} LwM2M endpoints, and their updates …")
        lwm2m.measure(
            directory / "lwm2m", options.devices, options.rounds, options.seconds, findings
        )


def _images(options: Options, directory: Path, findings: Findings, console: Console) -> None:
    if options.with_overair:
        console.print(f"{options.images:,} images at once over CoAP, and as many slots as queued …")
        lwm2m_images.measure(directory / "images", options.images, findings)
        growth.plan(options.queued, findings)


def _simulation(options: Options, _: Path, findings: Findings, console: Console) -> None:
    if options.with_overair:
        console.print(f"{simulation.DEVICES:,} devices for ten days, in virtual time …")
        simulation.measure(findings)


PARTS = {
    "http": _measure,
    "omadm": _sessions,
    "growth": _growth,
    "lwm2m": _lwm2m,
    "images": _images,
    "simulation": _simulation,
}


def _polls(
    options: Options,
    fleet: Path,
    ours: Server | None,
    other: Server | None,
    findings: Findings,
    console: Console,
) -> None:
    for turn in range(options.rounds):
        console.print(f"idle polls, round {turn + 1} of {options.rounds} …")
        for server, tenant, kind, name in (
            (ours, "", "constant", "constant"),
            (ours, overair.TENANT, "constant", "device constant"),
            (ours, overair.TENANT, "polls", "polls"),
            (other, goosebit.TENANT, "polls", "goosebit polls"),
        ):
            if server is not None:
                order = _order(options, kind, server, fleet, tenant)
                order.path, order.seed = "/healthz", turn + 1
                if name == "device constant":
                    order.path, order.status = f"/{tenant}/controller/v1/{NOWHERE}", 404
                run(order, server, findings, name, ours if server is other else other)


def _small_fleet(
    options: Options,
    directory: Path,
    image: Path,
    ours: Server | None,
    findings: Findings,
    console: Console,
) -> None:
    """Poll goosebit with few devices too: it counts its whole device table at each poll."""
    console.print(f"idle polls, goosebit with {SMALL_FLEET:,} devices …")
    fleet = directory / "small.txt"
    with (directory / "fleet.txt").open() as lines, fleet.open("w") as out:
        out.writelines(line for _, line in zip(range(SMALL_FLEET), lines, strict=False))
    with goosebit.running(directory / "small", fleet, image, 0) as server:
        order = _order(options, "polls", server, fleet, goosebit.TENANT)
        order.first = 0
        run(order, server, findings, "goosebit polls, small fleet", ours)


def _our_updates(
    options: Options,
    directory: Path,
    fleet: Path,
    ours: Server,
    findings: Findings,
    console: Console,
) -> None:
    console.print("whole updates …")
    with fleet.open() as lines:
        reserved = [line[:15] for _, line in zip(range(options.reserved), lines, strict=False)]
    api = overair.Api(ours.port)
    with fleet.open() as lines:
        polled = [line[:15] for line in lines][options.reserved :: options.devices // SAMPLED]
    findings.facts["history"] = [sum(api.check_ins(d) > 0 for d in polled), len(polled)]
    for name, first, count in (("pilot", 0, PILOT), ("updates", PILOT, options.updates)):
        campaign = api.start_campaign(reserved[first : first + count])
        order = _order(options, "updates", ours, fleet, overair.TENANT)
        order.first, order.count, order.seconds = first, count, 60.0
        sample = run(order, ours, findings, name)
        outcome = api.outcome(campaign)
        findings.facts[f"{name}_report"] = dict(outcome)
        if outcome["UpgradeSuccess"] != sample.result.done:
            findings.errors.append(
                f"{name}: {sample.result.done} devices were updated, the report says {dict(outcome)}"
            )
    if complaint := overair.verify(directory / "overair"):
        findings.errors.append(complaint)


def _order(options: Options, kind: str, server: Server, fleet: Path, tenant: str) -> Order:
    return Order(
        kind=kind,
        port=server.port,
        tenant=tenant,
        devices=str(fleet),
        connections=CONNECTIONS,
        seconds=options.seconds,
        first=options.reserved,
    )


def _rows(options: Options, findings: Findings) -> Iterator[Row]:
    polls, constant = findings.median("polls"), findings.median("constant")
    theirs, whole = findings.median("goosebit polls"), findings.median("updates")
    their_whole, new = findings.median("goosebit updates"), findings.median("fresh")
    if polls is not None:
        yield Row(
            what=f"idle polls, {CONNECTIONS} connections",
            value=f"{polls.rate:,.0f}/s",
            bar="≥ 10,000/s",
            met=polls.rate >= 10_000,
        )
        result = polls.result
        yield Row(
            what="  latency p50 / p99 / worst",
            value=f"{result.p50_ms:.1f} / {result.p99_ms:.1f} / {result.worst_ms:.0f} ms",
            bar="p99 < 25 ms",
            met=result.p99_ms < 25,
        )
        yield Row(what="  CPU a poll", value=polls.cost)
    if constant is not None:
        yield Row(
            what="a constant: /healthz, nothing is read",
            value=f"{constant.rate:,.0f}/s, {constant.cpu_us:.0f} µs",
        )
    if polls is not None and constant is not None:
        factor = _ratio(findings, "constant", "polls")
        yield Row(what="  it to poll", value=f"{factor:.2f}", bar="≤ 2", met=factor <= 2)
    edge = findings.median("device constant")
    if polls is not None and edge is not None:
        yield Row(
            what="a constant through the device endpoints: headers and path read, 404",
            value=f"{edge.rate:,.0f}/s, {edge.cpu_us:.0f} µs",
        )
        factor = _ratio(findings, "device constant", "polls")
        yield Row(what="  it to poll", value=f"{factor:.2f}", bar="≤ 2", met=factor <= 2)
    if theirs is not None:
        yield Row(
            what="goosebit, idle polls",
            value=f"{theirs.rate:,.0f}/s, p99 {theirs.result.p99_ms:.0f} ms, {theirs.cpu_us:,.0f} µs",
        )
    if polls is not None and theirs is not None:
        factor = _ratio(findings, "polls", "goosebit polls")
        saved = theirs.cpu_us / polls.cpu_us
        yield Row(
            what="  ours to goosebit's",
            value=f"{factor:.1f}; by CPU {saved:.1f}",
            bar="≥ 50",
            met=factor >= 50,
        )
    small = findings.median("goosebit polls, small fleet")
    if small is not None:
        ours = ""
        if polls is not None:
            by_cpu = small.cpu_us / polls.cpu_us
            ours = f"; ours to it {polls.rate / small.rate:.1f}, by CPU {by_cpu:.1f}"
        yield Row(
            what=f"goosebit with {SMALL_FLEET:,} devices only",
            value=f"{small.rate:,.0f}/s, {small.cpu_us:,.0f} µs{ours}",
        )
    if whole is not None:
        yield Row(
            what=f"whole updates ({IMAGE_BYTES // 1024} KiB)",
            value=f"{whole.rate:,.0f}/s",
            bar="≥ 1,000/s",
            met=whole.rate >= 1_000,
        )
        yield Row(
            what="  CPU an update (5 requests)",
            value=f"{whole.cost}, p99 {whole.result.p99_ms:.0f} ms",
        )
        report = findings.facts.get("updates_report", {})
        exact = report == {"UpgradeSuccess": whole.result.done} and not findings.facts.get("verify")
        yield Row(
            what="  updated / report says / verify",
            value=f"{whole.result.done:,} / {report.get('UpgradeSuccess', 0):,} / {findings.facts.get('verify') or 'clean'}",
            bar="exact",
            met=exact,
        )
    if their_whole is not None:
        facts = findings.facts.get("goosebit_updates", {})
        yield Row(
            what="goosebit, whole updates",
            value=f"{their_whole.rate:,.0f}/s, {their_whole.cpu_us:,.0f} µs; {facts.get('load generator')} done, counted {facts.get('its rollout counted')}",
        )
    if whole is not None and their_whole is not None and their_whole.rate:
        factor = whole.rate / their_whole.rate
        saved = their_whole.cpu_us / whole.cpu_us
        yield Row(
            what="  ours to goosebit's",
            value=f"{factor:.1f}; by CPU {saved:.1f}",
            bar="≥ 50",
            met=factor >= 50,
        )
    if new is not None:
        result = new.result
        late = result.seconds <= options.fresh_seconds + 1
        yield Row(
            what=f"{options.fresh:,} polls on fresh connections",
            value=f"{result.seconds:.1f} s, {result.errors} errors",
            bar=f"{options.fresh_seconds:.0f} s, none",
            met=late and not result.errors and result.done == options.fresh,
        )
        yield Row(
            what="  latency p50 / p99 / worst",
            value=f"{result.p50_ms:.1f} / {result.p99_ms:.1f} / {result.worst_ms:.0f} ms",
            bar="worst < 1 s",
            met=result.worst_ms < 1000,
        )
        yield Row(what="  CPU a poll", value=f"{new.cpu_us:.0f} µs")
    if "history" in findings.facts:
        kept, asked = findings.facts["history"]
        yield Row(
            what="devices with a check-in on record",
            value=f"{kept} of {asked} asked",
            bar="> 0",
            met=kept > 0,
        )
    if "peak_mib" in findings.facts:
        peak = findings.facts["peak_mib"]
        yield Row(what="memory, peak", value=f"{peak:.0f} MiB", bar="< 200 MiB", met=peak < 200)
    if "import_s" in findings.facts:
        seconds = findings.facts["import_s"]
        yield Row(
            what=f"import of {options.devices:,} devices",
            value=f"{seconds:.1f} s, {options.devices / seconds:,.0f}/s",
        )


def _ratio(findings: Findings, above: str, below: str) -> float:
    """Return the median of the ratios of each round, since only the figures of one round belong together."""
    pairs = zip(findings.samples[above], findings.samples[below], strict=False)
    return statistics.median(a.rate / b.rate if b.rate else float("inf") for a, b in pairs)


def _print(console: Console, options: Options, findings: Findings, file: Path) -> None:
    table = Table(title=f"one server process, SQLite, {options.devices:,} devices")
    for column in ("what", "measured", "bar", ""):
        table.add_column(column)
    for row in findings.rows:
        mark = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[row.met]
        table.add_row(row.what, row.value, row.bar, mark)
    console.print(table)
    for error in findings.errors:
        console.print(f"[red]error[/] {error}", highlight=False)
    console.print(f"all figures: {file}")


def _load(findings: Findings) -> str:
    return f"{findings.machine['load'][0]:.1f}, {os.getloadavg()[0]:.1f}"


def _machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "kernel": platform.release(),
    }


if __name__ == "__main__":
    sys.exit(main())
