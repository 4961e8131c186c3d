"""What the network says of devices: attached here, detached there, in this cell, so well heard.

Networks repeat themselves, deliver late and out of order, and their clocks are not ours. So an event
counts by its own date and only if it is newer than what is known; one from the future counts as of
now, because it would otherwise silence everything that comes after it.

A network that sends kinds which we do not know is told so, event by event, and everything else in its
batch still counts.

Not here: what an attach sets going (``engine/network.py``, ``engine/push``).
"""

import ipaddress
import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from overair.core.slots.radio import CellKey

_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
    r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?"
)
_PORT: Final = re.compile(r"[0-9]{1,5}")


class EventKind(Enum):
    """What happened to a device."""

    ATTACH = "attach"
    DETACH = "detach"
    REACHABILITY = "reachability"  # whether it can be reached now
    CELL = "cell"  # where it is
    SIGNAL = "signal"  # how well it hears that cell


class EventResult(Enum):
    """What became of an event."""

    APPLIED = "applied"
    OUTDATED = "outdated"
    """Something as new or newer is known: nothing was changed."""
    UNKNOWN_DEVICE = "unknownDevice"
    UNKNOWN_TYPE = "unknownType"
    REJECTED = "rejected"
    """It has a value that cannot be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkEvent:
    """One event as the network told it; ``kind`` None is one that we do not know."""

    imei: str
    kind: EventKind | None
    at: datetime
    address: str = ""
    reachable: bool | None = None
    cell: CellKey | None = None
    rsrp_dbm: int | None = None
    bearer: int | None = None
    fault: str = ""
    """What no network can mean by it: then nothing of it counts."""

    @property
    def reaches(self) -> bool | None:
        """Whether the device can be reached, as far as this event says."""
        match self.kind:
            case EventKind.ATTACH:
                return True
            case EventKind.DETACH:
                return False
            case _:
                return self.reachable


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkState:
    """What is known of a device's place in the network."""

    attached_at: datetime | None = None
    detached_at: datetime | None = None
    address: str = ""
    waking_at: datetime | None = None
    """Since when an attach waits to be acted upon."""

    @property
    def attached(self) -> bool | None:
        """Whether it is attached; None: the network never said."""
        if self.attached_at is None:
            return None if self.detached_at is None else False
        return self.detached_at is None or self.detached_at < self.attached_at

    def after(self, event: NetworkEvent, now: datetime) -> "NetworkState | None":
        """The state that ``event`` leads to; None: something as new or newer is known."""
        at = min(event.at, now)
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)  # what is stored of it
        attach = event.kind is EventKind.ATTACH
        same, other = self.attached_at, self.detached_at
        if not attach:
            same, other = other, same
        # Of two events of one instant the one that is told later counts.
        if (same is not None and at <= same) or (other is not None and at < other):
            return None
        if attach:
            return NetworkState(
                attached_at=at,
                detached_at=None if other == at else other,
                address=event.address or self.address,
                waking_at=self.waking_at or now,
            )
        # Its address may be another device's by now, and there is nobody to be woken.
        return NetworkState(attached_at=None if other == at else other, detached_at=at)


class AddressError(ValueError):
    """A text that is no address."""


def split_address(text: str, default_port: int) -> tuple[str, int]:
    """Host and port of ``host``, ``host:port``, ``[IPv6]:port`` or an IPv6 address alone."""
    host, port = text, ""
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        port = rest[1:]
        if not closed or ":" not in host or (rest and (rest[0] != ":" or not port)):
            raise AddressError(f"{text!r} is not host:port")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        if not port:
            raise AddressError(f"{text!r} is not host:port")
    if port and (not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535):
        raise AddressError(f"{text!r}: a port is 1 to 65535")
    if ":" in host or re.fullmatch(r"[0-9.]+", host):
        try:
            host = str(ipaddress.ip_address(host))
        except ValueError:
            raise AddressError(f"{text!r} is not host:port") from None
    elif not _NAME.fullmatch(host):
        raise AddressError(f"{text!r} is not host:port")
    return host, int(port) if port else default_port
