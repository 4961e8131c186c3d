"""What a pushed device is to do, as its sessions need it: device, attempt and upgrade in one statement.

Every message of a session asks, so there is nothing in it that the answer does not need; who changes one
of these rows reads it whole (``attempts``, ``push``, ``upgrades``).
"""

from datetime import datetime
from typing import Final, NamedTuple

from overair.core.attempt import AttemptState
from overair.core.ids import AttemptId, CampaignId, DeviceId, UpgradeId
from overair.core.upgrade import UpgradeState
from overair.store.database import Row, Tx, from_ms, opt_from_ms


class UnderWay(NamedTuple):
    """An attempt that is pushed, with what its device and its upgrade say of it."""

    attempt_id: AttemptId
    upgrade_id: UpgradeId
    campaign_id: CampaignId
    state: AttemptState
    artifact_sha256: str
    file_name: str
    upgrade_state: UpgradeState
    protocol: str  # the device's
    time_zone: str | None
    correlator: str
    session: int
    window_ends_at: datetime
    executed_at: datetime | None
    verify_until: datetime | None
    download_only: bool
    pushes: int


_COLUMNS: Final = """t.id, t.upgrade_id, t.campaign_id, t.state, t.artifact_sha256, t.file_name, u.state,
 d.protocol, d.time_zone, p.correlator, p.session, p.window_ends_at, p.executed_at, p.verify_until,
 p.download_only, p.pushes"""
_ATTEMPT: Final = """join push_attempt p on p.attempt_id = t.id
 join device_upgrade u on u.id = t.upgrade_id"""

_STATES: Final = {state.value: state for state in AttemptState}
_UPGRADE_STATES: Final = {state.value: state for state in UpgradeState}


def of_device(tx: Tx, device_id: DeviceId) -> UnderWay | None:
    """The device's open attempt; None if it has none, or one that is not pushed."""
    row = tx.row(
        _COLUMNS,
        f"from device d join attempt t on t.id = d.open_attempt_id {_ATTEMPT} where d.id = ?",
        (device_id,),
    )
    return None if row is None else _under_way(row)


def by_correlator(tx: Tx, device_id: DeviceId, correlator: str) -> UnderWay | None:
    """The device's attempt of that correlator, whether it is over or not."""
    row = tx.row(
        _COLUMNS,
        f"from device d join attempt t on t.device_id = d.id {_ATTEMPT}"
        " where p.correlator = ? and t.device_id = ?",
        (correlator, device_id),
    )
    return None if row is None else _under_way(row)


def _under_way(row: Row) -> UnderWay:
    return UnderWay(
        row[0], row[1], row[2],
        _STATES[row[3]],
        row[4], row[5],
        _UPGRADE_STATES[row[6]],
        row[7], row[8], row[9], row[10],
        from_ms(row[11]),
        opt_from_ms(row[12]), opt_from_ms(row[13]),
        bool(row[14]),
        row[15],
    )  # fmt: skip
