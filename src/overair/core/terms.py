"""What the campaigns of each API version promise that those of the others do not.

One table, so that the engine has one way of running a campaign and no version in its conditions
(``lifecycle.md`` 3, 4 and 5).
"""

from dataclasses import dataclass
from typing import Final

from overair.core.upgrade import OPEN, UpgradeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The rules of one API version."""

    days: int  # its length where the request gives no end
    on_demand_days: (
        int | None
    )  # the most that a campaign which starts today may last; None: no limit
    pilot: bool  # a package that is not proven goes to few devices
    stoppable: bool  # it may be stopped after its start
    needs_success: (
        bool  # ends early only when every device succeeded; else when all are at their end
    )
    queues: bool  # a device over OMA-DM that it could not update is tried on after its end
    slots: bool  # each device has its turn in a slot of its cell
    announces_queued: bool  # its listener is told of the checks even if it starts at once

    @property
    def lasting(self) -> frozenset[UpgradeState]:
        """The states of devices that keep a running campaign from ending before its time."""
        return OPEN | {UpgradeState.FAILED} if self.needs_success else OPEN


TERMS: Final = {
    1: Terms(
        days=7,
        on_demand_days=None,
        pilot=False,
        stoppable=False,
        needs_success=False,
        queues=True,
        slots=False,
        announces_queued=True,
    ),
    2: Terms(
        days=7,
        on_demand_days=7,
        pilot=True,
        stoppable=True,
        needs_success=True,
        queues=False,
        slots=False,
        announces_queued=False,
    ),
    3: Terms(
        days=30,
        on_demand_days=None,
        pilot=True,
        stoppable=False,
        needs_success=False,
        queues=False,
        slots=True,
        announces_queued=True,
    ),
}
