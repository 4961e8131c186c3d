"""The Firmware Update Management Object 1.0: its nodes, states, alerts and results (oma-dm 7).

Makers put the object where they like, so every node is asked for below a root. Results and alert types
come as text from the device and are read leniently; what follows from them is not decided here.
"""

import re
from dataclasses import dataclass
from enum import Enum, IntEnum

# Where the object may be, in the order in which to look (oma-dm 7.1). Of the parents the children
# have to be asked for first.
ROOTS = (
    "./FwUpdate",
    "./FUMO",
    "./FOTA",
    "./ManagedObjects/FUMO",
    "./DevDetail/Ext/Software/FwUpdate",
)
PARENTS = frozenset({"./FwUpdate", "./DevDetail/Ext/Software/FwUpdate"})


@dataclass(frozen=True, slots=True)
class Fumo:
    """The nodes below one root."""

    root: str

    @property
    def state(self) -> str:
        """What the device is doing."""
        return f"{self.root}/State"

    @property
    def pkg_name(self) -> str:
        """The name of the package."""
        return f"{self.root}/PkgName"

    @property
    def pkg_version(self) -> str:
        """The version of the package."""
        return f"{self.root}/PkgVersion"

    @property
    def download(self) -> str:
        """Exec: download only."""
        return f"{self.root}/Download"

    @property
    def download_url(self) -> str:
        """Where to download from."""
        return f"{self.root}/Download/PkgURL"

    @property
    def update(self) -> str:
        """Exec: install what is there."""
        return f"{self.root}/Update"

    @property
    def update_data(self) -> str:
        """The package itself, inside the session."""
        return f"{self.root}/Update/PkgData"

    @property
    def download_and_update(self) -> str:
        """Exec: both."""
        return f"{self.root}/DownloadAndUpdate"

    @property
    def download_and_update_url(self) -> str:
        """Where to download from, to do both."""
        return f"{self.root}/DownloadAndUpdate/PkgURL"


class State(IntEnum):
    """What the node State says (oma-dm 7.2)."""

    IDLE = 10
    DOWNLOAD_FAILED = 20
    DOWNLOAD_PROGRESSING = 30
    DOWNLOAD_COMPLETE = 40
    READY_TO_UPDATE = 50
    UPDATE_PROGRESSING = 60
    UPDATE_FAILED_HAVE_DATA = 70
    UPDATE_FAILED_NO_DATA = 80
    UPDATE_OK_HAVE_DATA = 90
    UPDATE_OK_NO_DATA = 100


class AlertType(Enum):
    """What a generic alert is about: three results, and two requests of the device."""

    DOWNLOAD = "org.openmobilealliance.dm.firmwareupdate.download"
    UPDATE = "org.openmobilealliance.dm.firmwareupdate.update"
    DOWNLOAD_AND_UPDATE = "org.openmobilealliance.dm.firmwareupdate.downloadandupdate"
    DEVICE_REQUEST = "org.openmobilealliance.dm.firmwareupdate.devicerequest"
    USER_REQUEST = "org.openmobilealliance.dm.firmwareupdate.userrequest"

    @property
    def is_result(self) -> bool:
        """Tell whether it reports the end of an Exec."""
        return self not in {AlertType.DEVICE_REQUEST, AlertType.USER_REQUEST}


class Result(IntEnum):
    """The codes of the specification; ranges are the makers' own (oma-dm 7.4)."""

    SUCCESS = 200
    DOWNLOADED_INSTALLING = 255
    CLIENT_ERROR = 400
    USER_CANCELLED = 401
    PACKAGE_CORRUPTED = 402
    PACKAGE_MISMATCH = 403
    PACKAGE_NOT_VALID = 404
    PACKAGE_NOT_ACCEPTABLE = 405
    DOWNLOAD_AUTHENTICATION_FAILED = 406
    DOWNLOAD_TIMEOUT = 407
    NOT_IMPLEMENTED = 408
    UNDEFINED_ERROR = 409
    UPDATE_FAILED = 410
    BAD_URL = 411
    SERVER_UNAVAILABLE = 412
    UPDATE_FAILED_ON_DEVICE = 500
    NO_MEMORY_FOR_DOWNLOAD = 501
    NO_MEMORY_FOR_UPDATE = 502
    DOWNLOAD_NETWORK_ERROR = 503


class Outcome(Enum):
    """What a result code says of the step that it reports."""

    SUCCESS = "success"
    PROGRESS = "progress"
    FAILURE = "failure"


class Failure(Enum):
    """Why it failed, as people are told."""

    DECLINED = "Declined"
    DOWNLOAD = "Download failed"
    INSTALL = "Install failed"


REVERSED_DOMAIN_NAME = "Reversed-Domain-Name: "

_PREFIX = REVERSED_DOMAIN_NAME.strip().lower()
_TYPES = {kind.value: kind for kind in AlertType}
_DECIMAL = re.compile(r"[0-9]{1,9}")
_IN_PROGRESS = range(250, 300)
_SERVER_ERRORS = range(550, 600)
_IN_DOWNLOAD = frozenset(
    {
        Result.PACKAGE_CORRUPTED,
        Result.PACKAGE_NOT_VALID,
        Result.PACKAGE_NOT_ACCEPTABLE,
        Result.DOWNLOAD_AUTHENTICATION_FAILED,
        Result.DOWNLOAD_TIMEOUT,
        Result.BAD_URL,
        Result.SERVER_UNAVAILABLE,
        Result.NO_MEMORY_FOR_DOWNLOAD,
        Result.DOWNLOAD_NETWORK_ERROR,
    }
)


def alert_type(text: str) -> AlertType | None:
    """Return what an alert's Type names, with or without its prefix, in any case; None: unknown."""
    name = text.strip().lower()
    return _TYPES.get(name.removeprefix(_PREFIX).lstrip())


def result_code(data: str | bytes | None) -> int | None:
    """Return the code that an alert's Data holds; None: there is no number in it."""
    text = data.decode("ascii", "replace") if isinstance(data, bytes) else data or ""
    return int(text) if _DECIMAL.fullmatch(text := text.strip()) else None


def outcome(code: int | None) -> Outcome:
    """Return what a code says; every one that is not known to be good is a failure."""
    if code == Result.SUCCESS:
        return Outcome.SUCCESS
    if code in _IN_PROGRESS:
        return Outcome.PROGRESS
    return Outcome.FAILURE


def failure(code: int | None, kind: AlertType | None) -> Failure:
    """Return why a step failed, from its code and from what the report was about."""
    if code == Result.USER_CANCELLED:
        return Failure.DECLINED
    if kind is AlertType.DOWNLOAD or code in _IN_DOWNLOAD or code in _SERVER_ERRORS:
        return Failure.DOWNLOAD
    return Failure.INSTALL
