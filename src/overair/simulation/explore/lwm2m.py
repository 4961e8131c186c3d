"""v3: devices over LwM2M in one cell that has room for one device in a slot of four hours.

Two days of a campaign with two slots a day, an hour between tries. Devices register and leave, move to a
cell beside, and the network says that it does not see them.

Begun with: a campaign that was just asked for; one whose devices have their slots and that begins tomorrow;
one that runs; one that one device is in and others join by themselves.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from overair.config import Lwm2m, Settings, Slots
from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.ids import AccountId, DeviceId
from overair.core.network import EventKind, NetworkEvent
from overair.core.protocols import LWM2M
from overair.core.slots.radio import CellKey
from overair.core.upgrade import Reason
from overair.core.window import Window
from overair.engine import network, push
from overair.engine.outcome import DeviceEvent, record
from overair.simulation.explore.ground import (
    DEVICES,
    MONDAY,
    Event,
    Game,
    Ground,
    Shown,
    Sight,
    ask,
    day,
    furnish,
    imei,
    prove,
)
from overair.simulation.explore.operating import (
    campaign_events,
    carry_on,
    change_now,
    engine_events,
    license_events,
    numbered,
)
from overair.simulation.explore.view import Try, View
from overair.store import fleet, slots
from overair.store.database import Tx

HERE: Final = CellKey("311-480-1")
THERE: Final = CellKey("311-480-2")
GOOD_DBM: Final = -80
LTE: Final = 6
WINDOWS: Final = (Window(8, 16),)
VERSIONS: Final = ("01", "02", "03")
_UNDER_WAY: Final = (AttemptState.OFFERED, AttemptState.RUNNING, AttemptState.DOWNLOADED)


class Lwm2mGame(Game):
    """Two devices over LwM2M."""

    version = 3
    settings: Settings = msgspec.structs.replace(
        Settings(),
        lwm2m=Lwm2m(coap="127.0.0.1:5683"),
        slots=Slots(good=1, fair=1, poor=1),
        limits=msgspec.structs.replace(Settings().limits, sweep_devices=1),
    )
    instants: Sequence[datetime] = (
        MONDAY,
        MONDAY + timedelta(hours=1),  # the pause after a failure, and the time to show a version
        MONDAY + timedelta(hours=4),  # the next slot
        MONDAY + timedelta(hours=8),  # the window is closed
        MONDAY + timedelta(days=1),  # the first slot of the next day
        MONDAY + timedelta(days=1, hours=4),
        MONDAY + timedelta(days=1, hours=16),  # the campaign is over
        MONDAY + timedelta(days=2),  # the first slot of the day after
    )
    ends: Sequence[datetime] = tuple(
        MONDAY + timedelta(days=days, hours=hours) for days, hours in ((3, 0), (5, 0), (40, 0))
    )

    def prepare(self, tx: Tx) -> AccountId:
        account = furnish(tx, LWM2M, self.version, self.settings)
        for device in fleet.known(tx, [*map(imei, DEVICES)]).values():
            _register(tx, device.id, MONDAY, registered=True)
            slots.set_location(tx, device.id, HERE, GOOD_DBM, LTE, MONDAY)
        return account

    def roots(self) -> Sequence[tuple[str, Sequence[Callable[[Ground], object]]]]:
        return (
            ("a campaign that was asked for", (prove, _ask)),
            ("a campaign that begins tomorrow", (prove, _ask_ahead, carry_on)),
            ("a campaign that runs", (prove, _ask, carry_on)),
            ("a campaign of one device that others join", (prove, _ask_open, carry_on)),
        )

    def events(self, view: View, now: datetime) -> Iterator[Event]:
        yield from engine_events(view, now)
        yield from campaign_events(view, now, day(2), change_now)
        yield from license_events(view)
        for number, device_id in numbered(view):
            yield from _radio_events(view, number, device_id)
            for each in view.tries(device_id)[-1:]:
                if each.state in _UNDER_WAY:
                    yield from _work(f"device {number}", device_id, each)
            for version in VERSIONS:
                yield Event(
                    f"device {number} shows version {version}",
                    _show(device_id, version),
                    repeats=True,
                )

    def finish(self, ground: Ground, view: View) -> None:
        """Whoever registers now is given nothing."""
        for _, device_id in numbered(view):
            _come(device_id)(ground)


def _ask(ground: Ground) -> None:
    ask(ground, DEVICES, version=3, protocol=LWM2M, windows=WINDOWS)


def _ask_ahead(ground: Ground) -> None:
    ask(ground, DEVICES, version=3, protocol=LWM2M, windows=WINDOWS, start=1, end=2)


def _ask_open(ground: Ground) -> None:
    ask(ground, DEVICES[:1], version=3, protocol=LWM2M, windows=WINDOWS, joins=True)


# Where a device is -------------------------------------------------------------------------------


def _radio_events(view: View, number: int, device_id: DeviceId) -> Iterator[Event]:
    who = f"device {number}"
    radio = view.by("device_network", "device_id")[device_id]
    yield Event(f"{who} registers", _come(device_id), repeats=True)
    if radio["registered"]:
        yield Event(f"{who} leaves", _leave(device_id), repeats=True)
    if radio["reachable"] is None or radio["reachable"]:
        yield Event(f"the network does not see {who}", _unseen(number, reaches=False))
    else:
        yield Event(f"the network sees {who}", _unseen(number, reaches=True))
    there = THERE if radio["cell"] == HERE else HERE
    yield Event(f"{who} moves to cell {there}", _move(device_id, there))


def _register(tx: Tx, device_id: DeviceId, now: datetime, *, registered: bool) -> None:
    slots.set_registration(
        tx,
        device_id,
        registered=registered,
        queue_mode=False,
        lifetime_s=86_400,
        heard_at=now,
    )


def _come(device_id: DeviceId) -> Callable[[Ground], object]:
    """As ``devices/lwm2m`` does it: it is there, and if it waits for its turn, this is it."""

    def happen(ground: Ground) -> None:
        tx, settings, now = ground.tx, ground.settings, ground.now
        _register(tx, device_id, now, registered=True)
        push.attached(tx, [device_id], settings, now)
        push.begin_session(tx, device_id, settings, now)
        _look(ground, device_id)

    return happen


def _look(ground: Ground, device_id: DeviceId) -> push.Job | None:
    """What the device is to do now, as ``devices/lwm2m/effects.py`` finds it."""
    job = push.job_of(ground.tx, device_id, ground.settings, ground.now)
    if job is None or job.state not in _UNDER_WAY:
        return None
    if job.state is AttemptState.OFFERED:
        if not job.in_window:
            return None
        ground.seen.append(Sight(Shown.COMMAND, device_id, job.attempt_id))
    return job


def _leave(device_id: DeviceId) -> Callable[[Ground], object]:
    return lambda ground: _register(ground.tx, device_id, ground.now, registered=False)


def _unseen(number: int, *, reaches: bool) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        told = NetworkEvent(
            kind=EventKind.REACHABILITY, imei=imei(number), at=ground.now, reachable=reaches
        )
        network.apply(ground.tx, [told], ground.now)

    return happen


def _move(device_id: DeviceId, cell: CellKey) -> Callable[[Ground], object]:
    return lambda ground: slots.set_location(ground.tx, device_id, cell, GOOD_DBM, LTE, ground.now)


# What it does ------------------------------------------------------------------------------------


def _work(who: str, device_id: DeviceId, each: Try) -> Iterator[Event]:
    named = f"attempt {each.number}"
    if each.state is AttemptState.OFFERED:
        yield Event(f"{who} is given the image for {named}", _begin(device_id))
        return
    if each.state is AttemptState.RUNNING:
        yield Event(f"{who} has the image for {named}", _with_job(device_id, push.downloaded))
    else:
        yield Event(f"{who} is told to update, {named}", _with_job(device_id, push.executed))
    for words, final in (("failed with", False), ("can never do", True)):
        yield Event(f"{who} {words} {named}", _fail(device_id, final=final))
    yield Event(f"{who} succeeded with {named}", _succeed(device_id))


def _begin(device_id: DeviceId) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        job = _look(ground, device_id)
        if job is not None:
            told = DeviceEvent(
                device_id=device_id, attempt_id=job.attempt_id, event=AttemptEvent.PROGRESS
            )
            record(ground.tx, told, ground.settings, ground.now)

    return happen


def _with_job(device_id: DeviceId, report: Callable[..., None]) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        job = _look(ground, device_id)
        if job is not None:
            report(ground.tx, job, ground.settings, ground.now)

    return happen


def _fail(device_id: DeviceId, *, final: bool) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        job = _look(ground, device_id)
        if job is not None:
            reason = Reason.DOWNLOAD_FAILED
            push.failed(ground.tx, job, reason, ground.settings, ground.now, final=final)

    return happen


def _succeed(device_id: DeviceId) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        job = _look(ground, device_id)
        if job is not None:
            push.succeeded(ground.tx, job, "02", ground.settings, ground.now)

    return happen


def _show(device_id: DeviceId, version: str) -> Callable[[Ground], object]:
    return lambda ground: push.version_seen(
        ground.tx, device_id, version, ground.settings, ground.now
    )
