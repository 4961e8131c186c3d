"""Ranges and conditions: the cases of RFC 9110 by hand, and a slow reference model beside them."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.http.ranges import (
    NO_CONDITIONS,
    Conditions,
    Selection,
    http_date,
    parse_http_date,
    select,
)

ETAG = '"abc"'
MODIFIED = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
SAME = "Fri, 02 Jan 2026 03:04:05 GMT"
OLDER = "Fri, 02 Jan 2026 03:04:04 GMT"
NEWER = "Fri, 02 Jan 2026 03:04:06 GMT"


def answer(method: str = "GET", size: int = 1000, **headers: str) -> tuple[int, int, int]:
    found = select(method, Conditions(**headers), size=size, etag=ETAG, last_modified=MODIFIED)
    return found.status, found.start, found.end


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-0", (206, 0, 1)),
        ("bytes=0-999", (206, 0, 1000)),
        ("bytes=0-5000", (206, 0, 1000)),
        ("bytes=500-", (206, 500, 1000)),
        ("bytes=999-", (206, 999, 1000)),
        ("bytes=-1", (206, 999, 1000)),
        ("bytes=-1000", (206, 0, 1000)),
        ("bytes=-9999999999999999999999", (206, 0, 1000)),
        ("bytes=0-" + "9" * 6000, (206, 0, 1000)),
        ("bytes=" + "0" * 6000 + "1-2", (206, 1, 3)),
        ("Bytes=1-2", (206, 1, 3)),
        ("bytes= 1-2 ,", (206, 1, 3)),
        # Start at or past the end.
        ("bytes=1000-", (416, 0, 0)),
        ("bytes=1000-2000", (416, 0, 0)),
        ("bytes=" + "9" * 6000 + "-", (416, 0, 0)),
        ("bytes=-0", (416, 0, 0)),
        # Malformed or reversed.
        ("bytes=5-4", (416, 0, 0)),
        ("bytes=-", (416, 0, 0)),
        ("bytes=", (416, 0, 0)),
        ("bytes=,", (416, 0, 0)),
        ("bytes=a-b", (416, 0, 0)),
        ("bytes=1-2-3", (416, 0, 0)),
        ("bytes=--1", (416, 0, 0)),
        ("bytes=+1-2", (416, 0, 0)),
        ("bytes=1 - 2", (416, 0, 0)),
        ("bytes=0x1-2", (416, 0, 0)),
        ("bytes=²-3", (416, 0, 0)),
        ("bytes=0-1,x", (416, 0, 0)),
        ("bytes", (416, 0, 0)),
        ("", (416, 0, 0)),
        ("by tes=0-1", (416, 0, 0)),
        # Several ranges: the whole file, unless none of them can be had.
        ("bytes=0-1,5-6", (200, 0, 1000)),
        ("bytes=0-1,5000-", (200, 0, 1000)),
        ("bytes=5000-,6000-", (416, 0, 0)),
        # A unit that we do not know is ignored.
        ("items=0-1", (200, 0, 1000)),
    ],
)
def test_range(value: str, expected: tuple[int, int, int]) -> None:
    """A Range header alone is answered as the device protocol says."""
    assert answer(range=value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("bytes=0-", (416, 0, 0)), ("bytes=-5", (200, 0, 0)), ("bytes=0-0", (416, 0, 0))],
)
def test_range_of_an_empty_file(value: str, expected: tuple[int, int, int]) -> None:
    """No byte of an empty file can be had, and its last bytes are the whole of it."""
    assert answer(size=0, range=value) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"if_match": ETAG}, 206),
        ({"if_match": "*"}, 206),
        ({"if_match": f'"x" , ,{ETAG},'}, 206),
        ({"if_match": '"x"'}, 412),
        ({"if_match": f"W/{ETAG}"}, 412),
        ({"if_match": "abc"}, 412),
        ({"if_match": ""}, 412),
        ({"if_match": f"{ETAG} {ETAG}"}, 412),
        ({"if_unmodified_since": SAME}, 206),
        ({"if_unmodified_since": NEWER}, 206),
        ({"if_unmodified_since": OLDER}, 412),
        ({"if_unmodified_since": "yesterday"}, 206),
        ({"if_match": ETAG, "if_unmodified_since": OLDER}, 206),
        ({"if_none_match": ETAG}, 304),
        ({"if_none_match": f"W/{ETAG}"}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"x"'}, 206),
        ({"if_none_match": "garbage"}, 206),
        ({"if_modified_since": SAME}, 304),
        ({"if_modified_since": f" {NEWER}\t"}, 304),
        ({"if_modified_since": OLDER}, 206),
        ({"if_modified_since": "garbage"}, 206),
        ({"if_none_match": '"x"', "if_modified_since": SAME}, 206),
        ({"if_match": '"x"', "if_none_match": ETAG}, 412),
        ({"if_match": ETAG, "if_none_match": ETAG}, 304),
        ({"if_range": ETAG}, 206),
        ({"if_range": SAME}, 206),
        ({"if_range": f"W/{ETAG}"}, 200),
        ({"if_range": '"x"'}, 200),
        ({"if_range": OLDER}, 200),
        ({"if_range": NEWER}, 200),
        ({"if_range": "garbage"}, 200),
    ],
)
def test_conditions_come_before_the_range(headers: dict[str, str], expected: int) -> None:
    """Preconditions decide in the order of RFC 9110 13.2.2, then the range is looked at."""
    status = select(
        "GET",
        Conditions(range="bytes=0-1", **headers),
        size=1000,
        etag=ETAG,
        last_modified=MODIFIED,
    ).status
    assert status == expected


def test_a_stale_if_range_hides_a_bad_range() -> None:
    """A range that is not to be used is not judged either."""
    assert answer(range="bytes=5000-", if_range='"x"') == (200, 0, 1000)


def test_if_range_without_range_is_ignored() -> None:
    """If-Range alone means nothing (RFC 9110 13.1.5)."""
    assert answer(if_range='"x"') == (200, 0, 1000)


@pytest.mark.parametrize("value", ["bytes=0-1", "bytes=5000-", "garbage"])
def test_head_ignores_ranges(value: str) -> None:
    """Range is defined for GET alone (RFC 9110 14.2)."""
    assert answer("HEAD", range=value) == (200, 0, 1000)


def test_head_heeds_conditions() -> None:
    """HEAD is conditional like GET."""
    assert answer("HEAD", if_none_match=ETAG)[0] == 304
    assert answer("HEAD", if_match='"x"')[0] == 412


def test_headers_are_picked_from_raw_ones() -> None:
    """Conditions are read from ASGI headers; repeated lists are joined."""
    found = Conditions.of(
        [
            (b"host", b"x"),
            (b"range", b"bytes=0-1"),
            (b"if-none-match", b'"x"'),
            (b"if-none-match", b'"abc"'),
        ]
    )
    assert found == Conditions(range="bytes=0-1", if_none_match='"x", "abc"')
    assert Conditions.of([(b"host", b"x")]) is NO_CONDITIONS
    assert select("GET", NO_CONDITIONS, size=5, etag=ETAG, last_modified=MODIFIED) == Selection(
        status=200, start=0, end=5
    )


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
)
def test_dates_in_all_forms(text: str) -> None:
    """The three examples of RFC 9110 5.6.7 are one instant."""
    assert parse_http_date(text) == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


def test_odd_dates() -> None:
    """A leap second is read, two-digit years end in 2069, impossible dates are none."""
    assert parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT") == datetime(
        2016, 12, 31, 23, 59, 59, tzinfo=UTC
    )
    assert parse_http_date("Friday, 02-Jan-26 03:04:05 GMT") == MODIFIED.replace(microsecond=0)
    assert parse_http_date("Fri, 31 Feb 2026 03:04:05 GMT") is None
    assert parse_http_date("Fri, 02 Jan 0000 03:04:05 GMT") is None
    assert parse_http_date("Fri, 02 Jan 2026 03:04:61 GMT") is None


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis wants a naive bound
def test_dates_are_written_as_the_standard_library_does(at: datetime) -> None:
    """Writing agrees with email.utils, reading with writing."""
    at = at.replace(microsecond=0)
    assert http_date(at) == format_datetime(at, usegmt=True)
    assert parse_http_date(http_date(at)) == at


# --- the reference model: slow, by counting bytes ---------------------------------------------


def model_range(value: str, size: int) -> tuple[int, list[int]]:
    """Status and the numbers of the bytes sent, the long way round."""
    everything = list(range(size))
    unit, _, text = value.partition("=")
    assert unit == "bytes"
    asked = [part.strip() for part in text.split(",") if part.strip()]
    if not asked:
        return 416, []
    sets = []
    for part in asked:
        if re.fullmatch("[0-9]+-[0-9]+", part):
            first, last = (int(n) for n in part.split("-"))
            if last < first:
                return 416, []
            sets.append([n for n in everything if first <= n <= last])
        elif re.fullmatch("[0-9]+-", part):
            sets.append([n for n in everything if n >= int(part[:-1])])
        elif re.fullmatch("-[0-9]+", part):
            sets.append([n for n in everything if n >= size - int(part[1:])])
        else:
            return 416, []
    if not any(sets):
        return 416, []
    return (206, sets[0]) if len(sets) == 1 else (200, everything)


number = st.integers(0, 40).map(str)
spec = st.one_of(
    st.tuples(number, number).map("-".join),
    number.map(lambda n: n + "-"),
    number.map(lambda n: "-" + n),
    st.text("0123456789-, x", max_size=6),
)


@given(st.lists(spec, max_size=3).map(",".join), st.integers(1, 30))
def test_agrees_with_the_model(text: str, size: int) -> None:
    """Any set of byte ranges selects the bytes that counting them one by one selects."""
    status, start, end = answer(size=size, range=f"bytes={text}")
    expected, sent = model_range(f"bytes={text}", size)
    assert (status, list(range(start, end))) == (expected, sent)


tags = st.sampled_from([ETAG, f"W/{ETAG}", '"x"', "*", "abc", f'"x", {ETAG}', "", "\xe9"])
dates = st.sampled_from([SAME, OLDER, NEWER, "never"])


@given(
    st.sampled_from(["GET", "HEAD"]),
    st.none() | tags,
    st.none() | dates,
    st.none() | tags,
    st.none() | dates,
    st.none() | tags | dates,
    st.sampled_from([None, "bytes=0-1", "bytes=2000-"]),
)
def test_precedence_agrees_with_the_rfc(
    method: str,
    if_match: str | None,
    if_unmodified_since: str | None,
    if_none_match: str | None,
    if_modified_since: str | None,
    if_range: str | None,
    range_: str | None,
) -> None:
    """RFC 9110 13.2.2 read aloud, step by step, gives the same status."""
    found = select(
        method,
        Conditions(
            if_match=if_match,
            if_unmodified_since=if_unmodified_since,
            if_none_match=if_none_match,
            if_modified_since=if_modified_since,
            if_range=if_range,
            range=range_,
        ),
        size=1000,
        etag=ETAG,
        last_modified=MODIFIED,
    ).status

    strong = {ETAG, "*", f'"x", {ETAG}'}
    expected = 200
    matches = if_match in strong if if_match is not None else if_unmodified_since != OLDER
    if if_none_match is not None:
        changed = if_none_match not in {*strong, f"W/{ETAG}"}
    else:
        changed = if_modified_since not in {SAME, NEWER}
    if not matches:
        expected = 412
    elif not changed:
        expected = 304
    elif method == "GET" and range_ and if_range in {None, ETAG, SAME}:
        expected = 206 if range_ == "bytes=0-1" else 416
    assert found == expected


@given(st.text(max_size=50), st.text(max_size=50), st.text(max_size=50), st.integers(0, 10**12))
def test_any_text_gets_an_answer(first: str, second: str, third: str, size: int) -> None:
    """Whatever the headers hold, there is one of the five answers, within the file."""
    status, start, end = answer(
        size=size, range=first, if_range=second, if_none_match=third, if_modified_since=second
    )
    assert status in {200, 206, 304, 412, 416}
    assert 0 <= start <= end <= size


def test_hostile_lists_take_no_time() -> None:
    """Long lists are read in time linear in their length."""
    hostile = ('"a"' + "," * 40) * 2000 + "x"
    assert answer(if_match=hostile)[0] == 412
    assert answer(if_range=hostile, range="bytes=" + "0-1," * 20_000)[0] == 200


def test_instants_of_other_zones_are_compared_in_utc() -> None:
    """Last-Modified may come in any zone and with fractions of a second."""
    there = MODIFIED.astimezone(tz=None) + timedelta(microseconds=1)
    found = select(
        "GET", Conditions(if_modified_since=SAME), size=1, etag=ETAG, last_modified=there
    )
    assert found.status == 304
