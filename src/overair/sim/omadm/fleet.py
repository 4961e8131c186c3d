"""Thousands of simulated OMA-DM devices in one process, over HTTP and UDP, against any server.

One timer for all of them (``agenda``), a task only for those that are asking for something. Everything
shared is bounded: connections, the rate at which devices start, what is remembered per device.

Not in here: what a device does (``device``), printing.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from types import TracebackType
from typing import Self

from overair.clock import Clock
from overair.sim.omadm.agenda import Agenda
from overair.sim.omadm.carrier import Carrier
from overair.sim.omadm.device import Device
from overair.sim.omadm.listener import Listener
from overair.sim.omadm.network import Network
from overair.sim.omadm.profile import Behaviour
from overair.sim.omadm.roster import OmadmDevice
from overair.sim.omadm.steps import Answer, Attach, Step
from overair.sim.omadm.tally import DeviceTruth, FleetSnapshot, Tally

_PATH = "/dm"
# Timers that are handled before sockets have their turn.
_AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """What to run. ``url`` is the server's base URL; devices have their account at ``url`` + ``/dm``.

    With ``network_token``, an operator's, the server is told of each attach. Without ``stop_after_s`` (of
    the fleet's time) and ``stop_when`` a fleet runs until it is stopped.
    """

    url: str
    devices: tuple[OmadmDevice, ...]
    server_id: str = "overair"
    network_token: str | None = None
    behaviour: Behaviour = field(default_factory=Behaviour)
    seed: int = 0
    becomes: str = ""
    listens: bool = True
    connections: int = 64
    downloads: int = 64
    start_over_s: float = 5.0
    stop_after_s: float | None = None
    stop_when: Callable[[FleetSnapshot], bool] | None = None
    progress_every_s: float = 0.5
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"{self.url}: a base URL begins with http:// or https://")
        if not self.devices:
            raise ValueError("a fleet has at least one device")
        if self.connections < 1 or self.downloads < 1:
            raise ValueError("connections and downloads are at least 1")
        addresses = [device.address for device in self.devices if device.address is not None]
        if self.listens and len(set(addresses)) < len(addresses):
            raise ValueError("two devices have the same address for notifications")


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
        base = options.url.rstrip("/")
        self._devices = {
            sim.imei: Device(
                sim,
                base if base.endswith(_PATH) else base + _PATH,
                server_id=options.server_id,
                behaviour=options.behaviour,
                tally=self._tally,
                seed=options.seed,
                becomes=options.becomes,
            )
            for sim in options.devices
        }
        self._agenda: Agenda[datetime] = Agenda()
        self._started: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._earlier = asyncio.Event()
        self._network: Network | None = None
        self._carrier: Carrier
        self._stack: AsyncExitStack
        self._ticker: asyncio.Task[None]
        self._broken: asyncio.Future[None]

    async def __aenter__(self) -> Self:
        options = self._options
        self._broken = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            self._carrier = await stack.enter_async_context(
                Carrier(
                    connections=options.connections, downloads=options.downloads, tls=options.tls
                )
            )
            if options.network_token is not None:
                self._network = await stack.enter_async_context(
                    Network(
                        options.url.removesuffix(_PATH),
                        options.network_token,
                        wrong=self._wrong,
                        tls=options.tls,
                    )
                )
            if options.listens:
                names = {
                    device.address: device.imei
                    for device in options.devices
                    if device.address is not None
                }
                await stack.enter_async_context(Listener(names, self._hear))
            self._stack = stack.pop_all()
        now, dice = self._clock.now(), Random(f"{options.seed}/start")
        for imei in self._devices:
            self._agenda.put(imei, now + timedelta(seconds=dice.uniform(0, options.start_over_s)))
        self._ticker = asyncio.create_task(self._tick())
        self._ticker.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = [self._ticker, *self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stack.aclose()
        if self._broken.done() and (broken := self._broken.exception()) and kind is None:
            raise broken
        self._broken.cancel()

    def snapshot(self) -> FleetSnapshot:
        """The counters now."""
        return self._tally.snapshot(len(self._devices))

    @property
    def asking(self) -> int:
        """How many devices wait for an answer at this moment."""
        return len(self._tasks)

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
        device = self._devices[imei]
        if imei not in self._started:
            self._wake(device)
        self._follow(device, device.switch(self._clock.now(), on=on))

    # --- what happens to the devices -----------------------------------------------------------

    async def _tick(self) -> None:
        """Wake whoever is due, for ever."""
        while True:
            self._earlier.clear()
            handled = 0
            while (imei := self._agenda.take(self._clock.now())) is not None:
                self._wake(self._devices[imei])
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
        at = self._agenda.next_at()
        if at is None:
            await self._earlier.wait()
            return
        await self._clock.sleep((at - self._clock.now()).total_seconds())

    def _wake(self, device: Device) -> None:
        now = self._clock.now()
        if device.sim.imei in self._started:
            step = device.handle_timer(now)
        else:
            self._started.add(device.sim.imei)
            step = device.start(now)
        self._follow(device, step)

    def _hear(self, imei: str, payload: bytes) -> None:
        device = self._devices[imei]
        self._follow(device, device.receive_push(payload, self._clock.now()))

    def _follow(self, device: Device, step: Step | None) -> None:
        """Do what a device asks for, and set its timer."""
        imei = device.sim.imei
        running = self._tasks.get(imei)
        if running is not None and (step is not None or not device.is_on):
            # It has no power any more, or has been without: nobody waits for that answer.
            running.cancel()
        if step is not None:
            task = asyncio.create_task(self._drive(device, step))
            self._tasks[imei] = task
            task.add_done_callback(self._ended)
        self._arm(device)

    async def _drive(self, device: Device, step: Step | None) -> None:
        imei = device.sim.imei
        task = asyncio.current_task()
        try:
            while step is not None:
                answer = await self._perform(step, device.sim)
                step = device.receive(step, answer, self._clock.now())
                self._arm(device)
        finally:
            if self._tasks.get(imei) is task:
                del self._tasks[imei]

    async def _perform(self, step: Step, sim: OmadmDevice) -> Answer:
        if isinstance(step, Attach):
            if self._network is not None:
                self._network.attached(step.imei, sim.address if self._options.listens else None)
            return Answer()
        return await self._carrier.perform(step)

    def _arm(self, device: Device) -> None:
        if device.sim.imei not in self._started:
            # It waits for its start, whatever is sent to it before.
            return
        if self._agenda.put(device.sim.imei, device.wake_at):
            self._earlier.set()

    def _wrong(self, text: str) -> None:
        self._tally.errors += 1
        self._tally.last_error = text

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A device that breaks is a bug, and is not to be overlooked."""
        if not task.cancelled() and (error := task.exception()) and not self._broken.done():
            self._broken.set_exception(error)


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
