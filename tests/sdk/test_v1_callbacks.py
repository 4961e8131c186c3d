"""v1's callbacks from the client's side: a listener is registered, and hears what happens (API 4.13, 9.2)."""

from pathlib import Path
from typing import Any

import pytest
from verizon.models.fota_v1_callback_registration_request import (
    FotaV1CallbackRegistrationRequest,
)

from overair.cli import run
from tests.callbacks.listening import Listening, listening
from tests.sdk.shapes import ACCOUNT, DATE, UUID, Members, array, one_of, text
from tests.sdk.shapes_v1 import DEVICE_STATUS, FIRMWARE
from tests.sdk.test_v2_callbacks import NOT_REGISTERED
from tests.sdk.v1_world import bob_on_v1, fail, on_v1, scheduled, succeed
from tests.sdk.world import PUSHED, PUSHED_FLEET, UNKNOWN, World, imei
from tests.waiting import wait_for

ONE, TWO, THREE = PUSHED_FLEET[:3]
UPGRADE = Members(
    {
        "firmwareName": text,
        "upgradeId": UUID,
        "startDate": DATE,
        "status": one_of("Queued", "RequestFailed", "InProgress", "Finished", "UpgradeFailed"),
        "deviceList": array(
            Members({"deviceId": text, "status": DEVICE_STATUS, "resultReason": text})
        ),
    }
)


def upgrade_or_nothing(value: Any, path: str) -> None:
    if value != {}:
        UPGRADE(value, path)


MESSAGE = Members(
    {
        "accountName": ACCOUNT,
        "participantName": text,
        "type": one_of("newFirmware", "upgradeScheduled", "upgradeProgress"),
        "username": text,
        "password": text,
        "firmwareList": FIRMWARE,
        "upgradeScheduled": upgrade_or_nothing,
        "upgradeProgress": upgrade_or_nothing,
    }
)


def at(url: str, *credentials: str) -> Any:
    return FotaV1CallbackRegistrationRequest("Fota", url, *credentials)


def heard(listener: Listening) -> list[Any]:
    """What a listener got, each message looked at: one member of three is filled."""
    for received in listener.received:
        MESSAGE(received.body, "message")
        members = {"newFirmware": "firmwareList"}
        filled = [
            name
            for name in ("firmwareList", "upgradeScheduled", "upgradeProgress")
            if received.body[name]
        ]
        assert filled == [members.get(received.body["type"], received.body["type"])]
        assert received.headers["Content-Type"] == "application/json; charset=utf-8"
    return [received.body for received in listener.received]


def told(listener: Listening) -> list[tuple[str, ...]]:
    """In short: statuses of upgrades, and of devices."""
    found: list[tuple[str, ...]] = []
    for message in heard(listener):
        upgrade = message["upgradeScheduled"] or message["upgradeProgress"]
        if not upgrade["deviceList"]:
            found.append((upgrade["status"],))
        found += [
            (upgrade["status"], one["deviceId"], one["status"]) for one in upgrade["deviceList"]
        ]
    return found


def test_registration(world: World) -> None:
    """There is none or one listener; plain http will do; the one of v2 is another."""
    ada = on_v1(world.ada)
    assert ada.ok("list_registered_callbacks") == []
    assert ada.refused("deregister_callback", "Fota") == NOT_REGISTERED
    first, second = "http://one.example.com/x?y=1", "https://two.example.com:8443/"
    made = {"accountName": PUSHED, "serviceName": "Fota"}
    assert ada.ok("register_callback", at(first, "me", "pass word")) == made
    assert ada.ok("list_registered_callbacks") == [
        {"aname": PUSHED, "name": "Fota", "url": first, "username": "me", "password": "pass word"}
    ]
    body = FotaV1CallbackRegistrationRequest("fota", second)
    assert ada.ok("register_callback", body) == made
    assert ada.ok("list_registered_callbacks") == [{"aname": PUSHED, "name": "Fota", "url": second}]
    assert world.ada.on(PUSHED).ok("list_registered_callbacks") == {}
    assert bob_on_v1(world).ok("list_registered_callbacks") == []
    assert ada.ok("deregister_callback", "FOTA") == {"success": True}
    assert ada.ok("list_registered_callbacks") == []
    assert ada.refused("deregister_callback", "Fota") == NOT_REGISTERED


@pytest.mark.parametrize(
    "url", ["", "listener", "/listener", "ftp://x.example.com/", "http://", "http://127.0.0.1/"]
)
def test_wrong_urls(untouched_world: World, url: str) -> None:
    """A listener's URL is absolute, and of an address that is not our own."""
    ada = on_v1(untouched_world.ada)
    assert ada.why("register_callback", at(url)) == "Invalid callback URL"


def test_wrong_services(untouched_world: World) -> None:
    """There is one service."""
    ada = on_v1(untouched_world.ada)
    body = FotaV1CallbackRegistrationRequest("CarrierService", "http://x.example.com/")
    assert ada.why("register_callback", body) == "Invalid callback name"
    assert ada.why("deregister_callback", "CarrierService") == "Invalid callback name"
    long = at("http://x.example.com/", "u" * 257)
    assert ada.why("register_callback", long) == "Invalid value for username"
    assert ada.ok("list_registered_callbacks") == []


def test_an_upgrade_is_heard(open_settings: World) -> None:
    """All devices once they are checked, then what changes, to the end; with the credentials in it."""
    world = open_settings
    ada = on_v1(world.ada)
    with world.portal.wrap_async_context_manager(listening()) as listener:
        ada.ok("register_callback", at(listener.url, "carrier", "pigeon"))
        upgrade = scheduled(world, start=1, device_list=[imei(ONE), UNKNOWN, imei(TWO)])
        assert ada.change(upgrade, "append", THREE)
        world.wait_until(world.midnight(1))
        succeed(world, ONE)
        fail(world, TWO)
        world.wait(hours=1)
        for number in (TWO, THREE):
            succeed(world, number)
        world.settle()
        wait_for(lambda: ("Finished",) in told(listener), "the end")
        assert told(listener)[0:4] == [
            ("Queued", UNKNOWN, "Device Rejected"),
            ("Queued", imei(ONE), "Device Accepted"),
            ("Queued", imei(TWO), "Device Accepted"),
            ("Queued", imei(THREE), "Device Accepted"),
        ]
        for number, states in (
            (ONE, ["Device Accepted", "UpgradePending", "UpgradeSuccess"]),
            (TWO, ["Device Accepted", *["UpgradePending"] * 3, "UpgradeSuccess"]),
            (THREE, ["Device Accepted", "UpgradePending", "UpgradeSuccess"]),
        ):
            assert [entry[2] for entry in told(listener) if imei(number) in entry] == states
        assert [entry[0] for entry in told(listener) if len(entry) == 1] == [
            "InProgress",
            "Finished",
        ]
        kinds = [message["type"] for message in heard(listener)]
        assert kinds == ["upgradeScheduled"] * 2 + ["upgradeProgress"] * (len(kinds) - 2)
        for message in heard(listener):
            assert (message["username"], message["password"]) == ("carrier", "pigeon")
            assert (message["accountName"], message["participantName"]) == (PUSHED, "")
            about = message["upgradeScheduled"] or message["upgradeProgress"]
            assert about["upgradeId"] == upgrade
            assert about["startDate"] == "2026-03-03"
        last = {
            one["deviceId"]: (one["status"], one["resultReason"])
            for message in heard(listener)
            for one in (message["upgradeScheduled"] or message["upgradeProgress"])["deviceList"]
        }
        assert last == ada.devices(upgrade)


def test_an_upgrade_that_fails_its_checks_is_heard(open_settings: World) -> None:
    """One message says that it failed, and what was wrong with each device."""
    world = open_settings
    with world.portal.wrap_async_context_manager(listening()) as listener:
        on_v1(world.ada).ok("register_callback", at(listener.url))
        scheduled(world, device_list=[UNKNOWN])
        (message,) = wait_for(lambda: heard(listener), "the message")
        assert (message["type"], message["username"], message["password"]) == (
            "upgradeScheduled",
            "",
            "",
        )
        assert told(listener) == [("RequestFailed", UNKNOWN, "Device Rejected")]


def test_what_is_cancelled_is_not_heard(open_settings: World) -> None:
    """v1 has no word for it; neither its listener nor v2's nor another account's hears of it."""
    world = open_settings
    with (
        world.portal.wrap_async_context_manager(listening()) as mine,
        world.portal.wrap_async_context_manager(listening()) as theirs,
    ):
        ada = on_v1(world.ada)
        ada.ok("register_callback", at(mine.url))
        bob_on_v1(world).ok("register_callback", at(theirs.url))
        upgrade = scheduled(world, ONE, start=1)
        ada.ok("cancel_scheduled_firmware_upgrade", upgrade)
        world.settle()
        scheduled(world, TWO, start=1)
        wait_for(lambda: any(imei(TWO) in entry for entry in told(mine)), "the other upgrade")
        assert told(mine) == [
            ("Queued", imei(ONE), "Device Accepted"),
            ("Queued", imei(TWO), "Device Accepted"),
        ]
        assert theirs.received == []


def test_new_firmware_is_heard(open_settings: World, tmp_path: Path) -> None:
    """Firmware that is added beside the running server is told as the catalogue lists it."""
    world = open_settings
    ada = on_v1(world.ada)
    image = tmp_path / "m1-04.bin"
    image.write_bytes(b"firmware")
    with world.portal.wrap_async_context_manager(listening()) as listener:
        ada.ok("register_callback", at(listener.url, "carrier", "pigeon"))
        where = ["--data", world.server.settings.data]
        where += ["--database", world.server.settings.database_url]
        facts = ["--make", "Acme", "--model", "M1", "--from", "03", "--to", "04"]
        facts += ["--protocol", "OMADM"]
        assert run(["package", "add", str(image), "--name", "FW_4", *facts, *where]) == 0
        (message,) = wait_for(lambda: heard(listener), "the message")
        (firmware,) = message["firmwareList"]
        listed = {one["firmwareName"]: one for one in ada.ok("list_available_firmware")}
        assert firmware == listed["FW_4"]
        assert message == {
            "accountName": PUSHED,
            "participantName": "",
            "type": "newFirmware",
            "username": "carrier",
            "password": "pigeon",
            "firmwareList": [firmware],
            "upgradeScheduled": {},
            "upgradeProgress": {},
        }
