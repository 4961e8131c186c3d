"""What devices over OMA-DM wait for: each wait has a date or an end that is noticed, and a sentence."""

import itertools
from datetime import timedelta

import pytest

from overair.core.ids import UpgradeId
from overair.core.network import EventKind, NetworkEvent
from overair.core.plan import Wait
from overair.core.upgrade import Reason, UpgradeState
from overair.devices.dm.effects import REASONS
from overair.engine import carriage, dm_accounts, network, push
from overair.engine.explain_push import FAILURES, OBSTACLES
from overair.engine.setbacks import set_back
from overair.fleetfile.shapes import Omadm
from overair.sealing import Seal
from overair.store import push as store
from overair.store.database import Tx, from_ms
from tests.engine.pushed import (
    FIRMWARE,
    attach,
    campaign,
    due,
    execute,
    fail,
    fleet,
    open_attempt,
    pass_time,
    rules,
    session,
    told,
    woken,
)
from tests.engine.world import World, hours, imei, story

U = UpgradeState
R = Reason
ONE, TWO = 1, 2

# Reasons that are not why an attempt of a pushed device failed: rejections, waits and ends, and what
# only devices over HTTP can fail for.
NO_FAILURES = {
    R.NONE,
    R.CHECKED,
    R.INVALID_IMEI,
    R.NOT_FOUND,
    R.UNKNOWN_TYPE,
    R.NOT_ELIGIBLE,
    R.NOT_ACTIVE,
    R.IN_CAMPAIGN,
    R.MAKE_MODEL,
    R.NO_LICENSE,
    R.INTERNAL,
    R.NOT_REACHABLE,
    R.SLOTTED,
    R.CELL_FULL,
    R.NO_TIME_LEFT,
    R.NO_REPORT,
    R.NOTIFIED,
    R.RETRY_QUEUED,
    R.OTHER,
    R.SUCCESS,
    R.BY_USER,
    R.SUPERSEDED,
}


def move(w: World, number: int, protocol: str) -> None:
    """The operator says that the device has another protocol."""
    w.tx.execute("update device set protocol = ? where imei = ?", (protocol, imei(number)))


def set_image(tx: Tx, sha256: str | None) -> None:
    """The package's image is there, or not."""
    tx.execute("update package set artifact_sha256 = ? where name = ?", (sha256, FIRMWARE))


def due_at(w: World, number: int) -> timedelta | None:
    """In how long the device's place is looked at."""
    row = w.tx.one(
        "select due_at from device_upgrade where imei = ? order by id desc", (imei(number),)
    )
    assert row is not None
    return None if row[0] is None else from_ms(row[0]) - w.now


# Sentences ---------------------------------------------------------------------------------------


def test_every_failure_has_a_sentence() -> None:
    """Each reason is one for which an attempt may have failed, with words for it, or is none."""
    assert set(FAILURES) | NO_FAILURES == set(Reason)
    assert not set(FAILURES) & NO_FAILURES
    assert set(REASONS.values()) <= set(FAILURES)
    assert all(FAILURES.values())


@pytest.mark.parametrize("reason", sorted(FAILURES))
@story
def test_a_failure_is_told(w: World, reason: Reason) -> None:
    """Whatever the last attempt failed for is said while the next one is waited for."""
    fleet(w, ONE)
    made = campaign(w, [ONE], end=30)
    due(w)
    execute(w, ONE)
    attempt = w.attempt(open_attempt(w, ONE))
    w.tx.execute("update device set open_attempt_id = null")
    w.tx.execute("update attempt set state = 'failed'")
    set_back(w.tx, attempt, w.upgrade(ONE, made), w.get(made), reason, w.settings, w.now)
    for wait in (Wait.RETRY, Wait.ATTACH):
        assert told(w, ONE)[0] == wait
        assert FAILURES[reason] in w.explain(ONE).sentence
        w.wait(minutes=15)


def obstruct(w: World, wait: Wait) -> None:
    """Put that into the device's way."""
    match wait:
        case Wait.OTHER_PROTOCOL:
            move(w, ONE, "HTTP")
        case Wait.NO_IMAGE:
            set_image(w.tx, None)
        case Wait.DONE:
            w.settings = rules(requeue=False)
        case _:
            raise AssertionError(wait)


def clear(w: World, wait: Wait) -> None:
    """Take it out of its way."""
    match wait:
        case Wait.OTHER_PROTOCOL:
            move(w, ONE, "OMADM")
        case Wait.NO_IMAGE:
            set_image(w.tx, "a" * 64)
        case _:
            w.settings = rules()


def test_every_obstacle_is_told() -> None:
    """Each obstacle has a sentence, and a story below; that there is no server is not OMA-DM's."""
    assert set(OBSTACLES) == {*OBSTACLES_HERE, Wait.NO_TRANSPORT}


OBSTACLES_HERE = (Wait.OTHER_PROTOCOL, Wait.NO_IMAGE, Wait.DONE)


@pytest.mark.parametrize("wait", OBSTACLES_HERE)
@pytest.mark.parametrize("seen", [False, True], ids=["unseen", "seen"])
@story
def test_an_obstacle_ends_with_its_cause(w: World, wait: Wait, seen: bool) -> None:
    """What stands in a queued device's way is said, and looked at again although nobody tells of its end."""
    fleet(w, ONE)
    made = campaign(w, [ONE], end=0)
    due(w)
    pass_time(w, hours=17)  # its window is missed, and its campaign over
    assert w.outcome(ONE, made) == (U.QUEUED, R.RETRY_QUEUED)
    obstruct(w, wait)
    if seen:
        attach(w, ONE)
    assert pass_time(w, days=3) == []
    assert w.device(ONE).open_attempt_id is None
    explained = w.explain(ONE)
    assert explained.wait == wait
    assert explained.until is not None
    assert w.now < explained.until <= w.now + timedelta(days=1)
    clear(w, wait)
    w.wait_until(explained.until)
    assert woken(w) == [imei(ONE)]
    assert told(w, ONE)[0] == "offered"


@story
def test_a_device_of_a_running_campaign_that_was_moved(w: World) -> None:
    """It is told where it stands, is looked at each hour and not each moment, and has its turn when it is back."""
    fleet(w, ONE)
    campaign(w, [ONE], start=1, end=9)
    move(w, ONE, "HTTP")
    w.wait_for_day(1)
    assert woken(w) == []
    explained = w.explain(ONE)
    assert (explained.wait, explained.until) == (Wait.OTHER_PROTOCOL, w.now + timedelta(hours=1))
    assert "over OMADM, and this one is over HTTP now" in explained.sentence
    w.carry_on()
    assert woken(w) == []
    move(w, ONE, "OMADM")
    assert len(pass_time(w, hours=1)) == 1


@story
def test_a_device_that_was_moved_here_belongs_to_its_campaign_over_http(w: World) -> None:
    """Its session over OMA-DM opens nothing of a campaign for devices that ask, and it is told so."""
    w.add_devices(ONE)
    w.campaign([ONE], end=9)
    move(w, ONE, "OMADM")
    assert session(w, ONE) is None
    assert attach(w, ONE) == 0
    assert due(w) == []
    assert told(w, ONE) == (Wait.OTHER_PROTOCOL, None)
    move(w, ONE, "HTTP")
    w.succeed(ONE)


# Dates -------------------------------------------------------------------------------------------


@story
def test_a_date_between_the_end_of_a_campaign_and_its_being_carried_out(w: World) -> None:
    """Who is looked at in that moment is looked at again soon, and called then."""
    fleet(w, ONE)
    made = campaign(w, [ONE], end=0)
    due(w)
    fail(w, ONE)
    w.now = w.get(made).rules.ends_at
    store.set_due(w.tx, w.upgrade(ONE, made).id, w.now)
    assert woken(w) == []
    assert due_at(w, ONE) == timedelta(minutes=1)
    w.carry_on()
    assert w.outcome(ONE, made)[0] is U.QUEUED
    assert len(pass_time(w, minutes=1)) == 1


@story
def test_who_was_not_called_unasked_is_so_from_now_on(w: World) -> None:
    """Another setting counts from the next start, for those in a campaign and those of one that is over."""
    w.settings = rules(requeue_push_s=0)
    fleet(w, ONE, TWO)
    campaign(w, [ONE], end=0)
    campaign(w, [TWO], end=30)
    due(w)
    pass_time(w, days=2)
    assert [due_at(w, ONE), due_at(w, TWO)] == [None, None]
    w.settings = rules()
    found = store.undated(w.tx, UpgradeId(0), 1)
    found += store.undated(w.tx, found[0], 10)
    assert len(found) == 2
    push.give_dates(w.tx, found, w.settings, w.now)
    assert [due_at(w, ONE), due_at(w, TWO)] == [timedelta(days=1)] * 2
    assert store.undated(w.tx, UpgradeId(0), 10) == []
    assert {who for _, who in pass_time(w, days=1)} == {imei(ONE), imei(TWO)}


@story
def test_an_action_in_the_way_ends(w: World) -> None:
    """A device that still installs for a campaign that ended has its turn in the next when that is over."""
    fleet(w, ONE)
    first = campaign(w, [ONE], version=2, end=0)
    due(w)
    taken = execute(w, ONE)
    push.downloaded(w.tx, taken, w.settings, w.now)
    w.wait(hours=17)
    assert w.outcome(ONE, first)[0] is U.FAILED
    made = campaign(w, [ONE], end=30)
    assert woken(w) == []
    assert told(w, ONE)[0] == Wait.OTHER_ATTEMPT
    w.wait(minutes=1)
    assert woken(w) == []
    push.failed(w.tx, taken, R.INSTALL_FAILED, w.settings, w.now, code=410)
    assert woken(w) == [imei(ONE)]
    assert w.outcome(ONE, made) == (U.PENDING, R.NOTIFIED)


@story
def test_an_action_in_the_way_expires(w: World) -> None:
    """The same if it is never heard of again."""
    fleet(w, ONE)
    campaign(w, [ONE], version=2, end=0)
    due(w)
    push.downloaded(w.tx, execute(w, ONE), w.settings, w.now)
    w.wait(hours=17)
    campaign(w, [ONE], end=30)
    assert woken(w) == []
    expires = w.attempt(open_attempt(w, ONE)).due_at
    assert expires is not None
    w.now = expires
    # As the loops do it: whoever waits is looked at, and waits on, before the end is seen.
    due(w)
    w.carry_on()
    assert woken(w) == [imei(ONE)]


# Attaches during the window ------------------------------------------------------------------------


@story
def test_a_device_that_powers_on_within_its_window_is_called(w: World) -> None:
    """At once and by the same notification, with the repeats that a new call has; its window stays."""
    fleet(w, ONE)
    campaign(w, [ONE], end=30)
    (first,) = due(w)
    assert len(pass_time(w, hours=1, minutes=40)) == 6
    assert attach(w, ONE) == 1
    (again,) = due(w)
    assert (again.session, again.attempt_id) == (first.session, first.attempt_id)
    assert again.valid_until == first.valid_until
    at = w.now
    notified = [when - at for when, _ in pass_time(w, minutes=31)]
    assert notified == [timedelta(minutes=minutes) for minutes in (1, 5, 15, 30)]
    assert told(w, ONE) == ("offered", first.valid_until)


@story
def test_attaches_are_no_more_notifications_than_one_a_minute(w: World) -> None:
    """A device that attaches every five seconds is called as often as any may be."""
    fleet(w, ONE)
    campaign(w, [ONE], end=30)
    due(w)
    calls = []
    for _ in range(120):
        w.wait(seconds=5)
        attach(w, ONE)
        calls += [w.now for _ in due(w)]
    pauses = [after - before for before, after in itertools.pairwise(calls)]
    assert len(calls) == 10
    assert min(pauses) >= timedelta(minutes=1)


@story
def test_an_attach_says_nothing_to_a_device_at_work(w: World) -> None:
    """Whoever has taken the command, or whose window is over, is not called for it."""
    fleet(w, ONE, TWO)
    campaign(w, [ONE, TWO], end=30)
    due(w)
    execute(w, ONE)
    w.wait(hours=4)
    assert attach(w, ONE, TWO) == 0


@story
def test_nobody_is_called_when_the_window_of_a_campaign_has_closed(w: World) -> None:
    """A call of a campaign with windows ends with them, and the next one begins with them."""
    fleet(w, ONE)
    campaign(w, [ONE], version=2, download_windows=hours((10, 12)), end=3)
    notified = [at for at, _ in pass_time(w, days=3)]
    assert {at.hour for at in notified} == {10, 11}


@story
def test_a_notification_that_nobody_took(w: World) -> None:
    """A device that its carrier was away for is not said to be here."""
    fleet(w, ONE)
    campaign(w, [ONE], end=30)
    wakes = due(w)
    assert "was notified once" in w.explain(ONE).sentence
    carriage.take_back(w.tx, wakes, w.now)
    assert "the carrier did not take it" in w.explain(ONE).sentence
    due(w)
    pass_time(w, hours=5)
    session(w, ONE)
    assert "is here" in w.explain(ONE).sentence


@story
@pytest.mark.parametrize(("carrier", "what"), [("udp", "where it hears"), ("smpp", "phone number")])
def test_a_device_that_nothing_can_be_sent_to(w: World, carrier: str, what: str) -> None:
    """Without an address for its carrier a device is called in vain, and that is said."""
    w.settings = rules(notify=carrier)
    fleet(w, ONE)
    secrets = Omadm(client_secret="the-client-s", server_secret="the-server-s")
    device_id = w.device(ONE).id
    dm_accounts.put_blocks(
        w.tx, [(device_id, imei(ONE), secrets)], Seal(b"a key of 32 characters and some")
    )
    campaign(w, [ONE], end=30)
    due(w)
    assert what in w.explain(ONE).sentence
    pass_time(w, hours=5)
    assert told(w, ONE)[0] == Wait.ATTACH.value
    assert what in w.explain(ONE).sentence
    w.tx.execute("update device set mdn = '15550001111' where id = ?", (device_id,))
    event = NetworkEvent(
        imei=imei(ONE), kind=EventKind.ATTACH, at=w.now, address="198.51.100.7:2948"
    )
    network.apply(w.tx, [event], w.now)
    assert what not in w.explain(ONE).sentence
