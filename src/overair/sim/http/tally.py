"""What a fleet has done: live counters, and the truth about each device.

The truth is what tests hold against the server's reports: what a device really runs, what it was
offered, and which of its closing reports were acknowledged.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import NamedTuple

_REMEMBERED = 1000
_LINES = 50


class Phase(Enum):
    """What a device is busy with."""

    IDLE = "idle"
    DOWNLOADING = "downloading"
    WAITING = "waiting"
    INSTALLING = "installing"
    REBOOTING = "rebooting"
    REPORTING = "reporting"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSnapshot:
    """The counters at one moment. The phases are devices now, the rest is events so far."""

    devices: int
    polls: int
    offered: int
    downloading: int
    waiting: int
    installing: int
    rebooting: int
    reporting: int
    updated: int
    failed: int
    cancelled: int
    dropped: int
    errors: int
    bytes_received: int
    last_error: str


@dataclass(slots=True, kw_only=True)
class Tally:
    """The counters that all devices of a fleet share.

    ``updated`` and ``failed`` count acknowledged closing reports; ``dropped`` results that had no
    deployment to be reported to after the restart; ``fates`` what was drawn for attempts; ``errors``
    answers that no device should get and requests that got none.
    """

    polls: int = 0
    offered: int = 0
    updated: int = 0
    failed: int = 0
    cancelled: int = 0
    dropped: int = 0
    errors: int = 0
    bytes_received: int = 0
    last_error: str = ""
    phases: Counter[Phase] = field(default_factory=Counter)
    fates: Counter[str] = field(default_factory=Counter)

    def snapshot(self, devices: int) -> FleetSnapshot:
        """Freeze the counters."""
        return FleetSnapshot(
            devices=devices,
            polls=self.polls,
            offered=self.offered,
            downloading=self.phases[Phase.DOWNLOADING],
            waiting=self.phases[Phase.WAITING],
            installing=self.phases[Phase.INSTALLING],
            rebooting=self.phases[Phase.REBOOTING],
            reporting=self.phases[Phase.REPORTING],
            updated=self.updated,
            failed=self.failed,
            cancelled=self.cancelled,
            dropped=self.dropped,
            errors=self.errors,
            bytes_received=self.bytes_received,
            last_error=self.last_error,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Install:
    """A version that a device really booted into, or a configuration file that it stored."""

    action_id: int
    part: str
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """A closing report and the status it was answered with: 200, or 404 or 410 for "too late"."""

    action_id: int
    finished: str
    status: int


class Report(NamedTuple):
    """A report of any kind, and the status it was answered with at last.

    A 410 to a closing report says that an earlier sending of it was taken, whose answer was lost.
    """

    resource: str
    action_id: int
    execution: str
    finished: str
    detail: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTruth:
    """One device as it is. ``offers`` holds an action's id each time it was newly offered."""

    controller_id: str
    version: str
    offers: tuple[int, ...]
    downloads: tuple[int, ...]
    installs: tuple[Install, ...]
    closings: tuple[Closing, ...]
    cancels: tuple[int, ...]
    reports: tuple[Report, ...]
    errors: tuple[str, ...]


class Journal:
    """What one device writes down: for its truth, for the fleet's tally, for log upload."""

    def __init__(self, controller_id: str, tally: Tally) -> None:
        self._controller_id = controller_id
        self._tally = tally
        self.offers: deque[int] = deque(maxlen=_REMEMBERED)
        self.downloads: deque[int] = deque(maxlen=_REMEMBERED)
        self.installs: deque[Install] = deque(maxlen=_REMEMBERED)
        self.closings: deque[Closing] = deque(maxlen=_REMEMBERED)
        self.cancels: deque[int] = deque(maxlen=_REMEMBERED)
        self.reports: deque[Report] = deque(maxlen=_REMEMBERED)
        self.errors: deque[str] = deque(maxlen=_LINES)
        self.log: deque[tuple[str, str]] = deque(maxlen=_LINES)

    def note(self, now: float, text: str) -> None:
        """Keep a line for the device log."""
        self.log.append((datetime.fromtimestamp(now, UTC).isoformat(), text))

    def wrong(self, text: str) -> None:
        """Count an answer that no device should get, or a request without one."""
        self._tally.errors += 1
        self._tally.last_error = f"{self._controller_id}: {text}"
        self.errors.append(text)

    def truth(self, version: str) -> DeviceTruth:
        """Freeze it."""
        return DeviceTruth(
            controller_id=self._controller_id,
            version=version,
            offers=tuple(self.offers),
            downloads=tuple(self.downloads),
            installs=tuple(self.installs),
            closings=tuple(self.closings),
            cancels=tuple(self.cancels),
            reports=tuple(self.reports),
            errors=tuple(self.errors),
        )
