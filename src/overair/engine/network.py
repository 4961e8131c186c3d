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
        after = states.get(found.id, found.state).after(event, now)
        if after is None:
            results.append(EventResult.OUTDATED)
            continue
        states[found.id] = after if found.wanted else replace(after, waking_at=None)
        attached = attached or (found.wanted and event.kind is EventKind.ATTACH)
        results.append(EventResult.APPLIED)
    store.save(tx, states)
    if attached:
        tx.hint("push")
    return results


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
