"""v2: campaigns are scheduled, shown, changed and stopped (API 5.5 to 5.9, lifecycle 4)."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from overair.clock import ManualClock
from overair.config import Limits
from overair.engine.catalog import FileUpload, add_file, put_software
from tests.api.v2_world import ABSENT, ACCOUNT, BARE_ACCOUNT, V2, Refused, v2_world
from tests.engine import stock
from tests.engine.stock import SOFTWARE, imei

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
DAY = timedelta(days=1)
NOWHERE = "60b5d639-ccdc-4db8-8824-069bd94c95bf"
FILE = "configfile-Acme_X1_hello-world.txt"
SCHEDULES = ("/campaigns/{}", "/campaigns/software/{}")


async def file_added(v2: V2) -> None:
    """The account has a configuration file in version 1.0."""
    await v2.run(
        add_file,
        v2.account_id,
        FileUpload(
            file_name="hello-world.txt",
            version="1.0",
            make="Acme",
            model="X1",
            local_target_path="/etc/hello",
            artifact=stock.Bytes(),
        ),
        v2.clock.now(),
    )


async def devices_of(v2: V2, campaign: str) -> list[tuple[str, str, str]]:
    report = await v2.ada.ok("GET", f"/reports/{{}}/campaigns/{campaign}/devices")
    return [(x["deviceId"], x["status"], x["resultReason"]) for x in report["deviceList"]]


# Scheduling --------------------------------------------------------------------------------------


async def test_schedule_in_the_older_form(v2: V2) -> None:
    """The answer is the campaign, pending, with hours in numbers and without the devices."""
    request = v2.campaign(
        downloadAfterDate=v2.day(2),
        downloadTimeWindowList=[{"startTime": 20, "endTime": 21}, {"startTime": 3, "endTime": 4}],
        installAfterDate=v2.day(3),
        installTimeWindowList=[{"startTime": "0", "endTime": "24"}],
    )
    answer = await v2.ada.ok("POST", "/campaigns/{}", request)
    assert UUID4.fullmatch(answer["id"])
    assert answer == {
        "id": answer["id"],
        "accountName": ACCOUNT,
        "campaignName": "smart firmware",
        "softwareName": SOFTWARE,
        "softwareFrom": "01",
        "softwareTo": "02",
        "distributionType": "HTTP",
        "make": "Acme",
        "model": "X1",
        "startDate": "2026-03-03",
        "endDate": "2026-03-07",
        "downloadAfterDate": "2026-03-04",
        "downloadTimeWindowList": [
            {"startTime": 20, "endTime": 21},
            {"startTime": 3, "endTime": 4},
        ],
        "installAfterDate": "2026-03-05",
        "installTimeWindowList": [{"startTime": 0, "endTime": 24}],
        "status": "CampaignRequestPending",
    }
    shown = await v2.ada.ok("GET", f"/campaigns/{{}}/{answer['id']}")
    assert shown == answer


async def test_schedule_in_the_current_form(v2: V2) -> None:
    """The answer has the devices as they were named, and hours in strings."""
    request = v2.campaign([2, 1, 2], downloadTimeWindowList=[{"startTime": "20", "endTime": "21"}])
    answer = await v2.ada.ok("POST", "/campaigns/software/{}", request)
    assert answer == {
        "id": answer["id"],
        "accountName": ACCOUNT,
        "campaignName": "smart firmware",
        "softwareName": SOFTWARE,
        "softwareFrom": "01",
        "softwareTo": "02",
        "distributionType": "HTTP",
        "make": "Acme",
        "model": "X1",
        "startDate": "2026-03-03",
        "endDate": "2026-03-07",
        "downloadTimeWindowList": [{"startTime": "20", "endTime": "21"}],
        "deviceList": [imei(2), imei(1)],
        "status": "CampaignRequestPending",
    }


async def test_schedule_a_file(v2: V2) -> None:
    """A file campaign names its file; where members of software are required, they stand for it."""
    await file_added(v2)
    request = v2.campaign(fileName=FILE, fileVersion="1.0", campaignName=None)
    for member in ("softwareName", "softwareFrom", "softwareTo"):
        del request[member]
    answer = await v2.ada.ok("POST", "/campaigns/files/{}", request)
    assert answer == {
        "id": answer["id"],
        "accountName": ACCOUNT,
        "fileName": FILE,
        "fileVersion": "1.0",
        "distributionType": "HTTP",
        "make": "Acme",
        "model": "X1",
        "startDate": "2026-03-03",
        "endDate": "2026-03-07",
        "deviceList": [imei(1), imei(2), imei(3)],
        "status": "CampaignRequestPending",
    }
    shown = await v2.ada.ok("GET", f"/campaigns/{{}}/{answer['id']}")
    assert {name: shown[name] for name in shown if name.startswith(("software", "file"))} == {
        "softwareName": FILE,
        "softwareFrom": "",
        "softwareTo": "1.0",
        "fileName": FILE,
        "fileVersion": "1.0",
    }
    wrong = (({"fileVersion": "2.0"}, "File not found"), ({"fileName": "x"}, "File not found"))
    for change, message in wrong:
        assert await v2.ada.why("POST", "/campaigns/files/{}", request | change) == message
    del request["deviceList"]
    assert await v2.ada.why("POST", "/campaigns/files/{}", request) == "Device list is empty"
    assert await v2.bob.why("POST", "/campaigns/files/{}", request | {"deviceList": ["1"]}) == (
        "File not found"
    )


async def test_on_demand(v2: V2) -> None:
    """A campaign that starts today runs once its devices are checked, and not longer than a week."""
    request = v2.campaign(startDate=v2.day(), endDate=v2.day(30))
    answer = await v2.ada.ok("POST", "/campaigns/{}", request)
    assert answer["endDate"] == v2.day(7)
    request = v2.campaign([4], startDate=v2.day(), endDate=...)
    assert (await v2.ada.ok("POST", "/campaigns/{}", request))["endDate"] == v2.day(7)
    await v2.advance()
    shown = await v2.ada.ok("GET", f"/campaigns/{{}}/{answer['id']}")
    assert shown["status"] == "CampaignScheduled"


async def test_wrong_devices_are_rejected_later(v2: V2) -> None:
    """What is wrong with a device is its own status in the report, also when it is no IMEI."""
    request = v2.campaign([1, 101], softwareFrom="01")
    request["deviceList"] += [ABSENT, "12345", "990013907835573x"]
    campaign = (await v2.ada.ok("POST", "/campaigns/{}", request))["id"]
    assert {status for _, status, _ in await devices_of(v2, campaign)} == {"RequestPending"}
    await v2.advance()
    accepted = "Device cleared all checks so it can be added to the scheduled list."
    assert await devices_of(v2, campaign) == [
        ("12345", "DeviceRejected", "Invalid device IMEI."),
        (ABSENT, "DeviceRejected", "Device not found."),
        (imei(1), "Accepted", accepted),
        (imei(101), "DeviceRejected", "Device not found."),
        ("990013907835573x", "DeviceRejected", "Invalid device IMEI."),
    ]
    second = await v2.scheduled([1])
    [(_, _, reason)] = await devices_of(v2, second)
    assert reason == (
        "Device scheduled for firmware upgrade previously, needs to be completed before another"
        " upgrade is scheduled."
    )
    shown = await v2.ada.ok("GET", f"/campaigns/{{}}/{second}")
    assert shown["status"] == "CampaignRequestFailed"


WRONG_CAMPAIGNS: list[tuple[dict[str, Any], str]] = [
    ({"softwareName": "x"}, "Software not found"),
    ({"softwareName": "X" * 257}, "Invalid value for softwareName"),
    ({"softwareName": ...}, "Invalid value for softwareName"),
    ({"softwareName": 1}, "Invalid value for softwareName"),
    ({"softwareFrom": "00"}, "softwareFrom/softwareTo do not match the software"),
    ({"softwareTo": "03"}, "softwareFrom/softwareTo do not match the software"),
    ({"softwareFrom": ...}, "Invalid value for softwareFrom"),
    ({"campaignName": "x" * 257}, "Invalid value for campaignName"),
    ({"campaignName": "a\0b"}, "Input binding error"),
    ({"distributionType": ...}, "Invalid distributionType"),
    ({"distributionType": "FTP"}, "Invalid distributionType"),
    ({"distributionType": "LWM2M"}, "Invalid distributionType"),
    ({"distributionType": "OMA"}, "Invalid distributionType"),
    ({"startDate": ...}, "FotaPostUpgrades: invalid start date"),
    ({"startDate": "2026-03-01"}, "FotaPostUpgrades: invalid start date"),
    ({"startDate": "3 March"}, "FotaPostUpgrades: invalid start date"),
    ({"startDate": "2026-02-30"}, "FotaPostUpgrades: invalid start date"),
    ({"startDate": 20260303}, "FotaPostUpgrades: invalid start date"),
    ({"endDate": "soon"}, "Invalid end date"),
    ({"endDate": "2026-03-02"}, "End date before start date"),
    ({"endDate": "9999-12-31"}, "Invalid end date"),
    ({"downloadAfterDate": "x"}, "Invalid download after date"),
    ({"downloadAfterDate": "2026-03-08"}, "Invalid download after date"),
    ({"installAfterDate": "2026-03-08"}, "Invalid install after date"),
    ({"downloadTimeWindowList": {}}, "Invalid time window"),
    ({"downloadTimeWindowList": [{"startTime": 5}]}, "Invalid time window"),
    ({"downloadTimeWindowList": [{"startTime": 5, "endTime": 5}]}, "Invalid time window"),
    ({"downloadTimeWindowList": [{"startTime": -1, "endTime": 5}]}, "Invalid time window"),
    ({"installTimeWindowList": [{"startTime": 23, "endTime": 25}]}, "Invalid time window"),
    ({"installTimeWindowList": [{"startTime": "x", "endTime": "y"}]}, "Invalid time window"),
    ({"installTimeWindowList": [{"startTime": 1.5, "endTime": 3}]}, "Invalid time window"),
    ({"installTimeWindowList": [{"startTime": 0, "endTime": 1}] * 101}, "Invalid time window"),
    ({"deviceList": ...}, "Device list is empty"),
    ({"deviceList": []}, "Device list is empty"),
    ({"deviceList": "990013900000001"}, "Device list is empty"),
    ({"deviceList": [imei(1)] * 31}, "Device list exceeds 30 devices"),
    ({"deviceList": [990013900000001]}, "Invalid device id format"),
    ({"deviceList": [imei(1), ""]}, "Invalid device id format"),
    ({"deviceList": [imei(1), "a b"]}, "Invalid device id format"),
    ({"deviceList": [imei(1), "a\nb"]}, "Invalid device id format"),
    ({"deviceList": [imei(1), "x" * 65]}, "Invalid device id format"),
]


@pytest.fixture
def limits() -> Limits:
    return Limits(request_devices=30)


@pytest.mark.parametrize(("change", "message"), WRONG_CAMPAIGNS)
async def test_wrong_campaigns(v2_sqlite: V2, change: dict[str, Any], message: str) -> None:
    """A request that cannot be scheduled is refused by both forms, and nothing is kept of it."""
    for path in SCHEDULES:
        assert await v2_sqlite.ada.why("POST", path, v2_sqlite.campaign(**change)) == message
    path = "/reports/{}/campaigns?campaignStatus=CampaignRequestPending"
    assert (await v2_sqlite.ada.ok("GET", path))["campaignList"] == []


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff", b'{"a":"\0"}'])
async def test_bodies_that_are_no_object(v2_sqlite: V2, raw: bytes) -> None:
    """A body that is empty, no JSON, or no object is named."""
    for path in (*SCHEDULES, "/campaigns/files/{}"):
        assert await v2_sqlite.ada.why("POST", path, raw=raw) == "Input binding error"


@pytest.mark.parametrize("spelling", ["OMA", "oma-dm", "OMD-DM", "OMADM"])
async def test_distribution_spellings(v2_sqlite: V2, spelling: str) -> None:
    """Any spelling of OMA-DM is the same protocol, and one word in answers."""
    await v2_sqlite.run(put_software, stock.software(name="oma", protocol="OMADM"), stock.NOW)
    request = v2_sqlite.campaign(softwareName="oma", distributionType=spelling)
    answer = await v2_sqlite.ada.ok("POST", "/campaigns/{}", request)
    assert answer["distributionType"] == "OMD-DM"


async def test_lenient_forms(v2_sqlite: V2) -> None:
    """Full timestamps, nulls, unknown members and another spelling of the list are taken."""
    request = v2_sqlite.campaign(
        startDate="2026-03-03T23:59:59.999Z",
        endDate="2026-03-07T00:00:00+02:00",
        downloadAfterDate=None,
        downloadTimeWindowList=None,
        installTimeWindowList=[],
        somethingElse={"a": [1]},
    )
    request["devicelist"] = request.pop("deviceList")
    answer = await v2_sqlite.ada.ok("POST", "/campaigns/{}", request)
    assert (answer["startDate"], answer["endDate"]) == ("2026-03-03", "2026-03-07")
    assert not {"downloadAfterDate", "downloadTimeWindowList", "installTimeWindowList"} & set(
        answer
    )


async def test_pilot_limit(v2: V2) -> None:
    """Until it is proven, software goes to twenty devices at once; that is an error of its own."""
    refused = Refused("PILOT_LIMIT_EXCEEDED", "Device limit exceeded: pilot campaign limit is 20")
    for path in SCHEDULES:
        assert await v2.ada.refused("POST", path, v2.campaign(range(1, 22))) == refused
    campaign = await v2.scheduled(range(1, 21))
    body = {"type": "append", "deviceList": [imei(21)]}
    assert await v2.ada.refused("PUT", f"/campaigns/{{}}/{campaign}", body) == refused


async def test_not_subscribed(v2_sqlite: V2) -> None:
    """An account without a subscription schedules nothing."""
    path = f"/campaigns/{BARE_ACCOUNT}"
    refused = await v2_sqlite.ada.refused("POST", path, v2_sqlite.campaign())
    assert refused.code == "SUBSCRIPTION_NOT_FOUND"


async def test_ten_thousand_devices(tmp_path: Path, clock: ManualClock) -> None:
    """A request may name ten thousand devices, and one more is too many."""
    limits = Limits(pilot_devices=10_000)
    async with v2_world("", tmp_path / "data", clock, limits) as v2:
        answer = await v2.ada.ok("POST", "/campaigns/software/{}", v2.campaign(range(10_000)))
        assert len(answer["deviceList"]) == 10_000
        refused = await v2.ada.why("POST", "/campaigns/{}", v2.campaign(range(10_001)))
        assert refused == "Device list exceeds 10000 devices"


# Showing, changing, stopping ---------------------------------------------------------------------

OPERATIONS: list[tuple[str, str, Any]] = [
    ("GET", "/campaigns/{}/ID", None),
    ("PUT", "/campaigns/{}/ID", {"type": "append", "deviceList": [imei(9)]}),
    ("PUT", "/campaigns/{}/ID/dates", {"startDate": "2026-03-04", "endDate": "2026-03-05"}),
    ("DELETE", "/campaigns/{}/ID", None),
    ("GET", "/reports/{}/campaigns/ID/devices", None),
]


@pytest.mark.parametrize(("method", "path", "body"), OPERATIONS)
async def test_campaign_ids(v2: V2, method: str, path: str, body: Any) -> None:
    """An id is a UUID, compares without case, and names only a campaign of the account's."""
    campaign = await v2.scheduled()
    for wrong in ("x", "123", campaign[:-1], f"{campaign}0", campaign.replace("-", "")):
        assert await v2.ada.why(method, path.replace("ID", wrong), body) == "Invalid uuid"
    unknown = path.replace("ID", NOWHERE)
    assert await v2.ada.why(method, unknown, body) == "Invalid upgradeId"
    assert await v2.bob.why(method, path.replace("ID", campaign), body) == "Invalid upgradeId"
    await v2.ada.ok(method, path.replace("ID", campaign.upper()), body)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda kind, devices: {"type": kind, "deviceList": devices},
        lambda kind, devices: {"Type": kind, "deviceList": devices},
        lambda kind, devices: {"addOrRemoveDevice": [{"type": kind, "deviceList": devices}]},
        lambda kind, devices: {"addOrRemoveDevice": {"Type": kind, "devicelist": devices}},
    ],
)
async def test_change_devices(v2: V2, wrap: Any) -> None:
    """Devices come and go before the start, in every form of the body."""
    campaign = await v2.scheduled([1, 2])
    path = f"/campaigns/{{}}/{campaign}"
    answer = await v2.ada.ok("PUT", path, wrap("append", [imei(3), imei(101), "x"]))
    assert answer == {
        "accountName": ACCOUNT,
        "campaignId": campaign,
        "requestId": answer["requestId"],
    }
    assert UUID4.fullmatch(answer["requestId"])
    await v2.ada.ok("PUT", path, wrap("remove", [imei(1), imei(9)]))
    await v2.advance()
    assert [(device, status) for device, status, _ in await devices_of(v2, campaign)] == [
        (imei(2), "Accepted"),
        (imei(3), "Accepted"),
        (imei(101), "DeviceRejected"),
        ("x", "DeviceRejected"),
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"deviceList": [imei(9)]}, "Invalid type"),
        ({"type": "add", "deviceList": [imei(9)]}, "Invalid type"),
        ({"type": "append"}, "Device list is empty"),
        ({"type": "remove", "deviceList": []}, "Device list is empty"),
        ({"type": "remove", "deviceList": [{}]}, "Invalid device id format"),
        ({"type": "append", "deviceList": ["a b"]}, "Invalid device id format"),
        ({"type": "append", "deviceList": [imei(9)] * 31}, "Device list exceeds 30 devices"),
        ({"addOrRemoveDevice": []}, "Invalid type"),
        ({"addOrRemoveDevice": [{"type": "remove"}]}, "Device list is empty"),
        ([], "Input binding error"),
    ],
)
async def test_wrong_changes_of_devices(v2_sqlite: V2, body: Any, message: str) -> None:
    """A change says what to do, and with which devices."""
    campaign = await v2_sqlite.scheduled()
    assert await v2_sqlite.ada.why("PUT", f"/campaigns/{{}}/{campaign}", body) == message


async def test_devices_are_fixed_after_the_start(v2: V2) -> None:
    """A campaign that runs, or is over, keeps its devices."""
    campaign = await v2.scheduled()
    path, body = f"/campaigns/{{}}/{campaign}", {"type": "append", "deviceList": [imei(9)]}
    await v2.advance(DAY)
    for _ in range(2):
        refused = await v2.ada.refused("PUT", path, body)
        assert refused == Refused("INVALID_STATE", "Campaign cannot be modified")
        await v2.ada.call("DELETE", path)


async def test_change_dates_before_the_start(v2: V2) -> None:
    """Everything can be changed, and what is left out is gone."""
    campaign = await v2.scheduled(
        downloadAfterDate=v2.day(2), downloadTimeWindowList=[{"startTime": 1, "endTime": 2}]
    )
    path = f"/campaigns/{{}}/{campaign}/dates"
    body = {
        "startDate": v2.day(2),
        "endDate": v2.day(40),
        "installAfterDate": v2.day(3),
        "installTimeWindowList": [{"startTime": "2", "endTime": "3"}],
    }
    answer = await v2.ada.ok("PUT", path, body)
    assert answer["status"] == "CampaignRequestQueued"
    assert {name: answer[name] for name in body} == body | {
        "installTimeWindowList": [{"startTime": 2, "endTime": 3}]
    }
    assert not {"downloadAfterDate", "downloadTimeWindowList"} & set(answer)
    assert await v2.ada.ok("GET", f"/campaigns/{{}}/{campaign}") == answer
    # Moving the start to today makes it a campaign on demand.
    answer = await v2.ada.ok("PUT", path, {"startDate": v2.day(), "endDate": v2.day(40)})
    assert answer["endDate"] == v2.day(7)
    await v2.advance()
    shown = await v2.ada.ok("GET", f"/campaigns/{{}}/{campaign}")
    assert shown["status"] == "CampaignScheduled"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"endDate": "2026-03-09"}, "FotaPostUpgrades: invalid start date"),
        ({"startDate": "2026-03-03"}, "Invalid end date"),
        ({"startDate": "2026-03-01", "endDate": "2026-03-09"}, WRONG_CAMPAIGNS[14][1]),
        ({"startDate": "2026-03-09", "endDate": "2026-03-08"}, "End date before start date"),
        ({}, "FotaPostUpgrades: invalid start date"),
    ],
)
async def test_wrong_dates(v2_sqlite: V2, body: Any, message: str) -> None:
    """Dates are judged as when the campaign was scheduled."""
    campaign = await v2_sqlite.scheduled()
    assert await v2_sqlite.ada.why("PUT", f"/campaigns/{{}}/{campaign}/dates", body) == message


async def test_change_dates_after_the_start(v2: V2) -> None:
    """Then the end may move, and windows may be added; nothing else."""
    window = {"startTime": 1, "endTime": 2}
    campaign = await v2.scheduled(downloadTimeWindowList=[window])
    await v2.advance(DAY)
    path = f"/campaigns/{{}}/{campaign}/dates"
    body = {
        "startDate": v2.day(),
        "endDate": v2.day(9),
        "downloadTimeWindowList": [{"startTime": 5, "endTime": 6}, window],
        "installTimeWindowList": [window],
    }
    for change, message in (
        ({"startDate": v2.day(1)}, "FotaPostUpgrades: invalid start date"),
        ({"endDate": v2.day()}, "End date less than 24 hours from now"),
        ({"downloadTimeWindowList": []}, "Removing existing time windows is not allowed"),
        ({"downloadAfterDate": v2.day(2)}, "Invalid download after date"),
        ({"installAfterDate": v2.day(2)}, "Invalid install after date"),
    ):
        assert await v2.ada.why("PUT", path, body | change) == message
    answer = await v2.ada.ok("PUT", path, body)
    assert {name: answer[name] for name in body} == body
    await v2.ada.ok("DELETE", f"/campaigns/{{}}/{campaign}")
    refused = await v2.ada.refused("PUT", path, body)
    assert refused == Refused("INVALID_STATE", "Campaign cannot be modified")


async def test_stop(v2: V2) -> None:
    """Stopped before the start a campaign is cancelled, and after it aborted; once."""
    for wait, status in ((timedelta(), "CampaignCancelled"), (DAY, "CampaignAborted")):
        campaign = await v2.scheduled()
        await v2.advance(wait)
        path = f"/campaigns/{{}}/{campaign}"
        assert await v2.ada.ok("DELETE", path) == {"success": True}
        assert (await v2.ada.ok("GET", path))["status"] == status
        refused = await v2.ada.refused("DELETE", path)
        assert refused == Refused("INVALID_STATE", "Campaign cannot be cancelled")
        await v2.advance()
        word = "canceled" if wait == timedelta() else "aborted"
        assert {(s, r) for _, s, r in await devices_of(v2, campaign)} == {
            (status, f"Campaign {word} by user.")
        }


async def test_words_are_no_accounts(v2_sqlite: V2) -> None:
    """`software` and `files` in the place of an account are no accounts."""
    for word in ("software", "files"):
        answered = await v2_sqlite.ada.call("GET", f"/campaigns/{word}/{NOWHERE}")
        assert (answered.status, answered.headers["allow"]) == (405, "POST")
        found = await v2_sqlite.ada.why("POST", f"/campaigns/{word}", v2_sqlite.campaign())
        assert found == "Invalid account name format"
