"""One device's way through one campaign, as a total table.

A *device upgrade* outlives its attempts: a failed attempt leaves it PENDING while another may
follow. Its state is what reports, counters and callbacks speak of; the reason says more. Success is
the one thing that is never too late: a device that shows the new version after the campaign ended,
or was stopped, has succeeded (``lifecycle.md`` 4.2, ``http-ddi.md`` 6).

A device over OMA-DM whose campaign is over may be QUEUED: it is free for another campaign, and until
one takes it, it is tried on without limit (``lifecycle.md`` 3.5).

Not here: single attempts (``core/attempt.py``), published words (``core/words``).
"""

from enum import StrEnum, auto
from typing import Final, Literal


class UpgradeState(StrEnum):
    """Where a device is in a campaign."""

    REQUESTED = "requested"  # not checked yet
    REJECTED = "rejected"
    ACCEPTED = "accepted"  # passed the checks; nothing was offered yet
    PENDING = "pending"  # offered at least once, and may still succeed
    QUEUED = "queued"  # its campaign is over, and it is tried on (lifecycle.md 3.5)
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"  # stopped before the campaign's start
    ABORTED = "aborted"  # stopped after it


class UpgradeEvent(StrEnum):
    """What can happen to it."""

    ACCEPT = auto()
    REJECT = auto()
    OFFER = auto()
    PROGRESS = auto()  # a new reason, no new state: downloaded, or an attempt failed
    SUCCEED = auto()
    EXHAUST = auto()  # an attempt failed and no further one can come
    END = auto()  # the campaign ended
    QUEUE = auto()  # the campaign ended, and the device is to be tried on
    SUPERSEDE = auto()  # another campaign has taken the device that was queued
    CANCEL = auto()  # the campaign was cancelled, or the device left it, before the start
    ABORT = auto()  # the campaign was stopped after its start


class Reason(StrEnum):
    """Why a device is where it is. The published texts are in ``core/words``."""

    NONE = ""
    CHECKED = "checked"
    # Rejections, in the order of the checks (lifecycle.md 2.3).
    INVALID_IMEI = "invalid_imei"
    NOT_FOUND = "not_found"
    UNKNOWN_TYPE = "unknown_type"
    NOT_ELIGIBLE = "not_eligible"
    NOT_ACTIVE = "not_active"
    IN_CAMPAIGN = "in_campaign"
    MAKE_MODEL = "make_model"
    VERSION = "version"
    NO_LICENSE = "no_license"
    INTERNAL = "internal"
    # While an upgrade is under way, and how it failed.
    NOT_REACHABLE = "not_reachable"  # the network does not see it: it has no slot
    SLOTTED = "slotted"  # it has its slot
    CELL_FULL = "cell_full"  # there is no room in its cell up to the campaign's end
    NO_TIME_LEFT = "no_time_left"  # there is no slot any more
    NO_REPORT = "no_report"
    NOTIFIED = "notified"  # told to come; nothing was heard of it since
    RETRY_QUEUED = "retry_queued"  # an attempt failed; the next one waits for a wake-up
    NO_RESPONSE = "no_response"  # it did not come while its notification was alive
    DECLINED = "declined"  # its user, or it, said no
    DOWNLOAD_FAILED = "download_failed"
    NOT_INSTALLED_YET = "not_installed_yet"
    INSTALL_FAILED = "install_failed"
    VERSION_UNCHANGED = "version_unchanged"  # it reported success and shows the old version
    UNEXPECTED_VERSION = "unexpected_version"  # it shows neither the old nor the new one
    REPORT_LOST = "report_lost"  # it stands still and never said how it ended
    UNKNOWN_ERROR = "unknown_error"
    OTHER = "other"
    # Ends.
    SUCCESS = "success"
    BY_USER = "by_user"
    LICENSE_REMOVED = "license_removed"
    SUPERSEDED = "superseded"  # another campaign took its place


IGNORE: Final = "ignore"
Ignored = Literal["ignore"]

_S = UpgradeState
_E = UpgradeEvent

TABLE: Final[dict[tuple[UpgradeState, UpgradeEvent], UpgradeState | Ignored]] = {
    (_S.REQUESTED, _E.ACCEPT): _S.ACCEPTED,
    (_S.REQUESTED, _E.REJECT): _S.REJECTED,
    (_S.REQUESTED, _E.OFFER): IGNORE,
    (_S.REQUESTED, _E.PROGRESS): IGNORE,
    (_S.REQUESTED, _E.SUCCEED): IGNORE,
    (_S.REQUESTED, _E.EXHAUST): IGNORE,
    (_S.REQUESTED, _E.END): _S.FAILED,
    (_S.REQUESTED, _E.QUEUE): _S.FAILED,  # it was never let in
    (_S.REQUESTED, _E.SUPERSEDE): IGNORE,
    (_S.REQUESTED, _E.CANCEL): _S.CANCELLED,
    (_S.REQUESTED, _E.ABORT): _S.ABORTED,
    **{(_S.REJECTED, event): IGNORE for event in _E},
    (_S.ACCEPTED, _E.ACCEPT): IGNORE,
    (_S.ACCEPTED, _E.REJECT): _S.REJECTED,
    (_S.ACCEPTED, _E.OFFER): _S.PENDING,
    (_S.ACCEPTED, _E.PROGRESS): _S.ACCEPTED,  # it got its slot, or lost it
    (_S.ACCEPTED, _E.SUCCEED): IGNORE,  # nothing was offered that could have succeeded
    (_S.ACCEPTED, _E.EXHAUST): IGNORE,
    (_S.ACCEPTED, _E.END): _S.FAILED,
    (_S.ACCEPTED, _E.QUEUE): _S.QUEUED,  # it never had its turn
    (_S.ACCEPTED, _E.SUPERSEDE): IGNORE,
    (_S.ACCEPTED, _E.CANCEL): _S.CANCELLED,
    (_S.ACCEPTED, _E.ABORT): _S.ABORTED,
    (_S.PENDING, _E.ACCEPT): IGNORE,
    (_S.PENDING, _E.REJECT): IGNORE,
    (_S.PENDING, _E.OFFER): _S.PENDING,
    (_S.PENDING, _E.PROGRESS): _S.PENDING,
    (_S.PENDING, _E.SUCCEED): _S.SUCCEEDED,
    (_S.PENDING, _E.EXHAUST): _S.FAILED,
    (_S.PENDING, _E.END): _S.FAILED,
    (_S.PENDING, _E.QUEUE): _S.QUEUED,
    (_S.PENDING, _E.SUPERSEDE): IGNORE,
    (_S.PENDING, _E.CANCEL): _S.CANCELLED,
    (_S.PENDING, _E.ABORT): _S.ABORTED,
    (_S.QUEUED, _E.ACCEPT): IGNORE,
    (_S.QUEUED, _E.REJECT): IGNORE,
    (_S.QUEUED, _E.OFFER): _S.QUEUED,
    (_S.QUEUED, _E.PROGRESS): _S.QUEUED,
    (_S.QUEUED, _E.SUCCEED): _S.SUCCEEDED,
    (_S.QUEUED, _E.EXHAUST): _S.FAILED,
    (_S.QUEUED, _E.END): _S.FAILED,
    (_S.QUEUED, _E.QUEUE): IGNORE,
    (_S.QUEUED, _E.SUPERSEDE): _S.FAILED,
    (_S.QUEUED, _E.CANCEL): _S.CANCELLED,  # its licence was taken away
    (_S.QUEUED, _E.ABORT): _S.ABORTED,
    **{(_S.SUCCEEDED, event): IGNORE for event in _E},
    **{
        (late, event): _S.SUCCEEDED if event is _E.SUCCEED else IGNORE
        for late in (_S.FAILED, _S.CANCELLED, _S.ABORTED)
        for event in _E
    },
}

FINAL: Final = frozenset({_S.REJECTED, _S.SUCCEEDED, _S.FAILED, _S.CANCELLED, _S.ABORTED})
# What keeps its campaign open, and the device in it. A queued one does neither, and is not at its end.
OPEN: Final = frozenset(_S) - FINAL - {_S.QUEUED}


def after(state: UpgradeState, event: UpgradeEvent) -> UpgradeState | Ignored:
    """The state that ``event`` leads to, or IGNORE."""
    return TABLE[state, event]
