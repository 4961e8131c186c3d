"""A campaign's life, as a total table.

The same states serve the published v1, v2 and v3 (``core/words`` has their spellings). Every
(status, event) pair is written out: IGNORE where the event changes nothing because it came twice or
late, REFUSE where whoever caused it has to be told that it cannot be (``lifecycle.md`` 4.1).

Not here: when an event happens (``core/plan.py``, ``core/window.py``), what it does to the devices
(``core/upgrade.py``).
"""

from enum import StrEnum, auto
from typing import Final, Literal


class CampaignStatus(StrEnum):
    """Where a campaign is."""

    REQUEST_PENDING = "request_pending"
    REQUEST_QUEUED = "request_queued"
    PRE_SCHEDULED = "pre_scheduled"  # v3: where its devices are is known; slots are being given
    SCHEDULED = "scheduled"
    ENDED = "ended"
    REQUEST_FAILED = "request_failed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    ABORTED = "aborted"


class CampaignEvent(StrEnum):
    """What can happen to it."""

    ACCEPTED = auto()  # the device checks are done and at least one device passed
    REJECTED = auto()  # the device checks are done and none passed
    LOCATED = auto()  # what the network knows of its devices is known
    REPLANNED = auto()  # v3: its dates are others, and it has not begun: slots are given anew
    STARTED = auto()  # its start has come; in v3, its devices have their slots
    ENDED = auto()  # its end has come, or every device succeeded
    FAILED = auto()  # it cannot be delivered
    STOPPED = auto()  # the user's DELETE
    WITHDRAWN = auto()  # the same, before its start date, whatever its status
    EMPTIED = auto()  # the user removed its last device


IGNORE: Final = "ignore"
REFUSE: Final = "refuse"
Ignored = Literal["ignore"]
Refused = Literal["refuse"]

_S = CampaignStatus
_E = CampaignEvent

TABLE: Final[dict[tuple[CampaignStatus, CampaignEvent], CampaignStatus | Ignored | Refused]] = {
    (_S.REQUEST_PENDING, _E.ACCEPTED): _S.REQUEST_QUEUED,
    (_S.REQUEST_PENDING, _E.REJECTED): _S.REQUEST_FAILED,
    (_S.REQUEST_PENDING, _E.LOCATED): IGNORE,  # the checks come first
    (_S.REQUEST_PENDING, _E.REPLANNED): IGNORE,
    (_S.REQUEST_PENDING, _E.STARTED): IGNORE,
    (_S.REQUEST_PENDING, _E.ENDED): _S.REQUEST_FAILED,
    (_S.REQUEST_PENDING, _E.FAILED): _S.FAILED,
    (_S.REQUEST_PENDING, _E.STOPPED): _S.CANCELLED,
    (_S.REQUEST_PENDING, _E.WITHDRAWN): _S.CANCELLED,
    (_S.REQUEST_PENDING, _E.EMPTIED): _S.CANCELLED,
    (_S.REQUEST_QUEUED, _E.ACCEPTED): IGNORE,
    (_S.REQUEST_QUEUED, _E.REJECTED): _S.REQUEST_FAILED,
    (_S.REQUEST_QUEUED, _E.LOCATED): _S.PRE_SCHEDULED,
    (_S.REQUEST_QUEUED, _E.REPLANNED): IGNORE,
    (_S.REQUEST_QUEUED, _E.STARTED): _S.SCHEDULED,
    (_S.REQUEST_QUEUED, _E.ENDED): _S.ENDED,  # the engine stood still over the whole campaign
    (_S.REQUEST_QUEUED, _E.FAILED): _S.FAILED,
    (_S.REQUEST_QUEUED, _E.STOPPED): _S.CANCELLED,
    (_S.REQUEST_QUEUED, _E.WITHDRAWN): _S.CANCELLED,
    (_S.REQUEST_QUEUED, _E.EMPTIED): _S.CANCELLED,
    (_S.PRE_SCHEDULED, _E.ACCEPTED): IGNORE,
    (_S.PRE_SCHEDULED, _E.REJECTED): _S.REQUEST_FAILED,
    (_S.PRE_SCHEDULED, _E.LOCATED): IGNORE,
    (_S.PRE_SCHEDULED, _E.REPLANNED): IGNORE,
    (_S.PRE_SCHEDULED, _E.STARTED): _S.SCHEDULED,
    (_S.PRE_SCHEDULED, _E.ENDED): _S.ENDED,
    (_S.PRE_SCHEDULED, _E.FAILED): _S.FAILED,
    (_S.PRE_SCHEDULED, _E.STOPPED): _S.CANCELLED,
    (_S.PRE_SCHEDULED, _E.WITHDRAWN): _S.CANCELLED,
    (_S.PRE_SCHEDULED, _E.EMPTIED): _S.CANCELLED,
    (_S.SCHEDULED, _E.ACCEPTED): IGNORE,
    (_S.SCHEDULED, _E.REJECTED): IGNORE,
    (_S.SCHEDULED, _E.LOCATED): IGNORE,
    (_S.SCHEDULED, _E.REPLANNED): _S.PRE_SCHEDULED,
    (_S.SCHEDULED, _E.STARTED): IGNORE,
    (_S.SCHEDULED, _E.ENDED): _S.ENDED,
    (_S.SCHEDULED, _E.FAILED): _S.FAILED,
    (_S.SCHEDULED, _E.STOPPED): _S.ABORTED,
    (_S.SCHEDULED, _E.WITHDRAWN): _S.CANCELLED,
    (_S.SCHEDULED, _E.EMPTIED): REFUSE,
    **{
        (final, event): REFUSE if event in (_E.STOPPED, _E.WITHDRAWN, _E.EMPTIED) else IGNORE
        for final in (_S.ENDED, _S.REQUEST_FAILED, _S.FAILED, _S.CANCELLED, _S.ABORTED)
        for event in _E
    },
}

FINAL: Final = frozenset({_S.ENDED, _S.REQUEST_FAILED, _S.FAILED, _S.CANCELLED, _S.ABORTED})
BEFORE_START: Final = frozenset({_S.REQUEST_PENDING, _S.REQUEST_QUEUED, _S.PRE_SCHEDULED})


def after(status: CampaignStatus, event: CampaignEvent) -> CampaignStatus | Ignored | Refused:
    """The status that ``event`` leads to, or IGNORE, or REFUSE."""
    return TABLE[status, event]
