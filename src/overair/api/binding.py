"""From the bytes of a request to typed values, or to the error that says what is wrong with them.

Bodies are read whatever their Content-Type says (API 1.2). The rules the contract adds to JSON:
``null`` for a member means that it is absent, unknown members are ignored, members have extra
spellings, and two bodies may come wrapped. msgspec decodes the usual body, which needs none of
this, straight into its Struct; only a body in which one of them may occur (a search for a few bytes
tells), or which does not fit, is decoded to plain objects, put right, and then converted.

Hostile input ends here too: text that is not UTF-8, lone surrogates, nesting deeper than the stack
and numbers beyond their range are "Input binding error", and so is NUL, which PostgreSQL cannot
store. In paths and queries, where every value is checked against a form of its own, NUL and invalid
UTF-8 become the replacement character, which no form allows.
"""

import contextlib
import re
from collections.abc import Iterable
from typing import Any, Generic, TypeVar, get_origin
from urllib.parse import parse_qsl, unquote_to_bytes

import msgspec
from msgspec import Struct

from overair.api.wire import Body, decode_hook, member_error
from overair.core.errors import Refusal, RequestError

B = TypeVar("B", bound=Struct)

MAX_FIELDS = 2_000
"""Fields looked at in a query or a form; a list of devices fits, a flood does not."""

# msgspec says which member it could not read only in its message; tests hold the wording.
_MISSING = re.compile(r"Object missing required field `([^`]+)`")
_AT = re.compile(r" - at `\$\.([^.`\[]+)(\[[0-9.]+\])?")
_INDEXED = re.compile(r"(.+?)(?:\[[0-9]{0,6}\])")
# What msgspec raises for bytes that are no JSON: its own error, Unicode's (a ValueError), and the
# interpreter's for nesting.
_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)


class JsonBody(Generic[B]):
    """Decodes one kind of JSON body."""

    def __init__(self, kind: type[B]) -> None:
        self._kind = kind
        self._decoder = msgspec.json.Decoder(kind, dec_hook=decode_hook)
        self._aliases = kind.aliases if issubclass(kind, Body) else {}
        self._wrapper = kind.wrapper if issubclass(kind, Body) else ""
        # A name written with escapes (``\u0054ype``) shows as the escape, so that these find all.
        tells = [b"\\u"]
        tells += [f'"{name}"'.encode() for name in (*self._aliases, self._wrapper) if name]
        self._irregular = re.compile(b"|".join(map(re.escape, tells)))

    def decode(self, raw: bytes | bytearray) -> B:
        """The body in ``raw``, or a RequestError."""
        try:
            if not self._irregular.search(raw):
                # What does not fit is looked at again below: for a null, or for what to call it.
                with contextlib.suppress(msgspec.ValidationError):
                    return self._decoder.decode(raw)
            return msgspec.convert(self._regular(raw), self._kind, dec_hook=decode_hook)
        except msgspec.ValidationError as error:
            raise _named(error) from error
        except _UNREADABLE as error:
            raise RequestError(Refusal.BINDING) from error

    def _regular(self, raw: bytes | bytearray) -> Any:
        body = _without_nulls(msgspec.json.decode(raw))
        if not isinstance(body, dict):
            return body
        inner = body.get(self._wrapper) if self._wrapper else None
        if isinstance(inner, list) and len(inner) == 1:
            inner = inner[0]
        if isinstance(inner, dict):
            body = inner
        for other, published in self._aliases.items():
            if other in body:
                body.setdefault(published, body[other])
        return body


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            _without_nulls(name): _without_nulls(member)
            for name, member in value.items()
            if member is not None
        }
    if isinstance(value, list):
        return [_without_nulls(element) for element in value]
    if isinstance(value, str) and "\0" in value:
        raise RequestError(Refusal.BINDING)
    return value


def _named(error: msgspec.ValidationError) -> RequestError:
    """The published error for the member that ``error`` is about."""
    text = str(error)
    at = _AT.search(text)
    if at:
        return member_error(at[1], element=at[2] is not None)
    missing = _MISSING.search(text)
    if missing:
        return member_error(missing[1])
    return RequestError(Refusal.BINDING)


class Fields(Generic[B]):
    """Decodes one kind of query or form into its Struct."""

    def __init__(self, kind: type[B]) -> None:
        self._kind = kind
        members = msgspec.structs.fields(kind)
        self._names = {member.encode_name for member in members}
        self._lists = {
            member.encode_name for member in members if get_origin(member.type) in (list, tuple)
        }

    def decode(self, raw: bytes) -> B:
        """The fields in ``raw``, or a RequestError."""
        try:
            pairs = parse_qsl(raw.decode("latin-1"), errors="replace", max_num_fields=MAX_FIELDS)
        except ValueError as error:
            raise RequestError(Refusal.BINDING) from error
        try:
            return msgspec.convert(
                self._gather(pairs), self._kind, strict=False, dec_hook=decode_hook
            )
        except msgspec.ValidationError as error:
            raise _named(error) from error

    def _gather(self, pairs: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
        single: dict[str, str | list[str]] = {}
        lists: dict[str, list[str]] = {}
        for written, value in pairs:
            indexed = _INDEXED.fullmatch(written)
            name = indexed[1] if indexed else written
            value = value.replace("\0", "\ufffd")
            if name in self._lists:
                found = lists.setdefault(name, [])
                found += [part for part in map(str.strip, value.split(",")) if part]
            elif name in self._names and not indexed:
                single.setdefault(name, value)
        return single | lists


def path_segments(raw_path: bytes) -> list[str]:
    """The decoded segments of a path, without the empty ones of doubled and trailing slashes.

    Split first and decoded after, so that an encoded slash stays within its segment.
    """
    return [
        unquote_to_bytes(segment).decode("utf-8", "replace").replace("\0", "\ufffd")
        for segment in raw_path.split(b"/")
        if segment
    ]
