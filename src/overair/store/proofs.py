"""The pilot rule's counts: final outcomes of a package on an account."""

from dataclasses import dataclass
from datetime import datetime

from overair.core.ids import AccountId, PackageId
from overair.store.database import Row, Tx, opt_from_ms, to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Outcomes counted until the package was proven."""

    succeeded: int
    failed: int
    proven_at: datetime | None


def _proof(row: Row) -> Proof:
    return Proof(succeeded=row[0], failed=row[1], proven_at=opt_from_ms(row[2]))


def get(tx: Tx, account_id: AccountId, package_id: PackageId) -> Proof | None:
    """What is counted so far; None if nothing was."""
    return tx.kept(_find, account_id, package_id)


def _find(tx: Tx, account_id: AccountId, package_id: PackageId) -> Proof | None:
    row = tx.one(
        "select succeeded, failed, proven_at from package_proof"
        " where account_id = ? and package_id = ?",
        (account_id, package_id),
    )
    return None if row is None else _proof(row)


def add(tx: Tx, account_id: AccountId, package_id: PackageId, succeeded: int, failed: int) -> Proof:
    """Count further outcomes; the sums."""
    row = tx.one(
        "insert into package_proof (account_id, package_id, succeeded, failed)"
        " values (?, ?, ?, ?) on conflict (account_id, package_id) do update set"
        " succeeded = package_proof.succeeded + excluded.succeeded,"
        " failed = package_proof.failed + excluded.failed"
        " returning succeeded, failed, proven_at",
        (account_id, package_id, succeeded, failed),
    )
    assert row is not None
    return _proof(row)


def set_proven(tx: Tx, account_id: AccountId, package_id: PackageId, now: datetime) -> None:
    """The limit is lifted, for good."""
    tx.execute(
        "update package_proof set proven_at = ? where account_id = ? and package_id = ?"
        " and proven_at is null",
        (to_ms(now), account_id, package_id),
    )
