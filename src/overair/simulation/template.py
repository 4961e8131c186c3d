"""What every run begins with: a migrated database with a fleet in it, made once and copied.

One account, its people, devices of each protocol on their first version, software that leads from each
version to the next, and the witness (``store/witness.py``). Who is in a scenario is up to the scenario; the
others are never switched on.
"""

import asyncio
import json
import shutil
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any, Final

from overair import ids
from overair.artifacts.choice import ARTIFACTS_FOLDER, open_storage
from overair.config import Settings
from overair.core.credentials import Cost, fingerprint, hash_secret
from overair.engine.fleet import Prepared, account_ids, put_document
from overair.engine.fleet_devices import put_devices
from overair.fleetfile.decode import Placed, iter_devices, load_fleet
from overair.sim.http import roster as http
from overair.sim.lwm2m import roster as lwm2m
from overair.sim.omadm import roster as omadm
from overair.store import operators, witness
from overair.store.connection import SqliteTx, connect
from overair.store.migrations import migrate
from overair.store.packages import Artifact

ACCOUNT: Final = "0000123456-00001"
KEY, SECRET = "key", "secret"
USER, PASSWORD = "ada", "password"
NETWORK: Final = "network-token"
INSTALLATION_KEY: Final = "simulated-installation-key-simulated"
COST: Final = Cost(log2_n=1, r=1, p=1)
BEGIN: Final = datetime(2024, 1, 1, tzinfo=UTC)
HTTP_DEVICES: Final = 10
OMADM_DEVICES: Final = 8
LWM2M_DEVICES: Final = 8
FEW: Final = 100
MANY: Final = 1000
VERSIONS: Final = ("01", "02", "03")
IMAGE_BYTES: Final = 3000
SEED: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """How many devices of each protocol there are."""

    http: int = HTTP_DEVICES
    omadm: int = OMADM_DEVICES
    lwm2m: int = LWM2M_DEVICES


ORDINARY: Final = Fleet()


def _numbers(first: int, count: int) -> tuple[tuple[int, int], ...]:
    """Where the numbers of so many devices begin, and how many follow each other.

    Those of a small fleet are close together; from the hundredth on there is room for a large one.
    """
    few = min(count, FEW)
    return ((first, few), (first * MANY + FEW, count - few))


def http_devices(count: int = HTTP_DEVICES) -> tuple[http.SimDevice, ...]:
    parts = (
        http.generate_roster(many, seed=SEED, first=first) for first, many in _numbers(1, count)
    )
    return tuple(chain.from_iterable(parts))


def omadm_devices(count: int = OMADM_DEVICES) -> tuple[omadm.OmadmDevice, ...]:
    parts = (
        omadm.generate_roster(many, seed=SEED, first=first) for first, many in _numbers(101, count)
    )
    return tuple(chain.from_iterable(parts))


def lwm2m_devices(count: int = LWM2M_DEVICES) -> tuple[lwm2m.Lwm2mDevice, ...]:
    kinds = lwm2m.Kinds(lifetime_s=6 * 3600, old=0.3, push=0.3, http=0.3, seed=SEED)
    parts = (
        lwm2m.generate_roster(many, model="L1", kinds=kinds, first=first)
        for first, many in _numbers(201, count)
    )
    return tuple(chain.from_iterable(parts))


def software(protocol: str, to_version: str) -> str:
    """The name of the package that leads to that version."""
    before = VERSIONS[VERSIONS.index(to_version) - 1]
    return f"FW_{protocol}_{before}To{to_version}"


@dataclass(frozen=True, slots=True)
class Template:
    """A directory with the database and the images."""

    directory: Path

    def copy(self, to: Path) -> Path:
        """A fresh installation; its database."""
        shutil.copytree(self.directory, to, dirs_exist_ok=True)
        return to / "overair.db"


def make_template(directory: Path, fleet: Fleet = ORDINARY) -> Template:
    """Make it."""
    directory.mkdir(parents=True, exist_ok=True)
    dice = Random("template")
    with ids.drawn_from(dice.randbytes):
        artifacts = asyncio.run(_images(directory))
        connection = connect(str(directory / "overair.db"))
        connection.execute("pragma synchronous = off")
        tx = SqliteTx(connection)
        connection.execute("begin")
        migrate(tx, BEGIN)
        _fill(tx, directory, artifacts, fleet)
        witness.install(tx)
        connection.execute("commit")
        connection.execute("pragma wal_checkpoint(truncate)")
        _close(connection)
    return Template(directory)


def _close(connection: sqlite3.Connection) -> None:
    connection.close()


async def _images(directory: Path) -> dict[str, tuple[Artifact, str]]:
    storage = open_storage(directory / ARTIFACTS_FOLDER)
    found: dict[str, tuple[Artifact, str]] = {}
    for protocol in ("HTTP", "OMADM", "LWM2M"):
        for version in VERSIONS[1:]:
            body = f"overair-sim version {version}\n".encode()
            body += Random(f"{protocol}{version}").randbytes(IMAGE_BYTES - len(body))
            async with storage.receive(IMAGE_BYTES) as intake:
                await intake.write(body)
                stored = await intake.commit()
            found[software(protocol, version)] = (stored, f"{protocol}-{version}.bin".lower())
    await storage.close()
    return found


def _fill(
    tx: SqliteTx, directory: Path, artifacts: dict[str, tuple[Artifact, str]], fleet: Fleet
) -> None:
    path = directory / "fleet.json"
    path.write_text(json.dumps(_document(fleet)))
    document = load_fleet(path)
    settings = Settings(data=str(directory), secret_key=INSTALLATION_KEY)
    salt = b"s" * 16
    prepared = Prepared(
        application_secrets={KEY: hash_secret(SECRET, salt, COST)},
        user_passwords={USER: hash_secret(PASSWORD, salt, COST)},
        artifacts=artifacts,
    )
    put_document(tx, document, prepared, settings, BEGIN)
    placed = [item for item in iter_devices(document, directory) if isinstance(item, Placed)]
    key = INSTALLATION_KEY.encode()
    salts = [f"salt{number}" for number in range(len(placed))]
    put_devices(tx, placed, account_ids(tx), salts, key, BEGIN)
    operators.add(tx, "network", fingerprint(NETWORK), BEGIN)
    path.unlink()


def _document(fleet: Fleet) -> dict[str, Any]:
    return {
        "accounts": [
            {
                "name": ACCOUNT,
                "subscription": {
                    "purchaseType": "TS-HFOTA-EVNT,TS-HFOTA-MRC",
                    "licenseCount": 20,
                },
            }
        ],
        "applications": [{"key": KEY, "secret": SECRET}],
        "users": [{"username": USER, "password": PASSWORD, "accounts": [ACCOUNT]}],
        "packages": [
            {
                "name": software(protocol, version),
                "protocol": protocol,
                "make": "Acme",
                "model": model,
                "from": VERSIONS[VERSIONS.index(version) - 1],
                "to": version,
                "launchDate": "2024-01-01",
                "file": f"{protocol}-{version}.bin".lower(),
            }
            for protocol, model in (("HTTP", "X1"), ("OMADM", "M1"), ("LWM2M", "L1"))
            for version in VERSIONS[1:]
        ],
        "devices": [
            *(
                {
                    "account": ACCOUNT,
                    "deviceId": sim.controller_id,
                    "make": sim.make,
                    "model": sim.model,
                    "protocol": "HTTP",
                    "version": sim.version,
                    "ddi": {"token": sim.token},
                }
                for sim in http_devices(fleet.http)
            ),
            *(
                {
                    "account": ACCOUNT,
                    "deviceId": sim.imei,
                    "make": sim.make,
                    "model": sim.model,
                    "protocol": "OMADM",
                    "version": sim.version,
                    "omadm": {
                        "clientSecret": sim.client_secret,
                        "serverSecret": sim.server_secret,
                    },
                }
                for sim in omadm_devices(fleet.omadm)
            ),
            *(
                {
                    "account": ACCOUNT,
                    "deviceId": sim.imei,
                    "make": sim.make,
                    "model": sim.model,
                    "protocol": "LWM2M",
                    "version": sim.version,
                    "lwm2m": {"endpoint": sim.name},
                }
                for sim in lwm2m_devices(fleet.lwm2m)
            ),
        ],
    }
