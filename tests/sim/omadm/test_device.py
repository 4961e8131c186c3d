"""Devices with the scripted server, in virtual time: updates, failures, power cuts, oddities."""

import hashlib
from datetime import timedelta

import pytest

from overair.protocols.syncml.fumo import State
from overair.sim.omadm.manners import COMMON, Manners, Oddity, wbxml_form, xml_form
from overair.sim.omadm.profile import AttemptPlan, Behaviour, DevicePlan, Fate
from overair.sim.omadm.roster import generate_roster
from overair.sim.omadm.steps import Step
from overair.sim.omadm.tally import Fortune, Phase
from overair.sim.omadm.tree import Leaf
from overair.sim.requests import Answer, Fetch
from tests.sim.omadm.world import FILE, START, World


class Fixed(Behaviour):
    """A behaviour whose dice have been thrown already."""

    plan: AttemptPlan
    device: DevicePlan

    def draw(self, seed: int, imei: str, attempt: int) -> AttemptPlan:
        return self.plan if attempt == 1 else AttemptPlan()

    def draw_device(self, seed: int, imei: str, root: str) -> DevicePlan:
        return self.device


def world(
    plan: AttemptPlan | None = None, device: DevicePlan | None = None, **options: object
) -> World:
    """Return a world whose device's first attempt goes as planned, and every other one well."""
    behaviour = Fixed()
    object.__setattr__(behaviour, "plan", plan or AttemptPlan())
    object.__setattr__(behaviour, "device", device or DevicePlan())
    made = World(behaviour, **options)  # type: ignore[arg-type]  # passed on
    made.start()
    return made


def state(made: World) -> State:
    """Return what the device's update object shows."""
    return made.device.tree.state


def codes(made: World) -> list[int]:
    """Return what the device has reported."""
    return [report.code for report in made.device.truth().reports]


def test_a_notified_device_is_updated() -> None:
    """One notification leads to the new version, shown and reported with the correlator of the Exec."""
    made = world()
    made.push()
    made.run(minutes=30)
    truth = made.device.truth()
    assert truth.version == "02"
    assert [(e.correlator, e.status) for e in truth.executions] == [("c-1", 202)]
    (install,) = truth.installs
    assert (install.correlator, install.sha256) == ("c-1", hashlib.sha256(FILE).hexdigest())
    (report,) = truth.reports
    assert (report.code, report.correlator) == (200, "c-1")
    assert report.taken_at is not None
    client = made.server.client(made.imei)
    assert client.reports == [("c-1", "200")]
    assert client.known["./DevDetail/FwV"] == "02"
    assert client.sessions[0] == ("1", 1200)
    assert client.sessions[1][1] == 1201
    assert made.server.notices == ["900 Success"]
    assert truth.errors == ()
    assert made.device.phase is Phase.IDLE


@pytest.mark.parametrize("form", [xml_form(), wbxml_form(), wbxml_form(1), xml_form(old=True)])
def test_every_form_of_message_works(form: object) -> None:
    """XML and WBXML, old media types and an older WBXML: the update is the same."""
    made = world(device=DevicePlan(manners=Manners(form=form)))  # type: ignore[arg-type]  # one of them
    made.push()
    made.run(minutes=30)
    assert made.device.truth().version == "02"


@pytest.mark.parametrize("oddity", COMMON)
def test_no_oddity_keeps_a_device_from_its_update(oddity: Oddity) -> None:
    """What clients do their own way does not matter to a server that lives with it."""
    made = world(device=DevicePlan(manners=Manners(oddities=frozenset({oddity}))))
    made.push()
    made.run(minutes=30)
    assert made.device.truth().version == "02"
    assert codes(made) == [200]
    assert all(report.taken_at for report in made.device.truth().reports)
    assert made.device.truth().errors == ()


@pytest.mark.parametrize(
    ("fate", "expected", "shown"),
    [
        (Fate.DOWNLOAD_FAILS, [503], State.DOWNLOAD_FAILED),
        (Fate.CORRUPTED, [402], State.DOWNLOAD_FAILED),
        (Fate.INSTALL_FAILS, [410], State.UPDATE_FAILED_NO_DATA),
        (Fate.FALLS_BACK, [200], State.UPDATE_FAILED_NO_DATA),
        (Fate.VANISHES, [], State.UPDATE_FAILED_NO_DATA),
        (Fate.DECLINES, [401], State.READY_TO_UPDATE),
        (Fate.SILENT, [], State.IDLE),
    ],
)
def test_failures_leave_the_old_version(fate: Fate, expected: list[int], shown: State) -> None:
    """Each way to fail has its report, or none, and its state; the version is the old one."""
    made = world(AttemptPlan(fate=fate, code=503))
    made.push()
    made.run(hours=2)
    truth = made.device.truth()
    assert (truth.version, codes(made), truth.installs) == ("01", expected, ())
    assert state(made) is shown
    assert [report.taken_at is None for report in truth.reports] == [False] * len(expected)


def test_a_device_tries_again_only_when_told() -> None:
    """After a failure nothing happens until the next notification, which leads to success."""
    made = world(AttemptPlan(fate=Fate.INSTALL_FAILS))
    made.push()
    made.run(days=3)
    assert made.server.client(made.imei).execs == 1
    made.push()
    made.run(hours=1)
    assert made.device.truth().version == "02"
    assert codes(made) == [410, 200]


def test_a_lost_report_is_lost() -> None:
    """The new version runs, and nobody hears of it."""
    made = world(AttemptPlan(fate=Fate.LOST_REPORT))
    made.push()
    made.run(days=1)
    assert (made.device.truth().version, codes(made)) == ("02", [])


def test_one_may_decline_at_once() -> None:
    """The Exec is answered 304, and there is no report."""
    made = world(AttemptPlan(fate=Fate.DECLINES, refuses_exec=True))
    made.push()
    made.run(hours=2)
    assert [e.status for e in made.device.truth().executions] == [304]
    assert codes(made) == []
    assert made.tally.declined == 1


def test_a_silent_device_comes_to_itself() -> None:
    """One that seems to download for ever is idle again after a day, and can be updated then."""
    made = world(AttemptPlan(fate=Fate.SILENT, stuck=True))
    made.push()
    made.run(hours=20)
    assert state(made) is State.DOWNLOAD_PROGRESSING
    made.run(hours=5)
    assert state(made) is State.IDLE
    made.push()
    made.run(hours=1)
    assert made.device.truth().version == "02"


def test_a_silent_device_takes_a_new_command() -> None:
    """An Exec that did nothing does not stand in the way of the next one."""
    made = world(AttemptPlan(fate=Fate.SILENT))
    made.push()
    made.run(hours=1)
    made.push()
    made.run(hours=1)
    assert made.device.truth().version == "02"


def test_progress_comes_before_the_result() -> None:
    """255 is reported when the package is there, 200 when the new version runs."""
    made = world(AttemptPlan(says_downloaded=True))
    made.push()
    made.run(hours=1)
    assert made.server.client(made.imei).reports == [("c-1", "255"), ("c-1", "200")]


def test_an_early_report_shows_the_old_version() -> None:
    """A device that reports before it restarts still has the old version then."""
    made = world(AttemptPlan(reports_early=True, reboot_s=300.0))
    made.push()
    made.run(seconds=100)
    client = made.server.client(made.imei)
    assert client.reports == [("c-1", "200")]
    assert client.known["./DevDetail/FwV"] == "01"
    made.run(hours=1)
    assert (made.device.truth().version, codes(made)) == ("02", [200])


def test_a_report_may_come_twice() -> None:
    """The second is the same, in a session of its own."""
    made = world(AttemptPlan(reports_twice=True))
    made.push()
    made.run(hours=1)
    client = made.server.client(made.imei)
    assert client.reports == [("c-1", "200"), ("c-1", "200")]
    assert len(client.sessions) == 3


def test_a_report_is_sent_until_it_is_taken() -> None:
    """A server that does not take it, and one that is away, get it again with growing pauses."""
    made = world()
    made.server.deaf_to_reports = 2
    made.push()
    made.run(minutes=1, seconds=30)
    made.statuses["POST /dm"] = [0, 503, 500, 0, 0]
    made.run(hours=4)
    assert made.server.client(made.imei).reports == [("c-1", "200")]
    (report,) = made.device.truth().reports
    assert report.taken_at is not None
    assert made.device.truth().errors


def test_a_cut_download_goes_on_with_a_range() -> None:
    """The connection is cut once; the rest comes from where it was, and the whole is right."""
    made = world(AttemptPlan(cut_at=0.4))
    made.push()
    made.run(hours=1)
    truth = made.device.truth()
    assert truth.ranges == (int(0.4 * len(FILE)),)
    assert truth.installs[0].sha256 == hashlib.sha256(FILE).hexdigest()


def test_a_download_survives_a_bad_network() -> None:
    """Lost connections and busy servers are waited out."""
    made = world()
    made.statuses["GET /package"] = [0, 503]
    made.statuses["GET /dd"] = [500]
    made.push()
    made.run(hours=1)
    assert made.device.truth().version == "02"


@pytest.mark.parametrize(("status", "code"), [(404, 411), (403, 406), (500, 503)])
def test_a_download_that_is_refused_is_reported(status: int, code: int) -> None:
    """What the download server answers decides the result."""
    made = world()
    made.statuses["GET /package"] = [status] * 9
    made.push()
    made.run(hours=1)
    assert codes(made) == [code]


def test_a_server_without_ranges_sends_it_all_again() -> None:
    """A whole answer to a range begins the file anew, and it is whole in the end."""
    made = world(AttemptPlan(cut_at=0.4))

    def no_ranges(fetch: Fetch, answer: Answer) -> Answer:
        if fetch.offset:
            return Answer(status=200, body=FILE, total=len(FILE))
        return answer

    made.on_file = no_ranges
    made.push()
    made.run(hours=1)
    truth = made.device.truth()
    assert (truth.version, truth.ranges) == ("02", ())
    assert truth.installs[0].sha256 == hashlib.sha256(FILE).hexdigest()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(status=200, body=FILE + b"more", total=len(FILE) + 4), 402),
        (Answer(status=200, body=FILE[:-1], total=len(FILE) - 1), 402),
        (Answer(status=200, media_type="application/vnd.oma.dd+xml", body=b"<x"), 400),
    ],
)
def test_a_download_that_is_not_what_was_promised(answer: Answer, code: int) -> None:
    """More or less than the descriptor says, or a descriptor that is none, is reported."""
    made = world()
    wrong = answer.media_type != ""
    made.on_file = lambda fetch, own: (
        answer if wrong or fetch.url.rpartition("/")[0].endswith("package") else own
    )
    made.push()
    made.run(hours=1)
    assert codes(made) == [code]
    assert made.device.truth().errors


def test_a_range_from_elsewhere_is_not_taken() -> None:
    """Bytes that are not those that were asked for count as none."""
    made = world(AttemptPlan(cut_at=0.5))
    wrong = [Answer(status=206, body=b"x" * 10, start=3, total=len(FILE))]
    made.on_file = lambda fetch, own: wrong.pop() if fetch.offset and wrong else own
    made.push()
    made.run(hours=1)
    truth = made.device.truth()
    assert truth.installs[0].sha256 == hashlib.sha256(FILE).hexdigest()
    assert truth.errors


def test_a_package_without_a_descriptor_works() -> None:
    """PkgURL may be the package itself."""
    made = world()
    made.server.descriptor = False
    made.push()
    made.run(hours=1)
    assert made.device.truth().version == "02"
    assert made.server.notices == []


def test_a_nameless_package_becomes_what_the_fleet_was_told() -> None:
    """A package that does not say its version is the one that was named, or has a name of its own."""
    made = world(file=b"x" * 5000, becomes="02")
    made.push()
    made.run(hours=1)
    assert made.device.truth().version == "02"
    other = world(file=b"x" * 5000)
    other.push()
    other.run(hours=1)
    assert other.device.truth().version.startswith("unknown-")


def test_download_and_update_may_be_two_steps() -> None:
    """After Download the package waits, State 40, for Update."""
    device = DevicePlan(manners=Manners(oddities=frozenset({Oddity.NO_DOWNLOAD_AND_UPDATE})))
    made = world(device=device)
    made.server.method = "two"
    made.push()
    made.run(minutes=5)
    truth = made.device.truth()
    assert (truth.version, made.device.tree.state) == ("01", State.DOWNLOAD_COMPLETE)
    assert codes(made) == [200]
    made.server.first = ("exec ./FwUpdate/pkg/Update",)
    made.server.want = ""
    made.push()
    made.run(minutes=5)
    assert made.device.truth().version == "02"
    assert made.server.client(made.imei).types == {
        "Reversed-Domain-Name: org.openmobilealliance.dm.firmwareupdate.download",
        "Reversed-Domain-Name: org.openmobilealliance.dm.firmwareupdate.update",
    }


@pytest.mark.parametrize("form", [wbxml_form()])
def test_a_package_may_come_inside_a_session(form: object) -> None:
    """PkgData in pieces is put together and installed by Update."""
    made = world(
        device=DevicePlan(manners=Manners(form=form)),  # type: ignore[arg-type]  # a form
        file=b"overair-sim version 02\n" + b"x" * 4500,
    )
    made.server.sends_data = True
    made.push()
    made.run(hours=1)
    truth = made.device.truth()
    assert truth.version == "02"
    assert truth.installs[0].size_bytes == 4523


def test_power_cuts_do_not_lose_a_job() -> None:
    """A device that loses power in the middle goes on when it has it again, with a range."""
    file = FILE * 5
    made = world(AttemptPlan(install_s=600.0), DevicePlan(slow=True), file=file)
    made.push()
    made.run(seconds=90)
    assert made.device.phase is Phase.DOWNLOADING
    made.switch(on=False)
    made.run(days=2)
    assert made.tally.phases[Phase.OFF] == 1
    made.switch(on=True)
    made.run(seconds=30)
    assert made.device.truth().ranges
    while made.tally.phases[Phase.DOWNLOADING]:
        made.run(seconds=5)
    assert made.tally.phases[Phase.INSTALLING] == 1
    made.switch(on=False)
    made.run(hours=1)
    made.switch(on=True)
    made.run(hours=1)
    truth = made.device.truth()
    assert (truth.version, codes(made)) == ("02", [200])
    assert truth.installs[0].sha256 == hashlib.sha256(file).hexdigest()
    assert len(made.attached) == 4
    assert len(truth.on) == 3


def test_an_answer_to_a_device_that_is_off_is_lost() -> None:
    """Power goes between a request and its answer: the job is there, the session is not."""
    made = world()

    def cut(step: Step) -> None:
        if isinstance(step, Fetch):
            made.on_step = lambda _step: None
            made.switch(on=False)

    made.on_step = cut
    made.push()
    made.run(hours=1)
    assert not made.device.is_on
    made.switch(on=True)
    made.run(hours=1)
    assert made.device.truth().version == "02"


def test_a_device_that_is_off_hears_nothing() -> None:
    """A notification is lost then; the attach that follows is told."""
    made = world()
    made.switch(on=False)
    made.push()
    made.run(days=1)
    assert made.server.client(made.imei).sessions == []
    assert [push.fortune for push in made.device.truth().pushes] == [Fortune.OFF]
    made.switch(on=True)
    made.run(minutes=1)
    assert [at for at, _ in made.attached] == [START, START + timedelta(days=1)]


def test_a_repeated_notification_starts_one_session() -> None:
    """The same number again, before or after, is known; a wrong digest is refused."""
    made = world()
    made.server.want = ""
    made.push(session=7)
    made.push(session=7)
    made.run(minutes=5)
    payload = made.server.push(made.imei, 7)
    made.deliver(payload)
    made.run(minutes=5)
    made.deliver(made.server.push(made.imei, 8, nonce=b"another"))
    made.deliver(b"noise")
    made.run(minutes=5)
    assert made.server.client(made.imei).sessions == [("7", 1200)]
    assert [push.fortune for push in made.device.truth().pushes] == [
        Fortune.TAKEN,
        Fortune.KNOWN,
        Fortune.KNOWN,
        Fortune.REFUSED,
        Fortune.REFUSED,
    ]


def test_a_session_that_finds_nobody_is_tried_again() -> None:
    """A notification is taken up again when the server could not be reached, and then dropped."""
    made = world()
    made.statuses["POST /dm"] = [0] * 4
    made.push()
    made.run(minutes=30)
    assert made.device.truth().version == "02"
    away = world()
    away.statuses["POST /dm"] = [0] * 12
    away.push(session=5)
    away.run(hours=3)
    assert away.server.client(away.imei).sessions == []
    away.push(session=5)
    away.run(hours=3)
    assert away.device.truth().version == "02"


@pytest.mark.parametrize("side", ["client", "server"])
def test_wrong_credentials_change_nothing(side: str) -> None:
    """Whichever side has them: no command is carried out, however often it is notified."""
    made = world(
        device=DevicePlan(
            wrong_client_secret=side == "client", wrong_server_secret=side == "server"
        )
    )
    made.push()
    # A device with another secret of the server does not even believe the notification.
    made.run(hours=1)
    truth = made.device.truth()
    assert (truth.version, truth.executions) == ("01", ())
    if side == "client":
        assert made.tally.refused == 1
        assert len(made.server.client(made.imei).sessions) == 0
    else:
        assert [push.fortune for push in truth.pushes] == [Fortune.REFUSED]


def test_a_device_that_expects_another_secret_refuses_the_server() -> None:
    """In a session of its own it refuses the server each time, and ends it."""
    made = world(device=DevicePlan(wrong_server_secret=True, boot_session=True))
    made.run(hours=1)
    assert made.tally.refused == 1
    assert made.device.truth().executions == ()


def test_an_abort_ends_a_session_and_no_more() -> None:
    """The device is as before, and the next notification works."""
    made = world()
    made.server.aborts = True
    made.push()
    made.run(hours=1)
    assert made.device.truth().dialogues[-1].problem == "ended by the server"
    made.server.aborts = False
    made.push()
    made.run(hours=1)
    assert made.device.truth().version == "02"


def test_an_own_session_at_each_start() -> None:
    """A device may call home whenever it starts, and is updated then."""
    made = world(device=DevicePlan(boot_session=True))
    made.run(hours=1)
    assert made.device.truth().version == "02"
    assert [code for _, code in made.server.client(made.imei).sessions] == [1201, 1201]


def test_a_second_command_is_refused_while_one_is_carried_out() -> None:
    """An Exec during an update is answered 500, and changes nothing."""
    made = world(device=DevicePlan(slow=True), file=FILE * 9)
    made.push()
    made.run(seconds=90)
    made.server.first = ("exec ./FwUpdate/pkg/DownloadAndUpdate",)
    made.push()
    made.run(seconds=60)
    made.server.first = ()
    made.run(hours=1)
    assert [e.status for e in made.device.truth().executions] == [202, 500]
    assert made.device.truth().version == "02"


def test_the_tree_shows_what_a_device_has() -> None:
    """Leaves, interior nodes with their children, and the status of what is not there."""
    tree = world().device.tree
    assert tree.get("./DevDetail/FwV") == Leaf(format="chr", value="01")
    assert tree.get("./FwUpdate") == Leaf(format="node", value="pkg")
    assert tree.get("./FwUpdate/pkg/DownloadAndUpdate") == Leaf(format="node", value="PkgURL")
    assert tree.get("./FwUpdate/pkg?list=Struct") == 406
    assert tree.get("./FUMO/State") == 404
    assert tree.replace("./DevInfo/Man", "x") == 405
    assert tree.replace("./nowhere", "x") == 404
    assert tree.add("./FwUpdate/pkg/PkgName", "x") == 418
    assert tree.add("./FwUpdate/other", "") == 405
    assert tree.execute("./FwUpdate/pkg/State", None) == 405
    assert tree.execute("./FwUpdate/pkg/Download", None) == 405
    assert tree.execute("./FUMO/Update", None) == 404


def test_the_same_seed_has_the_same_fates() -> None:
    """A fleet is the same in two runs, to the last report; with another seed it is not."""
    behaviour = Behaviour(
        install_failure=0.3, cut=0.5, odd=0.5, xml=0.5, slow=0.2, off_at_night=0.3, erratic=0.3
    )

    def run(seed: int) -> list[object]:
        made = World(behaviour, devices=20, seed=seed, roster=generate_roster(20))
        made.start()
        for imei in made.devices:
            made.push(imei)
        made.run(days=1)
        return [device.truth() for device in made.devices.values()]

    assert run(1) == run(1)
    assert run(1) != run(2)
