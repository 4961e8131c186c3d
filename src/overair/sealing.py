"""Secrets that have to be read again, and are not kept in clear.

Most secrets are only compared, and hashes of them are kept (``core/credentials.py``). Those of OMA-DM
accounts are needed themselves: every digest of that protocol is made with them, and whoever provisions a
device has to be given them. So they are sealed: AES-256-GCM under a key that is derived from the
installation's for this use alone, bound to the place where they stand, so that a sealed secret copied
into another row opens nothing.

What is sealed is a format byte, the nonce, the ciphertext and its tag. A database without the
installation key gives nothing away; with another key nothing opens (``SealError``), and the secrets have
to be given anew.

Not in here: what is sealed, and where it is kept.
"""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from overair.ids import new_bytes

_PURPOSE = b"overair sealed secrets 1"
_FORMAT = b"\x01"
_NONCE_BYTES = 12  # NIST SP 800-38D 8.2: random ones are good for 2^32 seals under one key
_LEAST = len(_FORMAT) + _NONCE_BYTES + 16


class SealError(Exception):
    """Something does not open: it was sealed with another installation key, or was changed since."""


class Seal:
    """Seals and opens, with one installation's key."""

    __slots__ = ("_cipher",)

    def __init__(self, installation_key: bytes) -> None:
        self._cipher = AESGCM(hmac.digest(installation_key, _PURPOSE, "sha256"))

    def close(self, secret: bytes, place: str) -> bytes:
        """Seal a secret that stands at ``place``."""
        nonce = new_bytes(_NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, secret, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """Return the secret. Raises SealError."""
        if len(sealed) < _LEAST or sealed[:1] != _FORMAT:
            raise SealError(f"{place}: is nothing that was sealed here")
        nonce, text = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, text, place.encode())
        except InvalidTag:
            raise SealError(
                f"{place}: was sealed with another installation key; give the right secret_key"
                " or data directory, or set the secrets anew"
            ) from None
