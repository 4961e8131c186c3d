"""What is known of a device from earlier sessions, kept with its account.

Not in here: its version as the fleet sees it, which is the engine's and comes from ``VersionRead``.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Facts that outlive a session; every one may be missing."""

    version: str | None = None
    fumo_root: str | None = None
    """Where its update object was found."""
    large_objects: bool | None = None
    """DevDetail/LrgObj: whether it takes objects in pieces."""
    inventory_at: datetime | None = None
    """When the whole inventory was last asked for."""
    download_first: bool = False
    """It has no DownloadAndUpdate, but Download and Update."""
    downloaded: str | None = None
    """The version that our own last Exec was to bring; empty: one that was tried, None: there was none."""
