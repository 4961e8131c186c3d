"""Downloads over bad networks, and devices that restart in the middle: whole images, and one command at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiocoap
import pytest
from aiocoap.numbers.constants import TransportTuning

from tests.devices.lwm2m.gadget import Gadget, free_port
from tests.devices.lwm2m.noise import Noise
from tests.devices.lwm2m.yard import IMAGE, Yard, lwm2m_rules, open_yard
from tests.waiting import until


async def _is(value: bool) -> bool:
    return value


@asynccontextmanager
async def _pulling(directory: Path, port: int, public: str, **rules: Any) -> AsyncIterator[Yard]:
    """A yard whose devices fetch over CoAP, at that address."""
    made = lwm2m_rules(coap=f"127.0.0.1:{port}", public_coap=public, plain_download=True, **rules)
    async with open_yard(directory / "data", rules=made) as yard:
        yield yard


async def test_a_pull_over_a_bad_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fifth of all datagrams lost, others doubled or late, what is fetched has the exact bytes."""
    # A client that is as impatient as everybody on the loopback.
    monkeypatch.setattr(TransportTuning, "ACK_TIMEOUT", 0.1)
    port = free_port()
    with Noise(("127.0.0.1", port), seed=11, loss=0.2, doubled=0.2) as noise:
        public = noise.address.removeprefix("coap://")
        async with _pulling(tmp_path, port, public) as yard:
            gadget = await yard.gadget(1)
            gadget.values["5/0/9"] = "0"
            async with gadget.on():
                await gadget.register()
                await yard.campaign(1)
                await yard.comes_to(1, "finished")
                assert gadget.image == IMAGE
                assert gadget.executes == 1
        assert noise.lost > 3
        assert noise.passed > 20


async def test_what_is_fetched_is_noted(tmp_path: Path) -> None:
    """The blocks of a download are written down; all of them together are one complete download."""
    port = free_port()
    async with _pulling(tmp_path, port, f"127.0.0.1:{port}") as yard:
        gadget = await yard.gadget(1)
        gadget.values["5/0/9"] = "0"
        told: list[str] = []

        async def by_hand(uri: str) -> None:
            gadget.show("5/0/3", "1")
            told.append(uri)

        gadget.on_uri = by_hand
        async with gadget.on():
            await gadget.register()
            await yard.campaign(1)
            await until(lambda: _is(bool(told)), "the address")
            assert await _block(gadget, told[0], 0) == IMAGE[:1024]

            async def some() -> bool:
                attempt = await yard.attempt(1)
                assert attempt is not None
                return attempt.coverage == "0+1024"

            await until(some, "the first block")
            for number in range(1, -(-len(IMAGE) // 1024)):
                await _block(gadget, told[0], number)

            async def whole() -> bool:
                attempt = await yard.attempt(1)
                assert attempt is not None
                return attempt.downloads == 1

            await until(whole, "the download")
            assert await yard.state(1) == "downloaded"
            gadget.show("5/0/3", "2")
            await yard.comes_to(1, "finished")


async def _block(gadget: Gadget, uri: str, number: int) -> bytes:
    """Fetch one block, and only that."""
    assert gadget.context is not None
    message = aiocoap.Message(code=aiocoap.GET, uri=uri, block2=(number, False, 6))
    asked = gadget.context.request(message, handle_blockwise=False)
    return bytes((await asyncio.wait_for(asked.response, 20)).payload)


async def test_a_device_that_restarts_while_it_fetches(tmp_path: Path) -> None:
    """It has forgotten all about it: it is told the address again, fetches the whole, and updates once."""
    port = free_port()
    async with _pulling(tmp_path, port, f"127.0.0.1:{port}") as yard:
        gadget = await yard.gadget(1)
        gadget.values["5/0/9"] = "0"
        told: list[str] = []

        async def begins(uri: str) -> None:
            gadget.show("5/0/3", "1")
            told.append(uri)

        gadget.on_uri = begins
        async with gadget.on():
            await gadget.register()
            await yard.campaign(1)
            await until(lambda: _is(bool(told)), "the address")
            await _block(gadget, told[0], 0)
            gadget.on_uri = gadget.fetch
            gadget.values["5/0/3"] = "0"
            await gadget.restart()
            await yard.comes_to(1, "finished")
            assert gadget.image == IMAGE
            assert gadget.executes == 1
            assert gadget.log.count("PUT 5/0/1") == 2


async def test_a_device_that_restarts_before_it_installs(each_yard: Yard) -> None:
    """It was told, restarted, and still has the image: it is told once more, and not a third time."""
    yard = each_yard
    gadget = await yard.gadget(1)

    async def restarts() -> None:
        gadget.values["5/0/3"] = "2"
        await gadget.restart()

    gadget.on_execute = restarts
    async with gadget.on():
        await gadget.register()
        await yard.campaign(1)
        await yard.comes_to(1, "failed")
        assert gadget.executes == 2
        assert (None, "Device restarted without updating") in await yard.words(1)
        assert gadget.log.count("PUT 5/0/0") == 1


async def test_a_device_that_was_told_is_not_told_again(yard: Yard) -> None:
    """It took the command and shows nothing of it: whatever it says meanwhile, it is only looked at."""
    gadget = await yard.gadget(1)

    async def ponders() -> None:
        gadget.show("5/0/3", "2")

    gadget.on_execute = ponders
    async with gadget.on():
        await gadget.register()
        await yard.campaign(1)
        await until(lambda: _is(gadget.executes == 1), "the command")
        for _ in range(3):
            looks = gadget.log.count("GET 5/0/3")
            assert (await gadget.renew()).code.is_successful()
            gadget.show("5/0/5", "0")
            await until(lambda n=looks: _is(gadget.log.count("GET 5/0/3") > n), "a look at it")  # type: ignore[misc]  # as many as there were
        assert gadget.executes == 1
        await gadget.update()
        await yard.comes_to(1, "finished")
        assert gadget.executes == 1
