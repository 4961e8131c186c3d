"""The catalogue: software, configuration files, and the bytes they refer to.

Software is the installation's, and an account sees what fits a device of its own unless the package
is restricted to other accounts. A configuration file is its account's. Make and model are compared
without case, as the checks of a campaign do (``core/checks.py``).
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from overair.core.ids import AccountId, PackageId
from overair.store.database import Row, Tx, for_update, from_ms, marks, to_ms

Kind = tuple[str, str]  # make and model, without case


class Artifact(Protocol):
    """Bytes that were taken in: ``artifacts.storage.Artifact`` is one."""

    @property
    def sha256(self) -> str: ...
    @property
    def sha1(self) -> str: ...
    @property
    def md5(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Software, or one version of a configuration file."""

    id: PackageId
    kind: str  # software, file
    account_id: AccountId | None  # of a file
    name: str
    protocol: str
    make: str
    model: str
    from_version: str
    to_version: str
    launch_at: datetime
    release_note: str
    part: str
    local_target_path: str
    file_name: str | None
    artifact_sha256: str | None
    restricted: bool


_COLUMNS = """p.id, p.kind, p.account_id, p.name, p.protocol, p.make, p.model, p.from_version,
 p.to_version, p.launch_at, p.release_note, p.part, p.local_target_path, p.file_name,
 p.artifact_sha256, p.restricted"""
_SELECT = f"select {_COLUMNS} from package p"


def _package(row: Row) -> Package:
    return Package(
        id=PackageId(row[0]),
        kind=row[1],
        account_id=None if row[2] is None else AccountId(row[2]),
        name=row[3],
        protocol=row[4],
        make=row[5],
        model=row[6],
        from_version=row[7],
        to_version=row[8],
        launch_at=from_ms(row[9]),
        release_note=row[10],
        part=row[11],
        local_target_path=row[12],
        file_name=row[13],
        artifact_sha256=row[14],
        restricted=bool(row[15]),
    )


def by_id(tx: Tx, package_id: PackageId) -> Package:
    """The package, which must exist."""
    row = tx.one(f"{_SELECT} where p.id = ?", (package_id,))
    assert row is not None, f"no package {package_id}"
    return _package(row)


def every(tx: Tx, after: PackageId, limit: int) -> list[Package]:
    """All packages of all accounts, in the order in which they came: for operators only."""
    rows = tx.all(f"{_SELECT} where p.id > ? order by p.id limit ?", (after, limit))
    return [_package(row) for row in rows]


# What an account sees ----------------------------------------------------------------------------


def device_kinds(tx: Tx, account_id: AccountId) -> Iterator[Kind]:
    """Each make and model among the account's devices: a step or two along the index for each."""
    row = tx.one(
        "select make, model from device where account_id = ? order by make, model limit 1",
        (account_id,),
    )
    while row is not None:
        yield row[0].casefold(), row[1].casefold()
        # Not as one comparison of pairs: SQLite would walk through all devices of the make.
        row = tx.one(
            "select make, model from device where account_id = ? and make = ? and model > ?"
            " order by model limit 1",
            (account_id, row[0], row[1]),
        ) or tx.one(
            "select make, model from device where account_id = ? and make > ?"
            " order by make, model limit 1",
            (account_id, row[0]),
        )


def _fits(tx: Tx, account_id: AccountId, make: str, model: str) -> bool:
    row = tx.one(
        "select 1 from device where account_id = ? and make = ? and model = ? limit 1",
        (account_id, make, model),
    )
    return row is not None or (make.casefold(), model.casefold()) in device_kinds(tx, account_id)


_OPEN_TO = """(not p.restricted or exists
 (select 1 from package_account a where a.package_id = p.id and a.account_id = ?))"""


def visible_software(
    tx: Tx, account_id: AccountId, protocols: Collection[str] | None, limit: int
) -> list[Package]:
    """Software for devices of the account, by name; of these protocols, if any are given."""
    kinds = set(device_kinds(tx, account_id))
    only = "" if protocols is None else f" and p.protocol in ({marks(len(protocols))})"
    rows = tx.all(
        f"{_SELECT} where p.kind = 'software' and {_OPEN_TO}{only} order by p.name",
        [account_id, *(protocols or ())],
    )
    found = (_package(row) for row in rows)
    fitting = [p for p in found if (p.make.casefold(), p.model.casefold()) in kinds]
    return fitting[:limit]


def find_software(tx: Tx, account_id: AccountId, name: str) -> Package | None:
    """The software of that name, if the account sees it."""
    row = tx.one(
        f"{_SELECT} where p.kind = 'software' and p.name = ? and {_OPEN_TO}", (name, account_id)
    )
    if row is None:
        return None
    found = _package(row)
    return found if _fits(tx, account_id, found.make, found.model) else None


def find_file(
    tx: Tx, account_id: AccountId, name: str, version: str, *, lock: bool = False
) -> Package | None:
    """That version of the account's configuration file."""
    row = tx.one(
        f"{_SELECT} where p.kind = 'file' and p.account_id = ? and p.name = ?"
        f" and p.to_version = ?{for_update(tx) if lock else ''}",
        (account_id, name, version),
    )
    return None if row is None else _package(row)


def files(tx: Tx, account_id: AccountId, protocol: str | None, limit: int) -> list[Package]:
    """The account's configuration files, newest first."""
    only = "" if protocol is None else " and p.protocol = ?"
    params = [account_id, limit] if protocol is None else [account_id, protocol, limit]
    rows = tx.all(
        f"{_SELECT} where p.kind = 'file' and p.account_id = ?{only}"
        " order by p.launch_at desc, p.id desc limit ?",
        params,
    )
    return [_package(row) for row in rows]


# Writing -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPackage:
    """What is known of a package that is being written; its bytes may be missing."""

    kind: str
    account_id: AccountId | None = None
    name: str
    protocol: str
    make: str
    model: str
    from_version: str = ""
    to_version: str
    launch_at: datetime
    release_note: str = ""
    part: str
    local_target_path: str = ""
    file_name: str | None = None
    artifact_sha256: str | None = None
    restricted: bool = False


def put_artifact(tx: Tx, artifact: Artifact, now: datetime) -> None:
    """Know these bytes; the same bytes again change nothing."""
    tx.execute(
        "insert into artifact (sha256, sha1, md5, size_bytes, created_at) values (?, ?, ?, ?, ?)"
        " on conflict (sha256) do nothing",
        (artifact.sha256, artifact.sha1, artifact.md5, artifact.size_bytes, to_ms(now)),
    )


def insert(tx: Tx, new: NewPackage, now: datetime) -> PackageId | None:
    """A new package; None if there is one of that name (and version, for a file)."""
    row = tx.one(
        "insert into package (kind, account_id, name, protocol, make, model, from_version,"
        " to_version, launch_at, release_note, part, local_target_path, file_name,"
        " artifact_sha256, restricted, created_at, updated_at)"
        " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " on conflict do nothing returning id",
        (
            new.kind,
            new.account_id,
            new.name,
            new.protocol,
            new.make,
            new.model,
            new.from_version,
            new.to_version,
            to_ms(new.launch_at),
            new.release_note,
            new.part,
            new.local_target_path,
            new.file_name,
            new.artifact_sha256,
            new.restricted,
            to_ms(now),
            to_ms(now),
        ),
    )
    return None if row is None else PackageId(row[0])


def replace(tx: Tx, package_id: PackageId, new: NewPackage, now: datetime) -> None:
    """Write the package anew. Attempts under way keep the bytes that they were offered."""
    tx.execute(
        "update package set protocol = ?, make = ?, model = ?, from_version = ?, to_version = ?,"
        " launch_at = ?, release_note = ?, part = ?, local_target_path = ?, file_name = ?,"
        " artifact_sha256 = ?, restricted = ?, updated_at = ? where id = ?",
        (
            new.protocol,
            new.make,
            new.model,
            new.from_version,
            new.to_version,
            to_ms(new.launch_at),
            new.release_note,
            new.part,
            new.local_target_path,
            new.file_name,
            new.artifact_sha256,
            new.restricted,
            to_ms(now),
            package_id,
        ),
    )


def software(tx: Tx, name: str, *, lock: bool = False) -> Package | None:
    """The software of that name, whoever may see it."""
    row = tx.one(
        f"{_SELECT} where p.kind = 'software' and p.name = ?{for_update(tx) if lock else ''}",
        (name,),
    )
    return None if row is None else _package(row)


def accounts_of(tx: Tx, package_id: PackageId) -> list[AccountId]:
    """The accounts that a restricted package is open to."""
    rows = tx.all(
        "select account_id from package_account where package_id = ? order by account_id",
        (package_id,),
    )
    return [AccountId(row[0]) for row in rows]


def set_accounts(tx: Tx, package_id: PackageId, account_ids: Iterable[AccountId]) -> None:
    """Open a restricted package to these accounts and no others."""
    tx.execute("delete from package_account where package_id = ?", (package_id,))
    tx.many(
        "insert into package_account (package_id, account_id) values (?, ?)",
        [(package_id, account_id) for account_id in sorted(set(account_ids))],
    )


def audience(tx: Tx, package: Package) -> set[AccountId]:
    """The accounts that see this software in their catalogue."""
    accounts: Sequence[AccountId]
    if package.restricted:
        accounts = accounts_of(tx, package.id)
    else:
        accounts = [AccountId(row[0]) for row in tx.all("select id from account order by id")]
    return {a for a in accounts if _fits(tx, a, package.make, package.model)}


def referenced(tx: Tx) -> set[str]:
    """SHA-256 of all bytes that something still refers to: what the storage must keep."""
    rows = tx.all(
        "select artifact_sha256 from package where artifact_sha256 is not null"
        " union select t.artifact_sha256 from device d join attempt t on t.id = d.open_attempt_id"
        " union select t.artifact_sha256 from device d"
        " join attempt t on t.id = d.installed_attempt_id"
    )
    return {row[0] for row in rows}
