"""What may be registered as a callback listener, and when a message is tried again (``api.md`` 9.1).

An address must be an absolute ``http`` or ``https`` URL in plain ASCII, as RFC 3986 has them, of at
most 2048 characters. v2 and v3 want ``https`` unless the installation allows otherwise; v1 takes
both. A user name in it is refused: it would be shown to everybody who may read the registration,
and v1 has members of its own for that.

An address in numbers is judged here already, so that whoever registers it hears of it. That is a
courtesy: what counts is the address that is connected to (``callbacks/guard.py``).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from overair.core.addresses import literal, not_public

MAX_URL: Final = 2048
MAX_CREDENTIAL: Final = 256
_PLAIN: Final = re.compile(r"[\x21-\x7e]+")
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_-]+)*\.?")
_LOCAL_NAMES: Final = ("localhost", "ip6-localhost", "ip6-loopback")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerRules:
    """What the installation says about listeners."""

    plain_http: bool = False  # also for v2 and v3
    private_addresses: bool = False


def url_problem(url: str, api_version: int, rules: ListenerRules) -> str | None:
    """Why the URL cannot be registered, None where it can."""
    if not url or len(url) > MAX_URL:
        return f"it needs 1 to {MAX_URL} characters"
    if not _PLAIN.fullmatch(url) or "\\" in url:
        return "it has characters that no URL has"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it is malformed"
    if parts.scheme not in ("http", "https"):
        return "it is no http or https URL"
    if parts.scheme == "http" and api_version != 1 and not rules.plain_http:
        return "it is not https"
    if "@" in parts.netloc:
        return "it has a user name in it"
    host = parts.hostname or ""  # in lower case
    bracketed = parts.netloc.startswith("[")
    if not bracketed and (len(host) > 253 or not _HOST.fullmatch(host)):
        return "it has no valid host"
    if port == 0 or parts.netloc.endswith(":"):
        return "it has no valid port"
    number = literal(host)
    if number is not None and not bracketed and number != host:
        return "its host is an address in an odd form"
    if rules.private_addresses:
        return None
    name = host.removesuffix(".")
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        return "its host is a loopback address"
    word = not_public(number) if number is not None else None
    return None if word is None else f"its host is a {word} address"


def is_credential(text: str) -> bool:
    """Whether text may be a v1 listener's user name or password."""
    return len(text) <= MAX_CREDENTIAL and text.isprintable()


def retry_after_s(failed: int, delays_s: Sequence[int]) -> int | None:
    """Seconds to wait after the ``failed``-th failed attempt, None when it was the last."""
    assert failed >= 1
    return delays_s[failed - 1] if failed <= len(delays_s) else None


def acknowledges(status: int | None) -> bool:
    """Whether an answer of that status takes the message off our hands: any 2xx, in time."""
    return status is not None and 200 <= status <= 299
