"""Writing: device by device, so that a million of them need no more memory than one."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec
import yaml

from overair.fleetfile.shapes import COLUMNS, Device, Fleet

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def write_fleet(
    write: Callable[[str], object], language: Literal["json", "yaml"], fleet: Fleet,
    devices: Iterable[Device],
) -> None:  # fmt: skip
    """The document, device by device; ``fleet`` has everything else."""
    head = _plain(fleet)
    head.pop("devices")
    if head["devicesFile"] is None:
        del head["devicesFile"]
    if language == "json":
        text = json.dumps(head, indent=2, ensure_ascii=False)
        write(text[: text.rindex("\n}")])
        write(',\n  "devices": [')
        comma = ""
        for device in devices:
            write(f"{comma}\n    {json.dumps(_plain(device), ensure_ascii=False)}")
            comma = ","
        write("\n  ]\n}\n" if comma else "]\n}\n")
        return
    write(_yaml(head))
    separator = "devices:\n"
    for device in devices:
        write(separator + _yaml([_plain(device)]))
        separator = ""
    if separator:
        write("devices: []\n")


def write_devices(write: Callable[[str], object], ending: str, devices: Iterable[Device]) -> None:
    """A devices file, CSV or NDJSON by its ending."""
    if ending.lower() != ".csv":
        for device in devices:
            write(json.dumps(_plain(device), ensure_ascii=False) + "\n")
        return
    line = io.StringIO()
    rows = csv.writer(line)  # RFC 4180: its line ends are what has to be quoted
    rows.writerow(COLUMNS)
    for device in devices:
        flat = _flat(_plain(device))
        rows.writerow([flat.get(column, "") for column in COLUMNS])
        write(line.getvalue())
        line.seek(0)
        line.truncate()
    write(line.getvalue())


def _plain(struct: msgspec.Struct) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(struct)
    return plain


def _yaml(value: Any) -> str:
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=1000,
        default_flow_style=False,
    )
    return text


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in record.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, bool):
            flat[prefix + name] = "true" if value else "false"
        else:
            flat[prefix + name] = "null" if value is None else str(value)
    return flat
