"""Thousands of simulated LwM2M devices in one process, over UDP and HTTP, against any server.

Two timers for all of them (by the time of their lives, and of the wire), and a task only for downloads
over HTTP. Everything shared is bounded: connections, the rate at which devices start, what is remembered
of each.

Not in here: what a device does (``device``), what fleets of any protocol have in common (``running``).
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

from overair.clock import Clock
from overair.protocols.coap.numbers import PORT
from overair.protocols.coap.values import TIMINGS, Timings
from overair.protocols.lwm2m.objects import Cell
from overair.sim.agenda import AT_ONCE, Agenda, Ticker
from overair.sim.carrier import Carrier
from overair.sim.lwm2m.device import Device
from overair.sim.lwm2m.intake import Becomes
from overair.sim.lwm2m.profile import Behaviour
from overair.sim.lwm2m.roster import Lwm2mDevice
from overair.sim.lwm2m.sockets import Sockets
from overair.sim.lwm2m.steps import Address, Now
from overair.sim.lwm2m.tally import DeviceTruth, FleetSnapshot, Tally
from overair.sim.requests import Fetch
from overair.sim.running import FleetReport, RunningFleet, RunOptions, check_sizes


def server_address(url: str) -> Address:
    """Read ``coap://host:port``. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "coap" or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError(f"{url}: an LwM2M server is at coap://host or coap://host:port")
    return parts.hostname, parts.port or PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions(RunOptions[FleetSnapshot]):
    """What to run. ``url`` is the server's, such as ``coap://127.0.0.1:5683``."""

    url: str
    devices: tuple[Lwm2mDevice, ...]
    cells: Sequence[Cell] = ()
    behaviour: Behaviour = field(default_factory=Behaviour)
    ack_timeout_s: float = TIMINGS.ack_timeout
    becomes: Becomes = ""
    downloads: int = 64

    def __post_init__(self) -> None:
        server_address(self.url)
        check_sizes(len(self.devices), downloads=self.downloads)
        if not self.ack_timeout_s > 0:
            raise ValueError("ack_timeout_s is above 0")


class Fleet(RunningFleet[FleetSnapshot, DeviceTruth]):
    """A running fleet, between ``async with`` and its end."""

    def __init__(self, options: FleetOptions, clock: Clock) -> None:
        self._options = options
        tally = Tally()
        server = server_address(options.url)
        self._server = server
        self._devices = {
            sim.imei: Device(
                sim,
                server,
                behaviour=options.behaviour,
                cells=options.cells,
                tally=tally,
                seed=options.seed,
                becomes=options.becomes,
                timings=Timings(ack_timeout=options.ack_timeout_s),
            )
            for sim in options.devices
        }
        self._started: set[str] = set()
        self._ticker = Ticker[float](
            clock,
            self._wake,
            now=lambda: clock.now().timestamp(),
            until=lambda at: at - clock.now().timestamp(),
        )
        self._wires: Agenda[float] = Agenda()
        self._sockets = Sockets(self._hear)
        self._fetching: set[asyncio.Task[None]] = set()
        self._bell: asyncio.TimerHandle | None = None
        self._carrier: Carrier
        self._ticking: asyncio.Task[None]
        super().__init__(clock, self._devices, tally)

    async def _open(self, stack: AsyncExitStack) -> None:
        options = self._options
        Sockets.allow(len(self._devices))
        await self._sockets.find(self._server)
        stack.callback(self._close)
        self._carrier = await stack.enter_async_context(
            Carrier(agent="LwM2M", connections=1, downloads=options.downloads, tls=options.tls)
        )
        life, dice = self._now().life, Random(f"{options.seed}/start")
        for imei in self._devices:
            self._ticker.put(imei, life + dice.uniform(0.0, options.start_over_s))
        self._ticking = asyncio.create_task(self._ticker.run())
        self._ticking.add_done_callback(self.ended)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [self._ticking, *self._fetching]

    def _close(self) -> None:
        if self._bell is not None:
            self._bell.cancel()
        self._sockets.close()

    def switch(self, imei: str, *, on: bool) -> None:
        """Pull or put a device's plug, besides what its schedule does."""
        device = self._begun(imei)
        device.switch(self._now(), on=on)
        self._settle(device)

    def reach(self, imei: str, *, reached: bool) -> None:
        """Put a device into the network, or out of it, besides what its schedule does."""
        device = self._begun(imei)
        device.reach(self._now(), reached=reached)
        self._settle(device)

    def move(self, imei: str, cell: Cell) -> None:
        """Put a device into another cell, besides what its schedule does."""
        device = self._begun(imei)
        device.move(self._now(), cell)
        self._settle(device)

    # What happens to the devices

    def _now(self) -> Now:
        return Now(self.clock.now().timestamp(), asyncio.get_running_loop().time())

    def _begun(self, imei: str) -> Device:
        if imei not in self._started:
            self._wake(imei)
        return self._devices[imei]

    def _ring(self) -> None:
        """Wake whoever is due by the time of the wire."""
        self._bell = None
        for _ in range(AT_ONCE):
            imei = self._wires.take(self._now().wire)
            if imei is None:
                break
            self._wake(imei)
        self._set_bell()

    def _set_bell(self) -> None:
        at = self._wires.next_at()
        if self._bell is not None:
            if at is not None and self._bell.when() <= at:
                return
            self._bell.cancel()
        loop = asyncio.get_running_loop()
        self._bell = None if at is None else loop.call_at(at, self._guarded_ring)

    def _guarded_ring(self) -> None:
        with self._guarded():
            self._ring()

    def _wake(self, imei: str) -> None:
        device = self._devices[imei]
        if imei in self._started:
            device.handle_timer(self._now())
        else:
            self._started.add(imei)
            device.start(self._now())
        self._settle(device)

    def _hear(self, imei: str, channel: int, data: bytes) -> None:
        with self._guarded():
            device = self._devices[imei]
            device.receive(channel, data, self._now())
            self._settle(device)

    def _settle(self, device: Device) -> None:
        """Send what a device says, fetch what it wants, and set its timers."""
        imei = device.sim.imei
        for datagram in device.drain():
            self._sockets.send(imei, datagram)
        self._sockets.keep(imei, device.channels)
        fetch = device.take_fetch()
        if fetch is not None:
            task = asyncio.create_task(self._fetch(device, fetch))
            self._fetching.add(task)
            task.add_done_callback(self._fetching.discard)
            task.add_done_callback(self.ended)
        life, wire = device.wake_at
        self._ticker.put(imei, life)
        if self._wires.put(imei, wire):
            self._set_bell()

    async def _fetch(self, device: Device, fetch: Fetch) -> None:
        answer = await self._carrier.perform(fetch)
        device.fetched(fetch, answer, self._now())
        self._settle(device)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """What goes wrong in a callback of the loop has to be heard of as well."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it breaks the fleet
            self.breaks(error)


async def run_fleet(
    options: FleetOptions,
    clock: Clock,
    on_progress: Callable[[FleetSnapshot], None] | None = None,
    *,
    stop: asyncio.Event | None = None,
) -> FleetReport[FleetSnapshot, DeviceTruth]:
    """Run a fleet until ``stop`` is set, the time is over or ``stop_when`` says so."""
    return await Fleet(options, clock).run(options, on_progress, stop=stop)
