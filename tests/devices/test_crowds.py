"""Many devices at once, and a server that dies (http-ddi 6, 8)."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from overair.clock import SystemClock
from overair.sim.http.roster import SimDevice
from overair.store import open_database
from overair.store.database import Tx
from tests.devices.field import Field, Peer, Wire, request, token
from tests.installation import ALIAS, Installation, Process, installation

CROWD = range(1, 65)


async def test_64_devices_that_repeat_themselves(each_field: Field) -> None:
    """All close at once, each four times at the same moment: every outcome counts exactly once."""
    field = each_field
    await field.add(*CROWD)
    campaign = await field.campaign(*CROWD)
    begun = await asyncio.gather(*(begin(field.peer(n)) for n in CROWD))
    actions = dict(zip(CROWD, begun, strict=True))
    outcome = {n: "failure" if n % 4 == 0 else "success" for n in CROWD}

    async def close(number: int) -> list[int]:
        peer = field.peer(number)
        replies = await asyncio.gather(
            *(peer.say(actions[number], "closed", outcome[number]) for _ in range(4))
        )
        return sorted(reply.status for reply in replies)

    answers = await asyncio.gather(*(close(n) for n in CROWD))
    assert answers == [[200, 410, 410, 410]] * len(CROWD)
    assert await field.counts(campaign) == {"succeeded": 48, "pending": 16}
    for number in CROWD:
        assert len(await field.messages(actions[number])) == 1
        assert await field.state(actions[number]) == (
            "failed" if outcome[number] == "failure" else "finished"
        )


async def begin(peer: Peer) -> int:
    action, _ = await peer.retrieve()
    return action


async def test_contradicting_ends_at_once(each_field: Field) -> None:
    """Of success, failure and a cancel at the same moment one wins, whole, and the rest is void."""
    field = each_field
    await field.add(*range(1, 33))
    campaign = await field.campaign(*range(1, 33))
    actions = [await begin(field.peer(n)) for n in range(1, 33)]

    async def fight(number: int, action: int) -> list[int]:
        peer = field.peer(number)
        replies = await asyncio.gather(
            peer.say(action, "closed", "success"),
            peer.say(action, "closed", "failure"),
            peer.say(action, "proceeding"),
            peer.get(),
        )
        return [reply.status for reply in replies]

    outcomes, _ = await asyncio.gather(
        asyncio.gather(*(fight(n, action) for n, action in enumerate(actions, 1))),
        field.stop(campaign),
    )
    for success, failure, progress, polled in outcomes:
        assert sorted((success, failure)) == [200, 410]
        assert progress in (200, 410)
        assert polled == 200
    counts = await field.counts(campaign)
    assert sum(counts.values()) == 32
    assert counts.get("succeeded", 0) == sum(success == 200 for success, *_ in outcomes)


async def test_one_device_that_polls_on_many_connections(each_field: Field) -> None:
    """However many polls come at once, one action is made."""
    field = each_field
    peer = await field.new_peer(1)
    await field.campaign(1)
    offered = await asyncio.gather(*(peer.offered() for _ in range(24)))
    assert len(set(offered)) == 1
    rows = await field.run(lambda tx: tx.all("select id from attempt"))
    assert len(rows) == 1


async def test_downloads_at_once_count_each(each_field: Field) -> None:
    """Pieces that arrive side by side are all counted."""
    field = each_field
    peer = await field.new_peer(1)
    await field.campaign(1)
    action, document = await peer.retrieve()
    href = document["deployment"]["chunks"][0]["artifacts"][0]["_links"]["download"]["href"]
    pieces = [f"bytes={start}-{start + 999}" for start in range(0, 10_000, 1000)]
    replies = await asyncio.gather(*(peer.get(href, {"Range": piece}) for piece in pieces))
    assert {reply.status for reply in replies} == {206}
    device = await peer.record()
    await field.server.ddi._rooms.artifacts.settled(device.id)
    assert await field.state(action) == "downloaded"
    assert (await field.attempt(action)).downloads == 1


@pytest.mark.crash
async def test_a_crash_loses_at_most_a_second_of_check_ins(tmp_path: Path) -> None:
    """Killed while devices poll: every check-in older than a second is in the database."""
    devices = [SimDevice(controller_id=f"99001390{n:07d}", token=token(n)) for n in range(1, 201)]
    with installation(tmp_path) as place:
        place.prepare(devices)
        process = place.serve()
        process.wait_ready()
        polled = await poll_for(process, devices, 5.0)
        killed_at = asyncio.get_running_loop().time()
        process.kill()
        seen = await seen_devices(place)
    # The second, and as much again for a busy machine to write it down.
    old = {imei for imei, at in polled.items() if killed_at - at > 2.0}
    assert len(old) > 50
    assert old <= seen
    assert seen <= polled.keys()


async def poll_for(process: Process, devices: list[SimDevice], time_s: float) -> dict[str, float]:
    """Each device polls once, one after the other; when each was answered."""
    polled: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    wire = await Wire.open(process.base)
    pause_s = time_s / len(devices)
    end = loop.time()
    for device in devices:
        target = f"/{ALIAS}/controller/v1/{device.controller_id}"
        reply = await wire.ask("GET", target, {"Authorization": f"TargetToken {device.token}"})
        assert reply.status == 200
        polled[device.controller_id] = loop.time()
        end += pause_s
        while loop.time() < end:  # noqa: ASYNC110 - polls are to be spread over some seconds
            await asyncio.sleep(0.001)
    await wire.close()
    return polled


async def seen_devices(place: Installation) -> set[str]:
    """The devices with a check-in, once the database was opened again."""
    database = open_database(f"sqlite:///{place.data / 'overair.db'}", SystemClock())
    await database.start()
    try:

        def read(tx: Tx) -> set[str]:
            rows = tx.all(
                "select d.imei from device d join check_in c on c.device_id = d.id"
                " join device_seen s on s.device_id = d.id where s.seen_at > 0"
            )
            return {row[0] for row in rows}

        return await database.report(read)
    finally:
        await database.close()


@pytest.mark.crash
async def test_a_crash_loses_no_acknowledged_report(tmp_path: Path) -> None:
    """Killed right behind an answer: what was answered 200 is in the database."""
    devices = [SimDevice(controller_id=f"99001390{n:07d}", token=token(n)) for n in range(1, 41)]
    with installation(tmp_path, poll_interval_s=3600) as place:
        place.prepare(devices)
        process = place.serve()
        process.wait_ready()
        acknowledged: list[str] = []

        async def tell(device: SimDevice) -> None:
            wire = await Wire.open(process.base)
            headers = {
                "Authorization": f"TargetToken {device.token}",
                "Content-Type": "application/json",
            }
            target = f"/{ALIAS}/controller/v1/{device.controller_id}/configData"
            with contextlib.suppress(OSError, AssertionError, asyncio.TimeoutError):
                await wire.send(request("PUT", target, headers, b'{"data": {"version": "77"}}'))
                if (await asyncio.wait_for(wire.reply(), 5)).status == 200:
                    acknowledged.append(device.controller_id)
                    if len(acknowledged) == 15:
                        process.popen.kill()
            await wire.close()

        await asyncio.gather(*(tell(device) for device in devices))
        process.kill()
        for imei in acknowledged:
            assert place.command("device", "show", imei)["version"] == "77"
    assert len(acknowledged) >= 15
