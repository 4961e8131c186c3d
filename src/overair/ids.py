"""The only door to identities that must not repeat, and to secrets that must not be guessed.

Everything below the edges takes them as arguments, so that a test can say which they are.
"""

import secrets
import uuid


def new_uuid() -> str:
    """A random UUID (version 4), as campaigns, requests for changes and sessions have."""
    return str(uuid.uuid4())


def new_token(size_bytes: int = 24) -> str:
    """Random text for nonces, generated passwords and request ids; safe in URLs and headers."""
    return secrets.token_urlsafe(size_bytes)


def new_bytes(size_bytes: int) -> bytes:
    """Random bytes, for salts."""
    return secrets.token_bytes(size_bytes)
