"""What the demo's installation holds, written as the files that anybody would write.

A settings file, a fleet file with its devices beside it, and an image for each model: a person who
wants an installation of his own can begin with these. Who the devices are depends on the seed only.

Not in here: what happens to the devices (``fates``), and when (``story``).
"""

import csv
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from overair.cli import CommandError
from overair.cli.demo import cells
from overair.cli.demo import pushed as told_to_come
from overair.cli.demo.cells import Celled, make_celled
from overair.cli.demo.pushed import Pushed, make_pushed
from overair.sim.http.profile import Behaviour
from overair.sim.http.roster import SimDevice, generate_roster
from overair.sim.lwm2m.roster import Lwm2mDevice
from overair.sim.omadm.roster import OmadmDevice

ACCOUNT: Final = "0000123456-00001"
ALIAS: Final = "acme"
KEY, SECRET = "demo-key", "demo-secret"
USER, PASSWORD = "demo", "demo-pass"
GATEWAY_TOKEN: Final = "demo-gateway-token"  # noqa: S105 - of a demo that stays on loopback
OLD, FROM, TO, NEXT = "00", "01", "02", "03"

# Above what sockets and servers hold on the way, for the most part: a download that breaks off in
# the middle is then seen as one.
IMAGE_BYTES: Final = 2 * 1024 * 1024
PILOT: Final = 20
MARK: Final = ".overair-demo"
NOBODY: Final = "990013909999990"  # a typing error in the operator's list

POLL_S: Final = 6 * 3600
BUSY_POLL_S: Final = 3600

ORDINARY: Final = Behaviour(
    download_failure=0.04,
    corruption=0.03,
    install_failure=0.04,
    fallback=0.04,
    silence=0.02,
    forgetfulness=0.01,
    cut=0.15,
    slow_share=0.1,
    install_s=(60.0, 300.0),
    reboot_s=(30.0, 90.0),
)
# Eight of a hundred came with flash that rarely takes an image.
BAD_BATCH: Final = Behaviour(install_failure=0.9, install_s=(60.0, 300.0), reboot_s=(30.0, 90.0))
BAD_SHARE: Final = 0.08
BAD_PILOTS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model, the package for it, and who has one."""

    name: str
    title: str
    package: str
    file_name: str
    two_phase: bool
    ordinary: tuple[SimDevice, ...]
    bad: tuple[SimDevice, ...]
    unlicensed: frozenset[str]

    @property
    def devices(self) -> tuple[SimDevice, ...]:
        return self.ordinary + self.bad

    @property
    def imeis(self) -> list[str]:
        return sorted(device.controller_id for device in self.devices)

    @property
    def pilots(self) -> list[str]:
        """Whom the operator tries it on: good ones, as she believes, but two have the bad flash."""
        fit = [
            device.controller_id
            for device in self.ordinary
            if device.version == FROM and device.controller_id not in self.unlicensed
        ]
        bad = [device.controller_id for device in self.bad[:BAD_PILOTS]]
        return sorted(fit[: PILOT - len(bad)] + bad)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The whole cast."""

    models: tuple[Model, ...]
    pushed: Pushed  # those that are told to come
    celled: Celled  # those that have their turn when their cell has room
    mine: SimDevice  # not simulated: for whoever wants to be a device
    seed: int

    @property
    def devices(self) -> tuple[SimDevice, ...]:
        return tuple(device for model in self.models for device in model.devices)


def make_world(count: int, seed: int) -> World:
    """``count`` devices of two models that ask by themselves, some of a third that are told, some in cells."""
    half = count // 2
    return World(
        models=(
            _model("X1", "installs at once, as SWUpdate", "x1-02.swu", half, 1, seed),
            _model(
                "R2",
                "downloads ahead, as RAUC",
                "r2-02.raucb",
                count - half,
                half + 1,
                seed,
                two_phase=True,
            ),
        ),
        pushed=make_pushed(count, FROM, seed),
        celled=make_celled(count, FROM, seed),
        mine=generate_roster(1, model="X1", version=FROM, first=900_001, seed=seed)[0],
        seed=seed,
    )


def _model(
    name: str,
    title: str,
    file_name: str,
    count: int,
    first: int,
    seed: int,
    *,
    two_phase: bool = False,
) -> Model:
    bad = max(1, round(count * BAD_SHARE))
    old = max(1, count // 50)
    ordinary = count - bad - old

    def made(many: int, start: int, version: str = FROM) -> tuple[SimDevice, ...]:
        return generate_roster(
            many, model=name, version=version, two_phase=two_phase, first=start, seed=seed
        )

    fit = made(ordinary, first)
    return Model(
        name=name,
        title=title,
        package=f"FOTA_Acme_{name}_{FROM}To{TO}",
        file_name=file_name,
        two_phase=two_phase,
        ordinary=fit + made(old, first + ordinary, OLD),
        bad=made(bad, first + ordinary + old),
        unlicensed=frozenset(d.controller_id for d in fit[-max(1, count // 50) :]),
    )


# Files -------------------------------------------------------------------------------------------

_SETTINGS = """\
# Settings of the demo's server. After the demo: overair serve --config {directory}/overair.toml
data = "{directory}"
http = "{http}"

# Devices check in four times a day, and every hour while they are at work.
poll_interval_s = {poll_s}
active_poll_interval_s = {busy_poll_s}

# The demo's own callback listener is plain HTTP on loopback, which is refused otherwise.
callback_plain_http = true
callback_private_addresses = true

# The demo's hours last a fraction of a second: the engine looks more often, and its leases, which
# are on the demo's clock, last longer.
engine_interval_s = 0.05
lease_s = 7200

# One device has a wrong secret, which is worth a warning each time that it is refused.
log_level = "error"

[omadm]
# Devices that are told to come hear it over UDP, at loopback addresses.
notify = "udp"
# A region in a moment, and sessions that go on although an hour of theirs passes meanwhile.
pushes_per_s = 5000
session_idle_s = 7200
exec_grace_s = 7200
"""

_FLEET = """\
# The fleet file that this demo imported: `overair import {name}` is all that it takes.
accounts:
  - name: "{account}"
    alias: {alias}                    # the tenant in devices' addresses
    gatewayToken: {gateway}
    subscription:
      purchaseType: TS-HFOTA-MRC     # a fixed number of licences: who has none is rejected
      licenseCount: {licenses}
applications:                         # OAuth2 clients of the management API
  - {{key: {key}, secret: {secret}}}
users:                                # who opens sessions in it
  - {{username: {user}, password: {password}, accounts: ["{account}"]}}
packages:
{packages}
# devicesFile holds what could also stand here as `devices:`, a line for each.
devicesFile: devices.csv
"""

_PACKAGE = """\
  - name: {name}
    protocol: {protocol}
    make: Acme
    model: {model}
    from: "{before}"
    to: "{after}"
    launchDate: "2026-01-01"
    file: images/{file}
"""

_SDK = """\
# The vendor's published client, unchanged, against this server:
#   pip install sdksio-verizon-apis-sdk
from verizon.configuration import Configuration, Environment, Server
from verizon.http.auth.thingspace_oauth import ThingspaceOauthCredentials
from verizon.http.auth.vz_m2m_token import VZM2mTokenCredentials
from verizon.models.log_in_request import LogInRequest
from verizon.verizon_client import VerizonClient

BASE = "{base}/api"

# All that changes: where the client finds its servers.
Configuration.environments[Environment.PRODUCTION] = {{
    Server.THINGSPACE: BASE,
    Server.OAUTH_SERVER: f"{{BASE}}/ts/v1",
    Server.SOFTWARE_MANAGEMENT_V2: f"{{BASE}}/fota/v2",
}}

oauth = ThingspaceOauthCredentials("{key}", "{secret}")
entering = VerizonClient(thingspace_oauth_credentials=oauth)
session = entering.session_management.start_connectivity_management_session(
    LogInRequest("{user}", "{password}")
).body.session_token

client = VerizonClient(
    thingspace_oauth_credentials=oauth,
    vz_m2m_token_credentials=VZM2mTokenCredentials(session),
)
reports = client.software_management_reports_v2
for campaign in reports.get_campaign_history_by_status(
    "{account}", "CampaignEnded"
).body.campaign_list:
    found = reports.get_campaign_device_status("{account}", campaign.id).body
    done = sum(device.status == "UpgradeSuccess" for device in found.device_list)
    print(f"{{campaign.id}} {{campaign.campaign_name}}: {{done}} of {{found.total_device}} updated")
"""

_COLUMNS = (
    "account",
    "deviceId",
    "make",
    "model",
    "version",
    "licensed",
    "ddi.token",
    "ddi.twoPhase",
    *told_to_come.COLUMNS,
)


def fleet_file(directory: Path) -> Path:
    return directory / "fleet.yaml"


def settings_file(directory: Path) -> Path:
    return directory / "overair.toml"


def sdk_file(directory: Path) -> Path:
    return directory / "sdk.py"


def pushed_package(version: str) -> str:
    """The firmware of those who are told to come, up to ``version``."""
    return f"FW_Acme_{told_to_come.MODEL}_{FROM}To{version}"


def celled_package(version: str) -> str:
    """The firmware of those in cells, up to ``version``."""
    return f"FW_Acme_{cells.MODEL}_{FROM}To{version}"


def next_package(model: Model) -> str:
    """The package that is there for whoever wants to schedule a campaign of his own."""
    return f"FOTA_Acme_{model.name}_{TO}To{NEXT}"


@contextmanager
def fresh_directory(directory: Path) -> Iterator[None]:
    """Take a directory for a demo: a new one, or one that an earlier demo left. Raises CommandError."""
    mark = directory / MARK
    if directory.exists() and not directory.is_dir():
        raise CommandError(f"--data: {directory} is not a directory")
    if directory.is_dir() and any(directory.iterdir()) and not mark.is_file():
        raise CommandError(
            f"--data: {directory} is not empty and was not made by a demo; name another directory"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(mark, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CommandError(f"--data: {directory}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CommandError(
                f"another demo is running in {directory}; stop it, or name another with --data"
            ) from error
        _clear(directory)
        yield
    finally:
        os.close(descriptor)


def _clear(directory: Path) -> None:
    for path in directory.iterdir():
        if path.name == MARK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def write_files(world: World, directory: Path, http: str) -> None:
    """Write settings, images, devices and the fleet file."""
    settings_file(directory).write_text(
        _SETTINGS.format(directory=directory, http=http, poll_s=POLL_S, busy_poll_s=BUSY_POLL_S)
        + cells.settings(world.celled),
        encoding="utf-8",
    )
    images = directory / "images"
    images.mkdir()
    packages = []
    for protocol, title, name, before, after, file in _packages(world):
        dice = Random(f"{world.seed}/{file}")  # noqa: S311 - bytes that are the same each time
        size = cells.IMAGE_BYTES if protocol == "LWM2M" else IMAGE_BYTES
        (images / file).write_bytes(dice.randbytes(size))
        packages.append(
            _PACKAGE.format(
                protocol=protocol, name=name, model=title, before=before, after=after, file=file
            )
        )
    with (directory / "devices.csv").open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(_COLUMNS)
        for model in world.models:
            for device in model.devices:
                rows.writerow(_row(device, licensed=device.controller_id not in model.unlicensed))
        rows.writerow(_row(world.mine, licensed=True))
        rows.writerows(map(_pushed_row, world.pushed.known))
        rows.writerows(map(_celled_row, world.celled.devices))
    told_to_come.write_spare(world.pushed, directory)
    fleet_file(directory).write_text(
        _FLEET.format(
            name=fleet_file(directory),
            account=ACCOUNT,
            alias=ALIAS,
            gateway=GATEWAY_TOKEN,
            licenses=2 * (len(world.devices) + len(world.pushed.known) + len(world.celled.devices)),
            key=KEY,
            secret=SECRET,
            user=USER,
            password=PASSWORD,
            packages="".join(packages).rstrip("\n"),
        ),
        encoding="utf-8",
    )


def _packages(world: World) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Protocol, model, name, the versions and the file of each."""
    for model in world.models:
        for name, before, after in (
            (model.package, FROM, TO),
            (next_package(model), TO, NEXT),
        ):
            file = model.file_name.replace(f"-{TO}.", f"-{after}.")
            yield "HTTP", model.name, name, before, after, file
    yield "OMADM", told_to_come.MODEL, pushed_package(TO), FROM, TO, f"m5-{TO}.bin"
    yield "LWM2M", cells.MODEL, celled_package(TO), FROM, TO, f"c7-{TO}.bin"


def write_sdk(directory: Path, base: str) -> None:
    """Write a program that uses the vendor's client."""
    text = _SDK.format(
        base=base, key=KEY, secret=SECRET, user=USER, password=PASSWORD, account=ACCOUNT
    )
    sdk_file(directory).write_text(text, encoding="utf-8")


def _row(device: SimDevice, *, licensed: bool) -> tuple[str | None, ...]:
    return (
        ACCOUNT,
        device.controller_id,
        device.make,
        device.model,
        device.version,
        str(licensed).lower(),
        device.token,
        str(device.two_phase).lower(),
        *told_to_come.columns(None),
    )


def _pushed_row(device: OmadmDevice) -> tuple[str, ...]:
    return (
        *(ACCOUNT, device.imei, device.make, device.model, device.version, "true"),
        *("", ""),
        *told_to_come.columns(device),
    )


def _celled_row(device: Lwm2mDevice) -> tuple[str, ...]:
    return (
        *(ACCOUNT, device.imei, device.make, device.model, device.version, "true"),
        *("", "", "LWM2M", "", "", "", ""),
    )
