"""A file on its way to a simulated device: how much has come, its digests, and its accidents.

Nothing is kept of the file itself, so that thousands of devices fit into one process.
"""

import hashlib
from math import inf

from overair.protocols.ddi.client import Download
from overair.sim.http.profile import AttemptPlan, Fate


class IncomingFile:
    """A file on its way: how much has come, its digests, and the harm that it is to come to."""

    def __init__(self, wanted: Download, plan: AttemptPlan) -> None:
        self.wanted = wanted
        self.received = 0
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._corrupt = plan.fate is Fate.CORRUPTED
        self._breaks_at = (
            plan.stops_at * wanted.size_bytes if plan.fate is Fate.DOWNLOAD_FAILS else None
        )
        self._cut_at = None if plan.cut_at is None else plan.cut_at * wanted.size_bytes

    @property
    def is_complete(self) -> bool:
        return self.received == self.wanted.size_bytes

    def next_bytes(self, limit: int) -> int:
        """How much to read next, so that harm comes to the file where it was drawn to."""
        harm_at = min(self._breaks_at or inf, self._cut_at or inf)
        if harm_at <= self.received:
            return limit
        return int(max(1.0, min(limit, harm_at - self.received)))

    def take(self, piece: bytes) -> None:
        """Add what came, perhaps damaged."""
        self.received += len(piece)
        if self._corrupt:
            self._corrupt = False
            piece = bytes([piece[0] ^ 1]) + piece[1:]
        self._sha1.update(piece)
        self._sha256.update(piece)

    def is_broken_off(self) -> bool:
        """Whether the download has failed for good here."""
        return self._breaks_at is not None and self.received >= self._breaks_at

    def is_cut(self) -> bool:
        """Whether the connection is to be cut here; it is only once."""
        if self._cut_at is None or not self._cut_at <= self.received < self.wanted.size_bytes:
            return False
        self._cut_at = None
        return True

    def matches(self) -> bool:
        """Whether the digests are the announced ones."""
        return self._sha1.hexdigest() == self.wanted.sha1 and (
            self.wanted.sha256 is None or self._sha256.hexdigest() == self.wanted.sha256
        )
