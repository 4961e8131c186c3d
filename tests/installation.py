"""An installation of its own for tests of real processes: files, commands and servers.

It is filled and looked at as a person would do it: with ``overair import``, over HTTP, and with
commands that run beside the server. Nothing here reaches into a server's process.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

from overair.cli.demo.client import Login, Operator
from overair.clock import SystemClock
from overair.sim.http.fleet import Fleet
from overair.sim.http.roster import SimDevice
from overair.sim.http.tally import DeviceTruth
from tests.waiting import wait_for

ACCOUNT, ALIAS = "0000123456-00001", "acme"
LOGIN = Login(account=ACCOUNT, key="key", secret="secret", username="ada", password="pass")
OVERAIR = [sys.executable, "-c", "from overair.cli import main; main()"]
PACKAGE = "FOTA_Acme_{model}_01To02"
IMAGE_BYTES = 300_000
START_S = 30.0


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True, kw_only=True)
class Process:
    """A server that runs."""

    popen: "subprocess.Popen[bytes]"
    port: int
    log: Path

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self) -> None:
        """Wait until it answers."""
        wait_for(self.is_ready, f"the server to be ready; its log: {self.log}", START_S)

    def is_ready(self) -> bool:
        """Whether it answers, and can work."""
        assert self.popen.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"{self.base}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> int:
        """End it as an operator would; its exit status."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(timeout=START_S)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait(timeout=START_S)


@dataclass(slots=True, kw_only=True)
class Installation:
    """A data directory, a database, and what runs on them."""

    directory: Path
    database: str  # "": SQLite in the directory
    settings: dict[str, Any] = field(default_factory=dict)
    program: Sequence[str] = tuple(OVERAIR)  # what a server is started with
    _running: list[Process] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def prepare(self, devices: Sequence[SimDevice]) -> None:
        """Write settings, image and fleet file, and import it."""
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.settings.items()]
        (self.directory / "overair.toml").write_text("\n".join(sorted(lines, key=_tables_last)))
        models = sorted({device.model for device in devices})
        for model in models:
            image = Random(model).randbytes(IMAGE_BYTES)
            (self.directory / f"{model}-02.swu").write_bytes(image)
        fleet = {
            "accounts": [
                {
                    "name": ACCOUNT,
                    "alias": ALIAS,
                    "subscription": {"purchaseType": "TS-HFOTA-EVNT", "licenseCount": 0},
                }
            ],
            "applications": [{"key": LOGIN.key, "secret": LOGIN.secret}],
            "users": [
                {"username": LOGIN.username, "password": LOGIN.password, "accounts": [ACCOUNT]}
            ],
            "packages": [
                {
                    "name": PACKAGE.format(model=model),
                    "make": "Acme",
                    "model": model,
                    "from": "01",
                    "to": "02",
                    "file": f"{model}-02.swu",
                }
                for model in models
            ],
            "devices": [
                {
                    "account": ACCOUNT,
                    "deviceId": device.controller_id,
                    "make": device.make,
                    "model": device.model,
                    "protocol": "HTTP",
                    "version": device.version,
                    "ddi": {"token": device.token, "twoPhase": device.two_phase},
                }
                for device in devices
            ],
        }
        file = self.directory / "fleet.json"
        file.write_text(json.dumps(fleet))
        made = self.command("import", str(file))
        assert made["devices"]["created"] == len(devices)

    def _flags(self) -> list[str]:
        database = ["--database", self.database] if self.database else []
        config = ["--config", str(self.directory / "overair.toml")]
        return ["--data", str(self.data), *database, *config]

    def command(self, *arguments: str, status: int = 0) -> Any:
        """Run a command on the installation; its answer in JSON."""
        run = subprocess.run(
            [*OVERAIR, *arguments, *self._flags(), "--json"],
            capture_output=True,
            text=True,
            env=_environment(),
            cwd=self.directory,
            timeout=120,
        )
        assert run.returncode == status, (arguments, run.stdout, run.stderr)
        return json.loads(run.stdout)

    def spawn(self, *arguments: str, own_flags: bool = True) -> "subprocess.Popen[str]":
        """Start a command whose output is read later."""
        flags = [*self._flags(), "--json"] if own_flags else ["--json"]
        return subprocess.Popen(
            [*OVERAIR, *arguments, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment(),
            cwd=self.directory,
        )

    def serve(self, port: int = 0) -> Process:
        """Start a server, which need not be ready yet."""
        port = port or free_port()
        log = self.directory / f"server-{port}.log"
        with log.open("ab") as out:
            popen = subprocess.Popen(
                [*self.program, "serve", *self._flags(), "--http", f"127.0.0.1:{port}"],
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env=_environment(),
                cwd=self.directory,
            )
        process = Process(popen=popen, port=port, log=log)
        self._running.append(process)
        return process

    def end(self) -> None:
        """End what still runs."""
        for process in self._running:
            if process.popen.poll() is None:
                process.kill()


def _tables_last(line: str) -> bool:
    return "." in line.split("=")[0]


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OVERAIR_")}
    return {**kept, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"}


@contextlib.contextmanager
def installation(directory: Path, database: str = "", **settings: Any) -> Iterator[Installation]:
    """An installation for the length of the block; its processes end with it."""
    made = Installation(
        directory=directory,
        database=database,
        settings={
            "poll_interval_s": 1,
            "active_poll_interval_s": 1,
            "retry_delay_s": 1,
            "engine_interval_s": 0.1,
            "callback_plain_http": True,
            "callback_private_addresses": True,
            "limits.pilot_devices": 1000,
            "limits.max_attempts": 2,
            **settings,
        },
    )
    try:
        yield made
    finally:
        made.end()


@contextlib.asynccontextmanager
async def operating(process: Process) -> AsyncIterator[Operator]:
    """A signed-in user of the management API."""
    process.wait_ready()
    async with Operator(process.base, LOGIN) as operator:
        await operator.sign_in()
        yield operator


def campaign(devices: Sequence[SimDevice], name: str = "campaign") -> dict[str, Any]:
    """A request for an on-demand campaign for devices of one model."""
    today = SystemClock().now().date()
    return {
        "campaignName": name,
        "softwareName": PACKAGE.format(model=devices[0].model),
        "softwareFrom": "01",
        "softwareTo": "02",
        "distributionType": "HTTP",
        "startDate": today.isoformat(),
        "endDate": (today + timedelta(days=7)).isoformat(),
        "deviceList": [device.controller_id for device in devices],
    }


def is_quiet(fleet: Fleet) -> bool:
    """Whether no device is at work: each waits for its next poll."""
    seen = fleet.snapshot()
    return not (seen.downloading + seen.waiting + seen.installing + seen.rebooting + seen.reporting)


def truths(*fleets: Fleet) -> dict[str, DeviceTruth]:
    """All devices as they tell of themselves."""
    return {name: truth for fleet in fleets for name, truth in fleet.truths().items()}
