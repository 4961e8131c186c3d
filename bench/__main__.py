"""`python -m bench`: one run, one table, one JSON file.

What a bar asks for stands beside each figure; a missed bar is printed as missed and changes no exit status: only an
error does.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from bench import ddi, growth, lwm2m, lwm2m_images, omadm, overair, simulation
from bench.findings import Findings, Row
from bench.options import Options
from bench.process import StartError


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a smaller fleet and shorter rounds")
    parser.add_argument("--rounds", type=int, default=5)
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
        updates=2_000 if given.quick else 15_000,
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
        *ddi.rows(options, findings),
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
    "http": ddi.measure,
    "omadm": _sessions,
    "growth": _growth,
    "lwm2m": _lwm2m,
    "images": _images,
    "simulation": _simulation,
}


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
