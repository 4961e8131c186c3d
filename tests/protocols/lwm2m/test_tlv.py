"""TLV, as the specification and devices write it (lwm2m 5, 14, 19)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.coap.message import decode_message
from overair.protocols.lwm2m.errors import UnreadableError, UnwritableError
from overair.protocols.lwm2m.tlv import INSTANCE, decode_tlv, encode_tlv, record, tlv_value
from overair.protocols.lwm2m.values import (
    ObjectLink,
    Path,
    Raw,
    Tlv,
    as_boolean,
    as_integer,
    as_link,
    as_number,
    as_text,
)
from tests.protocols.coap.vectors import DATAGRAMS

CONNECTIVITY = decode_message(DATAGRAMS["Connectivity object in TLV"]).payload


def test_the_connectivity_object_of_the_specification() -> None:
    """Its numbers and texts are those that were decoded by hand, and it is written byte for byte."""
    readings = decode_tlv(CONNECTIVITY, (4, 0))
    numbers = {path: as_integer(raw) for path, raw in readings.items()}
    assert numbers[4, 0, 0] == 6
    assert numbers[4, 0, 1, 0] == 6
    assert numbers[4, 0, 2] == -97
    assert numbers[4, 0, 3] == -11
    assert as_text(readings[4, 0, 4, 0]) == "10.160.1.7"
    assert as_text(readings[4, 0, 7, 0]) == "vzwinternet"
    assert (numbers[4, 0, 8], numbers[4, 0, 9], numbers[4, 0, 10]) == (0x5060801, 480, 311)
    assert encode_tlv(readings, (4, 0)) == CONNECTIVITY


def test_an_instance_with_its_record_or_without() -> None:
    """A reading of an instance or an object may be wrapped in the instance's record."""
    plain = decode_tlv(CONNECTIVITY, (4, 0))
    wrapped = record(INSTANCE, 0, CONNECTIVITY)
    assert decode_tlv(wrapped, (4, 0)) == plain
    assert decode_tlv(wrapped, (4,)) == plain
    assert decode_tlv(CONNECTIVITY, (4,)) == plain
    assert encode_tlv(plain, (4,)) == wrapped
    other = decode_tlv(record(INSTANCE, 3, b"\xc1\x08\x05"), (4,))
    assert other == {(4, 3, 8): b"\x05"}


def test_a_resource_by_itself() -> None:
    """A reading of one resource is one record, of one value or of many."""
    assert decode_tlv(bytes.fromhex("c10301"), (5, 0, 3)) == {(5, 0, 3): b"\x01"}
    assert decode_tlv(bytes.fromhex("8608410000410101"), (5, 0, 8)) == {
        (5, 0, 8, 0): b"\x00",
        (5, 0, 8, 1): b"\x01",
    }
    assert decode_tlv(bytes.fromhex("410102"), (5, 0, 8, 1)) == {(5, 0, 8, 1): b"\x02"}


@pytest.mark.parametrize(
    "payload",
    ["c1", "c103", "e103", "c8", "c80304", "d003", "d80300", "c203ff", "8602c10001", "410102",
     "0600c10301410101", "060002000000"],
)  # fmt: skip
def test_what_is_no_tlv(payload: str) -> None:
    """Lengths past the end, and records where they cannot be."""
    with pytest.raises(UnreadableError):
        decode_tlv(bytes.fromhex(payload), (5, 0))


def test_what_has_no_object() -> None:
    """Records of nothing are nothing."""
    for payload in (b"\xc1\x03\x01", record(INSTANCE, 0, b"")):
        with pytest.raises(UnreadableError):
            decode_tlv(payload, ())
    with pytest.raises(UnwritableError):
        encode_tlv({}, ())


def test_too_many_records() -> None:
    """A payload does not make more readings than anybody has resources."""
    payload = b"".join(record(3, number, b"") for number in range(2001))
    with pytest.raises(UnreadableError):
        decode_tlv(payload, (5, 0))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "00"), (127, "7f"), (128, "0080"), (-128, "80"), (-129, "ff7f"), (32768, "00008000"),
        (2**31, "0000000080000000"), (-(2**63), "8000000000000000"), (True, "01"), (False, "00"),
        ("text", "74657874"), (b"\x00", "00"), (ObjectLink(3, 0), "00030000"),
        (1.5, "3ff8000000000000"),
    ],
)  # fmt: skip
def test_values(value: Raw, written: str) -> None:
    """Integers are as short as they can be in 1, 2, 4 or 8 bytes; and are read as what they were."""
    assert tlv_value(value).hex() == written
    again = Tlv(bytes.fromhex(written))
    match value:
        case bool():
            assert as_boolean(again) is value
        case int():
            assert as_integer(again) == value
        case float():
            assert as_number(again) == value
        case str():
            assert as_text(again) == value
        case ObjectLink():
            assert as_link(again) == value
        case bytes():
            assert again == value


def test_values_that_cannot_be_written() -> None:
    """More than 64 bits, or 16 MiB, are our mistake."""
    with pytest.raises(UnwritableError):
        tlv_value(2**63)
    with pytest.raises(UnwritableError):
        record(3, 1, b"\x00" * (1 << 24))


IDS = st.integers(0, 300) | st.integers(0, 65535)
VALUES = st.binary(max_size=20) | st.binary(min_size=250, max_size=300)


@st.composite
def instances(draw: st.DrawFn) -> dict[Path, Raw]:
    """Readings of one object: some resources of one value, some of many."""
    readings: dict[Path, Raw] = {}
    for instance in draw(st.sets(IDS, max_size=3)):
        for resource in draw(st.sets(IDS, max_size=4)):
            if draw(st.booleans()):
                readings[9, instance, resource] = Tlv(draw(VALUES))
            for number in draw(st.sets(IDS, max_size=3)):
                if (9, instance, resource) not in readings:
                    readings[9, instance, resource, number] = Tlv(draw(VALUES))
    return readings


@given(instances())
def test_any_object_survives(readings: dict[Path, Raw]) -> None:
    """Whatever is written is read as the same."""
    assert decode_tlv(encode_tlv(readings, (9,)), (9,)) == readings
