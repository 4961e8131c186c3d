"""v3's callbacks from the client's side: a listener is registered, and hears what happens (API 6.17, 9.3)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from verizon.models.fota_v3_callback_registration_request import (
    FotaV3CallbackRegistrationRequest,
)

from tests.callbacks.listening import Listening, listening
from tests.sdk.shapes import ACCOUNT, UUID, Members, array, one_of, text
from tests.sdk.shapes_v3 import CAMPAIGN_STATUS, FIRMWARE, said
from tests.sdk.v3_world import fail, on_v3, open_v3_world, scheduled, succeed
from tests.sdk.world import CELLULAR_FAR, CELLULAR_FLEET, LIGHT_FIRMWARE, UNKNOWN, World, imei
from tests.waiting import wait_for

ONE = CELLULAR_FLEET[0]


def _device(value: Any, path: str) -> None:
    Members({"deviceId": text, "status": text, "resultReason": text})(value, path)
    said(value["status"], value["resultReason"], path)


MESSAGE = Members(
    {
        "accountName": ACCOUNT,
        "type": one_of("campaignStatus", "deviceStatus"),
        "campaignId": UUID,
        "campaignName": text,
        "status": CAMPAIGN_STATUS,
        "firmwareName": one_of(LIGHT_FIRMWARE),
        "deviceList": array(_device),
        "firmwareList": FIRMWARE,
    }
)


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A world that may call listeners of its own host, without TLS."""
    with open_v3_world(
        tmp_path / "world",
        database_url,
        callback_plain_http=True,
        callback_private_addresses=True,
        callback_retry_s=(0, 0, 0, 0, 0),
    ) as found:
        yield found


def told(listener: Listening) -> list[tuple[str, ...]]:
    """What a listener got, each message looked at; in short."""
    found: list[tuple[str, ...]] = []
    for received in listener.received:
        message = received.body
        MESSAGE(message, "message")
        if message["type"] == "campaignStatus":
            found.append((message["status"],))
        found += [(one["deviceId"], one["status"]) for one in message["deviceList"]]
    return found


def test_a_campaign_is_heard(world: World) -> None:
    """Each step of a campaign and of its devices, in order, with the reasons of the reports."""
    ada = on_v3(world.ada)
    with world.portal.wrap_async_context_manager(listening()) as listener:
        ada.ok("register_callback", FotaV3CallbackRegistrationRequest(listener.url))
        campaign = scheduled(world, device_list=[imei(ONE), imei(CELLULAR_FAR), UNKNOWN], end=0)
        fail(world, ONE)
        world.wait(hours=1)
        succeed(world, ONE)
        world.wait_until(world.midnight(1))
        one, far = imei(ONE), imei(CELLULAR_FAR)
        expected = [
            (UNKNOWN, "DeviceRejected"),
            (one, "Accepted"),
            (far, "Accepted"),
            ("CampaignRequestQueued",),
            ("CampaignPreScheduled",),
            (one, "UpgradeScheduled"),
            (far, "NoDeviceDataFromNetwork"),
            ("CampaignScheduled",),
            (one, "UpgradeScheduled"),
            (one, "UpgradeFailed"),
            (one, "UpgradeScheduled"),
            (one, "UpgradeSuccess"),
            ("CampaignEnded",),
            (far, "NoDeviceDataFromNetwork"),
        ]
        wait_for(lambda: len(told(listener)) >= len(expected), "all messages")
        assert sorted(told(listener)[:3]) == sorted(expected[:3])
        assert told(listener)[3:] == expected[3:]
        assert {received.body["campaignId"] for received in listener.received} == {campaign}
