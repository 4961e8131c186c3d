"""Values to JSON text and back, for what is kept between two messages.

Members that have their default are left out, and unknown ones passed over: what an older or a newer
version of this program wrote is still read. Bytes are base64, instants ISO 8601, enums their values.
Text that this module did not write is our own mistake, and raises what it raises.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass
from datetime import datetime
from enum import Enum
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

_T = TypeVar("_T")
_Convert = Callable[[Any], Any]
_written = json.JSONEncoder(separators=(",", ":")).encode
_CODERS: dict[Any, tuple[_Convert, _Convert]] = {}


def encode(value: object) -> str:
    """Write a dataclass."""
    return _written(_coder(type(value))[0](value))


def decode(kind: type[_T], text: str) -> _T:
    """Read a dataclass of this kind."""
    read: _T = _coder(kind)[1](json.loads(text))
    return read


def _same(value: Any) -> Any:
    return value


def _coder(kind: Any) -> tuple[_Convert, _Convert]:
    """Return how a type is written and read; made once for each."""
    if kind not in _CODERS:
        _CODERS[kind] = _made(kind)
    return _CODERS[kind]


def _made(kind: Any) -> tuple[_Convert, _Convert]:
    if kind is bytes:
        return lambda value: base64.b64encode(value).decode(), base64.b64decode
    if kind is datetime:
        return datetime.isoformat, datetime.fromisoformat
    if isinstance(kind, type) and issubclass(kind, Enum):
        members = {member.value: member for member in kind}
        return lambda value: value.value, members.__getitem__
    if isinstance(kind, type) and is_dataclass(kind):
        return _members(kind)
    arguments = get_args(kind)
    if NoneType in arguments:
        (inner,) = set(arguments) - {NoneType}
        write, read = _coder(inner)
        return (
            lambda value: None if value is None else write(value),
            lambda value: None if value is None else read(value),
        )
    if arguments:
        write, read = _coder(arguments[0])
        return (
            lambda values: [write(value) for value in values],
            lambda values: tuple(read(value) for value in values),
        )
    return _same, _same


def _members(kind: Any) -> tuple[_Convert, _Convert]:
    hints = get_type_hints(kind)
    coders = [(each.name, _default(each), *_coder(hints[each.name])) for each in fields(kind)]
    readers = {name: read for name, _, _, read in coders}

    def write(value: Any) -> dict[str, Any]:
        found = {}
        for name, default, write_one, _ in coders:
            member = getattr(value, name)
            if member is not default and member != default:
                found[name] = write_one(member)
        return found

    def read(members: dict[str, Any]) -> Any:
        return kind(
            **{name: readers[name](member) for name, member in members.items() if name in readers}
        )

    return write, read


def _default(member: "Field[Any]") -> Any:
    return member.default
