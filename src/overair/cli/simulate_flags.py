"""What every simulated fleet has on the command line, whatever its devices speak: flags, rosters, a picture."""

import asyncio
import json
import signal
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import msgspec
from cyclopts import Parameter
from rich.live import Live
from rich.table import Table

from overair.cli import CommandError
from overair.cli.options import print_json
from overair.cli.screen import Screen
from overair.clock import Clock, FastClock
from overair.fleetfile.decode import iter_devices, load_fleet
from overair.fleetfile.problems import FleetFileError, Problem
from overair.sim.roster import RosterError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Which devices, how fast, how long."""

    roster: Annotated[
        Path | None,
        Parameter(
            help="CSV or NDJSON of devices: deviceId, token, … (OMA-DM: secrets; YAML will do too)."
        ),
    ] = None
    count: Annotated[int, Parameter(help="Without a roster: so many made-up devices.")] = 100
    duration: Annotated[float | None, Parameter(help="Stop after so many (simulated) seconds.")] = (
        None
    )
    until_updated: Annotated[
        int | None, Parameter(help="Stop when so many devices are updated.")
    ] = None
    rate: Annotated[float, Parameter(help="Run the devices' time that many times as fast.")] = 1.0
    start_over: Annotated[float, Parameter(help="Seconds over which the devices start.")] = 5.0
    connections: Annotated[int, Parameter(help="Connections at once.")] = 64
    seed: Annotated[int, Parameter(help="The same seed gives the same fates.")] = 0
    ca_file: Annotated[Path | None, Parameter(help="Authorities to trust, in PEM.")] = None
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Answer in JSON.")] = False

    def tls(self) -> ssl.SSLContext | None:
        """Whom to trust. Raises CommandError."""
        if self.ca_file is None:
            return None
        try:
            return ssl.create_default_context(cafile=str(self.ca_file))
        except OSError as error:
            raise CommandError(f"{self.ca_file}: {error}") from error


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class FateFlags:
    """What can happen to any device."""

    download_failure: Annotated[
        float, Parameter(help="Share of attempts whose download breaks off for good.")
    ] = 0.0
    corruption: Annotated[
        float, Parameter(help="Share of attempts whose download arrives damaged.")
    ] = 0.0
    install_failure: Annotated[
        float, Parameter(help="Share of attempts whose installation fails.")
    ] = 0.0
    fallback: Annotated[
        float,
        Parameter(
            help="Share of attempts after which the device starts with the old version again."
        ),
    ] = 0.0
    silence: Annotated[
        float,
        Parameter(
            help="Share of attempts never heard of again (HTTP: installed; OMA-DM: not begun)."
        ),
    ] = 0.0
    cut: Annotated[float, Parameter(help="Share of downloads that are cut once, and resumed.")] = (
        0.0
    )
    slow: Annotated[float, Parameter(help="Share of devices behind a slow link.")] = 0.0
    slow_bytes_per_s: Annotated[float, Parameter(help="How slow that is.")] = 64_000.0


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ToldFlags:
    """What devices have that do not ask by themselves, but are told: over OMA-DM and LwM2M."""

    becomes: Annotated[
        str,
        Parameter(help="OMA-DM, LwM2M: the version of packages that do not say it themselves."),
    ] = ""
    write_devices: Annotated[
        Path | None,
        Parameter(
            help="OMA-DM, LwM2M: write the made-up devices to this file, for import, and run nothing."
        ),
    ] = None
    account: Annotated[
        str | None, Parameter(help="OMA-DM, LwM2M: whose devices they are, in that file.")
    ] = None
    silent_fallback: Annotated[
        float,
        Parameter(help="OMA-DM, LwM2M: share of attempts that fall back and are never reported."),
    ] = 0.0
    odd: Annotated[
        float, Parameter(help="OMA-DM, LwM2M: share of devices with the oddities of clients.")
    ] = 0.0


RUN = RunFlags()
FATES = FateFlags()
TOLD = ToldFlags()


class Seen(Protocol):
    """What is said of every fleet at one moment."""

    @property
    def devices(self) -> int:
        """How many there are."""

    @property
    def updated(self) -> int:
        """How many updates took place."""

    @property
    def last_error(self) -> str:
        """What went wrong last, or nothing."""


_DOCUMENTS = (".json", ".yaml", ".yml")
_Seen = TypeVar("_Seen", bound=Seen)
_Device = TypeVar("_Device")
_Outcome = TypeVar("_Outcome")


def run(
    flags: RunFlags,
    runner: Callable[[Clock, Callable[[_Seen], None] | None, asyncio.Event], Awaitable[_Outcome]],
    picture: Callable[[_Seen], Table],
) -> _Outcome:
    """Run a fleet with its picture on the screen, until Ctrl-C at the latest."""
    return asyncio.run(_run(flags, runner, picture))


async def _run(
    flags: RunFlags,
    runner: Callable[[Clock, Callable[[_Seen], None] | None, asyncio.Event], Awaitable[_Outcome]],
    picture: Callable[[_Seen], Table],
) -> _Outcome:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    clock = FastClock(flags.rate)
    if flags.as_json:
        return await runner(clock, None, stop)
    with Live(console=Screen(), refresh_per_second=4) as live:
        return await runner(clock, lambda seen: live.update(picture(seen)), stop)


def stop_when(flags: RunFlags) -> Callable[[Seen], bool] | None:
    """When a fleet has done enough, if that was said."""
    enough = flags.until_updated
    return None if enough is None else lambda seen: seen.updated >= enough


def picture(of: str, seen: Seen, columns: Mapping[str, int]) -> Table:
    """A fleet at one moment."""
    table = Table(title=f"{seen.devices} simulated {of}devices")
    for name in columns:
        table.add_column(name, justify="right")
    table.add_row(*map(str, columns.values()))
    if seen.last_error:
        table.caption = f"last error: {seen.last_error}"
    return table


def is_fleet_document(path: Path) -> bool:
    """Whether a roster is a fleet file, as ``overair import`` takes it."""
    return path.suffix.lower() in _DOCUMENTS


def devices_of_document(
    path: Path, read: Callable[[str, Mapping[str, Any]], _Device | None], kind: str
) -> tuple[_Device, ...]:
    """Read the devices of one kind from a fleet file. Raises RosterError."""
    try:
        fleet = load_fleet(path)
    except FleetFileError as error:
        raise RosterError(f"{path}: {error}") from error
    found = []
    for entry in iter_devices(fleet, path.parent):
        if isinstance(entry, Problem):
            raise RosterError(f"{path}: {entry}")
        device = read(entry.path, msgspec.to_builtins(entry.device))
        if device is not None:
            found.append(device)
    if not found:
        raise RosterError(f"{path}: there are no {kind} devices in it")
    return tuple(found)


def write_devices(told: ToldFlags, entries: Iterable[Mapping[str, Any]], *, private: bool) -> None:
    """Write a devices file that ``overair import`` takes. Raises CommandError."""
    path = told.write_devices
    assert path is not None, "it is asked for"
    if told.account is None:
        raise CommandError("--write-devices needs --account, whose devices they are to be")
    if path.suffix.lower() not in (".ndjson", ".jsonl"):
        raise CommandError(f"{path}: a devices file that is written here ends in .ndjson")
    lines = [json.dumps({"account": told.account, **entry}) for entry in entries]
    try:
        if private:
            path.touch(mode=0o600)
            path.chmod(0o600)  # one that was there keeps its mode else
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error


def print_outcome(flags: RunFlags, elapsed_s: float, counters: dict[str, Any]) -> None:
    """Answer, if it is JSON that is wanted; otherwise the picture has said it."""
    if flags.as_json:
        print_json({"elapsedS": round(elapsed_s, 1), **counters})
