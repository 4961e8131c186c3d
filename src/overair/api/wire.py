"""The words and forms of the wire that all published versions share (API 1.3 to 1.5).

Shapes: a request body is a ``Body``, a query a ``Query``, a form a ``Form``, a response an
``Answer``. Python names are written in snake case and renamed to camel case on the wire. An
optional member is ``T | UnsetType = UNSET`` in both directions: absent and ``null`` read as
``UNSET``, and ``UNSET`` is left out of a response, which therefore never holds a ``null`` that the
contract does not name.

Members that carry a rule of their own have a type here (``Day``, ``Hour``, ``Window``), decoded
once at the edge; what a mistake in a member is called stands in ``MEMBERS``. Formats that an
installation may loosen or tighten (API 1.5) are one value, ``Formats``.

Not in here: how bodies are read (``binding.py``), status words (a matter of each version), and
whether a date is in the past (``core``).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from overair.config import Settings
from overair.core.errors import Refusal, RequestError

ACCOUNT_NAME = re.compile(r"[0-9]{10}-[0-9]{5}")
# Where an installation has malformed ones: anything that can be printed and is one path segment.
ANY_NAME = re.compile(r"[A-Za-z0-9._~-]{1,64}")

# The documented form only: msgspec does not check it, ``Formats`` does, with the right error.
Imei = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9]{15}$"})]
Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
DateTimeText = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Url = Annotated[str, Meta(extra_json_schema={"format": "uri"})]
TimeText = Annotated[str, Meta(examples=["2021-06-03 00:03:56.079 +0000 UTC"])]
# What clients may call things. Generous: it bounds what a row holds, and judges nothing.
Text = Annotated[str, Meta(max_length=256)]
# IMEIs of a campaign's device list may be malformed: the device is rejected then, not the request.
DeviceText = Annotated[str, Meta(extra_json_schema={"example": "990013907835573"})]

_DAY = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))?"
)
# Dates outside are well-formed and mean nothing; inside, adding a month cannot leave the calendar.
_YEARS = range(1970, 3000)
_HOUR = re.compile(r"[0-9]{1,2}")
_INDEX = re.compile(r"[0-9]{1,15}")
_IMEI = re.compile(r"[0-9]{15}")
MAX_DEVICE_TEXT = 64
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Body(Struct, rename="camel"):
    """A JSON request body."""

    aliases: ClassVar[Mapping[str, str]] = {}
    """Other spellings of members (API 11), each with the published one."""
    wrapper: ClassVar[str] = ""
    """A member that may hold the whole body, as an object or an array with one (API 5.8)."""


class Query(Struct, rename="camel"):
    """Query parameters; a list member takes repeated, comma-separated and indexed ones."""


class Form(Struct):
    """A form, as OAuth sends it; names as RFC 6749 writes them."""


class Answer(Struct, rename="camel"):
    """A response body."""


class Success(Answer):
    """Something was removed."""

    success: bool = True


class Nothing(Answer):
    """An empty object."""


class Day(date):
    """A date: ``YYYY-MM-DD``, or the date part of a full RFC 3339 timestamp (API 1.4)."""

    @classmethod
    def parse(cls, text: object) -> "Day":
        found = _DAY.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise ValueError("not a date")
        day = cls.fromisoformat(found[1])
        if day.year not in _YEARS:
            raise ValueError("a year outside 1970 to 2999")
        return day


class Hour(int):
    """An hour of a window, 0 to 24: a number or a numeric string (API 5.5)."""

    @classmethod
    def parse(cls, value: object) -> "Hour":
        if isinstance(value, str) and _HOUR.fullmatch(value):
            value = int(value)
        # JSON's true is no hour, though Python's is an int.
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 24:
            raise ValueError("not an hour")
        return cls(value)


class Window(Struct, frozen=True, rename="camel"):
    """Hours of the day in UTC: ``start_time`` <= hour < ``end_time``."""

    start_time: Hour
    end_time: Hour

    def __post_init__(self) -> None:
        if self.start_time >= self.end_time:
            raise ValueError("start is not before end")


def decode_hook(kind: type, value: object) -> object:
    """Read the types above, for msgspec."""
    if kind is Day:
        return Day.parse(value)
    if kind is Hour:
        return Hour.parse(value)
    raise AssertionError(f"no wire form for {kind}")


def schema_hook(kind: type) -> dict[str, object]:
    """Describe the types above, for the OpenAPI document."""
    if kind is Day:
        return {"type": "string", "format": "date"}
    if kind is Hour:
        return {
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": 24},
                {"type": "string", "pattern": "^([01]?[0-9]|2[0-4])$"},
            ]
        }
    raise AssertionError(f"no schema for {kind}")


MEMBERS: Mapping[str, Refusal] = {
    "accountName": Refusal.ACCOUNT_NAME,
    "campaignTimeWindowList": Refusal.TIME_WINDOW,
    "callback": Refusal.CALLBACK_URL,
    "campaignStatus": Refusal.CAMPAIGN_STATUS,
    "deviceIds": Refusal.DEVICE_LIST_EMPTY,
    "deviceList": Refusal.DEVICE_LIST_EMPTY,
    "distributionType": Refusal.DISTRIBUTION_TYPE,
    "downloadAfterDate": Refusal.DOWNLOAD_AFTER_DATE,
    "downloadTimeWindowList": Refusal.TIME_WINDOW,
    "endDate": Refusal.END_DATE,
    "installAfterDate": Refusal.INSTALL_AFTER_DATE,
    "installTimeWindowList": Refusal.TIME_WINDOW,
    "name": Refusal.CALLBACK_NAME,
    "protocol": Refusal.PROTOCOL,
    "startDate": Refusal.START_DATE,
    "type": Refusal.CHANGE_TYPE,
    "url": Refusal.CALLBACK_URL,
}
"""What a missing or malformed member is called; others are named in the message."""


def member_error(member: str, *, element: bool = False) -> RequestError:
    """The error for ``member`` not being what it must be, or for an ``element`` of its array."""
    refusal = MEMBERS.get(member)
    if refusal is None:
        return RequestError(Refusal.VALUE, member=member)
    if element and refusal is Refusal.DEVICE_LIST_EMPTY:
        return RequestError(Refusal.DEVICE_ID)
    return RequestError(refusal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """The identifiers' forms, as this installation checks them (API 1.5)."""

    account_name: re.Pattern[str] = ACCOUNT_NAME
    check_digit: bool = False
    max_devices: int = 10_000

    @classmethod
    def of(cls, settings: Settings) -> "Formats":
        """The forms that ``settings`` ask for."""
        return cls(
            account_name=ACCOUNT_NAME if settings.check_account_name else ANY_NAME,
            check_digit=settings.check_imei_digit,
            max_devices=settings.limits.request_devices,
        )

    def account(self, text: str) -> str:
        """An account name, or the error for it."""
        if not self.account_name.fullmatch(text):
            raise RequestError(Refusal.ACCOUNT_NAME)
        return text

    def imei(self, text: str) -> str:
        """A device id, or the error for it."""
        if not _IMEI.fullmatch(text) or (self.check_digit and not luhn(text)):
            raise RequestError(Refusal.DEVICE_ID)
        return text

    def imeis(self, texts: Sequence[str]) -> list[str]:
        """A list of device ids, each once and in the order given, or the error for it."""
        if not texts:
            raise RequestError(Refusal.DEVICE_LIST_EMPTY)
        if len(texts) > self.max_devices:
            raise RequestError(Refusal.DEVICE_LIST_TOO_LONG, limit=self.max_devices)
        # All at once: one look at the joined text instead of one at each of ten thousand.
        joined = "".join(texts)
        if set(map(len, texts)) != {15} or not (joined.isascii() and joined.isdigit()):
            raise RequestError(Refusal.DEVICE_ID)
        if self.check_digit and not all(map(luhn, texts)):
            raise RequestError(Refusal.DEVICE_ID)
        return list(dict.fromkeys(texts))

    def campaign_devices(self, texts: Sequence[str]) -> list[str]:
        """A campaign's list of devices, each once and in the order given, or the error for it.

        A malformed IMEI is the device's rejection there and not the request's (lifecycle 2.2), as
        long as it is something that a report can show.
        """
        if not texts:
            raise RequestError(Refusal.DEVICE_LIST_EMPTY)
        if len(texts) > self.max_devices:
            raise RequestError(Refusal.DEVICE_LIST_TOO_LONG, limit=self.max_devices)
        joined = "".join(texts)
        lengths = set(map(len, texts))
        if min(lengths) < 1 or max(lengths) > MAX_DEVICE_TEXT:
            raise RequestError(Refusal.DEVICE_ID)
        if " " in joined or not joined.isprintable():
            raise RequestError(Refusal.DEVICE_ID)
        return list(dict.fromkeys(texts))


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1 annex B)."""
    total = sum(int(digit) for digit in digits[-1::-2])
    total += sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return total % 10 == 0


def uuid_text(text: str) -> str:
    """An upgrade or campaign id in lower case, because ids compare without case (API 1.5)."""
    if not _UUID.fullmatch(text):
        raise RequestError(Refusal.UUID)
    return text.lower()


def index(text: str) -> int:
    """A zero-based record offset."""
    if not _INDEX.fullmatch(text):
        raise RequestError(Refusal.INDEX)
    return int(text)


PROTOCOLS: Mapping[str, str] = {
    "HTTP": "HTTP",
    "LWM2M": "LWM2M",
    "OMADM": "OMADM",
    "OMD-DM": "OMADM",
    "OMA-DM": "OMADM",
    "OMA": "OMADM",
}
"""Accepted spellings of a protocol, in upper case, and the one we store."""


def protocol(text: str, refusal: Refusal = Refusal.DISTRIBUTION_TYPE) -> str:
    """The protocol meant by any accepted spelling of it (API 1.5)."""
    found = PROTOCOLS.get(text.upper())
    if found is None:
        raise RequestError(refusal)
    return found
