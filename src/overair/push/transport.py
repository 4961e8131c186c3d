"""What the loop knows of a carrier: it is opened, takes one notification at a time, and is closed.

None of them says that a device was reached: only a session of the device does (``oma-dm.md`` 10.2). So
there are three answers: it was handed over; it never will be, for this device as it is known now; or
the carrier cannot take it at the moment, and it has to be tried again.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from types import TracebackType
from typing import Protocol, Self


class Sent(Enum):
    """What became of a notification."""

    SENT = "sent"
    NO_ADDRESS = "no_address"
    """Nobody said where the device is."""
    REFUSED = "refused"
    """The carrier does not take it for this device."""
    LATER = "later"
    """The carrier is down, or has too much to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """Where a device can be reached, by any carrier; "" is what nobody said."""

    imei: str
    address: str = ""
    """``host:port``."""
    mdn: str = ""


class Transport(Protocol):
    """A carrier, within the context that it is."""

    name: str

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    async def send(self, contact: Contact, package: bytes, validity: timedelta) -> Sent:
        """Hand a package 0 over, to be delivered within ``validity``. Raises nothing of its own.

        It returns within a bounded time, and never blocks the loop.
        """
        ...
