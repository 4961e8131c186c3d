"""v2: the software that is there for an account's devices, and the devices (API 5.12, 5.13)."""

from datetime import timedelta

import pytest

from overair.config import Limits
from overair.engine.catalog import put_software
from overair.engine.inventory import record_attributes
from overair.store import Tx
from tests.api.test_v2_campaigns import file_added
from tests.api.v2_world import ACCOUNT, MINE, OTHER_ACCOUNT, THEIRS, V2
from tests.engine import stock
from tests.engine.stock import SOFTWARE, device_of, imei

PACKAGE = {
    "softwareName": SOFTWARE,
    "launchDate": "2026-03-02",
    "releaseNote": "what is new",
    "model": "X1",
    "make": "Acme",
    "distributionType": "HTTP",
    "devicePlatformId": "IoT",
}


@pytest.fixture
def limits() -> Limits:
    return Limits(page_size=12)


async def test_software(v2: V2) -> None:
    """Software is listed where it fits a device of the account, of one distribution type if asked."""

    def more(tx: Tx) -> None:
        put_software(tx, stock.software(name="other model", model="X2"), stock.NOW)
        put_software(tx, stock.software(name="oma", protocol="OMADM"), stock.NOW)
        put_software(tx, stock.software(name="theirs", accounts=[v2.other_id]), stock.NOW)

    assert await v2.ada.ok("GET", "/software/{}") == [PACKAGE]
    await v2.run(more)
    everything = [
        PACKAGE,
        PACKAGE | {"softwareName": "oma", "distributionType": "OMD-DM", "releaseNote": ""},
    ]
    assert await v2.ada.ok("GET", "/software/{}") == everything
    for word, found in (
        ("HTTP", everything[:1]),
        ("http", everything[:1]),
        ("OMA", everything[1:]),
        ("omd-dm", everything[1:]),
        ("LWM2M", []),
    ):
        assert await v2.ada.ok("GET", f"/software/{{}}?distributionType={word}") == found
    assert [x["softwareName"] for x in await v2.bob.ok("GET", "/software/{}")] == [
        SOFTWARE,
        "oma",
        "theirs",
    ]
    refused = await v2.ada.why("GET", "/software/{}?distributionType=FTP")
    assert refused == "Invalid distributionType"


async def test_device(v2: V2) -> None:
    """A device's record shows what it runs, and since when as far as that is known."""
    record = {
        "deviceId": imei(1),
        "mdn": "",
        "model": "X1",
        "make": "Acme",
        "distributionType": "HTTP",
        "fotaEligible": True,
        "appFotaEligible": True,
        "licenseAssigned": False,
        "softwareList": [
            {"name": "01", "version": "01", "upgradeTime": "1970-01-01T00:00:00.000Z"}
        ],
        "createTime": "1970-01-01 00:00:00.000 +0000 UTC",
        "updateTime": "1970-01-01 00:00:00.000 +0000 UTC",
    }
    page = await v2.ada.ok("GET", "/devices/{}")
    assert page["deviceList"][0] == record
    del page["deviceList"]
    assert page == {
        "accountName": ACCOUNT,
        "hasMoreData": True,
        "lastSeenDeviceId": imei(12),
        "maxPageSize": 12,
    }
    await v2.ada.ok("POST", "/licenses/{}/assign", {"deviceList": [imei(1)]})
    await v2.run(stock.schedule, v2.account_id, [1])
    await v2.run(stock.upgrade, 1)
    upgraded = (await v2.ada.ok("GET", "/devices/{}"))["deviceList"][0]
    assert upgraded == record | {
        "licenseAssigned": True,
        "softwareList": [
            {"name": SOFTWARE, "version": "02", "upgradeTime": "2026-03-02T08:00:00.000Z"}
        ],
        "updateTime": "2026-03-02 08:00:00.000 +0000 UTC",
        "upgradeTime": "2026-03-02 08:00:00.000 +0000 UTC",
    }


async def test_device_shows_what_it_says_itself(v2: V2) -> None:
    """Software that the device does not run any more is not on its list; its files are."""
    await v2.run(stock.schedule, v2.account_id, [1])
    await v2.run(stock.upgrade, 1)
    await file_added(v2)
    request = v2.campaign(
        [1],
        fileName="configfile-Acme_X1_hello-world.txt",
        fileVersion="1.0",
        startDate=v2.day(),
    )
    await v2.ada.ok("POST", "/campaigns/files/{}", request)
    await v2.advance()
    await v2.run(stock.upgrade, 1)

    def rolled_back(tx: Tx) -> None:
        later = stock.NOW + timedelta(hours=1)
        record_attributes(tx, device_of(tx, 1), "merge", {"version": "01"}, {}, later)

    file = {
        "name": "configfile-Acme_X1_hello-world.txt",
        "version": "1.0",
        "upgradeTime": "2026-03-02T08:00:00.000Z",
    }
    shown = (await v2.ada.ok("GET", "/devices/{}"))["deviceList"][0]
    assert [x["name"] for x in shown["softwareList"]] == [SOFTWARE, file["name"]]
    await v2.run(rolled_back)
    shown = (await v2.ada.ok("GET", "/devices/{}"))["deviceList"][0]
    assert shown["softwareList"] == [
        {"name": "01", "version": "01", "upgradeTime": "2026-03-02T09:00:00.000Z"},
        file,
    ]
    assert shown["refreshTime"] == "2026-03-02 09:00:00.000 +0000 UTC"


async def test_device_pages(v2: V2) -> None:
    """Pages follow each other by IMEI, hold each device once, and end."""
    found, cursor, pages = [], "0", 0
    while True:
        page = await v2.ada.ok("GET", f"/devices/{{}}?lastSeenDeviceId={cursor}")
        found += [device["deviceId"] for device in page["deviceList"]]
        pages += 1
        if not page["hasMoreData"]:
            break
        cursor = page["lastSeenDeviceId"]
    assert (pages, found) == (3, [imei(number) for number in MINE])
    past = await v2.ada.ok("GET", f"/devices/{{}}?lastSeenDeviceId={found[-1]}")
    assert past == {
        "accountName": ACCOUNT,
        "hasMoreData": False,
        "maxPageSize": 12,
        "deviceList": [],
    }
    theirs = await v2.bob.ok("GET", "/devices/{}")
    assert theirs["accountName"] == OTHER_ACCOUNT
    assert [device["deviceId"] for device in theirs["deviceList"]] == [imei(n) for n in THEIRS]


async def test_devices_of_one_distribution_type(v2: V2) -> None:
    """The filter takes any spelling; a device that is not HTTP's has its own word."""

    def more(tx: Tx) -> None:
        stock.add_devices(tx, v2.account_id, [201], protocol="OMADM")
        stock.add_devices(tx, v2.account_id, [202], protocol="LWM2M", eligible=False)
        stock.add_devices(tx, v2.account_id, [203], protocol="")

    await v2.run(more)
    for query, number, word in (
        ("OMA-DM", 201, "OMD-DM"),
        ("oma", 201, "OMD-DM"),
        ("LWM2M", 202, "LWM2M"),
    ):
        page = await v2.ada.ok("GET", f"/devices/{{}}?distributionType={query}")
        assert [(x["deviceId"], x["distributionType"]) for x in page["deviceList"]] == [
            (imei(number), word)
        ]
        assert not page["deviceList"][0]["appFotaEligible"]
    after = f"/devices/{{}}?lastSeenDeviceId={imei(30)}"
    shown = (await v2.ada.ok("GET", after))["deviceList"]
    assert [x["distributionType"] for x in shown] == ["OMD-DM", "LWM2M", ""]
    assert (await v2.ada.ok("GET", after + "&distributionType=HTTP"))["deviceList"] == []
    refused = await v2.ada.why("GET", "/devices/{}?distributionType=NONE")
    assert refused == "Invalid distributionType"
