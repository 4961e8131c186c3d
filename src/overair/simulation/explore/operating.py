"""What the operator may ask for, and what the engine does: the events that all versions have in common.

The engine's work is cut as fine as its transactions: one step of one campaign with one device to a sweep,
one look at one device that is due, one sweep of attempts whose time is over. So whatever else may happen
comes in between.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Final

from overair.core.campaign import BEFORE_START, FINAL, CampaignStatus
from overair.core.ids import CampaignId, DeviceId
from overair.engine import licenses, push, schedule
from overair.engine.advance import expire, step
from overair.simulation.explore.ground import (
    DEVICES,
    MOST_CAMPAIGNS,
    Event,
    Ground,
    Shown,
    Sight,
    imei,
)
from overair.simulation.explore.view import Record, View
from overair.store import campaigns, changes
from overair.store import push as due
from overair.store.campaigns import Dates
from overair.store.database import to_ms

OWNER: Final = "the engine"
LEASE: Final = timedelta(seconds=60)
Change = Callable[[CampaignId, str, int], Callable[[Ground], object]]
MOST_CHANGES: Final = 2  # that wait at once
ROUNDS: Final = 60  # after which an engine that is left alone has to be at rest


# The engine --------------------------------------------------------------------------------------


def engine_events(view: View, now: datetime) -> Iterator[Event]:
    """One step of what is due."""
    now_ms = to_ms(now)
    for campaign in view.campaigns:
        if _is_due(campaign, now_ms):
            id_ = CampaignId(campaign["id"])
            yield Event(f"the engine carries campaign {id_} a step on", _step(id_))
    if any(_is_due(each.own, now_ms) for each in view.all_tries()):
        yield Event("the engine ends attempts whose time is over", _expire)
    if any(_is_due(upgrade, now_ms) for upgrade in view.upgrades):
        yield Event("the engine looks at the first device that is due", lambda g: attend(g, 1))


def _is_due(row: Record, now_ms: int) -> bool:
    return row["due_at"] is not None and row["due_at"] <= now_ms


def _step(campaign_id: CampaignId) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        claimed = campaigns.claim(ground.tx, OWNER, ground.now, ground.now + LEASE, 100)
        step(ground.tx, campaign_id, OWNER, ground.settings, ground.now)
        campaigns.release(ground.tx, claimed, OWNER)

    return happen


def _expire(ground: Ground) -> None:
    expire(ground.tx, ground.settings, ground.now)


def attend(ground: Ground, limit: int) -> None:
    """Look at devices that are due, and note who is notified."""
    for wake in push.due(ground.tx, ground.settings, ground.now, limit):
        ground.seen.append(Sight(Shown.CALLED, wake.device_id, wake.attempt_id))


def carry_on(ground: Ground) -> bool:
    """Let the engine do all that is due; whether it came to rest."""
    tx, settings, now = ground.tx, ground.settings, ground.now
    for _ in range(ROUNDS):
        claimed = campaigns.claim(tx, OWNER, now, now + LEASE, 100)
        more = [step(tx, campaign_id, OWNER, settings, now) for campaign_id in claimed]
        campaigns.release(tx, claimed, OWNER)
        ended = expire(tx, settings, now)
        attend(ground, 100)
        waiting = due.next_due(tx)
        if not (any(more) or ended or (waiting is not None and waiting <= now)):
            return True
    return False


# The operator ------------------------------------------------------------------------------------


def campaign_events(view: View, now: datetime, ends: date, change: Change) -> Iterator[Event]:
    """Stop a campaign, change its devices and its dates; ``ends``: the date that it was asked for with.

    It may be let end today, and a day later than it was to; ``change`` is how devices are changed.
    """
    for campaign in view.campaigns:
        if CampaignStatus(campaign["status"]) in FINAL:
            continue
        id_ = CampaignId(campaign["id"])
        yield Event(f"the operator stops campaign {id_}", _stop(id_))
        end = date.fromisoformat(campaign["end_date"])
        if now.date() < end:
            yield Event(f"the operator lets campaign {id_} end today", _set_end(id_, now.date()))
        if end <= ends:
            later = end + timedelta(days=1)
            yield Event(f"the operator lets campaign {id_} last a day more", _set_end(id_, later))
        waiting = len(view.rows("campaign_change"))
        if campaign["status"] in BEFORE_START and waiting < MOST_CHANGES:
            for number in DEVICES:
                for type_, words in (("append", "adds"), ("remove", "takes out")):
                    text = f"the operator {words} device {number} in campaign {id_}"
                    yield Event(text, change(id_, type_, number))


def _stop(campaign_id: CampaignId) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        campaign = campaigns.by_id(ground.tx, campaign_id)
        schedule.stop_campaign(ground.tx, campaign, ground.now)

    return happen


def _set_end(campaign_id: CampaignId, end: date) -> Callable[[Ground], object]:
    def happen(ground: Ground) -> None:
        present = campaigns.by_id(ground.tx, campaign_id)
        dates = Dates(
            start_date=present.start_date,
            end_date=end,
            download_after=present.download_after,
            download_windows=present.download_windows,
            install_after=present.install_after,
            install_windows=present.install_windows,
        )
        schedule.change_dates(ground.tx, present, dates, ground.settings, ground.now)

    return happen


def change_now(campaign_id: CampaignId, type_: str, number: int) -> Callable[[Ground], object]:
    """As v1 and v3 do it: the answer says what became of it."""

    def happen(ground: Ground) -> None:
        campaign = campaigns.by_id(ground.tx, campaign_id)
        schedule.change_devices_now(
            ground.tx, campaign, type_, [imei(number)], ground.settings, ground.now
        )

    return happen


def change_later(campaign_id: CampaignId, type_: str, number: int) -> Callable[[Ground], object]:
    """As v2 does it: the engine sees to it, in the order asked."""

    def happen(ground: Ground) -> None:
        campaign = campaigns.by_id(ground.tx, campaign_id)
        waiting = changes.of_campaign(ground.tx, campaign_id)
        schedule.change_devices(
            ground.tx,
            campaign,
            type_,
            [imei(number)],
            f"request {max((change.id for change in waiting), default=0) + 1}",
            ground.settings,
            ground.now,
        )

    return happen


def license_events(view: View) -> Iterator[Event]:
    """Give licences and take them; buy fewer."""
    held = view.by("license", "device_id")
    (subscription,) = view.rows("subscription")
    for number, device in zip(DEVICES, view.devices, strict=True):
        if device["id"] in held:
            yield Event(f"the operator takes the licence of device {number}", _unlicense(number))
        elif subscription["license_used_count"] < subscription["license_count"]:
            yield Event(f"the operator gives device {number} a licence", _license(number))
    if subscription["license_count"] > 1:
        yield Event("the operator keeps one licence of two", _shrink)


def _unlicense(number: int) -> Callable[[Ground], object]:
    return lambda ground: licenses.remove_licenses(
        ground.tx, ground.account, [imei(number)], ground.settings, ground.now
    )


def _license(number: int) -> Callable[[Ground], object]:
    return lambda ground: licenses.assign_licenses(
        ground.tx, ground.account, [imei(number)], ground.settings.limits, ground.now
    )


def _shrink(ground: Ground) -> None:
    (purchase_type,) = {licenses.get_subscription(ground.tx, ground.account).purchase_type}
    licenses.set_subscription(
        ground.tx,
        ground.account,
        purchase_type=purchase_type,
        license_count=1,
        settings=ground.settings,
        now=ground.now,
    )


def second_campaign(view: View, make: Callable[[Ground], object]) -> Iterator[Event]:
    """Ask for one more campaign over both devices."""
    if len(view.campaigns) < MOST_CAMPAIGNS:
        yield Event("the operator asks for another campaign", make)


def numbered(view: View) -> Iterator[tuple[int, DeviceId]]:
    """The devices, with the numbers that events name them by."""
    for number, device in zip(DEVICES, view.devices, strict=True):
        yield number, DeviceId(device["id"])
