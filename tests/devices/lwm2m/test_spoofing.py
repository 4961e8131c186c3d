"""Who forges addresses, repeats what others said, or guesses: nothing changes, and nobody else is flooded."""

import asyncio
import random
import socket
from pathlib import Path

import pytest
from aiocoap import Code

from overair.devices.lwm2m.dtls import HANDSHAKE_S
from overair.protocols.coap.message import decode_message
from overair.protocols.coap.numbers import Type
from tests.devices.field import imei
from tests.devices.lwm2m import test_bootstrap as boot
from tests.devices.lwm2m.test_dtls import HERE, THERE, Client, Wire
from tests.devices.lwm2m.test_hostile import REAL, REGISTER, SEED, _datagrams
from tests.devices.lwm2m.test_secure import BLOCK, through, tunnel_of
from tests.devices.lwm2m.yard import Yard, lwm2m_rules, open_yard
from tests.protocols.coap.test_hostile import mutated
from tests.waiting import until

AMPLIFIED = 3  # times what came: the most that an address gets that nobody has proven (RFC 9000 8 has it so)
ASKED = 1500
HANDSHAKES = 4000


class Source:
    """A socket with an address that somebody may have forged."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._mid = 0

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, datagram: bytes) -> None:
        self._socket.send(datagram)

    async def hear(self) -> bytes:
        """The next datagram."""
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.sock_recv(self._socket, 4096), 20)

    def heard(self) -> list[bytes]:
        """What is there by now."""
        found: list[bytes] = []
        try:
            while True:
                found.append(self._socket.recv(4096))
        except BlockingIOError:
            return found

    async def answers(self, datagram: bytes) -> list[bytes]:
        """All that comes for a datagram, until a ping that follows it is answered."""
        self.send(datagram)
        self._mid = (self._mid + 1) & 0xFFFF
        end = self._mid.to_bytes(2, "big")
        self.send(b"\x40\x00" + end)
        found: list[bytes] = []
        while (answer := await self.hear()) != b"\x70\x00" + end:
            found.append(answer)
        return found


async def test_no_answer_is_much_longer_than_what_came(tmp_path: Path) -> None:
    """Whatever is asked from an address that nobody has proven, on either port: three times as much at most."""
    dice = random.Random(SEED)
    async with boot.opened(tmp_path) as yard:
        plain = yard.field.server.lwm2m.plain
        assert plain is not None
        for port in (plain.address[1], boot.ports(yard)[0]):
            with Source(port) as source:
                for datagram in [*REAL, *_datagrams(dice, REAL)[:ASKED]]:
                    answers = await source.answers(datagram)
                    assert sum(map(len, answers)) <= AMPLIFIED * len(datagram), datagram.hex()


def register_of(number: int, mid: int = 0x1001) -> bytes:
    """A small Register of a device that there is."""
    name = f"ep=urn:imei:{imei(number)}".encode()
    return (
        b"\x42\x02" + mid.to_bytes(2, "big") + b"\xab\xcd\xb2rd\x4d"
        + bytes([len(name) - 13]) + name + b"\x09lwm2m=1.1\xff</3/0>"
    )  # fmt: skip


async def test_a_forged_register_floods_nobody(yard: Yard) -> None:
    """All that goes to the address in the name of which a device registered, until it is given up, is little."""
    await yard.gadget(1)
    plain = yard.field.server.lwm2m.plain
    assert plain is not None
    register = register_of(1)
    with Source(plain.address[1]) as victim:
        victim.send(register)
        received: list[bytes] = []
        lwm2m = yard.field.server.lwm2m

        async def given_up() -> bool:
            received.extend(victim.heard())
            return any(client.silent for client in lwm2m.clients)

        await until(given_up, "the server to give the device up")
        received += victim.heard()
        assert len(received) > 2
        assert sum(map(len, received)) <= AMPLIFIED * len(register)


async def test_a_forged_bootstrap_request_floods_nobody(tmp_path: Path) -> None:
    """Nor does one at the bootstrap server, which stops at its first question."""
    async with boot.opened(tmp_path) as yard:
        await yard.gadget(1)
        name = f"ep=urn:imei:{imei(1)}".encode()
        asked = b"\x41\x02\x10\x01\xab\xb2bs\x4d" + bytes([len(name) - 13]) + name
        with Source(boot.ports(yard)[0]) as victim:
            victim.send(asked)
            await boot.comes_out(yard, "GET /: no answer in time")
            received = victim.heard()
            assert received[0][1] == int(Code.CHANGED)
            assert sum(map(len, received)) <= AMPLIFIED * len(asked)


async def test_who_does_not_know_the_token_answers_nothing(yard: Yard) -> None:
    """With the message id and the address right and the token wrong, or from elsewhere: the question stands."""
    await yard.gadget(1)
    plain = yard.field.server.lwm2m.plain
    assert plain is not None
    with Source(plain.address[1]) as device, Source(plain.address[1]) as other:
        device.send(register_of(1))
        assert (await device.hear())[1] == int(Code.CREATED)
        question = await device.hear()
        asked = decode_message(question)
        assert asked.type == Type.CON
        mid, token = question[2:4], question[4 : 4 + len(asked.token)]

        def answer(kind: int, token: bytes, version: bytes = b"66") -> bytes:
            """The version in SenML CBOR."""
            body = b"\x81\xa3\x21\x65/3/0/\x00\x613\x03\x62" + version
            return bytes([kind | len(token), 0x45]) + mid + token + b"\xc1\x70\xff" + body

        for guess in (b"", b"\0" * 8, token[:-1] + bytes([token[-1] ^ 1]), token[:-1]):
            device.send(answer(0x60, guess))
        # The right one from another address; a separate answer is reset, an acknowledgement is nothing.
        other.send(answer(0x60, token))
        assert await other.answers(answer(0x40, token)) == [b"\x70\x00" + mid]
        # It goes on asking, and takes what the device itself says.
        assert await device.hear() == question
        assert await yard.version(1) == "01"
        device.send(answer(0x60, token, b"77"))

        async def taken() -> bool:
            return await yard.version(1) == "77"

        await until(taken, "the device's own answer")


async def test_what_was_recorded_says_nothing_again(yard: Yard) -> None:
    """A whole session over DTLS is repeated from both addresses, in order and not: it goes on as it was."""
    gadget = await yard.gadget(1, block=BLOCK)
    lwm2m = yard.field.server.lwm2m
    dice = random.Random(SEED)
    async with tunnel_of(yard) as tunnel, gadget.on():
        await through(tunnel, gadget)
        await gadget.register()
        await gadget.renew()
        before = await yard.registration(1)
        (client,) = lwm2m.clients
        peer = client.peer
        recorded = list(tunnel.seen)
        assert len(recorded) > 5
        with Source(yard.coaps_port) as stranger:
            for _ in range(3):
                for datagram in recorded:
                    stranger.send(datagram)
                    tunnel.repeat(datagram)
                    await asyncio.sleep(0)
                dice.shuffle(recorded)
            assert (await gadget.renew()).code is Code.CHANGED
            # Its hellos are another's: each had a cookie for an address that is not the stranger's.
            assert all(each[13] == 3 for each in stranger.heard())
        assert client.peer is peer
        assert await yard.registration(1) == before
        assert lwm2m.dtls is not None
        assert len(lwm2m.dtls) == 1


def test_any_handshake_is_done_or_dropped() -> None:
    """Real flights, changed, cut and shuffled: nothing is raised, places are bounded, and others shake hands."""
    dice = random.Random(SEED)
    wire = Wire(handshakes=20)
    live = Client(wire)
    assert live.shake()
    client = Client(wire, THERE)
    flights: list[bytes] = []

    def keep(datagram: bytes) -> bool:
        flights.append(datagram)
        return False

    assert client.shake(keep)
    for _ in range(HANDSHAKES):
        wire.now += dice.random()
        address = ("192.0.2.5", dice.randrange(1, 40)) if dice.random() < 0.7 else HERE
        datagram = dice.choice(flights)
        if dice.random() < 0.9:
            datagram = mutated(dice, datagram)
        wire.deliver(datagram, address)
        for said, to in wire.sent:
            assert to != HERE or said[0] != 21, "an alert to a live session"
        # Whatever came was in one datagram, and no cookie was good.
        assert sum(len(said) for said, to in wire.sent) <= max(len(datagram), 1500)
        wire.sent.clear()
    assert wire.server.handshakes <= 20
    wire.server.tick(wire.now + HANDSHAKE_S)
    assert wire.server.handshakes == 0
    assert [text for _, text in live.say(b"still here")] == [b"still here"]
    assert Client(wire, ("192.0.2.6", 1)).shake()


@pytest.mark.parametrize("secure", [True, False])
async def test_our_own_port_is_answered_nothing(yard: Yard, secure: bool) -> None:
    """What seems to come from the server itself is dropped, so it cannot be made to talk with itself."""
    sockets = yard.field.server.lwm2m.sockets
    mine = sockets.secure if secure else sockets.plain
    assert mine is not None
    mine.send(b"\x40\x00\x12\x34", mine.address)
    mine.send(REGISTER, mine.address)
    with Source(mine.address[1]) as source:
        if not secure:
            assert await source.answers(b"\x40\x00\x12\x34") == [b"\x70\x00\x12\x34"]
    assert len(yard.field.server.lwm2m.clients) == 0


async def test_registering_needs_dtls_unless_it_is_allowed(tmp_path: Path) -> None:
    """Without the setting for laboratories, nobody registers in the clear, whatever the name."""
    async with open_yard(tmp_path / "data", rules=lwm2m_rules(no_sec=False)) as yard:
        await yard.gadget(1)
        plain = yard.field.server.lwm2m.plain
        assert plain is not None
        with Source(plain.address[1]) as source:
            (answer,) = await source.answers(register_of(1))
            assert answer[1] == int(Code.FORBIDDEN)
        assert await yard.registration(1) is None


async def test_strangers_have_no_room_for_requests_in_blocks(tmp_path: Path) -> None:
    """Who may not register in the clear is told so at its first block, and takes nobody's place with it."""
    async with open_yard(tmp_path / "data", rules=lwm2m_rules(no_sec=False)) as yard:
        await yard.gadget(1)
        plain = yard.field.server.lwm2m.plain
        assert plain is not None
        block = register_of(1)[:-7] + b"\xc1\x08\xff" + b"x" * 16  # Block1: the first of 16 bytes
        with Source(plain.address[1]) as source:
            (answer,) = await source.answers(block)
            assert answer[1] == int(Code.FORBIDDEN)
        assert len(yard.field.server.lwm2m.exchanges.endpoint._bodies) == 0
