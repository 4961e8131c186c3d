"""What follows a failed attempt.

Over HTTP a device gets a few attempts in one campaign, with a pause between them (``http-ddi.md`` 6).
Over OMA-DM it is queued and tried again without limit, or under the old rule never (``lifecycle.md``
3.5). Which policy holds for a campaign is looked up in ``engine/setbacks.py``.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often a device is tried. ``attempts`` None: without limit."""

    attempts: int | None
    pause: timedelta


def next_try(
    policy: RetryPolicy, *, made: int, now: datetime, paused: bool = True
) -> datetime | None:
    """The earliest instant of the next attempt after ``made`` of them; None: there is none.

    ``paused`` False: the failure was not the device's doing, so there is nothing to pause for.
    """
    if policy.attempts is not None and made >= policy.attempts:
        return None
    return now + policy.pause if paused else now
