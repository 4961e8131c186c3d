"""Places of devices in slots, in the rows: who begins when in a v3 campaign (``docs/slots.md``).

Places are given by the pure planner (``core/slots``) from what the rows say of cells and devices: to a
campaign's devices before it is scheduled, and to single ones when they can be reached again, fail, miss
their slot or have moved. Whoever gives places holds one lock; what a place takes of its cell is written in
the same transaction.

Not here: opening an attempt in a slot (``engine/push``), words (``core/words/v3.py``).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from overair.config import Settings
from overair.core.campaign import BEFORE_START, CampaignStatus
from overair.core.ids import UpgradeId
from overair.core.slots.grid import Calendar, key_of
from overair.core.slots.occupancy import Limits, Occupancy, Taken
from overair.core.slots.planner import Device, Outcome, Placed, Why, plan
from overair.core.slots.radio import CellKey, Reach, Thresholds, reach_of, signal_class
from overair.core.upgrade import Reason, UpgradeEvent
from overair.engine.upgrades import Happening, apply_events
from overair.store import attempts, push
from overair.store import slots as store
from overair.store.campaigns import Campaign
from overair.store.database import Tx, to_ms
from overair.store.slots import Radio, SlotRow
from overair.store.upgrades import Upgrade

NOT_YET = timedelta(seconds=5)

REASONS = {
    Why.NOT_REACHABLE: Reason.NOT_REACHABLE,
    Why.NOT_KNOWN: Reason.NOT_REACHABLE,
    Why.CELL_FULL: Reason.CELL_FULL,
    Why.NO_TIME_LEFT: Reason.NO_TIME_LEFT,
}


class Turn(NamedTuple):
    """When a device is tried again."""

    not_before: datetime
    due_at: datetime | None  # None: when it is heard of
    reason: Reason  # what it waits for


def calendar_of(campaign: Campaign, settings: Settings) -> Calendar:
    """The slots of a campaign."""
    return Calendar(
        start_date=campaign.start_date,
        end_date=campaign.end_date,
        windows=campaign.download_windows,
        slot_minutes=settings.slots.minutes,
        least=timedelta(seconds=settings.slots.least_s),
    )


def reach(radio: Radio, now: datetime) -> bool:
    """Whether a device can be reached, as far as is known."""
    return reach_of(radio.contact, now) is Reach.REACHABLE


def give_places(
    tx: Tx, campaign: Campaign, wanting: Sequence[Upgrade], settings: Settings, now: datetime
) -> dict[UpgradeId, Outcome]:
    """Give these devices of a campaign places, in place of those that they have; write them down."""
    store.lock_planner(tx)
    radios = store.radios(tx, [u.device_id for u in wanting if u.device_id is not None])
    present = store.places(tx, [u.id for u in wanting])
    first = key_of(now, settings.slots.minutes)
    devices = []
    for upgrade in wanting:
        assert upgrade.device_id is not None, "only devices that passed their checks get places"
        radio = radios.get(upgrade.device_id, store.NOWHERE)
        place = present.get(upgrade.id)
        kept = place is not None and not place.begun and place.held.key >= first
        devices.append(
            Device(
                imei=upgrade.imei,
                cell=radio.cell,
                signal=signal_class(radio.signal_dbm, _thresholds(settings), radio.bearer),
                reach=reach_of(radio.contact, now),
                not_before=upgrade.not_before,
                held=place.held if kept and place is not None else None,
            )
        )
    cells = {d.cell for d in devices} | {d.held.cell for d in devices if d.held is not None}
    occupancy = Occupancy()
    occupancy.load(store.taken(tx, sorted(cells), first), cells)
    planned = plan(devices, calendar_of(campaign, settings), _limits(settings), occupancy, now)
    store.add_taken(tx, occupancy.drain())
    rows, leaving = [], []
    outcomes: dict[UpgradeId, Outcome] = {}
    for upgrade, device in zip(wanting, devices, strict=True):
        outcome = outcomes[upgrade.id] = planned[upgrade.imei]
        if isinstance(outcome, Placed):
            rows.append(
                SlotRow(
                    upgrade_id=upgrade.id,
                    held=outcome.held(device.cell),
                    starts_at=outcome.slot.start,
                    ends_at=outcome.slot.end,
                    begun=False,
                )
            )
        else:
            leaving.append(upgrade.id)
    store.put_places(tx, campaign.id, rows)
    store.drop_places(tx, leaving)
    return outcomes


def _thresholds(settings: Settings) -> Thresholds:
    return Thresholds(good_dbm=settings.slots.good_dbm, fair_dbm=settings.slots.fair_dbm)


def _limits(settings: Settings) -> Limits:
    rules = settings.slots
    return Limits(
        good=rules.good, fair=rules.fair, poor=rules.poor, unknown_cell=rules.unknown_cell
    )


def schedule(
    tx: Tx, campaign: Campaign, wanting: Sequence[Upgrade], settings: Settings, now: datetime
) -> None:
    """Give devices their first places, or new ones, and say so of each."""
    outcomes = give_places(tx, campaign, wanting, settings, now)
    tried = _tried(tx, wanting)
    happenings = []
    for upgrade in wanting:
        due_at, reason = _waits(outcomes[upgrade.id], upgrade.id in tried, settings, now)
        push.set_due(tx, upgrade.id, due_at)
        happenings.append(Happening(upgrade=upgrade, event=UpgradeEvent.PROGRESS, reason=reason))
    apply_events(tx, campaign, happenings, settings.limits, now)
    if campaign.status is CampaignStatus.SCHEDULED:
        tx.hint("push")


def _tried(tx: Tx, wanting: Sequence[Upgrade]) -> set[UpgradeId]:
    """Those that have failed; not to turn up is none, nor to have moved (``lwm2m.md`` 8, 11)."""
    missed = attempts.missed(tx, [upgrade.id for upgrade in wanting if upgrade.attempts])
    return {upgrade.id for upgrade in wanting if upgrade.attempts > missed.get(upgrade.id, 0)}


def _waits(
    outcome: Outcome, tried: bool, settings: Settings, now: datetime
) -> tuple[datetime | None, Reason]:
    """When to look at a device again, and what it waits for: its slot, room, or to be heard of."""
    if isinstance(outcome, Placed):
        return outcome.slot.start, Reason.RETRY_QUEUED if tried else Reason.SLOTTED
    due_at = None
    if outcome.why is Why.CELL_FULL:
        due_at = now + timedelta(minutes=settings.slots.minutes)  # there may be some by then
    return due_at, REASONS[outcome.why]


def release(tx: Tx, upgrade_ids: Sequence[UpgradeId]) -> None:
    """Give back the places of devices that need none any more, unless work has begun in them."""
    places = store.places(tx, upgrade_ids)
    unused = [place for place in places.values() if not place.begun]
    if not unused:
        return
    store.lock_planner(tx)
    store.add_taken(tx, _sum(unused))
    store.drop_places(tx, [place.upgrade_id for place in unused])


def _sum(places: Sequence[SlotRow]) -> list[Taken]:
    """What these places give back, one row for each slot of a cell."""
    shares: dict[tuple[CellKey, int], int] = {}
    for place in places:
        key = (place.held.cell, place.held.key)
        shares[key] = shares.get(key, 0) - place.held.share
    return [Taken(cell, key, share) for (cell, key), share in shares.items()]


def next_turn(
    tx: Tx,
    upgrade: Upgrade,
    campaign: Campaign,
    not_before: datetime,
    settings: Settings,
    now: datetime,
) -> Turn | None:
    """A device's next slot after an attempt, or what it waits for; None: there is none any more."""
    again = replace(upgrade, not_before_ms=to_ms(not_before))
    outcome = give_places(tx, campaign, [again], settings, now)[upgrade.id]
    if not isinstance(outcome, Placed) and outcome.final:
        return None
    return Turn(not_before, *_waits(outcome, bool(_tried(tx, [upgrade])), settings, now))


def begins_at(tx: Tx, upgrade_id: UpgradeId) -> datetime | None:
    """When a device's place begins in which nothing was done; None: it has none."""
    place = store.places(tx, [upgrade_id]).get(upgrade_id)
    return None if place is None or place.begun else place.starts_at


def may_begin(
    tx: Tx, upgrade: Upgrade, campaign: Campaign, settings: Settings, now: datetime
) -> SlotRow | None:
    """The place in which work on the device begins now; else it has another, or says why not.

    Where it is is asked again when its slot opens: in another cell it needs another place.
    """
    assert upgrade.device_id is not None
    if campaign.status in BEFORE_START:
        push.set_due(tx, upgrade.id, now + NOT_YET)  # the others' slots are still being given
        return None
    if campaign.status is not CampaignStatus.SCHEDULED or now >= campaign.rules.ends_at:
        push.set_due(tx, upgrade.id, None)
        return None
    radio = store.radio(tx, upgrade.device_id)
    place = store.places(tx, [upgrade.id]).get(upgrade.id)
    if not _holds(place, radio, calendar_of(campaign, settings), now):
        schedule(tx, campaign, [upgrade], settings, now)
        place = store.places(tx, [upgrade.id]).get(upgrade.id)
    if place is None or not place.starts_at <= now < place.ends_at:
        if place is not None and now < place.starts_at:
            # It was only looked at: its turn is later.
            push.set_due(tx, upgrade.id, place.starts_at)
        return None
    store.set_begun(tx, upgrade.id)
    return place


def _holds(place: SlotRow | None, radio: Radio, calendar: Calendar, now: datetime) -> bool:
    """Whether a place is still one."""
    return (
        place is not None
        and not place.begun
        and now < place.ends_at
        and place.held.cell == radio.cell
        and calendar.allows(max(now, place.starts_at))
        and reach(radio, now)
    )
