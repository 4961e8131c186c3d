"""Requests that come slowly, or never whole."""

import asyncio
from pathlib import Path

import pytest

from overair.devices import asgi, desk
from overair.devices.slow import SlowBodies
from tests.devices.field import Field, Peer, Wire, open_field, request, told
from tests.waiting import until


async def begun(field: Field, peer: Peer, path: str, body: bytes = b"x" * 100) -> Wire:
    """A request whose body does not come, but for its first byte."""
    wire = await field.wire()
    method = "PUT" if path == "configData" else "POST"
    headers = {
        **peer.headers,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
    }
    await wire.send(request(method, f"{peer.base}/{path}", headers) + body[:1])
    return wire


async def test_a_body_that_does_not_come_is_not_waited_for(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that stops in the middle of its report is told so, and loses its connection."""
    monkeypatch.setattr(asgi, "BODY_S", 0.2)
    slow(field).after_s = 0.1
    wire = await begun(field, await field.new_peer(1), "configData")
    reply = await wire.reply("PUT")
    assert (reply.status, reply.json()["errorCode"]) == (408, "ddi.slow")
    assert await wire.reader.read() == b""
    await wire.close()


@pytest.mark.parametrize("limit", ["SLOW_OF_ONE", "SLOW_IN_ALL"])
async def test_crowds_of_bodies_that_do_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """Beyond a limit the one that was waited for longest is told to come again; reports get in."""
    monkeypatch.setattr(desk, limit, 3)
    monkeypatch.setattr(desk, "SLOW_S", 0.01)
    async with open_field(tmp_path / "data") as field:
        peer = await field.new_peer(1)
        await field.campaign(1)
        await field.switch_logging_on(1)
        action = await peer.begin()
        report = told("proceeding")
        feedback = f"deploymentBase/{action}/feedback"
        stuck: list[tuple[str, Wire]] = []
        for path in ("configData", feedback, "log", "configData", feedback, "log", feedback):
            stuck.append((path, await begun(field, peer, path, report)))
            if len(stuck) <= 3:
                await until(lambda: counted(field, len(stuck)), "a slow body to be counted")
                continue
            _, wire = stuck.pop(0)
            reply = await asyncio.wait_for(wire.reply("POST"), 10)
            assert (reply.status, reply.json()["errorCode"]) == (429, "ddi.too_many")
            assert reply.header("retry-after") == "1"
            await wire.close()
        assert (await peer.say(action, "proceeding")).status == 200
        for path, wire in stuck:
            await wire.send(report[1:])
            # It is read once it is there: a report is no log, nor are they attributes.
            assert (await wire.reply("POST")).status == (200 if path == feedback else 400)
            await wire.close()
        assert len(slow(field)) == 0


def slow(field: Field) -> SlowBodies:
    return field.server.ddi._rooms.slow


async def counted(field: Field, number: int) -> bool:
    return len(slow(field)) == number
