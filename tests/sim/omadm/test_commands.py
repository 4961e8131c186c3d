"""What a device answers to commands beyond the common ones, and how it proves itself otherwise."""

import base64

import pytest

from overair.protocols.syncml import auth, codec
from overair.protocols.syncml.message import (
    Add,
    Alert,
    Atomic,
    Command,
    Delete,
    Exec,
    Get,
    Header,
    Item,
    Location,
    Message,
    Meta,
    Replace,
    Sequence,
    Status,
    Unsupported,
)
from overair.protocols.syncml.values import MalformedError
from overair.sim.omadm.account import is_server_mac, mac_header
from overair.sim.omadm.commands import Desk, Done, dev_info
from overair.sim.omadm.manners import Manners, Oddity
from overair.sim.omadm.package import read_descriptor, version_inside
from overair.sim.omadm.session import Session
from overair.sim.omadm.tree import Facts, Tree
from tests.protocols.syncml.vectors import wbxml
from tests.sim.omadm.test_session import ACCOUNT, XML, make, nonces, said

DATA = "./FwUpdate/pkg/Update/PkgData"
URL = "./FwUpdate/pkg/DownloadAndUpdate/PkgURL"


def header(msg_id: int = 1) -> Header:
    """Return a header of the server's."""
    return Header(
        session_id="1",
        msg_id=msg_id,
        target=Location(uri=ACCOUNT.device_id),
        source=Location(uri=ACCOUNT.url),
    )


def desk(*oddities: Oddity, agrees: bool = True, max_obj_size: int | None = None) -> Desk:
    """Return a device's desk."""
    manners = Manners(form=XML, oddities=frozenset(oddities), max_obj_size=max_obj_size)
    fumo_only = Oddity.FUMO_ONLY in oddities
    tree = Tree(Facts(device_id=ACCOUNT.device_id), "01", manners.root, fumo_only=fumo_only)
    return Desk(tree, manners, agrees=agrees)


def done(at: Desk, *commands: Command, is_final: bool = True) -> Done:
    """Have commands carried out."""
    at.begin(header())
    for command in commands:
        at.take(command)
    return at.end(is_final=is_final)


def statuses(found: Done) -> list[tuple[str, int]]:
    """Return what was answered."""
    return [(s.cmd, s.code) for s in found.statuses if isinstance(s, Status)]


def alerts(found: Done) -> list[int]:
    """Return what was asked for besides."""
    return [a.code for a in found.statuses if isinstance(a, Alert)]


def item(uri: str, data: str | bytes | None = None, more: bool = False, **meta: object) -> Item:
    """Return an item of a command."""
    described = Meta(**meta) if meta else None  # type: ignore[arg-type]  # members of Meta
    return Item(target=Location(uri=uri), meta=described, data=data, more_data=more)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (Delete(cmd_id="1", items=(item(URL),)), 405),
        (Atomic(cmd_id="1"), 406),
        (Sequence(cmd_id="1"), 406),
        (Unsupported(cmd_id="1", name="Put"), 501),
        (Get(cmd_id="1", items=(Item(),)), 412),
        (Get(cmd_id="1"), 412),
        (Replace(cmd_id="1", items=(Item(),)), 412),
        (Exec(cmd_id="1"), 412),
        (Add(cmd_id="1", items=(item(URL, "x"),)), 418),
        (Alert(cmd_id="1", code=1100), 200),
        (Alert(cmd_id="1", code=1101), 200),
    ],
)
def test_each_command_has_its_status(command: Command, expected: int) -> None:
    """Commands that a device does not have, and those that are incomplete, are answered as such."""
    ((_, code),) = statuses(done(desk(), command))
    assert code == expected


def test_a_user_may_say_no() -> None:
    """A question that is answered with no gets 304."""
    found = done(desk(agrees=False), Alert(cmd_id="1", code=1101))
    assert statuses(found) == [("Alert", 304)]


def test_nothing_is_said_where_nothing_is_wanted() -> None:
    """NoResp takes the Status away; the command is carried out."""
    at = desk()
    assert done(at, Replace(cmd_id="1", no_resp=True, items=(item(URL, "x"),))).statuses == ()
    assert at.tree.package_url == "x"


def test_a_large_object_comes_together() -> None:
    """Each piece but the last is answered 213, and the next is asked for."""
    at = desk()
    text = base64.b64encode(b"firmware").decode()
    size = len(text)
    first = done(
        at,
        Replace(cmd_id="1", items=(item(DATA, text[:4], True, format="b64", size=size),)),
        is_final=False,
    )
    assert (statuses(first), alerts(first)) == ([("Replace", 213)], [1222])
    last = done(at, Replace(cmd_id="1", items=(item(DATA, text[4:], format="b64"),)))
    assert (statuses(last), alerts(last)) == ([("Replace", 200)], [])
    assert at.tree.data == b"firmware"


def test_pieces_that_do_not_add_up_are_refused() -> None:
    """The size that was announced counts; one that is too big from the start is refused at once."""
    at = desk(max_obj_size=10)
    done(at, Replace(cmd_id="1", items=(item(DATA, b"abc", True, format="bin", size=9),)))
    found = done(at, Replace(cmd_id="2", items=(item(DATA, b"def", format="bin"),)))
    assert statuses(found) == [("Replace", 424)]
    found = done(at, Replace(cmd_id="3", items=(item(DATA, b"abc", True, format="bin", size=11),)))
    assert statuses(found) == [("Replace", 416)]
    assert at.tree.data is None


def test_an_object_that_breaks_off_is_told() -> None:
    """Another command between the pieces gets Alert 1225 besides its Status, and the object is lost."""
    at = desk()
    done(at, Replace(cmd_id="1", items=(item(DATA, b"abc", True, format="bin", size=9),)))
    found = done(at, Replace(cmd_id="2", items=(item(URL, "x"),)))
    assert (statuses(found), alerts(found)) == ([("Replace", 200)], [1225])
    assert at.tree.data is None


def test_a_message_that_is_not_the_last_is_followed_up() -> None:
    """A package of several messages is asked for until it is complete."""
    found = done(desk(), Get(cmd_id="1", items=(item("./DevDetail/FwV"),)), is_final=False)
    assert alerts(found) == [1222]


def test_a_device_may_show_its_update_object_only() -> None:
    """Everything else is answered 425; who it is, it says all the same."""
    at = desk(Oddity.FUMO_ONLY)
    assert at.tree.get("./DevDetail/FwV") == 425
    assert not isinstance(at.tree.get("./FwUpdate/pkg/State"), int)
    told = dev_info(at.tree, Manners())
    assert [i.data for i in told.items] == [ACCOUNT.device_id, "Acme", "M1", "1.2", "en-US"]


# --- proofs of other kinds -------------------------------------------------------------------------


def reply_of(session: Session, body: bytes, *, code: int, kind: str, nonce: bytes | None) -> bytes:
    """Return what a server answers to a first message, with credentials in it or without."""
    message = said(body)
    return codec.encode(
        Message(
            header=Header(
                session_id=session.id,
                msg_id=message.header.msg_id,
                target=message.header.source,
                source=Location(uri=ACCOUNT.url, name="fota"),
                cred=auth.md5_cred(auth.key("fota", "srvsecret1"), b"servernonce-0001")
                if kind != auth.MAC
                else None,
            ),
            commands=(
                Status(
                    cmd_id="1",
                    msg_ref=str(message.header.msg_id),
                    cmd_ref="0",
                    cmd="SyncHdr",
                    chal=auth.challenge(kind, nonce),
                    code=code,
                ),
                Get(cmd_id="2", items=(item("./DevDetail/FwV"),)),
            ),
            final=True,
        ),
        XML,
    )


def test_the_known_answer_for_an_hmac() -> None:
    """The MAC over M6 is the specification's."""
    _, value = mac_header(ACCOUNT, b"clientnonce-0001", wbxml("m6"))
    assert 'username="dev1"' in value
    assert value.endswith("mac=fJNDYyreJjTK9jvflwZvsw==")


def test_a_challenge_may_want_an_hmac() -> None:
    """Asked for one, the client vouches for each message, and wants the same of the server."""
    session = make(kept=nonces())
    first = session.open(by_server=True)
    again = session.receive(reply_of(session, first, code=401, kind=auth.MAC, nonce=b"n1"))
    assert again is not None
    assert said(again).header.cred is None
    ((name, value),) = session.headers
    expected = auth.mac(auth.key("dev1", "devsecret1"), b"n1", again)
    assert (name, auth.read_hmac_header(value).mac) == (auth.HMAC_HEADER, expected)
    answer = reply_of(session, again, code=200, kind=auth.MAC, nonce=b"n2")
    key = auth.key("fota", "srvsecret1")
    mac = auth.write_hmac_header(
        auth.HmacHeader(username="fota", mac=auth.mac(key, b"servernonce-0001", answer))
    )
    third = session.receive(answer, mac)
    assert third is not None
    (status, *_) = said(third).commands
    assert isinstance(status, Status)
    assert status.code == 200
    assert status.chal is not None
    assert status.chal.meta.type == auth.MAC
    assert not is_server_mac(ACCOUNT, answer, mac, (b"another",))
    assert not is_server_mac(ACCOUNT, answer, "nonsense", (b"servernonce-0001",))


def test_a_challenge_may_want_a_password() -> None:
    """Asked for basic credentials, the client shows user and password; that needs no nonce."""
    session = make(kept=nonces())
    first = session.open(by_server=True)
    again = session.receive(reply_of(session, first, code=401, kind=auth.BASIC, nonce=None))
    cred = said(again).header.cred
    assert cred is not None
    assert auth.read_basic(cred.data) == ("dev1", "devsecret1")


# --- packages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"<media><type>a</type><size>x</size><objectURI>u</objectURI></media>",
        b"<media><type>a</type><size>1</size></media>",
        b"<other/>",
        b"<media",
    ],
)
def test_descriptors_that_are_none(body: bytes) -> None:
    """A descriptor without what it must have is refused."""
    with pytest.raises(MalformedError):
        read_descriptor(body)


def test_a_package_may_name_its_version() -> None:
    """Only the first line counts, and only if it is the whole of it."""
    assert version_inside(b"overair-sim version 1.2.3\nrest") == "1.2.3"
    assert version_inside(b"overair-sim version 1.2.3") == ""
    assert version_inside(b"\noverair-sim version 1.2.3\n") == ""
