"""Importing a fleet file, in two passes: everything is checked, and only then is anything written.

Devices are read one at a time in both passes, so that a million of them need no more memory than a
thousand. They are written in transactions of ``BATCH``: one transaction over all of them would keep
a running server from writing for as long as the import takes. If the import dies in the middle, what
was written is whole and true, and importing the same file again writes the rest.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from overair.artifacts.errors import ArtifactMissingError
from overair.artifacts.storage import ArtifactStorage
from overair.cli import CommandError
from overair.cli.artifact_files import artifact_storage, digest, regular, take_in
from overair.cli.options import Installation
from overair.core.credentials import SALT_BYTES, hash_secret, verify_secret
from overair.engine.buying import approach
from overair.engine.fleet import Prepared, Tally, account_ids, check_document, put_document
from overair.engine.fleet_devices import GRAIN_BYTES, DeviceCheck, adopt, put_devices
from overair.engine.licenses import Purchase
from overair.fleetfile.decode import Placed, iter_devices, load_fleet
from overair.fleetfile.problems import MAX_PROBLEMS, FleetFileError, Problem
from overair.fleetfile.shapes import Fleet, Package, Stored
from overair.ids import new_bytes, new_token
from overair.installation import installation_key
from overair.sealing import Seal
from overair.store import fleet as store
from overair.store import packages
from overair.store.database import StoreError, Tx
from overair.store.fleet import Repeats

T = TypeVar("T")

BATCH = 1000  # devices to one transaction


# Whoever wants to know how far an import is: phase, devices done, and in all if that is known.
OnProgress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import came to."""

    tallies: dict[str, Tally]

    @property
    def changes(self) -> int:
        return sum(tally.created + tally.changed for tally in self.tallies.values())


def _silent(phase: str, done: int, total: int | None) -> None:
    pass


async def import_file(
    installation: Installation, path: Path, on_progress: OnProgress = _silent
) -> Imported:
    """Import the file. Raises FleetFileError with nothing changed; CommandError, StoreError."""
    document = load_fleet(path)
    stamp = _stamp(document, path.parent)
    count = await _check(installation, document, path.parent, on_progress)
    if _stamp(document, path.parent) != stamp:
        raise FleetFileError(
            Problem(path="$.devicesFile", rule="was changed while it was being read")
        )
    on_progress("writing", 0, count)
    prepared = await _prepare(installation, document, path.parent)
    db, now = installation.db, installation.clock.now()
    await _approach_subscriptions(installation, document)
    tallies = await db.transact(put_document, document, prepared, installation.settings, now)
    tallies["devices"] = await _put_devices(
        installation, document, path.parent, lambda done: on_progress("writing", done, count)
    )
    return Imported(tallies=tallies)


def _stamp(document: Fleet, directory: Path) -> tuple[int, int, int] | None:
    """What changes when the devices file does."""
    if document.devices_file is None:
        return None
    try:
        status = (directory / document.devices_file).stat()
    except OSError:
        return None  # the check says so with its path
    return status.st_ino, status.st_size, status.st_mtime_ns


def _batches(items: Iterator[T]) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


# The first pass ----------------------------------------------------------------------------------


async def _check(
    installation: Installation, document: Fleet, directory: Path, on_progress: OnProgress
) -> int:
    """The number of devices. Raises FleetFileError."""
    db, settings = installation.db, installation.settings
    problems = await db.report(check_document, document, settings)
    problems += await _check_files(installation, document, directory)
    count = 0
    with Repeats() as repeats:
        check = await db.report(DeviceCheck, document, settings, repeats)
        for batch in _batches(iter_devices(document, directory)):
            problems += [item for item in batch if isinstance(item, Problem)]
            placed = [item for item in batch if isinstance(item, Placed)]
            problems += await db.report(_check_batch, check, placed)
            count += len(batch)
            on_progress("checking", count, None)
            if len(problems) >= MAX_PROBLEMS:
                break
    if problems:
        raise FleetFileError(*problems)
    return count


def _check_batch(tx: Tx, check: DeviceCheck, batch: Sequence[Placed]) -> list[Problem]:
    return check.check(tx, batch)


async def _check_files(
    installation: Installation, document: Fleet, directory: Path
) -> list[Problem]:
    problems = []
    stored: list[tuple[str, Stored]] = []
    for number, package in enumerate(document.packages):
        path = f"$.packages[{number}]"
        if isinstance(package.artifact, Stored):
            stored.append((f"{path}.artifact", package.artifact))
        if isinstance(package.file, str):
            file = directory / package.file
            try:
                with regular(file) as opened:
                    rule = "" if opened.read(1) else f"{file} is empty"
            except OSError as error:
                rule = f"{file}: {error.strerror}"
            if rule:
                problems.append(Problem(path=f"{path}.file", rule=rule))
    if stored:
        async with artifact_storage(installation.settings) as storage:
            for path, artifact in stored:
                if problem := await _check_stored(storage, path, artifact):
                    problems.append(problem)
    return problems


async def _check_stored(storage: ArtifactStorage, path: str, artifact: Stored) -> Problem | None:
    try:
        reader = await storage.open(artifact.sha256)
    except ArtifactMissingError:
        return Problem(
            path=path,
            rule="these bytes are not in the artifact storage: export with --files, or copy the"
            " storage first",
        )
    size = reader.size
    await reader.close()
    if size != artifact.size_bytes:
        return Problem(path=f"{path}.sizeBytes", rule=f"the stored bytes are {size}")
    return None


# Between -----------------------------------------------------------------------------------------


async def _approach_subscriptions(installation: Installation, document: Fleet) -> None:
    """Take the licences away that smaller subscriptions have no room for, until few are left."""
    ids = await installation.db.report(account_ids)
    for told in document.accounts:
        if told.subscription and told.name in ids:
            purchase = Purchase(
                account_id=ids[told.name],
                purchase_type=told.subscription.purchase_type,
                license_count=told.subscription.license_count,
            )
            await approach(installation.db, purchase, installation.settings, installation.clock)


async def _prepare(installation: Installation, document: Fleet, directory: Path) -> Prepared:
    """Hash secrets and take in bytes, before there is a transaction."""
    db = installation.db
    applications = await db.report(store.applications)
    users = await db.report(store.users)
    return Prepared(
        application_secrets={
            told.key: _hashed(told.secret, applications.get(told.key))
            for told in document.applications
            if isinstance(told.secret, str)
        },
        user_passwords={
            told.username: _hashed(told.password, users.get(told.username))
            for told in document.users
            if isinstance(told.password, str)
        },
        artifacts=await _take_in(installation, document.packages, directory),
    )


def _hashed(secret: str, present: store.Caller | None) -> str:
    """The stored form: the one that is there, if it is of the same secret."""
    if present is not None and verify_secret(secret, present.secret_hash):
        return present.secret_hash
    return hash_secret(secret, new_bytes(SALT_BYTES))


async def _take_in(
    installation: Installation, told: Sequence[Package], directory: Path
) -> dict[str, tuple[packages.Artifact, str]]:
    found: dict[str, tuple[packages.Artifact, str]] = {
        package.name: (package.artifact, package.artifact.file_name)
        for package in told
        if isinstance(package.artifact, Stored)
    }
    files = [(p.name, directory / p.file) for p in told if isinstance(p.file, str)]
    if not files:
        return found
    async with artifact_storage(installation.settings) as storage:
        for name, file in files:
            present = await installation.db.report(packages.software, name)
            if present is not None and (sha256 := present.artifact_sha256) == digest(file):
                assert sha256 is not None
                stored = await installation.db.report(store.stored_bytes, sha256)
                found[name] = (stored, file.name)
            else:
                found[name] = (await take_in(storage, file), file.name)
    return found


# The second pass ---------------------------------------------------------------------------------


async def _put_devices(
    installation: Installation,
    document: Fleet,
    directory: Path,
    on_progress: Callable[[int], None],
) -> Tally:
    db = installation.db
    key = installation_key(installation.settings)
    while await db.transact(adopt, Seal(key)):
        pass
    accounts = await db.report(account_ids)
    tally, done = Tally(), 0
    for batch in _batches(iter_devices(document, directory)):
        problems = [item for item in batch if isinstance(item, Problem)]
        placed = [item for item in batch if isinstance(item, Placed)]
        try:
            if problems:
                raise FleetFileError(*problems)
            salts = [new_token(GRAIN_BYTES) for _ in placed]
            now = installation.clock.now()
            tally.add(await db.transact(put_devices, placed, accounts, salts, key, now))
        except (FleetFileError, StoreError) as error:
            raise CommandError(
                f"the import stopped after {done} devices, which are in the database: {error};"
                " import the file again to write the rest",
                status=1 if isinstance(error, FleetFileError) else 3,
            ) from error
        done += len(batch)
        on_progress(done)
    return tally
