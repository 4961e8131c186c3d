"""The operator's campaigns through v3: a pilot, and then everybody, slot by slot in each cell.

She names dates and hours, and nothing of cells: those the server asks the devices, and spreads them. What
became of it is held against what the devices say of themselves (``sim.lwm2m.tally.DeviceTruth``): what
each runs, and when and in which cell it began, so that no cell had more than it may.

A bar is one slot of one cell, as wide as its limit: ``G``, ``F`` and ``P`` are devices with a good, fair
or poor signal that began in it and were updated, small letters those that failed, and dots those whose
turn is to come.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from overair.cli.demo.cells import FAIR, GOOD, POOR
from overair.cli.demo.client import Operator
from overair.cli.demo.ledger import REJECTED, SUCCESS, Ledger, Line, Standing
from overair.sim.lwm2m.tally import DeviceTruth, Work

NIGHT: Final = [{"startTime": "22", "endTime": "24"}, {"startTime": "0", "endTime": "6"}]
# What these windows leave of slots of four hours.
_PIECES: Final = ((0, 4), (4, 6), (22, 24))
_OVER: Final = "no retry available"
_ENDED: Final = "CampaignEnded"
# As the server's defaults have it (docs/slots.md).
_GOOD_DBM, _FAIR_DBM = -95, -110
WIDTH: Final = 8
_LIMITS: Final = {"G": GOOD, "F": FAIR, "P": POOR}


@dataclass(slots=True, kw_only=True)
class Slotted:
    """A campaign as v3 shows it."""

    id: str
    name: str
    start: date
    end: date
    status: str = ""
    report: dict[str, Standing] = field(default_factory=dict)
    turns: dict[str, datetime] = field(default_factory=dict)

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
        return self.status == _ENDED and all(
            standing.status in (SUCCESS, REJECTED) or _OVER in standing.reason
            for standing in self.report.values()
        )

    async def look(self, operator: Operator) -> None:
        """Read it again."""
        found = await operator.call("GET", f"/campaigns/{{}}/{self.id}", version=3)
        self.status = found["status"]
        standings: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await operator.call(
                "GET", f"/reports/{{}}/campaigns/{self.id}/devices{cursor}", version=3
            )
            standings += page["deviceList"]
            if not page["hasMoreData"]:
                break
            cursor = f"?lastSeenDeviceId={page['lastSeenDeviceId']}"
        self.report = {s["deviceId"]: Standing(s["status"], s["resultReason"]) for s in standings}
        self.turns = {
            s["deviceId"]: datetime.fromisoformat(s["nextAttemptTime"])
            for s in standings
            if s.get("nextAttemptTime")
        }


async def schedule(
    operator: Operator,
    name: str,
    imeis: list[str],
    firmware: dict[str, str],
    start: date,
    end: date,
) -> Slotted:
    """Ask for a campaign of v3. Raises ApiError."""
    made = await operator.call(
        "POST",
        "/campaigns/firmware/{}",
        {
            "campaignName": name,
            **firmware,
            "protocol": "LWM2M",
            "startDate": start.isoformat(),
            "endDate": end.isoformat(),
            "campaignTimeWindowList": NIGHT,
            "deviceList": imeis,
        },
        version=3,
    )
    return Slotted(id=made["id"], name=name, start=start, end=end)


# Slots -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """A time in which work may begin."""

    start: datetime
    end: datetime

    @property
    def title(self) -> str:
        return f"{self.start:%a %d %H:%M}-{self.end:%H:%M}"


def slots_of(view: Slotted) -> Iterator[Slot]:
    """The slots of a campaign, in order."""
    day = datetime.combine(view.start, datetime.min.time(), UTC)
    while day.date() <= view.end:
        for begin, end in _PIECES:
            yield Slot(day + timedelta(hours=begin), day + timedelta(hours=end))
        day += timedelta(days=1)


def _letter(signal_dbm: int) -> str:
    if signal_dbm >= _GOOD_DBM:
        return "G"
    return "F" if signal_dbm >= _FAIR_DBM else "P"


def _starts(truth: DeviceTruth) -> Iterator[tuple[Work, bool]]:
    """What a device began, and whether it only goes on with what was cut by a restart or lost its network."""
    goes_on = False
    for work in truth.work:
        yield work, goes_on
        goes_on = work.is_interrupted


Bars = dict[int, dict[Slot, list[str]]]


def bars(views: Iterable[Slotted], truths: Mapping[str, DeviceTruth]) -> Bars:
    """What began, and what is to begin, by cell and slot: a letter or a dot for each device."""
    slots = sorted({slot for view in views for slot in slots_of(view)})
    found: Bars = defaultdict(lambda: {slot: [] for slot in slots})
    for truth in truths.values():
        letter = _letter(truth.signal_dbm)
        for work, goes_on in _starts(truth):
            at = datetime.fromtimestamp(work.began_at, UTC)
            slot = next((s for s in slots if s.start <= at < s.end), None)
            if slot is not None and not (goes_on and work.result == 0):
                shown = letter if work.installed or work.ended_at is None else letter.lower()
                found[work.cell.cell_id][slot].append(shown)
    for view in views:
        for imei, at in view.turns.items():
            truth = truths[imei]
            slot = next((s for s in slots if s.start <= at < s.end), None)
            if slot is not None:
                found[truth.cell.cell_id][slot].append(f".{_letter(truth.signal_dbm)}")
    return found


def bar(devices: list[str]) -> str:
    """One slot of one cell, as wide as its limit."""
    drawn = ""
    for device in sorted(devices, key=lambda d: (d[0] == ".", d.upper())):
        drawn += device[0] * max(1, WIDTH // _LIMITS[device[-1].upper()])
    return f"[{drawn[:WIDTH]:<{WIDTH}}]"


def begun(found: Bars, cell: int, slot: Slot) -> list[str]:
    """Those who began there, without those who are to."""
    return [device for device in found[cell][slot] if device[0] != "."]


def slot_line(slot: Slot, found: Bars) -> str:
    """All cells in one slot that is over."""
    cells = "  ".join(
        f"cell {cell % 1000} {bar(begun(found, cell, slot))}" for cell in sorted(found)
    )
    return f"{slot.title}  {cells}"


# Holding it against the devices ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SlottedChapter:
    """The campaigns at their end: their reports, what the devices tell, and the slots."""

    views: tuple[Slotted, ...]
    ledgers: tuple[Ledger, ...]
    disputes: tuple[str, ...]  # about slots
    lines: tuple[str, ...]  # the picture

    @property
    def is_right(self) -> bool:
        return not (self.disputes or any(ledger.disputes for ledger in self.ledgers))


def conclude(
    views: list[Slotted], truths: Mapping[str, DeviceTruth], version: str
) -> SlottedChapter:
    """What it came to, as the campaigns were read last."""
    found = bars(views, truths)
    slots = sorted({slot for view in views for slot in slots_of(view)})
    used = [slot for slot in slots if any(begun(found, cell, slot) for cell in found)]
    return SlottedChapter(
        views=tuple(views),
        ledgers=tuple(_compare(view, truths, version) for view in views),
        disputes=tuple(_slot_disputes(truths, slots)),
        lines=tuple(slot_line(slot, found) for slot in used),
    )


def _compare(view: Slotted, truths: Mapping[str, DeviceTruth], version: str) -> Ledger:
    over = datetime.combine(view.end + timedelta(days=1), datetime.min.time(), UTC).timestamp()
    counts: Counter[Standing] = Counter()
    agree: Counter[Standing] = Counter()
    disputes = []
    for imei, standing in sorted(view.report.items()):
        shown = Standing(standing.status, _plain(standing.reason))
        counts[shown] += 1
        truth = truths.get(imei)
        if truth is None:
            disputes.append(f"{imei}: there is no such device")
            continue
        runs = any(w.installed and (w.ended_at or 0.0) < over for w in truth.work)
        late = truth.version == version and not runs
        if (standing.status == SUCCESS) == runs or (late and standing.status == SUCCESS):
            agree[shown] += 1
        else:
            disputes.append(f"{imei}: reported {standing}, but it runs {truth.version}")
    return Ledger(
        lines=tuple(
            Line(standing=s, devices=n, agree=agree[s])
            for s, n in sorted(counts.items(), key=lambda c: (c[0].status != SUCCESS, -c[1]))
        ),
        disputes=tuple(disputes),
    )


def _plain(reason: str) -> str:
    """Without the number of tries: devices that fared alike are one line."""
    return reason.partition(", try count")[0]


def _slot_disputes(truths: Mapping[str, DeviceTruth], slots: list[Slot]) -> Iterator[str]:
    """Where a device began outside of every slot, or a cell had more in one than it may."""
    taken: Counter[tuple[int, Slot]] = Counter()
    whole = GOOD * FAIR * POOR
    for truth in truths.values():
        in_slot: set[Slot] = set()
        for work, goes_on in _starts(truth):
            at = datetime.fromtimestamp(work.began_at, UTC)
            slot = next((s for s in slots if s.start <= at < s.end), None)
            if goes_on and (slot is None or slot in in_slot):
                continue
            if slot is None:
                yield f"{truth.imei}: began at {at:%a %d %H:%M}, outside of every slot"
            else:
                in_slot.add(slot)
                share = whole // _LIMITS[_letter(truth.signal_dbm)]
                taken[work.cell.cell_id, slot] += share
    for (cell, slot), share in sorted(taken.items()):
        if share > whole:
            yield f"cell {cell} had {share / whole:.2f} of what it may have, {slot.title}"


def callback_disputes(
    views: Iterable[Slotted], statuses: Mapping[str, list[str]], told: Mapping[str, Any]
) -> list[str]:
    """Where the last callback about a device tells another end than the report."""
    disputes = []
    for view in views:
        last = told.get(view.id, {})
        disputes += [
            f"callback: {view.name}: {imei} was last told as {last.get(imei)}, not {standing}"
            for imei, standing in view.report.items()
            if (getattr(last.get(imei), "status", None) == SUCCESS) != (standing.status == SUCCESS)
        ]
        if statuses.get(view.id, [])[-1:] != [view.status]:
            disputes.append(f"callback: {view.name}: told {statuses.get(view.id)}")
    return disputes
