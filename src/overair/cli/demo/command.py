"""The command: builds server, fleets, listener and operator in one process, and lets the story run.

Everything is on loopback and in one directory. A signal ends it at any moment, and with it all that
it started: there are no processes besides this one.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import uvloop
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.live import Live

from overair import serving
from overair.app import Server
from overair.cli.demo import advice, cells, pushed
from overair.cli.demo import listener as callbacks
from overair.cli.demo.client import Login, Operator
from overair.cli.demo.ledger import versions
from overair.cli.demo.listener import Listener
from overair.cli.demo.outcome import Outcome, as_json, callback_disputes, print_outcome
from overair.cli.demo.pace import Pace, demand_per_s
from overair.cli.demo.picture import picture
from overair.cli.demo.slotted import SlottedChapter
from overair.cli.demo.story import Chapter, Story, first_day
from overair.cli.demo.upgrade import PushedChapter
from overair.cli.demo.world import (
    ACCOUNT,
    ALIAS,
    BAD_BATCH,
    KEY,
    ORDINARY,
    PASSWORD,
    SECRET,
    TO,
    USER,
    World,
    fleet_file,
    fresh_directory,
    make_world,
    settings_file,
    write_files,
    write_sdk,
)
from overair.cli.importing import import_file
from overair.cli.options import Installation, print_json
from overair.clock import FastClock, SystemClock
from overair.config import Settings, load_settings
from overair.core.credentials import fingerprint
from overair.ids import new_token
from overair.log import set_up_logging
from overair.sim.http.fleet import Fleet, FleetOptions
from overair.sim.http.profile import Behaviour
from overair.sim.http.roster import SimDevice
from overair.sim.http.tally import FleetSnapshot
from overair.sim.lwm2m.fleet import Fleet as CelledFleet
from overair.sim.omadm.fleet import Fleet as PushedFleet
from overair.sim.omadm.fleet import FleetOptions as PushedOptions
from overair.store import operators
from overair.store import verify as checks
from overair.store.callback_log import outbox_depth

FASTEST: Final = 40_000.0
MORNING: Final = timedelta(hours=8)
START_OVER_S: Final = 3600.0
DRAW_S: Final = 0.2
TOKEN_BYTES: Final = 32
DELIVERY_S: Final = 15.0
# Once the clock is the wall's, nobody has the patience for four check-ins a day.
PRESENT_S: Final = 10.0
PRESENT: Final = Behaviour(install_s=(2.0, 6.0), reboot_s=(1.0, 3.0))


def demo(
    *,
    data: Annotated[
        Path, Parameter(help="Directory for all of it; one that a demo made is made anew.")
    ] = Path("overair-demo"),
    http: Annotated[str, Parameter(help="Address and port of the server.")] = "127.0.0.1:8080",
    devices: Annotated[
        int,
        Parameter(
            help="Simulated devices that ask by themselves; some that are told to come are added.",
            validator=Number(gte=20, lte=100_000),
        ),
    ] = 200,
    seed: Annotated[int, Parameter(help="The same seed gives the same fates.")] = 1,
    fast: Annotated[
        float | None,
        Parameter(
            help=f"At most so many times as fast as the wall's clock; default {FASTEST:g},"
            " --no-fast: real time.",
            negative="--no-fast",
            validator=Number(gte=1),
        ),
    ] = FASTEST,
    exit_: Annotated[
        bool | None,
        Parameter(
            name="--exit",
            help="End after the report, or stay up. Default: stay up on a terminal.",
        ),
    ] = None,
    as_json: Annotated[
        bool, Parameter(name="--json", negative="", help="The outcome in JSON.")
    ] = False,
) -> int:
    """Run a pilot and a whole campaign over simulated devices, then stay up to be tried.

    Exit status 1: the reports, the devices, the callbacks and the recount do not tell the same.
    """
    stays = (sys.stdin.isatty() and not os.environ.get("CI")) if exit_ is None else not exit_
    with fresh_directory(data):
        world = make_world(devices, seed)
        write_files(world, data, http)
        # Only its own settings: the environment may speak of an installation that is no demo.
        settings = load_settings(file=settings_file(data), environment={})
        set_up_logging(settings.log_level, settings.log_format)
        serving.check_free(*settings.listen)
        show = Console(stderr=as_json)
        stage = Demo(world, settings, data, fast or 1.0, show, stays=stays, as_json=as_json)
        return uvloop.run(stage.run())


class Demo:
    """One run."""

    def __init__(
        self,
        world: World,
        settings: Settings,
        directory: Path,
        fastest: float,
        console: Console,
        *,
        stays: bool,
        as_json: bool,
    ) -> None:
        self._world = world
        self._settings = settings
        self._directory = directory
        self._fastest = fastest
        self._console = console
        self._stays = stays
        self._as_json = as_json
        self._wall = SystemClock()
        self._clock = FastClock(1.0, self._beginning())
        self._began = time.monotonic()
        self._first_updated_s: float | None = None
        self._stop = asyncio.Event()

    def _beginning(self) -> datetime:
        now = self._wall.now()
        if self._fastest <= 1.0:
            return now
        return datetime.combine(first_day(now.date()), datetime.min.time(), UTC) + MORNING

    @property
    def _base(self) -> str:
        return f"http://{self._settings.http}"

    async def run(self) -> int:
        """From the first line to the last; the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        server = Server(self._settings, clock=self._clock)
        async with serving.listening(server), callbacks.listening() as listener:
            self._say(f"overair serves at {self._base}; everything is kept in {self._directory}")
            await self._import(server)
            write_sdk(self._directory, self._base)
            login = Login(account=ACCOUNT, key=KEY, secret=SECRET, username=USER, password=PASSWORD)
            async with Operator(self._base, login) as operator:
                return await self._play(server, listener, operator)

    async def _import(self, server: Server) -> None:
        installation = Installation(settings=self._settings, db=server.db, clock=self._clock)
        imported = await import_file(installation, fleet_file(self._directory))
        made = ", ".join(f"{tally.created} {kind}" for kind, tally in imported.tallies.items())
        self._say(f"imported {fleet_file(self._directory)}: {made}")

    async def _play(self, server: Server, listener: Listener, operator: Operator) -> int:
        token = await self._token(server)
        options = cells.fleet_options(self._world.celled, TO, self._world.seed, START_OVER_S)
        celled = CelledFleet(options, self._clock)
        async with self._pushed_fleets(token) as told, celled:
            return await self._play_with(server, listener, operator, told, celled, token)

    async def _play_with(
        self,
        server: Server,
        listener: Listener,
        operator: Operator,
        told: list[tuple[str, PushedFleet]],
        celled: CelledFleet,
        token: str,
    ) -> int:
        async with self._fleets(self._cast(), present=self._fastest <= 1.0) as fleets:
            telling = asyncio.create_task(
                self._tell(server, listener, operator, fleets, told, celled)
            )
            outcome = await self._unless_stopped(telling)
            truths = {name: truth for _, f in fleets for name, truth in f.truths().items()}
        if outcome is None:
            self._say("stopped in the middle")
            return 130
        self._print(outcome)
        status = 0 if outcome.is_right else 1
        if self._stays:
            # The same devices, as they are now, in the present.
            cast = [
                (
                    title,
                    tuple(replace(d, version=truths[d.controller_id].version) for d in some),
                    PRESENT,
                )
                for title, some, _ in self._cast()
            ]
            async with self._fleets(cast, present=True):
                self._advise(operator, outcome, token)
                await self._stop.wait()
            self._say("stopped")
        return status

    async def _unless_stopped(self, telling: "asyncio.Task[Outcome]") -> Outcome | None:
        stop = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({telling, stop}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                return telling.result()
            return None
        finally:
            for task in (telling, stop):
                task.cancel()
            await asyncio.gather(telling, stop, return_exceptions=True)

    # The fleets ----------------------------------------------------------------------------------

    def _cast(self) -> list[tuple[str, tuple[SimDevice, ...], Behaviour]]:
        return [
            (f"{model.name}{title}", devices, behaviour)
            for model in self._world.models
            for title, devices, behaviour in (
                (f": {model.title}", model.ordinary, ORDINARY),
                (": bad flash", model.bad, BAD_BATCH),
            )
        ]

    @contextlib.asynccontextmanager
    async def _fleets(
        self, cast: list[tuple[str, tuple[SimDevice, ...], Behaviour]], *, present: bool
    ) -> AsyncIterator[list[tuple[str, Fleet]]]:
        async with contextlib.AsyncExitStack() as stack:
            fleets = []
            for title, devices, behaviour in cast:
                options = FleetOptions(
                    url=self._base,
                    tenant=ALIAS,
                    devices=devices,
                    behaviour=replace(behaviour, poll_interval_s=PRESENT_S)
                    if present
                    else behaviour,
                    seed=self._world.seed,
                    start_over_s=PRESENT_S if present else START_OVER_S,
                )
                fleets.append((title, await stack.enter_async_context(Fleet(options, self._clock))))
            yield fleets

    async def _token(self, server: Server) -> str:
        """The network's, which tells the server of devices that attach."""
        token = new_token(TOKEN_BYTES)
        await server.db.transact(
            operators.add, "demo-network", fingerprint(token), self._wall.now()
        )
        return token

    @contextlib.asynccontextmanager
    async def _pushed_fleets(self, token: str) -> AsyncIterator[list[tuple[str, PushedFleet]]]:
        """Those that are told to come: the same ones from the beginning to the very end."""
        async with contextlib.AsyncExitStack() as stack:
            fleets = []
            for group in self._world.pushed.groups:
                options = PushedOptions(
                    url=self._base,
                    devices=self._world.pushed.simulated(group),
                    network_token=token,
                    behaviour=group.behaviour,
                    seed=self._world.seed,
                    becomes=TO,
                    start_over_s=START_OVER_S,
                )
                fleet = await stack.enter_async_context(PushedFleet(options, self._clock))
                fleets.append((f"{pushed.MODEL}: told to come, {group.title}", fleet))
            yield fleets

    # The story -----------------------------------------------------------------------------------

    async def _tell(
        self,
        server: Server,
        listener: Listener,
        operator: Operator,
        fleets: list[tuple[str, Fleet]],
        told: list[tuple[str, PushedFleet]],
        celled: CelledFleet,
    ) -> Outcome:
        def seen() -> list[FleetSnapshot]:
            return [fleet.snapshot() for _, fleet in fleets]

        def demand() -> float:
            talking = cells.demand_per_s(celled.snapshot())
            return (
                talking
                + sum(map(demand_per_s, seen()))
                + sum(pushed.demand_per_s(fleet.snapshot(), fleet.asking) for _, fleet in told)
            )

        story = Story(
            world=self._world,
            operator=operator,
            listener=listener,
            fleets=[fleet for _, fleet in fleets],
            pushed=[fleet for _, fleet in told],
            celled=celled,
            clock=self._clock,
            pace=Pace(self._clock, self._fastest, demand),
            windows=self._fastest > 1.0,
            say=self._say,
        )

        def draw() -> Any:
            return picture(
                self._clock.now(),
                self._clock.rate,
                story.board.all_views,
                [(title, fleet.snapshot()) for title, fleet in fleets],
                [(title, fleet.snapshot()) for title, fleet in told],
                story.bars(),
                listener,
            )

        async with self._drawn(draw, seen):
            chapters, upgrade, slotted = await story.run(self._wall.now)
        return await self._conclude(server, listener, chapters, upgrade, slotted, story)

    @contextlib.asynccontextmanager
    async def _drawn(
        self, draw: Callable[[], Any], seen: Callable[[], list[FleetSnapshot]]
    ) -> AsyncIterator[None]:
        """Draw the picture while the block lasts, on a terminal; and note the first success."""
        live = (
            Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        )

        async def loop() -> None:
            while True:
                if self._first_updated_s is None and any(s.updated for s in seen()):
                    self._first_updated_s = time.monotonic() - self._began
                if live is not None:
                    live.update(draw(), refresh=True)
                await asyncio.sleep(DRAW_S)

        with live or contextlib.nullcontext():
            task = asyncio.create_task(loop())
            try:
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                if live is not None:
                    live.update(draw(), refresh=True)

    async def _conclude(
        self,
        server: Server,
        listener: Listener,
        chapters: list[Chapter],
        upgrade: PushedChapter,
        slotted: SlottedChapter,
        story: Story,
    ) -> Outcome:
        waiting = await _undelivered(server)
        results = await server.db.report(lambda tx: list(checks.verify(tx)))
        return Outcome(
            chapters=chapters,
            upgrade=upgrade,
            slotted=slotted,
            findings=[finding for _, finding in results if finding is not None],
            checked=len(results),
            callbacks=listener.received,
            undelivered=waiting,
            callback_disputes=callback_disputes(chapters, upgrade, slotted, listener),
            versions=dict(sorted(versions(story.truths().values()).items())),
            elapsed_s=time.monotonic() - self._began,
            first_updated_s=self._first_updated_s,
        )

    # What is printed -----------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self._console.print(
            f"[dim]{time.monotonic() - self._began:5.1f} s  {self._clock.now():%a %d %H:%M}[/dim]"
            f"  {text}",
            highlight=False,
            soft_wrap=True,
        )

    def _print(self, outcome: Outcome) -> None:
        if self._as_json:
            print_json(as_json(outcome))
        else:
            print_outcome(self._console, outcome)

    def _advise(self, operator: Operator, outcome: Outcome, token: str) -> None:
        console = self._console
        console.print("\n[bold]The server stays up. What to try next:[/bold]")
        today = self._clock.now().date()
        found = advice.topics(self._world, operator, outcome, self._directory, today, token)
        for topic in found:
            console.print(f"\n[cyan]{topic.title}[/cyan]", highlight=False)
            for line in topic.lines:
                # Whole, however wide the terminal: these are to be copied.
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        console.print("\n[bold]Ctrl-C ends it.[/bold]")


async def _undelivered(server: Server) -> int:
    """Wait for the callbacks; how many are still not delivered after a while."""
    for _ in range(round(DELIVERY_S / DRAW_S)):
        if not await server.db.report(outbox_depth):
            return 0
        await asyncio.sleep(DRAW_S)
    return await server.db.report(outbox_depth)
