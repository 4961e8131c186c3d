"""What all commands share: the settings as flags, the database, and how results are printed."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter

from overair.cli import CommandError
from overair.clock import Clock, SystemClock
from overair.config import Settings, load_settings
from overair.store import open_database
from overair.store.database import Database

T = TypeVar("T")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """Where the installation is, and how to answer."""

    data: Annotated[str | None, Parameter(help="Data directory (setting `data`).")] = None
    database: Annotated[str | None, Parameter(help="Database address (setting `database`).")] = None
    config: Annotated[
        Path | None, Parameter(help="Settings file; default overair.toml, if there is one.")
    ] = None
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="Answer in JSON.")] = False

    def settings(self, **flags: Any) -> Settings:
        """The settings of this command. Raises ConfigError."""
        return load_settings(
            file=self.config, flags={"data": self.data, "database": self.database, **flags}
        )


DEFAULT = Common()


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """An open database with its settings and clock."""

    settings: Settings
    db: Database
    clock: Clock = field(default_factory=SystemClock)


@contextlib.asynccontextmanager
async def opened(settings: Settings, *, create: bool = False) -> AsyncIterator[Installation]:
    """The installation's database, beside a server that may be running on it.

    Raises CommandError where there is none, unless the command may ``create`` it.
    """
    url = settings.database_url
    if not create:
        _expect(url)
    clock = SystemClock()
    try:
        db = open_database(url, clock)
    except ValueError as error:
        raise CommandError(f"--database: {error}") from error
    await db.start()
    try:
        yield Installation(settings=settings, db=db, clock=clock)
    finally:
        await db.close()


def _expect(url: str) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not path.is_file():
        raise CommandError(
            f"there is no database at {path}: start with `overair import FILE` or"
            " `overair serve`, or name the right one with --data or --database",
            status=3,
        )


def with_installation(
    settings: Settings, work: Callable[[Installation], Awaitable[T]], *, create: bool = False
) -> T:
    """Run ``work`` on the opened installation, and give back what it gives."""

    async def run() -> T:
        async with opened(settings, create=create) as installation:
            return await work(installation)

    return asyncio.run(run())


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
