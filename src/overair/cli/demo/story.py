"""What the operator of the demo does, from the first call to the last report.

1. She signs in, looks at the subscription and the catalogue, and registers a callback listener.
2. She tries to schedule all devices of a model at once: refused, for the package is not proven.
3. A pilot for each model: a day, on demand, up to twenty devices.
4. The full campaigns: from the next day on, for a week. The X1 may be updated at night only; the
   R2, which can download ahead, downloads at any time and installs from the third night on, between
   one and five.
5. When they are over, and the devices quiet, she reads the reports.

Beside it runs an upgrade through v1, of the devices that are told to come (``upgrade``): it starts at
the first midnight, and its report is read last, for who slept for days is still tried then. And through v3
a pilot and a full campaign of devices in cells, slot by slot (``slotted``).

All of it goes through the public API. The devices, and the clock, are the demo's own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from rich.markup import escape

from overair.cli import CommandError
from overair.cli.demo import cells, slotted, upgrade
from overair.cli.demo import world as cast
from overair.cli.demo.board import LOOK_S, Board, View
from overair.cli.demo.client import ApiError, Operator
from overair.cli.demo.ledger import SUCCESS, Ledger, compare
from overair.cli.demo.listener import Listener
from overair.cli.demo.pace import Pace
from overair.cli.demo.slotted import Bars, SlottedChapter
from overair.cli.demo.upgrade import PushedChapter
from overair.cli.demo.world import FROM, TO, Model, World
from overair.clock import FastClock
from overair.sim.http.fleet import Fleet
from overair.sim.http.tally import DeviceTruth
from overair.sim.lwm2m.fleet import Fleet as CelledFleet
from overair.sim.omadm.fleet import Fleet as PushedFleet
from overair.sim.omadm.tally import DeviceTruth as PushedTruth

DAYS: Final = 7  # of the full campaigns
BEFORE: Final = 2  # days from the beginning to the start of the full campaigns
PILOT_DAYS: Final = 2  # of the campaign in cells
SETTLE_S: Final = 30.0
NIGHT: Final = [{"startTime": "22", "endTime": "24"}, {"startTime": "0", "endTime": "6"}]
SMALL_HOURS: Final = [{"startTime": "1", "endTime": "5"}]


def first_day(today: date) -> date:
    """The day on which the story has to begin, so that it ends with yesterday."""
    return today - timedelta(days=BEFORE + DAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """A campaign that is over: its report, and what the devices tell."""

    view: View
    ledger: Ledger


class Story:
    """Tells it once."""

    def __init__(
        self,
        *,
        world: World,
        operator: Operator,
        listener: Listener,
        fleets: list[Fleet],
        pushed: list[PushedFleet],
        celled: CelledFleet,
        clock: FastClock,
        pace: Pace,
        windows: bool,
        say: Callable[[str], None],
    ) -> None:
        self.board = Board(operator, say, lambda: clock.now().date())
        self._world = world
        self._operator = operator
        self._listener = listener
        self._fleets = fleets
        self._pushed = pushed
        self._celled = celled
        self._clock = clock
        self._pace = pace
        self._windows = windows
        self._say = say
        self._last = clock.now().date() + timedelta(days=BEFORE + DAYS - 1)

    async def run(
        self, wall: Callable[[], datetime]
    ) -> tuple[list[Chapter], PushedChapter, SlottedChapter]:
        """Run it to its end. Raises CommandError."""
        try:
            # With time standing still, however long it takes: the days are for the campaigns.
            await self._prepare()
            await self._schedule_upgrade()
            await self._schedule_slotted("Pilot", self._world.celled.pilots, 1, PILOT_DAYS)
        except ApiError as error:
            raise _refused(error) from error
        running = True
        clock = asyncio.create_task(self._pace.run_until(lambda: not running))
        try:
            beside = asyncio.create_task(self._run_beside())
            try:
                chapters = await self._run()
                await beside
            finally:
                beside.cancel()
        except ApiError as error:
            raise _refused(error) from error
        finally:
            running = False
            await clock
        await self._catch_up(wall)
        try:
            return chapters, await self._close_upgrade(), await self._close_slotted()
        except ApiError as error:
            raise _refused(error) from error

    async def _run(self) -> list[Chapter]:
        pilots = [await self._pilot(model) for model in self._world.models]
        await self.board.until(lambda: any(view.succeeded for view in self.board.views))
        self._say("the first device is updated, and shows it")
        await self.board.until(lambda: all(view.is_settled for view in pilots))
        chapters = await self._close(pilots, {})
        before = {imei: frozenset(truth.offers) for imei, truth in self.truths().items()}
        full = [
            await self._full(model, view)
            for model, view in zip(self._world.models, pilots, strict=True)
        ]
        await self.board.until(lambda: all(view.is_settled for view in full))
        return chapters + await self._close(full, before)

    async def _run_beside(self) -> None:
        """The campaigns that go slot by slot: a line for each slot that is over."""
        board = self.board
        told: set[slotted.Slot] = set()

        async def over(views: list[slotted.Slotted]) -> None:
            while not all(view.is_settled for view in views):
                await asyncio.sleep(LOOK_S)
                self._tell_slots(told)
            await asyncio.sleep(0)

        await over(board.slotted[:1])
        pilot = board.slotted[0]
        rest = [
            imei
            for imei in self._world.celled.imeis
            if imei not in pilot.report or pilot.report[imei].status != SUCCESS
        ]
        left = (self._last - self._clock.now().date()).days
        await self._schedule_slotted("Full", rest, 1, max(1, left))
        await over(board.slotted)

    def _tell_slots(self, told: set[slotted.Slot]) -> None:
        now, found = self._clock.now(), self.bars()
        for slot in sorted({slot for of_cell in found.values() for slot in of_cell}):
            begun = any(slotted.begun(found, cell, slot) for cell in found)
            if slot.end <= now and slot not in told and begun:
                told.add(slot)
                self._say(escape(slotted.slot_line(slot, found)))

    def bars(self) -> Bars:
        """What began, and what is to begin, in each cell and slot."""
        return slotted.bars(self.board.slotted, self._celled.truths())

    async def _schedule_slotted(self, title: str, imeis: list[str], after: int, days: int) -> None:
        start = self._clock.now().date() + timedelta(days=after)
        firmware = {
            "firmwareName": cast.celled_package(TO),
            "firmwareFrom": FROM,
            "firmwareTo": TO,
        }
        name = f"{title} {cells.MODEL}"
        made = await slotted.schedule(
            self._operator, name, imeis, firmware, start, start + timedelta(days=days - 1)
        )
        self.board.slotted.append(made)
        self._say(
            f"{name}, through v3: scheduled for {len(imeis)} devices in {cells.CELLS} cells,"
            f" {made.start} to {made.end}, 22-24+0-6 UTC"
        )

    async def _prepare(self) -> None:
        operator = self._operator
        await operator.sign_in()
        subscription = await operator.call("GET", "/subscriptions/{}")
        self._say(
            f"signed in; {subscription['licenseUsedCount']} of"
            f" {subscription['licenseCount']} licences are in use"
        )
        software = await operator.call("GET", "/software/{}")
        self._say(f"the catalogue has {', '.join(s['softwareName'] for s in software)}")
        await operator.call("POST", "/callbacks/{}", {"url": self._listener.url})
        service = {"name": "Fota", "url": self._listener.url}
        await operator.call("POST", "/callbacks/{}", service, version=1)
        await operator.call("POST", "/callbacks/{}", {"url": self._listener.url}, version=3)
        self._say(f"callbacks go to {self._listener.url}")

    async def _schedule_upgrade(self) -> None:
        pushed = self._world.pushed
        today = self._clock.now().date()
        made = await upgrade.schedule(
            self._operator, pushed.imeis, cast.pushed_package(TO), TO, today
        )
        self.board.upgrade = made
        self._say(
            f"{made.name}, through v1: scheduled for {len(pushed.imeis)} devices that are told to"
            f" come, from {made.start} 00:00 UTC to {made.end}; some will be asleep"
        )

    async def _pilot(self, model: Model) -> View:
        today = self._clock.now().date()
        everybody = self._body(model, "all at once", model.imeis, today, today)
        if len(model.imeis) > cast.PILOT:
            try:
                await self._operator.schedule(everybody)
            except ApiError as refused:
                self._say(
                    f"all {len(model.imeis)} {model.name} at once: refused, {refused.message}"
                )
            else:
                raise CommandError("a package that is not proven was scheduled for all", status=1)
        name = f"Pilot {model.name}"
        return await self._schedule(model, self._body(model, name, model.pilots, today, today))

    async def _full(self, model: Model, pilot: View) -> View:
        done = {
            imei for imei, standing in pilot.report.items() if standing.status == "UpgradeSuccess"
        }
        imeis = [imei for imei in model.imeis if imei not in done]
        if model is self._world.models[0]:
            imeis.append(cast.NOBODY)
        begin = self._clock.now().date() + timedelta(days=1)
        body = self._body(model, f"Full {model.name}", imeis, begin, max(begin, self._last))
        if self._windows and model.two_phase:
            after = min(begin + timedelta(days=2), max(begin, self._last))
            body["installAfterDate"] = after.isoformat()
            body["installTimeWindowList"] = SMALL_HOURS
        elif self._windows:
            body["downloadTimeWindowList"] = NIGHT
            body["installTimeWindowList"] = NIGHT
        return await self._schedule(model, body)

    def _body(
        self, model: Model, name: str, imeis: list[str], begin: date, end: date
    ) -> dict[str, Any]:
        return {
            "campaignName": name,
            "softwareName": model.package,
            "softwareFrom": FROM,
            "softwareTo": TO,
            "distributionType": "HTTP",
            "startDate": begin.isoformat(),
            "endDate": end.isoformat(),
            "deviceList": imeis,
        }

    async def _schedule(self, model: Model, body: dict[str, Any]) -> View:
        campaign_id = await self._operator.schedule(body)
        hours = "".join(
            f", {word} {'+'.join(w['startTime'] + '-' + w['endTime'] for w in body[member])} UTC"
            for word, member in (
                ("downloads", "downloadTimeWindowList"),
                ("installs", "installTimeWindowList"),
            )
            if member in body
        )
        if "installAfterDate" in body:
            hours += f", from {body['installAfterDate']}"
        self._say(
            f"{body['campaignName']}: scheduled for {len(body['deviceList'])} devices,"
            f" {body['startDate']} to {body['endDate']}{hours}"
        )
        return self.board.add(campaign_id, body["campaignName"], model.name)

    # Looking back --------------------------------------------------------------------------------

    def truths(self) -> dict[str, DeviceTruth]:
        """Every device as it tells of itself."""
        return {name: truth for fleet in self._fleets for name, truth in fleet.truths().items()}

    async def _close(self, views: list[View], before: dict[str, frozenset[int]]) -> list[Chapter]:
        """The reports, taken while nothing moves: a device may still be telling of its end."""
        end = asyncio.get_running_loop().time() + SETTLE_S
        while True:
            await self.board.look(all_views=True)
            truths = self.truths()
            chapters = [
                Chapter(view=view, ledger=compare(view.report, truths, TO, before))
                for view in views
            ]
            disputed = any(chapter.ledger.disputes for chapter in chapters)
            late = asyncio.get_running_loop().time() >= end
            if late or not (disputed or self._busy()):
                return chapters
            await asyncio.sleep(0.1)

    async def _close_upgrade(self) -> PushedChapter:
        """The report of the devices that are told to come; some may be at it still."""
        view = self.board.upgrade
        assert view is not None, "it is scheduled first of all"
        end = asyncio.get_running_loop().time() + SETTLE_S
        while True:
            chapter = await upgrade.conclude(self._operator, view, self.pushed_truths(), TO)
            late = asyncio.get_running_loop().time() >= end
            if late or not chapter.ledger.disputes:
                return chapter
            await asyncio.sleep(0.1)

    async def _close_slotted(self) -> SlottedChapter:
        """The reports of the campaigns that went slot by slot."""
        end = asyncio.get_running_loop().time() + SETTLE_S
        while True:
            for view in self.board.slotted:
                await view.look(self._operator)
            chapter = slotted.conclude(self.board.slotted, self._celled.truths(), TO)
            if chapter.is_right or asyncio.get_running_loop().time() >= end:
                return chapter
            await asyncio.sleep(0.1)

    def pushed_truths(self) -> dict[str, PushedTruth]:
        """Every device that is told to come, as it tells of itself."""
        return {name: truth for fleet in self._pushed for name, truth in fleet.truths().items()}

    def _busy(self) -> bool:
        return any(
            seen.downloading + seen.installing + seen.rebooting + seen.reporting
            for seen in (fleet.snapshot() for fleet in self._fleets)
        )

    async def _catch_up(self, wall: Callable[[], datetime]) -> None:
        """Let the demo's clock arrive at the present, and go on as all clocks do."""
        self._say("the campaigns are over; the demo's clock runs on to the present")
        await self._pace.run_until(lambda: self._clock.now() >= wall(), wall())
        self._clock.set_rate(1.0)


def _refused(error: ApiError) -> CommandError:
    return CommandError(f"the server refused what the demo asked: {error}", status=1)
