"""The error catalogue (API 10) as the client hears it: each row is its own exception, code and text."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from verizon.exceptions.api_exception import APIException
from verizon.exceptions.fota_v2_result_exception import FotaV2ResultException
from verizon.models.device_logging_request import DeviceLoggingRequest
from verizon.models.fota_v2_callback_registration_request import (
    FotaV2CallbackRegistrationRequest,
)
from verizon.models.oauth_token import OauthToken
from verizon.models.schedules_software_upgrade_request import SchedulesSoftwareUpgradeRequest
from verizon.models.upload_and_schedule_file_request import UploadAndScheduleFileRequest
from verizon.models.v2_add_or_remove_device_request import V2AddOrRemoveDeviceRequest
from verizon.models.v2_change_campaign_dates_request import V2ChangeCampaignDatesRequest
from verizon.models.v2_license_imei import V2LicenseIMEI
from verizon.models.v2_list_of_licenses_to_remove_request import V2ListOfLicensesToRemoveRequest

from tests.peers import sdk
from tests.sdk.shapes import OPERATIONS
from tests.sdk.world import (
    BOTH,
    INACTIVE,
    KEY,
    NEXT_SOFTWARE,
    OTHER,
    SECRET,
    SOFTWARE,
    Refusal,
    Sdk,
    World,
    file,
    imei,
    imeis,
)

CAMPAIGN = "60b5d639-ccdc-4db8-8824-069bd94c95bf"


def by_strings(world: World, **changes: Any) -> Any:
    asked = {
        "software_name": SOFTWARE,
        "software_from": "01",
        "software_to": "02",
        "distribution_type": "HTTP",
        "start_date": world.day(1).isoformat(),
        "end_date": world.day(2).isoformat(),
        "device_list": imeis(1),
    } | changes
    return SchedulesSoftwareUpgradeRequest(
        **{name: value for name, value in asked.items() if value is not ...}
    )


def for_file(world: World) -> Any:
    return UploadAndScheduleFileRequest(
        file_name="configfile-Acme_X1_a.txt",
        file_version="1",
        distribution_type="HTTP",
        start_date=world.day(1).isoformat(),
        end_date=world.day(2).isoformat(),
        device_list=imeis(1),
    )


# Arguments with which a call would succeed, or fail for a later reason than those tested here.
GOOD: dict[str, Callable[[World], tuple[Any, ...]]] = {
    "get_account_subscription_status": lambda w: (),
    "get_account_license_status": lambda w: (),
    "assign_licenses_to_devices": lambda w: (V2LicenseIMEI(imeis(1)),),
    "remove_licenses_from_devices": lambda w: (V2LicenseIMEI(imeis(1)),),
    "list_licenses_to_remove": lambda w: (),
    "create_list_of_licenses_to_remove": lambda w: (V2ListOfLicensesToRemoveRequest(imeis(1)),),
    "delete_list_of_licenses_to_remove": lambda w: (),
    "schedule_campaign_firmware_upgrade": lambda w: (w.request(1),),
    "schedule_sw_upgrade_http_devices": lambda w: (by_strings(w),),
    "schedule_file_upgrade": lambda w: (for_file(w),),
    "get_campaign_information": lambda w: (CAMPAIGN,),
    "update_campaign_firmware_devices": lambda w: (
        CAMPAIGN,
        V2AddOrRemoveDeviceRequest("append", imeis(1)),
    ),
    "update_campaign_dates": lambda w: (
        CAMPAIGN,
        V2ChangeCampaignDatesRequest(w.day(1), w.day(2)),
    ),
    "cancel_campaign": lambda w: (CAMPAIGN,),
    "get_list_of_files": lambda w: ("HTTP",),
    "upload_config_file": lambda w: (file(b"a"), "1", "Acme", "X1", "/a"),
    "list_available_software": lambda w: (),
    "list_account_devices": lambda w: (),
    "get_device_firmware_upgrade_history": lambda w: (imei(1),),
    "get_campaign_history_by_status": lambda w: ("CampaignEnded",),
    "get_campaign_device_status": lambda w: (CAMPAIGN,),
    "list_registered_callbacks": lambda w: (),
    "register_callback": lambda w: (FotaV2CallbackRegistrationRequest("https://x.example.com"),),
    "update_callback": lambda w: (FotaV2CallbackRegistrationRequest("https://x.example.com"),),
    "deregister_callback": lambda w: (),
    "list_devices_with_logging_enabled": lambda w: (),
    "enable_logging_for_devices": lambda w: (DeviceLoggingRequest(imeis(1)),),
    "disable_logging_for_devices": lambda w: (imeis(1),),
    "enable_device_logging": lambda w: (imei(1),),
    "disable_device_logging": lambda w: (imei(1),),
    "list_device_logs": lambda w: (imei(1),),
    "get_device_check_in_history": lambda w: (imei(1),),
}
BODIES = [
    "assign_licenses_to_devices",
    "remove_licenses_from_devices",
    "create_list_of_licenses_to_remove",
    "schedule_campaign_firmware_upgrade",
    "schedule_sw_upgrade_http_devices",
    "schedule_file_upgrade",
    "register_callback",
    "update_callback",
    "enable_logging_for_devices",
]


def stranger(world: World, session: str, bearer: str | None = None) -> Sdk:
    """The client with other tokens than Ada's."""
    token = None if bearer is None else OauthToken(bearer, "Bearer")
    client = sdk.client(
        f"{world.base}/api", key=KEY, secret=SECRET, session_token=session, oauth_token=token
    )
    connection = sdk.Connection(client=client, access_token="", session_token=session)
    return Sdk(connection=connection, account=BOTH, base=world.base)


def close(user: Sdk) -> None:
    user.connection.client.config.http_client.session.close()


def test_accounts_that_cannot_be_used(untouched_world: World) -> None:
    """Every call says whether the account is malformed, somebody else's, unknown or inactive."""
    world = untouched_world
    assert set(GOOD) == set(OPERATIONS)
    not_authorised = Refusal("UNAUTHORIZED_ACCOUNT", "Not authorised for account")
    for name, arguments in GOOD.items():
        for account, refusal in (
            ("123456-00001", Refusal("INVALID_PARAMETER", "Invalid account name format")),
            ("../0000123456-00001", Refusal("INVALID_PARAMETER", "Invalid account name format")),
            (OTHER, not_authorised),
            ("9999999999-99999", not_authorised),
            (INACTIVE, Refusal("INVALID_PARAMETER", "Inactive account")),
        ):
            assert world.ada.on(account).refused(name, *arguments(world)) == refusal, name


def test_tokens_that_open_nothing(untouched_world: World) -> None:
    """Without a session every call is the typed exception; without a bearer token it is a 401."""
    world = untouched_world
    no_session = stranger(world, "00000000-0000-4000-8000-000000000000")
    no_bearer = stranger(world, world.ada.connection.session_token, "nonsense")
    for name, arguments in GOOD.items():
        refusal = no_session.refused(name, *arguments(world))
        assert refusal.code == "UnifiedWebService.REQUEST_FAILED.SessionToken.Invalid"
        with pytest.raises(APIException) as caught:
            no_bearer.call(name, *arguments(world))
        assert not isinstance(caught.value, FotaV2ResultException)
        assert caught.value.response_code == 401
        body = json.loads(caught.value.response.text)
        assert (body["fault"]["code"], body["errorCode"]) == ("900901", "900901")
        assert body["fault"]["message"] == body["errorMessage"] == "Invalid Credentials"
        assert body["fault"]["description"]
    close(no_session)
    close(no_bearer)


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_none(untouched_world: World, name: str) -> None:
    """What is no JSON object is an input binding error; the client sends strings as they are."""
    for body in ("", "{", "[]", "7", '"text"', "null", '{"a":}', "\ufeff{}", "[" * 5000):
        assert untouched_world.ada.why(name, body) == "Input binding error", body


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"device_list": ...}, "Device list is empty"),
        ({"device_list": []}, "Device list is empty"),
        ({"device_list": "x"}, "Device list is empty"),
        ({"device_list": [1]}, "Invalid device id format"),
        ({"start_date": ...}, "FotaPostUpgrades: invalid start date"),
        ({"start_date": "soon"}, "FotaPostUpgrades: invalid start date"),
        ({"start_date": "2026-02-30"}, "FotaPostUpgrades: invalid start date"),
        ({"start_date": "2026-03-01"}, "FotaPostUpgrades: invalid start date"),
        ({"start_date": 20260303}, "FotaPostUpgrades: invalid start date"),
        ({"end_date": "2026-13-01"}, "Invalid end date"),
        ({"end_date": ""}, "Invalid end date"),
        ({"end_date": "2026-03-02"}, "End date before start date"),
        ({"download_after_date": "x"}, "Invalid download after date"),
        ({"install_after_date": "x"}, "Invalid install after date"),
        (
            {"download_time_window_list": [{"startTime": "x", "endTime": "2"}]},
            "Invalid time window",
        ),
        ({"download_time_window_list": [{"startTime": "1"}]}, "Invalid time window"),
        ({"install_time_window_list": [{"startTime": "3", "endTime": "3"}]}, "Invalid time window"),
        ({"install_time_window_list": "20-21"}, "Invalid time window"),
        ({"distribution_type": ...}, "Invalid distributionType"),
        ({"distribution_type": "FTP"}, "Invalid distributionType"),
        ({"distribution_type": "LWM2M"}, "Invalid distributionType"),
        ({"distribution_type": "OMA"}, "Invalid distributionType"),
        ({"software_name": "unknown"}, "Software not found"),
        ({"software_name": ""}, "Software not found"),
        (
            {"software_name": NEXT_SOFTWARE},
            "softwareFrom/softwareTo do not match the software",
        ),
        ({"software_from": "00"}, "softwareFrom/softwareTo do not match the software"),
        ({"software_to": "99"}, "softwareFrom/softwareTo do not match the software"),
    ],
)
def test_campaigns_that_are_refused(
    untouched_world: World, changes: dict[str, Any], message: str
) -> None:
    """What is wrong with a request as a whole is told at once, and nothing is scheduled."""
    ada = untouched_world.ada
    request = by_strings(untouched_world, **changes)
    assert ada.why("schedule_sw_upgrade_http_devices", request) == message
    for status in ("CampaignRequestPending", "CampaignRequestQueued"):
        assert ada.ok("get_campaign_history_by_status", status)["campaignList"] == []


def test_campaign_ids(world_sqlite: World) -> None:
    """An id that is none, an unknown one and another account's are told apart from ours, in any case."""
    world, ada = world_sqlite, world_sqlite.ada
    theirs = world.bob.schedule(world.request(81, start=1))
    mine = world.campaign(1, start=1)
    for name in (
        "get_campaign_information",
        "update_campaign_firmware_devices",
        "update_campaign_dates",
        "get_campaign_device_status",
        "cancel_campaign",
    ):
        arguments = GOOD[name](world)[1:]
        assert ada.why(name, "not-a-uuid", *arguments) == "Invalid uuid"
        assert ada.why(name, CAMPAIGN, *arguments) == "Invalid upgradeId"
        assert ada.why(name, theirs, *arguments) == "Invalid upgradeId"
        ada.ok(name, mine.upper(), *arguments)


def test_accounts_in_bodies(world_sqlite: World) -> None:
    """An account in the body must be the one in the path."""
    ada = world_sqlite.ada
    for name in ("assign_licenses_to_devices", "remove_licenses_from_devices"):
        ada.ok(name, V2LicenseIMEI(imeis(1), account_name=BOTH))
        assert (
            ada.why(name, V2LicenseIMEI(imeis(1), account_name=OTHER))
            == "Account name differs from the path"
        )


def test_paths_and_methods(world_sqlite: World) -> None:
    """Unknown paths are the gateway's 404, wrong methods 405, both as JSON objects."""
    ada = world_sqlite.ada
    status, body = ada.raw("GET", "/nowhere/{}")
    assert (status, body["fault"]["code"], body["errorCode"]) == (404, "900906", "900906")
    status, body = ada.raw("PATCH", "/devices/{}")
    assert status == 405
    assert body["errorCode"]
    assert body["errorMessage"]
    status, body = ada.raw("GET", "//devices//{}/")
    assert (status, body["accountName"]) == (200, BOTH)
