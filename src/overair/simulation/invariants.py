"""What must always hold, one function each; ``JUDGED`` lists them with what they say.

Three kinds. Those of the store alone are ``overair verify``'s (``store/verify.py``), so that a live database
is looked at with the same eyes. Those of a *change* are asked of what the witness saw (``store/witness.py``),
commit by commit. Those of the *end* hold the store against what the others wrote down: devices, listeners,
operators.

They know the rules from the specifications, and share no code with what they judge: a window that is wrong
in ``core/window.py`` has to be right here.

Nothing is raised in the middle of somebody's commit: what does not hold is kept, and raised by the next look
at everything.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

from overair.config import Settings
from overair.simulation.scenario import Trouble
from overair.simulation.template import VERSIONS
from overair.simulation.transcript import Transcript
from overair.store import verify, witness
from overair.store.connection import SqliteTx, connect
from overair.store.witness import Seen

DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CLOSED: Final = frozenset({"finished", "failed", "cancelled", "expired"})
_LATE: Final = {"expired": frozenset({"finished", "failed"})}
_FINAL: Final = frozenset({"rejected", "succeeded", "failed", "cancelled", "aborted"})
_OVER: Final = frozenset({"ended", "request_failed", "failed", "cancelled", "aborted"})
_FORGETS: Final = frozenset(
    {Trouble.CRASH, Trouble.PAUSE, Trouble.SLOW_DISK, Trouble.FULL_DISK, Trouble.CLOCK}
)


class Broken(Exception):
    """Something that must hold does not."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.name = name
        self.text = text

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


Findings = Iterator[str]


def _at(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def _midnight(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), time(), UTC)


def _within(windows: str, at: datetime) -> bool:
    """Whether an hour is one of ``"0-4,20-24"``."""
    if not windows:
        return True
    pairs = [part.split("-") for part in windows.split(",")]
    return any(int(start) * 60 <= at.hour * 60 + at.minute < int(end) * 60 for start, end in pairs)


# Of a change ---------------------------------------------------------------------------------------


def one_at_a_time(judge: "Judge", seen: Seen) -> Findings:
    """An attempt begins only on a device that has none under way."""
    if seen.what == "begun" and seen.facts["open"]:
        yield f"{seen.facts['imei']} has another attempt than {seen.row_id} under way"


def only_when_running(judge: "Judge", seen: Seen) -> Findings:
    """An attempt begins only in a campaign that runs, or on a device that is tried on after it."""
    if seen.what != "begun":
        return
    facts = seen.facts
    running = facts["status"] == "scheduled" and facts["state"] in ("accepted", "pending")
    queued = facts["status"] == "ended" and facts["state"] == "queued"
    if not (running or queued):
        yield (
            f"attempt {seen.row_id} of {facts['imei']} began in a campaign that is"
            f" {facts['status']}, the device {facts['state']}"
        )


def only_in_its_days(judge: "Judge", seen: Seen) -> Findings:
    """An attempt begins between the first and the last day, the dates and hours of its campaign."""
    if seen.what != "begun":
        return
    facts = seen.facts
    at = _at(facts["at"])
    if facts["state"] == "queued" or facts["status"] == "ended":
        return
    if not _midnight(facts["start_date"]) <= at < _midnight(facts["end_date"]) + DAY:
        yield f"attempt {seen.row_id} began at {at}, outside its campaign's days"
    after = facts["download_after"]
    if after and at < _midnight(after):
        yield f"attempt {seen.row_id} began at {at}, before {after}"
    if facts["version"] == 3 and not _within(facts["download"], at):
        yield f"attempt {seen.row_id} began at {at}, outside {facts['download']}"
    if facts["protocol"] != "HTTP":
        return
    two_phase = judge.two_phase(facts["imei"])
    if two_phase:
        if not _within(facts["download"], at):
            yield f"attempt {seen.row_id} began at {at}, outside {facts['download']}"
        return
    overlapping = any(
        _within(facts["download"], moment) and _within(facts["install"], moment)
        for moment in (at.replace(hour=hour, minute=0) for hour in range(24))
    )
    windows = [facts["download"], facts["install"]] if overlapping else [facts["install"]]
    for hours in windows:
        if not _within(hours, at):
            yield f"attempt {seen.row_id} began at {at}, outside {hours}"
    after = facts["install_after"]
    if after and at < _midnight(after):
        yield f"attempt {seen.row_id} began at {at}, before {after}"


def only_with_a_licence(judge: "Judge", seen: Seen) -> Findings:
    """Where devices need licences, an attempt begins only on one that has its licence."""
    if seen.what != "begun":
        return
    facts = seen.facts
    if "EVNT" not in facts["terms"] and facts["terms"] and not facts["licensed"]:
        if facts["number"] > 1 and facts["state"] == "pending":
            return  # a started upgrade completes (lifecycle.md 6.4)
        yield f"attempt {seen.row_id} of {facts['imei']}, which has no licence"


def no_more_than_allowed(judge: "Judge", seen: Seen) -> Findings:
    """Over HTTP a device is tried so often and no more, and not before its pause is over."""
    if seen.what != "begun":
        return
    facts = seen.facts
    if facts["protocol"] == "HTTP" and facts["number"] > judge.settings.limits.max_attempts:
        yield f"{facts['imei']} is tried for the {facts['number']}th time"
    if facts["not_before"] is not None and facts["at"] < facts["not_before"]:
        yield f"attempt {seen.row_id} began {facts['not_before'] - facts['at']} ms early"


def no_pilot_too_large(judge: "Judge", seen: Seen) -> Findings:
    """A package that is not proven goes to no more devices of a v2 campaign than the pilot's."""
    if seen.what != "begun":
        return
    facts = seen.facts
    if (
        facts["version"] != 1
        and not facts["proven"]
        and facts["members"] > judge.settings.limits.pilot_devices
    ):
        yield f"attempt {seen.row_id} in an unproven campaign of {facts['members']} devices"


def no_cell_too_full(judge: "Judge", seen: Seen) -> Findings:
    """In one slot no more devices of a cell begin than its limit, and each in its own slot."""
    if seen.what != "begun" or seen.facts["version"] != 3:
        return
    facts = seen.facts
    if facts["cell"] is None:
        yield f"attempt {seen.row_id} of {facts['imei']} began without a slot"
        return
    if not facts["starts_at"] <= facts["at"] < facts["ends_at"]:
        yield f"attempt {seen.row_id} of {facts['imei']} began outside its slot"
    place = (facts["cell"], facts["slot"])
    begun = judge.begun_in.setdefault(place, set())
    begun.add(facts["imei"])
    if len(begun) > judge.settings.slots.good:
        yield f"{len(begun)} devices began in one slot of cell {facts['cell']}"


def closed_stays_closed(judge: "Judge", seen: Seen) -> Findings:
    """What is over is over: an attempt, a device's upgrade, a campaign; but for late truth."""
    if seen.what == "attempt" and seen.old in _CLOSED and seen.new not in _LATE.get(seen.old, ()):
        yield f"attempt {seen.row_id} was {seen.old} and is {seen.new}"
    elif seen.what == "upgrade" and seen.old in _FINAL:
        state = seen.facts["state"]
        late = seen.old in ("failed", "cancelled", "aborted") and state == "succeeded"
        if state != seen.old and not late:
            yield f"the upgrade of {seen.facts['imei']} was {seen.old} and is {state}"
    elif seen.what == "campaign" and seen.old in _OVER:
        yield f"campaign {seen.facts['uuid']} was {seen.old} and is {seen.facts['status']}"
    elif seen.what == "delivery" and seen.old in ("delivered", "dropped"):
        yield f"message {seen.row_id} was {seen.old} and is {seen.new}"


CHANGES: Final[tuple[Callable[["Judge", Seen], Findings], ...]] = (
    one_at_a_time,
    only_when_running,
    only_in_its_days,
    only_with_a_licence,
    no_more_than_allowed,
    no_pilot_too_large,
    no_cell_too_full,
    closed_stays_closed,
)


def told_once(judge: "Judge", seen: list[Seen]) -> Findings:
    """Each change that somebody listens for is in exactly one message, written with it."""
    due: Counter[tuple[str, str]] = Counter()
    told: Counter[tuple[str, str]] = Counter()
    placed: set[str] = set()
    for change in seen:
        if change.what == "upgrade" and change.facts["told"]:
            facts = change.facts
            shown = facts["version"] != 1 or facts["status"] in ("scheduled", "ended")
            if shown:
                due[facts["uuid"], facts["imei"]] += 1
        elif change.what == "campaign" and change.facts["told"]:
            facts = change.facts
            if facts["version"] != 1 and facts["status"] in _STATUS.values():
                due[facts["uuid"], facts["status"]] += 1
        elif change.what == "message":
            told.update(_mentions(change))
            if change.old.startswith("3/"):
                placed.add(change.old.split("/", 2)[2])
    for key in sorted(due.keys() | told.keys()):
        # In v3 a device's new place is told, too, though it is where it was in the campaign.
        if due[key] > told[key] or (due[key] < told[key] and key[0] not in placed):
            uuid, what = key
            yield f"{what} in {uuid} changed {due[key]} times and was told {told[key]} times"


_STATUS: Final = {
    "CampaignScheduled": "scheduled",
    "CampaignEnded": "ended",
    "CampaignRequestFailed": "request_failed",
    "CampaignFailed": "failed",
    "CampaignCancelled": "cancelled",
    "CampaignAborted": "aborted",
}


def _mentions(message: Seen) -> Iterator[tuple[str, str]]:
    version, _, stream = message.old.split("/", 2)
    body = message.facts
    if stream == "catalogue":
        return
    if version == "1":
        progress = body["upgradeProgress"]
        for device in progress.get("deviceList", ()):
            yield stream, device["deviceId"]
    elif body["type"] == "deviceStatus":
        for device in body["deviceList"]:
            yield stream, device["deviceId"]
    elif body["status"] in _STATUS:
        yield stream, _STATUS[body["status"]]


# Of the end ----------------------------------------------------------------------------------------


def everything_ends(judge: "Judge", world: Any) -> Findings:
    """Every campaign ends, and every device in it, but for those that are tried on without limit."""
    for uuid, (status, closing_event, _) in witness.campaigns(judge.tx).items():
        if status not in _OVER or closing_event is not None:
            yield f"campaign {uuid} is {status}, with {closing_event} to be carried to its devices"
    for member in witness.members(judge.tx):
        tried_on = member.state == "queued" and (member.version, member.protocol) == (1, "OMADM")
        if member.state not in _FINAL and not tried_on:
            yield f"{member.imei} in {member.uuid} is {member.state}"
    for attempt in witness.tries(judge.tx).values():
        if attempt.state not in _CLOSED and attempt.upgrade_state != "queued":
            yield f"attempt {attempt.id} of {attempt.imei} is {attempt.state}"


def reports_are_kept(judge: "Judge", world: Any) -> Findings:
    """What a device over HTTP was told had been taken is there, and had its effect."""
    tries, said = witness.tries(judge.tx), witness.said(judge.tx)
    limit = judge.settings.limits.feedback_per_attempt
    for imei, truth in judge.http_truths(world):
        for report in truth.reports:
            if report.status != 200:
                continue
            attempt = tries.get(report.action_id)
            if attempt is None:
                yield f"{imei} reported on {report.action_id}, of which nothing is known"
                continue
            kept = (report.action_id, report.execution, report.finished) in said
            if not kept and attempt.feedback < limit:
                yield f"{report.execution}/{report.finished} of {imei} on {attempt.id} was lost"
            if (report.resource, report.execution) != ("deploymentBase", "closed"):
                continue
            wanted = "finished" if report.finished == "success" else "failed"
            if attempt.state != wanted:
                yield f"{imei} closed {attempt.id} with {report.finished}; it is {attempt.state}"
            if wanted == "finished" and attempt.upgrade_state != "succeeded":
                yield f"{imei} succeeded in {attempt.id}, and is {attempt.upgrade_state}"


def pushed_success_is_true(judge: "Judge", world: Any) -> Findings:
    """A device that is told to come and succeeded has installed it, and is said to run what it has run."""
    known = witness.versions(judge.tx)
    succeeded = [m for m in witness.members(judge.tx) if m.state == "succeeded"]
    for actor in judge.told_actors(world):
        installed = actor.installed()
        for member in succeeded:
            if member.imei == actor.imei and member.to_version not in installed:
                yield f"{actor.imei} succeeded in {member.uuid}, and installed {installed}"
        if known[actor.imei] not in [*installed, VERSIONS[0]]:
            yield f"{actor.imei} is said to run {known[actor.imei]}, and installed {installed}"


def success_is_true(judge: "Judge", world: Any) -> Findings:
    """A device over HTTP that succeeded has installed what it was given."""
    tries = witness.tries(judge.tx).values()
    for imei, truth in judge.http_truths(world):
        installed = {install.action_id for install in truth.installs}
        closed = {
            report.action_id
            for report in truth.reports
            if report.execution == "closed" and report.finished == "success"
        }
        judge.installed.setdefault(imei, set()).update(installed | closed)
    for attempt in tries:
        if attempt.protocol != "HTTP" or attempt.state != "finished":
            continue
        if attempt.imei in judge.installed and attempt.id not in judge.installed[attempt.imei]:
            yield f"{attempt.imei} finished {attempt.id}, and never installed it"


def messages_arrive(judge: "Judge", world: Any) -> Findings:
    """Each message reached its listener, in order, at least once, or was given up for a reason."""
    heard: dict[int, int] = {}
    first: dict[int, int] = {}
    for place, received in enumerate(world.listeners.received):
        first.setdefault(received.message, place)
        if received.heard:
            heard.setdefault(received.message, place)
    last: dict[tuple[int, str], tuple[int, int]] = {}
    tries = len(judge.settings.callback_retry_s) + 1
    for letter in witness.letters(judge.tx):
        if letter.state in ("new", "queued"):
            yield f"message {letter.id} waits: {letter.state} after {letter.attempts} attempts"
        elif letter.state == "delivered" and letter.id not in heard:
            yield f"message {letter.id} is delivered, and nobody heard it"
        elif letter.state == "dropped" and not letter.outdated and letter.attempts < tries:
            yield f"message {letter.id} was dropped after {letter.attempts} attempts"
        stream = (letter.version, letter.stream)
        if letter.id in first:
            before = last.get(stream)
            if before is not None and first[letter.id] < before[1]:
                yield f"message {letter.id} was sent before {before[0]}, which is older"
            last[stream] = (letter.id, first[letter.id])


def nobody_is_told_twice(judge: "Judge", world: Any) -> Findings:
    """What a listener acknowledged is not sent again, unless a process died, stood still, or could not write."""
    if any(fault.trouble in _FORGETS for fault in world.scenario.faults):
        return
    heard: set[int] = set()
    for received in world.listeners.received:
        if received.message in heard:
            yield f"message {received.message} is sent again"
        if received.heard:
            heard.add(received.message)


def late_truth_is_believed(judge: "Judge", world: Any) -> Findings:
    """No device that says how an attempt ended, which had only expired, is told that it is too late."""
    tries = witness.tries(judge.tx)
    for imei, truth in judge.http_truths(world):
        for report in truth.reports:
            attempt = tries.get(report.action_id)
            if (
                attempt is not None
                and (report.resource, report.execution) == ("deploymentBase", "closed")
                and attempt.state == "expired"
            ):
                yield f"{imei} closed {attempt.id}, was answered {report.status}; it is expired"


def the_word_is_kept(judge: "Judge", world: Any) -> Findings:
    """What operators were told was done is so: campaigns are there, and stopped ones are stopped."""
    known = witness.campaigns(judge.tx)
    for asked in world.ledger.campaigns.values():
        if asked.uuid not in known:
            yield f"campaign {asked.name} was acknowledged and is not there"
        elif asked.stopped_at and known[asked.uuid][0] not in ("cancelled", "aborted"):
            yield f"campaign {asked.name} was stopped, and is {known[asked.uuid][0]}"


ENDS: Final[tuple[Callable[["Judge", Any], Findings], ...]] = (
    everything_ends,
    reports_are_kept,
    pushed_success_is_true,
    success_is_true,
    messages_arrive,
    nobody_is_told_twice,
    late_truth_is_believed,
    the_word_is_kept,
)


# Looking -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """An invariant, for people."""

    name: str
    says: str


def rules() -> list[Rule]:
    """All of them."""
    found = [Rule(check.name, check.says) for check in verify.CHECKS]
    for fn in (*CHANGES, told_once, *ENDS):
        text = (fn.__doc__ or "").strip().rstrip(".")
        found.append(Rule(fn.__name__.replace("_", " "), text[0].lower() + text[1:]))
    return found


class Judge:
    """Looks at a run, by itself: with a reading connection of its own."""

    def __init__(self, database: Path, settings: Settings, transcript: Transcript) -> None:
        self.settings = settings
        self.transcript = transcript
        self._connection = connect(str(database), read_only=True)
        self.tx = SqliteTx(self._connection)
        self._last = 0
        self._looked = -1
        self.broken: list[Broken] = []
        self.attempts = 0
        self.begun_in: dict[tuple[str, int], set[str]] = {}
        self.installed: dict[str, set[int]] = {}
        self._two_phase: frozenset[str] = frozenset()

    def set_two_phase(self, imeis: frozenset[str]) -> None:
        self._two_phase = imeis

    def two_phase(self, imei: str) -> bool:
        return imei in self._two_phase

    def http_truths(self, world: Any) -> Iterator[tuple[str, Any]]:
        """What devices over HTTP did, life by life."""
        for actor in world.actors.values():
            if hasattr(actor, "truths"):
                for truth in actor.truths():
                    yield actor.imei, truth

    def told_actors(self, world: Any) -> Iterator[Any]:
        """Devices over OMA-DM and LwM2M."""
        return (actor for actor in world.actors.values() if hasattr(actor, "installed"))

    def look(self) -> None:
        """At what was committed since the last time."""
        found = witness.since(self.tx, self._last)
        if not found:
            return
        self._last = found[-1].id
        for seen in found:
            self._note(seen)
            for rule in CHANGES:
                for text in rule(self, seen):
                    self.find(rule.__name__.replace("_", " "), text)
        for text in told_once(self, found):
            self.find("told once", text)

    def _note(self, seen: Seen) -> None:
        note = self.transcript.note
        match seen.what:
            case "begun":
                self.attempts += 1
                note("engine", f"attempt {seen.row_id} of {seen.facts['imei']} begins")
            case "attempt":
                note("engine", f"attempt {seen.row_id}: {seen.old} -> {seen.new}")
            case "upgrade":
                facts = seen.facts
                moved = f"{seen.old} -> {facts['state']} ({facts['reason']})"
                note("engine", f"{facts['imei']} in {facts['uuid'][:8]}: {moved}")
            case "campaign":
                note("engine", f"{seen.facts['uuid'][:8]}: {seen.old} -> {seen.facts['status']}")
            case "license":
                note("engine", f"licence of {seen.row_id}: {seen.new or 'gone'}")
            case "message":
                note("engine", f"message {seen.row_id} is written")
            case _:
                note("engine", f"message {seen.row_id}: {seen.old} -> {seen.new}")

    def find(self, name: str, text: str) -> None:
        """Something does not hold."""
        self.transcript.note("judge", f"{name}: {text}")
        self.broken.append(Broken(name, text))

    def look_at_all(self) -> None:
        """Recount everything. Raises Broken if anything does not hold, or did not."""
        if self._looked != self._last:
            self._looked = self._last
            for check, finding in verify.verify(self.tx):
                if finding is not None:
                    self.find(check.name, str(finding.rows[:3]))
        if self.broken:
            raise self.broken.pop()

    def last_end(self) -> datetime | None:
        """When the last campaign's last day is over."""
        days = [end for _, _, end in witness.campaigns(self.tx).values()]
        return _midnight(max(days)) + DAY if days else None

    def at_the_end(self, world: Any) -> None:
        """Everything, and what only holds at the end. Raises Broken."""
        self._looked = -1
        for rule in ENDS:
            for text in rule(self, world):
                self.find(rule.__name__.replace("_", " "), text)
        self.look_at_all()

    def content(self) -> list[tuple[str, list[tuple[Any, ...]]]]:
        """Everything that the database holds; the last look."""
        with closing(self._connection):
            return list(witness.content(self.tx))
