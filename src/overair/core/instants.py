"""How instants are written for others to read (``api.md`` 1.4). All are UTC."""

from datetime import UTC, datetime
from typing import Final

# Not by strftime: its names of months are those of the machine's language.
_MONTHS: Final = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]


def datetime_text(instant: datetime) -> str:
    """A ``datetime`` of the contract: ``2018-04-01T16:03:00.000Z``."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def second_text(instant: datetime) -> str:
    """The same to the second, as in a history of v1: ``2018-03-05T19:07:21Z``."""
    return instant.astimezone(UTC).isoformat(timespec="seconds")[:-6] + "Z"


def time_text(instant: datetime) -> str:
    """A ``timestr`` of the contract: ``2021-06-03 00:03:56.079 +0000 UTC``."""
    plain = instant.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds")
    return plain[:-6] + " +0000 UTC"


def minute_text(instant: datetime) -> str:
    """The same to the minute, as reasons of v3 write it: ``06 Oct 22 18:05 UTC`` (RFC 822 5.1)."""
    at = instant.astimezone(UTC)
    return f"{at:%d} {_MONTHS[at.month - 1]} {at:%y %H:%M} UTC"
