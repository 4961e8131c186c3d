"""Devices over DTLS on real sockets: identities, keys, sessions, and somebody else's client."""

import asyncio
import shutil
from pathlib import Path

import pytest
from aiocoap import Code

from overair.devices.lwm2m.edge import Lwm2m
from overair.fleetfile import shapes
from overair.store.lwm2m_registrations import Registration
from tests.devices.field import imei
from tests.devices.lwm2m.gadget import Gadget, free_port
from tests.devices.lwm2m.tunnel import Tunnel
from tests.devices.lwm2m.yard import IMAGE, KEY, Yard, lwm2m_rules, open_yard
from tests.waiting import until

ME = b"me"
BLOCK = shapes.Lwm2m(psk_identity="me", psk_key_hex=KEY)
LIBCOAP = "coap-client-openssl"
needs_libcoap = pytest.mark.skipif(
    shutil.which(LIBCOAP) is None, reason="Debian's libcoap3-bin is not installed"
)


def tunnel_of(yard: Yard, identity: bytes = ME, key: str = KEY) -> Tunnel:
    return Tunnel(yard.coaps_port, identity, bytes.fromhex(key))


async def through(tunnel: Tunnel, gadget: Gadget) -> None:
    """Let the device speak through it."""
    gadget.server = tunnel.address
    await tunnel.connect()


async def test_an_image_is_pushed_over_dtls(each_yard: Yard) -> None:
    """A device with a key registers over DTLS, is pushed the image in its session, and succeeds."""
    gadget = await each_yard.gadget(1, block=BLOCK)
    async with tunnel_of(each_yard) as tunnel, gadget.on():
        await through(tunnel, gadget)
        assert (await gadget.register()).code is Code.CREATED
        kept = await each_yard.registration(1)
        assert kept is not None
        assert (kept.address, kept.identity) == ("", "me")
        await each_yard.campaign(1)
        await each_yard.comes_to(1, "finished")
        assert gadget.image == IMAGE
        assert gadget.executes == 1


async def test_each_record_in_a_datagram_of_its_own(yard: Yard) -> None:
    """What follows the identity waits until its key is found, so nothing has to be sent twice."""
    await yard.gadget(1, block=BLOCK)
    async with Tunnel(yard.coaps_port, ME, bytes.fromhex(KEY), mtu=1) as tunnel:
        # OpenSSL as a client repeats nothing here.
        await tunnel.connect()
        assert [datagram[0] for datagram in tunnel.seen] == [22, 22, 22, 20, 22]


async def test_the_session_says_who_it_is(yard: Yard) -> None:
    """Another device's name is refused, no name is the device's own, and so is its identity."""
    gadget = await yard.gadget(1, block=BLOCK)
    await yard.gadget(2)
    async with tunnel_of(yard) as tunnel, gadget.on():
        await through(tunnel, gadget)
        gadget.endpoint = f"urn:imei:{imei(2)}"
        assert (await gadget.register()).code is Code.FORBIDDEN
        gadget.endpoint = "me"
        assert (await gadget.register()).code is Code.CREATED
        answer = await gadget.ask(Code.POST, "/rd?lwm2m=1.1", b"</3/0>", content_format=40)
        assert answer.code is Code.CREATED
        kept = await yard.registration(1)
        assert kept is not None
        assert kept.endpoint == "me"


async def test_a_device_has_the_name_that_it_was_given(yard: Yard) -> None:
    """Of one that was given a name in the fleet file no other counts, its identity and its IMEI among them."""
    block = shapes.Lwm2m(endpoint="meter-7", psk_identity="me", psk_key_hex=KEY)
    gadget = await yard.gadget(1, block=block)
    async with tunnel_of(yard) as tunnel, gadget.on():
        await through(tunnel, gadget)
        for name in ("me", f"urn:imei:{imei(1)}", "meter-8"):
            gadget.endpoint = name
            assert (await gadget.register()).code is Code.FORBIDDEN
        assert await yard.registration(1) is None
        gadget.endpoint = "meter-7"
        assert (await gadget.register()).code is Code.CREATED


async def test_a_location_is_its_owners(yard: Yard) -> None:
    """Somebody else's session, or nobody's, finds nothing at the location of a secured device."""
    first = await yard.gadget(1, block=BLOCK)
    second = await yard.gadget(2, block=shapes.Lwm2m(psk_identity="you", psk_key_hex="11" * 16))
    stranger = Gadget("x", yard.coap)
    async with (
        tunnel_of(yard) as mine,
        tunnel_of(yard, b"you", "11" * 16) as yours,
        first.on(),
        second.on(),
        stranger.on(),
    ):
        await through(mine, first)
        await through(yours, second)
        await first.register()
        second.location = stranger.location = first.location
        for other in (second, stranger):
            assert (await other.renew()).code is Code.NOT_FOUND
            assert (await other.leave()).code is Code.NOT_FOUND
        assert (await first.renew()).code is Code.CHANGED


async def test_a_new_session_carries_on_an_old_registration(tmp_path: Path) -> None:
    """After a restart of the server, or at another port, an Update in a new session is enough."""
    rules = lwm2m_rules(coaps=f"127.0.0.1:{free_port()}")
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1, block=BLOCK)
        async with tunnel_of(yard) as tunnel, gadget.on():
            await through(tunnel, gadget)
            await gadget.register()
            await tunnel.reconnect()
            assert (await gadget.renew()).code is Code.CHANGED
            server = yard.field.server
            await server.lwm2m.close()
            server.lwm2m = Lwm2m(server.lwm2m._rooms)
            await server.lwm2m.start()
            await tunnel.reconnect(new_port=False)
            assert (await gadget.renew()).code is Code.CHANGED
            await yard.campaign(1)
            await yard.comes_to(1, "finished")
            assert gadget.image == IMAGE


async def test_a_device_behind_another_address_is_back_at_once(yard: Yard) -> None:
    """What it says there in its old session is nobody's; half a handshake and an Update, and it is served."""
    gadget = await yard.gadget(1, block=BLOCK)
    lwm2m = yard.field.server.lwm2m
    async with tunnel_of(yard) as tunnel, gadget.on():
        await through(tunnel, gadget)
        await gadget.register()
        before = lwm2m.clients.of_device((await _kept(yard)).device_id)
        assert before is not None
        peer = before.peer
        tunnel.move()
        lost = asyncio.create_task(gadget.renew())
        assert await tunnel.resume()
        # What was lost is repeated by CoAP, in the session that there is now.
        assert (await lost).code is Code.CHANGED
        assert before.peer != peer
        assert lwm2m.clients.of_device(before.device_id) is before
        await yard.campaign(1)
        await yard.comes_to(1, "finished")
        assert gadget.image == IMAGE


async def _kept(yard: Yard) -> Registration:
    kept = await yard.registration(1)
    assert kept is not None
    return kept


async def test_a_key_that_is_taken_away_ends_its_session(yard: Yard) -> None:
    """Soon after the operator gave the device another key, its old session is closed."""
    gadget = await yard.gadget(1, block=BLOCK)
    async with tunnel_of(yard) as tunnel, gadget.on():
        await through(tunnel, gadget)
        await gadget.register()
        await yard.account(1, shapes.Lwm2m(psk_identity="me", psk_key_hex="22" * 16))
        await until(lambda: _is_closed(tunnel), "the end of the session")


async def _is_closed(tunnel: Tunnel) -> bool:
    return tunnel.closed


async def test_a_wrong_key_gets_no_session(yard: Yard) -> None:
    """A handshake with a wrong key, or of nobody, comes to nothing, while others go on."""
    gadget = await yard.gadget(1, block=BLOCK)
    dtls = yard.field.server.lwm2m.dtls
    assert dtls is not None
    async with (
        tunnel_of(yard, key="33" * 16) as wrong,
        tunnel_of(yard, b"nobody") as nobody,
        tunnel_of(yard) as right,
        gadget.on(),
    ):
        wrong.begin()
        nobody.begin()
        await through(right, gadget)
        assert (await gadget.register()).code is Code.CREATED
        assert not wrong.connected
        assert not nobody.connected
        assert len(dtls) == 1


@needs_libcoap
@pytest.mark.parametrize("secure", [True, False])
async def test_libcoap_registers(yard: Yard, secure: bool) -> None:
    """Debian's coap-client registers, with a key and without, and reads the location of its answer."""
    key = "0123456789abcdef"
    block = shapes.Lwm2m(psk_identity="me", psk_key_hex=key.encode().hex())
    await yard.gadget(1, block=block)
    base = f"coaps://127.0.0.1:{yard.coaps_port}" if secure else yard.coap
    keys = ("-u", "me", "-k", key) if secure else ()
    process = await asyncio.create_subprocess_exec(
        LIBCOAP,
        "-m",
        "post",
        "-t",
        "40",
        "-e",
        "%3C/3/0%3E,%3C/5/0%3E",
        "-B",
        "5",
        "-v",
        "7",
        *keys,
        f"{base}/rd?ep=urn:imei:{imei(1)}&lt=300&lwm2m=1.1",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    assert b"2.01" in output, output.decode("utf-8", "replace")
    assert (await yard.registration(1)) is not None
