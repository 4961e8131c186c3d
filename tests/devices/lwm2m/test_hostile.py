"""What anybody may send: nothing of it changes anything, and little comes back."""

import asyncio
import random
import socket
from pathlib import Path

import aiocoap
import pytest
from aiocoap import Code

from tests.devices.lwm2m.gadget import Gadget, free_port
from tests.devices.lwm2m.test_secure import BLOCK, through, tunnel_of
from tests.devices.lwm2m.yard import IMAGE, Yard, lwm2m_rules, open_yard
from tests.waiting import until

SEED = 11
MANY = 3000


class Stranger:
    """A bare UDP socket."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self.sent = self.received = 0

    def send(self, datagram: bytes) -> None:
        self.sent += len(datagram)
        self._socket.send(datagram)

    async def ask(self, datagram: bytes) -> bytes:
        """The answer or the reset; what the server asks by itself is passed over."""
        self.send(datagram)
        loop = asyncio.get_running_loop()
        while True:
            answer = await asyncio.wait_for(loop.sock_recv(self._socket, 4096), 5)
            if answer[0] >> 4 & 3 >= 2:
                return answer

    def hear(self) -> None:
        """Take what came."""
        try:
            while True:
                self.received += len(self._socket.recv(4096))
        except BlockingIOError:
            pass

    def close(self) -> None:
        self._socket.close()


def plain_port(yard: Yard) -> int:
    socket_ = yard.field.server.lwm2m.plain
    assert socket_ is not None
    return int(socket_.address[1])


def _datagrams(dice: random.Random, real: list[bytes]) -> list[bytes]:
    """Noise, and messages that are nearly right."""
    found = []
    for _ in range(MANY):
        if dice.random() < 0.3:
            found.append(dice.randbytes(dice.randrange(0, 200)))
            continue
        datagram = bytearray(dice.choice(real))
        for _ in range(dice.randrange(1, 4)):
            datagram[dice.randrange(len(datagram))] = dice.randrange(256)
        found.append(bytes(datagram[: dice.randrange(1, len(datagram) + 1)]))
    return [datagram for datagram in found if datagram]


REGISTER = bytes.fromhex(
    "420210014a10b2726411283d0e65703d75726e3a696d65693a343930313534323033323337353138086c743d"
    "3836343030096c776d326d3d312e3103623d550151ff3c2f3e3b72743d226f6d612e6c776d326d223b63743d"
    "2236302031313020313132203131353432203131353433222c3c2f312f313e2c3c2f332f303e2c3c2f342f30"
    "3e2c3c2f352f303e3b7665723d312e31"
)
NOTIFY = bytes.fromhex("4445300251aa0102610360ff32")
ANSWER = bytes.fromhex("6445200151aa0102610160ff30")
BLOCK1 = bytes.fromhex("420320056105b13501300130112ad1020ed314100000ff0001020304050607")
REAL = [REGISTER, NOTIFY, ANSWER, BLOCK1]


async def test_noise_changes_nothing(yard: Yard) -> None:
    """Thousands of datagrams at both sockets leave a registered device what it is, and served."""
    gadget = await yard.gadget(1)
    dice = random.Random(SEED)
    async with gadget.on():
        await gadget.register()
        before = await yard.registration(1)
        for port in (plain_port(yard), yard.coaps_port):
            stranger = Stranger(port)
            try:
                for number, datagram in enumerate(_datagrams(dice, REAL)):
                    stranger.send(datagram)
                    if number % 50 == 0:
                        await asyncio.sleep(0)
                        stranger.hear()
                stranger.hear()
                assert stranger.received <= stranger.sent
            finally:
                stranger.close()
        assert await yard.registration(1) == before
        assert len(yard.field.server.lwm2m.clients) == 1
        await yard.campaign(1)
        await yard.comes_to(1, "finished")
        assert gadget.image == IMAGE


async def test_forged_answers_change_nothing(yard: Yard) -> None:
    """Whoever answers for a device from elsewhere, with any token, is reset or not heard."""
    gadget = await yard.gadget(1)
    async with gadget.on():
        await gadget.register()
        stranger = Stranger(plain_port(yard))
        try:
            assert await stranger.ask(NOTIFY) == bytes.fromhex("70003002")
            stranger.send(ANSWER)
            assert await stranger.ask(b"\x40\x00\x12\x34") == b"\x70\x00\x12\x34"
        finally:
            stranger.close()
        await yard.campaign(1)
        await yard.comes_to(1, "finished")


async def test_a_large_answer_needs_a_token(tmp_path: Path) -> None:
    """A file is sent block by block, to whoever has its token; a guessed one gets a few bytes."""
    port = free_port()
    rules = lwm2m_rules(
        coap=f"127.0.0.1:{port}", public_coap=f"127.0.0.1:{port}", plain_download=True
    )
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        stranger = Gadget("x", yard.coap)
        async with stranger.on():
            for token in ("1-" + "0" * 32, "1", "%2e%2e", "1-" + "f" * 31):
                answer = await stranger.ask(aiocoap.GET, f"/fw/{token}")
                assert answer.code is Code.NOT_FOUND
                assert answer.payload == b""


@pytest.mark.parametrize("secure", [False, True])
async def test_a_repeated_register_is_answered_alike(yard: Yard, secure: bool) -> None:
    """A message that is repeated has the same answer, and happens once."""
    gadget = await yard.gadget(1, block=BLOCK)
    if secure:
        async with tunnel_of(yard) as tunnel, gadget.on():
            await through(tunnel, gadget)
            await gadget.register()
            assert len(yard.field.server.lwm2m.clients) == 1
        return
    stranger = Stranger(plain_port(yard))
    try:
        name = f"ep={gadget.endpoint}".encode()
        register = (
            b"\x42\x02\x10\x01\x4a\x10\xb2rd\x11\x28"
            + bytes([0x3D, len(name) - 13])
            + name
            + b"\x09lwm2m=1.1\xff</3/0>"
        )
        first = await stranger.ask(register)
        assert first[1] == int(Code.CREATED)
        assert await stranger.ask(register) == first
        assert len(yard.field.server.lwm2m.clients) == 1
    finally:
        stranger.close()


@pytest.mark.parametrize("result", ["9223372036854775808", "2147483648", "-99999999999999999999"])
async def test_results_that_no_store_could_keep(
    each_yard: Yard, result: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A result of any size is no result: nothing trips over it, and the true one counts."""
    yard = each_yard
    gadget = await yard.gadget(1)

    async def claim() -> None:
        gadget.values |= {"5/0/3": "0", "5/0/5": result}
        await gadget.restart()
        claimed.set()

    claimed = asyncio.Event()
    gadget.on_execute = claim
    async with gadget.on():
        await gadget.register()
        await yard.campaign(1)

        async def read() -> bool:
            return "GET 3/0/3" in gadget.log[len(before) :]

        await asyncio.wait_for(claimed.wait(), 20)
        before = list(gadget.log)
        await gadget.renew()
        await until(read, "a look at the result")
        gadget.values |= {"5/0/5": "1", "3/0/3": "02"}
        await gadget.renew()
        await yard.comes_to(1, "finished")
    assert "Traceback" not in capsys.readouterr().out


@pytest.mark.parametrize("version", ["0\x002", "\x1b[31m02\r\n", "\u202e02"])
async def test_versions_that_could_not_be_shown(each_yard: Yard, version: str) -> None:
    """Of what a device says that it runs only what can be kept and printed is taken."""
    yard = each_yard
    gadget = await yard.gadget(1)
    gadget.target = version
    async with gadget.on():
        await gadget.register()
        await yard.campaign(1)
        await yard.comes_to(1, "finished")
        assert (await yard.version(1)).isprintable()
