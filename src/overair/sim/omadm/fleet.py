"""Thousands of simulated OMA-DM devices in one process, over HTTP and UDP, against any server.

One timer for all of them, a task only for those that are asking for something. Everything
shared is bounded: connections, the rate at which devices start, what is remembered per device.

Not in here: what a device does (``device``), what fleets of any protocol have in common (``running``).
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from overair.clock import Clock
from overair.sim.agenda import Ticker
from overair.sim.carrier import Carrier
from overair.sim.omadm.device import Device
from overair.sim.omadm.listener import Listener
from overair.sim.omadm.network import Network
from overair.sim.omadm.profile import Behaviour
from overair.sim.omadm.roster import OmadmDevice
from overair.sim.omadm.steps import Attach, Step
from overair.sim.omadm.tally import DeviceTruth, FleetSnapshot, Tally
from overair.sim.requests import Answer
from overair.sim.running import FleetReport, RunningFleet, RunOptions, check_sizes, check_url

_PATH = "/dm"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions(RunOptions[FleetSnapshot]):
    """What to run. ``url`` is the server's base URL; devices have their account at ``url`` + ``/dm``.

    With ``network_token``, an operator's, the server is told of each attach.
    """

    url: str
    devices: tuple[OmadmDevice, ...]
    server_id: str = "overair"
    network_token: str | None = None
    behaviour: Behaviour = field(default_factory=Behaviour)
    becomes: str = ""
    listens: bool = True
    connections: int = 64
    downloads: int = 64

    def __post_init__(self) -> None:
        check_url(self.url)
        check_sizes(len(self.devices), connections=self.connections, downloads=self.downloads)
        addresses = [device.address for device in self.devices if device.address is not None]
        if self.listens and len(set(addresses)) < len(addresses):
            raise ValueError("two devices have the same address for notifications")


class Fleet(RunningFleet[FleetSnapshot, DeviceTruth]):
    """A running fleet, between ``async with`` and its end."""

    def __init__(self, options: FleetOptions, clock: Clock) -> None:
        self._options = options
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
        self._ticker = Ticker[datetime](
            clock,
            lambda imei: self._wake(self._devices[imei]),
            now=clock.now,
            until=lambda at: (at - clock.now()).total_seconds(),
        )
        self._started: set[str] = set()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._network: Network | None = None
        self._carrier: Carrier
        self._ticking: asyncio.Task[None]
        super().__init__(clock, self._devices, self._tally)

    async def _open(self, stack: AsyncExitStack) -> None:
        options = self._options
        self._carrier = await stack.enter_async_context(
            Carrier(
                agent="OMA-DM",
                connections=options.connections,
                downloads=options.downloads,
                tls=options.tls,
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
        now, dice = self.clock.now(), Random(f"{options.seed}/start")
        for imei in self._devices:
            self._ticker.put(imei, now + timedelta(seconds=dice.uniform(0, options.start_over_s)))
        self._ticking = asyncio.create_task(self._ticker.run())
        self._ticking.add_done_callback(self.ended)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return [self._ticking, *self._asking.values()]

    @property
    def asking(self) -> int:
        """How many devices wait for an answer at this moment."""
        return len(self._asking)

    def switch(self, imei: str, *, on: bool) -> None:
        """Pull or put a device's plug, besides what its schedule does."""
        device = self._devices[imei]
        if imei not in self._started:
            self._wake(device)
        self._follow(device, device.switch(self.clock.now(), on=on))

    # --- what happens to the devices -----------------------------------------------------------

    def _wake(self, device: Device) -> None:
        now = self.clock.now()
        if device.sim.imei in self._started:
            step = device.handle_timer(now)
        else:
            self._started.add(device.sim.imei)
            step = device.start(now)
        self._follow(device, step)

    def _hear(self, imei: str, payload: bytes) -> None:
        device = self._devices[imei]
        self._follow(device, device.receive_push(payload, self.clock.now()))

    def _follow(self, device: Device, step: Step | None) -> None:
        """Do what a device asks for, and set its timer."""
        imei = device.sim.imei
        running = self._asking.get(imei)
        if running is not None and (step is not None or not device.is_on):
            # It has no power any more, or has been without: nobody waits for that answer.
            running.cancel()
        if step is not None:
            task = asyncio.create_task(self._drive(device, step))
            self._asking[imei] = task
            task.add_done_callback(self.ended)
        self._arm(device)

    async def _drive(self, device: Device, step: Step | None) -> None:
        imei = device.sim.imei
        task = asyncio.current_task()
        try:
            while step is not None:
                answer = await self._perform(step, device.sim)
                step = device.receive(step, answer, self.clock.now())
                self._arm(device)
        finally:
            if self._asking.get(imei) is task:
                del self._asking[imei]

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
        self._ticker.put(device.sim.imei, device.wake_at)

    def _wrong(self, text: str) -> None:
        self._tally.errors += 1
        self._tally.last_error = text


async def run_fleet(
    options: FleetOptions,
    clock: Clock,
    on_progress: Callable[[FleetSnapshot], None] | None = None,
    *,
    stop: asyncio.Event | None = None,
) -> FleetReport[FleetSnapshot, DeviceTruth]:
    """Run a fleet until ``stop`` is set, the time is over or ``stop_when`` says so."""
    return await Fleet(options, clock).run(options, on_progress, stop=stop)
