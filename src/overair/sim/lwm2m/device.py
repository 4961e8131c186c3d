"""One simulated LwM2M device, without any I/O and without a clock.

    device.start(now)                       its schedules of power and network begin
    device.receive(channel, data, now)      a datagram came, whether it can hear it or not
    device.fetched(fetch, answer, now)      what came of a step of a download over HTTP
    device.handle_timer(now)                at ``wake_at``; too early or too often does no harm
    device.drain()                          what it sends, after each of these: ``Datagram``s
    device.take_fetch()                     what it wants fetched over HTTP, after each of these

``now`` is two times (``steps``). A *channel* is a socket of its own: a restart opens a new one, and so
does a download; ``channels`` are those that are in use. A device out of the network, or asleep, hears
nothing; what it says out of the network is lost.

Not in here: DTLS, SMS, pmin and pmax (values that are observed change every few hours, or at once).
"""

from collections.abc import Iterator, Sequence
from random import Random

from overair.protocols.coap.events import Incoming
from overair.protocols.coap.values import TIMINGS, Response, Timings
from overair.protocols.lwm2m.objects import CELL_ID, Cell
from overair.protocols.lwm2m.values import Path, Readings
from overair.sim.lwm2m.fetching import Fetching
from overair.sim.lwm2m.intake import Becomes
from overair.sim.lwm2m.link import UPDATE, Link
from overair.sim.lwm2m.objects import REBOOT, Objects
from overair.sim.lwm2m.profile import HOUR, Behaviour, turns
from overair.sim.lwm2m.roster import Lwm2mDevice, generate_cells
from overair.sim.lwm2m.steps import Address, Datagram, Now
from overair.sim.lwm2m.tally import DeviceTruth, Journal, Kind, Tally
from overair.sim.lwm2m.update import INSTALL, Machine
from overair.sim.requests import Answer, Fetch

_REBOOT_S = 5.0
_BACK_S = 5.0
_MOVE, _NETWORK, _POWER, _BOOT = "move", "network", "power", "boot"


class Device:
    """The state of one device, and its life."""

    def __init__(
        self,
        sim: Lwm2mDevice,
        server: Address,
        *,
        behaviour: Behaviour | None = None,
        cells: Sequence[Cell] = (),
        tally: Tally | None = None,
        seed: int = 0,
        becomes: Becomes = "",
        timings: Timings = TIMINGS,
    ) -> None:
        self.sim = sim
        self.now = self.wire = 0.0
        self._server = server
        self._behaviour = behaviour = behaviour or Behaviour()
        self._tally = tally or Tally()
        self._seed = seed
        self.plan = behaviour.draw_device(seed, sim.imei, version=sim.enabler)
        self._dice = Random(f"{seed}/{sim.imei}/dice")
        self._cells = cells or generate_cells(1)
        self.cell = sim.cell or self._dice.choice(self._cells)
        self.journal = Journal(sim.name, self._tally)
        self.machine = Machine(
            self,
            sim,
            self.plan,
            self.journal,
            self._tally,
            lambda attempt: behaviour.draw(seed, sim.imei, attempt),
            becomes,
        )
        self.link = Link(self, sim, self.plan, self._dice, timings)
        rate = behaviour.slow_bytes_per_s if self.plan.slow else None
        self.fetching = Fetching(self, self.machine, self._dice, rate)
        self.objects = Objects(self, sim, self.plan, self.machine, self.link)
        self.is_on = False
        self.is_reached = True
        self._last_channel = 0
        self._out: list[Datagram] = []
        self._due: dict[str, float] = {}
        self._turns: dict[str, tuple[Iterator[tuple[float, bool]], bool]] = {}
        self._told_cell = self.cell

    # What may happen to it

    @property
    def wake_at(self) -> tuple[float | None, float | None]:
        """When ``handle_timer`` is to be called next, by either time; None: never by itself."""
        life = min(self._due.values()) if self._due else None
        if not self.is_on:
            return life, None
        wire = self.link.next_due
        due = self.fetching.next_due
        if due is not None and (wire is None or due < wire):
            wire = due
        return life, wire

    @property
    def channels(self) -> tuple[int, ...]:
        """The sockets that it has."""
        if not self.is_on:
            return ()
        if self.fetching.channel is None:
            return (self.link.channel,)
        return (self.link.channel, self.fetching.channel)

    @property
    def is_registered(self) -> bool:
        """Whether it thinks that it is."""
        return bool(self.link.location)

    @property
    def is_busy(self) -> bool:
        """Whether it is at work on an image."""
        return self.machine.is_busy

    def truth(self) -> DeviceTruth:
        """What the device really is and did."""
        return DeviceTruth(
            endpoint=self.sim.name,
            imei=self.sim.imei,
            version=self.machine.version,
            sha256=self.machine.sha256,
            state=int(self.machine.state),
            result=int(self.machine.result),
            cell=self.cell,
            signal_dbm=self.plan.signal,
            is_on=self.is_on,
            is_reached=self.is_reached,
            is_registered=self.is_registered,
            work=tuple(self.journal.work),
            moments=tuple(self.journal.moments),
            errors=tuple(self.journal.errors),
        )

    def drain(self) -> list[Datagram]:
        """Return what it sends, in order, and forget it."""
        self._collect()
        out = self._out
        if out:
            self._out = []
        return out

    def take_fetch(self) -> Fetch | None:
        """Return what is to be fetched over HTTP now, once."""
        return self.fetching.take_fetch()

    def start(self, now: Now) -> None:
        """Begin its schedules."""
        self._at(now)
        name, hours = f"{self._seed}/{self.sim.imei}", self._behaviour
        if self.plan.loses_network:
            dice = Random(f"{name}/net")
            self._schedule(_NETWORK, turns(dice, hours.reachable_h, hours.unreachable_h, self.now))
        if self.plan.moves:
            self.ring(_MOVE, self._dice.uniform(*hours.move_every_h) * HOUR * self._dice.random())
        if self.plan.loses_power:
            dice = Random(f"{name}/power")
            self._schedule(_POWER, turns(dice, hours.powered_h, hours.powerless_h, self.now))
        else:
            self._due[_BOOT] = self.now
        self.handle_timer(now)

    def handle_timer(self, now: Now) -> None:
        """The time has come for something."""
        self._at(now)
        due = self._due
        while due:
            name = min(due, key=due.__getitem__)
            if due[name] > self.now:
                break
            del due[name]
            self._ring_out(name)
        if not self.is_on:
            return
        self.link.tick()
        self.fetching.tick()

    def receive(self, channel: int, data: bytes, now: Now) -> bool:
        """A datagram came; tell whether it was heard."""
        self._at(now)
        if channel not in self.channels or not self.is_reached:
            return False
        if channel == self.fetching.channel:
            self.fetching.receive(data)
            return True
        if self.link.is_asleep:
            return False
        self.link.receive(data)
        return True

    def fetched(self, fetch: Fetch, answer: Answer, now: Now) -> None:
        """What came of it; too late, and it is dropped."""
        self._at(now)
        if self.is_on:
            self.fetching.fetched(fetch, answer if self.is_reached else Answer(error="no network"))

    def switch(self, now: Now, *, on: bool) -> None:
        """Pull or put the plug; the schedule's next change comes all the same."""
        self._at(now)
        self._switch(on=on)

    def reach(self, now: Now, *, reached: bool) -> None:
        """Put it in the network, or out of it."""
        self._at(now)
        self._reach(reached=reached)

    def move(self, now: Now, cell: Cell) -> None:
        """Put it into another cell."""
        self._at(now)
        self._move(cell)

    def leave(self, now: Now) -> None:
        """De-register, as before it is put away."""
        self._at(now)
        self.link.leave()

    def _at(self, now: Now) -> None:
        self.now, self.wire = now

    # What its parts ask for (``link.Host``, ``objects.Host``, ``update.Host``)

    def changed(self, *paths: Path) -> None:
        """Tell whoever observes them."""
        if self.is_on and self.is_reached:
            self.link.notify(*paths)

    def ring(self, name: str, after_s: float | None) -> None:
        """Set one of its timers."""
        if after_s is None:
            self._due.pop(name, None)
        else:
            self._due[name] = self.now + after_s

    def restart(self, off_s: float) -> None:
        """Go down, and come up after that time."""
        self._go_down(Kind.RESTARTED)
        self._tally.restarts += 1
        self.ring(_BOOT, off_s)

    def new_channel(self) -> int:
        """Open another socket."""
        self._last_channel += 1
        return self._last_channel

    def asked(self, incoming: Incoming) -> Response | None:
        """Answer a request."""
        return self.objects.asked(incoming)

    def value(self, path: Path, accept: int | None) -> Response:
        """What a read gets."""
        return self.objects.value(path, accept)

    def result(self) -> Readings:
        """State, result and version."""
        return self.objects.result()

    def registered(self, *, anew: bool) -> None:
        """The server knows it."""
        if anew:
            self._tally.registered += 1
            self._tally.registrations += 1
            self._note(Kind.REGISTERED)
        else:
            self._tally.updates += 1
            self.journal.updated(self.now, self.cell)
        if self._told_cell != self.cell:
            self._tell_cell()

    def unregistered(self) -> None:
        """It is registered no more."""
        self._tally.registered -= 1

    def wrong(self, text: str) -> None:
        """An answer that no device should get."""
        self.journal.wrong(text)

    # Power, network, cells

    def _schedule(self, name: str, spans: Iterator[tuple[float, bool]]) -> None:
        at, is_on = next(spans)
        self._turns[name] = (spans, is_on)
        self._due[name] = at

    def _ring_out(self, name: str) -> None:
        match name:
            case "power" | "network":
                spans, on = self._turns[name]
                self._schedule(name, spans)
                if name == _POWER:
                    self._switch(on=on)
                else:
                    self._reach(reached=on)
            case "move":
                self.ring(_MOVE, self._dice.uniform(*self._behaviour.move_every_h) * HOUR)
                self._move(self._dice.choice(self._cells))
            case "boot":
                self._boot()
            case "update":
                # Out of the network it waits until it is back.
                if self.is_on and self.is_reached:
                    self.link.connect()
            case "fetch":
                self.fetching.ask()
            case "install":
                self.machine.installed()
            case "reboot":
                self.restart(_REBOOT_S)
            case _:
                raise AssertionError(f"a timer that nobody has: {name}")

    def _switch(self, *, on: bool) -> None:
        if on and not self.is_on:
            self._boot()
        elif not on:
            self._go_down(Kind.OFF)
            self._due.pop(_BOOT, None)

    def _boot(self) -> None:
        if self.is_on:
            return
        self.is_on = True
        self._due.pop(_BOOT, None)
        self._note(Kind.ON)
        self.machine.powered_up()
        if self.is_on and self.is_reached:
            self.link.open()

    def _go_down(self, kind: Kind) -> None:
        if not self.is_on:
            return
        self._collect()
        self._note(kind)
        self.machine.powered_down()
        self.link.close(tells_result=True)
        self.is_on = False
        for name in (UPDATE, INSTALL, REBOOT):
            self._due.pop(name, None)
        self.fetching.drop()

    def _reach(self, *, reached: bool) -> None:
        if reached == self.is_reached:
            return
        self._collect()
        self.is_reached = reached
        self._note(Kind.REACHED if reached else Kind.LOST)
        if not self.is_on:
            return
        if not reached:
            self.link.lose()
        elif not self.link.location:
            self.link.open()
        else:
            self.ring(UPDATE, self._dice.uniform(0.0, _BACK_S))

    def _move(self, cell: Cell) -> None:
        self.cell = cell
        self._tally.moves += 1
        self._note(Kind.MOVED)
        if self.is_on and self.is_reached and not self.link.is_asleep:
            self._tell_cell()

    def _tell_cell(self) -> None:
        self._told_cell = self.cell
        self.link.notify(CELL_ID)

    # What its machine asks for

    def fetch(self, uri: str) -> None:
        """Begin a download."""
        self.fetching.begin(uri)

    def stop_fetching(self) -> None:
        """Give it up."""
        self._collect()
        self.fetching.drop()

    def _collect(self) -> None:
        """Take what it says, or lose it."""
        said, files = self.link.drain(), self.fetching.drain()
        if not (self.is_on and self.is_reached):
            return
        if said:
            channel = self.link.channel
            self._out += [Datagram(channel, self._server, data) for data in said]
        if files:
            assert self.fetching.channel is not None, "it is where it was opened"
            channel = self.fetching.channel
            self._out += [Datagram(channel, where, data) for where, data in files]

    def _note(self, kind: Kind) -> None:
        self.journal.note(self.now, kind, self.cell)
