"""goosebit 0.2.12, the server we compare ourselves with, in an environment of its own.

It runs as its pins install it (uvicorn on asyncio), on SQLite with its own migrations, in its strict mode: every
device known beforehand and its token checked. In its favour its logs are off and it is on loopback only. Devices go
straight into its table, as already registered ones; the file and the rollout for the updates too. A device stays in its cache for ten
minutes, so the devices of the update are other ones than those of the idle polls.

Its cost of a poll grows with the fleet: to know how many updates run, each poll counts the device table, for which it
has no index (3.5 ms with 100,000 devices). So the table also shows it with a small fleet, where that does not
flatter us.
"""

import contextlib
import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.process import Server, free_port, serving

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv-goosebit"
PYTHON = ENVIRONMENT / "bin" / "python"
TENANT = "DEFAULT"

# Runs in goosebit's own environment: the migrations it ships, then the fleet.
SEED = """
import asyncio, sqlite3, sys
from pathlib import Path

import goosebit
from aerich import Command
from goosebit.db.config import TORTOISE_CONF

database, fleet, image, size, digest, reserved = sys.argv[1:]


async def migrate():
    migrations = str(Path(goosebit.__file__).parent / "db" / "migrations")
    command = Command(tortoise_config=TORTOISE_CONF, app="models", location=migrations)
    await command.init()
    await command.upgrade(run_in_transaction=True)
    await command.aclose()


asyncio.run(migrate())
db = sqlite3.connect(database)
(board,) = db.execute("insert into hardware (model, revision) values ('default', 'default') returning id").fetchone()
(software,) = db.execute(
    "insert into software (uri, size, hash, version, image_format) values (?, ?, ?, '2.0.0', 0) returning id",
    (Path(image).as_uri(), int(size), digest),
).fetchone()
db.execute("insert into software_compatibility (software_id, hardware_id) values (?, ?)", (software, board))
db.execute("insert into rollout (name, feed, software_id) values ('bench', 'updated', ?)", (software,))
ROLLOUT, REGISTERED = 3, 2
with open(fleet) as lines:
    db.executemany(
        "insert into device (id, hardware_id, feed, update_mode, last_state, sw_version, auth_token)"
        " values (?, ?, ?, ?, ?, '1.0.0', ?)",
        (
            (line[:15], board, "updated" if n < int(reserved) else "default", ROLLOUT, REGISTERED, line[16:48])
            for n, line in enumerate(lines)
        ),
    )
db.commit()
"""


def prepare_environment() -> str:
    """Make the environment if it is not there; return what stands in the way, or nothing."""
    if PYTHON.exists():
        return ""
    uv = Path(sys.executable).with_name("uv")
    pins = ROOT / "requirements" / "goosebit.txt"
    for command in (
        [str(uv), "venv", "--quiet", str(ENVIRONMENT)],
        [str(uv), "pip", "install", "--quiet", "--python", str(PYTHON), "-r", str(pins)],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode != 0:
            return done.stderr.strip()[-500:]
    return ""


@contextlib.contextmanager
def running(directory: Path, fleet: Path, image: Path, reserved: int) -> Iterator[Server]:
    """Run goosebit with the fleet of the file in its database, the first `reserved` devices due for the update."""
    directory.mkdir()
    settings = directory / "goosebit.yaml"
    settings.write_text(
        json.dumps(
            {
                "db_uri": f"sqlite://{database(directory)}",
                "artifacts_dir": str(directory / "artifacts"),
                "tenant": TENANT,
                "device_auth": {"enable": True, "mode": "strict"},
                "max_concurrent_updates": 1_000_000,
                "logging": {"version": 1, "root": {"level": "CRITICAL"}},
            }
        )
    )
    environment = {"GOOSEBIT_SETTINGS": str(settings)}
    data = image.read_bytes()
    subprocess.run(
        [
            *(str(PYTHON), "-c", SEED, str(database(directory)), str(fleet), str(image)),
            *(str(len(data)), hashlib.sha1(data, usedforsecurity=False).hexdigest(), str(reserved)),
        ],
        cwd=directory,
        env=environment,
        check=True,
        timeout=300,
    )
    port = free_port()
    command = [
        *(str(PYTHON), "-m", "uvicorn", "goosebit:app", "--host", "127.0.0.1"),
        *("--port", str(port), "--no-access-log", "--log-level", "critical"),
    ]
    with serving(
        "goosebit", command, port=port, cwd=directory, environment=environment, probe="/login"
    ) as server:
        yield server


def database(directory: Path) -> Path:
    """Return where its database is."""
    return directory / "goosebit.sqlite3"


def counted(directory: Path) -> tuple[int, int]:
    """Return what its rollout counted, and how many devices really finished."""
    with contextlib.closing(sqlite3.connect(database(directory), timeout=60)) as db:
        (success,) = db.execute("select success_count from rollout").fetchone()
        (finished,) = db.execute("select count(*) from device where last_state = 5").fetchone()
    return int(success), int(finished)
