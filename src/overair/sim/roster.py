"""What the rosters of all protocols have in common: a file of lines, and devices that are made up.

A file is CSV with a header line or NDJSON (one object a line; the name ends in .ndjson, .jsonl or
.json). What stands in a line is the business of each protocol's ``roster``.
"""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from string import ascii_letters, digits
from typing import Any

_SECRET_CHARS = digits + ascii_letters


class RosterError(Exception):
    """A fleet file that cannot be used; the text names the line and what is expected there."""


def read_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Read the lines of a fleet file, of either form, with their numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RosterError(f"{path}: {error}") from None
    return _objects(text) if path.suffix in (".ndjson", ".jsonl", ".json") else _records(text)


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
    return "".join(dice.choices(_SECRET_CHARS, k=32))


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
