"""What a device downloads: addresses, ranges, cut connections, and what it says of it (oma-dm 13)."""

import xml.etree.ElementTree as ET
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from overair.protocols.syncml.message import Replace
from tests.devices.dm.modem import EXEC, Modem
from tests.devices.dm.yard import FILE_NAME, IMAGE, Yard, open_yard
from tests.devices.field import Reply, Wire, store

OBJECT = "{http://www.openmobilealliance.org/xmlns/dd}objectURI"
NOTIFY = "{http://www.openmobilealliance.org/xmlns/dd}installNotifyURI"


async def commanded(yard: Yard, number: int = 1) -> Modem:
    """A device that was told to download."""
    modem = await yard.modem(number)
    await yard.campaign(number)
    await modem.session()
    assert modem.wanted == EXEC
    return modem


async def address(modem: Modem, element: str = OBJECT) -> str:
    """An address in the descriptor."""
    reply = await modem.fetch(modem.url)
    return ET.fromstring(reply.body).findtext(element) or ""


async def test_an_address_is_short_and_says_nothing(yard: Yard) -> None:
    """It fits into 255 characters, and holds neither the device nor the campaign."""
    modem = await commanded(yard)
    assert len(modem.url) < 100
    assert modem.imei not in modem.url
    assert FILE_NAME not in modem.url


async def test_a_descriptor_may_be_looked_at_first(yard: Yard) -> None:
    """HEAD gives its headers; it is not to be kept by anybody on the way."""
    modem = await commanded(yard)
    whole, head = await modem.fetch(modem.url), await modem.fetch(modem.url, "HEAD")
    assert head.header("content-length") == str(len(whole.body))
    assert head.header("content-type") == "application/vnd.oma.dd+xml"
    assert whole.header("cache-control") == "no-store"
    assert len(whole.body) < 16 * 1024


async def test_ranges(yard: Yard) -> None:
    """Any part of the package, the same bytes each time, under a strong tag."""
    modem = await commanded(yard)
    url = await address(modem)
    head = await modem.fetch(url, "HEAD")
    assert (head.status, head.header("accept-ranges")) == (200, "bytes")
    assert head.header("content-length") == str(len(IMAGE))
    tag = head.header("etag") or ""
    assert tag.startswith('"')
    part = await modem.fetch(url, Range="bytes=100-199")
    assert (part.status, part.body) == (206, IMAGE[100:200])
    assert part.header("content-range") == f"bytes 100-199/{len(IMAGE)}"
    rest = await modem.fetch(url, Range="bytes=9000-", If_Range=tag)
    assert (rest.status, rest.body) == (206, IMAGE[9000:])
    other = await modem.fetch(url, Range="bytes=9000-", If_Range='"another"')
    assert (other.status, other.body) == (200, IMAGE)
    beyond = await modem.fetch(url, Range="bytes=99999-")
    assert (beyond.status, beyond.header("content-range")) == (416, f"bytes */{len(IMAGE)}")


async def test_a_cut_connection_is_resumed_hours_later(each_yard: Yard) -> None:
    """A device whose connection broke goes on where it was; the whole is then a fact of ours."""
    field = each_yard.field
    big = bytes(range(256)) * 20_000
    bytes_ = await store(field.server, big)
    modem = await each_yard.modem(1)
    campaign = await each_yard.campaign(1)
    now = field.clock.now()
    await field.run(
        lambda tx: tx.execute(
            "insert into artifact (sha256, sha1, md5, size_bytes, created_at)"
            " values (?, ?, ?, ?, 0)",
            (bytes_.sha256, bytes_.sha1, bytes_.md5, bytes_.size_bytes),
        )
    )
    await modem.session()
    await field.run(
        lambda tx: tx.execute("update attempt set artifact_sha256 = ?", (bytes_.sha256,))
    )
    url = await address(modem)
    wire = await Wire.open(field.base_url)
    path = url.removeprefix(field.base_url)
    await wire.send(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path.encode())
    got = await wire.reader.readexactly(1_000_000)
    await wire.close()
    body = got.split(b"\r\n\r\n", 1)[1]
    assert big.startswith(body)
    field.clock.advance(timedelta(hours=5))
    rest = await modem.fetch(url, Range=f"bytes={len(body)}-")
    assert (rest.status, body + rest.body) == (206, big)
    await field.server.sending.settled(await each_yard.device_id(1))
    assert await each_yard.state(1) == "downloaded"
    assert await each_yard.place(1, campaign) == ("pending", "not_installed_yet")
    assert field.clock.now() > now


async def test_bytes_before_the_command_count_for_nothing(each_yard: Yard) -> None:
    """Some look at the address when it is set: that is no download yet."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    reply = await modem.begin()
    while not any(isinstance(command, Replace) for command in reply.commands):
        reply = await modem.send(modem.answers(reply))
    modem.answers(reply)
    assert (await modem.fetch(await address(modem))).body == IMAGE
    assert await each_yard.state(1) == "offered"


async def test_a_device_may_download_again_and_again(each_yard: Yard) -> None:
    """Modems try several times by themselves: the attempt goes on until the device says how it ended."""
    modem = await commanded(each_yard)
    url = await address(modem)
    for _ in range(each_yard.field.settings.limits.downloads_per_attempt + 1):
        assert (await modem.fetch(url)).body == IMAGE
    await each_yard.field.server.sending.settled(await each_yard.device_id(1))
    assert await each_yard.state(1) == "downloaded"


@pytest.mark.parametrize("path", ["/dm/dd/", "/dm/package/", "/dm/notify/"])
@pytest.mark.parametrize(
    "token",
    ["1", "1-", "1-AAAAAAAAAAAAAAAAAAAAAAAA", "ffffffffff-x", "..%2f..", "%00", "-1-A", "é"],
)
async def test_addresses_that_were_not_made_here(yard: Yard, path: str, token: str) -> None:
    """Guesses find nothing, and learn nothing: 404, or the 200 that every notification gets."""
    await commanded(yard)
    wire = await yard.field.wire()
    if "notify" in path:
        reply = await wire.ask("POST", path.encode() + token.encode(), {}, b"900 Success")
        assert reply.status == (404 if "%2f" in token else 200)
        assert await yard.state(1) == "running"
    else:
        reply = await wire.ask("GET", path.encode() + token.encode())
        assert reply.status == 404
    assert reply.body == b""


async def test_an_address_of_another_attempt(yard: Yard) -> None:
    """The code belongs to one attempt: with another number in front it is no address."""
    one, two = await commanded(yard), await commanded(yard, 2)
    code = one.url.rpartition("-")[2]
    forged = two.url.rpartition("/dd/")[2].partition("-")[0]
    assert (await one.fetch(f"{yard.field.base_url}/dm/dd/{forged}-{code}")).status == 404


@pytest.mark.parametrize("delivery", ["POST", "PUT", "DELETE"])
async def test_methods(yard: Yard, delivery: str) -> None:
    """Downloads are fetched, and nothing else."""
    modem = await commanded(yard)
    reply = await modem.fetch(modem.url, delivery)
    assert (reply.status, reply.header("allow")) == (405, "GET, HEAD")
    reply = await modem.fetch(await address(modem, NOTIFY), "GET")
    assert (reply.status, reply.header("allow")) == (405, "POST")


# What it says of it ------------------------------------------------------------------------------


async def say(modem: Modem, body: bytes) -> Reply:
    """An install notification."""
    return await modem.fetch(await address(modem, NOTIFY), "POST", body, Content_Type="text/plain")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"901 Insufficient memory", (901, "install status: insufficient memory")),
        (b"902\r\n", (902, "install status: user cancelled")),
        (b"903", (903, "install status: loss of service")),
        (b"953 Non-Acceptable Content", (953, "install status: non acceptable content")),
        (b"999 what", (999, "install status")),
    ],
)
async def test_what_went_wrong_is_noted(
    each_yard: Yard, body: bytes, told: tuple[int, str]
) -> None:
    """A code is kept, and moves nothing: the device's own report decides."""
    modem = await commanded(each_yard)
    reply = await say(modem, body)
    assert (reply.status, reply.body) == (200, b"")
    assert (await each_yard.told(1))[-1] == told
    assert await each_yard.state(1) == "running"


@pytest.mark.parametrize("code", [905, 906, 951])
async def test_what_is_our_fault_is_told_to_the_operator(yard: Yard, code: int) -> None:
    """A device that cannot use what we serve is a line in the log."""
    modem = await commanded(yard)
    with capture_logs() as lines:
        await say(modem, b"%d" % code)
    assert [line["event"] for line in lines] == ["a device cannot use a download"]


@pytest.mark.parametrize("body", [b"", b"no number", b"9" * 100_000, b"\xff\x00"])
async def test_a_notification_that_says_nothing(yard: Yard, body: bytes) -> None:
    """It is answered like all others, and nothing is kept."""
    modem = await commanded(yard)
    before = await yard.told(1)
    reply = await say(modem, body)
    assert (reply.status, reply.body) == (200, b"")
    assert await yard.told(1) == before


async def test_a_notification_never_ends_anything(each_yard: Yard) -> None:
    """900 again and again is one download; after the end of the attempt it is nothing."""
    modem = await commanded(each_yard)
    url = await address(modem, NOTIFY)
    for _ in range(3):
        await modem.fetch(url, "POST", b"900 Success")
    assert await each_yard.state(1) == "downloaded"
    await modem.session(modem.result(410))
    before = await each_yard.told(1)
    assert (await modem.fetch(url, "POST", b"900 Success")).status == 200
    assert await each_yard.state(1) == "failed"
    assert await each_yard.told(1) == before


# Where it is -------------------------------------------------------------------------------------


async def test_behind_a_public_address(tmp_path: Path) -> None:
    """Every address that is told begins with the one that the operator says."""
    async with open_yard(tmp_path, public_url="https://fota.example/") as yard:
        modem = await yard.modem(1)
        await yard.campaign(1)
        reply = await modem.session()
        assert reply.header.source.uri == "https://fota.example/dm"
        assert modem.url.startswith("https://fota.example/dm/dd/")
        wire = await yard.field.wire()
        said = await wire.ask("GET", modem.url.removeprefix("https://fota.example"))
        assert b"<objectURI>https://fota.example/dm/package/" in said.body


async def test_an_address_that_is_too_long(yard: Yard) -> None:
    """A Host that makes addresses longer than devices take is the device's own fault."""
    modem = await commanded(yard)
    wire = await yard.field.wire()
    path = modem.url.removeprefix(yard.field.base_url)
    assert (await wire.ask("GET", path, {"Host": "h" * 300})).status == 400


async def test_bytes_that_are_gone(yard: Yard) -> None:
    """A package that cannot be read is 503, and the device comes again."""
    modem = await commanded(yard)
    url = await address(modem)
    for file in Path(yard.field.settings.data).rglob("*"):
        if file.is_file() and file.stat().st_size == len(IMAGE):
            file.unlink()
    reply = await modem.fetch(url)
    assert reply.status == 503
    assert reply.header("retry-after") is not None
