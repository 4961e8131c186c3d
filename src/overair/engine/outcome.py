"""What a device said, and what we saw it do: the upgrade moves, in one transaction.

``record`` takes one ``DeviceEvent`` and answers whether it was taken, is void (the action is closed)
or names nothing of this device. What it takes is durable when the transaction is: an acknowledged
report is never lost, and a repeated one changes nothing (``core/attempt.py``).

Order of locks: device, attempt, upgrade. The campaign's row is only read: a hundred thousand
devices report to one campaign.
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from overair.config import Settings
from overair.core import coverage
from overair.core.attempt import CLOSED, IGNORE, REFUSE, AttemptEvent, AttemptState, after
from overair.core.ids import AttemptId, DeviceId
from overair.core.protocols import PUSHED
from overair.core.terms import TERMS
from overair.core.upgrade import Reason, UpgradeEvent
from overair.engine import devicelog, slots
from overair.engine.setbacks import hasten_end, set_back
from overair.engine.upgrades import Happening, apply_events
from overair.store import attempts, campaigns, inventory, polls, push, upgrades
from overair.store.attempts import Attempt, Message, Progress
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.upgrades import Upgrade

_CALLED_OFF = (AttemptState.CANCELLING, AttemptState.CANCELLED)


class Taken(StrEnum):
    """What became of a report."""

    TAKEN = "taken"
    GONE = "gone"  # the action is closed: nothing was changed
    UNKNOWN = "unknown"  # no such action of this device


class DeviceEvent(msgspec.Struct, frozen=True, gc=False):
    """One thing that a device said or did in an attempt."""

    device_id: DeviceId
    attempt_id: AttemptId
    event: AttemptEvent
    message: Message | None = None
    reason: Reason | None = None  # of a failure, where the protocol tells more than we saw
    to_cancel: bool = False  # said of the cancellation: void unless there is one
    progress: Progress | None = None  # of the download, as it is after this
    logged: bool = False  # verbose logging is on for the device


def record(tx: Tx, event: DeviceEvent, settings: Settings, now: datetime) -> Taken:
    """Advance the attempt, the upgrade and everything that follows."""
    attempt = _locked(tx, event.device_id, event.attempt_id)
    return Taken.UNKNOWN if attempt is None else _take(tx, attempt, event, settings, now)


def _locked(tx: Tx, device_id: DeviceId, attempt_id: AttemptId) -> Attempt | None:
    """The attempt, if it is the device's; nobody else changes either before we are done."""
    polls.lock_device(tx, device_id)
    attempt = attempts.find(tx, attempt_id, lock=True)
    return attempt if attempt is not None and attempt.device_id == device_id else None


def _take(tx: Tx, attempt: Attempt, event: DeviceEvent, settings: Settings, now: datetime) -> Taken:
    state = after(attempt.state, event.event)
    if state == REFUSE or _is_void(attempt, event):
        return Taken.GONE
    if event.event is AttemptEvent.DOWNLOAD and attempt.state is AttemptState.CANCELLING:
        # Should the device go on, what follows is about the installation.
        attempts.set_downloaded(tx, attempt.id, now)
    kept = _keep(tx, attempt, event, settings, now, final=state != IGNORE)
    if state != IGNORE:
        _move(tx, attempt, AttemptState(state), event, settings, now, messages=kept)
    elif kept:
        attempts.count_message(tx, attempt.id)
    return Taken.TAKEN


def _is_void(attempt: Attempt, event: DeviceEvent) -> bool:
    """What only a device's own word can be: too late, or about a cancel that there is not."""
    if event.to_cancel:
        return attempt.state not in _CALLED_OFF
    # Bytes of ours that arrive after its end are ignored; a device that says so is told.
    return (
        event.message is not None
        and event.event is AttemptEvent.DOWNLOAD
        and (attempt.state in CLOSED and attempt.state is not AttemptState.EXPIRED)
    )


def _keep(
    tx: Tx,
    attempt: Attempt,
    event: DeviceEvent,
    settings: Settings,
    now: datetime,
    *,
    final: bool,
) -> int:
    """Keep the device's words, up to a limit that only an ending may pass; how many were kept."""
    if event.message is None:
        return 0
    if attempt.feedback_count >= settings.limits.feedback_per_attempt and not final:
        return 0
    attempts.add_message(tx, attempt.id, event.message)
    if event.logged:
        devicelog.note_details(tx, event.device_id, event.message.details, settings.limits, now)
    return 1


def _move(
    tx: Tx,
    attempt: Attempt,
    state: AttemptState,
    event: DeviceEvent,
    settings: Settings,
    now: datetime,
    *,
    messages: int,
) -> None:
    campaign = campaigns.by_id(tx, attempt.campaign_id)
    attempts.move(
        tx,
        attempt,
        state,
        now,
        due_at=_due(attempt, state, campaign, settings),
        cancel_refused=event.event is AttemptEvent.CANCEL_REFUSE,
        messages=messages,
        progress=event.progress,
    )
    upgrade = upgrades.by_id(tx, attempt.upgrade_id, lock=True)
    if state is AttemptState.FINISHED:
        _succeed(tx, attempt, upgrade, campaign, settings, now)
    elif state is AttemptState.FAILED:
        _fail(tx, attempt, upgrade, campaign, event, settings, now)
    elif state in (AttemptState.CANCELLED, AttemptState.EXPIRED):
        attempts.release_device(tx, attempt)
    elif state is AttemptState.DOWNLOADED:
        happening = Happening(
            upgrade=upgrade, event=UpgradeEvent.PROGRESS, reason=Reason.NOT_INSTALLED_YET
        )
        apply_events(tx, campaign, [happening], settings.limits, now)
    if (
        state in CLOSED
        and campaign.protocol in PUSHED
        and push.follow(tx, attempt.device_id, attempt.upgrade_id, now)
    ):
        tx.hint("push")  # another campaign waited for its end


def _due(
    attempt: Attempt, state: AttemptState, campaign: Campaign, settings: Settings
) -> datetime | None:
    """When an attempt in its new state is over by itself; the end of a campaign sets the others."""
    if state in CLOSED:
        return None
    if state is AttemptState.DOWNLOADED and attempt.due_at is not None:
        return campaign.rules.ends_at + timedelta(seconds=settings.grace_s)
    return attempt.due_at


def _succeed(
    tx: Tx,
    attempt: Attempt,
    upgrade: Upgrade,
    campaign: Campaign,
    settings: Settings,
    now: datetime,
) -> None:
    # Late news of an action that a newer one has followed counts for its campaign, but is not what
    # the device runs.
    if not inventory.set_installed(
        tx,
        attempt.device_id,
        attempt_id=attempt.id,
        kind=campaign.kind,
        name=campaign.package_name,
        version=campaign.to_version,
        now=now,
    ):
        attempts.release_device(tx, attempt)
    if TERMS[campaign.api_version].slots:
        # Late news of a device that had a place for its next try.
        slots.release(tx, [upgrade.id])
    happening = Happening(upgrade=upgrade, event=UpgradeEvent.SUCCEED, reason=Reason.SUCCESS)
    apply_events(tx, campaign, [happening], settings.limits, now)
    hasten_end(tx, campaign, now)


def _fail(
    tx: Tx,
    attempt: Attempt,
    upgrade: Upgrade,
    campaign: Campaign,
    event: DeviceEvent,
    settings: Settings,
    now: datetime,
) -> None:
    attempts.release_device(tx, attempt)
    given_up = event.event is AttemptEvent.GIVE_UP
    if event.reason is not None:
        reason = event.reason
    elif given_up:
        reason = Reason.UNKNOWN_ERROR
    elif attempt.downloaded_at is not None:
        reason = Reason.INSTALL_FAILED
    else:
        reason = Reason.DOWNLOAD_FAILED
    if attempt.number < upgrade.attempts:
        # Late news of an attempt that a newer one has followed: what comes next is for that one to say.
        attempts.set_reason(tx, attempt.id, reason)
        return
    set_back(tx, attempt, upgrade, campaign, reason, settings, now, given_up=given_up)


def note_bytes(
    tx: Tx,
    device_id: DeviceId,
    attempt_id: AttemptId,
    sent: tuple[tuple[int, int], ...],
    size_bytes: int,
    settings: Settings,
    now: datetime,
    *,
    guarded: bool = True,
) -> None:
    """Bytes [start, end) of the artifact were sent to the device for this attempt.

    A complete download makes the attempt *downloaded*; the one too many fails it (the loop guard,
    ``http-ddi.md`` 6). ``guarded`` False: it does not, for a device that only downloads when it is told
    to, and is tried without limit.
    """
    attempt = _locked(tx, device_id, attempt_id)
    if attempt is None:
        return
    covered = coverage.decode(attempt.coverage)
    downloads = attempt.downloads
    for start, end in sent:
        covered = coverage.add(covered, start, end)
        if coverage.covers(covered, size_bytes):
            covered, downloads = coverage.EMPTY, downloads + 1
    if downloads == attempt.downloads:
        event = AttemptEvent.PROGRESS
    elif guarded and downloads >= settings.limits.downloads_per_attempt:
        event = AttemptEvent.GIVE_UP
    else:
        event = AttemptEvent.DOWNLOAD
    noted = Progress(coverage.encode(covered), downloads)
    if after(attempt.state, event) in (IGNORE, REFUSE):
        attempts.set_progress(tx, attempt.id, noted)
    happened = DeviceEvent(device_id=device_id, attempt_id=attempt_id, event=event, progress=noted)
    _take(tx, attempt, happened, settings, now)
