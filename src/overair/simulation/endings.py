"""What must hold at the end, when faults have stopped and everything has had its time; ``ENDS`` lists it.

The store is held against what others wrote down: devices their journals, listeners what they received, operators
what they were told was done. What the API says of it is another matter (``audit.py``).
"""

from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from overair.simulation.invariants import CLOSED, FINAL, OVER, Bench, Findings
from overair.simulation.scenario import Kind, Trouble
from overair.simulation.template import VERSIONS
from overair.store import witness

# What a device over OMA-DM says: all is done; the image is there, and is being installed; from here on, it failed.
_SUCCESS, _DOWNLOADED, _FAILURES = 200, 255, 400
_FLUSHED: Final = timedelta(seconds=5)
# After these what was sent may be sent again: nobody remembers it.
_FORGETS: Final = frozenset(
    {Trouble.CRASH, Trouble.PAUSE, Trouble.SLOW_DISK, Trouble.FULL_DISK, Trouble.CLOCK}
)


def everything_ends(judge: Bench, world: Any) -> Findings:
    """Every campaign ends, and every device in it, but for those that are tried on without limit."""
    for uuid, (status, closing_event, _) in witness.campaigns(judge.tx).items():
        if status not in OVER or closing_event is not None:
            yield f"campaign {uuid} is {status}, with {closing_event} to be carried to its devices"
    for member in witness.members(judge.tx):
        tried_on = member.state == "queued" and (member.version, member.protocol) == (1, "OMADM")
        if member.state not in FINAL and not tried_on:
            yield f"{member.imei} in {member.uuid} is {member.state}"
    for attempt in witness.tries(judge.tx).values():
        if attempt.state not in CLOSED and attempt.upgrade_state != "queued":
            yield f"attempt {attempt.id} of {attempt.imei} is {attempt.state}"


def reports_are_kept(judge: Bench, world: Any) -> Findings:
    """What a device was told had been taken is there, and had its effect."""
    yield from _pushed_reports(judge, world)
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


def _pushed_reports(judge: Bench, world: Any) -> Findings:
    """Over OMA-DM: how it ended, which the device said of an attempt by its name, and the server took.

    What it says of an attempt that is at its end already is not kept, and need not be: only of one that had
    but expired. Nor is it told apart whether it has the image.
    """
    tries, names = witness.tries(judge.tx), witness.correlators(judge.tx)
    codes = witness.codes(judge.tx)
    limit = judge.settings.limits.feedback_per_attempt
    for actor in judge.told_actors(world):
        if actor.plan.kind is not Kind.OMADM:
            continue
        truth = actor.core.truth()
        last = max((talk.at for talk in truth.dialogues if not talk.problem), default=None)
        # Whoever reports before it restarts has to come once more, to show it.
        shown = {made.correlator for made in truth.installs if last is not None and made.at < last}
        for report in truth.reports:
            if report.taken_at is None or not report.correlator or report.code == _DOWNLOADED:
                continue
            attempt = tries.get(names.get(report.correlator, 0))
            if attempt is None:
                yield f"{actor.imei} reported on {report.correlator}, of which nothing is known"
                continue
            if attempt.state == "expired":
                if report.code >= _FAILURES:
                    yield f"{actor.imei} failed in {attempt.id} with {report.code}; it is expired"
                elif (attempt.id, report.code) not in codes and attempt.feedback < limit:
                    yield f"{report.code} of {actor.imei} on {attempt.id} was lost"
            done = report.code == _SUCCESS and report.correlator in shown
            if done and attempt.upgrade_state != "succeeded":
                yield f"{actor.imei} installed {attempt.id}, said so, and is {attempt.upgrade_state}"


def pushed_success_is_true(judge: Bench, world: Any) -> Findings:
    """A device that is told to come succeeded if it installed it and shows that, and only then."""
    known = witness.versions(judge.tx)
    # Who said that it failed, and then runs it, may have it from somebody else.
    gave_up: dict[str, set[str]] = defaultdict(set)
    for attempt in witness.tries(judge.tx).values():
        if attempt.state == "failed":
            gave_up[attempt.imei].add(attempt.to_version)
    succeeded = [m for m in witness.members(judge.tx) if m.state == "succeeded"]
    for actor in judge.told_actors(world):
        installed = actor.installed()
        for member in succeeded:
            if member.imei == actor.imei and member.to_version not in installed:
                yield f"{actor.imei} succeeded in {member.uuid}, and installed {installed}"
        led = {member.to_version for member in succeeded if member.imei == actor.imei}
        led |= gave_up[actor.imei]
        if known[actor.imei] in installed and known[actor.imei] not in led:
            yield f"{actor.imei} shows {known[actor.imei]}, and succeeded in {sorted(led)}"
        if known[actor.imei] not in [*installed, VERSIONS[0]]:
            yield f"{actor.imei} is said to run {known[actor.imei]}, and installed {installed}"


def success_is_true(judge: Bench, world: Any) -> Findings:
    """A device over HTTP that succeeded has installed what it was given, and is said to run what it has run."""
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
    known = witness.versions(judge.tx)
    for imei, installed in judge.installed.items():
        ran = {attempt.to_version for attempt in tries if attempt.id in installed}
        if known[imei] not in {*ran, VERSIONS[0]}:
            yield f"{imei} is said to run {known[imei]}, and ran {sorted(ran)}"


def nobody_is_given_up_early(judge: Bench, world: Any) -> Findings:
    """A device of v1 over OMA-DM has four hours to come in (``lifecycle.md`` 3.5); by one clock, at least."""
    if any(fault.trouble is Trouble.CLOCK for fault in world.scenario.faults):
        return
    window_s = judge.settings.omadm.window_s
    for attempt_id, imei, waited_ms in witness.unanswered(judge.tx):
        if waited_ms < window_s * 1000:
            yield f"attempt {attempt_id} of {imei} was given up after {waited_ms} ms"


def contacts_are_kept(judge: Bench, world: Any) -> Findings:
    """Each check-in that was answered is in its device's history, unless it may have died with a process."""
    if any(fault.trouble in _FORGETS for fault in world.scenario.faults):
        return
    kept = witness.contacts(judge.tx)
    for imei, polls in sorted(judge.polls.items()):
        # Those of the last second are not written yet.
        due = polls - (world.transcript.now() - judge.polled_at[imei] < _FLUSHED)
        if kept.get(imei, 0) < due:
            yield f"{imei} checked in {due} times, and {kept.get(imei, 0)} are known"


def messages_arrive(judge: Bench, world: Any) -> Findings:
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


def nobody_else_is_told(judge: Bench, world: Any) -> Findings:
    """A message goes to whoever listened when it was written, and to no later listener."""
    went: dict[int, set[str]] = {}
    for received in world.listeners.received:
        went.setdefault(received.message, set()).add(received.url)
    for letter in witness.letters(judge.tx):
        home = judge.listeners[letter.version, letter.generation]
        for url in sorted(went.get(letter.id, set()) - {home}):
            yield f"message {letter.id} is for {home}, and went to {url}"


def nobody_is_told_twice(judge: Bench, world: Any) -> Findings:
    """What a listener acknowledged is not sent again, unless a process died, stood still, or could not write."""
    if any(fault.trouble in _FORGETS for fault in world.scenario.faults):
        return
    heard: set[int] = set()
    for received in world.listeners.received:
        if received.message in heard:
            yield f"message {received.message} is sent again"
        if received.heard:
            heard.add(received.message)


def late_truth_is_believed(judge: Bench, world: Any) -> Findings:
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


def the_word_is_kept(judge: Bench, world: Any) -> Findings:
    """What operators were told was done is so: campaigns are there, have their last days, and were stopped."""
    known = witness.campaigns(judge.tx)
    for asked in world.ledger.campaigns.values():
        if asked.uuid not in known:
            yield f"campaign {asked.name} was acknowledged and is not there"
            continue
        status, _, end_date = known[asked.uuid]
        if asked.stopped_at and status not in ("cancelled", "aborted"):
            yield f"campaign {asked.name} was stopped, and is {status}"
        if asked.last_day not in ("", end_date):
            yield f"campaign {asked.name} was to end on {asked.last_day}, and on {end_date} it does"


def the_word_on_devices_is_kept(judge: Bench, world: Any) -> Findings:
    """Devices that were added, it was said, were in their campaigns; licences were given and taken."""
    known = witness.campaigns(judge.tx)
    for asked in world.ledger.campaigns.values():
        if asked.uuid not in known:
            continue  # another rule's
        # Of what is stopped before it starts, devices may never be looked at.
        status = known[asked.uuid][0]
        due = set(asked.devices) if status != "cancelled" else set()
        if asked.version != 2 or status in ("ended", "aborted"):
            due |= asked.appended
        for imei in sorted(due):
            if (asked.uuid, imei) not in judge.members:
                yield f"{imei} was added to {asked.name}, and never was in it"
    for done, said, seen in (
        ("given", world.ledger.given, judge.given),
        ("taken", world.ledger.taken, judge.taken),
    ):
        for imei, times in sorted(said.items()):
            if seen[imei] < times:
                yield f"a licence of {imei} was {done} {seen[imei]} times; {times}, it was said"


ENDS: Final[tuple[Callable[[Bench, Any], Findings], ...]] = (
    everything_ends,
    reports_are_kept,
    pushed_success_is_true,
    success_is_true,
    contacts_are_kept,
    nobody_is_given_up_early,
    messages_arrive,
    nobody_else_is_told,
    nobody_is_told_twice,
    late_truth_is_believed,
    the_word_is_kept,
    the_word_on_devices_is_kept,
)
