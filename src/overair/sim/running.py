"""What running a fleet has in common, whatever its devices speak.

A fleet is open between ``async with`` and its end. A device that breaks is a bug, and is not to be
overlooked: it breaks the fleet. Not in here: what drives the devices (each protocol's ``fleet``), printing.
"""

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from overair.clock import Clock

Snapshot = TypeVar("Snapshot")
Truth = TypeVar("Truth")
SnapshotOut = TypeVar("SnapshotOut", covariant=True)
TruthOut = TypeVar("TruthOut", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(Generic[Snapshot]):
    """How to run a fleet, whatever it speaks.

    Without ``stop_after_s`` (of the fleet's time) and ``stop_when`` it runs until it is stopped.
    ``start_over_s``: seconds over which the devices begin, as the dice of ``seed`` have it.
    """

    seed: int = 0
    start_over_s: float = 5.0
    stop_after_s: float | None = None
    stop_when: Callable[[Snapshot], bool] | None = None
    progress_every_s: float = 0.5
    tls: ssl.SSLContext | None = None


def check_url(url: str) -> None:
    """Raise ValueError if this is no server's base URL."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url}: a base URL begins with http:// or https://")


def check_sizes(devices: int, **numbers: int) -> None:
    """Raise ValueError if there are no devices, or too little of what they share."""
    if not devices:
        raise ValueError("a fleet has at least one device")
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} are at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReport(Generic[Snapshot, Truth]):
    """What came of it: the last counters, and the truth about each device."""

    snapshot: Snapshot
    truths: Mapping[str, Truth]
    elapsed_s: float


class _Device(Protocol[TruthOut]):
    def truth(self) -> TruthOut: ...


class _Tally(Protocol[SnapshotOut]):
    def snapshot(self, devices: int) -> SnapshotOut: ...


class RunningFleet(ABC, Generic[Snapshot, Truth]):
    """A fleet between ``async with`` and its end."""

    def __init__(
        self,
        clock: Clock,
        devices: Mapping[str, _Device[Truth]],
        tally: _Tally[Snapshot],
    ) -> None:
        self.clock = clock
        self._all = devices
        self._counters = tally
        self._stack: AsyncExitStack
        self._broken: asyncio.Future[None]

    @abstractmethod
    async def _open(self, stack: AsyncExitStack) -> None:
        """Let the devices begin; what is put on the stack is closed when they have ended."""

    @abstractmethod
    def _tasks(self) -> Iterable["asyncio.Task[None]"]:
        """What drives the devices."""

    async def __aenter__(self) -> Self:
        self._broken = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            await self._open(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = list(self._tasks())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stack.aclose()
        if self._broken.done() and (broken := self._broken.exception()) and kind is None:
            raise broken
        self._broken.cancel()

    def snapshot(self) -> Snapshot:
        """The counters now."""
        return self._counters.snapshot(len(self._all))

    def truth(self, name: str) -> Truth:
        """One device as it is now."""
        return self._all[name].truth()

    def truths(self) -> dict[str, Truth]:
        """Every device as it is now."""
        return {name: device.truth() for name, device in self._all.items()}

    async def watch(self, every_s: float) -> AsyncIterator[Snapshot]:
        """The counters every so often, by the wall's time, for ever; raises if a device breaks."""
        while True:
            yield self.snapshot()
            await asyncio.wait({self._broken}, timeout=every_s)
            if self._broken.done():
                self._broken.result()

    async def run(
        self,
        options: RunOptions[Snapshot],
        on_progress: Callable[[Snapshot], None] | None = None,
        *,
        stop: asyncio.Event | None = None,
    ) -> FleetReport[Snapshot, Truth]:
        """Open it, and run it until ``stop`` is set, the time is over or ``stop_when`` says so."""
        began = self.clock.monotonic()
        async with self:
            async for snapshot in self.watch(options.progress_every_s):
                if on_progress is not None:
                    on_progress(snapshot)
                elapsed_s = self.clock.monotonic() - began
                if (
                    (stop is not None and stop.is_set())
                    or (options.stop_after_s is not None and elapsed_s >= options.stop_after_s)
                    or (options.stop_when is not None and options.stop_when(snapshot))
                ):
                    break
        return FleetReport(
            snapshot=self.snapshot(),
            truths=self.truths(),
            elapsed_s=self.clock.monotonic() - began,
        )

    def breaks(self, error: BaseException | None) -> None:
        """Let the fleet end with what went wrong in a device, if anything did."""
        if error is not None and not self._broken.done():
            self._broken.set_exception(error)

    def ended(self, task: "asyncio.Task[None]") -> None:
        """Hear of the end of a task that drives a device."""
        if not task.cancelled():
            self.breaks(task.exception())
