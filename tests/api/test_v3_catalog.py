"""v3: firmware for an account's devices, the devices, and what they report (API 6.9 to 6.13)."""

from datetime import timedelta
from typing import Any

import pytest

from overair.config import Limits
from overair.engine.catalog import put_software
from overair.engine.inventory import record_attributes
from overair.store import Tx, lwm2m_watch, polls, slots
from tests.api.v1_world import FIRMWARE as PUSHED_FIRMWARE
from tests.api.v1_world import LIGHT, UNKNOWN_TYPE
from tests.api.v1_world import MINE as PUSHED
from tests.api.v2_world import ABSENT, ACCOUNT, Refused
from tests.api.v3_world import AIR, FAR, FIRMWARE, THEIRS, V3
from tests.engine import stock
from tests.engine.stock import device_of, imei

ONE, TWO = AIR[:2]
NOT_FOUND = Refused("DEVICE_NOT_FOUND", "Device not found")
LIGHT_FIRMWARE = {
    "firmwareName": FIRMWARE,
    "firmwareFrom": "01",
    "firmwareTo": "02",
    "launchDate": "2026-03-02T08:00:00.000Z",
    "releaseNote": "",
    "model": "X1",
    "make": "Acme",
    "protocol": "LWM2M",
}
RECORD = {
    "deviceId": imei(ONE),
    "mdn": "",
    "model": "X1",
    "make": "Acme",
    "firmware": "01",
    "fotaEligible": True,
    "status": "Active",
    "licenseAssigned": False,
    "protocol": "LWM2M",
    "softwareList": [{"name": "01", "version": "01", "upgradeTime": "1970-01-01T00:00:00.000Z"}],
    "fileList": [],
    "createTime": "1970-01-01 00:00:00.000 +0000 UTC",
    "updateTime": "1970-01-01 00:00:00.000 +0000 UTC",
}


@pytest.fixture
def limits() -> Limits:
    return Limits(page_size=15)


# Firmware ----------------------------------------------------------------------------------------


async def test_firmware(v3: V3) -> None:
    """Firmware is listed where it fits a device of the account, over LwM2M unless another is asked for."""
    pushed = LIGHT_FIRMWARE | {"firmwareName": PUSHED_FIRMWARE, "protocol": "OMD-DM"}

    def more(tx: Tx) -> None:
        put_software(tx, stock.software(name="a", model="X2", protocol="LWM2M"), stock.NOW)
        theirs = stock.software(name="theirs", protocol="LWM2M", accounts=[v3.v2.other_id])
        put_software(tx, theirs, stock.NOW)

    await v3.run(more)
    for query, found in (
        ("", [LIGHT_FIRMWARE]),
        ("?protocol=LWM2M", [LIGHT_FIRMWARE]),
        ("?protocol=lwm2m", [LIGHT_FIRMWARE]),
        ("?protocol=OMD-DM", [pushed]),
        ("?protocol=omadm", [pushed]),
        ("?protocol=all", [pushed, LIGHT_FIRMWARE]),
        ("?protocol=HTTP", []),
    ):
        assert await v3.ada.ok("GET", f"/firmware/{{}}{query}") == found
    theirs = await v3.bob.ok("GET", "/firmware/{}")
    assert [one["firmwareName"] for one in theirs] == [FIRMWARE, "theirs"]
    for wrong in ("FTP", "NONE", "%00"):
        refused = await v3.ada.why("GET", f"/firmware/{{}}?protocol={wrong}")
        assert refused == "Invalid protocol"


# Devices -----------------------------------------------------------------------------------------


async def test_device(v3: V3) -> None:
    """A device's record shows what it runs, and since when as far as that is known."""
    page = await v3.ada.ok("GET", "/devices/{}?lastSeenDeviceId=" + imei(LIGHT[-1]))
    assert page.pop("deviceList")[0] == RECORD
    assert page == {
        "accountName": ACCOUNT,
        "hasMoreData": True,
        "lastSeenDeviceId": imei(AIR[14]),
        "maxPageSize": 15,
    }
    await v3.ada.ok("POST", "/licenses/{}/assign", {"deviceList": [imei(ONE)]})
    await v3.scheduled([ONE], startDate=v3.day())
    await v3.succeed(ONE)
    page = await v3.ada.ok("GET", "/devices/{}?lastSeenDeviceId=" + imei(LIGHT[-1]))
    assert page["deviceList"][0] == RECORD | {
        "firmware": "02",
        "licenseAssigned": True,
        "softwareList": [
            {"name": FIRMWARE, "version": "02", "upgradeTime": "2026-03-02T08:00:00.000Z"}
        ],
        "updateTime": "2026-03-02 08:00:00.000 +0000 UTC",
        "upgradeTime": "2026-03-02 08:00:00.000 +0000 UTC",
        "refreshTime": "2026-03-02 08:00:00.000 +0000 UTC",
    }


async def test_devices_of_one_protocol(v3: V3) -> None:
    """Those over LwM2M are listed, unless others or all are asked for."""
    light = [imei(n) for n in (*LIGHT, *AIR, *FAR)]
    for query, first, protocol in (
        ("", light[0], "LWM2M"),
        ("protocol=lwm2m", light[0], "LWM2M"),
        ("protocol=OMD-DM", imei(PUSHED[0]), "OMADM"),
        ("protocol=OMADM", imei(PUSHED[0]), "OMADM"),
        ("protocol=HTTP", imei(1), "HTTP"),
        ("protocol=all", imei(1), "HTTP"),
        (f"protocol=all&lastSeenDeviceId={imei(UNKNOWN_TYPE - 1)}", imei(UNKNOWN_TYPE), "NONE"),
    ):
        page = await v3.ada.ok("GET", f"/devices/{{}}?{query}")
        shown = page["deviceList"][0]
        assert (shown["deviceId"], shown["protocol"]) == (first, protocol)
    assert await v3.ada.why("GET", "/devices/{}?protocol=FTP") == "Invalid protocol"
    found, cursor, more = [], "0", True
    while more:
        page = await v3.ada.ok("GET", f"/devices/{{}}?lastSeenDeviceId={cursor}")
        found += [device["deviceId"] for device in page["deviceList"]]
        cursor, more = page["lastSeenDeviceId"], page["hasMoreData"]
    assert found == light
    past = await v3.ada.ok("GET", f"/devices/{{}}?lastSeenDeviceId={cursor}")
    assert past == {
        "accountName": ACCOUNT,
        "hasMoreData": False,
        "maxPageSize": 15,
        "deviceList": [],
    }
    for wrong in (ABSENT, imei(THEIRS[0]), "x"):
        refused = await v3.ada.why("GET", f"/devices/{{}}?lastSeenDeviceId={wrong}")
        assert refused == "LastSeenDeviceId Not Valid"


async def test_named_devices(v3: V3) -> None:
    """What is known of each device that is named, in that order; of others, that they are not there."""
    named = [imei(PUSHED[0]), ABSENT, imei(ONE), imei(THEIRS[0]), imei(ONE)]
    found = await v3.ada.ok("POST", "/devices/{}", {"deviceList": named})
    failed = {"requestStatus": "Failure", "resultReason": "Device not found."}
    done = {"requestStatus": "Success", "resultReason": "Success"}
    assert found == {
        "accountName": ACCOUNT,
        "deviceCount": 4,
        "deviceList": [
            RECORD | done | {"deviceId": imei(PUSHED[0]), "protocol": "OMADM"},
            {"deviceId": ABSENT} | failed,
            RECORD | done | {"lastConnectionTime": "2026-03-02T08:00:00.000Z"},
            {"deviceId": imei(THEIRS[0])} | failed,
        ],
    }
    later = v3.clock.now() + timedelta(hours=1)
    await v3.run(lambda tx: slots.set_reachable(tx, device_of(tx, ONE), True, later))
    await v3.scheduled([ONE], startDate=v3.day())
    await v3.succeed(ONE)
    found = await v3.ada.ok("POST", "/devices/{}", {"devicelist": [imei(ONE)]})
    (shown,) = found["deviceList"]
    assert shown["lastConnectionTime"] == "2026-03-02T09:00:00.000Z"
    assert shown["statusTime"] == "2026-03-02 08:00:00.000 +0000 UTC"


async def test_many_named_devices(v3_sqlite: V3) -> None:
    """A thousand devices may be named, not more."""
    named = [f"{number:015}" for number in range(1001)]
    found = await v3_sqlite.ada.ok("POST", "/devices/{}", {"deviceList": named[:1000]})
    assert found["deviceCount"] == len(found["deviceList"]) == 1000
    refused = await v3_sqlite.ada.why("POST", "/devices/{}", {"deviceList": named})
    assert refused == "Device list exceeds 1000 devices"


WRONG_LISTS = [
    ({}, "Device list is empty"),
    ({"deviceList": []}, "Device list is empty"),
    ({"deviceList": None}, "Device list is empty"),
    ({"deviceList": "x"}, "Device list is empty"),
    ({"deviceList": [1]}, "Invalid device id format"),
    ({"deviceList": ["12345"]}, "Invalid device id format"),
    ([], "Input binding error"),
]


@pytest.mark.parametrize(("body", "message"), WRONG_LISTS)
async def test_wrong_lists(v3_sqlite: V3, body: Any, message: str) -> None:
    """A list of devices has at least one, and each of them is an IMEI."""
    for method, path in (("POST", "/devices/{}"), ("PUT", "/firmware/{}/devices")):
        assert await v3_sqlite.ada.why(method, path, body) == message


# Versions ----------------------------------------------------------------------------------------


async def test_synchronize(v3: V3) -> None:
    """Each device's version is told with the time it is from; reasons and times have two names."""

    def changed(tx: Tx) -> None:
        later = stock.NOW + timedelta(hours=1)
        record_attributes(tx, device_of(tx, ONE), "merge", {"version": "01b"}, {}, later)
        tx.execute("update device set version = '' where imei = ?", (imei(TWO),))

    await v3.run(changed)
    body = {"deviceList": [imei(AIR[2]), imei(ONE), imei(TWO), ABSENT, imei(THEIRS[0])]}
    found = await v3.ada.ok("PUT", "/firmware/{}/devices", body)

    def outcome(device: str, version: str, reason: str, at: str = "") -> dict[str, str]:
        word = "Success" if at else "Failed"
        shown = {
            "deviceId": device,
            "firmwareVersion": version,
            "status": f"FirmwareVersionUpdate{word}",
            "reason": reason,
            "Reason": reason,
        }
        return shown | ({"firmwareVersionUpdateTime": at, "VersionUpdateTime": at} if at else {})

    unsaid = "The device has not reported its firmware version."
    assert found == {
        "accountName": ACCOUNT,
        "deviceFirmwarVersionList": [
            outcome(imei(AIR[2]), "01", "Success", "1970-01-01T00:00:00.000Z"),
            outcome(imei(ONE), "01b", "Success", "2026-03-02T09:00:00.000Z"),
            outcome(imei(TWO), "", unsaid),
            outcome(ABSENT, "", "Device not found."),
            outcome(imei(THEIRS[0]), "", "Device not found."),
        ],
    }
    named = [f"{number:015}" for number in range(101)]
    found = await v3.ada.ok("PUT", "/firmware/{}/devices", {"deviceList": named[:100]})
    assert len(found["deviceFirmwarVersionList"]) == 100
    refused = await v3.ada.why("PUT", "/firmware/{}/devices", {"deviceList": named})
    assert refused == "Device list exceeds 100 devices"


async def test_synchronize_one(v3: V3) -> None:
    """One device's version, as a page of the documentation asks for it."""
    assert await v3.ada.ok("PUT", f"/firmware/{{}}/{imei(ONE)}") == {
        "accountName": ACCOUNT,
        "deviceId": imei(ONE),
        "firmwareVersion": "01",
    }
    for device in (ABSENT, imei(THEIRS[0])):
        assert await v3.ada.refused("PUT", f"/firmware/{{}}/{device}") == NOT_FOUND
    assert await v3.ada.why("PUT", "/firmware/{}/x") == "Invalid device id format"


async def test_ask_a_device(v3: V3) -> None:
    """The device will be asked; what it says then is in its details."""
    found = await v3.ada.ok("PUT", f"/firmware/{{}}/async/{imei(ONE)}")
    assert set(found) == {"accountName", "requestId"}

    def wanted(tx: Tx) -> bool:
        return polls.get_device(tx, device_of(tx, ONE)).wants_attributes

    assert await v3.run(wanted)
    later = v3.clock.now() + timedelta(hours=1)

    def answers(tx: Tx) -> None:
        record_attributes(tx, device_of(tx, ONE), "merge", {"version": "01b"}, {}, later)

    await v3.run(answers)
    assert not await v3.run(wanted)
    details = await v3.ada.ok("POST", "/devices/{}", {"deviceList": [imei(ONE)]})
    (shown,) = details["deviceList"]
    assert (shown["firmware"], shown["refreshTime"]) == (
        "01b",
        "2026-03-02 09:00:00.000 +0000 UTC",
    )
    for device in (ABSENT, imei(THEIRS[0])):
        assert await v3.ada.refused("PUT", f"/firmware/{{}}/async/{device}") == NOT_FOUND
    assert await v3.ada.why("PUT", "/firmware/{}/async/x") == "Invalid device id format"


async def test_what_is_said_of_a_report_that_is_awaited(v3: V3) -> None:
    """The details of a device over LwM2M say that it was asked, that it is late, or that it does not tell."""
    device = AIR[0]

    async def reason() -> str:
        details = await v3.ada.ok("POST", "/devices/{}", {"deviceList": [imei(device)]})
        (shown,) = details["deviceList"]
        assert shown["requestStatus"] == "Success"
        return str(shown["resultReason"])

    asked = "The device was asked for its firmware version on 02 Mar 26 08:00 UTC"
    assert await reason() == "Success"
    await v3.ada.ok("PUT", f"/firmware/{{}}/async/{imei(device)}")
    assert await reason() == f"{asked}, and has not answered yet."
    v3.clock.advance(timedelta(days=7))
    assert await reason() == f"{asked}, and has not answered in time."
    await v3.run(lambda tx: lwm2m_watch.refused(tx, device_of(tx, device)))
    assert await reason() == f"{asked}, and does not tell it."
    await v3.ada.ok("PUT", f"/firmware/{{}}/async/{imei(device)}")
    assert (await reason()).endswith("09 Mar 26 08:00 UTC, and has not answered yet.")
    await v3.run(lambda tx: lwm2m_watch.told(tx, device_of(tx, device)))
    assert await reason() == "Success"
