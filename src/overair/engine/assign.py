"""What should this device do now?

``look`` answers a device's poll from two point reads and the pure rules of ``core/plan.py``; it
changes nothing. Only when an attempt has to be made (``Look.may_offer``) does the edge run
``offer``, which decides again under the device's lock, so that a device never has two.

The engine knows no protocol here: ``Look`` says *deployment*, *cancel* or nothing; links, tags and
status codes are the edge's.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from overair.config import Settings
from overair.core.attempt import IGNORE, REFUSE, AttemptEvent, AttemptState, after
from overair.core.ids import AttemptId, DeviceId
from overair.core.plan import Decision, Link, Place, Rules, decide, link, phase
from overair.core.protocols import HTTP, is_served
from overair.core.upgrade import Reason as UpgradeReason
from overair.core.upgrade import UpgradeEvent, UpgradeState
from overair.core.upgrade import after as upgrade_after
from overair.engine.upgrades import note_moves
from overair.store import attempts, campaigns, polls, upgrades
from overair.store.database import Tx
from overair.store.polls import Candidate, Deployment, Device, OpenUpgrade
from overair.store.upgrades import Move, Upgrade


class Look(msgspec.Struct, frozen=True, gc=False):
    """The state of a device's work at a poll."""

    link: Link = Link.NOTHING
    deployment: Deployment | None = None  # with a link
    phased: bool = False
    install: bool = True
    may_offer: bool = False  # run ``offer``
    waits_until: datetime | None = None  # nothing now, but something may be offered then


def serves(protocol: str, settings: Settings) -> bool:
    """Whether this installation has a server for devices of that protocol."""
    return is_served(protocol, lwm2m=bool(settings.lwm2m.coap or settings.lwm2m.coaps))


def place_of(
    device: Device | Candidate,
    upgrade: OpenUpgrade | Upgrade,
    settings: Settings,
    *,
    two_phase: bool,
    busy: bool,
) -> Place:
    """What ``core.plan`` has to know of the device."""
    zone = device.zone if settings.windows_in_device_time else None
    return Place(
        state=upgrade.state,
        not_before=upgrade.not_before,
        two_phase=two_phase,
        busy=busy,
        served=serves(device.protocol, settings),
        zone=zone or UTC,
    )


def look(
    tx: Tx, device: Device, settings: Settings, now: datetime, *, two_phase: bool = False
) -> Look:
    """What the device is to be shown. ``two_phase``: unless the device's record says otherwise."""
    if device.protocol != HTTP:
        return Look()  # it is told to come (``engine/push``)
    phases = two_phase if device.two_phase is None else device.two_phase
    if device.open_attempt_id is not None:
        found = polls.deployment(tx, device.open_attempt_id)
        if found is not None:
            return _look_at(tx, device, found, settings, now, phases)
    if device.open_upgrade_id is None:
        return Look()
    upgrade = polls.open_upgrade(tx, device.open_upgrade_id)
    if upgrade is None:
        return Look()
    place = place_of(device, upgrade, settings, two_phase=phases, busy=False)
    decision = _decide(upgrade.rules, place, settings, now)
    return Look(may_offer=decision.offer, waits_until=None if decision.offer else decision.until)


def _decide(rules: Rules, place: Place, settings: Settings, now: datetime) -> Decision:
    return decide(rules, place, now, install_window_alone=settings.install_window_alone)


def _look_at(
    tx: Tx,
    device: Device,
    found: Deployment,
    settings: Settings,
    now: datetime,
    two_phase: bool,
) -> Look:
    shown = link(
        found.state,
        found.rules,
        now,
        grace=_grace(settings.grace_s),
        downloaded=found.downloaded_ms is not None,
        cancel_refused=found.cancel_refused_ms is not None,
    )
    if shown is not Link.DEPLOYMENT:
        return Look(link=shown, deployment=found if shown is Link.CANCEL else None)
    zone = (device.zone if settings.windows_in_device_time else None) or UTC
    place = Place(state=UpgradeState.PENDING, two_phase=two_phase, zone=zone)
    if found.state is AttemptState.OFFERED:
        # The device has not taken it up yet, so the windows still hold.
        decision = _decide(found.rules, place, settings, now)
        if not decision.offer:
            return Look(waits_until=decision.until)
    phased, install = phase(found.rules, place, now)
    return Look(link=shown, deployment=found, phased=phased, install=install)


@lru_cache(maxsize=8)
def _grace(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


def offer(
    tx: Tx, device_id: DeviceId, settings: Settings, now: datetime, *, two_phase: bool = False
) -> Look:
    """Make the attempt that ``look`` said may be made, if it still may; what to show then."""
    device = polls.candidate(tx, device_id)
    if device is None or device.protocol != HTTP or device.open_attempt_id is not None:
        return look(tx, polls.get_device(tx, device_id), settings, now, two_phase=two_phase)
    upgrade = device.upgrade
    campaign = campaigns.by_id(tx, upgrade.campaign_id)
    if campaign.protocol != HTTP:
        return Look()  # it was moved here from another protocol: this software is for that one
    phases = two_phase if device.two_phase is None else device.two_phase
    place = place_of(device, upgrade, settings, two_phase=phases, busy=False)
    decision = _decide(campaign.rules, place, settings, now)
    if not decision.offer:
        return Look(waits_until=decision.until)
    artifact = tx.kept(polls.artifact_of, campaign.package_id)
    state = upgrade_after(upgrade.state, UpgradeEvent.OFFER)
    if artifact is None or state == IGNORE:
        return Look()
    attempt_id = attempts.insert(
        tx,
        upgrade_id=upgrade.id,
        campaign_id=campaign.id,
        device_id=device_id,
        package_id=campaign.package_id,
        artifact_sha256=artifact[0],
        file_name=artifact[1],
        number=upgrade.attempts + 1,
        now=now,
    )
    # A further attempt keeps the reason of the one before until it knows better (http-ddi.md 8).
    reason = UpgradeReason.NO_REPORT if upgrade.attempts == 0 else upgrade.reason
    upgrades.offered(tx, upgrade, state, reason, now)
    if state is not upgrade.state or reason is not upgrade.reason:
        move = Move(upgrade=upgrade, state=state, reason=reason, device_id=device_id)
        note_moves(tx, campaign, [move], settings.limits, now)
    made = polls.offered(tx, campaign, device_id, upgrade.id, attempt_id, *artifact)
    return Look(
        link=Link.DEPLOYMENT, deployment=made, phased=decision.phased, install=decision.install
    )


def retrieve(tx: Tx, device_id: DeviceId, attempt_id: AttemptId, now: datetime) -> bool:
    """The device is given the deployment: from now on the offer is sticky. False: it is void."""
    polls.lock_device(tx, device_id)
    if attempts.retrieved(tx, attempt_id, device_id, now):
        return True
    attempt = attempts.find(tx, attempt_id, lock=True)
    if attempt is None or attempt.device_id != device_id:
        return False
    state = after(attempt.state, AttemptEvent.RETRIEVE)
    if state not in (IGNORE, REFUSE):
        attempts.move(tx, attempt, AttemptState(state), now, due_at=attempt.due_at)
    return state != REFUSE


def deployment_for(
    tx: Tx,
    device: Device,
    attempt_id: AttemptId,
    settings: Settings,
    now: datetime,
    *,
    two_phase: bool = False,
) -> Look:
    """What the device may see of an action that it names: the link is NOTHING if it may not."""
    if device.open_attempt_id != attempt_id:
        return Look()
    return look(tx, device, settings, now, two_phase=two_phase)


def installed(tx: Tx, device: Device, attempt_id: AttemptId) -> Deployment | None:
    """The device's latest successful action, if it is the one named."""
    if device.installed_attempt_id != attempt_id:
        return None
    return polls.deployment(tx, attempt_id)


def may_download(
    tx: Tx, device: Device, settings: Settings, now: datetime, *, two_phase: bool = False
) -> list[Deployment]:
    """The deployments whose artifact the device may fetch now: its open and its installed one."""
    allowed: list[Deployment] = []
    if device.open_attempt_id is not None:
        seen = look(tx, device, settings, now, two_phase=two_phase)
        if seen.link is Link.DEPLOYMENT and seen.deployment is not None:
            allowed.append(seen.deployment)
        elif seen.link is Link.CANCEL and seen.deployment is not None:
            # A download under way is not cut: the client decides when to heed the cancel.
            allowed.append(seen.deployment)
    if device.installed_attempt_id is not None:
        done = polls.deployment(tx, device.installed_attempt_id)
        if done is not None:
            allowed.append(done)
    return allowed
