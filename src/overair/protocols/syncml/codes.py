"""Numbers of the protocol that mean something: alerts, statuses, formats (oma-dm 1, 4, 14).

A device may send any number; these are the ones that somebody acts on. Comparing with them works on
plain integers, so nothing has to be turned into one of them first.
"""

from enum import IntEnum, StrEnum

VER_DTD = "1.2"
VER_PROTO = "DM/1.2"
# Accepted, and answered as 1.2.
VER_PROTO_1_3 = "DM/1.3"

# The name and the reference by which a Status answers a message as a whole (oma-dm 5.2).
SYNC_HDR = "SyncHdr"
HEADER_REF = "0"

# What a client is taken to manage that does not say (oma-dm 5.4), and what this server manages.
DEFAULT_MAX_MSG_SIZE = 4096
MAX_MSG_SIZE = 16384
MAX_OBJ_SIZE = 1024 * 1024


class AlertCode(IntEnum):
    """What an Alert is about."""

    DISPLAY = 1100
    CONFIRM = 1101
    INPUT = 1102
    CHOICE = 1103
    MULTIPLE_CHOICE = 1104
    SERVER_INITIATED = 1200
    CLIENT_INITIATED = 1201
    NEXT_MESSAGE = 1222
    SESSION_ABORT = 1223
    CLIENT_EVENT = 1224
    NO_END_OF_DATA = 1225
    GENERIC = 1226


class StatusCode(IntEnum):
    """How a command went."""

    OK = 200
    ACCEPTED = 202
    AUTHENTICATED = 212
    CHUNK_ACCEPTED = 213
    CANCELLED = 214
    NOT_EXECUTED = 215
    ATOMIC_ROLLED_BACK = 216
    NOT_MODIFIED = 304
    BAD_REQUEST = 400
    INVALID_CREDENTIALS = 401
    FORBIDDEN = 403
    NOT_FOUND = 404
    NOT_ALLOWED = 405
    OPTIONAL_FEATURE_MISSING = 406
    MISSING_CREDENTIALS = 407
    TIMEOUT = 408
    INCOMPLETE_COMMAND = 412
    TOO_LARGE = 413
    URI_TOO_LONG = 414
    UNSUPPORTED_FORMAT = 415
    OBJECT_TOO_BIG = 416
    ALREADY_EXISTS = 418
    DEVICE_FULL = 420
    SIZE_MISMATCH = 424
    PERMISSION_DENIED = 425
    COMMAND_FAILED = 500
    NOT_SUPPORTED = 501
    DTD_VERSION = 505
    ATOMIC_FAILED = 507
    STORE_FAILURE = 510
    PROTOCOL_VERSION = 513
    ATOMIC_ROLLBACK_FAILED = 516
    ATOMIC_RESPONSE_TOO_LARGE = 517


class Format(StrEnum):
    """What data is; without one it is text."""

    CHR = "chr"
    INT = "int"
    BOOL = "bool"
    BIN = "bin"
    B64 = "b64"
    NODE = "node"
    NULL = "null"
    XML = "xml"
    DATE = "date"
    TIME = "time"
    FLOAT = "float"


def is_success(code: int) -> bool:
    """Tell whether a status says that the command was, or will be, done."""
    return 200 <= code < 300
