"""How much to measure."""

import msgspec

PILOT = 20


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes and times; smaller ones for a quick look."""

    devices: int
    rounds: int
    seconds: float
    updates: int  # in all rounds together
    fresh: int
    fresh_seconds: float
    sessions: int
    queued: int
    images: int
    with_goosebit: bool
    with_overair: bool

    @property
    def reserved(self) -> int:
        """Return how many devices are kept for updates; idle polls come from the others."""
        return PILOT + self.updates
