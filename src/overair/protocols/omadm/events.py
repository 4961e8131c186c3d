"""What a session has to say to the engine.

``receive`` gives what the device said, ``proceed`` what the server decided. The edge applies both in the
transaction that keeps the session, before the reply leaves: so an Exec is on record before it is sent.
Events carry the correlator by which the engine finds the attempt, also one that is closed; "" means the
device gave none, and the only outstanding attempt of that device is meant (oma-dm 7.3).
"""

from dataclasses import dataclass
from enum import StrEnum

from overair.protocols.syncml.fumo import AlertType


class Step(StrEnum):
    """Which Exec it was."""

    DOWNLOAD_AND_UPDATE = "download_and_update"
    DOWNLOAD = "download"
    UPDATE = "update"


class Meaning(StrEnum):
    """What a report says (oma-dm 7.4, 18.1)."""

    DOWNLOADED = "downloaded"
    """The package is there; the server is to command Update next."""
    INSTALLED = "installed"
    """It says that it is done: the version is read in this session, and decides."""
    PROGRESS = "progress"
    """Downloaded, and installing by itself."""
    DEFERRED = "deferred"
    """Put off by the device; it will report again."""
    FAILED = "failed"


class Why(StrEnum):
    """Why an attempt failed."""

    DECLINED = "declined"
    DOWNLOAD_FAILED = "download_failed"
    INSTALL_FAILED = "install_failed"
    REFUSED = "refused"
    """The device took the package's address, its data or the Exec not."""
    NO_UPDATE_OBJECT = "no_update_object"
    VERSION = "version"
    """It runs a version that the package is not for."""
    VERSION_UNCHANGED = "version_unchanged"
    UNEXPECTED_VERSION = "unexpected_version"
    REPORT_LOST = "report_lost"


class AuditKind(StrEnum):
    """Things that somebody should be able to find later, none of which changed anything."""

    WRONG_CREDENTIALS = "wrong_credentials"
    """Wrong, stale or replayed credentials, or an unknown user: nobody can tell them apart."""
    TOO_MANY_REFUSALS = "too_many_refusals"
    OTHER_DEVICE = "other_device"
    """Right credentials, and the id of a device that they are not of."""
    BLOCKED = "blocked"
    SERVER_REFUSED = "server_refused"
    """The device does not take our credentials: another secret, another server id."""
    UNKNOWN_SESSION = "unknown_session"
    OUT_OF_ORDER = "out_of_order"
    """A message of a number that was there already, with other content."""
    VERSION = "version"
    """A version of the protocol that is not ours."""
    TOO_MANY_MESSAGES = "too_many_messages"
    TOO_MANY_COMMANDS = "too_many_commands"
    OBJECT_TOO_BIG = "object_too_big"
    SIZE_MISMATCH = "size_mismatch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """The device opened a session; ``session_id`` is a package 0's number if that is why."""

    session_id: str
    by_server: bool
    """It says that a package 0 asked it to (Alert 1200)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Somebody was not let in. Wrong ones count towards HTTP 429, missing ones do not."""

    code: int
    wrong: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DevInfoRead:
    """What the device says it is; None: it did not say."""

    device_id: str | None = None
    make: str | None = None
    model: str | None = None
    dm_version: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRead:
    """./DevDetail/FwV, read in this session."""

    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRead:
    """What else was read; None: not asked for, or refused."""

    software_version: str | None = None
    hardware_version: str | None = None
    large_objects: bool | None = None
    state: int | None = None
    fumo_root: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A result of an Exec (Alert 1226)."""

    correlator: str
    kind: AlertType
    code: int | None
    """None: there was no number."""
    meaning: Meaning
    why: Why | None = None
    """Set where the meaning is FAILED."""
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateAskedFor:
    """The device, or its user, asks whether there is something (Alert 1226, a request)."""

    by_user: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecAccepted:
    """The device took an Exec; its result comes later."""

    correlator: str
    step: Step
    code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRefused:
    """The device did not take an Exec; 500 if it did not even answer."""

    correlator: str
    step: Step
    code: int
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecLeaving:
    """The reply holds an Exec. It has to be on record before the reply is sent."""

    correlator: str
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The attempt is done: the version was seen, or (None) nobody may read it and the report counts."""

    correlator: str
    version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionAwaited:
    """Reported as done, and still the old version: it may yet have to restart (oma-dm 7.5)."""

    correlator: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The attempt failed; ``code`` is a Status, a State or a result's number, where there is one."""

    correlator: str
    why: Why
    code: int | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Something to be written down; ``text`` holds nothing secret."""

    kind: AuditKind
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The session is over; ``row`` of the decision table says why."""

    session_id: str
    row: str


Event = (
    Authenticated
    | Refused
    | DevInfoRead
    | VersionRead
    | InventoryRead
    | Reported
    | UpdateAskedFor
    | ExecAccepted
    | ExecRefused
    | ExecLeaving
    | Succeeded
    | VersionAwaited
    | Failed
    | Audit
    | Ended
)
