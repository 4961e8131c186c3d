"""The clock of the campaigns: claims what is due and carries it one step further.

A step is one transaction over at most ``sweep_devices`` devices, so that devices' own reports come
in between. Campaigns are claimed in batches under a lease; a process that dies gives them back by
letting the lease end, and because each step does what the rows say is left to do, another may go on
in the middle. Several processes may run this on one PostgreSQL.

The order of a campaign's life (``lifecycle.md`` 4.1): carry out changes to its device list, check
its devices, start it at its time, end it at its time or when every device succeeded, and carry the
end to its devices.
"""

import asyncio
import contextlib
from datetime import datetime, timedelta

import structlog

from overair.clock import Clock
from overair.config import Settings
from overair.core.attempt import IGNORE as KEEP
from overair.core.attempt import REFUSE as VOID
from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.attempt import after as attempt_after
from overair.core.campaign import BEFORE_START, CampaignEvent, CampaignStatus, after
from overair.core.ids import CampaignId
from overair.core.protocols import LWM2M, OMADM, PUSHED
from overair.core.terms import TERMS
from overair.core.upgrade import OPEN, Reason, UpgradeEvent, UpgradeState
from overair.engine import slots
from overair.engine.admission import carry_out, check, take_in_others
from overair.engine.notify import notify_campaign
from overair.engine.schedule import begin_at
from overair.engine.upgrades import Happening, apply_events
from overair.store import attempts, campaigns, changes, polls, push, tally, upgrades
from overair.store.campaigns import Campaign
from overair.store.database import (
    Database,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
    Tx,
)
from overair.store.upgrades import Upgrade

COMPLETION_CHECK = timedelta(seconds=60)  # finds an end that two reports at once both missed
FAULT_PAUSE = timedelta(seconds=60)  # for a campaign that we cannot carry on, because of a bug
EXPIRY_BATCH = 200
LEAST_PAUSE_S = 0.02  # of the wall's time between two looks, however fast the clock runs

log = structlog.get_logger()


def step(tx: Tx, campaign_id: CampaignId, owner: str, settings: Settings, now: datetime) -> bool:
    """Carry a claimed campaign one step further; whether there is more to do at once."""
    if not campaigns.still_held(tx, campaign_id, owner, now):
        return False
    campaign = campaigns.by_id(tx, campaign_id, lock=True)
    if campaign.closing is not None:
        return _close(tx, campaign, settings, now)
    if campaign.status in BEFORE_START:
        return _prepare(tx, campaign, settings, now)
    if campaign.status is CampaignStatus.SCHEDULED:
        return _watch(tx, campaign, settings, now)
    campaigns.set_due(tx, campaign.id, None)
    return False


def _move(
    tx: Tx,
    campaign: Campaign,
    event: CampaignEvent,
    now: datetime,
    *,
    due_at: datetime | None,
    closing: UpgradeEvent | None = None,
    announce: bool = True,
) -> Campaign:
    status = CampaignStatus(after(campaign.status, event))
    starts = status is CampaignStatus.SCHEDULED
    over = status not in BEFORE_START and not starts
    campaigns.set_status(
        tx,
        campaign.id,
        campaign.status,
        status,
        due_at=due_at,
        closing=closing,
        started_at=now if starts else None,
        ended_at=now if over else None,
    )
    moved = campaigns.by_id(tx, campaign.id)
    if announce:
        notify_campaign(tx, moved, now)
    return moved


# Before the start --------------------------------------------------------------------------------


def _prepare(tx: Tx, campaign: Campaign, settings: Settings, now: datetime) -> bool:
    change = changes.next_of(tx, campaign.id)
    if change is not None:
        carry_out(tx, campaign, change, now)
        return True
    waiting = upgrades.in_state(
        tx, campaign.id, UpgradeState.REQUESTED, settings.limits.sweep_devices
    )
    if waiting:
        check(tx, campaign, waiting, settings, now)
        return True
    counts = tally.counts(tx, campaign.id)
    if not counts:
        _move(tx, campaign, CampaignEvent.EMPTIED, now, due_at=None)
        return False
    terms = TERMS[campaign.api_version]
    begin = begin_at(campaign, settings)
    if not counts.keys() & (OPEN | {UpgradeState.SUCCEEDED}):
        _move(tx, campaign, CampaignEvent.REJECTED, now, due_at=None)
        return False
    if campaign.status is CampaignStatus.REQUEST_PENDING:
        # Who looks sees Queued only if there is something to wait for (lifecycle.md 4.1).
        campaign = _move(
            tx,
            campaign,
            CampaignEvent.ACCEPTED,
            now,
            due_at=now if terms.slots else begin,
            announce=now < begin or terms.announces_queued,
        )
    if terms.slots:
        return _give_slots(tx, campaign, settings, now)
    if now < begin:
        campaigns.set_due(tx, campaign.id, begin)
        return False
    if now >= campaign.rules.ends_at:
        _end(tx, campaign, settings, now)
        return True
    pushed = campaign.protocol in PUSHED
    due_at = now if pushed else _next_watch(campaign, now)
    _move(tx, campaign, CampaignEvent.STARTED, now, due_at=due_at)
    return pushed


def _give_slots(tx: Tx, campaign: Campaign, settings: Settings, now: datetime) -> bool:
    """Give the devices of a v3 campaign their slots, however far its start is (``lifecycle.md`` 5.1)."""
    if now >= campaign.rules.ends_at:
        _end(tx, campaign, settings, now)
        return True
    if campaign.status is CampaignStatus.REQUEST_QUEUED:
        # Where devices are is known from their own words and the network's, as they come.
        _move(tx, campaign, CampaignEvent.LOCATED, now, due_at=now)
        return True
    if slots.calendar_of(campaign, settings).next_slot(now) is None:
        # Not one slot is left in its dates and windows: nobody can be scheduled.
        _move(tx, campaign, CampaignEvent.FAILED, now, due_at=now, closing=UpgradeEvent.END)
        return True
    waiting = upgrades.unplanned(tx, campaign.id, settings.limits.sweep_devices)
    if waiting:
        slots.schedule(tx, campaign, waiting, settings, now)
        return True
    _move(tx, campaign, CampaignEvent.STARTED, now, due_at=_next_watch(campaign, now))
    tx.hint("push")
    return False


# While it runs -----------------------------------------------------------------------------------


def _next_watch(campaign: Campaign, now: datetime) -> datetime:
    return min(campaign.rules.ends_at, now + COMPLETION_CHECK)


def _watch(tx: Tx, campaign: Campaign, settings: Settings, now: datetime) -> bool:
    counts = tally.counts(tx, campaign.id)
    terms = TERMS[campaign.api_version]
    lasting = terms.lasting
    if now >= campaign.rules.ends_at or not counts.keys() & lasting:
        _end(tx, campaign, settings, now)
        return True
    # Devices over these do not ask: each is told to come, or come to, at its turn (``engine/push``).
    if (
        campaign.protocol in PUSHED
        and not terms.slots
        and push.start(tx, campaign.id, now, settings.limits.sweep_devices)
    ):
        tx.hint("push")
        return True
    if terms.slots and campaign.auto_add_devices:
        # Nobody else joins a campaign once it is scheduled, so nobody else is looked for.
        take_in_others(tx, campaign, settings, now)
        waiting = upgrades.unplanned(tx, campaign.id, settings.limits.sweep_devices)
        if waiting:
            slots.schedule(tx, campaign, waiting, settings, now)
            return True
    campaigns.set_due(tx, campaign.id, _next_watch(campaign, now))
    return False


def _end(tx: Tx, campaign: Campaign, settings: Settings, now: datetime) -> None:
    """The campaign is over; what that means for its devices is carried to them next."""
    tried_on = (
        campaign.protocol == OMADM and TERMS[campaign.api_version].queues and settings.omadm.requeue
    )
    closing = UpgradeEvent.QUEUE if tried_on else UpgradeEvent.END
    _move(tx, campaign, CampaignEvent.ENDED, now, due_at=now, closing=closing)


# Carrying its end to its devices -----------------------------------------------------------------


def release(tx: Tx, campaign_id: CampaignId, settings: Settings, now: datetime) -> bool:
    """Carry the end of a campaign that was stopped to some of its devices; whether there are more.

    The engine does it soon anyway; who promises that devices are free at once does not wait for it.
    """
    campaign = campaigns.by_id(tx, campaign_id, lock=True)
    return campaign.closing is not None and _close(tx, campaign, settings, now)


def _close(tx: Tx, campaign: Campaign, settings: Settings, now: datetime) -> bool:
    assert campaign.closing is not None
    event = UpgradeEvent(campaign.closing)
    found = upgrades.still_open(tx, campaign.id, settings.limits.sweep_devices)
    if not found:
        campaigns.end_closing(tx, campaign.id)
        return False
    # Some may have reported their end while their locks were waited for; there may be others yet.
    some = [upgrade for upgrade in upgrades.lock(tx, found) if upgrade.state in OPEN]
    if TERMS[campaign.api_version].slots:
        slots.release(tx, [upgrade.id for upgrade in some])
    if event is not UpgradeEvent.QUEUE:
        for attempt in attempts.open_of_devices(tx, [upgrade.id for upgrade in some]).values():
            if event is UpgradeEvent.END:
                _let_go(tx, attempt, campaign, settings, now)
            else:
                _call_off(tx, attempt, campaign, now)
    apply_events(
        tx,
        campaign,
        [Happening(upgrade=u, event=event, reason=_last_reason(u, event, campaign)) for u in some],
        settings.limits,
        now,
    )
    if event is UpgradeEvent.QUEUE:
        for upgrade in some:
            if upgrade.due_at is None and upgrade.state is UpgradeState.ACCEPTED:
                push.set_due(tx, upgrade.id, now)
        tx.hint("push")
    return True


def _last_reason(upgrade: Upgrade, event: UpgradeEvent, campaign: Campaign) -> Reason | None:
    if event is UpgradeEvent.QUEUE:
        # It stays what it was: told to come, at work, or waiting; or it never had its turn.
        return None if upgrade.state is UpgradeState.PENDING else Reason.RETRY_QUEUED
    if event is not UpgradeEvent.END:
        return Reason.BY_USER
    if TERMS[campaign.api_version].slots:
        return None  # it stays what it was: not to be reached, or without a slot in time
    # It was never offered anything, so it never said anything (lifecycle.md 4.4).
    return upgrade.reason if upgrade.state is UpgradeState.PENDING else Reason.NO_REPORT


def _let_go(
    tx: Tx, attempt: attempts.Attempt, campaign: Campaign, settings: Settings, now: datetime
) -> None:
    """The campaign ended: an attempt expires, at once or, with the artifact there, after a grace."""
    if attempt.downloaded_at is not None and attempt.state is not AttemptState.CANCELLING:
        grace = timedelta(seconds=settings.grace_s)
        attempts.set_due(tx, attempt.id, campaign.rules.ends_at + grace)
        return
    attempts.move(tx, attempt, AttemptState(attempt_after(attempt.state, AttemptEvent.EXPIRE)), now)
    attempts.release_device(tx, attempt)


def _call_off(tx: Tx, attempt: attempts.Attempt, campaign: Campaign, now: datetime) -> None:
    """The campaign was stopped: an attempt the device has seen waits for its answer.

    Over OMA-DM there is nothing to ask with: what the device has begun it will end.
    """
    asked = campaign.protocol not in PUSHED
    state = attempt_after(attempt.state, AttemptEvent.CANCEL if asked else AttemptEvent.EXPIRE)
    if state in (KEEP, VOID):
        return
    waits = state is AttemptState.CANCELLING
    attempts.move(
        tx,
        attempt,
        AttemptState(state),
        now,
        due_at=campaign.rules.ends_at if waits else None,
    )
    if not waits:
        attempts.release_device(tx, attempt)
    if campaign.protocol == LWM2M:
        tx.hint("lwm2m")  # what is on its way to the device is stopped, and taken back


def expire(tx: Tx, settings: Settings, now: datetime) -> int:
    """End attempts whose time is over; how many were looked at."""
    due = attempts.due(tx, now, EXPIRY_BATCH)
    for attempt_id in due:
        seen = attempts.find(tx, attempt_id)
        if seen is None:
            continue
        polls.get_device(tx, seen.device_id, lock=True)
        attempt = attempts.find(tx, attempt_id, lock=True)
        if attempt is None or attempt.due_at is None or attempt.due_at > now:
            continue
        campaign = campaigns.by_id(tx, attempt.campaign_id)
        graced = campaign.rules.ends_at + timedelta(seconds=settings.grace_s)
        if (
            attempt.downloaded_at is not None
            and attempt.state is not AttemptState.CANCELLING
            and now < graced
        ):
            attempts.set_due(tx, attempt.id, graced)
            continue
        state = attempt_after(attempt.state, AttemptEvent.EXPIRE)
        if state in (KEEP, VOID):
            attempts.move(tx, attempt, attempt.state, now)
            continue
        attempts.move(tx, attempt, AttemptState(state), now)
        attempts.release_device(tx, attempt)
        if campaign.protocol in PUSHED and push.follow(tx, seen.device_id, seen.upgrade_id, now):
            tx.hint("push")  # another campaign waited for its end
    return len(due)


def is_due(tx: Tx, now: datetime) -> bool:
    """Whether there is anything to carry on, or to end."""
    return campaigns.any_due(tx, now) or bool(attempts.due(tx, now, 1))


class Advance:
    """The loop that does all of that, in one process."""

    def __init__(self, db: Database, clock: Clock, settings: Settings, owner: str) -> None:
        self._db = db
        self._clock = clock
        self._settings = settings
        self._owner = owner
        self._wake = asyncio.Event()
        db.on_hint("advance", self._wake.set)

    async def run(self) -> None:
        """Work until cancelled. A database that is away is waited for."""
        while True:
            self._wake.clear()
            try:
                busy = await self.turn()
            except StoreError as error:
                log.error("the engine cannot work", error=str(error))
                busy = False
            if not busy:
                # Not wait_for: before 3.12 it forgets a cancellation that comes with the wake.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s()):
                        await self._wake.wait()

    def _pause_s(self) -> float:
        fast = self._settings.engine_interval_s / max(self._settings.time_rate, 1.0)
        return max(fast, min(LEAST_PAUSE_S, self._settings.engine_interval_s))

    async def turn(self) -> bool:
        """Claim what is due and carry it on as far as it goes now; whether there was anything."""
        limits = self._settings.limits
        now = self._clock.now()
        if not await self._db.read(is_due, now):
            return False  # nothing is locked for that, nor written
        # Steps take the wall's time: where the clock runs faster, leases are as much longer.
        held = timedelta(seconds=self._settings.lease_s * max(self._settings.time_rate, 1.0))
        lease = now + held
        claimed = await self._db.transact(
            campaigns.claim, self._owner, now, lease, limits.claim_campaigns
        )
        active = list(claimed)
        # One step each in turn: a small campaign does not wait for a large one.
        while active:
            active = [campaign_id for campaign_id in active if await self._step(campaign_id)]
            if self._clock.now() >= lease - held / 2:
                break  # claimed again at the next turn, with a fresh lease
        if claimed:
            await self._db.transact(campaigns.release, claimed, self._owner)
        expired = await self._db.transact(expire, self._settings, self._clock.now())
        return bool(active) or expired == EXPIRY_BATCH

    async def _step(self, campaign_id: CampaignId) -> bool:
        now = self._clock.now()
        try:
            return await self._db.transact(step, campaign_id, self._owner, self._settings, now)
        except (StoreBusyError, StoreFullError, StoreUnavailableError):
            raise
        except Exception:
            # One campaign that trips over a bug of ours, or whose rows the database refuses, must
            # not stand in the way of all others.
            log.exception("a campaign cannot be carried on", campaign=campaign_id)
            await self._db.transact(campaigns.set_due, campaign_id, now + FAULT_PAUSE)
            return False
