"""The README is run as a reader would run it."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a reader runs elsewhere or once: targets of the Makefile, and the client on the device.
LEFT_OUT = ("make ", "swupdate ", "export PATH")


def script(port: int, directory: Path) -> str:
    """The README's shell blocks in order, on a port and in a directory of the test's own."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    lines = [
        line for block in blocks for line in block.splitlines() if not line.startswith(LEFT_OUT)
    ]
    text = "\n".join(lines)
    return text.replace("8080", str(port)).replace("/tmp/overair-try", str(directory))


@pytest.mark.slow
def test_the_five_minutes_work(tmp_path: Path) -> None:
    """Every line of the README's start works, and the device ends with the new version."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = subprocess.run(
        ["/bin/bash", "-eu", "-c", script(port, tmp_path / "try")],
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "COLUMNS": "200"},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks hold" in done.stdout
    assert re.search(r"version +02", done.stdout)
