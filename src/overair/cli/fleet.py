"""``overair import`` and ``overair export``: an installation as one document (see ``fleetfile``)."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, TextIO

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from overair.cli import CommandError
from overair.cli.artifact_files import artifact_storage, write_out
from overair.cli.importing import Imported, import_file
from overair.cli.options import DEFAULT, Common, Installation, print_json, with_installation
from overair.engine.fleet_devices import adopt
from overair.engine.fleet_export import export_devices, export_document
from overair.fleetfile.decode import ENDINGS
from overair.fleetfile.encode import write_devices, write_fleet
from overair.fleetfile.problems import FleetFileError
from overair.fleetfile.shapes import Fleet
from overair.installation import installation_key
from overair.sealing import Seal, SealError
from overair.store.database import Tx
from overair.store.packages import Package

Language = Literal["json", "yaml"]
LANGUAGES: dict[str, Language] = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}


# Import ------------------------------------------------------------------------------------------


def import_fleet(
    file: Annotated[Path, Parameter(help="The fleet file: .json, .yaml or .yml.")],
    common: Common = DEFAULT,
) -> int:
    """Fill the installation from a fleet file, or bring it up to date with one.

    All of the file is checked before anything is written. Nothing is ever deleted, and the same
    file again changes nothing. A server may be running meanwhile.
    """

    async def work(installation: Installation) -> Imported:
        with _progress() as on_progress:
            return await import_file(installation, file, on_progress)

    try:
        imported = with_installation(common.settings(), work, create=True)
    except FleetFileError as error:
        rules = [p.rule if p.path == str(file) else str(p) for p in error.problems]
        message = (
            f"{file}: {rules[0]}; nothing was changed"
            if len(rules) == 1
            else "\n  ".join([f"{file}: nothing was changed, because of these problems:", *rules])
        )
        raise CommandError(message, details=[asdict(p) for p in error.problems]) from error
    if common.as_json:
        print_json({kind: asdict(tally) for kind, tally in imported.tallies.items()})
        return 0
    for kind, tally in imported.tallies.items():
        if any(asdict(tally).values()):
            print(
                f"{kind:<12} {tally.created:>9} new {tally.changed:>9} changed"
                f" {tally.unchanged:>9} as they were"
            )
    if not imported.changes:
        print("Nothing had to be changed.")
    return 0


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Shows progress on a terminal, and nothing elsewhere."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description} devices"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("checking", total=None)

        def show(phase: str, done: int, total: int | None) -> None:
            progress.update(task, description=phase, completed=done, total=total)

        yield show


# Export ------------------------------------------------------------------------------------------


def export_fleet(
    file: Annotated[
        Path | None, Parameter(help="Where to: .json, .yaml or .yml. Default: standard output.")
    ] = None,
    common: Common = DEFAULT,
    *,
    devices_file: Annotated[
        Path | None,
        Parameter(help="Write the devices to this file (.csv or .ndjson) and refer to it."),
    ] = None,
    files: Annotated[
        Path | None,
        Parameter(help="Write the bytes of packages below this directory and refer to them."),
    ] = None,
) -> int:
    """Write the installation as a fleet file, which can be imported elsewhere.

    Hashes stand in for secrets, but keys of LwM2M and secrets of OMA-DM devices are in clear: guard
    it like the database and its key together. On standard output: YAML, or JSON with --json.
    """
    if file is not None and file.suffix.lower() not in LANGUAGES:
        raise CommandError(f"{file}: a fleet file ends in .json, .yaml or .yml")
    if devices_file is not None and devices_file.suffix.lower() not in ENDINGS:
        raise CommandError(f"{devices_file}: a devices file ends in {', '.join(ENDINGS)}")
    chosen: Language = "json" if common.as_json else "yaml"
    language = chosen if file is None else LANGUAGES[file.suffix.lower()]
    base = Path.cwd() if file is None else file.parent
    wanted: dict[str, Path] = {}
    settings = common.settings()
    seal = Seal(installation_key(settings))

    def file_of(package: Package) -> str:
        assert files is not None
        assert package.artifact_sha256 is not None
        assert package.file_name is not None
        # A directory for each content, so that the file keeps the name that devices see.
        target = files / package.artifact_sha256[:16] / package.file_name
        wanted[package.artifact_sha256] = target
        return _relative(target, base)

    def write(tx: Tx) -> None:
        # All in one transaction: what is written was so at one moment.
        document = export_document(tx, None if files is None else file_of)
        if devices_file is not None:
            document.devices_file = _relative(devices_file, base)
            with _guarded(devices_file) as out:
                write_devices(out.write, devices_file.suffix, export_devices(tx, seal))
        with _guarded(file) as out:
            _write(out, language, document, tx, seal)

    async def work(installation: Installation) -> None:
        while await installation.db.transact(adopt, seal):
            pass
        await installation.db.report(write)
        if wanted:
            async with artifact_storage(installation.settings) as storage:
                for sha256, target in wanted.items():
                    await write_out(storage, sha256, target)

    try:
        with_installation(settings, work)
    except SealError as error:
        raise CommandError(str(error)) from error
    return 0


def _write(out: TextIO, language: Language, document: Fleet, tx: Tx, seal: Seal) -> None:
    inline = document.devices_file is None
    write_fleet(out.write, language, document, export_devices(tx, seal) if inline else ())


def _relative(path: Path, base: Path) -> str:
    """The path as the fleet file names it: relative to its own directory."""
    return os.path.relpath(path, base)


@contextlib.contextmanager
def _guarded(path: Path | None) -> Iterator[TextIO]:
    """A file that only its owner may read, whole or not there at all; None is standard output."""
    if path is None:
        yield sys.stdout
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
                yield out
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
