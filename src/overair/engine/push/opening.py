"""A device's turn: its next attempt is opened, if there may be one now, and it is called to it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from overair.config import Settings
from overair.core.campaign import BEFORE_START
from overair.core.ids import AttemptId, DeviceId
from overair.core.plan import Decision, Place, Wait, decide
from overair.core.protocols import LWM2M, OMADM, PUSHED
from overair.core.push import Call, carry_on, next_lwm2m_try
from overair.core.terms import TERMS
from overair.core.upgrade import IGNORE, Reason, UpgradeEvent, UpgradeState, after
from overair.engine import slots
from overair.engine.assign import serves
from overair.engine.setbacks import cannot_begin
from overair.engine.upgrades import note_moves
from overair.store import attempts, polls, push, upgrades
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.polls import Device
from overair.store.push import PushAttempt
from overair.store.upgrades import Move, Upgrade

LEAST_PAUSE = timedelta(seconds=1)  # between two looks at a device that lead to nothing
SOON = timedelta(minutes=1)  # by which the end of a campaign has been carried to its devices
# What stands in a device's way may go without anybody saying so: it is looked at again after this.
OBSTACLE_PAUSE = timedelta(hours=1)
LONG_PAUSE = timedelta(days=1)  # and after this, where only another setting could help
# What we lack, and not the device.
_OURS = (Wait.NO_IMAGE, Wait.NO_TRANSPORT)
SESSIONS = 0xFFFF  # a session number has 16 bits, and is not 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """A notification to send now. A repeat has the same session, so the device opens one only."""

    device_id: DeviceId
    imei: str
    attempt_id: AttemptId
    session: int  # 1 to 65535
    number: int  # 1 for the first of the attempt
    valid_until: datetime


def wake_of(device: Device, own: PushAttempt) -> Wake:
    return Wake(
        device_id=device.id,
        imei=device.imei,
        attempt_id=own.attempt_id,
        session=own.session,
        number=own.pushes + 1,
        valid_until=own.call.window_ends_at,
    )


def next_session(tx: Tx, device: Device) -> int:
    return push.latest_session(tx, device.id) % SESSIONS + 1


def begin(
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
    if is_ahead(upgrade, campaign, settings, now):
        upgrades.hold_back(tx, upgrade.id, None)
        upgrade = replace(upgrade, not_before_ms=None)
    if upgrade.not_before is not None and now < upgrade.not_before:
        push.set_due(tx, upgrade.id, upgrade.not_before)
        return None
    if campaign.protocol not in PUSHED:
        # The device was moved here: should it go back, it asks by itself.
        push.set_due(tx, upgrade.id, None)
        return None
    wait = obstacle(tx, device, upgrade, campaign, settings)
    if wait in _OURS and TERMS[campaign.api_version].slots:
        begins_at = slots.begins_at(tx, upgrade.id)
        if begins_at is not None and begins_at <= now:
            cannot_begin(tx, upgrade, campaign, settings, now)
            return None
        if begins_at is not None:
            push.set_due(tx, upgrade.id, begins_at)
            return None
    if wait is not None:
        pause = LONG_PAUSE if wait is Wait.DONE else OBSTACLE_PAUSE
        push.set_due(tx, upgrade.id, now + pause)
        return None
    window_ends_at = now + timedelta(seconds=settings.omadm.window_s)
    if TERMS[campaign.api_version].slots:
        place = slots.may_begin(tx, upgrade, campaign, settings, now)
        if place is None:
            return None
        upgrade = upgrades.by_id(tx, upgrade.id)
        window_ends_at = place.ends_at
    elif upgrade.state is not UpgradeState.QUEUED:
        decision = decide(
            campaign.rules,
            place_of(device, upgrade, settings),
            now,
            install_window_alone=settings.install_window_alone,
        )
        if not decision.offer:
            push.set_due(tx, upgrade.id, _later(campaign, decision, now))
            return None
        if decision.until is not None and not campaign.rules.is_plain:
            window_ends_at = min(window_ends_at, decision.until)  # nobody is called outside of it
        if campaign.protocol == LWM2M and campaign.api_version == 1:
            window_ends_at = next_lwm2m_try(campaign.start_date, now) or window_ends_at
    call = call and device.protocol == OMADM  # one over LwM2M is come to
    own = open_attempt(tx, device, upgrade, campaign, window_ends_at, settings, now, call=call)
    if own is None:
        push.set_due(tx, upgrade.id, now + OBSTACLE_PAUSE)
        return None
    if device.protocol == LWM2M:
        push.set_due(tx, upgrade.id, window_ends_at)
        tx.hint("lwm2m")
        return None
    step = carry_on(own.call, now, timedelta(seconds=settings.omadm.push_pause_s))
    push.set_due(tx, upgrade.id, step.due_at)
    if not step.push:
        return None
    push.set_pushed(tx, own.attempt_id, now)
    return wake_of(device, own)


def is_ahead(upgrade: Upgrade, campaign: Campaign, settings: Settings, now: datetime) -> bool:
    """Whether a pause was begun by a clock that was ahead of now: it is longer than any is."""
    if campaign.protocol != OMADM or upgrade.not_before is None:
        return False
    return upgrade.not_before > now + timedelta(seconds=settings.omadm.retry_pause_s)


def obstacle(
    tx: Tx, device: Device, upgrade: Upgrade, campaign: Campaign, settings: Settings
) -> Wait | None:
    """What stands in the device's way that no time of its campaign will end."""
    if device.protocol != campaign.protocol:
        return Wait.OTHER_PROTOCOL
    if not serves(campaign.protocol, settings):
        return Wait.NO_TRANSPORT
    if upgrade.state is UpgradeState.QUEUED and not settings.omadm.requeue:
        return Wait.DONE
    if tx.kept(polls.artifact_of, campaign.package_id) is None:
        return Wait.NO_IMAGE
    return None


def _later(campaign: Campaign, decision: Decision, now: datetime) -> datetime | None:
    """When to look again at a device that may not have its turn yet."""
    if campaign.status in BEFORE_START:
        return None  # the start of its campaign makes it due
    if decision.until is None:
        return now + SOON
    return max(decision.until, now + LEAST_PAUSE)


def open_attempt(
    tx: Tx,
    device: Device,
    upgrade: Upgrade,
    campaign: Campaign,
    window_ends_at: datetime,
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
        session=next_session(tx, device),
        call=Call(
            called_at=now,
            window_ends_at=window_ends_at,
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


def place_of(device: Device, upgrade: Upgrade, settings: Settings) -> Place:
    zone = device.zone if settings.windows_in_device_time else None
    return Place(state=upgrade.state, not_before=upgrade.not_before, zone=zone or UTC)
