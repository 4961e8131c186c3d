"""Devices over HTTP: idle polls, whole updates, polls on fresh connections; ours and goosebit's in turns.

The servers take turns, because the speed of a machine wanders and only figures taken side by side make a ratio. Before
each turn both must have come to rest, so that neither pays for what the other still has to write. Of several
rounds the median counts; of ratios the median of those of each round.
"""

import contextlib
import hashlib
import statistics
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from bench import goosebit, overair
from bench.findings import Findings, Row, run
from bench.options import PILOT, Options
from bench.process import Server
from bench.wire import Order

SMALL_FLEET = 1_000
SAMPLED = 50
NOWHERE = "990013000000000/no/such/resource"  # below a device: read as its requests are, then 404
CONNECTIONS = 64
ATTRIBUTES_S = 300.0  # no bar: when to give up
IMAGE_BYTES = 16 * 1024


def measure(options: Options, directory: Path, findings: Findings, console: Console) -> None:
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
            _attributes(options, fleet, ours, findings, console)
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
        _updates(options, directory, fleet, ours, other, findings, console)
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


def _attributes(
    options: Options, fleet: Path, ours: Server, findings: Findings, console: Console
) -> None:
    """Let each device tell what it is, once, as it is asked to: a poll is idle only after that.

    Goosebit's devices are registered when they are made, and it asks them for nothing.
    """
    console.print(f"attributes of {options.devices:,} devices …")
    order = _order(options, "attributes", ours, fleet, overair.TENANT)
    order.first, order.seconds = 0, ATTRIBUTES_S
    sample = run(order, ours, findings, "attributes")
    if sample.result.done != options.devices:
        findings.errors.append(f"attributes: of {sample.result.done:,} devices only")


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


def _updates(
    options: Options,
    directory: Path,
    fleet: Path,
    ours: Server | None,
    other: Server | None,
    findings: Findings,
    console: Console,
) -> None:
    with fleet.open() as lines:
        devices = [line[:15] for line in lines]
    api = None
    if ours is not None:
        api = overair.Api(ours.port)
        polled = devices[options.reserved :: options.devices // SAMPLED]
        findings.facts["history"] = [sum(api.check_ins(d) > 0 for d in polled), len(polled)]
        _campaign(options, api, ours, fleet, devices[:PILOT], 0, findings, "pilot")
    each = options.updates // options.rounds
    for turn in range(options.rounds):
        console.print(f"whole updates, round {turn + 1} of {options.rounds} …")
        first = PILOT + turn * each
        if ours is not None and api is not None:
            chosen = devices[first : first + each]
            _campaign(options, api, ours, fleet, chosen, first, findings, "updates")
        if other is not None:
            order = _order(options, "updates", other, fleet, goosebit.TENANT)
            order.first, order.count = first, each
            run(order, other, findings, "goosebit updates", ours)
    if other is not None:
        counted, finished = goosebit.counted(directory / "goosebit")
        findings.facts["goosebit_updates"] = {
            "load generator": _done(findings, "goosebit updates"),
            "its rollout counted": counted,
            "its devices finished": finished,
        }
    if ours is not None and (complaint := overair.verify(directory / "overair")):
        findings.errors.append(complaint)


def _campaign(
    options: Options,
    api: overair.Api,
    server: Server,
    fleet: Path,
    chosen: list[str],
    first: int,
    findings: Findings,
    name: str,
) -> None:
    """Update devices in a campaign of ours, and compare with its report."""
    campaign = api.start_campaign(chosen)
    order = _order(options, "updates", server, fleet, overair.TENANT)
    order.first, order.count, order.seconds = first, len(chosen), 60.0
    sample = run(order, server, findings, name)
    outcome = api.outcome(campaign)
    counts = Counter(findings.facts.get(f"{name}_report", {})) + outcome
    findings.facts[f"{name}_report"] = dict(counts)
    if outcome["UpgradeSuccess"] != sample.result.done:
        findings.errors.append(
            f"{name}: {sample.result.done} devices were updated, the report says {dict(outcome)}"
        )


def _done(findings: Findings, name: str) -> int:
    return sum(sample.result.done for sample in findings.samples.get(name, []))


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


def rows(options: Options, findings: Findings) -> Iterator[Row]:
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
        done = _done(findings, "updates")
        exact = report == {"UpgradeSuccess": done} and not findings.facts.get("verify")
        yield Row(
            what="  updated / report says / verify",
            value=f"{done:,} / {report.get('UpgradeSuccess', 0):,} / {findings.facts.get('verify') or 'clean'}",
            bar="exact",
            met=exact,
        )
    if their_whole is not None:
        facts = findings.facts.get("goosebit_updates", {})
        yield Row(
            what="goosebit, whole updates",
            value=f"{their_whole.rate:,.0f}/s, {their_whole.cpu_us:,.0f} µs; {facts.get('load generator')} done, counted {facts.get('its rollout counted')}",
        )
    if whole is not None and their_whole is not None:
        factor = _ratio(findings, "updates", "goosebit updates")
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
    attributes = findings.median("attributes")
    if attributes is not None:
        yield Row(
            what=f"attributes of {attributes.result.done:,} devices (configData), one each",
            value=f"{attributes.rate:,.0f}/s, p99 {attributes.result.p99_ms:.0f} ms, {attributes.cost}",
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
