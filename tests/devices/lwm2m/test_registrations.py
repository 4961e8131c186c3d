"""Registrations over plain CoAP: who may, what is kept, and what is answered."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import aiocoap
import pytest
from aiocoap import Code

from overair.devices.lwm2m.edge import Lwm2m
from tests.devices.field import imei
from tests.devices.lwm2m.gadget import free_port
from tests.devices.lwm2m.test_hostile import Stranger, plain_port
from tests.devices.lwm2m.test_spoofing import register_of
from tests.devices.lwm2m.yard import Yard, lwm2m_rules, open_yard
from tests.waiting import until


async def test_a_registration_is_kept(each_yard: Yard) -> None:
    """What a device said of itself is in the store when it has its answer."""
    gadget = await each_yard.gadget(1)
    gadget.more = "lwm2m=1.1&b=U&Q&sms=4912345"
    async with gadget.on():
        answer = await gadget.register()
        assert answer.code is Code.CREATED
        assert gadget.location[0] == "rd"
        kept = await each_yard.registration(1)
        assert kept is not None
        assert kept.location == gadget.location[1]
        assert kept.endpoint == f"urn:imei:{imei(1)}"
        assert kept.address == f"127.0.0.1:{gadget.port}"
        assert (kept.version, kept.binding, kept.queue_mode) == ("1.1", "U", True)
        assert (kept.lifetime_s, kept.sms, kept.objects) == (300, "4912345", gadget.objects)
        contact = (await each_yard.radio(1)).contact
        assert contact.registered
        assert contact.queue_mode
        assert contact.lifetime.total_seconds() == 300
        assert contact.last_contact == each_yard.field.clock.now()


async def test_a_registration_is_renewed_changed_and_ended(each_yard: Yard) -> None:
    """An Update prolongs and changes it; after the end its location is nobody's."""
    gadget = await each_yard.gadget(1)
    async with gadget.on():
        await gadget.register()
        first = await each_yard.registration(1)
        assert first is not None
        assert (await gadget.renew()).code is Code.CHANGED
        assert (await gadget.renew("?lt=1000&b=UQ")).code is Code.CHANGED
        kept = await each_yard.registration(1)
        assert kept is not None
        assert (kept.lifetime_s, kept.binding, kept.queue_mode) == (1000, "UQ", True)
        assert kept.expires_ms is not None
        assert first.expires_ms is not None
        assert kept.expires_ms - first.expires_ms == 700_000
        assert (await gadget.leave()).code is Code.DELETED
        assert await each_yard.registration(1) is None
        assert (await each_yard.radio(1)).contact.registered is False
        assert (await gadget.renew()).code is Code.NOT_FOUND
        assert (await gadget.leave()).code is Code.NOT_FOUND


async def test_registering_anew_ends_the_former_location(yard: Yard) -> None:
    """A second Register of an endpoint replaces the first at once."""
    gadget = await yard.gadget(1)
    async with gadget.on():
        await gadget.register()
        former = gadget.location
        await gadget.register()
        assert gadget.location != former
        assert (await gadget.renew()).code is Code.CHANGED
        gadget.location = former
        assert (await gadget.renew()).code is Code.NOT_FOUND
        assert len(yard.field.server.lwm2m.clients) == 1


async def test_registrations_survive_a_restart_of_the_server(tmp_path: Path) -> None:
    """A device that only updates its registration is known to the next server."""
    rules = lwm2m_rules(coap=f"127.0.0.1:{free_port()}")
    async with open_yard(tmp_path / "data", rules=rules) as yard:
        gadget = await yard.gadget(1)
        async with gadget.on():
            await gadget.register()
            server = yard.field.server
            await server.lwm2m.close()
            server.lwm2m = Lwm2m(server.lwm2m._rooms)
            await server.lwm2m.start()
            assert len(server.lwm2m.clients) == 1
            assert (await gadget.renew()).code is Code.CHANGED


async def test_a_registration_ends_with_its_lifetime(yard: Yard) -> None:
    """After the lifetime and the grace the device is not registered, and not reachable; nothing else is lost."""
    gadget = await yard.gadget(1)
    async with gadget.on():
        await gadget.register()
        yard.field.clock.advance(timedelta(seconds=300 + 246))
        assert (await gadget.renew()).code is Code.CHANGED
        yard.field.clock.advance(timedelta(seconds=300 + 248))

        async def gone() -> bool:
            return await yard.registration(1) is None

        await until(gone, "the end")
        assert (await yard.radio(1)).contact.registered is False
        assert (await gadget.renew()).code is Code.NOT_FOUND


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("lwm2m=1.1&ep=urn:imei:990013900000999", Code.FORBIDDEN),
        ("lwm2m=1.1&ep=nobody", Code.FORBIDDEN),
        ("lwm2m=1.1", Code.BAD_REQUEST),
        ("lwm2m=1.0", Code.BAD_REQUEST),
        ("lwm2m=2.0&ep=urn:imei:990013900000001", Code.PRECONDITION_FAILED),
        ("lwm2m=1.1&ep=urn:imei:990013900000001&lt=-1", Code.BAD_REQUEST),
        ("lwm2m=1.1&ep=urn:imei:990013900000001&lt=soon", Code.BAD_REQUEST),
        ("lwm2m=1.1&ep=urn:imei:990013900000001&lt=4294967296", Code.BAD_REQUEST),
        ("lwm2m=1.1&ep=urn:imei:990013900000001&pid=3", Code.CREATED),
        ("lwm2m=1.7&ep=990013900000001", Code.CREATED),
        ("lwm2m=1.0&ep=imei:99001390000000", Code.CREATED),
    ],
)
async def test_what_a_register_says_is_checked(yard: Yard, query: str, code: Code) -> None:
    """Each mistake has its answer, and what only some clients write is none."""
    gadget = await yard.gadget(1)
    async with gadget.on():
        answer = await gadget.ask(
            aiocoap.POST, f"/rd?{query}", gadget.objects.encode(), content_format=40
        )
        assert answer.code is code


@pytest.mark.parametrize("facts", [{"protocol": "HTTP"}, {"status": "Suspended"}])
async def test_only_active_lwm2m_devices_may_register(yard: Yard, facts: dict[str, Any]) -> None:
    """A device of another protocol, or one that is not active, is refused."""
    gadget = await yard.gadget(1, **facts)
    async with gadget.on():
        assert (await gadget.register()).code is Code.FORBIDDEN


async def test_without_the_setting_nobody_registers_in_the_clear(tmp_path: Path) -> None:
    """NoSec has to be switched on."""
    async with open_yard(tmp_path / "data", rules=lwm2m_rules(no_sec=False)) as yard:
        gadget = await yard.gadget(1)
        async with gadget.on():
            assert (await gadget.register()).code is Code.FORBIDDEN


async def test_a_full_server_says_so(tmp_path: Path) -> None:
    """Above the limit a device is told to come again; whoever has a place keeps it when it registers anew."""
    async with open_yard(tmp_path / "data", rules=lwm2m_rules(max_registrations=1)) as yard:
        first, second = await yard.gadget(1), await yard.gadget(2)
        async with first.on(), second.on():
            assert (await first.register()).code is Code.CREATED
            answer = await second.register()
            assert answer.code is Code.SERVICE_UNAVAILABLE
            assert answer.opt.max_age == 30
            assert (await first.register()).code is Code.CREATED
            assert (await second.register()).code is Code.SERVICE_UNAVAILABLE


async def test_a_device_that_moves_is_followed(yard: Yard) -> None:
    """An Update from another port is believed, and what is asked of the device goes there."""
    gadget = await yard.gadget(1)
    async with gadget.on():
        await gadget.register()
        await gadget.stop()
        gadget.log.clear()
        await gadget.start()
        assert (await gadget.renew()).code is Code.CHANGED
        kept = await yard.registration(1)
        assert kept is not None
        assert kept.address == f"127.0.0.1:{gadget.port}"
        await yard.campaign(1)
        await yard.comes_to(1, "finished")


async def test_other_paths_and_methods(yard: Yard) -> None:
    """What there is not is 4.04, what cannot be done with what there is 4.05."""
    gadget = await yard.gadget(1)
    async with gadget.on():
        assert (await gadget.ask(aiocoap.GET, "/")).code is Code.NOT_FOUND
        assert (await gadget.ask(aiocoap.GET, "/rd")).code is Code.METHOD_NOT_ALLOWED
        assert (await gadget.ask(aiocoap.GET, "/fw/1-00")).code is Code.NOT_FOUND
        assert (await gadget.ask(aiocoap.POST, "/dp", b"[]")).code is Code.NOT_FOUND
        await gadget.register()
        path = "/" + "/".join(gadget.location)
        assert (await gadget.ask(aiocoap.GET, path)).code is Code.METHOD_NOT_ALLOWED


async def test_a_list_with_a_zero_in_it_disturbs_nobody_else(each_yard: Yard) -> None:
    """What a database cannot hold is refused before it spoils the registrations of others."""
    gadget = await each_yard.gadget(1)
    gadget.objects = '</>;rt="\0",</3/0>'
    async with gadget.on():
        assert (await gadget.register()).code is Code.BAD_REQUEST
        gadget.objects = "</3/0>"
        assert (await gadget.register()).code is Code.CREATED


async def test_registrations_from_one_address_are_counted(tmp_path: Path) -> None:
    """Above the rate that is set there is silence, for that address; after a while there is not."""
    async with open_yard(tmp_path / "data", rules=lwm2m_rules(register_rate=5)) as yard:
        await yard.gadget(1)
        stranger = Stranger(plain_port(yard))
        try:
            for mid in range(10):
                answer = await stranger.ask(register_of(1, 0x1000 + mid))
                assert answer[1] == int(Code.CREATED)
            late = register_of(1, 0x2000)
            kept = await yard.registration(1)
            for _ in range(2):
                stranger.send(late)
                assert await stranger.ask(b"\x40\x00\x00\x01") == b"\x70\x00\x00\x01"
            registrar = yard.field.server.lwm2m.registrar
            assert not registrar._arrivals
            assert registrar._writing is None
            assert await yard.registration(1) == kept

            async def taken() -> bool:
                stranger.send(late)  # the same message, later
                return await yard.registration(1) != kept

            await until(taken, "a registration")
        finally:
            stranger.close()
