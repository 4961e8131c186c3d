"""Sessions over several messages: repeats, other processes, restarts, and their ends (oma-dm 5)."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from overair.app import Server
from overair.artifacts.local import LocalStorage
from overair.housekeeping import Housekeeping
from overair.protocols.syncml.codec import Form, decode, encode
from overair.protocols.syncml.message import Alert, Message, Status
from overair.store import dm_sessions
from overair.store.database import Tx
from tests.devices.dm.modem import (
    CLIENT_SECRET,
    EXEC,
    ROOT,
    SERVER_SECRET,
    URL,
    VERSION,
    WBXML,
    XML,
    Modem,
    codes,
    is_end,
)
from tests.devices.dm.yard import Yard, open_yard
from tests.serving import serving

FORMS = pytest.mark.parametrize("form", [XML, WBXML], ids=["xml", "wbxml"])


def has_exec(reply: Message) -> bool:
    return any(type(command).__name__ == "Exec" for command in reply.commands)


async def until_exec(modem: Modem) -> Message:
    """The session up to the server's message with the Exec."""
    reply = await modem.begin()
    for _ in range(20):
        if has_exec(reply):
            return reply
        reply = await modem.send(modem.answers(reply))
    raise AssertionError("there was no Exec")


@FORMS
async def test_a_lost_reply_is_sent_again(each_yard: Yard, form: Form) -> None:
    """The same message again gets the same bytes, and changes nothing, at every step."""
    modem = await each_yard.modem(1, form)
    await each_yard.campaign(1)
    reply = await modem.begin()
    while not is_end(reply):
        reply = await modem.send(modem.answers(reply))
        assert modem.reply is not None
        first = modem.reply.body
        account = await each_yard.account(1)
        assert (await modem.post(modem.body)).body == first
        assert await each_yard.account(1) == account
    told = await each_yard.told(1)
    assert [text for _, text in told] == ["takes the command"]


async def test_the_command_is_on_record_before_it_leaves(each_yard: Yard) -> None:
    """When the Exec arrives the attempt is running, also if the device's answer never comes."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    await until_exec(modem)
    assert await each_yard.state(1) == "running"
    # The device comes again and stands idle: within the grace it is left alone.
    modem.wanted = ""
    await modem.session()
    assert modem.wanted == ""
    # After that the report counts as lost.
    await each_yard.wait(seconds=901)
    await modem.session()
    assert await each_yard.state(1) == "failed"


async def test_the_same_message_twice_at_once(each_yard: Yard) -> None:
    """Two copies that arrive together get one reply, and the command is given once."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    reply = await until_exec(modem)
    message = modem.message(modem.answers(reply))
    modem.msg_id -= 1
    await modem.send(list(message.commands))
    answers = await asyncio.gather(*(modem.post(modem.body) for _ in range(5)))
    assert len({answer.body for answer in answers}) == 1
    assert [text for _, text in await each_yard.told(1)] == ["takes the command"]


async def test_two_processes_on_one_session(tmp_path: Path, postgres_url: str) -> None:
    """Each message goes to the other process, and a repeat to either: the session does not notice."""
    async with open_yard(tmp_path / "one", postgres_url, secret_key="k" * 32) as first:
        other = Server(first.field.settings, clock=first.field.clock)
        await other.start()
        try:
            async with serving(other) as base_url:
                modem = await first.modem(1, WBXML)
                campaign = await first.campaign(1)
                addresses = [base_url, first.field.base_url]
                # One name for both, as behind a balancer: what they tell does not depend on who it is.
                modem.headers = {"Host": "fota.example"}
                reply = await modem.begin()
                for number in range(20):
                    if is_end(reply):
                        break
                    modem.base_url = addresses[number % 2]
                    reply = await modem.send(modem.answers(reply))
                    assert modem.reply is not None
                    said = modem.reply.body
                    modem.base_url = addresses[(number + 1) % 2]
                    assert (await modem.post(modem.body)).body == said
                assert modem.wanted == EXEC
                assert modem.url.startswith("http://fota.example/dm/dd/")
                # An address that one process told is good at the other.
                modem.tree[VERSION] = "02"
                await modem.session(modem.result(200))
                assert await first.place(1, campaign) == ("succeeded", "success")
        finally:
            await other.close()


async def test_two_processes_at_once(tmp_path: Path, postgres_url: str) -> None:
    """The same message at both at the same moment: one of them works, the other repeats its reply."""
    async with open_yard(tmp_path / "one", postgres_url, secret_key="k" * 32) as first:
        other = Server(first.field.settings, clock=first.field.clock)
        await other.start()
        try:
            async with serving(other) as base_url:
                modem = await first.modem(1)
                modem.headers = {"Host": "fota.example"}
                await first.campaign(1)
                reply = await modem.begin()
                while not is_end(reply):
                    twin = Modem(home=first.field, imei=modem.imei, user=modem.user)
                    twin.base_url, twin.headers = base_url, modem.headers
                    sent = modem.message(modem.answers(reply))
                    modem.msg_id -= 1
                    body = _encoded(modem, sent)
                    one, two = await asyncio.gather(modem.post(body), twin.post(body))
                    assert one.body == two.body
                    assert one.status == two.status == 200
                    modem.msg_id += 1
                    reply = _decoded(modem, one.body)
                assert [text for _, text in await first.told(1)] == ["takes the command"]
        finally:
            await other.close()


def _encoded(modem: Modem, message: Message) -> bytes:
    return encode(message, modem.form)


def _decoded(modem: Modem, body: bytes) -> Message:
    return decode(body, modem.form.media_type)[0]


async def test_a_restart_in_the_middle(tmp_path: Path, database_url: str) -> None:
    """A server that starts anew goes on with the session where the other left it."""
    async with open_yard(tmp_path / "data", database_url) as yard:
        modem = await yard.modem(1)
        modem.headers = {"Host": "fota.example"}
        await yard.campaign(1)
        reply = await modem.begin()
    again = Server(yard.field.settings, clock=yard.field.clock)
    await again.start()
    try:
        async with serving(again) as base_url:
            modem.base_url = base_url
            while not is_end(reply):
                reply = await modem.send(modem.answers(reply))
    finally:
        await again.close()
    assert modem.wanted == EXEC


async def test_accounts_of_an_earlier_version(tmp_path: Path, database_url: str) -> None:
    """What was kept in clear is sealed when the server starts, and the device gets in as before."""
    document = {"clientName": "dev1", "clientSecret": CLIENT_SECRET, "serverSecret": SERVER_SECRET}
    async with open_yard(tmp_path / "data", database_url) as yard:
        modem = await yard.modem(1)
        device_id = await yard.device_id(1)

        def before(tx: Tx) -> None:
            tx.execute("delete from dm_account")
            tx.execute(
                "insert into device_protocol (device_id, protocol, document) values (?, ?, ?)",
                (device_id, "OMADM", json.dumps(document)),
            )

        await yard.field.run(before)
    again = Server(yard.field.settings, clock=yard.field.clock)
    await again.start()
    try:
        assert await again.db.read(lambda tx: tx.all("select * from device_protocol")) == []
        async with serving(again) as base_url:
            modem.base_url = base_url
            assert codes(await modem.begin())[0] == 212
    finally:
        await again.close()


async def test_another_installation_key(tmp_path: Path, database_url: str) -> None:
    """With another key no device gets in, and the log says why and what to do."""
    async with open_yard(tmp_path / "data", database_url) as yard:
        modem = await yard.modem(1)
    changed = msgspec.structs.replace(yard.field.settings, secret_key="another" * 6)
    again = Server(changed, clock=yard.field.clock)
    await again.start()
    try:
        async with serving(again) as base_url:
            modem.base_url = base_url
            with capture_logs() as lines:
                assert codes(await modem.begin())[0] == 401
        assert "sealed with another installation key" in str(lines)
        assert CLIENT_SECRET not in str(lines)
    finally:
        await again.close()


async def test_a_number_that_was_there(each_yard: Yard) -> None:
    """A message of an old number with other content ends the session; nothing of it is done."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    reply = await modem.begin()
    reply = await modem.send(modem.answers(reply))
    modem.msg_id -= 1
    with capture_logs() as lines:
        reply = await modem.send([*modem.answers(reply), Alert(cmd_id="", code=1224)])
    assert any(isinstance(c, Alert) and c.code == 1223 for c in reply.commands)
    assert "out_of_order" in str(lines)


async def test_a_session_that_was_silent(each_yard: Yard) -> None:
    """After ten minutes it is forgotten, and a late message gets 408."""
    modem = await each_yard.modem(1)
    reply = await modem.begin()
    each_yard.field.clock.advance(timedelta(seconds=601))
    with capture_logs() as lines:
        late = await modem.send(modem.answers(reply))
    assert codes(late) == [408]
    assert "unknown_session" in str(lines)


async def test_a_window_that_closes_in_a_session(each_yard: Yard) -> None:
    """What was not commanded by then is not commanded any more; the next session is the next try."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    each_yard.field.clock.advance(timedelta(hours=3, minutes=55))
    reply = await modem.begin()
    each_yard.field.clock.advance(timedelta(minutes=6))
    while not is_end(reply):
        reply = await modem.send(modem.answers(reply))
    assert modem.wanted == ""
    assert await each_yard.state(1) == "offered"
    await modem.session()
    assert modem.wanted == EXEC
    assert (await each_yard.attempt(1)).number == 2


async def test_silent_sessions_are_purged(each_yard: Yard, tmp_path: Path) -> None:
    """What nobody will go on with does not stay in the database."""
    modem = await each_yard.modem(1)
    await modem.begin()
    field = each_yard.field
    device_id = await each_yard.device_id(1)
    keeping = Housekeeping(
        field.server.db, LocalStorage(tmp_path / "none"), field.clock, field.clock, field.settings
    )
    await keeping.turn()
    assert await field.run(lambda tx: dm_sessions.find(tx, device_id)) is not None
    field.clock.advance(timedelta(seconds=601))
    await keeping.turn()
    assert await field.run(lambda tx: dm_sessions.find(tx, device_id)) is None


async def test_a_session_that_does_not_end(each_yard: Yard) -> None:
    """After sixty messages it is over."""
    modem = await each_yard.modem(1)
    reply = await modem.begin()
    for _ in range(61):
        # A package that never ends.
        reply = await modem.send(modem.answers(reply), final=False)
        if is_end(reply):
            break
    assert codes(reply) == [408]


async def test_message_1_begins_anew(each_yard: Yard) -> None:
    """Clients that always say session 1: a new message 1 is a new session, whatever was before."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    await modem.begin()
    modem.sessions = 0
    reply = await modem.begin()
    assert codes(reply)[0] == 212
    modem.sessions = 0
    await modem.session()
    assert modem.wanted == EXEC


async def test_an_open_package_gets_nothing_new(each_yard: Yard) -> None:
    """Without Final the server only asks for the rest."""
    modem = await each_yard.modem(1)
    reply = await modem.begin()
    reply = await modem.send(modem.answers(reply), final=False)
    assert [type(c) for c in reply.commands] == [Status, Alert]
    assert not reply.final


async def test_a_device_that_gives_up(each_yard: Yard) -> None:
    """Alert 1223 ends the session and leaves the attempt as it was."""
    modem = await each_yard.modem(1)
    campaign = await each_yard.campaign(1)
    await modem.begin()
    reply = await modem.send([Alert(cmd_id="", code=1223)])
    assert is_end(reply)
    assert await each_yard.place(1, campaign) == ("pending", "notified")


@pytest.mark.parametrize(
    ("code", "reason"), [(304, "declined"), (405, "install_failed"), (500, "install_failed")]
)
async def test_an_exec_that_is_refused(each_yard: Yard, code: int, reason: str) -> None:
    """The attempt has failed with that status, and the session ends."""
    modem = await each_yard.modem(1, exec_code=code)
    await each_yard.campaign(1)
    reply = await modem.session()
    assert is_end(reply)
    assert await each_yard.state(1) == "failed"
    assert [told for told, _ in await each_yard.told(1)] == [code]
    row = await each_yard.field.run(lambda tx: tx.one("select reason from attempt"))
    assert row == (reason,)


async def test_the_wrong_version(each_yard: Yard) -> None:
    """A device that runs neither the old nor the new version is not given the package."""
    modem = await each_yard.modem(1, tree={VERSION: "77"})
    await each_yard.campaign(1)
    await modem.session()
    assert URL not in modem.tree
    row = await each_yard.field.run(lambda tx: tx.one("select state, reason from attempt"))
    assert row == ("failed", "version")


async def test_a_success_that_does_not_show(each_yard: Yard) -> None:
    """Reported as done with the old version: it has an hour to show the new one."""
    modem = await each_yard.modem(1)
    campaign = await each_yard.campaign(1)
    await modem.session()
    await modem.session(modem.result(200))
    assert await each_yard.state(1) == "running"
    modem.tree[VERSION] = "02"
    await modem.session()
    assert await each_yard.place(1, campaign) == ("succeeded", "success")


async def test_what_is_learned_is_kept(each_yard: Yard) -> None:
    """Where the update object is, is not looked for again in the next session."""
    modem = await each_yard.modem(1)
    await modem.session()
    assert "Get ./FwUpdate" in modem.seen
    await each_yard.campaign(1)
    await modem.session()
    assert modem.seen[:2] == [f"Get {VERSION}", f"Get {ROOT}/State"]
