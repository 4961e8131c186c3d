"""Objects 3, 4 and 5 as what they mean, however little of them there is (lwm2m 7, 11)."""

import pytest

from overair.protocols.coap.message import decode_message
from overair.protocols.lwm2m.objects import (
    Cell,
    ConnectivityReading,
    DeviceReading,
    FirmwareReading,
    read_connectivity,
    read_device,
    read_firmware,
)
from overair.protocols.lwm2m.tlv import decode_tlv
from overair.protocols.lwm2m.values import Readings, Tlv
from tests.protocols.coap.vectors import DATAGRAMS


def test_the_device() -> None:
    """Text and numbers; what is missing or odd is None, and hides nothing else."""
    readings: Readings = {
        (3, 0, 0): "Acme", (3, 0, 1): Tlv(b"M1"), (3, 0, 2): b"\xff", (3, 0, 3): "1.0\x00\n",
        (3, 0, 9): "95", (3, 0, 10): "many", (3, 0, 16): "U" * 300, (3, 1, 3): "other",
    }  # fmt: skip
    assert read_device(readings) == DeviceReading(
        manufacturer="Acme",
        model="M1",
        firmware_version="1.0",
        battery_level=95,
        bindings="U" * 255,
    )
    assert read_device({}) == DeviceReading()


def test_the_connectivity_of_the_specification() -> None:
    """The example's cell is the one that was decoded by hand."""
    payload = decode_message(DATAGRAMS["Connectivity object in TLV"]).payload
    reading = read_connectivity(decode_tlv(payload, (4, 0)))
    assert reading.cell == Cell(311, 480, 84281345)
    assert (reading.bearer, reading.signal, reading.link_quality) == (6, -97, -11)
    assert reading.addresses == ("10.160.1.7",)
    assert len(reading.apns) == 1


@pytest.mark.parametrize(
    ("bearer", "cell_id", "mnc", "mcc", "cell"),
    [
        (6, 5, 480, 311, Cell(311, 480, 5)), (6, 12345, 0, 0, Cell(0, 0, 12345)),
        (6, 5, None, None, Cell(0, 0, 5)), (6, 0, 1, 1, Cell(1, 1, 0)), (6, 2**28 - 1, 1, 1, Cell(1, 1, 2**28 - 1)),
        (6, 2**28, 1, 1, None), (6, -1, 1, 1, None), (6, None, 1, 1, None), (None, 2**28, 1, 1, None),
        (8, 2**28, 1, 1, Cell(1, 1, 2**28)), (9, 2**36 - 1, 1, 1, Cell(1, 1, 2**36 - 1)),
        (8, 2**36, 1, 1, None), (6, 5, 1000, -1, Cell(0, 0, 5)),
    ],
)  # fmt: skip
def test_cells(
    bearer: int | None, cell_id: int | None, mnc: int | None, mcc: int | None, cell: Cell | None
) -> None:
    """28 bits, and 36 for NR; codes that are none are 0; anything else is an unknown cell."""
    assert ConnectivityReading(bearer=bearer, cell_id=cell_id, mnc=mnc, mcc=mcc).cell == cell


def test_the_firmware_machine() -> None:
    """State and result from numbers, decimal text and TLV; the protocols that are listed."""
    readings: Readings = {
        (5, 0, 1): b"", (5, 0, 3): "2", (5, 0, 5): Tlv(b"\x01"), (5, 0, 6): "pkg", (5, 0, 7): "2",
        (5, 0, 8, 0): 1, (5, 0, 8, 1): "3", (5, 0, 8, 2): "x", (5, 0, 9): 2.0, (5,): 1,
    }  # fmt: skip
    assert read_firmware(readings) == FirmwareReading(
        state=2,
        result=1,
        uri="",
        package_name="pkg",
        package_version="2",
        protocols=frozenset({1, 3}),
        delivery=2,
        resources=frozenset({1, 3, 5, 6, 7, 8, 9}),
    )


def test_an_ambiguous_machine() -> None:
    """What is no integer is missing; without protocols it is CoAP alone."""
    reading = read_firmware({(5, 0, 3): "idle", (5, 0, 5): True})
    assert (reading.state, reading.result) == (None, None)
    assert reading.protocols == {0}
    assert read_firmware({(5, 0, 8): 3}).protocols == {3}


def test_codes_that_are_none() -> None:
    """A state, result or way of delivery that nobody defined is one; what no code could be is missing."""
    assert read_firmware({(5, 0, 3): "7", (5, 0, 5): "255"}).result == 255
    for huge in ("9" * 19, "9" * 20, 1e300, 1 << 64, Tlv(b"\x7f" + b"\xff" * 7), -(1 << 31)):
        reading = read_firmware({(5, 0, 3): huge, (5, 0, 5): huge, (5, 0, 9): huge})
        assert (reading.state, reading.result, reading.delivery) == (None, None, None)
