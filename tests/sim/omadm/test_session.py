"""Sessions against the specification's own messages (17), byte for byte where it gives bytes."""

from collections.abc import Iterator

import pytest

from overair.protocols.syncml import codec
from overair.protocols.syncml.codec import Form, MediaType
from overair.protocols.syncml.fumo import AlertType
from overair.protocols.syncml.message import Alert, Item, Location, Message, Meta, Results, Status
from overair.sim.omadm.account import Account, Nonces, Wakeup, read_push
from overair.sim.omadm.manners import Manners, Oddity, wbxml_form, xml_form
from overair.sim.omadm.session import Session
from overair.sim.omadm.tree import Facts, Tree
from tests.protocols.syncml.vectors import wbxml, xml

ACCOUNT = Account(
    device_id="IMEI:004999010640000",
    url="http://127.0.0.1:8099/dm",
    server_id="fota",
    server_secret="srvsecret1",
    client_name="dev1",
    client_secret="devsecret1",
)
PUSH = bytes.fromhex("010603c4af874c3b101ff461273904d674f6e86b1d4502d800000000b704666f7461")
ZERO_PUSH = bytes.fromhex("16c9d0db1cd677a4d2f6130b61ab507d02d800000000b704666f7461")
XML = xml_form()
FORMS = {"xml": (XML, xml), "wbxml": (wbxml_form(), wbxml)}


def nonces(number: int = 1) -> Nonces:
    """Return the nonces of the examples."""
    return Nonces(client=b"clientnonce-%04d" % number, server=b"servernonce-%04d" % number)


def new_nonces() -> Iterator[bytes]:
    """Yield what the examples' client gives."""
    number = 2
    while True:
        yield b"servernonce-%04d" % number
        number += 1


def make(
    session_id: str = "B7",
    *,
    kept: Nonces | None = None,
    account: Account = ACCOUNT,
    version: str = "1.0.0",
    executed: list[str | None] | None = None,
    over_zero: bool = False,
    form: Form = XML,
    oddities: frozenset[Oddity] = frozenset(),
    max_msg_size: int | None = 16384,
) -> Session:
    """Return the examples' client."""
    manners = Manners(form=form, oddities=oddities, max_msg_size=max_msg_size)
    tree = Tree(Facts(device_id=ACCOUNT.device_id), version, manners.root)

    def on_exec(_uri: str, correlator: str | None) -> int:
        if executed is not None:
            executed.append(correlator)
        return 202

    tree.on_exec = on_exec
    fresh = new_nonces()
    return Session(
        session_id,
        account,
        kept if kept is not None else nonces(),
        tree,
        manners,
        new_nonce=lambda: next(fresh),
        over_zero=over_zero,
    )


def said(body: bytes | None, kind: MediaType = MediaType.XML) -> Message:
    """Read what the client says."""
    assert body is not None
    return codec.decode(body, kind)[0]


def codes(message: Message) -> list[int]:
    """Return the codes of its Statuses, in order."""
    return [command.code for command in message.commands if isinstance(command, Status)]


@pytest.mark.parametrize("name", FORMS)
def test_the_client_says_what_the_examples_say(name: str) -> None:
    """M1, M3 and M6 come out byte for byte when M2, M4 and M5 go in, and M7 ends the session."""
    form, vector = FORMS[name]
    executed: list[str | None] = []
    kept = nonces()
    session = make(kept=kept, executed=executed, form=form)
    assert session.open(by_server=True) == vector("m1")
    assert session.receive(vector("m2")) == vector("m3")
    said_of_url = session.receive(vector("m4"))
    assert codes(said(said_of_url, form.media_type)) == [212, 200]
    assert session.receive(vector("m5")) == vector("m6")
    assert session.receive(vector("m7")) is None
    assert (session.problem, session.authenticated, executed) == ("", True, ["c-7f3a"])
    assert (kept.client, kept.server) == (b"clientnonce-0002", b"servernonce-0002")


@pytest.mark.parametrize("name", FORMS)
def test_a_refused_client_shows_itself_again(name: str) -> None:
    """After X1 the same package comes over the new nonce, in the next message of the session."""
    form, vector = FORMS[name]
    session = make(kept=Nonces(client=b"stale", server=b"servernonce-0001"), form=form)
    first = said(session.open(by_server=True), form.media_type)
    again = said(session.receive(vector("x1")), form.media_type)
    assert again.commands == first.commands
    assert again.header.msg_id == 2
    assert again.header.cred is not None
    assert again.header.cred.data == "oL4n+Fp54IlADT0bp+XZNw=="


def test_the_client_gives_up_after_three_refusals() -> None:
    """A client that is refused three times ends the session and says so."""
    session = make()
    session.open(by_server=True)
    x1 = xml("x1")
    assert session.receive(x1) is not None
    assert session.receive(x1.replace(b"<MsgID>1<", b"<MsgID>2<")) is not None
    assert session.receive(x1.replace(b"<MsgID>1<", b"<MsgID>3<")) is None
    assert session.is_refused
    assert session.problem == "refused with 401"
    assert not session.authenticated


def report(code: int = 200) -> Alert:
    """Return the result of the examples."""
    kind = AlertType.DOWNLOAD_AND_UPDATE.value
    return Alert(
        cmd_id="",
        code=1226,
        correlator="c-7f3a",
        items=(
            Item(
                source=Location(uri="./FwUpdate/pkg"),
                meta=Meta(format="int", type=f"Reversed-Domain-Name: {kind}"),
                data=str(code),
            ),
        ),
    )


@pytest.mark.parametrize("name", FORMS)
def test_a_result_is_reported_as_the_example_has_it(name: str) -> None:
    """The client's report is R1, but for the order of two elements that R1 has as few write it."""
    form, vector = FORMS[name]
    session = make("1A2", kept=nonces(2), form=form, max_msg_size=None)
    body = session.open([report()], by_server=False)
    assert said(body, form.media_type) == said(vector("r1"), form.media_type)
    assert len(body) == len(vector("r1"))


def test_a_report_that_was_taken_is_known() -> None:
    """The status of the server for the alert says that it has the result."""
    session = make("B7")
    session.open([report()], by_server=False)
    answer = xml("m2").replace(
        b"<Get><CmdID>4<",
        b"<Status><CmdID>9</CmdID><MsgRef>1</MsgRef><CmdRef>3</CmdRef><Cmd>Alert</Cmd>"
        b"<Data>200</Data></Status><Get><CmdID>4<",
    )
    assert session.receive(answer) is not None
    assert [alert.items[0].data for alert in session.reported] == ["200"]


def test_a_server_that_cannot_prove_itself_is_not_obeyed() -> None:
    """Wrong credentials of the server are answered 401 with a nonce, and no command is carried out."""
    account = Account(
        device_id=ACCOUNT.device_id,
        url=ACCOUNT.url,
        server_id="fota",
        server_secret="another",
        client_name="dev1",
        client_secret="devsecret1",
    )
    kept = nonces()
    session = make(account=account, kept=kept)
    session.open(by_server=True)
    answer = said(session.receive(xml("m2")))
    assert codes(answer) == [401, 401, 401]
    assert len(answer.commands) == 3
    # A stranger must not spoil what the real server has.
    assert kept.server == b"servernonce-0001"


def test_a_server_that_shows_nothing_is_asked_to() -> None:
    """A first answer without credentials gets 407 and a nonce to make them with."""
    session = make()
    session.open(by_server=True)
    m2 = xml("m2")
    start, end = m2.index(b"<Cred>"), m2.index(b"</Cred>") + len(b"</Cred>")
    answer = said(session.receive(m2[:start] + m2[end:]))
    assert codes(answer) == [407, 407, 407]


def test_a_challenged_server_may_prove_itself_over_the_new_nonce() -> None:
    """Commands that come again with credentials over the challenge's nonce are carried out."""
    session = make(kept=Nonces(client=b"clientnonce-0001", server=b"lost"))
    session.open(by_server=True)
    assert codes(said(session.receive(xml("m2")))) == [401, 401, 401]
    again = xml("m2").replace(b"<MsgID>1</MsgID><Target>", b"<MsgID>2</MsgID><Target>")
    # Over servernonce-0002, which is what the client gave with its 401.
    again = again.replace(b"nhkJpfzvoScoubtbw+oTnA==", b"OsS95H/RTHb5TyjL+fucKw==")
    assert codes(said(session.receive(again))) == [212, 200, 200]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((b"<SessionID>B7<", b"<SessionID>B8<"), "another session"),
        ((b"<LocURI>IMEI:004999010640000</LocURI></Target>", b"<LocURI>IMEI:1</LocURI></Target>"), "another device"),
        ((b"<Cmd>SyncHdr</Cmd>", b"<Cmd>Alert</Cmd>"), "not answered"),
        ((b"</SyncML>", b""), "cannot be read"),
        ((b"<Data>212</Data>", b"<Data>403</Data>"), "refused with 403"),
    ],
    ids=["session", "device", "header", "xml", "forbidden"],
)  # fmt: skip
def test_answers_that_are_none_end_the_session(change: tuple[bytes, bytes], why: str) -> None:
    """What is not an answer to the client's message ends the session with a reason."""
    answer = xml("m2").replace(*change)
    if b"<Cmd>Alert</Cmd>" in change:
        answer = answer.replace(b"<CmdRef>0<", b"<CmdRef>7<")
    session = make()
    session.open(by_server=True)
    assert session.receive(answer) is None
    assert why in session.problem
    assert session.receive(xml("m2")) is None


def test_a_late_message_ends_the_session() -> None:
    """A message whose number is not above the last one is not believed."""
    session = make()
    session.open(by_server=True)
    session.receive(xml("m2"))
    assert session.receive(xml("m2")) is None
    assert "came after" in session.problem


def test_the_example_notification_is_believed_over_the_right_nonce_only() -> None:
    """M0 opens session B7, over the server's nonce or the zero nonce; over any other it is refused."""
    found = read_push(ACCOUNT, PUSH, (b"servernonce-0001",))
    assert isinstance(found, Wakeup)
    assert (found.trigger.session_id, found.zero_nonce) == ("B7", False)
    zero = read_push(ACCOUNT, ZERO_PUSH, (b"servernonce-0001",))
    assert isinstance(zero, Wakeup)
    assert zero.zero_nonce
    assert read_push(ACCOUNT, PUSH, (b"servernonce-0009",)) == "a wrong digest"
    assert isinstance(read_push(ACCOUNT, PUSH[:20], (b"servernonce-0001",)), str)


def test_a_session_woken_over_the_zero_nonce_uses_it() -> None:
    """The credentials of package 1 are over four zero bytes then."""
    plain, zero = make(), make(over_zero=True)
    mine, other = said(plain.open(by_server=True)), said(zero.open(by_server=True))
    assert mine.header.cred != other.header.cred


@pytest.mark.parametrize(
    ("oddity", "expected"),
    [
        (Oddity.NEVER_CHALLENGES, [0, 0, 0]),
        (Oddity.SAYS_407, [407, 407, 407]),
    ],
)
def test_odd_clients_refuse_in_odd_ways(oddity: Oddity, expected: list[int]) -> None:
    """A server that is not believed hears the status of that client."""
    session = make(kept=Nonces(client=b"c", server=b"lost"), oddities=frozenset({oddity}))
    session.open(by_server=True)
    assert codes(said(session.receive(xml("m2")))) == expected


def test_a_client_that_wants_credentials_each_time_says_200() -> None:
    """Every message is answered 200 with a nonce, and one without credentials is refused."""
    session = make(oddities=frozenset({Oddity.CHALLENGES_ALWAYS}))
    session.open(by_server=True)
    assert codes(said(session.receive(xml("m2")))) == [200, 200, 200]
    assert codes(said(session.receive(xml("m4")))) == [407, 407]


def test_a_strict_client_refuses_credentials_that_come_again() -> None:
    """After 212, credentials over the spent nonce are answered 401."""
    session = make(oddities=frozenset({Oddity.STRICT}))
    session.open(by_server=True)
    assert codes(said(session.receive(xml("m2")))) == [212, 200, 200]
    again = xml("m2").replace(b"<MsgID>1</MsgID><Target>", b"<MsgID>2</MsgID><Target>")
    assert codes(said(session.receive(again))) == [401, 401, 401]


def test_small_messages_carry_large_values_in_pieces() -> None:
    """What does not fit the server's message size goes in pieces, and comes together again."""
    session = make(version="1." + "0" * 3000)
    session.open(by_server=True)
    m2 = xml("m2").replace(
        b"</Cred></SyncHdr>",
        b'</Cred><Meta><MaxMsgSize xmlns="syncml:metinf">1800</MaxMsgSize></Meta></SyncHdr>',
    )
    body = session.receive(m2)
    together, messages = "", 0
    while True:
        message = said(body)
        assert body is not None
        assert len(body) <= 1800
        messages += 1
        for command in message.commands:
            for item in command.items if isinstance(command, Results) else ():
                if item.source is not None and item.source.uri == "./DevDetail/FwV":
                    together += str(item.data)
                    assert (item.meta is not None and item.meta.size == 3002) == (messages == 1)
        if message.final:
            break
        body = session.receive(
            xml("m7")
            .replace(b"<MsgID>4</MsgID>", b"<MsgID>%d</MsgID>" % (messages + 1))
            .replace(b"<Final/>", b"<Alert><CmdID>2</CmdID><Data>1222</Data></Alert>")
        )
    assert together == "1." + "0" * 3000
    assert messages > 2


def test_an_abort_is_answered_and_ends_the_session() -> None:
    """Alert 1223 gets its Status, and whatever comes then is not heard."""
    session = make()
    session.open(by_server=True)
    session.receive(xml("m2"))
    m4 = xml("m4")
    start, end = m4.index(b"<Replace>"), m4.index(b"</Replace>") + len(b"</Replace>")
    abort = m4[:start] + b"<Alert><CmdID>2</CmdID><Data>1223</Data></Alert>" + m4[end:]
    assert codes(said(session.receive(abort))) == [212, 200]
    assert session.receive(xml("m7")) is None
    assert session.is_aborted
