"""Whose word a notification is: tokens of a server that was here before, and of sessions that are over."""

import asyncio
import socket
from pathlib import Path

from overair.devices.lwm2m.edge import Lwm2m
from overair.fleetfile import shapes
from overair.protocols.coap.message import Message, encode_message, reset
from overair.protocols.coap.numbers import Code, Type
from overair.protocols.coap.request import response_body
from overair.protocols.coap.values import Response
from tests.devices.lwm2m.gadget import Gadget, free_port
from tests.devices.lwm2m.tunnel import Tunnel
from tests.devices.lwm2m.yard import KEY, Yard, lwm2m_rules, open_yard
from tests.waiting import until

ME = b"me"
BLOCK = shapes.Lwm2m(psk_identity="me", psk_key_hex=KEY)
CELL = "4/0/8"


async def _in(yard: Yard, cell: int) -> None:
    """Wait until the server knows the device to be there."""

    async def known() -> bool:
        assert (await yard.radio(1)).cell == f"311-480-{cell}"
        return True

    await until(known, f"cell {cell}")


async def _observed(gadget: Gadget, times: int = 1) -> None:
    async def enough() -> bool:
        return len(gadget.tree.observations.get(CELL, [])) == times

    await until(enough, "the observation")


async def _new_server(yard: Yard) -> None:
    """The process ends, and another one has its place."""
    server = yard.field.server
    await server.lwm2m.close()
    server.lwm2m = Lwm2m(server.lwm2m._rooms)
    await server.lwm2m.start()


async def test_what_is_said_to_the_server_before(tmp_path: Path) -> None:
    """A notification for the former process is reset, what it was about is read, and observed anew."""
    rules = lwm2m_rules(coap=f"127.0.0.1:{free_port()}")
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1)
        await yard.license(1)
        async with gadget.on():
            await gadget.register()
            await _observed(gadget)
            await _in(yard, 84281345)
            (old,) = gadget.tree.observations[CELL]
            await _new_server(yard)
            gadget.show(CELL, "5")
            await _in(yard, 5)

            async def anew() -> bool:
                return gadget.tree.observations[CELL] not in ([], [old]) and (
                    old not in gadget.tree.observations[CELL]
                )

            await until(anew, "another observation in place of the old one")
            gadget.show(CELL, "6")
            await _in(yard, 6)


async def test_a_session_that_follows_another(yard: Yard) -> None:
    """A device that notifies in a new session before it says anything else is known by its key."""
    gadget = await yard.gadget(1, block=BLOCK)
    await yard.license(1)
    tunnel = Tunnel(yard.coaps_port, ME, bytes.fromhex(KEY))
    async with tunnel, gadget.on():
        gadget.server = tunnel.address
        await tunnel.connect()
        await gadget.register()
        await _observed(gadget)
        await _in(yard, 84281345)
        lwm2m = yard.field.server.lwm2m
        (client,) = lwm2m.clients
        assert lwm2m.dtls is not None
        for session in lwm2m.dtls.sessions():
            lwm2m.dtls.close(session)
        assert not client.is_there(lwm2m.exchanges.now())
        await tunnel.reconnect()
        before = gadget.log.count("GET 4/0")
        gadget.show(CELL, "5")
        await _in(yard, 5)
        assert client.is_there(lwm2m.exchanges.now())
        # The observation is the one that it was: nothing was asked for but the reading.
        assert gadget.log.count("GET 4/0") == before + 1
        await _observed(gadget)


async def test_a_new_session_with_a_new_server(tmp_path: Path) -> None:
    """The same, with another server meanwhile: it reads what the notification was about."""
    rules = lwm2m_rules(coaps=f"127.0.0.1:{free_port()}")
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1, block=BLOCK)
        await yard.license(1)
        tunnel = Tunnel(yard.coaps_port, ME, bytes.fromhex(KEY))
        async with tunnel, gadget.on():
            gadget.server = tunnel.address
            await tunnel.connect()
            await gadget.register()
            await _observed(gadget)
            await _in(yard, 84281345)
            await _new_server(yard)
            await tunnel.reconnect()
            gadget.show(CELL, "7")
            await _in(yard, 7)
            gadget.show(CELL, "8")
            await _in(yard, 8)


async def test_somebody_elses_session(yard: Yard) -> None:
    """Another device that knows the token of one that is away is reset, and changes nothing of it."""
    gadget = await yard.gadget(1, block=BLOCK)
    await yard.gadget(2, block=shapes.Lwm2m(psk_identity="other", psk_key_hex=KEY))
    await yard.license(1)
    tunnel = Tunnel(yard.coaps_port, ME, bytes.fromhex(KEY))
    theirs = Tunnel(yard.coaps_port, b"other", bytes.fromhex(KEY))
    async with tunnel, theirs, gadget.on():
        gadget.server = tunnel.address
        await tunnel.connect()
        await gadget.register()
        await _observed(gadget)
        await _in(yard, 84281345)
        lwm2m = yard.field.server.lwm2m
        (client,) = lwm2m.clients
        assert client.cell_handle is not None
        token = lwm2m.exchanges.endpoint.token_of(client.cell_handle)
        assert token is not None
        assert lwm2m.dtls is not None
        for session in lwm2m.dtls.sessions():
            lwm2m.dtls.close(session)
        await theirs.connect()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
            thief.setblocking(False)
            thief.bind(("127.0.0.1", 0))
            host, _, port = theirs.address.removeprefix("coap://").partition(":")
            head = Message(type=Type.CON, code=Code.CONTENT, mid=77, token=token)
            value = Response(code=Code.CONTENT, observe=5000, content_format=0, payload=b"9")
            thief.sendto(encode_message(head) + response_body(value), (host, int(port)))
            loop = asyncio.get_running_loop()
            answer = await asyncio.wait_for(loop.sock_recv(thief, 100), 20)
        assert answer == reset(77)
        assert not client.is_there(lwm2m.exchanges.now())
        assert (await yard.radio(1)).cell == "311-480-84281345"
