"""Device logs while logging is on, and their upload (http-ddi 8, 9)."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.devices.field import MONDAY, Field, Peer, Reply, open_field

JSON = {"Content-Type": "application/json"}
BINARY = {"Content-Type": "application/octet-stream"}
TYPES = (
    "SoftwareUpdate",
    "Event",
    "UserNotification",
    "AgentService",
    "Wireless",
    "WirelessWeb",
    "MobileBroadbandModem",
    "WindowsMDM",
)


async def upload(peer: Peer, document: Any) -> Reply:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return await peer.ask("POST", "/log", JSON, body)


@pytest.fixture
async def talker(field: Field) -> Peer:
    """A device with logging on."""
    peer = await field.new_peer(1)
    await field.switch_logging_on(1)
    return peer


async def test_the_link_is_there_while_logging_is_on(field: Field) -> None:
    """Linked from the next poll after it is switched on until it goes off after seven days."""
    peer = await field.new_peer(1)
    assert "log" not in await peer.links()
    assert (await upload(peer, {"logType": "Event", "eventLog": "x"})).status == 403
    await field.switch_logging_on(1)
    assert (await peer.links())["log"] == f"http://fota.example:8443{peer.base}/log"
    assert (await upload(peer, {"logType": "Event", "eventLog": "x"})).status == 200
    field.clock.advance(timedelta(days=7))
    assert "log" not in await peer.links()
    reply = await upload(peer, {"logType": "Event", "eventLog": "x"})
    assert reply.status == 403
    assert reply.json()["errorCode"]
    assert len(await peer.logged()) == 1


async def test_one_entry_or_a_list(talker: Peer) -> None:
    """Each entry is kept with its type, text and time; without one the time of receipt."""
    assert (await upload(talker, {"logType": "Event", "eventLog": "up\nand running"})).status == 200
    entries = [
        {"logType": kind, "eventLog": kind, "logTime": "2026-03-01T10:00:00"} for kind in TYPES
    ]
    assert (await upload(talker, entries)).status == 200
    assert (await upload(talker, [])).status == 200
    kept = await talker.logged()
    assert [entry.type for entry in reversed(kept)] == ["Event", *TYPES]
    assert (kept[-1].text, kept[-1].at) == ("up\nand running", MONDAY)
    assert {entry.at for entry in kept[:-1]} == {datetime(2026, 3, 1, 10, tzinfo=UTC)}


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"logType": "Event"},
        {"eventLog": "x"},
        {"logType": "event", "eventLog": "x"},
        {"logType": "Event", "eventLog": 5},
        {"logType": "Event", "eventLog": None},
        {"logType": "Event", "eventLog": "x", "logTime": "yesterday"},
        {"logType": "Event", "eventLog": "x", "logTime": 17},
        [{"logType": "Event", "eventLog": "x"}, {}],
        [[]],
        "x",
        b"",
        b"{",
    ],
)
async def test_what_is_no_log(talker: Peer, document: Any) -> None:
    """400, and nothing of it is kept."""
    assert (await upload(talker, document)).status == 400
    assert await talker.logged() == []


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="modem.bin"', "modem.bin"),
        ("attachment; filename=modem.bin", "modem.bin"),
        ("attachment; filename*=UTF-8''m%C3%B6dem.bin", "mödem.bin"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\x\\\\y.log"', "y.log"),
        ("", "log.bin"),
    ],
)
async def test_a_binary_log(talker: Peer, disposition: str, name: str) -> None:
    """A file is kept with its name, without any path."""
    content = bytes(range(256)) * 10
    headers = BINARY | {"Content-Disposition": disposition}
    assert (await talker.ask("POST", "/log", headers, content)).status == 200
    (entry,) = await talker.logged()
    assert (entry.binary, entry.binary_name) == (content, name)
    assert entry.at == MONDAY


@pytest.mark.parametrize("limit", [None, 1000, 2 * 1024 * 1024])
async def test_the_limit_of_a_binary_log(tmp_path: Path, limit: int | None) -> None:
    """1 MiB is taken, a byte more is 413; or what is set instead."""
    changes = {} if limit is None else {"log_bytes": limit}
    async with open_field(tmp_path, **changes) as field:  # type: ignore[arg-type]  # limits by name
        peer = await field.new_peer(1)
        await field.switch_logging_on(1)
        size = limit or 1024 * 1024
        assert (await peer.ask("POST", "/log", BINARY, b"x" * (size + 1))).status == 413
        assert await peer.logged() == []
        assert (await peer.ask("POST", "/log", BINARY, b"x" * size)).status == 200
        assert len((await peer.logged())[0].binary or b"") == size


async def test_other_limits_of_uploads(talker: Peer) -> None:
    """415 for other types, 413 for JSON above the body limit or with too many entries."""
    entry = {"logType": "Event", "eventLog": "x"}
    assert (await talker.ask("POST", "/log", {"Content-Type": "text/plain"}, b"x")).status == 415
    assert (await upload(talker, [entry] * 1001)).status == 413
    assert (await upload(talker, entry | {"eventLog": "x" * 256 * 1024})).status == 413
    assert (await upload(talker, [entry] * 1000)).status == 200


async def test_each_detail_becomes_an_entry_while_logging_is_on(each_field: Field) -> None:
    """Lines of reports are entries of type SoftwareUpdate, with the time of receipt, no binary."""
    field = each_field
    await field.add(1, 2)
    await field.campaign(1, 2)
    await field.switch_logging_on(1)
    for number in (1, 2):
        peer = field.peer(number)
        action, _ = await peer.retrieve()
        field.clock.advance(timedelta(minutes=1))
        await peer.say(action, "proceeding", "none", "one", "two")
        await peer.say(action, "closed", "success", "three")
    kept = await field.peer(1).logged()
    assert [(e.type, e.text, e.binary or b"", e.binary_name) for e in reversed(kept)] == [
        ("SoftwareUpdate", text, b"", "") for text in ("one", "two", "three")
    ]
    assert {entry.at for entry in kept} == {MONDAY + timedelta(minutes=1)}
    assert await field.peer(2).logged() == []


async def test_attributes_are_an_event_while_logging_is_on(field: Field) -> None:
    """Attributes received are logged, and no longer once logging has gone off."""
    peer = await field.new_peer(1)
    await peer.send_attributes(hw="1")
    await field.switch_logging_on(1)
    await peer.send_attributes(hw="2")
    field.clock.advance(timedelta(days=7))
    await peer.send_attributes(hw="3")
    (entry,) = await peer.logged()
    assert entry.type == "Event"
    assert "hw=2" in entry.text


async def test_messages_are_kept_with_the_action_in_any_case(field: Field) -> None:
    """With logging off the device's words are still in its upgrade history."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    action, _ = await peer.retrieve()
    await peer.say(action, "proceeding", "none", "one", "two")
    assert await peer.logged() == []
    assert [m.details for m in await field.messages(action)] == [("one", "two")]
