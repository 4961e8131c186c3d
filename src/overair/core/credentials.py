"""Secrets: how they are kept, checked, and made into tokens. Pure; randomness is an argument.

- Application secrets and passwords are kept as scrypt hashes with their parameters,
  ``scrypt$LOG2_N$R$P$SALT$HASH``, so that the cost can be raised without touching what is stored.
- A bearer token is derived from the secret that the client presents and a stored nonce. Only the
  token's fingerprint is stored, and still the same token can be issued again within its hour
  (API 2.1), because whoever may have it brings the secret along.
- A device's token that we make is derived from the installation's key, the IMEI and a stored salt: it
  can be shown again to the operator, and a stolen database does not give it away.
- Other tokens are random; only their fingerprints are stored. They carry at least 122 random bits,
  so a plain SHA-256 is enough to keep a stolen database from opening doors.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from string import ascii_letters, digits
from typing import Final

SALT_BYTES = 16
DEVICE_TOKEN_CHARS = 32
_HASH_BYTES = 32
_BASE62 = digits + ascii_letters

# What ``hash_secret`` makes, within costs that a log-in can bear: for hashes that others bring along.
STORED_SECRET: Final = re.compile(
    r"^scrypt\$1[0-7]\$(?:[1-9]|1[0-6])\$(?:[1-9]|1[0-6])\$[A-Za-z0-9_-]{22}\$[A-Za-z0-9_-]{43}\Z"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """scrypt's parameters (RFC 7914 2). The defaults take 16 MiB and a tenth of a second."""

    log2_n: int = 14
    r: int = 8
    p: int = 5


def hash_secret(secret: str, salt: bytes, cost: Cost = Cost()) -> str:
    """The form in which ``secret`` is stored. Slow on purpose."""
    digest = _scrypt(secret, salt, cost)
    parts = (cost.log2_n, cost.r, cost.p, _text(salt), _text(digest))
    return "scrypt$" + "$".join(map(str, parts))


def verify_secret(secret: str, stored: str) -> bool:
    """Whether ``secret`` is the one that was stored. As slow; compares in constant time."""
    kind, log2_n, r, p, salt, digest = stored.split("$")
    assert kind == "scrypt"
    cost = Cost(log2_n=int(log2_n), r=int(r), p=int(p))
    return hmac.compare_digest(_scrypt(secret, _bytes(salt), cost), _bytes(digest))


def bearer_token(secret: str, nonce: str) -> str:
    """The token that belongs to a secret and a nonce."""
    return _text(hmac.digest(secret.encode(), nonce.encode(), "sha256"))


def device_token(key: bytes, imei: str, salt: str) -> str:
    """The token that was made for a device: 32 letters and digits (``http-ddi.md`` 3)."""
    mac = hmac.digest(key, f"device-token:{imei}:{salt}".encode(), "sha256")
    number = int.from_bytes(mac, "big")
    token = ""
    for _ in range(DEVICE_TOKEN_CHARS):
        number, digit = divmod(number, len(_BASE62))
        token += _BASE62[digit]
    return token


def dm_key(name: str, secret: str) -> str:
    """What stands for a name and its secret in OMA-DM: B64(H(name:secret)) (``oma-dm.md`` 11.1).

    MD5 is that protocol's, and nothing else here uses it; the result is as secret as the secret.
    """
    digest = hashlib.md5(f"{name}:{secret}".encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def fingerprint(token: str) -> str:
    """What is stored of a token, and looked up when it is presented."""
    return hashlib.sha256(token.encode()).hexdigest()


def _scrypt(secret: str, salt: bytes, cost: Cost) -> bytes:
    n = 1 << cost.log2_n
    return hashlib.scrypt(
        secret.encode(),
        salt=salt,
        n=n,
        r=cost.r,
        p=cost.p,
        # OpenSSL's own bound is 32 MiB; what the parameters take, and a little.
        maxmem=128 * cost.r * (n + cost.p + 2) + 1024,
        dklen=_HASH_BYTES,
    )


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
