"""v1: devices over OMA-DM, which are told to come, and are tried on after their campaign without limit.

Two days of a campaign, windows of four hours, a quarter of an hour between tries, an hour to show the new
version; a second campaign over the same devices may be asked for.

Begun with: a campaign that was just asked for; one that runs, whose devices have been notified; one that is
over and has left both devices queued.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from overair.config import Omadm, Settings
from overair.core.attempt import AttemptState
from overair.core.ids import AccountId, AttemptId, DeviceId
from overair.core.protocols import OMADM
from overair.core.upgrade import Reason
from overair.engine import push
from overair.simulation.explore.ground import (
    MONDAY,
    Event,
    Game,
    Ground,
    Shown,
    Sight,
    ask,
    day,
    furnish,
)
from overair.simulation.explore.operating import (
    campaign_events,
    carry_on,
    change_now,
    engine_events,
    license_events,
    numbered,
    second_campaign,
)
from overair.simulation.explore.view import Try, View
from overair.store.database import Tx

LATEST = 2  # attempts of a device that it still speaks of
VERSIONS = ("01", "02", "03")


class OmadmGame(Game):
    """Two devices over OMA-DM."""

    version = 1
    settings: Settings = msgspec.structs.replace(
        Settings(),
        omadm=Omadm(requeue_push_s=86_400),
        limits=msgspec.structs.replace(Settings().limits, sweep_devices=1),
    )
    instants: Sequence[datetime] = (
        MONDAY,
        MONDAY + timedelta(minutes=15),  # a repeat is due; the pause after a failure is over
        MONDAY + timedelta(hours=4),  # the window is over, and so is the time to show a version
        MONDAY + timedelta(days=1, hours=4),  # who is silent is asked; who waits is called unasked
        MONDAY + timedelta(days=1, hours=16),  # the campaign is over
        MONDAY + timedelta(days=3),  # and those who were queued are called again
    )
    ends: Sequence[datetime] = tuple(MONDAY + timedelta(days=days) for days in (5, 9, 20, 40))

    def prepare(self, tx: Tx) -> AccountId:
        return furnish(tx, OMADM, self.version, self.settings)

    def roots(self) -> Sequence[tuple[str, Sequence[Callable[[Ground], object]]]]:
        return (
            ("a campaign that was asked for", (_ask,)),
            ("a campaign that runs", (_ask, carry_on)),
            ("a campaign of yesterday that has left its devices queued", (_yesterday,)),
        )

    def events(self, view: View, now: datetime) -> Iterator[Event]:
        yield from engine_events(view, now)
        yield from campaign_events(view, now, day(1), change_now)
        yield from license_events(view)
        yield from second_campaign(view, _ask)
        for number, device_id in numbered(view):
            yield from device_events(view, number, device_id)

    def finish(self, ground: Ground, view: View) -> None:
        """Whoever is queued comes once more, and succeeds."""
        for _, device_id in numbered(view):
            _open(device_id)(ground)
            job = push.job_of(ground.tx, device_id, ground.settings, ground.now)
            if job is not None and job.in_window:
                push.executed(ground.tx, job, ground.settings, ground.now)
                push.succeeded(ground.tx, job, "02", ground.settings, ground.now)


def _ask(ground: Ground) -> None:
    ask(ground, (1, 2), version=1, protocol=OMADM)


def _yesterday(ground: Ground) -> None:
    """Nobody came in a campaign that ended last night."""
    now = ground.now
    ground.now = now - timedelta(days=1)
    ask(ground, (1, 2), version=1, protocol=OMADM, end=0)
    carry_on(ground)
    ground.now = now
    carry_on(ground)
    ground.seen.clear()


def device_events(view: View, number: int, device_id: DeviceId) -> Iterator[Event]:
    """What a device over OMA-DM, and the network that it is in, may do."""
    who = f"device {number}"
    yield Event(f"the network sees {who}", _attach(device_id), repeats=True)
    yield Event(f"{who} opens a session", _open(device_id), repeats=True)
    for version in VERSIONS:
        yield Event(f"{who} shows version {version}", _show(device_id, version), repeats=True)
    for each in view.tries(device_id)[-LATEST:]:
        yield from _reports(who, device_id, each)


def _reports(who: str, device_id: DeviceId, each: Try) -> Iterator[Event]:
    named = f"attempt {each.number}"
    if each.open and each.push is not None and each.push["executed_at"] is None:
        yield Event(f"{who} takes the command for {named}", _execute(device_id))
    if each.push is None or (each.push["executed_at"] is None and each.open):
        return  # it knows of no attempt whose command it has not got
    for words, report in (
        ("says that it has downloaded", push.downloaded),
        ("says that it succeeded, and shows the old version, with", push.await_version),
    ):
        yield Event(f"{who} {words} {named}", _say(device_id, each, report), repeats=True)
    for words, final in (("says that it failed with", False), ("can never do", True)):
        yield Event(f"{who} {words} {named}", _fail(device_id, each, final=final), repeats=True)
    yield Event(
        f"{who} says that it succeeded with, and shows, {named}",
        _succeed(device_id, each),
        repeats=True,
    )


def _attach(device_id: DeviceId) -> Callable[[Ground], object]:
    return lambda ground: push.attached(ground.tx, [device_id], ground.settings, ground.now)


def _open(device_id: DeviceId) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        push.begin_session(ground.tx, device_id, ground.settings, ground.now)
        job = push.job_of(ground.tx, device_id, ground.settings, ground.now)
        if job is not None and job.in_window and job.state is AttemptState.OFFERED:
            ground.seen.append(Sight(Shown.COMMAND, device_id, job.attempt_id))

    return happen


def _show(device_id: DeviceId, version: str) -> Callable[[Ground], object]:
    return lambda ground: push.version_seen(
        ground.tx, device_id, version, ground.settings, ground.now
    )


def _execute(device_id: DeviceId) -> Callable[[Ground], object]:
    """In a session, whoever may have its command is given it."""

    def happen(ground: Ground) -> None:
        job = push.job_of(ground.tx, device_id, ground.settings, ground.now)
        if job is not None and job.in_window:
            ground.seen.append(Sight(Shown.COMMAND, device_id, job.attempt_id))
            push.executed(ground.tx, job, ground.settings, ground.now)

    return happen


def _job(ground: Ground, device_id: DeviceId, each: Try) -> push.Job:
    """The attempt that a device names, as ``devices/dm`` finds it."""
    assert each.push is not None
    job = push.job_by_correlator(
        ground.tx, device_id, each.push["correlator"], ground.settings, ground.now
    )
    assert job is not None
    assert job.attempt_id == AttemptId(each.id)
    return job


def _say(device_id: DeviceId, each: Try, report: Callable[..., None]) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        report(ground.tx, _job(ground, device_id, each), ground.settings, ground.now)

    return happen


def _fail(device_id: DeviceId, each: Try, *, final: bool) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        job = _job(ground, device_id, each)
        reason = Reason.INSTALL_FAILED
        push.failed(ground.tx, job, reason, ground.settings, ground.now, final=final)

    return happen


def _succeed(device_id: DeviceId, each: Try) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        job = _job(ground, device_id, each)
        push.succeeded(ground.tx, job, "02", ground.settings, ground.now)

    return happen
