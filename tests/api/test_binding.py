"""Bodies and queries, whole and broken: a value or the protocol's own error, never anything else."""

import json
import time
from typing import Any, ClassVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType

from overair.api.binding import Fields, JsonBody, path_segments
from overair.api.wire import Body, Day, Form, Formats, Hour, Imei, Query, Window
from overair.core.errors import Refusal, RequestError


class Plan(Body):
    aliases: ClassVar[dict[str, str]] = {"devicelist": "deviceList", "Type": "type"}
    wrapper: ClassVar[str] = "wrapped"

    device_list: list[Imei]
    start_date: Day | UnsetType = UNSET
    download_time_window_list: list[Window] | UnsetType = UNSET
    type: str | UnsetType = UNSET
    count: int | UnsetType = UNSET


class Search(Query):
    device_ids: list[str]
    start_index: str | UnsetType = UNSET


class Grant(Form):
    grant_type: str | UnsetType = UNSET


PLAN = JsonBody(Plan)
SEARCH = Fields(Search)
IMEI = "990013907835573"

MEMBERS = [
    "deviceList",
    "devicelist",
    "startDate",
    "downloadTimeWindowList",
    "startTime",
    "endTime",
    "type",
    "Type",
    "count",
    "wrapped",
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(IMEI),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(MEMBERS), inner),
    max_leaves=20,
)


def refusal(decode: Any, raw: bytes) -> Refusal:
    with pytest.raises(RequestError) as caught:
        decode(raw)
    return caught.value.refusal


@given(st.binary() | values.map(lambda value: json.dumps(value).encode()))
@example(b"")
@example(b"\xff")
@example(b'{"deviceList":' + b"[" * 100_000)
@example(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"deviceList":null}')
@example(b'{"wrapped":{"wrapped":[{"deviceList":["1"]}]}}')
@example(b'{"deviceList":[],"count":' + b"9" * 10_000 + b"}")
@example(b'{"deviceList":[],"count":1e999,"a":null}')
@example(b'{"deviceList":["\\ud800"]}')
@example(b'{"deviceList":["\xed\xa0\x80"]}')
@example(b'{"deviceList":["\\u0000"]}')
@example(b'{"deviceList":[],"\\u0000":1}')
def test_any_body_decodes_or_is_refused(raw: bytes) -> None:
    """No bytes make anything but a body or a RequestError, and no NUL gets through."""
    try:
        plan = PLAN.decode(raw)
    except RequestError:
        return
    assert "\0" not in repr(plan)


@given(
    st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))),
    st.dates().filter(lambda day: 1970 <= day.year < 3000),
    st.booleans(),
)
def test_bodies_come_through_as_sent(devices: list[str], day: Any, ascii_only: bool) -> None:
    """What was encoded is what is decoded, escaped or not."""
    body = {"deviceList": devices, "startDate": day.isoformat(), "unknown": {"a": [None]}}
    plan = PLAN.decode(json.dumps(body, ensure_ascii=ascii_only).encode())
    assert plan == Plan(device_list=devices, start_date=Day(day.year, day.month, day.day))


@pytest.mark.parametrize(
    "body",
    [
        {"deviceList": [IMEI], "type": "append"},
        {"deviceList": [IMEI], "Type": "append"},
        {"devicelist": [IMEI], "type": "append"},
        {"wrapped": {"deviceList": [IMEI], "Type": "append"}},
        {"wrapped": [{"devicelist": [IMEI], "Type": "append"}]},
        {"deviceList": [IMEI], "type": "append", "Type": "other", "startDate": None},
        {"deviceList": None, "devicelist": [IMEI], "type": "append"},
        {"deviceList": [IMEI], "type": "append", "wrapped": None, "devceList": 1},
    ],
)
@pytest.mark.parametrize("escaped", [False, True])
def test_other_spellings(body: dict[str, Any], escaped: bool) -> None:
    """Aliases and wrappers read as the published body; the published spelling wins; null is absent."""
    text = json.dumps(body)
    if escaped:
        text = text.replace("Type", "\\u0054ype").replace("wrapped", "wr\\u0061pped")
    assert PLAN.decode(text.encode()) == Plan(device_list=[IMEI], type="append")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", Refusal.BINDING),
        (b"   ", Refusal.BINDING),
        (b"x", Refusal.BINDING),
        (b"{", Refusal.BINDING),
        (b"{} {}", Refusal.BINDING),
        (b"[]", Refusal.BINDING),
        (b"null", Refusal.BINDING),
        (b'"\\u0041"', Refusal.BINDING),
        (b"{}", Refusal.DEVICE_LIST_EMPTY),
        (b'{"deviceList":null}', Refusal.DEVICE_LIST_EMPTY),
        (b'{"devceList":["1"]}', Refusal.DEVICE_LIST_EMPTY),
        (b'{"DeviceList":["1"]}', Refusal.DEVICE_LIST_EMPTY),
        (b'{"deviceList":"990013907835573"}', Refusal.DEVICE_LIST_EMPTY),
        (b'{"deviceList":[990013907835573]}', Refusal.DEVICE_ID),
        (b'{"deviceList":[null]}', Refusal.DEVICE_ID),
        (b'{"deviceList":[["1"]]}', Refusal.DEVICE_ID),
        (b'{"deviceList":[],"startDate":"soon"}', Refusal.START_DATE),
        (b'{"deviceList":[],"startDate":20200101}', Refusal.START_DATE),
        (b'{"deviceList":[],"downloadTimeWindowList":{}}', Refusal.TIME_WINDOW),
        (b'{"deviceList":[],"downloadTimeWindowList":[{}]}', Refusal.TIME_WINDOW),
        (b'{"deviceList":[],"type":5}', Refusal.CHANGE_TYPE),
        (b'{"deviceList":[],"count":"5"}', Refusal.VALUE),
    ],
)
def test_what_is_wrong_is_named(body: bytes, expected: Refusal) -> None:
    """Each mistake has the published name of its member."""
    assert refusal(PLAN.decode, body) is expected


def test_unnamed_members_are_in_the_text() -> None:
    """A member without a row of its own in the catalogue is named in the message."""
    with pytest.raises(RequestError, match="Invalid value for count"):
        PLAN.decode(b'{"deviceList":[],"count":"5"}')


def test_ten_thousand_devices_are_fast() -> None:
    """A body with 10,000 devices decodes and validates in milliseconds."""
    body = {"deviceList": [f"{number:015}" for number in range(10_000)]}
    raw = json.dumps(body).encode()
    formats = Formats()
    took = []
    for _ in range(5):
        start = time.perf_counter()
        assert len(formats.imeis(PLAN.decode(raw).device_list)) == 10_000
        took.append(time.perf_counter() - start)
    assert min(took) < 0.05


window_values = st.integers(-1, 26) | st.text(max_size=3) | st.booleans() | st.none() | st.floats()


@given(window_values, window_values)
def test_windows(start: Any, end: Any) -> None:
    """Hours are numbers or numeric strings, 0 <= start < end <= 24; anything else is no window."""

    def hour(value: Any) -> int | None:
        if isinstance(value, str):
            return int(value) if value.isascii() and value.isdigit() and len(value) < 3 else None
        return value if type(value) is int else None

    first, last = hour(start), hour(end)
    window = {"startTime": start, "endTime": end}
    raw = json.dumps({"deviceList": [], "downloadTimeWindowList": [window]}).encode()
    if first is not None and last is not None and 0 <= first < last <= 24:
        plan = PLAN.decode(raw)
        assert plan.download_time_window_list == [
            Window(start_time=Hour(first), end_time=Hour(last))
        ]
    else:
        assert refusal(PLAN.decode, raw) in (Refusal.TIME_WINDOW, Refusal.BINDING)


@pytest.mark.parametrize(
    "query",
    [
        b"deviceIds=1,2,3",
        b"deviceIds=1&deviceIds=2&deviceIds=3",
        b"deviceIds=1,2&deviceIds=3",
        b"deviceIds[0]=1&deviceIds[1]=2&deviceIds[2]=3",
        b"deviceIds%5B0%5D=1&deviceIds%5B1%5D=2&deviceIds%5B2%5D=3",
        b"deviceIds[]=1&deviceIds[]=2&deviceIds[]=3",
        b"deviceIds=1%2C2%2C3&other=x&startIndex=",
        b"deviceIds=1,,2,+3&startIndex",
    ],
)
def test_list_queries(query: bytes) -> None:
    """A list comes comma-separated, repeated or indexed; blank values are absent."""
    assert SEARCH.decode(query) == Search(device_ids=["1", "2", "3"])


@given(st.binary())
@example(b"deviceIds=" + b"&deviceIds=" * 5000)
@example(b"deviceIds=%00%FF")
def test_any_query_decodes_or_is_refused(raw: bytes) -> None:
    """No query makes anything but a value or a RequestError, and no NUL gets through."""
    try:
        found = SEARCH.decode(raw)
    except RequestError:
        return
    assert "\0" not in repr(found.device_ids)


def test_missing_query_parameter_is_named() -> None:
    """A required parameter that is missing has the name of its member."""
    assert refusal(SEARCH.decode, b"") is Refusal.DEVICE_LIST_EMPTY


def test_forms_take_the_first_of_a_name() -> None:
    """A form's members are single; unknown ones are ignored."""
    decoded = Fields(Grant).decode(b"grant_type=a&grant_type=b&x=y&grant_type[0]=c")
    assert decoded == Grant(grant_type="a")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"/a/b", ["a", "b"]),
        (b"//a///b//", ["a", "b"]),
        (b"/a%2Fb/c%20d", ["a/b", "c d"]),
        (b"/%252F", ["%2F"]),
        (b"/%C3%A4/\xc3\xa4", ["ä", "ä"]),
        (b"/%FF/%00/%zz", ["\ufffd", "\ufffd", "%zz"]),
        (b"", []),
    ],
)
def test_paths(raw: bytes, expected: list[str]) -> None:
    """Slashes collapse before segments are decoded, so an encoded one stays inside."""
    assert path_segments(raw) == expected
