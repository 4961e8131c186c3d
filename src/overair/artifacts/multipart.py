"""Taking apart an upload form (``multipart/form-data``, RFC 7578) while it arrives.

The rules:

- A form has one file, in the part that is expected to carry it, and short text fields. The file
  goes straight into an intake; nothing of it is kept in memory.
- All of it is bounded: parts, the length of fields and headers, the file, and the body as a whole.
- The form is complete only with its closing boundary. A body that ends before is truncated, and
  nothing of it is kept.
- The caller sees the fields before the file is kept: it looks at them, and then commits. A form
  that is refused, or left by an error, leaves nothing behind.
- A file name may be a whole path, of either kind of system: its last component counts.

Not in here: which fields a form must have; ``name*=`` parameters, which RFC 7578 4.2 forbids.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from overair.artifacts.errors import (
    FieldsError,
    MalformedError,
    NotAFormError,
    TooLargeError,
    TruncatedError,
)
from overair.artifacts.storage import Artifact, ArtifactStorage, Intake

MAX_PARTS = 16
MAX_FIELD_BYTES = 4 * 1024
MAX_NAME = 100

# Boundaries and part headers; each part may have eight headers of 4 KiB, and few are so large.
_OVERHEAD_BYTES = MAX_PARTS * MAX_FIELD_BYTES * 2

# RFC 2046 5.1.1.
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(slots=True, kw_only=True)
class Form:
    """A form that arrived whole. ``filename`` is None if it brought no file."""

    fields: dict[str, str]
    filename: str | None
    size_bytes: int
    _intake: Intake

    async def commit(self) -> Artifact:
        """Keep the file."""
        assert self.filename is not None, "there is no file to keep"
        return await self._intake.commit()


@asynccontextmanager
async def receive_form(
    content_type: str,
    body: AsyncIterable[bytes],
    storage: ArtifactStorage,
    *,
    max_bytes: int,
    file_part: str = "fileupload",
) -> AsyncIterator[Form]:
    """Read a whole form; what is not committed when the block ends is dropped.

    ``max_bytes`` bounds the file. Raises ``UploadError`` for what the caller sent and
    ``StorageError`` for what the store could not do.
    """
    boundary = _boundary(content_type)
    async with storage.receive(max_bytes) as intake:
        reading = _Reading(boundary, file_part)
        received = size = 0
        async for chunk in body:
            received += len(chunk)
            if received > max_bytes + _OVERHEAD_BYTES:
                raise TooLargeError(max_bytes)
            for piece in reading.feed(chunk):
                size += len(piece)
                await intake.write(piece)
        if not reading.ended:
            raise TruncatedError("the form ended before its closing boundary")
        yield Form(
            fields=reading.fields, filename=reading.filename, size_bytes=size, _intake=intake
        )


def last_component(path: str) -> str:
    """The name of a file whose whole path a client sent, with either kind of slash."""
    return path.replace("\\", "/").rpartition("/")[2]


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type.encode("latin-1", "replace"))
    if kind != b"multipart/form-data":
        raise NotAFormError("the body must be multipart/form-data")
    boundary = options.get(b"boundary", b"")
    if _BOUNDARY.fullmatch(boundary) is None:
        raise NotAFormError("multipart/form-data needs a boundary of 1 to 70 characters")
    return boundary


@dataclass(slots=True)
class _Part:
    """The part that is being read."""

    headers: dict[str, bytes] = field(default_factory=dict)
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    # None: it is the file.
    text: bytearray | None = None
    name: str = ""


class _Reading:
    """The state of a form that is being read; the callbacks are the parser's."""

    def __init__(self, boundary: bytes, file_part: str) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        self.ended = False
        self._file_part = file_part
        self._begun = False
        self._parts = 0
        self._part = _Part()
        self._pieces: list[bytes] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    def feed(self, chunk: bytes) -> list[bytes]:
        """Read on; gives the pieces of the file that the chunk brought."""
        if not self._begun:
            # Line breaks before the first boundary are harmless, but after one the parser skips
            # whatever else comes in the same chunk.
            chunk = chunk.lstrip(b"\r\n")
            self._begun = bool(chunk)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedError(f"the form cannot be read: {error}") from error
        pieces, self._pieces = self._pieces, []
        return pieces

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise FieldsError(f"the form has more than {MAX_PARTS} parts")
        self._part = _Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]

    def _on_header_end(self) -> None:
        part = self._part
        name = part.header_name.decode("latin-1").lower()
        if name in part.headers:
            raise MalformedError(f"a part has two {name} headers")
        part.headers[name] = bytes(part.header_value)
        part.header_name.clear()
        part.header_value.clear()

    def _on_headers_finished(self) -> None:
        part = self._part
        disposition = part.headers.get("content-disposition")
        kind, options = parse_options_header(disposition)
        if kind != b"form-data" or b"name" not in options:
            raise MalformedError("a part is not form-data with a name")
        part.name = _text(options[b"name"], "the name of a part")
        if len(part.name) > MAX_NAME:
            raise FieldsError(f"the name of a part exceeds {MAX_NAME} characters")
        if part.headers.get("content-transfer-encoding", b"binary").lower() not in (
            b"binary",
            b"7bit",
            b"8bit",
        ):
            # RFC 7578 4.7: senders do not use any, and the bytes would be other bytes.
            raise MalformedError("a part has a Content-Transfer-Encoding")
        filename = options.get(b"filename")
        if filename is None:
            if part.name in self.fields:
                raise MalformedError(f"the field {part.name} is there twice")
            part.text = bytearray()
            return
        if part.name != self._file_part:
            raise MalformedError(f"the file must be in the part {self._file_part}")
        if self.filename is not None:
            raise MalformedError("the form has two files")
        self.filename = last_component(_text(filename, "the name of the file"))
        if not self.filename or _CONTROL.search(self.filename):
            raise MalformedError("the name of the file is empty or has control characters")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        text = self._part.text
        if text is None:
            self._pieces.append(data[start:end])
            return
        text += data[start:end]
        if len(text) > MAX_FIELD_BYTES:
            raise FieldsError(f"the field {self._part.name} exceeds {MAX_FIELD_BYTES} bytes")

    def _on_part_end(self) -> None:
        part = self._part
        if part.text is not None:
            self.fields[part.name] = _text(bytes(part.text), f"the field {part.name}")

    def _on_end(self) -> None:
        self.ended = True


def _text(value: bytes, what: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError(f"{what} is not UTF-8") from None
