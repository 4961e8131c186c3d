"""Servers that are killed, frozen, short of disk and out of time: nothing that was acknowledged is lost.

One installation, one campaign over a fleet whose devices start one after the other, so that in every
round some are in each stage; one server on SQLite, or two on PostgreSQL, and a trouble in each round
(``troubles``). ``CRASH_ROUNDS`` says how many kills (200 with ``make crash``), ``CRASH_SEED`` repeats the
moments of a run; both are printed.

What has to be so afterwards is in ``accounts``.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from overair.cli.demo.client import Operator
from overair.cli.demo.ledger import Standing
from overair.clock import SystemClock
from overair.sim.http.fleet import Fleet, FleetOptions
from overair.sim.http.profile import Behaviour
from overair.sim.http.roster import SimDevice, generate_roster
from overair.sim.http.tally import DeviceTruth
from tests.callbacks.listening import listening
from tests.crash.accounts import (
    callbacks_are_complete,
    is_over,
    one_writer_never_overtakes,
    reports_are_true,
    store_has_everything,
)
from tests.crash.troubles import OFFSETS_S, Stage, program, rounds_of
from tests.installation import (
    ALIAS,
    Installation,
    Process,
    campaign,
    free_port,
    installation,
    is_quiet,
    operating,
    truths,
)
from tests.postgres import PostgresMissingError, Server, running_server
from tests.waiting import until

pytestmark = [pytest.mark.crash, pytest.mark.slow]

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "3"))
SEED = int(os.environ.get("CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
LONG = ROUNDS >= 50
OTHERS = max(1, ROUNDS // 50)  # of each other trouble
FROZEN_S = 60.0 if LONG else 2.5  # a lease is one second
DEVICES_A_ROUND = 6
END_S = 120.0
DISK_MIB = 48  # of which an empty database takes 20
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


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A PostgreSQL that may be restarted, and keeps what it has committed."""
    try:
        with running_server(synchronous_commit="on") as server:
            yield server
    except PostgresMissingError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL for the tests: {error}")


async def test_one_server_loses_nothing(tmp_path: Path) -> None:
    """On SQLite: killed, frozen, with a full disk and the clock stepped; then all accounts agree."""
    await _ordeal(tmp_path, None, servers=1)


@pytest.mark.postgres
async def test_two_servers_lose_nothing(tmp_path: Path, own_postgres: Server) -> None:
    """On PostgreSQL, which goes away at times, each of the two may be killed or frozen at any moment."""
    await _ordeal(tmp_path, own_postgres, servers=2)


@pytest.mark.postgres
async def test_two_servers_lose_nothing_when_their_database_has_no_room(tmp_path: Path) -> None:
    """On PostgreSQL, whose disk is full for a while; in between, one of them is killed."""
    try:
        with running_server(disk_mib=DISK_MIB, synchronous_commit="on") as server:
            await _ordeal(tmp_path, server, servers=2)
    except PostgresMissingError as error:
        pytest.skip(f"only root can give a database a disk of its own: {error}")


async def _ordeal(directory: Path, postgres: Server | None, *, servers: int) -> None:
    print(f"CRASH_ROUNDS={ROUNDS} CRASH_SEED={SEED}", flush=True)
    began = time.monotonic()
    devices = generate_roster(DEVICES_A_ROUND * (ROUNDS + 3 * OTHERS), seed=SEED)
    # A lease that a killed server leaves behind must not outlast its round.
    settings = {
        "lease_s": 1,
        "callback_timeout_s": 0.3,
        "callback_retry_s": [1] * 60,
        "limits.pilot_devices": len(devices),
    }
    async with AsyncExitStack() as stack:
        database = "" if postgres is None else stack.enter_context(postgres.database())
        place = stack.enter_context(installation(directory, database, **settings))
        offset = directory / "clock"
        place.program = program(offset)
        place.prepare(devices)
        stage = Stage(place, random.Random(SEED), offset, postgres, FROZEN_S)
        ports = [free_port() for _ in range(servers)]
        first = stage.start(ports[0])
        listener = await stack.enter_async_context(listening())
        async with operating(first) as operator:
            await operator.call("POST", "/callbacks/{}", {"url": listener.url})
            campaign_id = await operator.schedule(campaign(devices))
        for port in ports[1:]:
            stage.start(port)
        fleets = [
            await stack.enter_async_context(
                Fleet(_options(port, devices[n::servers]), SystemClock())
            )
            for n, port in enumerate(ports)
        ]
        stage.errors = lambda: sum(fleet.snapshot().errors for fleet in fleets)
        for number, trouble in enumerate(rounds_of(stage, ROUNDS, OTHERS), 1):
            print(f"round {number}: {await trouble(stage)}", flush=True)
        # Whatever was put off by a clock that was ahead is due by one that is as far.
        stage.set_clock(max(OFFSETS_S) + 60 if stage.stepped else 0)
        await stage.ready()
        async with operating(first_of(stage)) as operator:
            report = await _end(operator, campaign_id, fleets)
            told = truths(*fleets)
            await until(lambda: _delivered(place), "all callbacks to be delivered", END_S)
            assert report == await operator.report(campaign_id)
        reports_are_true(report, told)
        callbacks_are_complete(listener.received, campaign_id, report)
        if postgres is None:
            one_writer_never_overtakes(listener.received)
        await store_has_everything(place, listener.received, told, stepped=stage.stepped)
        assert place.command("verify")["findings"] == []
        for server in stage.servers.values():
            assert server.stop() == 0
        _figures(report, told, stage.errors(), len(listener.received), began)


def first_of(stage: Stage) -> Process:
    """A server that answers for all."""
    return next(iter(stage.servers.values()))


def _options(port: int, devices: tuple[SimDevice, ...]) -> FleetOptions:
    return FleetOptions(
        url=f"http://127.0.0.1:{port}",
        tenant=ALIAS,
        devices=devices,
        behaviour=ROUGH,
        seed=SEED,
        start_over_s=2.5 * ROUNDS + FROZEN_S * OTHERS,
    )


async def _end(
    operator: Operator, campaign_id: str, fleets: Sequence[Fleet]
) -> dict[str, Standing]:
    async def over() -> dict[str, Standing]:
        told = truths(*fleets)
        report = await operator.report(campaign_id)
        waiting = {i: s for i, s in report.items() if not is_over(s, told[i])}
        assert not waiting, waiting
        # Nobody came back to work while we looked.
        assert await operator.report(campaign_id) == report
        assert all(is_quiet(fleet) for fleet in fleets)
        assert truths(*fleets) == told
        return report

    return await until(over, "every device's end", END_S)


async def _delivered(place: Installation) -> bool:
    found = await asyncio.to_thread(place.command, "callbacks", "--limit", "1")
    return bool(found["waiting"] == 0)


def _figures(
    report: Mapping[str, Standing],
    told: Mapping[str, DeviceTruth],
    errors: int,
    callbacks: int,
    began: float,
) -> None:
    counts = Counter(standing.status for standing in report.values())
    acknowledged = sum(each.status == 200 for t in told.values() for each in t.reports)
    again = sum(each.status == 410 for t in told.values() for each in t.reports)
    print(
        f"{ROUNDS} kills, {OTHERS} of each other trouble, seed {SEED}: {dict(counts)};"
        f" {sum(len(t.offers) for t in told.values())} actions, {acknowledged} acknowledged"
        f" reports, {again} of lost answers, {errors} requests that failed,"
        f" {callbacks} callbacks, {time.monotonic() - began:.0f} s"
    )
