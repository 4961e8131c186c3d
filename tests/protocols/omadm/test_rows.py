"""The decision table, row by row: each test is named by the row that it holds (oma-dm 8).

The rows are reached through whole messages. What is not a row of its own (probing, the two ways of
updating) is in ``test_roots`` and ``test_ways``.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from overair.protocols.omadm.decide import ROWS, Situation, decide
from overair.protocols.omadm.events import (
    Audit,
    AuditKind,
    Ended,
    Event,
    ExecAccepted,
    ExecLeaving,
    ExecRefused,
    Failed,
    Meaning,
    Reported,
    Step,
    Succeeded,
    UpdateAskedFor,
    VersionAwaited,
    Why,
)
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.omadm.session import Done, Report, Session, Verb
from overair.protocols.omadm.task import Task
from overair.protocols.syncml import auth
from overair.protocols.syncml.fumo import AlertType
from overair.protocols.syncml.message import Alert, Exec, Message
from tests.protocols.omadm.desk import (
    NOW,
    PROFILE,
    ROOT,
    SERVER,
    STATE,
    TASK,
    VERSION,
    Client,
    Desk,
    alerts,
    asked,
    codes,
    dev_info,
    result,
)

URL = f"{ROOT}/DownloadAndUpdate/PkgURL"
EXEC = f"{ROOT}/DownloadAndUpdate"
UPDATE = f"{ROOT}/Update"
INVENTORY_TODAY = Knowledge(inventory_at=NOW)
REPORT = Report(correlator="c-7f3a", kind=AlertType.DOWNLOAD, meaning=Meaning.DOWNLOADED)
SHOWS_OLD = {VERSION: (200, "1.0.0"), STATE: (200, "10")}


def shows(version: str | None, state: int | None) -> dict[str, tuple[int, str | None]]:
    """Return the answers of a device that shows this; None: it does not."""
    return {
        VERSION: (404, None) if version is None else (200, version),
        STATE: (404, None) if state is None else (200, str(state)),
    }


def asked_device(desk: Desk, answers: Mapping[str, tuple[int, str | None]]) -> Message:
    """Play packages 1 to 3 and return package 4."""
    client = Client(desk)
    client.begin()
    return client.answer(answers)


def at_exec(desk: Desk) -> Client:
    """Play a session up to the Exec."""
    client = Client(desk)
    client.begin()
    client.answer(SHOWS_OLD)
    assert asked(client.answer()) == [("Exec", EXEC)]
    return client


def is_end(reply: Message) -> bool:
    """Tell whether a reply is Statuses and Final only."""
    return reply.final and not asked(reply) and not alerts(reply)


def executed(**changes: object) -> Task:
    """Return an attempt whose Exec was accepted a minute ago."""
    fields: dict[str, object] = {"executed_at": NOW - timedelta(minutes=1)}
    return replace(TASK, **{**fields, **changes})  # type: ignore[arg-type] # its own fields


def test_row_1() -> None:
    """A client that is not authenticated gets one status for everything, a Chal, no commands."""
    desk = Desk()
    reply = Client(desk).send(Alert(cmd_id="", code=1201), dev_info(), name="dev1")
    assert desk.row == "1"
    assert codes(reply) == [("SyncHdr", 407), ("Alert", 407), ("Replace", 407)]
    assert is_end(reply)
    assert desk.session is None


def test_row_2() -> None:
    """While the client's package is open it gets Alert 1222, and what it answered is kept."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    first, *others = client.answers(SHOWS_OLD)
    reply = client.send(first, others[0], final=False)
    assert desk.row == "2"
    assert alerts(reply) == [1222]
    assert not reply.final
    assert asked(reply) == []
    reply = client.send(*client.answers({}), *others[1:])
    assert desk.row == "17"


def test_row_3() -> None:
    """A client that wants the next piece of a package gets it."""
    desk = Desk(task=replace(TASK, data=bytes(4000)), knowledge=Knowledge(large_objects=True))
    client = Client(desk)
    client.meta = replace(client.meta, max_msg_size=2000)
    client.begin()
    client.answer(SHOWS_OLD)
    client.answer({f"{UPDATE}/PkgData": (213, None)}, Alert(cmd_id="", code=1222))
    assert desk.row == "3"


def test_row_4() -> None:
    """A client that refuses our credentials gets the same commands twice more, then the end."""
    desk = Desk()
    client = Client(desk)
    first = asked(client.begin())
    for number in (1, 2):
        reply = client.answer(header=401, nonce=b"try %d" % number, default=401)
        assert desk.row == "4"
        assert asked(reply) == first
        assert reply.header.cred == auth.md5_cred(
            auth.key("fota", "srvsecret1"), b"try %d" % number
        )
    reply = client.answer(header=401, nonce=b"try 3", default=401)
    assert is_end(reply)
    assert desk.of(Audit) == [Audit(kind=AuditKind.SERVER_REFUSED)]
    assert desk.account.nonces.server == b"servernonce-0001"
    assert not desk.of(Failed)


def test_row_4_of_an_exec() -> None:
    """An Exec that a client refused with our credentials was not done."""
    desk = Desk()
    client = at_exec(desk)
    for _ in range(2):
        assert asked(client.answer(header=401, nonce=b"n", default=401)) == [("Exec", EXEC)]
        # It is on record since it first left.
        assert not desk.of(ExecLeaving)
    client.answer(header=401, nonce=b"n", default=401)
    assert [(event.code, event.why) for event in desk.of(ExecRefused)] == [(401, Why.REFUSED)]


@pytest.mark.parametrize("task", [None, replace(TASK, correlator="c-next")])
def test_row_4_of_an_attempt_that_is_over(task: Task | None) -> None:
    """Commands of an attempt that is over by now are not sent again."""
    desk = Desk()
    client = at_exec(desk)
    desk.task = task
    assert is_end(client.answer(header=401, nonce=b"n", default=401))
    assert desk.row == "4"


def test_row_5() -> None:
    """A client that aborts gets its Status and the end; the attempt stays as it was."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    reply = client.answer(SHOWS_OLD, Alert(cmd_id="", code=1223))
    assert desk.row == "5"
    assert codes(reply)[-1] == ("Alert", 200)
    assert is_end(reply)
    assert not desk.of(Failed)


@pytest.mark.parametrize("code", [200, 202])
def test_row_6(code: int) -> None:
    """An Exec that is accepted ends the session: the report comes later."""
    desk = Desk()
    client = at_exec(desk)
    assert is_end(client.answer({EXEC: (code, None)}))
    assert desk.row == "6"
    accepted = ExecAccepted(correlator="c-7f3a", step=Step.DOWNLOAD_AND_UPDATE, code=code)
    assert desk.events == [accepted, Ended(session_id="B7", row="6")]


@pytest.mark.parametrize(
    ("code", "why"),
    [(304, Why.DECLINED), (405, Why.REFUSED), (215, Why.REFUSED), (214, Why.REFUSED)],
)
def test_row_7(code: int, why: Why) -> None:
    """An Exec that is answered otherwise has failed with that status; 304 is a user's no."""
    desk = Desk()
    client = at_exec(desk)
    assert is_end(client.answer({EXEC: (code, None)}))
    assert desk.row == "7"
    (refused,) = desk.of(ExecRefused)
    assert (refused.correlator, refused.code, refused.why) == ("c-7f3a", code, why)


def test_row_7_without_a_status() -> None:
    """An Exec that is not answered at all counts as 500."""
    desk = Desk()
    at_exec(desk).answer({EXEC: (0, None)})
    assert desk.row == "7"
    assert [refused.code for refused in desk.of(ExecRefused)] == [500]


def _report(desk: Desk, *args: object, **kwargs: object) -> Client:
    desk.task = replace(TASK, executed_at=NOW - timedelta(hours=1))
    client = Client(desk, session_id="1A2")
    client.begin(result(*args, **kwargs))  # type: ignore[arg-type] # passed on
    return client


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, "2.0.0"), Succeeded(correlator="c-7f3a", version="2.0.0")),
        ((405, None), Succeeded(correlator="c-7f3a", version=None)),
        ((200, "1.0.0"), VersionAwaited(correlator="c-7f3a", version="1.0.0")),
        (
            (200, "1.5.0"),
            Failed(correlator="c-7f3a", why=Why.UNEXPECTED_VERSION, text="runs 1.5.0"),
        ),
    ],
)
def test_row_8(answer: tuple[int, str | None], expected: Event) -> None:
    """A session that carried a result reads the version once, compares, and ends."""
    desk = Desk()
    client = _report(desk, 200)
    assert client.last is not None
    assert asked(client.last) == [("Get", VERSION)]
    reply = client.answer({VERSION: answer})
    assert desk.row == "8"
    assert is_end(reply)
    assert expected in desk.events


def test_row_8_after_the_grace() -> None:
    """A success that is reported again, with the old version after its grace, has failed."""
    desk = Desk()
    client = _report(desk, 200)
    desk.task = replace(executed(), verify_until=NOW)
    client.answer({VERSION: (200, "1.0.0")})
    assert [failed.why for failed in desk.of(Failed)] == [Why.VERSION_UNCHANGED]


def test_row_8_after_a_download() -> None:
    """After a download's success the same session executes Update, and nothing else."""
    desk = Desk()
    desk.task = replace(TASK, executed_at=NOW, download_only=True)
    client = Client(desk, session_id="1A2")
    reply = client.begin(result(200, "download"))
    assert desk.row == "8"
    assert asked(reply) == [("Exec", UPDATE)]
    exec_ = reply.commands[-1]
    assert isinstance(exec_, Exec)
    # The same attempt's next step.
    assert exec_.correlator == "c-7f3a"
    assert desk.of(ExecLeaving) == [ExecLeaving(correlator="c-7f3a", step=Step.UPDATE)]
    assert is_end(client.answer(default=202))
    assert desk.row == "6"


def test_row_8_without_a_retry() -> None:
    """A failure is taken, the version is read, and nothing is executed, whatever is to be done."""
    desk = Desk()
    client = _report(desk, 410)
    assert [reported.code for reported in desk.of(Reported)] == [410]
    # As if the engine had a next attempt at once.
    desk.task = replace(TASK, correlator="c-next")
    assert is_end(client.answer({VERSION: (200, "1.0.0")}))
    assert not desk.of(ExecLeaving)


def test_row_8_without_a_correlator() -> None:
    """A result without a correlator is the outstanding attempt's."""
    desk = Desk()
    client = _report(desk, 200, correlator=None)
    client.answer({VERSION: (200, "2.0.0")})
    assert desk.of(Succeeded)


def test_row_8_of_progress() -> None:
    """A 25x is no end; with the target version seen it is."""
    desk = Desk()
    client = _report(desk, 255)
    client.answer({VERSION: (200, "1.0.0")})
    assert [type(event) for event in desk.events[1:]] == [Ended]
    client = _report(desk, 255)
    client.answer({VERSION: (200, "2.0.0")})
    assert desk.of(Succeeded)


def test_row_9() -> None:
    """With nothing to do the version is read, once a day the whole inventory, and that is all."""
    desk = Desk(task=None)
    client = Client(desk)
    whole = ["FwV", "SwV", "HwV", "LrgObj"]
    reply = client.begin()
    assert desk.row == "9"
    assert asked(reply) == [
        *(("Get", f"./DevDetail/{name}") for name in whole),
        ("Get", STATE),
    ]
    assert is_end(client.answer(SHOWS_OLD))
    desk.wait(hours=23)
    client = Client(desk)
    assert asked(client.begin()) == [("Get", VERSION)]
    assert is_end(client.answer(SHOWS_OLD))
    desk.wait(hours=1)
    assert len(asked(Client(desk).begin())) == 5


def test_row_10() -> None:
    """With an attempt the version and the State are asked for."""
    desk = Desk()
    assert asked(Client(desk).begin()) == [("Get", VERSION), ("Get", STATE)]
    assert desk.row == "10"


def test_row_11() -> None:
    """A device that shows the target version has succeeded."""
    desk = Desk()
    assert is_end(asked_device(desk, shows("2.0.0", 10)))
    assert desk.row == "11"
    assert desk.of(Succeeded) == [Succeeded(correlator="c-7f3a", version="2.0.0")]


def test_row_12() -> None:
    """A device with a third version has failed the prerequisite."""
    desk = Desk()
    assert is_end(asked_device(desk, shows("0.9.0", 10)))
    assert desk.row == "12"
    assert desk.of(Failed) == [Failed(correlator="c-7f3a", why=Why.VERSION, text="runs 0.9.0")]


def test_row_12_without_a_version_to_come_from() -> None:
    """A package for any version asks for none."""
    desk = Desk(task=replace(TASK, from_version=""))
    asked_device(desk, shows("0.9.0", 10))
    assert desk.row == "17"


def test_row_12_of_a_reported_success() -> None:
    """A third version after a reported success is unexpected, not a prerequisite."""
    desk = Desk(task=executed(verify_until=NOW))
    asked_device(desk, shows("1.5.0", 100))
    assert [failed.why for failed in desk.of(Failed)] == [Why.UNEXPECTED_VERSION]


@pytest.mark.parametrize(("minutes", "failed"), [(-1, False), (0, True), (1, True)])
def test_row_12a(minutes: int, failed: bool) -> None:
    """A reported success with the old version waits for its grace, also past that of the Exec."""
    until = NOW - timedelta(minutes=minutes)
    desk = Desk(task=executed(executed_at=NOW - timedelta(hours=2), verify_until=until))
    assert is_end(asked_device(desk, shows("1.0.0", 100)))
    assert desk.row == "12a"
    assert [event.why for event in desk.of(Failed)] == [Why.VERSION_UNCHANGED] * failed


def test_row_12a_of_a_device_that_does_not_tell() -> None:
    """Without a version the grace says nothing."""
    desk = Desk(task=executed(verify_until=NOW))
    asked_device(desk, shows(None, 100))
    assert desk.row == "12a"
    assert not desk.of(Failed)


@pytest.mark.parametrize("state", [10, 20, 70, 80, 90, 100])
def test_row_13(state: int) -> None:
    """Long after an Exec, at rest, with the old version: the report was lost."""
    desk = Desk(task=executed(executed_at=NOW - timedelta(minutes=15, seconds=1)))
    assert is_end(asked_device(desk, shows("1.0.0", state)))
    assert desk.row == "13"
    text = f"no report, State {state}"
    assert desk.of(Failed) == [
        Failed(correlator="c-7f3a", why=Why.REPORT_LOST, code=state, text=text)
    ]


@pytest.mark.parametrize("state", [10, 100])
def test_row_13_within_the_grace(state: int) -> None:
    """State 10 right after the Exec, before the download starts, is not the end of it."""
    desk = Desk(task=executed(executed_at=NOW - timedelta(minutes=15)))
    asked_device(desk, shows("1.0.0", state))
    assert desk.row == "15"


@pytest.mark.parametrize("state", [40, 50])
def test_row_14(state: int) -> None:
    """What this attempt downloaded is installed."""
    desk = Desk(task=executed(executed_at=NOW - timedelta(hours=1), download_only=True))
    assert asked(asked_device(desk, shows("1.0.0", state))) == [("Exec", UPDATE)]
    assert desk.row == "14"


def test_row_14_of_an_earlier_attempt() -> None:
    """What an earlier attempt of ours downloaded for the same version is installed, too."""
    desk = Desk(knowledge=Knowledge(downloaded="2.0.0"))
    assert asked(asked_device(desk, shows("1.0.0", 40))) == [("Exec", UPDATE)]
    desk = Desk(knowledge=Knowledge(downloaded="1.9.0"))
    asked_device(desk, shows("1.0.0", 40))
    assert desk.row == "17"


@pytest.mark.parametrize(
    ("task", "state"),
    [
        (TASK, 30),
        (TASK, 60),
        # Downloaded, and not by us (oma-dm 7.2).
        (TASK, 40),
        (TASK, 50),
        (executed(), 10),
        (executed(), 30),
        (executed(), 50),
        (executed(executed_at=NOW - timedelta(days=1)), 30),
        (executed(executed_at=NOW - timedelta(days=1)), 50),
        (executed(executed_at=NOW - timedelta(days=1)), None),
        (executed(download_only=True), 30),
    ],
)
def test_row_15(task: Task, state: int | None) -> None:
    """While something is under way, nothing is executed."""
    desk = Desk(task=task)
    assert is_end(asked_device(desk, shows("1.0.0", state)))
    assert desk.row == "15"
    assert [type(event) for event in desk.events[-1:]] == [Ended]
    assert not desk.of(Failed)


def test_row_16() -> None:
    """Outside of the attempt's window nothing is executed."""
    desk = Desk(task=replace(TASK, in_window=False))
    assert is_end(asked_device(desk, SHOWS_OLD))
    assert desk.row == "16"


@pytest.mark.parametrize("state", [10, 20, 70, 80, 90, 100, None, 12345])
def test_row_17(state: int | None) -> None:
    """At rest, or in a State that nobody knows, the package's address is set."""
    desk = Desk()
    assert asked(asked_device(desk, shows("1.0.0", state))) == [("Replace", URL)]
    assert desk.row == "17"


def test_row_17_of_a_node_that_does_not_exist() -> None:
    """A Replace that finds no node is followed by one Add."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    client.answer(SHOWS_OLD)
    assert asked(client.answer({URL: (404, None)})) == [("Add", URL)]
    assert desk.row == "17"
    assert asked(client.answer({URL: (200, None)})) == [("Exec", EXEC)]


@pytest.mark.parametrize("code", [405, 413, 425, 500])
def test_row_17_of_an_address_that_is_refused(code: int) -> None:
    """Any other status fails the attempt, and ends the session."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    client.answer(SHOWS_OLD)
    assert is_end(client.answer({URL: (code, None)}))
    assert desk.row == "17"
    assert [(failed.why, failed.code) for failed in desk.of(Failed)] == [(Why.REFUSED, code)]


@pytest.mark.parametrize("code", [200, 213])
def test_row_18(code: int) -> None:
    """With its address accepted the package is executed, on record before it leaves."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    client.answer(SHOWS_OLD)
    assert asked(client.answer({URL: (code, None)})) == [("Exec", EXEC)]
    assert desk.row == "18"
    assert desk.events == [ExecLeaving(correlator="c-7f3a", step=Step.DOWNLOAD_AND_UPDATE)]


@pytest.mark.parametrize("reports", [(), (REPORT,)])
def test_an_exec_is_not_sent_twice(reports: tuple[Report, ...]) -> None:
    """Even a session that had not ended with its Exec would not send it again."""
    done = [(Verb.GET, VERSION), (Verb.GET, STATE), (Verb.REPLACE, URL), (Verb.EXEC, EXEC)]
    session = Session(
        id="1",
        kind=auth.MD5,
        seen_at=NOW,
        done=tuple(
            Done(verb=verb, uri=uri, code=200) for verb, uri in (*done, (Verb.EXEC, UPDATE))
        ),
        reports=reports,
    )
    situation = Situation(
        server=SERVER,
        session=session,
        knowledge=Knowledge(),
        profile=PROFILE,
        task=TASK,
        now=NOW,
    )
    assert decide(situation).next.ends
    assert not decide(situation).next.events


def test_every_row_is_tested() -> None:
    """Each row of the table has a test that is named by it."""
    for row, _ in ROWS:
        assert f"test_row_{row}" in globals()
    assert [row for row, _ in ROWS if row != "12a"] == [str(number) for number in range(1, 19)]


@pytest.mark.parametrize(("kind", "by_user"), [("devicerequest", False), ("userrequest", True)])
def test_a_device_that_asks(kind: str, by_user: bool) -> None:
    """A device's question gets 200 and commands with a campaign, and 202 and the end without."""
    desk = Desk()
    reply = Client(desk).begin(result("", kind, None))
    assert codes(reply)[-1] == ("Alert", 200)
    assert asked(reply)
    assert desk.of(UpdateAskedFor) == [UpdateAskedFor(by_user=by_user)]
    desk = Desk(task=None, knowledge=INVENTORY_TODAY)
    client = Client(desk)
    reply = client.begin(result("", kind, None))
    assert codes(reply)[-1] == ("Alert", 202)
    assert is_end(client.answer(SHOWS_OLD))


def test_a_package_that_is_another_attempt_s() -> None:
    """An address that was set for an attempt which is over by now is not executed."""
    desk = Desk()
    client = Client(desk)
    client.begin()
    client.answer(SHOWS_OLD)
    desk.task = replace(TASK, correlator="c-next", url="http://127.0.0.1:8099/dd/next")
    assert is_end(client.answer())
    assert not desk.of(ExecLeaving)
