"""The check-in: what it answers, and what is kept of it (http-ddi 5.1 and 8)."""

import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from overair.core.window import Window
from overair.store import seen
from tests.devices.field import MONDAY, Field, Peer, open_field

SLEEP = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]")


async def test_an_idle_device_is_told_when_to_come_again(peer: Peer) -> None:
    """Polling.sleep is always there; without anything to say there are no links."""
    await peer.send_attributes(hw="2")
    assert set(await peer.poll()) == {"config"}
    assert SLEEP.fullmatch((await peer.poll())["config"]["polling"]["sleep"])


@pytest.mark.parametrize(
    ("interval_s", "low", "high"),
    [
        (1, 1, 1),
        (2, 2, 2),
        (30, 27, 30),
        (300, 270, 300),
        (43_200, 38_880, 43_200),
        (86_399, 77_759, 86_399),
    ],
)
async def test_the_sleep_is_always_of_that_form(
    tmp_path: Path, interval_s: int, low: int, high: int
) -> None:
    """HH:MM:SS from 00:00:01 to 23:59:59, within 10 % of what is set, for any interval."""
    async with open_field(
        tmp_path, poll_interval_s=interval_s, active_poll_interval_s=interval_s
    ) as field:
        await field.add(*range(1, 31))
        await field.campaign(*range(1, 11))
        for number in range(1, 31):
            sleep = (await field.peer(number).poll())["config"]["polling"]["sleep"]
            assert SLEEP.fullmatch(sleep)
            assert low <= await field.peer(number).sleep_s() <= high


async def test_intervals_of_a_device_and_its_account(field: Field) -> None:
    """A device's own interval counts before its account's, that before the installation's."""
    await field.add(1)
    await field.add(2, poll_interval_s=600)
    assert 38_880 <= await field.peer(1).sleep_s() <= 43_200
    await field.set_account(poll_interval_s=3600)
    assert 3240 <= await field.peer(1).sleep_s() <= 3600
    assert 540 <= await field.peer(2).sleep_s() <= 600
    await field.add(3, poll_interval_s=10**6)
    assert await field.peer(3).sleep_s() <= 86_399


async def test_the_fleet_is_spread_and_each_device_stays(field: Field) -> None:
    """Intervals differ over the fleet by up to 10 %; a device keeps its own, and its ETag."""
    await field.add(*range(1, 41))
    first = {n: await field.peer(n).get() for n in range(1, 41)}
    field.clock.advance(timedelta(hours=5))
    for number, reply in first.items():
        again = await field.peer(number).get()
        assert again.body == reply.body
        assert again.header("ETag") == reply.header("ETag")
    assert len({reply.json()["config"]["polling"]["sleep"] for reply in first.values()}) > 20


async def test_links_while_an_action_is_offered(field: Field) -> None:
    """A deployment with a tag, never together with a cancel; attributes and the last installation."""
    await field.add(1)
    peer = field.peer(1)
    assert set(await peer.links()) == {"configData"}
    campaign = await field.campaign(1)
    links = await peer.links()
    assert set(links) == {"configData", "deploymentBase"}
    parts = urlsplit(links["deploymentBase"])
    action = await peer.offered()
    assert parts.path == f"{peer.base}/deploymentBase/{action}"
    assert re.fullmatch(r"c=[^/]+", parts.query)
    assert len(f"deploymentBase/{2**31 - 1}?{parts.query}") < 50
    await peer.retrieve()
    await field.stop(campaign)
    links = await peer.links()
    assert set(links) == {"configData", "cancelAction"}
    assert links["cancelAction"].endswith(f"{peer.base}/cancelAction/{action}")


async def test_attributes_are_wanted_once_and_after_each_success(field: Field) -> None:
    """configData is linked until attributes came, and again after an installation."""
    peer = await field.new_peer(1)
    assert "configData" in await peer.links()
    assert (await peer.send_attributes(hw="2")).status == 200
    assert "configData" not in await peer.links()
    await field.campaign(1)
    action = await peer.succeed()
    links = await peer.links()
    assert set(links) == {"configData", "installedBase"}
    assert links["installedBase"].endswith(f"{peer.base}/installedBase/{action}")
    await peer.send_attributes(hw="2")
    assert set(await peer.links()) == {"installedBase"}


async def test_missing_attributes_never_hold_an_update_back(field: Field) -> None:
    """A device that never sends attributes is offered its update all the same."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    await peer.succeed()
    assert await peer.version() == "02"


async def test_the_tag_changes_with_the_content(field: Field) -> None:
    """The same deployment keeps its tag; a change of it changes the tag and the ETag."""
    await field.add(1, 2, two_phase=True)
    await field.campaign(1, install_windows=(Window(10, 12),))
    peer = field.peer(1)
    before = await peer.links()
    etag = (await peer.get()).header("ETag")
    assert await peer.links() == before
    await peer.retrieve()
    await field.wait_until(MONDAY + timedelta(hours=2, minutes=5))
    after = await peer.links()
    assert after["deploymentBase"] != before["deploymentBase"]
    assert urlsplit(after["deploymentBase"]).path == urlsplit(before["deploymentBase"]).path
    assert (await peer.get()).header("ETag") != etag


async def test_an_etag_and_a_304(field: Field) -> None:
    """An unchanged answer is 304 without a body to whoever has it; a changed one is 200."""
    peer = await field.new_peer(1)
    first = await peer.get()
    tag = first.header("ETag")
    assert tag is not None
    assert re.fullmatch(r'"[^"]+"', tag)
    for sent in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        reply = await peer.get("", {"If-None-Match": sent})
        assert (reply.status, reply.body) == (304, b""), sent
        assert reply.header("ETag") == tag
    for sent in ('"x"', tag.strip('"'), "nonsense"):
        assert (await peer.get("", {"If-None-Match": sent})).status == 200, sent
    await field.campaign(1)
    changed = await peer.get("", {"If-None-Match": tag})
    assert changed.status == 200
    assert changed.header("ETag") != tag


async def test_a_connection_lives_on_after_a_304(field: Field) -> None:
    """A 304 has no body and no length of one."""
    peer = await field.new_peer(1)
    wire = await field.wire()
    tag = (await wire.ask("GET", peer.base, peer.headers)).header("ETag")
    for _ in range(3):
        headers = peer.headers | {"If-None-Match": str(tag)}
        assert (await wire.ask("GET", peer.base, headers)).status == 304
        assert (await wire.ask("GET", peer.base, peer.headers)).status == 200


async def test_a_304_is_a_check_in(field: Field) -> None:
    """The history has the poll that was answered 304."""
    peer = await field.new_peer(1)
    tag = (await peer.get()).header("ETag")
    field.clock.advance(timedelta(hours=1))
    assert (await peer.get("", {"If-None-Match": str(tag)})).status == 304
    assert [c.at for c in await peer.check_ins()] == [MONDAY + timedelta(hours=1), MONDAY]


async def test_each_poll_is_a_check_in_and_nothing_else_is(field: Field) -> None:
    """GET of the base is the check-in: Success, None, its time; other requests are none."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    action, document = await peer.retrieve()
    await peer.download(document)
    await peer.say(action, "proceeding")
    assert [(c.at, c.result, c.failure_type) for c in await peer.check_ins()] == [
        (MONDAY, "Success", "None")
    ]


async def test_polls_less_than_five_seconds_apart_count_as_one(field: Field) -> None:
    """SWUpdate polls twice in a row before an installation: one entry."""
    peer = await field.new_peer(1)
    times = [0.0, 0.1, 4.9, 5.0, 9.9, 10.0, 3600.0, 3604.0]
    for at in times:
        field.clock.advance(MONDAY + timedelta(seconds=at) - field.clock.now())
        await peer.poll()
    found = [(c.at - MONDAY).total_seconds() for c in await peer.check_ins()]
    assert found == [3600.0, 10.0, 5.0, 0.0]


async def test_a_crowd_s_polls_are_each_kept(field: Field) -> None:
    """Coalescing is of one device's polls: those of others in between change nothing."""
    await field.add(*range(1, 21))
    for second in range(0, 60, 6):
        field.clock.advance(MONDAY + timedelta(seconds=second) - field.clock.now())
        for number in range(1, 21):
            await field.peer(number).poll()
            await field.peer(number).poll()
    for number in range(1, 21):
        assert len(await field.peer(number).check_ins()) == 10


@pytest.mark.parametrize(("download", "failure"), [(False, "Download"), (True, "Install")])
async def test_the_check_in_after_a_failed_attempt_says_so(
    field: Field, download: bool, failure: str
) -> None:
    """The entry that follows a failure report is Failure with Download or Install."""
    peer = await field.new_peer(1)
    await field.campaign(1)
    action, document = await peer.retrieve()
    if download:
        await peer.download(document)
    field.clock.advance(timedelta(seconds=1))
    await peer.close_with(action, "failure")
    await peer.poll()
    field.clock.advance(timedelta(seconds=4))
    await peer.poll()
    field.clock.advance(timedelta(seconds=60))
    await peer.poll()
    assert [(c.result, c.failure_type) for c in await peer.check_ins()] == [
        ("Success", "None"),
        ("Failure", failure),
        ("Success", "None"),
    ]


async def test_the_history_keeps_1000_entries_and_30_days(each_field: Field) -> None:
    """The history shows at most 1000 entries, newest first, and is purged after 30 days."""
    field = each_field
    peer = await field.new_peer(1)
    noted = field.server.seen
    device = await peer.record()
    for n in range(1100):
        noted.note(device.id, int((MONDAY.timestamp() + n * 60) * 1000))
    field.clock.advance(timedelta(minutes=1099))
    found = await peer.check_ins()
    assert len(found) == 1000
    assert found == sorted(found, key=lambda c: c.at, reverse=True)
    assert found[0].at == field.clock.now()
    month = field.clock.now() - timedelta(minutes=500)
    await field.run(lambda tx: seen.purge(tx, month, 5000))
    assert len(await peer.check_ins()) == 501


async def test_last_seen_moves_with_each_check_in(each_field: Field) -> None:
    """The device's last contact is its latest poll, also after a time without a flush."""
    field = each_field
    peer = await field.new_peer(1)
    for hours in (0, 3, 5):
        field.clock.advance(timedelta(hours=hours))
        await peer.poll()
    await field.server.seen.flush()
    device = await peer.record()
    row = await field.run(
        lambda tx: tx.one("select seen_at from device_seen where device_id = ?", (device.id,))
    )
    assert row is not None
    assert row[0] == int(field.clock.now().timestamp() * 1000)


async def test_an_idle_poll_writes_nothing(field: Field) -> None:
    """A check-in without an action reads one row and writes none."""
    peer = await field.new_peer(1)
    await peer.poll()
    await field.server.seen.flush()

    async def forbidden(*_: object) -> None:
        raise AssertionError("an idle poll writes")

    transact = field.server.db.transact
    field.server.db.transact = forbidden  # type: ignore[method-assign,assignment]  # nothing may call it
    try:
        for _ in range(20):
            field.clock.advance(timedelta(minutes=1))
            assert (await peer.get()).status == 200
    finally:
        field.server.db.transact = transact  # type: ignore[method-assign]
