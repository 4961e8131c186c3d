"""Thousands of simulated HTTP devices in one process, against any DDI server.

One task per device drives it: step, carry out, reply. Everything shared is bounded: connections,
the rate at which devices start, what is remembered per device. A server that goes away is polled
again with growing pauses; reports that it has not acknowledged are kept and sent again.

Not in here: what a device does (``device``), what fleets of any protocol have in common (``running``).
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random

from overair.clock import Clock
from overair.protocols.ddi.client import base_url
from overair.sim.http.device import Device
from overair.sim.http.profile import Behaviour
from overair.sim.http.roster import SimDevice
from overair.sim.http.tally import DeviceTruth, FleetSnapshot, Tally
from overair.sim.http.transport import Link, Pools
from overair.sim.running import FleetReport, RunningFleet, RunOptions, check_sizes, check_url

_AGENT = "overair-sim/1"
# The server may take devices with this name for two-phase ones (http-ddi 7).
_TWO_PHASE_AGENT = "rauc-hawkbit-c-agent/1.4 (overair-sim/1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions(RunOptions[FleetSnapshot]):
    """What to run. ``url`` is the server's base URL, before the tenant."""

    url: str
    devices: tuple[SimDevice, ...]
    tenant: str = "default"
    gateway_token: str | None = None
    behaviour: Behaviour = field(default_factory=Behaviour)
    connections: int = 64
    downloads: int = 64

    def __post_init__(self) -> None:
        check_url(self.url)
        check_sizes(len(self.devices), connections=self.connections, downloads=self.downloads)
        for device in self.devices:
            if device.token is None and self.gateway_token is None:
                raise ValueError(f"{device.controller_id} has no token, and there is no gateway's")


class Fleet(RunningFleet[FleetSnapshot, DeviceTruth]):
    """A running fleet, between ``async with`` and its end."""

    def __init__(self, options: FleetOptions, clock: Clock) -> None:
        self._options = options
        tally = Tally()
        self._pools = Pools(
            clock,
            connections=options.connections,
            downloads=options.downloads,
            tls=options.tls,
        )
        dice = Random(f"{options.seed}/start")
        self._devices = {
            sim.controller_id: Device(
                sim,
                base_url(options.url, options.tenant, sim.controller_id),
                behaviour=options.behaviour,
                tally=tally,
                seed=options.seed,
                start_after_s=dice.uniform(0.0, options.start_over_s),
            )
            for sim in options.devices
        }
        self._driving: list[asyncio.Task[None]] = []
        super().__init__(clock, self._devices, tally)

    async def _open(self, stack: AsyncExitStack) -> None:
        await stack.enter_async_context(self._pools)
        for device in self._devices.values():
            task = asyncio.create_task(self._drive(device))
            task.add_done_callback(self.ended)
            self._driving.append(task)

    def _tasks(self) -> list[asyncio.Task[None]]:
        return self._driving

    async def _drive(self, device: Device) -> None:
        link = Link(self._pools, self._headers(device.sim))
        life = device.run()
        try:
            step = next(life)
            while True:
                step = life.send(await link.perform(step))
        finally:
            link.close()

    def _headers(self, sim: SimDevice) -> dict[str, str]:
        if sim.token is not None:
            credentials = f"TargetToken {sim.token}"
        else:
            credentials = f"GatewayToken {self._options.gateway_token}"
        return {
            "Authorization": credentials,
            "User-Agent": _TWO_PHASE_AGENT if sim.two_phase else _AGENT,
        }


async def run_fleet(
    options: FleetOptions,
    clock: Clock,
    on_progress: Callable[[FleetSnapshot], None] | None = None,
    *,
    stop: asyncio.Event | None = None,
) -> FleetReport[FleetSnapshot, DeviceTruth]:
    """Run a fleet until ``stop`` is set, the time is over or ``stop_when`` says so."""
    return await Fleet(options, clock).run(options, on_progress, stop=stop)
