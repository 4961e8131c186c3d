"""The only door to identities that must not repeat, and to secrets that must not be guessed.

Everything below the edges takes them as arguments, so that a test can say which they are. A simulation
of the whole system, which has to be repeatable, says for its duration where they come from.
"""

import base64
import contextlib
import secrets
import uuid
from collections.abc import Callable, Iterator

Source = Callable[[int], bytes]
"""So many bytes that nobody can guess."""

_draw: Source = secrets.token_bytes


@contextlib.contextmanager
def drawn_from(source: Source) -> Iterator[None]:
    """Take everything from ``source`` until the end of the block: for simulations, never for a server."""
    global _draw
    before, _draw = _draw, source
    try:
        yield
    finally:
        _draw = before


def new_uuid() -> str:
    """A random UUID (version 4), as campaigns, requests for changes and sessions have."""
    return str(uuid.UUID(bytes=_draw(16), version=4))


def new_token(size_bytes: int = 24) -> str:
    """Random text for nonces, generated passwords and request ids; safe in URLs and headers."""
    return base64.urlsafe_b64encode(_draw(size_bytes)).rstrip(b"=").decode()


def new_bytes(size_bytes: int) -> bytes:
    """Random bytes, for salts."""
    return _draw(size_bytes)
