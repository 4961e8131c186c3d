"""One try of one device, as a total table. Over HTTP it is the DDI *action* (``http-ddi.md`` 6).

An attempt has an id of its own and never comes back to life; a further try is a new attempt. The
one exception to "closed is closed" is truth that arrives late: a device that reports how it ended
after its attempt had expired is believed.

REFUSE is for a report that the device must be told is void (410 Gone over DDI); IGNORE for one that
is taken and changes nothing.
"""

from enum import StrEnum, auto
from typing import Final, Literal


class AttemptState(StrEnum):
    """Where a try is."""

    OFFERED = "offered"
    RETRIEVED = "retrieved"
    RUNNING = "running"
    DOWNLOADED = "downloaded"
    CANCELLING = "cancelling"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class AttemptEvent(StrEnum):
    """What can happen to it."""

    RETRIEVE = auto()  # the device fetched what it is to do
    PROGRESS = auto()  # it is at work: a report, or the first byte of the artifact
    NOTE = auto()  # words that change nothing
    DOWNLOAD = auto()  # it has the whole artifact
    SUCCEED = auto()
    FAIL = auto()
    GIVE_UP = auto()  # we failed it: the loop guard
    CANCEL = auto()  # we want it stopped
    CANCEL_CONFIRM = auto()  # the device stopped
    CANCEL_REFUSE = auto()  # the device goes on
    EXPIRE = auto()  # its time is over


IGNORE: Final = "ignore"
REFUSE: Final = "refuse"
Ignored = Literal["ignore"]
Refused = Literal["refuse"]

_S = AttemptState
_E = AttemptEvent

TABLE: Final[dict[tuple[AttemptState, AttemptEvent], AttemptState | Ignored | Refused]] = {
    (_S.OFFERED, _E.RETRIEVE): _S.RETRIEVED,
    (_S.OFFERED, _E.PROGRESS): _S.RUNNING,
    (_S.OFFERED, _E.NOTE): IGNORE,
    (_S.OFFERED, _E.DOWNLOAD): _S.DOWNLOADED,
    (_S.OFFERED, _E.SUCCEED): _S.FINISHED,
    (_S.OFFERED, _E.FAIL): _S.FAILED,
    (_S.OFFERED, _E.GIVE_UP): _S.FAILED,
    (_S.OFFERED, _E.CANCEL): _S.CANCELLED,  # it has not seen it: nobody to ask
    (_S.OFFERED, _E.CANCEL_CONFIRM): REFUSE,
    (_S.OFFERED, _E.CANCEL_REFUSE): REFUSE,
    (_S.OFFERED, _E.EXPIRE): _S.EXPIRED,
    (_S.RETRIEVED, _E.RETRIEVE): IGNORE,
    (_S.RETRIEVED, _E.PROGRESS): _S.RUNNING,
    (_S.RETRIEVED, _E.NOTE): IGNORE,
    (_S.RETRIEVED, _E.DOWNLOAD): _S.DOWNLOADED,
    (_S.RETRIEVED, _E.SUCCEED): _S.FINISHED,
    (_S.RETRIEVED, _E.FAIL): _S.FAILED,
    (_S.RETRIEVED, _E.GIVE_UP): _S.FAILED,
    (_S.RETRIEVED, _E.CANCEL): _S.CANCELLING,
    (_S.RETRIEVED, _E.CANCEL_CONFIRM): REFUSE,
    (_S.RETRIEVED, _E.CANCEL_REFUSE): REFUSE,
    (_S.RETRIEVED, _E.EXPIRE): _S.EXPIRED,
    (_S.RUNNING, _E.RETRIEVE): IGNORE,
    (_S.RUNNING, _E.PROGRESS): IGNORE,
    (_S.RUNNING, _E.NOTE): IGNORE,
    (_S.RUNNING, _E.DOWNLOAD): _S.DOWNLOADED,
    (_S.RUNNING, _E.SUCCEED): _S.FINISHED,
    (_S.RUNNING, _E.FAIL): _S.FAILED,
    (_S.RUNNING, _E.GIVE_UP): _S.FAILED,
    (_S.RUNNING, _E.CANCEL): _S.CANCELLING,
    (_S.RUNNING, _E.CANCEL_CONFIRM): REFUSE,
    (_S.RUNNING, _E.CANCEL_REFUSE): REFUSE,
    (_S.RUNNING, _E.EXPIRE): _S.EXPIRED,
    (_S.DOWNLOADED, _E.RETRIEVE): IGNORE,
    (_S.DOWNLOADED, _E.PROGRESS): IGNORE,
    (_S.DOWNLOADED, _E.NOTE): IGNORE,
    (_S.DOWNLOADED, _E.DOWNLOAD): IGNORE,
    (_S.DOWNLOADED, _E.SUCCEED): _S.FINISHED,
    (_S.DOWNLOADED, _E.FAIL): _S.FAILED,
    (_S.DOWNLOADED, _E.GIVE_UP): _S.FAILED,
    (_S.DOWNLOADED, _E.CANCEL): _S.CANCELLING,
    (_S.DOWNLOADED, _E.CANCEL_CONFIRM): REFUSE,
    (_S.DOWNLOADED, _E.CANCEL_REFUSE): REFUSE,
    (_S.DOWNLOADED, _E.EXPIRE): _S.EXPIRED,
    (_S.CANCELLING, _E.RETRIEVE): REFUSE,
    (_S.CANCELLING, _E.PROGRESS): IGNORE,  # messages of a download under way still arrive
    (_S.CANCELLING, _E.NOTE): IGNORE,
    (_S.CANCELLING, _E.DOWNLOAD): IGNORE,
    (_S.CANCELLING, _E.SUCCEED): _S.FINISHED,  # the device was faster
    (_S.CANCELLING, _E.FAIL): _S.FAILED,
    (_S.CANCELLING, _E.GIVE_UP): _S.FAILED,
    (_S.CANCELLING, _E.CANCEL): IGNORE,
    (_S.CANCELLING, _E.CANCEL_CONFIRM): _S.CANCELLED,
    (_S.CANCELLING, _E.CANCEL_REFUSE): _S.RUNNING,
    (_S.CANCELLING, _E.EXPIRE): _S.CANCELLED,
    (_S.EXPIRED, _E.RETRIEVE): REFUSE,
    (_S.EXPIRED, _E.PROGRESS): IGNORE,
    (_S.EXPIRED, _E.NOTE): IGNORE,
    (_S.EXPIRED, _E.DOWNLOAD): IGNORE,
    (_S.EXPIRED, _E.SUCCEED): _S.FINISHED,
    (_S.EXPIRED, _E.FAIL): _S.FAILED,
    (_S.EXPIRED, _E.GIVE_UP): IGNORE,
    (_S.EXPIRED, _E.CANCEL): IGNORE,
    (_S.EXPIRED, _E.CANCEL_CONFIRM): REFUSE,
    (_S.EXPIRED, _E.CANCEL_REFUSE): REFUSE,
    (_S.EXPIRED, _E.EXPIRE): IGNORE,
    **{
        (closed, event): IGNORE
        if event in (_E.DOWNLOAD, _E.GIVE_UP, _E.CANCEL, _E.EXPIRE)
        else REFUSE
        for closed in (_S.FINISHED, _S.FAILED, _S.CANCELLED)
        for event in _E
    },
    (_S.CANCELLED, _E.CANCEL_CONFIRM): IGNORE,  # the device says again what we have recorded
}

CLOSED: Final = frozenset({_S.FINISHED, _S.FAILED, _S.CANCELLED, _S.EXPIRED})
LINKED: Final = frozenset({_S.OFFERED, _S.RETRIEVED, _S.RUNNING, _S.DOWNLOADED})


def after(state: AttemptState, event: AttemptEvent) -> AttemptState | Ignored | Refused:
    """The state that ``event`` leads to, or IGNORE, or REFUSE."""
    return TABLE[state, event]
