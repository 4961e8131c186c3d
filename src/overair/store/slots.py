"""Places of devices in cells and slots, and what is known of where devices are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from overair.core.ids import AccountId, CampaignId, DeviceId, UpgradeId
from overair.core.slots.occupancy import Held, Taken
from overair.core.slots.radio import CellKey, Contact
from overair.store.database import Row, Tx, for_update, from_ms, marks, opt_from_ms, to_ms
from overair.store.upgrades import CHUNK


@dataclass(frozen=True, slots=True, kw_only=True)
class Radio:
    """Where a device is, how well it hears that cell, and how it can be reached."""

    cell: CellKey
    signal_dbm: int | None
    bearer: int | None
    located_at: datetime | None
    contact: Contact


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRow:
    """A place; ``begun``: work has begun in it."""

    upgrade_id: UpgradeId
    held: Held
    starts_at: datetime
    ends_at: datetime
    begun: bool


NOWHERE = Radio(cell=CellKey(""), signal_dbm=None, bearer=None, located_at=None, contact=Contact())

_RADIO = (
    "n.cell, n.signal_dbm, n.bearer, n.located_at, n.registered, n.queue_mode, n.lifetime_s,"
    " n.heard_at, n.reachable, n.reachable_at"
)


def _radio(row: Row) -> Radio:
    return Radio(
        cell=CellKey(row[0]),
        signal_dbm=row[1],
        bearer=row[2],
        located_at=opt_from_ms(row[3]),
        contact=Contact(
            registered=None if row[4] is None else bool(row[4]),
            queue_mode=bool(row[5]),
            lifetime=timedelta(seconds=row[6]),
            last_contact=opt_from_ms(row[7]),
            network=None if row[8] is None else bool(row[8]),
            network_at=opt_from_ms(row[9]),
        ),
    )


def radios(tx: Tx, device_ids: Sequence[DeviceId]) -> dict[DeviceId, Radio]:
    """Where these devices are; those of which nothing is known are missing."""
    found: dict[DeviceId, Radio] = {}
    for start in range(0, len(device_ids), CHUNK):
        chunk = device_ids[start : start + CHUNK]
        for row in tx.all(
            f"select n.device_id, {_RADIO} from device_network n"
            f" where n.device_id in ({marks(len(chunk))})",
            list(chunk),
        ):
            found[DeviceId(row[0])] = _radio(row[1:])
    return found


def radio(tx: Tx, device_id: DeviceId) -> Radio:
    """Where a device is."""
    return radios(tx, [device_id]).get(device_id, NOWHERE)


def set_location(
    tx: Tx,
    device_id: DeviceId,
    cell: CellKey,
    signal_dbm: int | None,
    bearer: int | None,
    now: datetime,
) -> None:
    """The device, or the network, says where it is."""
    tx.execute(
        "insert into device_network (device_id, cell, signal_dbm, bearer, located_at)"
        " values (?, ?, ?, ?, ?) on conflict (device_id) do update set cell = excluded.cell,"
        " signal_dbm = excluded.signal_dbm, bearer = excluded.bearer,"
        " located_at = excluded.located_at",
        (device_id, cell, signal_dbm, bearer, to_ms(now)),
    )


def set_reachable(tx: Tx, device_id: DeviceId, reachable: bool, at: datetime) -> None:
    """The network says whether the device can be reached; an older word changes nothing."""
    tx.execute(
        "insert into device_network (device_id, reachable, reachable_at) values (?, ?, ?)"
        " on conflict (device_id) do update set reachable = excluded.reachable,"
        " reachable_at = excluded.reachable_at where device_network.reachable_at is null"
        " or device_network.reachable_at <= excluded.reachable_at",
        (device_id, reachable, to_ms(at)),
    )


def set_registration(
    tx: Tx,
    device_id: DeviceId,
    *,
    registered: bool,
    queue_mode: bool,
    lifetime_s: int,
    heard_at: datetime,
) -> None:
    """The device is registered, or no longer."""
    tx.execute(
        "insert into device_network (device_id, registered, queue_mode, lifetime_s, heard_at)"
        " values (?, ?, ?, ?, ?) on conflict (device_id) do update set"
        " registered = excluded.registered, queue_mode = excluded.queue_mode,"
        " lifetime_s = excluded.lifetime_s, heard_at = excluded.heard_at",
        (device_id, registered, queue_mode, lifetime_s, to_ms(heard_at)),
    )


# Places ------------------------------------------------------------------------------------------


def lock_planner(tx: Tx) -> None:
    """Let nobody else give places before this transaction is over."""
    if lock := for_update(tx):
        tx.one(f"select id from slot_planner where id = 1{lock}")


def taken(tx: Tx, cells: Sequence[CellKey], since_key: int) -> list[Taken]:
    """What is taken in these cells, from a slot on."""
    found: list[Taken] = []
    for start in range(0, len(cells), CHUNK):
        chunk = cells[start : start + CHUNK]
        found += [
            Taken(CellKey(row[0]), row[1], row[2])
            for row in tx.all(
                "select cell, slot_key, share from slot_taken"
                f" where cell in ({marks(len(chunk))}) and slot_key >= ?",
                [*chunk, since_key],
            )
        ]
    return found


def add_taken(tx: Tx, changes: Iterable[Taken]) -> None:
    """Add to what is taken, or (below zero) take from it."""
    tx.many(
        "insert into slot_taken (cell, slot_key, share) values (?, ?, ?)"
        " on conflict (cell, slot_key) do update set share = slot_taken.share + excluded.share",
        sorted((row.cell, row.key, row.share) for row in changes),
    )


def drop_taken(tx: Tx, before_key: int, limit: int) -> int:
    """Forget slots that are over; how many rows."""
    return tx.execute(
        "delete from slot_taken where (cell, slot_key) in (select cell, slot_key from slot_taken"
        " where slot_key < ? limit ?)",
        (before_key, limit),
    )


def places(tx: Tx, upgrade_ids: Sequence[UpgradeId]) -> dict[UpgradeId, SlotRow]:
    """The places of these upgrades."""
    found: dict[UpgradeId, SlotRow] = {}
    for start in range(0, len(upgrade_ids), CHUNK):
        chunk = upgrade_ids[start : start + CHUNK]
        for row in tx.all(
            "select upgrade_id, cell, slot_key, share, starts_at, ends_at, begun from slot"
            f" where upgrade_id in ({marks(len(chunk))})",
            list(chunk),
        ):
            found[UpgradeId(row[0])] = SlotRow(
                upgrade_id=UpgradeId(row[0]),
                held=Held(cell=CellKey(row[1]), key=row[2], share=row[3]),
                starts_at=from_ms(row[4]),
                ends_at=from_ms(row[5]),
                begun=bool(row[6]),
            )
    return found


def put_places(tx: Tx, campaign_id: CampaignId, rows: Iterable[SlotRow]) -> None:
    """Give places, in place of those before."""
    tx.many(
        "insert into slot (upgrade_id, campaign_id, cell, slot_key, share, starts_at, ends_at,"
        " begun) values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (upgrade_id) do update set"
        " cell = excluded.cell, slot_key = excluded.slot_key, share = excluded.share,"
        " starts_at = excluded.starts_at, ends_at = excluded.ends_at, begun = excluded.begun",
        [
            (
                row.upgrade_id,
                campaign_id,
                row.held.cell,
                row.held.key,
                row.held.share,
                to_ms(row.starts_at),
                to_ms(row.ends_at),
                row.begun,
            )
            for row in rows
        ],
    )


def drop_places(tx: Tx, upgrade_ids: Iterable[UpgradeId]) -> None:
    """They have no place any more."""
    tx.many("delete from slot where upgrade_id = ?", [(id_,) for id_ in upgrade_ids])


def set_begun(tx: Tx, upgrade_id: UpgradeId) -> None:
    """Work has begun in its place."""
    tx.execute("update slot set begun = true where upgrade_id = ?", (upgrade_id,))


# Devices that join by themselves -----------------------------------------------------------------


def joiners(
    tx: Tx,
    account_id: AccountId,
    campaign_id: CampaignId,
    *,
    make: str,
    model: str,
    version: str,
    protocol: str,
    limit: int,
) -> list[str]:
    """Devices of the account that fit a campaign and are in none, nor were taken out of this one."""
    rows = tx.all(
        "select d.imei from device d where d.account_id = ? and d.make = ? and d.model = ?"
        " and d.version = ? and d.protocol = ? and d.open_upgrade_id is null"
        " and not exists (select 1 from device_upgrade u where u.campaign_id = ?"
        " and u.imei = d.imei) and not exists (select 1 from campaign_leaver l"
        " where l.campaign_id = ? and l.imei = d.imei) order by d.imei limit ?",
        (account_id, make, model, version, protocol, campaign_id, campaign_id, limit),
    )
    return [row[0] for row in rows]


def keep_out(tx: Tx, campaign_id: CampaignId, imeis: Iterable[str]) -> None:
    """These do not join a campaign by themselves."""
    tx.many(
        "insert into campaign_leaver (campaign_id, imei) values (?, ?)"
        " on conflict (campaign_id, imei) do nothing",
        [(campaign_id, imei) for imei in sorted(imeis)],
    )


def let_in(tx: Tx, campaign_id: CampaignId, imeis: Iterable[str]) -> None:
    """These may again: somebody has added them."""
    tx.many(
        "delete from campaign_leaver where campaign_id = ? and imei = ?",
        [(campaign_id, imei) for imei in sorted(imeis)],
    )
