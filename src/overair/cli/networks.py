"""``overair network attach|detach|show``: by hand what the network feed does, beside a server.

What is said by hand counts as the latest, also beside a server whose campaign time runs ahead of the
wall's (``time_rate``).
"""

from datetime import timedelta
from typing import Annotated, Any

from cyclopts import App, Parameter

from overair.cli import CommandError
from overair.cli.options import DEFAULT, Common, Installation, print_json, with_installation
from overair.cli.screen import Screen
from overair.core.ids import DeviceId
from overair.core.network import (
    AddressError,
    EventKind,
    NetworkEvent,
    NetworkState,
    split_address,
)
from overair.engine import network as engine
from overair.store import devices
from overair.store import network as store
from overair.store.database import Tx

app = App(name="network", help="Say by hand what the network would tell of a device.")

LEAST = timedelta(milliseconds=1)  # that tells one event from another

Imei = Annotated[str, Parameter(help="The device's IMEI.")]


@app.command
def attach(
    imei: Imei,
    common: Common = DEFAULT,
    *,
    address: Annotated[
        str, Parameter(help="Where notifications over UDP reach it, as host:port.")
    ] = "",
) -> int:
    """The device is there: if it waits for an update, it is notified."""
    if address:
        try:
            split_address(address, 1)
        except AddressError as error:
            raise CommandError(f"--address: {error}") from error
    return _tell(imei, EventKind.ATTACH, address, common)


@app.command
def detach(imei: Imei, common: Common = DEFAULT) -> int:
    """The device is gone; what address it had is forgotten."""
    return _tell(imei, EventKind.DETACH, "", common)


@app.command
def show(imei: Imei, common: Common = DEFAULT) -> int:
    """Show what the network said of a device."""

    async def work(installation: Installation) -> NetworkState:
        return await installation.db.report(_state, imei)

    return _print(imei, with_installation(common.settings(), work), common)


def _tell(imei: str, kind: EventKind, address: str, common: Common) -> int:
    async def work(installation: Installation) -> NetworkState:
        return await installation.db.transact(_change, imei, kind, address, installation)

    return _print(imei, with_installation(common.settings(), work), common)


def _change(
    tx: Tx, imei: str, kind: EventKind, address: str, installation: Installation
) -> NetworkState:
    device_id = _device_id(tx, imei)
    known = store.state(tx, device_id)
    at = installation.clock.now()
    for earlier in (known.attached_at, known.detached_at):
        if earlier is not None:
            at = max(at, earlier + LEAST)
    engine.apply(tx, [NetworkEvent(imei=imei, kind=kind, at=at, address=address)], at)
    return store.state(tx, device_id)


def _state(tx: Tx, imei: str) -> NetworkState:
    return store.state(tx, _device_id(tx, imei))


def _device_id(tx: Tx, imei: str) -> DeviceId:
    device = devices.by_imei(tx, imei)
    if device is None:
        raise CommandError(f"there is no device {imei}; `overair export` lists all there are")
    return device.id


def _print(imei: str, state: NetworkState, common: Common) -> int:
    if common.as_json:
        print_json(_as_json(imei, state))
        return 0
    words = {True: "attached", False: "detached", None: "never heard of"}
    lines = [f"{imei} is {words[state.attached]}."]
    if state.attached_at:
        lines.append(f"    attached  {state.attached_at:%Y-%m-%d %H:%M:%S}")
    if state.detached_at:
        lines.append(f"    detached  {state.detached_at:%Y-%m-%d %H:%M:%S}")
    if state.address:
        lines.append(f"    address   {state.address}")
    if state.waking_at:
        lines.append("It is in line to be notified.")
    screen = Screen()
    for line in lines:
        screen.print(line)
    return 0


def _as_json(imei: str, state: NetworkState) -> dict[str, Any]:
    return {
        "deviceId": imei,
        "attached": state.attached,
        "attachedAt": state.attached_at and state.attached_at.isoformat(),
        "detachedAt": state.detached_at and state.detached_at.isoformat(),
        "address": state.address or None,
        "waiting": state.waking_at is not None,
    }
