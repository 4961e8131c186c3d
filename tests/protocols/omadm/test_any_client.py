"""Any client: whatever it says, in whatever order, sessions stay within their rules (oma-dm 5, 8).

Two kinds of client. One answers what it was sent, with anything; it gets far. The other sends any
message at all; it gets everywhere else.
"""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overair.protocols.omadm.decide import ROWS
from overair.protocols.omadm.events import ExecLeaving, Succeeded, Why
from overair.protocols.omadm.events import Failed as FailedEvent
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.omadm.task import Method, Profile, Task
from overair.protocols.syncml import auth
from overair.protocols.syncml.codec import Form, decode, encode
from overair.protocols.syncml.message import (
    Alert,
    Command,
    Exec,
    Get,
    Header,
    Item,
    Location,
    Message,
    Meta,
    Results,
    Status,
)
from overair.protocols.syncml.values import UnencodableError
from tests.protocols.omadm.desk import (
    ADDRESS,
    CLIENT_KEY,
    DEVICE,
    NOW,
    PROFILE,
    ROOT,
    SERVER,
    TASK,
    VERSION,
    WBXML,
    XML,
    Client,
    Desk,
    asked,
    dev_info,
    result,
    target,
)
from tests.protocols.syncml.messages import messages

LIMIT = 12
IN_XML, IN_WBXML = Form(media_type=XML), Form(media_type=WBXML)
FORMS = st.sampled_from([IN_XML, IN_WBXML])
OTHER = {IN_XML: IN_WBXML, IN_WBXML: IN_XML}

often_good = st.sampled_from(
    [200] * 12 + [0, 202, 212, 213, 214, 304, 400, 401, 404, 404, 405, 407, 418, 424, 425, 500]
)
values = st.sampled_from(
    [
        "1.0.0",
        "1.0.0",
        "2.0.0",
        "1.5.0",
        "10",
        "30",
        "40",
        "50",
        "60",
        "100",
        "true",
        "pkg",
        "a/b",
        "",
    ]
)
tasks = st.none() | st.builds(
    replace,
    st.just(TASK),
    executed_at=st.none() | st.just(NOW) | st.just(NOW - timedelta(hours=1)),
    download_only=st.booleans(),
    verify_until=st.none() | st.sampled_from([NOW, NOW + timedelta(hours=1)]),
    in_window=st.sampled_from([True, True, False]),
    data=st.none() | st.just(bytes(5000)),
)
known = st.builds(
    Knowledge,
    fumo_root=st.sampled_from([None, ROOT, "./FUMO"]),
    large_objects=st.sampled_from([None, True, False]),
    downloaded=st.sampled_from(["", "2.0.0", "1.9.0"]),
    inventory_at=st.none() | st.just(NOW),
)
profiles = st.sampled_from([PROFILE, Profile(), *(Profile(method=method) for method in Method)])
own_alerts = st.one_of(
    st.builds(
        Alert,
        cmd_id=st.just(""),
        code=st.sampled_from([0, 1100, 1201, 1222, 1222, 1223, 1224, 1225]),
    ),
    st.builds(
        result,
        st.sampled_from([200, 200, 255, 401, 410, "402 DEFERRED", "x", ""]),
        st.sampled_from(["download", "update", "downloadandupdate", "devicerequest", "other"]),
        st.sampled_from(["c-7f3a", "c-0000", None, ""]),
    ),
)


class Rules:
    """What has to hold after every message of a device's sessions."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.asked: Counter[tuple[str, str]] = Counter()
        self.rows: set[str] = set()

    def hold(self, reply: Message) -> None:
        """Look at a reply and at what is kept."""
        desk = self.desk
        assert desk.outcome is not None
        self.rows.add(desk.row)
        # A lost credential or the next piece repeats a command on purpose.
        fresh = [] if desk.row in {"3", "4"} else asked(reply)
        self.asked.update(fresh)
        assert max(self.asked.values(), default=0) <= 1
        execs = [command for command in reply.commands if isinstance(command, Exec)]
        assert len(execs) <= 1
        if desk.row != "4":
            assert len(desk.of(ExecLeaving)) == len(execs)
        assert all(command.correlator for command in execs)
        if desk.session is not None:
            assert desk.session.messages <= LIMIT
            assert len(desk.outcome.body) <= max(desk.session.max_msg_size, 1400)
            assert not (desk.session.ended and asked(reply))
        if not reply.final:
            # Either the client is to go on, or it is to ask for the rest.
            assert desk.session is not None
            assert not execs
        ends = len(desk.of(Succeeded)) + len(desk.of(FailedEvent))
        assert ends <= 1


def desk_for(task: Task | None, knowledge: Knowledge, profile: Profile) -> Desk:
    """Return a desk with short sessions."""
    server = replace(SERVER, session_messages=LIMIT)
    return Desk(task=task, knowledge=knowledge, profile=profile, server=server)


@given(st.data(), tasks, known, profiles, FORMS)
@settings(max_examples=100, deadline=None)
def test_any_answers(
    data: st.DataObject, task: Task | None, knowledge: Knowledge, profile: Profile, form: Form
) -> None:
    """Whatever a client answers, no command is sent twice, and the session ends in time."""
    desk = desk_for(task, knowledge, profile)
    rules = Rules(desk)
    size = data.draw(st.sampled_from([1400, 1400, 4096, 16384]))
    client = Client(desk, form=form, meta=Meta(max_msg_size=size))
    first = data.draw(st.lists(own_alerts, max_size=2))
    reply = client.begin(*first, final=data.draw(st.sampled_from([True, True, False])))
    rules.hold(reply)
    for _ in range(LIMIT + 2):
        if desk.session is None or data.draw(st.integers(0, 30)) == 0:
            break
        if desk.session.ended and data.draw(st.booleans()):
            break
        if data.draw(st.integers(0, 9)) == 0:
            desk.task = data.draw(tasks)
        answers = {
            target(command): (
                data.draw(often_good),
                data.draw(values) if isinstance(command, Get) else None,
            )
            for command in reply.commands
            if not isinstance(command, Status | Alert)
        }
        commands = client.answers(
            answers,
            header=data.draw(st.sampled_from([212, 212, 212, 200, 401, 407, 0, None])),
            nonce=data.draw(st.none() | st.binary(max_size=4)),
        )
        commands = [_odd(data, command) for command in commands]
        commands += data.draw(st.lists(own_alerts, max_size=1))
        if data.draw(st.integers(0, 9)) == 0:
            commands = data.draw(st.permutations(commands))
        final = data.draw(st.sampled_from([True, True, True, False]))
        client.form = data.draw(st.sampled_from([form, form, form, form, OTHER[form]]))
        reply = client.send(*commands, final=final)
        rules.hold(reply)
    else:
        assert desk.session is None
    assert rules.rows <= {row for row, _ in ROWS} | {"5.5"}


def _odd(data: st.DataObject, command: Command) -> Command:
    """Now and then, send a value in pieces, or of something else."""
    if not isinstance(command, Results) or data.draw(st.integers(0, 5)):
        return command
    (item,) = command.items
    meta = Meta(size=data.draw(st.sampled_from([None, 1, 5, 9_999_999])))
    other = data.draw(st.sampled_from([item.source, Location(uri=VERSION), None]))
    more = data.draw(st.booleans())
    return replace(command, items=(replace(item, source=other, meta=meta, more_data=more),))


@given(st.lists(st.tuples(messages(), st.integers(0, 4), st.booleans()), max_size=5), FORMS)
@settings(max_examples=100, deadline=None)
def test_any_messages(sent: list[tuple[Message, int, bool]], form: Form) -> None:
    """Any message, with credentials or without, in a session or out of it, gets a reply."""
    desk = desk_for(TASK, Knowledge(), Profile())
    for message, number, right in sent:
        header = replace(
            message.header,
            ver_dtd="1.2",
            ver_proto="DM/1.2",
            session_id="B7",
            msg_id=number,
            source=Location(uri=DEVICE, name=message.header.source.name),
        )
        if right:
            nonce = desk.account.nonces.client
            source = Location(uri=DEVICE, name="dev1")
            header = replace(header, source=source, cred=auth.md5_cred(CLIENT_KEY, nonce))
        try:
            body = encode(replace(message, header=header), form)
        except UnencodableError:
            continue
        reply = desk.take(body, form.media_type)
        if reply:
            decode(reply, form.media_type)
        else:
            assert desk.outcome is not None
            assert desk.outcome.status == 403


@given(messages(), FORMS)
@settings(max_examples=100, deadline=None)
def test_any_stranger(message: Message, form: Form) -> None:
    """Whatever a stranger sends, it gets no command, and changes nothing but pending nonces."""
    desk = Desk()
    Client(desk).begin()
    before = desk.session, desk.knowledge, desk.account.nonces.client, desk.account.nonces.server
    try:
        body = encode(replace(message, header=replace(message.header, session_id="B8")), form)
    except UnencodableError:
        return
    reply = desk.take(body, form.media_type)
    after = desk.session, desk.knowledge, desk.account.nonces.client, desk.account.nonces.server
    assert after == before
    assert asked(decode(reply, form.media_type)[0]) == []


@pytest.mark.parametrize("code", [0, 200, 202, 404, 405, 406, 425, 500])
def test_a_client_that_always_says_the_same(code: int) -> None:
    """A client that has one answer for everything is soon let go."""
    for task in (None, TASK):
        for profile in (PROFILE, Profile()):
            desk = Desk(task=task, profile=profile)
            client = Client(desk)
            client.begin()
            for _ in range(6):
                client.answer(default=code)
                if desk.session is not None and desk.session.ended:
                    break
            assert desk.session is not None
            assert desk.session.ended


# What clients do that the specification does not say (oma-dm 19)


def test_refusals_with_odd_values() -> None:
    """A client that refuses with Status 0 until it has our Cred gets it in the first reply."""
    desk = Desk()
    client = Client(desk)
    assert client.begin().header.cred is not None
    assert client.answer(header=0, default=0).header.cred is not None
    assert desk.row == "4"


def test_credentials_every_time() -> None:
    """A client that answers 200 with a Chal gets a Cred in every message, over any nonce."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    for nonce in (b"", b"a", b""):
        reply = client.answer(
            {VERSION: (200, "1.0.0"), f"{ROOT}/State": (200, "10")}, header=200, nonce=nonce
        )
        assert reply.header.cred == auth.md5_cred(auth.key("fota", "srvsecret1"), nonce)
        assert reply.header.source.name == "fota"
    assert desk.row == "6"


def test_accepted_for_one_message_without_a_challenge() -> None:
    """200 without a Chal is taken as 212: there is no nonce to send credentials over."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    assert client.answer(header=200).header.cred is None


def test_statuses_of_odd_clients() -> None:
    """SyncHdr's Status without CmdRef, Results first, many items in one, other spellings."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    items = (
        Item(source=Location(uri="DevDetail/FwV/"), meta=Meta(size=5), data="1.0.0"),
        Item(target=Location(uri=f"{ROOT}/State"), data=" 10 "),
    )
    client.send(
        Results(cmd_id="", msg_ref="1", cmd_ref="4", items=items),
        Status(cmd_id="", msg_ref="1", cmd_ref="", cmd="SyncHdr", code=212),
        Status(cmd_id="", msg_ref="", cmd_ref="4", cmd="Get", code=200),
        Status(cmd_id="", msg_ref="1", cmd_ref="5", cmd="Get", code=200),
    )
    assert desk.row == "17"
    assert desk.knowledge.version == "1.0.0"


def test_results_that_name_their_node_outside() -> None:
    """Results whose item has no node are of the node that they name, or of the Get."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    statuses = [each for each in client.answers({}) if isinstance(each, Status)]
    client.send(
        *statuses,
        Results(cmd_id="", cmd_ref="9", source_ref=VERSION, items=(Item(data="1.0.0"),)),
        Results(cmd_id="", msg_ref="1", cmd_ref="5", items=(Item(data="30"),)),
    )
    assert desk.knowledge.version == "1.0.0"
    assert desk.row == "15"


def test_alerts_before_dev_info() -> None:
    """A result may come before DevInfo and before Alert 1201."""
    desk = Desk(task=replace(TASK, executed_at=NOW))
    header = Header(
        session_id="1",
        msg_id=1,
        target=Location(uri=ADDRESS),
        source=Location(uri=DEVICE, name="dev1"),
        cred=auth.md5_cred(CLIENT_KEY, b"clientnonce-0001"),
    )
    commands = (result(200), dev_info(), Alert(cmd_id="3", code=1201))
    desk.take(encode(Message(header=header, commands=commands, final=True), Form(media_type=XML)))
    assert desk.row == "8"


def test_silence_after_an_end() -> None:
    """A client that says nothing after the end, or comes back with a new session, is served."""
    desk = Desk(task=None)
    for _ in range(3):
        client = Client(desk, session_id="1")
        assert asked(client.begin())
        client.answer()
        assert desk.of(FailedEvent) == []


def test_a_device_that_keeps_its_state() -> None:
    """State 30 over a restart, and 10 before the download starts, are waited for."""
    reasons: list[Why] = []
    for state, after, row in (
        ("30", timedelta(days=1), "15"),
        ("10", timedelta(minutes=15), "15"),
        ("10", timedelta(minutes=16), "13"),
    ):
        desk = Desk(task=replace(TASK, executed_at=NOW - after))
        client = Client(desk)
        client.begin()
        client.answer({VERSION: (200, "1.0.0"), f"{ROOT}/State": (200, state)})
        assert desk.row == row
        reasons += [each.why for each in desk.of(FailedEvent)]
    assert reasons == [Why.REPORT_LOST]
