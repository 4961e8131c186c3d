"""Addresses that are good for one attempt, without anything stored for them.

What stands in an address is the attempt's id and an HMAC of it, under a key that is derived from the
installation's for one purpose. So nobody can guess one, one of another kind of device is none here, it is
the same whenever it is made, and every process of the installation makes the same (``oma-dm.md`` 11.5).
"""

import base64
import hmac
import re
from functools import lru_cache
from typing import Final

from overair.core.ids import AttemptId

_MAC_BYTES: Final = 18
_TOKEN: Final = re.compile(r"([0-9a-f]{1,8})-([A-Za-z0-9_-]{24})")
_REMEMBERED: Final = 4096  # each message, and each block of a download, asks for the same


class AttemptTokens:
    """What stands for attempts in addresses of one kind."""

    def __init__(self, key: bytes, purpose: bytes) -> None:
        self._key = hmac.digest(key, purpose, "sha256")
        self.of = lru_cache(maxsize=_REMEMBERED)(self._of)
        self.attempt_of = lru_cache(maxsize=_REMEMBERED)(self._attempt_of)
        """The attempt that a token stands for; None: we did not make it."""

    def _of(self, attempt_id: AttemptId) -> str:
        mac = hmac.digest(self._key, b"%d" % attempt_id, "sha256")[:_MAC_BYTES]
        return f"{attempt_id:x}-{base64.urlsafe_b64encode(mac).decode()}"

    def _attempt_of(self, token: str) -> AttemptId | None:
        found = _TOKEN.fullmatch(token)
        if found is None:
            return None
        attempt_id = AttemptId(int(found[1], 16))
        return attempt_id if hmac.compare_digest(self.of(attempt_id), token) else None
