"""What has to be so after an ordeal: the same story by report, devices, callbacks and store.

Reasons are not compared here, statuses are: how much of a download was sent is noted in steps, and a
crash in between loses the last one, so a failed installation may be reported as a failed download.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from overair.cli.demo.ledger import SUCCESS, Standing, expected
from overair.clock import SystemClock
from overair.sim.http.tally import DeviceTruth
from overair.store import Tx, open_database
from tests.callbacks.listening import Received
from tests.installation import Installation

# What a device's status may become; the last word of a silent one is PENDING.
NEXT: Mapping[str | None, frozenset[str]] = {
    None: frozenset({"Accepted"}),
    "Accepted": frozenset({"UpgradePending"}),
    "UpgradePending": frozenset({"UpgradePending", SUCCESS, "UpgradeFailed"}),
    "UpgradeFailed": frozenset({SUCCESS}),
    SUCCESS: frozenset(),
}


def is_over(standing: Standing, truth: DeviceTruth) -> bool:
    """Whether nothing more is to be expected of a device."""
    if standing.status != "UpgradePending" or not truth.offers:
        return standing.status in (SUCCESS, "UpgradeFailed")
    last = truth.offers[-1]
    # It has the image and will never say what came of it.
    return last in truth.downloads and last not in {c.action_id for c in truth.closings}


def reports_are_true(report: Mapping[str, Standing], told: Mapping[str, DeviceTruth]) -> None:
    """The campaign's report says of each device what the device says of itself."""
    assert report.keys() == told.keys()
    for imei, standing in report.items():
        right = expected(told[imei], running=True)
        assert right is not None, imei
        assert standing.status in {each.status for each in right}, (imei, standing, told[imei])
        if standing.status == SUCCESS:
            assert told[imei].version == "02", imei


def callbacks_are_complete(
    received: Sequence[Received], campaign_id: str, report: Mapping[str, Standing]
) -> None:
    """Every change was told, in order, and no step of a device left out.

    Order is that of the commits. Writers that commit side by side, as they do on PostgreSQL, may have
    taken their numbers the other way round; what concerns one device is never side by side.
    """
    order = list(dict.fromkeys(int(each.id) for each in received))
    first = {int(each.id): each.body for each in reversed(received)}
    steps: dict[str, list[Standing]] = defaultdict(list)
    latest: dict[str, int] = defaultdict(int)
    statuses = []
    for number in order:
        body = first[number]
        assert body["campaignId"] == campaign_id
        if body["type"] == "campaignStatus":
            statuses.append(body["status"])
        for device in body["deviceList"]:
            assert number > latest[device["deviceId"]], "a message was overtaken"
            latest[device["deviceId"]] = number
            steps[device["deviceId"]].append(Standing(device["status"], device["resultReason"]))
    assert statuses == ["CampaignScheduled"]
    for imei, standing in report.items():
        assert steps[imei][-1] == standing, (imei, steps[imei], standing)
        before = None
        for step in steps[imei]:
            assert step.status in NEXT[before], (imei, steps[imei])
            before = step.status


def one_writer_never_overtakes(received: Sequence[Received]) -> None:
    """On SQLite numbers are the order of commits, so first arrivals come by number."""
    order = list(dict.fromkeys(int(each.id) for each in received))
    assert order == sorted(order), "messages of one campaign overtook each other"


async def store_has_everything(
    place: Installation,
    received: Sequence[Received],
    told: Mapping[str, DeviceTruth],
    *,
    stepped: bool,
) -> None:
    """What was answered with 200 is in the database, and no device had two actions at once.

    ``stepped``: clocks went back and forth, so instants do not say what was first.
    """
    url = place.database or f"sqlite:///{place.data / 'overair.db'}"
    db = open_database(url, SystemClock())
    await db.start()
    try:
        kept, attempts, messages = await db.report(_facts)
    finally:
        await db.close()
    for imei, truth in told.items():
        said: Counter[tuple[int, str, str]] = Counter(
            (each.action_id, each.execution, each.finished)
            for each in truth.reports
            if each.status == 200
        )
        lost = said - kept
        assert not lost, f"acknowledged, and not in the store: {imei}: {lost}"
        mine = attempts[imei]
        assert list(truth.offers) == [number for number, _, _ in mine], imei
        for (_, _, closed_at), (number, offered_at, _) in itertools.pairwise(mine):
            assert closed_at is not None, (imei, number)
            assert stepped or closed_at <= offered_at, (imei, number)
    assert messages == {int(each.id) for each in received}, "a callback never arrived"


def _facts(
    tx: Tx,
) -> tuple[Counter[tuple[int, str, str]], dict[str, list[tuple[int, int, int | None]]], set[int]]:
    kept: Counter[tuple[int, str, str]] = Counter()
    for attempt_id, execution, finished in tx.all(
        "select attempt_id, execution, finished from feedback", ()
    ):
        kept[attempt_id, execution, finished] += 1
    attempts = defaultdict(list)
    for imei, number, offered_at, closed_at in tx.all(
        "select d.imei, t.id, t.offered_at, t.closed_at from attempt t"
        " join device d on d.id = t.device_id order by t.id",
        (),
    ):
        attempts[imei].append((number, offered_at, closed_at))
    return kept, attempts, {row[0] for row in tx.all("select id from callback_message", ())}
