"""The words of DDI and the limits on them.

``DdiError`` is the one exception of the server's half: the device's mistake, with the answer that it
gets. ``DdiAnswerError`` (in ``client``) is the one of the device's half: an answer that it cannot use.

Not in here: what a feedback does to an action (the engine decides), authentication, ranges.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple


class DdiError(Exception):
    """A request that is refused: the status, and the error document that people read."""

    def __init__(self, error_code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.message = message
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class DdiLimits:
    """Every bound on what a device may send (http-ddi 4.8, 5.2, 5.5, 9)."""

    body_bytes: int = 256 * 1024
    details: int = 50
    detail_chars: int = 2048
    attribute_key_chars: int = 128
    attribute_value_chars: int = 1024
    attributes: int = 100
    binary_log_bytes: int = 1024 * 1024
    log_entries: int = 1000
    file_name_chars: int = 100


LIMITS = DdiLimits()

# SWUpdate and Zephyr read an action id as a 32-bit integer (http-ddi 5.3).
ACTION_ID_LIMIT = 2**31

CONTROLLER_ID_CHARS = 256


class Execution(Enum):
    """How far a device has come (http-ddi 5.5)."""

    CLOSED = "closed"
    PROCEEDING = "proceeding"
    SCHEDULED = "scheduled"
    RESUMED = "resumed"
    DOWNLOAD = "download"
    DOWNLOADED = "downloaded"
    CANCELED = "canceled"
    REJECTED = "rejected"


class Finished(Enum):
    """How it ended; means something only with ``Execution.CLOSED``."""

    SUCCESS = "success"
    FAILURE = "failure"
    NONE = "none"


class Feedback(NamedTuple):
    """One status report, for a deployment or for a cancellation."""

    execution: Execution
    finished: Finished
    code: int | None = None
    details: tuple[str, ...] = ()

    @property
    def closed(self) -> bool | None:
        """True: closed well; False: closed with failure; None: not closed, whatever it says."""
        if self.execution is not Execution.CLOSED:
            return None
        return self.finished is not Finished.FAILURE


class AttributeMode(Enum):
    """What becomes of the attributes that are there already."""

    MERGE = "merge"
    REPLACE = "replace"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigData:
    """Attributes of a device; None takes the attribute away."""

    mode: AttributeMode
    data: Mapping[str, str | None]


class LogType(Enum):
    """The published kinds of device log entries (http-ddi 1)."""

    SOFTWARE_UPDATE = "SoftwareUpdate"
    EVENT = "Event"
    USER_NOTIFICATION = "UserNotification"
    AGENT_SERVICE = "AgentService"
    WIRELESS = "Wireless"
    WIRELESS_WEB = "WirelessWeb"
    MOBILE_BROADBAND_MODEM = "MobileBroadbandModem"
    WINDOWS_MDM = "WindowsMDM"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One uploaded log: a text, or a file. Without ``log_time`` the time of receipt counts."""

    log_type: LogType
    event_log: str = ""
    log_time: datetime | None = None
    file_name: str = ""
    content: bytes = b""


class Handling(Enum):
    """What the device should do with a phase of the deployment (http-ddi 5.3)."""

    FORCED = "forced"
    ATTEMPT = "attempt"
    SKIP = "skip"


class MaintenanceWindow(Enum):
    """Whether a device that knows windows may install now (http-ddi 7)."""

    AVAILABLE = "available"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """The one file of a deployment. ``href`` is absolute and already percent-encoded."""

    file_name: str
    size_bytes: int
    sha1: str
    md5: str
    sha256: str
    href: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What a device is to install: exactly one chunk with exactly one artifact."""

    action_id: int
    download: Handling
    update: Handling
    maintenance_window: MaintenanceWindow | None = None
    part: str
    name: str
    version: str
    metadata: tuple[tuple[str, str], ...] = ()
    artifact: Artifact
