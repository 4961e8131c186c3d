"""Packages, Statuses and sizes: what is answered, and how much goes into a message (oma-dm 5)."""

import base64
from dataclasses import replace

import pytest

from overair.protocols.omadm.events import (
    Audit,
    AuditKind,
    DevInfoRead,
    ExecLeaving,
    Failed,
    Reported,
    Step,
    VersionRead,
    Why,
)
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.syncml.codec import Form, decode
from overair.protocols.syncml.message import (
    Add,
    Alert,
    Atomic,
    Command,
    Copy,
    Delete,
    Exec,
    Get,
    Item,
    Location,
    Message,
    Meta,
    Replace,
    Results,
    Sequence,
    Status,
    Unsupported,
)
from tests.protocols.omadm.desk import (
    NOW,
    PROFILE,
    ROOT,
    STATE,
    TASK,
    VERSION,
    WBXML,
    XML,
    Client,
    Desk,
    alerts,
    asked,
    codes,
    dev_info,
    result,
    target,
)

SHOWS_OLD = {VERSION: (200, "1.0.0"), STATE: (200, "10")}
FORMS = pytest.mark.parametrize("form", [Form(media_type=XML), Form(media_type=WBXML)])


def item(uri: str, data: str | None = None, **more: object) -> Item:
    """Return an item about a node."""
    return Item(source=Location(uri=uri), data=data, **more)  # type: ignore[arg-type] # its own fields


# Statuses (oma-dm 5.1, 5.2)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (Alert(cmd_id="7", code=1200), 200),
        (Alert(cmd_id="7", code=1224), 200),
        (Alert(cmd_id="7", code=1225), 200),
        (Alert(cmd_id="7", code=1100), 406),
        (Alert(cmd_id="7", code=0), 412),
        (Alert(cmd_id="7", code=1226), 412),
        (Alert(cmd_id="7", code=1226, items=(Item(data="1"),)), 200),
        (Alert(cmd_id="7", code=1226, items=(item("./x", "1", meta=Meta(type="org.x")),)), 200),
        (Replace(cmd_id="7", items=(item("./DevInfo/Ext/x", ""),)), 200),
        (Replace(cmd_id="7", items=(item("./Vendor/x", "1"),)), 405),
        (Replace(cmd_id="7"), 412),
        (Get(cmd_id="7", items=(item("./x"),)), 405),
        (Add(cmd_id="7"), 405),
        (Copy(cmd_id="7"), 405),
        (Delete(cmd_id="7"), 405),
        (Exec(cmd_id="7"), 405),
        (Atomic(cmd_id="7", commands=(Get(cmd_id="8"),)), 405),
        (Sequence(cmd_id="7"), 405),
        (Unsupported(cmd_id="7", name="Put"), 501),
    ],
)
def test_every_command_gets_one_status(command: Command, code: int) -> None:
    """Each command of a client is answered once, and those that it may not send are refused."""
    reply = Client(Desk()).begin(command)
    statuses = [each for each in reply.commands if isinstance(each, Status)]
    assert [(each.cmd_ref, each.code) for each in statuses[3:]] == [("7", code)]
    assert [each.cmd_ref for each in statuses[:3]] == ["0", "1", "2"]
    assert asked(reply)


def test_statuses_in_the_order_received() -> None:
    """Statuses stand in the order of their commands, SyncHdr first; ids may be there twice."""
    client = Client(Desk())
    reply = client.begin(
        Get(cmd_id="1"), Alert(cmd_id="1", code=1224), Unsupported(cmd_id="", name="Map")
    )
    assert codes(reply) == [
        ("SyncHdr", 212),
        ("Alert", 200),
        ("Replace", 200),
        ("Get", 405),
        ("Alert", 200),
        ("Map", 501),
    ]
    assert [command.cmd_id for command in reply.commands] == [
        str(number) for number in range(1, len(reply.commands) + 1)
    ]


def test_a_command_without_an_id() -> None:
    """A command without CmdID is answered 412."""
    client = Client(Desk())
    client.begin()
    reply = decode(Desk().take(client.body.replace(b"<CmdID>1</CmdID>", b"")), XML)[0]
    assert codes(reply) == [("SyncHdr", 212), ("Alert", 412), ("Replace", 200)]


def test_no_response_wanted() -> None:
    """NoResp on a command or on the header suppresses its Status."""
    desk = Desk()
    client = Client(desk)
    reply = client.begin(Alert(cmd_id="", code=1224, no_resp=True))
    assert len(codes(reply)) == 3
    reply = client.send(*client.answers(SHOWS_OLD), header_no_resp=True)
    assert codes(reply) == []
    assert asked(reply)


def test_no_response_wanted_by_a_stranger() -> None:
    """Who is not let in gets a Status and a Chal all the same."""
    reply = Client(Desk()).send(Alert(cmd_id="", code=1201), header_no_resp=True)
    assert codes(reply)[0] == ("SyncHdr", 407)


def test_no_status_for_a_status() -> None:
    """Statuses and Results that are well are not answered."""
    client = Client(Desk())
    client.begin()
    assert codes(client.answer(SHOWS_OLD)) == [("SyncHdr", 212)]


def test_statuses_that_nobody_asked_for() -> None:
    """A Status or Results for a command that was not sent, or was before, is ignored."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    stray: list[Command] = [
        Status(cmd_id="", msg_ref="1", cmd_ref="99", cmd="Get", code=200),
        Status(cmd_id="", msg_ref="7", cmd_ref="4", cmd="Get", code=500),
        Results(cmd_id="", msg_ref="9", cmd_ref="9", items=(item("./other", "9"),)),
        Results(cmd_id="", msg_ref="9", cmd_ref="9", items=(Item(data="9"),)),
    ]
    client.send(*stray, *client.answers(SHOWS_OLD))
    assert desk.of(VersionRead) == [VersionRead(version="1.0.0")]
    assert desk.row == "17"


def test_results_without_a_status() -> None:
    """A Get without a Status has failed with 500, whatever its Results say."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    client.answer({VERSION: (0, "2.0.0"), STATE: (200, "10")})
    assert not desk.of(VersionRead)
    assert desk.row == "17"


def test_results_of_a_client_that_refused_us() -> None:
    """What a client says that did not believe our credentials does not exist."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    client.answer(SHOWS_OLD, header=0)
    assert desk.events == []
    assert desk.row == "4"
    # Nor is the rest of what it began to say waited for.
    reply = client.answer({STATE: (200, "10")}, chunk("1.", more=True, size=5), header=401)
    assert (desk.row, codes(reply), alerts(reply)) == ("4", [("SyncHdr", 212)], [])
    assert asked(reply) == [("Get", VERSION), ("Get", STATE)]
    assert desk.session is not None
    assert desk.session.incoming is None


def test_a_client_that_does_not_say_whether_it_believes_us() -> None:
    """Without a Status for SyncHdr our credentials were refused."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    assert asked(client.answer(SHOWS_OLD, header=None)) == [("Get", VERSION), ("Get", STATE)]
    client.answer(SHOWS_OLD)
    assert desk.row == "17"
    # Once believed, it need not say so again.
    client.answer(header=None)
    assert desk.row == "18"


def test_a_client_that_believes_us_no_more() -> None:
    """A 401 later in the session wants our credentials again."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    assert client.answer(SHOWS_OLD, nonce=b"next").header.cred is None
    reply = client.answer(header=407, nonce=b"late", default=407)
    assert desk.row == "4"
    assert asked(reply) == [("Replace", f"{ROOT}/DownloadAndUpdate/PkgURL")]
    assert reply.header.cred is not None
    assert desk.account.nonces.server == b"next"
    assert asked(client.answer()) == [("Exec", f"{ROOT}/DownloadAndUpdate")]
    # It has led to acceptance.
    assert desk.account.nonces.server == b"late"


def test_a_refusal_before_anything_was_asked() -> None:
    """A client that refuses us while its package is open gets our credentials again, and goes on."""
    desk = Desk()
    client = Client(desk)
    client.begin(final=False)
    reply = client.answer(header=401, nonce=b"fresh")
    assert asked(reply) == [("Get", VERSION), ("Get", STATE)]
    assert reply.header.cred is not None
    client.answer(SHOWS_OLD)
    assert desk.row == "17"


@pytest.mark.parametrize("nonce", [b"", b"abc", b"YWJj", bytes(range(256))])
def test_any_nonce_of_the_client(nonce: bytes) -> None:
    """The client's nonce is taken whatever it is, decoded once."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    client.answer(SHOWS_OLD, nonce=nonce)
    assert desk.account.nonces.server == nonce


# Packages of several messages (oma-dm 5.3)


def test_package_1_in_pieces() -> None:
    """A package 1 of two messages is answered by Statuses and 1222, then by the first commands."""
    desk = Desk()
    client = Client(desk)
    reply = client.begin(final=False)
    assert codes(reply) == [("SyncHdr", 212), ("Alert", 200), ("Replace", 200)]
    assert alerts(reply) == [1222]
    assert not reply.final
    assert desk.of(DevInfoRead)
    reply = client.answer({}, result(200))
    assert codes(reply) == [("SyncHdr", 212), ("Alert", 200)]
    assert asked(reply) == [("Get", VERSION)]


def test_results_in_two_messages() -> None:
    """Statuses and Results may come in different messages of a package."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    header, one, two, value, state = client.answers(SHOWS_OLD)
    assert alerts(client.send(header, value, state, final=False)) == [1222]
    assert not desk.of(VersionRead)
    client.send(*client.answers({}), one, two)
    assert desk.of(VersionRead) == [VersionRead(version="1.0.0")]
    assert desk.row == "17"


def test_an_abort_in_an_open_package() -> None:
    """A client may abort in the middle of its package."""
    desk = Desk()
    client = Client(desk)
    client.begin(final=False)
    assert alerts(client.send(Alert(cmd_id="", code=1223), final=False)) == []
    assert desk.row == "5"


def test_a_client_that_asks_for_more() -> None:
    """Alert 1222 with nothing left to send gets its Status, and the session goes on."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    reply = client.answer(SHOWS_OLD, Alert(cmd_id="", code=1222), final=False)
    assert codes(reply)[-1] == ("Alert", 200)
    assert desk.row == "17"


def test_a_message_after_the_end() -> None:
    """A message after the end is answered with Statuses; a result in it is taken."""
    desk = Desk(task=None)
    client = Client(desk)
    client.begin()
    client.answer(SHOWS_OLD)
    reply = client.answer({}, result(200))
    assert codes(reply) == [("SyncHdr", 212), ("Alert", 200)]
    assert asked(reply) == []
    assert desk.of(Reported)
    assert [type(event) for event in desk.events] == [Reported]


# Sizes (oma-dm 5.4)


@FORMS
@pytest.mark.parametrize("size", [1000, 1200, 2000, 5000])
def test_messages_fit(form: Form, size: int) -> None:
    """However many Statuses are owed and commands wanted, no message is bigger than it may be."""
    desk = Desk(task=None, profile=replace(PROFILE, fumo_root=""))
    client = Client(desk, form=form, meta=Meta(max_msg_size=size))
    reply = client.begin(*(Alert(cmd_id="", code=1224) for _ in range(60)))
    statuses: list[tuple[str, int]] = []
    gets: list[tuple[str, str]] = []
    while not (reply.final and not asked(reply)):
        assert desk.outcome is not None
        assert len(desk.outcome.body) <= size
        assert reply.final or not asked(reply)
        statuses += [each for each in codes(reply) if each[0] == "Alert"]
        gets += asked(reply)
        wants = () if reply.final else (Alert(cmd_id="", code=1222),)
        reply = client.answer(SHOWS_OLD, *wants, default=404)
    assert len(statuses) >= 61
    assert len(gets) == len(set(gets)) == 9


def test_a_client_that_takes_next_to_nothing() -> None:
    """Little by little things go on even with a client that claims to take less than that."""
    desk = Desk()
    client = Client(desk, meta=Meta(max_msg_size=1))
    reply = client.begin()
    rows = [desk.row]
    while not desk.session or not desk.session.ended:
        assert len(reply.commands) <= 3
        wants = () if reply.final else (Alert(cmd_id="", code=1222),)
        reply = client.answer(SHOWS_OLD, *wants)
        rows.append(desk.row)
    assert rows[-3:] == ["17", "18", "6"]


def test_more_commands_than_anybody_needs() -> None:
    """A client that is owed hundreds of Statuses is let go."""
    desk = Desk()
    client = Client(desk)
    client.begin(*(Alert(cmd_id="", code=1224) for _ in range(300)), final=False)
    assert alerts(client.send(final=False)) == [1222]
    reply = client.send(*(Alert(cmd_id="", code=1224) for _ in range(500)))
    assert alerts(reply) == [1223]
    assert desk.of(Audit) == [Audit(kind=AuditKind.TOO_MANY_COMMANDS)]
    assert desk.session is not None
    assert desk.session.ended
    assert desk.session.owed == ()


def test_names_that_only_one_form_can_hold() -> None:
    """What WBXML can hold and XML cannot does not go from one into the other."""
    desk = Desk(profile=replace(PROFILE, fumo_root=""))
    client = Client(desk, form=Form(media_type=WBXML))
    client.begin(Alert(cmd_id="7\x01", code=1224), final=False)
    client.answer(final=False)
    client.form = Form(media_type=XML)
    client.answer()
    client.form = Form(media_type=WBXML)
    statuses = client.answers({"./FwUpdate": (200, "a\x01/pkg"), VERSION: (200, "\x01")})
    client.send(*statuses)
    assert client.last is not None
    assert asked(client.last) == [("Get", STATE)]
    assert not desk.of(VersionRead)


def test_sizes_that_nobody_told() -> None:
    """Without a MaxMsgSize it is 4096, and the last one told stays."""
    desk = Desk()
    client = Client(desk, meta=Meta())
    client.begin()
    assert desk.session is not None
    assert desk.session.max_msg_size == 4096
    client.meta = Meta(max_msg_size=3000, max_obj_size=5000)
    client.answer(SHOWS_OLD)
    client.meta = Meta()
    client.answer()
    assert desk.session is not None
    assert (desk.session.max_msg_size, desk.session.max_obj_size) == (3000, 5000)


# Large objects to the client

PACKAGE = bytes(range(256)) * 20
DATA = f"{ROOT}/Update/PkgData"
NEXT = Alert(cmd_id="", code=1222)


def sender(form: Form | None = None, size: int = 2000, **knowledge: object) -> tuple[Desk, Client]:
    """Return a client that was asked for everything, and is to get the package next."""
    known = Knowledge(large_objects=True) if not knowledge else Knowledge(**knowledge)  # type: ignore[arg-type] # its own fields
    desk = Desk(task=replace(TASK, data=PACKAGE), knowledge=known)
    client = Client(desk, form=form, meta=Meta(max_msg_size=size))
    client.begin()
    return desk, client


def piece_of(reply: Message) -> tuple[str | bytes, bool, int | None]:
    """Return the data of a piece, whether more follows, and the size that it tells."""
    (command,) = (each for each in reply.commands if isinstance(each, Replace))
    (each,) = command.items
    assert target(command) == DATA
    assert each.meta is not None
    assert each.data is not None
    return each.data, each.more_data, each.meta.size


@FORMS
def test_a_package_in_pieces(form: Form) -> None:
    """A package goes in pieces that fit, the first with the size of the whole, then is executed."""
    desk, client = sender(form)
    reply = client.answer(SHOWS_OLD)
    pieces: list[str | bytes] = []
    while True:
        assert desk.outcome is not None
        assert len(desk.outcome.body) <= 2000
        data, more, size = piece_of(reply)
        assert (size is not None) is (not pieces)
        assert reply.final is not more
        pieces.append(data)
        if not more:
            break
        reply = client.answer({DATA: (213, None)}, NEXT, final=len(pieces) % 2 == 0)
        assert codes(reply) == [("SyncHdr", 212), ("Alert", 200)]
    sent = b"".join(piece if isinstance(piece, bytes) else piece.encode() for piece in pieces)
    assert sent == (PACKAGE if form.media_type.is_wbxml else base64.b64encode(PACKAGE))
    assert len(pieces) > 2
    assert asked(client.answer()) == [("Exec", f"{ROOT}/Update")]
    assert desk.of(ExecLeaving) == [ExecLeaving(correlator="c-7f3a", step=Step.UPDATE)]


def test_the_size_that_is_told() -> None:
    """The size is of what stands in Data: base64 text in XML, raw bytes in WBXML."""
    sizes = [
        piece_of(sender(Form(media_type=kind))[1].answer(SHOWS_OLD))[2] for kind in (XML, WBXML)
    ]
    assert sizes == [len(base64.b64encode(PACKAGE)), len(PACKAGE)]


def test_a_package_in_one_message() -> None:
    """A package that fits goes whole, without a size."""
    desk, client = sender(size=16384)
    reply = client.answer(SHOWS_OLD)
    assert piece_of(reply)[1:] == (False, None)
    assert reply.final
    client.answer()
    assert desk.row == "18"


def test_a_client_that_only_wants_the_next() -> None:
    """Status 213 alone asks for the next piece, and Alert 1222 alone says that it has the last."""
    _, client = sender()
    client.answer(SHOWS_OLD)
    piece_of(client.answer({DATA: (213, None)}))
    piece_of(client.answer({DATA: (0, None)}, NEXT))


@pytest.mark.parametrize("code", [413, 416, 420, 424, 500, 0])
def test_a_piece_that_is_refused(code: int) -> None:
    """A piece that the client does not take fails the attempt."""
    desk, client = sender()
    client.answer(SHOWS_OLD)
    reply = client.answer({DATA: (code, None)})
    assert asked(reply) == []
    assert [(each.why, each.code) for each in desk.of(Failed)] == [(Why.REFUSED, code or 500)]


def test_a_last_piece_that_does_not_add_up() -> None:
    """The status of the last piece is the object's."""
    desk, client = sender(size=16384)
    client.answer(SHOWS_OLD)
    client.answer({DATA: (424, None)})
    assert [(each.why, each.code) for each in desk.of(Failed)] == [(Why.REFUSED, 424)]


def test_a_package_that_broke_off() -> None:
    """Alert 1225 gets its Status and the object from its first piece, once."""
    desk, client = sender()
    first, _, whole = piece_of(client.answer(SHOWS_OLD))
    client.answer({DATA: (213, None)}, NEXT)
    reply = client.answer({DATA: (213, None)}, Alert(cmd_id="", code=1225))
    assert codes(reply)[-1] == ("Alert", 200)
    again, more, size = piece_of(reply)
    assert isinstance(first, str)
    assert isinstance(again, str)
    assert first.startswith(again)
    assert (more, size) == (True, whole)
    client.answer({DATA: (213, None)}, NEXT)
    client.answer({DATA: (213, None)}, Alert(cmd_id="", code=1225))
    assert [each.why for each in desk.of(Failed)] == [Why.REFUSED]


def test_a_piece_for_a_client_that_refuses_us() -> None:
    """A piece that was refused with our credentials goes again, the same one."""
    _, client = sender()
    first = client.answer(SHOWS_OLD)
    second = piece_of(client.answer({DATA: (213, None)}, NEXT))
    again = client.answer({DATA: (401, None)}, header=401, nonce=b"fresh")
    assert again.header.cred is not None
    data, _, size = piece_of(again)
    assert size is None
    assert isinstance(data, str)
    assert isinstance(second[0], str)
    # Credentials take some of the room.
    assert second[0].startswith(data)
    assert data != piece_of(first)[0]


def test_a_package_whose_attempt_is_over() -> None:
    """An attempt that ends while its package is under way aborts the session."""
    desk, client = sender()
    client.answer(SHOWS_OLD)
    desk.task = None
    assert alerts(client.answer({DATA: (213, None)}, NEXT)) == [1223]
    assert desk.row == "3"


def test_a_client_that_aborts_a_package() -> None:
    """Alert 1223 ends the session, also between pieces."""
    desk, client = sender()
    client.answer(SHOWS_OLD)
    client.answer({DATA: (213, None)}, Alert(cmd_id="", code=1223))
    assert desk.row == "5"


@pytest.mark.parametrize(("known", "most"), [(False, None), (None, None), (True, len(PACKAGE) - 1)])
def test_a_client_that_takes_no_large_objects(known: bool | None, most: int | None) -> None:
    """Without LrgObj, or over its MaxObjSize, a package is downloaded in the usual way."""
    desk = Desk(task=replace(TASK, data=PACKAGE), knowledge=Knowledge(large_objects=known))
    client = Client(desk, meta=Meta(max_msg_size=2000, max_obj_size=most))
    client.begin()
    lrg_obj = "./DevDetail/LrgObj"
    assert (("Get", lrg_obj) in asked(client.last or client.begin())) is (known is None)
    reply = client.answer({**SHOWS_OLD, lrg_obj: (404, None)})
    assert asked(reply) == [("Replace", f"{ROOT}/DownloadAndUpdate/PkgURL")]


def test_a_node_for_data_that_does_not_exist() -> None:
    """A device without PkgData has refused the package."""
    desk, client = sender(size=16384)
    client.answer(SHOWS_OLD)
    client.answer({DATA: (404, None)})
    assert [(each.why, each.code) for each in desk.of(Failed)] == [(Why.REFUSED, 404)]


def test_statuses_before_a_piece() -> None:
    """Where Statuses leave no room for a piece, it goes with the message that follows them."""
    _, client = sender(size=1400)
    assert piece_of(client.answer(SHOWS_OLD))[1]
    many = (Alert(cmd_id="", code=1224) for _ in range(30))
    reply = client.answer({DATA: (213, None)}, *many, NEXT)
    waited = 0
    while not asked(reply):
        assert not reply.final
        reply = client.answer({}, NEXT)
        waited += 1
    data, more, size = piece_of(reply)
    assert data
    assert more
    assert size is None
    assert waited


# Large objects from the client


def chunk(data: str, *, more: bool, size: int | None = None, uri: str = VERSION) -> Results:
    """Return a piece of the version."""
    return Results(
        cmd_id="",
        msg_ref="1",
        cmd_ref="4",
        items=(item(uri, data, meta=Meta(size=size), more_data=more),),
    )


def test_results_in_pieces() -> None:
    """A piece gets 213 and Alert 1222, and the joined value counts when all is there."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    statuses = client.answers({VERSION: (200, None), STATE: (200, "10")})
    reply = client.send(*statuses, chunk("1.", more=True, size=5))
    assert codes(reply) == [("SyncHdr", 212), ("Results", 213)]
    assert alerts(reply) == [1222]
    assert asked(reply) == []
    reply = client.send(*client.answers({}), chunk("0.", more=True))
    assert codes(reply) == [("SyncHdr", 212), ("Results", 213)]
    client.send(*client.answers({}), chunk("0", more=False))
    assert desk.of(VersionRead) == [VersionRead(version="1.0.0")]
    assert desk.row == "17"


def test_pieces_that_do_not_add_up() -> None:
    """A size that is not that of the whole is answered 424, and there is no value."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    statuses = client.answers({VERSION: (200, None), STATE: (200, "10")})
    client.send(*statuses, chunk("1.0", more=True, size=9))
    reply = client.send(*client.answers({}), chunk(".0", more=False))
    assert ("Results", 424) in codes(reply)
    assert not desk.of(VersionRead)
    assert desk.of(Audit) == [Audit(kind=AuditKind.SIZE_MISMATCH, text="Results")]


@pytest.mark.parametrize("size", [None, 2_000_000])
def test_objects_that_are_too_big(size: int | None) -> None:
    """More than MaxObjSize, said or sent, is answered 416."""
    desk = Desk()
    desk.server = replace(desk.server, max_obj_size=1000)
    client = Client(desk)
    client.begin()
    statuses = client.answers({VERSION: (200, None), STATE: (200, "10")})
    data = "x" * 1001 if size is None else "x"
    reply = client.send(*statuses, chunk(data, more=True, size=size))
    assert ("Results", 416) in codes(reply)
    assert desk.of(Audit) == [Audit(kind=AuditKind.OBJECT_TOO_BIG, text="Results")]
    assert desk.session is not None
    assert desk.session.incoming is None


@pytest.mark.parametrize("other", [[], [chunk("x", more=False, uri=STATE)], [dev_info()]])
def test_pieces_that_break_off(other: list[Command]) -> None:
    """A message without the next piece loses the object: Alert 1225, and the session goes on."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    statuses = client.answers({VERSION: (200, None), STATE: (200, "10")})
    client.send(*statuses, chunk("1.", more=True, size=5))
    reply = client.send(*client.answers({}), *other)
    assert alerts(reply) == [1225]
    assert desk.session is not None
    assert desk.session.incoming is None
    assert desk.row == "17"


def test_a_result_in_pieces() -> None:
    """Alerts and DevInfo may come in pieces, too."""
    desk = Desk(task=replace(TASK, executed_at=NOW))
    client = Client(desk)
    whole = result("2")
    (first,) = whole.items
    reply = client.begin(replace(whole, items=(replace(first, more_data=True),)))
    assert codes(reply)[-1] == ("Alert", 213)
    assert not desk.of(Reported)
    client.answer({}, replace(whole, items=(replace(first, data="00"),)))
    assert [each.code for each in desk.of(Reported)] == [200]
    make = item("./DevInfo/Man", "Ac", more_data=True)
    client = Client(desk)
    reply = client.begin(Replace(cmd_id="", items=(make,)))
    assert codes(reply)[-1] == ("Replace", 213)
    client.answer({}, Replace(cmd_id="", items=(replace(make, data="me", more_data=False),)))
    assert [each.make for each in desk.of(DevInfoRead)] == ["Acme"]
