"""Request bodies of devices: the specification's examples, its edges, and garbage."""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.protocols.ddi.decode import decode_config_data, decode_feedback, decode_log
from overair.protocols.ddi.values import (
    AttributeMode,
    DdiError,
    Execution,
    Feedback,
    Finished,
    LogType,
)

SPEC_FEEDBACK = b"""{"id": "4711", "time": "20260102T030405", "timestamp": 1767323045000,
 "status": {"execution": "proceeding", "code": 12,
            "result": {"finished": "none", "progress": {"cnt": 1, "of": 3}},
            "details": ["Installing."]}}"""


def feedback(**status: Any) -> bytes:
    """Return a feedback whose status has these members beside a plain proceeding."""
    plain = {"execution": "proceeding", "result": {"finished": "none"}}
    return json.dumps({"status": {**plain, **status}}).encode()


def test_the_feedback_of_the_specification() -> None:
    """Section 5.5's example reads as what it says."""
    assert decode_feedback(SPEC_FEEDBACK) == Feedback(
        execution=Execution.PROCEEDING,
        finished=Finished.NONE,
        code=12,
        details=("Installing.",),
    )


@pytest.mark.parametrize(
    ("execution", "finished", "closed"),
    [
        ("closed", "success", True),
        ("closed", "none", True),
        ("closed", "failure", False),
        ("proceeding", "failure", None),
        ("scheduled", "success", None),
        ("resumed", "none", None),
        ("download", "none", None),
        ("downloaded", "success", None),
        ("canceled", "success", None),
        ("rejected", "failure", None),
    ],
)
def test_only_closed_ends_an_action(execution: str, finished: str, closed: bool | None) -> None:
    """The table of 5.5: closed ends it, whatever finished says with the other words."""
    decoded = decode_feedback(feedback(execution=execution, result={"finished": finished}))
    assert decoded.closed is closed


@pytest.mark.parametrize(
    "body",
    [
        SPEC_FEEDBACK.replace(b'"id": "4711"', b'"id": 4711'),
        SPEC_FEEDBACK.replace(b'"id": "4711"', b'"id": ""'),
        SPEC_FEEDBACK.replace(b'"id": "4711"', b'"id": {"a": []}'),
        SPEC_FEEDBACK.replace(b'"of": 3', b'"of": 0'),
        SPEC_FEEDBACK.replace(b'{"cnt": 1, "of": 3}', b"null"),
        SPEC_FEEDBACK.replace(b'{"cnt": 1, "of": 3}', b'{"percentage": NaN}'),
        SPEC_FEEDBACK.replace(b"1767323045000", b"9" * 10_000),
        SPEC_FEEDBACK.replace(b"1767323045000", b"-Infinity"),
        b"\xef\xbb\xbf" + SPEC_FEEDBACK,
        SPEC_FEEDBACK.replace(b'"time"', b'"details": 5, "time"'),
        SPEC_FEEDBACK.replace(b'"code": 12', b'"code": 11, "code": 12'),
    ],
)
def test_noise_is_ignored(body: bytes) -> None:
    """What does not matter is never a reason to refuse a report."""
    assert decode_feedback(body) == decode_feedback(SPEC_FEEDBACK)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("0", 0),
        ("-7", -7),
        ("2147483647", 2147483647),
        ("2147483648", None),
        ("-2147483649", None),
        ("1.0", None),
        ("1e3", None),
        ("99999999999999999999", None),
        ("NaN", None),
        ('"12"', None),
        ("true", None),
        ("null", None),
        ("[]", None),
    ],
)
def test_a_code_is_an_integer_or_ignored(code: str, expected: int | None) -> None:
    """A code that is no 32-bit integer is as good as none."""
    body = SPEC_FEEDBACK.replace(b'"code": 12', b'"code": ' + code.encode())
    assert decode_feedback(body).code == expected


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'"two\nlines"', "two\nlines"),
        (b'"\x01\t\x1b[0m"', "\x01\t\x1b[0m"),
        (b'"cut \xc3"', "cut \ufffd"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\ud800 alone"', "\ufffd alone"),
        (b'"nul \\u0000"', "nul \ufffd"),
        (b'"nul \x00"', "nul \ufffd"),
    ],
)
def test_broken_texts_are_mended(raw: bytes, text: str) -> None:
    """Raw control characters stay; what no database takes becomes the replacement character."""
    assert decode_feedback(SPEC_FEEDBACK.replace(b'"Installing."', raw)).details == (text,)


def test_details_are_cut_not_refused() -> None:
    """At most 50 details of 2048 characters are kept."""
    decoded = decode_feedback(feedback(details=["x" * 3000] * 60))
    assert decoded.details == ("x" * 2048,) * 50


@pytest.mark.parametrize("details", [None, []])
def test_no_details_are_no_details(details: object) -> None:
    """Absent, null and empty are the same."""
    assert decode_feedback(feedback(details=details)).details == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b"12",
        b'{"status": null}',
        b'{"status": []}',
        b'{"status": {"execution": "closed"}}',
        b'{"status": {"execution": "closed", "result": "success"}}',
        b'{"status": {"execution": "closed", "result": {}}}',
        b'{"status": {"execution": "CLOSED", "result": {"finished": "none"}}}',
        b'{"status": {"execution": "", "result": {"finished": "none"}}}',
        b'{"status": {"execution": ["closed"], "result": {"finished": "none"}}}',
        b'{"status": {"execution": "closed", "result": {"finished": "maybe"}}}',
        b'{"status": {"execution": "closed", "result": {"finished": {}}}}',
        b'{"status": {"execution": "closed", "result": {"finished": 1}}}',
        feedback(details="Installing."),
        feedback(details=["a", 1]),
        feedback(details=[None]),
        feedback(details={"0": "a"}),
        SPEC_FEEDBACK[:-1],
        SPEC_FEEDBACK.decode().encode("utf-16"),
        b"[" * 200_000,
        b'{"status":' * 25_000,
    ],
)
def test_what_cannot_be_a_report_is_refused(body: bytes) -> None:
    """Required members that are missing or wrong, and bombs, are 400."""
    with pytest.raises(DdiError) as refused:
        decode_feedback(body)
    assert refused.value.status == 400
    assert refused.value.error_code.startswith("ddi.")
    assert refused.value.message


def test_a_body_has_a_size() -> None:
    """More than 256 KiB is 413."""
    with pytest.raises(DdiError) as refused:
        decode_feedback(SPEC_FEEDBACK + b" " * 262_144)
    assert refused.value.status == 413


def test_the_attributes_of_the_specification() -> None:
    """Section 5.2's example reads as what it says."""
    decoded = decode_config_data(
        b'{"mode": "merge", "data": {"make": "Acme", "model": "X1", "hw": "2"}}'
    )
    assert decoded.mode is AttributeMode.MERGE
    assert decoded.data == {"make": "Acme", "model": "X1", "hw": "2"}


def test_attributes_as_the_c_clients_send_them() -> None:
    """No mode is merge; members of the older protocol are ignored."""
    decoded = decode_config_data(
        b'{"id": "", "time": "20260102T030405", "status": {"result": {"finished": "success"},'
        b' "execution": "closed", "details": [""]}, "data": {"hwRevision": "1.0"}}'
    )
    assert decoded.mode is AttributeMode.MERGE
    assert decoded.data == {"hwRevision": "1.0"}


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("1", "1"),
        ("1.10", "1.10"),
        ("-1e400", "-1e400"),
        ("NaN", "NaN"),
        ("true", "true"),
        ("false", "false"),
        ('""', ""),
        ("null", None),
        ('"\\u0000"', "\ufffd"),
    ],
)
def test_values_are_taken_as_their_text(raw: str, text: str | None) -> None:
    """Numbers keep the form they were written in; null removes the key."""
    assert decode_config_data(f'{{"data": {{"key": {raw}}}}}'.encode()).data == {"key": text}


@pytest.mark.parametrize("mode", ["merge", "replace", "remove"])
def test_modes(mode: str) -> None:
    """The three modes are known by their names."""
    body = json.dumps({"mode": mode, "data": {"a": "b"}}).encode()
    assert decode_config_data(body).mode is AttributeMode(mode)


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({}, 400),
        ({"data": None}, 400),
        ({"data": {}}, 400),
        ({"data": ["a"]}, 400),
        ({"data": {"a": []}}, 400),
        ({"data": {"a": {}}}, 400),
        ({"data": {"": "a"}}, 400),
        ({"data": {"k" * 129: "a"}}, 400),
        ({"data": {"k": "v" * 1025}}, 400),
        ({"data": {"k": int("9" * 1025)}}, 400),
        ({"data": {"a": "b"}, "mode": "MERGE"}, 400),
        ({"data": {"a": "b"}, "mode": 1}, 400),
        ({"data": {str(n): "a" for n in range(101)}}, 429),
    ],
)
def test_attributes_out_of_bounds_are_refused(document: object, status: int) -> None:
    """Section 5.2: 400 for what is wrong, 429 for too many."""
    with pytest.raises(DdiError) as refused:
        decode_config_data(json.dumps(document).encode())
    assert refused.value.status == status


def test_attributes_at_their_bounds_are_taken() -> None:
    """The limits are inclusive, and removing does not count."""
    data: dict[str, str | None] = {f"{n:0128d}": "v" * 1024 for n in range(100)}
    data |= {f"gone{n}": None for n in range(100)}
    assert decode_config_data(json.dumps({"data": data}).encode()).data == data


def test_a_log_entry() -> None:
    """One entry, with its time in UTC."""
    (entry,) = decode_log(
        b'{"logType": "Wireless", "eventLog": "roaming", "logTime": "2026-01-02T03:04:05+01:00"}',
        "application/json; charset=utf-8",
    )
    assert entry.log_type is LogType.WIRELESS
    assert entry.event_log == "roaming"
    assert entry.log_time == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert (entry.file_name, entry.content) == ("", b"")


@pytest.mark.parametrize(
    ("raw", "instant"),
    [
        ("null", None),
        ('"2026-01-02T03:04:05Z"', datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ('"2026-01-02T03:04:05"', datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_the_time_of_a_log_entry(raw: str, instant: datetime | None) -> None:
    """A time without a zone is UTC; none at all is the time of receipt."""
    body = f'[{{"logType": "Event", "eventLog": "", "logTime": {raw}}}]'.encode()
    assert [entry.log_time for entry in decode_log(body)] == [instant]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"nonsense", None, 400),
        (b"[[]]", None, 400),
        (b'{"logType": "Event"}', None, 400),
        (b'{"logType": "Event", "eventLog": 5}', None, 400),
        (b'{"logType": "Gossip", "eventLog": ""}', None, 400),
        (b'{"logType": "Event", "eventLog": "", "logTime": 5}', None, 400),
        (b'{"logType": "Event", "eventLog": "", "logTime": "soon"}', None, 400),
        (
            b'{"logType": "Event", "eventLog": "", "logTime": "0001-01-01T00:00:00+01:00"}',
            None,
            400,
        ),
        (b"[" + b"1," * 1000 + b"1]", None, 413),
        (b"x" * 262_145, None, 413),
        (b"x" * 1_048_577, "application/octet-stream", 413),
    ],
)
def test_logs_that_are_refused(body: bytes, content_type: str | None, status: int) -> None:
    """The log upload refuses by the same rules as the rest."""
    with pytest.raises(DdiError) as refused:
        decode_log(body, content_type)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="modem.log"', "modem.log"),
        ("attachment;filename=modem.log", "modem.log"),
        ('attachment; FileName="a \\"b\\".log"', 'a "b".log'),
        ("attachment; filename=x; filename*=UTF-8''m%C3%B6dem.log", "m\u00f6dem.log"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\\\\\temp\\\\\\\\a.log"', "a.log"),
        ("attachment; filename*=UTF-8''a%2Fb%00c", "bc"),
        ('attachment; filename="' + "n" * 200 + '"', "n" * 100),
        ('attachment; filename="dir/"', "log.bin"),
        ("attachment", "log.bin"),
        (None, "log.bin"),
    ],
)
def test_a_log_file_has_a_plain_name(disposition: str | None, name: str) -> None:
    """Only the last part of the name is taken, without what no file name has."""
    (entry,) = decode_log(b"\x00\xff", "Application/Octet-Stream", disposition)
    assert (entry.file_name, entry.content) == (name, b"\x00\xff")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
NEAR_MISSES = st.fixed_dictionaries(
    {
        "status": st.fixed_dictionaries(
            {
                "execution": st.sampled_from([word.value for word in Execution]) | JSON,
                "result": st.fixed_dictionaries(
                    {"finished": st.sampled_from([word.value for word in Finished]) | JSON}
                ),
            },
            optional={"details": st.lists(st.text(st.characters())) | JSON, "code": JSON},
        )
    },
    optional={"data": st.dictionaries(st.text(), JSON), "mode": JSON, "eventLog": JSON},
)
BODIES = (
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | NEAR_MISSES.map(lambda value: json.dumps(value).encode())
)


def storable(text: str) -> bool:
    """Whether both databases take it."""
    return "\x00" not in text and text.encode("utf-8", "surrogatepass") == text.encode(
        "utf-8", "replace"
    )


@given(BODIES)
def test_any_body_is_a_feedback_or_a_ddi_error(body: bytes) -> None:
    """Garbage raises the protocol's own error and nothing else; what is taken can be stored."""
    try:
        decoded = decode_feedback(body)
    except DdiError:
        return
    assert all(storable(detail) and len(detail) <= 2048 for detail in decoded.details)


@given(BODIES)
def test_any_body_is_attributes_or_a_ddi_error(body: bytes) -> None:
    """The same for attributes."""
    try:
        decoded = decode_config_data(body)
    except DdiError:
        return
    assert decoded.data
    assert all(storable(key) and storable(value or "") for key, value in decoded.data.items())


@given(
    BODIES,
    st.sampled_from([None, "application/json", "application/octet-stream"]) | st.text(),
    st.none() | st.text() | st.text().map("attachment; filename={}".format),
)
def test_any_body_is_a_log_or_a_ddi_error(
    body: bytes, content_type: str | None, disposition: str | None
) -> None:
    """The same for logs, with any headers."""
    try:
        entries = decode_log(body, content_type, disposition)
    except DdiError:
        return
    assert all(storable(entry.event_log) and storable(entry.file_name) for entry in entries)


@given(st.integers(0, len(SPEC_FEEDBACK) - 1), st.binary(max_size=3))
def test_a_damaged_report_is_read_or_refused(position: int, bytes_: bytes) -> None:
    """One spot overwritten at a time."""
    damaged = SPEC_FEEDBACK[:position] + bytes_ + SPEC_FEEDBACK[position + 1 :]
    with contextlib.suppress(DdiError):
        decode_feedback(damaged)
