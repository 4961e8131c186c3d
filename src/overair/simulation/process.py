"""A simulated process: the real server, with simulated surroundings, that may die, stop and start again."""

import asyncio
import contextvars
from asyncio import Handle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from overair.app import Server
from overair.callbacks import Courier
from overair.config import Settings
from overair.devices.lwm2m.udp import OpenSocket
from overair.push import Transport
from overair.simulation.clock import ProcessClock, Pulse
from overair.simulation.disk import (
    Disk,
    ProcessDiedError,
    SimulatedConnection,
    SimulatedHand,
    connector,
)
from overair.simulation.loop import PROCESS, VirtualLoop
from overair.simulation.net import Exchange
from overair.simulation.template import COST
from overair.store import StoreError
from overair.store.sqlite import SqliteDatabase

START_AGAIN_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all processes share."""

    loop: VirtualLoop
    disk: Disk
    pulse: Pulse
    begin: datetime
    directory: Path
    settings: Settings
    carrier: Callable[[], Transport]
    courier: Callable[[], Courier]
    opener: Callable[["Incarnation"], OpenSocket]
    note: Callable[[str, str], None]


class Incarnation:
    """One life of a process, from its start to its death."""

    def __init__(
        self, name: str, around: Surroundings, off: timedelta, *, engine: bool = True
    ) -> None:
        self.name = name
        self.alive = True
        self.ready = False
        self.held: list[Handle] | None = None
        self.dropped: list[Handle] = []
        self.exchanges: set[Exchange] = set()
        self.connections: list[SimulatedConnection] = []
        self.writer: SimulatedConnection | None = None
        self.doom: tuple[str, int] | None = None
        self.on_death: Callable[[], None] = lambda: None
        self._around = around
        self._settings = msgspec.structs.replace(around.settings, engine=engine)
        self.clock = ProcessClock(around.loop, around.begin, around.pulse)
        self.clock.off = off
        self.context = contextvars.copy_context()
        self.context.run(PROCESS.set, self)
        self.server: Server | None = None
        self.broken: BaseException | None = None
        self.context.copy().run(around.loop.create_task, self._live())

    async def _live(self) -> None:
        """Start, as whoever supervises it would have it: again, until it does."""
        around = self._around
        while True:
            try:
                server = Server(
                    self._settings,
                    clock=self.clock,
                    wall=self.clock,
                    database=SqliteDatabase(
                        around.directory / "overair.db",
                        self.clock,
                        connect=connector(around.disk, self),
                        hand=lambda: SimulatedHand(around.disk, self),
                    ),
                    carrier=around.carrier(),
                    courier=around.courier(),
                    open_socket=around.opener(self),
                    name=self.name,
                    cost=COST,
                )
                await server.start()
            except StoreError as error:
                around.note(self.name, f"does not start: {error}")
                await asyncio.sleep(START_AGAIN_S)
            else:
                self.server = server
                self.ready = True
                around.note(self.name, "serves")
                return

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        assert self.server is not None, "only who serves is asked"
        await self.server(scope, receive, send)

    # Its end -------------------------------------------------------------------------------------

    def may_die(self, when: str) -> None:
        """A commit comes, or is done: it may be the one at which this ends. Raises Crash."""
        if not self.alive:
            raise ProcessDiedError
        if self.doom is None or self.doom[0] != when:
            return
        count = self.doom[1] - 1
        self.doom = (when, count)
        if count <= 0:
            self._around.note(self.name, f"dies {when} a commit")
            self.die()
            raise ProcessDiedError

    def die(self) -> None:
        """From now on nothing of it happens."""
        if not self.alive:
            return
        self.alive = False
        self.ready = False
        self.dropped += self.held or ()
        self.held = None
        for connection in self.connections:
            connection.die()
        for exchange in self.exchanges:
            self._around.loop.call_soon(_break_off, exchange, context=contextvars.Context())
        self.on_death()

    def pause(self) -> None:
        """Stand still."""
        if self.held is None:
            self.held = []

    def resume(self) -> None:
        """Go on, as if no time had passed."""
        held, self.held = self.held, None
        if held and self.alive:
            self._around.loop.resume(held)


def _break_off(exchange: Exchange) -> None:
    exchange.end(whole=False)
