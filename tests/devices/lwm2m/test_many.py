"""Many devices at once: some are seen to at a time, the others wait in line, and all have their turn."""

import asyncio
import contextlib
import socket
from pathlib import Path

from overair.devices.lwm2m.visits import AT_ONCE
from overair.protocols.coap.message import start
from overair.protocols.coap.numbers import Code, Type
from overair.protocols.coap.request import request_body
from overair.protocols.lwm2m.registration import ObjectList, Register, register_request
from tests.devices.field import imei
from tests.devices.lwm2m.yard import Yard, lwm2m_rules, open_yard
from tests.waiting import until

OBJECTS = ObjectList(paths=frozenset({(3, 0)}))


def register(number: int) -> bytes:
    """A Register of a device that has something to be read."""
    asked = Register(endpoint=f"urn:imei:{imei(number)}", version="1.1", objects=OBJECTS)
    head = start(int(Type.CON), int(Code.POST), number, b"")
    return head + request_body(register_request(asked))


async def test_who_is_silent_holds_nobody_up(tmp_path: Path) -> None:
    """More devices than are seen to at once register and say no more; whoever comes after them is read all the same."""
    async with open_yard(tmp_path / "data", rules=lwm2m_rules(ack_timeout_s=60)) as yard:
        await _crowd(yard)


async def _crowd(yard: Yard) -> None:
    loop = asyncio.get_running_loop()
    silent = range(2, AT_ONCE + 4)
    gadget = await yard.gadget(1)
    gadget.values["3/0/3"] = "07"
    for number in silent:
        await yard.gadget(number)
    visits = yard.field.server.lwm2m.visits
    plain = yard.field.server.lwm2m.plain
    assert plain is not None
    with contextlib.ExitStack() as stack:
        for number in silent:
            device = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            device.setblocking(False)
            await loop.sock_sendto(device, register(number), ("127.0.0.1", plain.address[1]))
            answer = await loop.sock_recv(device, 100)
            assert answer[1] == Code.CREATED
        assert len(visits) == len(silent)
        async with gadget.on():
            await gadget.register()

            async def read() -> bool:
                return await yard.version(1) == "07" and len(visits) == len(silent)

            await until(read, "its version")
