"""Fleets over real sockets, against the scripted server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from overair.clock import FastClock, SystemClock
from overair.protocols.coap.events import Incoming
from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Request, Response
from overair.sim.lwm2m.fleet import Fleet, FleetOptions, run_fleet, server_address
from overair.sim.lwm2m.profile import Behaviour
from overair.sim.lwm2m.roster import Kinds, generate_cells, generate_roster
from overair.sim.lwm2m.sockets import Sockets
from tests.sim.lwm2m.head import Head
from tests.sim.lwm2m.world import IMAGE
from tests.waiting import until

QUICK = Behaviour(install_s=(0.1, 0.2), reboot_s=(0.1, 0.2))
COUNT = 40


class Post(asyncio.DatagramProtocol):
    """The scripted server at a socket."""

    def __init__(self) -> None:
        self.head = Head()
        self.head.files["image"] = IMAGE
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.head.receive(address, data, asyncio.get_running_loop().time())
        self.flush()

    def flush(self) -> None:
        for address, data in self.head.endpoint.drain():
            self.transport.sendto(data, address)  # type: ignore[arg-type]  # its peers are addresses

    def ask(self, name: str, request: Request) -> Any:
        handle = self.head.ask(name, request, asyncio.get_running_loop().time())
        self.flush()
        return handle


@asynccontextmanager
async def server() -> AsyncIterator[tuple[Post, str]]:
    transport, post = await asyncio.get_running_loop().create_datagram_endpoint(
        Post, local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    try:
        yield post, f"coap://127.0.0.1:{port}"
    finally:
        transport.close()


async def comes(condition: Callable[[], bool], what: str) -> None:
    """Wait until it holds."""

    async def holds() -> bool:
        return condition()

    await until(holds, what)


def options(url: str, **changes: Any) -> FleetOptions:
    plain = FleetOptions(
        url=url,
        devices=generate_roster(COUNT, kinds=Kinds(lifetime_s=3600)),
        cells=generate_cells(3),
        behaviour=QUICK,
        ack_timeout_s=0.5,
        start_over_s=0.2,
        progress_every_s=0.02,
    )
    return replace(plain, **changes)


async def test_a_fleet_registers_and_is_updated() -> None:
    """Each device registers from a port of its own, fetches an image, installs it and registers anew."""
    async with server() as (post, url):
        chosen = options(url)
        async with Fleet(chosen, SystemClock()) as fleet:
            await comes(lambda: fleet.snapshot().registered == COUNT, "all to register")
            peers = {seen[-1].peer for seen in post.head.registered.values()}
            assert len(peers) == COUNT
            uri = f"{url}/fw/image".encode()
            for name in list(post.head.registered):
                post.ask(
                    name,
                    Request(method=Code.PUT, path=("5", "0", "1"), content_format=0, payload=uri),
                )
            await comes(lambda: fleet.snapshot().arrived == COUNT, "all to have it")
            for name in list(post.head.registered):
                post.ask(name, Request(method=Code.POST, path=("5", "0", "2")))
            await comes(lambda: fleet.snapshot().updated == COUNT, "all to run it")
            await comes(lambda: fleet.snapshot().registrations == 2 * COUNT, "all to be back")
            truths = fleet.truths()
        assert {truth.version for truth in truths.values()} == {"02"}
        assert fleet.snapshot().errors == 0
        assert all(len(seen) == 2 for seen in post.head.registered.values())
        assert all(seen[0].peer != seen[1].peer for seen in post.head.registered.values())


async def test_fast_time() -> None:
    """Days of lives pass in a second, and messages are not hurried for that."""
    async with server() as (post, url):
        clock = FastClock(20_000.0)
        async with Fleet(options(url, start_over_s=0.0), clock) as fleet:
            await comes(lambda: fleet.snapshot().updates > 10 * COUNT, "updates")
        assert fleet.snapshot().errors == 0
        assert fleet.snapshot().registrations == COUNT
        assert all(len(seen) == 1 for seen in post.head.registered.values())


async def test_what_a_test_does_to_a_device() -> None:
    """Plug, network and cell of a device can be changed by hand."""
    async with server() as (post, url):
        chosen = options(url, devices=generate_roster(1))
        (sim,) = chosen.devices
        async with Fleet(chosen, SystemClock()) as fleet:
            await comes(lambda: fleet.snapshot().registered == 1, "it to register")
            fleet.move(sim.imei, chosen.cells[2])
            assert fleet.truth(sim.imei).cell == chosen.cells[2]
            fleet.switch(sim.imei, on=False)
            assert not fleet.truth(sim.imei).is_on
            fleet.switch(sim.imei, on=True)
            await comes(lambda: len(post.head.registered[sim.name]) == 2, "it to be back")
            fleet.reach(sim.imei, reached=False)
            assert not fleet.truth(sim.imei).is_reached
            fleet.reach(sim.imei, reached=True)
            await comes(lambda: fleet.snapshot().updates >= 1, "its Update")


async def test_it_stops_when_it_is_told() -> None:
    """By the time, by a condition, or by hand, with what it was until then."""
    async with server() as (_, url):
        done = await run_fleet(
            options(url, stop_when=lambda s: s.registered == COUNT), SystemClock()
        )
        assert done.snapshot.registered == COUNT
        assert len(done.truths) == COUNT
        assert (await run_fleet(options(url, stop_after_s=0.1), SystemClock())).elapsed_s >= 0.1
        stop = asyncio.Event()
        stop.set()
        await run_fleet(options(url), SystemClock(), stop=stop)


async def test_a_device_that_breaks_is_heard_of() -> None:
    """A fault in a device ends the fleet, and is not overlooked."""

    def fault(_incoming: Incoming) -> Response | None:
        raise ZeroDivisionError

    async def run(post: Post, url: str) -> None:
        async with Fleet(options(url), SystemClock()) as fleet:
            for device in fleet._devices.values():
                device.asked = fault  # type: ignore[method-assign, assignment]  # what is to be heard of
            await comes(lambda: fleet.snapshot().registered == COUNT, "all to register")
            name = next(iter(post.head.registered))
            post.ask(name, Request(method=Code.GET, path=("3", "0", "3")))
            async for _ in fleet.watch(0.02):
                pass

    async with server() as (post, url):
        with pytest.raises(ZeroDivisionError):
            await run(post, url)


@pytest.mark.parametrize("url", ["http://here", "coap://", "coap://here/path", "here:5683"])
def test_addresses_that_are_none(url: str) -> None:
    """A server is at coap://host, with a port or without."""
    with pytest.raises(ValueError, match="coap://"):
        server_address(url)
    assert server_address("coap://here") == ("here", 5683)
    assert server_address("coap://[::1]:7000/") == ("::1", 7000)


def test_more_devices_than_sockets() -> None:
    """A system that allows fewer files than a fleet needs is told of before anything begins."""
    with pytest.raises(ValueError, match="allows"):
        Sockets.allow(1 << 40)
