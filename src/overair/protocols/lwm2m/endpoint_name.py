"""Which IMEI an endpoint name says (lwm2m 3). A name that says none is mapped by hand."""

import re

_DIGITS = r"[0-9]{14,16}"
_FORMS = (
    re.compile(rf"urn:imei:({_DIGITS})", re.IGNORECASE),
    re.compile(rf"urn:imei-(?:imsi|msisdn):({_DIGITS})-[0-9]{{5,15}}", re.IGNORECASE),
    re.compile(rf"imei:({_DIGITS})", re.IGNORECASE),
    re.compile(rf"({_DIGITS})"),
)
_GSMA = re.compile(r"urn:gsma:imei:([0-9]{8})-([0-9]{6})-([0-9])", re.IGNORECASE)


def imei_of(endpoint: str) -> str | None:
    """Return the 15 digits of an IMEI, or 14 if that is all that is sure of them.

    A form without check digit (14 digits), or with a software version in its place (16), says the first
    14; devices are then found by those. So does a URN whose last digit is the spare of RFC 7254.
    """
    gsma = _GSMA.fullmatch(endpoint)
    if gsma is not None:
        digits = "".join(gsma.groups())
        return digits if digits[14] == check_digit(digits[:14]) else digits[:14]
    for form in _FORMS:
        found = form.fullmatch(endpoint)
        if found is not None:
            digits = found[1]
            return digits if len(digits) == 15 else digits[:14]
    return None


def check_digit(digits: str) -> str:
    """Return what follows the first 14 digits of an IMEI (Luhn)."""
    total = 0
    for index, digit in enumerate(digits):
        number = int(digit) * (1 + index % 2)
        total += number - 9 * (number > 9)
    return str(-total % 10)
