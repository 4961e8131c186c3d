"""An image on its way in: its digest, its length and its first bytes; nothing else of it is kept.

What version an image makes of a device is known from its digest, told for all (``becomes``), or read from
its first line, ``overair-sim version …``; else it is named after its digest.
"""

import hashlib
from collections.abc import Mapping

from overair.sim.omadm.package import version_inside

_HEAD_BYTES = 256
Becomes = str | Mapping[str, str]


class Intake:
    """What has come so far."""

    __slots__ = ("_digest", "_head", "size")

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._head = b""
        self.size = 0

    def add(self, payload: bytes) -> None:
        """Take the next bytes."""
        self._digest.update(payload)
        if len(self._head) < _HEAD_BYTES:
            self._head += payload[: _HEAD_BYTES - len(self._head)]
        self.size += len(payload)

    @property
    def sha256(self) -> str:
        """The digest of what has come."""
        return self._digest.hexdigest()

    def version(self, becomes: Becomes) -> str:
        """Return the version of the image."""
        told = becomes if isinstance(becomes, str) else becomes.get(self.sha256, "")
        if told:
            return told
        return version_inside(self._head) or self.sha256[:8]
