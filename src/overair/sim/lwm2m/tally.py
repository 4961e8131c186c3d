"""What a fleet of LwM2M devices has done: live counters, and the truth about each device.

The truth is what tests hold against the server's reports: what a device really runs, in which cell each
piece of work began and when, which images arrived. Instants are seconds since 1970
of the simulated clock.
"""

from collections import deque
from dataclasses import dataclass, replace
from enum import Enum

from overair.protocols.lwm2m.objects import Cell
from overair.protocols.lwm2m.results import Result

_REMEMBERED = 1000
_LINES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One attempt, from the first block or the URI. ``result`` is what object 5 said at its end.

    ``sha256`` is of what arrived, whole; ``installed``: it runs since ``ended_at``, whatever was said.
    """

    began_at: float
    cell: Cell
    by: str
    from_version: str
    fate: str
    uri: str = ""
    size_bytes: int = 0
    sha256: str = ""
    arrived_at: float | None = None
    executed_at: float | None = None
    executes: int = 0
    ended_at: float | None = None
    result: int | None = None
    installed: bool = False

    @property
    def is_interrupted(self) -> bool:
        """Whether a restart, or the network, cut the transfer: what follows goes on with it."""
        return self.arrived_at is None and self.result in (0, Result.CONNECTION_LOST)


class Kind(Enum):
    """How a device came to be heard of, or not."""

    REGISTERED = "registered"
    UPDATED = "updated"
    ON = "on"
    OFF = "off"
    REACHED = "in the network"
    LOST = "out of the network"
    MOVED = "moved"
    RESTARTED = "restarted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Something that happened to a device beside its work; ``cell`` is where it was then."""

    at: float
    kind: Kind
    cell: Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTruth:
    """What a device really is and did; ``sha256`` of the image that runs, empty from the factory."""

    endpoint: str
    imei: str
    version: str
    sha256: str
    state: int
    result: int
    cell: Cell
    signal_dbm: int
    is_on: bool
    is_reached: bool
    is_registered: bool
    work: tuple[Work, ...]
    moments: tuple[Moment, ...]
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSnapshot:
    """A fleet at one moment: the first four are devices, the others count."""

    devices: int
    registered: int
    transferring: int
    installing: int
    registrations: int
    updates: int
    began: int
    arrived: int
    executed: int
    updated: int
    failed: int
    restarts: int
    moves: int
    received_bytes: int
    errors: int
    last_error: str


@dataclass(slots=True)
class Tally:
    """The counters that all devices of a fleet share."""

    registered: int = 0
    transferring: int = 0
    installing: int = 0
    registrations: int = 0
    updates: int = 0
    began: int = 0
    arrived: int = 0
    executed: int = 0
    updated: int = 0
    failed: int = 0
    restarts: int = 0
    moves: int = 0
    received_bytes: int = 0
    errors: int = 0
    last_error: str = ""

    def snapshot(self, devices: int) -> FleetSnapshot:
        """Freeze it."""
        return FleetSnapshot(
            devices=devices, **{name: getattr(self, name) for name in Tally.__slots__}
        )


class Journal:
    """One device's past: what is old enough is forgotten."""

    __slots__ = ("_endpoint", "_tally", "errors", "moments", "work")

    def __init__(self, endpoint: str, tally: Tally) -> None:
        self._endpoint = endpoint
        self._tally = tally
        self.work: deque[Work] = deque(maxlen=_REMEMBERED)
        self.moments: deque[Moment] = deque(maxlen=_REMEMBERED)
        self.errors: deque[str] = deque(maxlen=_LINES)

    def begin(self, work: Work) -> None:
        """A new attempt."""
        self.work.append(work)
        self._tally.began += 1

    def change(self, **changes: object) -> None:
        """Say more of the present attempt."""
        self.work[-1] = replace(self.work[-1], **changes)  # type: ignore[arg-type]  # names of Work

    def end(self, at: float, result: int, *, installed: bool = False) -> None:
        """The present attempt is over. One that is over already may end in another way later."""
        was_over = self.work[-1].ended_at is not None
        self.change(ended_at=at, result=result, installed=installed)
        if installed:
            self._tally.updated += 1
        elif not was_over:
            self._tally.failed += 1

    def note(self, at: float, kind: Kind, cell: Cell) -> None:
        """Something beside its work."""
        self.moments.append(Moment(at=at, kind=kind, cell=cell))

    def updated(self, at: float, cell: Cell) -> None:
        """An Update; only the last of a row is kept, for a month has very many."""
        if self.moments and self.moments[-1].kind is Kind.UPDATED:
            self.moments.pop()
        self.note(at, Kind.UPDATED, cell)

    def wrong(self, text: str) -> None:
        """An answer that no device should get, or a request without one."""
        self._tally.errors += 1
        self._tally.last_error = f"{self._endpoint}: {text}"
        self.errors.append(text)
