"""Bytes of software on their way between files and the artifact storage."""

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from io import BufferedReader
from pathlib import Path

from overair.artifacts.choice import ARTIFACTS_FOLDER, open_storage
from overair.artifacts.errors import ArtifactError
from overair.artifacts.storage import PIECE_BYTES, Artifact, ArtifactStorage
from overair.cli import CommandError
from overair.config import ConfigError, Settings


@contextlib.asynccontextmanager
async def artifact_storage(settings: Settings) -> AsyncIterator[ArtifactStorage]:
    """The installation's storage. Raises ConfigError; what goes wrong in it is a CommandError."""
    try:
        storage = open_storage(
            Path(settings.data) / ARTIFACTS_FOLDER,
            location=settings.storage,
            options=settings.storage_options,
            delivery=settings.artifact_delivery,
        )
    except ValueError as error:
        raise ConfigError(f"settings: {error}") from error
    except ArtifactError as error:
        raise CommandError(str(error), status=3) from error
    try:
        yield storage
    except ArtifactError as error:
        raise CommandError(str(error), status=3) from error
    finally:
        await storage.close()


def regular(path: Path) -> BufferedReader:
    """The file at ``path``, open; a device or a pipe may have no end. Raises OSError."""
    # Opening a pipe that nobody writes to would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is a directory" if stat.S_ISDIR(mode) else "is no file")
    return os.fdopen(descriptor, "rb")


async def take_in(storage: ArtifactStorage, path: Path) -> Artifact:
    """Put a file into the storage, a piece at a time. Raises CommandError, ArtifactError."""
    try:
        with regular(path) as file:
            async with storage.receive(os.fstat(file.fileno()).st_size) as intake:
                while piece := file.read(PIECE_BYTES):
                    await intake.write(piece)
                return await intake.commit()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error


async def write_out(storage: ArtifactStorage, sha256: str, path: Path) -> None:
    """Write stored bytes to a file. Raises CommandError, ArtifactError."""
    reader = await storage.open(sha256)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            offset = 0
            while piece := await reader.read(offset, PIECE_BYTES):
                file.write(piece)
                offset += len(piece)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    finally:
        await reader.close()


def digest(path: Path) -> str:
    """The SHA-256 of a file. Raises CommandError."""
    try:
        with regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
