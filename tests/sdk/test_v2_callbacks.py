"""Callbacks from the client's side: a listener is registered, and hears what happens (API 5.17, 9)."""

from pathlib import Path
from typing import Any

import pytest
from verizon.models.fota_v2_callback_registration_request import (
    FotaV2CallbackRegistrationRequest,
)

from overair.cli import run
from tests.callbacks.listening import Listening, listening
from tests.sdk.shapes import (
    ACCOUNT,
    CAMPAIGN_DEVICES,
    CAMPAIGN_STATUS,
    SOFTWARE,
    UUID,
    Members,
    one_of,
    text,
)
from tests.sdk.world import BOTH, IMAGE, Refusal, World, imei
from tests.waiting import wait_for

DEVICE_LIST = CAMPAIGN_DEVICES.members["deviceList"]
MESSAGE = Members(
    {
        "accountName": ACCOUNT,
        "type": one_of("campaignStatus", "deviceStatus"),
        "campaignId": UUID,
        "campaignName": text,
        "status": CAMPAIGN_STATUS,
        "softwareName": text,
        "deviceList": DEVICE_LIST,
        "softwareList": SOFTWARE,
    }
)
NOT_REGISTERED = Refusal("CALLBACK_NOT_REGISTERED", "Callback is not registered")


def at(url: str) -> Any:
    return FotaV2CallbackRegistrationRequest(url)


def heard(listener: Listening) -> list[Any]:
    """What a listener got, each message looked at."""
    for received in listener.received:
        MESSAGE(received.body, "message")
        assert received.headers["Content-Type"] == "application/json; charset=utf-8"
    return [received.body for received in listener.received]


def told(listener: Listening) -> list[tuple[str, ...]]:
    """In short."""
    found: list[tuple[str, ...]] = []
    for message in heard(listener):
        if message["type"] == "campaignStatus":
            found.append((message["status"],))
        found += [(one["deviceId"], one["status"]) for one in message["deviceList"]]
    return found


def test_registration(world: World) -> None:
    """There is none or one listener; registering replaces it, and only one that is there is deleted."""
    ada = world.ada
    assert ada.ok("list_registered_callbacks") == {}
    assert ada.refused("deregister_callback") == NOT_REGISTERED
    first, second = "https://one.example.com/x?y=1", "https://two.example.com:8443/"
    assert ada.ok("register_callback", at(first)) == {"url": first}
    assert ada.ok("register_callback", at(second)) == {"url": second}
    assert ada.ok("list_registered_callbacks") == {"url": second}
    assert ada.ok("update_callback", at(first)) == {"url": first}
    assert world.bob.ok("list_registered_callbacks") == {}
    assert ada.ok("deregister_callback") == {"success": True}
    assert ada.ok("list_registered_callbacks") == {}
    assert ada.refused("deregister_callback") == NOT_REGISTERED
    assert ada.ok("update_callback", at(first)) == {"url": first}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "listener",
        "/listener",
        "http://listener.example.com/",
        "ftp://listener.example.com/",
        "https://",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://[::1]/",
        "https://localhost/",
        "https://me:secret@listener.example.com/",
        "https://listener.example.com/\r\nX: y",
    ],
)
def test_wrong_urls(untouched_world: World, url: str) -> None:
    """A listener's URL is absolute, https, and of an address that is not our own."""
    ada = untouched_world.ada
    assert ada.why("register_callback", at(url)) == "Invalid callback URL"
    assert ada.why("update_callback", at(url)) == "Invalid callback URL"
    assert ada.ok("list_registered_callbacks") == {}


def test_a_campaign_is_heard(open_settings: World) -> None:
    """A listener hears of the campaign and of each device, in the order in which it happened."""
    world = open_settings
    with world.portal.wrap_async_context_manager(listening()) as listener:
        world.ada.ok("register_callback", at(listener.url))
        listener.answer = lambda _, number: 500 if number == 1 else 200
        campaign = world.campaign(1, 2, start=1, campaign_name="told")
        world.wait_until(world.midnight(1))
        for number in (1, 2):
            assert world.device(number).succeed() == IMAGE
        world.settle()
        ended = wait_for(
            lambda: [m for m in heard(listener) if m["type"] == "campaignStatus"][5:], "the end"
        )
        assert {message["campaignId"] for message in ended} == {campaign}
        assert {message["campaignName"] for message in heard(listener)} == {"told"}
        assert {message["accountName"] for message in heard(listener)} == {BOTH}
        # Each was refused once and sent again before the next.
        ids = [received.id for received in listener.received]
        assert ids[::2] == ids[1::2]
        assert len(set(ids)) * 2 == len(ids)
        in_order = list(dict.fromkeys(told(listener)))
        statuses = [entry[0] for entry in in_order if len(entry) == 1]
        assert statuses == ["CampaignRequestQueued", "CampaignScheduled", "CampaignEnded"]
        for number in (1, 2):
            states = [entry[1] for entry in in_order if entry[0] == imei(number)]
            assert states == ["Accepted", "UpgradePending", "UpgradeSuccess"]
        report = world.ada.devices(campaign)
        last = {
            one["deviceId"]: (one["status"], one["resultReason"])
            for message in heard(listener)
            for one in message["deviceList"]
        }
        assert last == report


def test_a_deleted_listener_hears_nothing(open_settings: World) -> None:
    """After a listener was replaced or deleted it gets no further messages."""
    world = open_settings
    with (
        world.portal.wrap_async_context_manager(listening()) as first,
        world.portal.wrap_async_context_manager(listening()) as second,
    ):
        world.ada.ok("register_callback", at(first.url))
        world.campaign(1, start=1)
        wait_for(lambda: ("CampaignRequestQueued",) in told(first), "the first listener")
        before = len(first.received)
        world.ada.ok("update_callback", at(second.url))
        world.campaign(2, start=1)
        wait_for(lambda: ("CampaignRequestQueued",) in told(second), "the second listener")
        world.ada.ok("deregister_callback")
        heard_so_far = len(second.received)
        dropped = world.campaign(3, start=1)
        world.ada.ok("cancel_campaign", dropped)
        world.settle()
        assert (len(first.received), len(second.received)) == (before, heard_so_far)


def test_a_listener_of_another_account(open_settings: World) -> None:
    """Nobody hears of campaigns that are not his account's."""
    world = open_settings
    with (
        world.portal.wrap_async_context_manager(listening()) as mine,
        world.portal.wrap_async_context_manager(listening()) as theirs,
    ):
        world.ada.ok("register_callback", at(mine.url))
        world.bob.ok("register_callback", at(theirs.url))
        campaign = world.campaign(1)
        world.ada.ok("cancel_campaign", campaign)
        world.settle()
        wait_for(lambda: ("CampaignAborted",) in told(mine), "the end")
        wait_for(lambda: (imei(1), "CampaignAborted") in told(mine), "the device")
        assert theirs.received == []


def test_the_shape_of_a_message(open_settings: World) -> None:
    """All members are there, empty where they do not apply."""
    world = open_settings
    with world.portal.wrap_async_context_manager(listening()) as listener:
        world.ada.ok("register_callback", at(listener.url))
        world.campaign(1, start=1)
        wait_for(lambda: len(listener.received) >= 2, "two messages")
        for message in heard(listener):
            assert set(message) == set(MESSAGE.members)
            assert bool(message["deviceList"]) is (message["type"] == "deviceStatus")
            assert message["softwareList"] == []


def test_new_software_is_heard(open_settings: World, tmp_path: Path) -> None:
    """Software that is added beside the running server is told to accounts that have devices for it."""
    world = open_settings
    image = tmp_path / "x1-04.swu"
    image.write_bytes(IMAGE)
    with world.portal.wrap_async_context_manager(listening()) as listener:
        world.ada.ok("register_callback", at(listener.url))
        where = ["--data", world.server.settings.data]
        where += ["--database", world.server.settings.database_url]
        told = ["--make", "Acme", "--model", "X1", "--from", "03", "--to", "04"]
        told += ["--release-note", "even faster"]
        assert run(["package", "add", str(image), "--name", "FOTA_4", *told, *where]) == 0
        (received,) = wait_for(lambda: listener.received, "the message")
        (software,) = received.body["softwareList"]
        SOFTWARE([software], "softwareList")
        listed = {one["softwareName"]: one for one in world.ada.ok("list_available_software")}
        assert software == listed["FOTA_4"]
        assert received.body == {
            "accountName": BOTH,
            "type": "newSoftware",
            "campaignId": "",
            "campaignName": "",
            "status": "",
            "softwareName": "",
            "deviceList": [],
            "softwareList": [software],
        }
    world.ada.ok(
        "schedule_campaign_firmware_upgrade",
        world.request(1, software_name="FOTA_4", software_from="03", software_to="04"),
    )
