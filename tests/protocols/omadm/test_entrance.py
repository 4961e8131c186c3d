"""Who is let in, and what nobody can spoil (oma-dm 5.5, 11)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from overair.protocols.omadm.account import Nonces, decoy
from overair.protocols.omadm.events import Audit, AuditKind, Authenticated, DevInfoRead, Refused
from overair.protocols.omadm.exchange import read, receive
from overair.protocols.omadm.task import Server
from overair.protocols.syncml import auth
from overair.protocols.syncml.codec import Form, decode
from overair.protocols.syncml.message import Alert, Chal, Cred, Message, Status
from tests.protocols.omadm.desk import (
    CLIENT_KEY,
    DEVICE,
    IMEI,
    SERVER_KEY,
    STATE,
    VERSION,
    WBXML,
    XML,
    Client,
    Desk,
    account,
    alerts,
    asked,
    codes,
    dev_info,
)

OPEN = Alert(cmd_id="", code=1201)
SHOWS_OLD = {VERSION: (200, "1.0.0"), STATE: (200, "10")}


def cred(nonce: bytes, key: str = CLIENT_KEY) -> Cred:
    """Return a client's md5 credentials."""
    return auth.md5_cred(key, nonce)


def chal_of(reply: Message) -> Chal:
    """Return the challenge of a reply."""
    (status,) = (c for c in reply.commands if isinstance(c, Status) and c.cmd == "SyncHdr")
    assert status.chal is not None
    return status.chal


def next_nonce(reply: Message) -> bytes:
    """Return the nonce that a reply gives."""
    nonce = chal_of(reply).meta.next_nonce
    assert nonce is not None
    return auth.decode_nonce(nonce)


def audits(desk: Desk) -> list[AuditKind]:
    """Return what would be written down."""
    return [event.kind for event in desk.of(Audit)]


def test_wrong_ones_change_nothing() -> None:
    """A wrong Cred leaves the stored nonces, the session and all knowledge as they were."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    client.answer(SHOWS_OLD)
    before = desk.session, desk.knowledge, desk.account.nonces.client, desk.account.nonces.server
    Client(desk, session_id="66").send(OPEN, dev_info(), cred=cred(b"guess"), name="dev1")
    after = desk.session, desk.knowledge, desk.account.nonces.client, desk.account.nonces.server
    assert after == before
    assert desk.events == [
        Refused(code=401, wrong=True),
        Audit(kind=AuditKind.WRONG_CREDENTIALS, text="answered 401"),
    ]
    assert asked(client.answer()) == [("Exec", "./FwUpdate/pkg/DownloadAndUpdate")]


def test_nobody_pushes_out_a_nonce() -> None:
    """However many are refused, the nonce that a device was given is still good, and once."""
    desk = Desk()
    device = Client(desk)
    given = next_nonce(device.send(OPEN, cred=cred(b"stale"), name="dev1"))
    for number in range(20):
        stranger = Client(desk, session_id=f"{number}")
        stranger.send(OPEN, cred=cred(b"guess"), name="dev1")
        assert len(desk.account.nonces.pending) <= 4
        assert len(desk.account.nonces.refusals) <= 4
    assert codes(device.begin(nonce=given))[0] == ("SyncHdr", 212)
    assert desk.account.nonces.pending == ()
    assert codes(Client(desk).begin(nonce=given))[0] == ("SyncHdr", 401)


def test_pending_nonces_are_for_any_session() -> None:
    """A client that comes back with a new SessionID may use the nonce it was given."""
    desk = Desk()
    given = next_nonce(Client(desk).send(OPEN, cred=cred(b"stale"), name="dev1"))
    desk.wait(minutes=9)
    assert codes(Client(desk, session_id="1").begin(nonce=given))[0] == ("SyncHdr", 212)


def test_pending_nonces_are_good_for_ten_minutes() -> None:
    """After ten minutes a nonce that came with a refusal is refused; the stored one never."""
    desk = Desk()
    given = next_nonce(Client(desk).send(OPEN, cred=cred(b"stale"), name="dev1"))
    desk.wait(minutes=10)
    assert codes(Client(desk).begin(nonce=given))[0] == ("SyncHdr", 401)
    assert codes(Client(desk).begin(nonce=b"clientnonce-0001"))[0] == ("SyncHdr", 212)


def test_three_refusals() -> None:
    """After three 401 in one session its further messages get HTTP 403; a message 1 is let in."""
    desk = Desk()
    client = Client(desk)
    for _ in range(3):
        assert codes(client.send(OPEN, cred=cred(b"guess"), name="dev1"))[0][1] == 401
    with pytest.raises(AssertionError, match="no reply"):
        client.begin()
    assert desk.outcome is not None
    assert desk.outcome.status == 403
    assert audits(desk) == [AuditKind.TOO_MANY_REFUSALS]
    assert codes(Client(desk).begin())[0] == ("SyncHdr", 212)


def test_missing_ones_are_no_refusals() -> None:
    """407 does not count, however often."""
    desk = Desk()
    client = Client(desk)
    for _ in range(5):
        assert codes(client.send(OPEN, name="dev1")) == [("SyncHdr", 407), ("Alert", 407)]
        assert desk.events == [Refused(code=407, wrong=False)]
    assert codes(client.begin())[0] == ("SyncHdr", 212)


def test_unknown_users_look_like_known_ones() -> None:
    """A user that does not exist gets what a wrong one gets, refusal by refusal."""
    known, unknown = Desk(), Desk(account=decoy("dev1", auth.key("", "random")))
    clients = Client(known), Client(unknown)
    for _ in range(3):
        one, other = (
            client.send(OPEN, dev_info(), cred=cred(b"guess"), name="dev1") for client in clients
        )
        assert one == other
    for client in clients:
        with pytest.raises(AssertionError, match="no reply"):
            client.send(OPEN, cred=cred(b"guess"), name="dev1")


def test_nothing_is_right_for_a_decoy() -> None:
    """No credentials are right for a user that does not exist, its empty nonce included."""
    desk = Desk(account=decoy("dev1", auth.key("", "random")))
    assert codes(Client(desk).begin(nonce=b""))[0] == ("SyncHdr", 401)


@pytest.mark.parametrize("name", ["dev1", None])
def test_the_user_may_be_missing(name: str | None) -> None:
    """Without a LocName the account bound to the device id counts."""
    reply = Client(Desk()).send(OPEN, cred=cred(b"clientnonce-0001"), name=name)
    assert codes(reply)[0] == ("SyncHdr", 212)


def test_another_user() -> None:
    """Credentials under another name are wrong, also if they are right."""
    reply = Client(Desk()).send(OPEN, cred=cred(b"clientnonce-0001"), name="dev2")
    assert codes(reply)[0] == ("SyncHdr", 401)


def test_accepted_ones_are_spent() -> None:
    """212 comes with a nonce for the next session, and the one just used is good no more."""
    desk = Desk()
    client = Client(desk)
    given = next_nonce(client.begin())
    assert given == desk.account.nonces.client != b"clientnonce-0001"
    assert codes(Client(desk, session_id="B8").begin(nonce=b"clientnonce-0001"))[0][1] == 401
    assert codes(Client(desk, session_id="B8").begin(nonce=given))[0][1] == 212


def test_credentials_in_a_session() -> None:
    """A Cred that comes anyway is spent if it is right, and ignored if it is a repeat."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    given = desk.account.nonces.client
    reply = client.send(*client.answers(SHOWS_OLD), cred=cred(b"clientnonce-0001"), name="dev1")
    assert codes(reply) == [("SyncHdr", 212)]
    assert desk.account.nonces.client == given
    reply = client.send(*client.answers({}), cred=cred(given), name="dev1")
    assert next_nonce(reply) == desk.account.nonces.client != given


@pytest.mark.parametrize(("secure", "code"), [(True, 212), (False, 401)])
def test_basic(secure: bool, code: int) -> None:
    """A password is taken where the account allows it and the transport keeps it."""
    desk = Desk(account=account(auth=auth.BASIC), secure=secure)
    password = auth.basic_cred("dev1", "devsecret1")
    reply = Client(desk).send(OPEN, cred=password, name="dev1")
    assert codes(reply)[0] == ("SyncHdr", code)
    if not secure:
        assert chal_of(reply).meta.type == auth.MD5
    assert codes(Client(desk).begin())[0] == ("SyncHdr", 212)


@pytest.mark.parametrize("data", ["", "???", auth.basic("dev1", "guess"), auth.basic("dev2", "x")])
def test_basic_that_is_wrong(data: str) -> None:
    """A wrong password, or none, gets a challenge for the type that the account has."""
    desk = Desk(account=account(auth=auth.BASIC))
    password = replace(auth.basic_cred("", ""), data=data)
    reply = Client(desk).send(OPEN, cred=password)
    assert codes(reply)[0] == ("SyncHdr", 401)
    assert chal_of(reply) == auth.challenge(auth.BASIC, None)


@pytest.mark.parametrize("demanded", [auth.MD5, auth.MAC])
def test_basic_that_is_not_taken(demanded: str) -> None:
    """An account that does not allow a password does not take the right one either."""
    desk = Desk(account=account(auth=demanded))
    reply = Client(desk).send(OPEN, cred=auth.basic_cred("dev1", "devsecret1"), name="dev1")
    assert codes(reply)[0] == ("SyncHdr", 401)
    assert chal_of(reply).meta.type == demanded


def test_a_type_that_nobody_knows() -> None:
    """Credentials of another type are wrong."""
    odd = replace(cred(b"clientnonce-0001"), meta=None)
    assert codes(Client(Desk()).send(OPEN, cred=odd))[0] == ("SyncHdr", 401)


@pytest.mark.parametrize(
    "device", ["IMEI:004999010640018", "IMEI:4999010640000", "somebody", "", f"MEID:{IMEI[:14]}"]
)
def test_another_device(device: str) -> None:
    """Right credentials of one device do not open a session of another: 403, nothing kept."""
    desk = Desk()
    reply = Client(desk).send(
        OPEN, dev_info(), cred=cred(b"clientnonce-0001"), name="dev1", device=device
    )
    assert codes(reply) == [("SyncHdr", 403), ("Alert", 403), ("Replace", 403)]
    assert audits(desk) == [AuditKind.OTHER_DEVICE]
    assert not desk.of(Authenticated)
    assert desk.session is None
    assert desk.account.nonces.client != b"clientnonce-0001"


def test_another_device_s_dev_info() -> None:
    """DevInfo of another device is refused in the same way, and nothing of it is stored."""
    desk = Desk()
    reply = Client(desk).begin(device_id="IMEI:004999010640018")
    assert codes(reply) == [("SyncHdr", 403), ("Alert", 403), ("Replace", 403)]
    assert audits(desk) == [AuditKind.OTHER_DEVICE]
    assert not desk.of(DevInfoRead)
    assert desk.session is None


def test_another_device_in_a_session() -> None:
    """A message under another device's id does not go on with the session."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    before = desk.session
    reply = client.send(*client.answers(SHOWS_OLD), device="IMEI:004999010640018")
    assert codes(reply)[0] == ("SyncHdr", 403)
    assert desk.session == before
    assert audits(desk) == [AuditKind.OTHER_DEVICE]


def test_a_blocked_device() -> None:
    """A blocked device gets 403 although its credentials are right, also within a session."""
    desk = Desk(account=account(blocked=True))
    assert codes(Client(desk).begin())[0] == ("SyncHdr", 403)
    assert audits(desk) == [AuditKind.BLOCKED]
    desk = Desk()
    client = Client(desk)
    client.begin()
    desk.account = replace(desk.account, blocked=True)
    assert codes(client.answer(SHOWS_OLD))[0] == ("SyncHdr", 403)
    assert desk.session is None


def test_the_zero_nonce() -> None:
    """Credentials over four zeros are right in the one session that was called for with them."""
    desk = Desk(account=account(zero_nonce_session="B7"))
    assert codes(Client(desk, session_id="B8").begin(nonce=bytes(4)))[0][1] == 401
    assert codes(Client(desk).begin(nonce=bytes(4)))[0][1] == 212
    assert desk.account.zero_nonce_session is None
    assert codes(Client(desk).begin(nonce=bytes(4)))[0][1] == 401


def test_a_nonce_that_is_empty() -> None:
    """A device whose account was given no nonce yet begins with the empty one, once."""
    desk = Desk(account=account(nonces=Nonces()))
    assert codes(Client(desk).begin(nonce=b""))[0][1] == 212
    assert codes(Client(desk).begin(nonce=b""))[0][1] == 401


def test_a_session_replaces_the_one_before() -> None:
    """A message 1 with right credentials begins anew, also under the same SessionID."""
    desk = Desk()
    client = Client(desk, session_id="1")
    client.begin()
    client.answer(SHOWS_OLD)
    again = Client(desk, session_id="1")
    assert asked(again.begin()) == [("Get", VERSION), ("Get", STATE)]
    assert desk.session is not None
    assert desk.session.messages == 1


def test_a_repeat_gets_the_same_reply() -> None:
    """A message that comes again byte for byte gets the stored reply, and changes nothing."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    reply = client.answer(SHOWS_OLD)
    before = desk.session, desk.account, desk.knowledge
    assert client.repeat() == reply
    assert (desk.session, desk.account, desk.knowledge) == before
    assert desk.events == []
    client.answer()
    exec_ = client.last
    assert client.repeat() == exec_
    assert desk.events == []


def test_the_end_is_repeated_too() -> None:
    """A session that has ended still repeats its last reply."""
    desk = Desk(task=None)
    client = Client(desk)
    client.begin()
    client.answer(SHOWS_OLD)
    end = client.answer()
    assert client.repeat() == end


@pytest.mark.parametrize("number", [2, 3])
def test_numbers_that_were_there(number: int) -> None:
    """A number that is not greater, with other content, aborts the session."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    client.answer(SHOWS_OLD)
    client.answer()
    client.msg_id = number - 1
    reply = client.send(OPEN)
    assert alerts(reply) == [1223]
    assert reply.final
    assert audits(desk) == [AuditKind.OUT_OF_ORDER]
    client.msg_id = 3
    assert asked(client.answer()) == []


def test_gaps_in_the_numbers() -> None:
    """A message may have a number that is greater by more than one."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    client.msg_id = 40
    assert asked(client.answer(SHOWS_OLD)) != []


def test_an_idle_session_is_forgotten() -> None:
    """After ten minutes a late message gets 408 and the end."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    desk.wait(minutes=10, seconds=1)
    reply = client.answer(SHOWS_OLD)
    assert codes(reply) == [("SyncHdr", 408)]
    assert reply.final
    assert desk.session is None
    assert audits(desk) == [AuditKind.UNKNOWN_SESSION]


def test_a_session_just_in_time() -> None:
    """Ten minutes after the last message the session still goes on."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    desk.wait(minutes=10)
    assert asked(client.answer(SHOWS_OLD))


def test_a_session_that_never_was() -> None:
    """A replayed later message of a session that is not there gets 408."""
    desk = Desk()
    client = Client(desk, session_id="77")
    client.msg_id = 3
    assert codes(client.send(OPEN)) == [("SyncHdr", 408)]
    assert desk.session is None


def test_too_many_messages() -> None:
    """The last message that is taken is answered with 1223, and the one after it with 408."""
    desk = Desk(server=replace(Desk().server, session_messages=5))
    client = Client(desk)
    client.begin(final=False)
    for _ in range(3):
        assert alerts(client.send(OPEN, final=False)) == [1222]
    reply = client.send(OPEN, final=False)
    assert alerts(reply) == [1223]
    assert audits(desk) == [AuditKind.TOO_MANY_MESSAGES]
    assert codes(client.send(OPEN)) == [("SyncHdr", 408)]
    assert desk.session is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text.replace(b"DM/1.2", b"SyncML/1.2"), 513),
        (lambda text: text.replace(b"DM/1.2", b"DM/1.1"), 513),
        (lambda text: text.replace(b"<VerDTD>1.2", b"<VerDTD>1.1"), 505),
        (lambda text: text.replace(b"DM/1.2", b"DM/1.3"), 212),
    ],
)
def test_versions(change: Callable[[bytes], bytes], code: int) -> None:
    """Another version of the protocol gets 505 or 513 for SyncHdr and Final; 1.3 is as 1.2."""
    desk = Desk()
    client = Client(Desk())
    client.begin()
    body = change(client.body)
    reply = decode(desk.take(body), XML)[0]
    assert codes(reply)[0] == ("SyncHdr", code)
    assert reply.header.ver_proto == "DM/1.2"
    if code != 212:
        assert codes(reply) == [("SyncHdr", code)]
        assert reply.final
        assert audits(desk) == [AuditKind.VERSION]
        assert desk.account == account()


# HMAC (oma-dm 11.4)


@pytest.fixture
def mac_desk() -> Desk:
    """A desk whose device is to vouch for every body."""
    return Desk(account=account(auth=auth.MAC))


def mac_of(desk: Desk) -> str:
    """Return the mac of the last reply."""
    assert desk.outcome is not None
    assert desk.outcome.hmac is not None
    header = auth.read_hmac_header(desk.outcome.hmac)
    assert header.username == "fota"
    return header.mac


def test_a_mac_is_demanded(mac_desk: Desk) -> None:
    """Without a MAC the challenge names its type, also to right md5 credentials."""
    reply = Client(mac_desk).send(OPEN, name="dev1")
    assert codes(reply)[0] == ("SyncHdr", 407)
    assert chal_of(reply).meta.type == auth.MAC
    assert codes(Client(mac_desk).begin())[0] == ("SyncHdr", 401)


def test_a_mac_goes_with_every_message(mac_desk: Desk) -> None:
    """Every message of both sides has one, and every one gets 200 and a new nonce."""
    client = Client(mac_desk, form=Form(media_type=WBXML))
    reply = client.send(OPEN, dev_info(), name="dev1", hmac_key=(CLIENT_KEY, b"clientnonce-0001"))
    server_nonce = b"servernonce-0001"
    for answers in (SHOWS_OLD, {}, {}):
        assert codes(reply)[0] == ("SyncHdr", 200)
        assert reply.header.cred is None
        assert mac_desk.outcome is not None
        assert mac_of(mac_desk) == auth.mac(SERVER_KEY, server_nonce, mac_desk.outcome.body)
        server_nonce += b"+"
        key = CLIENT_KEY, next_nonce(reply)
        reply = client.send(*client.answers(answers, header=200, nonce=server_nonce), hmac_key=key)
    assert mac_desk.row == "6"


def test_a_mac_that_is_missing_or_wrong(mac_desk: Desk) -> None:
    """A message in such a session without its MAC is refused, and the session waits for it."""
    client = Client(mac_desk)
    reply = client.send(OPEN, dev_info(), name="dev1", hmac_key=(CLIENT_KEY, b"clientnonce-0001"))
    answers = client.answers(SHOWS_OLD)
    before = mac_desk.session
    assert codes(client.send(*answers))[0] == ("SyncHdr", 407)
    refused = client.send(*answers, hmac_key=(CLIENT_KEY, b"guess"))
    assert codes(refused)[0] == ("SyncHdr", 401)
    assert mac_desk.session == before
    reply = client.send(*answers, hmac_key=(CLIENT_KEY, next_nonce(refused)))
    assert codes(reply)[0] == ("SyncHdr", 200)
    assert asked(reply)


def test_macs_are_struck_out(mac_desk: Desk) -> None:
    """Three wrong MACs in a session are enough."""
    client = Client(mac_desk)
    client.send(OPEN, dev_info(), name="dev1", hmac_key=(CLIENT_KEY, b"clientnonce-0001"))
    for _ in range(3):
        client.send(OPEN, hmac_key=(CLIENT_KEY, b"guess"))
    with pytest.raises(AssertionError, match="no reply"):
        client.send(OPEN, hmac_key=(CLIENT_KEY, b"guess"))


def test_a_mac_of_a_changed_body() -> None:
    """A MAC vouches for the very bytes."""
    desk = Desk(account=account(auth=auth.MAC))
    client = Client(desk)
    client.send(OPEN, name="dev1", hmac_key=(CLIENT_KEY, b"clientnonce-0001"))
    desk = Desk(account=account(auth=auth.MAC))
    mac = auth.mac(CLIENT_KEY, b"clientnonce-0001", client.body)
    header = auth.write_hmac_header(auth.HmacHeader(username="dev1", mac=mac))
    reply = decode(desk.take(client.body + b" ", XML, header), XML)[0]
    assert codes(reply)[0] == ("SyncHdr", 401)


def test_a_mac_header_that_is_none() -> None:
    """A header that cannot be read is as good as a wrong one."""
    client = Client(Desk())
    client.begin()
    request = read(client.body, XML, "nonsense")
    assert request.hmac_given
    reply = decode(Desk().take(client.body, XML, "nonsense"), XML)[0]
    assert codes(reply)[0] == ("SyncHdr", 401)


def test_who_it_says_it_is() -> None:
    """The edge finds the account by the user, of the header if there is one, or by the device."""
    client = Client(Desk())
    client.begin()
    request = read(client.body, XML)
    assert (request.user, request.device, request.session_id) == ("dev1", DEVICE, "B7")
    header = auth.write_hmac_header(auth.HmacHeader(username="dev9", mac="x"))
    assert read(client.body, XML, header).user == "dev9"


def test_what_needs_no_task() -> None:
    """A refusal is settled before the engine is asked; what a device says is not."""
    for name, settled in (("dev1", False), ("dev2", True)):
        desk = Desk()
        client = Client(desk)
        client.send(OPEN, cred=cred(b"clientnonce-0001"), name=name)
        received = receive(
            read(client.body, XML),
            server=desk.server,
            account=account(),
            session=None,
            knowledge=desk.knowledge,
            secure=True,
            now=desk.now,
            nonce=lambda: b"fresh",
        )
        assert received.settled is settled


def test_limits_are_the_server_s() -> None:
    """Its sizes are told in the first reply, and only there."""
    desk = Desk(server=replace(Server(address="http://a/dm", name="fota")))
    client = Client(desk)
    meta = client.begin().header.meta
    assert meta is not None
    assert (meta.max_msg_size, meta.max_obj_size) == (16384, 1024 * 1024)
    assert client.answer(SHOWS_OLD).header.meta is None


@pytest.mark.parametrize("ended", [True, False])
def test_the_same_session_id_after_a_refusal(ended: bool) -> None:
    """A client that always says session 1, and is asked for credentials, gets a session of its own."""
    desk = Desk(task=None) if ended else Desk()
    before = Client(desk, session_id="1")
    before.begin()
    before.answer(SHOWS_OLD)
    again = Client(desk, session_id="1")
    given = next_nonce(again.send(OPEN, name="dev1"))
    assert desk.session is not None
    assert desk.session.ended is ended
    assert codes(again.begin(nonce=given))[0] == ("SyncHdr", 212)
    assert desk.session.messages == 1


def test_the_same_session_id_after_a_broken_session() -> None:
    """So does one whose session before broke off after its first message."""
    desk = Desk()
    Client(desk, session_id="1").begin()
    again = Client(desk, session_id="1")
    given = next_nonce(again.send(OPEN, name="dev1"))
    assert asked(again.begin(nonce=given)) == [("Get", VERSION), ("Get", STATE)]
    assert desk.of(Authenticated)
