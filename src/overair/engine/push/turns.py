"""What is due for devices, and devices that come by themselves."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from overair.config import Settings
from overair.core.attempt import AttemptState
from overair.core.ids import DeviceId, UpgradeId
from overair.core.protocols import LWM2M, OMADM, PUSHED
from overair.core.push import Call, carry_on
from overair.core.upgrade import FINAL, Reason, UpgradeState
from overair.engine.push.opening import Wake, begin, next_session, wake_of
from overair.engine.setbacks import set_back
from overair.store import attempts, campaigns, lwm2m_attempts, polls, push, upgrades
from overair.store.attempts import Attempt
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.polls import Device
from overair.store.push import PushAttempt
from overair.store.upgrades import Upgrade

FAULT_PAUSE = timedelta(seconds=60)  # for a device that we cannot carry on, because of a bug
AT_WORK = (AttemptState.RUNNING, AttemptState.DOWNLOADED)


def due(tx: Tx, settings: Settings, now: datetime, limit: int) -> list[Wake]:
    """Look at up to ``limit`` devices that are due; the notifications to send after the commit."""
    wakes: list[Wake] = []
    for upgrade_id in push.due(tx, now, limit):
        device_id = push.device_of(tx, upgrade_id)
        if device_id is None or not polls.try_lock_device(tx, device_id):
            continue
        upgrade = upgrades.find(tx, upgrade_id, lock=True)
        if upgrade is None or upgrade.due_at is None or upgrade.due_at > now:
            continue
        wake = _look(tx, polls.get_device(tx, device_id), upgrade, settings, now)
        if wake is not None:
            wakes.append(wake)
    return wakes


def set_aside(tx: Tx, now: datetime) -> None:
    """Leave the first device that is due for later: we trip over it, and others wait behind it."""
    for upgrade_id in push.due(tx, now, 1):
        push.set_due(tx, upgrade_id, now + FAULT_PAUSE)


def attached(tx: Tx, device_ids: Sequence[DeviceId], settings: Settings, now: datetime) -> int:
    """The network sees these devices: those that are queued have their turn, after their pauses.

    Those that were notified while they were away are called anew, in the window that they have: a
    device that powers on within it takes its upgrade then (``lifecycle.md`` 3.5). Those that said that
    they succeeded have restarted now, and are asked what they run. How many are due because of it.
    """
    woken = (
        push.hasten(tx, device_ids, now)
        + push.recall(tx, device_ids, now)
        + push.hasten_proof(tx, device_ids, now)
        + push.hasten_unplaced(tx, device_ids, now)
    )
    if woken:
        tx.hint("push")
    return woken


def give_dates(tx: Tx, upgrade_ids: Sequence[UpgradeId], settings: Settings, now: datetime) -> None:
    """Those who wait without a date, since nobody was to be called unasked, are from now on."""
    for upgrade_id in upgrade_ids:
        device_id = push.device_of(tx, upgrade_id)
        if device_id is None or not polls.try_lock_device(tx, device_id):
            continue  # somebody has it in hand, and will see to it
        upgrade = upgrades.find(tx, upgrade_id, lock=True)
        if upgrade is None or upgrade.due_at is not None or upgrade.state in FINAL:
            continue
        if campaigns.by_id(tx, upgrade.campaign_id).protocol == OMADM:
            push.set_due(tx, upgrade_id, now + timedelta(seconds=settings.omadm.requeue_push_s))


def moved(tx: Tx, device_id: DeviceId, settings: Settings, now: datetime) -> None:
    """The device is not in the cell any more for which its attempt was opened: it has a slot elsewhere."""
    device = polls.get_device(tx, device_id, lock=True)
    attempt = _under_way(tx, device)
    if attempt is None or attempt.state is not AttemptState.OFFERED:
        return
    upgrade = upgrades.by_id(tx, attempt.upgrade_id, lock=True)
    campaign = campaigns.by_id(tx, upgrade.campaign_id)
    _give_up(tx, attempt, upgrade, campaign, Reason.NO_RESPONSE, settings, now, paused=False)
    tx.hint("push")


def _look(
    tx: Tx, device: Device, upgrade: Upgrade, settings: Settings, now: datetime
) -> Wake | None:
    """Carry a device on that is due."""
    if upgrade.state in FINAL or upgrade.state is UpgradeState.REQUESTED:
        push.set_due(tx, upgrade.id, None)
        return None
    campaign = campaigns.by_id(tx, upgrade.campaign_id)
    attempt = _under_way(tx, device)
    if attempt is None:
        return begin(tx, device, upgrade, campaign, settings, now, call=True)
    own = push.find(tx, attempt.id) if attempt.upgrade_id == upgrade.id else None
    if own is None:
        # An action of another campaign, or of another protocol, is not at its end yet. Its end is
        # told (``store.push.follow``); this is for one that never ends.
        push.set_due(tx, upgrade.id, now + timedelta(seconds=settings.omadm.window_s))
        return None
    return _attend(tx, device, upgrade, campaign, attempt, own, settings, now)


def _under_way(tx: Tx, device: Device) -> Attempt | None:
    if device.open_attempt_id is None:
        return None
    return attempts.find(tx, device.open_attempt_id, lock=True)


def _attend(
    tx: Tx,
    device: Device,
    upgrade: Upgrade,
    campaign: Campaign,
    attempt: Attempt,
    own: PushAttempt,
    settings: Settings,
    now: datetime,
) -> Wake | None:
    """See to an attempt that is under way."""
    rules = settings.omadm
    if device.protocol == LWM2M:
        _attend_visited(tx, upgrade, campaign, attempt, own, settings, now)
        return None
    at_work = attempt.state in AT_WORK
    if at_work and own.call.called_at <= _last_word(attempt, own, settings):
        # Silent for too long: it is called, and asked how far it is, or what it runs.
        ends_at = own.verify_until or now + timedelta(seconds=rules.window_s)
        call = Call(called_at=now, window_ends_at=ends_at)
        own = replace(own, session=next_session(tx, device), call=call)
        push.call_again(tx, attempt.id, own.session, call)
    step = carry_on(own.call, now, timedelta(seconds=rules.push_pause_s))
    if step.over:
        reason = Reason.REPORT_LOST if at_work else Reason.NO_RESPONSE
        if own.verify_until is not None:
            reason = Reason.VERSION_UNCHANGED
        _give_up(tx, attempt, upgrade, campaign, reason, settings, now, paused=at_work)
        return None
    push.set_due(tx, upgrade.id, step.due_at)
    if not step.push:
        return None
    push.set_pushed(tx, attempt.id, now)
    return wake_of(device, own)


def _last_word(attempt: Attempt, own: PushAttempt, settings: Settings) -> datetime:
    """When a device at work was last known to get on: it said so, or was given its command."""
    if own.verify_until is not None:
        return own.verify_until - timedelta(seconds=settings.omadm.verify_grace_s)
    return own.executed_at or attempt.offered_at


def _attend_visited(
    tx: Tx,
    upgrade: Upgrade,
    campaign: Campaign,
    attempt: Attempt,
    own: PushAttempt,
    settings: Settings,
    now: datetime,
) -> None:
    """See to an attempt over LwM2M: nobody is called, and whoever is at work is visited."""
    if own.verify_until is not None:
        over_at, reason = own.verify_until, Reason.VERSION_UNCHANGED
    elif attempt.state in AT_WORK and own.executed_at is not None:
        silent_from = own.executed_at
        deferred_until = lwm2m_attempts.find(tx, attempt.id).deferred_until
        if deferred_until is not None:
            silent_from = max(silent_from, deferred_until)  # its user may put it off until then
        over_at = silent_from + timedelta(seconds=settings.lwm2m.result_timeout_s)
        reason = Reason.REPORT_LOST
    elif attempt.state in AT_WORK:
        over_at = attempt.offered_at + timedelta(seconds=settings.lwm2m.delivery_timeout_s)
        reason = Reason.DOWNLOAD_FAILED
    else:
        over_at, reason = own.call.window_ends_at, Reason.NO_RESPONSE
    if now < over_at:
        push.set_due(tx, upgrade.id, over_at)
    else:
        at_work = attempt.state in AT_WORK
        _give_up(tx, attempt, upgrade, campaign, reason, settings, now, paused=at_work)


def _give_up(
    tx: Tx,
    attempt: Attempt,
    upgrade: Upgrade,
    campaign: Campaign,
    reason: Reason,
    settings: Settings,
    now: datetime,
    *,
    paused: bool = True,
) -> None:
    """We end an attempt that the device has not; a success of it is believed when it is heard."""
    attempts.move(tx, attempt, AttemptState.EXPIRED, now)
    attempts.release_device(tx, attempt)
    set_back(tx, attempt, upgrade, campaign, reason, settings, now, paused=paused)


def begin_session(tx: Tx, device_id: DeviceId, settings: Settings, now: datetime) -> None:
    """The device is here: if it waits for its turn, this is it."""
    device = polls.get_device(tx, device_id, lock=True)
    upgrade_id = device.open_upgrade_id or push.wanted(tx, device_id)
    if device.protocol not in PUSHED or upgrade_id is None:
        return
    upgrade = upgrades.by_id(tx, upgrade_id, lock=True)
    campaign = campaigns.by_id(tx, upgrade.campaign_id)
    attempt = _under_way(tx, device)
    own = None if attempt is None else push.find(tx, attempt.id)
    if attempt is not None and own is not None and attempt.upgrade_id == upgrade.id:
        if attempt.state in AT_WORK:
            # Over LwM2M that a device is there is no sign that it gets on: its time goes on.
            if device.protocol != LWM2M:
                _heard(tx, upgrade, attempt, own, settings, now)
            return
        if now < own.call.window_ends_at:
            return
        reason = Reason.NO_RESPONSE
        _give_up(tx, attempt, upgrade, campaign, reason, settings, now, paused=False)
        upgrade = upgrades.by_id(tx, upgrade_id)
    elif attempt is not None:
        return
    if upgrade.state in (UpgradeState.ACCEPTED, UpgradeState.PENDING, UpgradeState.QUEUED):
        begin(tx, device, upgrade, campaign, settings, now, call=False)


def _heard(
    tx: Tx,
    upgrade: Upgrade,
    attempt: Attempt,
    own: PushAttempt,
    settings: Settings,
    now: datetime,
) -> None:
    """A device at work was silent and is heard of: it has as long again."""
    silent_from = _last_word(attempt, own, settings)
    if own.call.called_at > silent_from:
        call = replace(own.call, called_at=silent_from, pushed_at=None)
        push.call_again(tx, attempt.id, own.session, call)
    due_at = now + timedelta(seconds=settings.omadm.report_timeout_s)
    if own.verify_until is not None:
        due_at = min(now + timedelta(seconds=settings.omadm.verify_grace_s) / 2, own.verify_until)
    push.set_due(tx, upgrade.id, due_at)
