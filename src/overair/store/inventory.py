"""What a device is known to run and to say of itself."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from overair.core.ids import AccountId, AttemptId, DeviceId
from overair.store.database import Tx, for_update, to_ms


def set_installed(
    tx: Tx,
    device_id: DeviceId,
    *,
    attempt_id: AttemptId,
    kind: str,
    name: str,
    version: str,
    now: datetime,
) -> bool:
    """An attempt succeeded, and is the device's open one no more. False if a newer one succeeded.

    The device runs its target until it says otherwise.

    Software moves the device's version; a configuration file is listed beside it. Attributes are
    wanted again, so that the device may confirm (``http-ddi.md`` 6, 8).
    """
    ms = to_ms(now)
    runs = version if kind == "software" else None
    changed = tx.execute(
        "update device set installed_attempt_id = ?, wants_attributes = true, upgraded_at = ?,"
        " updated_at = ?, version = coalesce(?, version),"
        " open_attempt_id = nullif(open_attempt_id, ?)"
        " where id = ? and coalesce(installed_attempt_id, 0) < ?",
        (attempt_id, ms, ms, runs, attempt_id, device_id, attempt_id),
    )
    if not changed:
        return False
    tx.execute(
        "insert into device_software (device_id, name, version, kind, upgraded_at)"
        " values (?, ?, ?, ?, ?) on conflict (device_id, name) do update set"
        " version = excluded.version, kind = excluded.kind, upgraded_at = excluded.upgraded_at",
        (device_id, name, version, kind, ms),
    )
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The parts of a device's record that it may fill in itself."""

    imei: str
    make: str
    model: str
    mdn: str
    version: str


def identity(tx: Tx, device_id: DeviceId) -> Identity:
    """What is on record; nobody else changes it before this transaction is over."""
    row = tx.one(
        f"select imei, make, model, mdn, version from device where id = ?{for_update(tx)}",
        (device_id,),
    )
    assert row is not None
    return Identity(imei=row[0], make=row[1], model=row[2], mdn=row[3], version=row[4])


def set_identity(
    tx: Tx, device_id: DeviceId, known: Identity, new: Identity, now: datetime
) -> None:
    """The device says that it is so; it was asked, and need not be again."""
    if new == known:  # SQLite writes every index of a column that is named
        tx.execute(
            "update device set wants_attributes = false, refreshed_at = ? where id = ?",
            (to_ms(now), device_id),
        )
        return
    tx.execute(
        "update device set make = ?, model = ?, mdn = ?, version = ?, wants_attributes = false,"
        " refreshed_at = ? where id = ?",
        (new.make, new.model, new.mdn, new.version, to_ms(now), device_id),
    )


def set_version(tx: Tx, device_id: DeviceId, version: str, now: datetime) -> None:
    """The device shows what it runs."""
    tx.execute(
        "update device set version = ?, refreshed_at = ? where id = ?",
        (version, to_ms(now), device_id),
    )


def set_imei(tx: Tx, device_id: DeviceId, imei: str) -> None:
    """The device's own IMEI in place of a stand-in, unless another device has it."""
    tx.execute(
        "update device set imei = ? where id = ? and not exists"
        " (select 1 from device other where other.imei = ?)",
        (imei, device_id, imei),
    )


def attributes(tx: Tx, device_id: DeviceId) -> dict[str, str]:
    """Everything that the device has told of itself."""
    rows = tx.all(
        "select name, value from device_attribute where device_id = ? order by name", (device_id,)
    )
    return dict(rows)


def put_attributes(tx: Tx, device_id: DeviceId, values: Mapping[str, str]) -> None:
    """Set attributes."""
    if not values:
        return
    tx.many(
        "insert into device_attribute (device_id, name, value) values (?, ?, ?)"
        " on conflict (device_id, name) do update set value = excluded.value",
        [(device_id, name, value) for name, value in sorted(values.items())],
    )


def drop_attributes(tx: Tx, device_id: DeviceId, names: Collection[str]) -> None:
    """Forget attributes."""
    if not names:
        return
    tx.many(
        "delete from device_attribute where device_id = ? and name = ?",
        [(device_id, name) for name in names],
    )


def want_attributes(tx: Tx, device_id: DeviceId) -> None:
    """Ask the device for its attributes at its next check-in."""
    tx.execute("update device set wants_attributes = true where id = ?", (device_id,))


def insert_unknown(tx: Tx, account_id: AccountId, controller_id: str, now: datetime) -> None:
    """A device of which nothing is known but its name; nothing happens if the name is taken."""
    tx.execute(
        "insert into device (account_id, imei, controller_id, created_at, updated_at)"
        " values (?, ?, ?, ?, ?) on conflict do nothing",
        (account_id, controller_id, controller_id, to_ms(now), to_ms(now)),
    )
