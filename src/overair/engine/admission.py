"""Who is let into a campaign, and who leaves it: its device list before the start, and the checks of each device.

The checks are those of ``lifecycle.md`` 2.3; a device that passes belongs to this campaign from then on,
and to no other. Each function works on as many devices as fit one transaction; who has more of them
calls it again.
"""

from collections.abc import Sequence
from datetime import datetime

from overair.config import Settings
from overair.core.attempt import AttemptState
from overair.core.checks import Candidate, Wanted, check_device, is_imei
from overair.core.ids import CampaignId, DeviceId, UpgradeId
from overair.core.licenses import has_pool, license_needed
from overair.core.upgrade import Reason, UpgradeEvent, UpgradeState
from overair.engine import slots
from overair.engine.upgrades import Happening, apply_events
from overair.store import (
    attempts,
    campaigns,
    changes,
    licenses,
    proofs,
    push,
    subscriptions,
    tally,
    upgrades,
)
from overair.store import slots as places
from overair.store.campaigns import Campaign
from overair.store.changes import DeviceListChange
from overair.store.database import Tx
from overair.store.subscriptions import Subscription
from overair.store.upgrades import Upgrade


def carry_out(tx: Tx, campaign: Campaign, change: DeviceListChange, now: datetime) -> None:
    """Add the devices of a change, unchecked, or take them out."""
    if change.type == "append":
        invite(tx, campaign, change.imeis)
        add(tx, campaign.id, change.imeis, now)
    else:
        take_out(tx, campaign, upgrades.of_imeis(tx, campaign.id, change.imeis))
    changes.end(tx, change)


def take_out(tx: Tx, campaign: Campaign, found: Sequence[Upgrade]) -> None:
    """Somebody wants these devices out of a campaign: they do not come back by themselves."""
    if campaign.auto_add_devices:
        places.keep_out(tx, campaign.id, [upgrade.imei for upgrade in found])
    remove(tx, campaign.id, found)


def invite(tx: Tx, campaign: Campaign, imeis: Sequence[str]) -> None:
    """Somebody wants these devices in it, whoever took them out."""
    if campaign.auto_add_devices:
        places.let_in(tx, campaign.id, imeis)


def add(tx: Tx, campaign_id: CampaignId, imeis: Sequence[str], now: datetime) -> None:
    """Put devices into the campaign, unchecked."""
    added = upgrades.add(tx, campaign_id, imeis, now)
    tally.move(tx, campaign_id, [(None, UpgradeState.REQUESTED)] * added)


def take_in_others(tx: Tx, campaign: Campaign, settings: Settings, now: datetime) -> int:
    """Take in devices that fit and are in no campaign (``autoAddDevicesFlag``); how many were found.

    A package that is not proven yet keeps its limit.
    """
    room = settings.limits.sweep_devices
    proof = proofs.get(tx, campaign.account_id, campaign.package_id)
    if proof is None or proof.proven_at is None:
        present = sum(tally.counts(tx, campaign.id).values())
        room = min(room, settings.limits.pilot_devices - present)
    if room <= 0:
        return 0
    others = places.joiners(
        tx,
        campaign.account_id,
        campaign.id,
        make=campaign.make,
        model=campaign.model,
        version=campaign.from_version,
        protocol=campaign.protocol,
        limit=room,
    )
    add(tx, campaign.id, others, now)
    joined = upgrades.of_imeis(tx, campaign.id, others)
    check(tx, campaign, joined, settings, now)
    return len(others)


def remove(tx: Tx, campaign_id: CampaignId, found: Sequence[Upgrade]) -> None:
    """Take devices out of a campaign that has not started."""
    leaving = upgrades.lock(tx, found)
    slots.release(tx, [u.id for u in leaving])
    upgrades.free(tx, [(u.device_id, u.id) for u in leaving if u.device_id is not None])
    upgrades.remove(tx, [u.id for u in leaving])
    tally.move(tx, campaign_id, [(u.state, None) for u in leaving])


def check(
    tx: Tx, campaign: Campaign, waiting: list[Upgrade], settings: Settings, now: datetime
) -> None:
    """Check devices (``lifecycle.md`` 2.3); those that pass belong to this campaign from here."""
    assigns = campaign.auto_assign_licenses
    # Nobody changes the terms meanwhile, or gives licences away; locked before any device
    # (``store/licenses.py``).
    subscription = subscriptions.get(tx, campaign.account_id, lock=True)
    free = _free_licenses(subscription) if assigns else 0
    known = upgrades.devices_to_check(tx, campaign.account_id, [u.imei for u in waiting])
    software = upgrades.software_of(tx, [device.id for device in known.values()])
    wanted = Wanted(
        make=campaign.make,
        model=campaign.model,
        protocol=campaign.protocol,
        from_version=campaign.from_version if campaign.kind == "software" else None,
        license_needed=subscription is not None and license_needed(subscription.purchase_type),
    )
    happenings: list[Happening] = []
    passed = []
    licensing: list[DeviceId] = []  # who passes, and gets a licence on the way
    for upgrade in waiting:
        device = known.get(upgrade.imei)
        if not is_imei(upgrade.imei, check_digit=settings.check_imei_digit):
            reason = Reason.INVALID_IMEI
        elif device is None:
            reason = Reason.NOT_FOUND
        else:
            reason = check_device(
                Candidate(
                    make=device.make,
                    model=device.model,
                    protocol=device.protocol,
                    version=device.version,
                    software=frozenset(software.get(device.id, ())),
                    eligible=device.eligible,
                    status=device.status,
                    in_campaign=device.open_upgrade_id is not None,
                    licensed=device.licensed or len(licensing) < free,
                ),
                wanted,
            )
        accepted = reason is Reason.CHECKED
        if accepted and device is not None:
            passed.append((device.id, upgrade.id))
            if not device.licensed and len(licensing) < free:
                licensing.append(device.id)
        happenings.append(
            Happening(
                upgrade=upgrade,
                event=UpgradeEvent.ACCEPT if accepted else UpgradeEvent.REJECT,
                reason=reason,
                device_id=None if device is None else device.id,
            )
        )
    _supersede(tx, [device_id for device_id, _ in passed], settings, now)
    if licensing:
        licenses.add(tx, campaign.account_id, licensing, now)
    upgrades.occupy(tx, passed)
    apply_events(tx, campaign, happenings, settings.limits, now)


def _free_licenses(subscription: Subscription | None) -> int:
    """How many licences there are to give; an account that pays by event has no pool of them."""
    if subscription is None or not has_pool(subscription.purchase_type):
        return 0
    return max(0, subscription.license_count - subscription.license_used_count)


def _supersede(tx: Tx, device_ids: Sequence[DeviceId], settings: Settings, now: datetime) -> None:
    """Devices that a campaign left to be tried on belong to this one now (``lifecycle.md`` 3.5).

    An attempt of theirs is over; should it succeed all the same, that is believed when it is heard.
    """
    for upgrade_id in push.queued(tx, device_ids):
        upgrade = upgrades.by_id(tx, upgrade_id, lock=True)
        for attempt in attempts.open_of_devices(tx, [upgrade.id]).values():
            attempts.move(tx, attempt, AttemptState.EXPIRED, now)
            attempts.release_device(tx, attempt)
        event = Happening(upgrade=upgrade, event=UpgradeEvent.SUPERSEDE, reason=Reason.SUPERSEDED)
        old = campaigns.by_id(tx, upgrade.campaign_id)
        apply_events(tx, old, [event], settings.limits, now)


def leave_campaign(
    tx: Tx, upgrade_id: UpgradeId, reason: Reason, settings: Settings, now: datetime
) -> None:
    """Take one device out of a campaign in which nothing was offered to it yet.

    Or out of one that is over, and left it queued; not if an attempt is under way.
    """
    at_work = attempts.open_of_devices(tx, [upgrade_id])
    upgrade = upgrades.by_id(tx, upgrade_id, lock=True)
    campaign = campaigns.by_id(tx, upgrade.campaign_id)
    idle = (UpgradeState.REQUESTED, UpgradeState.ACCEPTED, UpgradeState.QUEUED)
    if upgrade.state not in idle or at_work:
        return
    happening = Happening(upgrade=upgrade, event=UpgradeEvent.CANCEL, reason=reason)
    apply_events(tx, campaign, [happening], settings.limits, now)
    slots.release(tx, [upgrade.id])
    campaigns.hasten(tx, campaign.id, now)
    tx.hint("advance")
