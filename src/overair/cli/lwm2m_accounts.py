"""``overair device keys``, and ``device bootstrap --format lwm2m``: names and keys of an LwM2M device.

A device has up to two pairs of identity and key: one for where it registers, and one for the bootstrap
server, which gives it the first. ``keys`` says which there are, ``bootstrap`` writes the second for
whoever puts it into the device.
"""

import json
import sys
from typing import Annotated, Any

from cyclopts import Parameter
from msgspec import UNSET, UnsetType

from overair.cli import CommandError
from overair.cli.options import DEFAULT, Common, Installation, print_json, with_installation
from overair.core.ids import DeviceId
from overair.engine import lwm2m_accounts as engine
from overair.fleetfile import shapes
from overair.ids import new_bytes
from overair.installation import installation_key
from overair.sealing import Seal, SealError
from overair.store import fleet, lwm2m_accounts, lwm2m_bootstrap
from overair.store.database import Tx

KEY_BYTES = 16  # of a key that is made here: AES-128
MOST_NAME_BYTES = 255
MOST_IDENTITY_BYTES = 128
STDIN = "-"

_Key = Annotated[
    str | None,
    Parameter(
        allow_leading_hyphen=True,
        help="16 to 64 bytes in hexadecimal digits; `-` reads standard input.",
    ),
]


def lwm2m_facts(tx: Tx, device_id: DeviceId) -> dict[str, Any] | None:
    """What may be shown of a device's names and keys; None: nothing was said of them."""
    terms = lwm2m_accounts.terms_of(tx, [device_id]).get(device_id)
    second = lwm2m_bootstrap.terms_of(tx, [device_id]).get(device_id)
    given = lwm2m_bootstrap.given_to(tx, device_id)
    if terms is None and second is None:
        return None
    return {
        "endpoint": terms.endpoint if terms else None,
        "identity": terms.identity if terms else None,
        "key": _said(terms.key if terms else None),
        "bootstrapIdentity": second.identity if second else None,
        "bootstrapKey": _said(second.key if second else None),
        "givenIdentity": given.identity if given else None,
        "bootstrapTime": given.asked_at if given else None,
        "bootstrapOutcome": (given.said or None) if given else None,
    }


def _said(key: bytes | None) -> str:
    return "none" if key is None else "set"


def keys(
    imei: Annotated[str, Parameter(help="The device's IMEI.")],
    common: Common = DEFAULT,
    *,
    endpoint: Annotated[
        str | None,
        Parameter(help="What it registers as. Default: its identity, or its IMEI."),
    ] = None,
    identity: Annotated[str | None, Parameter(help="Who it is in DTLS where it registers.")] = None,
    key: _Key = None,
    bootstrap_identity: Annotated[
        str | None, Parameter(help="The same at the bootstrap server.")
    ] = None,
    bootstrap_key: _Key = None,
    new_bootstrap_key: Annotated[
        bool,
        Parameter(
            negative="",
            help="Make that key; `device bootstrap --format lwm2m` tells it. Its identity is then its IMEI, unless another is given.",
        ),
    ] = False,
) -> int:
    """Show the names of an LwM2M device, and which keys it has, after setting what is given.

    A device is given its key by the bootstrap server, or it was put into it: then give it here or in the
    fleet file. A key that is set here is good at once, and ends the sessions of the former one.
    """
    if new_bootstrap_key and bootstrap_key:
        raise CommandError("either --new-bootstrap-key, or a key of yours, not both")
    if key == bootstrap_key == STDIN:
        raise CommandError("standard input holds one key, not two")
    if new_bootstrap_key:
        bootstrap_key = new_bytes(KEY_BYTES).hex()
        bootstrap_identity = bootstrap_identity or f"urn:imei:{imei}"
    told = shapes.Lwm2m(
        endpoint=_text("--endpoint", endpoint, MOST_NAME_BYTES),
        psk_identity=_text("--identity", identity, MOST_IDENTITY_BYTES),
        psk_key_hex=_key("--key", key),
        bootstrap_identity=_text("--bootstrap-identity", bootstrap_identity, MOST_IDENTITY_BYTES),
        bootstrap_key_hex=_key("--bootstrap-key", bootstrap_key),
    )
    settings = common.settings()
    seal = Seal(installation_key(settings))

    def work_on(tx: Tx) -> dict[str, Any]:
        device_id = _device(tx, imei)
        engine.put_blocks(tx, [(device_id, told)], seal)
        _check_pairs(tx, device_id)
        return {"deviceId": imei, "lwm2m": lwm2m_facts(tx, device_id)}

    async def work(installation: Installation) -> dict[str, Any]:
        while await installation.db.transact(engine.adopt, seal):
            pass
        return await installation.db.transact(work_on)

    found = with_installation(settings, work)
    if common.as_json:
        print_json(found)
    elif found["lwm2m"] is None:
        print(f"Nothing is said of the keys of {imei}: it cannot come over DTLS.")
    else:
        for name, value in found["lwm2m"].items():
            print(f"{name:<18} {'not set' if value is None else value}")
    return 0


def _check_pairs(tx: Tx, device_id: DeviceId) -> None:
    """An identity and a key go together. Raises CommandError, so that nothing is kept."""
    terms = lwm2m_accounts.terms_of(tx, [device_id]).get(device_id)
    second = lwm2m_bootstrap.terms_of(tx, [device_id]).get(device_id)
    if terms and (terms.identity is None) != (terms.key is None):
        raise CommandError("--identity and --key go together")
    if second and (second.identity is None) != (second.key is None):
        raise CommandError("--bootstrap-identity and --bootstrap-key go together")


def bootstrap_account(tx: Tx, imei: str, address: str, seal: Seal) -> str:
    """What is put into a device, so that it finds the bootstrap server: in JSON, with its key."""
    device_id = _device(tx, imei)
    try:
        block = engine.blocks_of(tx, [device_id], seal).get(device_id)
    except SealError as error:
        raise CommandError(str(error)) from error
    if block is None or not block.bootstrap_identity or not block.bootstrap_key_hex:
        raise CommandError(
            "it has no key for the bootstrap server:"
            " `overair device keys IMEI --new-bootstrap-key` makes one"
        )
    told = {
        "uri": address,
        "bootstrapServer": True,
        "securityMode": "psk",
        "identity": block.bootstrap_identity,
        "keyHex": block.bootstrap_key_hex,
    }
    return json.dumps(told, indent=2) + "\n"


def _device(tx: Tx, imei: str) -> DeviceId:
    found = fleet.known(tx, [imei]).get(imei)
    if found is None:
        raise CommandError(f"there is no device {imei}; `overair export` lists all there are")
    return found.id


def _text(flag: str, given: str | None, longest: int) -> str | UnsetType:
    if given is None:
        return UNSET
    if not given or len(given.encode()) > longest or not given.isprintable():
        raise CommandError(f"{flag}: has 1 to {longest} bytes, none of them of a control character")
    return given


def _key(flag: str, given: str | None) -> str | UnsetType:
    if given is None:
        return UNSET
    text = sys.stdin.readline().strip() if given == STDIN else given
    try:
        size = len(bytes.fromhex(text))
    except ValueError:
        raise CommandError(f"{flag}: is not in hexadecimal digits") from None
    if not 16 <= size <= 64:
        raise CommandError(f"{flag}: has 16 to 64 bytes")
    return bytes.fromhex(text).hex()
