"""Which IMEI an endpoint name says (lwm2m 3)."""

import pytest

from overair.protocols.lwm2m.endpoint_name import check_digit, imei_of

IMEI = "490154203237518"


@pytest.mark.parametrize(
    ("name", "imei"),
    [
        (f"urn:imei:{IMEI}", IMEI), (f"URN:IMEI:{IMEI}", IMEI), (f"imei:{IMEI}", IMEI), (IMEI, IMEI),
        (f"urn:imei-imsi:{IMEI}-311480000000001", IMEI), (f"urn:imei-msisdn:{IMEI}-15551234567", IMEI),
        ("urn:gsma:imei:49015420-323751-8", IMEI), ("urn:gsma:imei:49015420-323751-0", IMEI[:14]),
        (IMEI[:14], IMEI[:14]), (f"{IMEI[:14]}01", IMEI[:14]), (f"urn:imei:{IMEI[:14]}", IMEI[:14]),
        ("urn:dev:ops:32473-refrigerator", None), ("", None), (IMEI[:13], None), (f"{IMEI}12", None),
        (f"urn:imei:{IMEI} ", None), ("٤" * 15, None), (f"urn:imei-imsi:{IMEI}", None),
    ],
)  # fmt: skip
def test_names(name: str, imei: str | None) -> None:
    """Every form that says an IMEI; 14 digits where the last is no check digit; else none."""
    assert imei_of(name) == imei


def test_the_check_digit() -> None:
    """As in the example that everybody has."""
    assert check_digit(IMEI[:14]) == IMEI[14]
