"""What the network says of devices, and what follows from it: one transaction for a piece of a batch.

An attach writes down that the device can be reached, and puts it in line to be woken, if there is
anything to wake it for: most devices attach every day without. It does not wake it: when a power cut ends, a whole region attaches within a minute, and whoever acts on that at once
pushes everything else out of the way. The line is served by the push loop in the order of arrival, in
what is left of its pace (``wake``); there ``engine.push.attached`` says what a device is due for. A
device that detaches leaves the line.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from overair.config import Settings
from overair.core.ids import DeviceId
from overair.core.network import EventKind, EventResult, NetworkEvent, NetworkState
from overair.engine import push
from overair.store import network as store
from overair.store import push as due
from overair.store import slots
from overair.store.database import Tx

LOOKED_AT: Final = 500  # devices of the line in one transaction, most of whom nobody wants to wake


def apply(tx: Tx, events: Sequence[NetworkEvent], now: datetime) -> list[EventResult]:
    """Write events down, in their order; what became of each. The caller bounds their number."""
    known = store.lock_devices(tx, [event.imei for event in events])
    states: dict[DeviceId, NetworkState] = {}
    results: list[EventResult] = []
    attached = False
    for event in events:
        found = known.get(event.imei)
        if found is None:
            results.append(EventResult.UNKNOWN_DEVICE)
            continue
        if event.kind is None:
            results.append(EventResult.UNKNOWN_TYPE)
            continue
        if event.fault:
            results.append(EventResult.REJECTED)
            continue
        if event.kind not in (EventKind.ATTACH, EventKind.DETACH):
            results.append(_note(tx, found.id, event, now))
            continue
        after = states.get(found.id, found.state).after(event, now)
        if after is None:
            results.append(EventResult.OUTDATED)
            continue
        _note(tx, found.id, event, now)
        states[found.id] = after if found.wanted else replace(after, waking_at=None)
        attached = attached or (found.wanted and event.kind is EventKind.ATTACH)
        results.append(EventResult.APPLIED)
    store.save(tx, states)
    if attached:
        tx.hint("push")
    return results


def _note(tx: Tx, device_id: DeviceId, event: NetworkEvent, now: datetime) -> EventResult:
    """Write down where a device is and whether it can be reached; one that waited for that has its turn."""
    at = min(event.at, now)
    known = slots.radio(tx, device_id)
    newer = False
    if event.reaches is not None:
        last = known.contact.network_at
        newer = last is None or last <= at
        slots.set_reachable(tx, device_id, event.reaches, at)
        if newer and event.reaches and due.hasten_unplaced(tx, [device_id], now):
            tx.hint("push")
    located = known.located_at is None or known.located_at <= at
    if event.kind is EventKind.CELL and event.cell is not None and located:
        dbm = event.rsrp_dbm  # of another cell the old signal says nothing
        slots.set_location(tx, device_id, event.cell, dbm, event.bearer, at)
        newer = True
    elif event.kind is EventKind.SIGNAL and located:
        bearer = known.bearer if event.bearer is None else event.bearer
        slots.set_location(tx, device_id, known.cell, event.rsrp_dbm, bearer, at)
        newer = True
    return EventResult.APPLIED if newer else EventResult.OUTDATED


def wake(tx: Tx, settings: Settings, now: datetime, share: int) -> int:
    """Let about ``share`` devices of the line become due; how many there were in it to look at.

    Those that came by themselves meanwhile, or are busy, cost nothing but a look, so they do not count.
    """
    looked_at = woken = 0
    while woken < share and looked_at < LOOKED_AT:
        taken = store.take_waking(tx, min(share - woken, LOOKED_AT - looked_at))
        if not taken:
            break
        looked_at += len(taken)
        woken += push.attached(tx, taken, settings, now)
    return looked_at
