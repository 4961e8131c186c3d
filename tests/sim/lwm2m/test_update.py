"""Images that simulated devices are given, and what becomes of them: each way, each fate, each result."""

from dataclasses import replace

import pytest

from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Block, Response
from overair.sim.lwm2m.profile import AttemptPlan, Behaviour, Fate, Oddity
from overair.sim.lwm2m.roster import BOTH, COAP, HTTP, PULL, PUSH, Lwm2mDevice
from overair.sim.requests import Answer, Fetch
from tests.sim.lwm2m.test_device import IMEI, odd
from tests.sim.lwm2m.world import IMAGE, World

QUICK = Behaviour(install_s=(10.0, 20.0), reboot_s=(5.0, 10.0))


def device(**more: object) -> Lwm2mDevice:
    return Lwm2mDevice(imei=IMEI, **more)  # type: ignore[arg-type]  # its members


def planned(fate: Fate, **more: object) -> World:
    """Return a started world whose device's first attempt goes so, and all others well."""
    world = World(QUICK, sim=device(schemes=(COAP, HTTP)))
    plan = AttemptPlan(fate=fate, install_s=10.0, reboot_s=5.0, stops_at=0.5)
    plans = [replace(plan, **more)]  # type: ignore[arg-type]  # its members
    world.device.machine._draw = lambda _attempt: plans.pop(0) if plans else AttemptPlan()
    world.start()
    return world


def code_of(answer: Response | None) -> int | None:
    return None if answer is None else answer.code


def give(world: World, way: str) -> Response | None:
    """Push an image, or have it pulled."""
    if way == "push":
        return world.push()
    return world.pull(f"{way}://server.test:5683/fw/image")


@pytest.mark.parametrize("way", ["push", "coap", "http"])
def test_an_update(way: str) -> None:
    """An image arrives whole, is installed when that is asked, and runs after the restart."""
    world = World(QUICK, sim=device(schemes=(COAP, HTTP)))
    world.start()
    assert code_of(give(world, way)) == Code.CHANGED
    assert world.state() == (2, 0)
    assert world.text(5, 0, 7) == "02"
    assert code_of(world.execute()) == Code.CHANGED
    assert world.state() == (3, 0)
    world.run(60)
    assert world.state() == (0, 1)
    assert world.text(3, 0, 3) == "02"
    assert len(world.head.registered[world.name]) == 2
    (work,) = world.truth.work
    assert (work.installed, work.result, work.executes) == (True, 1, 1)
    assert work.size_bytes == len(IMAGE)
    assert world.truth.sha256 == work.sha256
    assert world.tally.snapshot(1).updated == 1


@pytest.mark.parametrize("szx", [0, 3, 6])
def test_blocks_of_any_size(szx: int) -> None:
    """A push is put together from blocks of whatever size, byte for byte."""
    world = World(QUICK)
    world.start()
    assert code_of(world.push(szx=szx)) == Code.CHANGED
    assert world.truth.work[-1].size_bytes == len(IMAGE)
    assert world.state() == (2, 0)


def test_an_image_in_one_message() -> None:
    """What fits into one message comes without blocks."""
    world = World(QUICK, becomes="07")
    world.start()
    answer = world.ask(Code.PUT, (5, 0, 0), b"small", content_format=42)
    assert code_of(answer) == Code.CHANGED
    assert world.state() == (2, 0)
    assert world.text(5, 0, 7) == "07"


def test_a_push_that_skips() -> None:
    """A block that leaves others out is 4.08, and so is one of a push that never began."""
    world = World(QUICK)
    world.start()
    for number in (3, 5):
        block = Block(number, True, 2)
        answer = world.ask(Code.PUT, (5, 0, 0), bytes(64), content_format=42, block1=block)
        assert code_of(answer) == Code.REQUEST_ENTITY_INCOMPLETE


@pytest.mark.parametrize("oddity", [Oddity.SMALL_BLOCKS, Oddity.SMALL_BUFFER])
def test_small_blocks(oddity: Oddity) -> None:
    """A device with a small buffer refuses large blocks with 4.13, and takes smaller ones."""
    world = odd(oddity)
    world.start()
    assert code_of(world.push()) == Code.CHANGED
    assert world.truth.work[-1].size_bytes == len(IMAGE)
    (work,) = world.truth.work
    assert work.by == "push"


def test_downloading_that_is_not_shown() -> None:
    """Some show idle, and then downloaded."""
    world = odd(Oddity.SKIPS_DOWNLOADING)
    world.start()
    world.ask(Code.GET, (5, 0, 3), observe=0, accept=0)
    world.push()
    assert [notice.payload for _, notice in world.head.notices] == [b"2"]


@pytest.mark.parametrize(
    ("sim", "way", "code"),
    [
        (device(delivery=PULL), "push", Code.BAD_REQUEST),
        (device(delivery=PUSH), "coap", Code.BAD_REQUEST),
        (device(schemes=(HTTP,)), "coap", Code.BAD_REQUEST),
        (device(delivery=BOTH), "http", Code.BAD_REQUEST),
        (device(delivery=BOTH), "ftp", Code.BAD_REQUEST),
    ],
)
def test_ways_that_it_does_not_have(sim: Lwm2mDevice, way: str, code: int) -> None:
    """What is not its way of delivery, or no scheme of its own, is refused; the latter with result 9."""
    world = World(QUICK, sim=sim)
    world.start()
    assert code_of(give(world, way)) == code
    is_scheme = (sim.delivery, way) not in ((PULL, "push"), (PUSH, "coap"))
    assert world.state() == (0, 9 if is_scheme else 0)


def test_a_second_image_is_refused() -> None:
    """While it has an image it takes no other, until it is reset."""
    world = World(QUICK)
    world.start()
    world.push()
    assert code_of(world.push()) == Code.BAD_REQUEST
    assert code_of(world.pull()) == Code.BAD_REQUEST
    assert code_of(world.ask(Code.PUT, (5, 0, 1), b"", content_format=0)) == Code.CHANGED
    assert world.state() == (0, 0)
    assert code_of(world.push()) == Code.CHANGED


def test_cancelling() -> None:
    """Resource 10 gives an image up with result 10, and is not there in 1.0."""
    world = World(QUICK)
    world.start()
    world.push()
    assert code_of(world.ask(Code.POST, (5, 0, 10))) == Code.CHANGED
    assert world.state() == (0, 10)
    old = World(QUICK, sim=device(enabler="1.0"))
    old.start()
    assert code_of(old.ask(Code.POST, (5, 0, 10))) == Code.METHOD_NOT_ALLOWED


@pytest.mark.parametrize("way", ["push", "coap", "http"])
@pytest.mark.parametrize("result", [2, 3, 4, 10])
def test_downloads_that_fail(way: str, result: int) -> None:
    """A download that breaks off for good leaves the reason; the next one goes well."""
    world = planned(Fate.DOWNLOAD_FAILS, code=result)
    give(world, way)
    assert world.state() == (0, result)
    (work,) = world.truth.work
    assert (work.result, work.installed, work.arrived_at) == (result, False, None)
    give(world, way)
    assert world.state() == (2, 0)


@pytest.mark.parametrize(
    ("fate", "result"), [(Fate.CORRUPTED, 5), (Fate.UNSUPPORTED, 6), (Fate.BAD_URI, 7)]
)
def test_images_that_are_refused(fate: Fate, result: int) -> None:
    """An image that is damaged, or not supported, or where nobody would fetch it, has its result."""
    world = planned(fate, uri_code=7)
    world.pull()
    assert world.state() == (0, result)
    assert world.tally.snapshot(1).failed == 1


def test_a_server_without_the_file() -> None:
    """An address with nothing behind it is result 7, over CoAP and over HTTP."""
    world = World(QUICK, sim=device(schemes=(COAP, HTTP)))
    world.on_fetch = lambda _fetch: Answer(status=404)
    world.start()
    for uri in ("coap://server.test:5683/fw/nothing", "http://server.test/fw/nothing"):
        world.pull(uri)
        assert world.state() == (0, 7)


def test_a_file_server_that_is_silent() -> None:
    """Over CoAP it asks long enough, and then it is result 4."""
    world = World(QUICK)
    world.start()
    world.deaf.add(world.device._last_channel + 1)
    world.pull()
    assert world.state() == (1, 0)
    world.run(300)
    assert world.state() == (0, 4)


def test_http_goes_on_where_it_was() -> None:
    """A connection that breaks, and a busy server, are asked again with a range."""
    asked: list[int] = []
    world = World(QUICK, sim=device(schemes=(HTTP,), delivery=PULL))

    def serve(fetch: Fetch) -> Answer:
        asked.append(fetch.offset)
        if len(asked) == 2:
            return Answer(error="broken")
        if len(asked) == 3:
            return Answer(status=503, retry_after_s=2.0)
        body = IMAGE[fetch.offset :][:2000]
        status = 206 if fetch.offset else 200
        return Answer(status=status, body=body, start=fetch.offset, total=len(IMAGE))

    world.on_fetch = serve
    world.start()
    world.pull("http://server.test/fw/image")
    assert world.state() == (2, 0)
    assert asked[:4] == [0, 2000, 2000, 2000]
    assert world.truth.work[-1].size_bytes == len(IMAGE)


@pytest.mark.parametrize(
    ("fate", "state", "result", "version"),
    [
        (Fate.INSTALL_FAILS, 0, 8, "01"),
        (Fate.FALLS_BACK, 0, 8, "01"),
        (Fate.VANISHES, 0, 0, "01"),
        (Fate.LOST_RESULT, 0, 0, "02"),
        (Fate.DEFERS, 2, 11, "01"),
        (Fate.RESTARTS_FIRST, 2, 0, "01"),
        (Fate.HANGS, 3, 0, "01"),
    ],
)
def test_installations(fate: Fate, state: int, result: int, version: str) -> None:
    """What an installation comes to shows in state, result and version, as real devices show it."""
    world = planned(fate, hang_s=3600.0)
    world.push()
    assert code_of(world.execute()) == Code.CHANGED
    world.run(60)
    assert world.state() == (state, result)
    assert world.text(3, 0, 3) == version == world.truth.version
    assert world.truth.work[-1].installed == (version == "02")


def test_a_failure_that_keeps_the_image() -> None:
    """Some are in state 2 after a failed installation, and install when they are told again."""
    world = planned(Fate.INSTALL_FAILS, keeps_image=True)
    world.push()
    world.execute()
    world.run(60)
    assert world.state() == (2, 8)
    world.execute()
    world.run(120)
    assert world.text(3, 0, 3) == "02"
    snapshot = world.tally.snapshot(1)
    assert (snapshot.updated, snapshot.failed, snapshot.executed) == (1, 1, 2)


def test_a_hanging_installation_falls_back() -> None:
    """What hangs for hours ends with the old version, and says so."""
    world = planned(Fate.HANGS, hang_s=3600.0)
    world.push()
    world.execute()
    world.run(3700)
    assert world.state() == (0, 8)
    assert world.text(3, 0, 3) == "01"


@pytest.mark.parametrize("way", ["coap", "http"])
def test_a_restart_in_the_middle(way: str) -> None:
    """A download does not outlive a restart; the device is idle afterwards, and takes it anew."""
    world = planned(Fate.INSTALLS, cut_at=0.5)
    give(world, way)
    world.run(30)
    assert len(world.head.registered[world.name]) == 2
    assert world.state() == (0, 0)
    assert world.truth.work[-1].arrived_at is None
    give(world, way)
    assert world.state() == (2, 0)


def test_a_restart_in_the_middle_of_a_push() -> None:
    """Blocks are forgotten by a restart, so the push that goes on is told to begin anew."""
    world = planned(Fate.INSTALLS, cut_at=0.5)
    assert code_of(world.push()) == Code.CHANGED
    assert len(world.head.registered[world.name]) == 2
    assert world.state() == (2, 0)
    cut, whole = world.truth.work
    assert (cut.arrived_at, cut.result) == (None, 0)
    assert whole.size_bytes == len(IMAGE)


def test_power_goes_while_it_installs() -> None:
    """An installation begins again with the power, and comes to its end."""
    world = World(Behaviour(install_s=(100.0, 100.0)))
    world.start()
    world.push()
    world.execute()
    world.run(50)
    world.device.switch(world.now, on=False)
    world.run(500)
    world.device.switch(world.now, on=True)
    world.run(50)
    assert world.state() == (3, 0)
    world.run(200)
    assert (world.state(), world.text(3, 0, 3)) == ((0, 1), "02")


def test_an_update_in_place() -> None:
    """Some update without a restart: the registration goes on."""
    world = World(replace(QUICK, in_place=1.0))
    world.start()
    world.push()
    world.execute()
    world.run(60)
    assert (world.state(), world.text(3, 0, 3)) == ((0, 1), "02")
    assert len(world.head.registered[world.name]) == 1


def test_a_slow_link() -> None:
    """A slow device takes as long as its link does."""
    world = World(replace(QUICK, slow=1.0, slow_bytes_per_s=100.0))
    world.start()
    world.pull()
    (work,) = world.truth.work
    assert work.arrived_at is not None
    assert work.arrived_at - work.began_at > 0.7 * len(IMAGE) / 100.0


def test_every_fate_is_drawn() -> None:
    """With all rates set, each fate and each code comes up; the same attempt is drawn the same."""
    behaviour = Behaviour(
        download_failure=0.2,
        corruption=0.05,
        unsupported=0.05,
        bad_uri=0.1,
        install_failure=0.05,
        fallback=0.05,
        silent_fallback=0.05,
        lost_result=0.05,
        hang=0.05,
        deferral=0.05,
        early_restart=0.05,
    )
    drawn = [behaviour.draw(1, IMEI, attempt) for attempt in range(1000)]
    assert {plan.fate for plan in drawn} == set(Fate)
    assert {plan.code for plan in drawn} == {2, 3, 4, 10}
    assert {plan.uri_code for plan in drawn} == {7, 9}
    assert behaviour.draw(1, IMEI, 3) == drawn[3]


@pytest.mark.parametrize(
    "wrong",
    [
        {"corruption": 1.5},
        {"fallback": 0.6, "hang": 0.6},
        {"moving": -0.1},
        {"slow_bytes_per_s": 0.0},
        {"powered_h": (2.0, 1.0)},
        {"install_s": (-1.0, 1.0)},
    ],
)
def test_behaviours_that_are_none(wrong: dict[str, object]) -> None:
    """Rates beyond 0 and 1, and spans that are none, are refused at once."""
    with pytest.raises(ValueError):
        Behaviour(**wrong)  # type: ignore[arg-type]  # its members
