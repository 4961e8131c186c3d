"""What is HTTP about a message: types, lengths, sizes, and whatever a stranger sends (oma-dm 3, 15)."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from structlog.testing import capture_logs

from overair.app import Server
from overair.clock import ManualClock
from overair.devices.dm import edge
from overair.protocols.syncml.codec import Form, MediaType, encode
from overair.protocols.syncml.values import UnencodableError
from tests.devices.dm.modem import WBXML, XML, Modem, codes
from tests.devices.dm.yard import Yard, open_yard
from tests.devices.field import MONDAY, Wire, with_settings
from tests.serving import ask

TYPE = {"Content-Type": "application/vnd.syncml.dm+xml"}


@pytest.mark.parametrize("kind", list(MediaType), ids=lambda kind: kind.value)
async def test_the_answer_has_the_type_of_the_question(yard: Yard, kind: MediaType) -> None:
    """Each of the four types, the old ones too, is answered with itself, and with a length."""
    modem = await yard.modem(1, Form(media_type=kind))
    assert codes(await modem.begin())[0] == 212
    reply = modem.reply
    assert reply is not None
    assert reply.header("content-length") == str(len(reply.body))
    assert reply.header("transfer-encoding") is None
    assert reply.header("cache-control") == "no-store"


async def test_types_are_compared_without_case_and_parameters(yard: Yard) -> None:
    """What stands behind the type does not matter, and neither does its case."""
    modem = await yard.modem(1)
    await modem.begin()
    told = "Application/VND.SyncML.DM+XML; charset=UTF-8"
    assert (await modem.post(modem.body, told)).status == 200


async def test_accept_is_not_obeyed(yard: Yard) -> None:
    """Engines send XML and claim to accept WBXML only: they get XML."""
    modem = await yard.modem(1)
    modem.headers = {"Accept": "application/vnd.syncml.dm+wbxml"}
    assert codes(await modem.begin())[0] == 212


@pytest.mark.parametrize(
    ("told", "status"),
    [("", 400), ("text/xml", 415), ("application/json", 415), ("vnd.syncml.dm+xml", 415)],
)
async def test_other_types(yard: Yard, told: str, status: int) -> None:
    """A type that is missing is 400, another one 415; neither has a body."""
    modem = await yard.modem(1)
    reply = await modem.post(b"<SyncML/>", told or " ")
    assert (reply.status, reply.body) == (status, b"")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods(yard: Yard, method: str) -> None:
    """Messages are posted."""
    wire = await yard.field.wire()
    reply = await wire.ask(method, "/dm")
    assert (reply.status, reply.header("allow")) == (405, "POST")


@pytest.mark.parametrize("path", ["/dm/x", "/dm/dd", "/dm/dd/a/b", "/dmx", "/dm/notify"])
async def test_other_addresses(yard: Yard, path: str) -> None:
    """There is nothing else."""
    wire = await yard.field.wire()
    assert (await wire.ask("POST", path, TYPE, b"x")).status == 404


async def test_a_slash_at_the_end(yard: Yard) -> None:
    """An address that was typed with a slash is the same."""
    wire = await yard.field.wire()
    assert (await wire.ask("POST", "/dm/", TYPE, b"x")).status == 400


async def test_what_is_too_long(yard: Yard) -> None:
    """Over 64 KiB is 413: at once if it says so, else as soon as it is; 64 KiB are read."""
    wire = await yard.field.wire()
    body = b"x" * (64 * 1024)
    assert (await wire.ask("POST", "/dm", TYPE, body)).status == 400
    wire = await yard.field.wire()
    await wire.send(
        b"POST /dm HTTP/1.1\r\nHost: h\r\nContent-Type: " + TYPE["Content-Type"].encode()
    )
    await wire.send(b"\r\nContent-Length: 65537\r\n\r\n")
    assert (await wire.reply("POST")).status == 413
    answered = await ask(yard.field.server, "POST", b"/dm", headers=TYPE, body=[body, b"x"])
    assert answered.status == 413


async def test_bodies_in_chunks(yard: Yard) -> None:
    """The HTTP binding lets clients send chunks."""
    modem = await yard.modem(1)
    await modem.begin()
    half = len(modem.body) // 2
    wire = await yard.field.wire()
    await wire.send(
        b"POST /dm HTTP/1.1\r\nHost: h\r\nContent-type: application/vnd.syncml.dm+xml\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    for piece in (modem.body[:half], modem.body[half:], b""):
        await wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    assert (await wire.reply("POST")).status == 200


async def test_an_old_client(yard: Yard) -> None:
    """HTTP/1.0, names of headers in odd case, no Host: answered whole, with a length."""
    modem = await yard.modem(1)
    await modem.begin()
    wire = await Wire.open(yard.field.base_url)
    await wire.send(
        b"POST /dm HTTP/1.0\r\nContent-type: application/vnd.syncml.dm+xml\r\nContent-length: %d\r\n"
        b"\r\n%s" % (len(modem.body), modem.body)
    )
    reply = await wire.reply("POST")
    await wire.close()
    assert reply.status == 200
    assert reply.header("content-length") == str(len(reply.body))


async def test_what_cannot_be_read(yard: Yard) -> None:
    """400 without a body; the log has its size and digest, and nothing of it."""
    modem = await yard.modem(1)
    with capture_logs() as lines:
        reply = await modem.post(b"<SyncML>secret words")
    assert (reply.status, reply.body) == (400, b"")
    (line,) = lines
    assert line["size"] == 20
    assert "secret" not in str(line)


@pytest.mark.parametrize("form", [XML, WBXML], ids=["xml", "wbxml"])
async def test_never_500(yard: Yard, form: Form) -> None:
    """Whatever becomes of a message on its way, the answer is one of the protocol's."""
    modem = await yard.modem(1, form)
    await yard.campaign(1)
    random = Random(7)
    bodies = []
    reply = await modem.begin()
    for _ in range(4):
        bodies.append(modem.body)
        reply = await modem.send(modem.answers(reply))
    bodies.append(modem.body)
    told = {"Content-Type": form.media_type.value}
    statuses = set()
    with capture_logs():
        for body in bodies:
            for _ in range(60):
                broken = bytearray(body)
                for _ in range(random.choice([1, 1, 2, 8])):
                    broken[random.randrange(len(broken))] = random.randrange(256)
                cut = random.choice([len(broken)] * 3 + [random.randrange(len(broken))])
                sent = bytes(broken[:cut])
                answered = await ask(yard.field.server, "POST", b"/dm", headers=told, body=sent)
                statuses.add(answered.status)
    assert statuses <= {200, 400, 403, 429}
    assert 200 in statuses


@pytest.mark.parametrize("odd", ["\x00", "\x01", "\ud7ff", "a" * 5000, "'; drop table device"])
async def test_odd_names(yard: Yard, odd: str) -> None:
    """Names that a database or a form cannot hold are refused like other unknown ones."""
    modem = Modem(home=yard.field, imei=odd, user=odd, form=WBXML)
    modem.session_id, modem.msg_id = "1", 0
    try:
        body = encode(modem.message(modem.package_1(), cred=modem.cred()), WBXML)
    except UnencodableError:
        body = encode(Modem(home=yard.field, imei="X", user="Y").message([]), WBXML)
        body = body.replace(b"IMEI:X", b"IMEI:\xc3\x00")
    answered = await ask(
        yard.field.server,
        "POST",
        b"/dm",
        headers={"Content-Type": WBXML.media_type.value},
        body=body,
    )
    assert answered.status in (200, 400)


@pytest.mark.parametrize("odd", ["02\x00", "\x01", "x" * 3000, "", " "], ids=repr)
async def test_what_a_device_says_may_be_odd(each_yard: Yard, odd: str) -> None:
    """Values that nobody could read are passed over, and the session goes on."""
    modem = await each_yard.modem(1, WBXML)
    modem.tree |= {"./DevDetail/FwV": odd, "./DevDetail/SwV": odd}
    await modem.session()
    assert await each_yard.version(1) == "01"
    assert "SwV" not in await each_yard.attributes(1)


async def test_the_database_is_away(yard: Yard, tmp_path: Path) -> None:
    """What cannot be kept is not answered: 503, and come again."""
    modem = await yard.modem(1)
    await modem.begin()
    server = Server(with_settings(tmp_path / "other"), clock=ManualClock(MONDAY))
    await server.start()
    await server.db.close()
    answered = await ask(server, "POST", b"/dm", headers=TYPE, body=modem.body)
    await server.close()
    assert (answered.status, answered.headers["retry-after"]) == (503, "30")


async def test_more_than_can_be_served(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what one process works on at once devices are told to come again."""
    modem = await yard.modem(1)
    await modem.begin()
    monkeypatch.setattr(edge, "AT_ONCE", 0)
    reply = await modem.post(modem.body)
    assert reply.status == 503
    assert reply.header("retry-after") is not None


async def test_bodies_that_do_not_come(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever begins a message and does not end it takes nobody's place."""
    monkeypatch.setattr(edge, "AT_ONCE", 1)
    modem = await yard.modem(1)
    stuck = []
    for _ in range(2):
        wire = await Wire.open(yard.field.base_url)
        await wire.send(
            b"POST /dm HTTP/1.1\r\nHost: h\r\nContent-Type: application/vnd.syncml.dm+xml\r\n"
            b"Content-Length: 500\r\n\r\n<"
        )
        stuck.append(wire)
    assert codes(await modem.begin())[0] == 212
    for wire in stuck:
        await wire.send(b" " * 499)
        assert (await wire.reply("POST")).status == 400  # it had arrived, and was waited for
        await wire.close()


async def begun(yard: Yard, path: str = "/dm") -> Wire:
    """A message whose body does not come."""
    wire = await Wire.open(yard.field.base_url)
    await wire.send(
        b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Type: application/vnd.syncml.dm+xml\r\n"
        b"Content-Length: 500\r\n\r\n<" % path.encode()
    )
    return wire


@pytest.mark.parametrize(("path", "status"), [("/dm", 400), ("/dm/notify/nothing", 200)])
async def test_bodies_that_break_off(yard: Yard, path: str, status: int) -> None:
    """Whoever closes its side in the middle of a body, and reads on, is not told that we broke."""
    wire = await begun(yard, path)
    wire.writer.write_eof()
    assert (await asyncio.wait_for(wire.reply("POST"), 10)).status == status
    await wire.close()


@pytest.mark.parametrize("limit", ["SLOW_OF_ONE", "SLOW_IN_ALL"])
async def test_crowds_of_bodies_that_do_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Beyond a limit the one that was waited for longest is told to come again, and devices get in."""
    monkeypatch.setattr(edge, limit, 3)
    monkeypatch.setattr(edge, "SLOW_S", 0.01)
    async with open_yard(tmp_path / "data") as yard:
        modem = await yard.modem(1)
        stuck = [await begun(yard), await begun(yard, "/dm/notify/nothing")]
        # Cut from the front: each that comes now ends one.
        for _ in range(4):
            stuck.append(await begun(yard))
            if len(stuck) <= 3:
                continue
            wire = stuck.pop(0)
            reply = await asyncio.wait_for(wire.reply("POST"), 10)
            assert reply.status == 503
            assert reply.header("retry-after") == "30"
            await wire.close()
        assert codes(await modem.begin())[0] == 212
        for wire in stuck:
            await wire.send(b" " * 499)
            assert (await wire.reply("POST")).status == 400
            await wire.close()
