"""Credentials, challenges and nonces (oma-dm 11): pure functions of secrets and bytes.

Everything here is MD5, because the protocol is: a secret has to be long and random, and only TLS gives
integrity. Of a secret the server needs no more than ``key``, B64(H(user:password)), which is as good as
the secret itself and to be kept like one.

A nonce is bytes; on the wire it is base64, decoded once. Clients give empty ones, and ones that are
themselves base64 text.

Not in here: which nonce is valid when, and how often one may try (the session, the store).
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass

from overair.protocols.syncml.message import Chal, Cred, Meta
from overair.protocols.syncml.values import MalformedError, UnencodableError

BASIC = "syncml:auth-basic"
MD5 = "syncml:auth-md5"
MAC = "syncml:auth-MAC"

HMAC_HEADER = "x-syncml-hmac"
# A client that has nothing better uses this one, and so may a package 0 (oma-dm 10.1).
ZERO_NONCE = bytes(4)

_B64 = "b64"
_HEADER_CHARS = 1024
_FIELD = re.compile(r'\s*([A-Za-z]+)\s*=\s*(?:"([^"]*)"|([^\s,"]*))\s*(?:,|\Z)')
_QUOTED = re.compile(r'[^"\x00-\x1f\x7f-\U0010ffff]*')


def key(user: str, password: str) -> str:
    """Return what stands for user and password in every digest: B64(H(user:password))."""
    return _b64(_hash(f"{user}:{password}".encode()))


def digest(secret_key: str, nonce: bytes) -> str:
    """Return the Data of auth-md5 credentials: B64(H(key:nonce))."""
    return _b64(_hash(secret_key.encode() + b":" + nonce))


def mac(secret_key: str, nonce: bytes, body: bytes) -> str:
    """Return the mac of a body, exactly as it is sent: B64(H(key:nonce:B64(H(body))))."""
    return _b64(_hash(secret_key.encode() + b":" + nonce + b":" + _b64(_hash(body)).encode()))


def package_digest(secret_key: str, nonce: bytes, trigger: bytes) -> bytes:
    """Return the digest of a package 0: the same formula as ``mac``, but not in base64."""
    return _hash(secret_key.encode() + b":" + nonce + b":" + _b64(_hash(trigger)).encode())


def same(expected: str, given: str) -> bool:
    """Compare digests in a time that does not depend on where they differ."""
    return hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogatepass"))


def basic(user: str, password: str) -> str:
    """Return the Data of auth-basic credentials."""
    return _b64(f"{user}:{password}".encode())


def read_basic(data: str) -> tuple[str, str]:
    """Return the user and the password of auth-basic credentials."""
    try:
        user, colon, password = base64.b64decode(data, validate=True).decode().partition(":")
    except ValueError:
        raise MalformedError("credentials that are not base64 of text") from None
    if not colon:
        raise MalformedError("credentials without a password")
    return user, password


def md5_cred(secret_key: str, nonce: bytes) -> Cred:
    """Return auth-md5 credentials."""
    return Cred(meta=Meta(format=_B64, type=MD5), data=digest(secret_key, nonce))


def basic_cred(user: str, password: str) -> Cred:
    """Return auth-basic credentials."""
    return Cred(meta=Meta(format=_B64, type=BASIC), data=basic(user, password))


def challenge(kind: str, nonce: bytes | None) -> Chal:
    """Return a challenge for credentials of this type, with the nonce that they are to be over."""
    next_nonce = None if nonce is None else encode_nonce(nonce)
    return Chal(meta=Meta(format=_B64, type=kind, next_nonce=next_nonce))


def encode_nonce(nonce: bytes) -> str:
    """Return a nonce as it stands in NextNonce."""
    return _b64(nonce)


def decode_nonce(text: str) -> bytes:
    """Return the nonce that NextNonce holds. Text that is not base64 was meant as it is."""
    try:
        # Long base64 may come in lines.
        return base64.b64decode("".join(text.split()).encode(), validate=True)
    except binascii.Error:
        return text.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class HmacHeader:
    """The header x-syncml-hmac: who vouches for the body, and how (oma-dm 11.4)."""

    username: str
    mac: str


def read_hmac_header(value: str) -> HmacHeader:
    """Read the header, with its fields in any order; without an algorithm it is MD5."""
    if len(value) > _HEADER_CHARS:
        raise MalformedError(f"a header of more than {_HEADER_CHARS} characters")
    fields: dict[str, str] = {}
    at = 0
    while at < len(value):
        found = _FIELD.match(value, at)
        if found is None:
            raise MalformedError("a header that is not a list of fields")
        fields.setdefault(found[1].lower(), found[3] if found[2] is None else found[2])
        at = found.end()
    if fields.get("algorithm", "MD5").upper() != "MD5":
        raise MalformedError("an algorithm other than MD5")
    if "username" not in fields or "mac" not in fields:
        raise MalformedError("a header without username or mac")
    return HmacHeader(username=fields["username"], mac=fields["mac"])


def write_hmac_header(header: HmacHeader) -> str:
    """Write the header's value."""
    if not _QUOTED.fullmatch(header.username):
        raise UnencodableError("a user name that a header cannot hold")
    return f'algorithm=MD5, username="{header.username}", mac={header.mac}'


def _hash(data: bytes) -> bytes:
    # The specification's; saying so lets it work where MD5 is switched off for security.
    return hashlib.md5(data, usedforsecurity=False).digest()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
