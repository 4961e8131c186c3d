"""v3: its listener (API 6.17), and what it is told of campaigns, devices and firmware (API 9.3)."""

from datetime import timedelta
from typing import Any

import msgspec

from overair.core.listener import ListenerRules
from overair.engine import listeners
from overair.engine.catalog import put_software
from overair.store import Tx
from tests.api.v2_world import ACCOUNT, Refused
from tests.api.v3_world import AIR, FIRMWARE, V3
from tests.engine import stock
from tests.engine.stock import imei

URL = "https://listener.example.com/fota?x=1"
ONE = AIR[0]


async def test_listener(v3: V3) -> None:
    """POST and PUT both create or replace; each account and each version has its own listener."""
    assert await v3.ada.ok("GET", "/callbacks/{}") == {}
    gone = Refused("CALLBACK_NOT_REGISTERED", "Callback is not registered")
    assert await v3.ada.refused("DELETE", "/callbacks/{}") == gone
    for method, body, url in (
        ("PUT", {"url": URL}, URL),
        ("POST", {"callback": URL + "2"}, URL + "2"),
        ("PUT", {"url": URL, "callback": "x"}, URL),
    ):
        assert await v3.ada.ok(method, "/callbacks/{}", body) == {"url": url}
        assert await v3.ada.ok("GET", "/callbacks/{}") == {"url": url}
    assert await v3.bob.ok("GET", "/callbacks/{}") == {}
    assert await v3.v2.ada.ok("GET", "/callbacks/{}") == {}
    for wrong in ({}, {"url": 1}, {"url": "http://listener.example.com/"}, {"url": "x"}):
        for method in ("POST", "PUT"):
            found = await v3.ada.why(method, "/callbacks/{}", wrong)
            assert found == "Invalid callback URL"
    assert await v3.ada.ok("DELETE", "/callbacks/{}") == {"success": True}
    assert await v3.ada.refused("DELETE", "/callbacks/{}") == gone


def queued(tx: Tx) -> list[dict[str, Any]]:
    """What was told so far, all of it with every member."""
    found = [
        msgspec.json.decode(row[0])
        for row in tx.all("select body from callback_message order by id")
    ]
    assert all(
        list(body)
        == [
            *("accountName", "type", "campaignId", "campaignName", "status", "firmwareName"),
            *("deviceList", "firmwareList"),
        ]
        for body in found
    )
    tx.execute("delete from callback_message")
    return found


async def test_a_campaign_is_told_step_by_step(v3: V3) -> None:
    """Each status of the campaign, and each change of a device, in the words of the reports."""
    await v3.run(listeners.register, v3.v2.account_id, 3, URL, ListenerRules(), v3.clock.now())
    campaign = await v3.scheduled([ONE], startDate=v3.day())
    told = await v3.run(queued)
    assert {(x["accountName"], x["campaignId"], x["firmwareName"]) for x in told} == {
        (ACCOUNT, campaign, FIRMWARE)
    }
    steps = [x["status"] for x in told if x["type"] == "campaignStatus"]
    assert steps == ["CampaignRequestQueued", "CampaignPreScheduled", "CampaignScheduled"]
    devices = [x["deviceList"] for x in told if x["type"] == "deviceStatus"]
    assert devices[0] == [
        {
            "deviceId": imei(ONE),
            "status": "Accepted",
            "resultReason": ("Device cleared all checks so it can be added to the scheduled list."),
        }
    ]
    scheduled = {
        "deviceId": imei(ONE),
        "status": "UpgradeScheduled",
        "resultReason": (
            "The upgrade is scheduled to begin on 02 Mar 26 08:00 UTC, and the estimated"
            " completion is 02 Mar 26 12:00 UTC."
        ),
    }
    assert devices[1] == [scheduled]
    await v3.fail(ONE)
    failed = (await v3.run(queued))[-1]["deviceList"]
    assert [(x["status"], x["resultReason"]) for x in failed] == [
        (
            "UpgradeFailed",
            "Upgrade failed, estimated retry time on 02 Mar 26 09:00 UTC, try count 1.",
        )
    ]


async def test_a_missed_slot_is_told_as_no_try(v3: V3) -> None:
    """What is told of a device counts the tries that the report counts."""
    await v3.run(listeners.register, v3.v2.account_id, 3, URL, ListenerRules(), v3.clock.now())
    await v3.scheduled([ONE], startDate=v3.day())
    await v3.advance(timedelta(hours=4))  # a slot without the device; the next one opens at once
    await v3.fail(ONE)
    ((failed,),) = [x["deviceList"] for x in (await v3.run(queued))[-1:]]
    assert failed["resultReason"] == (
        "Upgrade failed, estimated retry time on 02 Mar 26 13:00 UTC, try count 1."
    )


async def test_new_firmware(v3: V3) -> None:
    """Firmware over LwM2M is told to listeners of v1 and v3, and of OMA-DM to those of v1 only."""
    for version in (1, 2, 3):
        await v3.run(
            listeners.register, v3.v2.account_id, version, URL, ListenerRules(), v3.clock.now()
        )

    def added(tx: Tx) -> list[tuple[str, Any]]:
        for protocol in ("LWM2M", "OMADM"):
            put_software(tx, stock.software(name=protocol, protocol=protocol), stock.NOW)
        bodies = [
            msgspec.json.decode(row[0])
            for row in tx.all("select body from callback_message order by id")
        ]
        return [(body["type"], body["firmwareList"]) for body in bodies]

    found = await v3.run(added)
    firmware = {
        "firmwareName": "LWM2M",
        "firmwareFrom": "01",
        "firmwareTo": "02",
        "launchDate": "2026-03-02T08:00:00.000Z",
        "releaseNote": "",
        "model": "X1",
        "make": "Acme",
        "protocol": "LWM2M",
    }
    assert ("newFirmware", [firmware]) in found
    assert [kind for kind, _ in found] == ["newFirmware"] * 3
