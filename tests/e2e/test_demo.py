"""``overair demo`` as a process: what it shows is so, what it advises works, and it ends cleanly."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.installation import OVERAIR, free_port
from tests.waiting import wait_for

pytestmark = pytest.mark.slow

DEVICES = 40
LIMIT_S = 120.0


@contextmanager
def _demo(directory: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    with (directory / "out.txt").open("w") as out:
        process = subprocess.Popen(
            [*OVERAIR, "demo", "--devices", str(DEVICES), *arguments],
            cwd=directory,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _run(command: list[str], directory: Path) -> str:
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def _shell(line: str, directory: Path) -> str:
    return _run(["sh", "-c", line], directory)


def test_its_advice_works(tmp_path: Path) -> None:
    """It tells the truth, stays up, every line that it advises does something, and Ctrl-C ends it."""
    address = f"127.0.0.1:{free_port()}"
    with _demo(tmp_path, "--no-exit", "--http", address) as demo:

        def text() -> str:
            assert demo.poll() is None, (tmp_path / "out.txt").read_text()
            return (tmp_path / "out.txt").read_text()

        wait_for(lambda: "Ctrl-C ends it." in text(), "the demo to stay up", LIMIT_S)
        said = text()
        assert "verify: all" in said
        assert "tell the same" in said
        assert "only" not in said, "devices and reports do not agree"
        _shows_cells(said)
        calls = re.findall(r"^curl .*$", said, re.MULTILINE)
        assert len(calls) >= 6
        answers = [json.loads(_shell(line, tmp_path)) for line in calls]
        assert all("errorCode" not in answer for answer in answers), answers
        mine = next(a["id"] for a in answers if isinstance(a, dict) and a.get("id"))
        own = re.findall(
            r"^\S*overair (explain|device show|callbacks|verify|campaign list"
            r"|network attach|network show) (.*)$",
            said,
            re.MULTILINE,
        )
        assert len(own) == 11
        for name, rest in own:
            assert _run([*OVERAIR, *name.split(), *rest.split()], tmp_path)
        seen = _run(
            [*OVERAIR, "campaign", "watch", "--data", "overair-demo", mine, "--json"], tmp_path
        )
        assert json.loads(seen.splitlines()[-1])["status"] == "ended"
        _run_a_fleet(said, tmp_path)
        _be_a_device(said, tmp_path)
        shown = _run([sys.executable, "overair-demo/sdk.py"], tmp_path)
        assert len(re.findall(r"\d+ of \d+ updated", shown)) == 5
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=30) == 0


def _shows_cells(said: str) -> None:
    """Cells are seen to fill slot by slot, while it happens and at the end, without a terminal too."""
    bars = r"cell \d+ \[[GFPgfp ]{8}\]"
    rows = re.findall(rf"^.*\d\d:00-\d\d:00  (?:{bars}(?:  |$)){{4}}", said, re.MULTILINE)
    told = [row for row in rows if " s  " in row]
    assert len(told) >= 3
    assert len(rows) >= 2 * len(told)
    assert all(re.search("[GFP]", row.partition("00  ")[2]) or "f" in row for row in told)


def _run_a_fleet(said: str, directory: Path) -> None:
    """The devices that were notified while they were off are updated once they are switched on."""
    (line,) = re.findall(r"^\S*overair (simulate .*)$", said, re.MULTILINE)
    done = json.loads(_run([*OVERAIR, *line.split(), "--json", "--duration", "3600"], directory))
    assert done["updated"] == 3, done


def _be_a_device(said: str, directory: Path) -> None:
    """The advised swupdate starts, and checks in."""
    if shutil.which("swupdate") is None:
        return
    (line,) = re.findall(r"^swupdate .*$", said, re.MULTILINE)
    (certify,) = re.findall(r"^openssl .*$", said, re.MULTILINE)
    imei = re.search(r" -i (\d+) ", line)
    assert imei is not None
    _shell(certify, directory)
    show = [*OVERAIR, "device", "show", imei[1], "--data", "overair-demo", "--json"]

    def last_seen() -> str:
        return str(json.loads(_run(show, directory))["lastSeen"])

    before = last_seen()
    with (directory / "swupdate.txt").open("w") as out:
        device = subprocess.Popen(
            ["sh", "-c", f"exec {line}"],
            cwd=directory,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(directory)},
            start_new_session=True,
        )
    try:
        wait_for(lambda: last_seen() != before, "swupdate to check in", LIMIT_S)
    finally:
        os.killpg(device.pid, signal.SIGTERM)
        device.wait(timeout=30)


def test_its_outcome_can_be_read_by_programs(tmp_path: Path) -> None:
    """With ``--json`` and nobody at the terminal it ends after the report, which is right."""
    address = f"127.0.0.1:{free_port()}"
    done = subprocess.run(
        [*OVERAIR, "demo", "--json", "--devices", str(DEVICES), "--http", address],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["right"] is True
    assert len(outcome["campaigns"]) == 4
    assert sum(outcome["versions"].values()) == DEVICES
    assert outcome["callbacks"]["received"] > DEVICES
    (upgrade,) = outcome["upgrades"]
    assert upgrade["disputes"] == []
    # Who has a wrong secret is never heard; all others are, as soon as they have power for long enough.
    assert upgrade["devices"] // 2 <= upgrade["succeeded"] < upgrade["devices"]
    assert upgrade["asleepInFirstWindow"] > 0
    assert "power again" in "\n".join(upgrade["sleeper"]["way"])
    pilot, full = outcome["cells"]["campaigns"]
    assert pilot["status"] == full["status"] == "CampaignEnded"
    assert pilot["succeeded"] + full["succeeded"] >= 20
    assert outcome["cells"]["disputes"] == pilot["disputes"] == full["disputes"] == []
    assert len(outcome["cells"]["slots"]) >= 3
    again = [*OVERAIR, "verify", "--data", "overair-demo", "--json"]
    assert json.loads(_run(again, tmp_path))["findings"] == []


def test_it_can_be_interrupted(tmp_path: Path) -> None:
    """Ctrl-C in the middle of the story ends it at once, and nothing goes on listening."""
    port = free_port()
    with _demo(tmp_path, "--http", f"127.0.0.1:{port}") as demo:
        said = tmp_path / "out.txt"
        wait_for(lambda: "CampaignScheduled" in said.read_text(), "a campaign to run", LIMIT_S)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=30) == 130
        assert "Traceback" not in said.read_text()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


def test_it_says_what_is_in_its_way(tmp_path: Path) -> None:
    """A port in use, or a directory that is somebody's, is a sentence and status 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = _refused(tmp_path, "--http", f"127.0.0.1:{taken.getsockname()[1]}")
        assert "cannot listen" in said
        assert "--http" in said
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert "was not made by a demo" in _refused(tmp_path, "--data", "mine")
    assert (tmp_path / "mine" / "letter.txt").is_file()


def _refused(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*OVERAIR, "demo", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr
