"""Devices in the clear that share addresses, or have them one after the other, as behind a NAT."""

import asyncio
import socket
from pathlib import Path

import pytest

from overair.devices.lwm2m.clients import Client
from overair.devices.lwm2m.edge import Lwm2m
from overair.protocols.coap.message import Message, decode_message
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request
from tests.devices.field import device_of, imei
from tests.devices.lwm2m.gadget import free_port
from tests.devices.lwm2m.yard import Yard, lwm2m_rules, open_yard
from tests.waiting import until

FIRMWARE = b"</3/0>,</5/0>"
VALUES = {"3/0/3": b"01", "5/0/3": b"0", "5/0/5": b"0", "5/0/9": b"1"}
CONTINUE = bytes.fromhex("d10e0e")  # Block1 0, more, 1024 bytes


class Nat:
    """An address behind which any device may be: what comes there is written down, and answered on demand."""

    def __init__(self, yard: Yard) -> None:
        plain = yard.field.server.lwm2m.plain
        assert plain is not None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.connect(("127.0.0.1", plain.address[1]))
        self._socket.setblocking(False)
        self.came: list[Message] = []
        self.answers: dict[int, bytes] = {}
        self._mid = self._seen = 0
        self.address = self._socket.getsockname()

    def __enter__(self) -> "Nat":
        asyncio.get_running_loop().add_reader(self._socket, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _hear(self) -> None:
        message = decode_message(self._socket.recv(4096))
        if message.type >= 2:
            self.answers[message.mid] = self._location(message)
        else:
            self.came.append(message)

    @staticmethod
    def _location(message: Message) -> bytes:
        assert message.code in (Code.CREATED, Code.CHANGED, Code.FORBIDDEN), message
        return next((value for number, value in message.options[1:] if number == 8), b"")

    async def asked(self, path: str) -> Message:
        """Answer what is read, as a device that is idle, until this is asked; that has no answer yet."""

        found: list[Message] = []

        async def comes() -> bool:
            found.extend(self.answer_readings(path))
            return bool(found)

        await until(comes, path)
        return found[0]

    def answer_readings(self, path: str = "") -> list[Message]:
        """Answer what is read, as far as it has come, and up to what is asked for here."""
        while len(self.came) > self._seen:
            message = self.came[self._seen]
            self._seen += 1
            wanted = _path(message)
            if wanted == path:
                return [message]
            value = VALUES.get(wanted)
            if value is None:
                self.answer(message, Code.NOT_FOUND)
            else:
                self.answer(message, Code.CONTENT, b"\xc0\xff" + value)
        return []

    def send(self, datagram: bytes) -> None:
        self._socket.send(datagram)

    def answer(self, asked: Message, code: Code, rest: bytes = b"") -> None:
        """Answer what was asked, whoever it was meant for."""
        head = bytes((0x60 | len(asked.token), int(code))) + asked.mid.to_bytes(2, "big")
        self._socket.send(head + asked.token + rest)

    async def say(self, datagram: bytes, mid: int) -> bytes:
        """Send it, and return the location in the answer."""
        self.answers.pop(mid, None)
        self._socket.send(datagram)
        await until(lambda: _is(mid in self.answers), "an answer")
        return self.answers[mid]

    async def register(self, name: str, *, mid: int = 0, objects: bytes = b"</3/0>") -> bytes:
        """Register a device of that name; its location, or nothing if that is refused."""
        self._mid += 1
        mid = mid or self._mid
        query = f"ep={name}".encode()
        return await self.say(
            b"\x40\x02" + mid.to_bytes(2, "big") + b"\xb2rd\x4d" + bytes([len(query) - 13])
            + query + b"\x09lwm2m=1.1\xff" + objects,
            mid,
        )  # fmt: skip

    async def update(self, location: bytes) -> None:
        self._mid += 1
        head = b"\x40\x02" + self._mid.to_bytes(2, "big") + b"\xb2rd"
        await self.say(head + bytes([len(location)]) + location, self._mid)

    def paths(self) -> list[str]:
        """What was asked here."""
        return [_path(message) for message in self.came]


def _path(message: Message) -> str:
    return b"/".join(value for number, value in message.options if number == 11).decode()


async def _is(value: bool) -> bool:
    return value


def _name(number: int) -> str:
    return f"urn:imei:{imei(number)}"


async def _client(yard: Yard, number: int) -> Client:
    device_id = await yard.field.run(lambda tx: device_of(tx, imei(number)))
    client = yard.field.server.lwm2m.clients.of_device(device_id)
    assert client is not None
    return client


@pytest.mark.parametrize("by", ["register", "update"])
async def test_an_image_does_not_follow_an_address(yard: Yard, by: str) -> None:
    """Once another device is where one was that is given an image, not a block of it goes there any more."""
    await yard.gadget(1)
    await yard.gadget(2)
    with Nat(yard) as here, Nat(yard) as there:
        first = await here.register(_name(1), objects=FIRMWARE)
        second = await there.register(_name(2))
        await yard.campaign(1)
        block = await here.asked("5/0/0")
        asked = len(here.came)
        if by == "register":
            await here.register(_name(2))
        else:
            await here.update(second)
        # Whoever has the address now is quick to say that it has the block.
        here.answer(block, Code.CONTINUE, CONTINUE)
        mine, other = await _client(yard, 1), await _client(yard, 2)
        assert mine.peer is None
        assert other.peer == here.address
        await until(lambda: _is(mine.device_id not in _visited(yard)), "the end of the visit")
        # What is asked of the other one gets there: nothing else was on its way before it.
        exchanges = yard.field.server.lwm2m.exchanges
        question = asyncio.ensure_future(
            exchanges.ask(here.address, Request(method=Code.GET, path=("1", "0", "7")))
        )
        here.answer(await here.asked("1/0/7"), Code.NOT_FOUND)
        assert (await question).code == Code.NOT_FOUND
        assert "5/0/0" not in here.paths()[asked:]
        assert "5/0/3" not in here.paths()[asked:]
        # It goes on where the device is, as soon as that says so.
        before = len(there.came)
        await there.update(first)
        await there.asked("5/0/0")
        assert "5/0/0" in there.paths()[before:]
        assert await yard.state(1) == "running"


def _visited(yard: Yard) -> set[int]:
    return set(yard.field.server.lwm2m.visits._running)


async def test_a_repetition_is_of_the_same_message(yard: Yard) -> None:
    """A device whose message id was another's a moment ago has an answer of its own."""
    await yard.gadget(1)
    await yard.gadget(2)
    with Nat(yard) as here:
        first = await here.register(_name(1), mid=77)
        second = await here.register(_name(2), mid=77)
        assert second != first
        assert await here.register(_name(2), mid=77) == second
        kept = await yard.registration(2)
        assert kept is not None
        assert kept.location == second.decode()


async def test_what_one_observes_is_not_told_by_the_other(yard: Yard) -> None:
    """A notification under the token of a device counts from nobody who has its address later."""
    await yard.gadget(1)
    await yard.gadget(2)
    endpoint = yard.field.server.lwm2m.exchanges.endpoint
    observe = Request(method=Code.GET, path=("5", "0", "3"), observe=0)
    with Nat(yard) as here, Nat(yard) as there:
        first = await here.register(_name(1))
        handle = endpoint.restore_observation(here.address, b"tokn", observe)
        (await _client(yard, 1)).machine_handles = (handle,)
        await here.register(_name(2))
        assert endpoint.token_of(handle) is None
        assert (await _client(yard, 1)).machine_handles == ()
        # Nor is it heard from the device itself, which is asked anew.
        await there.update(first)
        assert (await _client(yard, 1)).peer == there.address
        assert endpoint.token_of(handle) is None


async def test_who_is_refused_takes_no_address(yard: Yard) -> None:
    """A Register in a name that is nobody's leaves the device there that is there."""
    await yard.gadget(1)
    with Nat(yard) as here:
        await here.register(_name(1))
        assert await here.register("nobody-of-ours") == b""
        client = await _client(yard, 1)
        assert client.peer == here.address
        question = asyncio.ensure_future(
            yard.field.server.lwm2m.exchanges.ask(
                here.address, Request(method=Code.GET, path=("1", "0", "7"))
            )
        )
        here.answer(await here.asked("1/0/7"), Code.NOT_FOUND)
        assert (await question).code == Code.NOT_FOUND


async def test_an_address_of_two_is_nobodys_after_a_restart(tmp_path: Path) -> None:
    """Where two were when the server stopped, neither is, until it says something."""
    rules = lwm2m_rules(coap=f"127.0.0.1:{free_port()}")
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        await yard.gadget(1)
        await yard.gadget(2)
        with Nat(yard) as here, Nat(yard) as there:
            first = await here.register(_name(1))
            second = await here.register(_name(2))
            await _restart(yard)
            # The first one's loss of it was to be written with what came next.
            assert (await _client(yard, 1)).peer is None
            assert (await _client(yard, 2)).peer is None
            await there.update(first)
            await there.update(second)
            await _restart(yard)
            # This time it was written with the Update.
            assert (await _client(yard, 1)).peer is None
            assert (await _client(yard, 2)).peer == there.address


async def _restart(yard: Yard) -> None:
    server = yard.field.server
    await server.lwm2m.close()
    server.lwm2m = Lwm2m(server.lwm2m._rooms)
    await server.lwm2m.start()
