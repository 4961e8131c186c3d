"""Request bodies of devices, read leniently (http-ddi 4.5).

Three rules. What must be there and is wrong is a ``DdiError``; what is only noise is ignored, of
whatever type it is, because a refused report leaves an update running and the client in a loop; and
nothing a device sends may raise anything else, now or later in the database. So text that came in
broken is mended here: bytes that are no UTF-8, lone surrogates and NUL become U+FFFD.

Numbers stay the text they were, since the only ones that matter are attribute values ("1.10" is not
"1.1") and ``code``; that also makes a number of a million digits cheap. Of repeated members the last
one counts.

Not in here: routes and headers (``route``), what a report means for an action (the engine).
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, TypeGuard, TypeVar
from urllib.parse import unquote

from overair.protocols.ddi.route import is_json, media_type
from overair.protocols.ddi.values import (
    LIMITS,
    AttributeMode,
    ConfigData,
    DdiError,
    DdiLimits,
    Execution,
    Feedback,
    Finished,
    LogEntry,
    LogType,
)

_BROKEN = re.compile("[\x00\ud800-\udfff]")
_INTEGER = re.compile(r"-?[0-9]{1,10}\Z")
_CODE_LIMIT = 2**31
_FILE_NAME = re.compile(r";\s*filename\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))", re.I | re.S)
_FILE_NAME_EXTENDED = re.compile(r";\s*filename\*\s*=\s*utf-8'[^']*'([^\s;]+)", re.I)
_UNWANTED_IN_FILE_NAME = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


_Word = TypeVar("_Word", bound=Enum)

# By what is said for them: to call the enumeration takes several times as long.
_EXECUTIONS: Final = {word.value: word for word in Execution}
_FINISHED: Final = {word.value: word for word in Finished}
_MODES: Final = {word.value: word for word in AttributeMode}
_LOG_TYPES: Final = {word.value: word for word in LogType}


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


# strict=False takes raw control characters inside strings: SWUpdate sends line feeds in `details`.
_DECODER = json.JSONDecoder(
    strict=False, parse_int=_Number, parse_float=_Number, parse_constant=_Number
)


def decode_feedback(body: bytes, limits: DdiLimits = LIMITS) -> Feedback:
    """Read a status report for a deployment or a cancellation (http-ddi 5.5, 5.6)."""
    document = _decode_object(body, limits)
    status = document.get("status")
    if not isinstance(status, dict):
        raise _invalid("status is required and is an object")
    result = status.get("result")
    if not isinstance(result, dict):
        raise _invalid("status.result is required and is an object")
    return Feedback(
        execution=_word(_EXECUTIONS, status.get("execution"), "status.execution"),
        finished=_word(_FINISHED, result.get("finished"), "status.result.finished"),
        code=_code(status.get("code")),
        details=_details(status.get("details"), limits),
    )


def decode_config_data(body: bytes, limits: DdiLimits = LIMITS) -> ConfigData:
    """Read the attributes of a device (http-ddi 5.2)."""
    document = _decode_object(body, limits)
    mode = document.get("mode")
    data = document.get("data")
    if not isinstance(data, dict) or not data:
        raise _invalid("data is required and is an object with at least one member")
    attributes: dict[str, str | None] = {}
    for key, value in data.items():
        if not key or len(key) > limits.attribute_key_chars:
            raise _invalid(f"keys of data have 1 to {limits.attribute_key_chars} characters")
        attributes[_mend(key)] = _attribute(value, limits)
    if sum(value is not None for value in attributes.values()) > limits.attributes:
        raise DdiError(
            "ddi.quota", f"a device has at most {limits.attributes} attributes", status=429
        )
    return ConfigData(
        mode=AttributeMode.MERGE if mode is None else _word(_MODES, mode, "mode"),
        data=attributes,
    )


def decode_log(
    body: bytes,
    content_type: str | None = None,
    content_disposition: str | None = None,
    limits: DdiLimits = LIMITS,
) -> tuple[LogEntry, ...]:
    """Read an uploaded log: JSON entries, or one file (http-ddi 9)."""
    if media_type(content_type) == "application/octet-stream":
        return (_log_file(body, content_disposition, limits),)
    if not is_json(content_type):
        raise DdiError(
            "ddi.media_type",
            "a log is application/json or application/octet-stream",
            status=415,
        )
    document = _decode(body, limits)
    entries = document if isinstance(document, list) else [document]
    if len(entries) > limits.log_entries:
        raise DdiError(
            "ddi.too_large", f"a log has at most {limits.log_entries} entries", status=413
        )
    return tuple(_log_entry(entry) for entry in entries)


def _decode(body: bytes, limits: DdiLimits) -> Any:
    if len(body) > limits.body_bytes:
        raise DdiError("ddi.too_large", f"a body has at most {limits.body_bytes} bytes", status=413)
    # A log line cut in the middle of a character must not lose the report, hence "replace".
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise DdiError("ddi.not_readable", "the body is nested too deeply") from None
    except ValueError as error:
        raise DdiError("ddi.not_readable", f"the body is not JSON: {error}") from None


def _decode_object(body: bytes, limits: DdiLimits) -> dict[str, Any]:
    document = _decode(body, limits)
    if not isinstance(document, dict):
        raise DdiError("ddi.not_readable", "the body is not a JSON object")
    return document


def _word(words: Mapping[str, _Word], value: object, name: str) -> _Word:
    word = words.get(value) if isinstance(value, str) else None
    if word is None:
        raise _invalid(f"{name} is required and is one of {', '.join(words)}")
    return word


def _invalid(message: str) -> DdiError:
    return DdiError("ddi.invalid", message)


def _code(value: object) -> int | None:
    if not isinstance(value, _Number) or not _INTEGER.match(value):
        return None
    code = int(value)
    return code if -_CODE_LIMIT <= code < _CODE_LIMIT else None


def _details(value: object, limits: DdiLimits) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(map(_is_text, value)):
        raise _invalid("status.details is a list of strings")
    return tuple(_mend(detail[: limits.detail_chars]) for detail in value[: limits.details])


def _attribute(value: object, limits: DdiLimits) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise _invalid("values of data are strings")
    if len(value) > limits.attribute_value_chars:
        raise _invalid(f"values of data have at most {limits.attribute_value_chars} characters")
    return _mend(value)


def _log_entry(entry: object) -> LogEntry:
    if not isinstance(entry, dict):
        raise _invalid("a log entry is an object")
    text = entry.get("eventLog")
    if not _is_text(text):
        raise _invalid("eventLog is required and is a string")
    return LogEntry(
        log_type=_word(_LOG_TYPES, entry.get("logType"), "logType"),
        event_log=_mend(text),
        log_time=_instant(entry.get("logTime")),
    )


def _log_file(body: bytes, content_disposition: str | None, limits: DdiLimits) -> LogEntry:
    if len(body) > limits.binary_log_bytes:
        raise DdiError(
            "ddi.too_large", f"a log file has at most {limits.binary_log_bytes} bytes", status=413
        )
    return LogEntry(
        log_type=LogType.EVENT,
        file_name=_file_name(content_disposition or "", limits),
        content=body,
    )


def _file_name(content_disposition: str, limits: DdiLimits) -> str:
    """Take the name out of Content-Disposition (RFC 6266 4.3), without any path (its 4.3 too)."""
    if extended := _FILE_NAME_EXTENDED.search(content_disposition):
        name = unquote(extended[1])
    elif plain := _FILE_NAME.search(content_disposition):
        name = plain[2] if plain[1] is None else re.sub(r"\\(.)", r"\1", plain[1], flags=re.S)
    else:
        name = ""
    name = _UNWANTED_IN_FILE_NAME.sub("", re.split(r"[/\\]", name)[-1])
    return name[: limits.file_name_chars] or "log.bin"


def _instant(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        instant = datetime.fromisoformat(value if _is_text(value) else "")
        # Devices without a zone mean UTC, as everything on this wire does. The ends of the calendar
        # have no UTC equivalent in some zones.
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _invalid("logTime is an ISO 8601 instant") from None


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and not isinstance(value, _Number)


def _mend(text: str) -> str:
    """Replace what cannot be stored: lone surrogates (no UTF-8) and NUL (not in PostgreSQL)."""
    return _BROKEN.sub("\ufffd", text)
