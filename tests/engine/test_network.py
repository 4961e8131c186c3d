"""Stories of what the network tells, and of who is woken because of it."""

from datetime import timedelta

from overair.core.credentials import fingerprint
from overair.core.network import EventKind, EventResult, NetworkEvent
from overair.engine import network
from overair.store import network as store
from overair.store import operators
from tests.engine import pushed
from tests.engine.world import World, imei, story


def event(
    w: World, number: int, kind: EventKind | None = EventKind.ATTACH, **other: object
) -> NetworkEvent:
    plain = {"imei": imei(number), "kind": kind, "at": w.now}
    return NetworkEvent(**(plain | other))  # type: ignore[arg-type]  # the fields are of several types


def line(w: World) -> list[str]:
    """Who waits to be woken, in order."""
    rows = w.tx.all(
        "select d.imei from device_network n join device d on d.id = n.device_id"
        " where n.waking_at is not null order by n.waking_at, n.device_id"
    )
    return [row[0] for row in rows]


@story
def test_a_batch(w: World) -> None:
    """Of each event it is said what became of it, and the others count all the same."""
    pushed.fleet(w, 1, 2)
    pushed.campaign(w, [1, 2])
    events = [
        event(w, 1, address="10.0.0.1:2948"),
        event(w, 9),
        event(w, 2, None),
        event(w, 1),
        event(w, 1, EventKind.DETACH, at=w.now - timedelta(hours=1)),
        event(w, 2, EventKind.DETACH),
    ]
    assert network.apply(w.tx, events, w.now) == [
        EventResult.APPLIED,
        EventResult.UNKNOWN_DEVICE,
        EventResult.UNKNOWN_TYPE,
        EventResult.OUTDATED,
        EventResult.OUTDATED,
        EventResult.APPLIED,
    ]
    ids = [w.device(1).id, w.device(2).id]
    assert [store.state(w.tx, device_id).attached for device_id in ids] == [True, False]
    assert store.places(w.tx, ids)[ids[0]].address == "10.0.0.1:2948"
    assert line(w) == [imei(1)]
    assert network.apply(w.tx, events, w.now)[0] is EventResult.OUTDATED
    assert network.apply(w.tx, [], w.now) == []


@story
def test_the_line_is_served_in_order(w: World) -> None:
    """Those who attached first are woken first; who is busy by then only leaves the line."""
    w.settings = pushed.rules()
    pushed.fleet(w, *range(1, 9))
    pushed.campaign(w, range(1, 7))
    pushed.due(w)
    w.wait(hours=4)
    pushed.due(w)
    for number in (5, 3, 6, 1, 2, 4):
        w.now += timedelta(seconds=1)
        network.apply(w.tx, [event(w, number)], w.now)
    assert line(w) == [imei(n) for n in (5, 3, 6, 1, 2, 4)]
    pushed.job(w, 5)
    pushed.job(w, 6)
    assert network.wake(w.tx, w.settings, w.now, 2) == 4
    assert line(w) == [imei(2), imei(4)]
    assert pushed.woken(w) == [imei(1), imei(3)]
    assert network.wake(w.tx, w.settings, w.now, 100) == 2
    assert network.wake(w.tx, w.settings, w.now, 100) == 0
    assert pushed.woken(w) == [imei(2), imei(4)]


@story
def test_a_device_that_goes_again_leaves_the_line(w: World) -> None:
    """There is nobody to be woken."""
    pushed.fleet(w, 1)
    pushed.campaign(w, [1])
    network.apply(w.tx, [event(w, 1)], w.now)
    assert line(w) == [imei(1)]
    w.now += timedelta(seconds=1)
    network.apply(w.tx, [event(w, 1, EventKind.DETACH)], w.now)
    assert line(w) == []


@story
def test_nobody_waits_for_nothing(w: World) -> None:
    """A device without an upgrade, or one that asks by itself, is not put in line; a queued one is."""
    pushed.fleet(w, 1, 2)
    w.add_devices(3)
    w.campaign([3])
    pushed.campaign(w, [2])
    pushed.due(w)
    w.wait_for_day(8)
    pushed.due(w)
    assert w.device(2).open_upgrade_id is None, "its campaign is over, and it is queued"
    network.apply(w.tx, [event(w, 1), event(w, 2), event(w, 3)], w.now)
    assert line(w) == [imei(2)]
    assert store.state(w.tx, w.device(1).id).attached


@story
def test_an_attach_in_the_pause_is_remembered(w: World) -> None:
    """A device that attaches right after its attempt failed has its turn when the pause is over."""
    w.settings = pushed.rules(retry_pause_s=900, requeue_push_s=0)
    pushed.fleet(w, 1)
    pushed.campaign(w, [1])
    pushed.due(w)
    pushed.fail(w, 1)
    w.now += timedelta(seconds=60)
    network.apply(w.tx, [event(w, 1)], w.now)
    assert network.wake(w.tx, w.settings, w.now, 10) == 1
    assert pushed.woken(w) == []
    w.wait(seconds=840)
    assert pushed.woken(w) == [imei(1)]


@story
def test_tokens(w: World) -> None:
    """A name has one valid token; a token that was ended opens nothing, and frees its name."""
    assert operators.add(w.tx, "core", fingerprint("one"), w.now)
    assert not operators.add(w.tx, "core", fingerprint("two"), w.now)
    assert operators.name_of(w.tx, fingerprint("one")) == "core"
    assert operators.name_of(w.tx, fingerprint("two")) is None
    assert operators.revoke(w.tx, "core", w.now)
    assert not operators.revoke(w.tx, "core", w.now)
    assert operators.name_of(w.tx, fingerprint("one")) is None
    assert operators.add(w.tx, "core", fingerprint("two"), w.now)
    assert [token.revoked_at for token in operators.tokens(w.tx, 10)] == [None, w.now]
