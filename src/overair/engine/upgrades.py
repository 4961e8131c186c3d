"""What it means that device upgrades move: the one place where their effects are written.

Whatever makes devices move (a check, a report, the end of a campaign) says which event happened to
which upgrade; here the table decides, and rows, counters, the pilot's proof, the device's freedom,
licences and the notification change together, in the caller's transaction.

The caller holds the locks of the devices and upgrades (``store.upgrades.lock``).
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from overair.config import Limits
from overair.core.ids import DeviceId
from overair.core.pilot import is_proven
from overair.core.upgrade import FINAL, IGNORE, OPEN, Reason, UpgradeEvent, UpgradeState, after
from overair.engine import billing
from overair.engine.notify import DeviceChange, notify_devices
from overair.store import proofs, tally, upgrades
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.upgrades import Move, Upgrade


class Happening(msgspec.Struct, frozen=True, gc=False):
    """An event of one upgrade; ``reason`` None keeps the one it has."""

    upgrade: Upgrade
    event: UpgradeEvent
    reason: Reason | None = None
    device_id: DeviceId | None = None


def apply_events(
    tx: Tx, campaign: Campaign, happenings: Sequence[Happening], limits: Limits, now: datetime
) -> list[Move]:
    """Carry out the events; the moves that came of them (an ignored event makes none)."""
    moves: list[Move] = []
    for happening in happenings:
        upgrade = happening.upgrade
        new = after(upgrade.state, happening.event)
        if new == IGNORE:
            continue
        reason = upgrade.reason if happening.reason is None else happening.reason
        if new is upgrade.state and reason is upgrade.reason and happening.device_id is None:
            continue
        device_id = happening.device_id or upgrade.device_id
        moves.append(Move(upgrade=upgrade, state=new, reason=reason, device_id=device_id))
    if not moves:
        return []
    upgrades.apply(tx, moves, now)
    note_moves(tx, campaign, moves, limits, now)
    return moves


def note_moves(
    tx: Tx, campaign: Campaign, moves: Sequence[Move], limits: Limits, now: datetime
) -> None:
    """The effects of moves whose rows are written already."""
    tally.move(
        tx,
        campaign.id,
        [(m.upgrade.state, m.state) for m in moves if m.upgrade.state is not m.state],
    )
    _prove(tx, campaign, moves, limits, now)
    left = [m for m in moves if m.state not in OPEN]
    if left:
        upgrades.free(tx, [(m.device_id, m.upgrade.id) for m in left if m.device_id is not None])
    ended = [m for m in left if m.state in FINAL and m.upgrade.state not in FINAL]
    staying: set[DeviceId] = set()  # devices that keep the licence they have, as was seen
    for move in moves:
        if move.device_id is not None and move.state is UpgradeState.SUCCEEDED:
            stays = billing.record_upgrade_license(
                tx,
                account_id=campaign.account_id,
                device_id=move.device_id,
                campaign_id=campaign.id,
                now=now,
            )
            if stays:
                staying.add(move.device_id)
    for move in ended:
        # Not of a device that was rejected here because its upgrade is under way elsewhere.
        if (
            move.device_id is not None
            and move.state is not UpgradeState.REJECTED
            and move.device_id not in staying
        ):
            billing.release_ending_license(tx, move.device_id, now)
    notify_devices(
        tx,
        campaign,
        (
            DeviceChange(
                imei=m.upgrade.imei,
                state=m.state,
                reason=m.reason,
                upgrade_id=m.upgrade.id,
                attempts=m.upgrade.attempts,
            )
            for m in moves
        ),
        now,
    )


def _prove(
    tx: Tx, campaign: Campaign, moves: Sequence[Move], limits: Limits, now: datetime
) -> None:
    """Count final outcomes towards the package's proof, until it is proven (``core/pilot.py``)."""
    succeeded = failed = 0
    for move in moves:
        if move.state is UpgradeState.SUCCEEDED:
            succeeded += 1
            failed -= move.upgrade.state is UpgradeState.FAILED  # it was late
        elif move.state is UpgradeState.FAILED:
            failed += 1
    if not succeeded and not failed:
        return
    # Read first: once proven, a large campaign's devices must not queue up for this one row.
    known = proofs.get(tx, campaign.account_id, campaign.package_id)
    if known is not None and known.proven_at is not None:
        return
    proof = proofs.add(tx, campaign.account_id, campaign.package_id, succeeded, failed)
    if proof.proven_at is None and is_proven(
        proof.succeeded,
        proof.failed,
        outcomes=limits.pilot_outcomes,
        success_percent=limits.pilot_success_percent,
    ):
        proofs.set_proven(tx, campaign.account_id, campaign.package_id, now)
