"""What is answered to devices, and to the network that tells of them.

That an attempt may begin is judged when it does (``invariants.py``). Before that and after it a device over HTTP asks
again and again, and what it is told must be right each time: its deployment as soon as it may be updated, and until it
has carried it out; nothing of an attempt that is over, no deployment where it is to be cancelled (``http-ddi.md`` 6),
and whether it may install now (``http-ddi.md`` 7).

An answer takes a while, and others write meanwhile. So what was held when the request arrived and when the answer
left is looked at, by the clock of the process that answered: an answer is wrong if it is by both.

Not in here: what devices that are told to come are shown; they are given a command once.
"""

import asyncio
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from overair.simulation.invariants import DAY, Bench, Findings, midnight, out_of_time, within
from overair.simulation.net import Host
from overair.store import witness
from overair.store.database import to_ms
from overair.store.witness import Held

_ASKS: Final = re.compile(r"/controller/v1/([0-9]{15})(?:/deploymentBase/([0-9]+))?(?:\?.*)?$")
_ATTACHED: Final = "/api/network/v1/events"
_SHOWN: Final = re.compile(rb"/deploymentBase/([0-9]+)")

# Polls that are less apart are one check-in, at five seconds (``http-ddi.md`` 8).
APART: Final = timedelta(seconds=6)
NEVER: Final = datetime.min.replace(tzinfo=UTC)

CALLED_S: Final = 2 * 3600.0  # within which who attaches is called

Answered = Callable[[int, bytes], Findings]
"""What is to be asked of an answer: of its status and its body."""


def shown_rightly(judge: Bench, host: Host, method: str, url: str, _body: bytes) -> Answered | None:
    """A device over HTTP is shown its deployment when it may be, and only then."""
    asks = _ASKS.search(url)
    if method != "GET" or asks is None:
        return None
    imei, action = asks.groups()
    before, asked_at = witness.held(judge.tx, imei), host.clock.now()

    def heard(status: int, body: bytes) -> Findings:
        if action is None and status in (200, 304):
            if asked_at - judge.polled_at.get(imei, NEVER) > APART:
                judge.polls[imei] += 1
            judge.polled_at[imei] = asked_at
        if status != 200:
            return
        shown = action
        if shown is None and (link := _SHOWN.search(body)) is not None:
            shown = link[1].decode()
        after, answered_at = witness.held(judge.tx, imei), host.clock.now()
        if shown is None:
            if before == after:
                yield from _not_in_vain(judge, before, (asked_at, answered_at))
            return
        yield from _still_under_way(imei, int(shown), before, after)
        if int(shown) != before.attempt or before.terms != after.terms:
            return
        moments = (asked_at, answered_at)
        if before.state == "offered":
            yield from _taken_up_in_time(judge, before, moments)
        if action is not None:
            yield from _when_to_install(judge, before, json.loads(body), moments)

    return heard


def _not_in_vain(judge: Bench, held: Held, moments: tuple[datetime, ...]) -> Findings:
    """A device that asks when it may be updated is; one that was shown its deployment still is."""
    facts = held.facts
    if not facts or facts["protocol"] != "HTTP":
        return
    if held.attempt is not None:
        # After the last day it is soon taken back, whoever gets to that first.
        goes_on = moments[-1] < midnight(facts["end_date"]) + DAY
        if held.state in ("retrieved", "running") and goes_on:
            yield f"{facts['imei']} is shown nothing, and is to carry {held.attempt} out"
        return
    runs = facts["status"] == "scheduled" and facts["state"] in ("accepted", "pending")
    rested = facts["not_before"] is None or facts["not_before"] <= to_ms(min(moments))
    free = facts["licensed"] or "EVNT" in (facts["paid"] or "EVNT") or facts["state"] == "pending"
    if runs and rested and free and not any(list(out_of_time(judge, facts, at)) for at in moments):
        yield f"{facts['imei']} asks in vain at {moments[-1]}: {held.terms}"


def _still_under_way(imei: str, shown: int, before: Held, after: Held) -> Findings:
    """A deployment is shown of the device's open attempt, and not while that is to be cancelled."""
    if shown <= before.newest and shown != before.attempt:
        yield f"{imei} is shown {shown}, and its attempt is {before.attempt}"
    states = {before.state, after.state}
    if shown == before.attempt == after.attempt and states == {"cancelling"}:
        yield f"{imei} is shown {shown}, which is to be cancelled"


def _taken_up_in_time(judge: Bench, held: Held, moments: tuple[datetime, ...]) -> Findings:
    """An offer that its device has not taken up is shown only when it might be made (``http-ddi.md`` 7)."""
    found = [list(out_of_time(judge, held.facts, at)) for at in moments]
    if all(found):
        yield f"{held.facts['imei']} is shown {held.attempt} once more {found[0][0]}"


def _when_to_install(
    judge: Bench, held: Held, body: Any, moments: tuple[datetime, ...]
) -> Findings:
    """A device that downloads first is told to install when it may, and only then; others always are."""
    facts = held.facts
    windows, after = facts["install"], facts["install_after"]
    told = body["deployment"]["update"], body["deployment"].get("maintenanceWindow")
    allowed: set[tuple[str, str | None]] = {("forced", None)}
    if judge.two_phase(facts["imei"]) and (windows or after):
        zone = judge.zone(facts["imei"])
        allowed = {
            ("forced", "available")
            if within(windows, at.astimezone(zone)) and not (after and at < midnight(after))
            else ("skip", "unavailable")
            for at in moments
        }
    if told not in allowed:
        yield f"{facts['imei']} is told {told} at {moments[-1]}, and installs in {windows}"


def called_when_there(
    judge: Bench, host: Host, method: str, url: str, body: bytes
) -> Answered | None:
    """A queued device of v1 over OMA-DM that attaches is called, unless it pauses (``lifecycle.md`` 3.5)."""
    if method != "POST" or not url.endswith(_ATTACHED):
        return None
    imeis = [event["imei"] for event in json.loads(body)["events"]]

    def heard(status: int, _answer: bytes) -> Findings:
        if status == 200:
            now_ms = to_ms(host.clock.now())
            due = {
                (imei, uuid)
                for imei in imeis
                for uuid, _, not_before in witness.waiting(judge.tx, imei)
                if not_before is None or not_before <= now_ms
            }
            # They are called at a pace, and by another process if this one dies.
            asyncio.get_running_loop().call_later(CALLED_S, look_again, due, judge.attempts)
        return iter(())

    def look_again(due: set[tuple[str, str]], attempts: int) -> None:
        for imei, uuid in sorted(due):
            waits = uuid in {found for found, _, _ in witness.waiting(judge.tx, imei)}
            if waits and not witness.begun_since(judge.tx, imei, attempts):
                judge.find(
                    "called when there", f"{imei} attached, waits in {uuid}, and is not called"
                )

    return heard


ANSWERS: Final = (shown_rightly, called_when_there)
