"""Reading: a document whole, a devices file one device at a time."""

import csv
import difflib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, NamedTuple, TextIO

import msgspec
import yaml

from overair.fleetfile.problems import FleetFileError, Problem, explain
from overair.fleetfile.shapes import COLUMNS, Device, Fleet

NULL_CELLS: Final = frozenset(
    {
        ("timeZone",),
        ("ddi", "tokenHash"),
        ("ddi", "twoPhase"),
        ("ddi", "pollInterval"),
        ("omadm", "auth"),
    }
)
MAX_DEPTH: Final = 32
MAX_RECORD_BYTES: Final = 64 * 1024  # of one device in a devices file


class _RepeatedError(ValueError):
    """A member is there twice."""


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise _RepeatedError(f"the member {name!r} is there twice in one object")
            seen.add(name)
    return members


_FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_FastLoader):  # type: ignore[misc]  # which base there is depends on the machine
    """Plain values only, and no key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:merge" and key.value in seen:
                line = key.start_mark.line + 1
                raise _RepeatedError(f"line {line}: the member {key.value!r} is there twice")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _yaml(raw: bytes) -> Any:
    """The value in ``raw``. How deep it goes is seen first: the C library recurses without a bound."""
    depth = 0
    for event in yaml.parse(raw, Loader=_FastLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise RecursionError
    return yaml.load(raw, Loader=_Loader)  # noqa: S506 - of the safe loader: plain values only


def load_fleet(path: Path) -> Fleet:
    """The document in the file. Raises FleetFileError."""
    ending = path.suffix.lower()
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FleetFileError(
            Problem(path=str(path), rule=error.strerror or "unreadable")
        ) from error
    if ending == ".json":
        return decode_fleet(raw, "json")
    if ending in (".yaml", ".yml"):
        return decode_fleet(raw, "yaml")
    raise FleetFileError(Problem(path=str(path), rule="a fleet file ends in .json, .yaml or .yml"))


def decode_fleet(raw: bytes, language: Literal["json", "yaml"]) -> Fleet:
    """The document in ``raw``. Raises FleetFileError."""
    try:
        value = json.loads(raw, object_pairs_hook=_no_repeats) if language == "json" else _yaml(raw)
    except _RepeatedError as error:
        raise FleetFileError(Problem(path="$", rule=str(error))) from error
    except RecursionError as error:
        raise FleetFileError(Problem(path="$", rule="is nested too deeply")) from error
    except (ValueError, TypeError, LookupError, AttributeError, yaml.YAMLError) as error:
        # Of the YAML reader's own mistakes with odd tags and dates too.
        text = " ".join(str(error).split())
        name = "JSON" if language == "json" else "YAML"
        raise FleetFileError(Problem(path="$", rule=f"not {name}: {text}")) from error
    fleet: Fleet = _convert(value, Fleet, "$")
    return fleet


def _convert(value: Any, shape: type[Any], base: str, *, strict: bool = True) -> Any:
    try:
        return msgspec.convert(value, shape, strict=strict)
    except msgspec.ValidationError as error:
        raise FleetFileError(explain(error, base)) from error
    except RecursionError as error:
        raise FleetFileError(Problem(path=base, rule="is nested too deeply")) from error


# Devices files -----------------------------------------------------------------------------------


class Placed(NamedTuple):
    """A device and where it stands. There may be a million, so it is a tuple."""

    path: str
    device: Device


ENDINGS: Final = (".csv", ".ndjson", ".jsonl")


def iter_devices(fleet: Fleet, directory: Path) -> Iterator[Placed | Problem]:
    """All devices of the document and of its devices file; a problem in place of one that is none."""
    for number, device in enumerate(fleet.devices):
        yield Placed(f"$.devices[{number}]", device)
    if fleet.devices_file is not None:
        yield from iter_devices_file(directory / fleet.devices_file)


def iter_devices_file(path: Path) -> Iterator[Placed | Problem]:
    """The devices of a CSV or NDJSON file, in order, with flat memory."""
    if path.suffix.lower() not in ENDINGS:
        yield Problem(path="$.devicesFile", rule=f"{path.name} has to end in {', '.join(ENDINGS)}")
        return
    try:
        if not path.is_file():
            yield Problem(path="$.devicesFile", rule=f"there is no file {path}")
            return
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as text:
                yield from _csv(text, path.name)
        else:
            with path.open("rb") as lines:
                yield from _ndjson(lines, path.name)
    except OSError as error:
        yield Problem(path="$.devicesFile", rule=f"{path}: {error.strerror}")


def _ndjson(file: BinaryIO, name: str) -> Iterator[Placed | Problem]:
    number = 0
    for line_number, line in enumerate(iter(lambda: file.readline(MAX_RECORD_BYTES), b""), 1):
        base, where = f"$.devicesFile[{number}]", f"{name}, line {line_number}"
        if len(line) == MAX_RECORD_BYTES:
            yield Problem(
                path=base, rule=f"a line is longer than {MAX_RECORD_BYTES} bytes ({where})"
            )
            return
        if not line.strip():
            continue
        number += 1
        try:
            value = json.loads(line, object_pairs_hook=_no_repeats)
        except (ValueError, RecursionError) as error:
            rule = str(error) if isinstance(error, _RepeatedError) else f"not JSON: {error}"
            yield Problem(path=base, rule=f"{rule} ({where})")
            continue
        yield _device(value, base, where, strict=True)


def _csv(text: TextIO, name: str) -> Iterator[Placed | Problem]:
    rows = csv.reader(text, strict=True)
    number = 0
    try:
        header = next(rows, [])
        for column in header:
            if column not in COLUMNS or header.count(column) > 1:
                near = difflib.get_close_matches(column, COLUMNS, 1)
                hint = f"; did you mean {near[0]}?" if near and near[0] not in header else ""
                rule = "is there twice" if column in COLUMNS else f"there is no such column{hint}"
                yield Problem(path="$.devicesFile", rule=f"column {column!r}: {rule} ({name})")
                return
        ways = [tuple(column.split(".")) for column in header]
        for row in rows:
            if not row:
                continue
            base, where = f"$.devicesFile[{number}]", f"{name}, line {rows.line_num}"
            number += 1
            if len(row) != len(ways):
                rule = f"has {len(row)} columns, and the header {len(ways)} ({where})"
                yield Problem(path=base, rule=rule)
                continue
            yield _device(_nested(ways, row), base, where, strict=False)
    except (csv.Error, UnicodeDecodeError) as error:
        where = f"{name}, line {rows.line_num + 1}"
        yield Problem(path=f"$.devicesFile[{number}]", rule=f"not CSV in UTF-8: {error} ({where})")


def _nested(ways: Iterable[tuple[str, ...]], cells: Iterable[str]) -> dict[str, Any]:
    """The object of a CSV row: dots in a column's name are levels, an empty cell is left out.

    A cell can say ``null`` where nothing else can be meant by it.
    """
    record: dict[str, Any] = {}
    for way, cell in zip(ways, cells, strict=True):
        if cell:
            place = record
            for step in way[:-1]:
                place = place.setdefault(step, {})
            place[way[-1]] = None if cell == "null" and way in NULL_CELLS else cell
    return record


def _device(value: Any, base: str, where: str, *, strict: bool) -> Placed | Problem:
    try:
        return Placed(base, _convert(value, Device, base, strict=strict))
    except FleetFileError as error:
        problem = error.problems[0]
        return Problem(path=problem.path, rule=f"{problem.rule} ({where})")
