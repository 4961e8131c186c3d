"""Firmware attempts from the campaign to the version, with a device that is made of aiocoap."""

import asyncio
from pathlib import Path

import aiocoap
import pytest

from overair.config import Lwm2mModel
from overair.devices.lwm2m.edge import Lwm2m
from overair.devices.lwm2m.images import PIECE
from overair.fleetfile import shapes
from overair.protocols.coap.events import TimedOut
from tests.devices.field import imei
from tests.devices.lwm2m.gadget import free_port
from tests.devices.lwm2m.noise import Noise
from tests.devices.lwm2m.test_hostile import Stranger, plain_port
from tests.devices.lwm2m.yard import IMAGE, Yard, lwm2m_rules, open_yard
from tests.waiting import until


async def test_an_image_is_pushed_and_installed(each_yard: Yard) -> None:
    """A registered device is pushed the image, told to update once, and succeeds when it is back."""
    yard = each_yard
    gadget = await yard.gadget(1)
    async with gadget.on():
        assert (await gadget.register()).code.is_successful()
        campaign = await yard.campaign(1)
        await yard.comes_to(1, "finished")
        assert gadget.image == IMAGE
        assert gadget.executes == 1
        assert await yard.version(1) == "02"
        assert await yard.place(1, campaign) == ("succeeded", "success")


async def test_a_device_that_comes_later_has_its_turn_then(yard: Yard) -> None:
    """An attempt that was opened while nobody was there is carried out when its device registers."""
    gadget = await yard.gadget(1)
    await yard.campaign(1)
    assert await yard.state(1) in ("", "offered")
    async with gadget.on():
        await gadget.register()
        await yard.comes_to(1, "finished")
        assert gadget.image == IMAGE


async def test_an_image_gets_through_a_bad_network(yard: Yard) -> None:
    """With a fifth of all datagrams lost, others doubled or late, the device has the exact bytes."""
    gadget = await yard.gadget(1)
    socket = yard.field.server.lwm2m.plain
    assert socket is not None
    with Noise(("127.0.0.1", socket.address[1]), seed=7, loss=0.2) as noise:
        gadget.server = noise.address
        async with gadget.on():
            await gadget.register()
            await yard.campaign(1)
            await yard.comes_to(1, "finished")
            assert gadget.image == IMAGE
            assert gadget.executes == 1
    assert noise.lost > 5


@pytest.mark.parametrize("block_bytes", [64, 512])
async def test_the_size_of_blocks_is_the_models(tmp_path: Path, block_bytes: int) -> None:
    """A model that wants smaller blocks gets them."""
    rules = lwm2m_rules(models={"Acme X1": Lwm2mModel(block_bytes=block_bytes)})
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1)
        socket = yard.field.server.lwm2m.plain
        assert socket is not None
        server = ("127.0.0.1", socket.address[1])
        with Noise(server, seed=1, loss=0.0, doubled=0.0) as noise:
            gadget.server = noise.address
            async with gadget.on():
                await gadget.register()
                await yard.campaign(1)
                await yard.comes_to(1, "finished")
                assert gadget.image == IMAGE
        assert block_bytes < noise.longest < block_bytes + 40  # with header, token and options


async def test_the_patience_is_the_models(tmp_path: Path) -> None:
    """A model that is slow to answer is given its own time before it is asked again, and is asked as often as it has it."""
    model = Lwm2mModel(ack_timeout_s=30, ack_random_factor=1, max_retransmit=1)
    rules = lwm2m_rules(models={"Acme X1": model})
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1)
        name = f"ep={gadget.endpoint}".encode()
        register = b"\x40\x02\x00\x01\xb2rd\x4d" + bytes([len(name) - 13]) + name
        register += b"\x09lwm2m=1.1\xff</3/0>"
        stranger = Stranger(plain_port(yard))
        try:
            answer = await stranger.ask(register)
            assert answer[1] == int(aiocoap.CREATED)
            exchanges = yard.field.server.lwm2m.exchanges

            async def asked() -> bool:
                return exchanges.endpoint.next_due is not None

            await until(asked, "a question")
            due = exchanges.endpoint.next_due
            assert due is not None
            assert 25 < due - exchanges.now() <= 30
            endpoint = exchanges.endpoint
            assert not [each for each in endpoint.tick(due) if isinstance(each, TimedOut)]
            again = endpoint.next_due
            assert again is not None
            assert 59 < again - due < 61
            assert [each for each in endpoint.tick(again) if isinstance(each, TimedOut)]
        finally:
            stranger.close()


async def test_a_device_that_falls_back_has_failed(yard: Yard) -> None:
    """Result 8 after the restart is a failure of the installation, with the device's words."""
    gadget = await yard.gadget(1)
    gadget.on_execute = gadget.fall_back
    async with gadget.on():
        await gadget.register()
        await yard.campaign(1)
        await yard.comes_to(1, "failed")
        assert (8, "Firmware update failed") in await yard.words(1)
        attempt = await yard.attempt(1)
        assert attempt is not None
        assert attempt.reason == "install_failed"
        assert await yard.version(1) == "01"
        assert gadget.executes == 1


async def test_a_device_that_restarts_without_updating_has_failed(yard: Yard) -> None:
    """State and result 0 with the old version after a new registration: it did not update."""
    gadget = await yard.gadget(1)

    async def nothing() -> None:
        gadget.values |= {"5/0/3": "0", "5/0/5": "0"}
        await gadget.restart()

    gadget.on_execute = nothing
    async with gadget.on():
        await gadget.register()
        await yard.campaign(1)
        await yard.comes_to(1, "failed")
        attempt = await yard.attempt(1)
        assert attempt is not None
        assert attempt.reason == "version_unchanged"


async def test_a_result_that_is_lost_is_read_from_the_version(yard: Yard) -> None:
    """State and result 0 with the new version is a success."""
    gadget = await yard.gadget(1)

    async def forgetful() -> None:
        gadget.values |= {"5/0/3": "0", "5/0/5": "0", "3/0/3": "02"}
        await gadget.restart()

    gadget.on_execute = forgetful
    async with gadget.on():
        await gadget.register()
        await yard.campaign(1)
        await yard.comes_to(1, "finished")


async def test_what_is_there_already_is_not_sent(yard: Yard) -> None:
    """A device that shows the target version succeeds without a download."""
    gadget = await yard.gadget(1)
    gadget.values["3/0/3"] = "02"
    await yard.campaign(1)
    async with gadget.on():
        await gadget.register()
        await yard.comes_to(1, "finished")
        assert gadget.image == b""
        assert gadget.executes == 0


async def test_a_bad_image_is_not_sent_again(yard: Yard) -> None:
    """Result 2, no room for the image, is final."""
    gadget = await yard.gadget(1)

    def no_room() -> None:
        gadget.show("5/0/5", "2")

    gadget.on_image = no_room
    async with gadget.on():
        await gadget.register()
        campaign = await yard.campaign(1)
        await yard.comes_to(1, "failed")
        assert (await yard.place(1, campaign))[0] == "failed"
        assert (2, "Not enough flash memory on the device") in await yard.words(1)


async def test_a_device_without_the_object_fails_for_good(yard: Yard) -> None:
    """No object 5 in its list: there is nothing that another try could do."""
    gadget = await yard.gadget(1)
    gadget.objects = "</1/0>,</3/0>"
    async with gadget.on():
        await gadget.register()
        campaign = await yard.campaign(1)
        await yard.comes_to(1, "failed")
        assert (await yard.place(1, campaign))[0] == "failed"
        assert (None, "No firmware update object") in await yard.words(1)


async def test_the_machine_is_reset_when_it_holds_something_else(yard: Yard) -> None:
    """A device that holds a package of somebody else is reset, and then given ours."""
    gadget = await yard.gadget(1)
    gadget.values["5/0/3"] = "2"
    async with gadget.on():
        await gadget.register()
        await yard.campaign(1)
        await yard.comes_to(1, "finished")
        assert gadget.image == IMAGE
        assert gadget.log.index("PUT 5/0/1") < gadget.log.index("PUT 5/0/0")


async def test_a_device_that_restarts_in_the_middle_is_offered_it_again(tmp_path: Path) -> None:
    """A device that is off in the middle of the transfer has it from the beginning when it is back."""
    rules = lwm2m_rules(models={"Acme X1": Lwm2mModel(block_bytes=64)})
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1)
        socket = yard.field.server.lwm2m.plain
        assert socket is not None
        with Noise(("127.0.0.1", socket.address[1]), seed=3, loss=0.0, doubled=0.0) as noise:
            gadget.server = noise.address
            async with gadget.on():
                await gadget.register()
                await yard.campaign(1)
                await until(lambda: _is(noise.passed > 100), "the middle of the transfer")
                assert await yard.state(1) == "running"
                assert gadget.image == b""
                await gadget.restart()
                await yard.comes_to(1, "finished")
                assert gadget.image == IMAGE
                assert gadget.executes == 1


async def _is(value: bool) -> bool:
    return value


async def test_a_new_server_goes_on_and_tells_it_no_second_time(tmp_path: Path) -> None:
    """A server that is started anew while a device installs waits for it, and does not execute again."""
    rules = lwm2m_rules(coap=f"127.0.0.1:{free_port()}")
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1)

        async def never() -> None:
            return

        gadget.on_execute = never
        async with gadget.on():
            await gadget.register()
            before = gadget.location
            await yard.campaign(1)
            await until(lambda: _is(gadget.executes == 1), "the command")
            server = yard.field.server
            await server.lwm2m.close()
            server.lwm2m = Lwm2m(server.lwm2m._rooms)
            await server.lwm2m.start()
            # It is known still, and where it is.
            gadget.location = before
            assert (await gadget.renew()).code.is_successful()
            reads = gadget.log.count("GET 5/0/3")
            await until(lambda: _is(gadget.log.count("GET 5/0/3") > reads), "a look at it")
            assert gadget.executes == 1
            await gadget.update()
            await yard.comes_to(1, "finished")
            assert gadget.executes == 1


async def test_an_image_is_fetched_over_coap(tmp_path: Path) -> None:
    """A device that pulls is given an address, fetches it from another port, and updates."""
    port = free_port()
    rules = lwm2m_rules(
        coap=f"127.0.0.1:{port}", public_coap=f"127.0.0.1:{port}", plain_download=True
    )
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1)
        gadget.values["5/0/9"] = "0"
        async with gadget.on():
            await gadget.register()
            await yard.campaign(1)
            await yard.comes_to(1, "finished")
            assert gadget.image == IMAGE
            assert gadget.values["5/0/1"].startswith(f"coap://127.0.0.1:{port}/fw/")
            path = gadget.values["5/0/1"].removeprefix(gadget.server)
            answer = await gadget.ask(aiocoap.GET, path)
            assert answer.code is aiocoap.NOT_FOUND


async def test_an_image_is_there_over_http_while_its_attempt_is(tmp_path: Path) -> None:
    """The token of an attempt opens the image over HTTP, in parts too, until the attempt is over."""
    port = free_port()
    rules = lwm2m_rules(
        coap=f"127.0.0.1:{port}", public_coap=f"127.0.0.1:{port}", plain_download=True
    )
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1)
        gadget.values["5/0/9"] = "0"
        told: list[str] = []

        async def note(uri: str) -> None:
            told.append(uri)
            gadget.show("5/0/3", "1")

        gadget.on_uri = note
        async with gadget.on():
            await gadget.register()
            await yard.campaign(1)
            await until(lambda: _is(bool(told)), "the address")
            path = "/fw/" + told[0].rpartition("/")[2]
            wire = await yard.field.wire()
            whole = await wire.ask("GET", path)
            assert (whole.status, whole.body) == (200, IMAGE)
            tag = whole.header("etag")
            assert tag is not None
            part = await wire.ask("GET", path, {"Range": "bytes=100-199", "If-Range": tag})
            assert (part.status, part.body) == (206, IMAGE[100:200])
            assert (await wire.ask("HEAD", path)).header("content-length") == str(len(IMAGE))
            assert (await wire.ask("POST", path)).status == 405
            forged = path[:-1] + ("x" if path[-1] != "x" else "y")
            assert (await wire.ask("GET", forged)).status == 404
            gadget.image = whole.body
            gadget.show("5/0/3", "2")
            await yard.comes_to(1, "finished")
            assert (await wire.ask("GET", path)).status == 404


async def test_plain_downloads_need_the_setting(yard: Yard) -> None:
    """Without it a device that can only pull over CoAP fails, and is told no address."""
    gadget = await yard.gadget(1)
    gadget.values["5/0/9"] = "0"
    async with gadget.on():
        await gadget.register()
        await yard.campaign(1)
        await yard.comes_to(1, "failed")
        assert "PUT 5/0/1" not in gadget.log
        assert (None, "Unsupported download protocol") in await yard.words(1)


async def test_images_are_read_once_for_all(yard: Yard) -> None:
    """Ten devices are sent the image from one piece of memory."""
    gadgets = [await yard.gadget(number) for number in range(1, 11)]
    for gadget in gadgets:
        await gadget.start()
    try:
        for gadget in gadgets:
            await gadget.register()
        await yard.campaign(*range(1, 11))
        for number, gadget in enumerate(gadgets, 1):
            await yard.comes_to(number, "finished")
            assert gadget.image == IMAGE
        pieces = yard.field.server.files.images._pieces
        assert len(pieces) == -(-len(IMAGE) // PIECE)
    finally:
        for gadget in gadgets:
            await gadget.stop()


async def test_where_a_licensed_device_is_is_read_and_followed(yard: Yard) -> None:
    """The cell of a licensed device is read at its registration, and again when it says that it moved."""
    gadget = await yard.gadget(1)
    await yard.license(1)
    async with gadget.on():
        await gadget.register()

        async def here() -> bool:
            radio = await yard.radio(1)
            assert radio.cell == "311-480-84281345"
            assert radio.signal_dbm == -97
            return True

        await until(here, "its cell")
        await until(lambda: _is(bool(gadget.tree.observations.get("4/0/8"))), "the observation")
        gadget.values["4/0/2"] = "-60"
        gadget.show("4/0/8", "5")

        async def there() -> bool:
            radio = await yard.radio(1)
            assert radio.cell == "311-480-5"
            assert radio.signal_dbm == -60
            return True

        await until(there, "its new cell")


async def test_the_endpoint_may_have_any_name(yard: Yard) -> None:
    """A device that the fleet file names otherwise registers under that name, and under no other."""
    gadget = await yard.gadget(1, block=shapes.Lwm2m(endpoint="meter-7"))
    async with gadget.on():
        assert str(gadget.endpoint) == f"urn:imei:{imei(1)}"
        assert (await gadget.register()).code == 131
        gadget.endpoint = "meter-7"
        assert (await gadget.register()).code.is_successful()


async def test_a_server_that_stops_in_the_midst_of_attempts(tmp_path: Path) -> None:
    """A device that was heard while it was seen to is not seen to again by a server that stops."""
    async with open_yard(tmp_path / "data") as yard:
        gadget = await yard.gadget(1)
        told = asyncio.Event()

        async def hang() -> None:
            told.set()

        gadget.on_execute = hang
        async with gadget.on():
            await gadget.register()
            await yard.campaign(1)
            await asyncio.wait_for(told.wait(), 20)
            before = len(gadget.log)
            await gadget.renew()

            async def looked() -> bool:
                return "GET 3/0/3" in gadget.log[before:]

            await until(looked, "another look at it")
        visits = yard.field.server.lwm2m.visits
        assert len(visits) == 1
    assert len(visits) == 0


async def test_an_image_that_cannot_be_read(yard: Yard) -> None:
    """Its device has done nothing wrong, and hears no more of it: the attempt failed for our own reason."""
    gadget = await yard.gadget(1)
    data = Path(yard.field.settings.data)
    lost = [
        path for path in data.rglob("*") if path.is_file() and path.stat().st_size == len(IMAGE)
    ]
    for path in lost:
        path.unlink()
    assert lost
    async with gadget.on():
        await gadget.register()
        await yard.campaign(1)
        await yard.comes_to(1, "failed")
        attempt = await yard.attempt(1)
        assert attempt is not None
        assert attempt.reason == "internal"
        assert (None, "The image cannot be read") in await yard.words(1)
        assert gadget.image == b""
