"""The published words for what became of a licence (``api.md`` 4.3, 5.3, 6.3).

v1 and v3 say which of the two requests it was in the status, v2 only whether it worked. One table a
version; nothing is decided here.
"""

from collections.abc import Mapping
from typing import Final, Literal

from overair.core.licenses import LicenseOutcome

Request = Literal["Assign", "Remove"]

_O = LicenseOutcome

SUCCESSES: Final = frozenset({_O.ASSIGNED, _O.PREEXISTING, _O.REMOVED})

REASON: Final[Mapping[LicenseOutcome, str]] = {
    _O.ASSIGNED: "Success",
    _O.PREEXISTING: "Device license preexisting",
    _O.REMOVED: "Success",
    _O.NOT_FOUND: "Device Not Found.",
    _O.NOT_ELIGIBLE: "Device not eligible for service",
    _O.POOL_EMPTY: "License not available",
    _O.NOT_LICENSED: "No license attached to device",
    # An upgrade under way has no text of its own: it will be one that the licence was used for.
    _O.IN_USE: "License removal not allowed for devices that have ever upgraded firmware.",
}

# v2 has two texts for an unknown device; each request keeps one (``api.md`` 5.3).
_NOT_FOUND_V2: Final[Mapping[Request, str]] = {
    "Assign": "Device does not exist.",
    "Remove": "Device Not Found.",
}


def license_v1(request: Request, outcome: LicenseOutcome) -> tuple[str, str]:
    """(status, Reason) in v1; v3 says the same."""
    word = "Success" if outcome in SUCCESSES else "Failed"
    return f"License{request}{word}", REASON[outcome]


def license_v2(request: Request, outcome: LicenseOutcome) -> tuple[str, str]:
    """(status, resultReason) in v2."""
    if outcome is _O.NOT_FOUND:
        return "Failure", _NOT_FOUND_V2[request]
    return ("Success" if outcome in SUCCESSES else "Failure"), REASON[outcome]


license_v3 = license_v1
