"""Devices that are told to come: notified, kept waiting for, tried again without limit.

A device over OMA-DM does not ask by itself. When its turn comes an *attempt* is opened, it is notified,
and what it then does in its sessions is recorded here. An attempt that fails, or whose window closes
without a session, queues the device: it has its next turn when the network sees it, when it opens a
session of its own, or, where nobody tells, once a day (``oma-dm.md`` 9, ``lifecycle.md`` 3.5).

What is due for a device is one instant, ``device_upgrade.due_at``; whoever looks at it moves it on in
the same transaction, under the device's lock. A notification is sent after that is on disk: of two
processes one sends it, and one that is lost with its process is repeated by the schedule of
``core/push.py``.

Not here: bytes and sessions (``devices/dm``), carriers (``push/``), what an outcome means for
licences, counters and listeners (``engine/outcome.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from overair.config import Settings
from overair.core.attempt import AttemptEvent, AttemptState
from overair.core.campaign import BEFORE_START
from overair.core.ids import AttemptId, DeviceId, UpgradeId
from overair.core.plan import Place, decide
from overair.core.push import Call, carry_on
from overair.core.upgrade import FINAL, IGNORE, Reason, UpgradeEvent, UpgradeState, after
from overair.engine.assign import PUSHED
from overair.engine.outcome import DeviceEvent, record
from overair.engine.setbacks import set_back
from overair.engine.upgrades import note_moves
from overair.store import attempts, campaigns, inventory, polls, push, upgrades
from overair.store.attempts import Attempt, Message
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.polls import Device
from overair.store.push import PushAttempt
from overair.store.upgrades import Move, Upgrade

FAULT_PAUSE = timedelta(seconds=60)  # for a device that we cannot carry on, because of a bug
LEAST_PAUSE = timedelta(seconds=1)  # between two looks at a device that lead to nothing
SESSIONS = 0xFFFF  # a session number has 16 bits, and is not 0
_AT_WORK = (AttemptState.RUNNING, AttemptState.DOWNLOADED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """A notification to send now. A repeat has the same session, so the device opens one only."""

    device_id: DeviceId
    imei: str
    attempt_id: AttemptId
    session: int  # 1 to 65535
    number: int  # 1 for the first of the attempt
    valid_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a device is to do: one attempt, as its sessions need to know it."""

    device_id: DeviceId
    attempt_id: AttemptId
    upgrade_id: UpgradeId
    correlator: str
    state: AttemptState
    session: int
    from_version: str
    to_version: str
    package_name: str
    sha256: str
    size_bytes: int
    file_name: str
    executed_at: datetime | None  # it was given its command
    verify_until: datetime | None  # it said that it succeeded; until when it may show that
    download_only: bool  # the command was to download; to install is another
    in_window: bool  # it may be given its command now
    pushes: int


# What is due -------------------------------------------------------------------------------------


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

    How many are due because of it.
    """
    woken = push.hasten(tx, device_ids, now)
    if woken:
        tx.hint("push")
    return woken


def _look(
    tx: Tx, device: Device, upgrade: Upgrade, settings: Settings, now: datetime
) -> Wake | None:
    """Carry a device on that is due."""
    if upgrade.state in FINAL or upgrade.state is UpgradeState.REQUESTED:
        push.set_due(tx, upgrade.id, None)
        return None
    campaign = campaigns.by_id(tx, upgrade.campaign_id)
    attempt = _open_attempt(tx, device)
    if attempt is None:
        return _begin(tx, device, upgrade, campaign, settings, now, call=True)
    own = push.find(tx, attempt.id) if attempt.upgrade_id == upgrade.id else None
    if own is None:
        # An action of another campaign, or of another protocol, is not at its end yet.
        push.set_due(tx, upgrade.id, now + timedelta(seconds=settings.omadm.window_s))
        return None
    return _attend(tx, device, upgrade, campaign, attempt, own, settings, now)


def _open_attempt(tx: Tx, device: Device) -> Attempt | None:
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
    if attempt.state in _AT_WORK:
        if own.verify_until is not None:
            if now < own.verify_until:
                push.set_due(tx, upgrade.id, own.verify_until)
            else:
                _give_up(tx, attempt, upgrade, campaign, Reason.VERSION_UNCHANGED, settings, now)
            return None
        silent_from = own.executed_at or attempt.offered_at
        if own.call.called_at <= silent_from:
            # Silent for too long: it is called, and asked how far it is.
            call = Call(called_at=now, window_ends_at=now + timedelta(seconds=rules.window_s))
            own = replace(own, session=_next_session(tx, device), call=call)
            push.call_again(tx, attempt.id, own.session, call)
    step = carry_on(own.call, now, timedelta(seconds=rules.push_pause_s))
    if step.over:
        at_work = attempt.state in _AT_WORK
        reason = Reason.REPORT_LOST if at_work else Reason.NO_RESPONSE
        _give_up(tx, attempt, upgrade, campaign, reason, settings, now, paused=at_work)
        return None
    push.set_due(tx, upgrade.id, step.due_at)
    if not step.push:
        return None
    push.set_pushed(tx, attempt.id, now)
    return _wake(device, own)


def _wake(device: Device, own: PushAttempt) -> Wake:
    return Wake(
        device_id=device.id,
        imei=device.imei,
        attempt_id=own.attempt_id,
        session=own.session,
        number=own.pushes + 1,
        valid_until=own.call.window_ends_at,
    )


def _next_session(tx: Tx, device: Device) -> int:
    return push.latest_session(tx, device.id) % SESSIONS + 1


def _begin(
    tx: Tx,
    device: Device,
    upgrade: Upgrade,
    campaign: Campaign,
    settings: Settings,
    now: datetime,
    *,
    call: bool,
) -> Wake | None:
    """Open the next attempt, if there may be one now; ``call``: the device has to be called to it."""
    if upgrade.not_before is not None and now < upgrade.not_before:
        push.set_due(tx, upgrade.id, upgrade.not_before)
        return None
    if upgrade.state is UpgradeState.QUEUED:
        if not settings.omadm.requeue:
            push.set_due(tx, upgrade.id, None)
            return None
    else:
        decision = decide(
            campaign.rules,
            _place(device, upgrade, settings),
            now,
            install_window_alone=settings.install_window_alone,
        )
        if not decision.offer:
            push.set_due(tx, upgrade.id, _later(campaign, decision.until, now))
            return None
    own = _open(tx, device, upgrade, campaign, settings, now, call=call)
    if own is None:
        push.set_due(tx, upgrade.id, None)
        return None
    step = carry_on(own.call, now, timedelta(seconds=settings.omadm.push_pause_s))
    push.set_due(tx, upgrade.id, step.due_at)
    if not step.push:
        return None
    push.set_pushed(tx, own.attempt_id, now)
    return _wake(device, own)


def _later(campaign: Campaign, until: datetime | None, now: datetime) -> datetime | None:
    """When to look again at a device that may not have its turn yet."""
    if until is None or campaign.status in BEFORE_START:
        return None  # the start of its campaign makes it due
    return max(until, now + LEAST_PAUSE)


def _open(
    tx: Tx,
    device: Device,
    upgrade: Upgrade,
    campaign: Campaign,
    settings: Settings,
    now: datetime,
    *,
    call: bool,
) -> PushAttempt | None:
    """A new attempt, whatever the rules of its campaign say; None if there is nothing to give."""
    artifact = polls.artifact_of(tx, campaign.package_id)
    state = after(upgrade.state, UpgradeEvent.OFFER)
    if artifact is None or state == IGNORE:
        return None
    attempt_id = attempts.insert(
        tx,
        upgrade_id=upgrade.id,
        campaign_id=campaign.id,
        device_id=device.id,
        package_id=campaign.package_id,
        artifact_sha256=artifact[0],
        file_name=artifact[1],
        number=upgrade.attempts + 1,
        now=now,
    )
    own = PushAttempt(
        attempt_id=attempt_id,
        correlator=f"c-{attempt_id:x}",
        session=_next_session(tx, device),
        call=Call(
            called_at=now,
            window_ends_at=now + timedelta(seconds=settings.omadm.window_s),
            # A device that is here is called again only if its session comes to nothing.
            pushed_at=None if call else now,
        ),
        pushes=0,
        executed_at=None,
        verify_until=None,
        download_only=False,
    )
    push.insert(tx, attempt_id, correlator=own.correlator, session=own.session, call=own.call)
    upgrades.offered(tx, upgrade, state, Reason.NOTIFIED, now)
    if state is not upgrade.state or upgrade.reason is not Reason.NOTIFIED:
        move = Move(
            upgrade=upgrade,
            state=UpgradeState(state),
            reason=Reason.NOTIFIED,
            device_id=device.id,
        )
        note_moves(tx, campaign, [move], settings.limits, now)
    return own


def _place(device: Device, upgrade: Upgrade, settings: Settings) -> Place:
    zone = device.zone if settings.windows_in_device_time else None
    return Place(state=upgrade.state, not_before=upgrade.not_before, zone=zone or UTC)


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


# The device's sessions ---------------------------------------------------------------------------


def begin_session(tx: Tx, device_id: DeviceId, settings: Settings, now: datetime) -> None:
    """The device is here: if it waits for its turn, this is it."""
    device = polls.get_device(tx, device_id, lock=True)
    upgrade_id = device.open_upgrade_id or push.wanted(tx, device_id)
    if device.protocol != PUSHED or upgrade_id is None:
        return
    upgrade = upgrades.by_id(tx, upgrade_id, lock=True)
    campaign = campaigns.by_id(tx, upgrade.campaign_id)
    attempt = _open_attempt(tx, device)
    own = None if attempt is None else push.find(tx, attempt.id)
    if attempt is not None and own is not None and attempt.upgrade_id == upgrade.id:
        if attempt.state in _AT_WORK:
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
        _begin(tx, device, upgrade, campaign, settings, now, call=False)


def _heard(
    tx: Tx,
    upgrade: Upgrade,
    attempt: Attempt,
    own: PushAttempt,
    settings: Settings,
    now: datetime,
) -> None:
    """A device at work was silent and is heard of: it has as long again."""
    silent_from = own.executed_at or attempt.offered_at
    if own.call.called_at > silent_from:
        call = replace(own.call, called_at=silent_from, pushed_at=None)
        push.call_again(tx, attempt.id, own.session, call)
    if own.verify_until is None:
        push.set_due(tx, upgrade.id, now + timedelta(seconds=settings.omadm.report_timeout_s))


def job_of(tx: Tx, device_id: DeviceId, settings: Settings, now: datetime) -> Job | None:
    """What the device is to do now, or is doing."""
    device = polls.get_device(tx, device_id)
    if device.protocol != PUSHED or device.open_attempt_id is None:
        return None
    return _job(tx, device, device.open_attempt_id, settings, now)


def job_by_correlator(
    tx: Tx, device_id: DeviceId, correlator: str, settings: Settings, now: datetime
) -> Job | None:
    """The attempt that a report of the device names, whether it is over or not."""
    attempt_id = push.by_correlator(tx, device_id, correlator)
    if attempt_id is None:
        return None
    return _job(tx, polls.get_device(tx, device_id), attempt_id, settings, now)


def _job(
    tx: Tx, device: Device, attempt_id: AttemptId, settings: Settings, now: datetime
) -> Job | None:
    attempt = attempts.find(tx, attempt_id)
    own = push.find(tx, attempt_id)
    if attempt is None or own is None:
        return None
    upgrade = upgrades.by_id(tx, attempt.upgrade_id)
    campaign = campaigns.by_id(tx, attempt.campaign_id)
    told = polls.deployment(tx, attempt_id)
    assert told is not None
    in_window = attempt.state in _AT_WORK or (
        attempt.state is AttemptState.OFFERED and now < own.call.window_ends_at
    )
    if in_window and upgrade.state is not UpgradeState.QUEUED:
        place = replace(_place(device, upgrade, settings), not_before=None)
        in_window = decide(
            campaign.rules, place, now, install_window_alone=settings.install_window_alone
        ).offer
    return Job(
        device_id=device.id,
        attempt_id=attempt.id,
        upgrade_id=upgrade.id,
        correlator=own.correlator,
        state=attempt.state,
        session=own.session,
        from_version=campaign.from_version,
        to_version=campaign.to_version,
        package_name=campaign.package_name,
        sha256=told.sha256,
        size_bytes=told.size_bytes,
        file_name=attempt.file_name,
        executed_at=own.executed_at,
        verify_until=own.verify_until,
        download_only=own.download_only,
        in_window=in_window,
        pushes=own.pushes,
    )


# What it does ------------------------------------------------------------------------------------


def executed(
    tx: Tx, job: Job, settings: Settings, now: datetime, *, download_only: bool = False
) -> None:
    """The device is about to be given its command: from now on it may be at work."""
    _record(tx, job, AttemptEvent.PROGRESS, settings, now)
    push.set_executed(tx, job.attempt_id, now, download_only=download_only)
    push.set_due(tx, job.upgrade_id, now + timedelta(seconds=settings.omadm.report_timeout_s))


def downloaded(
    tx: Tx, job: Job, settings: Settings, now: datetime, *, code: int | None = None, text: str = ""
) -> None:
    """The device has the package."""
    _record(tx, job, AttemptEvent.DOWNLOAD, settings, now, _message(now, "download", code, text))


def await_version(
    tx: Tx, job: Job, settings: Settings, now: datetime, *, code: int | None = None, text: str = ""
) -> None:
    """The device says that it succeeded and does not show it yet: it has a while to do so."""
    note(tx, job, settings, now, code=code, text=text)
    if job.verify_until is None:
        until = now + timedelta(seconds=settings.omadm.verify_grace_s)
        push.set_verify_until(tx, job.attempt_id, until)
        push.set_due(tx, job.upgrade_id, until)


def failed(
    tx: Tx,
    job: Job,
    reason: Reason,
    settings: Settings,
    now: datetime,
    *,
    code: int | None = None,
    text: str = "",
) -> None:
    """The device did not do it, and says so."""
    _record(
        tx,
        job,
        AttemptEvent.FAIL,
        settings,
        now,
        _message(now, "failed", code, text, finished="failure"),
        reason=reason,
    )


def note(
    tx: Tx, job: Job, settings: Settings, now: datetime, *, code: int | None = None, text: str = ""
) -> None:
    """Words of the device that change nothing."""
    message = _message(now, "proceeding", code, text)
    _record(tx, job, AttemptEvent.NOTE, settings, now, message)


def succeeded(
    tx: Tx,
    job: Job,
    version: str,
    settings: Settings,
    now: datetime,
    *,
    code: int | None = None,
    text: str = "",
) -> None:
    """The device runs what it was to run, and has shown it, or cannot be asked."""
    inventory.set_version(tx, job.device_id, version, now)
    upgrade = upgrades.by_id(tx, job.upgrade_id)
    message = _message(now, "closed", code, text, finished="success")
    _succeed(tx, job.device_id, upgrade, settings, now, message)


def version_seen(
    tx: Tx, device_id: DeviceId, version: str, settings: Settings, now: datetime
) -> bool:
    """The device shows what it runs; whether an upgrade has succeeded by that.

    A report may be lost, or come after we gave up: what the device runs is the truth.
    """
    device = polls.get_device(tx, device_id, lock=True)
    inventory.set_version(tx, device_id, version, now)
    upgrade_id = device.open_upgrade_id or push.wanted(tx, device_id)
    if device.protocol != PUSHED or upgrade_id is None:
        return False
    upgrade = upgrades.by_id(tx, upgrade_id, lock=True)
    campaign = campaigns.by_id(tx, upgrade.campaign_id)
    tried = upgrade.state in (UpgradeState.PENDING, UpgradeState.QUEUED)
    if not tried or campaign.kind != "software" or campaign.to_version != version:
        return False
    message = _message(now, "closed", None, f"shows {version}", finished="success")
    return _succeed(tx, device_id, upgrade, settings, now, message)


def _succeed(
    tx: Tx,
    device_id: DeviceId,
    upgrade: Upgrade,
    settings: Settings,
    now: datetime,
    message: Message,
) -> bool:
    """Close the upgrade's attempt as the one that succeeded, or one made for that."""
    latest = push.latest_attempt(tx, upgrade.id)
    if latest is None:
        return False
    attempt_id, state = latest
    if state in (AttemptState.FAILED, AttemptState.CANCELLED):
        # The device said that this one failed; there was another try, of which we know nothing.
        device = polls.get_device(tx, device_id, lock=True)
        campaign = campaigns.by_id(tx, upgrade.campaign_id)
        if device.open_attempt_id is not None:
            return False
        own = _open(tx, device, upgrade, campaign, settings, now, call=False)
        if own is None:
            return False
        attempt_id = own.attempt_id
    event = DeviceEvent(
        device_id=device_id, attempt_id=attempt_id, event=AttemptEvent.SUCCEED, message=message
    )
    record(tx, event, settings, now)
    push.set_due(tx, upgrade.id, None)
    return True


def _record(
    tx: Tx,
    job: Job,
    event: AttemptEvent,
    settings: Settings,
    now: datetime,
    message: Message | None = None,
    reason: Reason | None = None,
) -> None:
    happened = DeviceEvent(
        device_id=job.device_id,
        attempt_id=job.attempt_id,
        event=event,
        message=message,
        reason=reason,
    )
    record(tx, happened, settings, now)


def _message(
    now: datetime, execution: str, code: int | None, text: str, *, finished: str = "none"
) -> Message:
    return Message(
        at=now,
        execution=execution,
        finished=finished,
        code=code,
        details=(text,) if text else (),
    )
