"""Artifacts as objects of an S3-compatible store: ``PREFIX/ab/cd/<sha256>``.

The rules:

- An upload is spooled to a local file first: its name is its digest, which is known at the end.
  Then it goes out in parts of 5 MiB, a few at a time.
- Content that is there already is sent again. That renews its age, which is what protects it from
  a sweep; an object cannot be touched.
- A download is fetched in ranges of at most a piece, so a slow device costs one piece of memory.

Parts of an upload that broke off stay in the store unseen; a life-cycle rule of the bucket that
ends incomplete uploads removes them.

Not in here: making buckets, and credentials other than those in the settings and the environment.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from overair.artifacts.errors import ArtifactMissingError, StorageError, from_os
from overair.artifacts.spool import Spool, clear
from overair.artifacts.storage import PIECE_BYTES, Artifact, Handoff, Intake, Reader, Redirect, key

_PART_BYTES = 5 * 1024 * 1024
_PARTS_AT_ONCE = 4
_SIZES_KEPT = 1024

# What is not there, and what the local file system refuses, comes as the built-in errors.
_FAILURES = (BaseError, OSError)


class S3Storage:
    """Content in a bucket; ``spool`` is a local directory for uploads under way.

    With ``redirect_for``, devices are sent to a presigned address that is good for that long.
    """

    def __init__(
        self,
        store: S3Store,
        spool: Path,
        *,
        prefix: str = "",
        redirect_for: timedelta | None = None,
        threads: int = 4,
    ) -> None:
        self._store = store
        self._incoming = spool
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._redirect_for = redirect_for
        self._sizes: OrderedDict[str, int] = OrderedDict()
        try:
            spool.mkdir(parents=True, exist_ok=True)
            clear(spool)
        except OSError as error:
            raise from_os(error) from error
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="artifacts")

    def receive(self, max_bytes: int) -> AbstractAsyncContextManager[Intake]:
        """Open an intake."""
        return Spool(self._incoming, self._threads, max_bytes, self._publish)

    async def open(self, sha256: str) -> Reader:
        """Ask for the size of the content; bytes are fetched as they are read."""
        place = self._prefix + key(sha256)
        size = self._sizes.get(sha256)
        if size is None:
            try:
                size = (await obstore.head_async(self._store, place))["size"]
            except _FAILURES as error:
                _raise(error, sha256)
            self._sizes[sha256] = size
            while len(self._sizes) > _SIZES_KEPT:
                self._sizes.popitem(last=False)
        return _S3Reader(self._store, place, sha256, size)

    async def hand_off(self, sha256: str) -> Handoff | None:
        """Send the device to the store itself, if that is wanted."""
        if self._redirect_for is None:
            return None
        try:
            url = await obstore.sign_async(
                self._store, "GET", self._prefix + key(sha256), self._redirect_for
            )
        except _FAILURES as error:
            _raise(error, sha256)
        return Redirect(url=url)

    async def sweep(self, keep: Set[str], *, before: datetime) -> int:
        """Drop old content that nothing refers to."""
        dropped = 0
        try:
            async for objects in obstore.list(self._store, prefix=self._prefix or None):
                for found in objects:
                    sha256 = found["path"].rpartition("/")[2]
                    if sha256 in keep or not self._is_ours(found["path"], sha256):
                        continue
                    # The list may be minutes old by now; what was taken anew since then is young.
                    newest = await obstore.head_async(self._store, found["path"])
                    if newest["last_modified"] < before:
                        await obstore.delete_async(self._store, found["path"])
                        self._sizes.pop(sha256, None)
                        dropped += 1
        except _FAILURES as error:
            raise StorageError(f"the object store failed: {error}") from error
        return dropped

    async def close(self) -> None:
        """End the threads."""
        await asyncio.to_thread(self._threads.shutdown)

    def _is_ours(self, path: str, sha256: str) -> bool:
        try:
            return path == self._prefix + key(sha256)
        except ArtifactMissingError:
            return False

    def _publish(self, path: Path, artifact: Artifact) -> None:
        try:
            obstore.put(
                self._store,
                self._prefix + key(artifact.sha256),
                path,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
        except _FAILURES as error:
            raise StorageError(f"the object store failed: {error}") from error


class _S3Reader:
    def __init__(self, store: S3Store, place: str, sha256: str, size: int) -> None:
        self._store = store
        self._place = place
        self._sha256 = sha256
        self.size = size

    async def read(self, offset: int, n: int) -> bytes:
        """Fetch a range."""
        n = min(n, PIECE_BYTES, self.size - offset)
        if n <= 0:
            return b""
        try:
            piece = await obstore.get_range_async(self._store, self._place, start=offset, length=n)
        except _FAILURES as error:
            _raise(error, self._sha256)
        return piece.to_bytes()

    async def close(self) -> None:
        """Nothing is held."""


def _raise(error: Exception, sha256: str) -> NoReturn:
    if isinstance(error, FileNotFoundError):
        raise ArtifactMissingError(sha256) from error
    raise StorageError(f"the object store failed: {error}") from error
