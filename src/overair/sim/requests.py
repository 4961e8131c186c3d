"""What simulated devices ask over HTTP besides their polls, and what they are told.

A device asks for one thing at a time and waits for its answer. ``status`` 0 means that no answer came:
refused, reset, timed out, cut in the middle.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A message to the server, or a line to whoever wants to hear of the download."""

    url: str
    media_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """A file from an offset (by a range, unless it is 0), of which at most ``limit`` bytes are read.

    If there are more, the connection is cut.
    """

    url: str
    offset: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a step.

    ``start`` is where the body of a partial answer begins, ``total`` the size of the whole file if the
    server said it, ``retry_after_s`` what a busy server asks for, ``mac`` the header that vouches for a message.
    """

    status: int = 0
    body: bytes = b""
    media_type: str = ""
    start: int = 0
    total: int | None = None
    retry_after_s: float | None = None
    mac: str = ""
    error: str = ""
