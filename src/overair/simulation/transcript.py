"""What happened, line by line: for people, and for the proof that a seed does the same again.

Every line goes into a digest; lines themselves are kept only if somebody wants to read them.
"""

import hashlib
from datetime import datetime, timedelta

from overair.simulation.loop import VirtualLoop


class Transcript:
    """Who did what, and when."""

    def __init__(self, loop: VirtualLoop, begin: datetime, *, keep: bool) -> None:
        self._loop = loop
        self._begin = begin
        self._keep = keep
        self._hash = hashlib.sha256()
        self.lines: list[str] = []
        self.count = 0

    def now(self) -> datetime:
        """The true time."""
        return self._begin + timedelta(seconds=self._loop.time())

    def note(self, who: str, text: str) -> None:
        """Add a line."""
        self.count += 1
        line = f"{self._loop.time():.6f} {who} {text}"
        self._hash.update(line.encode())
        self._hash.update(b"\n")
        if self._keep:
            self.lines.append(f"{self.now():%m-%d %H:%M:%S.%f} {who:<10} {text}")

    def add(self, data: bytes) -> None:
        """Let something count that is not for reading."""
        self._hash.update(data)

    def digest(self) -> str:
        return self._hash.hexdigest()
