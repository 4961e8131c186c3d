"""A thousand images at once over CoAP, and what check-ins of other devices notice of it.

One server process on SQLite; two fleets of as many devices, each in a v3 campaign of its own: one whose
devices fetch the image (`pull`, what is chosen wherever a device can), and one whose devices can only be
sent it (`push`). A transfer begins when every device of the fleet has its turn, so all of them are under way
together; then every device is told to update, and the campaign's report has to say so of each.

Before that, and all the time, other devices check in at an even pace: Updates over CoAP on the same socket, and
polls over HTTP. Alone: `python -m bench --parts images`.
"""

import contextlib
import hashlib
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from bench import goosebit, overair
from bench.check_ins_load import CheckInOrder, CheckIns
from bench.findings import Findings, Row
from bench.lwm2m_images_load import (
    FROM,
    MAKE,
    MODEL,
    PULL,
    PUSH,
    TO,
    Order,
    Taken,
    imei,
)
from bench.process import Server, free_port

AT_ONCE = 1_000
IMAGE_BYTES = 1024 * 1024
BAR_MIB_S = 20
BAR_MS = 100
BAR_MEMORY_MIB = 128  # on top of what the server had before; a whole image for each device is 1,000
FIRMWARE = "FW_Acme_X1_01To02"
CHECKING_IN = 200  # over LwM2M, and as many over HTTP
RATE = 100.0
ALONE_S = 4.0
STEP_S = 150.0  # at most, for each step of a fleet
REPORT_WAIT_S = 20.0
_FIRST = {PULL: 15_000_000_000, PUSH: 15_000_010_000, "": 15_000_020_000}
_POLLED = 15_000_030_000
_WORDS = {PULL: "fetched by devices (Block2)", PUSH: "sent to devices (Block1)"}


class Delivered(msgspec.Struct, kw_only=True):
    """One fleet, as seen from outside."""

    taken: Taken
    cpu_s: float
    before_mib: float
    peak_mib: float
    report: dict[str, int]

    @property
    def seconds(self) -> float:
        """Return how long the transfers took."""
        return self.taken.ended_at - self.taken.begun_at

    @property
    def mib_s(self) -> float:
        """Return the rate of all together."""
        return self.taken.bytes / 2**20 / self.seconds if self.seconds > 0 else 0.0


class Waits(msgspec.Struct, kw_only=True):
    """How long answers took in a part of the time."""

    count: int
    unanswered: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


def measure(directory: Path, devices: int, findings: Findings) -> None:
    """Measure both ways. Raises RunError, StartError."""
    directory.mkdir()
    image = hashlib.shake_256(b"bench large firmware").digest(IMAGE_BYTES)
    data = directory / "data"
    _fill(data, image, devices)
    coap = free_port()
    settings = {
        "LWM2M_COAP": f"127.0.0.1:{coap}",
        "LWM2M_PUBLIC_COAP": f"127.0.0.1:{coap}",
        "LWM2M_NO_SEC": "true",
        "LWM2M_PLAIN_DOWNLOAD": "true",
        "LWM2M_MAX_TRANSFERS": str(devices),
        "LIMITS_PILOT_DEVICES": str(devices),
        # One slot a day, in which everybody has a place until its last second.
        "SLOTS_MINUTES": "1440",
        "SLOTS_LEAST_S": "0",
    }
    environment = {f"OVERAIR_{name}": value for name, value in settings.items()}
    with overair.running(data, environment) as server:
        others = _Others(data, server.port, coap)
        try:
            others.started.wait(STEP_S)
            alone_at = time.monotonic()
            time.sleep(ALONE_S)
            times = {"alone": (alone_at, time.monotonic())}
            for kind in (PULL, PUSH):
                found = _deliver(kind, devices, coap, data, server)
                findings.facts[f"images_{kind}"] = found
                times[kind] = (found.taken.begun_at, found.taken.ended_at)
                _complain(kind, devices, found, findings)
        except BaseException:
            others.kill()
            raise
        checked = others.end()
        findings.facts["images_check_ins"] = {
            name: {
                "updates": _waits(checked.updates, *span),
                "polls": _waits(checked.polls, *span),
            }
            for name, span in times.items()
        }
        if checked.errors:
            findings.errors.append(f"check-ins: {checked.errors}, first: {checked.first_error}")
        complaint = overair.verify(data)
        findings.facts["images_verify"] = complaint
        if complaint:
            findings.errors.append(f"images: {complaint}")


def _complain(kind: str, devices: int, found: Delivered, findings: Findings) -> None:
    taken = found.taken
    if taken.errors:
        findings.errors.append(f"images, {kind}: {taken.errors}, first: {taken.first_error}")
    if taken.began_together != devices:
        findings.errors.append(f"images, {kind}: only {taken.began_together} at once")
    if found.report != {"UpgradeSuccess": devices}:
        findings.errors.append(f"images, {kind}: the report says {found.report}")


class _Process:
    """A load generator whose steps are waited for."""

    def __init__(self, module: str, order: msgspec.Struct) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=goosebit.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()

    def line(self) -> bytes:
        """Wait for the next step, or the result. Raises RunError."""
        assert self._process.stdout is not None
        found = self._process.stdout.readline()
        if not found:
            raise overair.RunError("a load generator ended too early")
        return found

    def no_more(self) -> None:
        """Tell it that this is enough."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def end(self) -> None:
        """Let nothing of it be left."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


class _Others:
    """The devices that check in meanwhile."""

    def __init__(self, data: Path, http: int, coap: int) -> None:
        order = CheckInOrder(
            coap=coap,
            http=http,
            tenant=overair.TENANT,
            polled=str(data / "polled.txt"),
            first=_FIRST[""],
            count=CHECKING_IN,
            rate=RATE,
        )
        self._process = _Process("bench.check_ins_load", order)
        self.started = threading.Event()
        self._result = b""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        try:
            while not self._result.startswith(b"{"):
                self._result = self._process.line()
                self.started.set()
        except overair.RunError:
            self.started.set()

    def kill(self) -> None:
        """Have them stop, whatever they saw."""
        self._process.no_more()
        self._process.end()

    def end(self) -> CheckIns:
        """Have them stop, and say what they saw. Raises RunError."""
        self._process.no_more()
        self._reading.join(STEP_S)
        self._process.end()
        if not self._result.startswith(b"{"):
            raise overair.RunError("nothing is known of the check-ins")
        return msgspec.json.decode(self._result, type=CheckIns)


def _deliver(kind: str, devices: int, coap: int, data: Path, server: Server) -> Delivered:
    first = _FIRST[kind]
    order = Order(
        kind=kind,
        coap=coap,
        image=str(data / "x1-02.bin"),
        first=first,
        count=devices,
        seconds=STEP_S,
    )
    process = _Process("bench.lwm2m_images_load", order)
    try:
        process.line()  # registered
        api = overair.Api(server.port)
        campaign = _schedule(api, [imei(first + number) for number in range(devices)])
        before_mib = server.forget_peak()
        process.line()  # begun
        cpu_s = server.cpu_s()
        process.line()  # transferred
        cpu_s = server.cpu_s() - cpu_s
        peak_mib = server.peak_mib()
        process.line()  # updated
        taken = msgspec.json.decode(process.line(), type=Taken)
    finally:
        process.end()
    return Delivered(
        taken=taken,
        cpu_s=cpu_s,
        before_mib=before_mib,
        peak_mib=peak_mib,
        report=_report(api, campaign, devices),
    )


def _schedule(api: overair.Api, devices: list[str]) -> str:
    today = datetime.now(UTC).date()
    made = api.call(
        "POST",
        f"/fota/v3/campaigns/firmware/{overair.ACCOUNT}",
        {
            "campaignName": "bench",
            "firmwareName": FIRMWARE,
            "firmwareFrom": FROM,
            "firmwareTo": TO,
            "protocol": "LWM2M",
            "startDate": today.isoformat(),
            "endDate": (today + timedelta(days=7)).isoformat(),
            "deviceList": devices,
        },
    )
    return str(made["id"])


def _report(api: overair.Api, campaign: str, devices: int) -> dict[str, int]:
    """Count its devices by status; the last of them may still be looked at."""
    deadline = time.monotonic() + REPORT_WAIT_S
    while True:
        counts = dict(api.outcome(campaign, version=3))
        if counts == {"UpgradeSuccess": devices} or time.monotonic() > deadline:
            return counts
        time.sleep(0.5)


def _fill(data: Path, image: bytes, devices: int) -> None:
    data.mkdir()
    file = data / "x1-02.bin"
    file.write_bytes(image)
    facts: dict[str, Any] = {
        "account": overair.ACCOUNT,
        "make": MAKE,
        "model": MODEL,
        "version": FROM,
        "licensed": True,
    }
    with (data / "devices.ndjson").open("w") as out, (data / "polled.txt").open("w") as polled:
        for kind, count in ((PULL, devices), (PUSH, devices), ("", CHECKING_IN)):
            for number in range(count):
                device = facts | {"deviceId": imei(_FIRST[kind] + number), "protocol": "LWM2M"}
                out.write(json.dumps(device) + "\n")
        for number in range(_POLLED, _POLLED + CHECKING_IN):
            token = hashlib.sha256(b"bench polled %d" % number).hexdigest()[:32]
            device = facts | {"deviceId": imei(number), "protocol": "HTTP", "ddi": {"token": token}}
            out.write(json.dumps(device) + "\n")
            polled.write(f"{imei(number)} {token}\n")
    document = overair.ADMINISTRATION | {
        "packages": [
            {
                "name": FIRMWARE,
                "protocol": "LWM2M",
                "make": MAKE,
                "model": MODEL,
                "from": FROM,
                "to": TO,
                "launchDate": "2026-01-01",
                "file": str(file),
            }
        ],
        "devicesFile": "devices.ndjson",
    }
    fleet = data / "fleet.json"
    fleet.write_text(json.dumps(document))
    overair.command(data, "import", str(fleet))


def _waits(found: list[tuple[float, float | None]], begun: float, ended: float) -> Waits:
    meant = [took for sent, took in found if begun <= sent < ended]
    answered = sorted(took for took in meant if took is not None)
    unanswered = len(meant) - len(answered)
    # What was never answered is as bad as the worst, and worse.
    ordered = answered + [float("inf")] * unanswered

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0

    return Waits(
        count=len(meant),
        unanswered=unanswered,
        p50_ms=statistics.median(ordered) if ordered else 0.0,
        p99_ms=at(0.99),
        worst_ms=ordered[-1] if ordered else 0.0,
    )


def rows(findings: Findings) -> Iterator[Row]:
    """Say what was measured."""
    waits: dict[str, dict[str, Waits]] = findings.facts.get("images_check_ins", {})
    for kind in (PULL, PUSH):
        found: Delivered | None = findings.facts.get(f"images_{kind}")
        if found is None:
            continue
        taken = found.taken
        yield Row(
            what=f"{taken.devices:,} images of 1 MiB at once, {_WORDS[kind]}",
            value=f"{found.mib_s:.1f} MiB/s in all, {found.seconds:.0f} s",
            bar=f"≥ {BAR_MIB_S} MiB/s",
            met=found.mib_s >= BAR_MIB_S,
        )
        blocks = max(1, taken.bytes // 1024)
        yield Row(
            what="  whole, by bytes; some by digest; updated, by the report",
            value=f"{taken.complete:,}; {taken.digests}; {found.report.get('UpgradeSuccess', 0):,}",
            bar="all",
            met=taken.complete == found.report.get("UpgradeSuccess") == taken.devices
            and taken.digests == taken.sampled,
        )
        yield Row(
            what="  CPU a block of 1 KiB: server, load; repeated by them",
            value=f"{found.cpu_s / blocks * 1e6:.0f} µs, {taken.cpu_s / blocks * 1e6:.0f} µs;"
            f" {taken.heard_again}, {taken.said_again}",
        )
        more = found.peak_mib - found.before_mib
        yield Row(
            what="  memory, and what it was before",
            value=f"{found.peak_mib:.0f} MiB, {found.before_mib:.0f} MiB",
            bar=f"+ < {BAR_MEMORY_MIB} MiB",
            met=more < BAR_MEMORY_MIB,
        )
        yield from _check_in_rows("  meanwhile", waits.get(kind, {}), bar=True)
    yield from _check_in_rows("check-ins without transfers", waits.get("alone", {}), bar=False)
    if "images_verify" in findings.facts:
        yield Row(what="  verify", value=findings.facts["images_verify"] or "clean")


def _check_in_rows(what: str, waits: dict[str, Waits], *, bar: bool) -> Iterator[Row]:
    for name, words in (("updates", "Updates"), ("polls", "polls over HTTP")):
        if name in waits:
            one = waits[name]
            yield Row(
                what=f"{what}: {one.count:,} {words}, p50 / p99 / worst",
                value=f"{one.p50_ms:.1f} / {one.p99_ms:.1f} / {one.worst_ms:.0f} ms",
                bar=f"p99 < {BAR_MS} ms" if bar else "",
                met=one.p99_ms < BAR_MS if bar else None,
            )
