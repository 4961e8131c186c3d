"""Which HTTP devices a fleet has: read from a file, or made up.

Members of a line: ``controller_id`` (or ``imei``), ``token``, ``make``, ``model``, ``version``,
``two_phase``; unknown ones are ignored, so an export with more columns will do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overair.sim.roster import RosterError, made_up_imei, made_up_secret, read_rows

_TRUE = ("1", "true", "yes")
_FALSE = ("", "0", "false", "no")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimDevice:
    """One device as it leaves the factory. Without a token the fleet's gateway token is used."""

    controller_id: str
    token: str | None = None
    make: str = "Acme"
    model: str = "X1"
    version: str = "01"
    two_phase: bool = False


def read_roster(path: Path) -> tuple[SimDevice, ...]:
    """Read a fleet file."""
    devices: dict[str, SimDevice] = {}
    for line, row in read_rows(path):
        device = _device(line, row)
        if device.controller_id in devices:
            raise RosterError(f"line {line}: {device.controller_id} is there twice")
        devices[device.controller_id] = device
    if not devices:
        raise RosterError(f"{path}: there are no devices in it")
    return tuple(devices.values())


def generate_roster(
    count: int,
    *,
    make: str = "Acme",
    model: str = "X1",
    version: str = "01",
    two_phase: bool = False,
    first: int = 1,
    seed: int = 0,
) -> tuple[SimDevice, ...]:
    """Make up devices with IMEIs of the test range (type code 99) and tokens, the same each time."""
    return tuple(
        SimDevice(
            controller_id=(imei := made_up_imei(number)),
            token=made_up_secret(seed, imei, "token"),
            make=make,
            model=model,
            version=version,
            two_phase=two_phase,
        )
        for number in range(first, first + count)
    )


# The columns of a server's own fleet file will do, so that one file can fill both ends.
_NAMES = {
    "controller_id": ("controller_id", "controllerId", "ddi.controllerId", "deviceId", "imei"),
    "token": ("token", "ddi.token"),
    "two_phase": ("two_phase", "twoPhase", "ddi.twoPhase"),
}


def _device(line: int, row: Mapping[str, Any]) -> SimDevice:
    nested = row.get("ddi")
    if isinstance(nested, dict):
        row = {**row, **{f"ddi.{name}": value for name, value in nested.items()}}

    def column(name: str) -> str:
        names = _NAMES.get(name, (name,))
        return next((n for n in names if row.get(n) not in (None, "")), name)

    def text(name: str, default: str) -> str:
        found = row.get(column(name))
        if found is not None and not isinstance(found, str):
            raise RosterError(f"line {line}: {column(name)} is not a text")
        return (found or "").strip() or default

    controller_id = text("controller_id", "")
    if not controller_id:
        raise RosterError(f"line {line}: controller_id (or deviceId, or imei) is missing")
    token = text("token", "")
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise RosterError(f"line {line}: token has other than printable characters")
    return SimDevice(
        controller_id=controller_id,
        token=token or None,
        make=text("make", "Acme"),
        model=text("model", "X1"),
        version=text("version", "01"),
        two_phase=_flag(line, row.get(column("two_phase"))),
    )


def _flag(line: int, value: object) -> bool:
    word = str(value).strip().lower() if value is not None else ""
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise RosterError(f"line {line}: two_phase is {value!r}, not true or false")
