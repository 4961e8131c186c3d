"""Results that a device has to report, until the server takes them (oma-dm 7.3).

They go with whatever session comes first, and are the reason for one if none does; what was not taken is
sent again with growing pauses. They outlive power cuts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from overair.protocols.syncml.codes import AlertCode, Format
from overair.protocols.syncml.fumo import REVERSED_DOMAIN_NAME
from overair.protocols.syncml.message import Alert, Item, Location, Meta
from overair.sim.omadm.manners import Manners, Oddity
from overair.sim.omadm.tally import Journal, Report
from overair.sim.omadm.update import Job

_RETRY_S = (60.0, 3600.0)
# Until one that is sent twice goes out again.
_AGAIN_S = 60.0


@dataclass(slots=True, kw_only=True)
class _Due:
    """A report that the server has not taken, or not as often as it is sent."""

    job: Job
    code: int
    times: int
    is_out: bool = False


class Reports:
    """The reports of one device. ``due_at`` is when they are worth a session; None: there are none."""

    def __init__(self, journal: Journal, manners: Manners) -> None:
        self.due_at: datetime | None = None
        self._journal = journal
        self._manners = manners
        self._due: list[_Due] = []
        self._fails = 0

    def add(self, job: Job, code: int, now: datetime) -> None:
        """Have one sent, at once."""
        self._due.append(_Due(job=job, code=code, times=2 if job.plan.reports_twice else 1))
        self._fails = 0
        self.due_at = now
        self._journal.reports.append(Report(at=now, correlator=job.correlator, code=code))

    def alerts(self) -> list[Alert]:
        """Return what a session that begins now is to say."""
        for due in self._due:
            due.is_out = True
        return [self._alert(due) for due in self._due]

    def settle(self, taken: Sequence[Alert], now: datetime) -> None:
        """Strike off what the server took in a session, and plan when to send the rest."""
        heard = {_mark(alert) for alert in taken}
        left: list[_Due] = []
        pauses: list[float] = []
        for due in self._due:
            if not due.is_out:
                # It came about during this very session.
                pauses.append(0.0)
            elif _mark(self._alert(due)) in heard:
                self._journal.taken(due.job.correlator, due.code, now)
                due.times -= 1
                if due.times == 0:
                    continue
                pauses.append(_AGAIN_S)
            due.is_out = False
            left.append(due)
        self._due = left
        if not left:
            self.due_at = None
            return
        if not pauses:
            shortest, longest = _RETRY_S
            pauses = [min(longest, shortest * 2 ** min(self._fails, 10))]
            self._fails += 1
        self.due_at = now + timedelta(seconds=min(pauses))

    def _alert(self, due: _Due) -> Alert:
        manners, job = self._manners, due.job
        kind = job.kind.value
        named = job.uri if manners.has(Oddity.NAMES_EXEC_NODE) else manners.root
        return Alert(
            cmd_id="",
            code=AlertCode.GENERIC,
            correlator=None if manners.has(Oddity.NO_CORRELATOR) else job.correlator,
            items=(
                Item(
                    source=Location(uri=named),
                    meta=Meta(
                        format=Format.CHR if manners.has(Oddity.RESULT_AS_TEXT) else Format.INT,
                        type=kind
                        if manners.has(Oddity.BARE_TYPE)
                        else f"{REVERSED_DOMAIN_NAME}{kind}",
                    ),
                    data=str(int(due.code)),
                ),
            ),
        )


def _mark(alert: Alert) -> tuple[object, ...]:
    # Numbers are given to an alert only when it goes out.
    return (alert.correlator, *(item.data for item in alert.items))
