"""Campaigns that are stopped while a device has their image, or some of it, and users who put it off."""

import asyncio
from datetime import timedelta
from pathlib import Path

import aiocoap
import pytest

from overair.config import Lwm2mModel
from overair.core.ids import CampaignId
from overair.devices.lwm2m import effects
from overair.engine import schedule
from overair.store import Tx, campaigns
from tests.devices.field import device_of, imei
from tests.devices.lwm2m.gadget import Gadget, free_port
from tests.devices.lwm2m.noise import Noise
from tests.devices.lwm2m.test_hostile import Stranger, plain_port
from tests.devices.lwm2m.yard import IMAGE, Yard, lwm2m_rules, open_yard
from tests.waiting import until


async def _is(value: bool) -> bool:
    return value


async def _shows(gadget: Gadget, state: str) -> None:
    await until(lambda: _is(gadget.values["5/0/3"] == state), f"state {state}")


# Called off --------------------------------------------------------------------------------------


async def _call_off(yard: Yard, campaign: CampaignId) -> None:
    """The user stops it."""
    now = yard.field.clock.now()

    def stop(tx: Tx) -> None:
        schedule.stop_campaign(tx, campaigns.by_id(tx, campaign), now, abortable=True)

    await yard.field.run(stop)
    await yard.field.carry_on()


async def test_a_push_is_given_up_when_its_campaign_is_stopped(tmp_path: Path) -> None:
    """No more blocks are sent, what the device has of it is taken back, and it is not told to update."""
    rules = lwm2m_rules(models={"Acme X1": Lwm2mModel(block_bytes=16)})
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1)
        socket = yard.field.server.lwm2m.plain
        assert socket is not None
        with Noise(("127.0.0.1", socket.address[1]), seed=3, loss=0.0, doubled=0.0) as noise:
            gadget.server = noise.address
            async with gadget.on():
                await gadget.register()
                campaign = await yard.campaign(1)
                await until(lambda: _is(noise.passed > 100), "the middle of the transfer")
                gadget.values["5/0/3"] = "1"
                await _call_off(yard, campaign)
                await _shows(gadget, "0")
                assert not yard.field.server.lwm2m.visits._attempts.pushing
                assert gadget.image == b""
                assert gadget.executes == 0
                assert await yard.state(1) == "expired"
                passed = noise.passed
                assert (await gadget.renew()).code.is_successful()
                assert noise.passed < passed + 20  # not another block


async def test_a_pull_ends_when_its_campaign_is_stopped(tmp_path: Path) -> None:
    """The address opens nothing any more, and the device is made idle."""
    port = free_port()
    rules = lwm2m_rules(
        coap=f"127.0.0.1:{port}", public_coap=f"127.0.0.1:{port}", plain_download=True
    )
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1)
        gadget.values["5/0/9"] = "0"
        told: list[str] = []

        async def slowly(uri: str) -> None:
            gadget.show("5/0/3", "1")
            told.append(uri)

        gadget.on_uri = slowly
        async with gadget.on():
            await gadget.register()
            campaign = await yard.campaign(1)
            await until(lambda: _is(bool(told)), "the address")
            await _call_off(yard, campaign)
            await _shows(gadget, "0")
            path = told[0].removeprefix(gadget.server)
            assert (await gadget.ask(aiocoap.GET, path)).code is aiocoap.NOT_FOUND
            assert gadget.executes == 0


async def test_an_image_that_lies_on_the_device_is_taken_back(each_yard: Yard) -> None:
    """A device that was off when its campaign was stopped is not told to update when it comes back."""
    yard = each_yard
    gadget = await yard.gadget(1)
    # It is away in the moment in which it has the image.
    gadget.on_image = lambda: gadget.later(gadget.stop())
    async with gadget.on():
        await gadget.register()
        campaign = await yard.campaign(1)
        await until(lambda: _is(gadget.image == IMAGE and gadget.context is None), "the image")
        await _call_off(yard, campaign)
        gadget.values["5/0/3"] = "2"
        await gadget.restart()
        await _shows(gadget, "0")
        assert gadget.executes == 0
        assert (await yard.place(1, campaign))[0] in ("aborted", "cancelled")

        async def settled() -> bool:
            wanted = await yard.field.run(lambda tx: effects.called_off(tx, device_of(tx, imei(1))))
            return wanted is None

        await until(settled, "nothing of ours")


async def test_what_was_told_already_is_let_end(each_yard: Yard) -> None:
    """A device that installs when its campaign is stopped is left alone, and its success is recorded."""
    yard = each_yard
    gadget = await yard.gadget(1)

    async def never() -> None:
        return

    gadget.on_execute = never
    async with gadget.on():
        await gadget.register()
        campaign = await yard.campaign(1)
        await until(lambda: _is(gadget.executes == 1), "the command")
        await _call_off(yard, campaign)
        writes = [line for line in gadget.log if line.startswith("PUT")]
        await gadget.update()
        await until(lambda: _succeeded(yard, campaign), "its success")
        assert [line for line in gadget.log if line.startswith("PUT")] == writes
        assert gadget.executes == 1


async def _succeeded(yard: Yard, campaign: CampaignId) -> bool:
    return (await yard.place(1, campaign))[0] == "succeeded"


# Put off -----------------------------------------------------------------------------------------


def _put_off(gadget: Gadget) -> None:
    """Its user is asked, and says: later."""

    async def later() -> None:
        gadget.values["5/0/5"] = "11"
        gadget.show("5/0/3", "2")

    gadget.on_execute = later


async def _is_put_off(yard: Yard) -> None:
    async def noted() -> bool:
        return (11, "Update deferred") in await yard.words(1)

    await until(noted, "the words of the device")


async def test_a_user_puts_it_off_and_agrees_later(each_yard: Yard) -> None:
    """The device is waited for, and not told a second time; its attempt is the one that succeeds."""
    yard = each_yard
    gadget = await yard.gadget(1)
    _put_off(gadget)
    async with gadget.on():
        await gadget.register()
        campaign = await yard.campaign(1)
        await _is_put_off(yard)
        yard.field.clock.advance(timedelta(hours=10))
        assert (await gadget.renew()).code.is_successful()
        gadget.values["5/0/5"] = "0"
        gadget.show("5/0/3", "3")
        await gadget.update()
        await yard.comes_to(1, "finished")
        assert gadget.executes == 1
        assert (await yard.words(1)).count((11, "Update deferred")) == 1
        assert await yard.place(1, campaign) == ("succeeded", "success")


@pytest.mark.parametrize(("allowed_s", "hours"), [(-1, 24), (7200, 2), (172_800, 48)])
async def test_it_is_put_off_for_too_long(tmp_path: Path, allowed_s: int, hours: int) -> None:
    """After the time that is allowed, a day where nothing else is said, the attempt has failed."""
    rules = lwm2m_rules(max_defer_s=allowed_s)
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1)
        _put_off(gadget)
        async with gadget.on():
            await gadget.register()
            await yard.campaign(1)
            await _is_put_off(yard)
            yard.field.clock.advance(timedelta(hours=hours, minutes=-1))
            before = gadget.log.count("GET 5/0/5")
            assert (await gadget.renew()).code.is_successful()
            await until(lambda: _is(gadget.log.count("GET 5/0/5") > before), "a look at it")
            await yard.due()
            assert await yard.state(1) == "downloaded"
            yard.field.clock.advance(timedelta(minutes=2))
            await yard.comes_to(1, "failed")
            attempt = await yard.attempt(1)
            assert attempt is not None
            assert attempt.reason == "declined"
            assert gadget.executes == 1


@pytest.mark.parametrize(("observes", "minutes"), [(True, 60), (False, 10)])
async def test_it_is_not_looked_at_all_the_time(yard: Yard, observes: bool, minutes: int) -> None:
    """While its user puts it off a device is let alone, longer if it tells of a change by itself; which is seen at once."""
    gadget = await yard.gadget(1)
    gadget.lifetime = 86_400  # it is registered for all the hours that pass
    if not observes:
        gadget.tree.add_observation = _no_observation  # type: ignore[method-assign]  # it says no to that
    _put_off(gadget)
    looks: list[int] = []

    def count() -> int:
        return gadget.log.count("GET 5/0/5")

    async with gadget.on():
        await gadget.register()
        await yard.campaign(1)
        await _is_put_off(yard)
        await _settled(yard)
        for _ in range(3):
            looks.append(count())
            yard.field.clock.advance(timedelta(minutes=minutes - 1))
            await _settled(yard)
            assert count() == looks[-1]
            yard.field.clock.advance(timedelta(minutes=1, seconds=1))
            await until(lambda: _is(count() > looks[-1]), "a look at it")
            await _settled(yard)
        if observes:
            gadget.values["5/0/5"] = "0"
            gadget.show("5/0/3", "3")
            await until(lambda: _is(count() > looks[-1] + 1), "a look at what it tells")
        await gadget.update()
        await yard.comes_to(1, "finished")


async def _no_observation(request: aiocoap.Message, serverobservation: object) -> None:
    """It answers as to any reading."""


async def _settled(yard: Yard) -> None:
    """Whatever the server asks on its own has an answer, and it asks nothing more for a while."""
    for _ in range(10):
        await until(lambda: _is(not yard.field.server.lwm2m.exchanges._waiting), "its answers")
        await asyncio.sleep(0.02)
        stranger = Stranger(plain_port(yard))
        try:
            await stranger.ask(b"\x40\x00\x00\x01")
        finally:
            stranger.close()


async def test_a_campaign_is_stopped_while_its_user_puts_it_off(yard: Yard) -> None:
    """The image is taken back: there is nothing left to agree to."""
    gadget = await yard.gadget(1)
    _put_off(gadget)
    async with gadget.on():
        await gadget.register()
        campaign = await yard.campaign(1)
        await _is_put_off(yard)
        await _call_off(yard, campaign)
        await _shows(gadget, "0")
        assert gadget.executes == 1


async def test_how_urgent_it_is(tmp_path: Path) -> None:
    """Severity and period are told before the command to a device that has room for them, if they are set."""
    rules = lwm2m_rules(severity="critical", max_defer_s=100_000)
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget, plain = await yard.gadget(1), await yard.gadget(2)
        gadget.values |= {"5/0/11": "1", "5/0/13": "0"}
        async with gadget.on(), plain.on():
            await gadget.register()
            await plain.register()
            await yard.campaign(1, 2)
            await yard.comes_to(1, "finished")
            await yard.comes_to(2, "finished")
        assert (gadget.values["5/0/11"], gadget.values["5/0/13"]) == ("0", "100000")
        log = gadget.log
        assert log.index("PUT 5/0/11") < log.index("PUT 5/0/13") < log.index("POST 5/0/2")
        assert "PUT 5/0/11" not in plain.log


# Once more ---------------------------------------------------------------------------------------


async def test_a_result_from_before_the_command_is_none_of_it(yard: Yard) -> None:
    """A device that kept the image after it failed is told anew, and its old result is not taken for new."""
    gadget = await yard.gadget(1)

    async def fails() -> None:
        gadget.values["5/0/5"] = "8"
        gadget.show("5/0/3", "2")

    gadget.on_execute = fails
    async with gadget.on():
        await gadget.register()
        campaign = await yard.campaign(1)
        await yard.comes_to(1, "failed")
        first = await yard.attempt(1)

        async def slowly() -> None:
            # For a while nothing is to be seen of it.
            gadget.values["5/0/3"] = "2"
            seen = gadget.log.count("GET 5/0/5")
            await until(lambda: _is(gadget.log.count("GET 5/0/5") > seen), "a look at it")
            await gadget.update()

        gadget.on_execute = slowly
        yard.field.clock.advance(timedelta(hours=16, minutes=1))
        await yard.due()
        await gadget.renew()
        await until(lambda: _succeeded(yard, campaign), "the second try")
        second = await yard.attempt(1)
        assert first is not None
        assert second is not None
        assert second.number == first.number + 1
        assert gadget.executes == 2
        assert [line for line in gadget.log if line == "PUT 5/0/0"] == ["PUT 5/0/0"]
