"""The simulated device: its exchange with a server, line by line, without a socket."""

from dataclasses import replace

import pytest

from overair.sim.http.profile import Behaviour
from overair.sim.http.tally import Closing, Install, Phase
from tests.sim.http.world import FILE, World

D = "/deploymentBase/4711"
GET_D = f"GET {D}?c=forcedforced"
INSTALL = [
    "GET /",
    GET_D,
    f"POST {D}/feedback proceeding none",
    "HEAD /softwaremodules/77/artifacts/x1-02.swu",
    "open 0",
    f"POST {D}/feedback proceeding none",
    "GET /",
    GET_D,
]
QUICK = replace(Behaviour(), install_s=(20.0, 20.0), reboot_s=(10.0, 10.0))


def closed(world: World) -> bool:
    """Whether the device has had an answer to a closing report."""
    return bool(world.device.truth().closings)


def test_an_update_from_the_offer_to_the_confirmation_after_the_restart() -> None:
    """The exchange of section 12, success only after the restart, then the attributes."""
    world = World(QUICK)
    world.run_to("PUT /configData")
    assert world.transcript == [
        *INSTALL,
        f"POST {D}/feedback closed success",
        "PUT /configData",
    ]
    truth = world.device.truth()
    assert truth.version == "02"
    assert truth.installs == (Install(action_id=4711, part="os", name="FOTA", version="02"),)
    assert truth.closings == (Closing(action_id=4711, finished="success", status=200),)
    assert truth.offers == truth.downloads == (4711,)
    assert world.attributes == [
        {"make": "Acme", "model": "X1", "version": "02", "imei": "990013900000012"}
    ]
    assert (world.tally.offered, world.tally.updated, world.tally.errors) == (1, 1, 0)
    assert world.tally.bytes_received == len(FILE)


def test_an_idle_device_polls_at_the_interval_it_is_told() -> None:
    """Nothing but polls, as far apart as the answer says."""
    world = World()
    world.show = "nothing"
    world.sleep = "12:00:00"
    world.run_polls(4)
    assert world.transcript == ["GET /"] * 4
    assert world.slept[1:] == [43200.0] * 3


def test_the_interval_can_be_overridden() -> None:
    """A fleet's own interval goes before the server's."""
    world = World(Behaviour(poll_interval_s=7.0))
    world.show = "nothing"
    world.run_polls(3)
    assert world.slept[1:] == [7.0] * 2


@pytest.mark.parametrize(
    ("two_phase", "expected"),
    [
        (False, ["GET /", "PUT /configData", "GET /", GET_D]),
        (True, ["GET /", "PUT /configData", GET_D]),
    ],
)
def test_attributes_when_they_are_asked_for(two_phase: bool, expected: list[str]) -> None:
    """SWUpdate does one thing per poll; rauc-hawkbit-updater does both."""
    world = World(two_phase=two_phase)
    world.wants_attributes = True
    world.run_to(GET_D)
    assert world.transcript == expected
    assert world.attributes[0]["version"] == "01"


@pytest.mark.parametrize(
    ("behaviour", "version", "downloads"),
    [
        (Behaviour(download_failure=1.0), "01", 0),
        (Behaviour(corruption=1.0), "01", 0),
        (Behaviour(install_failure=1.0), "01", 1),
        (Behaviour(fallback=1.0), "01", 1),
    ],
)
def test_the_ways_to_fail(behaviour: Behaviour, version: str, downloads: int) -> None:
    """Each ends with closed/failure and the old version."""
    world = World(behaviour)
    world.run(lambda: closed(world))
    truth = world.device.truth()
    assert [closing.finished for closing in truth.closings] == ["failure"]
    assert (truth.version, len(truth.downloads), truth.installs) == (version, downloads, ())
    assert (world.tally.failed, world.tally.updated, world.tally.errors) == (1, 0, 0)


def test_a_download_that_fails_stops_before_the_end() -> None:
    """The failing share of the file is drawn, and no more is read."""
    world = World(Behaviour(download_failure=1.0))
    world.run(lambda: closed(world))
    assert 0 < world.tally.bytes_received < len(FILE)


def test_a_silent_device_installs_and_says_nothing() -> None:
    """It runs the new version, leaves the offer alone and goes on polling."""
    world = World(Behaviour(silence=1.0))
    world.run(lambda: world.device.version == "02")
    world.run_polls(5)
    assert world.device.truth().closings == ()
    assert world.transcript[-5:] == ["GET /"] * 5


def test_a_forgetful_device_installs_again_and_again() -> None:
    """What the loop guard is for: one action, downloaded many times."""
    world = World(Behaviour(forgetfulness=1.0))
    world.run(lambda: len(world.device.truth().downloads) == 5)
    assert world.device.truth().offers == (4711,)
    assert world.device.truth().closings == ()


def test_a_cut_download_is_resumed_with_a_range() -> None:
    """Once, from where it was cut, and the digests are still right."""
    world = World(replace(QUICK, cut=1.0))
    world.run(lambda: closed(world))
    first, second = (line for line in world.transcript if line.startswith("open"))
    assert first == "open 0"
    assert 0 < int(second.removeprefix("open ")) < len(FILE)
    assert world.device.version == "02"


def test_lost_connections_are_resumed() -> None:
    """Whoever cut them."""
    world = World(file=bytes(2_000_000))
    world.lost_reads = [300_000, 900_000, 900_000]
    world.run(lambda: closed(world))
    assert [line for line in world.transcript if line.startswith("open")] == [
        "open 0",
        "open 524288",
        "open 1048576",
        "open 1048576",
    ]
    assert world.device.version == "02"


def test_a_download_without_progress_is_given_up() -> None:
    """After a bounded number of fruitless attempts."""
    world = World()
    world.statuses["open"] = [0] * 100
    world.run(lambda: closed(world))
    assert world.device.truth().closings[0].finished == "failure"
    assert world.transcript.count("open 0") == 30


@pytest.mark.parametrize("status", [401, 404, 429, 503])
def test_any_error_on_the_artifact_closes_the_action_as_failed(status: int) -> None:
    """One such answer is enough for the real clients."""
    world = World()
    world.statuses["open"] = [status]
    world.run(lambda: closed(world))
    assert world.device.truth().closings[0].finished == "failure"
    assert world.tally.errors == 1


def test_a_range_that_is_answered_with_the_whole_file_fails() -> None:
    """SWUpdate cannot go on with a 200 (http-ddi 5.4)."""
    world = World()
    world.lost_reads = [1]
    world.statuses["open 262144"] = [200]
    world.run(lambda: closed(world))
    assert world.device.truth().closings[0].finished == "failure"


@pytest.mark.parametrize("file", [FILE[:-1] + b"x", FILE + b"x"])
def test_other_bytes_than_announced_are_noticed(file: bytes) -> None:
    """The device checks what it got, and it is the server's error."""
    world = World(file=file)
    world.announced = FILE
    world.run(lambda: closed(world))
    assert world.device.truth().closings[0].finished == "failure"
    assert world.tally.errors == 1


def test_an_empty_file_is_a_file() -> None:
    """Nothing to read, and its digests are right."""
    world = World(file=b"")
    world.run(lambda: closed(world))
    assert world.device.version == "02"


def test_a_slow_link_takes_its_time_and_looks_at_the_server_meanwhile() -> None:
    """Bytes per second of the fleet's time, with polls at the interval."""
    world = World(
        replace(QUICK, slow_share=1.0, slow_bytes_per_s=100.0, poll_interval_s=60.0),
        file=bytes(60_000),
    )
    began = world.now
    world.run(lambda: world.device.phase is Phase.INSTALLING)
    assert world.now - began == pytest.approx(600, abs=60)
    assert world.tally.polls == pytest.approx(10, abs=2)
    assert world.transcript.count("open 0") == 1


@pytest.mark.parametrize("phase", [Phase.DOWNLOADING, Phase.INSTALLING, Phase.REPORTING])
def test_an_ordinary_device_accepts_a_cancellation_at_any_time(phase: Phase) -> None:
    """During the download, the installation, and even after the restart."""
    world = World(
        Behaviour(
            slow_share=1.0,
            slow_bytes_per_s=1000.0,
            poll_interval_s=5.0,
            install_s=(60.0, 60.0),
            reboot_s=(1.0, 1.0),
        )
    )
    world.run(lambda: world.device.phase is phase)
    world.show = "cancel"
    world.run(lambda: bool(world.device.truth().cancels))
    world.run_polls(2)
    assert world.transcript.count("POST /cancelAction/4711/feedback closed success") == 1
    assert world.device.truth().closings == ()
    assert world.device.phase is Phase.IDLE
    assert world.device.version == ("02" if phase is Phase.REPORTING else "01")


def test_a_cancellation_of_what_it_never_saw_is_accepted() -> None:
    """SWUpdate acknowledges a cancel before it has seen the action."""
    world = World()
    world.show = "cancel"
    world.run_polls(2)
    assert world.transcript[:3] == [
        "GET /",
        "GET /cancelAction/4711",
        "POST /cancelAction/4711/feedback closed success",
    ]
    assert world.tally.cancelled == 1


@pytest.mark.parametrize(
    ("two_phase", "refusal"), [(True, 0.0), (False, 1.0)], ids=["two-phase", "drawn"]
)
def test_a_cancellation_can_be_refused_while_installing(two_phase: bool, refusal: float) -> None:
    """Rejected, and the update goes on to its end."""
    world = World(
        Behaviour(cancel_refusal=refusal, poll_interval_s=5.0, install_s=(60.0, 60.0)),
        two_phase=two_phase,
    )
    world.run(lambda: world.device.phase is Phase.INSTALLING)
    world.show = "cancel"
    world.run(lambda: closed(world))
    assert world.transcript.count("POST /cancelAction/4711/feedback rejected none") == 1
    assert world.device.truth().closings[0].finished == "success"
    assert world.device.truth().offers == (4711,)


def test_a_two_phase_device_waits_for_its_window() -> None:
    """Downloads, reports, waits, finds its file complete by a 416, installs when it may."""
    world = World(QUICK, two_phase=True)
    world.handling = {"download": "forced", "update": "skip", "maintenanceWindow": "unavailable"}
    world.run(lambda: world.device.phase is Phase.WAITING)
    world.run_polls(3)
    assert world.device.version == "01"
    world.handling = {"download": "forced", "update": "forced", "maintenanceWindow": "available"}
    world.run(lambda: closed(world))
    assert f"POST {D}/feedback downloaded none" in world.transcript
    assert [line for line in world.transcript if line.startswith("open")] == [
        "open 0",
        f"open {len(FILE)}",
    ]
    assert world.transcript[-1] == f"POST {D}/feedback closed success"
    assert (world.device.version, world.tally.errors) == ("02", 0)


@pytest.mark.parametrize("change", ["nothing", "cancel", "another"])
def test_a_waiting_device_lets_go_of_what_is_taken_away(change: str) -> None:
    """The offer ends, is cancelled, or another action comes."""
    world = World(two_phase=True)
    world.handling = {"download": "forced", "update": "skip", "maintenanceWindow": "unavailable"}
    world.run(lambda: world.device.phase is Phase.WAITING)
    if change == "another":
        world.action_id = 4712
    else:
        world.show = change
    world.run(lambda: world.device.phase is Phase.IDLE)
    assert world.device.version == "01"
    assert world.device.truth().closings == ()


@pytest.mark.parametrize("two_phase", [False, True])
def test_skip_without_a_window_is_closed_without_installing(two_phase: bool) -> None:
    """Why the server must never send it: success is reported, and nothing was installed."""
    world = World(two_phase=two_phase)
    world.handling = {"download": "forced", "update": "skip"}
    world.run(lambda: closed(world))
    assert world.device.truth().closings[0].finished == "success"
    assert (world.device.version, world.device.truth().installs) == ("01", ())


def test_the_result_is_dropped_when_the_offer_is_gone_after_the_restart() -> None:
    """Why offers are sticky: an ordinary device then says nothing, though it runs the new one."""
    world = World()
    world.run(lambda: world.device.phase is Phase.REBOOTING)
    world.show = "nothing"
    world.run_polls(3)
    assert world.device.truth().closings == ()
    assert (world.device.version, world.tally.dropped) == ("02", 1)


def test_a_two_phase_device_reports_whatever_the_poll_shows() -> None:
    """It needs no link for it."""
    world = World(two_phase=True)
    world.run(lambda: world.device.phase is Phase.REBOOTING)
    world.on_line = lambda _line: None
    world.run(lambda: closed(world))
    assert world.transcript[-2:] == [
        f"POST {D}/feedback proceeding none",
        f"POST {D}/feedback closed success",
    ]


def test_a_configuration_file_needs_no_restart() -> None:
    """It is stored and reported; the software stays."""
    world = World()
    world.part = "config"
    world.run(lambda: closed(world))
    truth = world.device.truth()
    assert (truth.version, [install.part for install in truth.installs]) == ("01", ["config"])
    assert world.tally.phases[Phase.REBOOTING] == 0
    assert world.transcript.count("GET /") == 1


@pytest.mark.parametrize("answers", [[0] * 7, [503, 500], [429], [401, 403], [0, 401, 503]])
def test_a_closing_report_is_kept_until_it_is_acknowledged(answers: list[int]) -> None:
    """Across restarts of the server, overload and lost credentials."""
    world = World()
    world.statuses[f"POST {D}/feedback closed"] = list(answers)
    world.run(lambda: closed(world))
    assert world.transcript.count(f"POST {D}/feedback closed success") == len(answers) + 1
    assert world.device.truth().closings[0].status == 200
    assert (world.tally.updated, world.tally.errors) == (1, len(answers))


@pytest.mark.parametrize("status", [404, 410, 400])
def test_a_report_that_nobody_wants_is_over(status: int) -> None:
    """Too late, or the same again next time: not repeated, and not counted as updated."""
    world = World()
    world.statuses[f"POST {D}/feedback closed"] = [status]
    world.run(lambda: closed(world))
    assert world.device.truth().closings[0].status == status
    assert world.tally.updated == 0


def test_pauses_between_retries_grow() -> None:
    """A server that is gone is not hammered, and is found again."""
    world = World()
    world.show = "nothing"
    world.statuses["GET /"] = [0] * 12
    began = world.now
    world.run(lambda: world.tally.polls == 1)
    assert world.transcript == ["GET /", "back off"] * 12 + ["GET /"]
    assert 30 < world.now - began < 120


def test_an_offer_that_is_withdrawn_is_left_alone() -> None:
    """404 between the poll and the deployment; then it comes after all."""
    world = World()
    world.statuses["GET /deploymentBase"] = [404]
    world.run(lambda: closed(world))
    assert world.tally.errors == 0


def test_an_action_that_ends_under_the_device_is_let_go() -> None:
    """410 to the first report: the attempt is given up."""
    world = World()
    world.statuses[f"POST {D}/feedback proceeding"] = [410]
    world.run(lambda: world.tally.polls == 1 and world.device.phase is Phase.DOWNLOADING)
    world.show = "nothing"
    world.run_polls(2)
    assert "open 0" not in world.transcript
    assert world.device.phase is Phase.IDLE


@pytest.mark.parametrize("status", [401, 404])
def test_a_refused_poll_is_repeated_at_the_interval(status: int) -> None:
    """As SWUpdate does, for ever."""
    world = World()
    world.show = "nothing"
    world.statuses["GET /"] = [status] * 3
    world.run_polls(4)
    assert world.transcript == ["GET /"] * 4
    assert world.slept[1:] == [45.0] * 3
    assert world.tally.errors == 3


def test_a_poll_that_cannot_be_read_is_given_up() -> None:
    """24:00:00 costs the device its whole poll, update and all (http-ddi 5.1)."""
    world = World()
    world.sleep = "24:00:00"
    world.run_polls(3)
    assert world.transcript == ["GET /"] * 3
    assert "24:00:00" in world.tally.last_error


def test_a_log_is_uploaded_while_it_is_wanted() -> None:
    """With the poll after it happened, and each line once."""
    world = World(QUICK)
    world.wants_log = True
    world.run(lambda: len(world.logs) == 1)
    world.run_polls(3)
    texts = [entry["eventLog"] for log in world.logs for entry in log]
    assert "offered 4711" in texts
    assert texts.count("closed/success Update Installed.") == 1
    assert world.tally.errors == 0


@pytest.mark.parametrize(("status", "errors"), [(403, 0), (413, 1)])
def test_a_log_that_is_not_taken_is_kept(status: int, errors: int) -> None:
    """Logging went off between poll and upload, or the server did not like it."""
    world = World(QUICK)
    world.wants_log = True
    world.statuses["POST /log"] = [status]
    world.run(lambda: len(world.logs) == 1)
    assert "offered 4711" in [entry["eventLog"] for entry in world.logs[0]]
    assert world.tally.errors == errors


@pytest.mark.parametrize("seed", range(20))
def test_the_phases_always_add_up_to_one_device(seed: int) -> None:
    """Whatever happens to it."""
    rate = 1 / 7
    world = World(
        Behaviour(
            download_failure=rate,
            corruption=rate,
            install_failure=rate,
            fallback=rate,
            silence=rate,
            forgetfulness=rate,
            cut=0.5,
            slow_share=0.5,
            cancel_refusal=0.5,
        ),
        two_phase=seed % 2 == 1,
    )

    def check(_line: str) -> None:
        assert sum(world.tally.phases.values()) == 1
        assert world.tally.phases[world.device.phase] == 1
        if len(world.transcript) % (5 + seed) == 0:
            world.action_id += 1
            world.show = ("offer", "cancel", "nothing")[len(world.transcript) % 3]

    world.on_line = check
    world.run(lambda: len(world.transcript) > 400)
