"""What a device is to do: its attempt under way, as its sessions need to know it."""

from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from overair.config import Settings
from overair.core.attempt import AttemptState
from overair.core.ids import AttemptId, DeviceId, UpgradeId
from overair.core.plan import Place, decide
from overair.core.protocols import PUSHED
from overair.core.terms import TERMS
from overair.core.upgrade import UpgradeState
from overair.store import campaigns, jobs, polls
from overair.store.database import Tx
from overair.store.jobs import UnderWay

_AT_WORK = (AttemptState.RUNNING, AttemptState.DOWNLOADED)


class Job(NamedTuple):
    """One attempt, as the device's sessions need to know it. A tuple, because every message makes one."""

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
    found = jobs.of_device(tx, device_id)
    if found is None or found.protocol not in PUSHED:
        return None
    return _job(tx, device_id, found, settings, now)


def job_by_correlator(
    tx: Tx, device_id: DeviceId, correlator: str, settings: Settings, now: datetime
) -> Job | None:
    """The attempt that a report of the device names, whether it is over or not."""
    found = jobs.by_correlator(tx, device_id, correlator)
    return None if found is None else _job(tx, device_id, found, settings, now)


def _job(tx: Tx, device_id: DeviceId, found: UnderWay, settings: Settings, now: datetime) -> Job:
    campaign = campaigns.by_id(tx, found.campaign_id)
    in_window = found.state in _AT_WORK or (
        found.state is AttemptState.OFFERED and now < found.window_ends_at
    )
    if in_window and found.upgrade_state is not UpgradeState.QUEUED:
        # The pause after a failure was over when the attempt was opened.
        # Slots are of cells, whose devices have one time: there the hours are UTC's always.
        local = settings.windows_in_device_time and not TERMS[campaign.api_version].slots
        zone = found.time_zone if local else None
        place = Place(state=found.upgrade_state, zone=ZoneInfo(zone) if zone is not None else UTC)
        in_window = decide(
            campaign.rules, place, now, install_window_alone=settings.install_window_alone
        ).offer
    return Job(
        device_id=device_id,
        attempt_id=found.attempt_id,
        upgrade_id=found.upgrade_id,
        correlator=found.correlator,
        state=found.state,
        session=found.session,
        from_version=campaign.from_version,
        to_version=campaign.to_version,
        package_name=campaign.package_name,
        sha256=found.artifact_sha256,
        size_bytes=tx.kept(polls.size_of, found.artifact_sha256),
        file_name=found.file_name,
        executed_at=found.executed_at,
        verify_until=found.verify_until,
        download_only=found.download_only,
        in_window=in_window,
        pushes=found.pushes,
    )
