"""Readings as what they mean: objects 3, 4 and 5 (lwm2m 7, 11).

Each member is None if the reading is missing or is nothing that the resource could be. Reading an object
that way never fails: devices report all sorts of things, and one odd value hides no other.
"""

from dataclasses import dataclass
from typing import NamedTuple

from overair.protocols.lwm2m.values import Path, Raw, Readings, as_integer, as_text

DEVICE = 3
CONNECTIVITY = 4
FIRMWARE = 5
SECURITY = 0
SERVER = 1
# Of hosts that carrier modules are built into (lwm2m 16).
HOST_DEVICE_INFO = 10241

FIRMWARE_VERSION: Path = (3, 0, 3)
PACKAGE: Path = (5, 0, 0)
PACKAGE_URI: Path = (5, 0, 1)
UPDATE: Path = (5, 0, 2)
STATE: Path = (5, 0, 3)
RESULT: Path = (5, 0, 5)
CANCEL: Path = (5, 0, 10)
SEVERITY: Path = (5, 0, 11)
DEFER_PERIOD: Path = (5, 0, 13)
CELL_ID: Path = (4, 0, 8)

# NR has cell ids of 36 bits, what came before it 28 at most.
_NEW_RADIO = {8, 9}
_CELL_BITS = 28
_NR_CELL_BITS = 36
_LARGEST_CODE = 999
_MOST_CHARS = 255
_MOST_CODE = 0x7FFF


class Cell(NamedTuple):
    """The key of a serving cell. Without network codes they are 0."""

    mcc: int
    mnc: int
    cell_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReading:
    """Object 3."""

    manufacturer: str | None = None
    model: str | None = None
    serial_number: str | None = None
    firmware_version: str | None = None
    battery_level: int | None = None
    memory_free_kib: int | None = None
    bindings: str | None = None
    device_type: str | None = None
    hardware_version: str | None = None
    software_version: str | None = None
    battery_status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectivityReading:
    """Object 4."""

    bearer: int | None = None
    # dBm; positive ones occur, and mean nothing.
    signal: int | None = None
    link_quality: int | None = None
    addresses: tuple[str, ...] = ()
    apns: tuple[str, ...] = ()
    cell_id: int | None = None
    mnc: int | None = None
    mcc: int | None = None
    sinr: int | None = None
    lac: int | None = None
    coverage: int | None = None

    @property
    def cell(self) -> Cell | None:
        """The serving cell; None: unknown, and then it has a pool of its own."""
        bits = _NR_CELL_BITS if self.bearer in _NEW_RADIO else _CELL_BITS
        if self.cell_id is None or not 0 <= self.cell_id < 1 << bits:
            return None
        return Cell(_network_code(self.mcc), _network_code(self.mnc), self.cell_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirmwareReading:
    """Object 5."""

    state: int | None = None
    result: int | None = None
    uri: str | None = None
    package_name: str | None = None
    package_version: str | None = None
    # Without the resource it is CoAP alone; numbers that mean nothing here are left in.
    protocols: frozenset[int] = frozenset({0})
    # 0 pull, 1 push, 2 both.
    delivery: int | None = None
    # Which resources were there at all.
    resources: frozenset[int] = frozenset()


def read_device(readings: Readings, instance: int = 0) -> DeviceReading:
    """Read object 3."""

    def text(number: int) -> str | None:
        return as_label(readings.get((DEVICE, instance, number)))

    def integer(number: int) -> int | None:
        return as_integer(readings.get((DEVICE, instance, number)))

    return DeviceReading(
        manufacturer=text(0),
        model=text(1),
        serial_number=text(2),
        firmware_version=text(3),
        battery_level=integer(9),
        memory_free_kib=integer(10),
        bindings=text(16),
        device_type=text(17),
        hardware_version=text(18),
        software_version=text(19),
        battery_status=integer(20),
    )


def read_connectivity(readings: Readings, instance: int = 0) -> ConnectivityReading:
    """Read object 4."""

    def integer(number: int) -> int | None:
        return as_integer(readings.get((CONNECTIVITY, instance, number)))

    def texts(number: int) -> tuple[str, ...]:
        found = (as_label(raw) for raw in _all(readings, (CONNECTIVITY, instance, number)))
        return tuple(text for text in found if text is not None)

    return ConnectivityReading(
        bearer=integer(0),
        signal=integer(2),
        link_quality=integer(3),
        addresses=texts(4),
        apns=texts(7),
        cell_id=integer(8),
        mnc=integer(9),
        mcc=integer(10),
        sinr=integer(11),
        lac=integer(12),
        coverage=integer(13),
    )


def read_firmware(readings: Readings, instance: int = 0) -> FirmwareReading:
    """Read object 5."""
    base: Path = (FIRMWARE, instance)
    here = {path[2]: raw for path, raw in readings.items() if path[:2] == base and len(path) > 2}
    protocols = frozenset(
        number for raw in _all(readings, (*base, 8)) if (number := as_integer(raw)) is not None
    )
    uri = as_text(here.get(1))
    return FirmwareReading(
        state=as_code(here.get(3)),
        result=as_code(here.get(5)),
        uri=uri,
        package_name=as_label(here.get(6)),
        package_version=as_label(here.get(7)),
        protocols=protocols if 8 in here else frozenset({0}),
        delivery=as_code(here.get(9)),
        resources=frozenset(here),
    )


def _all(readings: Readings, resource: Path) -> list[Raw]:
    """Return the values of a resource, of which there may be many, in order."""
    paths = sorted(path for path in readings if path[:3] == resource)
    return [readings[path] for path in paths]


def as_label(raw: Raw | None) -> str | None:
    """Take a value for a text that can be kept and shown, such as a version."""
    text = as_text(raw)
    if text is None:
        return None
    return "".join(each for each in text if each.isprintable())[:_MOST_CHARS]


def as_code(raw: Raw | None) -> int | None:
    """Take a value for a code, such as a state or a result: those that nobody defined count, huge ones not."""
    number = as_integer(raw)
    return number if number is not None and abs(number) <= _MOST_CODE else None


def _network_code(number: int | None) -> int:
    return number if number is not None and 0 < number <= _LARGEST_CODE else 0
