"""Who may fetch which file, in which pieces, and what counts as downloaded (http-ddi 5.4)."""

from pathlib import Path

import pytest

from tests.devices.field import FILE_NAME, IMAGE, Field, Peer, href_of, open_field
from tests.serving import ServerName
from tests.waiting import until

SIZE = len(IMAGE)


async def at_work(field: Field, number: int = 1) -> tuple[Peer, int, str]:
    """A device, its action and the address of its file."""
    peer = await field.new_peer(number)
    await field.campaign(number)
    action, document = await peer.retrieve()
    return peer, action, href_of(document)


async def becomes(field: Field, action: int, state: str) -> None:
    """What was sent is noted behind the last byte."""

    async def is_so() -> bool:
        return await field.state(action) == state

    await until(is_so, f"action {action} to be {state}")


@pytest.mark.parametrize("on", ["granian", "uvicorn"])
async def test_the_headers_of_a_download(tmp_path: Path, on: ServerName) -> None:
    """Type, length, ranges, a strong tag, a date, attachment and nosniff."""
    async with open_field(tmp_path, on=on) as field:
        peer, _, href = await at_work(field)
        reply = await peer.get(href)
        assert (reply.status, reply.body) == (200, IMAGE)
        assert reply.header("Content-Type") == "application/octet-stream"
        assert reply.header("Content-Length") == str(SIZE)
        assert reply.header("Accept-Ranges") == "bytes"
        assert reply.header("ETag") == f'"{field.image.sha256}"'
        assert str(reply.header("Last-Modified")).endswith(" GMT")
        assert reply.header("Content-Disposition") == f'attachment; filename="{FILE_NAME}"'
        assert reply.header("X-Content-Type-Options") == "nosniff"
        assert reply.header("Transfer-Encoding") is None


@pytest.mark.parametrize("on", ["granian", "uvicorn"])
async def test_the_table_of_ranges(tmp_path: Path, on: ServerName) -> None:
    """Every form of a range gets the bytes, or the 416, that is due to it."""
    async with open_field(tmp_path, on=on) as field:
        peer, _, href = await at_work(field)
        for asked, status, start, end in (
            ("bytes=0-0", 206, 0, 1),
            ("bytes=0-99", 206, 0, 100),
            ("bytes=100-", 206, 100, SIZE),
            (f"bytes={SIZE - 1}-", 206, SIZE - 1, SIZE),
            ("bytes=-1", 206, SIZE - 1, SIZE),
            ("bytes=-500", 206, SIZE - 500, SIZE),
            (f"bytes=-{SIZE * 2}", 206, 0, SIZE),
            (f"bytes=5000-{SIZE * 2}", 206, 5000, SIZE),
            ("bytes=9000-99999999999999999999999999", 206, 9000, SIZE),
            ("Bytes=0-9", 206, 0, 10),
            (f"bytes={SIZE}-", 416, 0, 0),
            (f"bytes={SIZE}-{SIZE + 5}", 416, 0, 0),
            ("bytes=99999999999999999999999999-", 416, 0, 0),
            ("bytes=9-5", 416, 0, 0),
            ("bytes=-0", 416, 0, 0),
            ("bytes=-", 416, 0, 0),
            ("bytes=", 416, 0, 0),
            ("bytes=a-b", 416, 0, 0),
            ("bytes=1", 416, 0, 0),
            ("bytes=--5", 416, 0, 0),
            ("bytes=0x0-0x9", 416, 0, 0),
            ("bytes=0-1,5-9", 200, 0, SIZE),
            ("lines=1-2", 200, 0, SIZE),
        ):
            reply = await peer.get(href, {"Range": asked})
            assert reply.status == status, asked
            if status == 416:
                assert reply.header("Content-Range") == f"bytes */{SIZE}", asked
                assert reply.body == b""
            else:
                assert reply.body == IMAGE[start:end], asked
                assert reply.header("Content-Length") == str(end - start)
            if status == 206:
                assert reply.header("Content-Range") == f"bytes {start}-{end - 1}/{SIZE}"
                assert reply.header("ETag") == f'"{field.image.sha256}"'


async def test_conditions(tmp_path: Path) -> None:
    """If-Range, If-Match and If-None-Match are heard."""
    async with open_field(tmp_path, downloads_per_attempt=100) as field:
        await assert_conditions(*await at_work(field))


async def assert_conditions(peer: Peer, _: int, href: str) -> None:
    whole = await peer.get(href)
    tag, date = str(whole.header("ETag")), str(whole.header("Last-Modified"))
    long_ago = "Mon, 01 Jan 2001 00:00:00 GMT"
    for headers, status in (
        ({"Range": "bytes=5-9", "If-Range": tag}, 206),
        ({"Range": "bytes=5-9", "If-Range": date}, 206),
        ({"Range": "bytes=5-9", "If-Range": '"other"'}, 200),
        ({"Range": "bytes=5-9", "If-Range": f"W/{tag}"}, 200),
        ({"Range": "bytes=5-9", "If-Range": long_ago}, 200),
        ({"If-Match": tag}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"other"'}, 412),
        ({"If-Unmodified-Since": long_ago}, 412),
        ({"If-None-Match": tag}, 304),
        ({"If-Modified-Since": date}, 304),
    ):
        reply = await peer.get(href, headers)
        assert reply.status == status, headers
        if status == 200:
            assert reply.body == IMAGE


async def test_only_the_file_of_its_own_action(field: Field) -> None:
    """Before the offer, for other devices, other modules and other names: 404."""
    await field.add(2, 3)
    peer, _, href = await at_work(field)
    path = href.partition(peer.base)[2]
    module = path.split("/")[2]
    for other in (field.peer(2), field.peer(3)):
        for method in ("GET", "HEAD"):
            assert (await other.ask(method, path)).status == 404
            assert (await other.ask(method, f"{path}.MD5SUM")).status == 404
        assert (await other.get(f"/softwaremodules/{module}/artifacts")).status == 404
    for wrong in (
        f"/softwaremodules/{int(module) + 1}/artifacts/{FILE_NAME}",
        f"/softwaremodules/{module}/artifacts/other.swu",
        f"/softwaremodules/{module}/artifacts/{FILE_NAME.upper()}",
        f"/softwaremodules/{module}/artifacts/..%2F{FILE_NAME}",
        f"/softwaremodules/{module}/artifacts/{field.image.sha256}",
        f"/softwaremodules/{module}/artifacts/.MD5SUM",
    ):
        assert (await peer.get(wrong)).status == 404, wrong


async def test_until_when_a_file_may_be_fetched(field: Field) -> None:
    """While the action is open and while it is the latest successful one; not once it failed."""
    peer, action, href = await at_work(field)
    await peer.close_with(action, "success")
    assert (await peer.get(href)).body == IMAGE
    await field.add(2)
    await field.campaign(2)
    failed, document = await field.peer(2).retrieve()
    await field.peer(2).close_with(failed, "failure")
    assert (await field.peer(2).download(document)).status == 404


async def test_a_download_under_way_is_not_cut_by_a_cancel(field: Field) -> None:
    """While the action is being cancelled the file can still be had: the client decides."""
    peer = await field.new_peer(1)
    campaign = await field.campaign(1)
    action, document = await peer.retrieve()
    await field.stop(campaign)
    assert (await peer.download(document)).status == 200
    await peer.say(action, "closed", "success", about="cancelAction")
    assert (await peer.download(document)).status == 404


async def test_the_checksum(field: Field) -> None:
    """MD5SUM is text as md5sum prints it."""
    peer, _, href = await at_work(field)
    reply = await peer.get(f"{href}.MD5SUM")
    assert reply.header("Content-Type") == "text/plain"
    assert reply.body.decode().rstrip("\n") == f"{field.image.md5}  {FILE_NAME}"


async def test_the_list_of_a_module_s_artifacts(field: Field) -> None:
    """The list has the objects of the deployment."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    _, document = await peer.retrieve()
    reply = await peer.get(href_of(document).rsplit("/", 1)[0])
    assert reply.json() == document["deployment"]["chunks"][0]["artifacts"]


async def test_the_first_byte_is_running_and_the_last_downloaded(field: Field) -> None:
    """A part makes the action running, a whole 200 downloaded; HEAD, 304, 412 and 416 nothing."""
    peer, action, href = await at_work(field)
    await peer.ask("HEAD", href)
    for headers in ({"If-Match": '"x"'}, {"Range": f"bytes={SIZE}-"}, {"If-None-Match": "*"}):
        await peer.get(href, headers)
    assert await field.state(action) == "retrieved"
    await peer.get(href, {"Range": "bytes=0-0"})
    await becomes(field, action, "running")
    await peer.get(href)
    await becomes(field, action, "downloaded")


async def test_ranges_that_cover_the_file_are_a_download(each_field: Field) -> None:
    """Pieces in any order, overlapping, count when together they are the file."""
    field = each_field
    peer, action, href = await at_work(field)
    for piece in ("bytes=5000-9999", "bytes=0-1999", "bytes=1500-4998"):
        await peer.get(href, {"Range": piece})
        await becomes(field, action, "running")
    await peer.get(href, {"Range": "bytes=4999-4999"})
    await becomes(field, action, "downloaded")
    assert (await field.attempt(action)).downloads == 1


async def test_the_report_behind_a_download_comes_behind_it(each_field: Field) -> None:
    """What was sent is counted before the device's next report is taken."""
    field = each_field
    for number in range(1, 11):
        peer = await field.new_peer(number)
        campaign = await field.campaign(number)
        action, document = await peer.retrieve()
        assert (await peer.get(href_of(document))).status == 200
        await peer.close_with(action, "failure")
        assert (await field.word(number, campaign))[1] == "RovaClientDownloadedInstallFailed"


async def test_an_installed_file_again_counts_for_nothing(field: Field) -> None:
    """Fetching the installed file changes no action."""
    peer, action, href = await at_work(field)
    await peer.close_with(action, "success")
    before = await field.attempt(action)
    assert (await peer.get(href)).status == 200
    assert await field.attempt(action) == before


async def test_names_with_odd_characters(field: Field) -> None:
    """A stored name is percent-encoded in links, and its ending kept."""
    await field.run(
        lambda tx: tx.execute(
            "update package set file_name = 'x1 (02)#ü%.swu' where kind = 'software'"
        )
    )
    peer, _, href = await at_work(field)
    assert href.endswith("/x1%20%2802%29%23%C3%BC%25.swu")
    reply = await peer.get(href)
    assert reply.body == IMAGE
    assert "filename*=UTF-8''x1%20" in str(reply.header("Content-Disposition"))
    assert (await peer.get(f"{href}.MD5SUM")).body.endswith("  x1 (02)#ü%.swu\n".encode())


async def test_artifacts_are_never_429(tmp_path: Path) -> None:
    """Downloads neither count against a limit nor are held back by one."""
    async with open_field(
        tmp_path, device_requests_per_s=1, device_burst=5, trusted_proxies=("127.0.0.1",)
    ) as field:
        peer = await field.new_peer(1)
        peer.headers["X-Forwarded-For"] = "8.8.8.8"
        await field.campaign(1)
        _, document = await peer.retrieve()
        for _ in range(10):
            await peer.get()
        assert (await peer.get()).status == 429
        for _ in range(3):
            for method in ("GET", "HEAD"):
                assert (await peer.ask(method, href_of(document))).status == 200
