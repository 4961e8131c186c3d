"""``kill -9`` at random moments of a running campaign: nothing that was acknowledged is lost.

One installation, one campaign over a fleet whose devices start one after the other, so that in every
round some are in each stage; a server that is killed in each round at a random moment, also while it
starts. ``CRASH_ROUNDS`` says how many rounds (50 with ``make crash``), ``CRASH_SEED`` repeats the
moments of a run; both are printed.

Reasons are not compared here, statuses are: how much of a download was sent is noted in steps, and a
crash in between loses the last one, so a failed installation may be reported as a failed download.
"""

import asyncio
import itertools
import os
import random
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from overair.cli.demo.client import Operator
from overair.cli.demo.ledger import SUCCESS, Standing, expected
from overair.clock import SystemClock
from overair.sim.fleet import Fleet, FleetOptions
from overair.sim.profile import Behaviour
from overair.sim.roster import generate_roster
from overair.sim.tally import DeviceTruth
from overair.store import Tx, open_database
from tests.callbacks.listening import Received, listening
from tests.installation import (
    ALIAS,
    Installation,
    campaign,
    free_port,
    installation,
    is_quiet,
    operating,
    truths,
)
from tests.waiting import until

pytestmark = [pytest.mark.crash, pytest.mark.slow]

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "5"))
SEED = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
DEVICES_A_ROUND = 6
LIFE_S = (0.05, 1.5)  # of a server, from its first answer to the kill
UNREADY = 0.15  # of the kills come before the first answer
END_S = 120.0
ROUGH = Behaviour(
    download_failure=0.05,
    corruption=0.05,
    install_failure=0.1,
    fallback=0.05,
    silence=0.03,
    cut=0.2,
    install_s=(0.0, 0.5),
    reboot_s=(0.0, 0.3),
)
# What a device's status may become; the last word of a silent one is PENDING.
NEXT = {
    None: {"Accepted"},
    "Accepted": {"UpgradePending"},
    "UpgradePending": {"UpgradePending", SUCCESS, "UpgradeFailed"},
    "UpgradeFailed": {SUCCESS},
    SUCCESS: set(),
}


async def _rounds(place: Installation, dice: random.Random, port: int) -> None:
    """Start and kill the server, again and again."""
    for number in range(ROUNDS):
        server = place.serve(port)
        if dice.random() < UNREADY:
            moment = dice.uniform(0.0, 1.0)
        else:
            await asyncio.to_thread(server.wait_ready)
            moment = dice.uniform(*LIFE_S)
        await asyncio.sleep(moment)
        server.kill()
        print(f"round {number + 1}: killed after {moment:.3f} s", flush=True)


async def test_nothing_acknowledged_is_lost(tmp_path: Path, database_url: str) -> None:
    """After many kills every account of what happened is the same, and nobody was served twice."""
    print(f"CRASH_ROUNDS={ROUNDS} CRASH_SEED={SEED}", flush=True)
    dice = random.Random(SEED)
    devices = generate_roster(DEVICES_A_ROUND * ROUNDS, seed=SEED)
    # A lease that a killed server leaves behind must not outlast its round.
    settings = {"lease_s": 1, "callback_timeout_s": 0.3, "callback_retry_s": [1] * 60}
    began = time.monotonic()
    with installation(tmp_path, database_url, **settings) as place:
        place.prepare(devices)
        port = free_port()
        server = place.serve(port)
        async with listening() as listener:
            async with operating(server) as operator:
                await operator.call("POST", "/callbacks/{}", {"url": listener.url})
                campaign_id = await operator.schedule(campaign(devices))
            server.kill()
            options = FleetOptions(
                url=f"http://127.0.0.1:{port}",
                tenant=ALIAS,
                devices=devices,
                behaviour=ROUGH,
                seed=SEED,
                start_over_s=1.5 * ROUNDS,
            )
            async with Fleet(options, SystemClock()) as fleet:
                await _rounds(place, dice, port)
                print(f"{ROUNDS} rounds in {time.monotonic() - began:.0f} s", flush=True)
                server = place.serve(port)
                async with operating(server) as operator:
                    report = await _end(operator, campaign_id, fleet)
                    told = fleet.truths()
                    await until(
                        lambda: _delivered(place),
                        "all callbacks to be delivered",
                        END_S,
                    )
                    assert report == await operator.report(campaign_id)
        _reports_are_true(report, told)
        _callbacks_are_complete(listener.received, campaign_id, report)
        if not database_url.startswith("postgresql"):
            _one_writer_never_overtakes(listener.received)
        await _store_has_everything(place, listener.received, told)
        assert place.command("verify")["findings"] == []
        assert server.stop() == 0
        _figures(report, told, fleet, len(listener.received), began)


def _is_over(standing: Standing, truth: DeviceTruth) -> bool:
    if standing.status != "UpgradePending" or not truth.offers:
        return standing.status in (SUCCESS, "UpgradeFailed")
    last = truth.offers[-1]
    # It has the image and will never say what came of it.
    return last in truth.downloads and last not in {c.action_id for c in truth.closings}


async def _end(operator: Operator, campaign_id: str, fleet: Fleet) -> dict[str, Standing]:
    async def over() -> dict[str, Standing]:
        assert is_quiet(fleet)
        report = await operator.report(campaign_id)
        told = truths(fleet)
        waiting = {i: s for i, s in report.items() if not _is_over(s, told[i])}
        assert not waiting, waiting
        return report

    return await until(over, "every device's end", END_S)


async def _delivered(place: Installation) -> bool:
    found = await asyncio.to_thread(place.command, "callbacks", "--limit", "1")
    return bool(found["waiting"] == 0)


# What has to be so afterwards --------------------------------------------------------------------


def _reports_are_true(report: Mapping[str, Standing], told: Mapping[str, DeviceTruth]) -> None:
    """The campaign's report says of each device what the device says of itself."""
    assert report.keys() == told.keys()
    for imei, standing in report.items():
        right = expected(told[imei], running=True)
        assert right is not None, imei
        assert standing.status in {each.status for each in right}, (imei, standing, told[imei])
        if standing.status == SUCCESS:
            assert told[imei].version == "02", imei


def _callbacks_are_complete(
    received: list[Received], campaign_id: str, report: Mapping[str, Standing]
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


def _one_writer_never_overtakes(received: list[Received]) -> None:
    """On SQLite numbers are the order of commits, so first arrivals come by number."""
    order = list(dict.fromkeys(int(each.id) for each in received))
    assert order == sorted(order), "messages of one campaign overtook each other"


async def _store_has_everything(
    place: Installation, received: list[Received], told: Mapping[str, DeviceTruth]
) -> None:
    """What was answered with 200 is in the database, and no device had two actions at once."""
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
            assert closed_at <= offered_at, (imei, number)
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


def _figures(
    report: Mapping[str, Standing],
    told: Mapping[str, DeviceTruth],
    fleet: Fleet,
    callbacks: int,
    began: float,
) -> None:
    counts = Counter(standing.status for standing in report.values())
    acknowledged = sum(each.status == 200 for t in told.values() for each in t.reports)
    again = sum(each.status == 410 for t in told.values() for each in t.reports)
    print(
        f"{ROUNDS} kills, seed {SEED}: {dict(counts)};"
        f" {sum(len(t.offers) for t in told.values())} actions, {acknowledged} acknowledged"
        f" reports, {again} of lost answers, {fleet.snapshot().errors} requests that failed,"
        f" {callbacks} callbacks, {time.monotonic() - began:.0f} s"
    )
