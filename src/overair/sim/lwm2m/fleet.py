"""Thousands of simulated LwM2M devices in one process, over UDP and HTTP, against any server.

Two timers for all of them (by the time of their lives, and of the wire), and a task only for downloads
over HTTP. Everything shared is bounded: connections, the rate at which devices start, what is remembered
of each.

Not in here: what a device does (``device``), printing.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from overair.clock import Clock
from overair.protocols.coap.numbers import PORT
from overair.protocols.coap.values import TIMINGS, Timings
from overair.protocols.lwm2m.objects import Cell
from overair.sim.lwm2m.device import Device
from overair.sim.lwm2m.intake import Becomes
from overair.sim.lwm2m.profile import Behaviour
from overair.sim.lwm2m.roster import Lwm2mDevice
from overair.sim.lwm2m.sockets import Sockets
from overair.sim.lwm2m.steps import Address, Now
from overair.sim.lwm2m.tally import DeviceTruth, FleetSnapshot, Tally
from overair.sim.omadm.agenda import Agenda
from overair.sim.omadm.carrier import Carrier
from overair.sim.omadm.steps import Fetch

# Timers that are handled before sockets have their turn.
_AT_ONCE = 50


def server_address(url: str) -> Address:
    """Read ``coap://host:port``. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "coap" or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError(f"{url}: an LwM2M server is at coap://host or coap://host:port")
    return parts.hostname, parts.port or PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """What to run. ``url`` is the server's, such as ``coap://127.0.0.1:5683``.

    Without ``stop_after_s`` (of the fleet's time) and ``stop_when`` a fleet runs until it is stopped.
    """

    url: str
    devices: tuple[Lwm2mDevice, ...]
    cells: Sequence[Cell] = ()
    behaviour: Behaviour = field(default_factory=Behaviour)
    ack_timeout_s: float = TIMINGS.ack_timeout
    seed: int = 0
    becomes: Becomes = ""
    downloads: int = 64
    start_over_s: float = 5.0
    stop_after_s: float | None = None
    stop_when: Callable[[FleetSnapshot], bool] | None = None
    progress_every_s: float = 0.5
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        server_address(self.url)
        if not self.devices:
            raise ValueError("a fleet has at least one device")
        if self.downloads < 1:
            raise ValueError("downloads are at least 1")
        if not self.ack_timeout_s > 0:
            raise ValueError("ack_timeout_s is above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReport:
    """What came of it: the last counters, and the truth about each device."""

    snapshot: FleetSnapshot
    truths: Mapping[str, DeviceTruth]
    elapsed_s: float


class Fleet:
    """A running fleet, between ``async with`` and its end."""

    def __init__(self, options: FleetOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._tally = Tally()
        server = server_address(options.url)
        self._server = server
        self._devices = {
            sim.imei: Device(
                sim,
                server,
                behaviour=options.behaviour,
                cells=options.cells,
                tally=self._tally,
                seed=options.seed,
                becomes=options.becomes,
                timings=Timings(ack_timeout=options.ack_timeout_s),
            )
            for sim in options.devices
        }
        self._started: set[str] = set()
        self._lives: Agenda[float] = Agenda()
        self._wires: Agenda[float] = Agenda()
        self._sockets = Sockets(self._hear)
        self._fetching: set[asyncio.Task[None]] = set()
        self._earlier = asyncio.Event()
        self._bell: asyncio.TimerHandle | None = None
        self._carrier: Carrier
        self._stack: AsyncExitStack
        self._ticker: asyncio.Task[None]
        self._broken: asyncio.Future[None]

    async def __aenter__(self) -> Self:
        options = self._options
        Sockets.allow(len(self._devices))
        await self._sockets.find(self._server)
        self._broken = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            stack.callback(self._sockets.close)
            self._carrier = await stack.enter_async_context(
                Carrier(connections=1, downloads=options.downloads, tls=options.tls)
            )
            self._stack = stack.pop_all()
        life, dice = self._now().life, Random(f"{options.seed}/start")
        for imei in self._devices:
            self._lives.put(imei, life + dice.uniform(0.0, options.start_over_s))
        self._ticker = asyncio.create_task(self._tick())
        self._ticker.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = [self._ticker, *self._fetching]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._bell is not None:
            self._bell.cancel()
        await self._stack.aclose()
        if self._broken.done() and (broken := self._broken.exception()) and kind is None:
            raise broken
        self._broken.cancel()

    def snapshot(self) -> FleetSnapshot:
        """The counters now."""
        return self._tally.snapshot(len(self._devices))

    def truth(self, imei: str) -> DeviceTruth:
        """One device as it is now."""
        return self._devices[imei].truth()

    def truths(self) -> dict[str, DeviceTruth]:
        """Every device as it is now."""
        return {imei: device.truth() for imei, device in self._devices.items()}

    async def watch(self, every_s: float) -> AsyncIterator[FleetSnapshot]:
        """The counters every so often, by the wall's time, for ever; raises if a device breaks."""
        while True:
            yield self.snapshot()
            await asyncio.wait({self._broken}, timeout=every_s)
            if self._broken.done():
                self._broken.result()

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
        return Now(self._clock.now().timestamp(), asyncio.get_running_loop().time())

    def _begun(self, imei: str) -> Device:
        if imei not in self._started:
            self._wake(imei)
        return self._devices[imei]

    async def _tick(self) -> None:
        """Wake whoever is due by the time of its life, for ever."""
        while True:
            self._earlier.clear()
            handled = 0
            while (imei := self._lives.take(self._now().life)) is not None:
                self._wake(imei)
                handled += 1
                if handled % _AT_ONCE == 0:
                    await asyncio.sleep(0)
            nap = asyncio.ensure_future(self._nap())
            changed = asyncio.ensure_future(self._earlier.wait())
            try:
                await asyncio.wait({nap, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                nap.cancel()
                changed.cancel()

    async def _nap(self) -> None:
        at = self._lives.next_at()
        if at is None:
            await self._earlier.wait()
            return
        await self._clock.sleep(at - self._now().life)

    def _ring(self) -> None:
        """Wake whoever is due by the time of the wire."""
        self._bell = None
        for _ in range(_AT_ONCE):
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
        with _Guard(self._broken):
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
        with _Guard(self._broken):
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
            task.add_done_callback(self._ended)
        life, wire = device.wake_at
        if self._lives.put(imei, life):
            self._earlier.set()
        if self._wires.put(imei, wire):
            self._set_bell()

    async def _fetch(self, device: Device, fetch: Fetch) -> None:
        answer = await self._carrier.perform(fetch)
        device.fetched(fetch, answer, self._now())
        self._settle(device)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A device that breaks is a bug, and is not to be overlooked."""
        if not task.cancelled() and (error := task.exception()) and not self._broken.done():
            self._broken.set_exception(error)


class _Guard:
    """What goes wrong in a callback of the loop has to be heard of as well."""

    def __init__(self, broken: "asyncio.Future[None]") -> None:
        self._broken = broken

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if isinstance(error, Exception):
            if not self._broken.done():
                self._broken.set_exception(error)
            return True
        return False


async def run_fleet(
    options: FleetOptions,
    clock: Clock,
    on_progress: Callable[[FleetSnapshot], None] | None = None,
    *,
    stop: asyncio.Event | None = None,
) -> FleetReport:
    """Run a fleet until ``stop`` is set, the time is over or ``stop_when`` says so."""
    began = clock.monotonic()
    async with Fleet(options, clock) as fleet:
        async for snapshot in fleet.watch(options.progress_every_s):
            if on_progress is not None:
                on_progress(snapshot)
            elapsed_s = clock.monotonic() - began
            if (
                (stop is not None and stop.is_set())
                or (options.stop_after_s is not None and elapsed_s >= options.stop_after_s)
                or (options.stop_when is not None and options.stop_when(snapshot))
            ):
                break
    return FleetReport(
        snapshot=fleet.snapshot(), truths=fleet.truths(), elapsed_s=clock.monotonic() - began
    )
