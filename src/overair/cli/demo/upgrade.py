"""The operator's upgrade through v1: devices that are told to come, and may sleep through it.

She schedules it for the next midnight. Who is asleep then is queued after four hours, notified when it
attaches, and tried without limit, also after the upgrade's last day. The report is taken last of all.
It is held against what the devices say of themselves (``sim.omadm.tally.DeviceTruth``), and so is the
history that v1 has of each: one entry, which says what the report says.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from overair.cli.demo.client import ApiError, Operator
from overair.cli.demo.ledger import SUCCESS, Ledger, Line, Standing
from overair.cli.demo.pushed import MODEL
from overair.sim.omadm.tally import DeviceTruth, Fortune

DAYS: Final = 4
FINISHED: Final = "Finished"
PENDING: Final = "UpgradePending"
QUEUED_REASON: Final = "Upgrade failed, device is queued for retry"
SUCCEEDED: Final = Standing(SUCCESS, "success")
INSTALLED_CODE: Final = 200
# In the picture, where v1 has one word for three things.
NOTIFIED, AT_WORK, QUEUED = "Notified", "AtWork", "Queued"
_WAITING: Final = {
    "Device notified; waiting for the device": NOTIFIED,
    "Downloaded; waiting for the installation": AT_WORK,
    QUEUED_REASON: QUEUED,
}


@dataclass(slots=True, kw_only=True)
class Upgrade:
    """An upgrade as v1 shows it."""

    id: str
    name: str
    start: date
    end: date
    status: str = ""
    report: dict[str, Standing] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[str]:
        """Devices by status; those that wait, by what they wait for."""
        return Counter(
            _WAITING.get(s.reason, s.status) if s.status == PENDING else s.status
            for s in self.report.values()
        )

    @property
    def succeeded(self) -> int:
        return self.counts[SUCCESS]

    async def look(self, operator: Operator) -> None:
        """Read it again."""
        found = await operator.call("GET", f"/upgrades/{{}}/upgrade/{self.id}", version=1)
        self.status = found["status"]
        self.report = {
            device["deviceId"]: Standing(device["status"], device.get("resultReason", ""))
            for device in found["deviceList"]
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedChapter:
    """The upgrade at the end: its report, what the devices tell, and one that slept."""

    view: Upgrade
    ledger: Ledger
    asleep: int  # at the end of the first window
    after_end: int  # updated when the upgrade was over
    sleeper: str
    way: tuple[str, ...]


async def schedule(
    operator: Operator, imeis: list[str], firmware: str, version: str, today: date
) -> Upgrade:
    """Ask for it: from the next midnight on. Raises ApiError."""
    start = today + timedelta(days=1)
    end = start + timedelta(days=DAYS - 1)
    made = await operator.call(
        "POST",
        "/upgrades",
        {
            "accountName": operator.account,
            "firmwareName": firmware,
            "firmwareTo": version,
            "startDate": start.isoformat(),
            "endDate": end.isoformat(),
            "deviceList": imeis,
        },
        version=1,
    )
    return Upgrade(id=made["id"], name=f"Upgrade {MODEL}", start=start, end=end)


# Holding it against the devices ------------------------------------------------------------------


def expected(truth: DeviceTruth, version: str) -> frozenset[str]:
    """The statuses that a true report may have for a device."""
    if truth.version != version:
        return frozenset({PENDING})
    told = any(r.code == INSTALLED_CODE and r.taken_at for r in truth.reports[-1:])
    # It runs it and has not said so yet; the server may have seen it all the same.
    return frozenset({SUCCESS}) if told else frozenset({SUCCESS, PENDING})


def compare(
    report: Mapping[str, Standing], truths: Mapping[str, DeviceTruth], version: str
) -> Ledger:
    """Hold the report against the devices it names."""
    counts: Counter[Standing] = Counter()
    agree: Counter[Standing] = Counter()
    disputes = []
    for imei, standing in sorted(report.items()):
        counts[standing] += 1
        truth = truths.get(imei)
        if truth is not None and standing.status in expected(truth, version):
            agree[standing] += 1
        else:
            runs = "there is no such device" if truth is None else f"it runs {truth.version}"
            disputes.append(f"{imei}: reported {standing.status} {standing.reason!r}, but {runs}")
    lines = tuple(
        Line(standing=standing, devices=count, agree=agree[standing])
        for standing, count in sorted(counts.items(), key=lambda c: (c[0].status != SUCCESS, -c[1]))
    )
    return Ledger(lines=lines, disputes=tuple(disputes))


async def conclude(
    operator: Operator, view: Upgrade, truths: Mapping[str, DeviceTruth], version: str
) -> PushedChapter:
    """The report as it is now, with every device's history. Raises ApiError."""
    await view.look(operator)
    ledger = compare(view.report, truths, version)
    disputes = [*ledger.disputes]
    histories: dict[str, list[dict[str, Any]]] = {}
    for imei, standing in sorted(view.report.items()):
        try:
            entries = await operator.call("GET", f"/reports/{{}}/devices/{imei}", version=1)
        except ApiError as error:
            disputes.append(f"{imei}: has no history: {error}")
            continue
        histories[imei] = entries
        disputes += _history_disputes(imei, standing, entries)
    sleeper = _sleeper(view, truths)
    midnight = datetime.fromisoformat(f"{view.start}T00:00:00+00:00")
    over = datetime.fromisoformat(f"{view.end}T00:00:00+00:00") + timedelta(days=1)
    return PushedChapter(
        view=view,
        ledger=Ledger(lines=ledger.lines, disputes=tuple(disputes)),
        asleep=sum(_slept(t, midnight, midnight + timedelta(hours=4)) for t in truths.values()),
        after_end=sum(
            imei in truths and any(i.at >= over for i in truths[imei].installs[-1:])
            for imei, standing in view.report.items()
            if standing == SUCCEEDED
        ),
        sleeper=sleeper,
        way=_way(truths[sleeper], view, histories.get(sleeper, [])) if sleeper else (),
    )


def _history_disputes(imei: str, standing: Standing, entries: list[dict[str, Any]]) -> list[str]:
    said = [Standing(entry["status"], entry["reason"]) for entry in entries]
    if standing == SUCCEEDED and said != [standing]:
        return [f"{imei}: reported {standing.status}, but its history says {said}"]
    if standing != SUCCEEDED and (len(said) > 1 or SUCCEEDED in said):
        return [f"{imei}: reported {standing.reason!r}, but its history says {said}"]
    return []


def _slept(truth: DeviceTruth, start: datetime, end: datetime) -> bool:
    """Whether a device had no power at any time between the two."""
    return not any(on < end and (off is None or off > start) for on, off in truth.on)


# One that slept ----------------------------------------------------------------------------------


def _sleeper(view: Upgrade, truths: Mapping[str, DeviceTruth]) -> str:
    """Of those that were called in vain and were updated, the one that needed the most; or nobody."""
    slept = [
        imei
        for imei, standing in sorted(view.report.items())
        if standing == SUCCEEDED
        and imei in truths
        and truths[imei].pushes
        and truths[imei].pushes[0].fortune is Fortune.OFF
        and truths[imei].installs
    ]
    return max(
        slept, key=lambda i: (len(truths[i].executions), truths[i].installs[-1].at), default=""
    )


def _way(truth: DeviceTruth, view: Upgrade, history: list[dict[str, Any]]) -> tuple[str, ...]:
    """What it went through, hour by hour, as it tells; and what v1 says of it."""
    events: list[tuple[datetime, str]] = []
    vain = [push.at for push in truth.pushes if push.fortune is Fortune.OFF]
    for day in sorted({at.date() for at in vain}):
        times = [at for at in vain if at.date() == day]
        last = f", the last at {times[-1]:%H:%M}" if len(times) > 1 else ""
        events.append((times[0], f"notified in vain, {len(times)} times: no power{last}"))
    first = vain[0]
    events += [(on, "power again, it attaches") for on, _ in truth.on if on > first]
    events += [
        (push.at, "notified, and it hears")
        for push in truth.pushes
        if push.fortune is Fortune.TAKEN
    ]
    events += [(e.at, f"command to update: {e.status}") for e in truth.executions]
    events += [(i.at, f"runs {i.version}") for i in truth.installs]
    installed = {install.correlator for install in truth.installs}
    events += [
        (r.at, f"reports {r.code}" + _but(r.code, fell_back=r.correlator not in installed))
        for r in truth.reports
    ]
    end = truth.installs[-1].at + timedelta(hours=1)
    lines = [
        f"{at:%a %d %H:%M}  {text}"
        for at, text in sorted(events, key=lambda event: event[0])
        if at <= end
    ]
    lines += [
        f"its history in v1: {entry['status']} ({entry['reason']}), the latest attempt began"
        f" {entry.get('upgradeStartTime', 'at an unknown time')}"
        for entry in history
    ]
    return tuple(lines)


def _but(code: int, *, fell_back: bool) -> str:
    """A success that none is: the old version came up again."""
    return ", but started its old version again" if code == INSTALLED_CODE and fell_back else ""


def callback_disputes(
    view: Upgrade, statuses: list[str], told: Mapping[str, Standing]
) -> list[str]:
    """Where the last callback about a device tells another end than the report.

    Between two attempts reasons come and go, so they are not compared.
    """
    disputes = [
        f"callback: {view.name}: {imei} was last told as {told.get(imei)}, not {standing}"
        for imei, standing in view.report.items()
        if (told.get(imei) == SUCCEEDED) != (standing == SUCCEEDED)
    ]
    if statuses[-1:] != [view.status]:
        disputes.append(f"callback: {view.name}: told {statuses}, not {view.status}")
    return disputes
