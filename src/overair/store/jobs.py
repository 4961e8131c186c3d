"""What a pushed device is to do, as its sessions need it: device, attempt and upgrade in one statement.

Every message of a session asks, so there is nothing in it that the answer does not need; who changes one
of these rows reads it whole (``attempts``, ``push``, ``upgrades``).
"""

from datetime import datetime
from typing import Final

import msgspec

from overair.core.attempt import AttemptState
from overair.core.ids import AttemptId, CampaignId, DeviceId, UpgradeId
from overair.core.upgrade import UpgradeState
from overair.store.database import Tx, from_ms, opt_from_ms


class UnderWay(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An attempt that is pushed, with what its device and its upgrade say of it, in the order it is read."""

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
    window_ends_ms: int
    executed_ms: int | None
    verify_until_ms: int | None
    download_only: bool
    pushes: int

    @property
    def window_ends_at(self) -> datetime:
        return from_ms(self.window_ends_ms)

    @property
    def executed_at(self) -> datetime | None:
        return opt_from_ms(self.executed_ms)

    @property
    def verify_until(self) -> datetime | None:
        return opt_from_ms(self.verify_until_ms)


_COLUMNS: Final = """t.id, t.upgrade_id, t.campaign_id, t.state, t.artifact_sha256, t.file_name, u.state,
 d.protocol, d.time_zone, p.correlator, p.session, p.window_ends_at, p.executed_at, p.verify_until,
 p.download_only, p.pushes"""
_ATTEMPT: Final = """join push_attempt p on p.attempt_id = t.id
 join device_upgrade u on u.id = t.upgrade_id"""


def of_device(tx: Tx, device_id: DeviceId) -> UnderWay | None:
    """The device's open attempt; None if it has none, or one that is not pushed."""
    return tx.row(
        UnderWay,
        _COLUMNS,
        f"from device d join attempt t on t.id = d.open_attempt_id {_ATTEMPT} where d.id = ?",
        (device_id,),
    )


def by_correlator(tx: Tx, device_id: DeviceId, correlator: str) -> UnderWay | None:
    """The device's attempt of that correlator, whether it is over or not."""
    return tx.row(
        UnderWay,
        _COLUMNS,
        f"from device d join attempt t on t.device_id = d.id {_ATTEMPT}"
        " where p.correlator = ? and t.device_id = ?",
        (correlator, device_id),
    )
