"""Bugs to be found: each replaces a piece of production code by a wrong one, as somebody might write it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from overair.core import attempt as attempt_table
from overair.core import plan, retry, window
from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.plan import Decision
from overair.core.slots import planner
from overair.core.slots.occupancy import WHOLE
from overair.core.upgrade import UpgradeState
from overair.engine import assign, outcome, setbacks, slots, upgrades
from overair.engine.notify import notify_devices
from overair.store import callbacks, licenses, polls, tally
from overair.store import upgrades as stored

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def lost_update(patch: Patch) -> None:
    """Of two moves of one commit the counter keeps the last: it was read before both."""
    real = tally.move

    def move(tx: Any, campaign_id: Any, moves: Any) -> None:
        real(tx, campaign_id, list(moves)[-1:])

    patch.setattr(tally, "move", move)


def double_offer(patch: Patch) -> None:
    """Two who ask for one device at once both act on what it was before either of them."""
    real = polls.candidate
    before: dict[Any, Any] = {}

    def candidate(tx: Any, device_id: Any) -> Any:
        found = real(tx, device_id)
        if found is None or found.open_attempt_id is None:
            before[device_id] = found
        return before[device_id]

    patch.setattr(polls, "candidate", candidate)


def offer_after_cancel(patch: Patch) -> None:
    """A campaign that was stopped goes on for devices that have not been told yet."""
    real = assign._decide

    def decide(rules: Any, place: Any, settings: Any, now: Any) -> Decision:
        if rules.status in (CampaignStatus.ABORTED, CampaignStatus.CANCELLED):
            rules = _replaced(rules, status=CampaignStatus.SCHEDULED)
        return real(rules, place, settings, now)

    patch.setattr(assign, "_decide", decide)


def window_off_by_an_hour(patch: Patch) -> None:
    """A window opens an hour early, as one does that is read in another zone."""

    def is_open(windows: Any, now: Any, zone: Any = UTC) -> bool:
        hour = now.astimezone(zone).hour
        return not windows or any(w.start - 1 <= hour < w.end for w in windows)

    patch.setattr(plan, "is_open", is_open)
    patch.setattr(window, "is_open", is_open)


def skipped_callback(patch: Patch) -> None:
    """Listeners are told of a device only if its state is another, and not of a new reason."""
    real = notify_devices
    before: dict[Any, UpgradeState] = {}

    def notify(tx: Any, campaign: Any, changes: Any, now: Any) -> None:
        new = [c for c in changes if before.get(c.upgrade_id) is not c.state]
        before.update((c.upgrade_id, c.state) for c in new)
        if new:
            real(tx, campaign, new, now)

    patch.setattr(upgrades, "notify_devices", notify)


def licence_leak(patch: Patch) -> None:
    """A licence that is taken away does not go back into the pool."""
    real = licenses.drop

    def drop(tx: Any, account_id: Any, device_ids: Any, now: Any) -> int:
        count = real(tx, account_id, device_ids, now)
        tx.execute(
            "update subscription set license_used_count = license_used_count + ?"
            " where account_id = ?",
            (count, account_id),
        )
        return count

    patch.setattr(licenses, "drop", drop)


def lease_ignored(patch: Patch) -> None:
    """Who takes a stream of callbacks does not keep the others from it."""
    real = callbacks.take

    def take(tx: Any, head: Any, owner: str, until: Any, now: Any) -> bool:
        return real(tx, head, owner, now + timedelta(seconds=1), now)

    patch.setattr(callbacks, "take", take)


def late_result_dropped(patch: Patch) -> None:
    """How an attempt ended is not believed once it has expired."""
    for event in (AttemptEvent.SUCCEED, AttemptEvent.FAIL):
        patch.setitem(attempt_table.TABLE, (AttemptState.EXPIRED, event), attempt_table.IGNORE)


def retry_without_end(patch: Patch) -> None:
    """A device is tried until it succeeds."""
    real = retry.next_try

    def next_try(policy: Any, **known: Any) -> Any:
        return real(_replaced(policy, attempts=None), **known)

    patch.setattr(setbacks, "next_try", next_try)


def cell_limit_ignored(patch: Patch) -> None:
    """A slot has room for as many as like."""
    patch.setattr(planner, "WHOLE", WHOLE * 1000)


# Bugs that there were, each by taking its mending away -----------------------------------------------


def begun_by_another_clock(patch: Patch) -> None:
    """A campaign that somebody has started is offered, whatever day it is here."""
    patch.setattr(plan, "_begun", lambda day, now: True)


def late_success_keeps_its_slot(patch: Patch) -> None:
    """A device that tells its success late still has the place for its next try."""
    without = SimpleNamespace(**vars(slots))
    without.release = lambda tx, upgrade_ids: None
    patch.setattr(outcome, "slots", without)


def scheduled_without_a_licence(patch: Patch) -> None:
    """Other terms change nothing for what is scheduled."""
    patch.setattr(licenses, "unlicensed_upgrades", lambda tx, account_id, limit: [])


def licence_that_ends_counts(patch: Patch) -> None:
    """A licence that goes with an upgrade is as good as another for the next one."""
    real = stored.devices_to_check

    def devices_to_check(tx: Any, account_id: Any, imeis: Any) -> Any:
        found = real(tx, account_id, imeis)
        return {
            imei: replace(device, licensed=licenses.has_license(tx, device.id))
            for imei, device in found.items()
        }

    patch.setattr(stored, "devices_to_check", devices_to_check)


def _replaced(value: Any, **changes: Any) -> Any:
    return replace(value, **changes)


PLANTS: tuple[Plant, ...] = (
    lost_update,
    double_offer,
    offer_after_cancel,
    window_off_by_an_hour,
    skipped_callback,
    licence_leak,
    lease_ignored,
    late_result_dropped,
    retry_without_end,
    cell_limit_ignored,
)
