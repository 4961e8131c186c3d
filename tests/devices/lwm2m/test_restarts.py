"""Devices that restart in the middle, at each step: all are updated once, and told once unless it came to nothing."""

import asyncio
from datetime import timedelta

import pytest
from aiocoap import Message

from overair.protocols.coap import message as protocol
from overair.protocols.coap.numbers import Code
from tests.devices.lwm2m.gadget import Gadget
from tests.devices.lwm2m.test_one_address import CONTINUE, FIRMWARE, Nat, _name
from tests.devices.lwm2m.yard import IMAGE, Yard
from tests.waiting import until

UPDATE = "POST 5/0/2"
REGISTERED = "registered"

# What it is asked when it restarts, and the how manieth time; it says nothing more.
STEPS = [
    ("GET 3/0/3", 1),
    ("GET 5/0/3", 1),
    ("GET 5/0/5", 1),
    ("GET 5/0/9", 1),
    ("GET 5/0/3", 2),  # to observe it
    ("GET 5/0/5", 2),
    ("PUT 5/0/0", 1),  # the last of its blocks
    ("GET 5/0/3", 3),  # the image is there
    ("GET 5/0/5", 3),
    ("GET 5/0/3", 4),  # before it is told
    (UPDATE, 1),
    ("GET 5/0/3", 5),  # what came of it
]
# It may restart before or after it has done it; to be read changes nothing.
ACTED_ON = ("PUT 5/0/0", UPDATE)


class Phoenix(Gadget):
    """A device that restarts when it is asked something for the nth time, before or after it has acted on it."""

    def __init__(self, endpoint: str, server: str) -> None:
        super().__init__(endpoint, server)
        self.restarts_at = ("", 0)
        self.acts = False
        self.forgets = False
        self.installs = 0
        self.too_late = 0
        self.count = 0

    async def register(self) -> Message:
        self.log.append(REGISTERED)
        return await super().register()

    async def asked(self, request: Message) -> Message:
        what = f"{request.code.name} {'/'.join(request.opt.uri_path)}"
        self.count += what == self.restarts_at[0]
        if (what, self.count) != self.restarts_at:
            if what == UPDATE and self.installs:
                self.too_late += 1
            return await super().asked(request)
        self.restarts_at = ("", 0)
        if self.acts:
            await super().asked(request)
        if not (self.acts and what == UPDATE):  # which is a restart by itself
            if self.forgets and self.values["5/0/3"] == "2" and not self.installs:
                self.values |= {"5/0/3": "0", "5/0/5": "0"}
            self.later(self.restart())
        await asyncio.Event().wait()  # nobody hears that
        raise AssertionError

    async def update(self) -> None:
        self.installs += 1
        await super().update()


async def _restarting(yard: Yard) -> Phoenix:
    made = await yard.gadget(1)
    return Phoenix(made.endpoint, made.server)


@pytest.mark.parametrize("forgets", [False, True], ids=["keeps it", "forgets it"])
@pytest.mark.parametrize(
    ("at", "acts"),
    [(at, acts) for acts in (False, True) for at in STEPS if not acts or at[0] in ACTED_ON],
    ids=lambda each: (
        ("before", "after")[each] if isinstance(each, bool) else "-".join(map(str, each))
    ),
)
async def test_a_restart_at_any_step(
    yard: Yard, at: tuple[str, int], acts: bool, forgets: bool
) -> None:
    """Whatever it was asked just then, and whether or not it did that, and lost its image: it is updated, once."""
    device = await _restarting(yard)
    device.restarts_at, device.acts, device.forgets = at, acts, forgets
    async with device.on():
        await device.register()
        campaign = await yard.campaign(1)
        if forgets and at == (UPDATE, 1) and not acts:
            # It took the command and came to nothing: that was a try, and the next begins anew.
            await yard.comes_to(1, "failed")
            yard.field.clock.advance(timedelta(hours=16, minutes=1))
            await yard.due()
            await device.renew()
        await yard.comes_to(1, "finished")
        assert device.restarts_at == ("", 0), "it did restart"
        assert device.image == IMAGE
        assert device.installs == 1
        assert device.too_late == 0, "told again though it had taken effect"
        assert _looked_at(device.log), device.log
        assert await yard.version(1) == "02"
        assert await yard.place(1, campaign) == ("succeeded", "success")
        assert device.log.count(UPDATE) <= 2


def _looked_at(log: list[str]) -> bool:
    """Whether each command was given to a device that was read since it registered, or was told before."""
    since: list[str] = []
    for line in log:
        if line == UPDATE and "GET 5/0/3" not in since:
            return False
        if line in (REGISTERED, UPDATE):
            since = []
        since.append(line)
    return True


async def test_a_command_that_is_out_is_not_repeated_to_who_registers(yard: Yard) -> None:
    """A device that is told to update, has not answered, and registers anew is read before anything else."""
    device = await _restarting(yard)

    async def deaf(request: Message) -> Message:
        what = f"{request.code.name} {'/'.join(request.opt.uri_path)}"
        if what == UPDATE and not device.installs:
            device.log.append(what)
            device.installs += 1
            device.values |= {"5/0/3": "3", "5/0/5": "0"}
            device.later(_again())
            await asyncio.Event().wait()
        return await Gadget.asked(device, request)

    async def _again() -> None:
        await device.restart()

    device.asked = deaf  # type: ignore[method-assign]  # it is deaf for one thing
    async with device.on():
        await device.register()
        await yard.campaign(1)

        async def looked_at() -> bool:
            registered = len(device.log) - 1 - device.log[::-1].index(REGISTERED)
            return device.installs == 1 and "GET 5/0/3" in device.log[registered:]

        await until(looked_at, "a look at it")
        device.values |= {"5/0/3": "0", "5/0/5": "1", "3/0/3": "02"}
        device.show("5/0/3", "0")
        await yard.comes_to(1, "finished")
        assert device.log.count(UPDATE) == 1


async def test_a_restart_between_two_blocks(yard: Yard) -> None:
    """Whoever registers anew in the middle of an image is read, and then given the whole of it."""
    await yard.gadget(1)
    with Nat(yard) as device:
        await device.register(_name(1), objects=FIRMWARE)
        await yard.campaign(1)
        device.answer(await device.asked("5/0/0"), Code.CONTINUE, CONTINUE)
        assert _block_number(await device.asked("5/0/0")) == 1
        await device.register(_name(1), objects=FIRMWARE)
        before = len(device.came)
        while _block_number(await device.asked("5/0/0")) != 0:
            assert len(device.came) <= before, "a block from before it restarted"
        assert "5/0/3" in device.paths()[before - 1 :]


def _block_number(message: protocol.Message) -> int:
    (value,) = [value for number, value in message.options if number == 27]
    return int.from_bytes(value, "big") >> 4
