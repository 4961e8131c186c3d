"""``overair simulate`` as a person runs it: what its flags are for, and the files of OMA-DM devices."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from overair.cli import run
from overair.sim.omadm.roster import generate_roster
from tests.cli.test_commands import place
from tests.cli.test_fleet import ACCOUNT, answer, refusal
from tests.installation import OVERAIR
from tests.sim.omadm.peer import Peer

__all__ = ["place"]

URL = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--protocol", "omadm", "--tenant", "acme"], "--tenant is for HTTP devices"),
        (["--late", "0.5"], "--late is for OMA-DM devices"),
        (["--protocol", "omadm", "--late", "2"], "rates are from 0 to 1"),
        (["--protocol", "omadm", "--roster", "nowhere.csv"], "nowhere.csv"),
        (["--protocol", "omadm", "--write-devices", "d.ndjson"], "needs --account"),
        (["--protocol", "omadm", "--write-devices", "d.csv", "--account", "a"], ".ndjson"),
        (["--protocol", "omadm", "--ca-file", "nowhere.pem"], "nowhere.pem"),
        (["--protocol", "lwm2m"], "an LwM2M server is at coap://host"),
        (["--protocol", "lwm2m", "--tenant", "acme"], "--tenant is for HTTP devices"),
        (["--protocol", "lwm2m", "--late", "0.5"], "--late is for OMA-DM devices"),
        (["--cells", "3"], "--cells is for LwM2M devices"),
        (["--protocol", "omadm", "--cells", "3"], "--cells is for LwM2M devices"),
        (["--becomes", "02"], "--becomes is for OMA-DM and LwM2M devices"),
        (["--protocol", "lwm2m", "--cells", "0"], "--cells is at least 1"),
        (["--protocol", "lwm2m", "--moving", "2"], "rates are from 0 to 1"),
        (["--protocol", "lwm2m", "--queue", "2"], "shares are from 0 to 1"),
        (["--protocol", "lwm2m", "--lifetime", "3"], "a lifetime is 30 s or more"),
        (["--protocol", "lwm2m", "--roster", "nowhere.yaml"], "nowhere.yaml"),
        (["--protocol", "lwm2m", "--write-devices", "d.ndjson"], "needs --account"),
        (["--roster", "nowhere.csv"], "nowhere.csv"),
        ([], "made-up devices are nobody's"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    """A flag of the other protocol, and a value that cannot be, are refused before anything runs."""
    assert said in refusal(capsys, 2, "simulate", URL, *arguments)["error"]


def written(tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int = 3) -> Path:
    """Have devices written to a file."""
    path = tmp_path / "devices.ndjson"
    path.touch(mode=0o644)  # one that was there before
    arguments = ["--protocol", "omadm", "--count", str(count), "--account", ACCOUNT]
    assert run(["simulate", URL, *arguments, "--write-devices", str(path)]) == 0
    capsys.readouterr()
    return path


def test_devices_are_written_for_the_server(
    place: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file of made-up devices is nobody else's to read, and ``import`` takes it as it is."""
    path = written(tmp_path, capsys)
    assert path.stat().st_mode & 0o077 == 0
    document = tmp_path / "more.json"
    document.write_text(json.dumps({"devicesFile": path.name}))
    assert answer(capsys, "import", str(document), *place)
    imei = generate_roster(3)[0].imei
    assert answer(capsys, "device", "show", imei, *place)["protocol"] == "OMADM"


@pytest.mark.parametrize("ending", ["ndjson", "yaml"])
async def test_a_fleet_file_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    """Devices of a fleet file or of its devices file call the server, and the counters say so."""
    path = written(tmp_path, capsys)
    if ending == "yaml":
        (tmp_path / "fleet.yaml").write_text("devicesFile: devices.ndjson\n")
        path = tmp_path / "fleet.yaml"
    async with Peer(generate_roster(3), b"overair-sim version 02\n") as peer:
        arguments = ["--boot-session", "1", "--rate", "100", "--until-updated", "3"]
        arguments += ["--no-listen", "--roster", str(path), "--start-over", "0", "--json"]
        # In a process of its own, as it waits for Ctrl-C.
        done = await asyncio.to_thread(
            subprocess.run,
            [*OVERAIR, "simulate", peer.url, "--protocol", "omadm", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    counters: dict[str, Any] = json.loads(done.stdout)
    assert counters["updated"] == 3
    assert counters["last_error"] == ""


def test_a_fleet_file_without_such_devices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fleet file that cannot be read, or has no OMA-DM devices, says so."""
    path = tmp_path / "fleet.yaml"
    for text, said in (("devices: []", "no OMA-DM devices"), ("devices: 1", "$.devices")):
        path.write_text(text)
        arguments = ["--protocol", "omadm", "--roster", str(path)]
        assert said in refusal(capsys, 2, "simulate", URL, *arguments)["error"]
