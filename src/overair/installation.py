"""The installation's key: the one secret that is not in the database.

Device tokens that we make are derived from it, so that they can be shown again although only their
hash is stored, and download links are signed with it. It is a setting, or a file that is made at
the first start, readable by its owner alone.
"""

import contextlib
import os
import secrets
from pathlib import Path

from overair.config import ConfigError, Settings

KEY_FILE = "secret.key"


def installation_key(settings: Settings) -> bytes:
    """The key, made and kept if there is none yet. Raises ConfigError."""
    if settings.secret_key:
        return settings.secret_key.encode()
    path = Path(settings.data) / KEY_FILE
    try:
        if path.is_file():
            return _checked(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written whole under another name first: two processes that start at once end with one key.
        fresh = path.with_name(f"{KEY_FILE}.{secrets.token_hex(8)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(48))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(fresh, path)
        finally:
            fresh.unlink()
        return _checked(path)
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}: give secret_key, or a data directory"
        ) from error


def _checked(path: Path) -> bytes:
    key = path.read_text().strip()
    if len(key) < 32:
        raise ConfigError(f"{path}: holds no key of at least 32 characters")
    return key.encode()
