"""Which LwM2M devices a fleet has: read from a file, or made up; and the cells that they are in.

A file is CSV with a header line or NDJSON (one object a line), with the members of the server's own fleet
file, so that one file can fill both ends: ``deviceId``, ``make``, ``model``, ``version``, and in the block
``lwm2m`` (or in columns such as ``lwm2m.endpoint``) ``endpoint``. For the simulation alone there are
``enabler`` (1.0 or 1.1), ``queueMode``, ``lifetime``, and the cell as ``cell`` ("mcc-mnc-id"); what a
line does not say is drawn (``Kinds``). Unknown members are ignored, and so are devices of other protocols.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from overair.protocols.lwm2m.objects import Cell
from overair.sim.roster import RosterError, made_up_imei, read_rows

_LWM2M = "LWM2M"
_ENABLERS = ("1.0", "1.1")
_MCC, _MNC = 311, 480
_SHORTEST_S = 30
# As a pull, a push, both: resource 9 of object 5.
PULL, PUSH, BOTH = range(3)
# Resource 8: what it can fetch over.
COAP, HTTP, HTTPS = 0, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lwm2mDevice:
    """One device as it leaves the factory."""

    imei: str
    endpoint: str = ""
    make: str = "Acme"
    model: str = "X1"
    version: str = "01"
    enabler: str = "1.1"
    queue_mode: bool = False
    lifetime_s: int = 3600
    awake_s: float = 93.0
    delivery: int = BOTH
    schemes: tuple[int, ...] = (COAP,)
    cell: Cell | None = None

    @property
    def name(self) -> str:
        """The endpoint name that it registers."""
        return self.endpoint or f"urn:imei:{self.imei}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kinds:
    """What kinds of devices there are, where a file does not say it of each.

    Shares are of devices, by dice of each one's own: ``queue`` mode, ``old`` ones that speak 1.0, those that
    take images by ``push`` only, and those that fetch them over ``http`` only. Others take them either way,
    and fetch over CoAP.
    """

    lifetime_s: int = 3600
    awake_s: float = 93.0
    queue: float = 0.0
    old: float = 0.0
    push: float = 0.0
    http: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        shares = (self.queue, self.old, self.push, self.http)
        if not all(0.0 <= share <= 1.0 for share in shares) or self.push + self.http > 1.0:
            raise ValueError("shares are from 0 to 1, and those of push and HTTP together as well")
        if self.lifetime_s < _SHORTEST_S or not self.awake_s > 0:
            raise ValueError(
                f"a lifetime is {_SHORTEST_S} s or more, and a device listens for some"
            )

    def make(self, imei: str, *, make: str, model: str, version: str) -> "Lwm2mDevice":
        """Make a device up, the same each time."""
        dice = Random(f"{self.seed}/{imei}/make")
        way = dice.random()
        http = self.push <= way < self.push + self.http
        return Lwm2mDevice(
            imei=imei,
            make=make,
            model=model,
            version=version,
            lifetime_s=self.lifetime_s,
            awake_s=self.awake_s,
            delivery=PUSH if way < self.push else PULL if http else BOTH,
            schemes=(HTTP,) if http else (COAP,),
            queue_mode=dice.random() < self.queue,
            enabler="1.0" if dice.random() < self.old else "1.1",
        )


ORDINARY = Kinds()


def generate_cells(count: int) -> tuple[Cell, ...]:
    """Make up cells of one network."""
    return tuple(Cell(_MCC, _MNC, 84_281_345 + number) for number in range(count))


def generate_roster(
    count: int,
    *,
    make: str = "Acme",
    model: str = "X1",
    version: str = "01",
    kinds: Kinds = ORDINARY,
    first: int = 1,
) -> tuple[Lwm2mDevice, ...]:
    """Make up devices, the same each time."""
    return tuple(
        kinds.make(made_up_imei(number), make=make, model=model, version=version)
        for number in range(first, first + count)
    )


def read_roster(path: Path, kinds: Kinds = ORDINARY) -> tuple[Lwm2mDevice, ...]:
    """Read a fleet file."""
    devices: dict[str, Lwm2mDevice] = {}
    for line, row in read_rows(path):
        device = read_device(f"line {line}", row, kinds)
        if device is None:
            continue
        if device.imei in devices:
            raise RosterError(f"line {line}: {device.imei} is there twice")
        devices[device.imei] = device
    if not devices:
        raise RosterError(f"{path}: there are no LwM2M devices in it")
    return tuple(devices.values())


def read_device(place: str, row: Mapping[str, Any], kinds: Kinds = ORDINARY) -> Lwm2mDevice | None:
    """Read one device; None: it is one of another protocol. ``place`` is for messages."""
    block = row.get("lwm2m")
    inner = block if isinstance(block, Mapping) else {}

    def text(name: str) -> str:
        found = inner.get(name, row.get(f"lwm2m.{name}", row.get(name)))
        if isinstance(found, bool):
            return "true" if found else "false"
        return str(found).strip() if isinstance(found, str | int) else ""

    if (text("protocol") or _LWM2M).upper() != _LWM2M:
        return None
    imei = text("deviceId") or text("imei")
    if not (len(imei) == 15 and imei.isascii() and imei.isdigit()):
        raise RosterError(f"{place}: deviceId (or imei) is not 15 digits")
    made = kinds.make(
        imei,
        make=text("make") or "Acme",
        model=text("model") or "X1",
        version=text("version") or "01",
    )
    enabler = text("enabler") or made.enabler
    if enabler not in _ENABLERS:
        raise RosterError(f"{place}: enabler is not 1.0 or 1.1")
    lifetime = text("lifetime") or str(made.lifetime_s)
    if not (lifetime.isascii() and lifetime.isdigit() and len(lifetime) < 10) or not (
        int(lifetime) >= _SHORTEST_S
    ):
        raise RosterError(f"{place}: lifetime is not a number of seconds from {_SHORTEST_S} on")
    queue = text("queueMode").lower()
    return replace(
        made,
        endpoint=text("endpoint"),
        enabler=enabler,
        queue_mode=queue in ("1", "true", "yes") if queue else made.queue_mode,
        lifetime_s=int(lifetime),
        cell=_cell(place, text("cell")),
    )


def _cell(place: str, text: str) -> Cell | None:
    if not text:
        return None
    parts = text.split("-")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise RosterError(f"{place}: cell is not mcc-mnc-id")
    return Cell(*map(int, parts))
