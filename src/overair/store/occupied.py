"""One server to one SQLite database.

A second server on the same file would be safe for the facts, which SQLite keeps from both, but not
for what each remembers between two flushes, and nobody starts it on purpose: it is the old one that
has not stopped yet. So it is refused. The lock is the kernel's and belongs to the process: whatever
ends a server, ``kill -9`` too, lets go of it. Commands take no part in this; they work beside a
server. On PostgreSQL any number of servers may run.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from overair.store.database import StoreBusyError, StoreUnavailableError

SUFFIX = ".serving"


@contextlib.contextmanager
def sole_server(database_url: str) -> Iterator[None]:
    """Hold the database at ``database_url`` for this server. Raises StoreError if another has it."""
    if not database_url.startswith("sqlite:///"):
        yield
        return
    database = Path(database_url.removeprefix("sqlite:///")).resolve()
    path = database.with_name(database.name + SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreUnavailableError(f"{path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            other = os.pread(held, 20, 0).decode(errors="replace").strip() or "unknown"
            raise StoreBusyError(
                f"{database}: another server (process {other}) runs on it: stop that one first, or"
                " give this one a directory of its own with --data"
            ) from error
        os.ftruncate(held, 0)
        os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(held)
