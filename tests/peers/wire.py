"""The least HTTP/1.1 a peer needs: read a head, read a body, write a message.

Used by the cutting proxy and by the scripted servers of the self-tests. Deliberately not a general parser: no
trailers, no pipelining, no continuation lines. Independent of the server's own stack, so that a test which reads
bytes here does not repeat that stack's opinion of them.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

HEAD_LIMIT = 64 * 1024


class WireError(Exception):
    """The other side sent something that is no HTTP/1.1 head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A start line and its headers, with the exact bytes they came as."""

    raw: bytes
    start: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str | None:
        """Return the first value of a header, compared without case."""
        wanted = name.lower()
        for key, value in self.headers:
            if key.lower() == wanted:
                return value
        return None

    @property
    def length(self) -> int | None:
        """Return Content-Length, or None where the message has none."""
        value = self.header("Content-Length")
        return int(value) if value is not None else None

    @property
    def chunked(self) -> bool:
        """Tell whether the body comes in chunks."""
        return "chunked" in (self.header("Transfer-Encoding") or "").lower()

    @property
    def method(self) -> str:
        """Return the method of a request."""
        return self.start.split(" ", 1)[0]

    @property
    def target(self) -> str:
        """Return the target of a request as it was sent, query string and all."""
        return self.start.split(" ")[1]

    @property
    def status(self) -> int:
        """Return the status of a response."""
        return int(self.start.split(" ")[1])


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read one head; None when the peer closed between two messages."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise WireError(f"closed inside a head: {error.partial[:80]!r}") from error
        return None
    except asyncio.LimitOverrunError as error:
        raise WireError("head too long") from error
    lines = raw.decode("latin-1").split("\r\n")
    start = lines[0]
    if len(start.split(" ")) < 2:
        raise WireError(f"bad start line: {start!r}")
    pairs: list[tuple[str, str]] = []
    for line in lines[1:]:
        if line:
            name, _, value = line.partition(":")
            pairs.append((name.strip(), value.strip()))
    return Head(raw=raw, start=start, headers=tuple(pairs))


async def read_body(
    reader: asyncio.StreamReader, head: Head, each: Callable[[bytes], None] | None = None
) -> bytes:
    """Read the body a head announces, raw chunk framing taken away, and hand raw pieces to `each`."""
    if head.chunked:
        body = bytearray()
        while True:
            size_line = await reader.readuntil(b"\r\n")
            size = int(size_line.split(b";")[0], 16)
            data = await reader.readexactly(size + 2)
            if each is not None:
                each(size_line + data)
            if size == 0:
                return bytes(body)
            body += data[:-2]
    data = await reader.readexactly(head.length or 0)
    if each is not None and data:
        each(data)
    return data


def response(
    status: int,
    body: bytes = b"",
    *,
    headers: dict[str, str] | None = None,
    head_only: bool = False,
) -> bytes:
    """Write a response with a Content-Length; `head_only` announces the body without sending it."""
    reasons = {200: "OK", 206: "Partial Content", 416: "Range Not Satisfiable"}
    lines = [f"HTTP/1.1 {status} {reasons.get(status, 'Answer')}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (b"" if head_only else body)
