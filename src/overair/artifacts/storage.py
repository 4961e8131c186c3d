"""The interface of an artifact store, and what all stores share.

The rules:

- Content is known by its SHA-256 alone. The same bytes taken twice are kept once.
- Content is taken through an ``Intake`` and exists for readers only once ``commit`` has returned;
  then it is durable. An intake that is left without a commit, for whatever reason, leaves nothing.
- No store holds a whole artifact in memory.
- Content goes only through ``sweep``, which is told what is still referenced. Committing content
  that is there already renews its age, and ``sweep`` spares what is young, so that content taken
  a moment ago is safe while the row that refers to it is being written.

Not in here: places. ``local`` keeps files in a directory, ``s3`` objects in a bucket.
"""

import hashlib
import re
from collections.abc import Set
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from overair.artifacts.errors import ArtifactMissingError

# Bytes that are read, hashed or sent in one go.
PIECE_BYTES = 1024 * 1024

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Content that was taken: its digests, in lower-case hexadecimal, and its size."""

    sha256: str
    sha1: str
    md5: str
    size_bytes: int

    @property
    def etag(self) -> str:
        """The strong entity tag that the content is served with."""
        return f'"{self.sha256}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """The device is to fetch the bytes at another address."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Internal:
    """The nginx in front is to send the bytes that it knows under this path (X-Accel-Redirect)."""

    path: str


Handoff = Redirect | Internal


class Reader(Protocol):
    """Open content. A reader must be closed; it may be read from several tasks at once."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    async def read(self, offset: int, n: int) -> bytes:
        """At most ``n`` bytes from ``offset``; fewer when fewer are at hand, none at the end."""
        ...

    async def close(self) -> None:
        """Give it back."""
        ...


class Intake(Protocol):
    """Content on its way in."""

    async def write(self, chunk: bytes) -> None:
        """Take more bytes; ``TooLargeError`` past the limit, ``StorageFullError`` on a full disk."""
        ...

    async def commit(self) -> Artifact:
        """Make what was written durable and known. Nothing can be written after."""
        ...


class ArtifactStorage(Protocol):
    """A place that keeps content."""

    def receive(self, max_bytes: int) -> AbstractAsyncContextManager[Intake]:
        """Open an intake; what was not committed when the block ends is dropped."""
        ...

    async def open(self, sha256: str) -> Reader:
        """Open content for reading; ``ArtifactMissingError`` if there is none."""
        ...

    async def hand_off(self, sha256: str) -> Handoff | None:
        """Who else is to send the content; None: this process does."""
        ...

    async def sweep(self, keep: Set[str], *, before: datetime) -> int:
        """Drop content that is not in ``keep`` and was last taken before that instant.

        ``before`` is by the wall's clock, and must be earlier than the moment at which ``keep``
        was read by more than an upload takes to become a row. Gives the number dropped.
        """
        ...

    async def close(self) -> None:
        """Give back what the store holds; nothing may be open any more."""
        ...


class Digests:
    """The three digests that devices ask for (http-ddi 5.3), computed while bytes pass."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        # Devices check sha1 and md5 against damage; nothing here trusts them.
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._size = 0

    def update(self, chunk: bytes | bytearray) -> None:
        """Count in more bytes."""
        self._sha256.update(chunk)
        self._sha1.update(chunk)
        self._md5.update(chunk)
        self._size += len(chunk)

    def artifact(self) -> Artifact:
        """What passed so far."""
        return Artifact(
            sha256=self._sha256.hexdigest(),
            sha1=self._sha1.hexdigest(),
            md5=self._md5.hexdigest(),
            size_bytes=self._size,
        )


def key(sha256: str) -> str:
    """The place of content in a store: two levels, so that no directory grows too long.

    Digests come from rows of the database, but a path is made of them: anything else than a digest
    is content that we do not have.
    """
    if _SHA256.fullmatch(sha256) is None:
        raise ArtifactMissingError(sha256[:64])
    return f"{sha256[:2]}/{sha256[2:4]}/{sha256}"
