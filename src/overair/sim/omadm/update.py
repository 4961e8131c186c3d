"""What a device does once it is told to update: download, check, install, restart, report.

A job outlives power cuts: it goes on where it stood, a download with a range, an installation from its
beginning. What befalls it was drawn before (``AttemptPlan``). ``Updater.work`` is a part of the device's
life; resting, reporting and restarting are the device's own, because they concern all of it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from overair.protocols.syncml.codes import StatusCode
from overair.protocols.syncml.fumo import AlertType, Result, State
from overair.protocols.syncml.values import MalformedError
from overair.sim.omadm.package import (
    DESCRIPTOR_TYPE,
    Descriptor,
    read_descriptor,
    version_inside,
)
from overair.sim.omadm.profile import AttemptPlan, Fate
from overair.sim.omadm.steps import Part
from overair.sim.omadm.tally import Execution, Install, Journal, Phase, Tally
from overair.sim.omadm.tree import Tree
from overair.sim.requests import Answer, Fetch, Post

_PIECE_BYTES = 1024 * 1024
_SLOW_PIECE_S = 30.0
_BEGINS_AFTER_S = 5.0
# Pauses between fruitless tries; when there are no more, the download has failed (oma-dm 18.1).
_RETRY_S = (10.0, 60.0, 120.0, 300.0)
_AFTER_CUT_S = 5.0
# A device that does nothing after an Exec has forgotten it after so long.
_SILENCE = timedelta(days=1)


class Stage(Enum):
    """How far a job is."""

    ACCEPTED = "accepted"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    INSTALLING = "installing"
    RESTARTING = "restarting"


@dataclass(slots=True, kw_only=True)
class Job:
    """One Exec, and how far it is."""

    kind: AlertType
    uri: str
    correlator: str | None
    plan: AttemptPlan
    url: str = ""
    stage: Stage = Stage.ACCEPTED
    silent_until: datetime | None = None
    descriptor: Descriptor | None = None
    received: int = 0
    is_cut: bool = False
    version: str = ""
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)


class Body(Protocol):
    """The rest of the device, as far as a job needs it."""

    @property
    def now(self) -> datetime: ...

    def become(self, phase: Phase) -> None: ...

    def rest(self, seconds: float) -> Part[None]: ...

    def restart(self, seconds: float) -> Part[None]: ...

    def report(self, job: Job, code: int) -> None: ...


class Updater:
    """The firmware update object's own works."""

    def __init__(
        self,
        body: Body,
        tree: Tree,
        journal: Journal,
        tally: Tally,
        *,
        draw: Callable[[int], AttemptPlan],
        bytes_per_s: float | None,
        becomes: str,
    ) -> None:
        self.job: Job | None = None
        self._body = body
        self._tree = tree
        self._journal = journal
        self._tally = tally
        self._draw = draw
        self._bytes_per_s = bytes_per_s
        self._becomes = becomes
        self._attempts = 0
        # What a Download left here for an Update.
        self._stored: Job | None = None

    def due_at(self) -> datetime | None:
        """When there is something to do on the job; None: never."""
        if self.job is None:
            return None
        return self.job.silent_until or self._body.now

    def take_on(self, uri: str, correlator: str | None) -> int:
        """Answer an Exec."""
        status = self._take_on(uri, correlator)
        self._journal.executions.append(
            Execution(at=self._body.now, uri=uri, correlator=correlator, status=status)
        )
        return status

    def _take_on(self, uri: str, correlator: str | None) -> int:
        fumo = self._tree.fumo
        if self.job is not None and self.job.silent_until is None:
            return StatusCode.COMMAND_FAILED
        if uri == fumo.update:
            job = self._to_install(correlator)
        elif uri == fumo.download:
            job = self._to_download(AlertType.DOWNLOAD, uri, self._tree.download_url, correlator)
        else:
            kind = AlertType.DOWNLOAD_AND_UPDATE
            job = self._to_download(kind, uri, self._tree.package_url, correlator)
        if job is None:
            return StatusCode.NOT_ALLOWED
        if job.plan.fate is Fate.DECLINES and job.plan.refuses_exec:
            self._tally.declined += 1
            return StatusCode.NOT_MODIFIED
        if job.plan.fate is Fate.SILENT:
            job.silent_until = self._body.now + _SILENCE
            self._tree.state = State.DOWNLOAD_PROGRESSING if job.plan.stuck else State.IDLE
        self.job = job
        self._tally.accepted += 1
        self._tally.fates[job.plan.fate.value] += 1
        return StatusCode.ACCEPTED

    def _to_download(
        self, kind: AlertType, uri: str, url: str, correlator: str | None
    ) -> Job | None:
        if not url:
            return None
        self._attempts += 1
        plan = self._draw(self._attempts)
        return Job(kind=kind, uri=uri, correlator=correlator, plan=plan, url=url)

    def _to_install(self, correlator: str | None) -> Job | None:
        stored, data = self._stored, self._tree.data
        uri = self._tree.fumo.update
        if stored is not None:
            return Job(
                kind=AlertType.UPDATE,
                uri=uri,
                correlator=correlator,
                plan=stored.plan,
                stage=Stage.DOWNLOADED,
                received=stored.received,
                version=stored.version,
                digest=stored.digest,
            )
        if data is None:
            return None
        self._attempts += 1
        return Job(
            kind=AlertType.UPDATE,
            uri=uri,
            correlator=correlator,
            plan=self._draw(self._attempts),
            stage=Stage.DOWNLOADED,
            received=len(data),
            version=version_inside(data),
            digest=hashlib.sha256(data),
        )

    # --- the work ------------------------------------------------------------------------------

    def work(self) -> Part[None]:
        """Carry the job on to its end."""
        job, body, tree = self.job, self._body, self._tree
        assert job is not None, "there is work only with a job"
        if job.silent_until is not None:
            # It comes to itself again.
            tree.state = State.IDLE
            self.job = None
            return
        if job.stage is Stage.ACCEPTED:
            yield from body.rest(_BEGINS_AFTER_S)
            job.stage = Stage.DOWNLOADING
        if job.stage is Stage.DOWNLOADING:
            body.become(Phase.DOWNLOADING)
            tree.state = State.DOWNLOAD_PROGRESSING
            code = yield from self._download(job)
            if code != Result.SUCCESS:
                tree.state = State.DOWNLOAD_FAILED
                self._end(job, code)
                return
            job.stage = Stage.DOWNLOADED
        if job.kind is AlertType.DOWNLOAD:
            self._stored = job
            tree.state = State.DOWNLOAD_COMPLETE
            self._end(job, Result.SUCCESS)
            return
        yield from self._install(job)

    def _install(self, job: Job) -> Part[None]:
        body, tree, plan = self._body, self._tree, job.plan
        if job.stage is Stage.DOWNLOADED:
            tree.state = State.READY_TO_UPDATE
            if plan.fate is Fate.DECLINES:
                self._end(job, Result.USER_CANCELLED)
                return
            if plan.says_downloaded:
                body.report(job, Result.DOWNLOADED_INSTALLING)
            job.stage = Stage.INSTALLING
        if job.stage is Stage.INSTALLING:
            body.become(Phase.INSTALLING)
            tree.state = State.UPDATE_PROGRESSING
            yield from body.rest(plan.install_s)
            self._stored = tree.data = None
            if plan.fate is Fate.INSTALL_FAILS:
                tree.state = State.UPDATE_FAILED_NO_DATA
                self._end(job, Result.UPDATE_FAILED)
                return
            if plan.reports_early and self._reports(plan):
                body.report(job, Result.SUCCESS)
                yield from body.rest(1.0)
            job.stage = Stage.RESTARTING
        yield from body.restart(plan.reboot_s)
        self._come_up(job)

    def _come_up(self, job: Job) -> None:
        """The first moment after the restart."""
        tree, plan = self._tree, job.plan
        if plan.fate in (Fate.FALLS_BACK, Fate.VANISHES):
            self._tally.failed += 1
            tree.state = State.UPDATE_FAILED_NO_DATA
        else:
            self._tally.updated += 1
            tree.state = State.UPDATE_OK_NO_DATA
            tree.version = self._version(job)
            self._journal.installs.append(
                Install(
                    at=self._body.now,
                    version=tree.version,
                    correlator=job.correlator,
                    sha256=job.digest.hexdigest(),
                    size_bytes=job.received,
                )
            )
        if self._reports(plan) and not plan.reports_early:
            self._body.report(job, Result.SUCCESS)
        self._finish()

    def _version(self, job: Job) -> str:
        told = job.descriptor.version if job.descriptor is not None else ""
        known = job.version or told or self._tree.package_version or self._becomes
        # Of something unknown there is at least this to be said.
        return known or f"unknown-{job.digest.hexdigest()[:8]}"

    @staticmethod
    def _reports(plan: AttemptPlan) -> bool:
        return plan.fate not in (Fate.VANISHES, Fate.LOST_REPORT)

    def _end(self, job: Job, code: int) -> None:
        if code == Result.USER_CANCELLED:
            self._tally.declined += 1
        elif code != Result.SUCCESS:
            self._tally.failed += 1
        self._body.report(job, code)
        self._finish()

    def _finish(self) -> None:
        self.job = None
        self._body.become(Phase.IDLE)

    # --- the download --------------------------------------------------------------------------

    def _download(self, job: Job) -> Part[int]:
        """Fetch descriptor and package; return the result code."""
        tries = 0
        while True:
            url = job.url if job.descriptor is None else job.descriptor.url
            answer = yield Fetch(url=url, offset=job.received, limit=self._limit(job))
            code = self._take(job, answer)
            if code == Result.SUCCESS and job.descriptor is not None:
                yield from self._notify(job, "900 Success")
                return self._verify(job)
            if code is not None:
                yield from self._notify(job, "954 Loader Error")
                return code
            if answer.status in (200, 206) and answer.body:
                tries = 0
                pace = len(answer.body) / self._bytes_per_s if self._bytes_per_s else 0.0
                if self._is_to_be_cut(job):
                    job.is_cut = True
                    pace += _AFTER_CUT_S
            elif tries == len(_RETRY_S):
                return Result.DOWNLOAD_NETWORK_ERROR
            else:
                pace = answer.retry_after_s or _RETRY_S[tries]
                tries += 1
            if pace:
                yield from self._body.rest(pace)

    def _take(self, job: Job, answer: Answer) -> int | None:
        """Take what came; return a result code at the end, None to go on."""
        if answer.status == 416 and job.received:
            # It was complete, and nobody knew.
            return Result.SUCCESS
        if answer.status in (401, 403):
            return Result.DOWNLOAD_AUTHENTICATION_FAILED
        if answer.status in (404, 410):
            return Result.BAD_URL
        if answer.status not in (200, 206):
            self._journal.wrong(f"download answered {answer.status} {answer.error}".strip())
            return None
        if job.descriptor is None and answer.media_type == DESCRIPTOR_TYPE:
            try:
                job.descriptor = read_descriptor(answer.body)
            except MalformedError as error:
                self._journal.wrong(str(error))
                return Result.CLIENT_ERROR
            return None
        if job.descriptor is None:
            job.descriptor = Descriptor(url=job.url, size_bytes=answer.total)
        self._add(job, answer)
        size = job.descriptor.size_bytes
        plan = job.plan
        if plan.fate is Fate.DOWNLOAD_FAILS and job.received >= int(plan.stops_at * (size or 0)):
            return plan.code
        if size is not None and job.received > size:
            self._journal.wrong("the package is longer than its descriptor says")
            return Result.PACKAGE_CORRUPTED
        whole = size if answer.total is None else answer.total
        if whole is not None and job.received < whole:
            return None
        return Result.SUCCESS

    def _add(self, job: Job, answer: Answer) -> None:
        if answer.status == 206 and job.received:
            if answer.start != job.received:
                self._journal.wrong(f"a range from {answer.start} in place of {job.received}")
                return
            self._journal.ranges.append(job.received)
        elif job.received:
            # The whole of it once more.
            job.received = 0
            job.digest = hashlib.sha256()
        if not job.received:
            job.version = version_inside(answer.body)
        job.received += len(answer.body)
        job.digest.update(answer.body)
        self._tally.bytes_received += len(answer.body)

    def _limit(self, job: Job) -> int:
        """How much to read next, so that harm comes to the file where it was drawn to."""
        limit = _PIECE_BYTES
        if self._bytes_per_s is not None:
            limit = max(1024, min(limit, int(self._bytes_per_s * _SLOW_PIECE_S)))
        size = None if job.descriptor is None else job.descriptor.size_bytes
        if size is None:
            return limit
        plan = job.plan
        harms = []
        if plan.fate is Fate.DOWNLOAD_FAILS:
            harms.append(int(plan.stops_at * size))
        if plan.cut_at is not None and not job.is_cut:
            harms.append(int(plan.cut_at * size))
        ahead = [harm - job.received for harm in harms if harm > job.received]
        return max(1, min([limit, *ahead]))

    @staticmethod
    def _is_to_be_cut(job: Job) -> bool:
        size = None if job.descriptor is None else job.descriptor.size_bytes
        cut_at = job.plan.cut_at
        if size is None or cut_at is None or job.is_cut:
            return False
        return int(cut_at * size) <= job.received < size

    def _verify(self, job: Job) -> int:
        size = None if job.descriptor is None else job.descriptor.size_bytes
        if size is not None and job.received != size:
            self._journal.wrong(f"{job.received} bytes in place of {size}")
            return Result.PACKAGE_CORRUPTED
        return Result.PACKAGE_CORRUPTED if job.plan.fate is Fate.CORRUPTED else Result.SUCCESS

    def _notify(self, job: Job, line: str) -> Part[None]:
        """Tell whoever the descriptor names; whether it arrives does not matter."""
        url = "" if job.descriptor is None else job.descriptor.notify_url
        if url:
            self._journal.notices.append(line)
            yield Post(url=url, media_type="text/plain", body=line.encode())
