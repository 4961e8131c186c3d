"""Where devices are in the network, as it told, and which of them wait to be woken for it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from overair.core.ids import DeviceId
from overair.core.network import NetworkState
from overair.store.database import Row, Tx, for_update, marks, opt_from_ms, opt_ms

CHUNK = 500  # values to one IN list

_COLUMNS = "attached_at, detached_at, address, waking_at"


class Found(NamedTuple):
    """A device, and what the network said of it so far."""

    id: DeviceId
    state: NetworkState
    wanted: bool
    """Whether an upgrade that it is told to come for is not at its end."""


class Place(NamedTuple):
    """Where a device can be reached; "" is what nobody said."""

    address: str
    mdn: str


def _state(row: Row) -> NetworkState:
    return NetworkState(
        attached_at=opt_from_ms(row[0]),
        detached_at=opt_from_ms(row[1]),
        address=row[2] or "",
        waking_at=opt_from_ms(row[3]),
    )


def lock_devices(tx: Tx, imeis: Sequence[str]) -> dict[str, Found]:
    """The devices among ``imeis``, which this transaction is about to change."""
    found: dict[str, Found] = {}
    ordered = sorted(set(imeis))  # the same order for everybody, so that nobody waits in a circle
    for start in range(0, len(ordered), CHUNK):
        chunk = ordered[start : start + CHUNK]
        ids = tx.all(
            "select d.id, d.imei, d.protocol = 'OMADM' and (d.open_upgrade_id is not null or exists"
            " (select 1 from device_upgrade u where u.device_id = d.id and u.state = 'queued'))"
            f" from device d where d.imei in ({marks(len(chunk))}) order by d.id",
            chunk,
        )
        if not ids:
            continue
        tx.many(
            "insert into device_network (device_id) values (?) on conflict (device_id) do nothing",
            [(device_id,) for device_id, _, _ in ids],
        )
        rows = tx.all(
            f"select device_id, {_COLUMNS} from device_network"
            f" where device_id in ({marks(len(ids))}) order by device_id{for_update(tx)}",
            [device_id for device_id, _, _ in ids],
        )
        states = {row[0]: _state(row[1:]) for row in rows}
        found.update(
            (imei, Found(DeviceId(device_id), states[device_id], bool(wanted)))
            for device_id, imei, wanted in ids
        )
    return found


def save(tx: Tx, states: Mapping[DeviceId, NetworkState]) -> None:
    """Write what is known of these devices, which are locked."""
    tx.many(
        "update device_network set attached_at = ?, detached_at = ?, address = ?, waking_at = ?"
        " where device_id = ?",
        [
            (
                opt_ms(state.attached_at),
                opt_ms(state.detached_at),
                state.address,
                opt_ms(state.waking_at),
                device_id,
            )
            for device_id, state in sorted(states.items())
        ],
    )


def state(tx: Tx, device_id: DeviceId) -> NetworkState:
    """What the network said of a device."""
    row = tx.one(f"select {_COLUMNS} from device_network where device_id = ?", (device_id,))
    return NetworkState() if row is None else _state(row)


def places(tx: Tx, device_ids: Sequence[DeviceId]) -> dict[DeviceId, Place]:
    """Where these devices are."""
    found: dict[DeviceId, Place] = {}
    for start in range(0, len(device_ids), CHUNK):
        chunk = device_ids[start : start + CHUNK]
        rows = tx.all(
            "select d.id, n.address, d.mdn from device d"
            " left join device_network n on n.device_id = d.id"
            f" where d.id in ({marks(len(chunk))})",
            chunk,
        )
        found.update((DeviceId(row[0]), Place(row[1] or "", row[2])) for row in rows)
    return found


def any_waking(tx: Tx) -> bool:
    """Whether a device waits to be woken."""
    return tx.one("select 1 from device_network where waking_at is not null limit 1") is not None


def take_waking(tx: Tx, limit: int) -> list[DeviceId]:
    """Those who have waited for longest, at most ``limit``; they wait no longer."""
    skip = " for no key update skip locked" if tx.dialect == "postgres" else ""
    rows = tx.all(
        "select device_id from device_network where waking_at is not null"
        f" order by waking_at, device_id limit ?{skip}",
        (limit,),
    )
    ids = [row[0] for row in rows]
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        tx.execute(
            f"update device_network set waking_at = null where device_id in ({marks(len(chunk))})",
            chunk,
        )
    return [DeviceId(device_id) for device_id in ids]


def count_waking(tx: Tx) -> int:
    """How many devices wait to be woken."""
    row = tx.one("select count(*) from device_network where waking_at is not null")
    assert row is not None
    return int(row[0])
