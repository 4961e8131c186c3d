"""SenML in JSON and CBOR, and the JSON of LwM2M 1.0 before it (RFC 8428; lwm2m 5).

A pack is a list of records, each a name and a value. A base name holds from its record on and is simply
put before the name: "/3/0/" and "3", "/3/0" and "/3", "/3/0/3" and nothing are one path. So is a base
time, and of several values of one path the newest counts.

Not in here: units, sums, base values; a pack that has those is not about resources.
"""

import base64
import json
import math
from collections.abc import Iterable, Mapping

from overair.protocols.lwm2m.cbor import decode_cbor, encode_cbor
from overair.protocols.lwm2m.errors import UnreadableError
from overair.protocols.lwm2m.values import (
    ObjectLink,
    Path,
    Raw,
    Readings,
    as_link,
    from_base64,
    parse_path,
    path_text,
)

MOST_BYTES = 64 * 1024
MOST_RECORDS = 2000
# RFC 8428 4.5.3: smaller times are relative to now.
_ABSOLUTE = 1 << 28

# The labels of CBOR, by those of JSON.
_LABELS = {"bn": -2, "bt": -3, "n": 0, "v": 2, "vs": 3, "vb": 4, "t": 6, "vd": 8}
_NAMES: dict[object, str] = {number: name for name, number in _LABELS.items()}
_WITHOUT_MEANING = {"bv", "bs", "s", -5, -6, 5}


def decode_senml_json(payload: bytes, now: float = 0.0) -> Readings:
    """Read a pack in JSON."""
    return _pack(_json(payload), {}, now)


def decode_senml_cbor(payload: bytes, now: float = 0.0) -> Readings:
    """Read a pack in CBOR."""
    return _pack(decode_cbor(payload), _NAMES, now)


def decode_json(payload: bytes, now: float = 0.0) -> Readings:
    """Read the JSON of LwM2M 1.0: one object, its records in "e"."""
    whole = _json(payload)
    if not isinstance(whole, dict) or not isinstance(whole.get("e"), list):
        raise UnreadableError("no records")
    names = {"sv": "vs", "bv": "vb", "ov": "vlo"}
    records: list[object] = [{name: whole[name] for name in ("bn", "bt") if name in whole}]
    for each in whole["e"]:
        if not isinstance(each, dict):
            raise UnreadableError("a record that is none")
        records.append({names.get(name, name): value for name, value in each.items()})
    return _pack(records, {}, now)


def _json(payload: bytes) -> object:
    if len(payload) > MOST_BYTES:
        raise UnreadableError("more than 64 KiB of JSON")
    try:
        value: object = json.loads(payload.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise UnreadableError("not JSON") from None
    return value


def _no_number(name: str) -> object:
    raise ValueError(name)


def _pack(records: object, names: Mapping[object, str], now: float) -> Readings:
    if not isinstance(records, list) or len(records) > MOST_RECORDS:
        raise UnreadableError("no list of records, or too many")
    readings: Readings = {}
    times: dict[Path, float] = {}
    base_name, base_time = "", 0.0
    for each in records:
        if not isinstance(each, dict):
            raise UnreadableError("a record that is none")
        if not _WITHOUT_MEANING.isdisjoint(each):
            raise UnreadableError("sums, or base values")
        record: dict[object, object] = {names.get(key, key): value for key, value in each.items()}
        base_name = _text(record, "bn", base_name)
        base_time = _time(record, "bt", base_time)
        raw = _value(record, is_json=not names)
        if raw is None:
            continue
        path = parse_path(base_name + _text(record, "n", ""))
        time = base_time + _time(record, "t", 0.0)
        time = time if time >= _ABSOLUTE else now + time
        if path not in times or time >= times[path]:
            readings[path], times[path] = raw, time
    return readings


def _text(record: Mapping[object, object], name: str, default: str) -> str:
    value = record.get(name, default)
    if not isinstance(value, str):
        raise UnreadableError("a name that is no text")
    return value


def _time(record: Mapping[object, object], name: str, default: float) -> float:
    value = record.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnreadableError("a time that is no number")
    if not abs(value) < 1e15:
        raise UnreadableError("a time that nobody lives to see")
    return value


def _value(record: Mapping[object, object], *, is_json: bool) -> Raw | None:
    """Return the value of a record; None: it has none, and only sets a base."""
    given = [name for name in ("v", "vs", "vb", "vd", "vlo") if name in record]
    if not given:
        return None
    value = record[given[0]]
    if len(given) > 1:
        raise UnreadableError("several values in one record")
    if given[0] == "v" and isinstance(value, int | float) and not isinstance(value, bool):
        # Integers of Python have no end, those of the protocol 64 bits.
        if abs(value) < 1 << 64 if isinstance(value, int) else math.isfinite(value):
            return value
    elif (
        (given[0] == "vb" and isinstance(value, bool))
        or (given[0] == "vs" and isinstance(value, str))
        or (given[0] == "vd" and isinstance(value, bytes))
    ):
        return value
    elif given[0] == "vd" and is_json and isinstance(value, str):
        data = from_base64(value)
        if data is not None:
            return data
    elif given[0] == "vlo" and isinstance(value, str):
        link = as_link(value)
        if link is not None:
            return link
    raise UnreadableError("a value that is not of its type")


def encode_senml_json(readings: Mapping[Path, Raw], base: Path) -> bytes:
    """Write a pack in JSON."""
    records = [
        {name: _as_json(value) for name, value in record.items()}
        for record in _records(readings, base)
    ]
    return json.dumps(records, separators=(",", ":"), allow_nan=False).encode()


def encode_senml_cbor(readings: Mapping[Path, Raw], base: Path) -> bytes:
    """Write a pack in CBOR."""
    return encode_cbor(
        [
            {_LABELS.get(name, name): value for name, value in record.items()}
            for record in _records(readings, base)
        ]
    )


def _records(readings: Mapping[Path, Raw], base: Path) -> Iterable[dict[str, Raw]]:
    # A value of the base itself has no name; then the slash is part of the others' names.
    base_name = path_text(base)
    if base not in readings and base:
        base_name += "/"
    for index, (path, raw) in enumerate(readings.items()):
        record: dict[str, Raw] = {"bn": base_name} if index == 0 else {}
        if path != base:
            record["n"] = path_text(path).removeprefix(base_name)
        record[_label(raw)] = str(raw) if isinstance(raw, ObjectLink) else raw
        yield record


def _label(raw: Raw) -> str:
    if isinstance(raw, bool):
        return "vb"
    if isinstance(raw, int | float):
        return "v"
    if isinstance(raw, str):
        return "vs"
    return "vlo" if isinstance(raw, ObjectLink) else "vd"


def _as_json(value: Raw) -> Raw:
    if isinstance(value, bytes):
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
    return value
