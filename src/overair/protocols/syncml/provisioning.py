"""OMA Client Provisioning: the document that gives a device its account (oma-dm 12).

An APPLICATION ``w7`` with the server's address and two APPAUTH: what the client proves itself with to
the server (APPSRV), and the server to the client (CLIENT). Written as XML for people and gateways, and
as WBXML, which is what goes over the air; the tokens used are those of the document type PROV 1.0.

Not in here: reading it (devices do), sending it (a gateway does), and the bootstrap as a SyncML message.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from overair.protocols.syncml.auth import encode_nonce
from overair.protocols.syncml.values import UnencodableError

XML_MEDIA_TYPE = "text/vnd.wap.connectivity-xml"
WBXML_MEDIA_TYPE = "application/vnd.wap.connectivity-wbxml"

_DOCTYPE = (
    '<?xml version="1.0"?>\n'
    '<!DOCTYPE wap-provisioningdoc PUBLIC "-//WAPFORUM//DTD PROV 1.0//EN"'
    ' "http://www.wapforum.org/DTD/prov.dtd">\n'
)
# WBXML 1.2, PROV 1.0, UTF-8, no string table.
_FRAME = bytes.fromhex("020B6A00")
_DOCUMENT, _CHARACTERISTIC, _PARM = 0x05, 0x06, 0x07
_CONTENT, _ATTRIBUTES = 0x40, 0x80
_SWITCH_PAGE, _END, _STR_I = 0x00, 0x01, 0x03
_NAME, _VALUE, _VERSION_1_0 = (0, 0x05), (0, 0x06), (0, 0x46)
# Attribute starts and values that have a token: its code page and its number.
_TYPES = {"PORT": (0, 0x53), "APPLICATION": (1, 0x55), "APPADDR": (1, 0x56), "APPAUTH": (1, 0x57)}
_NAMES = {
    "NAME": (0, 0x07),
    "PORTNBR": (0, 0x23),
    "AAUTHDATA": (1, 0x2F),
    "AAUTHLEVEL": (1, 0x30),
    "AAUTHNAME": (1, 0x31),
    "AAUTHSECRET": (1, 0x32),
    "AAUTHTYPE": (1, 0x33),
    "ADDR": (1, 0x34),
    "APPID": (1, 0x36),
    "PROVIDER-ID": (1, 0x38),
}
_VALUES = {"APPSRV": (1, 0x8D), "BASIC": (1, 0x92), "DIGEST": (1, 0x93)}
# Where a value may be one of those words and not a text that happens to look like one.
_VALUED = {"AAUTHLEVEL", "AAUTHTYPE"}

_FORBIDDEN = re.compile("[^\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"})


class AuthType(Enum):
    """How one side proves itself."""

    BASIC = "BASIC"
    DIGEST = "DIGEST"
    HMAC = "HMAC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What one side proves itself with, and the nonce that its first proof is over."""

    auth_type: AuthType = AuthType.DIGEST
    name: str
    secret: str
    nonce: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The account: ``client`` is what the device shows the server, ``server`` the other way round.

    ``connect`` asks the device for a session as soon as it has the account.
    """

    server_id: str
    name: str
    address: str
    port: int | None = None
    client: Credentials
    server: Credentials
    connect: bool = False


@dataclass(frozen=True, slots=True)
class _Parm:
    name: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class _Characteristic:
    type: str
    content: "tuple[_Parm | _Characteristic, ...]"


def provisioning_xml(account: Account) -> bytes:
    """Write the document as XML."""
    lines = ['<wap-provisioningdoc version="1.0">', *_lines(_application(account), " ")]
    return (_DOCTYPE + "\n".join([*lines, "</wap-provisioningdoc>"]) + "\n").encode()


def provisioning_wbxml(account: Account) -> bytes:
    """Write the document as WBXML."""
    writer = _Writer()
    writer.out.append(_DOCUMENT | _ATTRIBUTES | _CONTENT)
    writer.attribute(_VERSION_1_0)
    writer.out.append(_END)
    writer.characteristic(_application(account))
    writer.out.append(_END)
    return _FRAME + bytes(writer.out)


def bootstrap_mac(secret: bytes, body: bytes) -> str:
    """Return what the parameter MAC vouches for the body with: HMAC-SHA1 in hex digits.

    The secret is the PIN's digits, or what the network knows of the subscriber.
    """
    return hmac.new(secret, body, hashlib.sha1).hexdigest().upper()


def _application(account: Account) -> _Characteristic:
    port = _Characteristic("PORT", (_Parm("PORTNBR", str(account.port)),))
    return _Characteristic(
        "APPLICATION",
        (
            _Parm("APPID", "w7"),
            _text("PROVIDER-ID", account.server_id),
            _text("NAME", account.name),
            *([_Parm("INIT")] if account.connect else []),
            _Characteristic(
                "APPADDR",
                (_text("ADDR", account.address), *([] if account.port is None else [port])),
            ),
            _appauth("APPSRV", account.client),
            _appauth("CLIENT", account.server),
        ),
    )


def _appauth(level: str, credentials: Credentials) -> _Characteristic:
    nonce = credentials.nonce
    return _Characteristic(
        "APPAUTH",
        (
            _Parm("AAUTHLEVEL", level),
            _Parm("AAUTHTYPE", credentials.auth_type.value),
            _text("AAUTHNAME", credentials.name),
            _text("AAUTHSECRET", credentials.secret),
            *([] if nonce is None else [_Parm("AAUTHDATA", encode_nonce(nonce))]),
        ),
    )


def _text(name: str, value: str) -> _Parm:
    if _FORBIDDEN.search(value):
        raise UnencodableError(f"{name} has a character that an attribute cannot hold")
    return _Parm(name, value)


def _lines(entry: _Parm | _Characteristic, indent: str) -> Iterator[str]:
    if isinstance(entry, _Parm):
        value = "" if entry.value is None else f' value="{entry.value.translate(_ESCAPES)}"'
        yield f'{indent}<parm name="{entry.name}"{value}/>'
        return
    yield f'{indent}<characteristic type="{entry.type}">'
    for child in entry.content:
        yield from _lines(child, indent + " ")
    yield f"{indent}</characteristic>"


class _Writer:
    """Attributes have a code page of their own, which stays until it is switched."""

    def __init__(self) -> None:
        self.out = bytearray()
        self._page = 0

    def characteristic(self, entry: _Characteristic) -> None:
        self.out.append(_CHARACTERISTIC | _ATTRIBUTES | _CONTENT)
        self.attribute(_TYPES[entry.type])
        self.out.append(_END)
        for child in entry.content:
            if isinstance(child, _Parm):
                self._parm(child)
            else:
                self.characteristic(child)
        self.out.append(_END)

    def attribute(self, token: tuple[int, int]) -> None:
        page, code = token
        if page != self._page:
            self.out += bytes([_SWITCH_PAGE, page])
            self._page = page
        self.out.append(code)

    def _parm(self, parm: _Parm) -> None:
        self.out.append(_PARM | _ATTRIBUTES)
        token = _NAMES.get(parm.name)
        if token is not None:
            self.attribute(token)
        else:
            self.attribute(_NAME)
            self._inline(parm.name)
        if parm.value is not None:
            self.attribute(_VALUE)
            if parm.name in _VALUED and parm.value in _VALUES:
                self.attribute(_VALUES[parm.value])
            else:
                self._inline(parm.value)
        self.out.append(_END)

    def _inline(self, text: str) -> None:
        self.out.append(_STR_I)
        self.out += text.encode() + b"\x00"
