"""LwM2M devices and their datagrams: plain CoAP, through simulated air.

Datagrams take a moment each way; the weather loses them, repeats them and holds them up, so that they
come in another order. A server process has the port from its start to its death; what is sent to nobody's
port is gone.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, replace
from itertools import count
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

from overair.devices.lwm2m.udp import DatagramSocket, OnDatagrams
from overair.sim.lwm2m.device import Device
from overair.sim.lwm2m.profile import Behaviour
from overair.sim.lwm2m.roster import Lwm2mDevice, generate_cells
from overair.sim.lwm2m.steps import Now
from overair.sim.requests import Answer, Fetch
from overair.simulation.devices import Surroundings, as_answer
from overair.simulation.net import BASE, REORDERED, NoAnswerError
from overair.simulation.process import Incarnation
from overair.simulation.scenario import SimulatedDevice, Trouble
from overair.simulation.template import VERSIONS

SERVER: Final = ("fota.test", 5683)
LATENCY_S: Final = 0.03
A_HAIR_S: Final = 1e-6

CAREFUL: Final = Behaviour(install_s=(30.0, 600.0))
CLUMSY: Final = replace(
    CAREFUL,
    download_failure=0.1,
    corruption=0.05,
    install_failure=0.1,
    fallback=0.05,
    silent_fallback=0.05,
    lost_result=0.05,
    hang=0.05,
    deferral=0.05,
    early_restart=0.05,
    cut=0.1,
    odd=0.3,
)


class ServerSocket:
    """A process's end of the air (``devices.lwm2m.udp.DatagramSocket``)."""

    def __init__(self, air: "Air", process: Incarnation, on_datagrams: OnDatagrams) -> None:
        self.address: Any = SERVER
        self._air = air
        self._on_datagrams = on_datagrams
        self.process = process

    def start(self) -> None:
        self._air.socket = self

    def close(self) -> None:
        if self._air.socket is self:
            self._air.socket = None

    def send(self, datagram: bytes, address: Any) -> None:
        self._air.to_device(address[0], address[1], datagram)

    def hear(self, datagram: bytes, address: Any) -> None:
        """A datagram arrived; called in the process's own name."""
        self._on_datagrams([(datagram, address)])


@dataclass
class Latest:
    """The latest datagram of those that arrived, by the order in which they were sent."""

    number: int = -1


class Air:
    """What is between the server and the devices."""

    def __init__(self, around: Surroundings, cells: int) -> None:
        self.around = around
        self.cells = generate_cells(cells)
        self.socket: ServerSocket | None = None
        self._actors: dict[str, Lwm2mActor] = {}
        self._down = Random(f"{around.seed}/air")
        self._numbers = count()

    def add(self, actor: "Lwm2mActor") -> None:
        self._actors[actor.imei] = actor

    def opener(self, process: Incarnation) -> Callable[[str, int, OnDatagrams], DatagramSocket]:
        """How a process has its port."""
        return lambda _host, _port, on_datagrams: ServerSocket(self, process, on_datagrams)

    def to_device(self, imei: str, channel: int, data: bytes) -> None:
        """Send, from the server."""
        actor = self._actors.get(imei)
        if actor is not None:
            number = next(self._numbers)
            for delay_s in self._delays(actor.name, self._down):
                # In nobody's name: it is under way, whatever becomes of who sent it.
                self.around.loop.call_later(
                    delay_s, self._reach, actor, channel, data, number, context=Context()
                )

    def _reach(self, actor: "Lwm2mActor", channel: int, data: bytes, number: int) -> None:
        self._compare(actor.down, number)
        actor.hear(channel, data)

    def to_server(self, actor: "Lwm2mActor", channel: int, data: bytes) -> None:
        """Send, from a device."""
        number = next(self._numbers)
        for delay_s in self._delays(actor.name, actor.dice):
            self.around.loop.call_later(
                delay_s, self._arrive, actor, (actor.imei, channel), data, number
            )

    def _compare(self, latest: "Latest", number: int) -> None:
        """Notice that one overtook another."""
        if number < latest.number:
            self.around.network.count(REORDERED)
        else:
            latest.number = number

    def _arrive(self, actor: "Lwm2mActor", address: Any, data: bytes, number: int) -> None:
        self._compare(actor.up, number)
        socket = self.socket
        if socket is not None and socket.process.alive:
            self.around.loop.call_soon(
                socket.hear, data, address, context=socket.process.context.copy()
            )

    def _delays(self, who: str, dice: Random) -> list[float]:
        """When it arrives, each time that it does."""
        strikes = self.around.network.strikes
        if strikes(Trouble.LOSS, dice, who):
            return []
        found = [LATENCY_S * (0.5 + dice.random())]
        if strikes(Trouble.DUPLICATE, dice, who):
            found.append(dice.choice((0.05, 2.0)))
        if strikes(Trouble.DELAY, dice, who):
            found = [seconds + dice.uniform(0.0, 8.0) for seconds in found]
        return found


class Lwm2mActor:
    """A device over LwM2M."""

    def __init__(self, plan: SimulatedDevice, sim: Lwm2mDevice, air: Air) -> None:
        around = air.around
        self.plan = plan
        self.name = plan.name
        self.imei = sim.imei
        self.dice = Random(f"{around.seed}/{plan.name}/network")
        self._around = around
        self._air = air
        behaviour = CLUMSY if plan.clumsy else CAREFUL
        if plan.sleepy:
            behaviour = replace(behaviour, moving=0.5, unreachable=0.4, powerless=0.3)
        cells = air.cells
        self.device = Device(
            replace(sim, queue_mode=plan.two_phase, cell=cells[plan.number % len(cells)]),
            SERVER,
            behaviour=behaviour,
            cells=cells,
            seed=around.seed,
        )
        self.up, self.down = Latest(), Latest()
        self.skew_s = 0.0
        self._ran: list[str] = []
        self._started = False
        self._timer: asyncio.TimerHandle | None = None
        self._fetching: set[asyncio.Task[None]] = set()
        self.died_of: BaseException | None = None
        air.add(self)

    @property
    def version(self) -> str:
        return self.device.machine.version

    def installed(self) -> list[str]:
        """The versions that it has started, in order."""
        return self._ran

    def start(self, after_s: float) -> None:
        """Switch it on."""
        if self._started:
            self.device.switch(self._now(), on=True)
            self._settle()
        else:
            self._around.loop.call_later(after_s, self._begin)

    def _begin(self) -> None:
        self._started = True
        self.device.start(self._now())
        self._settle()

    def stop(self) -> None:
        """Pull its plug."""
        if self._started:
            self.device.switch(self._now(), on=False)
            self._settle()

    def set_clock(self, off_s: float) -> None:
        """Set its clock so far off."""
        self.skew_s = off_s
        if self._started:
            self._settle()

    def fates(self) -> Counter[str]:
        """What was to become of its attempts."""
        return Counter(work.fate for work in self.device.journal.work)

    def hear(self, channel: int, data: bytes) -> None:
        """A datagram arrived."""
        if self._started:
            self.device.receive(channel, data, self._now())
            self._settle()

    def _now(self) -> Now:
        # A hair later, so that a time that was computed in another way is not just before it.
        now = self._around.now().timestamp() + self.skew_s + A_HAIR_S
        return Now(now, self._around.loop.time() + A_HAIR_S)

    def _settle(self) -> None:
        if self.version != (self._ran[-1] if self._ran else VERSIONS[0]):
            self._ran.append(self.version)
            self._around.transcript.note(self.name, f"runs {self.version}")
        for datagram in self.device.drain():
            self._air.to_server(self, datagram.channel, datagram.data)
        fetch = self.device.take_fetch()
        if fetch is not None:
            task = self._around.loop.create_task(self._fetch(fetch))
            self._fetching.add(task)
            task.add_done_callback(self._fetching.discard)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._now()
        life, wire = self.device.wake_at
        waits = [
            at - is_now for at, is_now in ((life, now.life), (wire, now.wire)) if at is not None
        ]
        if waits:
            self._timer = self._around.loop.call_later(max(0.0, min(waits)), self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.device.handle_timer(self._now())
        self._settle()

    async def _fetch(self, fetch: Fetch) -> None:
        ranged = {"range": f"bytes={fetch.offset}-"} if fetch.offset else {}
        parts = urlsplit(fetch.url)
        try:
            got = await self._around.ask(self.name, self.dice, "GET", f"{BASE}{parts.path}", ranged)
        except NoAnswerError as error:
            answer = Answer(error=str(error))
        else:
            answer = as_answer(replace(got, body=got.body[: fetch.limit]))
        self.device.fetched(fetch, answer, self._now())
        self._settle()
