"""v2: devices that ask by themselves, over DDI.

Two days of a campaign with two open hours a day, two attempts for a device with ten minutes between them,
two downloads to an attempt, and an hour's grace after the end.

Begun with: a campaign that was just asked for; one that runs; one of a package that is not proven, which may
have one device.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from overair.config import Settings
from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.ids import AccountId, AttemptId, DeviceId
from overair.core.plan import Link
from overair.core.protocols import HTTP
from overair.core.window import Window
from overair.engine import assign
from overair.engine.outcome import DeviceEvent, Taken, note_bytes, record
from overair.simulation.explore.ground import (
    MONDAY,
    SIZE,
    Event,
    Game,
    Ground,
    Shown,
    Sight,
    ask,
    day,
    furnish,
    prove,
)
from overair.simulation.explore.operating import (
    campaign_events,
    carry_on,
    change_later,
    engine_events,
    license_events,
    numbered,
)
from overair.simulation.explore.view import Try, View
from overair.store import polls
from overair.store.database import Tx

WINDOWS: Final = (Window(8, 10),)
_SAID: Final = {
    AttemptEvent.PROGRESS: "says that it is at work on",
    AttemptEvent.DOWNLOAD: "says that it has downloaded",
    AttemptEvent.SUCCEED: "says that it succeeded with",
    AttemptEvent.FAIL: "says that it failed with",
    AttemptEvent.CANCEL_CONFIRM: "says that it stopped",
    AttemptEvent.CANCEL_REFUSE: "says that it will not stop",
}
_OF_CANCEL: Final = frozenset({AttemptEvent.CANCEL_CONFIRM, AttemptEvent.CANCEL_REFUSE})
LATEST: Final = 2  # attempts of a device that it still speaks of


class HttpGame(Game):
    """Two devices over DDI."""

    version = 2
    settings: Settings = msgspec.structs.replace(
        Settings(),
        retry_delay_s=600,
        grace_s=3600,
        limits=msgspec.structs.replace(
            Settings().limits,
            sweep_devices=1,
            max_attempts=2,
            downloads_per_attempt=2,
            pilot_devices=1,
            pilot_outcomes=1,
        ),
    )
    instants: Sequence[datetime] = (
        MONDAY,
        MONDAY + timedelta(minutes=10),  # the pause after a failure is over
        MONDAY + timedelta(hours=2),  # the window is closed
        MONDAY + timedelta(days=1),  # it is open again
        MONDAY + timedelta(days=1, hours=16),  # the campaign is over
        MONDAY + timedelta(days=1, hours=17),  # the grace is over
    )
    ends: Sequence[datetime] = (MONDAY + timedelta(days=3), MONDAY + timedelta(days=40))

    def prepare(self, tx: Tx) -> AccountId:
        return furnish(tx, HTTP, self.version, self.settings)

    def roots(self) -> Sequence[tuple[str, Sequence[Callable[[Ground], object]]]]:
        return (
            ("a campaign that was asked for", (prove, _ask)),
            ("a campaign that runs", (prove, _ask, carry_on)),
            ("a pilot campaign of one device that runs", (_ask_pilot, carry_on)),
        )

    def events(self, view: View, now: datetime) -> Iterator[Event]:
        yield from engine_events(view, now)
        yield from campaign_events(view, now, day(1), change_later)
        yield from license_events(view)
        for number, device_id in numbered(view):
            yield Event(f"device {number} polls", _poll(device_id), repeats=True)
            for each in view.tries(device_id)[-LATEST:]:
                yield from _reports(number, device_id, each)

    def finish(self, ground: Ground, view: View) -> None:
        for _, device_id in numbered(view):
            _poll(device_id)(ground)


def _ask(ground: Ground) -> None:
    ask(ground, (1, 2), version=2, protocol=HTTP, windows=WINDOWS)


def _ask_pilot(ground: Ground) -> None:
    ask(ground, (1,), version=2, protocol=HTTP, windows=WINDOWS)


def _reports(number: int, device_id: DeviceId, each: Try) -> Iterator[Event]:
    named = f"attempt {each.number}"
    attempt_id = AttemptId(each.id)
    if each.state is AttemptState.OFFERED:
        # What was not shown yet is not fetched: ids cannot be guessed without being the device.
        text = f"device {number} fetches {named}"
        yield Event(text, _fetch(device_id, attempt_id), repeats=True)
    for event, words in _SAID.items():
        text = f"device {number} {words} {named}"
        # A refused stop may be asked for again, and downloads are counted.
        yield Event(text, _report(device_id, attempt_id, event), repeats=True)
    yield Event(f"device {number} is sent the image for {named}", _send(device_id, attempt_id))


def _poll(device_id: DeviceId) -> Callable[[Ground], object]:
    """As ``devices/poll.py`` does it."""

    def happen(ground: Ground) -> None:
        tx, settings, now = ground.tx, ground.settings, ground.now
        seen = assign.look(tx, polls.get_device(tx, device_id), settings, now)
        if seen.may_offer:
            seen = assign.offer(tx, device_id, settings, now)
        if seen.deployment is not None:
            what = Shown.CANCEL if seen.link is Link.CANCEL else Shown.DEPLOYMENT
            ground.seen.append(Sight(what, device_id, seen.deployment.attempt_id))

    return happen


def _fetch(device_id: DeviceId, attempt_id: AttemptId) -> Callable[[Ground], object]:
    """As ``devices/actions.py`` does it: who may see it retrieves it."""

    def happen(ground: Ground) -> None:
        tx, settings, now = ground.tx, ground.settings, ground.now
        device = polls.get_device(tx, device_id)
        found = assign.deployment_for(tx, device, attempt_id, settings, now)
        if found.link is Link.DEPLOYMENT:
            assign.retrieve(tx, device_id, attempt_id, now)
            ground.seen.append(Sight(Shown.DEPLOYMENT, device_id, attempt_id))

    return happen


def _report(
    device_id: DeviceId, attempt_id: AttemptId, event: AttemptEvent
) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        told = DeviceEvent(
            device_id=device_id,
            attempt_id=attempt_id,
            event=event,
            to_cancel=event in _OF_CANCEL,
        )
        ground.taken = record(ground.tx, told, ground.settings, ground.now)
        if event is AttemptEvent.SUCCEED and ground.taken is Taken.TAKEN:
            ground.succeeded = attempt_id

    return happen


def _send(device_id: DeviceId, attempt_id: AttemptId) -> Callable[[Ground], object]:
    """As ``devices/artifacts.py`` does it: bytes of what it may download."""

    def happen(ground: Ground) -> None:
        tx, settings, now = ground.tx, ground.settings, ground.now
        device = polls.get_device(tx, device_id)
        allowed = assign.may_download(tx, device, settings, now)
        if attempt_id in {each.attempt_id for each in allowed}:
            note_bytes(tx, device_id, attempt_id, ((0, SIZE),), SIZE, settings, now)

    return happen
