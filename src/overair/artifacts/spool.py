"""Writing an upload to a temporary file, with its digests, off the event loop.

The rules:

- Bytes are gathered to pieces of 1 MiB; each is written and hashed in a thread.
- A temporary file is locked (``flock``) by the process that writes it. One that can be locked
  belongs to nobody any more, since a lock ends with its process: ``clear`` removes those, and only
  those, so that several processes may share a directory.
- The steps of one spool follow each other under a lock, because a task that is cancelled while its
  thread still writes goes on to clean up: the file must not be closed under the writing thread.

Not in here: where the finished file goes.
"""

import asyncio
import fcntl
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from overair.artifacts.errors import StorageError, TooLargeError, from_os
from overair.artifacts.storage import PIECE_BYTES, Artifact, Digests

_Result = TypeVar("_Result")

LOCK_NAME = ".lock"


class Spool:
    """One upload on its way to disk; ``publish`` says what becomes of the finished file.

    ``publish(path, artifact)`` runs in a thread with the file complete and flushed to the disk. It
    may move the file away; what it leaves is removed.
    """

    def __init__(
        self,
        directory: Path,
        threads: ThreadPoolExecutor,
        max_bytes: int,
        publish: Callable[[Path, Artifact], None],
    ) -> None:
        self._directory = directory
        self._threads = threads
        self._max_bytes = max_bytes
        self._publish = publish
        self._digests = Digests()
        self._gathered = bytearray()
        self._size = 0
        self._step = threading.Lock()
        self._fd: int | None = None
        self._path: Path | None = None
        self._ended = False
        self._dropped = False

    async def __aenter__(self) -> Self:
        try:
            await self._run(self._open)
        except BaseException:
            await self._drop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._drop()

    async def write(self, chunk: bytes) -> None:
        """Take more bytes."""
        assert not self._ended, "nothing can be written after the commit"
        self._size += len(chunk)
        if self._size > self._max_bytes:
            raise TooLargeError(self._max_bytes)
        self._gathered += chunk
        if len(self._gathered) >= PIECE_BYTES:
            await self._run(self._flush, self._take())

    async def commit(self) -> Artifact:
        """Finish the file and publish it."""
        assert not self._ended, "an intake is committed once"
        self._ended = True
        return await self._run(self._finish, self._take())

    def _take(self) -> bytearray:
        gathered, self._gathered = self._gathered, bytearray()
        return gathered

    async def _run(self, step: Callable[..., _Result], *args: object) -> _Result:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._locked, step, *args)

    def _locked(self, step: Callable[..., _Result], *args: object) -> _Result:
        with self._step:
            try:
                return step(*args)
            except OSError as error:
                raise from_os(error) from error

    def _open(self) -> None:
        if self._dropped:
            raise StorageError("the upload is over")
        # Under the directory's lock, so that nobody takes a file that is not locked yet for a
        # forsaken one.
        with directory_lock(self._directory):
            fd, name = tempfile.mkstemp(prefix="upload-", dir=self._directory)
            self._fd, self._path = fd, Path(name)
            fcntl.flock(fd, fcntl.LOCK_EX)

    def _flush(self, gathered: bytearray) -> None:
        if self._fd is None:
            raise StorageError("the upload is over")
        rest = memoryview(gathered)
        while rest:
            rest = rest[os.write(self._fd, rest) :]
        self._digests.update(gathered)

    def _finish(self, gathered: bytearray) -> Artifact:
        self._flush(gathered)
        assert self._fd is not None
        assert self._path is not None
        os.fchmod(self._fd, 0o640)
        os.fsync(self._fd)
        artifact = self._digests.artifact()
        self._publish(self._path, artifact)
        return artifact

    async def _drop(self) -> None:
        # Shielded: a second cancellation must not keep the file from being removed.
        loop = asyncio.get_running_loop()
        await asyncio.shield(loop.run_in_executor(self._threads, self._locked, self._remove))

    def _remove(self) -> None:
        # A step whose task was cancelled may still wait for its turn; it finds the upload over.
        self._dropped = True
        fd, self._fd = self._fd, None
        path, self._path = self._path, None
        if path is not None:
            path.unlink(missing_ok=True)
        if fd is not None:
            os.close(fd)


@contextmanager
def directory_lock(directory: Path) -> Iterator[None]:
    """Keep all other threads and processes from changing which files there are."""
    fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def clear(directory: Path) -> int:
    """Remove what uploads of processes that died have left; gives the number of files."""
    removed = 0
    with directory_lock(directory):
        for path in directory.glob("upload-*"):
            with suppress(FileNotFoundError):
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                else:
                    path.unlink()
                    removed += 1
                finally:
                    os.close(fd)
    return removed
