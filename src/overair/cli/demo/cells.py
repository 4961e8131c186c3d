"""The part of the demo's cast that sits in cells: LwM2M devices of a model C7, and how they fare.

Each is in one of a few cells, with a good, fair or poor signal, and some are out of the network for hours.
How many may begin at once in a cell is set so low that a campaign fills slot after slot (``docs/slots.md``).

Not in here: what the operator does with them (``slotted``).
"""

import socket
from dataclasses import dataclass
from typing import Final

from overair.sim.lwm2m.fleet import FleetOptions
from overair.sim.lwm2m.profile import Behaviour
from overair.sim.lwm2m.roster import Kinds, Lwm2mDevice, generate_cells, generate_roster
from overair.sim.lwm2m.tally import FleetSnapshot

MODEL: Final = "C7"
SHARE: Final = 0.3  # of the number of devices that ask by themselves; these come on top of it
LEAST, MOST = 24, 600
PILOTS: Final = 12
CELLS: Final = 4
FIRST: Final = 700_001
IMAGE_BYTES: Final = 48 * 1024
# Devices with a good, fair and poor signal that may begin in one cell and slot.
GOOD, FAIR, POOR = 4, 2, 1
LIFETIME_S: Final = 2 * 86_400
# Loopback is quick, and the demo's hours are short.
ACK_TIMEOUT_S: Final = 0.5
# Between two requests of a device in a transfer, and while it installs.
ASKING_S: Final = 20.0
INSTALLING_S: Final = 120.0

BEHAVIOUR: Final = Behaviour(
    download_failure=0.05,
    corruption=0.03,
    install_failure=0.06,
    fallback=0.05,
    silent_fallback=0.02,
    lost_result=0.03,
    cut=0.08,
    unreachable=0.25,
    odd=0.2,
    in_place=0.1,
    reachable_h=(8.0, 30.0),
    unreachable_h=(2.0, 10.0),
    install_s=(60.0, 300.0),
    reboot_s=(30.0, 90.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Celled:
    """All of the model, and the port at which their server is."""

    devices: tuple[Lwm2mDevice, ...]
    port: int

    @property
    def imeis(self) -> list[str]:
        return sorted(device.imei for device in self.devices)

    @property
    def pilots(self) -> list[str]:
        """Whom the operator tries it on."""
        return self.imeis[:PILOTS]


def make_celled(beside: int, version: str, seed: int) -> Celled:
    """So many as go well with ``beside`` others; the same each time, but for the port."""
    count = min(MOST, max(LEAST, round(beside * SHARE)))
    kinds = Kinds(lifetime_s=LIFETIME_S, old=0.2, push=0.5, seed=seed)
    return Celled(
        devices=generate_roster(count, model=MODEL, version=version, kinds=kinds, first=FIRST),
        port=_free_port(),
    )


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def fleet_options(celled: Celled, version: str, seed: int, start_over_s: float) -> FleetOptions:
    """What to run: the same devices from the beginning to the very end."""
    return FleetOptions(
        url=f"coap://127.0.0.1:{celled.port}",
        devices=celled.devices,
        cells=generate_cells(CELLS),
        behaviour=BEHAVIOUR,
        ack_timeout_s=ACK_TIMEOUT_S,
        seed=seed,
        becomes=version,
        start_over_s=start_over_s,
    )


def demand_per_s(seen: FleetSnapshot) -> float:
    """Requests that a fleet makes in a second of its time; those that wait for their slot make none."""
    return seen.transferring / ASKING_S + seen.installing / INSTALLING_S


SETTINGS: Final = """\

[lwm2m]
# Devices in cells. In the clear: this is a demo that stays on loopback.
coap = "127.0.0.1:{port}"
no_sec = true
plain_download = true
public_coap = "127.0.0.1:{port}"
# Who does not answer in a second or two is out of the network: an hour of the demo's lasts no longer.
ack_timeout_s = 0.2
max_retransmit = 2

[slots]
# So few, that cells fill.
good = {good}
fair = {fair}
poor = {poor}
"""


def settings(celled: Celled) -> str:
    """The tables of the settings file that are about them."""
    return SETTINGS.format(port=celled.port, good=GOOD, fair=FAIR, poor=POOR)
