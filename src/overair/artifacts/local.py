"""Artifacts as files of a directory: ``ROOT/ab/cd/<sha256>``, uploads under ``ROOT/incoming``.

The rules:

- A file gets its name by a rename once it is complete and on the disk, so a name always means whole
  content. The directories are flushed before the commit returns.
- Publishing and sweeping exclude each other under a lock that also holds between processes:
  content that is taken anew while it is being swept is either kept, with its age renewed, or
  dropped before and written again.
- Reading does not block the event loop: what the system has in its page cache is read at once
  (``RWF_NOWAIT``), everything else in a thread. Open files are kept for a while, since a fleet
  downloads the same few.

Not in here: access rights beyond the file mode. A front nginx that is to send files
(``X-Accel-Redirect``) needs to be in the group that owns them.
"""

import asyncio
import os
from collections import OrderedDict
from collections.abc import Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from pathlib import Path

from overair.artifacts.errors import ArtifactMissingError, from_os
from overair.artifacts.spool import Spool, clear, directory_lock
from overair.artifacts.storage import PIECE_BYTES, Artifact, Handoff, Intake, Internal, Reader, key

# Linux only; elsewhere every read takes a thread.
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)

_INCOMING = "incoming"
_HEX_PAIR = "[0-9a-f]" * 2


class LocalStorage:
    """Content in a local directory.

    ``internal_prefix`` is the location under which a front nginx knows the root directory; with
    it, sending is handed to nginx.
    """

    def __init__(
        self,
        root: Path,
        *,
        internal_prefix: str | None = None,
        open_files: int = 64,
        threads: int = 8,
    ) -> None:
        self._root = root
        self._incoming = root / _INCOMING
        self._internal_prefix = internal_prefix
        self._open_files = open_files
        self._files: OrderedDict[str, _File] = OrderedDict()
        # Reads at once are copied out of here, in the event loop's thread alone.
        self._scratch = memoryview(bytearray(PIECE_BYTES))
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            clear(self._incoming)
        except OSError as error:
            raise from_os(error) from error
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="artifacts")

    def receive(self, max_bytes: int) -> AbstractAsyncContextManager[Intake]:
        """Open an intake."""
        return Spool(self._incoming, self._threads, max_bytes, self._publish)

    async def open(self, sha256: str) -> Reader:
        """Open content for reading."""
        file = self._files.get(sha256)
        if file is None:
            opened = await self._open_in_thread(sha256)
            # Another task may have opened it in the meantime.
            file = self._files.setdefault(sha256, opened)
            if file is not opened:
                opened.let_go()
        self._files.move_to_end(sha256)
        reader = _LocalReader(file, self._threads, self._scratch)
        while len(self._files) > self._open_files:
            self._files.popitem(last=False)[1].let_go()
        return reader

    async def _open_in_thread(self, sha256: str) -> "_File":
        path = self._root / key(sha256)
        loop = asyncio.get_running_loop()
        opening = loop.run_in_executor(self._threads, _open_file, path, sha256)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_forget)
            raise

    async def hand_off(self, sha256: str) -> Handoff | None:
        """Hand sending to the nginx in front, if there is one."""
        if self._internal_prefix is None:
            return None
        return Internal(path=f"{self._internal_prefix.rstrip('/')}/{key(sha256)}")

    async def sweep(self, keep: Set[str], *, before: datetime) -> int:
        """Drop old content that nothing refers to."""
        loop = asyncio.get_running_loop()
        dropped = await loop.run_in_executor(self._threads, self._sweep, keep, before.timestamp())
        for sha256 in dropped:
            if (file := self._files.pop(sha256, None)) is not None:
                file.let_go()
        return len(dropped)

    async def close(self) -> None:
        """Close the files that were kept open."""
        while self._files:
            self._files.popitem()[1].let_go()
        await asyncio.to_thread(self._threads.shutdown)

    def _publish(self, path: Path, artifact: Artifact) -> None:
        target = self._root / key(artifact.sha256)
        with directory_lock(self._incoming):
            target.parent.mkdir(parents=True, exist_ok=True)
            if _size_of(target) == artifact.size_bytes:
                os.utime(target)
            else:
                # Not there yet, or cut short by a failing disk: put the whole in its place.
                path.rename(target)
        for directory in (target.parent, target.parent.parent, self._root):
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def _sweep(self, keep: Set[str], before_s: float) -> list[str]:
        dropped = []
        try:
            for path in self._contents():
                if path.name in keep:
                    continue
                # It may be gone: another sweep, or one of another process, was faster.
                with directory_lock(self._incoming), suppress(FileNotFoundError):
                    if path.stat().st_mtime < before_s:
                        path.unlink()
                        dropped.append(path.name)
        except OSError as error:
            raise from_os(error) from error
        return dropped

    def _contents(self) -> Iterator[Path]:
        return self._root.glob(f"{_HEX_PAIR}/{_HEX_PAIR}/{'[0-9a-f]' * 64}")


class _File:
    """An open file, closed when the store and the last reader have let go of it."""

    __slots__ = ("fd", "nowait", "size", "users")

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size
        self.nowait = _NOWAIT
        self.users = 1

    def let_go(self) -> None:
        self.users -= 1
        if self.users == 0:
            os.close(self.fd)


class _LocalReader:
    def __init__(self, file: _File, threads: ThreadPoolExecutor, scratch: memoryview) -> None:
        file.users += 1
        self._file: _File | None = file
        self._threads = threads
        self._scratch = scratch
        self.size = file.size

    async def read(self, offset: int, n: int) -> bytes:
        """Read what is cached at once, or else in a thread."""
        file = self._file
        assert file is not None, "the reader is closed"
        n = min(n, len(self._scratch))
        try:
            if file.nowait is not None:
                try:
                    into = self._scratch[:n]
                    return bytes(into[: os.preadv(file.fd, [into], offset, file.nowait)])
                except BlockingIOError:
                    pass
                except OSError:
                    # This file system cannot say what is cached. A true error shows again below.
                    file.nowait = None
            # The file stays open for the thread even if this task is cancelled meanwhile.
            file.users += 1
            loop = asyncio.get_running_loop()
            reading = loop.run_in_executor(self._threads, _read, file.fd, offset, n)
            reading.add_done_callback(lambda _: file.let_go())
            return await asyncio.shield(reading)
        except OSError as error:
            raise from_os(error) from error

    async def close(self) -> None:
        """Let go of the file."""
        file, self._file = self._file, None
        if file is not None:
            file.let_go()


def _open_file(path: Path, sha256: str) -> _File:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ArtifactMissingError(sha256) from None
    except OSError as error:
        raise from_os(error) from error
    return _File(fd, os.fstat(fd).st_size)


def _forget(opening: "asyncio.Future[_File]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().let_go()


def _read(fd: int, offset: int, n: int) -> bytes:
    piece = os.pread(fd, n, offset)
    if hasattr(os, "posix_fadvise"):
        # The next piece is likely to be wanted soon; reading at once does not read ahead.
        os.posix_fadvise(fd, offset + n, n, os.POSIX_FADV_WILLNEED)
    return piece


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
