"""Which OMA-DM devices a fleet has: read from a file, or made up.

A file is CSV with a header line or NDJSON (one object a line), with the members of the server's own fleet
file, so that one file can fill both ends: ``deviceId``, ``make``, ``model``, ``version``, and in the block
``omadm`` (or in columns such as ``omadm.clientSecret``) ``clientName``, ``clientSecret``,
``serverSecret``, ``auth`` and ``notify`` with ``host`` and ``port``. Unknown members are ignored, and
so are devices of other protocols.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overair.protocols.syncml import auth
from overair.sim.roster import RosterError, made_up_imei, made_up_secret, read_rows

# Where devices are taken to hear notifications (oma-dm 10.2).
PUSH_PORT = 2948
_KINDS = {"": auth.MD5, "md5": auth.MD5, "basic": auth.BASIC, "hmac": auth.MAC}
_OMADM = "OMADM"


@dataclass(frozen=True, slots=True, kw_only=True)
class OmadmDevice:
    """One device as it leaves the factory; ``address`` is where its notifications arrive."""

    imei: str
    client_name: str = ""
    client_secret: str
    server_secret: str
    make: str = "Acme"
    model: str = "M1"
    version: str = "01"
    kind: str = "syncml:auth-md5"
    address: tuple[str, int] | None = None
    root: str = "./FwUpdate/pkg"


def read_roster(path: Path) -> tuple[OmadmDevice, ...]:
    """Read a fleet file."""
    devices: dict[str, OmadmDevice] = {}
    for line, row in read_rows(path):
        device = read_device(f"line {line}", row)
        if device is None:
            continue
        if device.imei in devices:
            raise RosterError(f"line {line}: {device.imei} is there twice")
        devices[device.imei] = device
    if not devices:
        raise RosterError(f"{path}: there are no OMA-DM devices in it")
    return tuple(devices.values())


def generate_roster(
    count: int,
    *,
    make: str = "Acme",
    model: str = "M1",
    version: str = "01",
    network: str = "127.77",
    port: int = PUSH_PORT,
    first: int = 1,
    seed: int = 0,
) -> tuple[OmadmDevice, ...]:
    """Make up devices with IMEIs, secrets and loopback addresses of their own, the same each time."""
    return tuple(
        OmadmDevice(
            imei=(imei := made_up_imei(number)),
            client_secret=made_up_secret(seed, imei, "client"),
            server_secret=made_up_secret(seed, imei, "server"),
            make=make,
            model=model,
            version=version,
            address=(_address(network, number), port),
        )
        for number in range(first, first + count)
    )


def _address(network: str, number: int) -> str:
    # Neither the first nor the last of a network.
    return f"{network}.{number // 250 % 256}.{number % 250 + 1}"


def read_device(place: str, row: Mapping[str, Any]) -> OmadmDevice | None:
    """Read one device; None: it is one of another protocol. ``place`` is for messages."""
    texts = _texts(place, row)
    if texts.get("protocol", _OMADM).upper() != _OMADM:
        return None
    imei = texts.get("deviceId") or texts.get("imei") or ""
    if not (len(imei) == 15 and imei.isascii() and imei.isdigit()):
        raise RosterError(f"{place}: deviceId (or imei) is not 15 digits")
    secrets = {}
    for name in ("clientSecret", "serverSecret"):
        secrets[name] = texts.get(f"omadm.{name}") or texts.get(name) or ""
        if not secrets[name]:
            raise RosterError(f"{place}: omadm.{name} is missing")
    kind = _KINDS.get(texts.get("omadm.auth", ""))
    if kind is None:
        raise RosterError(f"{place}: omadm.auth is not md5, basic or hmac")
    host = texts.get("omadm.notify.host", "")
    port = texts.get("omadm.notify.port", "") or str(PUSH_PORT)
    if not port.isascii() or not port.isdigit() or not 0 < int(port[:6]) < 65536:
        raise RosterError(f"{place}: omadm.notify.port is not a port")
    return OmadmDevice(
        imei=imei,
        client_name=texts.get("omadm.clientName", ""),
        client_secret=secrets["clientSecret"],
        server_secret=secrets["serverSecret"],
        make=texts.get("make") or "Acme",
        model=texts.get("model") or "M1",
        version=texts.get("version") or "01",
        kind=kind,
        address=(host, int(port)) if host else None,
    )


def _texts(place: str, row: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Flatten blocks into names with dots; numbers become text, nothing becomes nothing."""
    texts: dict[str, str] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            texts |= _texts(place, value, f"{prefix}{name}.")
        elif isinstance(value, str | int) and not isinstance(value, bool):
            texts[f"{prefix}{name}"] = str(value).strip()
    return texts
