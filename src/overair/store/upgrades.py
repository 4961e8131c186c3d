"""Device upgrades: one row for each device in each campaign."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from overair.core.ids import AccountId, CampaignId, DeviceId, UpgradeId
from overair.core.upgrade import OPEN, Reason, UpgradeState
from overair.store.database import (
    Row,
    Tx,
    for_update,
    from_ms,
    marks,
    opt_from_ms,
    opt_ms,
    shaped,
    to_ms,
)

CHUNK = 500  # values to one IN list


class Upgrade(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One device's way through one campaign, in the order in which it is read.

    Instants are made when they are asked for: a report looks at none.
    """

    id: UpgradeId
    campaign_id: CampaignId
    device_id: DeviceId | None
    imei: str
    state: UpgradeState
    reason: Reason
    attempts: int
    not_before_ms: int | None
    started_ms: int | None
    updated_ms: int
    due_ms: int | None

    @property
    def not_before(self) -> datetime | None:
        return opt_from_ms(self.not_before_ms)

    @property
    def started_at(self) -> datetime | None:
        return opt_from_ms(self.started_ms)

    @property
    def updated_at(self) -> datetime:
        return from_ms(self.updated_ms)

    @property
    def due_at(self) -> datetime | None:
        """Of a pushed device: when it has to be looked at next."""
        return opt_from_ms(self.due_ms)


COLUMNS = """u.id, u.campaign_id, u.device_id, u.imei, u.state, u.reason, u.attempts,
 u.not_before, u.started_at, u.updated_at, u.due_at"""
_SELECT = f"select {COLUMNS} from device_upgrade u"


_PLANNED: Final = (
    Reason.SLOTTED,
    Reason.NOT_REACHABLE,
    Reason.CELL_FULL,
    Reason.NO_TIME_LEFT,
)  # what is said of devices for which a slot was looked for

STATES: Final = {state.value: state for state in UpgradeState}
# The way back: asking a member for its value calls a Python function.
_STATE_TEXTS: Final = {state: text for text, state in STATES.items()}
_REASON_TEXTS: Final = {reason: reason.value for reason in Reason}


def from_row(row: Row) -> Upgrade:
    """The upgrade of which a row has ``COLUMNS`` (``device_upgrade u``)."""
    return shaped(row, Upgrade)


def by_id(tx: Tx, upgrade_id: UpgradeId, *, lock: bool = False) -> Upgrade:
    """The upgrade, which must exist."""
    found = find(tx, upgrade_id, lock=lock)
    assert found is not None, f"no device upgrade {upgrade_id}"
    return found


def find(tx: Tx, upgrade_id: UpgradeId, *, lock: bool = False) -> Upgrade | None:
    """The upgrade, None if it was removed."""
    end = for_update(tx) if lock else ""
    return tx.row(Upgrade, COLUMNS, f"from device_upgrade u where u.id = ?{end}", (upgrade_id,))


def add(tx: Tx, campaign_id: CampaignId, imeis: Sequence[str], now: datetime) -> int:
    """Put devices into the campaign, unchecked; those in it already stay. How many are new."""
    before = _present(tx, campaign_id, imeis)
    tx.many(
        "insert into device_upgrade (campaign_id, imei, state, updated_at) values (?, ?, ?, ?)"
        " on conflict (campaign_id, imei) do nothing",
        [(campaign_id, imei, UpgradeState.REQUESTED, to_ms(now)) for imei in imeis],
    )
    return _present(tx, campaign_id, imeis) - before


def _present(tx: Tx, campaign_id: CampaignId, imeis: Sequence[str]) -> int:
    """How many of these are in the campaign: what is asked for grows with the piece, not with it."""
    count = 0
    for start in range(0, len(imeis), CHUNK):
        chunk = imeis[start : start + CHUNK]
        row = tx.one(
            "select count(*) from device_upgrade"
            f" where campaign_id = ? and imei in ({marks(len(chunk))})",
            [campaign_id, *chunk],
        )
        assert row is not None
        count += int(row[0])
    return count


def in_state(tx: Tx, campaign_id: CampaignId, state: UpgradeState, limit: int) -> list[Upgrade]:
    """Upgrades of the campaign in one state, oldest first."""
    rows = tx.all(
        f"{_SELECT} where u.campaign_id = ? and u.state = ? order by u.id limit ?",
        (campaign_id, state, limit),
    )
    return [from_row(row) for row in rows]


def unplanned(tx: Tx, campaign_id: CampaignId, limit: int) -> list[Upgrade]:
    """Accepted devices of a v3 campaign for which nobody has looked for a slot yet, by IMEI."""
    rows = tx.all(
        f"{_SELECT} where u.campaign_id = ? and u.state = ? and u.reason = ?"
        " order by u.imei limit ?",
        (campaign_id, UpgradeState.ACCEPTED, Reason.CHECKED, limit),
    )
    return [from_row(row) for row in rows]


def unplan(tx: Tx, campaign_id: CampaignId) -> None:
    """The campaign's dates are others: a slot is looked for again for whoever has not had its turn."""
    tx.execute(
        "update device_upgrade set reason = ? where campaign_id = ? and state = ?"
        f" and reason in ({marks(len(_PLANNED))})",
        [Reason.CHECKED, campaign_id, UpgradeState.ACCEPTED, *_PLANNED],
    )


def still_open(tx: Tx, campaign_id: CampaignId, limit: int) -> list[Upgrade]:
    """Upgrades of the campaign that are not at their end."""
    found: list[Upgrade] = []
    for state in sorted(OPEN):
        if len(found) < limit:
            found += in_state(tx, campaign_id, state, limit - len(found))
    return found


def lock(tx: Tx, upgrades: Sequence[Upgrade]) -> list[Upgrade]:
    """The same upgrades as they are now, locked together with their devices.

    Devices first and everything by id: whoever reports for one device locks in that order too.
    """
    if tx.dialect == "sqlite":
        return list(upgrades)
    device_ids = sorted(u.device_id for u in upgrades if u.device_id is not None)
    for start in range(0, len(device_ids), CHUNK):
        chunk = device_ids[start : start + CHUNK]
        tx.all(
            f"select id from device where id in ({marks(len(chunk))}) order by id for no key update",
            list(chunk),
        )
    found: list[Upgrade] = []
    ids = sorted(u.id for u in upgrades)
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        rows = tx.all(
            f"{_SELECT} where u.id in ({marks(len(some))}) order by u.id for no key update",
            list(some),
        )
        found += [from_row(row) for row in rows]
    return found


def imeis(tx: Tx, campaign_id: CampaignId) -> set[str]:
    """Who is in the campaign; only for small ones."""
    rows = tx.all("select imei from device_upgrade where campaign_id = ?", (campaign_id,))
    return {row[0] for row in rows}


def of_imeis(tx: Tx, campaign_id: CampaignId, imeis: Sequence[str]) -> list[Upgrade]:
    """The campaign's upgrades of the devices named."""
    found: list[Upgrade] = []
    for start in range(0, len(imeis), CHUNK):
        chunk = imeis[start : start + CHUNK]
        rows = tx.all(
            f"{_SELECT} where u.campaign_id = ? and u.imei in ({marks(len(chunk))}) order by u.id",
            [campaign_id, *chunk],
        )
        found += [from_row(row) for row in rows]
    return found


def page(tx: Tx, campaign_id: CampaignId, after_imei: str, limit: int) -> list[Upgrade]:
    """Upgrades of the campaign by IMEI, from the one after ``after_imei``."""
    rows = tx.all(
        f"{_SELECT} where u.campaign_id = ? and u.imei > ? order by u.imei limit ?",
        (campaign_id, after_imei, limit),
    )
    return [from_row(row) for row in rows]


def of_campaigns(tx: Tx, campaign_ids: Sequence[CampaignId]) -> dict[CampaignId, list[Upgrade]]:
    """All upgrades of these campaigns, in the order in which they were asked for."""
    found: dict[CampaignId, list[Upgrade]] = {campaign_id: [] for campaign_id in campaign_ids}
    for start in range(0, len(campaign_ids), CHUNK):
        chunk = campaign_ids[start : start + CHUNK]
        for row in tx.all(
            f"{_SELECT} where u.campaign_id in ({marks(len(chunk))}) order by u.id", list(chunk)
        ):
            found[CampaignId(row[1])].append(from_row(row))
    return found


class Move(msgspec.Struct, frozen=True, gc=False):
    """A change of an upgrade, together with what it was."""

    upgrade: Upgrade
    state: UpgradeState
    reason: Reason
    device_id: DeviceId | None = None


def apply(tx: Tx, moves: Sequence[Move], now: datetime) -> None:
    """Write changes; each upgrade must still be where the caller saw it (it holds the locks)."""
    # Only what changes is named: SQLite writes every index of a column that is, changed or not.
    alike: dict[str, list[list[object]]] = {}
    now_ms = to_ms(now)
    for move in moves:
        upgrade = move.upgrade
        names = "reason = ?, updated_at = ?"
        values: list[object] = [_REASON_TEXTS[move.reason], now_ms]
        if move.state is not upgrade.state:
            names += ", state = ?"
            values.append(_STATE_TEXTS[move.state])
        if move.device_id is not None and move.device_id != upgrade.device_id:
            names += ", device_id = ?"
            values.append(move.device_id)
        alike.setdefault(names, []).append([*values, upgrade.id, _STATE_TEXTS[upgrade.state]])
    for names, rows in alike.items():
        tx.many(f"update device_upgrade set {names} where id = ? and state = ?", rows)


def offered(tx: Tx, upgrade: Upgrade, state: UpgradeState, reason: Reason, now: datetime) -> None:
    """A further attempt of it begins."""
    now_ms = to_ms(now)
    changed = tx.execute(
        "update device_upgrade set state = ?, reason = ?, attempts = attempts + 1,"
        " not_before = null, started_at = ?, updated_at = ? where id = ? and state = ?",
        (
            _STATE_TEXTS[state],
            _REASON_TEXTS[reason],
            now_ms,
            now_ms,
            upgrade.id,
            _STATE_TEXTS[upgrade.state],
        ),
    )
    assert changed == 1, f"device upgrade {upgrade.id} is not {upgrade.state} any more"


def hold_back(tx: Tx, upgrade_id: UpgradeId, not_before: datetime | None) -> None:
    """No further attempt of it before that instant."""
    tx.execute(
        "update device_upgrade set not_before = ? where id = ?", (opt_ms(not_before), upgrade_id)
    )


def remove(tx: Tx, upgrade_ids: Iterable[UpgradeId]) -> None:
    """Take devices out of their campaign, which has not started: no attempt refers to them."""
    tx.many("delete from device_upgrade where id = ?", [(id_,) for id_ in upgrade_ids])


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecord:
    """What the checks read of a device."""

    id: DeviceId
    imei: str
    make: str
    model: str
    protocol: str
    version: str
    eligible: bool
    status: str
    open_upgrade_id: UpgradeId | None
    licensed: bool


def devices_to_check(
    tx: Tx, account_id: AccountId, imeis: Sequence[str]
) -> dict[str, DeviceRecord]:
    """The account's devices among the IMEIs, locked, in a fixed order against deadlocks."""
    found: dict[str, DeviceRecord] = {}
    lock = " for no key update of d" if for_update(tx) else ""
    for start in range(0, len(imeis), CHUNK):
        chunk = imeis[start : start + CHUNK]
        for row in tx.all(
            "select d.id, d.imei, d.make, d.model, d.protocol, d.version, d.fota_eligible,"
            " d.status, d.open_upgrade_id, l.device_id from device d"
            # A licence that goes with the upgrade before it is none for this one (lifecycle.md 6.4).
            " left join license l on l.device_id = d.id and not l.ends_after_upgrade"
            f" where d.account_id = ? and d.imei in ({marks(len(chunk))}) order by d.id{lock}",
            [account_id, *chunk],
        ):
            found[row[1]] = DeviceRecord(
                id=DeviceId(row[0]),
                imei=row[1],
                make=row[2],
                model=row[3],
                protocol=row[4],
                version=row[5],
                eligible=bool(row[6]),
                status=row[7],
                open_upgrade_id=None if row[8] is None else UpgradeId(row[8]),
                licensed=row[9] is not None,
            )
    return found


def software_of(tx: Tx, device_ids: Sequence[DeviceId]) -> dict[DeviceId, set[tuple[str, str]]]:
    """(name, version) of the software that the devices were given."""
    found: dict[DeviceId, set[tuple[str, str]]] = {}
    for start in range(0, len(device_ids), CHUNK):
        chunk = device_ids[start : start + CHUNK]
        for device_id, name, version in tx.all(
            "select device_id, name, version from device_software"
            f" where kind = 'software' and device_id in ({marks(len(chunk))})",
            list(chunk),
        ):
            found.setdefault(DeviceId(device_id), set()).add((name, version))
    return found


def occupy(tx: Tx, pairs: Iterable[tuple[DeviceId, UpgradeId]]) -> None:
    """The devices are in this unfinished campaign now (their rows are locked and were free)."""
    tx.many(
        "update device set open_upgrade_id = ? where id = ? and open_upgrade_id is null",
        [(upgrade_id, device_id) for device_id, upgrade_id in pairs],
    )


def free(tx: Tx, pairs: Iterable[tuple[DeviceId, UpgradeId]]) -> None:
    """The devices may be in another campaign; those that are already stay there."""
    tx.many(
        "update device set open_upgrade_id = null where id = ? and open_upgrade_id = ?",
        list(pairs),
    )


def latest_of_imei(tx: Tx, account_id: AccountId, imei: str) -> Upgrade | None:
    """The device's place in the latest campaign of its account that named it."""
    row = tx.one(
        f"{_SELECT} join campaign c on c.id = u.campaign_id"
        " where u.imei = ? and c.account_id = ? order by u.id desc limit 1",
        (imei, account_id),
    )
    return None if row is None else from_row(row)
