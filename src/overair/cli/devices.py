"""``overair device show|refresh``: what is known of one device, its token, and asking it anew.

Accounts of OMA-DM devices: ``device_accounts.py``; keys of LwM2M devices: ``lwm2m_accounts.py``.
"""

import hmac
from datetime import datetime
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.table import Table

from overair.cli import CommandError
from overair.cli.device_accounts import account, account_facts, bootstrap
from overair.cli.lwm2m_accounts import keys, lwm2m_facts
from overair.cli.options import DEFAULT, Common, Installation, print_json, with_installation
from overair.cli.screen import Screen
from overair.core.credentials import device_token, fingerprint
from overair.core.ids import DeviceId
from overair.engine import inventory as engine
from overair.engine.fleet_devices import GRAIN_BYTES, make_token
from overair.ids import new_token
from overair.installation import installation_key
from overair.sealing import Seal
from overair.store import (
    attempts,
    devices,
    fleet,
    inventory,
    lwm2m_registrations,
    slots,
)
from overair.store.database import Tx, from_ms
from overair.store.fleet import Known

app = App(name="device", help="Look at single devices, their tokens and their accounts.")
app.command(account)
app.command(bootstrap)
app.command(keys)

ATTEMPTS_SHOWN = 10


def _known(tx: Tx, imei: str) -> Known:
    found = fleet.known(tx, [imei]).get(imei)
    if found is None:
        raise CommandError(f"there is no device {imei}; `overair export` lists all there are")
    return found


def _facts(tx: Tx, imei: str, key: bytes) -> dict[str, Any]:
    known = _known(tx, imei)
    record = devices.by_imei(tx, imei)
    assert record is not None
    device = known.device
    omadm = account_facts(tx, known.id, imei, Seal(key))
    protocols = set()
    if omadm is not None:
        protocols.add("OMADM")
    lwm2m = lwm2m_facts(tx, known.id)
    if lwm2m is not None:
        protocols.add("LWM2M")
    return {
        "deviceId": imei,
        "accountName": fleet.accounts(tx)[device.account_id].name,
        "mdn": device.mdn,
        "make": device.make,
        "model": device.model,
        "protocol": device.protocol,
        "version": device.version,
        "fotaEligible": device.fota_eligible,
        "status": device.status,
        "licensed": known.licensed,
        "timeZone": device.time_zone,
        "controllerId": device.controller_id,
        "token": _token(device, key),
        "tokenSet": device.token_hash is not None,
        "twoPhase": device.two_phase,
        "pollInterval": device.poll_interval_s,
        "lastSeen": record.seen_at,
        "createTime": record.created_at,
        "updateTime": record.updated_at,
        "upgradeTime": record.upgraded_at,
        "refreshTime": record.refreshed_at,
        "protocols": sorted(protocols),
        "omadm": omadm,
        "lwm2m": lwm2m,
        "registration": _registration(tx, known.id),
        "attributes": inventory.attributes(tx, known.id),
        "software": [
            {
                "name": item.name,
                "version": item.version,
                "kind": item.kind,
                "upgradeTime": item.upgraded_at,
            }
            for item in record.software
        ],
        "actions": [
            {
                "id": attempt.id,
                "number": attempt.number,
                "state": attempt.state.value,
                "offeredAt": attempt.offered_at,
                "closedAt": attempt.closed_at,
            }
            for attempt in attempts.of_device(tx, known.id, ATTEMPTS_SHOWN)
        ],
    }


def _registration(tx: Tx, device_id: DeviceId) -> dict[str, Any] | None:
    """Where a device over LwM2M is registered, and in which cell it is."""
    found = lwm2m_registrations.of_device(tx, device_id)
    if found is None:
        return None
    radio = slots.radio(tx, device_id)
    return {
        "endpoint": found.endpoint,
        "address": found.address or f"DTLS, as {found.identity}",
        "version": found.version,
        "binding": found.binding,
        "queueMode": found.queue_mode,
        "lifetime": found.lifetime_s,
        "registeredAt": from_ms(found.registered_ms),
        "expiresAt": None if found.expires_ms is None else from_ms(found.expires_ms),
        "cell": radio.cell,
        "signal": radio.signal_dbm,
    }


def _token(device: fleet.Device, key: bytes) -> str | None:
    """The token, if it was derived from this installation's key."""
    if device.token_salt is None or device.token_hash is None:
        return None
    token = device_token(key, device.imei, device.token_salt)
    return token if hmac.compare_digest(fingerprint(token), device.token_hash) else None


@app.command
def show(
    imei: Annotated[str, Parameter(help="The device's IMEI.")],
    common: Common = DEFAULT,
    *,
    new_token_: Annotated[
        bool,
        Parameter(
            name="--new-token", negative="", help="Make a new token first; the old one ends."
        ),
    ] = False,
) -> int:
    """Show everything that is known of a device, with its token if it was made here."""
    settings = common.settings()

    def renew(tx: Tx, salt: str, key: bytes, installation: Installation) -> None:
        _known(tx, imei)
        make_token(tx, imei, salt, key, installation.clock.now())

    async def work(installation: Installation) -> dict[str, Any]:
        key = installation_key(settings)
        if new_token_:
            await installation.db.transact(renew, new_token(GRAIN_BYTES), key, installation)
        return await installation.db.report(_facts, imei, key)

    found = with_installation(settings, work)
    if common.as_json:
        print_json(found)
    else:
        _print(found)
    return 0


@app.command
def refresh(
    imei: Annotated[str, Parameter(help="The device's IMEI.")], common: Common = DEFAULT
) -> int:
    """Ask a device what it is, and what it runs: at its next check-in, or as soon as it is there."""

    def ask(tx: Tx, now: datetime) -> None:
        engine.ask_again(tx, _known(tx, imei).id, now)

    async def work(installation: Installation) -> None:
        await installation.db.transact(ask, installation.clock.now())

    with_installation(common.settings(), work)
    if common.as_json:
        print_json({"deviceId": imei, "asked": True})
    else:
        print(f"Device {imei} is asked at its next check-in, or as soon as it is there.")
    return 0


def _print(found: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None)
    for name, value in found.items():
        if name == "tokenSet" or isinstance(value, list | dict):
            continue
        table.add_row(name, _said(name, value, found))
    for name, value in (found["omadm"] or {}).items():
        table.add_row(f"omadm {name}", value or "not set")
    for name, value in (found["lwm2m"] or {}).items():
        table.add_row(f"lwm2m {name}", "not set" if value is None else str(value))
    for name, value in (found["registration"] or {}).items():
        table.add_row(f"registration {name}", "" if value is None else str(value))
    if found["registration"] is None and found["protocol"] == "LWM2M":
        table.add_row("registration", "none")
    if found["omadm"] is None and found["protocol"] == "OMADM":
        table.add_row("omadm", "no secrets, and no session; `overair device account` sets them")
    for name, value in found["attributes"].items():
        table.add_row(f"attribute {name}", value)
    for item in found["software"]:
        table.add_row(f"{item['kind']} {item['name']}", item["version"])
    for action in found["actions"]:
        table.add_row(f"action {action['id']}", f"try {action['number']}: {action['state']}")
    Screen().print(table)


def _said(name: str, value: Any, found: dict[str, Any]) -> str:
    if name == "token" and value is None:
        if found["tokenSet"]:
            return "was brought along, and only its hash is kept; --new-token replaces it"
        return "none; --new-token makes one"
    if value is None:
        return "never" if name.endswith(("Time", "Seen")) else "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if hasattr(value, "strftime"):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return str(value)
