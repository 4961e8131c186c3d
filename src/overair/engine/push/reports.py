"""What a device does, says and shows of its attempt."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from overair.config import Settings
from overair.core.attempt import CLOSED, AttemptEvent, AttemptState
from overair.core.ids import DeviceId, UpgradeId
from overair.core.protocols import PUSHED
from overair.core.upgrade import Reason, UpgradeState
from overair.engine.outcome import DeviceEvent, record
from overair.engine.push.jobs import Job
from overair.engine.push.opening import open_attempt
from overair.store import campaigns, inventory, polls, push, upgrades
from overair.store.attempts import Message
from overair.store.database import Tx
from overair.store.upgrades import Upgrade


def executed(
    tx: Tx,
    job: Job,
    settings: Settings,
    now: datetime,
    *,
    download_only: bool = False,
    timeout_s: int | None = None,
) -> None:
    """The device is about to be given its command: from now on it may be at work.

    ``timeout_s``: after which it is looked at; None: as over OMA-DM.
    """
    within_s = settings.omadm.report_timeout_s if timeout_s is None else timeout_s
    _record(tx, job, AttemptEvent.PROGRESS, settings, now)
    push.set_executed(tx, job.attempt_id, now, download_only=download_only)
    push.set_due(tx, job.upgrade_id, now + timedelta(seconds=within_s))


def downloaded(
    tx: Tx, job: Job, settings: Settings, now: datetime, *, code: int | None = None, text: str = ""
) -> None:
    """The device has the package."""
    _record(tx, job, AttemptEvent.DOWNLOAD, settings, now, _message(now, "download", code, text))


def await_version(
    tx: Tx, job: Job, settings: Settings, now: datetime, *, code: int | None = None, text: str = ""
) -> None:
    """The device says that it succeeded and does not show it yet: it has a while to do so.

    Half of that while it may take to come by itself; then it is called.
    """
    note(tx, job, settings, now, code=code, text=text)
    # One that is over is waited for no longer: when its device is due next is another's matter.
    if job.verify_until is None and job.state not in CLOSED:
        grace = timedelta(seconds=settings.omadm.verify_grace_s)
        push.set_verify_until(tx, job.attempt_id, now + grace)
        push.set_due(tx, job.upgrade_id, now + grace / 2)


def failed(
    tx: Tx,
    job: Job,
    reason: Reason,
    settings: Settings,
    now: datetime,
    *,
    code: int | None = None,
    text: str = "",
    final: bool = False,
) -> None:
    """The device did not do it, and says so; ``final``: there is no sense in another try."""
    _record(
        tx,
        job,
        AttemptEvent.GIVE_UP if final else AttemptEvent.FAIL,
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
    if device.protocol not in PUSHED:
        return False
    upgrade = _shown(tx, device.open_upgrade_id or push.wanted(tx, device_id), version, _TRIED)
    if upgrade is None:
        # A campaign that was stopped, or is over, cannot call back what a device has begun.
        upgrade = _shown(tx, push.begun(tx, device_id), version, _GIVEN_UP)
    if upgrade is None:
        return False
    message = _message(now, "closed", None, f"shows {version}", finished="success")
    return _succeed(tx, device_id, upgrade, settings, now, message)


_TRIED = (UpgradeState.PENDING, UpgradeState.QUEUED)
_GIVEN_UP = (UpgradeState.FAILED, UpgradeState.CANCELLED, UpgradeState.ABORTED)


def _shown(
    tx: Tx, upgrade_id: UpgradeId | None, version: str, states: Sequence[UpgradeState]
) -> Upgrade | None:
    """The upgrade, if it is in one of these states and was to lead to the version."""
    if upgrade_id is None:
        return None
    upgrade = upgrades.by_id(tx, upgrade_id, lock=True)
    campaign = campaigns.by_id(tx, upgrade.campaign_id)
    leads = campaign.kind == "software" and campaign.to_version == version
    return upgrade if leads and upgrade.state in states else None


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
        own = open_attempt(tx, device, upgrade, campaign, now, settings, now, call=False)
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
