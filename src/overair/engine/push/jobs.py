"""What a device is to do: its attempt under way, as its sessions need to know it."""

from dataclasses import dataclass, replace
from datetime import datetime

from overair.config import Settings
from overair.core.attempt import AttemptState
from overair.core.ids import AttemptId, DeviceId, UpgradeId
from overair.core.plan import decide
from overair.core.protocols import PUSHED
from overair.core.upgrade import UpgradeState
from overair.engine.push.opening import place_of
from overair.store import attempts, campaigns, polls, push, upgrades
from overair.store.database import Tx
from overair.store.polls import Device

_AT_WORK = (AttemptState.RUNNING, AttemptState.DOWNLOADED)


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


def job_of(tx: Tx, device_id: DeviceId, settings: Settings, now: datetime) -> Job | None:
    """What the device is to do now, or is doing."""
    device = polls.get_device(tx, device_id)
    if device.protocol not in PUSHED or device.open_attempt_id is None:
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
    in_window = attempt.state in _AT_WORK or (
        attempt.state is AttemptState.OFFERED and now < own.call.window_ends_at
    )
    if in_window and upgrade.state is not UpgradeState.QUEUED:
        place = replace(place_of(device, upgrade, settings), not_before=None)
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
        sha256=attempt.artifact_sha256,
        size_bytes=tx.kept(polls.size_of, attempt.artifact_sha256),
        file_name=attempt.file_name,
        executed_at=own.executed_at,
        verify_until=own.verify_until,
        download_only=own.download_only,
        in_window=in_window,
        pushes=own.pushes,
    )
