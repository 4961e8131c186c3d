"""Device ids in all their forms (oma-dm 6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.omadm.device_id import DeviceId, IdKind, is_of, parse_device_id

IMEI = "004999010640000"


@pytest.mark.parametrize(
    ("text", "kind", "digits"),
    [
        (f"IMEI:{IMEI}", IdKind.IMEI, IMEI),
        (f"imei:{IMEI}", IdKind.IMEI, IMEI),
        (f" {IMEI} ", IdKind.IMEI, IMEI),
        (f"urn:imei:{IMEI}", IdKind.IMEI, IMEI),
        ("urn:gsma:imei:00499901-064000-0", IdKind.IMEI, IMEI),
        ("IMEISV:0049990106400001", IdKind.IMEI, "0049990106400001"),
        ("MEID:a0000000002329", IdKind.MEID, "A0000000002329"),
        ("ESN:80A1B2C3", IdKind.ESN, "80A1B2C3"),
    ],
)
def test_forms(text: str, kind: IdKind, digits: str) -> None:
    """Every form that devices use is read."""
    assert parse_device_id(text) == DeviceId(kind=kind, digits=digits)


@pytest.mark.parametrize(
    "text",
    ["", "IMEI:", "IMEI:12345", f"IMEI:{IMEI}00", "MEID:123", "ESN:1", "SN:1", "1" * 99, "A" * 15],
)
def test_what_is_none(text: str) -> None:
    """Anything else is no device id of these kinds."""
    assert parse_device_id(text) is None


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (f"IMEI:{IMEI}", True),
        (f"IMEI:{IMEI[:14]}12", True),
        ("IMEI:004999010640018", False),
        (f"IMEI:{IMEI[:14]}1", False),
        ("IMEI:0049990106401812", False),
        (f"MEID:{IMEI[:14]}", False),
        ("somebody", False),
    ],
)
def test_whose_it_is(text: str, same: bool) -> None:
    """IMEIs are compared on 15 digits, with an IMEISV on the first 14."""
    assert is_of(IMEI, text) is same


def test_devices_of_other_kinds() -> None:
    """A device that we know under another name is compared as it is written."""
    assert is_of("gateway-7", "gateway-7")
    assert not is_of("gateway-7", "gateway-8")


@given(st.text(max_size=80))
def test_any_text(text: str) -> None:
    """Any text is a device id or none, and is the same as itself."""
    found = parse_device_id(text)
    assert found is None or found.is_same(found)
    assert is_of(text, text)
