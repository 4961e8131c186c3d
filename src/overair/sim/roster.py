"""Which devices a fleet has: read from a file, or made up.

A file is CSV with a header line or NDJSON (one object a line; the name ends in .ndjson, .jsonl or
.json). Members: ``controller_id`` (or ``imei``), ``token``, ``make``, ``model``, ``version``,
``two_phase``; unknown ones are ignored, so an export with more columns will do.
"""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from string import ascii_letters, digits
from typing import Any

_TOKEN_CHARS = digits + ascii_letters
_TRUE = ("1", "true", "yes")
_FALSE = ("", "0", "false", "no")


class RosterError(Exception):
    """A fleet file that cannot be used; the text names the line and what is expected there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimDevice:
    """One device as it leaves the factory. Without a token the fleet's gateway token is used."""

    controller_id: str
    token: str | None = None
    make: str = "Acme"
    model: str = "X1"
    version: str = "01"
    two_phase: bool = False


def read_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Read the lines of a fleet file, of either form, with their numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RosterError(f"{path}: {error}") from None
    return _objects(text) if path.suffix in (".ndjson", ".jsonl", ".json") else _records(text)


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


def made_up_imei(number: int) -> str:
    """Return an IMEI of the test range."""
    body = f"99001390{number:06d}"
    if len(body) != 14:
        raise ValueError("serial numbers of made-up devices have at most six digits")
    # Luhn over 14 digits (3GPP TS 23.003 annex B): every second digit doubled, from the right.
    doubled = (int(digit) * (1 + index % 2) for index, digit in enumerate(body))
    total = sum(value // 10 + value % 10 for value in doubled)
    return f"{body}{-total % 10}"


def made_up_secret(seed: int, imei: str, purpose: str) -> str:
    """Return a secret of a made-up device, the same each time."""
    dice = Random(hashlib.sha256(f"{seed}/{imei}/{purpose}".encode()).digest())
    return "".join(dice.choices(_TOKEN_CHARS, k=32))


def _records(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise RosterError(f"line {reader.line_num}: {error}") from None


def _objects(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, part in enumerate(text.splitlines(), 1):
        if not part.strip():
            continue
        try:
            row = json.loads(part)
        except (ValueError, RecursionError) as error:
            raise RosterError(f"line {line}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise RosterError(f"line {line}: not a JSON object")
        yield line, row


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
