"""Debian's real `swupdate` (2022.12), in hawkBit mode, as a device under test.

It runs without root and without touching the system: its own TMPDIR for its sockets and its downloads, a made-up
board, boot loader `none`, and an image whose only file goes into the same directory. What a boot loader would tell
after a restart is told by `-c`: 2 reports success, 3 failure, 1 "testing, ask again".

The log is read as it is written, so a test waits for a line, never for a time. The process gets its own process
group (it forks an installer and a network thread per start) and the whole group is ended by its id on the way out.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.swu import BOARD, REVISION

STOP_WAIT_S = 5.0


class Confirm(IntEnum):
    """What the restarted device knows of its update (`-c`)."""

    AGAIN = 1
    SUCCESS = 2
    FAILED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the device finds its server and how it presents itself."""

    base_url: str
    tenant: str
    controller_id: str
    token: str | None = None
    gateway_token: str | None = None


def installed() -> bool:
    """Tell whether this machine has swupdate (Debian: `apt-get install swupdate`)."""
    return shutil.which("swupdate") is not None


class SwUpdate:
    """One device. Start it as often as a device would boot; `lines` is the log over all starts."""

    def __init__(
        self,
        *,
        directory: Path,
        target: Target,
        certificate: Path,
        poll_s: int = 2,
        retries: int = 5,
        retry_wait_s: int = 1,
        identify: dict[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.target = target
        self.lines: list[str] = []
        self._certificate = certificate
        self._poll = (poll_s, retries, retry_wait_s)
        self._identify = identify
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop(kill=True)

    @property
    def running(self) -> bool:
        """Tell whether the main process lives."""
        return self._process is not None and self._process.returncode is None

    @property
    def mark(self) -> int:
        """Return the present end of the log, to wait only for what follows."""
        return len(self.lines)

    async def start(self, *, confirm: Confirm | None = None) -> int:
        """Boot the device; with `confirm` it first reports what became of its update. Returns the log's mark."""
        assert not self.running, "already running"
        tmp = self.directory / "tmp"
        tmp.mkdir(parents=True, exist_ok=True)
        for stale in tmp.glob("sockinst*"):
            stale.unlink()
        mark = self.mark
        self._process = await asyncio.create_subprocess_exec(
            *self._command(confirm),
            cwd=self.directory,
            env={"TMPDIR": str(tmp), "PATH": os.environ["PATH"], "LC_ALL": "C"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = asyncio.create_task(self._read(self._process))
        return mark

    async def stop(self, *, kill: bool = False) -> None:
        """End the device: in order, or as a power cut would."""
        if self._process is None:
            return
        process, self._process = self._process, None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL if kill else signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_WAIT_S)
        # The children may outlive the main process; the group's id is still ours while one of them lives.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        if self._reader is not None:
            await self._reader

    async def wait_log(self, pattern: str, *, since: int = 0, timeout_s: float = 30.0) -> str:
        """Wait for a log line that matches, at or after a mark, and return it."""
        found: list[str] = []
        wanted = re.compile(pattern)

        def seen() -> bool:
            found.extend(line for line in self.lines[since:] if wanted.search(line))
            return bool(found) or (self._reader is not None and self._reader.done())

        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(seen), timeout_s)
        if not found:
            state = "running" if self.running else "ended"
            tail = "\n".join(self.lines[-40:])
            raise AssertionError(
                f"swupdate ({state}) did not log {pattern!r}; its last lines:\n{tail}"
            )
        return found[0]

    def _command(self, confirm: Confirm | None) -> list[str]:
        poll_s, retries, retry_wait_s = self._poll
        suricatta = [
            *(
                "-t",
                self.target.tenant,
                "-u",
                self.target.base_url,
                "-i",
                self.target.controller_id,
            ),
            *("-p", str(poll_s), "-r", str(retries), "-w", str(retry_wait_s)),
        ]
        if self.target.token is not None:
            suricatta += ["-k", self.target.token]
        if self.target.gateway_token is not None:
            suricatta += ["-g", self.target.gateway_token]
        if confirm is not None:
            suricatta += ["-c", str(int(confirm))]
        command = ["swupdate", "-v", "-k", str(self._certificate), "-B", "none"]
        if self._identify:
            command += ["-f", str(self._configuration(self._identify))]
        return [*command, "-H", f"{BOARD}:{REVISION}", "-u", " ".join(suricatta)]

    def _configuration(self, identify: dict[str, str]) -> Path:
        """Write the `identify` section: without one swupdate sends no attributes at all, also when asked."""
        pairs = ", ".join(f'{{ name = "{k}"; value = "{v}"; }}' for k, v in identify.items())
        path = self.directory / "swupdate.cfg"
        path.write_text(f"globals : {{ verbose = true; }};\nidentify : ( {pairs} );\n")
        return path

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            text = re.sub(r"\x1b\[[0-9;]*m", "", line.decode("utf-8", "replace")).rstrip()
            async with self._changed:
                self.lines.append(text)
                self._changed.notify_all()
        async with self._changed:
            self._changed.notify_all()
