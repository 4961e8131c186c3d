"""What a run is made of, as values: devices, what people do, listeners, faults, and the rules of the place.

A scenario says everything that a run depends on; ``generate.py`` makes one from a seed, ``shrink.py`` takes
parts away. So nothing here refers to another part by its position: campaigns have names, and a step whose
campaign was never made does nothing. Each actor throws dice of his own, which are named after him: what one of
them does does not change when another is taken away.

Times are seconds from the scenario's beginning, which is a midnight in UTC.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from random import Random
from typing import Final

DAY_S: Final = 86_400.0


class Kind(StrEnum):
    """A device's protocol."""

    HTTP = "HTTP"
    OMADM = "OMADM"
    LWM2M = "LWM2M"


class Action(StrEnum):
    """What operators do."""

    SCHEDULE = "schedule"
    STOP = "stop"
    DATES = "dates"
    APPEND = "append"
    REMOVE = "remove"
    ASSIGN = "assign"  # licences
    UNASSIGN = "unassign"
    SUBSCRIPTION = "subscription"  # set to a number of licences, by the installation's owner
    LISTENER = "listener"
    NO_LISTENER = "no listener"
    UPLOAD = "upload"
    REPLACE = "replace"
    READ = "read"


class Trouble(StrEnum):
    """What goes wrong."""

    LOSS = "loss"  # requests never arrive
    REPLY_LOSS = "reply loss"  # they do, and nobody hears what came of it
    DUPLICATE = "duplicate"  # they arrive twice
    DELAY = "delay"
    CUT = "cut"  # answers break off
    CRASH = "crash"
    PAUSE = "pause"  # a process stands still, and does not know it
    SLOW_DISK = "slow disk"
    FULL_DISK = "full disk"
    LISTENER_FAILS = "listener fails"
    LISTENER_HANGS = "listener hangs"
    LISTENER_SLOW = "listener slow"
    LISTENER_ACCEPTS_UNHEARD = "listener accepts unheard"  # it took it; nobody hears so
    REBOOT = "reboot"  # of a device, at any point of its work
    OFF = "off"  # of a device, for a while
    CLOCK = "clock"  # of a process, stepped
    SKEW = "device clock"  # of a device, stepped


WEATHER: Final = frozenset(
    {Trouble.LOSS, Trouble.REPLY_LOSS, Trouble.DUPLICATE, Trouble.DELAY, Trouble.CUT}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedDevice:
    """One device: which of the template's it is, and its manners."""

    number: int
    kind: Kind
    two_phase: bool = False  # over LwM2M: in queue mode
    start_s: float = 0.0
    clumsy: bool = False  # downloads break, installations fail
    slow: bool = False  # installing takes hours: somebody has to say yes, perhaps
    sleepy: bool = False  # over OMA-DM: without power at times
    zone: str = ""  # where it is, for hours in its own time

    @property
    def name(self) -> str:
        return f"{self.kind.lower()}{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something an operator does."""

    at: float
    action: Action
    campaign: str = ""  # the name by which steps speak of it
    version: int = 2  # of the API
    devices: tuple[str, ...] = ()  # by their names
    package: str = ""
    first_day: int = 0  # counted from the day of the step
    days: int = 3
    download: tuple[tuple[int, int], ...] = ()
    install: tuple[tuple[int, int], ...] = ()
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something that goes wrong."""

    at: float
    trouble: Trouble
    until: float = 0.0  # of a crash: the next start
    rate: float = 0.0  # of the weather; seconds of a slow disk, of a clock's step
    who: str = ""  # a process or a device
    when: str = ""  # of a crash: "now", "before" or "after" a commit
    count: int = 1  # of the commits until then


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How the place is set up."""

    processes: int = 1
    engines: int = 1  # so many of them run the campaigns' clock; the others only serve
    poll_s: int = 4 * 3600
    nap_s: float = 300.0
    active_poll_s: int = 900
    retry_delay_s: int = 3600
    grace_s: int = 86_400
    lease_s: int = 60
    max_attempts: int = 3
    pilot_devices: int = 20
    sweep_devices: int = 1000
    licences: int = 20
    event_terms: bool = True  # devices need no licence of their own
    requeue_push_s: int = 21_600
    cell_limit: int = 2  # devices of a cell that may begin in one slot
    cells: int = 2
    device_time: bool = False  # a campaign's hours are those of each device's zone
    shuffled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All of it."""

    seed: int
    begin: datetime = datetime(2024, 3, 25, tzinfo=UTC)
    rules: Rules = field(default_factory=Rules)
    devices: tuple[SimulatedDevice, ...] = ()
    steps: tuple[Step, ...] = ()
    faults: tuple[Fault, ...] = ()

    def dice(self, actor: str) -> Random:
        """The dice of one actor."""
        return Random(f"{self.seed}/{actor}")

    def without(
        self,
        *,
        devices: frozenset[int] = frozenset(),
        steps: frozenset[int] = frozenset(),
        faults: frozenset[int] = frozenset(),
    ) -> "Scenario":
        """The same without some of its parts, given by their places."""
        return replace(
            self,
            devices=tuple(d for place, d in enumerate(self.devices) if place not in devices),
            steps=tuple(s for place, s in enumerate(self.steps) if place not in steps),
            faults=tuple(f for place, f in enumerate(self.faults) if place not in faults),
        )

    def numbers(self, kind: Kind) -> int:
        """How far the numbers of the devices of a kind go."""
        return max((d.number + 1 for d in self.devices if d.kind is kind), default=0)

    @property
    def hostile_until(self) -> float:
        """When the last fault is over; from then on everybody gets what he needs."""
        return max((max(fault.at, fault.until) for fault in self.faults), default=0.0)

    @property
    def size(self) -> int:
        """The number of its parts."""
        return len(self.devices) + len(self.steps) + len(self.faults)
