"""The checks that a device must pass to be in a campaign, in their order (``lifecycle.md`` 2.3).

Pure: what is known of the device comes in, the first reason against it goes out. The pilot rule and
everything that concerns the request as a whole are not here (``engine/schedule.py``).
"""

import re
from dataclasses import dataclass
from typing import Final

from overair.core.upgrade import Reason

IMEI: Final = re.compile(r"[0-9]{15}")
ACTIVE: Final = "active"
PROTOCOLS: Final = frozenset({"OMADM", "LWM2M", "HTTP"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is known of a device that a campaign names."""

    make: str
    model: str
    protocol: str
    version: str
    software: frozenset[tuple[str, str]]  # (name, version) of what it was given
    eligible: bool
    status: str
    in_campaign: bool
    licensed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the campaign's package asks of it."""

    make: str
    model: str
    protocol: str
    from_version: str | None  # None: no prerequisite (configuration files)
    license_needed: bool


def is_imei(text: str, *, check_digit: bool = False) -> bool:
    """Fifteen digits; with ``check_digit``, the last of them right by Luhn's formula."""
    if not IMEI.fullmatch(text):
        return False
    if not check_digit:
        return True
    total = 0
    for place, digit in enumerate(text):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def check_device(device: Candidate | None, wanted: Wanted) -> Reason:
    """``Reason.CHECKED``, or the first reason against the device (None: not in the account)."""
    if device is None:
        return Reason.NOT_FOUND
    if device.protocol not in PROTOCOLS:
        return Reason.UNKNOWN_TYPE
    if not device.eligible:
        return Reason.NOT_ELIGIBLE
    if device.status.lower() != ACTIVE:
        return Reason.NOT_ACTIVE
    if device.in_campaign:
        return Reason.IN_CAMPAIGN
    if (
        device.make.casefold() != wanted.make.casefold()
        or device.model.casefold() != wanted.model.casefold()
        or device.protocol != wanted.protocol
    ):
        return Reason.MAKE_MODEL
    if wanted.from_version is not None and not _runs(device, wanted.from_version):
        return Reason.VERSION
    if wanted.license_needed and not device.licensed:
        return Reason.NO_LICENSE
    return Reason.CHECKED


def _runs(device: Candidate, version: str) -> bool:
    # "From" is a version in some of the published samples and a name in others (api.md 11, row 25):
    # the name of what gave the device the version that it runs, not of something it ran before.
    return version == device.version or (version, device.version) in device.software
