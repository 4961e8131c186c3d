"""Stories of v3 campaigns: each device begins in a slot of its cell, when it can be reached."""

from datetime import datetime, timedelta
from typing import Any

import msgspec

from overair.config import Lwm2m, Slots
from overair.core.attempt import AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.ids import CampaignId
from overair.core.network import EventKind, EventResult, NetworkEvent
from overair.core.slots.radio import CellKey
from overair.core.upgrade import Reason, UpgradeState
from overair.engine import network, push, slots
from overair.engine.catalog import put_software
from overair.engine.push import Job
from overair.store import slots as store
from overair.store.slots import SlotRow
from tests.engine.world import SETTINGS, World, hours, imei, software, story

S = CampaignStatus
U = UpgradeState
R = Reason

FIRMWARE = "FW_Acme_X1_LWM2M"
HERE, THERE = CellKey("311-480-1"), CellKey("311-480-2")
GOOD, POOR = -80, -120


def fleet(w: World, *numbers: int, cell: CellKey = HERE, dbm: int | None = GOOD) -> None:
    """Devices over LwM2M that are registered, in a cell."""
    w.settings = msgspec.structs.replace(
        SETTINGS, lwm2m=Lwm2m(coap="127.0.0.1:5683"), slots=Slots(good=2, fair=1, poor=1)
    )
    put_software(w.tx, software(name=FIRMWARE, protocol="LWM2M"), w.now)
    w.add_devices(*numbers, protocol="LWM2M")
    for number in numbers:
        come(w, number)
        move(w, number, cell, dbm)


def come(w: World, number: int, *, registered: bool = True) -> None:
    """The device registers, or is gone."""
    device_id = w.device(number).id
    store.set_registration(
        w.tx,
        device_id,
        registered=registered,
        queue_mode=False,
        lifetime_s=86_400,
        heard_at=w.now,
    )
    if registered:
        push.attached(w.tx, [device_id], w.settings, w.now)


def move(w: World, number: int, cell: CellKey, dbm: int | None = GOOD) -> None:
    store.set_location(w.tx, w.device(number).id, cell, dbm, 6, w.now)


def campaign(w: World, *numbers: int, **asked: object) -> CampaignId:
    plain: dict[str, object] = {
        "api_version": 3,
        "package_name": FIRMWARE,
        "from_version": "01",
        "protocols": frozenset({"LWM2M"}),
        "distribution_type": "LWM2M",
    }
    return w.campaign(numbers, **(plain | asked))


def place(w: World, number: int, made: CampaignId) -> SlotRow | None:
    upgrade = w.upgrade(number, made)
    return store.places(w.tx, [upgrade.id]).get(upgrade.id)


def starts(w: World, made: CampaignId, *numbers: int) -> list[datetime | None]:
    """When their slots begin."""
    rows = [place(w, number, made) for number in numbers]
    return [None if row is None else row.starts_at for row in rows]


def work(w: World) -> None:
    """Do what is due; nobody is notified over LwM2M."""
    w.carry_on()
    for _ in range(3):
        assert push.due(w.tx, w.settings, w.now, 1000) == []


def job(w: World, number: int) -> Job | None:
    return push.job_of(w.tx, w.device(number).id, w.settings, w.now)


def at_work(w: World, *numbers: int) -> list[int]:
    """Who of these may be updated now."""
    found = []
    for number in numbers:
        given = job(w, number)
        if given is not None and given.in_window:
            found.append(number)
    return found


def succeed(w: World, number: int) -> None:
    given = job(w, number)
    assert given is not None
    push.executed(w.tx, given, w.settings, w.now)
    push.succeeded(w.tx, given, "02", w.settings, w.now)


@story
def test_a_campaign_is_slotted_before_it_starts(w: World) -> None:
    """Two in each slot of a cell; nobody begins before the start date, or before his slot."""
    fleet(w, 1, 2, 3, 4)
    fleet(w, 5, cell=THERE)
    made = campaign(w, 1, 2, 3, 4, 5, start=1, end=9)
    assert w.status(made) is S.SCHEDULED
    midnight = w.now.replace(hour=0) + timedelta(days=1)
    later = midnight + timedelta(hours=4)
    assert starts(w, made, 1, 2, 3, 4, 5) == [midnight, midnight, later, later, midnight]
    assert w.outcome(1, made) == (U.ACCEPTED, R.SLOTTED)
    work(w)
    assert at_work(w, 1, 2, 3, 4, 5) == []
    w.wait_until(midnight)
    work(w)
    assert at_work(w, 1, 2, 3, 4, 5) == [1, 2, 5]
    assert w.outcome(1, made) == (U.PENDING, R.NOTIFIED)
    for number in (1, 2, 5):
        succeed(w, number)
    w.wait_until(later)
    work(w)
    assert at_work(w, 3, 4) == [3, 4]
    for number in (3, 4):
        succeed(w, number)
    w.wait(minutes=1)
    assert w.status(made) is S.ENDED
    assert w.counts(made) == {U.SUCCEEDED: 5}


@story
def test_signals_share_a_slot(w: World) -> None:
    """One with a poor signal needs a slot for itself."""
    fleet(w, 1, 2, 3)
    move(w, 2, HERE, POOR)
    made = campaign(w, 1, 2, 3, start=1, end=9)
    begins = starts(w, made, 1, 2, 3)
    assert len({begins[0], begins[1]}) == 2
    assert begins[0] == begins[2]


@story
def test_campaigns_share_cells(w: World) -> None:
    """What one campaign has taken of a cell the other has not; what is not needed is given back."""
    fleet(w, 1, 2, 3, 4)
    first = campaign(w, 1, 2, start=1, end=9)
    second = campaign(w, 3, 4, start=1, end=9)
    midnight = w.now.replace(hour=0) + timedelta(days=1)
    assert starts(w, first, 1, 2) == [midnight] * 2
    assert starts(w, second, 3, 4) == [midnight + timedelta(hours=4)] * 2
    slots.release(w.tx, [w.upgrade(number, first).id for number in (1, 2)])
    assert [row.share > 0 for row in store.taken(w.tx, [HERE], 0)] == [False, True]
    assert starts(w, first, 1, 2) == [None, None]


@story
def test_a_device_that_cannot_be_reached_waits_for_that(w: World) -> None:
    """It has no slot until it registers; then it has the first one with room."""
    fleet(w, 1, 2)
    come(w, 2, registered=False)
    made = campaign(w, 1, 2, end=9)
    assert w.outcome(2, made) == (U.ACCEPTED, R.NOT_REACHABLE)
    assert w.upgrade(2, made).due_at is None
    work(w)
    assert at_work(w, 1, 2) == [1]
    succeed(w, 1)
    w.wait(days=2)
    work(w)
    assert at_work(w, 2) == []
    come(w, 2)
    work(w)
    assert at_work(w, 2) == [2]
    succeed(w, 2)
    w.wait(minutes=1)
    assert w.status(made) is S.ENDED


@story
def test_the_network_says_who_can_be_reached(w: World) -> None:
    """Its word gives a device its slot, takes it away, and tells the cell (``docs/network.md``)."""
    fleet(w, 1)
    made = campaign(w, 1, end=9)
    w.now += timedelta(minutes=1)
    tell(w, 1, EventKind.REACHABILITY, reachable=False)
    work(w)
    assert w.outcome(1, made) == (U.ACCEPTED, R.NOT_REACHABLE)
    w.wait(hours=3)
    tell(w, 1, EventKind.CELL, cell=THERE, rsrp_dbm=POOR, bearer=6)
    tell(w, 1, EventKind.REACHABILITY, reachable=True)
    work(w)
    assert at_work(w, 1) == [1]
    given = place(w, 1, made)
    assert given is not None
    assert given.held.cell == THERE


def tell(w: World, number: int, kind: EventKind, **said: Any) -> None:
    event = NetworkEvent(imei=imei(number), kind=kind, at=w.now, **said)
    assert network.apply(w.tx, [event], w.now) == [EventResult.APPLIED]


@story
def test_a_device_that_is_gone_when_its_slot_opens_loses_it(w: World) -> None:
    """Nobody waits for it; its place is free for others."""
    fleet(w, 1, 2, 3)
    made = campaign(w, 1, 2, 3, start=1, end=9)
    come(w, 1, registered=False)
    w.wait_until(w.now.replace(hour=0) + timedelta(days=1))
    work(w)
    assert at_work(w, 1, 2, 3) == [2]
    assert w.outcome(1, made) == (U.ACCEPTED, R.NOT_REACHABLE)
    assert place(w, 1, made) is None


@story
def test_a_device_that_moved_needs_a_place_where_it_is(w: World) -> None:
    """In a cell that is full at that hour it gets the next slot there."""
    fleet(w, 1)
    fleet(w, 2, 3, cell=THERE)
    made = campaign(w, 1, 2, 3, start=1, end=9)
    midnight = w.now.replace(hour=0) + timedelta(days=1)
    move(w, 1, THERE)
    w.wait_until(midnight)
    work(w)
    assert at_work(w, 1, 2, 3) == [2, 3]
    assert starts(w, made, 1) == [midnight + timedelta(hours=4)]


@story
def test_a_failure_gets_the_next_slot(w: World) -> None:
    """After the pause, with its tries counted, for as long as there is time."""
    fleet(w, 1)
    made = campaign(w, 1, end=1)
    work(w)
    tries = 0
    while at_work(w, 1):
        tries += 1
        given = job(w, 1)
        assert given is not None
        push.executed(w.tx, given, w.settings, w.now)
        push.failed(w.tx, given, R.INSTALL_FAILED, w.settings, w.now, code=8)
        if w.upgrade(1, made).state is U.FAILED:
            break
        following = place(w, 1, made)
        if following is None:
            # Its own tries have used up the last slot.
            assert w.outcome(1, made) == (U.PENDING, R.CELL_FULL)
            break
        assert w.outcome(1, made) == (U.PENDING, R.RETRY_QUEUED)
        assert following.starts_at >= w.now + timedelta(hours=1)
        w.wait_until(following.starts_at)
        work(w)
    assert tries > 5
    w.wait(days=1)
    work(w)
    assert w.upgrade(1, made).attempts == tries
    assert w.upgrade(1, made).state is U.FAILED
    assert w.status(made) is S.ENDED


@story
def test_a_slot_that_passes_without_the_device_is_followed_by_another(w: World) -> None:
    """It was there when the slot opened, and never came: it has another turn."""
    fleet(w, 1)
    made = campaign(w, 1, end=5)
    work(w)
    given = place(w, 1, made)
    assert given is not None
    w.wait_until(given.ends_at)
    work(w)
    (_, attempt) = w.explain(1).attempts
    assert (attempt.state, attempt.reason) == (AttemptState.EXPIRED, R.NO_RESPONSE)
    assert at_work(w, 1) == [1]
    assert w.upgrade(1, made).attempts == 2


@story
def test_a_slot_that_passes_without_the_server_is_followed_by_another(w: World) -> None:
    """We were away while it was open: nothing begins in it any more, it was no try, and another is given at once."""
    fleet(w, 1, 2, 3)
    made = campaign(w, 1, 2, 3, start=1, end=5)
    midnight = w.now.replace(hour=0) + timedelta(days=1)
    assert starts(w, made, 1, 2, 3) == [midnight, midnight, midnight + timedelta(hours=4)]
    w.wait_until(midnight - timedelta(minutes=1))
    work(w)
    away = midnight + timedelta(hours=4)
    w.now = away
    work(w)
    # Those whose slot that is may begin in it; the others have what room there is left.
    assert at_work(w, 1, 2, 3) == [1, 3]
    assert starts(w, made, 1, 2, 3) == [away, away + timedelta(hours=4), away]
    assert w.upgrade(2, made).attempts == 0


@story
def test_a_success_told_late_gives_back_the_next_slot(w: World) -> None:
    """Who was taken for silent, and then shows the new version, needs no further turn: others may have it."""
    fleet(w, 1, 2)
    made = campaign(w, 1, end=5)
    work(w)
    given = job(w, 1)
    assert given is not None
    push.executed(w.tx, given, w.settings, w.now)
    push.failed(w.tx, given, R.INSTALL_FAILED, w.settings, w.now, code=8)
    following = place(w, 1, made)
    assert following is not None
    assert not following.begun
    push.succeeded(w.tx, given, "02", w.settings, w.now)
    assert w.outcome(1, made) == (U.SUCCEEDED, R.SUCCESS)
    assert place(w, 1, made) is None


@story
def test_a_device_that_failed_and_then_misses_a_slot(w: World) -> None:
    """What it waits for is its next try: that it did not turn up in between makes no first try of that."""
    fleet(w, 1)
    made = campaign(w, 1, end=5)
    work(w)
    given = job(w, 1)
    assert given is not None
    push.executed(w.tx, given, w.settings, w.now)
    push.failed(w.tx, given, R.INSTALL_FAILED, w.settings, w.now, code=8)
    for _ in range(2):
        following = place(w, 1, made)
        assert following is not None
        assert w.outcome(1, made) == (U.PENDING, R.RETRY_QUEUED)
        w.wait_until(following.starts_at)
        work(w)
        # It is there, and has moved before anything was asked of it.
        here = store.radio(w.tx, w.device(1).id).cell
        move(w, 1, THERE if here == HERE else HERE)
        push.moved(w.tx, w.device(1).id, w.settings, w.now)
    assert w.outcome(1, made) == (U.PENDING, R.RETRY_QUEUED)


@story
def test_every_wait_for_a_slot_is_explained(w: World) -> None:
    """Its slot, its being reached, room in its cell: what a person is told is what it waits for."""
    fleet(w, 1, 2, 3)
    come(w, 2, registered=False)
    made = campaign(w, 1, 2, start=1, end=1, download_windows=hours((0, 1)))
    begin = w.now.replace(hour=0) + timedelta(days=1)
    assert (w.explain(1).wait, w.explain(1).until) == ("slot", begin)
    assert HERE in w.explain(1).sentence
    assert (w.explain(2).wait, w.explain(2).until) == ("reach", None)
    move(w, 3, HERE, POOR)
    other = campaign(w, 3, start=1, end=1, download_windows=hours((0, 1)))
    assert w.outcome(3, other) == (U.ACCEPTED, R.CELL_FULL)
    assert w.explain(3).wait == "cell"
    w.wait_until(begin)
    work(w)
    assert w.explain(1).wait == "offered"
    assert w.outcome(1, made) == (U.PENDING, R.NOTIFIED)


@story
def test_devices_that_fit_join_by_themselves(w: World) -> None:
    """Of the same model and version, in no campaign, once; never more than a pilot may have."""
    w.settings = msgspec.structs.replace(SETTINGS, lwm2m=Lwm2m(coap="127.0.0.1:5683"))
    fleet(w, 1)
    made = campaign(w, 1, end=9, auto_add_devices=True)
    w.add_devices(2)  # over HTTP
    fleet(w, 3)
    w.add_devices(4, protocol="LWM2M", version="00")
    w.wait(minutes=1)
    assert w.members(made) == {imei(1), imei(3)}
    assert w.outcome(3, made) == (U.ACCEPTED, R.SLOTTED)
    fleet(w, *range(10, 40))
    w.wait(minutes=1)
    assert len(w.members(made)) == w.settings.limits.pilot_devices
    alone = campaign(w, 35, end=9)
    w.wait(minutes=5)
    assert w.members(alone) == {imei(35)}


@story
def test_windows_and_dates_hold(w: World) -> None:
    """Slots are inside the campaign's windows, also when it begins in the middle of a day."""
    fleet(w, *range(1, 7))
    made = campaign(w, *range(1, 7), end=2, download_windows=hours((1, 3), (22, 24)))
    begins = starts(w, made, *range(1, 7))
    assert all(begin is not None and begin.hour in (1, 22) for begin in begins)
    assert len(set(begins)) == 3
    assert begins[0] == w.now.replace(hour=22)


def _image(w: World, sha256: str | None) -> None:
    """Whether there is anything to give to devices."""
    w.tx.execute("update package set artifact_sha256 = ? where name = ?", (sha256, FIRMWARE))


@story
def test_what_is_not_there_in_a_slot_is_no_fault_of_its_device(w: World) -> None:
    """Without an image the request failed, which is no try; with one the next slot is as any other."""
    fleet(w, 1)
    made = campaign(w, 1, end=1)
    _image(w, None)
    work(w)
    following = place(w, 1, made)
    assert following is not None
    assert w.outcome(1, made) == (U.ACCEPTED, R.INTERNAL)
    assert following.starts_at >= w.now + timedelta(seconds=w.settings.slots.retry_delay_s)
    come(w, 1)
    work(w)
    assert place(w, 1, made) == following
    _image(w, "a" * 64)
    w.wait_until(following.starts_at)
    work(w)
    assert w.outcome(1, made) == (U.PENDING, R.NOTIFIED)
    assert w.upgrade(1, made).attempts == 1


@story
def test_what_is_never_there_fails_in_the_last_slot(w: World) -> None:
    """When no slot is left the device has failed for that reason, with no try to its name."""
    fleet(w, 1)
    made = campaign(w, 1, end=0)
    _image(w, None)
    for _ in range(12):
        work(w)
        w.wait(hours=2)
    assert w.outcome(1, made) == (U.FAILED, R.INTERNAL)
    assert w.upgrade(1, made).attempts == 0


@story
def test_dates_without_a_slot_fail_a_campaign(w: World) -> None:
    """If not one slot is left in its dates and windows it cannot be scheduled."""
    fleet(w, 1)
    w.wait_until(w.now.replace(hour=12))
    made = campaign(w, 1, end=0, download_windows=hours((0, 1)))
    assert w.status(made) is S.FAILED
    assert w.outcome(1, made)[0] is U.FAILED
    assert place(w, 1, made) is None


@story
def test_a_campaign_ends_with_devices_that_had_no_turn(w: World) -> None:
    """They failed, for the reason that they had."""
    fleet(w, *range(1, 4))
    come(w, 3, registered=False)
    made = campaign(w, 1, 2, 3, end=0)
    work(w)
    succeed(w, 1)
    w.wait(days=1)
    work(w)
    assert w.status(made) is S.ENDED
    assert w.outcome(3, made) == (U.FAILED, R.NOT_REACHABLE)
    assert w.outcome(2, made)[0] is U.FAILED
    assert w.device(2).open_attempt_id is None


@story
def test_v1_tries_a_device_over_lwm2m_twice_a_night(w: World) -> None:
    """At its start, and then at 00:00 and 04:00, for three days (lifecycle 3.4)."""
    fleet(w, 1)
    plain = {"api_version": 1, "from_version": None, "protocols": frozenset({"OMADM", "LWM2M"})}
    made = campaign(w, 1, start=1, end=20, **plain)
    begins = []
    for _ in range(40):
        w.wait(hours=4)
        work(w)
        given = job(w, 1)
        if given is not None and w.upgrade(1, made).started_at == w.now:
            begins.append((w.now.day, w.now.hour))
    assert begins == [(3, 0), (3, 4), (4, 0), (4, 4), (5, 0), (5, 4)]
    assert w.outcome(1, made) == (U.FAILED, R.NO_RESPONSE)
    assert w.status(made) is S.ENDED
