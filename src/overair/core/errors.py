"""What is said to a caller who asked for something that cannot be done.

There are three kinds of error. The caller's are here, and know their published answer (the error
catalogue, API 10.3): ``RequestError`` may be raised wherever the reason is found, from decoding to
the middle of a transaction, and ``api/errors.py`` turns it into a response. The device's are
recorded, and never fatal. Ours are assertions, and end as status 500.

    Exception
    └── RequestError                 one row of the catalogue; status 400
        ├── CredentialsError         wrong username or password, or too many wrong ones
        └── SessionError             the session token is missing, unknown, logged out or expired

Errors of the gateway in front of the API (bearer tokens, OAuth, unknown paths) are matters of HTTP,
and live in ``api/errors.py``. Clients are told to code against the error code and not the text, so
codes never change and texts may grow clearer.
"""

from enum import Enum

INVALID = "INVALID_PARAMETER"
STATE = "INVALID_STATE"
SESSION = "UnifiedWebService.REQUEST_FAILED.SessionToken"
LOGIN = "UnifiedWebService.INPUT_INVALID.Login"


class Refusal(Enum):
    """A row of the error catalogue: error code and text, with {places} for what varies."""

    # What was sent does not parse.
    BINDING = (INVALID, "Input binding error")
    BODY_TOO_LARGE = (INVALID, "Request body exceeds {limit} bytes")
    VALUE = (INVALID, "Invalid value for {member}")
    DEVICE_LIST_EMPTY = (INVALID, "Device list is empty")
    DEVICE_LIST_TOO_LONG = (INVALID, "Device list exceeds {limit} devices")
    ACCOUNT_NAME = (INVALID, "Invalid account name format")
    ACCOUNT_MISMATCH = (INVALID, "Account name differs from the path")
    DEVICE_ID = (INVALID, "Invalid device id format")
    INDEX = (INVALID, "Invalid index value")
    UUID = (INVALID, "Invalid uuid")
    START_DATE = (INVALID, "FotaPostUpgrades: invalid start date")
    END_DATE = (INVALID, "Invalid end date")
    END_BEFORE_START = (INVALID, "End date before start date")
    END_TOO_SOON = (INVALID, "End date less than 24 hours from now")
    DOWNLOAD_AFTER_DATE = (INVALID, "Invalid download after date")
    INSTALL_AFTER_DATE = (INVALID, "Invalid install after date")
    TIME_WINDOW = (INVALID, "Invalid time window")
    TIME_WINDOW_REMOVED = (INVALID, "Removing existing time windows is not allowed")
    TIME_WINDOW_ADDED = (INVALID, "Adding time windows after the start is not allowed")
    CAMPAIGN_STATUS = (INVALID, "Invalid campaign status")
    UPGRADE_STATUS = (INVALID, "Invalid upgrade status")
    PROTOCOL = (INVALID, "Invalid protocol")
    DISTRIBUTION_TYPE = (INVALID, "Invalid distributionType")
    CLIENT_TYPE = (INVALID, "Invalid clientType")
    CHANGE_TYPE = (INVALID, "Invalid type")
    CALLBACK_NAME = (INVALID, "Invalid callback name")
    CALLBACK_URL = (INVALID, "Invalid callback URL")
    EVENTS = (INVALID, "A batch has 1 to {limit} events")

    # What was sent names something that is not there, or not so.
    INDEX_TOO_HIGH = (INVALID, "Index exceeds number of devices in list")
    UPGRADE_ID = (INVALID, "Invalid upgradeId")
    LAST_SEEN_DEVICE_ID = (INVALID, "LastSeenDeviceId Not Valid")
    LAST_SEEN_CAMPAIGN_ID = (INVALID, "LastSeenCampaignId Not Valid")
    FIRMWARE_NOT_FOUND = (INVALID, "Firmware not found")
    SOFTWARE_NOT_FOUND = (INVALID, "Software not found")
    FILE_NOT_FOUND = (INVALID, "File not found")
    FIRMWARE_VERSIONS = (INVALID, "firmwareFrom/firmwareTo do not match the firmware")
    SOFTWARE_VERSIONS = (INVALID, "softwareFrom/softwareTo do not match the software")
    FILE_EXISTS = (INVALID, "File exists already in this version")
    FILE_PART = (INVALID, "File upload: {part} is missing or malformed")
    FILE_TOO_LARGE = (INVALID, "File exceeds {limit} bytes")
    LOGGING_FULL = (INVALID, "Maximum number of devices with logging enabled is {limit}")
    DEVICE_NOT_FOUND = ("DEVICE_NOT_FOUND", "Device not found")
    CALLBACK_NOT_REGISTERED = ("CALLBACK_NOT_REGISTERED", "Callback is not registered")

    # The account may not.
    INACTIVE_ACCOUNT = (INVALID, "Inactive account")
    UNAUTHORIZED_ACCOUNT = ("UNAUTHORIZED_ACCOUNT", "Not authorised for account")
    NOT_SUBSCRIBED = ("SUBSCRIPTION_NOT_FOUND", "Not subscribed")
    PILOT_LIMIT = (
        "PILOT_LIMIT_EXCEEDED",
        "Device limit exceeded: pilot campaign limit is {limit}",
    )

    # Not in this state.
    UPGRADE_STARTED = (STATE, "Upgrade has started")
    NOT_MODIFIABLE = (STATE, "Campaign cannot be modified")
    NOT_CANCELLABLE = (STATE, "Campaign cannot be cancelled")
    FILE_IN_USE = (STATE, "File is used by a scheduled or running campaign")

    # Sessions (API 10.2).
    SESSION_EXPIRED = (f"{SESSION}.Expired", "session has expired")
    SESSION_INVALID = (f"{SESSION}.Invalid", "session token is missing or not valid")
    CREDENTIALS = (f"{LOGIN}.InvalidCredentials", "invalid credentials")
    LOGIN_THROTTLED = (f"{LOGIN}.Throttled", "too many failed attempts, try again later")

    # The one that is not the caller's: status 500, and what happened is in the log.
    INTERNAL = ("INTERNAL_SYSTEM_ERROR", "Internal error")

    @property
    def code(self) -> str:
        return self.value[0]

    @property
    def text(self) -> str:
        return self.value[1]


class RequestError(Exception):
    """The request is refused, and nothing was changed."""

    def __init__(self, refusal: Refusal, **places: object) -> None:
        self.refusal = refusal
        self.code = refusal.code
        self.message = refusal.text.format(**places)
        super().__init__(f"{self.code}: {self.message}")


class SessionError(RequestError):
    """The session token does not open this door, or no longer."""


class CredentialsError(RequestError):
    """Wrong username or password; or so many wrong ones that no more are looked at for a while."""

    def __init__(self, refusal: Refusal = Refusal.CREDENTIALS, *, retry_after_s: int = 0) -> None:
        super().__init__(refusal)
        self.retry_after_s = retry_after_s
