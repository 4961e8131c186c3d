"""Server processes under measurement: start, wait until they answer, read what they cost, end them.

CPU is user and system time of the process and all its descendants (/proc/PID/stat), memory the sum of their VmHWM.
A process is ended by the id it was started with, and its group with it.
"""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

START_WAIT_S = 60.0
STOP_WAIT_S = 10.0
SETTLE_WAIT_S = 10.0
SETTLE_STEP_S = 0.5
QUIET_SHARE = 0.03
TICKS = os.sysconf("SC_CLK_TCK")


class StartError(Exception):
    """A server did not come up; the text has the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server, its port and its log."""

    name: str
    pid: int
    port: int
    log: Path

    def cpu_s(self) -> float:
        """Return the CPU seconds spent so far."""
        total = 0
        for pid in _family(self.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def peak_mib(self) -> float:
        """Return the highest resident size so far, in MiB."""
        total = 0
        for pid in _family(self.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        total += int(line.split()[1])
        return total / 1024

    def forget_peak(self) -> float:
        """Let the highest size be that of now, and return it, in MiB."""
        for pid in _family(self.pid):
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        return self.peak_mib()


def settle(server: Server) -> float:
    """Wait until a server has put its books in order, so that it takes no time from the next measurement.

    Returns the share of a core that it still used at the end; a server that never rests is not waited for for ever.
    """
    share = 1.0
    deadline = time.monotonic() + SETTLE_WAIT_S
    while share > QUIET_SHARE and time.monotonic() < deadline:
        before = server.cpu_s()
        time.sleep(SETTLE_STEP_S)
        share = (server.cpu_s() - before) / SETTLE_STEP_S
    return share


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(
    name: str,
    command: Sequence[str],
    *,
    port: int,
    cwd: Path,
    environment: Mapping[str, str],
    probe: str,
) -> Iterator[Server]:
    """Run a server for the length of a with-block; it is up when `probe` is answered at all."""
    log = cwd / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_up(process, port, probe, log)
        yield Server(name=name, pid=process.pid, port=port, log=log)
        if process.poll() is not None:
            raise StartError(f"{name} ended during the run:\n{_tail(log)}")
    finally:
        _end(process)


def _wait_until_up(process: subprocess.Popen[bytes], port: int, probe: str, log: Path) -> None:
    deadline = time.monotonic() + START_WAIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StartError(f"the server ended with {process.returncode}:\n{_tail(log)}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", probe)
            connection.getresponse().read()
            return
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        finally:
            connection.close()
    raise StartError(f"no answer within {START_WAIT_S} s:\n{_tail(log)}")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_WAIT_S)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _family(root: int) -> list[int]:
    family = [root]
    for pid in family:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                family += [int(child) for child in children.read_text().split()]
    return family


def _tail(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-20:])
