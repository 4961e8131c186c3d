"""How many devices a campaign has in each state.

Counting rows of a large campaign takes tens of milliseconds, so a count is kept: rows (campaign,
state, slot) that add up. The change rides in the transaction that moves the device, once for all
that it moves; ``overair verify`` recounts. Slots keep concurrent writers of one campaign off the same row.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from operator import add

from overair.core.ids import CampaignId
from overair.core.upgrade import UpgradeState
from overair.store.database import Tx, marks

CHUNK = 500  # values to one IN list


def move(
    tx: Tx,
    campaign_id: CampaignId,
    moves: Iterable[tuple[UpgradeState | None, UpgradeState | None]],
) -> None:
    """Count devices that went from one state to another; None is outside the campaign."""
    for old, new in moves:
        if old is not None:
            tx.gather(_write, (campaign_id, old), -1, add)
        if new is not None:
            tx.gather(_write, (campaign_id, new), 1, add)


def _write(tx: Tx, deltas: Mapping[tuple[CampaignId, UpgradeState], int]) -> None:
    # Always in the same order, so that two writers cannot lock each other out.
    changes = [
        (campaign_id, state.value, tx.slot, n)
        for (campaign_id, state), n in sorted(deltas.items())
        if n
    ]
    for start in range(0, len(changes), CHUNK):
        chunk = changes[start : start + CHUNK]
        rows = ", ".join(["(?, ?, ?, ?)"] * len(chunk))
        tx.execute(
            f"insert into tally (campaign_id, state, slot, count) values {rows}"
            " on conflict (campaign_id, state, slot)"
            " do update set count = tally.count + excluded.count",
            list(chain.from_iterable(chunk)),
        )


def settle(tx: Tx) -> None:
    """Write what this transaction has counted, for somebody who reads the rows."""
    tx.settle(_write)


def any_in(tx: Tx, campaign_id: CampaignId, states: Collection[UpgradeState]) -> bool:
    """Whether the campaign has a device in one of these states."""
    settle(tx)
    # Nearly always some are pending, and the first look is the last.
    for state in sorted(states, key=UpgradeState.PENDING.__ne__):
        row = tx.one(
            "select sum(count) from tally where campaign_id = ? and state = ?",
            (campaign_id, state.value),
        )
        if row is not None and row[0]:
            return True
    return False


def counts(tx: Tx, campaign_id: CampaignId) -> dict[UpgradeState, int]:
    """Devices by state; states without devices are left out."""
    settle(tx)
    rows = tx.all(
        "select state, cast(sum(count) as bigint) from tally where campaign_id = ? group by state",
        (campaign_id,),
    )
    return {UpgradeState(state): count for state, count in rows if count}


def sizes(tx: Tx, campaign_ids: Sequence[CampaignId]) -> dict[CampaignId, int]:
    """Devices in each of these campaigns, of which there are a page at most."""
    settle(tx)
    found: dict[CampaignId, int] = {}
    for start in range(0, len(campaign_ids), CHUNK):
        chunk = campaign_ids[start : start + CHUNK]
        rows = tx.all(
            "select campaign_id, cast(sum(count) as bigint) from tally"
            f" where campaign_id in ({marks(len(chunk))}) group by campaign_id",
            list(chunk),
        )
        found.update((CampaignId(campaign_id), int(count)) for campaign_id, count in rows)
    return found
