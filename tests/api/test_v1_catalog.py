"""v1: the firmware that is there for an account's devices, and the devices (API 4.5, 4.6)."""

import pytest

from overair.config import Limits
from overair.engine.catalog import put_software
from overair.store import Tx
from tests.api.v1_world import FIRMWARE, LIGHT, LIGHT_FIRMWARE, MINE, V1
from tests.api.v2_world import ABSENT, ACCOUNT
from tests.engine import pushed, stock
from tests.engine.stock import imei

PACKAGE = {
    "firmwareName": FIRMWARE,
    "participantName": ACCOUNT,
    "launchDate": "2026-03-02T08:00:00.000Z",
    "releaseNote": "",
    "model": "X1",
    "make": "Acme",
    "fromVersion": "01",
    "toVersion": "02",
}


@pytest.fixture
def limits() -> Limits:
    return Limits(page_size=12)


async def test_firmware(v1: V1) -> None:
    """Firmware is listed where it fits a device of the account; software that is pulled is not."""

    def more(tx: Tx) -> None:
        put_software(tx, stock.software(name="x", model="X2", protocol="OMADM"), stock.NOW)

    await v1.run(more)
    light = PACKAGE | {"firmwareName": LIGHT_FIRMWARE}
    assert await v1.ada.ok("GET", "/firmware/{}") == [PACKAGE, light]
    for word, found in (
        ("OMADM", [PACKAGE]),
        ("OMD-DM", [PACKAGE]),
        ("oma", [PACKAGE]),
        ("LWM2M", [light]),
        ("lwm2m", [light]),
    ):
        assert await v1.ada.ok("GET", f"/firmware/{{}}?clientType={word}") == found


@pytest.mark.parametrize("path", ["/firmware/{}", "/devices/{}/index/0"])
@pytest.mark.parametrize("word", ["HTTP", "FTP", "OMADM%20", "%00"])
async def test_wrong_client_types(v1_sqlite: V1, path: str, word: str) -> None:
    """A client type is one of the two that v1 has."""
    assert await v1_sqlite.ada.why("GET", f"{path}?clientType={word}") == "Invalid clientType"


async def test_device(v1: V1) -> None:
    """A device's record shows what it runs, and since when; a date of 1900 says never."""
    number = LIGHT[0] - 1
    path = f"/devices/{{}}/index/{imei(number - 1)}"
    record = {
        "deviceId": imei(number),
        "mdn": "",
        "model": "X1",
        "make": "Acme",
        "firmware": "01",
        "fotaEligible": True,
        "licenseAssigned": False,
        "upgradeTime": "01/01/1900 0:0:0",
    }
    assert (await v1.ada.ok("GET", path))["deviceList"][0] == record
    await v1.ada.ok("POST", "/licenses/{}/assign", {"deviceList": [imei(number)]})
    await v1.scheduled([number], startDate=v1.day())
    await v1.tell(pushed.succeed, number)
    assert (await v1.ada.ok("GET", path))["deviceList"][0] == record | {
        "firmware": "02",
        "licenseAssigned": True,
        "upgradeTime": "2026-03-02 08:00:00.000 +0000 UTC",
    }


async def test_device_pages(v1: V1) -> None:
    """Devices come by IMEI, of one client type if asked; the cursor is the last IMEI as a number."""
    cursors, found = ["0"], []
    for more in (True, True, False):
        page = await v1.ada.ok("GET", f"/devices/{{}}/index/{cursors[-1]}?clientType=OMADM")
        assert page["accountName"] == ACCOUNT
        assert page["hasMoreData"] is more
        found += [one["deviceId"] for one in page["deviceList"]]
        cursors.append(str(page["lastSeenDeviceId"]))
    assert found == [imei(number) for number in (*MINE, 241)]
    assert cursors == ["0", imei(212), imei(224), "0"]
    light = await v1.ada.ok("GET", "/devices/{}?clientType=LWM2M")
    assert [one["deviceId"] for one in light["deviceList"]] == [imei(number) for number in LIGHT]
    everything = await v1.ada.ok("GET", "/devices/{}")
    assert [one["deviceId"] for one in everything["deviceList"]] == [
        imei(number) for number in range(1, 13)
    ]
    past = await v1.ada.ok("GET", f"/devices/{{}}/index/{imei(242)}")
    assert past == {
        "accountName": ACCOUNT,
        "hasMoreData": False,
        "lastSeenDeviceId": 0,
        "deviceList": [],
    }


async def test_imeis_with_zeros_in_front(v1: V1) -> None:
    """An IMEI that lost its zeros as a number is still the place where the next page begins."""

    def rename(tx: Tx) -> None:
        for number in range(1, 14):
            zeros = f"00001390{number:07d}"
            tx.execute("update device set imei = ? where imei = ?", (zeros, imei(number)))

    await v1.run(rename)
    first = await v1.ada.ok("GET", "/devices/{}")
    assert first["lastSeenDeviceId"] == 13900000012
    second = await v1.ada.ok("GET", "/devices/{}/index/13900000012")
    assert second["deviceList"][0]["deviceId"] == "000013900000013"


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (ABSENT, "LastSeenDeviceId Not Valid"),
        (imei(301), "LastSeenDeviceId Not Valid"),
        ("1", "LastSeenDeviceId Not Valid"),
        (imei(1) + "0", "Invalid device id format"),
        ("-1", "Invalid index value"),
        ("x", "Invalid index value"),
        ("1.5", "Invalid index value"),
        ("%D9%A1", "Invalid index value"),
    ],
)
async def test_wrong_indexes(v1_sqlite: V1, index: str, message: str) -> None:
    """An index is a number, and the IMEI of one of the account's devices."""
    assert await v1_sqlite.ada.why("GET", f"/devices/{{}}/index/{index}") == message
