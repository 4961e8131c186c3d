"""Which bytes of a file a GET or HEAD is answered with (RFC 9110, sections 13 and 14).

The rules:

- Conditions come first, in the order of RFC 9110 13.2.2: If-Match, If-Unmodified-Since,
  If-None-Match, If-Modified-Since, and If-Range last. Only then is Range looked at, and only for
  GET (14.2).
- One range is answered with 206, clipped to the size. Several ranges are answered with the whole
  file, which RFC 9110 14.2 allows and which no device client was seen to mind.
- A range that is malformed, reversed, or starts at or past the end is 416. RFC 9110 lets a server
  ignore a malformed one; the device protocol does not (http-ddi 5.4): a client that resumes and
  gets 200 breaks the update, and one that asks for ``bytes=size-`` wants to hear 416.
- A range unit other than bytes is ignored, as 14.2 demands.

One address names one content for as long as it is valid, so Last-Modified counts as a strong
validator here (8.8.2.2) and may stand in If-Range.

Not in here: the headers of the answer other than their values, and multipart/byteranges.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from functools import lru_cache

# Numbers of more digits than this are past the end of any file. They are cut down before they are
# converted, because converting a number takes time quadratic in its length.
_MAX_DIGITS = 18
_FAR = 10**_MAX_DIGITS

_RANGE = re.compile(r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(.*)", re.DOTALL)
_RANGE_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
# One element of a list of entity tags, with the empty elements before it that RFC 9110 5.6.1.2 has
# recipients accept. Lists are scanned element by element: a pattern for the whole list would
# backtrack without end on a hostile one.
_TAG_ELEMENT = re.compile(r'[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?=,|\Z)')

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = "|".join(_MONTHS)
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
# The three forms of RFC 9110 5.6.7, the common one first.
_DATES = tuple(
    re.compile(form)
    for form in (
        rf"[A-Z][a-z]{{2}}, (?P<day>[0-9]{{2}}) (?P<month>{_MONTH}) (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{5,8}}, (?P<day>[0-9]{{2}})-(?P<month>{_MONTH})-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"[A-Z][a-z]{{2}} (?P<month>{_MONTH}) (?P<day>[0-9 ][0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)

_NAMES = {
    b"range": "range",
    b"if-range": "if_range",
    b"if-match": "if_match",
    b"if-none-match": "if_none_match",
    b"if-modified-since": "if_modified_since",
    b"if-unmodified-since": "if_unmodified_since",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The request headers that decide, as they were sent; None: not sent."""

    range: str | None = None
    if_range: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_unmodified_since: str | None = None

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]]) -> "Conditions":
        """Pick them out of raw headers with lower-case names, as ASGI has them.

        A header sent twice is one list (RFC 9110 5.3); where a list makes no sense, the joined
        value does not parse, and is treated like any other that does not.
        """
        found: dict[str, str] = {}
        for name, value in headers:
            if (field := _NAMES.get(name)) is not None:
                text = value.decode("latin-1")
                found[field] = f"{found[field]}, {text}" if field in found else text
        return cls(**found) if found else NO_CONDITIONS


NO_CONDITIONS = Conditions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Status of the answer and, for 200 and 206, the bytes from ``start`` up to before ``end``."""

    status: int
    start: int = 0
    end: int = 0


class _Unusable(Enum):
    IGNORED = auto()
    UNSATISFIABLE = auto()


def select(
    method: str, conditions: Conditions, *, size: int, etag: str, last_modified: datetime
) -> Selection:
    """Decide the answer to a GET or HEAD of a file.

    ``etag`` is the strong entity tag with its quotes. 416 needs ``Content-Range: bytes */size``,
    206 ``Content-Range: bytes start-(end - 1)/size``; 304 and 412 have no body.
    """
    whole = Selection(status=200, end=size)
    if conditions is NO_CONDITIONS:
        return whole
    modified = last_modified.astimezone(UTC).replace(microsecond=0)
    if (failed := _precondition(conditions, etag, modified)) is not None:
        return Selection(status=failed)
    if method != "GET" or conditions.range is None:
        return whole
    if conditions.if_range is not None and not _if_range(conditions.if_range, etag, modified):
        return whole
    found = _find_range(conditions.range, size)
    if found is _Unusable.IGNORED:
        return whole
    if found is _Unusable.UNSATISFIABLE:
        return Selection(status=416)
    start, end = found
    return Selection(status=206, start=start, end=end)


@lru_cache(maxsize=1024)  # of the same few files
def http_date(instant: datetime) -> str:
    """Write an instant as IMF-fixdate (RFC 9110 5.6.7), whatever the locale."""
    at = instant.astimezone(UTC)
    return (
        f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year:04}"
        f" {at.hour:02}:{at.minute:02}:{at.second:02} GMT"
    )


def parse_http_date(text: str) -> datetime | None:
    """Read a date in one of the three forms of RFC 9110 5.6.7; None if it is none."""
    for form in _DATES:
        if (found := form.fullmatch(text)) is not None:
            break
    else:
        return None
    year = int(found["year"])
    if len(found["year"]) == 2:
        # The RFC has the century depend on the present time. There is no clock here, and the file
        # formats of this server are younger than 1970.
        year += 1900 if year >= 70 else 2000
    try:
        return datetime(
            year,
            _MONTHS.index(found["month"]) + 1,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            # 60 is a leap second, which datetime does not know.
            59 if found["second"] == "60" else int(found["second"]),
            tzinfo=UTC,
        )
    except ValueError:
        return None


def _precondition(conditions: Conditions, etag: str, modified: datetime) -> int | None:
    """Evaluate RFC 9110 13.2.2, steps 1 to 4: 304, 412, or None to go on."""
    if conditions.if_match is not None:
        if not _lists(conditions.if_match, etag, weak=False):
            return 412
    elif conditions.if_unmodified_since is not None:
        since = parse_http_date(conditions.if_unmodified_since.strip(" \t"))
        if since is not None and modified > since:
            return 412
    if conditions.if_none_match is not None:
        if _lists(conditions.if_none_match, etag, weak=True):
            return 304
    elif conditions.if_modified_since is not None:
        since = parse_http_date(conditions.if_modified_since.strip(" \t"))
        if since is not None and modified <= since:
            return 304
    return None


def names_tag(if_none_match: str, etag: str) -> bool:
    """Whether an If-None-Match names our strong tag, so that the answer is 304."""
    return _lists(if_none_match, etag, weak=True)


def _lists(field: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of entity tags, or ``*``, names ours; a malformed list names nothing.

    If-Match compares strongly (RFC 9110 13.1.1), If-None-Match weakly (13.1.2).
    """
    if field.strip(" \t") == "*":
        return True
    tags = []
    position = 0
    while (element := _TAG_ELEMENT.match(field, position)) is not None:
        tags.append(element[1])
        position = element.end()
    if field[position:].strip(" \t,"):
        return False
    return etag in tags or (weak and f"W/{etag}" in tags)


def _if_range(field: str, etag: str, modified: datetime) -> bool:
    """RFC 9110 13.1.5: the tag must be ours by strong comparison, a date exactly ours."""
    value = field.strip(" \t")
    return value == etag or parse_http_date(value) == modified


def _find_range(field: str, size: int) -> tuple[int, int] | _Unusable:
    parts = _RANGE.fullmatch(field)
    if parts is None:
        return _Unusable.UNSATISFIABLE
    if parts[1].lower() != "bytes":
        return _Unusable.IGNORED
    specs = [spec for part in parts[2].split(",") if (spec := part.strip(" \t"))]
    found = [_resolve(spec, size) for spec in specs]
    if any(resolved is None for resolved in found):
        return _Unusable.UNSATISFIABLE
    satisfiable = [resolved for resolved in found if resolved is not _Unusable.UNSATISFIABLE]
    match satisfiable:
        case []:
            return _Unusable.UNSATISFIABLE
        case [(int(start), int(end))] if len(found) == 1 and start < end:
            return start, end
        case _:
            # Several ranges, or the suffix of an empty file: there is no Content-Range for it.
            return _Unusable.IGNORED


def _resolve(spec: str, size: int) -> tuple[int, int] | _Unusable | None:
    """Turn one range into the bytes that it asks for; None if it is malformed or reversed."""
    parts = _RANGE_SPEC.fullmatch(spec)
    if parts is None or spec == "-":
        return None
    if not parts[1]:
        length = _number(parts[2])
        return (max(0, size - length), size) if length else _Unusable.UNSATISFIABLE
    start = _number(parts[1])
    end = _number(parts[2]) + 1 if parts[2] else size
    if parts[2] and end <= start:
        return None
    return (start, min(end, size)) if start < size else _Unusable.UNSATISFIABLE


def _number(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= _MAX_DIGITS else _FAR
