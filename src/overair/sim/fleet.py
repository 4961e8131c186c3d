"""Thousands of simulated devices in one process, against any DDI server.

One task per device drives it: step, carry out, reply. Everything shared is bounded: connections,
the rate at which devices start, what is remembered per device. A server that goes away is polled
again with growing pauses; reports that it has not acknowledged are kept and sent again.

Not in here: what a device does (``device``), printing.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Self

from overair.clock import Clock
from overair.protocols.ddi.client import base_url
from overair.sim.device import Device
from overair.sim.profile import Behaviour
from overair.sim.roster import SimDevice
from overair.sim.tally import DeviceTruth, FleetSnapshot, Tally
from overair.sim.transport import Link, Pools

_AGENT = "overair-sim/1"
# The server may take devices with this name for two-phase ones (http-ddi 7).
_TWO_PHASE_AGENT = "rauc-hawkbit-c-agent/1.4 (overair-sim/1)"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """What to run. ``url`` is the server's base URL, before the tenant.

    Without ``stop_after_s`` (of the fleet's time) and ``stop_when`` a fleet runs until it is stopped.
    """

    url: str
    devices: tuple[SimDevice, ...]
    tenant: str = "default"
    gateway_token: str | None = None
    behaviour: Behaviour = field(default_factory=Behaviour)
    seed: int = 0
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
        for device in self.devices:
            if device.token is None and self.gateway_token is None:
                raise ValueError(f"{device.controller_id} has no token, and there is no gateway's")


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
        self._tally = Tally()
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
                tally=self._tally,
                seed=options.seed,
                start_after_s=dice.uniform(0.0, options.start_over_s),
            )
            for sim in options.devices
        }
        self._tasks: list[asyncio.Task[None]] = []
        self._broken: asyncio.Future[None]

    async def __aenter__(self) -> Self:
        self._broken = asyncio.get_running_loop().create_future()
        await self._pools.__aenter__()
        for device in self._devices.values():
            task = asyncio.create_task(self._drive(device))
            task.add_done_callback(self._ended)
            self._tasks.append(task)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pools.__aexit__(kind, error, trace)
        if self._broken.done() and (broken := self._broken.exception()) and kind is None:
            raise broken
        self._broken.cancel()

    def snapshot(self) -> FleetSnapshot:
        """The counters now."""
        return self._tally.snapshot(len(self._devices))

    def truth(self, controller_id: str) -> DeviceTruth:
        """One device as it is now."""
        return self._devices[controller_id].truth()

    def truths(self) -> dict[str, DeviceTruth]:
        """Every device as it is now."""
        return {name: device.truth() for name, device in self._devices.items()}

    async def watch(self, every_s: float) -> AsyncIterator[FleetSnapshot]:
        """The counters every so often, by the wall's time, for ever; raises if a device breaks."""
        while True:
            yield self.snapshot()
            await asyncio.wait({self._broken}, timeout=every_s)
            if self._broken.done():
                self._broken.result()

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

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A device lives for ever; one that ends by itself is a bug, and is not to be overlooked."""
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
