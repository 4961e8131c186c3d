"""A simulated device's life: registration, sleep, power, network and cells."""

from itertools import pairwise

import pytest

from overair.protocols.coap.numbers import Code
from overair.protocols.coap.values import Response
from overair.protocols.lwm2m.formats import ContentFormat, decode
from overair.protocols.lwm2m.objects import read_connectivity, read_device, read_firmware
from overair.protocols.lwm2m.values import Readings
from overair.sim.lwm2m.profile import Behaviour, Oddity
from overair.sim.lwm2m.roster import Lwm2mDevice
from overair.sim.lwm2m.tally import Kind
from tests.sim.lwm2m.world import IMAGE, World

IMEI = "990013900000014"


def odd(oddity: Oddity, **more: object) -> World:
    """Return a world whose device has that oddity, and no other."""
    sim = Lwm2mDevice(imei=IMEI, **more)  # type: ignore[arg-type]  # its members
    for seed in range(2000):
        world = World(Behaviour(odd=1.0), sim=sim, seed=seed)
        if world.device.plan.oddities == {oddity}:
            return world
    raise AssertionError("no seed has it")


def test_it_registers_with_what_it_is() -> None:
    """A Register says name, lifetime, version and objects; the server's location is kept."""
    world = World(sim=Lwm2mDevice(imei=IMEI, lifetime_s=7200))
    world.start()
    asked = world.head.seen(f"urn:imei:{IMEI}").register
    assert (asked.lifetime, asked.version, asked.queue_mode) == (7200, "1.1", False)
    assert {(3, 0), (4, 0), (5, 0)} <= asked.objects.paths
    assert asked.objects.version(5) == "1.1"
    assert world.device.is_registered
    assert world.tally.snapshot(1).registered == 1


def test_it_speaks_1_0_too() -> None:
    """An old device says so, has its queue mode in its binding, and answers in TLV."""
    sim = Lwm2mDevice(imei=IMEI, enabler="1.0", queue_mode=True)
    world = World(sim=sim)
    world.start()
    asked = world.head.seen(world.name).register
    assert (asked.version, asked.binding, asked.queue_mode) == ("1.0", "UQ", True)
    answer = world.ask(Code.GET, (3, 0))
    assert answer is not None
    assert answer.content_format == ContentFormat.TLV
    assert world.ask(Code.GET, (3, 0), accept=ContentFormat.SENML_CBOR) == Response(
        code=Code.NOT_ACCEPTABLE
    )


def test_its_updates_come_before_its_lifetime_ends() -> None:
    """Updates come early enough to be repeated, again and again, and nothing is registered anew."""
    world = World(sim=Lwm2mDevice(imei=IMEI, lifetime_s=3600))
    world.start()
    world.run(5 * 3600)
    (seen,) = world.head.registered[world.name]
    times = [seen.at, *seen.updates]
    assert len(times) >= 5
    assert all(b - a < 3600 - 90 for a, b in pairwise(times))


def test_a_server_that_forgot_it() -> None:
    """A 4.04 to an Update is followed by a Register at once."""
    world = World(sim=Lwm2mDevice(imei=IMEI, lifetime_s=300))
    world.start()
    world.head.answers.append(Response(code=Code.NOT_FOUND))
    world.run(300)
    assert len(world.head.registered[world.name]) == 2
    assert world.device.is_registered


def test_a_server_that_does_not_want_it() -> None:
    """Refusals are noted, and it comes again after pauses that grow."""
    world = World()
    world.head.answers += [Response(code=Code.FORBIDDEN)] * 3
    world.start()
    assert world.tally.registered == 0
    assert set(world.truth.errors) == {"a Register was answered with 4.03"}
    world.run(300)
    assert world.device.is_registered
    assert len(world.truth.errors) == 3


def test_its_objects_can_be_read() -> None:
    """Objects 3, 4 and 5 say what it is, where it is, and how its update machine stands."""
    world = World()
    world.start()
    found: Readings = {}
    for number in (3, 4, 5):
        answer = world.ask(Code.GET, (number, 0), accept=ContentFormat.SENML_CBOR)
        assert answer is not None
        found |= decode(answer.content_format, (number, 0), answer.payload)
    device, firmware = read_device(found, 0), read_firmware(found)
    assert (device.manufacturer, device.model) == ("Acme", "X1")
    assert device.firmware_version == "01"
    radio = read_connectivity(found, 0)
    assert (radio.mcc, radio.mnc, radio.cell_id) == tuple(world.device.cell)
    assert radio.signal == world.device.plan.signal
    assert (firmware.state, firmware.result) == (0, 0)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        (Code.GET, (0, 0), Code.UNAUTHORIZED),
        (Code.GET, (9, 0), Code.NOT_FOUND),
        (Code.POST, (5, 0, 2), Code.METHOD_NOT_ALLOWED),
        (Code.PUT, (3, 0, 3), Code.METHOD_NOT_ALLOWED),
        (Code.DELETE, (3, 0), Code.METHOD_NOT_ALLOWED),
    ],
)
def test_what_is_refused(method: int, path: tuple[int, ...], code: int) -> None:
    """Keys, unknown objects, executes in a wrong state and writes to what is read-only are refused."""
    world = World()
    world.start()
    answer = world.ask(method, path, b"1" if method == Code.PUT else b"", content_format=0)
    assert answer is not None
    assert answer.code == code


def test_it_tells_of_its_cell() -> None:
    """Who observes the cell is told of each move; a cancelled observation is told nothing."""
    world = World()
    world.start()
    answer = world.ask(Code.GET, (4, 0, 8), observe=0, accept=0)
    assert answer is not None
    assert answer.observe is not None
    world.device.move(world.now, world.cells[3])
    world.run(5)
    ((_, notice),) = world.head.notices
    assert notice.payload.decode() == str(world.cells[3].cell_id)
    world.ask(Code.GET, (4, 0, 8), observe=1, accept=0)
    world.device.move(world.now, world.cells[1])
    world.run(5)
    assert len(world.head.notices) == 1


def test_a_move_out_of_the_network_is_told_afterwards() -> None:
    """Who moves while it is not reached tells of its new cell once it is back, after its Update."""
    world = World()
    world.start()
    world.ask(Code.GET, (4, 0, 8), observe=0, accept=0)
    world.device.reach(world.now, reached=False)
    world.device.move(world.now, world.cells[2])
    world.run(100)
    assert world.head.notices == []
    world.device.reach(world.now, reached=True)
    world.run(10)
    ((_, notice),) = world.head.notices
    assert notice.payload.decode() == str(world.cells[2].cell_id)
    assert len(world.head.seen(world.name).updates) == 1


def test_out_of_the_network_nothing_goes_either_way() -> None:
    """Questions get no answer, and nothing is said; afterwards it goes on with its registration."""
    world = World(sim=Lwm2mDevice(imei=IMEI, lifetime_s=600))
    world.start()
    world.device.reach(world.now, reached=False)
    assert world.ask(Code.GET, (3, 0, 3), accept=0) is None
    world.run(1200)
    assert world.head.seen(world.name).updates == []
    world.device.reach(world.now, reached=True)
    world.run(10)
    assert len(world.head.seen(world.name).updates) == 1
    assert world.text(3, 0, 3) == "01"


def test_queue_mode() -> None:
    """It listens for a while after its last message, is asleep then, and awake with its next Update."""
    world = World(sim=Lwm2mDevice(imei=IMEI, lifetime_s=3600, queue_mode=True, awake_s=93.0))
    world.start()
    world.run(60)
    assert world.text(3, 0, 3) == "01"
    world.run(85)
    assert world.text(3, 0, 3) == "01"
    world.run(94)
    assert world.device.link.is_asleep
    assert world.ask(Code.GET, (3, 0, 3), accept=0) is None
    before = world.wire
    world.run(3600)
    (update,) = world.head.seen(world.name).updates
    assert update > before
    world.run(max(0.0, update + 20 - world.wire))


def test_it_does_not_sleep_at_work() -> None:
    """A device that fetches an image or installs one stays awake for it."""
    sim = Lwm2mDevice(imei=IMEI, lifetime_s=86400, queue_mode=True, awake_s=20.0)
    behaviour = Behaviour(install_s=(100.0, 100.0), slow=1.0, slow_bytes_per_s=len(IMAGE) / 70)
    world = World(behaviour, sim=sim)
    world.start()
    world.pull()
    assert world.state() == (1, 0)
    world.run(15)
    assert world.state() == (2, 0)
    world.execute()
    world.run(60)
    assert world.state() == (3, 0)


def test_power() -> None:
    """Without power it hears nothing; with power again it registers anew, from another port."""
    world = World()
    world.start()
    before = world.head.seen(world.name)
    world.device.switch(world.now, on=False)
    world.run(100)
    assert world.device.channels == ()
    assert world.device.wake_at == (None, None)
    world.device.switch(world.now, on=True)
    world.run(10)
    after = world.head.seen(world.name)
    assert (after.location, after.peer) != (before.location, before.peer)
    kinds = [moment.kind for moment in world.truth.moments]
    assert kinds == [Kind.ON, Kind.REGISTERED, Kind.OFF, Kind.ON, Kind.REGISTERED]


def test_it_restarts_when_it_is_told() -> None:
    """Resource 4 of object 3 is answered first, and then it is gone for a moment."""
    world = World()
    world.start()
    answer = world.ask(Code.POST, (3, 0, 4))
    assert answer is not None
    assert answer.code == Code.CHANGED
    world.run(60)
    assert len(world.head.registered[world.name]) == 2
    assert world.tally.restarts == 1


def test_the_update_trigger() -> None:
    """Resource 8 of object 1 makes it update its registration at once."""
    world = World()
    world.start()
    world.ask(Code.POST, (1, 0, 8))
    world.run(5)
    assert len(world.head.seen(world.name).updates) == 1


def test_it_leaves() -> None:
    """It de-registers, if it is registered."""
    world = World()
    world.start()
    location = world.head.seen(world.name).location
    world.device.leave(world.now)
    world.run(5)
    assert world.head.gone == [location]
    assert world.tally.registered == 0


def test_schedules() -> None:
    """Devices that move, or lose network and power, do so for days, and come back each time."""
    behaviour = Behaviour(
        moving=1.0,
        unreachable=1.0,
        powerless=1.0,
        move_every_h=(1.0, 3.0),
        reachable_h=(1.0, 4.0),
        unreachable_h=(0.5, 2.0),
        powered_h=(2.0, 6.0),
        powerless_h=(0.5, 2.0),
    )
    world = World(behaviour, sim=Lwm2mDevice(imei=IMEI, lifetime_s=1800), seed=3)
    world.start()
    world.run(4 * 86400)
    kinds = [moment.kind for moment in world.truth.moments]
    for kind in (Kind.MOVED, Kind.LOST, Kind.REACHED, Kind.OFF, Kind.ON, Kind.REGISTERED):
        assert kinds.count(kind) >= 4, kind
    assert world.truth.errors == ()


def test_the_same_seed_is_the_same_life() -> None:
    """Two runs with one seed agree in every moment; another seed is another life."""
    behaviour = Behaviour(moving=1.0, unreachable=1.0, powerless=1.0, odd=1.0)

    def life(seed: int) -> object:
        world = World(behaviour, seed=seed)
        world.start()
        world.run(2 * 86400)
        return world.truth.moments

    assert life(5) == life(5) != life(6)


def test_a_bad_network() -> None:
    """With a fifth of all datagrams lost it registers, is read and pushed to all the same."""
    world = World(loss=0.2, seed=4)
    world.device.start(world.now)
    world.run(300)
    assert world.device.is_registered
    answer = world.push()
    assert answer is not None
    assert answer.code == Code.CHANGED
    assert world.truth.work[-1].size_bytes > 0


def test_another_port_after_sleep() -> None:
    """Some wake on another port and register anew."""
    world = odd(Oddity.NEW_PORT, queue_mode=True, lifetime_s=600)
    world.start()
    world.run(700)
    seen = world.head.registered[world.name]
    assert len({each.peer for each in seen}) == len(seen) > 1
    assert all(each.updates == [] for each in seen)


def test_instances_that_are_not_found() -> None:
    """Some say 4.04 to an instance, and give its resources."""
    world = odd(Oddity.NO_INSTANCE_READS)
    world.start()
    answer = world.ask(Code.GET, (3, 0))
    assert answer is not None
    assert answer.code == Code.NOT_FOUND
    assert world.text(3, 0, 3) == "01"


def test_observations_that_are_none() -> None:
    """Some answer an observation as a plain read, and never notify."""
    world = odd(Oddity.NO_OBSERVE)
    world.start()
    answer = world.ask(Code.GET, (4, 0, 8), observe=0, accept=0)
    assert answer is not None
    assert (answer.code, answer.observe) == (Code.CONTENT, None)


def test_the_result_after_a_restart() -> None:
    """Some send state, result and version by themselves when they are back."""
    world = odd(Oddity.SENDS_RESULT)
    world.start()
    world.push()
    world.execute()
    world.run(600)
    (body,) = world.head.sent
    told = decode(ContentFormat.SENML_CBOR, (), body)
    assert told == {(5, 0, 3): 0, (5, 0, 5): 1, (3, 0, 3): "02"}


def test_old_tokens() -> None:
    """Some notify under the token from before the restart, from their new port."""
    world = odd(Oddity.OLD_TOKEN)
    world.start()
    world.ask(Code.GET, (5, 0, 5), observe=0, accept=0)
    world.push()
    world.execute()
    world.run(600)
    assert world.head.notices[-1][1].payload == b"1"
