"""v2: logging of devices is switched, and what they sent is read (API 5.18, lifecycle 8)."""

from datetime import timedelta
from typing import Any

import pytest

from overair.config import Limits
from overair.engine import devicelog
from overair.store import Tx, seen
from overair.store.database import to_ms
from overair.store.devicelog import LogEntry
from overair.store.seen import CheckIn
from tests.api.v2_world import ABSENT, V2, Refused
from tests.engine.stock import device_of, imei

ABSENT_DEVICE = Refused("DEVICE_NOT_FOUND", "Device not found")
FULL = "Maximum number of devices with logging enabled is 20"


@pytest.fixture
def limits() -> Limits:
    return Limits(page_size=3, check_ins_per_device=2)


def on(*numbers: int, day: str = "2026-03-09") -> list[dict[str, str]]:
    return [{"deviceId": imei(number), "expiryDate": day} for number in numbers]


def ids(*numbers: int) -> dict[str, Any]:
    return {"deviceIds": [imei(number) for number in numbers]}


async def test_switch_a_list(v2: V2) -> None:
    """The answer has all devices of the account that are on, in every form of the body."""
    path = "/logging/{}/devices"
    assert await v2.ada.ok("GET", path) == []
    assert await v2.ada.ok("PUT", path, ids(2)) == on(2)
    assert await v2.ada.ok("PUT", path, {"deviceLogging": ids(1)}) == on(1, 2)
    assert await v2.ada.ok("PUT", path, {"deviceLogging": [ids(4, 3, 4)]}) == on(1, 2, 3, 4)
    assert await v2.ada.ok("GET", path) == on(1, 2, 3, 4)
    assert await v2.bob.ok("GET", path) == []
    v2.clock.advance(timedelta(days=1))
    renewed = await v2.ada.ok("PUT", path, ids(1))
    assert renewed == on(1, day="2026-03-10") + on(2, 3, 4)
    v2.clock.advance(timedelta(days=6))
    assert await v2.ada.ok("GET", path) == on(1, day="2026-03-10")


@pytest.mark.parametrize(
    "query",
    [
        f"deviceIds={imei(1)},{imei(2)}",
        f"deviceIds={imei(1)}&deviceIds={imei(2)}",
        f"deviceIds%5B0%5D={imei(1)}&deviceIds%5B1%5D={imei(2)}",
        f"deviceIds[0]={imei(1)}&deviceIds[1]={imei(2)}",
        f"deviceIds[]={imei(1)}&deviceIds[]={imei(2)},{imei(5)}",
    ],
)
async def test_switch_a_list_off(v2: V2, query: str) -> None:
    """Devices are named in any form of a query; one that is off already is no error."""
    await v2.ada.ok("PUT", "/logging/{}/devices", ids(1, 2, 3))
    for _ in range(2):
        assert await v2.ada.ok("DELETE", f"/logging/{{}}/devices?{query}") == {}
        assert await v2.ada.ok("GET", "/logging/{}/devices") == on(3)


async def test_switch_one(v2: V2) -> None:
    """One device is switched by its own path, without a body."""
    path = f"/logging/{{}}/devices/{imei(1)}"
    await v2.ada.ok("PUT", "/logging/{}/devices", ids(2))
    for raw in (b"", b"{}", b"not looked at"):
        assert await v2.ada.ok("PUT", path, raw=raw) == on(1)[0]
    assert await v2.ada.ok("GET", "/logging/{}/devices") == on(1, 2)
    for _ in range(2):
        assert await v2.ada.ok("DELETE", path) == {}
        assert await v2.ada.ok("GET", "/logging/{}/devices") == on(2)


async def test_twenty_devices(v2: V2) -> None:
    """The twenty-first device is an error, and enables nothing."""
    path = "/logging/{}/devices"
    assert await v2.ada.why("PUT", path, ids(*range(1, 22))) == FULL
    assert await v2.ada.ok("GET", path) == []
    await v2.ada.ok("PUT", path, ids(*range(1, 21)))
    assert await v2.ada.why("PUT", path, ids(21)) == FULL
    assert await v2.ada.why("PUT", f"{path}/{imei(21)}") == FULL
    await v2.ada.ok("PUT", f"{path}/{imei(20)}")
    assert len(await v2.ada.ok("GET", path)) == 20


async def test_unknown_devices(v2: V2) -> None:
    """A request that names a device of nobody's, or of another account, does nothing."""
    path = "/logging/{}/devices"
    await v2.ada.ok("PUT", path, ids(1))
    await v2.bob.ok("PUT", path, ids(101))
    for number in (ABSENT, imei(101)):
        body = {"deviceIds": [imei(2), number]}
        assert await v2.ada.refused("PUT", path, body) == ABSENT_DEVICE
        query = f"{path}?deviceIds={imei(1)},{number}"
        assert await v2.ada.refused("DELETE", query) == ABSENT_DEVICE
        for method in ("PUT", "DELETE"):
            assert await v2.ada.refused(method, f"{path}/{number}") == ABSENT_DEVICE
    assert await v2.ada.ok("GET", path) == on(1)
    assert await v2.bob.ok("GET", path) == on(101)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Device list is empty"),
        ({"deviceIds": []}, "Device list is empty"),
        ({"deviceIds": imei(1)}, "Device list is empty"),
        ({"deviceLogging": []}, "Device list is empty"),
        ({"deviceIds": [1]}, "Invalid device id format"),
        ({"deviceIds": ["x"]}, "Invalid device id format"),
        ([], "Input binding error"),
    ],
)
async def test_wrong_lists(v2_sqlite: V2, body: Any, message: str) -> None:
    """A list has devices in it, named by IMEIs."""
    assert await v2_sqlite.ada.why("PUT", "/logging/{}/devices", body) == message


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "Device list is empty"),
        ("?deviceIds=", "Device list is empty"),
        ("?deviceIds=,,", "Device list is empty"),
        ("?deviceIds=x", "Invalid device id format"),
        (f"?deviceIds={imei(1)},1", "Invalid device id format"),
    ],
)
async def test_wrong_queries(v2_sqlite: V2, query: str, message: str) -> None:
    """A query names devices, likewise."""
    assert await v2_sqlite.ada.why("DELETE", f"/logging/{{}}/devices{query}") == message
    for method in ("PUT", "DELETE"):
        found = await v2_sqlite.ada.why(method, "/logging/{}/devices/99001390")
        assert found == "Invalid device id format"


async def test_logs(v2: V2) -> None:
    """A device's entries come newest first, a page of them; bytes as Base64."""
    path = f"/logging/{{}}/devices/{imei(1)}/logs"
    assert await v2.ada.ok("GET", path) == []

    def log(tx: Tx) -> None:
        device, now, limits = device_of(tx, 1), v2.clock.now(), v2.server.settings.limits
        devicelog.note_details(tx, device, ["download begins", "half \ud7ff <done>"], limits, now)
        later = now + timedelta(milliseconds=1500)
        devicelog.add_entries(
            tx,
            device,
            [LogEntry(at=later, type="Wireless", text="", binary=b"\x00\xff", binary_name="a.bin")],
            limits,
            later,
        )

    await v2.run(log)
    v2.clock.advance(timedelta(seconds=2))
    entry = {"deviceId": imei(1), "binaryLogFileBase64": "", "binaryLogFilename": ""}
    assert await v2.ada.ok("GET", path) == [
        {
            "deviceId": imei(1),
            "logTime": "2026-03-02T08:00:01.500Z",
            "logType": "Wireless",
            "eventLog": "",
            "binaryLogFileBase64": "AP8=",
            "binaryLogFilename": "a.bin",
        },
        *(
            {
                **entry,
                "logTime": "2026-03-02T08:00:00.000Z",
                "logType": "SoftwareUpdate",
                "eventLog": text,
            }
            for text in ("half \ud7ff <done>", "download begins")
        ),
    ]
    await v2.run(log)
    assert len(await v2.ada.ok("GET", path)) == 3
    v2.clock.advance(timedelta(days=31))
    assert await v2.ada.ok("GET", path) == []


async def test_check_ins(v2: V2) -> None:
    """Check-ins are listed newest first, so many of them and for a month."""
    path = f"/logging/{{}}/devices/{imei(1)}/checkInHistory"
    assert await v2.ada.ok("GET", path) == []

    def poll(tx: Tx) -> None:
        now = to_ms(v2.clock.now())
        device = device_of(tx, 1)
        seen.flush(
            tx,
            [
                CheckIn(device, now, "Success", "None"),
                CheckIn(device, now + 1, "Failure", "Download"),
                CheckIn(device, now + 2, "Success", "None"),
            ],
        )

    await v2.run(poll)
    check_in = {"deviceId": imei(1), "clientType": "RovaClient"}
    assert await v2.ada.ok("GET", path) == [
        {
            **check_in,
            "result": "Success",
            "failureType": "None",
            "timeCompleted": "2026-03-02T08:00:00.002Z",
        },
        {
            **check_in,
            "result": "Failure",
            "failureType": "Download",
            "timeCompleted": "2026-03-02T08:00:00.001Z",
        },
    ]
    v2.clock.advance(timedelta(days=31))
    assert await v2.ada.ok("GET", path) == []
