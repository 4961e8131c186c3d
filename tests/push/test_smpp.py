"""Notifications through an SMS centre that knows SMPP from its specification only."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from overair.config import ConfigError, Smpp
from overair.protocols.syncml.notification import (
    SMS_PORT_HEADER,
    Trigger,
    decode_notification,
    encode_notification,
    unwrap_push,
)
from overair.push.smpp import SmppTransport, relative
from overair.push.smpp_session import MAX_PDU_BYTES, SmppError, Timers, open_session
from overair.push.transport import Contact, Sent
from tests.callbacks.listening import make_authority
from tests.push.centre import DELIVER_SM, ENQUIRE_LINK, HEADER, UNBIND, Centre, running
from tests.waiting import until

PACKAGE = encode_notification(Trigger(session=7, server_id="overair"), "key", b"nonce")
WINDOW = timedelta(hours=4)
QUICK = Timers(connect_s=5, answer_s=5, enquire_s=30, first_pause_s=0.01, longest_pause_s=0.02)
CONTACT = Contact(imei="990013907835573", mdn="+15551230001")


def settings(centre: Centre, **changes: object) -> Smpp:
    plain = {"host": "127.0.0.1", "port": centre.port, "system_id": "us", "password": "secret"}
    return Smpp(**(plain | changes))  # type: ignore[arg-type]  # the fields are of several types


@contextlib.asynccontextmanager
async def bound(
    centre: Centre, timers: Timers = QUICK, **changes: object
) -> AsyncIterator[SmppTransport]:
    """A transport that has been let in."""
    before = len(centre.binds)
    async with SmppTransport(settings(centre, **changes), timers) as transport:
        await until_bound(centre, before + 1)
        yield transport


async def until_bound(centre: Centre, count: int) -> None:
    async def is_bound() -> bool:
        return len(centre.binds) >= count and centre.connections > 0

    await until(is_bound, "the bind")


async def sent(transport: SmppTransport, contact: Contact = CONTACT) -> Sent:
    return await transport.send(contact, PACKAGE, WINDOW)


async def eventually(transport: SmppTransport, wanted: Sent = Sent.SENT) -> None:
    """Send until the answer is the wanted one."""

    async def answered() -> bool:
        return await sent(transport) is wanted

    await until(answered, f"a notification to be {wanted.value}")


async def test_one_sms_for_each_notification() -> None:
    """8-bit user data with the port header and the WSP push in it, valid for the window."""
    async with running(Centre()) as centre:
        async with bound(centre, source="+15550009999", system_type="OTA") as transport:
            await eventually(transport)
        message = centre.submitted[-1]
        assert (message.number_ton, message.number_npi, message.number) == (1, 1, "15551230001")
        assert (message.source_ton, message.source_npi, message.source) == (1, 1, "15550009999")
        assert message.esm_class == 0x40
        assert message.data_coding == 0x04
        assert message.registered_delivery == 0
        assert message.validity == "000000040000000R"
        assert message.message[:7] == SMS_PORT_HEADER == bytes.fromhex("0605040B84C002")
        assert decode_notification(unwrap_push(message.message[7:])).trigger.session == 7
        bind = centre.binds[0]
        assert (bind.system_id, bind.password, bind.system_type) == ("us", "secret", "OTA")
        assert bind.interface_version == 0x34
        assert centre.others[-1].command == UNBIND
        assert not centre.faults


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("", (0, 0, "")),
        ("40404", (0, 1, "40404")),
        ("+1 (555) 000-9999", (1, 1, "15550009999")),
        ("Fleet ota", (5, 0, "Fleet ota")),
    ],
)
async def test_senders(source: str, kind: tuple[int, int, str]) -> None:
    """A sender is a number as it is dialled, one with its country, or a name."""
    async with running(Centre()) as centre:
        async with bound(centre, source=source) as transport:
            await eventually(transport)
        message = centre.submitted[-1]
        assert (message.source_ton, message.source_npi, message.source) == kind


@pytest.mark.parametrize(
    ("mdn", "result"),
    [
        ("", Sent.NO_ADDRESS),
        ("12", Sent.REFUSED),
        ("no number", Sent.REFUSED),
        ("555-123-0001", Sent.SENT),
    ],
)
async def test_numbers(mdn: str, result: Sent) -> None:
    """Numbers are taken as people write them; what is none is not sent to."""
    async with running(Centre()) as centre, bound(centre) as transport:
        await eventually(transport)
        assert await sent(transport, Contact(imei="1", mdn=mdn)) is result


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (0x0B, Sent.REFUSED),  # ESME_RINVDSTADR
        (0x45, Sent.REFUSED),  # ESME_RSUBMITFAIL
        (0x58, Sent.LATER),  # ESME_RTHROTTLED
        (0x14, Sent.LATER),  # ESME_RMSGQFUL
        (0x08, Sent.LATER),  # ESME_RSYSERR
    ],
)
async def test_what_the_centre_refuses(status: int, result: Sent) -> None:
    """A number that is wrong is refused; a centre that has too much to do is tried again."""
    async with running(Centre()) as centre, bound(centre) as transport:
        await eventually(transport)
        centre.status = status
        assert await sent(transport) is result


async def test_many_at_once() -> None:
    """Submissions share the connection, and each has its own answer."""
    async with running(Centre()) as centre, bound(centre) as transport:
        await eventually(transport)
        before = len(centre.submitted)
        results = await asyncio.gather(*(sent(transport) for _ in range(100)))
        assert set(results) == {Sent.SENT}
        assert len(centre.submitted) == before + 100
        assert len(centre.binds) == 1


async def test_a_centre_that_goes_and_comes_back() -> None:
    """While it is away every notification is for later; then it is bound to again by itself."""
    centre = Centre()
    async with running(centre):
        pass
    async with SmppTransport(settings(centre), QUICK) as transport:
        assert await sent(transport) is Sent.LATER
        async with running(centre):
            await eventually(transport)
            centre.drop()
            await until_bound(centre, 2)
            await eventually(transport)
        await eventually(transport, Sent.LATER)


async def test_a_connection_that_breaks_under_way() -> None:
    """What has no answer when the connection breaks is for later."""
    async with running(Centre()) as centre, bound(centre) as transport:
        await eventually(transport)
        centre.silent = True
        task = asyncio.create_task(sent(transport))
        before = len(centre.submitted)

        async def arrived() -> bool:
            return len(centre.submitted) > before

        await until(arrived, "the submission")
        centre.drop()
        assert await task is Sent.LATER


async def test_a_centre_that_does_not_answer() -> None:
    """A submission without an answer is for later, and the connection is made anew."""
    timers = Timers(answer_s=0.1, enquire_s=30, first_pause_s=0.01, longest_pause_s=0.02)
    async with running(Centre()) as centre, bound(centre, timers) as transport:
        await eventually(transport)
        centre.silent = True
        assert await sent(transport) is Sent.LATER
        centre.silent = False
        await until_bound(centre, 2)
        await eventually(transport)


async def test_a_silent_link_is_asked() -> None:
    """After a while of silence the centre is asked; if it does not answer, we connect again."""
    timers = Timers(answer_s=1, enquire_s=0.02, first_pause_s=0.01, longest_pause_s=0.02)
    async with running(Centre()) as centre, bound(centre, timers) as transport:

        async def asked() -> bool:
            return sum(pdu.command == ENQUIRE_LINK for pdu in centre.others) >= 2

        await until(asked, "two questions")
        assert len(centre.binds) == 1
        centre.silent = True
        await until_bound(centre, 2)
        centre.silent = False
        await eventually(transport)


async def test_what_the_centre_asks() -> None:
    """It is told that we are there; what is not for a transmitter is refused, and changes nothing."""
    async with running(Centre()) as centre, bound(centre) as transport:
        await eventually(transport)
        asked = [centre.ask(ENQUIRE_LINK), centre.ask(DELIVER_SM, b"x" * 40), centre.ask(0x99)]

        async def answered() -> bool:
            return len(centre.others) >= 3

        await until(answered, "three answers")
        told = [(pdu.command, pdu.status, pdu.sequence) for pdu in centre.others]
        assert told == [
            (0x80000015, 0, asked[0]),
            (0x80000000, 0x04, asked[1]),
            (0x80000000, 0x03, asked[2]),
        ]
        assert await sent(transport) is Sent.SENT
        assert len(centre.binds) == 1


async def test_a_centre_that_says_goodbye() -> None:
    """An unbind is answered, and bound to again after the pause."""
    async with running(Centre()) as centre, bound(centre) as transport:
        await eventually(transport)
        centre.ask(UNBIND)
        await until_bound(centre, 2)
        assert centre.others[0].command == 0x80000006
        await eventually(transport)


@pytest.mark.parametrize(
    "noise",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        HEADER.pack(3, 0x15, 0, 1),
        HEADER.pack(MAX_PDU_BYTES + 1, 0x15, 0, 1),
        HEADER.pack(0xFFFFFFFF, 0x15, 0, 1),
    ],
)
async def test_noise(noise: bytes) -> None:
    """What is no SMPP ends the connection, however much it promises, and not the transport."""
    async with running(Centre()) as centre, bound(centre) as transport:
        await eventually(transport)
        centre.say(noise)
        await until_bound(centre, 2)
        await eventually(transport)


async def test_answers_nobody_waits_for() -> None:
    """A stray answer is passed over."""
    async with running(Centre()) as centre, bound(centre) as transport:
        await eventually(transport)
        centre.say(HEADER.pack(16, 0x80000004, 0, 4711))
        assert await sent(transport) is Sent.SENT
        assert len(centre.binds) == 1


async def test_a_wrong_password() -> None:
    """A centre that refuses us says why, and is tried again."""
    async with running(Centre(password="other")) as centre:
        with pytest.raises(SmppError, match="0x0000000E"):
            await open_session(settings(centre), QUICK)
        async with SmppTransport(settings(centre), QUICK) as transport:
            await until_tried(centre)
            assert await sent(transport) is Sent.LATER
            centre.password = "secret"
            await eventually(transport)


async def test_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TLS we know whom we speak to, or do not speak."""
    authority = make_authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with running(Centre(), authority.server()) as centre:
        async with bound(centre, tls=True) as transport:
            await eventually(transport)
        assert centre.submitted
    async with running(Centre(), authority.server(trusted=False)) as stranger:
        with pytest.raises(SmppError, match="certificate verify failed"):
            await open_session(settings(stranger, tls=True), QUICK)
        assert not stranger.binds


async def test_a_centre_that_accepts_and_says_nothing() -> None:
    """Whoever answers no bind is given up in time."""
    timers = Timers(connect_s=5, answer_s=0.05)
    held: list[asyncio.StreamWriter] = []

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SmppError, match="does not answer"):
            await open_session(settings(Centre(port=port)), timers)
        for writer in held:
            writer.close()


async def until_tried(centre: Centre) -> None:
    async def tried() -> bool:
        return len(centre.binds) >= 3

    await until(tried, "more attempts")


async def test_without_a_centre() -> None:
    """To notify by SMS there has to be a centre."""
    with pytest.raises(ConfigError, match="needs an SMS centre"):
        SmppTransport(Smpp())


@pytest.mark.parametrize(
    ("validity", "text"),
    [
        (timedelta(hours=4), "000000040000000R"),
        (timedelta(days=2, hours=3, minutes=4, seconds=5.9), "000002030405000R"),
        (timedelta(0), "000000000001000R"),
        (timedelta(days=400), "000028000000000R"),
    ],
)
def test_validity(validity: timedelta, text: str) -> None:
    """A validity is relative, at least a second and at most what every centre knows."""
    assert relative(validity) == text
