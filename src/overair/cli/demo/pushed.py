"""The part of the demo's cast that is told to come: OMA-DM devices, and how they spend their days.

Beside the devices that ask by themselves there is a model M5 whose devices hear notifications, each at
a loopback address of its own. They go in groups by when they have power: always, not at night, not for
days, or not at first. The upgrade starts at midnight, so whole groups sleep through its first window.

One device was given the secret of another: it will never be heard, and the report has to say so too.

Not in here: what the operator does with them (``upgrade``).
"""

import csv
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from overair.sim.omadm.power import PowerHours
from overair.sim.omadm.profile import Behaviour
from overair.sim.omadm.roster import OmadmDevice, generate_roster
from overair.sim.omadm.tally import FleetSnapshot

MODEL: Final = "M5"
SHARE: Final = 0.18  # of the number of devices that ask by themselves; these come on top of it
LEAST: Final = 10
SPARE: Final = 3  # not simulated: for whoever wants to run a fleet
FIRST, FIRST_SPARE = 500_001, 910_001
# Between two requests of a device in a session or a download, and while it installs.
ASKING_S: Final = 15.0
INSTALLING_S: Final = 120.0

_FATES: Final = Behaviour(
    download_failure=0.12,
    corruption=0.04,
    install_failure=0.06,
    fallback=0.08,
    cut=0.2,
    xml=0.3,
    install_s=(60.0, 300.0),
    reboot_s=(30.0, 90.0),
)
_HOURS: Final = PowerHours(days_on=(10.0, 40.0), days_off=(20.0, 60.0), late=(30.0, 130.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Devices with the same habits."""

    title: str
    devices: tuple[OmadmDevice, ...]
    behaviour: Behaviour


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """All of the model: who is simulated, who is to be had, and who has the wrong secret."""

    groups: tuple[Group, ...]
    spare: tuple[OmadmDevice, ...]
    stranger: str

    @property
    def imeis(self) -> list[str]:
        return sorted(device.imei for group in self.groups for device in group.devices)

    @property
    def known(self) -> tuple[OmadmDevice, ...]:
        """As the server knows them."""
        return tuple(d for group in self.groups for d in group.devices) + self.spare

    def simulated(self, group: Group) -> tuple[OmadmDevice, ...]:
        """As they are."""
        return tuple(
            replace(device, client_secret=f"{device.client_secret}?")
            if device.imei == self.stranger
            else device
            for device in group.devices
        )


def make_pushed(beside: int, version: str, seed: int) -> Pushed:
    """So many as go well with ``beside`` others; the same each time, but for their ports."""
    count = max(LEAST, round(beside * SHARE))
    days, late = max(2, count // 5), max(2, count // 5)
    night = max(2, count // 4)
    sizes = (
        ("always on", count - night - days - late, _FATES),
        ("off at night", night, replace(_FATES, off_at_night=1.0)),
        ("off for days", days, replace(_FATES, off_for_days=1.0)),
        ("off at first", late, replace(_FATES, late=1.0)),
    )
    ports = _free_ports(len(sizes) + 1)
    groups = []
    first = FIRST
    for (title, size, behaviour), port in zip(sizes, ports, strict=False):
        devices = generate_roster(
            size, model=MODEL, version=version, port=port, first=first, seed=seed
        )
        first += size
        groups.append(
            Group(title=title, devices=devices, behaviour=replace(behaviour, hours=_HOURS))
        )
    spare = generate_roster(
        SPARE, model=MODEL, version=version, port=ports[-1], first=FIRST_SPARE, seed=seed
    )
    return Pushed(groups=tuple(groups), spare=spare, stranger=groups[0].devices[-1].imei)


def _free_ports(count: int) -> list[int]:
    """Ports at which nobody listens; above those that are for the system."""
    opened = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    try:
        for each in opened:
            each.bind(("", 0))
        return [each.getsockname()[1] for each in opened]
    finally:
        for each in opened:
            each.close()


def demand_per_s(seen: FleetSnapshot, asking: int) -> float:
    """Requests that a fleet makes in a second of its time, ``asking`` of whom are in a session.

    Those that wait to be told make none.
    """
    talking = max(asking, seen.downloading)
    return talking / ASKING_S + (seen.installing + seen.rebooting) / INSTALLING_S


# Files -------------------------------------------------------------------------------------------

COLUMNS: Final = (
    "protocol",
    "omadm.clientSecret",
    "omadm.serverSecret",
    "omadm.notify.host",
    "omadm.notify.port",
)


def columns(device: OmadmDevice | None) -> tuple[str, ...]:
    """What a devices file says of it in these; of others, their protocol only."""
    if device is None:
        return ("HTTP", "", "", "", "")
    assert device.address is not None, "made-up devices have addresses"
    host, port = device.address
    return ("OMADM", device.client_secret, device.server_secret, host, str(port))


def spare_file(directory: Path) -> Path:
    return directory / "m5-spare.csv"


def write_spare(pushed: Pushed, directory: Path) -> None:
    """Write the roster of the devices that are to be had."""
    with spare_file(directory).open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(("deviceId", "make", "model", "version", *COLUMNS))
        for device in pushed.spare:
            rows.writerow(
                (device.imei, device.make, device.model, device.version, *columns(device))
            )
