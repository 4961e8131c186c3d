"""Figures about the whole installation, for its operator's monitoring."""

from datetime import datetime

from overair.core.attempt import CLOSED, AttemptState
from overair.core.campaign import FINAL, CampaignStatus
from overair.store import callback_log, campaigns, network, push
from overair.store.database import Tx, marks, to_ms


def devices_by_state(tx: Tx) -> dict[str, int]:
    """Devices of campaigns that are not over, by state."""
    live = sorted(set(CampaignStatus) - FINAL)
    rows = tx.all(
        "select t.state, cast(sum(t.count) as bigint) from campaign c join tally t"
        f" on t.campaign_id = c.id where c.status in ({marks(len(live))}) group by t.state",
        live,
    )
    return dict(rows)


def attempts_by_state(tx: Tx) -> dict[str, int]:
    """Actions that are their devices' open ones, by state."""
    rows = tx.all(
        "select t.state, count(*) from device d join attempt t on t.id = d.open_attempt_id"
        " where d.open_attempt_id is not null group by t.state"
    )
    counted = {state: int(count) for state, count in rows}
    return {state: counted.get(state, 0) for state in AttemptState if state not in CLOSED}


def engine_lag_ms(tx: Tx, now: datetime) -> int:
    """For how long the most overdue campaign has been waiting."""
    return campaigns.overdue_ms(tx, now)


def push_lag_ms(tx: Tx, now: datetime) -> int:
    """For how long the most overdue device has been waiting to be notified or looked at."""
    first = push.next_due(tx)
    return 0 if first is None else max(0, to_ms(now) - to_ms(first))


def attaches_waiting(tx: Tx) -> int:
    """Devices that attached and wait for their turn."""
    return network.count_waking(tx)


def callbacks_queued(tx: Tx) -> int:
    """Messages that were neither delivered nor dropped yet."""
    return callback_log.outbox_depth(tx)


def is_reachable(tx: Tx) -> bool:
    """Whether the database answers and has a schema."""
    return tx.one("select 1 from schema_migration limit 1") is not None
