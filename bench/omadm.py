"""OMA-DM under measurement: a server of its own, whose devices say who they are, then get a command.

First every device comes by itself for the first time: two messages, an inventory, and each side gets the
nonces for the next session. Then a campaign of v1 starts, and every device comes once more: four messages,
each over the nonces of before, and each a transaction on disk:

    package 1 ─> what is your version, and your update object's State?
    Results ───> here is the address (Replace PkgURL)
    Status ────> go (Exec)
    Status ────> nothing more

Between them the constants of the same server. Alone: `python -m bench --parts omadm`.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from bench import overair
from bench.findings import Findings, Row, run
from bench.omadm_load import KINDS, MAKE, MODEL, VERSION, secrets_of
from bench.process import QUIET_SHARE, Server, settle
from bench.wire import Order

AT_ONCE = 64
BAR = 500
FIRMWARE = "FW_Acme_X1_01To02"
IMAGE_BYTES = 16 * 1024
VERSION_TO = "02"
CONSTANT_S = 3.0
PART = 5_000  # devices of one campaign
START_RESTS = 9
"""How often the server is waited for when campaigns begin: to check a device and to turn to it is no part of its session."""
_WORDS = {"inventory": "first contact, inventory", "command": "four messages, to the command"}


def measure(directory: Path, devices: int, findings: Findings) -> None:
    """Measure both kinds of sessions, and the constants. Raises RunError, StartError."""
    directory.mkdir()
    fleet = directory / "omadm.txt"
    tokens = {
        f"{990014000000000 + number}": hashlib.sha256(b"bench omadm %d" % number).hexdigest()[:32]
        for number in range(devices)
    }
    fleet.write_text("".join(f"{imei} {token}\n" for imei, token in tokens.items()))
    data = directory / "data"
    _fill(data, tokens)
    with overair.running(data) as server:
        _sessions("inventory", devices, 1, fleet, server, findings)
        for name, path, status in (
            ("omadm constant", "/healthz", 200),
            ("omadm edge constant", "/dm", 405),
        ):
            order = Order(
                kind="constant",
                port=server.port,
                path=path,
                status=status,
                connections=AT_ONCE,
                seconds=CONSTANT_S,
            )
            run(order, server, findings, name)
        api = overair.Api(server.port)
        imeis = list(tokens)
        for first in range(0, devices, PART):
            api.start_upgrade(FIRMWARE, VERSION_TO, imeis[first : first + PART])
        for _ in range(START_RESTS):
            if settle(server) < QUIET_SHARE:
                break
        _sessions("command", devices, 2, fleet, server, findings)
        findings.facts["omadm_peak_mib"] = server.peak_mib()
        complaint = overair.verify(data)
        findings.facts["omadm_verify"] = complaint
        if complaint:
            findings.errors.append(f"OMA-DM: {complaint}")


def _sessions(
    kind: str, devices: int, number: int, fleet: Path, server: Server, findings: Findings
) -> None:
    order = Order(
        kind=kind,
        port=server.port,
        devices=str(fleet),
        connections=AT_ONCE,
        seconds=120.0,
        count=devices,
        seed=number,
    )
    sample = run(order, server, findings, f"omadm {kind}", load="bench.omadm_load")
    if sample.result.done != devices:
        findings.errors.append(f"OMA-DM {kind}: {sample.result.done} of {devices} sessions")


def _fill(data: Path, tokens: dict[str, str]) -> None:
    data.mkdir()
    image = data / "x1-02.bin"
    image.write_bytes(hashlib.shake_256(b"bench firmware").digest(IMAGE_BYTES))
    with (data / "devices.ndjson").open("w") as out:
        for imei, token in tokens.items():
            client, server = secrets_of(token)
            device = {
                "account": overair.ACCOUNT,
                "deviceId": imei,
                "make": MAKE,
                "model": MODEL,
                "protocol": "OMADM",
                "version": VERSION,
                "licensed": True,
                "omadm": {"clientName": imei, "clientSecret": client, "serverSecret": server},
            }
            out.write(json.dumps(device) + "\n")
    document = overair.ADMINISTRATION | {
        "packages": [
            {
                "name": FIRMWARE,
                "protocol": "OMADM",
                "make": MAKE,
                "model": MODEL,
                "from": VERSION,
                "to": VERSION_TO,
                "launchDate": "2026-01-01",
                "file": str(image),
            }
        ],
        "devicesFile": "devices.ndjson",
    }
    file = data / "fleet.json"
    file.write_text(json.dumps(document))
    overair.command(data, "import", str(file))


def rows(findings: Findings) -> Iterator[Row]:
    """Say what was measured."""
    constant, edge = findings.median("omadm constant"), findings.median("omadm edge constant")
    for kind in ("command", "inventory"):
        sample = findings.median(f"omadm {kind}")
        if sample is None:
            continue
        messages, _ = KINDS[kind]
        each = sample.cpu_us / messages
        result = sample.result
        bar = f"≥ {BAR}/s" if kind == "command" else ""
        yield Row(
            what=f"OMA-DM sessions, WBXML: {_WORDS[kind]}",
            value=f"{sample.rate:,.0f}/s ({sample.rate * messages:,.0f} messages/s)",
            bar=bar,
            met=sample.rate >= BAR if bar else None,
        )
        yield Row(
            what="  a message: p50 / p99 / worst",
            value=f"{result.p50_ms:.1f} / {result.p99_ms:.1f} / {result.worst_ms:.0f} ms",
        )
        ratios = [
            f"{each / other.cpu_us:.0f} × {name} ({other.cpu_us:.0f} µs)"
            for other, name in ((constant, "/healthz"), (edge, "a 405 of /dm"))
            if other is not None and other.cpu_us
        ]
        yield Row(what="  CPU a message", value=f"{each:.0f} µs: " + ", ".join(ratios))
    if "omadm_peak_mib" in findings.facts:
        verified = findings.facts.get("omadm_verify") or "clean"
        yield Row(
            what="  memory, peak; verify",
            value=f"{findings.facts['omadm_peak_mib']:.0f} MiB; {verified}",
        )
