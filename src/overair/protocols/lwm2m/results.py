"""What an update result means: its class, and the words for the device (lwm2m 7)."""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import assert_never


class State(IntEnum):
    """What the update machine of a device is doing."""

    IDLE = 0
    DOWNLOADING = 1
    DOWNLOADED = 2
    UPDATING = 3


class Severity(IntEnum):
    """How urgent an update is, as its device is told (5/0/11)."""

    CRITICAL = 0
    MANDATORY = 1
    OPTIONAL = 2


class Result(IntEnum):
    """How its last update went, or why it did not."""

    INITIAL = 0
    SUCCESS = 1
    NOT_ENOUGH_STORAGE = 2
    OUT_OF_MEMORY = 3
    CONNECTION_LOST = 4
    INTEGRITY_FAILED = 5
    UNSUPPORTED_PACKAGE = 6
    INVALID_URI = 7
    UPDATE_FAILED = 8
    UNSUPPORTED_PROTOCOL = 9
    CANCELLED = 10
    DEFERRED = 11


class ResultClass(Enum):
    """What a result means for the attempts that follow."""

    NONE = "none"
    SUCCESS = "success"
    PERMANENT = "permanent"
    RETRY = "retry"
    # Once again, and if it is the same then: permanent.
    RETRY_ONCE = "retry once"
    # By another protocol, or pushed; permanent if there is none.
    OTHER_PROTOCOL = "other protocol"
    # As long as the user has put it off, then it has failed.
    WAIT = "wait"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """The class of a result, and its text."""

    kind: ResultClass
    reason: str = ""


# How long a deferred update is waited for that has no period of its own.
DEFER_S = 24 * 3600

_MEANINGS: dict[int, Meaning] = {
    Result.INITIAL: Meaning(kind=ResultClass.NONE),
    Result.SUCCESS: Meaning(kind=ResultClass.SUCCESS),
    Result.NOT_ENOUGH_STORAGE: Meaning(
        kind=ResultClass.PERMANENT, reason="Not enough flash memory on the device"
    ),
    Result.OUT_OF_MEMORY: Meaning(kind=ResultClass.RETRY, reason="Out of memory during download"),
    Result.CONNECTION_LOST: Meaning(
        kind=ResultClass.RETRY, reason="Connection lost during download"
    ),
    Result.INTEGRITY_FAILED: Meaning(kind=ResultClass.RETRY_ONCE, reason="Integrity check failed"),
    Result.UNSUPPORTED_PACKAGE: Meaning(
        kind=ResultClass.PERMANENT, reason="Unsupported package type"
    ),
    Result.INVALID_URI: Meaning(kind=ResultClass.RETRY_ONCE, reason="Invalid URI"),
    Result.UPDATE_FAILED: Meaning(kind=ResultClass.RETRY, reason="Firmware update failed"),
    Result.UNSUPPORTED_PROTOCOL: Meaning(
        kind=ResultClass.OTHER_PROTOCOL, reason="Unsupported download protocol"
    ),
    Result.CANCELLED: Meaning(kind=ResultClass.RETRY, reason="Update cancelled"),
    Result.DEFERRED: Meaning(kind=ResultClass.WAIT, reason="Update deferred"),
}


def meaning(result: int, *, cancel_ordered: bool = False) -> Meaning:
    """Tell what a result means; any number is one."""
    known = _MEANINGS.get(result)
    if known is None:
        return Meaning(kind=ResultClass.RETRY, reason=f"Update result {result}")
    if result == Result.CANCELLED and cancel_ordered:
        return Meaning(kind=ResultClass.CANCELLED, reason=known.reason)
    return known


def is_final(kind: ResultClass, *, earlier: int, other_way: bool) -> bool:
    """Tell whether no further attempt is worth it.

    ``earlier``: how often the same result came before; ``other_way``: another protocol or a push is left.
    """
    match kind:
        case ResultClass.PERMANENT | ResultClass.SUCCESS | ResultClass.CANCELLED:
            return True
        case ResultClass.RETRY_ONCE:
            return earlier > 0
        case ResultClass.OTHER_PROTOCOL:
            return not other_way
        case ResultClass.RETRY | ResultClass.WAIT | ResultClass.NONE:
            return False
        case _:
            assert_never(kind)
