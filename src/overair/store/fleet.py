"""What a fleet file says, as rows: accounts with everything that an operator sets, and devices.

Rows are read and compared before they are written, so that the same file again writes nothing. Other
modules keep the rest of what the file names: ``identity`` the callers, ``packages`` the catalogue,
``subscriptions`` and ``licenses`` what was bought.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from types import TracebackType
from typing import NamedTuple, Self

from overair.core.ids import AccountId, DeviceId, UserId
from overair.store.database import Row, Tx, for_update, marks, to_ms

CHUNK = 500  # values to one IN list


# Accounts ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What an operator sets of an account. The alias is in lower case."""

    name: str
    alias: str | None = None
    active: bool = True
    gateway_token_hash: str | None = None
    auto_register: bool = False
    poll_interval_s: int | None = None


def accounts(tx: Tx) -> dict[AccountId, Account]:
    """Every account, in the order of names."""
    rows = tx.all(
        "select id, name, alias, active, gateway_token_hash, auto_register, poll_interval_s"
        " from account order by name"
    )
    return {
        AccountId(row[0]): Account(
            name=row[1],
            alias=row[2],
            active=bool(row[3]),
            gateway_token_hash=row[4],
            auto_register=bool(row[5]),
            poll_interval_s=row[6],
        )
        for row in rows
    }


def insert_account(tx: Tx, account: Account, now: datetime) -> None:
    """A new account."""
    tx.execute(
        "insert into account (name, alias, active, gateway_token_hash, auto_register,"
        " poll_interval_s, created_at) values (?, ?, ?, ?, ?, ?, ?)",
        (*astuple(account), to_ms(now)),
    )


def update_account(tx: Tx, account_id: AccountId, account: Account) -> None:
    """Write the account anew; its name stays."""
    tx.execute(
        "update account set alias = ?, active = ?, gateway_token_hash = ?, auto_register = ?,"
        " poll_interval_s = ? where id = ?",
        (*astuple(account)[1:], account_id),
    )


# Callers -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An application or a user, with the stored form of its secret."""

    name: str
    secret_hash: str
    active: bool
    accounts: tuple[str, ...] = ()  # of a user, by name


def applications(tx: Tx) -> dict[str, Caller]:
    """Every application by its key, in that order."""
    rows = tx.all("select key, secret_hash, active from application order by key")
    return {row[0]: Caller(name=row[0], secret_hash=row[1], active=bool(row[2])) for row in rows}


def users(tx: Tx) -> dict[str, Caller]:
    """Every user by name, in that order."""
    owned: dict[UserId, list[str]] = {}
    for user_id, name in tx.all(
        "select u.user_id, a.name from user_account u join account a on a.id = u.account_id"
        " order by a.name"
    ):
        owned.setdefault(UserId(user_id), []).append(name)
    rows = tx.all("select id, username, password_hash, active from m2m_user order by username")
    return {
        row[1]: Caller(
            name=row[1],
            secret_hash=row[2],
            active=bool(row[3]),
            accounts=tuple(owned.get(UserId(row[0]), ())),
        )
        for row in rows
    }


# Software ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBytes:
    """The digests of bytes in the artifact storage."""

    sha256: str
    sha1: str
    md5: str
    size_bytes: int


def stored_bytes(tx: Tx, sha256: str) -> StoredBytes:
    """The row of these bytes, which must exist."""
    row = tx.one("select sha256, sha1, md5, size_bytes from artifact where sha256 = ?", (sha256,))
    assert row is not None, f"no artifact {sha256}"
    return StoredBytes(sha256=row[0], sha1=row[1], md5=row[2], size_bytes=row[3])


# Devices -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What an operator may say of a device, as it is stored."""

    account_id: AccountId
    imei: str
    controller_id: str
    mdn: str = ""
    make: str = ""
    model: str = ""
    protocol: str = "HTTP"
    version: str = ""
    fota_eligible: bool = True
    status: str = "Active"
    time_zone: str | None = None
    token_hash: str | None = None
    token_salt: str | None = None
    two_phase: bool | None = None
    poll_interval_s: int | None = None


class Known(NamedTuple):
    """A device that is in the database."""

    id: DeviceId
    device: Device
    licensed: bool
    at_work: bool
    """It has an attempt under way."""


_NAMES = tuple(field.name for field in fields(Device))
_COLUMNS = ", ".join(_NAMES)
_SELECT = (
    f"select d.id, l.device_id, {', '.join(f'd.{name}' for name in _NAMES)}, d.open_attempt_id"
    " from device d left join license l on l.device_id = d.id"
)
_INSERT = (
    f"insert into device ({_COLUMNS}, created_at, updated_at) values ({marks(len(_NAMES))}, ?, ?)"
)
_UPDATE = (
    f"update device set {', '.join(f'{name} = ?' for name in _NAMES[2:])}, updated_at = ?"
    " where id = ?"
)


def _known(row: Row) -> Known:
    device = Device(
        account_id=AccountId(row[2]),
        imei=row[3],
        controller_id=row[4],
        mdn=row[5],
        make=row[6],
        model=row[7],
        protocol=row[8],
        version=row[9],
        fota_eligible=bool(row[10]),
        status=row[11],
        time_zone=row[12],
        token_hash=row[13],
        token_salt=row[14],
        two_phase=None if row[15] is None else bool(row[15]),
        poll_interval_s=row[16],
    )
    return Known(DeviceId(row[0]), device, row[1] is not None, row[17] is not None)


def known(tx: Tx, imeis: Sequence[str], *, lock: bool = False) -> dict[str, Known]:
    """The devices of these IMEIs, in whatever account."""
    locking = f" order by d.id{for_update(tx)} of d" if lock and for_update(tx) else ""
    found: dict[str, Known] = {}
    for start in range(0, len(imeis), CHUNK):
        chunk = imeis[start : start + CHUNK]
        for row in tx.all(f"{_SELECT} where d.imei in ({marks(len(chunk))}){locking}", chunk):
            found[row[3]] = _known(row)
    return found


def page(tx: Tx, after_imei: str, limit: int) -> list[Known]:
    """Devices of all accounts by IMEI, from the one after ``after_imei``."""
    rows = tx.all(f"{_SELECT} where d.imei > ? order by d.imei limit ?", (after_imei, limit))
    return [_known(row) for row in rows]


def holders(tx: Tx, account_id: AccountId, controller_ids: Sequence[str]) -> dict[str, str]:
    """IMEIs of the account's devices that have these controller ids."""
    found: dict[str, str] = {}
    for start in range(0, len(controller_ids), CHUNK):
        chunk = controller_ids[start : start + CHUNK]
        rows = tx.all(
            "select controller_id, imei from device where account_id = ?"
            f" and controller_id in ({marks(len(chunk))})",
            [account_id, *chunk],
        )
        found.update((row[0], row[1]) for row in rows)
    return found


def insert_devices(tx: Tx, devices: Iterable[Device], now: datetime) -> None:
    """New devices."""
    ms = to_ms(now)
    tx.many(_INSERT, [(*astuple(device), ms, ms) for device in devices])


def update_devices(tx: Tx, changes: Iterable[tuple[DeviceId, Device]], now: datetime) -> None:
    """Write devices anew; account and IMEI stay."""
    ms = to_ms(now)
    tx.many(_UPDATE, [(*astuple(device)[2:], ms, device_id) for device_id, device in changes])


class Repeats:
    """Finds what is named twice among millions of names, with flat memory.

    A database of its own in a temporary file that has no name and goes away by itself.
    """

    _CACHE_KIB = 16 * 1024

    def __enter__(self) -> Self:
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._connection.execute(f"pragma cache_size = -{self._CACHE_KIB}")
        self._connection.execute("pragma journal_mode = off")
        self._connection.execute("pragma synchronous = off")
        self._connection.execute(
            "create table seen (space text, name text, place text, primary key (space, name))"
            " without rowid"
        )
        self._connection.execute("begin")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def first(self, space: str, name: str, place: str) -> str | None:
        """Where ``name`` was before in ``space``; None where it is new."""
        added = self._connection.execute(
            "insert into seen values (?, ?, ?) on conflict do nothing", (space, name, place)
        ).rowcount
        if added:
            return None
        row = self._connection.execute(
            "select place from seen where space = ? and name = ?", (space, name)
        ).fetchone()
        return str(row[0])
