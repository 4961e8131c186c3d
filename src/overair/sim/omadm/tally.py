"""What a fleet of OMA-DM devices has done: live counters, and the truth about each device.

The truth is what tests hold against the server's reports: what a device really runs, when it had power,
which notifications reached it, which commands it took on, what it reported and whether that was taken.
"""

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

_REMEMBERED = 1000
_LINES = 50


class Phase(Enum):
    """What a device is busy with."""

    OFF = "off"
    IDLE = "idle"
    DOWNLOADING = "downloading"
    INSTALLING = "installing"
    REBOOTING = "rebooting"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSnapshot:
    """The counters at one moment. The phases are devices now, the rest is events so far."""

    devices: int
    off: int
    downloading: int
    installing: int
    rebooting: int
    attaches: int
    pushes: int
    pushes_refused: int
    pushes_lost: int
    sessions: int
    messages: int
    accepted: int
    updated: int
    failed: int
    declined: int
    refused: int
    errors: int
    bytes_received: int
    last_error: str


@dataclass(slots=True, kw_only=True)
class Tally:
    """The counters that all devices of a fleet share.

    ``pushes_lost`` came while the device was off or restarting, ``pushes_refused`` were not the server's.
    ``accepted`` counts commands to update that were taken on, ``updated`` new versions started, ``failed``
    and ``declined`` attempts that ended so at the device. ``refused`` counts sessions in which one side
    did not accept the other, ``fates`` counts what was drawn for accepted ones, ``errors`` answers that no
    device should get and requests that got none.
    """

    attaches: int = 0
    pushes: int = 0
    pushes_refused: int = 0
    pushes_lost: int = 0
    sessions: int = 0
    messages: int = 0
    accepted: int = 0
    updated: int = 0
    failed: int = 0
    declined: int = 0
    refused: int = 0
    errors: int = 0
    bytes_received: int = 0
    last_error: str = ""
    phases: Counter[Phase] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)

    def snapshot(self, devices: int) -> FleetSnapshot:
        """Freeze the counters."""
        return FleetSnapshot(
            devices=devices,
            off=self.phases[Phase.OFF],
            downloading=self.phases[Phase.DOWNLOADING],
            installing=self.phases[Phase.INSTALLING],
            rebooting=self.phases[Phase.REBOOTING],
            attaches=self.attaches,
            pushes=self.pushes,
            pushes_refused=self.pushes_refused,
            pushes_lost=self.pushes_lost,
            sessions=self.sessions,
            messages=self.messages,
            accepted=self.accepted,
            updated=self.updated,
            failed=self.failed,
            declined=self.declined,
            refused=self.refused,
            errors=self.errors,
            bytes_received=self.bytes_received,
            last_error=self.last_error,
        )


class Fortune(Enum):
    """What became of a notification at the device."""

    TAKEN = "taken"
    KNOWN = "known"
    REFUSED = "refused"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A notification that was sent to the device."""

    at: datetime
    session: int | None
    fortune: Fortune


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """A session, from the device's side; without a problem it went to its end."""

    at: datetime
    session_id: str
    by_server: bool
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """An Exec and the status it was answered with."""

    at: datetime
    uri: str
    correlator: str | None
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """A version that the device has really started."""

    at: datetime
    version: str
    correlator: str | None
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A result of the device's own, and when the server took it: None is never."""

    at: datetime
    correlator: str | None
    code: int
    taken_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTruth:
    """One device as it is. ``on`` holds its spells of power; the last has no end while it is on."""

    imei: str
    version: str
    is_on: bool
    on: tuple[tuple[datetime, datetime | None], ...]
    pushes: tuple[Push, ...]
    dialogues: tuple[Dialogue, ...]
    executions: tuple[Execution, ...]
    installs: tuple[Install, ...]
    reports: tuple[Report, ...]
    notices: tuple[str, ...]
    ranges: tuple[int, ...]
    errors: tuple[str, ...]


class Journal:
    """What one device writes down: for its truth, and for the fleet's tally."""

    def __init__(self, imei: str, tally: Tally) -> None:
        self._imei = imei
        self._tally = tally
        self.on: deque[tuple[datetime, datetime | None]] = deque(maxlen=_REMEMBERED)
        self.pushes: deque[Push] = deque(maxlen=_REMEMBERED)
        self.dialogues: deque[Dialogue] = deque(maxlen=_REMEMBERED)
        self.executions: deque[Execution] = deque(maxlen=_REMEMBERED)
        self.installs: deque[Install] = deque(maxlen=_REMEMBERED)
        self.reports: deque[Report] = deque(maxlen=_REMEMBERED)
        # Lines sent to installNotifyURI, and the offsets that downloads went on from.
        self.notices: deque[str] = deque(maxlen=_LINES)
        self.ranges: deque[int] = deque(maxlen=_LINES)
        self.errors: deque[str] = deque(maxlen=_LINES)

    def powered(self, at: datetime, *, on: bool) -> None:
        """Note that power came or went."""
        if on:
            self.on.append((at, None))
        elif self.on:
            self.on[-1] = (self.on[-1][0], at)

    def pushed(self, at: datetime, session: int | None, fortune: Fortune) -> None:
        """Count a notification."""
        self._tally.pushes += 1
        self._tally.pushes_refused += fortune is Fortune.REFUSED
        self._tally.pushes_lost += fortune is Fortune.OFF
        self.pushes.append(Push(at=at, session=session, fortune=fortune))

    def taken(self, correlator: str | None, code: int, at: datetime) -> None:
        """Note that the server has taken a report."""
        for place, report in enumerate(self.reports):
            if (report.correlator, report.code, report.taken_at) == (correlator, code, None):
                self.reports[place] = replace(report, taken_at=at)
                return

    def wrong(self, text: str) -> None:
        """Count an answer that no device should get, or a request without one."""
        self._tally.errors += 1
        self._tally.last_error = f"{self._imei}: {text}"
        self.errors.append(text)

    def truth(self, version: str) -> DeviceTruth:
        """Freeze it."""
        return DeviceTruth(
            imei=self._imei,
            version=version,
            is_on=bool(self.on) and self.on[-1][1] is None,
            on=tuple(self.on),
            pushes=tuple(self.pushes),
            dialogues=tuple(self.dialogues),
            executions=tuple(self.executions),
            installs=tuple(self.installs),
            reports=tuple(self.reports),
            notices=tuple(self.notices),
            ranges=tuple(self.ranges),
            errors=tuple(self.errors),
        )
