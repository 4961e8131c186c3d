"""Sending an artifact to a device: plain ASGI, no framework.

The rules (http-ddi 5.4):

- Headers, ranges and conditions as ``protocols/http/ranges`` decides. Content goes out in pieces
  of 1 MiB, one read ahead of nothing: a piece is read when the transport has taken the one before,
  so a slow device holds a piece or two and not the file.
- The first piece is read before the answer begins. A store that fails is then still the caller's to
  answer; after that the connection is cut, and the device resumes.
- What was sent is reported while it is sent, so that an action is *running* from its first byte,
  and at the end. Ours is the last hand that sees the bytes before the server, its transport and
  the kernel take them. A piece that was handed over when the connection went counts as sent, for
  a device that resumes starts somewhere inside it, and a hole would never be filled. The last
  piece of an answer is not handed over on a connection known to be broken, so a download that was
  seen to break is never complete.

How the two servers tell that a device has gone: neither raises from ``send``; both answer
``receive`` with ``http.disconnect``. They say the same after the end of an answer, so it says
something only while there is something left to send. Granian drops what is sent on a broken
connection without a word and tells of the break from a thread of its own, a moment later; and it
takes four messages ahead of the connection. Hence the last bytes of a long answer go in a few
small messages, so that when the last one is due nearly everything has left the process, and before
it that moment is waited for. What the kernel still holds then, nobody can know here.

Not in here: who may have what, and under which address.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from overair.artifacts.errors import StorageError
from overair.artifacts.storage import PIECE_BYTES, Handoff, Reader, Redirect
from overair.clock import Clock
from overair.protocols.http.ranges import Conditions, http_date, select

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
OnSent = Callable[[int, int], Awaitable[None]]
OnLast = Callable[[], None]

# How much is sent before it is reported again: a report is a write to the database.
_REPORT_BYTES = 16 * PIECE_BYTES

# A paced download goes out in pieces of about this many seconds, so that it flows.
_PACE_S = 0.25
_SMALLEST_PIECE = 4 * 1024

# The end of a long answer goes in messages of this size; one more of them than granian queues.
_LAST_PIECE = 4 * 1024
_LAST_PIECES = 5

# How long the server may take to tell that the connection broke.
_WORD_OF_BREAK_S = 0.02

# RFC 8187 attr-char: what needs no percent-encoding in filename*.
_ATTR_CHARS = "!#$&+-.^_`|~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast one download may be: bytes a second of that clock."""

    bytes_per_s: int
    clock: Clock


def _nothing() -> None:
    pass


async def serve_bytes(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    reader: Reader,
    filename: str,
    etag: str,
    last_modified: datetime,
    on_sent: OnSent,
    on_last: OnLast = _nothing,
    pace: Pace | None = None,
) -> int:
    """Answer a GET or HEAD of an artifact; gives the status.

    ``on_sent(start, end)`` is awaited for what was sent of the content, from ``start`` up to before
    ``end``: early, now and then, and at the end, also when the task is cancelled. An empty file
    that was sent whole is reported as (0, 0). HEAD reports nothing. ``on_last`` is called right
    before the last piece is sent: from then on the device may be done before ``on_sent`` has said so.

    A ``StorageError`` is raised before anything was sent, or else after the connection was left
    without its end.
    """
    method = scope["method"]
    size = reader.size
    chosen = select(
        method, Conditions.of(scope["headers"]), size=size, etag=etag, last_modified=last_modified
    )
    headers = [
        (b"accept-ranges", b"bytes"),
        (b"etag", etag.encode("latin-1")),
        (b"last-modified", http_date(last_modified).encode("ascii")),
        (b"x-content-type-options", b"nosniff"),
    ]
    start, end = chosen.start, chosen.end
    if chosen.status in (200, 206):
        headers += [
            (b"content-type", b"application/octet-stream"),
            (b"content-disposition", content_disposition(filename)),
            (b"content-length", b"%d" % (end - start)),
        ]
        if chosen.status == 206:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)))
    elif chosen.status != 304:
        # A 304 has no body, and a length would be that of the file (RFC 9110 8.6).
        headers.append((b"content-length", b"0"))
        if chosen.status == 416:
            headers.append((b"content-range", b"bytes */%d" % size))
    begin: Message = {"type": "http.response.start", "status": chosen.status, "headers": headers}
    if method == "HEAD" or start == end:
        on_last()
        await send(begin)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if method != "HEAD" and chosen.status == 200:
            await on_sent(0, 0)
        return chosen.status
    n = _piece_bytes(pace)
    left = end - start
    first = await _read(reader, start, left if left <= n else _next_piece(n, left))
    await send(begin)
    if len(first) == end - start:
        # The common small range: one message, and nobody to watch for a device that leaves.
        on_last()
        await send({"type": "http.response.body", "body": first, "more_body": False})
        await on_sent(start, end)
    else:
        await _stream(receive, send, reader, first, start, end, on_sent, on_last, pace)
    return chosen.status


async def serve_handoff(send: Send, handoff: Handoff, *, filename: str) -> int:
    """Answer in the place of the bytes: a redirect, or a word to the nginx in front.

    What is sent then is not seen here; such a download is known by the device's feedback alone.
    """
    if isinstance(handoff, Redirect):
        # Temporary, and with the same method: the address changes with every request.
        status = 307
        headers = [(b"location", handoff.url.encode("ascii")), (b"cache-control", b"no-store")]
    else:
        status = 200
        headers = [
            (b"x-accel-redirect", quote(handoff.path).encode("ascii")),
            (b"content-type", b"application/octet-stream"),
            (b"content-disposition", content_disposition(filename)),
            (b"x-content-type-options", b"nosniff"),
        ]
    headers.append((b"content-length", b"0"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    return status


@lru_cache(maxsize=1024)  # a fleet downloads the same few
def content_disposition(filename: str) -> bytes:
    """``attachment`` with the file's name (RFC 6266), safe whatever the name holds.

    Names beyond plain ones get the encoded form of RFC 8187 beside a plain one for old clients.
    """
    plain = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in filename
    )
    value = f'attachment; filename="{plain}"'
    if plain != filename:
        encoded = quote(filename.encode("utf-8", "replace"), safe=_ATTR_CHARS)
        value += f"; filename*=UTF-8''{encoded}"
    return value.encode("ascii")


async def _stream(
    receive: Receive,
    send: Send,
    reader: Reader,
    piece: bytes,
    start: int,
    end: int,
    on_sent: OnSent,
    on_last: OnLast,
    pace: Pace | None,
) -> None:
    """Send from ``start`` to ``end`` piece by piece; ``piece`` is the first."""
    gone = asyncio.ensure_future(_disconnected(receive))
    n = _piece_bytes(pace)
    began_s = pace.clock.monotonic() if pace is not None else 0.0
    reported = position = start
    try:
        while True:
            if position + len(piece) == end:
                # Wall time: this waits for a thread of the server, whatever the fleet's clock.
                await asyncio.wait((gone,), timeout=_WORD_OF_BREAK_S)
            if gone.done():
                return
            position += len(piece)
            if position == end:
                on_last()
            try:
                await send(
                    {"type": "http.response.body", "body": piece, "more_body": position < end}
                )
            except BaseException:
                position = min(position, end - 1)
                raise
            if position == end:
                return
            if reported == start or position - reported >= _REPORT_BYTES:
                await on_sent(reported, position)
                reported = position
            if pace is not None:
                due_s = (position - start) / pace.bytes_per_s
                await _rest(pace.clock, began_s + due_s, gone)
            else:
                # A fast device must not keep the loop from everybody else.
                await asyncio.sleep(0)
            piece = await _read(reader, position, _next_piece(n, end - position))
    finally:
        gone.cancel()
        if position > reported:
            # Shielded: what was sent is a fact, also when the server is stopping.
            await asyncio.shield(on_sent(reported, position))


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _rest(clock: Clock, until_s: float, gone: "asyncio.Future[None]") -> None:
    """Wait until the clock shows that moment, or the device has gone."""
    delay_s = until_s - clock.monotonic()
    if delay_s <= 0:
        await asyncio.sleep(0)
        return
    nap = asyncio.ensure_future(clock.sleep(delay_s))
    try:
        await asyncio.wait((nap, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        nap.cancel()


async def _read(reader: Reader, offset: int, n: int) -> bytes:
    piece = await reader.read(offset, n)
    if not piece:
        raise StorageError(f"the content ends at byte {offset} and should not")
    return piece


def _next_piece(n: int, left: int) -> int:
    tail = _LAST_PIECES * _LAST_PIECE
    return min(n, left - tail) if left > tail else min(_LAST_PIECE, left)


def _piece_bytes(pace: Pace | None) -> int:
    if pace is None:
        return PIECE_BYTES
    return max(_SMALLEST_PIECE, min(PIECE_BYTES, int(pace.bytes_per_s * _PACE_S)))
