"""Simulated fleets on real server processes: what the devices are is what is reported of them.

The fleet's own account of itself is the reference; the API's report, the commands beside the server
and the recount of ``overair verify`` must all tell the same. Who fails and how is drawn from a seed.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from overair.cli.demo.client import Operator
from overair.cli.demo.ledger import SUCCESS, compare
from overair.cli.demo.listener import Listener, listening
from overair.clock import SystemClock
from overair.sim.http.fleet import Fleet, FleetOptions
from overair.sim.http.profile import Behaviour
from overair.sim.http.roster import SimDevice, generate_roster
from tests.installation import (
    ALIAS,
    Installation,
    campaign,
    installation,
    is_quiet,
    operating,
    truths,
)
from tests.waiting import until

pytestmark = pytest.mark.slow

SEED = 4711
ROUGH = Behaviour(
    download_failure=0.1,
    corruption=0.05,
    install_failure=0.15,
    fallback=0.1,
    silence=0.05,
    cut=0.3,
    install_s=(0.0, 0.3),
    reboot_s=(0.0, 0.2),
)
LIMIT_S = 90.0


@pytest.fixture
def place(tmp_path: Path, database_url: str) -> Iterator[Installation]:
    """A fresh installation, once on each kind of database."""
    with installation(tmp_path, database_url) as made:
        yield made


def _fleet(base: str, devices: tuple[SimDevice, ...], start_over_s: float = 2.0) -> Fleet:
    options = FleetOptions(
        url=base,
        tenant=ALIAS,
        devices=devices,
        behaviour=ROUGH,
        seed=SEED,
        start_over_s=start_over_s,
    )
    return Fleet(options, SystemClock())


async def _over(operator: Operator, campaign_id: str, *fleets: Fleet) -> None:
    """Wait until no device of the campaign will do anything more by itself."""

    async def over() -> bool:
        if not all(map(is_quiet, fleets)):
            return False
        standings = await operator.report(campaign_id)
        told = truths(*fleets)
        for imei, standing in standings.items():
            if standing.status == "UpgradePending":
                # Those that will never say anything: they have it, and keep silent.
                silent = [a for a in told[imei].offers if a in told[imei].downloads]
                closed = {c.action_id for c in told[imei].closings}
                if not silent or silent[-1] in closed or told[imei].offers[-1] in closed:
                    return False
            elif standing.status not in (SUCCESS, "UpgradeFailed"):
                return False
        return True

    await until(over, "every device's end", LIMIT_S)


async def _told_the_same(listener: Listener, operator: Operator, campaign_id: str) -> None:
    async def same() -> bool:
        return listener.devices.get(campaign_id) == await operator.report(campaign_id)

    await until(same, "the callbacks to tell what the report tells", LIMIT_S)


async def test_reports_are_what_the_devices_are_across_a_restart(place: Installation) -> None:
    """With devices failing in all ways and a restart in the middle, all accounts agree."""
    devices = generate_roster(50, seed=SEED)
    place.prepare(devices)
    async with listening() as listener:
        server = place.serve()
        server.wait_ready()
        async with _fleet(server.base, devices) as fleet, operating(server) as operator:
            await operator.call("POST", "/callbacks/{}", {"url": listener.url})
            campaign_id = await operator.schedule(campaign(devices))

            async def under_way() -> bool:
                return fleet.snapshot().updated >= 5

            await until(under_way, "the first devices to be updated", LIMIT_S)
            assert server.stop() == 0
            server = place.serve(server.port)
            server.wait_ready()
            # The tokens of before are good: they are in the database.
            await _over(operator, campaign_id, fleet)
            await _told_the_same(listener, operator, campaign_id)
            report = await operator.report(campaign_id)
            ledger = compare(report, truths(fleet), "02", running=True)
            assert not ledger.disputes, "\n".join(ledger.disputes)
            assert ledger.total == len(devices)
            assert len({line.standing for line in ledger.lines}) >= 3, "hardly anything failed"
            assert fleet.snapshot().last_error.count("answered 5") == 0
        await _commands_agree(place, campaign_id, report)
        assert place.command("verify")["findings"] == []
        assert server.stop() == 0


async def _commands_agree(place: Installation, campaign_id: str, report: Any) -> None:
    """``campaign``, ``explain`` and ``callbacks`` tell the same, beside the server."""
    counts: dict[str, int] = {}
    for standing in report.values():
        word = {SUCCESS: "succeeded", "UpgradeFailed": "failed", "UpgradePending": "pending"}
        counts[word[standing.status]] = counts.get(word[standing.status], 0) + 1
    shown = place.command("campaign", "show", campaign_id)
    assert {k: v for k, v in shown["devices"].items() if v} == counts
    assert [each["id"] for each in place.command("campaign", "list")] == [campaign_id]
    for status, state in ((SUCCESS, "succeeded"), ("UpgradeFailed", "failed")):
        imei = next((i for i, standing in report.items() if standing.status == status), None)
        if imei is not None:
            assert place.command("explain", imei)["state"] == state
    assert place.command("callbacks")["waiting"] == 0


async def test_two_servers_share_one_database(tmp_path: Path, postgres_url: str) -> None:
    """Half of a fleet on each of two processes, and one campaign: all accounts agree."""
    devices = generate_roster(50, seed=SEED)
    with installation(tmp_path, postgres_url) as place:
        place.prepare(devices)
        one, other = place.serve(), place.serve()
        one.wait_ready()
        other.wait_ready()
        async with (
            listening() as listener,
            _fleet(one.base, devices[::2]) as even,
            _fleet(other.base, devices[1::2]) as odd,
            operating(one) as operator,
            operating(other) as second,
        ):
            await operator.call("POST", "/callbacks/{}", {"url": listener.url})
            campaign_id = await operator.schedule(campaign(devices))
            await _over(second, campaign_id, even, odd)
            await _told_the_same(listener, second, campaign_id)
            report = await operator.report(campaign_id)
            assert report == await second.report(campaign_id)
            ledger = compare(report, truths(even, odd), "02", running=True)
            assert not ledger.disputes, "\n".join(ledger.disputes)
            assert listener.repeated == 0
        assert place.command("verify")["findings"] == []
        assert one.stop() == 0
        assert other.stop() == 0


async def test_one_server_of_two_may_die(tmp_path: Path, postgres_url: str) -> None:
    """When one of two processes is killed, the other carries its campaigns to their end."""
    devices = generate_roster(20, seed=SEED)
    with installation(tmp_path, postgres_url, lease_s=2) as place:
        place.prepare(devices)
        one, other = place.serve(), place.serve()
        one.wait_ready()
        async with operating(other) as operator, _fleet(other.base, devices) as fleet:
            campaign_id = await operator.schedule(campaign(devices))
            one.kill()
            await _over(operator, campaign_id, fleet)
            ledger = compare(await operator.report(campaign_id), truths(fleet), "02", running=True)
            assert not ledger.disputes, "\n".join(ledger.disputes)
        assert place.command("verify")["findings"] == []


async def test_commands_run_beside_the_server(place: Installation) -> None:
    """``simulate`` updates a fleet while ``campaign watch`` sees it through to its end."""
    devices = generate_roster(15, seed=SEED)
    place.prepare(devices)
    roster = place.directory / "roster.ndjson"
    roster.write_text(
        "\n".join(
            json.dumps({"imei": device.controller_id, "token": device.token}) for device in devices
        )
    )
    server = place.serve()
    async with operating(server) as operator:
        campaign_id = await operator.schedule(campaign(devices))
        waiting = place.command("explain", devices[0].controller_id)
        assert waiting["wait"] in ("checks", "check_in")
        watch = place.spawn("campaign", "watch", campaign_id)
        simulate = place.spawn(
            "simulate", server.base, "--tenant", ALIAS, "--roster", str(roster),
            "--until-updated", str(len(devices)), "--start-over", "1", "--rate", "20",
            own_flags=False,
        )  # fmt: skip
        simulated, _ = await asyncio.to_thread(simulate.communicate, timeout=LIMIT_S)
        assert simulate.returncode == 0
        assert json.loads(simulated)["updated"] == len(devices)
        watched, _ = await asyncio.to_thread(watch.communicate, timeout=LIMIT_S)
        assert watch.returncode == 0
        seen = [json.loads(line) for line in watched.splitlines()]
        assert seen[-1]["status"] == "ended"
        assert seen[-1]["devices"]["succeeded"] == len(devices)
        assert await operator.status(campaign_id) == "CampaignEnded"
    assert place.command("explain", devices[0].controller_id)["version"] == "02"
    assert place.command("verify")["findings"] == []
