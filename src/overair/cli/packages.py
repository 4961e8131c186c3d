"""``overair package add|list``: software and firmware of the catalogue."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from cyclopts import App, Parameter

from overair.cli import CommandError
from overair.cli.artifact_files import artifact_storage, take_in
from overair.cli.options import DEFAULT, Common, Installation, print_json, with_installation
from overair.cli.screen import Screen, columns
from overair.engine.catalog import Saved
from overair.engine.fleet import Prepared, check_document, put_package
from overair.engine.fleet_export import every_software
from overair.fleetfile import shapes
from overair.fleetfile.problems import explain
from overair.store import fleet, packages
from overair.store.database import Tx

app = App(name="package", help="Add software to the catalogue, and look at it.")


@app.command
def add(
    file: Annotated[Path | None, Parameter(help="The image. Without: what is there stays.")] = None,
    common: Common = DEFAULT,
    *,
    name: Annotated[str, Parameter(help="The package's name; it is unique.")],
    make: Annotated[str | None, Parameter(help="Make of the devices.")] = None,
    model: Annotated[str | None, Parameter(help="Model of the devices.")] = None,
    from_: Annotated[
        str | None, Parameter(name="--from", help="Version that devices must run.")
    ] = None,
    to: Annotated[str | None, Parameter(help="Version that they run afterwards.")] = None,
    protocol: Annotated[
        Literal["HTTP", "LWM2M", "OMADM"] | None,
        Parameter(help="How its devices are reached; default HTTP."),
    ] = None,
    launch_date: Annotated[
        str | None, Parameter(help="Since when it can be had; default today.")
    ] = None,
    release_note: Annotated[str | None, Parameter(help="What is new in it.")] = None,
    part: Annotated[
        str | None, Parameter(help="What HTTP devices are told to replace; default os.")
    ] = None,
    account: Annotated[
        list[str] | None,
        Parameter(
            negative="",
            help="Only for this account; repeat for more. Default: all with such a device.",
        ),
    ] = None,
) -> int:
    """Add a package, or change the one of that name. The same again changes nothing."""
    given = {
        "name": name,
        "make": make,
        "model": model,
        "from": from_,
        "to": to,
        "protocol": protocol,
        "launchDate": launch_date,
        "releaseNote": release_note,
        "part": part,
        "accounts": account,
    }
    try:
        told = msgspec.convert(
            {member: value for member, value in given.items() if value is not None}, shapes.Package
        )
    except msgspec.ValidationError as error:
        problem = explain(error)
        raise CommandError(f"{_flag(problem.path)}: {problem.rule}") from error
    settings = common.settings()

    async def work(installation: Installation) -> Saved:
        document = shapes.Fleet(packages=[told])
        problems = await installation.db.report(check_document, document, settings)
        if problems:
            path = problems[0].path.removeprefix("$.packages[0]")
            raise CommandError(f"{_flag(path)}: {problems[0].rule}")
        artifacts: dict[str, tuple[packages.Artifact, str]] = {}
        if file is not None:
            if file.is_file() and file.stat().st_size == 0:
                raise CommandError(f"{file} is empty")
            async with artifact_storage(settings) as storage:
                artifacts[name] = (await take_in(storage, file), file.name)
        prepared = Prepared(artifacts=artifacts)
        return await installation.db.transact(put_package, told, prepared, installation.clock.now())

    saved = with_installation(settings, work)
    if common.as_json:
        print_json({"name": name, "created": saved.created, "changed": saved.changed})
    else:
        became = "was added" if saved.created else "was changed"
        print(f"{name} {became if saved.changed else 'is as it was'}.")
    return 0


def _flag(path: str) -> str:
    """The option that a member of the fleet file stands for."""
    member = path.removeprefix("$").removeprefix(".").split("[")[0]
    words = "".join(f"-{c.lower()}" if c.isupper() else c for c in member)
    return "--account" if words == "accounts" else f"--{words}"


def _all(tx: Tx) -> list[dict[str, Any]]:
    names = {account_id: account.name for account_id, account in fleet.accounts(tx).items()}
    found = []
    for package in every_software(tx):
        sha256 = package.artifact_sha256
        stored = None if sha256 is None else fleet.stored_bytes(tx, sha256)
        found.append(
            {
                "name": package.name,
                "protocol": package.protocol,
                "make": package.make,
                "model": package.model,
                "from": package.from_version,
                "to": package.to_version,
                "launchDate": package.launch_at.date(),
                "releaseNote": package.release_note,
                "part": package.part,
                "fileName": package.file_name,
                "sizeBytes": stored and stored.size_bytes,
                "sha256": sha256,
                "accounts": [names[i] for i in packages.accounts_of(tx, package.id)]
                if package.restricted
                else None,
            }
        )
    return found


@app.command(name="list")
def list_packages(common: Common = DEFAULT) -> int:
    """List the software in the catalogue."""

    async def work(installation: Installation) -> list[dict[str, Any]]:
        return await installation.db.report(_all)

    found = with_installation(common.settings(), work)
    if common.as_json:
        print_json(found)
        return 0
    table = columns("package", "protocol", "devices", "versions", "file", "bytes", "for")
    for each in found:
        table.add_row(
            each["name"],
            each["protocol"],
            f"{each['make']} {each['model']}",
            f"{each['from']} → {each['to']}",
            each["fileName"] or "none yet",
            "" if each["sizeBytes"] is None else f"{each['sizeBytes']:,}",
            "all" if each["accounts"] is None else ", ".join(each["accounts"]),
        )
    Screen().print(table if found else "There is no software: `overair package add` adds some.")
    return 0
