"""What a simulated device asks its surroundings to do, and what it is told.

Every step is answered by one ``Reply``. ``status`` 0 means that no answer came: refused, reset, timed
out, cut in the middle.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request with a small answer."""

    method: str
    url: str
    body: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Begin to fetch a file at an offset; the reply has the status and where the bytes begin."""

    url: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The next bytes of the file, at most ``limit``; an empty body is its end."""

    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Let go of the file, in the middle if need be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep:
    """Let the fleet's time pass, which may be faster than the wall's."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BackOff:
    """Let the wall's time pass: a server that restarts does not do so any faster for us."""

    seconds: float


Step: TypeAlias = Ask | Open | Read | Close | Sleep | BackOff


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to any step. ``now`` is the fleet's time in seconds since the epoch."""

    now: float
    status: int = 0
    body: bytes = b""
    start: int = 0
    error: str = ""


_Result = TypeVar("_Result")

# A part of a device's life that ends with a result.
Part: TypeAlias = Generator[Step, Reply, _Result]
