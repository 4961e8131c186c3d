"""A device's account with its server: who it is, both secrets, and the nonces of both directions.

The server proves itself over the nonce that the device gave it last. Whether that one arrived is known
only when the server answers; until then two of them are good, the one before and the new one. A
notification is believed over the zero nonce too (oma-dm 10.1), which is what heals a device whose server
has lost it.

Not in here: when credentials are demanded, and of whom (``session``).
"""

from dataclasses import dataclass

from overair.protocols.syncml import auth, notification
from overair.protocols.syncml.auth import MD5, ZERO_NONCE
from overair.protocols.syncml.message import Cred, Header
from overair.protocols.syncml.notification import Trigger
from overair.protocols.syncml.values import SyncmlError


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a device is given once and for all."""

    device_id: str
    url: str
    server_id: str = "overair"
    server_secret: str
    client_name: str
    client_secret: str
    # One of auth.MD5, auth.BASIC, auth.MAC: what it proves itself with before it is asked.
    kind: str = MD5


class Nonces:
    """The nonces as they stand: they outlive sessions and power cuts."""

    def __init__(self, client: bytes = b"", server: bytes = b"") -> None:
        # What our next credentials are over; the server chooses it.
        self.client = client
        # What the server's next credentials are over; we choose it.
        self.server = server
        self._offered: bytes | None = None

    def offer(self, nonce: bytes) -> None:
        """Give the server a new one; it counts from when we hear that it has come."""
        self._offered = nonce

    def arrived(self) -> None:
        """The server has answered what the offer went with."""
        if self._offered is not None:
            self.server, self._offered = self._offered, None

    def of_server(self) -> tuple[bytes, ...]:
        """Those that the server may be using, likeliest first."""
        return (self.server,) if self._offered is None else (self._offered, self.server)


def own_cred(account: Account, kind: str, nonce: bytes) -> Cred | None:
    """Return what the device shows; an HMAC goes outside of the message."""
    if kind == auth.BASIC:
        return auth.basic_cred(account.client_name, account.client_secret)
    if kind == auth.MAC:
        return None
    return auth.md5_cred(auth.key(account.client_name, account.client_secret), nonce)


def mac_header(account: Account, nonce: bytes, body: bytes) -> tuple[str, str]:
    """Return the header that vouches for a body (oma-dm 11.4)."""
    key = auth.key(account.client_name, account.client_secret)
    mac = auth.mac(key, nonce, body)
    header = auth.HmacHeader(username=account.client_name, mac=mac)
    return auth.HMAC_HEADER, auth.write_hmac_header(header)


def is_server(account: Account, header: Header, nonces: tuple[bytes, ...]) -> bool:
    """Tell whether a message's credentials are the server's, over one of these nonces."""
    if header.cred is None or header.source.name not in (None, account.server_id):
        return False
    key = auth.key(account.server_id, account.server_secret)
    given = header.cred.data
    return any(auth.same(auth.digest(key, nonce), given) for nonce in nonces)


def is_server_mac(account: Account, body: bytes, header: str, nonces: tuple[bytes, ...]) -> bool:
    """Tell whether the header that came with a body is the server's, over one of these nonces."""
    try:
        given = auth.read_hmac_header(header)
    except SyncmlError:
        return False
    key = auth.key(account.server_id, account.server_secret)
    return given.username == account.server_id and any(
        auth.same(auth.mac(key, nonce, body), given.mac) for nonce in nonces
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wakeup:
    """A notification that is believed; with ``zero_nonce`` the session starts over that one."""

    trigger: Trigger
    zero_nonce: bool


def read_push(account: Account, payload: bytes, nonces: tuple[bytes, ...]) -> Wakeup | str:
    """Read a datagram, in its WSP push or bare; return why not, if it is not believed."""
    try:
        package = notification.unwrap_push(payload)
    except SyncmlError:
        package = payload
    try:
        found = notification.decode_notification(package)
    except SyncmlError as error:
        return str(error)
    if found.trigger.server_id != account.server_id:
        return "another server's"
    key = auth.key(account.server_id, account.server_secret)
    if any(notification.is_genuine(found, key, nonce) for nonce in nonces):
        return Wakeup(trigger=found.trigger, zero_nonce=False)
    if notification.is_genuine(found, key, ZERO_NONCE):
        return Wakeup(trigger=found.trigger, zero_nonce=True)
    return "a wrong digest"
