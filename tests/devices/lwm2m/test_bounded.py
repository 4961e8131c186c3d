"""Devices that break off, dawdle or begin anew for ever: each has its try, and gives its place back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiocoap

from overair.core.ids import CampaignId
from overair.devices.lwm2m.attempt import MOST_BEGINS
from overair.devices.lwm2m.files import CLEAR_BYTES, CLEAR_TIMES
from overair.protocols.coap.message import empty_ack, reset
from overair.protocols.lwm2m.delivery import Scheme
from tests.devices.lwm2m.gadget import Gadget, free_port
from tests.devices.lwm2m.test_again import _block
from tests.devices.lwm2m.test_one_address import FIRMWARE, Nat, _is, _name
from tests.devices.lwm2m.test_spoofing import Source
from tests.devices.lwm2m.yard import IMAGE, Yard, imei, lwm2m_rules, open_yard
from tests.waiting import until


async def _tries(yard: Yard, campaign: CampaignId) -> int:
    """How many the device has had."""
    from overair.store import upgrades

    (found,) = await yard.field.run(lambda tx: upgrades.of_imeis(tx, campaign, [imei(1)]))
    return found.attempts


def _places(yard: Yard) -> int:
    """How many transfers there is room for."""
    return yard.field.server.lwm2m.visits._attempts.transfers._value


async def test_a_device_that_resets_every_block(yard: Yard) -> None:
    """It is begun with again as often as is allowed; then the try has failed."""
    await yard.gadget(1)
    with Nat(yard) as device:
        location = await device.register(_name(1), objects=FIRMWARE)
        campaign = await yard.campaign(1)
        room = _places(yard)
        for _ in range(MOST_BEGINS):
            block = await device.asked("5/0/0")
            assert await yard.state(1) == "running"
            device.send(reset(block.mid))
            await until(lambda: _is(_places(yard) == room), "its place")
            await device.update(location)

        async def answers() -> bool:
            device.answer_readings()
            return await yard.state(1) == "failed"

        await until(answers, "the end")
        assert device.paths().count("5/0/0") == MOST_BEGINS
        assert (None, "Image begun with too often") in await yard.words(1)
        assert await _tries(yard, campaign) == 1


async def test_a_device_that_takes_blocks_too_slowly(tmp_path: Path) -> None:
    """One that keeps the server waiting loses its place, and that was its try."""
    # It says that its answer takes time, and may say so for minutes.
    rules = lwm2m_rules(transfer_timeout_s=1, ack_timeout_s=60)
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        await yard.gadget(1)
        with Nat(yard) as device:
            await device.register(_name(1), objects=FIRMWARE)
            campaign = await yard.campaign(1)
            room = _places(yard)
            block = await device.asked("5/0/0")
            device.send(empty_ack(block.mid))
            assert _places(yard) == room - 1
            await yard.comes_to(1, "failed")
            assert _places(yard) == room
            assert (None, "Image not transferred in time") in await yard.words(1)
            assert await _tries(yard, campaign) == 1


@asynccontextmanager
async def _pulling(directory: Path) -> AsyncIterator[tuple[Yard, Gadget, list[str]]]:
    """A device that is told an address, and what it was told."""
    port = free_port()
    rules = lwm2m_rules(
        coap=f"127.0.0.1:{port}", public_coap=f"127.0.0.1:{port}", plain_download=True
    )
    async with open_yard(directory / "data", rules=rules) as yard:
        gadget = await yard.gadget(1)
        gadget.values["5/0/9"] = "0"
        told: list[str] = []

        async def begins(uri: str) -> None:
            gadget.show("5/0/3", "1")
            told.append(uri)

        gadget.on_uri = begins
        async with gadget.on():
            await gadget.register()
            yield yard, gadget, told


async def test_a_device_that_fetches_the_first_block_for_ever(tmp_path: Path) -> None:
    """However busy it is, what is not there in time has failed, and its address opens nothing."""
    async with _pulling(tmp_path) as (yard, gadget, told):
        campaign = await yard.campaign(1)
        await until(lambda: _is(bool(told)), "the address")
        for _ in range(40):
            await _block(gadget, told[0], 0)
        assert await yard.state(1) == "running"
        yard.field.clock.advance(timedelta(minutes=31))
        assert await _block(gadget, told[0], 0)
        assert (await gadget.renew()).code.is_successful()
        await yard.comes_to(1, "failed")
        assert (None, "Package not downloaded") in await yard.words(1)
        assert await _tries(yard, campaign) == 1
        path = told[0].removeprefix(gadget.server)
        assert (await gadget.ask(aiocoap.GET, path)).code is aiocoap.NOT_FOUND


async def test_an_image_is_no_endless_source_of_answers(tmp_path: Path) -> None:
    """Who has a token can name anybody's address in the clear; so much leaves, and then a few bytes each time."""
    async with _pulling(tmp_path) as (yard, _, told):
        await yard.campaign(1)
        await until(lambda: _is(bool(told)), "the address")
        token = told[0].rpartition("/")[2].encode()
        asked = b"\x40\x01\0\0\xb2fw\x0d" + bytes([len(token) - 13]) + token
        most = max(CLEAR_TIMES * len(IMAGE), CLEAR_BYTES)
        with Source(int(yard.coap.rpartition(":")[2])) as source:
            images = refused = 0
            for number in range(most // 1024 + 50):
                source.send(asked[:2] + number.to_bytes(2, "big") + asked[4:])
                answer = await source.hear()
                if answer[1] == int(aiocoap.NOT_FOUND):
                    assert len(answer) == 4
                    refused += 1
                else:
                    assert len(answer) <= 30 * len(asked)
                    images += 1024
                    assert refused == 0
        assert most - 1024 < images <= most
        assert refused == 50


async def test_a_device_that_restarts_each_time_it_fetches(tmp_path: Path) -> None:
    """It is told the address again after each restart, as often as is allowed."""
    async with _pulling(tmp_path) as (yard, gadget, told):
        campaign = await yard.campaign(1)
        for times in range(1, MOST_BEGINS + 1):
            await until(lambda n=times: _is(len(told) == n), "the address")  # type: ignore[misc]  # the next one
            gadget.values["5/0/3"] = "0"
            await gadget.restart()
        await yard.comes_to(1, "failed")
        assert len(told) == MOST_BEGINS
        assert await _tries(yard, campaign) == 1


async def test_a_device_of_which_nothing_can_be_read(yard: Yard) -> None:
    """One that is there all the time and resets what it is asked has a day, and then had its try."""
    await yard.gadget(1)
    with Nat(yard) as device:
        location = await device.register(_name(1), objects=FIRMWARE)
        campaign = await yard.campaign(1)
        device.send(reset((await device.asked("5/0/0")).mid))
        for hours in (10, 10, 5):
            yard.field.clock.advance(timedelta(hours=hours))
            seen = len(device.came)
            await device.update(location)
            await until(lambda n=seen: _is(len(device.came) > n), "a question")  # type: ignore[misc]  # one more
            device.send(reset(device.came[-1].mid))
            await yard.due()
        await yard.comes_to(1, "expired")
        assert await _tries(yard, campaign) == 1


async def test_nothing_is_fetched_in_the_clear_without_the_setting(tmp_path: Path) -> None:
    """The right token of an attempt under way opens nothing over plain CoAP or HTTP."""
    async with open_yard(tmp_path / "data", rules=lwm2m_rules(public_coap="127.0.0.1:1")) as yard:
        await yard.gadget(1)
        with Nat(yard) as device:
            await device.register(_name(1), objects=FIRMWARE)
            await yard.campaign(1)
            await device.asked("5/0/0")
            attempt = await yard.attempt(1)
            assert attempt is not None
            assert attempt.state.value == "running"
            path = yard.field.server.files.uri(Scheme.COAP, attempt.id).rpartition(":1")[2]
            stranger = Gadget("x", yard.coap)
            async with stranger.on():
                answer = await stranger.ask(aiocoap.GET, path)
                assert (answer.code, answer.payload) == (aiocoap.NOT_FOUND, b"")
            wire = await yard.field.wire()
            assert (await wire.ask("GET", path)).status == 404
