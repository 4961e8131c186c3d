"""Many images at the same time: who waits for a turn, and who never waits for the blocks of others."""

import asyncio
from pathlib import Path
from typing import Any

import aiocoap
import pytest
from aiocoap import Message

from overair.devices.lwm2m import sockets
from overair.devices.lwm2m.sockets import MOST_HELD, SLICE, Keys, Ports, Sockets
from overair.devices.lwm2m.udp import Address, OnDatagrams
from overair.devices.quiet import Quiet
from overair.engine.lwm2m_accounts import find_key, keys_by_device
from overair.protocols.coap.numbers import Code
from tests.devices.lwm2m.gadget import Gadget
from tests.devices.lwm2m.test_called_off import _call_off
from tests.devices.lwm2m.yard import IMAGE, Yard, lwm2m_rules, open_yard
from tests.waiting import until

FLEET = (1, 2, 3, 4, 5)
LIMIT = 2


class Patient(Gadget):
    """It has the whole image, and does not say so until it may."""

    def __init__(self, endpoint: str, server: str, may: asyncio.Event) -> None:
        super().__init__(endpoint, server)
        self.may = may
        self.has_it = False

    async def asked(self, request: Message) -> Message:
        if request.code is aiocoap.PUT and request.opt.uri_path == ("5", "0", "0"):
            self.has_it = True
            await self.may.wait()
        return await super().asked(request)


async def _patient(yard: Yard, number: int, may: asyncio.Event) -> Patient:
    plain = await yard.gadget(number)
    return Patient(plain.endpoint, plain.server, may)


def _pushing(yard: Yard) -> int:
    return len(yard.field.server.lwm2m.visits._attempts.pushing)


async def _all_are(yard: Yard, state: str) -> bool:
    await yard.due()
    return all([await yard.state(number) == state for number in FLEET])


async def _is(value: bool) -> bool:
    return value


async def test_transfers_above_the_limit_wait_their_turn(tmp_path: Path) -> None:
    """As many as the setting says are sent their image together; the others have theirs after them, all whole."""
    may = asyncio.Event()
    async with open_yard(tmp_path / "data", rules=lwm2m_rules(max_transfers=LIMIT)) as yard:
        gadgets = [await _patient(yard, number, may) for number in FLEET]
        for gadget in gadgets:
            await gadget.start()
        try:
            for gadget in gadgets:
                await gadget.register()
            await yard.campaign(*FLEET)
            await until(lambda: _all_are(yard, "running"), "everybody's turn")
            await until(
                lambda: _is(sum(gadget.has_it for gadget in gadgets) >= LIMIT), "the first images"
            )
            for gadget in gadgets:  # nor later, while they are heard
                assert (await gadget.renew()).code.is_successful()
            assert _pushing(yard) == LIMIT
            assert sum(gadget.has_it for gadget in gadgets) == LIMIT
            may.set()
            await until(lambda: _all_are(yard, "finished"), "all updates")
            assert [gadget.image == IMAGE for gadget in gadgets] == [True] * len(FLEET)
            assert [gadget.executes for gadget in gadgets] == [1] * len(FLEET)
            assert _pushing(yard) == 0
        finally:
            for gadget in gadgets:
                await gadget.stop()


async def test_a_device_that_goes_leaves_its_turn_to_the_next(tmp_path: Path) -> None:
    """Who is silent in the middle of its image holds up the next one only until it is given up."""
    may = asyncio.Event()
    async with open_yard(tmp_path / "data", rules=lwm2m_rules(max_transfers=1)) as yard:
        first, second = await _patient(yard, 1, may), await yard.gadget(2)
        await first.start()
        async with second.on():
            await first.register()
            await yard.campaign(1, 2)
            await until(lambda: _is(first.has_it), "the first image")
            await first.stop()
            await second.register()
            await yard.comes_to(2, "finished")
            assert second.image == IMAGE


async def test_who_waits_for_a_turn_that_is_called_off_is_sent_nothing(tmp_path: Path) -> None:
    """A campaign that is stopped while its device waits for others sends it no block."""
    may = asyncio.Event()
    async with open_yard(tmp_path / "data", rules=lwm2m_rules(max_transfers=1)) as yard:
        first, second = await _patient(yard, 1, may), await yard.gadget(2)
        async with first.on(), second.on():
            await first.register()
            await yard.campaign(1)
            await until(lambda: _is(first.has_it), "the first image")
            await second.register()
            stopped = await yard.campaign(2)
            await yard.comes_to(2, "running")
            await _call_off(yard, stopped)
            await yard.comes_to(2, "expired")
            may.set()
            await yard.comes_to(1, "finished")
            assert (await second.renew()).code.is_successful()
            assert "PUT 5/0/0" not in second.log
            assert second.image == b""


# Who checks in ------------------------------------------------------------------------------------


class Hand:
    """A socket whose datagrams are put in by hand."""

    def __init__(self, on_datagrams: OnDatagrams) -> None:
        self.address: Address = ("127.0.0.1", 5683)
        self.put = on_datagrams

    def start(self) -> None:
        """Nothing comes by itself."""

    def close(self) -> None:
        """Nothing is open."""

    def send(self, datagram: bytes, address: Address) -> None:
        raise AssertionError("nothing is sent")


class Heard:
    """What sockets give on, in order."""

    def __init__(self, yard: Yard) -> None:
        self.messages: list[bytes] = []
        self.turns: list[int] = []
        self.hands: list[Hand] = []
        field = yard.field
        self.sockets = Sockets(
            db=field.server.db,
            wall=field.clock,
            rules=lwm2m_rules(),
            ports=Ports(coap="127.0.0.1:0", coaps="", setting="lwm2m."),
            keys=Keys(find=find_key, by_device=keys_by_device),
            seal=field.server.seal,
            quiet=Quiet(field.clock.monotonic),
            open_socket=self._open,
            on_message=lambda _peer, message, _now: self.messages.append(message),
            on_turn=lambda: self.turns.append(len(self.messages)),
            on_end=lambda _session: None,
        )
        self.sockets.bind()

    def _open(self, _host: str, _port: int, on_datagrams: OnDatagrams) -> Any:
        self.hands.append(Hand(on_datagrams))
        return self.hands[-1]

    def put(self, *messages: bytes) -> None:
        """They all come in one wake-up."""
        self.hands[0].put([(each, ("127.0.0.1", 40_000)) for each in messages])


def _message(code: int, number: int) -> bytes:
    return bytes((0x40, code)) + number.to_bytes(2, "big")


@pytest.mark.parametrize("code", [Code.GET, Code.CONTINUE, Code.EMPTY, Code.CONTENT])
async def test_who_checks_in_goes_before_blocks(yard: Yard, code: Code) -> None:
    """However much of images has come before it, an Update is seen to first, and then the rest in its order."""
    heard = Heard(yard)
    blocks = [_message(code, number) for number in range(5 * SLICE)]
    update, register = _message(Code.POST, 60_000), _message(Code.POST, 60_001)
    heard.put(*blocks, update)
    assert heard.messages == [update, *blocks[:SLICE]]
    heard.put(register)
    assert heard.messages[SLICE + 1] == register
    await until(lambda: _is(len(heard.messages) == len(blocks) + 2), "the rest")
    assert [each for each in heard.messages if each[1] == code] == blocks
    # Each slice is followed by its answers.
    steps = [after - before for before, after in zip([0, *heard.turns], heard.turns, strict=False)]
    assert max(steps) == SLICE + 1
    await heard.sockets.close()


async def test_what_waits_is_bounded(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """More blocks than can wait are lost, as in a network; who checks in is still heard."""
    monkeypatch.setattr(sockets, "MOST_HELD", 100)
    assert MOST_HELD > 1000  # a transfer each of which has one message on its way
    heard = Heard(yard)
    update = _message(Code.POST, 60_000)
    heard.put(*(_message(Code.GET, number) for number in range(500)), update)
    await until(lambda: _is(len(heard.messages) >= 101), "what was kept")
    assert heard.messages[0] == update
    assert len(heard.messages) == 101
    await heard.sockets.close()
