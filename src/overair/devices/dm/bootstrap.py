"""What gives a device its account: a client provisioning document, or a DM bootstrap message.

A document tells the nonces that the device is to begin with, so they are the ones that are good now; an
account that was never used gets its first ones. Sending it is a gateway's job (``oma-dm.md`` 12).
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import urlsplit

from overair.core.ids import DeviceId
from overair.devices.dm.stored import decode_nonces, encode
from overair.engine.dm_accounts import open_secrets
from overair.protocols.syncml.bootstrap import bootstrap_wbxml
from overair.protocols.syncml.codec import MediaType
from overair.protocols.syncml.provisioning import (
    WBXML_MEDIA_TYPE,
    XML_MEDIA_TYPE,
    Account,
    AuthType,
    Credentials,
    bootstrap_mac,
    provisioning_wbxml,
    provisioning_xml,
)
from overair.protocols.syncml.values import UnencodableError
from overair.proxy import parse_address
from overair.sealing import Seal
from overair.store import dm_accounts as store
from overair.store.database import Tx

NODE = "overair"  # what the account is called in the device's tree
AUTH_TYPES = {"basic": AuthType.BASIC, "md5": AuthType.DIGEST, "hmac": AuthType.HMAC}


class BootstrapError(Exception):
    """The account cannot be brought to the device; the message says what is missing."""


class BootstrapForm(StrEnum):
    """How it is written."""

    XML = "xml"
    WBXML = "wbxml"
    DM = "dm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What the device knows already, by which it believes the message; at most one of them."""

    pin: str = ""
    network_key: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bootstrap:
    """The document, what it is to be called, and what somebody should know."""

    document: bytes
    content_type: str
    warnings: tuple[str, ...] = ()


def bootstrap_document(
    tx: Tx,
    device_id: DeviceId,
    seal: Seal,
    *,
    server_id: str,
    address: str,
    form: BootstrapForm,
    guard: Guard,
    fresh: tuple[bytes, bytes],
) -> Bootstrap:
    """Write it; ``fresh`` are first nonces. Raises BootstrapError, SealError."""
    port = _port(address)
    if guard.pin and guard.network_key:
        raise BootstrapError("a message is guarded by a PIN or by the network's key, not by both")
    account = store.of_device(tx, device_id, lock=True)
    secrets = None if account is None else open_secrets(seal, device_id, account.terms.secrets)
    if account is None or secrets is None or not (secrets.client and secrets.server):
        raise BootstrapError(
            "the account has not both secrets: `overair device account IMEI --new-secrets` makes"
            " them, --client-secret and --server-secret set those that the device has"
        )
    nonces = decode_nonces(account.nonces)
    if not nonces.client and not account.server_nonce:
        nonces = replace(nonces, client=fresh[0])
        account = replace(account, server_nonce=fresh[1])
        store.set_nonces(
            tx,
            device_id,
            server_nonce=fresh[1],
            nonces=encode(nonces),
            zero_nonce_session=account.zero_nonce_session,
        )
    kind = AUTH_TYPES[account.terms.auth or "md5"]
    told = Account(
        server_id=server_id,
        name=server_id,
        address=address,
        port=port,
        client=Credentials(
            auth_type=kind,
            name=account.terms.client_name,
            secret=secrets.client,
            nonce=nonces.client,
        ),
        server=Credentials(
            auth_type=AuthType.HMAC if kind is AuthType.HMAC else AuthType.DIGEST,
            name=server_id,
            secret=secrets.server,
            nonce=account.server_nonce,
        ),
        connect=True,
    )
    try:
        return _written(told, account.imei, form, guard, _warnings(address, kind))
    except UnencodableError as error:
        raise BootstrapError(str(error)) from error


def _port(address: str) -> int | None:
    """The port of an address that a device can call. Raises BootstrapError."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise BootstrapError(f"the address {address!r} is none: {error}") from error
    absolute = parts.scheme in ("http", "https") and parts.hostname
    if not absolute or " " in address or not address.isprintable():
        raise BootstrapError(
            f"the address {address!r} is not a whole one, with http:// or https://"
        )
    return port


def _written(
    told: Account, imei: str, form: BootstrapForm, guard: Guard, warnings: tuple[str, ...]
) -> Bootstrap:
    if form is BootstrapForm.XML:
        if guard != Guard():
            raise BootstrapError("only what goes over the air is guarded: wbxml or dm, not xml")
        document, content_type = provisioning_xml(told), XML_MEDIA_TYPE
    elif form is BootstrapForm.WBXML:
        document, content_type = provisioning_wbxml(told), WBXML_MEDIA_TYPE
    else:
        document = bootstrap_wbxml(told, f"IMEI:{imei}", NODE)
        content_type = MediaType.WBXML.value
    if guard != Guard():
        secret = guard.network_key or guard.pin.encode()
        sec = _SECURITY[form][bool(guard.pin)]
        content_type += f"; SEC={sec}; MAC={bootstrap_mac(secret, document)}"
    return Bootstrap(document=document, content_type=content_type, warnings=warnings)


# By the network's key, and by a PIN: numbers in client provisioning, words in DM.
_SECURITY = {
    BootstrapForm.WBXML: ("0", "1"),
    BootstrapForm.DM: ("NETWORKID", "USERPIN"),
}


def _warnings(address: str, kind: AuthType) -> tuple[str, ...]:
    parts = urlsplit(address)
    parsed = parse_address(parts.hostname or "")
    if parts.scheme == "https" or (parsed is not None and parsed.is_loopback):
        return ()
    said = "the address is not https: only a closed network keeps what devices say"
    if kind is AuthType.BASIC:
        said += "; passwords (basic) are refused there"
    return (said,)
