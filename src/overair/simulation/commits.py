"""What must hold of everything that one commit changed, together: messages for listeners, and bills.

Each change of a device and of a campaign is told in the commit that made it, in the words for what it is
then; and what is paid by event is on the bill with it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from overair.simulation.invariants import FINAL, Bench, Findings
from overair.simulation.words import DEVICES, LAST
from overair.store import witness
from overair.store.witness import Seen


def told_once(judge: Bench, seen: Sequence[Seen]) -> Findings:
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
            told.update((stream, what) for stream, what, _ in _mentions(change))
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


def _mentions(message: Seen) -> Iterator[tuple[str, str, str]]:
    """Of which campaign a message tells, of which device of it or which state, and the word for it."""
    version, _, stream = message.old.split("/", 2)
    body = message.facts
    if stream == "catalogue":
        return
    if version == "1":
        progress = body["upgradeProgress"]
        for device in progress.get("deviceList", ()):
            yield stream, device["deviceId"], device["status"]
    elif body["type"] == "deviceStatus":
        for device in body["deviceList"]:
            yield stream, device["deviceId"], device["status"]
    elif body["status"] in _STATUS:
        yield stream, _STATUS[body["status"]], body["status"]


def told_in_its_words(judge: Bench, seen: Sequence[Seen]) -> Findings:
    """A message calls a device what it is, where that is final, and nothing final where it is not."""
    changed: dict[tuple[str, str], list[str]] = {}
    for change in seen:
        if change.what == "upgrade":
            facts = change.facts
            changed.setdefault((facts["uuid"], facts["imei"]), []).append(facts["state"])
    for change in seen:
        if change.what != "message":
            continue
        version = int(change.old[0])
        words = DEVICES[version]
        for uuid, imei, word in _mentions(change):
            if imei in _STATUS.values():
                continue
            states = changed.get((uuid, imei)) or [witness.state(judge.tx, uuid, imei)]
            known = [words[state] for state in states if state in FINAL and state in words]
            if any(word in each for each in known):
                continue
            if len(known) == len(states) or word in LAST[version]:
                yield f"{imei} in {uuid} is told to be {word}, and is {states}"


def events_are_billed(judge: Bench, seen: Sequence[Seen]) -> Findings:
    """Where upgrades are paid by event, one that succeeds without a licence is on the bill, once."""
    due: Counter[str] = Counter()
    billed: Counter[str] = Counter()
    for change in seen:
        if change.what == "bill":
            billed[change.new] += 1
        elif change.what == "upgrade" and change.old != "succeeded":
            facts = change.facts
            if facts["state"] == "succeeded" and facts["paid"]:
                due[facts["imei"]] += 1
    for imei in sorted(due.keys() | billed.keys()):
        if due[imei] != billed[imei]:
            yield f"{imei} succeeded {due[imei]} times without a licence: {billed[imei]} are billed"


COMMITS: Final[tuple[Callable[[Bench, Sequence[Seen]], Findings], ...]] = (
    told_once,
    told_in_its_words,
    events_are_billed,
)
