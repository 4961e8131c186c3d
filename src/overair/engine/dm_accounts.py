"""OMA-DM accounts: what an operator says of them, and what others have to know.

An account is there once somebody said something of it: in a fleet file, or with ``overair device
account``. Secrets are never made up on the way: the device has to have the same, so who does not give
them asks for them to be made, and takes them to the device. Without both secrets a device cannot open a
session.

Not in here: nonces and sessions, which are the protocol's (``devices/dm``).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from msgspec import UNSET, UnsetType, convert
from msgspec.json import decode as json_decode

from overair.core.credentials import dm_key
from overair.core.ids import DeviceId
from overair.engine.fleet import given
from overair.fleetfile import shapes
from overair.sealing import Seal, SealError
from overair.store import dm_accounts as store
from overair.store.database import Tx
from overair.store.dm_accounts import Terms

ADOPTED = 500  # documents in one transaction
NOTIFY_PORT = 2948


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The two secrets in clear; they do not show when the value is printed."""

    client: str | None = field(default=None, repr=False)
    server: str | None = field(default=None, repr=False)

    @property
    def complete(self) -> bool:
        """Whether sessions are possible."""
        return bool(self.client and self.server)


NO_SECRETS = Secrets()


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAccount:
    """What a notification of a device is made with (``oma-dm.md`` 10)."""

    server_id: str
    server_key: str = field(repr=False)
    """B64(H(server id:server secret)), as secret as the secret."""
    nonce: bytes = field(repr=False)
    """What the device gave us last."""
    address: str
    """Where the operator says it is, as host:port; empty: not said."""
    mdn: str


def open_secrets(seal: Seal, device_id: DeviceId, sealed: bytes | None) -> Secrets:
    """The secrets of an account. Raises SealError."""
    if sealed is None:
        return NO_SECRETS
    kept: dict[str, str] = json.loads(seal.open(sealed, _place(device_id)))
    return Secrets(client=kept.get("client"), server=kept.get("server"))


def seal_secrets(seal: Seal, device_id: DeviceId, secrets: Secrets) -> bytes | None:
    """The secrets as they are kept."""
    kept = {"client": secrets.client, "server": secrets.server}
    kept = {name: secret for name, secret in kept.items() if secret is not None}
    return seal.close(json.dumps(kept).encode(), _place(device_id)) if kept else None


def _place(device_id: DeviceId) -> str:
    return f"OMA-DM account of device {device_id}"


def push_account(tx: Tx, device_id: DeviceId, seal: Seal, server_id: str) -> PushAccount | None:
    """What to notify a device with; None: nothing was said of it, or no secret. Raises SealError."""
    account = store.of_device(tx, device_id)
    if account is None:
        return None
    terms = account.terms
    secrets = open_secrets(seal, device_id, terms.secrets)
    if secrets.server is None:
        return None
    return PushAccount(
        server_id=server_id,
        server_key=dm_key(server_id, secrets.server),
        nonce=account.server_nonce,
        address=address_of(terms),
        mdn=account.mdn,
    )


def address_of(terms: Terms) -> str:
    """Where the operator says that a device is, as host:port; empty: not said."""
    if terms.notify_host is None:
        return ""
    host = f"[{terms.notify_host}]" if ":" in terms.notify_host else terms.notify_host
    return f"{host}:{terms.notify_port or NOTIFY_PORT}"


# What operators say ------------------------------------------------------------------------------


def put_blocks(
    tx: Tx, blocks: Sequence[tuple[DeviceId, str, shapes.Omadm]], seal: Seal
) -> set[DeviceId]:
    """Keep what is said of devices (with their IMEIs); those for which it is news. Raises SealError."""
    kept = store.terms_of(tx, sorted({device_id for device_id, _, _ in blocks}))
    rows: dict[DeviceId, Terms] = {}
    for device_id, imei, block in blocks:
        present = kept.get(device_id) or Terms(client_name=imei)
        terms = _merged(block, present, device_id, imei, seal)
        if terms != present:
            rows[device_id] = terms
    store.put_terms(tx, rows.items())
    return set(rows)


def _merged(told: shapes.Omadm, before: Terms, device_id: DeviceId, imei: str, seal: Seal) -> Terms:
    terms = replace(
        before,
        client_name=given(told.client_name, before.client_name) or imei,
        auth=given(told.auth, before.auth),
        secrets=_sealed(told, before.secrets, device_id, seal),
    )
    if told.notify is None:
        return replace(terms, notify_host=None, notify_port=None)
    if isinstance(told.notify, shapes.Notify):
        return replace(terms, notify_host=told.notify.host, notify_port=told.notify.port)
    return terms


def _sealed(
    told: shapes.Omadm, before: bytes | None, device_id: DeviceId, seal: Seal
) -> bytes | None:
    """The secrets to keep: those that are there if they are the same, for sealed anew they differ."""
    if told.client_secret is UNSET and told.server_secret is UNSET:
        return before
    try:
        present = open_secrets(seal, device_id, before)
    except SealError:
        # What does not open any more can be replaced, if it is replaced as a whole.
        if told.client_secret is UNSET or told.server_secret is UNSET:
            raise
        present, before = NO_SECRETS, None
    secrets = Secrets(
        client=given(told.client_secret, present.client),
        server=given(told.server_secret, present.server),
    )
    return before if secrets == present else seal_secrets(seal, device_id, secrets)


def blocks_of(tx: Tx, devices: Mapping[DeviceId, str], seal: Seal) -> dict[DeviceId, shapes.Omadm]:
    """What a fleet file says of devices (by their IMEIs). Raises SealError."""
    found: dict[DeviceId, shapes.Omadm] = {}
    for device_id, terms in store.terms_of(tx, sorted(devices)).items():
        secrets = open_secrets(seal, device_id, terms.secrets)
        notify: shapes.Notify | UnsetType = UNSET
        if terms.notify_host is not None:
            notify = shapes.Notify(host=terms.notify_host, port=terms.notify_port or NOTIFY_PORT)
        block = shapes.Omadm(
            client_name=UNSET if terms.client_name == devices[device_id] else terms.client_name,
            client_secret=secrets.client or UNSET,
            server_secret=secrets.server or UNSET,
            auth=UNSET if terms.auth is None else convert(terms.auth, shapes.Auth),
            notify=notify,
        )
        if block != shapes.Omadm():
            found[device_id] = block
    return found


def adopt(tx: Tx, seal: Seal) -> int:
    """Seal accounts that an earlier version kept in clear, some of them; how many."""
    taken = store.take_documents(tx, ADOPTED)
    known = store.terms_of(tx, [device_id for device_id, _, _ in taken])
    blocks = [
        (device_id, imei, json_decode(document, type=shapes.Omadm))
        for device_id, imei, document in taken
        if device_id not in known
    ]
    put_blocks(tx, blocks, seal)
    return len(taken)
