"""What a device calls itself: ``DevInfo/DevId`` and the Source of its messages (oma-dm 6).

Accepted are ``IMEI:`` with 15 digits, ``MEID:`` with 14 hexadecimal digits, ``ESN:``, ``urn:imei:`` and
bare digits, in any case. An IMEI is compared on its 15 digits; an IMEISV has 16, of which the first 14
are the IMEI's, without its check digit.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

_MOST_CHARS = 64
_FORM = re.compile(r"(?:(imei|imeisv|meid|esn):|urn:(?:gsma:)?(imei|imeisv|meid):)?([0-9a-f-]+)")
_COMPARED = 14


class IdKind(StrEnum):
    """What kind of number it is."""

    IMEI = "IMEI"
    MEID = "MEID"
    ESN = "ESN"


# How many digits there may be; an IMEI has one more with a software version.
_LENGTHS = {IdKind.IMEI: {15, 16}, IdKind.MEID: {14}, IdKind.ESN: {8, 11}}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceId:
    """A device's number; ``digits`` in upper case and without separators."""

    kind: IdKind
    digits: str

    def is_same(self, other: "DeviceId") -> bool:
        """Tell whether both numbers are of one device."""
        if self.kind is not other.kind:
            return False
        if self.kind is IdKind.IMEI and len(self.digits) != len(other.digits):
            return self.digits[:_COMPARED] == other.digits[:_COMPARED]
        return self.digits == other.digits


def parse_device_id(text: str) -> DeviceId | None:
    """Return the number in a device id; None: it is in none of the forms."""
    lowered = text.strip().lower()
    return _parsed(lowered) if len(lowered) <= _MOST_CHARS else None


@lru_cache(maxsize=1024)  # a message asks four times for the same two
def _parsed(lowered: str) -> DeviceId | None:
    found = _FORM.fullmatch(lowered)
    if found is None:
        return None
    word = found[1] or found[2] or "imei"
    kind = IdKind.IMEI if word == "imeisv" else IdKind(word.upper())
    digits = found[3].replace("-", "").upper()
    if len(digits) not in _LENGTHS[kind] or (kind is IdKind.IMEI and not digits.isdecimal()):
        return None
    return DeviceId(kind=kind, digits=digits)


def is_of(device: str, text: str) -> bool:
    """Tell whether a device id is that of this device, which is given as our own records have it."""
    ours, theirs = parse_device_id(device), parse_device_id(text)
    if ours is None or theirs is None:
        # Devices without a number of these kinds are compared as they are written.
        return ours is theirs and device == text
    return ours.is_same(theirs)
