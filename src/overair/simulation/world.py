"""The world of a scenario: its processes, devices, people and faults in one thread, until all is quiet.

First the scenario's steps and faults happen at their times;
then everybody gets what he needs (a working process, power, a network without weather), until every campaign
is over and its time of grace too. What must hold is checked at each commit, now and then as a whole, and at
the end (``invariants.py``).
"""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from overair.config import Limits, Lwm2m, Omadm, Settings, Slots
from overair.core.licenses import EVENT, MONTHLY
from overair.simulation.air import SERVER, Air, Lwm2mActor
from overair.simulation.carrier import SimulatedCarrier
from overair.simulation.clock import Pulse
from overair.simulation.devices import HttpActor, OmadmActor, Surroundings
from overair.simulation.disk import Disk, ProcessDiedError
from overair.simulation.judge import Judge
from overair.simulation.listeners import Listeners, SimulatedCourier
from overair.simulation.loop import VirtualLoop
from overair.simulation.net import BASE, Heard, Host, Network
from overair.simulation.operators import Ledger, Operator, subscribe
from overair.simulation.process import Incarnation
from overair.simulation.process import Surroundings as Place
from overair.simulation.scenario import (
    DAY_S,
    WEATHER,
    Action,
    Fault,
    Kind,
    Scenario,
    Step,
    Trouble,
)
from overair.simulation.template import (
    INSTALLATION_KEY,
    http_devices,
    lwm2m_devices,
    omadm_devices,
)
from overair.simulation.transcript import Transcript
from overair.store import witness
from overair.store.connection import SqliteTx, connect

Actor = HttpActor | OmadmActor | Lwm2mActor

DOWN_S: Final = 20.0  # from a crash to the next start, at the least
LOOK_S: Final = 6 * 3600.0  # between two looks at everything
QUIET_S: Final = DAY_S / 2  # after the last campaign's end, beside the grace
INSTALLS: Final = "installs"
# What the protocols' devices have different words for.
FATES: Final = {
    "falls back, and says so": "device falls back",
    "falls back, and says nothing": "device falls back",
    "falls back, and reports success": "device falls back",
    "falls back, and reports nothing": "device falls back",
    "installs, and reports nothing": "device loses its report",
    "installs, and loses the result": "device loses its report",
    "forgetful": "device loses its report",
    "accepts, and does nothing": "device silent",
}
UNFORESEEN: Final = "nothing is unforeseen"
LISTENING: Final = frozenset(
    {
        Trouble.LISTENER_FAILS,
        Trouble.LISTENER_HANGS,
        Trouble.LISTENER_SLOW,
        Trouble.LISTENER_ACCEPTS_UNHEARD,
    }
)


@dataclass
class World:
    """All of it."""

    scenario: Scenario
    loop: VirtualLoop
    directory: Path
    transcript: Transcript
    faults: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        scenario, loop = self.scenario, self.loop
        self.settings = _settings(scenario, self.directory)
        self.pulse = Pulse(loop, scenario.rules.nap_s)
        self.disk = Disk(loop, self._committed)
        self.network = Network(loop, self._hosts, self._count, self._failed, self._overhear)
        self.listeners = Listeners(loop, self.transcript)
        self.ledger = Ledger()
        around = Surroundings(loop, self.network, self.transcript, scenario.seed)
        self.air = Air(around, scenario.rules.cells)
        https = http_devices(scenario.numbers(Kind.HTTP))
        omadms = omadm_devices(scenario.numbers(Kind.OMADM))
        lwm2ms = lwm2m_devices(scenario.numbers(Kind.LWM2M))
        self.actors: dict[str, Actor] = {}
        for plan in scenario.devices:
            if plan.kind is Kind.HTTP:
                self.actors[plan.name] = HttpActor(plan, https[plan.number], around)
            elif plan.kind is Kind.OMADM:
                self.actors[plan.name] = OmadmActor(plan, omadms[plan.number], around)
            else:
                self.actors[plan.name] = Lwm2mActor(plan, lwm2ms[plan.number], self.air)
        imeis = {name: actor.imei for name, actor in self.actors.items()}
        self._notified = {
            actor.imei: actor for actor in self.actors.values() if isinstance(actor, OmadmActor)
        }
        self.operator = Operator(self.network, self.transcript, imeis, scenario.seed, self.ledger)
        self.processes: dict[str, Incarnation | None] = {}
        self._off: dict[str, timedelta] = {}
        self._back: dict[str, float] = {}  # when who is to die starts again
        self.place = Place(
            loop=loop,
            disk=self.disk,
            pulse=self.pulse,
            begin=scenario.begin,
            directory=self.directory,
            settings=self.settings,
            carrier=self._carrier,
            courier=lambda: SimulatedCourier(self.listeners),
            opener=self.air.opener,
            note=self.transcript.note,
        )
        self.judge = Judge(self.directory / "overair.db", self.settings, self.transcript)
        self.judge.set_two_phase(
            frozenset(self.actors[plan.name].imei for plan in scenario.devices if plan.two_phase)
        )
        self._last_death_s = 0.0
        self.dead: list[Incarnation] = []
        self._zones = {
            self.actors[plan.name].imei: plan.zone for plan in scenario.devices if plan.zone
        }
        if scenario.rules.device_time:
            self.judge.set_zones({imei: ZoneInfo(zone) for imei, zone in self._zones.items()})
        if self._zones:
            with closing(connect(str(self.directory / "overair.db"))) as connection:
                witness.place(SqliteTx(connection), self._zones)

    # What others ask of it -----------------------------------------------------------------------

    def _hosts(self) -> list[Any]:
        return [p for p in self.processes.values() if p is not None and p.ready]

    def _count(self, what: str) -> None:
        self.faults[str(what)] += 1

    def _failed(self, what: str) -> None:
        self.judge.find(UNFORESEEN, what)

    def _overhear(self, host: Host, method: str, url: str, body: bytes) -> Heard | None:
        return self.judge.overhear(host, method, url, body)

    def _carrier(self) -> SimulatedCarrier:
        return SimulatedCarrier(
            self.loop, self.network, self.transcript, self._notified.get, self.scenario.seed
        )

    def _committed(self, news: bool) -> None:
        if news:
            self.pulse.stir()
            self.judge.look()

    # Processes -----------------------------------------------------------------------------------

    def boot(self, name: str) -> None:
        """Start a process."""
        self.transcript.note(name, "starts")
        process = Incarnation(
            name,
            self.place,
            self._off.get(name, timedelta()),
            engine=int(name[1:]) < self.scenario.rules.engines,
        )
        process.on_death = lambda: self._died(name)
        self.processes[name] = process

    def _died(self, name: str) -> None:
        process = self.processes[name]
        assert process is not None, "only who lives dies"
        self.dead.append(process)
        self._last_death_s = self.loop.time()
        self.processes[name] = None
        self.faults[Trouble.CRASH.value] += 1
        # In nobody's name: the dead one's callbacks are not run.
        at = max(self._back.pop(name, 0.0), self.loop.time() + DOWN_S)
        self.loop.call_at(at, self.boot, name, context=contextvars.Context())

    # The scenario --------------------------------------------------------------------------------

    async def run(self) -> None:
        """All of the scenario, and what follows. Raises BrokenError."""
        scenario = self.scenario
        for number in range(scenario.rules.processes):
            self.boot(f"p{number}")
        for plan in scenario.devices:
            self.actors[plan.name].start(plan.start_s)
        self.network.set_weather([f for f in scenario.faults if f.trouble in WEATHER])
        self.listeners.faults = [f for f in scenario.faults if f.trouble in LISTENING]
        for place, fault in enumerate(scenario.faults):
            if fault.trouble not in WEATHER and fault.trouble not in LISTENING:
                self.loop.call_at(fault.at, self._strike, place, fault)
        tasks = [
            self.loop.create_task(self._step(f"{step.at}/{step.action}", step))
            for step in scenario.steps
        ]
        looking = self.loop.create_task(self._look())
        try:
            await self._until(scenario.hostile_until)
            if tasks:
                await asyncio.wait(tasks)
            for task in tasks:
                task.result()
            await self._calm()
        finally:
            looking.cancel()
        if looking.done():
            looking.result()  # it looks for ever, unless it found something
        self._check()
        await self.judge.at_the_end(self)

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - self.loop.time()))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._check()

    def _check(self) -> None:
        for actor in self.actors.values():
            if actor.died_of is not None:
                raise RuntimeError(f"{actor.name} broke") from actor.died_of
        self.judge.look_at_all()

    async def _step(self, place: str, step: Step) -> None:
        await self._until(step.at)
        if step.action is Action.SUBSCRIPTION:
            hosts = self._hosts()
            self.ledger.acts[step.action.value] += 1
            if hosts:
                terms = _terms(self.scenario)
                task = self.loop.create_task(
                    subscribe(hosts[0], step.number, terms, self.settings),
                    context=hosts[0].context.copy(),
                )
                await asyncio.wait([task], timeout=600.0)
            return
        await self.operator.carry_out(place, step)

    async def _calm(self) -> None:
        """No more faults: let everything come to its end."""
        for process in self.processes.values():
            if process is not None:
                process.doom = None
        while True:
            for actor in self.actors.values():
                if isinstance(actor, HttpActor) and not actor.is_on:
                    actor.start(0.0)
            ends_at = self.judge.last_end()
            grace = timedelta(seconds=self.settings.grace_s + QUIET_S)
            # Who was to die at a commit may not have come to one before.
            quiet_at = max(self.scenario.hostile_until, self._last_death_s) + QUIET_S
            left = quiet_at - self.loop.time()
            if ends_at is not None:
                left = max(left, (ends_at + grace - self.transcript.now()).total_seconds())
            if left <= 0:
                return
            await asyncio.sleep(min(left, DAY_S / 2) + 1.0)

    # Faults --------------------------------------------------------------------------------------

    def _strike(self, place: int, fault: Fault) -> None:
        def later(undo: Callable[..., object], *args: object) -> None:
            self.loop.call_at(max(fault.until, self.loop.time()), undo, *args)

        self.transcript.note("fault", f"{fault.trouble} {fault.who} {fault.when}".rstrip())
        match fault.trouble:
            case Trouble.CRASH:
                process = self.processes.get(fault.who)
                if process is None:
                    return
                self._back[fault.who] = fault.until
                if fault.when == "now":
                    process.die()
                else:
                    process.doom = (fault.when, fault.count)
            case Trouble.PAUSE:
                process = self.processes.get(fault.who)
                if process is not None and process.held is None:
                    self.faults[fault.trouble.value] += 1
                    process.pause()
                    later(process.resume)
            case Trouble.SLOW_DISK:
                self.faults[fault.trouble.value] += 1
                self.disk.commit_s = fault.rate
                later(setattr, self.disk, "commit_s", 0.0)
            case Trouble.FULL_DISK:
                self.faults[fault.trouble.value] += 1
                self.disk.full = True
                later(setattr, self.disk, "full", False)
            case Trouble.SKEW:
                actor = self.actors.get(fault.who)
                if actor is not None:
                    self.faults[fault.trouble.value] += 1
                    actor.set_clock(fault.rate)
                    later(actor.set_clock, 0.0)
            case Trouble.CLOCK:
                self._set_clock(fault.who, timedelta(seconds=fault.rate))
                later(self._set_clock, fault.who, timedelta())
            case Trouble.REBOOT | Trouble.OFF:
                actor = self.actors.get(fault.who)
                if actor is not None:
                    self.faults[fault.trouble.value] += 1
                    actor.stop()
                    later(self._switch_on, actor)
            case _:
                raise AssertionError(f"{fault.trouble} is not that kind of fault")

    def _set_clock(self, name: str, off: timedelta) -> None:
        if off:
            self.faults[Trouble.CLOCK.value] += 1
            self._off[name] = off
        else:
            self._off.pop(name, None)
        process = self.processes.get(name)
        if process is not None:
            process.clock.off = off

    def _switch_on(self, actor: Actor) -> None:
        if isinstance(actor, HttpActor) and actor.is_on:
            return
        actor.start(0.0)

    # What there was of it ------------------------------------------------------------------------

    def all_faults(self) -> Counter[str]:
        """Everything that went wrong, by kind: what was done to them, and what devices did themselves."""
        found = self.faults.copy()
        found.update({kind.value: times for kind, times in self.listeners.troubles.items()})
        found["lease lost"] += self.judge.leases_lost
        begin, end = self.scenario.begin, self.transcript.now()
        for zone in map(ZoneInfo, self._zones.values()):
            found["daylight saving"] += (
                begin.astimezone(zone).utcoffset() != end.astimezone(zone).utcoffset()
            )
        for actor in self.actors.values():
            for fate, times in actor.fates().items():
                if fate != INSTALLS:
                    found[FATES.get(fate, f"device {fate}")] += times
        return +found

    def all_acts(self) -> Counter[str]:
        """What operators did, by kind: each that was begun, and how campaigns were stopped."""
        found = self.ledger.acts.copy()
        found["cancel"] += self.judge.moves["cancelled"]
        found["abort"] += self.judge.moves["aborted"]
        return +found

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio has nobody to tell."""
        error = context.get("exception")
        if isinstance(error, ProcessDiedError):
            return
        self.errors.append(f"{context.get('message')}: {error!r}")


def _terms(scenario: Scenario) -> str:
    return f"{EVENT},{MONTHLY}" if scenario.rules.event_terms else MONTHLY


def _settings(scenario: Scenario, directory: Path) -> Settings:
    rules = scenario.rules
    return Settings(
        data=str(directory),
        secret_key=INSTALLATION_KEY,
        public_url=BASE,
        engine_interval_s=rules.nap_s,
        lease_s=rules.lease_s,
        active_poll_interval_s=rules.active_poll_s,
        poll_interval_s=rules.poll_s,
        retry_delay_s=rules.retry_delay_s,
        windows_in_device_time=rules.device_time,
        grace_s=rules.grace_s,
        callback_private_addresses=True,
        two_phase_user_agents=("rauc-hawkbit",),
        limits=Limits(
            max_attempts=rules.max_attempts,
            pilot_devices=rules.pilot_devices,
            sweep_devices=rules.sweep_devices,
        ),
        omadm=Omadm(requeue_push_s=rules.requeue_push_s),
        lwm2m=_lwm2m(scenario),
        slots=Slots(
            good=rules.cell_limit, fair=rules.cell_limit, poor=1, unknown_cell=rules.cell_limit
        ),
        metrics=False,
    )


def _lwm2m(scenario: Scenario) -> Lwm2m:
    if not any(device.kind is Kind.LWM2M for device in scenario.devices):
        return Lwm2m()
    return Lwm2m(
        coap="127.0.0.1:5683",
        no_sec=True,
        plain_download=True,
        public_coap=f"{SERVER[0]}:{SERVER[1]}",
    )
