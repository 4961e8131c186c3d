"""The specification's messages, played through the session core byte for byte (oma-dm 17)."""

from dataclasses import replace

import pytest

from overair.protocols.omadm.events import (
    Audit,
    Authenticated,
    DevInfoRead,
    Ended,
    ExecAccepted,
    ExecLeaving,
    InventoryRead,
    Meaning,
    Refused,
    Reported,
    Step,
    Succeeded,
    VersionAwaited,
    VersionRead,
    Why,
)
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.syncml import auth
from overair.protocols.syncml.codec import Form, MediaType, decode, encode
from overair.protocols.syncml.message import Alert, Cred, Message, Meta
from overair.protocols.syncml.notification import Trigger, UiMode, encode_notification
from tests.protocols.omadm.desk import (
    DEVICE,
    ROOT,
    SERVER,
    SERVER_KEY,
    STATE,
    TASK,
    VERSION,
    WBXML,
    XML,
    Client,
    Desk,
    asked,
    codes,
    result,
    with_code,
)
from tests.protocols.syncml import vectors
from tests.protocols.syncml.libwbxml import needed, to_xml

BOTH = pytest.mark.parametrize("kind", [XML, WBXML])


def body(name: str, kind: MediaType) -> bytes:
    """Return a message of the specification in one of its forms."""
    return vectors.wbxml(name) if kind.is_wbxml else vectors.xml(name)


@BOTH
def test_the_whole_session(kind: MediaType) -> None:
    """M1, M3, M6 and an Exec's message before it are answered with M2, M4, M5 and M7."""
    desk = Desk(kind=kind)
    assert desk.take(body("m1", kind)) == body("m2", kind)
    assert desk.row == "10"
    assert desk.events == [
        Authenticated(session_id="B7", by_server=True),
        DevInfoRead(device_id=DEVICE, make="Acme", model="M1", dm_version="1.2", language="en-US"),
    ]
    assert desk.account.nonces.client == b"clientnonce-0002"

    assert desk.take(body("m3", kind)) == body("m4", kind)
    assert desk.row == "17"
    assert desk.events == [
        VersionRead(version="1.0.0"),
        InventoryRead(state=10, fumo_root=ROOT),
    ]
    assert desk.account.nonces.server == b"servernonce-0002"

    assert desk.take(_url_accepted(kind)) == body("m5", kind)
    assert desk.row == "18"
    assert desk.events == [ExecLeaving(correlator="c-7f3a", step=Step.DOWNLOAD_AND_UPDATE)]

    assert desk.take(body("m6", kind)) == body("m7", kind)
    assert desk.row == "6"
    assert desk.events == [
        ExecAccepted(correlator="c-7f3a", step=Step.DOWNLOAD_AND_UPDATE, code=202),
        Ended(session_id="B7", row="6"),
    ]
    assert desk.session is not None
    assert desk.session.ended


def _url_accepted(kind: MediaType) -> bytes:
    """Return the message between M4 and M5, made of M6, which is the same but for its numbers."""
    message, form = decode(body("m6", kind), kind)
    header, accepted = message.commands
    return encode(
        replace(
            message,
            header=replace(message.header, msg_id=3),
            commands=(
                with_code(header, 212, msg_ref="2"),
                with_code(accepted, 200, msg_ref="2", cmd="Replace", target_refs=()),
            ),
        ),
        form,
    )


def test_the_notification_names_the_session() -> None:
    """M0 is made with the account's server key and nonce, and M1 comes under its number."""
    desk = Desk()
    trigger = Trigger(ui_mode=UiMode.BACKGROUND, session=0xB7, server_id="fota")
    package = encode_notification(trigger, SERVER_KEY, desk.account.nonces.server)
    assert package == bytes.fromhex("4c3b101ff461273904d674f6e86b1d4502d800000000b704666f7461")
    desk.take(vectors.xml("m1"))
    assert desk.of(Authenticated) == [Authenticated(session_id=trigger.session_id, by_server=True)]


@BOTH
def test_wrong_credentials(kind: MediaType) -> None:
    """M1 over another nonce is answered with X1, and M1 again over its nonce with 212."""
    desk = Desk(kind=kind)
    message, form = decode(body("m1", kind), kind)
    wrong = encode(_with_cred(message, b"clientnonce-9999"), form)
    assert desk.take(wrong) == body("x1", kind)
    assert desk.row == "1"
    assert desk.session is None
    assert [type(event) for event in desk.events] == [Refused, Audit]
    assert desk.account.nonces.client == b"clientnonce-0001"

    again = _with_cred(message, b"clientnonce-0002")
    again = replace(again, header=replace(again.header, msg_id=2))
    assert again.header.cred is not None
    assert again.header.cred.data == "oL4n+Fp54IlADT0bp+XZNw=="
    reply = decode(desk.take(encode(again, form)), kind)[0]
    assert codes(reply) == [("SyncHdr", 212), ("Alert", 200), ("Replace", 200)]


@BOTH
def test_a_replayed_package_1(kind: MediaType) -> None:
    """M1 byte for byte after M2 gets X1 with yet another nonce, and the session stays."""
    desk = Desk(kind=kind)
    desk.take(body("m1", kind))
    before = desk.session
    x1, form = decode(body("x1", kind), kind)
    status, *others = x1.commands
    another = with_code(status, 401, chal=auth.challenge(auth.MD5, b"clientnonce-0003"))
    expected = encode(replace(x1, commands=(another, *others)), form)
    assert desk.take(body("m1", kind)) == expected
    assert desk.session == before
    assert desk.take(body("m3", kind)) == body("m4", kind)


def _with_cred(message: Message, nonce: bytes) -> Message:
    cred = auth.md5_cred(auth.key("dev1", "devsecret1"), nonce)
    return replace(message, header=replace(message.header, cred=cred))


@BOTH
def test_no_credentials(kind: MediaType) -> None:
    """M1 without Cred looks like X1 with 407 in all places."""
    desk = Desk(kind=kind)
    message, form = decode(body("m1", kind), kind)
    bare = replace(message, header=replace(message.header, cred=None))
    x1, _ = decode(body("x1", kind), kind)
    expected = replace(x1, commands=tuple(with_code(each, 407) for each in x1.commands))
    assert desk.take(encode(bare, form)) == encode(expected, form)
    assert desk.events == [Refused(code=407, wrong=False)]


@pytest.fixture
def executed() -> Desk:
    """A desk after M0 to M7."""
    desk = Desk()
    desk.take(vectors.xml("m1"))
    desk.take(vectors.xml("m3"))
    desk.take(_url_accepted(XML))
    desk.take(vectors.xml("m6"))
    assert desk.task is not None
    desk.task = replace(desk.task, executed_at=desk.now)
    desk.wait(hours=2)
    return desk


@BOTH
def test_the_result(executed: Desk, kind: MediaType) -> None:
    """R1 is answered with R2, and the version then read makes it a success."""
    r2 = decode(executed.take(body("r1", kind), kind), kind)[0]
    assert executed.row == "8"
    assert executed.of(Reported)[0].meaning is Meaning.INSTALLED
    assert codes(r2) == [("SyncHdr", 212), ("Alert", 200), ("Replace", 200), ("Alert", 200)]
    assert r2.header.cred == Cred(meta=auth.md5_cred("", b"").meta, data="OsS95H/RTHb5TyjL+fucKw==")
    assert r2.header.source.name == "fota"
    assert asked(r2) == [("Get", VERSION)]

    client = Client(executed, session_id="1A2")
    client.msg_id, client.last = 1, r2
    end = client.answer({VERSION: (200, "2.0.0")})
    assert codes(end) == [("SyncHdr", 212)]
    assert asked(end) == []
    assert end.final
    assert executed.events == [
        VersionRead(version="2.0.0"),
        Succeeded(correlator="c-7f3a", version="2.0.0"),
        Ended(session_id="1A2", row="8"),
    ]


@pytest.mark.parametrize(
    ("code", "meaning", "why"),
    [
        (b"255", Meaning.PROGRESS, None),
        (b"410", Meaning.FAILED, Why.INSTALL_FAILED),
        (b"401", Meaning.FAILED, Why.DECLINED),
        (b"404", Meaning.FAILED, Why.DOWNLOAD_FAILED),
    ],
)
def test_other_results(executed: Desk, code: bytes, meaning: Meaning, why: Why | None) -> None:
    """255 and 410 in place of 200 get the same messages, and no Exec follows in the session."""
    r1 = vectors.xml("r1").replace(b"<Data>200</Data>", b"<Data>" + code + b"</Data>")
    r2 = decode(executed.take(r1), XML)[0]
    (reported,) = executed.of(Reported)
    assert (reported.code, reported.meaning, reported.why) == (int(code), meaning, why)
    assert asked(r2) == [("Get", VERSION)]
    # The engine has failed the attempt, or keeps it: the session ends either way.
    executed.task = executed.task if meaning is Meaning.PROGRESS else None
    client = Client(executed, session_id="1A2")
    client.msg_id, client.last = 1, r2
    end = client.answer({VERSION: (200, "1.0.0")})
    assert asked(end) == []
    assert not executed.of(VersionAwaited)
    assert not executed.of(Succeeded)
    assert executed.of(Ended)


def test_a_result_without_its_attempt(executed: Desk) -> None:
    """A correlator that nobody knows gets 200 and changes nothing."""
    r1 = vectors.xml("r1").replace(b"c-7f3a", b"c-0000")
    r2 = decode(executed.take(r1), XML)[0]
    assert codes(r2)[-1] == ("Alert", 200)
    client = Client(executed, session_id="1A2")
    client.msg_id, client.last = 1, r2
    client.answer({VERSION: (200, "1.0.0")})
    assert executed.events == [VersionRead(version="1.0.0"), Ended(session_id="1A2", row="8")]


def _m3(*changes: tuple[bytes, bytes]) -> bytes:
    text = vectors.xml("m3")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.fixture
def opened() -> Desk:
    """A desk after M1 and M2."""
    desk = Desk()
    desk.take(vectors.xml("m1"))
    return desk


def test_package_3_that_is_not_complete(opened: Desk) -> None:
    """M3 without Final gets a Status and Alert 1222, nothing else, and no Final."""
    reply = decode(opened.take(_m3((b"<Final/>", b""))), XML)[0]
    _, alert = reply.commands
    assert codes(reply) == [("SyncHdr", 212)]
    assert isinstance(alert, Alert)
    assert alert.code == 1222
    assert not reply.final
    assert opened.row == "2"


def test_package_3_of_a_client_that_refuses_us(opened: Desk) -> None:
    """M3 whose SyncHdr Status is 401 gets the two Gets again, with Cred over its nonce."""
    reply = decode(opened.take(_m3((b"<Data>212</Data>", b"<Data>401</Data>"))), XML)[0]
    assert opened.row == "4"
    assert asked(reply) == [("Get", VERSION), ("Get", STATE)]
    assert reply.header.cred is not None
    assert reply.header.cred.data == "OsS95H/RTHb5TyjL+fucKw=="
    assert reply.header.source.name == "fota"
    # It has not led to acceptance yet.
    assert opened.account.nonces.server == b"servernonce-0001"
    assert opened.events == []


def test_package_3_of_a_client_that_challenges_each_time(opened: Desk) -> None:
    """M3 whose SyncHdr Status is 200 with a Chal gets M4 with Cred over that nonce."""
    reply = opened.take(_m3((b"<Data>212</Data>", b"<Data>200</Data>")))
    m4, form = decode(vectors.xml("m4"), XML)
    cred = auth.md5_cred(SERVER_KEY, b"servernonce-0002")
    source = replace(m4.header.source, name="fota")
    assert reply == encode(replace(m4, header=replace(m4.header, cred=cred, source=source)), form)


def test_package_3_of_a_busy_device(opened: Desk) -> None:
    """M3 with State 30 gets Final only."""
    reply = decode(opened.take(_m3((b"<Data>10</Data>", b"<Data>30</Data>"))), XML)[0]
    assert opened.row == "15"
    assert len(reply.commands) == 1
    assert reply.final


def test_package_3_of_an_updated_device(opened: Desk) -> None:
    """M3 with FwV 2.0.0 is success without an Exec."""
    opened.take(_m3((b"<Data>1.0.0</Data>", b"<Data>2.0.0</Data>")))
    assert opened.row == "11"
    assert opened.of(Succeeded) == [Succeeded(correlator="c-7f3a", version="2.0.0")]


def test_package_3_of_a_device_that_shows_nothing() -> None:
    """Status 404 for State and FwV: the session goes on to the package's address."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    reply = client.answer(default=404)
    assert asked(reply) == [("Replace", f"{ROOT}/DownloadAndUpdate/PkgURL")]


@needed
def test_someone_else_reads_every_reply() -> None:
    """Another WBXML codec reads every reply: refusals, commands, pieces of a package, the end."""
    kind = WBXML
    # It copies binary data into its XML as it is, so the package is text.
    task = replace(TASK, data=b"0123456789abcdef" * 640)
    desk = Desk(kind=kind, server=replace(SERVER, max_msg_size=16384), task=task)
    desk.knowledge = Knowledge(large_objects=True)
    client = Client(desk, form=Form(), meta=Meta(max_msg_size=4096))
    client.send(Alert(cmd_id="", code=1201), name="dev1")
    client.begin(result(200, "devicerequest", None), final=False)
    replies = 0
    while not desk.session or not desk.session.ended:
        assert desk.outcome is not None
        theirs = decode(to_xml(desk.outcome.body), XML)[0]
        ours = decode(desk.outcome.body, kind)[0]
        assert (asked(theirs), codes(theirs)) == (asked(ours), codes(ours))
        wants = () if ours.final else (Alert(cmd_id="", code=1222),)
        client.answer({VERSION: (200, "1.0.0"), STATE: (200, "10")}, *wants)
        replies += 1
    assert desk.row == "6"
    assert replies > 5


def test_literal_public_ids() -> None:
    """M1 with its public id as text in the string table is as M1, and answered in WBXML 1.2."""
    name = b"-//SYNCML//DTD SyncML 1.2//EN"
    frame = bytes.fromhex("0200006A1D") + name
    literal = frame + vectors.wbxml("m1").removeprefix(bytes.fromhex("02A4016A00"))
    assert Desk(kind=WBXML).take(literal) == vectors.wbxml("m2")


def test_wbxml_1_1() -> None:
    """A request in WBXML 1.1 has its reply in WBXML 1.1."""
    assert Desk(kind=WBXML).take(b"\x01" + vectors.wbxml("m1")[1:]) == (
        b"\x01" + vectors.wbxml("m2")[1:]
    )
