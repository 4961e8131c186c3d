"""Artifacts over real sockets, on granian and on uvicorn."""

import asyncio
import http.client
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.artifacts.errors import StorageError
from overair.artifacts.local import LocalStorage
from overair.artifacts.serving import Pace, content_disposition, serve_bytes, serve_handoff
from overair.artifacts.storage import Artifact, Handoff, Internal, Redirect
from overair.clock import ManualClock
from overair.core import coverage
from tests.artifacts.servers import serving
from tests.artifacts.test_storage import MIB, put
from tests.waiting import until

MODIFIED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LARGE = os.urandom(40 * MIB + 12_345)
SMALL = bytes(range(256)) * 1000


class BrokenReader:
    """Content that ends before its size says, as on a failing disk."""

    size = 10 * MIB

    async def read(self, offset: int, n: int) -> bytes:
        return bytes(n) if offset < 2 * MIB else b""

    async def close(self) -> None:
        pass


@dataclass(kw_only=True)
class Site:
    """The server under test and what it has reported."""

    port: int
    stored: dict[str, Artifact]
    sent: list[tuple[int, int]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    ended: int = 0
    pace: Pace | None = None
    handoff: Handoff | None = None

    async def ask(
        self, name: str, method: str = "GET", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        def request() -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            asked = {key.replace("_", "-"): value for key, value in headers.items()}
            with closing(connection):
                connection.request(method, f"/{name}", headers=asked)
                with connection.getresponse() as response:
                    body = response.read()
                    return response.status, {k.lower(): v for k, v in response.getheaders()}, body

        ended = self.ended
        answer = await asyncio.to_thread(request)
        await self.requests_ended(ended + 1)
        return answer

    async def requests_ended(self, number: int) -> None:
        async def enough() -> bool:
            return self.ended >= number

        await until(enough, "the request to end")

    def coverage(self) -> coverage.Coverage:
        found = coverage.EMPTY
        for start, end in self.sent:
            found = coverage.add(found, start, end)
        return found


@pytest.fixture(params=["granian", "uvicorn"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """A server that has a large, a small and an empty artifact."""
    storage = LocalStorage(tmp_path)
    contents = {"large": LARGE, "small": SMALL, "empty": b""}
    site = Site(port=0, stored={name: await put(storage, c) for name, c in contents.items()})

    async def on_sent(start: int, end: int) -> None:
        site.sent.append((start, end))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        name = scope["path"][1:]
        try:
            if site.handoff is not None:
                await serve_handoff(send, site.handoff, filename="a.swu")
                return
            broken = name == "broken"
            reader = BrokenReader() if broken else await storage.open(site.stored[name].sha256)
            try:
                await serve_bytes(
                    scope,
                    receive,
                    send,
                    reader=reader,
                    filename=f"{name}.swu",
                    etag='"x"' if broken else site.stored[name].etag,
                    last_modified=MODIFIED,
                    on_sent=on_sent,
                    pace=site.pace,
                )
            finally:
                await reader.close()
        except StorageError as error:
            site.errors.append(error)
            raise
        finally:
            site.ended += 1

    async with serving(request.param, app) as site.port:
        yield site
    await storage.close()


async def test_whole_file(site: Site) -> None:
    """A plain GET brings the file with the headers of the device protocol."""
    status, headers, body = await site.ask("small")
    assert (status, body) == (200, SMALL)
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-length"] == str(len(SMALL))
    assert headers["accept-ranges"] == "bytes"
    assert headers["etag"] == f'"{site.stored["small"].sha256}"'
    assert headers["last-modified"] == "Fri, 02 Jan 2026 03:04:05 GMT"
    assert headers["content-disposition"] == 'attachment; filename="small.swu"'
    assert headers["x-content-type-options"] == "nosniff"
    assert site.sent == [(0, len(SMALL))]


async def test_large_file(site: Site) -> None:
    """A file of many pieces arrives whole, and is reported early, now and then, and at the end."""
    status, _, body = await site.ask("large")
    assert status == 200
    assert body == LARGE
    assert site.sent[0][0] == 0
    assert site.sent[0][1] <= MIB
    assert 3 <= len(site.sent) <= 6
    assert site.coverage() == ((0, len(LARGE)),)


async def test_every_complete_download_is_seen_as_complete(site: Site) -> None:
    """A device that hangs up the moment it has the last byte has got the file."""
    for _ in range(20):
        site.sent.clear()
        start = len(LARGE) - 3 * MIB - 7
        status, _, body = await site.ask("large", range=f"bytes={start}-")
        assert (status, len(body)) == (206, 3 * MIB + 7)
        assert site.coverage() == ((start, len(LARGE)),)


async def test_head(site: Site) -> None:
    """HEAD tells the size and sends nothing."""
    status, headers, body = await site.ask("large", "HEAD", range="bytes=0-1")
    assert (status, headers["content-length"], body) == (200, str(len(LARGE)), b"")
    assert site.sent == []


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        ("bytes=5-9", 5, 10),
        ("bytes=131072-262143", 131_072, 256_000),
        ("bytes=-1", 255_999, 256_000),
        ("bytes=100-", 100, 256_000),
    ],
)
async def test_range(site: Site, value: str, start: int, end: int) -> None:
    """A range brings just those bytes, and they are what is reported."""
    status, headers, body = await site.ask("small", range=value)
    assert (status, body) == (206, SMALL[start:end])
    assert headers["content-range"] == f"bytes {start}-{end - 1}/256000"
    assert headers["content-length"] == str(end - start)
    assert site.sent == [(start, end)]


async def test_range_past_the_end(site: Site) -> None:
    """A device that asks whether its file is complete hears 416 and the size."""
    status, headers, body = await site.ask("small", range="bytes=256000-")
    assert (status, body) == (416, b"")
    assert headers["content-range"] == "bytes */256000"
    assert headers["content-length"] == "0"
    assert site.sent == []


async def test_conditions(site: Site) -> None:
    """Matching tags answer 304 and 412 without a body."""
    tag = site.stored["small"].etag
    status, headers, body = await site.ask("small", if_none_match=tag)
    assert (status, headers["etag"], body) == (304, tag, b"")
    assert (await site.ask("small", if_match='"x"'))[0] == 412
    assert (await site.ask("small", range="bytes=0-1", if_range='"x"'))[0] == 200
    assert site.sent == [(0, len(SMALL))]


async def test_empty_file(site: Site) -> None:
    """An empty file is sent and reported, too."""
    status, headers, body = await site.ask("empty")
    assert (status, headers["content-length"], body) == (200, "0", b"")
    assert site.sent == [(0, 0)]


async def open_slowly(site: Site, request: bytes, taken: int) -> socket.socket:
    """Ask with a small receive buffer and take a little of the answer."""
    loop = asyncio.get_running_loop()
    device = socket.socket()
    device.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    device.setblocking(False)
    await loop.sock_connect(device, ("127.0.0.1", site.port))
    await loop.sock_sendall(device, request)
    while taken > 0:
        taken -= len(await loop.sock_recv(device, taken))
    return device


async def test_a_slow_device_holds_little(site: Site) -> None:
    """A device that stops reading makes the sending stop, long before the file is read."""
    device = await open_slowly(site, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", 100_000)

    async def settled() -> bool:
        before = list(site.sent)
        await asyncio.sleep(0.2)
        return bool(before) and before == site.sent

    await until(settled, "the sending to stop")
    assert coverage.sent_bytes(site.coverage()) < 20 * MIB
    assert site.ended == 0
    device.close()
    await site.requests_ended(1)


async def test_a_download_cut_and_resumed(site: Site) -> None:
    """A cut download is reported without its end; resuming where the device stopped completes it."""
    taken = 3 * MIB
    device = await open_slowly(site, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n", taken)
    device.close()
    await site.requests_ended(1)
    ((first, cut),) = site.coverage()
    assert first == 0
    assert taken - 1000 <= cut < len(LARGE)
    status, _, body = await site.ask("large", range=f"bytes={taken - 500}-")
    assert (status, body) == (206, LARGE[taken - 500 :])
    assert coverage.covers(site.coverage(), len(LARGE))


async def test_a_download_cut_in_its_last_pieces_is_not_complete(site: Site) -> None:
    """A device that leaves while the end of the file waits for it has not got the file."""
    ranged = f"GET /large HTTP/1.1\r\nHost: x\r\nRange: bytes={20 * MIB}-\r\n\r\n".encode()
    device = await open_slowly(site, ranged, 100_000)
    device.close()
    await site.requests_ended(1)
    assert site.coverage()[0][0] == 20 * MIB
    assert site.coverage()[0][1] < len(LARGE)


async def test_content_that_ends_too_early_cuts_the_answer(site: Site) -> None:
    """When the store fails in the middle, the device sees a cut and not a short file."""
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        await site.ask("broken")
    await site.requests_ended(1)
    assert [type(error) for error in site.errors] == [StorageError]
    assert site.coverage() == ((0, 2 * MIB),)


async def test_a_paced_download_takes_its_time(site: Site) -> None:
    """With a pace no more is sent than the clock allows."""
    clock = ManualClock(MODIFIED)
    site.pace = Pace(bytes_per_s=40_000, clock=clock)
    asking = asyncio.create_task(site.ask("small"))
    seconds = 0

    async def arrived() -> bool:
        nonlocal seconds
        assert coverage.sent_bytes(site.coverage()) <= 40_000 * seconds + 10_000
        clock.advance(MODIFIED.replace(second=6) - MODIFIED)
        seconds += 1
        return asking.done()

    await until(arrived, "the paced download")
    assert (await asking)[2] == SMALL
    assert seconds >= len(SMALL) // 40_000


async def test_a_device_that_leaves_a_paced_download_ends_it(site: Site) -> None:
    """Nobody waits out the pace for a device that is gone."""
    site.pace = Pace(bytes_per_s=40_000, clock=ManualClock(MODIFIED))
    device = await open_slowly(site, b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n", 1000)
    device.close()
    await site.requests_ended(1)
    ((start, end),) = site.coverage()
    assert start == 0
    assert end == 10_000


async def test_handing_off(site: Site) -> None:
    """A device is redirected, or nginx is told; nothing is reported."""
    site.handoff = Redirect(url="http://s3.example/bucket/a?X-Amz-Signature=1")
    status, headers, body = await site.ask("small")
    assert (status, headers["location"], body) == (307, site.handoff.url, b"")
    site.handoff = Internal(path="/overair-artifacts/ab/cd/x y")
    status, headers, body = await site.ask("small")
    assert (status, body) == (200, b"")
    assert headers["x-accel-redirect"] == "/overair-artifacts/ab/cd/x%20y"
    assert headers["content-disposition"] == 'attachment; filename="a.swu"'
    assert site.sent == []


async def test_a_cancelled_download_is_still_reported() -> None:
    """What was sent before the server was stopped is reported all the same."""
    sent: list[tuple[int, int]] = []
    messages = 0

    class Endless:
        size = 100 * MIB

        async def read(self, offset: int, n: int) -> bytes:
            return bytes(n)

        async def close(self) -> None:
            pass

    async def send(message: Any) -> None:
        nonlocal messages
        messages += 1
        if messages == 5:
            await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def on_sent(start: int, end: int) -> None:
        await asyncio.sleep(0)
        sent.append((start, end))

    serving = asyncio.create_task(
        serve_bytes(
            {"method": "GET", "headers": []},
            receive,
            send,
            reader=Endless(),
            filename="x",
            etag='"x"',
            last_modified=MODIFIED,
            on_sent=on_sent,
        )
    )

    async def stuck() -> bool:
        return messages == 5

    await until(stuck)
    serving.cancel()
    await asyncio.wait([serving])
    assert serving.cancelled()
    assert sent == [(0, MIB), (MIB, 4 * MIB)]


def read_disposition(value: bytes) -> str:
    """What a client makes of a Content-Disposition: the encoded name, or else the plain one."""
    found = re.fullmatch(
        rb"attachment; filename=\"([^\"\\]*)\"(?:; filename\*=UTF-8''([!#$&+.^_`|~%0-9A-Za-z-]*))?",
        value,
    )
    assert found is not None
    if found[2] is None:
        return found[1].decode("ascii")
    return unquote(found[2].decode("ascii"), errors="strict")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_is_a_safe_header(filename: str) -> None:
    """Whatever a file is called, the header is printable ASCII and gives the name back."""
    value = content_disposition(filename)
    assert all(32 <= byte < 127 for byte in value)
    assert read_disposition(value) == filename


def test_a_name_that_is_no_text_is_still_a_header() -> None:
    """Lone surrogates are replaced."""
    assert content_disposition("a\ud800") == b"attachment; filename=\"a_\"; filename*=UTF-8''a%3F"
