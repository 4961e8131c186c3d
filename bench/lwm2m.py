"""LwM2M under measurement: a server whose endpoints are registered and observed, beside an echo and aiocoap.

    without DTLS   every device registers, is read, and its cell is observed; then updates, by chance
                   the same updates to an echo on our socket code, and to a server of aiocoap
    with DTLS      the server is started anew, with all of these registered; other devices shake hands,
                   register, and update over their sessions

The load generator keeps its devices between the steps, so the three servers are measured in turns. Alone:
`python -m bench --parts lwm2m`.
"""

import contextlib
import json
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench import goosebit, overair
from bench import lwm2m_wire as wire
from bench.findings import Findings, Row, Sample
from bench.lwm2m_load import Crowd, Outcome, Step, key_of
from bench.process import Server, settle

BAR, BAR_SECURE = 5_000, 3_000
BAR_P99_MS = 100.0
BAR_MIB = 300
SESSIONS = 2_000
AT_ONCE = 256
SHAKING = 64
NOTIFIED = 500
BARE_S = 4.0
STEP_WAIT_S = 240.0
UP_WAIT_S = 10.0
PEERS = {"lwm2m echo": "echo", "lwm2m aiocoap": "aiocoap"}


class Load:
    """A load generator that waits for its next step."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process = process
        self._log = log

    def take(self, step: Step) -> Outcome:
        """Have a step done. Raises RunError."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(msgspec.json.encode(step) + b"\n")
        stdin.flush()
        ready, _, _ = select.select([stdout], [], [], STEP_WAIT_S)
        line = stdout.readline() if ready else b""
        if not line:
            raise overair.RunError(f"load (LwM2M {step.kind}): {self._log.read_text()[-800:]}")
        return msgspec.json.decode(line, type=Outcome)


@contextlib.contextmanager
def crowd(directory: Path, name: str, who: Crowd) -> Iterator[Load]:
    """Have devices, in a process of their own, for the length of a with-block."""
    log = directory / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.lwm2m_load"],
            cwd=goosebit.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            bufsize=0,
        )
    try:
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(who) + b"\n")
        yield Load(process, log)
    finally:
        _end(process)


@contextlib.contextmanager
def _peer(directory: Path, kind: str) -> Iterator[Server]:
    """Run one of those that we are measured against."""
    port, log = _free_port(), directory / f"{kind}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.lwm2m_peers", kind, str(port)],
            cwd=goosebit.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Server(name=kind, pid=process.pid, port=port, log=log)
    finally:
        _end(process)


def _free_port() -> int:
    """Return a port for datagrams that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(UP_WAIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def measure(directory: Path, devices: int, rounds: int, seconds: float, findings: Findings) -> None:
    """Measure both halves. Raises RunError, StartError."""
    directory.mkdir()
    data = directory / "data"
    sessions = min(SESSIONS, devices // 10)
    _fill(data, devices, sessions)
    port = _free_port()
    plain = {"OVERAIR_LWM2M_NO_SEC": "true", "OVERAIR_LWM2M_COAP": f"127.0.0.1:{port}"}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(overair.running(data, plain))
        findings.facts["lwm2m_mib_before"] = server.peak_mib()
        ours = stack.enter_context(crowd(directory, "ours", Crowd(port=port, count=devices)))
        _register(ours, server, "lwm2m register", devices, findings)
        findings.facts["lwm2m_mib"] = server.peak_mib()
        with contextlib.ExitStack() as others:
            peers: dict[str, tuple[Load, Server]] = {"lwm2m update": (ours, server)}
            for name, kind in PEERS.items():
                peer = others.enter_context(_peer(directory, kind))
                who = Crowd(port=peer.port, count=devices, registered=True, echoes=kind == "echo")
                peers[name] = (others.enter_context(crowd(directory, f"to-{kind}", who)), peer)
            for turn in range(rounds):
                for name, (load, peer) in peers.items():
                    step = Step(kind="update", at_once=AT_ONCE, seconds=seconds, seed=turn)
                    _take(load, peer, name, step, findings)
        step = Step(kind="notify", count=min(NOTIFIED, devices))
        heard = _take(ours, server, "lwm2m notify", step, findings)
        findings.facts["lwm2m_heard"] = [heard.result.done, step.count]
        findings.facts["lwm2m_mib_after"] = server.peak_mib()
    port = _free_port()
    secure = {"OVERAIR_LWM2M_COAPS": f"127.0.0.1:{port}"}
    began = time.perf_counter()
    with overair.running(data, secure) as server:
        findings.facts["lwm2m_start_s"] = time.perf_counter() - began
        before = server.peak_mib()
        who = Crowd(port=port, first=devices, count=sessions, secure=True)
        with crowd(directory, "secure", who) as ours:
            step = Step(kind="connect", at_once=SHAKING)
            _take(ours, server, "lwm2m handshake", step, findings)
            _register(ours, server, "lwm2m secure register", sessions, findings)
            for turn in range(rounds):
                step = Step(kind="update", at_once=AT_ONCE, seconds=seconds, seed=turn)
                _take(ours, server, "lwm2m secure update", step, findings)
        findings.facts["lwm2m_secure_mib"] = [before, server.peak_mib()]
    findings.facts["lwm2m_sessions"] = sessions
    findings.facts["lwm2m_verify"] = overair.verify(data)
    if findings.facts["lwm2m_verify"]:
        findings.errors.append(f"LwM2M: {findings.facts['lwm2m_verify']}")


def _register(load: Load, server: Server, name: str, count: int, findings: Findings) -> None:
    step = Step(kind="register", at_once=AT_ONCE)
    outcome = _take(load, server, name, step, findings)
    findings.facts[f"{name} observed"] = [outcome.observed, outcome.observed_s, outcome.answers]
    if outcome.observed != count or outcome.result.done != count:
        findings.errors.append(
            f"{name}: of {count} devices {outcome.result.done} are registered,"
            f" {outcome.observed} observed"
        )


def _take(load: Load, server: Server, name: str, step: Step, findings: Findings) -> Outcome:
    settle(server)
    before = server.cpu_s()
    outcome = load.take(step)
    settle(server)
    spent = server.cpu_s() - before
    result = outcome.result
    findings.samples.setdefault(name, []).append(
        Sample(result=result, cpu_us=spent / max(1, result.done) * 1e6)
    )
    if outcome.repeats:
        repeats: dict[str, int] = findings.facts.setdefault("lwm2m_repeats", {})
        repeats[name] = repeats.get(name, 0) + outcome.repeats
    if result.errors:
        findings.errors.append(f"{name}: {result.errors} errors, first: {result.first_error}")
    return outcome


def _fill(data: Path, devices: int, sessions: int) -> None:
    data.mkdir()
    with (data / "devices.ndjson").open("w") as out:
        for number in range(devices + sessions):
            account: dict[str, Any] = {"endpoint": wire.endpoint(number)}
            if number >= devices:
                account |= {"pskIdentity": wire.imei(number), "pskKeyHex": key_of(number).hex()}
            device = {
                "account": overair.ACCOUNT,
                "deviceId": wire.imei(number),
                "make": wire.MAKE,
                "model": wire.MODEL,
                "protocol": "LWM2M",
                "version": wire.VERSION,
                "licensed": True,
                "lwm2m": account,
            }
            out.write(json.dumps(device) + "\n")
    file = data / "fleet.json"
    file.write_text(json.dumps(overair.ADMINISTRATION | {"devicesFile": "devices.ndjson"}))
    overair.command(data, "import", str(file))


def rows(findings: Findings) -> Iterator[Row]:
    """Say what was measured."""
    yield from _registrations(findings, "lwm2m register", "LwM2M: first registrations", BAR)
    update = findings.median("lwm2m update")
    if update is not None:
        yield from _figures(update, "LwM2M: updates, without DTLS", BAR, "an update")
        for name, kind in PEERS.items():
            other = findings.median(name)
            if other is None:
                continue
            ratio = _ratio(findings, "lwm2m update", name)
            by_cpu = other.cpu_us / update.cpu_us if update.cpu_us else 0.0
            yield Row(
                what=f"  {_SAID[kind]}",
                value=f"{other.rate:,.0f}/s, {other.cpu_us:.0f} µs, p99 {other.result.p99_ms:.1f} ms;"
                f" ours to it {ratio:.2f}, by CPU {by_cpu:.2f}",
            )
    facts = findings.facts
    if "lwm2m_heard" in facts:
        heard, told = facts["lwm2m_heard"]
        yield Row(
            what="  notifications that were wanted",
            value=f"{heard} of {told}",
            bar="all",
            met=heard == told,
        )
    if "lwm2m_mib_after" in facts:
        peak = facts["lwm2m_mib_after"]
        yield Row(
            what="  memory, peak, without DTLS",
            value=f"{peak:.0f} MiB; {facts['lwm2m_mib']:.0f} before the updates,"
            f" {facts['lwm2m_mib_before']:.0f} before all",
            bar=f"< {BAR_MIB} MiB",
            met=peak < BAR_MIB,
        )
    sessions = facts.get("lwm2m_sessions", 0)
    shaking = findings.median("lwm2m handshake")
    if shaking is not None:
        yield Row(
            what="DTLS handshakes, pre-shared keys",
            value=f"{shaking.rate:,.0f}/s, {shaking.cpu_us:.0f} µs",
        )
    name = f"LwM2M: first registrations over {sessions:,} sessions of DTLS"
    yield from _registrations(findings, "lwm2m secure register", name, 0)
    secure = findings.median("lwm2m secure update")
    if secure is not None:
        name = f"LwM2M: updates over {sessions:,} sessions of DTLS"
        yield from _figures(secure, name, BAR_SECURE, "an update")
    if "lwm2m_secure_mib" in facts:
        before, after = facts["lwm2m_secure_mib"]
        yield Row(
            what="  memory, peak; started anew; verify",
            value=f"{after:.0f} MiB, {before:.0f} without sessions; {facts['lwm2m_start_s']:.1f} s;"
            f" {facts['lwm2m_verify'] or 'clean'}",
        )


_SAID = {"echo": "an echo on the same socket code", "aiocoap": "aiocoap, 2.04 and nothing kept"}


def _registrations(findings: Findings, sample_name: str, what: str, bar: int) -> Iterator[Row]:
    sample = findings.median(sample_name)
    if sample is None:
        return
    yield from _figures(sample, what, bar, "one, with its readings")
    observed, seconds, answers = findings.facts[f"{sample_name} observed"]
    yield Row(
        what="  each read and observed",
        value=f"{observed:,} after {seconds:.1f} s, {observed / seconds if seconds else 0:,.0f}/s;"
        f" {answers:,} answers to the server",
    )


def _figures(sample: Sample, what: str, bar: int, each: str) -> Iterator[Row]:
    result = sample.result
    yield Row(
        what=what,
        value=f"{sample.rate:,.0f}/s",
        bar=f"≥ {bar:,}/s" if bar else "",
        met=sample.rate >= bar if bar else None,
    )
    yield Row(
        what="  latency p50 / p99 / worst",
        value=f"{result.p50_ms:.1f} / {result.p99_ms:.1f} / {result.worst_ms:.0f} ms",
        bar=f"p99 < {BAR_P99_MS:.0f} ms",
        met=result.p99_ms < BAR_P99_MS,
    )
    yield Row(what=f"  CPU {each}", value=f"{sample.cpu_us:.0f} µs")


def _ratio(findings: Findings, above: str, below: str) -> float:
    pairs = zip(findings.samples[above], findings.samples[below], strict=False)
    return statistics.median(a.rate / b.rate if b.rate else float("inf") for a, b in pairs)
