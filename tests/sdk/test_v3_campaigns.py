"""v3's campaigns from the client's side: reasons and times, slots, changes, licences, the lists (lifecycle 5)."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from verizon.models.device_imei import DeviceIMEI
from verizon.models.v3_license_imei import V3LicenseIMEI

from overair.engine.advance import step
from overair.store import Tx, campaigns
from tests.sdk.v3_world import (
    SUCCEEDED,
    THERE,
    UNHEARD,
    come,
    dates,
    fail,
    on_v3,
    open_v3_world,
    request,
    scheduled,
    succeed,
    windows,
)
from tests.sdk.world import (
    CELLULAR,
    CELLULAR_FAR,
    CELLULAR_FLEET,
    CELLULAR_MONTHLY,
    CELLULAR_MONTHLY_FLEET,
    CELLULAR_NOT_ELIGIBLE,
    CELLULAR_OTHER_VERSION,
    CELLULAR_PUSHED,
    CELLULAR_THEIRS,
    UNKNOWN,
    World,
    imei,
    imeis,
    with_limits,
)

ONE, TWO, THREE, FOUR = CELLULAR_FLEET[:4]
ADDED = ("AddDeviceSucceed", "Device added Successfully")
REMOVED = ("RemoveDeviceSucceed", "Device removed Successfully")
ELSEWHERE = (
    "Device scheduled for firmware upgrade previously, needs to be completed before another"
    " upgrade is scheduled."
)
NOT_THERE = "Device not found."
MODEL = "Device make/model does not meet software prerequisites."
VERSION = "Current device software version does not meet software prerequisites."
NOT_ELIGIBLE = "Device not eligible for service (not FOTA capable)"
NO_LICENSE = ("DeviceRejected", "No license attached to device")


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    """A world with a server for LwM2M, once on each kind of database."""
    with open_v3_world(tmp_path / "world", database_url) as found:
        yield found


@pytest.fixture
def paged(tmp_path: Path) -> Iterator[World]:
    """A world whose lists have pages of three."""
    limits = with_limits(page_size=3)
    with open_v3_world(tmp_path / "world", limits=limits) as found:
        yield found


def turn(begin: str, end: str) -> tuple[str, str]:
    """A device that has its slot."""
    return (
        "UpgradeScheduled",
        (
            f"The upgrade is scheduled to begin on {begin} UTC, and the estimated completion is"
            f" {end} UTC."
        ),
    )


def test_cells_fill_slot_by_slot(world: World) -> None:
    """Devices of one cell come one slot after the other, those of another at the same time."""
    come(world, FOUR, cell=THERE)
    campaign = scheduled(world, ONE, TWO, THREE, FOUR, CELLULAR_FAR, start=1)
    first = turn("03 Mar 26 00:00", "03 Mar 26 04:00")
    second = turn("03 Mar 26 04:00", "03 Mar 26 08:00")
    assert on_v3(world.ada).devices(campaign) == {
        imei(ONE): first,
        imei(TWO): first,
        imei(THREE): second,
        imei(FOUR): first,
        imei(CELLULAR_FAR): UNHEARD,
    }


def test_retries_until_the_end(world: World) -> None:
    """A device that fails says when it is tried again and how often it was; at the end, that it is over."""
    ada = on_v3(world.ada)
    campaign = scheduled(world, ONE, CELLULAR_FAR, end=0)
    fail(world, ONE)
    said = "Upgrade failed, estimated retry time on 02 Mar 26 09:00 UTC, try count 1."
    assert ada.devices(campaign)[imei(ONE)] == ("UpgradeFailed", said)
    world.wait(hours=1)
    shown = ada.standings(campaign)[imei(ONE)]
    assert shown["status"] == "UpgradeScheduled"
    assert shown["recentAttemptTime"] == "2026-03-02T09:00:00.000Z"
    fail(world, ONE)
    assert ada.devices(campaign)[imei(ONE)][1].endswith("12:00 UTC, try count 2.")
    world.wait(hours=3)
    fail(world, ONE)
    world.wait_until(world.midnight(1))
    assert ada.status(campaign) == "CampaignEnded"
    over = "no retry available, try count"
    (past,) = ada.history(ONE)
    found = ada.devices(campaign)
    assert found[imei(ONE)] == (past["status"], past["reason"])
    assert over in past["reason"]
    assert found[imei(CELLULAR_FAR)] == (
        "NoDeviceDataFromNetwork",
        f"The network does not report this device is reachable, {over} 0.",
    )


def test_windows(world: World) -> None:
    """Slots are in the windows of the campaign, in every one of them."""
    hours = windows((20, 24), (0, 4))
    campaign = scheduled(world, ONE, TWO, THREE, campaign_time_window_list=hours)
    evening = turn("02 Mar 26 20:00", "03 Mar 26 00:00")
    night = turn("03 Mar 26 00:00", "03 Mar 26 04:00")
    ada = on_v3(world.ada)
    assert list(ada.devices(campaign).values()) == [evening, evening, night]
    assert ada.campaign(campaign)["campaignTimeWindowList"] == [
        {"startTime": 20, "endTime": 24},
        {"startTime": 0, "endTime": 4},
    ]


def test_devices_that_are_rejected(world: World) -> None:
    """Each device that does not pass the checks says why; the others go on."""
    scheduled(world, FOUR)
    reasons = {
        imei(FOUR): ELSEWHERE,
        imei(CELLULAR_NOT_ELIGIBLE): NOT_ELIGIBLE,
        imei(CELLULAR_OTHER_VERSION): VERSION,
        imei(CELLULAR_PUSHED): MODEL,
        imei(CELLULAR_THEIRS[0]): NOT_THERE,
        UNKNOWN: NOT_THERE,
        "12345": "Invalid device IMEI.",
    }
    campaign = scheduled(world, device_list=[imei(ONE), *reasons])
    found = on_v3(world.ada).devices(campaign)
    assert found.pop(imei(ONE))[0] == "UpgradeScheduled"
    assert found == {device: ("DeviceRejected", reason) for device, reason in reasons.items()}


def _carry_on(tx: Tx, world: World) -> None:
    now = world.clock.now()
    for found in campaigns.claim(tx, "test", now, now + timedelta(seconds=60), 100):
        while step(tx, found, "test", world.server.settings, now):
            pass


def test_changes_of_the_list(tmp_path: Path, database_url: str) -> None:
    """Before a campaign is scheduled, devices are added and taken out, and each outcome is told."""
    # The engine stands still, so that there is time for it.
    with open_v3_world(tmp_path / "world", database_url, engine=False) as world:
        ada = on_v3(world.ada)
        campaign = ada.schedule(request(world, ONE, TWO, start=1))
        assert ada.change(campaign, "append", THREE, CELLULAR_NOT_ELIGIBLE, UNKNOWN, "x") == [
            ADDED,
            ("AddDeviceFailed", NOT_ELIGIBLE),
            ("AddDeviceFailed", NOT_THERE),
            ("AddDeviceFailed", "Invalid device IMEI."),
        ]
        assert ada.change(campaign, "remove", TWO, FOUR) == [
            REMOVED,
            ("RemoveDeviceFailed", "Device is not in the campaign"),
        ]
        assert {device: word for device, (word, _) in ada.devices(campaign).items()} == {
            imei(ONE): "RequestPending",
            imei(THREE): "Accepted",
        }
        assert ada.change(campaign, "remove", ONE, THREE) == 2 * [REMOVED]
        assert ada.status(campaign) == "CampaignCancelled"
        world.run(_carry_on, world)


def test_dates_and_the_end(world: World) -> None:
    """Dates move before the start, the end also after it; cancelling is for before the start date."""
    ada = on_v3(world.ada)
    campaign = scheduled(world, ONE, start=1)
    ada.ok("update_campaign_dates", campaign, dates(world, 0, 2, (8, 16)))
    world.settle()
    assert ada.devices(campaign) == {imei(ONE): turn("02 Mar 26 08:00", "02 Mar 26 12:00")}
    moved = ada.ok("update_campaign_dates", campaign, dates(world, 0, 9, (8, 16)))
    assert moved["endDate"] == world.day(9).isoformat()
    succeed(world, ONE)
    world.wait(minutes=1)
    assert ada.status(campaign) == "CampaignEnded"
    other = scheduled(world, TWO, start=1)
    ada.ok("cancel_campaign", other)
    world.settle()
    assert ada.devices(other) == {imei(TWO): ("CampaignCancelled", "Campaign canceled by user.")}
    assert ada.by_status("CampaignCancelled") == [other]


def test_monthly_accounts(world: World) -> None:
    """A licence is needed there; with the flag, devices get one while there are any."""
    ada = on_v3(world.ada, CELLULAR_MONTHLY)
    first, *others = CELLULAR_MONTHLY_FLEET[:4]
    ada.ok("assign_licenses_to_devices", V3LicenseIMEI(imeis(first)))
    plain = scheduled(world, first, *others[:1], account=CELLULAR_MONTHLY, start=1)
    assert ada.devices(plain)[imei(others[0])] == NO_LICENSE
    ada.ok("cancel_campaign", plain)
    world.settle()
    made = scheduled(
        world,
        first,
        *others,
        account=CELLULAR_MONTHLY,
        start=1,
        auto_assign_license_flag=True,
    )
    found = ada.devices(made)
    assert found.pop(imei(others[-1])) == NO_LICENSE
    assert {word for word, _ in found.values()} == {"UpgradeScheduled"}
    assert ada.ok("get_account_licenses_status")["assignedLicenses"] == 3


def test_success_is_everywhere(world: World) -> None:
    """What was updated shows it in the report, the history, the device's record and its details."""
    ada = on_v3(world.ada)
    campaign = scheduled(world, ONE)
    succeed(world, ONE)
    assert ada.devices(campaign) == {imei(ONE): SUCCEEDED}
    (past,) = ada.history(ONE)
    assert (past["campaignId"], past["firmwareTo"], past["reason"]) == (
        campaign,
        "02",
        SUCCEEDED[1],
    )
    details = ada.ok("list_account_devices_information", DeviceIMEI(imeis(ONE)))
    (shown,) = details["deviceList"]
    assert (shown["firmware"], shown["lastConnectionTime"][:10]) == ("02", "2026-03-02")


def test_lists_page_by_page(paged: World) -> None:
    """Devices, licences, campaigns and their devices are read whole, page by page."""
    world, ada = paged, on_v3(paged.ada)
    light = [*CELLULAR_FLEET, CELLULAR_FAR, CELLULAR_NOT_ELIGIBLE, CELLULAR_OTHER_VERSION]
    for protocol, numbers in (
        ("LWM2M", light),
        ("OMADM", [CELLULAR_PUSHED]),
        ("HTTP", []),
        ("all", sorted([*light, CELLULAR_PUSHED])),
    ):
        pages = ada.pages("get_account_device_information", "lastSeenDeviceId", protocol=protocol)
        shown = [device["deviceId"] for page in pages for device in page["deviceList"]]
        assert shown == imeis(*numbers)
    ada.ok("assign_licenses_to_devices", V3LicenseIMEI(imeis(ONE, TWO, THREE)))
    made = [scheduled(world, number, start=1) for number in CELLULAR_FLEET[4:9]]
    assert ada.by_status("CampaignScheduled") == made
    large = scheduled(world, *CELLULAR_FLEET[:4], start=1)
    assert list(ada.devices(large)) == imeis(*CELLULAR_FLEET[:4])
    assert ada.on(CELLULAR).by_status("CampaignPreScheduled") == []
