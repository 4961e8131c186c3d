"""Fleets over real sockets, against a server scripted from the specification."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from overair.clock import FastClock, ManualClock
from overair.sim.http.fleet import Fleet, FleetOptions, run_fleet
from overair.sim.http.profile import Behaviour
from overair.sim.http.roster import SimDevice, generate_roster
from overair.sim.http.steps import Ask, Open, Read
from overair.sim.http.tally import FleetSnapshot
from overair.sim.http.timers import Timers
from overair.sim.http.transport import Link, Pools
from tests.sim.http.peer import Peer
from tests.waiting import until

FILE = bytes(range(256)) * 4000
ROSTER = generate_roster(30)


@asynccontextmanager
async def serving(peer: Peer) -> AsyncIterator[Peer]:
    """Have the peer listen."""
    await peer.start()
    try:
        yield peer
    finally:
        await peer.kill()


def options(peer: Peer, **changes: Any) -> FleetOptions:
    """Return what to run against a peer."""
    plain = FleetOptions(url=peer.url, devices=ROSTER, start_over_s=20.0, progress_every_s=0.02)
    return replace(plain, **changes)


def all_done(snapshot: FleetSnapshot) -> bool:
    """Whether each device has had its say."""
    return snapshot.updated + snapshot.failed + snapshot.cancelled >= snapshot.devices


def soon(condition: Callable[[], bool]) -> Callable[[], Any]:
    """Make a plain condition one to be awaited."""

    async def check() -> bool:
        return condition()

    return check


async def test_a_fleet_is_updated() -> None:
    """Every device ends on the new version, and the server heard it from each of them, once."""
    async with serving(Peer(ROSTER, FILE)) as peer:
        seen: list[FleetSnapshot] = []
        report = await asyncio.wait_for(
            run_fleet(options(peer, stop_when=all_done), FastClock(200.0), seen.append), 30
        )
    assert report.snapshot.updated == report.snapshot.offered == len(ROSTER)
    assert report.snapshot.errors == 0
    assert report.snapshot.bytes_received == len(ROSTER) * len(FILE)
    assert seen[-1] == report.snapshot or seen[-1].updated == len(ROSTER)
    assert report.elapsed_s > 30
    for device in ROSTER:
        known = peer.controllers[device.controller_id]
        truth = report.truths[device.controller_id]
        assert (truth.version, known.closed, known.closings) == ("02", "success", 1)
        assert truth.offers == truth.downloads == (known.action_id,)
        assert known.agents == {"overair-sim/1"}


async def test_what_fails_is_reported_as_it_was() -> None:
    """The truth of each device and the server's record agree, whatever happened to it."""
    behaviour = Behaviour(download_failure=0.2, corruption=0.2, install_failure=0.2, fallback=0.2)
    async with serving(Peer(ROSTER, FILE)) as peer:
        report = await asyncio.wait_for(
            run_fleet(
                options(peer, stop_when=all_done, behaviour=behaviour, seed=4), FastClock(200.0)
            ),
            30,
        )
    assert report.snapshot.updated > 0
    assert report.snapshot.failed > 0
    for name, truth in report.truths.items():
        known = peer.controllers[name]
        assert known.closed == ("success" if truth.version == "02" else "failure")
        assert [closing.finished for closing in truth.closings] == [known.closed]


async def test_one_seed_is_one_fate() -> None:
    """Two runs fail the same devices."""
    behaviour = Behaviour(install_failure=0.5, cut=0.5)
    versions = []
    for _ in range(2):
        async with serving(Peer(ROSTER, FILE)) as peer:
            report = await asyncio.wait_for(
                run_fleet(options(peer, stop_when=all_done, behaviour=behaviour), FastClock(500.0)),
                30,
            )
        versions.append([truth.version for truth in report.truths.values()])
        assert peer.ranges
        assert report.snapshot.errors == 0
    assert versions[0] == versions[1]


async def test_a_fleet_survives_a_server_that_is_killed_again_and_again() -> None:
    """Devices come back, go on where they were, and repeat what was not acknowledged."""
    behaviour = Behaviour(slow_share=0.5, slow_bytes_per_s=100_000.0, install_failure=0.3)
    async with serving(Peer(ROSTER, FILE)) as peer:
        peer.unanswered = 5
        async with Fleet(options(peer, behaviour=behaviour), FastClock(100.0)) as fleet:
            for share in (0.1, 0.2, 0.4, 0.6, 0.8):
                goal = share * len(ROSTER)
                await until(soon(lambda goal=goal: heard(peer) >= goal))  # type: ignore[misc]
                await peer.kill()
                await peer.start()
            await until(soon(lambda: heard(peer) == len(ROSTER)), limit_s=40)
            truths = fleet.truths
            await until(soon(lambda: all(truth.closings for truth in truths().values())))
            final = truths()
    for name, truth in final.items():
        known = peer.controllers[name]
        assert known.closings == 1
        assert known.closed == ("success" if truth.version == "02" else "failure")
        assert [closing.finished for closing in truth.closings] == [known.closed]
        assert truth.closings[0].status in (200, 410)
    late = [truth for truth in final.values() if truth.closings[0].status == 410]
    assert len(late) >= 1


def heard(peer: Peer) -> int:
    """How many devices the server has heard the end of."""
    return sum(known.closed is not None for known in peer.controllers.values())


async def test_a_server_that_is_not_there_yet() -> None:
    """A fleet may be started first."""
    peer = Peer(ROSTER, FILE)
    await peer.start()
    await peer.kill()
    async with Fleet(options(peer), FastClock(100.0)) as fleet:
        await until(soon(lambda: fleet.snapshot().errors > 10))
        assert "127.0.0.1" in fleet.snapshot().last_error
        async with serving(peer):
            await until(soon(lambda: heard(peer) == len(ROSTER)), limit_s=40)


async def test_a_cancelled_campaign_is_acknowledged_by_all() -> None:
    """While the fleet is downloading over slow links."""
    behaviour = Behaviour(slow_share=1.0, slow_bytes_per_s=1000.0, poll_interval_s=30.0)
    async with (
        serving(Peer(ROSTER, FILE)) as peer,
        Fleet(options(peer, behaviour=behaviour), FastClock(200.0)) as fleet,
    ):
        await until(soon(lambda: fleet.snapshot().downloading == len(ROSTER)))
        peer.cancelling = True
        await until(soon(lambda: fleet.snapshot().cancelled == len(ROSTER)))
        assert fleet.snapshot().downloading == 0
    assert all(known.cancelled for known in peer.controllers.values())


async def test_connections_are_bounded_and_slow_links_do_not_starve_polls() -> None:
    """More slow downloads than connections, and still everybody polls."""
    behaviour = Behaviour(slow_share=1.0, slow_bytes_per_s=20_000.0, poll_interval_s=5.0)
    async with serving(Peer(ROSTER, FILE)) as peer:
        run = options(peer, behaviour=behaviour, connections=2, downloads=4, stop_when=all_done)
        report = await asyncio.wait_for(run_fleet(run, FastClock(500.0)), 60)
        assert peer.most_connections <= 6
    assert report.snapshot.updated == len(ROSTER)
    assert report.snapshot.errors == 0


async def test_a_gateway_token_stands_in_for_device_tokens() -> None:
    """Devices without a token of their own; two-phase ones by their name."""
    roster = (SimDevice(controller_id="a:1"), SimDevice(controller_id="b", two_phase=True))
    async with serving(Peer(roster, FILE, gateway="GatewayToken gate")) as peer:
        report = await asyncio.wait_for(
            run_fleet(
                options(peer, devices=roster, gateway_token="gate", stop_when=all_done),
                FastClock(200.0),
            ),
            30,
        )
    assert report.snapshot.updated == 2
    assert "rauc-hawkbit-c-agent/" in peer.controllers["b"].agents.pop()


async def test_twelve_hours_of_sleep_pass_quickly() -> None:
    """The server's interval is kept, in the fleet's time."""
    async with serving(Peer(ROSTER, FILE)) as peer:
        peer.sleep = "12:00:00"
        for known in peer.controllers.values():
            known.closed = "success"
            known.attributes = {"make": "Acme"}
        run = options(peer, stop_after_s=4 * 86400.0)
        report = await asyncio.wait_for(run_fleet(run, FastClock(86400.0)), 30)
    assert report.snapshot.polls == sum(known.polls for known in peer.controllers.values())
    assert report.snapshot.polls / len(ROSTER) == pytest.approx(9, abs=2)


async def test_a_fleet_stops_when_it_is_told_to() -> None:
    """Soon, in the middle of things, and leaves no task and no connection behind."""
    behaviour = Behaviour(slow_share=1.0, slow_bytes_per_s=10.0)
    async with serving(Peer(ROSTER, FILE)) as peer:
        stop = asyncio.Event()
        before = len(asyncio.all_tasks())

        def on_progress(snapshot: FleetSnapshot) -> None:
            if snapshot.downloading > 10:
                stop.set()

        report = await asyncio.wait_for(
            run_fleet(options(peer, behaviour=behaviour), FastClock(50.0), on_progress, stop=stop),
            30,
        )
        await until(soon(lambda: peer.open_connections == 0))
        await until(soon(lambda: len(asyncio.all_tasks()) <= before))
    assert report.snapshot.downloading > 10
    assert report.snapshot.updated == 0


class BrokenClock(FastClock):
    """A clock that cannot tell the time, which no device is prepared for."""

    def now(self) -> datetime:
        raise LookupError("no time")


async def test_a_device_that_breaks_is_not_overlooked() -> None:
    """What should not happen ends the fleet with its error."""
    async with serving(Peer(ROSTER, FILE)) as peer:
        with pytest.raises(LookupError):
            await asyncio.wait_for(run_fleet(options(peer), BrokenClock(50.0)), 30)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "127.0.0.1:8080"}, "begins with http"),
        ({"devices": ()}, "at least one device"),
        ({"connections": 0}, "at least 1"),
        ({"devices": (SimDevice(controller_id="a"),)}, "a has no token"),
    ],
)
def test_options_that_cannot_work(changes: dict[str, Any], message: str) -> None:
    """Refused before anything starts."""
    with pytest.raises(ValueError, match=message):
        replace(FleetOptions(url="http://h", devices=ROSTER), **changes)


async def test_many_sleeps_share_one_sleeper() -> None:
    """In the order in which they are due, each when it is due, earlier ones put before later ones."""
    clock = ManualClock(datetime(2026, 1, 2, tzinfo=UTC))
    timers = Timers(clock)
    woken: list[int] = []

    async def sleep(seconds: int) -> None:
        await timers.sleep(seconds)
        woken.append(seconds)

    runner = asyncio.create_task(timers.run())
    tasks = [asyncio.create_task(sleep(seconds)) for seconds in (50, 10, 30, 0)]
    await until(soon(lambda: woken == [0]))
    for step in range(6):
        clock.advance(timedelta(seconds=10))
        expected = [0, *(seconds for seconds in (10, 30, 50) if seconds <= 10 * (step + 1))]
        await until(soon(lambda expected=expected: woken == expected))  # type: ignore[misc]
    await asyncio.gather(*tasks)
    runner.cancel()
    await asyncio.gather(runner, return_exceptions=True)


async def test_addresses_that_cannot_be_used_are_unanswered_steps() -> None:
    """A link that is no URL, a port that nobody listens on, a name that is too long."""
    async with Pools(
        FastClock(), connections=1, downloads=1, tls=ssl.create_default_context()
    ) as pools:
        link = Link(pools, {})
        for url in ("http://", "http://127.0.0.1:1/", "http://[/", "http://h:99999/", "ftp://h/"):
            assert (await link.perform(Ask(method="GET", url=url))).status == 0
            assert (await link.perform(Open(url=url, offset=0))).status == 0
        assert (await link.perform(Read(limit=1))).status == 0
        link.close()
