"""The error catalogue (API 10) as the client of v3 hears it: its own exception, code and text."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from verizon.exceptions.api_exception import APIException
from verizon.exceptions.fota_v3_result_exception import FotaV3ResultException
from verizon.models.device_imei import DeviceIMEI
from verizon.models.firmware_imei import FirmwareIMEI
from verizon.models.fota_v3_callback_registration_request import (
    FotaV3CallbackRegistrationRequest,
)
from verizon.models.v3_license_imei import V3LicenseIMEI

from overair.config import Slots
from tests.sdk.shapes_v3 import OPERATIONS
from tests.sdk.test_v2_errors import close, stranger
from tests.sdk.v3_world import (
    SdkV3,
    bob_on_v3,
    change,
    dates,
    on_v3,
    open_v3_world,
    request,
    scheduled,
    succeed,
)
from tests.sdk.world import (
    BARE,
    CELLULAR,
    CELLULAR_FLEET,
    CELLULAR_OTHER,
    CELLULAR_THEIRS,
    FIRMWARE,
    INACTIVE,
    LIGHT_FIRMWARE,
    OTHER,
    SOFTWARE,
    UNKNOWN,
    Refusal,
    World,
    imei,
    imeis,
)

CAMPAIGN = "60b5d639-ccdc-4db8-8824-069bd94c95bf"
URL = "https://listener.example.com/"
ONE, TWO, THREE = CELLULAR_FLEET[:3]
NOT_MODIFIABLE = Refusal("INVALID_STATE", "Campaign cannot be modified")
NOT_CANCELLABLE = Refusal("INVALID_STATE", "Campaign cannot be cancelled")
NOT_SUBSCRIBED = Refusal("SUBSCRIPTION_NOT_FOUND", "Not subscribed")
NOT_FOUND = Refusal("DEVICE_NOT_FOUND", "Device not found")

# Arguments with which a call would succeed, or fail for a later reason than those tested here.
GOOD: dict[str, Callable[[World], tuple[Any, ...]]] = {
    "get_account_subscription_status": lambda w: (),
    "get_account_licenses_status": lambda w: (),
    "assign_licenses_to_devices": lambda w: (V3LicenseIMEI(imeis(ONE)),),
    "remove_licenses_from_devices": lambda w: (V3LicenseIMEI(imeis(ONE)),),
    "schedule_campaign_firmware_upgrade": lambda w: (request(w, ONE),),
    "get_campaign_information": lambda w: (CAMPAIGN,),
    "update_campaign_firmware_devices": lambda w: (CAMPAIGN, change("append", ONE)),
    "update_campaign_dates": lambda w: (CAMPAIGN, dates(w, 1, 2)),
    "cancel_campaign": lambda w: (CAMPAIGN,),
    "list_available_firmware": lambda w: ("LWM2M",),
    "synchronize_device_firmware": lambda w: (FirmwareIMEI(imeis(ONE)),),
    "report_device_firmware": lambda w: (imei(ONE),),
    "get_account_device_information": lambda w: (),
    "list_account_devices_information": lambda w: (DeviceIMEI(imeis(ONE)),),
    "get_campaign_history_by_status": lambda w: ("CampaignEnded",),
    "get_campaign_device_status": lambda w: (CAMPAIGN,),
    "get_device_firmware_upgrade_history": lambda w: (imei(ONE),),
    "list_registered_callbacks": lambda w: (),
    "register_callback": lambda w: (FotaV3CallbackRegistrationRequest(URL),),
    "update_callback": lambda w: (FotaV3CallbackRegistrationRequest(URL),),
    "deregister_callback": lambda w: (),
}
# Calls with a body, with what comes before it.
BODIES: dict[str, tuple[Any, ...]] = {
    "assign_licenses_to_devices": (),
    "remove_licenses_from_devices": (),
    "schedule_campaign_firmware_upgrade": (),
    "update_campaign_firmware_devices": (CAMPAIGN,),
    "update_campaign_dates": (CAMPAIGN,),
    "synchronize_device_firmware": (),
    "list_account_devices_information": (),
    "register_callback": (),
    "update_callback": (),
}


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for tests of requests that change nothing."""
    with open_v3_world(tmp_path_factory.mktemp("untouched")) as found:
        yield found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world where the database makes no difference."""
    with open_v3_world(tmp_path / "world") as found:
        yield found


def ada_of(world: World) -> SdkV3:
    return on_v3(world.ada)


def test_accounts_that_cannot_be_used(untouched: World) -> None:
    """Every call says whether the account is malformed, somebody else's, unknown or inactive."""
    assert set(GOOD) == set(OPERATIONS)
    not_authorised = Refusal("UNAUTHORIZED_ACCOUNT", "Not authorised for account")
    malformed = Refusal("INVALID_PARAMETER", "Invalid account name format")
    for name, arguments in GOOD.items():
        for account, refusal in (
            ("123456-00001", malformed),
            ("../0000123456-00001", malformed),
            (OTHER, not_authorised),
            (CELLULAR_OTHER, not_authorised),
            ("9999999999-99999", not_authorised),
            (INACTIVE, Refusal("INVALID_PARAMETER", "Inactive account")),
        ):
            user = on_v3(untouched.ada, account)
            assert user.refused(name, *arguments(untouched)) == refusal, name


def test_accounts_without_a_subscription(untouched: World) -> None:
    """Without one there are no licences, and nothing is upgraded; the rest is there."""
    user = on_v3(untouched.ada, BARE)
    for name in (
        "get_account_subscription_status",
        "get_account_licenses_status",
        "assign_licenses_to_devices",
        "remove_licenses_from_devices",
        "schedule_campaign_firmware_upgrade",
    ):
        assert user.refused(name, *GOOD[name](untouched)) == NOT_SUBSCRIBED
    assert user.ok("list_available_firmware", "LWM2M") == []
    assert user.ok("get_account_device_information")["deviceList"] == []


def test_tokens_that_open_nothing(untouched: World) -> None:
    """Without a session every call is the typed exception; without a bearer token it is a 401."""
    strangers = [
        stranger(untouched, "00000000-0000-4000-8000-000000000000"),
        stranger(untouched, untouched.ada.connection.session_token, "nonsense"),
    ]
    no_session, no_bearer = map(on_v3, strangers)
    for name, arguments in GOOD.items():
        refusal = no_session.refused(name, *arguments(untouched))
        assert refusal.code == "UnifiedWebService.REQUEST_FAILED.SessionToken.Invalid"
        with pytest.raises(APIException) as caught:
            no_bearer.call(name, *arguments(untouched))
        assert not isinstance(caught.value, FotaV3ResultException)
        assert caught.value.response_code == 401
        body = json.loads(caught.value.response.text)
        assert (body["fault"]["code"], body["errorCode"]) == ("900901", "900901")
        assert body["fault"]["message"] == body["errorMessage"] == "Invalid Credentials"
    for user in strangers:
        close(user)


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_none(untouched: World, name: str) -> None:
    """What is no JSON object is an input binding error; the client sends strings as they are."""
    ada = ada_of(untouched)
    for body in ("", "{", "[]", "7", '"text"', "null", '{"a":}', "\ufeff{}", "[" * 5000):
        assert ada.why(name, *BODIES[name], body) == "Input binding error", body


def as_text(world: World, **changes: Any) -> str:
    """A request as JSON text, which the client sends as it is."""
    body = {
        "firmwareName": LIGHT_FIRMWARE,
        "firmwareFrom": "01",
        "firmwareTo": "02",
        "protocol": "LWM2M",
        "startDate": world.day(1).isoformat(),
        "endDate": world.day(2).isoformat(),
        "deviceList": imeis(ONE),
    } | changes
    return json.dumps({name: value for name, value in body.items() if value is not ...})


VERSIONS = "firmwareFrom/firmwareTo do not match the firmware"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"deviceList": ...}, "Device list is empty"),
        ({"deviceList": []}, "Device list is empty"),
        ({"deviceList": "x"}, "Device list is empty"),
        ({"deviceList": [1]}, "Invalid device id format"),
        ({"startDate": ...}, "FotaPostUpgrades: invalid start date"),
        ({"startDate": "soon"}, "FotaPostUpgrades: invalid start date"),
        ({"startDate": "2026-02-30"}, "FotaPostUpgrades: invalid start date"),
        ({"startDate": "2026-03-01"}, "FotaPostUpgrades: invalid start date"),
        ({"endDate": ...}, "Invalid end date"),
        ({"endDate": "2026-13-01"}, "Invalid end date"),
        ({"endDate": "2026-03-02"}, "End date before start date"),
        ({"campaignTimeWindowList": "20-21"}, "Invalid time window"),
        (
            {"campaignTimeWindowList": [{"startTime": "x", "endTime": "2"}]},
            "Invalid time window",
        ),
        ({"campaignTimeWindowList": [{"startTime": 22, "endTime": 4}]}, "Invalid time window"),
        ({"protocol": "FTP"}, "Invalid protocol"),
        ({"protocol": "OMD-DM"}, "Invalid protocol"),
        ({"firmwareName": "unknown"}, "Firmware not found"),
        ({"firmwareName": ""}, "Firmware not found"),
        ({"firmwareName": SOFTWARE}, "Firmware not found"),
        ({"firmwareName": FIRMWARE}, "Invalid protocol"),
        ({"firmwareFrom": "00"}, VERSIONS),
        ({"firmwareTo": "99"}, VERSIONS),
        ({"firmwareName": ...}, "Invalid value for firmwareName"),
        ({"firmwareFrom": ...}, "Invalid value for firmwareFrom"),
        ({"autoAssignLicenseFlag": "true"}, "Invalid value for autoAssignLicenseFlag"),
    ],
)
def test_campaigns_that_are_refused(
    untouched: World, changes: dict[str, Any], message: str
) -> None:
    """What is wrong with a request as a whole is told at once, and nothing is scheduled."""
    ada = ada_of(untouched)
    body = as_text(untouched, **changes)
    assert ada.why("schedule_campaign_firmware_upgrade", body) == message
    for status in ("CampaignRequestPending", "CampaignScheduled"):
        assert ada.by_status(status) == []


def test_campaign_ids(world: World) -> None:
    """An id that is none, an unknown one and another account's are told apart from ours, in any case."""
    ada = ada_of(world)
    theirs = bob_on_v3(world).schedule(request(world, CELLULAR_THEIRS[0], start=1))
    mine = scheduled(world, ONE, start=1)
    of_v2 = world.ada.schedule(world.request(1, start=1))
    for name in (
        "get_campaign_information",
        "update_campaign_firmware_devices",
        "update_campaign_dates",
        "get_campaign_device_status",
        "cancel_campaign",
    ):
        arguments = GOOD[name](world)[1:]
        assert ada.why(name, "not-a-uuid", *arguments) == "Invalid uuid"
        for unknown in (CAMPAIGN, theirs, of_v2):
            assert ada.why(name, unknown, *arguments) == "Invalid upgradeId"
    for name in ("get_campaign_information", "get_campaign_device_status", "cancel_campaign"):
        ada.ok(name, mine.upper())
    assert world.ada.why("get_campaign_information", mine) == "Invalid upgradeId"


def test_changes_that_come_too_late(world: World) -> None:
    """With its slots given its list stands; after its start date all but its end does."""
    ada = ada_of(world)
    campaign = scheduled(world, ONE, TWO, start=1)
    name = "update_campaign_firmware_devices"
    for type_ in ("append", "remove"):
        assert ada.refused(name, campaign, change(type_, THREE)) == NOT_MODIFIABLE
    assert ada.why(name, campaign, change("replace", ONE)) == "Invalid type"
    assert ada.why(name, campaign, change("append", "a b")) == "Invalid device id format"
    # The client checks a list of devices itself, and sends an empty one.
    assert ada.why(name, campaign, change("append")) == "Device list is empty"
    world.wait_until(world.midnight(1))
    name = "update_campaign_dates"
    assert ada.why(name, campaign, dates(world, 1, 5)) == "FotaPostUpgrades: invalid start date"
    soon = "End date less than 24 hours from now"
    world.wait(hours=1)
    assert ada.why(name, campaign, dates(world, 0, 0)) == soon
    added = "Adding time windows after the start is not allowed"
    assert ada.why(name, campaign, dates(world, 0, 5, (0, 4))) == added
    assert ada.refused("cancel_campaign", campaign) == NOT_CANCELLABLE
    for number in (ONE, TWO):
        succeed(world, number)
    world.wait(minutes=1)
    assert ada.status(campaign) == "CampaignEnded"
    assert ada.refused(name, campaign, dates(world, 0, 9)) == NOT_MODIFIABLE
    assert ada.refused("cancel_campaign", campaign) == NOT_CANCELLABLE


def test_aborting_by_a_setting(tmp_path: Path) -> None:
    """Where the installation lets it, a campaign that has started is aborted."""
    slots = Slots(good=2, allow_abort=True)
    with open_v3_world(tmp_path / "world", slots=slots) as world:
        ada = ada_of(world)
        campaign = scheduled(world, ONE)
        ada.ok("cancel_campaign", campaign)
        world.settle()
        assert ada.status(campaign) == "CampaignAborted"
        assert ada.devices(campaign) == {
            imei(ONE): ("CampaignAborted", "Campaign aborted by user.")
        }


def test_pilots(world: World) -> None:
    """Until firmware is proven a campaign has at most twenty devices."""
    body = as_text(world, deviceList=[f"{number:015}" for number in range(21)])
    assert ada_of(world).refused("schedule_campaign_firmware_upgrade", body) == Refusal(
        "PILOT_LIMIT_EXCEEDED", "Device limit exceeded: pilot campaign limit is 20"
    )


def test_devices(untouched: World) -> None:
    """Single devices that are not the account's are not found; lists have at most so many."""
    ada = ada_of(untouched)
    for name in ("report_device_firmware", "get_device_firmware_upgrade_history"):
        assert ada.why(name, "12345") == "Invalid device id format"
        for unknown in (UNKNOWN, imei(CELLULAR_THEIRS[0])):
            assert ada.refused(name, unknown) == NOT_FOUND
    many = [f"{number:015}" for number in range(1001)]
    for name, body, limit in (
        ("synchronize_device_firmware", FirmwareIMEI, 100),
        ("list_account_devices_information", DeviceIMEI, 1000),
    ):
        assert ada.why(name, body(many[: limit + 1])) == f"Device list exceeds {limit} devices"
        assert ada.why(name, body([])) == "Device list is empty"
        assert ada.why(name, body(["x"])) == "Invalid device id format"
        ada.ok(name, body(many[:limit]))


def test_filters_and_cursors(untouched: World) -> None:
    """Statuses, protocols and cursors are looked at."""
    ada = ada_of(untouched)
    assert ada.why("get_campaign_history_by_status", "Ended") == "Invalid campaign status"
    last = {"last_seen_campaign_id": CAMPAIGN}
    found = ada.why("get_campaign_history_by_status", "CampaignEnded", **last)
    assert found == "LastSeenCampaignId Not Valid"
    assert ada.why("list_available_firmware", "FTP") == "Invalid protocol"
    assert ada.why("get_account_device_information", protocol="FTP") == "Invalid protocol"
    for name in ("get_account_device_information", "get_account_licenses_status"):
        for cursor in (UNKNOWN, imei(CELLULAR_THEIRS[0]), "x"):
            assert ada.why(name, last_seen_device_id=cursor) == "LastSeenDeviceId Not Valid"


def test_listeners(untouched: World) -> None:
    """A listener's URL is absolute and https; one that is not there cannot be deleted."""
    ada = ada_of(untouched)
    for url in ("listener", "http://x.example.com/", "https://127.0.0.1/", "https://"):
        for name in ("register_callback", "update_callback"):
            body = FotaV3CallbackRegistrationRequest(url)
            assert ada.why(name, body) == "Invalid callback URL"
    gone = Refusal("CALLBACK_NOT_REGISTERED", "Callback is not registered")
    assert ada.refused("deregister_callback") == gone


def test_aliases_and_what_an_older_text_names(world: World) -> None:
    """Paths that the client does not have are served too, and answer as its own do."""
    ada = ada_of(world)
    body = as_text(world).encode()
    status, made = ada.raw("POST", "/campaigns/software/{}", body)
    assert (status, made["status"]) == (200, "CampaignRequestPending")
    status, listed = ada.raw("GET", "/reports/{}/campaigns?campaignStatus=CampaignEnded")
    assert (status, listed["campaignList"]) == (200, [])
    devices = json.dumps({"deviceList": imeis(ONE)}).encode()
    status, assigned = ada.raw("POST", "/firmware/licenses/{}/assign", devices)
    assert (status, assigned["licUsedCount"]) == (200, 1)
    status, page = ada.raw("GET", "/licenses/{}/index/0")
    assert (status, page["assignedLicenses"]) == (200, 1)
    status, version = ada.raw("PUT", f"/firmware/{{}}/{imei(ONE)}")
    assert (status, version["firmwareVersion"]) == (200, "01")
    status, listed = ada.raw("POST", "/licenses/{}/cancel", devices)
    assert (status, listed["count"]) == (200, 1)
    status, files = ada.raw("GET", "/files/{}")
    assert (status, files) == (200, {"AvailableFilesResponse": []})
    status, found = ada.raw("GET", "//devices//{}/")
    assert (status, found["accountName"]) == (200, CELLULAR)
    status, found = ada.raw("GET", "/nowhere/{}")
    assert (status, found["errorCode"]) == (404, "900906")
    status, found = ada.raw("PATCH", "/devices/{}")
    assert status == 405
