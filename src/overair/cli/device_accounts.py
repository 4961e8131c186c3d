"""``overair device account|bootstrap``: the OMA-DM account of a device, and what brings it there.

Secrets are shown only where they are asked for: ``account`` says whether there are some, ``bootstrap``
writes them for the device. The latter also writes what an LwM2M device needs to find the bootstrap server
(``lwm2m_accounts.py``).
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import Parameter
from msgspec import UNSET

from overair.cli import CommandError
from overair.cli.lwm2m_accounts import bootstrap_account
from overair.cli.options import DEFAULT, Common, Installation, print_json, with_installation
from overair.core.ids import DeviceId
from overair.devices.dm.bootstrap import (
    Bootstrap,
    BootstrapError,
    BootstrapForm,
    Guard,
    bootstrap_document,
)
from overair.engine import dm_accounts as engine
from overair.engine.dm_accounts import Secrets
from overair.fleetfile import shapes
from overair.ids import new_bytes, new_token
from overair.installation import installation_key
from overair.sealing import Seal, SealError
from overair.store import dm_accounts as store
from overair.store import fleet
from overair.store.database import Tx

T = TypeVar("T")

SECRET_BYTES = 24  # of a secret that is made here: 32 characters
NONCE_BYTES = 16
STDIN = "-"

Form = Literal["xml", "wbxml", "dm", "lwm2m"]
Auth = Literal["basic", "md5", "hmac"]


def account_facts(tx: Tx, device_id: DeviceId, imei: str, seal: Seal) -> dict[str, Any] | None:
    """What may be shown of a device's account; None: nothing was said of it."""
    account = store.of_device(tx, device_id)
    if account is None:
        return None
    terms = account.terms
    try:
        said = _said(engine.open_secrets(seal, device_id, terms.secrets))
    except SealError as error:
        said = str(error)
    return {
        "clientName": terms.client_name,
        "auth": terms.auth or "md5",
        "secrets": said,
        "notify": engine.address_of(terms) or None,
    }


def _said(secrets: Secrets) -> str:
    if secrets.complete:
        return "both set"
    if secrets.client or secrets.server:
        missing = "server" if secrets.client else "client"
        return f"the {missing} secret is missing: no session is possible"
    return "none: no session is possible"


def account(
    imei: Annotated[str, Parameter(help="The device's IMEI.")],
    common: Common = DEFAULT,
    *,
    client_name: Annotated[
        str | None, Parameter(help="The user name of the device. Default: its IMEI.")
    ] = None,
    client_secret: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True,
            help="What the device proves itself with; `-` reads standard input.",
        ),
    ] = None,
    server_secret: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True,
            help="What we prove ourselves with; `-` reads standard input.",
        ),
    ] = None,
    new_secrets: Annotated[
        bool, Parameter(negative="", help="Make both secrets; `device bootstrap` tells them.")
    ] = False,
    auth: Annotated[Auth | None, Parameter(help="What is asked of the device.")] = None,
) -> int:
    """Show the OMA-DM account of a device, after setting what is given.

    A device and the server have to have the same secrets. Where the maker put them into the device, give
    them here or in the fleet file; otherwise make them, and bring them there with `device bootstrap`.
    """
    if new_secrets and (client_secret or server_secret):
        raise CommandError("either --new-secrets, or secrets of yours, not both")
    if client_secret == server_secret == STDIN:
        raise CommandError("standard input holds one secret, not two")
    if new_secrets:
        client_secret, server_secret = new_token(SECRET_BYTES), new_token(SECRET_BYTES)
    told = shapes.Omadm(
        client_name=UNSET if client_name is None else _checked("--client-name", client_name, 255),
        client_secret=UNSET if client_secret is None else _secret("--client-secret", client_secret),
        server_secret=UNSET if server_secret is None else _secret("--server-secret", server_secret),
        auth=UNSET if auth is None else auth,
    )
    settings = common.settings()
    seal = Seal(installation_key(settings))

    def work_on(tx: Tx) -> dict[str, Any]:
        device_id = _device(tx, imei)
        engine.put_blocks(tx, [(device_id, imei, told)], seal)
        return {"deviceId": imei, "account": account_facts(tx, device_id, imei, seal)}

    found = _run(common, work_on, seal)
    if common.as_json:
        print_json(found)
    elif found["account"] is None:
        print(f"Nothing is said of an OMA-DM account of {imei}: it has no secrets.")
    else:
        for name, value in found["account"].items():
            print(f"{name:<12} {value or 'not set'}")
    return 0


def bootstrap(
    imei: Annotated[str, Parameter(help="The device's IMEI.")],
    common: Common = DEFAULT,
    *,
    form: Annotated[
        Form,
        Parameter(
            name="--format",
            help="Client provisioning as xml or wbxml, or a DM bootstrap message; lwm2m: the account of an LwM2M device at the bootstrap server, in JSON.",
        ),
    ] = "xml",
    out: Annotated[Path | None, Parameter(help="Where to. Default: standard output.")] = None,
    address: Annotated[
        str | None,
        Parameter(
            help="Where the device reaches the server. Default: setting public_url and /dm; for lwm2m: setting lwm2m.public_bootstrap_coaps."
        ),
    ] = None,
    pin: Annotated[
        str | None, Parameter(help="A PIN that the user types in: authenticates the message.")
    ] = None,
    network_key: Annotated[
        str | None, Parameter(help="The network's key for the subscriber, in hexadecimal digits.")
    ] = None,
) -> int:
    """Write the document that gives a device its account. It holds the secrets."""
    settings = common.settings()
    seal = Seal(installation_key(settings))
    if form == "lwm2m":
        if pin or network_key:
            raise CommandError("--pin and --network-key are for OMA-DM devices")
        where = address or _coaps(settings.lwm2m.public_bootstrap_coaps)
        if not where:
            raise CommandError(
                "say where devices reach the bootstrap server:"
                " --address, or setting lwm2m.public_bootstrap_coaps"
            )
        _write(_run(common, lambda tx: bootstrap_account(tx, imei, where, seal), seal), out)
        return 0
    place = address or (settings.public_url.rstrip("/") + "/dm" if settings.public_url else "")
    if not place:
        raise CommandError("say where devices reach the server: --address, or setting public_url")
    try:
        guard = Guard(pin=pin or "", network_key=bytes.fromhex(network_key or ""))
    except ValueError:
        raise CommandError("--network-key: is not in hexadecimal digits") from None

    def work_on(tx: Tx) -> Bootstrap:
        return bootstrap_document(
            tx,
            _device(tx, imei),
            seal,
            server_id=settings.omadm.server_id,
            address=place,
            form=BootstrapForm(form),
            guard=guard,
            fresh=(new_bytes(NONCE_BYTES), new_bytes(NONCE_BYTES)),
        )

    try:
        made = _run(common, work_on, seal)
    except BootstrapError as error:
        raise CommandError(str(error)) from error
    for warning in made.warnings:
        print(f"overair: {warning}", file=sys.stderr)
    print(f"overair: address {place}, content type {made.content_type}", file=sys.stderr)
    _write(made.document.decode() if form == "xml" else made.document, out)
    return 0


def _coaps(place: str) -> str:
    return f"coaps://{place}" if place else ""


def _write(document: str | bytes, out: Path | None) -> None:
    """Write it to a file that only its owner can read, or to standard output."""
    if out is not None:
        try:
            out.touch(mode=0o600)
            if out.is_file():
                out.chmod(0o600)  # one that was there keeps its mode else
            out.write_bytes(document if isinstance(document, bytes) else document.encode())
        except OSError as error:
            raise CommandError(f"{out}: {error.strerror}") from error
    elif isinstance(document, str):
        print(document, end="")
    else:
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()


def _run(common: Common, work_on: Callable[[Tx], T], seal: Seal) -> T:
    async def work(installation: Installation) -> T:
        while await installation.db.transact(engine.adopt, seal):
            pass
        return await installation.db.transact(work_on)

    try:
        return with_installation(common.settings(), work)
    except SealError as error:
        raise CommandError(str(error)) from error


def _device(tx: Tx, imei: str) -> DeviceId:
    found = fleet.known(tx, [imei]).get(imei)
    if found is None:
        raise CommandError(f"there is no device {imei}; `overair export` lists all there are")
    return found.id


def _secret(flag: str, given: str) -> str:
    return _checked(flag, sys.stdin.readline().rstrip("\n") if given == STDIN else given, 1024)


def _checked(flag: str, text: str, longest: int) -> str:
    if not text or len(text) > longest or not text.isprintable():
        raise CommandError(f"{flag}: has 1 to {longest} characters, none of them a control one")
    return text
