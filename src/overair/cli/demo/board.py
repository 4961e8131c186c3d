"""What is known of the demo's campaigns, read through the API again and again.

The picture is drawn from here, and the story waits here for what it has to see before it goes on.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from overair.cli.demo.client import Operator
from overair.cli.demo.ledger import SUCCESS, UNSETTLED, Standing
from overair.cli.demo.slotted import Slotted
from overair.cli.demo.upgrade import NOTIFIED, QUEUED, Upgrade

LOOK_S: Final = 0.25
OVER: Final = frozenset(
    {
        "CampaignEnded",
        "CampaignRequestFailed",
        "CampaignFailed",
        "CampaignCancelled",
        "CampaignAborted",
    }
)


@dataclass(slots=True, kw_only=True)
class View:
    """A campaign as the API shows it."""

    id: str
    name: str
    model: str
    status: str = ""
    report: dict[str, Standing] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[str]:
        """Devices by status."""
        return Counter(standing.status for standing in self.report.values())

    @property
    def succeeded(self) -> int:
        return self.counts[SUCCESS]

    @property
    def is_settled(self) -> bool:
        """It is over, and every device's part in it as well."""
        return self.status in OVER and not UNSETTLED & self.counts.keys()


class Board:
    """All campaigns of the demo, in the order of their making."""

    def __init__(
        self, operator: Operator, say: Callable[[str], None], today: Callable[[], date]
    ) -> None:
        self._operator = operator
        self._today = today
        self._say = say
        self.views: list[View] = []
        self.upgrade: Upgrade | None = None
        self.slotted: list[Slotted] = []
        self._told: tuple[date | None, str] = (None, "")  # of the upgrade: when, and what

    def add(self, campaign_id: str, name: str, model: str) -> View:
        """Keep an eye on a campaign."""
        view = View(id=campaign_id, name=name, model=model)
        self.views.append(view)
        return view

    @property
    def all_views(self) -> list[View | Upgrade | Slotted]:
        """The upgrade, and what goes slot by slot, last."""
        return [*self.views, *([] if self.upgrade is None else [self.upgrade]), *self.slotted]

    async def look(self, *, all_views: bool = False) -> None:
        """Read the campaigns again; those that are settled do not change, but for late results."""
        for view in self.views:
            if view.is_settled and not all_views:
                continue
            status = await self._operator.status(view.id)
            view.report = await self._operator.report(view.id)
            if status != view.status:
                view.status = status
                self._say(f"{view.name}: {status}")
        if self.upgrade is not None:
            await self._look_at_upgrade(self.upgrade)
        for slotted in self.slotted:
            if not slotted.is_settled or all_views:
                before = slotted.status
                await slotted.look(self._operator)
                if slotted.status != before:
                    self._say(f"{slotted.name}: {slotted.status}")

    async def _look_at_upgrade(self, upgrade: Upgrade) -> None:
        """What v1 shows of it now; what changed is told once a day."""
        status = upgrade.status
        await upgrade.look(self._operator)
        counts = upgrade.counts
        if upgrade.status != status:
            self._say(f"{upgrade.name}: {upgrade.status}")
        told = f"{counts[SUCCESS]} updated, {counts[QUEUED]} queued until they attach"
        day, before = self._told
        settled = not counts[NOTIFIED] and counts[SUCCESS] + counts[QUEUED] > 0
        if settled and told != before and self._today() != day:
            self._told = (self._today(), told)
            self._say(f"{upgrade.name}: {told}")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Look until ``condition`` holds."""
        await self.look()
        while not condition():
            await asyncio.sleep(LOOK_S)
            await self.look()
