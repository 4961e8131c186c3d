"""What the server tells a session: about itself, about the device's model, and what is to be done.

A ``Task`` is the device's active attempt. There is none while nothing is to be done: no campaign, the
attempt cancelled or failed, or inside the pause before the next try (oma-dm 8, row 9).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from overair.protocols.syncml import fumo
from overair.protocols.syncml.codes import MAX_MSG_SIZE, MAX_OBJ_SIZE


class Method(StrEnum):
    """How a package gets to a device."""

    AUTO = "auto"
    """DownloadAndUpdate; where the device has no such node, Download and Update."""
    DOWNLOAD_AND_UPDATE = "download_and_update"
    DOWNLOAD = "download"
    DATA = "data"
    """The package itself inside the session; by AUTO where the device takes no large objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The server's side of every account, and its limits (oma-dm 5.4, 5.5, 8, 11.2)."""

    address: str
    """Where devices send their messages: Source of ours."""
    name: str
    """The server id, and the user name of our credentials."""
    max_msg_size: int | None = MAX_MSG_SIZE
    """What we take in one message, told in the first reply; None: not told."""
    max_obj_size: int = MAX_OBJ_SIZE
    session_idle: timedelta = timedelta(minutes=10)
    session_messages: int = 60
    exec_grace: timedelta = timedelta(minutes=15)
    inventory_every: timedelta = timedelta(days=1)
    challenge_life: timedelta = timedelta(minutes=10)
    challenges: int = 4
    """Nonces of refusals that are pending at a time."""
    strikes: int = 3
    """Refusals with 401 in one session, after which it gets HTTP 403."""
    our_tries: int = 2
    """How often commands are sent again to a client that refused our credentials."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is known of a model from the settings."""

    fumo_root: str = ""
    """Where its update object is; empty: it is looked for."""
    roots: tuple[str, ...] = fumo.ROOTS
    """Where to look; of ``fumo.PARENTS`` the children are asked for."""
    method: Method = Method.AUTO


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The active attempt of a device."""

    correlator: str
    from_version: str
    """Empty: any version may be updated."""
    to_version: str
    url: str
    """What goes into PkgURL: a descriptor's or a package's address."""
    executed_at: datetime | None = None
    """When its last Exec left; None: none is outstanding."""
    download_only: bool = False
    """Whether that Exec was of Download, so that Update is still to come."""
    verify_until: datetime | None = None
    """The device reported success and showed the old version: how long it may (oma-dm 7.5)."""
    in_window: bool = True
    data: bytes | None = None
    """The package, where it goes inside the session; None: it does not."""
