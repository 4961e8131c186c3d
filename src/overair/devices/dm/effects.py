"""What a session says, told to the engine: one branch for each kind of event.

The tables here are the whole of what the two sides know of each other's words. Everything is done in the
transaction that keeps the session, so a command is on record before it leaves, and a report before it is
acknowledged.

A report names its attempt by the correlator, also one that is over; without one it is about the attempt
that was given a command (``oma-dm.md`` 7.3). What names nothing of the device changes nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, assert_never

import structlog

from overair.config import Settings
from overair.core.ids import DeviceId
from overair.core.upgrade import Reason
from overair.engine import push
from overair.engine.inventory import TooManyAttributesError, record_attributes
from overair.engine.push import Job
from overair.protocols.omadm.events import (
    Audit,
    Authenticated,
    DevInfoRead,
    Ended,
    Event,
    ExecAccepted,
    ExecLeaving,
    ExecRefused,
    Failed,
    InventoryRead,
    Meaning,
    Refused,
    Reported,
    Step,
    Succeeded,
    UpdateAskedFor,
    VersionAwaited,
    VersionRead,
    Why,
)
from overair.store.database import Tx

log = structlog.get_logger()

REASONS: Final[Mapping[Why, Reason]] = {
    Why.DECLINED: Reason.DECLINED,
    Why.DOWNLOAD_FAILED: Reason.DOWNLOAD_FAILED,
    Why.INSTALL_FAILED: Reason.INSTALL_FAILED,
    Why.REFUSED: Reason.INSTALL_FAILED,
    Why.NO_UPDATE_OBJECT: Reason.INSTALL_FAILED,
    Why.VERSION: Reason.VERSION,
    Why.VERSION_UNCHANGED: Reason.VERSION_UNCHANGED,
    Why.UNEXPECTED_VERSION: Reason.UNEXPECTED_VERSION,
    Why.REPORT_LOST: Reason.REPORT_LOST,
}
# What a device's history of check-ins says of the next one (``api.md`` 8).
FAILURES: Final[Mapping[Why, str]] = {
    Why.DOWNLOAD_FAILED: "Download",
    Why.INSTALL_FAILED: "Install",
}

# What changes nothing of a job.
_HARMLESS: Final = (ExecAccepted, Audit, UpdateAskedFor, Refused, Ended)

_CONTROL = re.compile("[\x00-\x1f\x7f\ud800-\udfff]+")
_MOST_CHARS = 255


@dataclass(slots=True)
class Effects:
    """Applies the events of one message of one device; what is left for after the commit is in it."""

    tx: Tx
    device_id: DeviceId
    settings: Settings
    now: datetime
    authenticated: bool = False
    failure: str = ""
    lines: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    _open: Job | None = None
    _is_known: bool = False  # what is open; until something is told that may change it

    def apply(self, event: Event) -> None:
        """Do what follows from an event."""
        tx, settings, now = self.tx, self.settings, self.now
        match event:
            case Authenticated():
                self.authenticated = True
                push.begin_session(tx, self.device_id, settings, now)
            case VersionRead(version=version):
                push.version_seen(tx, self.device_id, plain(version), settings, now)
            case DevInfoRead():
                self._set(
                    Man=event.make, Mod=event.model, DmV=event.dm_version, Lang=event.language
                )
            case InventoryRead():
                state = None if event.state is None else str(event.state)
                objects = None if event.large_objects is None else str(event.large_objects).lower()
                self._set(
                    SwV=event.software_version,
                    HwV=event.hardware_version,
                    LrgObj=objects,
                    FumoState=state,
                    FumoRoot=event.fumo_root,
                )
            case Reported():
                self._report(event)
            case ExecLeaving(correlator=correlator, step=step):
                if job := self._job(correlator):
                    push.executed(tx, job, settings, now, download_only=step is Step.DOWNLOAD)
            case ExecAccepted(correlator=correlator):
                if job := self._job(correlator):
                    push.note(tx, job, settings, now, text="takes the command")
            case ExecRefused(correlator=correlator, why=why, code=code):
                self._fail(correlator, why, code, f"refuses the command with {code}")
            case Failed(correlator=correlator, why=why, code=code, text=text):
                self._fail(correlator, why, code, text)
            case Succeeded(correlator=correlator, version=version):
                if job := self._job(correlator):
                    runs = job.to_version if version is None else plain(version)
                    push.succeeded(tx, job, runs, settings, now)
            case VersionAwaited(correlator=correlator, version=version):
                if job := self._job(correlator):
                    text = f"reports success, and shows {plain(version)}"
                    push.await_version(tx, job, settings, now, text=text)
            case Audit():
                self.lines.append(line_of(event))
            case UpdateAskedFor() | Refused() | Ended():
                pass  # the beginning of the session has done what there is to do
            case _:
                assert_never(event)
        if not isinstance(event, _HARMLESS):
            self._is_known = False

    def _report(self, event: Reported) -> None:
        tx, settings, now = self.tx, self.settings, self.now
        job = self._job(event.correlator)
        if job is None:
            told: dict[str, object] = {"code": event.code, "kind": event.kind.name.lower()}
            self.lines.append(("a report that belongs to no attempt", told))
            return
        step = event.kind.name.lower().replace("_", " ")
        text = ": ".join(filter(None, (step, plain(event.text))))
        match event.meaning:
            case Meaning.DOWNLOADED | Meaning.PROGRESS:
                push.downloaded(tx, job, settings, now, code=event.code, text=text)
            case Meaning.INSTALLED | Meaning.DEFERRED:
                # Installed is what it says; the version, which it is asked for next, decides.
                push.note(tx, job, settings, now, code=event.code, text=text)
            case Meaning.FAILED:
                why = event.why or Why.INSTALL_FAILED
                self.failure = FAILURES.get(why, "")
                push.failed(tx, job, REASONS[why], settings, now, code=event.code, text=text)
            case _:
                assert_never(event.meaning)

    def _fail(self, correlator: str, why: Why, code: int | None, text: str) -> None:
        if job := self._job(correlator):
            self.failure = FAILURES.get(why, "")
            push.failed(
                self.tx, job, REASONS[why], self.settings, self.now, code=code, text=plain(text)
            )

    def job(self) -> Job | None:
        """What the device is to do, after all that was applied."""
        if not self._is_known:
            self._open = push.job_of(self.tx, self.device_id, self.settings, self.now)
            self._is_known = True
        return self._open

    def _job(self, correlator: str) -> Job | None:
        """The attempt that is meant: nearly always the one that is open."""
        job = self.job()
        if not correlator:
            return job if job is not None and job.executed_at is not None else None
        name = correlator.replace("\x00", "")
        if job is not None and job.correlator == name:
            return job
        return push.job_by_correlator(self.tx, self.device_id, name, self.settings, self.now)

    def _set(self, **told: str | None) -> None:
        """What the device says of itself: beside what the operator says, not in its place."""
        data = {name: plain(value) for name, value in told.items() if value}
        if not data:
            return
        names = self.settings.attribute_names
        try:
            record_attributes(self.tx, self.device_id, "merge", data, names, self.now)
        except TooManyAttributesError:
            self.lines.append(("a device has too many attributes", {}))


def line_of(event: Audit) -> tuple[str, dict[str, object]]:
    """What the log says of it."""
    return "an OMA-DM device is refused", {"why": event.kind.value, "text": plain(event.text)}


def plain(text: str) -> str:
    """Words of a device as they are kept: on one line, and not too many."""
    line = text if text.isprintable() else _CONTROL.sub(" ", text)
    return line.strip()[:_MOST_CHARS]
