"""Strangers and liars at the server's own door: each gets the protocol's answer and a line in the log, and nothing changes.

What is *nothing* is the whole of the tables that say what devices are to do and did, what they said, and who
they are in sessions; only nonces that were given out to whoever asked may be more than before.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from overair.app import Server
from overair.engine.catalog import Software, put_software
from overair.protocols.syncml.codec import Form, decode, encode
from overair.protocols.syncml.message import Alert, Exec, Message, Status
from overair.store.database import Tx
from tests.devices.dm.modem import EXEC, VERSION, WBXML, XML, Modem, codes, header_status, is_end
from tests.devices.dm.test_downloads import address, commanded
from tests.devices.dm.yard import FILE_NAME, FIRMWARE, IMAGE, Yard, open_yard
from tests.devices.field import MONDAY, Reply, store
from tests.serving import serving

FORMS = pytest.mark.parametrize("form", [XML, WBXML], ids=["xml", "wbxml"])

KEPT = (
    "select id, state, reason, feedback_count, coverage, downloads from attempt order by id",
    "select * from push_attempt order by attempt_id",
    "select id, state, reason, attempts, due_at, not_before from device_upgrade order by id",
    "select id, version, open_attempt_id, open_upgrade_id from device order by id",
    "select * from feedback order by id",
    "select * from dm_session order by device_id",
)


async def kept(yard: Yard) -> list[Any]:
    """All that a stranger could want to change."""
    return await yard.field.run(lambda tx: [tx.all(sql) for sql in KEPT])


def why(lines: Any) -> set[str]:
    """What the log says of those who were refused."""
    return {line["why"] for line in lines if line["event"] == "an OMA-DM device is refused"}


def reads(modem: Modem, reply: Reply) -> Message:
    """The answer, which has to be a message."""
    assert reply.status == 200, reply
    return decode(reply.body, modem.form.media_type)[0]


def gives(message: Message) -> bool:
    """Whether it has anything for the device to do."""
    return not all(isinstance(each, Status | Alert) for each in message.commands)


async def record(modem: Modem, *alerts: Alert) -> list[bytes]:
    """A whole session; the bodies that the device sent."""
    bodies = []
    reply = await modem.begin(*alerts)
    bodies.append(modem.body)
    while not is_end(reply):
        reply = await modem.send(modem.answers(reply))
        bodies.append(modem.body)
    return bodies


# Again -------------------------------------------------------------------------------------------


@FORMS
async def test_whole_sessions_again(each_yard: Yard, form: Form) -> None:
    """What somebody heard of an update's sessions, said again: nobody is let in, and nothing happens twice."""
    modem = await each_yard.modem(1, form)
    campaign = await each_yard.campaign(1)
    first = await record(modem)
    failed = await record(modem, modem.result(410))
    assert await each_yard.place(1, campaign) == ("pending", "retry_queued")
    before = await kept(each_yard)
    for bodies in (first, failed, [*failed, *first], first[1:], failed[1:]):
        for at, body in enumerate(bodies):
            with capture_logs() as lines:
                reply = reads(modem, await modem.post(body))
            assert not gives(reply)
            assert is_end(reply) or any(
                isinstance(c, Alert) and c.code == 1223 for c in reply.commands
            )
            if body is bodies[0] and bodies[0] in (first[0], failed[0]):
                assert set(codes(reply)) == {401}, at
                assert why(lines) == {"wrong_credentials"}
    assert await kept(each_yard) == before
    # The device itself goes on where it was.
    await each_yard.wait(minutes=16)
    await modem.session()
    assert await each_yard.state(1) == "running"


async def test_the_first_message_at_two_processes_at_once(
    tmp_path: Path, postgres_url: str
) -> None:
    """A nonce is good once, wherever it is shown: one process lets the device in, the other asks again."""
    async with pair(tmp_path, postgres_url) as (yard, other):
        modem = await yard.modem(1)
        await yard.campaign(1)
        await modem.begin()
        for number in range(8):
            modem.session_id, modem.msg_id = f"A{number}", 0
            body = encode(modem.message(modem.package_1(), cred=modem.cred()), modem.form)
            one, two = await asyncio.gather(modem.post(body), other(modem).post(body))
            replies = [reads(modem, one), reads(modem, two)]
            assert sorted(header_status(reply).code for reply in replies) == [212, 401]
            (let_in,) = [reply for reply in replies if header_status(reply).code == 212]
            modem._take_challenge(header_status(let_in))
        row = await yard.field.run(lambda tx: tx.one("select count(*) from attempt"))
        assert row == (1,)


async def test_two_messages_of_one_number_at_once(tmp_path: Path, postgres_url: str) -> None:
    """Of two that differ one is taken; the other is told that it is too late, and the command is given once."""
    async with pair(tmp_path, postgres_url) as (yard, other):
        modem = await yard.modem(1)
        await yard.campaign(1)
        reply = await modem.begin()
        while not any(isinstance(command, Exec) for command in reply.commands):
            reply = await modem.send(modem.answers(reply))
        sent = modem.message(modem.answers(reply))
        twisted = [
            replace(c, code=500) if isinstance(c, Status) and c.cmd == "Exec" else c
            for c in sent.commands
        ]
        bodies = [
            encode(sent, modem.form),
            encode(replace(sent, commands=tuple(twisted)), modem.form),
        ]
        with capture_logs() as lines:
            answers = await asyncio.gather(modem.post(bodies[0]), other(modem).post(bodies[1]))
        replies = [reads(modem, answer) for answer in answers]
        assert sorted(code for reply in replies for code in codes(reply)[:1]) == [212, 400]
        assert why(lines) == {"out_of_order"}
        told = [text for _, text in await yard.told(1)]
        assert len(told) == 1
        assert told[0] in ("takes the command", "refuses the command with 500")


@contextlib.asynccontextmanager
async def pair(tmp_path: Path, postgres_url: str) -> AsyncIterator[tuple[Yard, Any]]:
    """Two servers on one database, and the same device at the second."""
    async with open_yard(tmp_path / "one", postgres_url, secret_key="k" * 32) as yard:
        server = Server(yard.field.settings, clock=yard.field.clock)
        await server.start()
        try:
            async with serving(server) as base_url:

                def there(modem: Modem) -> Modem:
                    modem.headers = {
                        "Host": "fota.example"
                    }  # one name for both, as behind a balancer
                    twin = Modem(home=yard.field, imei=modem.imei, user=modem.user, form=modem.form)
                    twin.base_url, twin.headers = base_url, modem.headers
                    return twin

                yield yard, there
        finally:
            await server.close()


# Somebody else's session -------------------------------------------------------------------------


async def test_a_session_that_is_not_the_speaker_s(each_yard: Yard) -> None:
    """Who only knows the session of another device is told that there is none, or that it is not his."""
    modem, thief = await each_yard.modem(1), await each_yard.modem(2)
    await each_yard.campaign(1, 2)
    reply = await modem.begin()
    before = await kept(each_yard)
    # As himself; as himself by name, and the other by id; as the other, in a session that is not there.
    as_himself = Modem(home=each_yard.field, imei=thief.imei, user=thief.user)
    as_both = Modem(home=each_yard.field, imei=modem.imei, user=thief.user)
    elsewhere = Modem(home=each_yard.field, imei=modem.imei, user=modem.user)
    for stranger, session in (
        (as_himself, modem.session_id),
        (as_both, modem.session_id),
        (elsewhere, "77"),
    ):
        stranger.session_id, stranger.msg_id = session, modem.msg_id
        message = stranger.message(modem.answers(reply))
        if stranger is as_both:
            source = replace(message.header.source, name=thief.user)
            message = replace(message, header=replace(message.header, source=source))
        with capture_logs() as lines:
            answer = reads(modem, await modem.post(encode(message, modem.form)))
        assert codes(answer) == [408]
        assert why(lines) == {"unknown_session"}
        modem.proven = False
    assert await kept(each_yard) == before


async def test_one_s_own_session_for_another_device(each_yard: Yard) -> None:
    """Let in as himself, and then speaking of another device: 403, a line, and neither is changed."""
    modem, thief = await each_yard.modem(1), await each_yard.modem(2)
    await each_yard.campaign(1, 2)
    reply = await thief.begin()
    before = await kept(each_yard)
    sent = thief.message(thief.answers(reply))
    source = replace(sent.header.source, uri=modem.device, name=thief.user)
    forged = replace(sent, header=replace(sent.header, source=source))
    with capture_logs() as lines:
        answer = reads(thief, await thief.post(encode(forged, thief.form)))
    assert set(codes(answer)) == {403}
    assert why(lines) == {"other_device"}
    assert await kept(each_yard) == before


async def test_another_device_s_report(each_yard: Yard) -> None:
    """A report with the correlator of another device's attempt is answered, noted in the log, and no more."""
    modem, liar = await each_yard.modem(1), await each_yard.modem(2)
    campaign = await each_yard.campaign(1)
    await modem.session()
    with capture_logs() as lines:
        for code in (200, 410):
            await liar.session(liar.result(code, correlator=modem.correlator))
    assert "belongs to no attempt" in str(lines)
    assert await each_yard.state(1) == "running"
    assert await each_yard.place(1, campaign) == ("pending", "notified")
    assert await each_yard.version(1) == "01"


@pytest.mark.parametrize("lie", [{"server_id": "another"}, {"server_secret": "of another server"}])
async def test_another_server(each_yard: Yard, lie: dict[str, Any]) -> None:
    """A device whose account is for another server does nothing for us, and is told nothing of the package."""
    modem = await each_yard.modem(1, **lie)
    campaign = await each_yard.campaign(1)
    with capture_logs() as lines:
        await modem.session()
    assert modem.seen == []
    assert "server_refused" in why(lines)
    assert await each_yard.place(1, campaign) == ("pending", "notified")
    assert await each_yard.told(1) == []


# Numbers and sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        ("0", 400),
        ("2", 400),  # with other content
        ("-1", 0),
        ("", 0),
        ("3.0", 0),
        ("x", 0),
        ("9" * 30, 0),
        ("99999", 212),  # a gap
        ("003", 212),
    ],
)
async def test_numbers_of_messages(each_yard: Yard, number: str, answer: int) -> None:
    """Old ones end the session, gaps do not, and what is no number is no message."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    reply = await modem.begin()
    reply = await modem.send(modem.answers(reply))
    before = await kept(each_yard)
    sent = encode(modem.message(modem.answers(reply)), modem.form)
    odd = re.sub(rb"<MsgID>\d+</MsgID>", b"<MsgID>%s</MsgID>" % number.encode(), sent, count=1)
    with capture_logs() as lines:
        told = await modem.post(odd)
    if answer == 0:
        assert told.status == 400
        assert "cannot be read" in str(lines)
        assert await kept(each_yard) == before
        # It was nothing, so the session goes on.
        assert codes(reads(modem, await modem.post(sent)))[0] == 212
        return
    found = reads(modem, told)
    assert codes(found)[0] == answer
    if answer == 400:
        assert why(lines) == {"out_of_order"}
        assert (await kept(each_yard))[:-1] == before[:-1]
        # That was the end of it, also for the right one.
        assert not gives(reads(modem, await modem.post(sent)))
        return
    assert not gives(reads(modem, await modem.post(sent)))


async def test_too_much_in_a_session(each_yard: Yard) -> None:
    """A message that is too long is refused before it is read, and logged; the session goes on without it."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    reply = await modem.begin()
    before = await kept(each_yard)
    for body in (b"x" * (64 * 1024 + 1), b"x" * (1024 * 1024)):
        with capture_logs() as lines:
            assert (await modem.post(body)).status == 413
        assert [line["event"] for line in lines] == ["what a device sent is too long"]
    assert (await modem.post(b"<SyncML>" + b"<a>" * 20_000)).status == 400
    assert await kept(each_yard) == before
    while not is_end(reply):
        reply = await modem.send(modem.answers(reply))
    assert modem.wanted == EXEC


# Downloads ---------------------------------------------------------------------------------------


async def ends(yard: Yard, modem: Modem, how: str) -> None:
    """End the device's attempt."""
    match how:
        case "failed":
            await modem.session(modem.result(410))
        case "silent":
            await yard.wait(days=1, minutes=1)
            await yard.wait(hours=5)
        case "superseded":
            await yard.wait(days=6)
            await yard.campaign(1)
        case _:
            raise AssertionError(how)


@pytest.mark.parametrize("how", ["failed", "silent", "superseded"])
async def test_addresses_of_what_is_over(each_yard: Yard, how: str) -> None:
    """What was for an attempt that has ended is gone, in whole and in part, and words about it count for nothing."""
    modem = await commanded(each_yard)
    package, descriptor = await address(modem), modem.url
    notify = descriptor.replace("/dd/", "/notify/")
    await ends(each_yard, modem, how)
    before = await kept(each_yard)
    for url in (descriptor, package):
        for reply in (await modem.fetch(url), await modem.fetch(url, Range="bytes=0-9")):
            assert (reply.status, reply.body) == (410, b"")
        assert (await modem.fetch(url, "HEAD")).status == 410
    assert (await modem.fetch(notify, "POST", b"900 Success")).status == 200
    assert await kept(each_yard) == before


async def test_addresses_of_a_campaign_that_was_stopped(each_yard: Yard) -> None:
    """After the stop nothing more is given, though the device was told to fetch it."""
    modem = await each_yard.modem(1)
    made = await each_yard.campaign(1, api_version=2, from_version="01")
    await modem.session()
    package = await address(modem)
    await each_yard.field.stop(made)
    for url in (modem.url, package):
        assert (await modem.fetch(url)).status == 410
    # Nor to one that opens a session for it; that it succeeds all the same is believed.
    await modem.session()
    assert (await each_yard.place(1, made))[0] == "aborted"
    modem.tree[VERSION] = "02"
    await modem.session(modem.result(200))
    assert (await each_yard.place(1, made))[0] == "succeeded"


@pytest.mark.parametrize(
    "ranges",
    [
        "bytes=0-0",
        "bytes=-0",
        "bytes=5-2",
        "bytes=-",
        "bytes=0-18446744073709551616",
        "bytes=-99999999999999999999",
        "bytes=" + ",".join(["0-"] * 500),
        "bytes=0-10,5-15,9999-",
        "octets=0-9",
        "bytes = 0 - 9",
        "bytes=0x0-0x9",
        "bytes=٠-٩".encode().decode("latin-1"),
    ],
    ids=range(12),
)
async def test_odd_ranges(yard: Yard, ranges: str) -> None:
    """Whatever a part is called, it is that part, the whole, or refused; and is no download of the whole by itself."""
    modem = await commanded(yard)
    url = await address(modem)
    head = await modem.fetch(url, "HEAD", Range=ranges)
    reply = await modem.fetch(url, Range=ranges)
    assert reply.status in (200, 206, 416)
    assert head.status in (200, reply.status)
    assert len(reply.body) <= len(IMAGE)
    if reply.status == 206:
        assert reply.body in IMAGE
    await yard.field.server.sending.settled(await yard.device_id(1))
    assert await yard.state(1) == ("downloaded" if reply.body == IMAGE else "running")


async def test_a_part_many_times_is_not_the_whole(each_yard: Yard) -> None:
    """Half of the package, however often, does not make the device one that has it."""
    modem = await commanded(each_yard)
    url = await address(modem)
    half = len(IMAGE) // 2
    for _ in range(5):
        await modem.fetch(url, Range=f"bytes=0-{half}")
    await each_yard.field.server.sending.settled(await each_yard.device_id(1))
    assert await each_yard.state(1) == "running"


async def test_a_package_that_is_replaced(each_yard: Yard) -> None:
    """An attempt under way keeps its bytes; the next one has the new ones, and an address of its own."""
    field = each_yard.field
    modem = await commanded(each_yard)
    url = await address(modem)
    tag = (await modem.fetch(url, "HEAD")).header("etag")
    other = bytes(reversed(IMAGE)) + b"new"
    bytes_ = await store(field.server, other)
    software = Software(
        name=FIRMWARE,
        protocol="OMADM",
        make="Acme",
        model="X1",
        from_version="01",
        to_version="02",
        launch_at=MONDAY,
        file_name=FILE_NAME,
        artifact=bytes_,
    )

    def put(tx: Tx) -> None:
        put_software(tx, software, field.clock.now())

    await field.run(put)
    part = await modem.fetch(url, Range="bytes=100-", If_Range=tag or "")
    assert (part.status, part.body) == (206, IMAGE[100:])
    await modem.session(modem.result(402))
    await each_yard.wait(minutes=16)
    before = modem.url
    await modem.session()
    assert modem.url != before
    assert (await modem.fetch(await address(modem))).body == other
    assert (await modem.fetch(before)).status == 410


# Clocks that jump --------------------------------------------------------------------------------


def jump(yard: Yard, delta: timedelta) -> None:
    """Set the server's clock, as an administrator or a wrong time server does; it may go back."""
    yard.field.clock._now += delta


@pytest.mark.parametrize("hours", [5, 24 * 400], ids=["hours", "a year"])
async def test_a_clock_that_goes_ahead_and_comes_back(each_yard: Yard, hours: int) -> None:
    """The window is missed by a clock that is wrong; put right again, the device's session is its next turn."""
    modem = await each_yard.modem(1)
    campaign = await each_yard.campaign(1, end=5000)
    ahead = timedelta(hours=hours)
    jump(each_yard, ahead)
    await each_yard.due()
    assert await each_yard.place(1, campaign) == ("pending", "retry_queued")
    jump(each_yard, -ahead)
    await each_yard.due()
    await modem.session()
    assert modem.wanted == EXEC
    assert await each_yard.state(1) == "running"
    modem.tree[VERSION] = "02"
    await modem.session(modem.result(200))
    assert await each_yard.place(1, campaign) == ("succeeded", "success")


async def test_a_clock_that_jumps_in_a_session(each_yard: Yard) -> None:
    """Back and forth between its messages: the session goes on, and the command is given once."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    reply = await modem.begin()
    for minutes in (-180, 9, -4, 3, -60, 9):
        jump(each_yard, timedelta(minutes=minutes))
        await each_yard.due()
        if not is_end(reply):
            reply = await modem.send(modem.answers(reply))
    assert modem.wanted == EXEC
    row = await each_yard.field.run(lambda tx: tx.one("select count(*) from attempt"))
    assert row == (1,)


async def test_a_clock_that_goes_back_notifies_nobody_twice(each_yard: Yard) -> None:
    """What was sent is sent: set back within the window the schedule goes on from where it was."""
    await each_yard.modem(1)
    field = each_yard.field
    now = field.clock.now()
    await each_yard.campaign(1)
    wakes = []
    for minutes in (1, -30, 10, 10, 11, -1, 2):
        jump(each_yard, timedelta(minutes=minutes))
        wakes += [(field.clock.now() - now, wake.number) for wake in await each_yard.due()]
    numbers = [number for _, number in wakes]
    assert numbers == sorted(set(numbers))
    assert all(at >= timedelta() for at, _ in wakes)
