"""Who may call, and for how long (API 2): the rules, without clock or database.

A bearer token lives for an hour from its first issue, however often it is asked for again. A session
lives while it is used, and expires after 20 minutes without. Failed attempts to log in are counted
per address and per name, and after too many no more are looked at for a while: guessing stays slow,
and a flood of guesses cannot keep the processor busy with hashing.

Not in here: hashing (``credentials.py``), and which accounts a user has (a table).
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, auto

from overair.core.ids import ApplicationId, UserId

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long tokens and sessions last."""

    bearer: timedelta = timedelta(hours=1)
    session_idle: timedelta = timedelta(minutes=20)
    kept: timedelta = timedelta(days=1)
    """How long an ended one is remembered, to tell "expired" from "never existed"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BearerToken:
    """An issued token, as stored."""

    application_id: ApplicationId
    token_hash: str
    nonce: str
    expires_at: datetime
    revoked_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at

    def remaining_s(self, now: datetime) -> int:
        """Whole seconds left, for ``expires_in``."""
        return max(0, (self.expires_at - now) // _SECOND)


class SessionState(StrEnum):
    """What a session token opens."""

    OPEN = auto()
    EXPIRED = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session, as stored."""

    user_id: UserId
    token_hash: str
    used_at: datetime
    ended_at: datetime | None

    def state(self, now: datetime, idle: timedelta) -> SessionState:
        if self.ended_at is not None:
            return SessionState.ENDED
        return SessionState.OPEN if now - self.used_at < idle else SessionState.EXPIRED

    def should_touch(self, now: datetime) -> bool:
        """Whether this use is worth writing down: once a second is, each request is not."""
        return now - self.used_at >= _SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class ThrottleLimits:
    """Failures within ``window`` after which no further attempt is looked at."""

    window: timedelta = timedelta(minutes=1)
    per_pair: int = 10
    """Of one address with one name: one client that guesses."""
    per_name: int = 60
    """With one name from anywhere: many clients that guess together."""
    per_address: int = 300
    """From one address with any names; generous, because a whole office may share one."""
    remembered: int = 20_000
    """Counters kept; beyond it the ones that have not failed for longest are forgotten."""


class Throttle:
    """Counts failed attempts. Bounded: it forgets before it grows."""

    def __init__(self, limits: ThrottleLimits | None = None) -> None:
        self._limits = limits or ThrottleLimits()
        self._failures: OrderedDict[tuple[str, ...], tuple[datetime, int]] = OrderedDict()

    def wait_s(self, address: str, name: str, now: datetime) -> int:
        """Seconds until the next attempt is looked at; 0 is now."""
        waits = [0]
        for key, limit in self._keys(address, name):
            since, count = self._failures.get(key, (now, 0))
            if count >= limit:
                left = since + self._limits.window - now
                waits.append(-(-left // _SECOND))
        return max(waits)

    def attempt(self, address: str, name: str, now: datetime) -> None:
        """Count an attempt as failed, until ``succeed`` takes it back: parallel ones count too."""
        for key, _ in self._keys(address, name):
            since, count = self._failures.pop(key, (now, 0))
            if now - since >= self._limits.window:
                since, count = now, 0
            self._failures[key] = (since, count + 1)
        while len(self._failures) > self._limits.remembered:
            self._failures.popitem(last=False)

    def succeed(self, address: str, name: str) -> None:
        """Take an attempt back. A right secret ends the count of its pair, and of nobody else's."""
        for key, _ in self._keys(address, name):
            since, count = self._failures.get(key, (None, 0))
            if since is None or count <= 1 or key[0] == "pair":
                self._failures.pop(key, None)
            else:
                self._failures[key] = (since, count - 1)

    def _keys(self, address: str, name: str) -> Iterable[tuple[tuple[str, ...], int]]:
        yield ("pair", address, name), self._limits.per_pair
        yield ("name", name), self._limits.per_name
        yield ("address", address), self._limits.per_address
