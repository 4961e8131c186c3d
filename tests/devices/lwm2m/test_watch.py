"""What is asked of devices beside their upgrades: reports that somebody wants, and where they are."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from overair.engine import inventory
from overair.engine.licenses import remove_licenses
from overair.store import Tx, lwm2m_watch
from overair.store import inventory as kept
from overair.store.lwm2m_watch import Asked
from tests.devices.field import device_of, imei
from tests.devices.lwm2m.gadget import Gadget
from tests.devices.lwm2m.yard import Yard, lwm2m_rules, open_yard
from tests.waiting import until

QUEUED = "lwm2m=1.1&Q"


async def _is(value: bool) -> bool:
    return value


async def _ask(yard: Yard, number: int) -> None:
    """As ``overair device refresh`` and v3 do."""
    now = yard.field.clock.now()
    await yard.field.run(lambda tx: inventory.ask_again(tx, device_of(tx, imei(number)), now))


async def _asked(yard: Yard, number: int) -> Asked | None:
    def read(tx: Tx) -> Asked | None:
        device_id = device_of(tx, imei(number))
        return lwm2m_watch.asked(tx, [device_id]).get(device_id)

    return await yard.field.run(read)


async def _told(yard: Yard, number: int) -> None:
    await until(lambda: _answered(yard, number), "the report")


async def _answered(yard: Yard, number: int) -> bool:
    return await _asked(yard, number) is None


async def _settled(gadget: Gadget, *paths: str) -> None:
    """Wait until the server has seen to the device for now: it has read these."""
    for path in paths:
        await until(lambda path=path: _is(f"GET {path}" in gadget.log), path)  # type: ignore[misc]  # the path of this turn


async def _attributes(yard: Yard, number: int) -> dict[str, str]:
    return await yard.field.run(lambda tx: kept.attributes(tx, device_of(tx, imei(number))))


# Reports -----------------------------------------------------------------------------------------


async def test_a_device_that_is_there_reports_at_once(each_yard: Yard) -> None:
    """Who is asked for its firmware reads out objects 3 and 5, and the record says what it runs now."""
    yard = each_yard
    gadget = await yard.gadget(1)
    async with gadget.on():
        await gadget.register()
        await until(lambda: _shows(yard, 1, "01"), "its version")
        gadget.values |= {"3/0/3": "01-hotfix", "5/0/5": "8"}
        await _ask(yard, 1)
        await _told(yard, 1)
        assert await yard.version(1) == "01-hotfix"
        found = await _attributes(yard, 1)
        assert found["UpdateState"] == "0"
        assert found["UpdateResult"] == "8"


async def _shows(yard: Yard, number: int, version: str) -> bool:
    return (await _attributes(yard, number)).get("Manufacturer") == "Acme" and (
        await yard.version(number) == version
    )


async def test_a_device_that_is_away_reports_when_it_comes(yard: Yard) -> None:
    """Nobody is there to ask: the request stands until the device registers."""
    gadget = await yard.gadget(1)
    gadget.values["3/0/3"] = "07"
    await _ask(yard, 1)
    assert await _asked(yard, 1) == Asked(yard.field.clock.now(), False)
    async with gadget.on():
        await gadget.register()
        await _told(yard, 1)
        assert await yard.version(1) == "07"


async def test_a_device_that_sleeps_is_left_alone_until_it_wakes(tmp_path: Path) -> None:
    """In queue mode it is asked when it says something, and not before."""
    async with open_yard(tmp_path / "data", rules=lwm2m_rules(awake_s=1)) as yard:
        gadget = await yard.gadget(1)
        gadget.more = QUEUED
        async with gadget.on():
            await gadget.register()
            await until(lambda: _shows(yard, 1, "01"), "its version")
            lwm2m = yard.field.server.lwm2m
            (client,) = lwm2m.clients
            await until(lambda: _is(not client.is_there(lwm2m.exchanges.now())), "its sleep")
            gadget.values["3/0/3"] = "05"
            before = list(gadget.log)
            await _ask(yard, 1)
            await lwm2m.visits._find_asked()
            assert gadget.log == before
            await gadget.renew()
            await _told(yard, 1)
            assert await yard.version(1) == "05"


async def test_a_device_that_tells_no_version(yard: Yard) -> None:
    """It has answered and does not say what it runs: that is known, and it is not asked for ever."""
    gadget = await yard.gadget(1)
    del gadget.values["3/0/3"]
    async with gadget.on():
        await gadget.register()
        await _ask(yard, 1)

        async def refused() -> bool:
            found = await _asked(yard, 1)
            return found is not None and found.refused

        await until(refused, "its refusal")
        assert await yard.version(1) == "01"
        before = gadget.log.count("GET 3/0/3")
        await yard.field.server.lwm2m.visits._find_asked()
        await gadget.renew()
        assert gadget.log.count("GET 3/0/3") == before


async def test_a_request_that_is_too_old_is_not_put_to_the_device(yard: Yard) -> None:
    """After a week nobody waits for the answer; the device is not bothered when it comes."""
    gadget = await yard.gadget(1)
    async with gadget.on():
        await gadget.register()
        await until(lambda: _shows(yard, 1, "01"), "its version")
        await gadget.stop()
        await _ask(yard, 1)
        yard.field.clock.advance(timedelta(days=7))
        since = yard.field.clock.now() - timedelta(days=7)
        assert await yard.field.run(lambda tx: _pending(tx, since)) == 0
        assert await yard.field.run(lambda tx: _pending(tx, since - timedelta(seconds=1))) == 1


def _pending(tx: Tx, since: Any) -> int:
    return len(lwm2m_watch.pending(tx, since, device_of(tx, imei(1)) - 1, 10))  # type: ignore[arg-type]  # before it


# Where they are ----------------------------------------------------------------------------------


async def _unlicense(yard: Yard, number: int) -> None:
    settings, now = yard.field.settings, yard.field.clock.now()
    account = yard.field.account
    await yard.field.run(lambda tx: remove_licenses(tx, account, [imei(number)], settings, now))


def _observed(gadget: Gadget) -> bool:
    return bool(gadget.tree.observations.get("4/0/8"))


async def test_a_licence_begins_monitoring_and_its_end_ends_it(each_yard: Yard) -> None:
    """A device that is registered is read and observed when it gets its licence, and let be when it goes."""
    yard = each_yard
    gadget = await yard.gadget(1)
    async with gadget.on():
        await gadget.register()
        await until(lambda: _shows(yard, 1, "01"), "its version")
        assert not _observed(gadget)
        assert (await yard.radio(1)).cell == ""
        await yard.license(1)
        await until(lambda: _is(_observed(gadget)), "the observation")
        assert (await yard.radio(1)).cell == "311-480-84281345"
        await _unlicense(yard, 1)
        await until(lambda: _is(not _observed(gadget)), "its end")
        gadget.show("4/0/8", "5")
        gadget.values["4/0/8"] = "5"
        await gadget.renew()
        assert (await yard.radio(1)).cell == "311-480-84281345"


async def test_a_device_that_sleeps_is_let_be_at_its_next_contact(tmp_path: Path) -> None:
    """What it observes ends when it wakes, after its licence went while it slept."""
    async with open_yard(tmp_path / "data", rules=lwm2m_rules(awake_s=1)) as yard:
        gadget = await yard.gadget(1)
        gadget.more = QUEUED
        await yard.license(1)
        async with gadget.on():
            await gadget.register()
            await until(lambda: _is(_observed(gadget)), "the observation")
            lwm2m = yard.field.server.lwm2m
            (client,) = lwm2m.clients
            await until(lambda: _is(not client.is_there(lwm2m.exchanges.now())), "its sleep")
            await _unlicense(yard, 1)
            await until(lambda: _is(client.radio_at is None), "the change")
            assert _observed(gadget)
            await gadget.renew()
            await until(lambda: _is(not _observed(gadget)), "its end")


async def test_a_change_is_noted_once(yard: Yard) -> None:
    """What the edge has taken is gone; who is not registered is read when it registers."""
    gadget = await yard.gadget(1)
    await yard.license(1)

    async def taken() -> bool:
        return not await yard.field.run(lwm2m_watch.any_followed)

    await until(taken, "the change")
    async with gadget.on():
        await gadget.register()
        await until(lambda: _is(_observed(gadget)), "the observation")
