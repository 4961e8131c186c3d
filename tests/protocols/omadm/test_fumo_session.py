"""The update object in a session: where it is, and by which of its nodes (oma-dm 7.1, 13)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from overair.protocols.omadm.events import (
    ExecLeaving,
    Failed,
    InventoryRead,
    Meaning,
    Reported,
    Step,
    Why,
)
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.omadm.task import Method, Profile
from overair.protocols.syncml.message import Item
from tests.protocols.omadm.desk import (
    NOW,
    ROOT,
    STATE,
    TASK,
    VERSION,
    Client,
    Desk,
    asked,
    result,
)

OLD = {VERSION: (200, "1.0.0")}
PARENTS = ["./FwUpdate", "./DevDetail/Ext/Software/FwUpdate"]
PLACES = ["./FUMO", "./FOTA", "./ManagedObjects/FUMO"]


def looking(**answers: tuple[int, str | None]) -> tuple[Desk, Client]:
    """Return a client of which no root is known, after its first package."""
    desk = Desk(profile=Profile())
    client = Client(desk)
    client.begin()
    return desk, client


def test_the_usual_places() -> None:
    """Without a root every place is asked for its State, and a parent for its children."""
    _, client = looking()
    assert client.last is not None
    nodes = [node for _, node in asked(client.last)]
    assert nodes == [VERSION, *PARENTS, *(f"{place}/State" for place in PLACES)]


def test_the_first_that_answers() -> None:
    """The first place that answers is remembered, and asked alone in the next session."""
    desk, client = looking()
    reply = client.answer({**OLD, "./FOTA/State": (200, "10")}, default=404)
    assert asked(reply) == [("Replace", "./FOTA/DownloadAndUpdate/PkgURL")]
    assert desk.of(InventoryRead) == [InventoryRead(state=10, fumo_root="./FOTA")]
    assert desk.knowledge.fumo_root == "./FOTA"
    assert asked(Client(desk).begin()) == [("Get", VERSION), ("Get", "./FOTA/State")]


@pytest.mark.parametrize("parent", PARENTS)
def test_children_of_a_parent(parent: str) -> None:
    """Of a parent the children are asked for their State next."""
    desk, client = looking()
    reply = client.answer({**OLD, parent: (200, "a/pkg")}, default=404)
    assert asked(reply) == [("Get", f"{parent}/a/State"), ("Get", f"{parent}/pkg/State")]
    reply = client.answer({f"{parent}/pkg/State": (200, "10")}, default=404)
    assert asked(reply) == [("Replace", f"{parent}/pkg/DownloadAndUpdate/PkgURL")]
    assert desk.knowledge.fumo_root == f"{parent}/pkg"


def test_a_parent_that_is_the_object() -> None:
    """A parent that has a State of its own is the object."""
    _, client = looking()
    children = {"./FwUpdate": (200, "PkgName/State/Update")}
    assert asked(client.answer({**OLD, **children}, default=404)) == [("Get", "./FwUpdate/State")]


def test_many_children() -> None:
    """Of a parent with many children only the first few are looked at."""
    _, client = looking()
    many = "/".join(f"n{number}" for number in range(300))
    reply = client.answer({**OLD, "./FwUpdate": (200, many)}, default=404)
    assert len(asked(reply)) == 4


@pytest.mark.parametrize("code", [401, 403, 405, 406, 425])
def test_a_place_that_hides_its_state(code: int) -> None:
    """A place that is there but does not show its State is used."""
    _, client = looking()
    reply = client.answer({**OLD, "./FOTA/State": (code, None)}, default=404)
    assert asked(reply) == [("Replace", "./FOTA/DownloadAndUpdate/PkgURL")]


def test_a_device_without_the_object() -> None:
    """Where nothing is found the attempt fails, and says so."""
    desk, client = looking()
    assert asked(client.answer(OLD, default=404)) == []
    assert [(each.why, each.code) for each in desk.of(Failed)] == [(Why.NO_UPDATE_OBJECT, 404)]


def test_a_root_that_is_there_no_more() -> None:
    """A remembered root that is not found is forgotten, and the usual places are asked."""
    desk = Desk(profile=Profile(), knowledge=Knowledge(fumo_root="./FOTA"))
    client = Client(desk)
    client.begin()
    reply = client.answer(OLD, default=404)
    assert desk.knowledge.fumo_root is None
    assert [node for _, node in asked(reply)] == [
        *PARENTS,
        "./FUMO/State",
        "./ManagedObjects/FUMO/State",
    ]


def test_the_root_of_a_report() -> None:
    """Where no root is known, Update is executed where the download was reported."""
    desk = Desk(profile=Profile())
    desk.task = replace(TASK, executed_at=NOW, download_only=True)
    reply = Client(desk).begin(result(200, "download"))
    assert asked(reply) == [("Exec", f"{ROOT}/Update")]


def test_an_inventory_looks_for_it_too() -> None:
    """The daily inventory finds the object before any campaign needs it."""
    desk = Desk(profile=Profile(), task=None)
    client = Client(desk)
    assert len(asked(client.begin())) == 9
    reply = client.answer({**OLD, "./FwUpdate": (200, "pkg")}, default=404)
    assert asked(reply) == [("Get", STATE)]
    assert asked(client.answer({STATE: (200, "10")})) == []
    assert desk.knowledge.fumo_root == ROOT


def up_to_address(
    *, method: Method = Method.AUTO, knowledge: Knowledge | None = None
) -> tuple[Desk, Client]:
    """Play a session up to the package's address."""
    desk = Desk(
        profile=Profile(fumo_root=ROOT, method=method),
        knowledge=Knowledge() if knowledge is None else knowledge,
    )
    client = Client(desk)
    client.begin()
    client.answer({**OLD, STATE: (200, "10")})
    return desk, client


def test_a_device_without_download_and_update() -> None:
    """Where there is no DownloadAndUpdate, Download is executed, and remembered as the way."""
    desk, client = up_to_address()
    both = f"{ROOT}/DownloadAndUpdate/PkgURL"
    only = f"{ROOT}/Download/PkgURL"
    assert asked(client.answer({both: (404, None)})) == [("Add", both)]
    assert asked(client.answer({both: (404, None)})) == [("Replace", only)]
    assert asked(client.answer()) == [("Exec", f"{ROOT}/Download")]
    assert desk.of(ExecLeaving) == [ExecLeaving(correlator="c-7f3a", step=Step.DOWNLOAD)]
    assert desk.knowledge.download_first
    assert desk.knowledge.downloaded == "2.0.0"
    client.answer(default=202)
    desk.wait(minutes=1)
    # Downloaded: the next session installs.
    assert desk.task is not None
    desk.task = replace(desk.task, executed_at=desk.now - timedelta(minutes=1), download_only=True)
    client = Client(desk, session_id="2")
    client.begin()
    assert asked(client.answer({**OLD, STATE: (200, "40")})) == [("Exec", f"{ROOT}/Update")]
    assert desk.of(ExecLeaving) == [ExecLeaving(correlator="c-7f3a", step=Step.UPDATE)]


def test_the_way_is_remembered() -> None:
    """A device that is known to have Download only is asked nothing else."""
    _, client = up_to_address(knowledge=Knowledge(download_first=True))
    assert client.last is not None
    assert asked(client.last) == [("Replace", f"{ROOT}/Download/PkgURL")]


@pytest.mark.parametrize(
    ("method", "node"),
    [
        (Method.DOWNLOAD, "Download"),
        (Method.DOWNLOAD_AND_UPDATE, "DownloadAndUpdate"),
        (Method.AUTO, "DownloadAndUpdate"),
        (Method.DATA, "DownloadAndUpdate"),
    ],
)
def test_the_way_of_a_model(method: Method, node: str) -> None:
    """The settings of a model say which way it has."""
    _, client = up_to_address(method=method)
    assert client.last is not None
    assert asked(client.last) == [("Replace", f"{ROOT}/{node}/PkgURL")]


@pytest.mark.parametrize(
    ("method", "node"),
    [(Method.DOWNLOAD, "Download"), (Method.DOWNLOAD_AND_UPDATE, "DownloadAndUpdate")],
)
def test_no_way_is_left(method: Method, node: str) -> None:
    """Where the last way has no node either, the attempt fails with the status of its Add."""
    desk, client = up_to_address(method=method)
    url = f"{ROOT}/{node}/PkgURL"
    client.answer({url: (404, None)})
    assert asked(client.answer({url: (405, None)})) == []
    assert [(each.why, each.code) for each in desk.of(Failed)] == [(Why.REFUSED, 405)]


def test_a_node_that_is_there_after_all() -> None:
    """An Add that is answered 418 goes on to the Exec."""
    _, client = up_to_address()
    url = f"{ROOT}/DownloadAndUpdate/PkgURL"
    client.answer({url: (404, None)})
    assert asked(client.answer({url: (418, None)})) == [("Exec", f"{ROOT}/DownloadAndUpdate")]


def test_an_address_that_a_user_declines() -> None:
    """304 is a user's no, wherever it comes."""
    desk, client = up_to_address()
    client.answer(default=304)
    assert [each.why for each in desk.of(Failed)] == [Why.DECLINED]


# Reports (oma-dm 7.3, 7.4, 18.1)


def reported(*args: object, more: tuple[Item, ...] = ()) -> Reported:
    """Return what a report is taken for."""
    desk = Desk(task=replace(TASK, executed_at=NOW))
    code, kind = (*args, "downloadandupdate")[:2]
    Client(desk).begin(result(code, str(kind), "c-7f3a", *more))
    (one,) = desk.of(Reported)
    return one


@pytest.mark.parametrize(
    ("code", "kind", "meaning", "why"),
    [
        (200, "download", Meaning.DOWNLOADED, None),
        (200, "update", Meaning.INSTALLED, None),
        (200, "downloadandupdate", Meaning.INSTALLED, None),
        (250, "downloadandupdate", Meaning.PROGRESS, None),
        (299, "update", Meaning.PROGRESS, None),
        (400, "update", Meaning.FAILED, Why.INSTALL_FAILED),
        (400, "download", Meaning.FAILED, Why.DOWNLOAD_FAILED),
        (401, "download", Meaning.FAILED, Why.DECLINED),
        (402, "downloadandupdate", Meaning.FAILED, Why.DOWNLOAD_FAILED),
        (403, "downloadandupdate", Meaning.FAILED, Why.INSTALL_FAILED),
        (503, "downloadandupdate", Meaning.FAILED, Why.DOWNLOAD_FAILED),
        (555, "downloadandupdate", Meaning.FAILED, Why.DOWNLOAD_FAILED),
        ("", "downloadandupdate", Meaning.FAILED, Why.INSTALL_FAILED),
        ("oops", "downloadandupdate", Meaning.FAILED, Why.INSTALL_FAILED),
    ],
)
def test_what_a_report_means(code: object, kind: str, meaning: Meaning, why: Why | None) -> None:
    """A result's code and type say what became of the step."""
    one = reported(code, kind)
    assert (one.meaning, one.why) == (meaning, why)
    assert one.code == (code if isinstance(code, int) else None)
    assert one.text == ("" if isinstance(code, int) else code)


@pytest.mark.parametrize("word", ["KEY_DEFERRED", "wifi_deferred", "LOW_BATTERY", "LOW_MEMORY"])
@pytest.mark.parametrize("code", [402, 403])
def test_what_is_put_off(code: int, word: str) -> None:
    """402 and 403 with a carrier's word for later are not failures, wherever it stands."""
    for one in (reported(f"{code} {word}"), reported(code, more=(Item(data=word),))):
        assert (one.code, one.meaning, one.text) == (code, Meaning.DEFERRED, word)
    assert reported(f"410 {word}").meaning is Meaning.FAILED
    assert reported(f"{code} other").meaning is Meaning.FAILED


def test_words_of_a_report() -> None:
    """A device's words are kept as far as they can be shown."""
    assert reported("409;\u200bbad\tflash" + "x" * 500).text == "badflash" + "x" * 190
