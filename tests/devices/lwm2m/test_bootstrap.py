"""Devices that are given their accounts, over DTLS and in the clear, and what goes wrong there."""

import asyncio
import contextlib
import dataclasses
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiocoap
import cbor2
import pytest
from aiocoap import Code
from structlog.testing import capture_logs

from overair.devices.lwm2m import bootstrap
from overair.fleetfile import shapes
from overair.store import lwm2m_bootstrap
from overair.store.database import StoreError, Tx
from tests.devices.field import device_of, imei
from tests.devices.lwm2m.gadget import free_port
from tests.devices.lwm2m.novice import Novice, refusing, silent
from tests.devices.lwm2m.test_secure import LIBCOAP, needs_libcoap
from tests.devices.lwm2m.tunnel import Tunnel
from tests.devices.lwm2m.yard import IMAGE, KEY, Yard, lwm2m_rules, open_yard
from tests.waiting import until

FACTORY = b"factory-1"
FACTORY_KEY = "fa" * 16
FIRST = shapes.Lwm2m(bootstrap_identity=FACTORY.decode(), bootstrap_key_hex=FACTORY_KEY)


@contextlib.asynccontextmanager
async def opened(tmp_path: Path, database_url: str = "", **rules: Any) -> AsyncIterator[Yard]:
    """A server with a bootstrap server beside it."""
    coap, coaps = free_port(), free_port()
    plain = {
        "coap": f"127.0.0.1:{coap}",
        "coaps": f"127.0.0.1:{coaps}",
        "public_coap": f"127.0.0.1:{coap}",
        "public_coaps": f"127.0.0.1:{coaps}",
        "bootstrap_coap": "127.0.0.1:0",
        "bootstrap_coaps": "127.0.0.1:0",
        "bootstrap_lifetime_s": 3600,
    }
    made = lwm2m_rules(**(plain | rules))
    async with open_yard(tmp_path / "data", database_url, rules=made) as yard:
        yield yard


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Yard]:
    """On SQLite."""
    async with opened(tmp_path) as yard:
        yield yard


@pytest.fixture
async def each_place(tmp_path: Path, database_url: str) -> AsyncIterator[Yard]:
    """On each database."""
    async with opened(tmp_path, database_url) as yard:
        yield yard


def ports(yard: Yard) -> tuple[int, int]:
    """In the clear, and over DTLS."""
    sockets = yard.field.server.lwm2m.bootstrap.sockets
    assert sockets.plain is not None
    assert sockets.secure is not None
    return sockets.plain.address[1], sockets.secure.address[1]


def tunnel_to(yard: Yard, identity: bytes = FACTORY, key: str = FACTORY_KEY) -> Tunnel:
    return Tunnel(ports(yard)[1], identity, bytes.fromhex(key))


@contextlib.asynccontextmanager
async def novice_of(
    yard: Yard, tunnel: Tunnel, query: str = f"ep=urn:imei:{imei(1)}&pct=112"
) -> AsyncIterator[Novice]:
    """A device behind a tunnel to the bootstrap server."""
    async with tunnel:
        await tunnel.connect()
        async with Novice(tunnel.address, query).on() as novice:
            yield novice


async def outcome(yard: Yard, number: int = 1) -> str:
    """What is kept of the device's latest request."""

    def read(tx: Tx) -> str:
        found = lwm2m_bootstrap.given_to(tx, device_of(tx, imei(number)))
        return "" if found is None else found.said

    return await yard.field.run(read)


async def comes_out(yard: Yard, text: str, number: int = 1) -> None:
    """Wait for the end of a bootstrap."""

    async def over() -> bool:
        assert await outcome(yard, number) == text
        return True

    await until(over, f"the outcome {text!r}")


async def test_from_the_factory_to_an_update(each_place: Yard) -> None:
    """A device with its bootstrap account alone is given one, registers with it, and is updated."""
    gadget = await each_place.gadget(1, block=FIRST)
    with capture_logs() as lines:
        async with novice_of(each_place, tunnel_to(each_place)) as novice:
            assert (await novice.ask()).code is Code.CHANGED
            await asyncio.wait_for(novice.finished.wait(), 20)
            await comes_out(each_place, "done")
    assert novice.log == ["GET /", "DELETE /", "PUT /0/1", "PUT /1/1", "POST /bs"]
    assert novice.formats == [11542, 11542]
    security, server = novice.objects["/0/1"], novice.objects["/1/1"]
    assert security[0] == f"coaps://127.0.0.1:{each_place.coaps_port}".encode()
    assert (security[1], security[2], security[4], security[10]) == (b"\0", b"\0", b"", b"\x65")
    assert len(security[5]) == 16
    assert server == {0: b"\x65", 1: b"\x0e\x10", 6: b"\x01", 7: b"U"}
    # One line says that it happened, and none what was given.
    (line,) = [line for line in lines if line["event"] == "bootstrap"]
    assert (line["device"], line["outcome"]) == (imei(1), "done")
    assert line["identity"].encode() == security[3]
    assert security[5].hex() not in str(lines)
    tunnel = Tunnel(each_place.coaps_port, security[3], security[5])
    async with tunnel, gadget.on():
        gadget.server = tunnel.address
        await tunnel.connect()
        assert (await gadget.register()).code is Code.CREATED
        kept = await each_place.registration(1)
        assert kept is not None
        assert kept.identity.encode() == security[3]
        await each_place.campaign(1)
        await each_place.comes_to(1, "finished")
        assert gadget.image == IMAGE


async def test_the_former_key_is_good_until_the_new_one_is_used(place: Yard) -> None:
    """Both open sessions after a bootstrap; with the first use of the new one the old one's session ends."""
    both = shapes.Lwm2m(
        psk_identity="me",
        psk_key_hex=KEY,
        bootstrap_identity=FACTORY.decode(),
        bootstrap_key_hex=FACTORY_KEY,
    )
    await place.gadget(1, block=both)
    async with novice_of(place, tunnel_to(place)) as novice:
        await novice.ask()
        await asyncio.wait_for(novice.finished.wait(), 20)
    given = novice.objects["/0/1"]
    old = Tunnel(place.coaps_port, b"me", bytes.fromhex(KEY))
    new = Tunnel(place.coaps_port, given[3], given[5])
    async with old, new:
        await old.connect()
        assert not old.closed
        await new.connect()

        async def closed() -> bool:
            return old.closed

        await until(closed, "the end of the old session")
        later = Tunnel(place.coaps_port, b"me", bytes.fromhex(KEY))
        async with later:
            later.begin()
            await new.reconnect()
            assert not later.connected


async def test_a_key_that_cannot_be_taken_over_now(place: Yard) -> None:
    """The device is told good-bye instead of being taken for somebody else, and its next session is good."""
    gadget = await place.gadget(1, block=FIRST)
    async with novice_of(place, tunnel_to(place)) as novice:
        await novice.ask()
        await asyncio.wait_for(novice.finished.wait(), 20)
    given = novice.objects["/0/1"]
    sockets = place.field.server.lwm2m.sockets
    keys = sockets._keys

    def fail(*_: object) -> bool:
        raise StoreError("the disk is full")

    sockets._keys = dataclasses.replace(keys, take_over=fail)
    async with Tunnel(place.coaps_port, given[3], given[5]) as tunnel, gadget.on():
        gadget.server = tunnel.address
        await tunnel.connect()

        async def closed() -> bool:
            return tunnel.closed

        await until(closed, "the end of the session")
        sockets._keys = keys
        await tunnel.reconnect()
        assert (await gadget.register()).code is Code.CREATED


async def test_the_session_ends_with_the_bootstrap(place: Yard) -> None:
    """A device that has its account is told good-bye, and takes no place any more."""
    await place.gadget(1, block=FIRST)
    tunnel = tunnel_to(place)
    async with novice_of(place, tunnel) as novice:
        await novice.ask()

        async def closed() -> bool:
            return tunnel.closed

        await until(closed, "the end of the session")
        dtls = place.field.server.lwm2m.bootstrap.sockets.dtls
        assert dtls is not None
        assert len(dtls) == 0


async def test_the_accounts_of_two_servers_are_no_keys_of_each_other(place: Yard) -> None:
    """The bootstrap key opens nothing where devices register, nor that of an account here."""
    both = shapes.Lwm2m(
        psk_identity="me",
        psk_key_hex=KEY,
        bootstrap_identity=FACTORY.decode(),
        bootstrap_key_hex=FACTORY_KEY,
    )
    await place.gadget(1, block=both)
    async with (
        Tunnel(place.coaps_port, FACTORY, bytes.fromhex(FACTORY_KEY)) as there,
        tunnel_to(place, b"me", KEY) as here,
        tunnel_to(place) as right,
    ):
        there.begin()
        here.begin()
        await right.connect()
        assert not there.connected
        assert not here.connected


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", Code.CHANGED),
        (f"ep={FACTORY.decode()}", Code.CHANGED),
        (f"ep=urn:imei:{imei(2)}", Code.BAD_REQUEST),
        ("ep=somebody", Code.BAD_REQUEST),
        ("ep=", Code.BAD_REQUEST),
        ("pct=60", Code.UNSUPPORTED_CONTENT_FORMAT),
        ("pct=x", Code.BAD_REQUEST),
    ],
)
async def test_who_may_ask(place: Yard, query: str, code: Code) -> None:
    """The session's device, by a name of its own or none; another's name, or no format of ours, is refused."""
    await place.gadget(1, block=FIRST)
    await place.gadget(2)
    async with novice_of(place, tunnel_to(place), query) as novice:
        assert (await novice.ask()).code is code
        if code is Code.CHANGED:
            await comes_out(place, "done")
        else:
            assert novice.log == []
            assert await outcome(place) == ""


async def test_a_device_that_is_not_active_is_refused(place: Yard) -> None:
    """As one that is not there; so is one of another protocol."""
    await place.gadget(1, block=FIRST, status="Suspended")
    async with novice_of(place, tunnel_to(place)) as novice:
        assert (await novice.ask()).code is Code.BAD_REQUEST
        assert novice.log == []


@pytest.mark.parametrize(
    ("what", "code", "said", "log"),
    [
        ("DELETE /", Code.METHOD_NOT_ALLOWED, "DELETE /: 4.05", ["GET /", "DELETE /"]),
        (
            "PUT /0/1",
            Code.BAD_REQUEST,
            "PUT /0/1: 4.00",
            ["GET /", "DELETE /", "PUT /0/1"],
        ),
        (
            "POST /bs",
            Code.NOT_ACCEPTABLE,
            "POST /bs: 4.06",
            ["GET /", "DELETE /", "PUT /0/1", "PUT /1/1", "POST /bs"],
        ),
    ],
)
async def test_a_refusal_ends_it(
    place: Yard, what: str, code: Code, said: str, log: list[str]
) -> None:
    """Nothing follows it, no finish either, and it is kept which step was refused."""
    await place.gadget(1, block=FIRST)
    async with novice_of(place, tunnel_to(place)) as novice:
        novice.odd[what] = refusing(code)
        assert (await novice.ask()).code is Code.CHANGED
        await comes_out(place, said)
        assert novice.log == log
        # It may try again at once.
        novice.odd.clear()
        assert (await novice.ask()).code is Code.CHANGED
        await comes_out(place, "done")


@pytest.mark.parametrize("links", [None, "x", "</0/0>,</0/1>,</1/0>,</1/2>"])
async def test_instances_that_are_in_use(place: Yard, links: str | None) -> None:
    """They are not overwritten; a device that does not tell which it has is given 10 and 10."""
    await place.gadget(1, block=FIRST)
    async with novice_of(place, tunnel_to(place)) as novice:
        novice.links = links
        await novice.ask()
        await comes_out(place, "done")
        written = {"/0/2", "/1/1"} if links and len(links) > 1 else {"/0/10", "/1/10"}
        assert set(novice.objects) == written


async def test_a_device_without_tlv(place: Yard) -> None:
    """It says so, and is given the same in SenML CBOR, which cbor2 reads."""
    await place.gadget(1, block=FIRST)
    packs: list[list[dict[int, Any]]] = []

    def take(request: aiocoap.Message) -> aiocoap.Message:
        if request.opt.content_format != 112:
            return aiocoap.Message(code=Code.UNSUPPORTED_CONTENT_FORMAT)
        packs.append(cbor2.loads(request.payload))
        return aiocoap.Message(code=Code.CHANGED)

    async with novice_of(place, tunnel_to(place)) as novice:
        novice.odd |= {"PUT /0/1": take, "PUT /1/1": take}
        await novice.ask()
        await comes_out(place, "done")
    security, server = packs
    assert security[0][-2] == "/0/1/"
    values = {
        each[0]: next(each[label] for label in (2, 3, 4, 8) if label in each) for each in security
    }
    assert values["0"] == f"coaps://127.0.0.1:{place.coaps_port}"
    assert len(values["5"]) == 16
    assert (values["1"], values["2"], values["10"]) == (False, 0, 101)
    assert {each[0] for each in server} == {"0", "1", "6", "7"}


async def test_a_device_that_falls_silent(place: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its step ends after its time, and it is kept which that was; asking again begins anew."""
    monkeypatch.setattr(bootstrap, "STEP_S", 0.5)
    await place.gadget(1, block=FIRST)
    async with novice_of(place, tunnel_to(place)) as novice:
        novice.odd["PUT /0/1"] = silent
        await novice.ask()
        await comes_out(place, "PUT /0/1: no answer in time")
        assert "POST /bs" not in novice.log


async def test_a_device_that_asks_again_is_served_anew(place: Yard) -> None:
    """What was begun before is given up, and what waits is what was given last."""
    await place.gadget(1, block=FIRST)
    async with novice_of(place, tunnel_to(place)) as novice:
        novice.odd["PUT /1/1"] = silent
        await novice.ask()

        async def there() -> bool:
            return "PUT /1/1" in novice.log

        await until(there, "the first to be under way")
        first = novice.objects["/0/1"]
        novice.odd.clear()
        novice.log.clear()
        await novice.ask()
        await comes_out(place, "done")
        assert novice.log[0] == "GET /"
        second = novice.objects["/0/1"]
        assert second[3] != first[3]
        assert second[5] != first[5]
    async with Tunnel(place.coaps_port, first[3], first[5]) as former:
        former.begin()
        async with Tunnel(place.coaps_port, second[3], second[5]) as latter:
            await latter.connect()
        assert not former.connected


async def test_too_many_at_once(tmp_path: Path) -> None:
    """Above the limit a device is told to come again."""
    async with opened(tmp_path, max_bootstraps=1) as yard:
        await yard.gadget(1, block=FIRST)
        await yard.gadget(
            2, block=shapes.Lwm2m(bootstrap_identity="two", bootstrap_key_hex="2b" * 16)
        )
        async with (
            novice_of(yard, tunnel_to(yard)) as first,
            novice_of(yard, tunnel_to(yard, b"two", "2b" * 16), "") as second,
        ):
            first.odd["GET /"] = silent
            assert (await first.ask()).code is Code.CHANGED
            answer = await second.ask()
            assert answer.code is Code.SERVICE_UNAVAILABLE
            assert answer.opt.max_age == bootstrap.BUSY_S


# In the clear


async def test_in_the_clear_no_key_is_given(place: Yard) -> None:
    """A device without any key is given an account without one, if the laboratory's settings allow that."""
    gadget = await place.gadget(1)
    server = f"coap://127.0.0.1:{ports(place)[0]}"
    async with Novice(server, f"ep=urn:imei:{imei(1)}").on() as novice:
        assert (await novice.ask()).code is Code.CHANGED
        await comes_out(place, "done")
    security = novice.objects["/0/1"]
    assert security[0].decode() == place.coap
    assert (security[2], security[3], security[5]) == (b"\x03", b"", b"")
    gadget.server = security[0].decode()
    async with gadget.on():
        assert (await gadget.register()).code is Code.CREATED


@pytest.mark.parametrize(
    "block", [FIRST, shapes.Lwm2m(psk_identity="me", psk_key_hex=KEY)], ids=["first", "account"]
)
async def test_in_the_clear_a_device_with_a_key_is_nobody(place: Yard, block: shapes.Lwm2m) -> None:
    """Whoever asks in its name gets nothing, nor does one without a name or with an unknown one."""
    await place.gadget(1, block=block)
    server = f"coap://127.0.0.1:{ports(place)[0]}"
    for query in (f"ep=urn:imei:{imei(1)}", "", f"ep=urn:imei:{imei(3)}", "ep=x"):
        async with Novice(server, query).on() as novice:
            assert (await novice.ask()).code is Code.BAD_REQUEST
            assert novice.log == []


async def test_there_is_nothing_else(place: Yard) -> None:
    """Other paths are 4.04 and other methods 4.05; devices do not register here."""
    server = f"coap://127.0.0.1:{ports(place)[0]}"
    async with Novice(server, "").on() as novice:
        assert novice.context is not None
        for code, path, expected in (
            (aiocoap.POST, "/rd?ep=x&lwm2m=1.1", Code.NOT_FOUND),
            (aiocoap.GET, "/bs", Code.METHOD_NOT_ALLOWED),
            (aiocoap.GET, "/.well-known/core", Code.NOT_FOUND),
        ):
            message = aiocoap.Message(code=code, uri=server + path)
            answer = await asyncio.wait_for(novice.context.request(message).response, 20)
            assert answer.code is expected


@needs_libcoap
@pytest.mark.parametrize("client", [LIBCOAP, "coap-client-gnutls"])
async def test_libcoap_asks(place: Yard, client: str) -> None:
    """Debian's coap-client is told that it may have an account, with its bootstrap key only."""
    if shutil.which(client) is None:
        pytest.skip("Debian's libcoap3-bin is not installed")
    key = "0123456789abcdef"
    await place.gadget(
        1,
        block=shapes.Lwm2m(bootstrap_identity="lib", bootstrap_key_hex=key.encode().hex()),
    )
    process = await asyncio.create_subprocess_exec(
        client, "-m", "post", "-B", "5", "-v", "7", "-u", "lib", "-k", key,
        f"coaps://127.0.0.1:{ports(place)[1]}/bs?ep=urn:imei:{imei(1)}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    assert b"2.04" in output, output.decode("utf-8", "replace")
