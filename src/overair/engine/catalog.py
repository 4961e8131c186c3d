"""The catalogue: software for the installation, configuration files of an account.

The bytes are in the artifact storage before a row refers to them; here only rows are written, and
who can see software that he could not see before is told, in the same transaction.

Not in here: uploads (``artifacts/``), scheduling (``engine/schedule.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final

from overair.core.errors import Refusal, RequestError
from overair.core.file_names import FileNameError, clean_text, config_file_name, stored_name
from overair.core.ids import AccountId, PackageId
from overair.engine.notify import notify_package
from overair.store import campaigns, packages
from overair.store.database import Tx, from_ms, to_ms
from overair.store.packages import Artifact, NewPackage, Package

PULLED: Final = "HTTP"  # the protocol of configuration files
SOFTWARE_PART: Final = "os"
FILE_PART: Final = "config"


# Software ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """A software or firmware package as an operator describes it."""

    name: str
    protocol: str  # OMADM, LWM2M, HTTP
    make: str
    model: str
    from_version: str
    to_version: str
    launch_at: datetime
    release_note: str = ""
    part: str = SOFTWARE_PART
    file_name: str | None = None  # as it was named where it came from
    artifact: Artifact | None = None  # None: what is there stays
    accounts: Sequence[AccountId] | None = None  # None: every account with such a device


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """What writing a package came to."""

    package_id: PackageId
    created: bool
    changed: bool  # created, or not as it was


def put_software(tx: Tx, software: Software, now: datetime) -> Saved:
    """Add software, or replace what has its name; the same again changes nothing.

    Accounts for whose devices it was not there before are told.
    """
    if software.artifact is not None:
        packages.put_artifact(tx, software.artifact, now)
    before = packages.software(tx, software.name, lock=True)
    new = _new_software(software, before)
    if before is None:
        created = packages.insert(tx, new, now)
        if created is None:  # another process was faster
            before = packages.software(tx, software.name, lock=True)
            assert before is not None
            new = _new_software(software, before)
        else:
            _open_to(tx, created, software)
            _announce(tx, packages.by_id(tx, created), set(), now)
            return Saved(package_id=created, created=True, changed=True)
    if _is_same(new, before) and _is_open_to(tx, before, software):
        return Saved(package_id=before.id, created=False, changed=False)
    seen_by = packages.audience(tx, before)
    packages.replace(tx, before.id, new, now)
    _open_to(tx, before.id, software)
    _announce(tx, packages.by_id(tx, before.id), seen_by, now)
    return Saved(package_id=before.id, created=False, changed=True)


def _new_software(software: Software, before: Package | None) -> NewPackage:
    sha256 = None if before is None else before.artifact_sha256
    file_name = None if before is None else before.file_name
    if software.artifact is not None:
        sha256 = software.artifact.sha256
        file_name = stored_name(software.file_name or software.name)
    return NewPackage(
        kind="software",
        name=software.name,
        protocol=software.protocol,
        make=software.make,
        model=software.model,
        from_version=software.from_version,
        to_version=software.to_version,
        # As the database keeps it, so that the same package again is the same.
        launch_at=from_ms(to_ms(software.launch_at)),
        release_note=software.release_note,
        part=software.part,
        file_name=file_name,
        artifact_sha256=sha256,
        restricted=software.accounts is not None,
    )


def _is_same(new: NewPackage, before: Package) -> bool:
    return all(getattr(new, field.name) == getattr(before, field.name) for field in fields(new))


def _is_open_to(tx: Tx, before: Package, software: Software) -> bool:
    return software.accounts is None or packages.accounts_of(tx, before.id) == sorted(
        set(software.accounts)
    )


def _open_to(tx: Tx, package_id: PackageId, software: Software) -> None:
    packages.set_accounts(tx, package_id, software.accounts or ())


def _announce(tx: Tx, package: Package, seen_by: set[AccountId], now: datetime) -> None:
    fresh = packages.audience(tx, package) - seen_by
    if fresh:
        notify_package(tx, package, sorted(fresh), now)


# Configuration files -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUpload:
    """An uploaded configuration file, as the client described it."""

    file_name: str
    version: str
    make: str
    model: str
    local_target_path: str
    artifact: Artifact


def add_file(tx: Tx, account_id: AccountId, upload: FileUpload, now: datetime) -> Package:
    """Add a file, or a version of one. Raises RequestError if that version is there already."""
    new = _new_file(account_id, upload, now)
    packages.put_artifact(tx, upload.artifact, now)
    package_id = packages.insert(tx, new, now)
    if package_id is None:
        raise RequestError(Refusal.FILE_EXISTS)
    return packages.by_id(tx, package_id)


def replace_file(tx: Tx, account_id: AccountId, upload: FileUpload, now: datetime) -> Package:
    """Other bytes and another path for a version that no open campaign uses.

    The upload may be named as the first one was, or with the name generated for that.
    """
    new = _new_file(account_id, upload, now)
    present = packages.find_file(tx, account_id, new.name, new.to_version, lock=True)
    if present is None:
        named = stored_name(upload.file_name)
        present = packages.find_file(tx, account_id, named, new.to_version, lock=True)
    if present is None or (present.make, present.model) != (new.make, new.model):
        raise RequestError(Refusal.FILE_NOT_FOUND)
    if campaigns.open_with_package(tx, [present.id]):
        raise RequestError(Refusal.FILE_IN_USE)
    packages.put_artifact(tx, upload.artifact, now)
    packages.replace(tx, present.id, _as_stored(new, present), now)
    return packages.by_id(tx, present.id)


def check_upload(file_name: str, version: str, make: str, model: str, path: str) -> None:
    """Refuse an upload's description before its bytes are taken. Raises RequestError."""
    try:
        clean_text("fileVersion", version)
        clean_text("make", make)
        clean_text("model", model)
        clean_text("localTargetPath", path)
        config_file_name(make, model, file_name)
    except FileNameError as error:
        raise RequestError(Refusal.FILE_PART, part=error.part) from None


def _new_file(account_id: AccountId, upload: FileUpload, now: datetime) -> NewPackage:
    check_upload(
        upload.file_name, upload.version, upload.make, upload.model, upload.local_target_path
    )
    name = config_file_name(upload.make, upload.model, upload.file_name)
    return NewPackage(
        kind="file",
        account_id=account_id,
        name=name,
        protocol=PULLED,
        make=upload.make.strip(),
        model=upload.model.strip(),
        to_version=upload.version.strip(),
        launch_at=now,
        part=FILE_PART,
        local_target_path=upload.local_target_path.strip(),
        file_name=name,
        artifact_sha256=upload.artifact.sha256,
    )


def _as_stored(new: NewPackage, present: Package) -> NewPackage:
    return NewPackage(
        kind=new.kind,
        account_id=new.account_id,
        name=present.name,
        protocol=new.protocol,
        make=present.make,
        model=present.model,
        to_version=present.to_version,
        launch_at=present.launch_at,
        part=present.part,
        local_target_path=new.local_target_path,
        file_name=present.file_name,
        artifact_sha256=new.artifact_sha256,
    )
