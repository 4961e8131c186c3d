"""What must hold of each change, one function each; ``CHANGES`` lists them.

Invariants are of three kinds. Those of the store alone are ``overair verify``'s (``store/verify.py``), so that a live database
is looked at with the same eyes. Those of a *change* are asked of what the witness saw (``store/witness.py``),
commit by commit. Those of the *end* hold the store against what the others wrote down: devices, listeners,
operators (``endings.py``).

They know the rules from the specifications, and share no code with what they judge: a window that is wrong
in ``core/window.py`` has to be right here.

Not in here: when they are asked, and of what (``judge.py``); what changes of one commit have to do with each
other (``commits.py``); what a device is shown afterwards (``answers.py``).
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final, Protocol

from overair.config import Settings
from overair.store.database import Tx
from overair.store.witness import Seen

DAY: Final = timedelta(days=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
CLOSED: Final = frozenset({"finished", "failed", "cancelled", "expired"})
_LATE: Final = {"expired": frozenset({"finished", "failed"})}
FINAL: Final = frozenset({"rejected", "succeeded", "failed", "cancelled", "aborted"})
OVER: Final = frozenset({"ended", "request_failed", "failed", "cancelled", "aborted"})


class BrokenError(Exception):
    """Something that must hold does not."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.name = name
        self.text = text

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


Findings = Iterator[str]


class Bench(Protocol):
    """What invariants may look at."""

    settings: Settings
    tx: Tx
    begun_in: dict[tuple[str, int], set[str]]
    """Who began in which slot of which cell."""
    listeners: dict[tuple[int, int], str]
    """Where the listeners of each version and generation were to be found."""
    given: Counter[str]
    """How often each device was given a licence."""
    taken: Counter[str]
    """How often a licence was taken from it."""
    members: set[tuple[str, str]]
    """Campaigns and the devices that were ever in them."""
    polls: Counter[str]
    """How often devices over HTTP checked in, and were answered."""
    polled_at: dict[str, datetime]
    """When they did so last."""
    installed: dict[str, set[int]]
    """The attempts that devices over HTTP know to have installed."""

    attempts: int
    """How many have begun."""

    def find(self, name: str, text: str) -> None: ...

    def two_phase(self, imei: str) -> bool: ...

    def zone(self, imei: str) -> tzinfo: ...

    def http_truths(self, world: Any) -> Iterator[tuple[str, Any]]: ...

    def told_actors(self, world: Any) -> Iterator[Any]: ...


def _at(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=milliseconds)


def midnight(text: str) -> datetime:
    """00:00 UTC of a date."""
    return datetime.combine(date.fromisoformat(text), time(), UTC)


def within(windows: str, at: datetime) -> bool:
    """Whether an hour is one of ``"0-4,20-24"``."""
    if not windows:
        return True
    pairs = [part.split("-") for part in windows.split(",")]
    return any(int(start) * 60 <= at.hour * 60 + at.minute < int(end) * 60 for start, end in pairs)


# Of a change ---------------------------------------------------------------------------------------


def one_at_a_time(judge: Bench, seen: Seen) -> Findings:
    """An attempt begins only on a device that has none under way."""
    if seen.what == "begun" and seen.facts["open"]:
        yield f"{seen.facts['imei']} has another attempt than {seen.row_id} under way"


def only_when_running(judge: Bench, seen: Seen) -> Findings:
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


def only_in_its_days(judge: Bench, seen: Seen) -> Findings:
    """An attempt begins between the first and the last day, the dates and hours of its campaign."""
    if seen.what == "begun":
        for text in out_of_time(judge, seen.facts, _at(seen.facts["at"])):
            yield f"attempt {seen.row_id} began {text}"


def out_of_time(judge: Bench, facts: dict[str, Any], at: datetime) -> Findings:
    """Which days, dates and hours of a campaign do not allow it to be offered."""
    if facts["state"] == "queued" or facts["status"] == "ended":
        return
    if not midnight(facts["start_date"]) <= at < midnight(facts["end_date"]) + DAY:
        yield f"at {at}, outside its campaign's days"
    after = facts["download_after"]
    if after and at < midnight(after):
        yield f"at {at}, before {after}"
    if facts["version"] == 3 and not within(facts["download"], at):
        yield f"at {at}, outside {facts['download']}"
    if facts["protocol"] != "HTTP":
        return
    here = at.astimezone(judge.zone(facts["imei"]))
    if judge.two_phase(facts["imei"]):
        if not within(facts["download"], here):
            yield f"at {here}, outside {facts['download']}"
        return
    overlapping = any(
        within(facts["download"], moment) and within(facts["install"], moment)
        for moment in (at.replace(hour=hour, minute=0) for hour in range(24))
    )
    windows = [facts["download"], facts["install"]] if overlapping else [facts["install"]]
    for hours in windows:
        if not within(hours, here):
            yield f"at {here}, outside {hours}"
    after = facts["install_after"]
    if after and at < midnight(after):
        yield f"at {at}, before {after}"


def only_who_fits(judge: Bench, seen: Seen) -> Findings:
    """A campaign takes in devices of its make and model that run what its software is for."""
    if seen.what != "upgrade" or seen.old != "requested":
        return
    facts = seen.facts
    if facts["state"] == "accepted" and not facts["fits"]:
        yield f"{facts['imei']} is taken into {facts['uuid']}, whose software is not for it"


def only_when_over(judge: Bench, seen: Seen) -> Findings:
    """A campaign ends when its last day is over, or with nobody left in it."""
    if seen.what != "campaign" or seen.facts["status"] != "ended":
        return
    facts = seen.facts
    if facts["left"] and _at(facts["at"]) < midnight(facts["end_date"]) + DAY:
        yield f"{facts['uuid']} ended at {_at(facts['at'])}, before {facts['end_date']} was over"


def only_with_a_licence(judge: Bench, seen: Seen) -> Findings:
    """Where devices need licences, an attempt begins only on one that has its licence."""
    if seen.what != "begun":
        return
    facts = seen.facts
    if "EVNT" not in facts["terms"] and facts["terms"] and not facts["licensed"]:
        if facts["number"] > 1 and facts["state"] == "pending":
            return  # a started upgrade completes (lifecycle.md 6.4)
        yield f"attempt {seen.row_id} of {facts['imei']}, which has no licence"


def no_more_than_allowed(judge: Bench, seen: Seen) -> Findings:
    """Over HTTP a device is tried so often and no more; and none before its pause is over."""
    if seen.what != "begun":
        return
    facts = seen.facts
    if facts["protocol"] == "HTTP" and facts["number"] > judge.settings.limits.max_attempts:
        yield f"{facts['imei']} is tried for the {facts['number']}th time"
    if facts["not_before"] is not None and facts["at"] < facts["not_before"]:
        yield f"attempt {seen.row_id} began {facts['not_before'] - facts['at']} ms early"
    if facts["failed_at"] is not None and facts["protocol"] in ("HTTP", "OMADM"):
        rules = judge.settings
        pause_s = rules.retry_delay_s if facts["protocol"] == "HTTP" else rules.omadm.retry_pause_s
        rested_s = (facts["at"] - facts["failed_at"]) / 1000
        if rested_s < pause_s:
            yield f"attempt {seen.row_id} began {rested_s} s after one that failed"


def no_pilot_too_large(judge: Bench, seen: Seen) -> Findings:
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


def no_cell_too_full(judge: Bench, seen: Seen) -> Findings:
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


def closed_stays_closed(judge: Bench, seen: Seen) -> Findings:
    """What is over is over: an attempt, a device's upgrade, a campaign; but for late truth."""
    if seen.what == "attempt" and seen.old in CLOSED and seen.new not in _LATE.get(seen.old, ()):
        yield f"attempt {seen.row_id} was {seen.old} and is {seen.new}"
    elif seen.what == "upgrade" and seen.old in FINAL:
        state = seen.facts["state"]
        late = seen.old in ("failed", "cancelled", "aborted") and state == "succeeded"
        if state != seen.old and not late:
            yield f"the upgrade of {seen.facts['imei']} was {seen.old} and is {state}"
    elif seen.what == "campaign" and seen.old in OVER:
        yield f"campaign {seen.facts['uuid']} was {seen.old} and is {seen.facts['status']}"
    elif seen.what == "delivery" and seen.old in ("delivered", "dropped"):
        yield f"message {seen.row_id} was {seen.old} and is {seen.new}"


CHANGES: Final[tuple[Callable[[Bench, Seen], Findings], ...]] = (
    one_at_a_time,
    only_when_running,
    only_in_its_days,
    only_who_fits,
    only_when_over,
    only_with_a_licence,
    no_more_than_allowed,
    no_pilot_too_large,
    no_cell_too_full,
    closed_stays_closed,
)
