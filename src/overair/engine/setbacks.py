"""An attempt failed: the next one, or the end of the device's upgrade.

How often a device is tried is a matter of its protocol: over HTTP a few times with pauses, over OMA-DM
without limit, unless the old rule is set (``core/retry.py``, ``lifecycle.md`` 3.5). Over LwM2M it has its
next turn in v1 at 00:00 or 04:00 of three days, and in v3 in the next slot of its cell.
"""

from datetime import datetime, timedelta

from overair.config import Settings
from overair.core.campaign import CampaignStatus
from overair.core.licenses import license_needed
from overair.core.protocols import LWM2M, OMADM, PUSHED
from overair.core.push import next_lwm2m_try
from overair.core.retry import RetryPolicy, next_try
from overair.core.terms import TERMS
from overair.core.upgrade import Reason, UpgradeEvent, UpgradeState
from overair.engine import slots
from overair.engine.slots import Turn
from overair.engine.upgrades import Happening, apply_events
from overair.store import attempts, campaigns, licenses, push, subscriptions, upgrades
from overair.store.attempts import Attempt
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.upgrades import Upgrade

LATE = timedelta(minutes=30)  # by which a window's end may be seen


def policy_of(campaign: Campaign, settings: Settings) -> RetryPolicy:
    """How often devices of that campaign are tried."""
    if campaign.protocol == OMADM:
        return RetryPolicy(
            attempts=None if settings.omadm.requeue else 1,
            pause=timedelta(seconds=settings.omadm.retry_pause_s),
        )
    if campaign.protocol == LWM2M:
        return RetryPolicy(attempts=None, pause=timedelta(seconds=settings.slots.retry_delay_s))
    return RetryPolicy(
        attempts=settings.limits.max_attempts, pause=timedelta(seconds=settings.retry_delay_s)
    )


def set_back(
    tx: Tx,
    attempt: Attempt,
    upgrade: Upgrade,
    campaign: Campaign,
    reason: Reason,
    settings: Settings,
    now: datetime,
    *,
    given_up: bool = False,
    paused: bool = True,
) -> None:
    """What follows an attempt that is closed, and failed for that reason.

    ``given_up``: there is no sense in another one. ``paused`` False: there is nothing to pause for.
    """
    attempts.set_reason(tx, attempt.id, reason)
    again = None
    if not given_up:
        policy = policy_of(campaign, settings)
        again = next_try(policy, made=upgrade.attempts, now=now, paused=paused)
    if upgrade.state is UpgradeState.QUEUED and not _licensed(tx, upgrade, campaign):
        # Its licence went while it was at work, which was let end (lifecycle.md 6.4): this is the end.
        again, reason = None, Reason.LICENSE_REMOVED
    pushed = campaign.protocol in PUSHED
    shown = reason
    due_at = None
    if pushed and again is not None:
        # A window that has closed ends with the next try: that one is not to be missed for it.
        since = now if paused else now - LATE
        turn = _next_turn(tx, upgrade, campaign, again, since, settings, now)
        again = None
        if turn is not None:
            again, due_at, shown = turn
            if reason is Reason.INTERNAL and TERMS[campaign.api_version].slots:
                shown = reason  # it was us, and not the device (lifecycle.md 5.4)
    if again is not None:
        upgrades.hold_back(tx, upgrade.id, again)
    if pushed:
        push.set_due(tx, upgrade.id, due_at)
    event = UpgradeEvent.EXHAUST if again is None else UpgradeEvent.PROGRESS
    happening = Happening(upgrade=upgrade, event=event, reason=shown)
    apply_events(tx, campaign, [happening], settings.limits, now)
    if again is None:
        hasten_end(tx, campaign, now)


def cannot_begin(
    tx: Tx, upgrade: Upgrade, campaign: Campaign, settings: Settings, now: datetime
) -> None:
    """A device's slot is open, and what it would be given is not there: no try of its, and another turn later."""
    pause = timedelta(seconds=settings.slots.retry_delay_s)
    turn = slots.next_turn(tx, upgrade, campaign, now + pause, settings, now)
    if turn is not None:
        upgrades.hold_back(tx, upgrade.id, turn.not_before)
    push.set_due(tx, upgrade.id, None if turn is None else turn.due_at)
    event = UpgradeEvent.END if turn is None else UpgradeEvent.PROGRESS
    happening = Happening(upgrade=upgrade, event=event, reason=Reason.INTERNAL)
    apply_events(tx, campaign, [happening], settings.limits, now)
    if turn is None:
        hasten_end(tx, campaign, now)


def _licensed(tx: Tx, upgrade: Upgrade, campaign: Campaign) -> bool:
    """Whether a device that is tried on after its campaign may still be."""
    subscription = subscriptions.get(tx, campaign.account_id)
    if subscription is None or not license_needed(subscription.purchase_type):
        return True
    return upgrade.device_id is not None and licenses.has_license(tx, upgrade.device_id)


def _next_turn(
    tx: Tx,
    upgrade: Upgrade,
    campaign: Campaign,
    again: datetime,
    since: datetime,
    settings: Settings,
    now: datetime,
) -> Turn | None:
    """A pushed device's next turn, if there is one."""
    if TERMS[campaign.api_version].slots:
        return slots.next_turn(tx, upgrade, campaign, again, settings, now)
    if campaign.protocol == LWM2M and campaign.api_version == 1:
        following = next_lwm2m_try(campaign.start_date, since)
        return None if following is None else Turn(following, following, Reason.RETRY_QUEUED)
    due_at = again if campaign.protocol == LWM2M else _unasked(again, settings)
    return Turn(again, due_at, Reason.RETRY_QUEUED)


def hasten_end(tx: Tx, campaign: Campaign, now: datetime) -> None:
    """A device came to its end: if it was the last, the campaign need not wait for its time."""
    if campaign.status is CampaignStatus.SCHEDULED:
        campaigns.hasten_last(tx, campaign.id, TERMS[campaign.api_version].lasting, now)


def _unasked(again: datetime, settings: Settings) -> datetime | None:
    """When a device is called again though no network has told of it (``oma-dm.md`` 9).

    Counted from the end of the last call, so that calls drift through the hours of the day: a device that
    is off at the same hours every night is not called in those for ever.
    """
    if not settings.omadm.requeue_push_s:
        return None
    return again + timedelta(seconds=settings.omadm.requeue_push_s)
