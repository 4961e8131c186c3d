"""Package 0: the notification that makes a device open a session (oma-dm 10).

    digest (16) | version 10 bits, ui-mode 2, initiator 1, future 27 | session (2) | length (1) | server id

Its digest is over the server's secret and the nonce that the device last gave, so a stranger cannot wake
devices; a device that verifies it opens the session that it names. Round it go a few bytes of WSP, which
is what the modem's push router listens for, and round those the port header of an SMS.

Not in here: sending, repeating, and which nonce is the current one.
"""

from dataclasses import dataclass
from enum import IntEnum
from hmac import compare_digest

from overair.protocols.syncml.auth import package_digest
from overair.protocols.syncml.values import MalformedError, UnencodableError

# WSP Push over UDP (oma-dm 10.2).
PUSH_PORT = 2948
_PUSH = 0x06
# Content-Type application/vnd.syncml.notification, X-Wap-Application-Id syncml.dm, in short form.
_PUSH_HEADERS = bytes.fromhex("C4AF87")

# To port 2948, from 49154, both 16 bits; what is left of an SMS of 140 bytes.
SMS_PORT_HEADER = bytes.fromhex("0605040B84C002")
SMS_BYTES = 140 - len(SMS_PORT_HEADER)

_DIGEST_BYTES = 16
_HEADER_BYTES = 8
# Bits below each field in the first five bytes.
_VERSION_SHIFT = 30
_UI_MODE_SHIFT = 28
_INITIATOR_SHIFT = 27


class UiMode(IntEnum):
    """How much the user is to notice."""

    NOT_SPECIFIED = 0
    BACKGROUND = 1
    INFORMATIVE = 2
    USER_INTERACTION = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """What a package 0 says. ``version`` is ten times the number; 1.1 has this layout."""

    version: int = 11
    ui_mode: UiMode = UiMode.BACKGROUND
    by_server: bool = True
    session: int
    server_id: str
    vendor: bytes = b""

    @property
    def session_id(self) -> str:
        """The SessionID of the session that follows: upper-case hex without leading zeros."""
        return f"{self.session:X}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A package 0 as it came: its digest, the bytes that are under it, and what they say."""

    digest: bytes
    signed: bytes
    trigger: Trigger


def encode_trigger(trigger: Trigger) -> bytes:
    """Write everything that follows the digest."""
    server_id = trigger.server_id.encode()
    if not 1 <= trigger.session <= 0xFFFF:
        raise UnencodableError("a session number is 1 to 65535")
    if not 0 <= trigger.version < 1024:
        raise UnencodableError("a version has ten bits")
    if len(server_id) > 0xFF:
        raise UnencodableError("a server id has at most 255 bytes")
    head = (
        trigger.version << _VERSION_SHIFT
        | trigger.ui_mode << _UI_MODE_SHIFT
        | trigger.by_server << _INITIATOR_SHIFT
    )
    return b"".join(
        [
            head.to_bytes(5, "big"),
            trigger.session.to_bytes(2, "big"),
            bytes([len(server_id)]),
            server_id,
            trigger.vendor,
        ]
    )


def encode_notification(trigger: Trigger, secret_key: str, nonce: bytes) -> bytes:
    """Write a package 0 for the device that gave this nonce; the key is the server's own."""
    signed = encode_trigger(trigger)
    return package_digest(secret_key, nonce, signed) + signed


def decode_notification(package: bytes) -> Notification:
    """Read a package 0, without believing it."""
    signed = package[_DIGEST_BYTES:]
    if len(signed) < _HEADER_BYTES:
        raise MalformedError("a notification of less than 24 bytes")
    head = int.from_bytes(signed[:5], "big")
    end = _HEADER_BYTES + signed[7]
    if len(signed) < end:
        raise MalformedError("a server id beyond the end of the notification")
    try:
        server_id = signed[_HEADER_BYTES:end].decode()
    except UnicodeDecodeError:
        raise MalformedError("a server id that is not UTF-8") from None
    trigger = Trigger(
        version=head >> _VERSION_SHIFT,
        ui_mode=UiMode(head >> _UI_MODE_SHIFT & 0x03),
        by_server=bool(head >> _INITIATOR_SHIFT & 0x01),
        session=int.from_bytes(signed[5:7], "big"),
        server_id=server_id,
        vendor=signed[end:],
    )
    return Notification(digest=package[:_DIGEST_BYTES], signed=signed, trigger=trigger)


def is_genuine(notification: Notification, secret_key: str, nonce: bytes) -> bool:
    """Tell whether the server with this key made it over this nonce."""
    return compare_digest(
        notification.digest, package_digest(secret_key, nonce, notification.signed)
    )


def wrap_push(package: bytes, transaction_id: int = 1) -> bytes:
    """Put a package 0 into a WSP Push: the payload of a datagram, or the user data of an SMS."""
    return bytes([transaction_id, _PUSH, len(_PUSH_HEADERS)]) + _PUSH_HEADERS + package


def unwrap_push(payload: bytes) -> bytes:
    """Take a package 0 out of a WSP Push. Only the short headers count, as modems have it."""
    start = 3 + len(_PUSH_HEADERS)
    if payload[1:start] != bytes([_PUSH, len(_PUSH_HEADERS)]) + _PUSH_HEADERS:
        raise MalformedError("not a push of a SyncML notification")
    return payload[start:]


def sms_user_data(package: bytes) -> bytes:
    """Return the user data of an SMS, its port header first; one message has to be enough."""
    payload = wrap_push(package)
    if len(payload) > SMS_BYTES:
        raise UnencodableError(f"a notification of more than {SMS_BYTES} bytes for an SMS")
    return SMS_PORT_HEADER + payload
