"""The error catalogue (API 10) as the client of v1 hears it: its own exception, code and text."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from verizon.exceptions.api_exception import APIException
from verizon.exceptions.fota_v1_result_exception import FotaV1ResultException
from verizon.models.fota_v1_callback_registration_request import (
    FotaV1CallbackRegistrationRequest,
)
from verizon.models.v1_licenses_assigned_removed_request import V1LicensesAssignedRemovedRequest
from verizon.models.v1_list_of_licenses_to_remove_request import V1ListOfLicensesToRemoveRequest

from tests.sdk.shapes_v1 import OPERATIONS
from tests.sdk.test_v2_errors import close, stranger
from tests.sdk.v1_world import SdkV1, bob_on_v1, change, fail, on_v1, request, scheduled, succeed
from tests.sdk.world import (
    BARE,
    INACTIVE,
    LIGHT_FIRMWARE,
    NEXT_FIRMWARE,
    OTHER,
    PUSHED,
    PUSHED_FLEET,
    PUSHED_OTHER,
    PUSHED_THEIRS,
    SOFTWARE,
    UNKNOWN,
    Refusal,
    World,
    imei,
    imeis,
)

UPGRADE = "60b5d639-ccdc-4db8-8824-069bd94c95bf"
URL = "http://listener.example.com/"
ONE, TWO, THREE = PUSHED_FLEET[:3]
STARTED = Refusal("INVALID_STATE", "Upgrade has started")
NOT_CANCELLABLE = Refusal("INVALID_STATE", "Campaign cannot be cancelled")
NOT_SUBSCRIBED = Refusal("SUBSCRIPTION_NOT_FOUND", "Not subscribed")

# Arguments with which a call would succeed, or fail for a later reason than those tested here.
GOOD: dict[str, Callable[[World, str], tuple[Any, ...]]] = {
    "get_account_subscription_status": lambda w, a: (),
    "get_account_license_status": lambda w, a: ("0",),
    "assign_licenses_to_devices": lambda w, a: (V1LicensesAssignedRemovedRequest(imeis(ONE)),),
    "remove_licenses_from_devices": lambda w, a: (V1LicensesAssignedRemovedRequest(imeis(ONE)),),
    "create_list_of_licenses_to_remove": lambda w, a: (
        V1ListOfLicensesToRemoveRequest(imeis(ONE)),
    ),
    "delete_list_of_licenses_to_remove": lambda w, a: (),
    "list_licenses_to_remove": lambda w, a: ("0",),
    "list_available_firmware": lambda w, a: (),
    "schedule_firmware_upgrade": lambda w, a: (request(w, ONE, account_name=a),),
    "list_firmware_upgrade_details": lambda w, a: (UPGRADE,),
    "update_firmware_upgrade_devices": lambda w, a: (UPGRADE, change("append", ONE)),
    "cancel_scheduled_firmware_upgrade": lambda w, a: (UPGRADE,),
    "list_account_devices": lambda w, a: ("0",),
    "list_upgrades_for_specified_status": lambda w, a: ("Finished", "0"),
    "get_device_firmware_upgrade_history": lambda w, a: (imei(ONE),),
    "list_registered_callbacks": lambda w, a: (),
    "register_callback": lambda w, a: (FotaV1CallbackRegistrationRequest("Fota", URL),),
    "deregister_callback": lambda w, a: ("Fota",),
}
# Calls with a body, with what comes before it.
BODIES: dict[str, tuple[Any, ...]] = {
    "assign_licenses_to_devices": (),
    "remove_licenses_from_devices": (),
    "create_list_of_licenses_to_remove": (),
    "schedule_firmware_upgrade": (),
    "update_firmware_upgrade_devices": (UPGRADE,),
    "register_callback": (),
}


def ada_of(world: World) -> SdkV1:
    return on_v1(world.ada)


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
            (PUSHED_OTHER, not_authorised),
            ("9999999999-99999", not_authorised),
            (INACTIVE, Refusal("INVALID_PARAMETER", "Inactive account")),
        ):
            user = on_v1(world.ada, account)
            assert user.refused(name, *arguments(world, account)) == refusal, name


def test_accounts_without_a_subscription(untouched_world: World) -> None:
    """Without one there are no licences, and nothing is upgraded; the rest is there."""
    user = on_v1(untouched_world.ada, BARE)
    for name in (
        "get_account_subscription_status",
        "get_account_license_status",
        "assign_licenses_to_devices",
        "remove_licenses_from_devices",
        "schedule_firmware_upgrade",
    ):
        assert user.refused(name, *GOOD[name](untouched_world, BARE)) == NOT_SUBSCRIBED
    assert user.ok("list_available_firmware") == []
    assert user.ok("list_account_devices", "0")["deviceList"] == []


def test_tokens_that_open_nothing(untouched_world: World) -> None:
    """Without a session every call is the typed exception; without a bearer token it is a 401."""
    world = untouched_world
    strangers = [
        stranger(world, "00000000-0000-4000-8000-000000000000"),
        stranger(world, world.ada.connection.session_token, "nonsense"),
    ]
    no_session, no_bearer = map(on_v1, strangers)
    for name, arguments in GOOD.items():
        refusal = no_session.refused(name, *arguments(world, PUSHED))
        assert refusal.code == "UnifiedWebService.REQUEST_FAILED.SessionToken.Invalid"
        with pytest.raises(APIException) as caught:
            no_bearer.call(name, *arguments(world, PUSHED))
        assert not isinstance(caught.value, FotaV1ResultException)
        assert caught.value.response_code == 401
        body = json.loads(caught.value.response.text)
        assert (body["fault"]["code"], body["errorCode"]) == ("900901", "900901")
        assert body["fault"]["message"] == body["errorMessage"] == "Invalid Credentials"
    for user in strangers:
        close(user)


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_are_none(untouched_world: World, name: str) -> None:
    """What is no JSON object is an input binding error; the client sends strings as they are."""
    ada = ada_of(untouched_world)
    for body in ("", "{", "[]", "7", '"text"', "null", '{"a":}', "\ufeff{}", "[" * 5000):
        assert ada.why(name, *BODIES[name], body) == "Input binding error", body


def as_text(world: World, **changes: Any) -> str:
    """A request as JSON text, which the client sends as it is."""
    body = {
        "accountName": PUSHED,
        "firmwareName": "FW_Acme_M1_01To02",
        "firmwareTo": "02",
        "startDate": world.day(1).isoformat(),
        "endDate": world.day(2).isoformat(),
        "deviceList": imeis(ONE),
    } | changes
    return json.dumps({name: value for name, value in body.items() if value is not ...})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"accountName": ...}, "Invalid account name format"),
        ({"accountName": "x"}, "Invalid account name format"),
        ({"deviceList": ...}, "Device list is empty"),
        ({"deviceList": []}, "Device list is empty"),
        ({"deviceList": "x"}, "Device list is empty"),
        ({"deviceList": [1]}, "Invalid device id format"),
        ({"startDate": ...}, "FotaPostUpgrades: invalid start date"),
        ({"startDate": "soon"}, "FotaPostUpgrades: invalid start date"),
        ({"startDate": "2026-02-30"}, "FotaPostUpgrades: invalid start date"),
        ({"startDate": "2026-03-01"}, "FotaPostUpgrades: invalid start date"),
        ({"endDate": "2026-13-01"}, "Invalid end date"),
        ({"endDate": ""}, "Invalid end date"),
        ({"endDate": "2026-03-02"}, "End date before start date"),
        ({"firmwareName": "unknown"}, "Firmware not found"),
        ({"firmwareName": ""}, "Firmware not found"),
        ({"firmwareName": SOFTWARE}, "Firmware not found"),
        ({"firmwareName": NEXT_FIRMWARE}, "firmwareFrom/firmwareTo do not match the firmware"),
        ({"firmwareTo": "99"}, "firmwareFrom/firmwareTo do not match the firmware"),
        ({"firmwareName": ...}, "Invalid value for firmwareName"),
        ({"firmwareTo": ...}, "Invalid value for firmwareTo"),
    ],
)
def test_upgrades_that_are_refused(
    untouched_world: World, changes: dict[str, Any], message: str
) -> None:
    """What is wrong with a request as a whole is told at once, and nothing is scheduled."""
    ada = ada_of(untouched_world)
    body = as_text(untouched_world, **changes)
    assert ada.why("schedule_firmware_upgrade", body) == message
    for status in ("RequestPending", "Queued", "InProgress"):
        assert ada.by_status(status) == []


def test_an_upgrade_without_its_end(world_sqlite: World) -> None:
    """The end may be left out, as in the older documentation: it is a week then."""
    world, ada = world_sqlite, ada_of(world_sqlite)
    made = ada.ok("schedule_firmware_upgrade", as_text(world, endDate=...))
    assert made["endDate"] == world.day(8).isoformat()


def test_upgrade_ids(world_sqlite: World) -> None:
    """An id that is none, an unknown one and another account's are told apart from ours, in any case."""
    world, ada = world_sqlite, ada_of(world_sqlite)
    theirs = bob_on_v1(world).start(
        request(world, PUSHED_THEIRS[0], start=1, account_name=PUSHED_OTHER)
    )
    mine = scheduled(world, ONE, start=1)
    of_v2 = world.ada.schedule(world.request(1, start=1))
    for name in (
        "list_firmware_upgrade_details",
        "update_firmware_upgrade_devices",
        "cancel_scheduled_firmware_upgrade",
    ):
        arguments = GOOD[name](world, PUSHED)[1:]
        assert ada.why(name, "not-a-uuid", *arguments) == "Invalid uuid"
        for unknown in (UPGRADE, theirs, of_v2):
            assert ada.why(name, unknown, *arguments) == "Invalid upgradeId"
        ada.ok(name, mine.upper(), *arguments)
    for name in ("list_firmware_upgrade_details", "cancel_scheduled_firmware_upgrade"):
        assert ada.why(name, mine) == "Invalid upgradeId"


def test_changes_that_are_refused(world_sqlite: World) -> None:
    """A change has a type and a list, and comes before the start."""
    world, ada = world_sqlite, ada_of(world_sqlite)
    name = "update_firmware_upgrade_devices"
    upgrade = scheduled(world, ONE, TWO, start=1)
    assert ada.why(name, upgrade, change("replace", ONE)) == "Invalid type"
    assert ada.why(name, upgrade, change("append")) == "Device list is empty"
    assert ada.why(name, upgrade, change("remove")) == "Device list is empty"
    assert ada.why(name, upgrade, change("remove", "a b")) == "Invalid device id format"
    too_many = change("append", *[f"{n:015}" for n in range(10_001)])
    assert ada.why(name, upgrade, too_many) == "Device list exceeds 10000 devices"
    world.wait_until(world.midnight(1))
    for status in ("InProgress", "Finished"):
        assert ada.status(upgrade) == status
        for type_ in ("append", "remove"):
            assert ada.refused(name, upgrade, change(type_, THREE)) == STARTED
        assert ada.refused("cancel_scheduled_firmware_upgrade", upgrade) == NOT_CANCELLABLE
        if status == "InProgress":
            fail(world, ONE)
            world.wait(hours=1)
            for number in (ONE, TWO):
                succeed(world, number)
    failed = scheduled(world, device_list=[UNKNOWN])
    assert ada.status(failed) == "RequestFailed"
    assert ada.refused(name, failed, change("append", THREE)) == STARTED
    assert ada.refused("cancel_scheduled_firmware_upgrade", failed) == NOT_CANCELLABLE


def test_indexes(world_sqlite: World) -> None:
    """Each list says what is wrong with the place where a page should begin."""
    world, ada = world_sqlite, ada_of(world_sqlite)
    ada.ok("assign_licenses_to_devices", V1LicensesAssignedRemovedRequest(imeis(ONE)))
    ada.ok("create_list_of_licenses_to_remove", V1ListOfLicensesToRemoveRequest(imeis(ONE)))
    scheduled(world, TWO, start=1)
    past, wrong = "Index exceeds number of devices in list", "Invalid index value"
    unknown = "LastSeenDeviceId Not Valid"
    for name, before, index, message in (
        ("get_account_license_status", (), "1", past),
        ("get_account_license_status", (), "x", wrong),
        ("get_account_license_status", (), UNKNOWN, unknown),
        ("get_account_license_status", (), imei(PUSHED_THEIRS[0]), unknown),
        ("list_licenses_to_remove", (), "1", past),
        ("list_licenses_to_remove", (), "-1", wrong),
        ("list_account_devices", (), "x", wrong),
        ("list_account_devices", (), "1", unknown),
        ("list_account_devices", (), imei(PUSHED_THEIRS[0]), unknown),
        ("list_account_devices", (), UNKNOWN + "0", "Invalid device id format"),
        ("list_upgrades_for_specified_status", ("Queued",), "1", past),
        ("list_upgrades_for_specified_status", ("Queued",), "x", wrong),
    ):
        assert ada.why(name, *before, index) == message, (name, index)


def test_statuses_and_devices(untouched_world: World) -> None:
    """Reports want a status of v1's own, and a device of the account's."""
    ada = ada_of(untouched_world)
    for word in ("Cancelled", "CampaignEnded", "queued", "Request Pending"):
        found = ada.why("list_upgrades_for_specified_status", word, "0")
        assert found == "Invalid upgrade status"
    name = "get_device_firmware_upgrade_history"
    for device in (UNKNOWN, imei(PUSHED_THEIRS[0])):
        assert ada.refused(name, device) == Refusal("DEVICE_NOT_FOUND", "Device not found")
    for device in ("1", "x", UNKNOWN + "0"):
        assert ada.why(name, device) == "Invalid device id format"


def test_licence_lists(untouched_world: World) -> None:
    """Lists of devices for licences name devices; the list of candidates is appended to or replaced."""
    ada = ada_of(untouched_world)
    for name in ("assign_licenses_to_devices", "remove_licenses_from_devices"):
        assert ada.why(name, V1LicensesAssignedRemovedRequest([])) == "Device list is empty"
        assert ada.why(name, V1LicensesAssignedRemovedRequest(["1"])) == "Invalid device id format"
    name = "create_list_of_licenses_to_remove"
    assert ada.why(name, V1ListOfLicensesToRemoveRequest([])) == "Device list is empty"
    assert ada.why(name, V1ListOfLicensesToRemoveRequest(["1"])) == "Invalid device id format"
    assert ada.why(name, V1ListOfLicensesToRemoveRequest(imeis(ONE), "remove")) == "Invalid type"


def test_paths_and_methods(world_sqlite: World) -> None:
    """Unknown paths are the gateway's 404, wrong methods 405; older spellings lead to the same."""
    ada = ada_of(world_sqlite)
    status, body = ada.raw("GET", "/nowhere/{}")
    assert (status, body["fault"]["code"], body["errorCode"]) == (404, "900906", "900906")
    status, body = ada.raw("POST", "/devices/{}/index/0")
    assert (status, body["errorCode"]) == (405, "METHOD_NOT_ALLOWED")
    for older, published in (
        ("/licenses/{}", "/licenses/{}/index/0"),
        ("//licenses//{}/cancel/", "/licenses/{}/cancel/index/0"),
        ("/devices/{}/", "/devices/{}/index/0"),
        ("/reports/{}/status/Finished", "/reports/{}/status/Finished/index/0"),
        (f"/reports/{{}}/device/{imei(ONE)}", f"/reports/{{}}/devices/{imei(ONE)}"),
    ):
        assert ada.raw("GET", older) == ada.raw("GET", published)
        assert ada.raw("GET", older)[0] == 200


def test_client_types(world_sqlite: World) -> None:
    """Firmware and devices are listed by client type, in any of its spellings (API 1.5)."""
    ada = ada_of(world_sqlite)
    for word, names in (
        ("OMADM", ["FW_Acme_M1_01To02", NEXT_FIRMWARE]),
        ("OMD-DM", ["FW_Acme_M1_01To02", NEXT_FIRMWARE]),
        ("LWM2M", [LIGHT_FIRMWARE]),
    ):
        status, found = ada.raw("GET", f"/firmware/{{}}?clientType={word}")
        assert (status, [one["firmwareName"] for one in found]) == (200, names)
        status, found = ada.raw("GET", f"/devices/{{}}/index/0?clientType={word}")
        assert status == 200
        assert (len(found["deviceList"]) == 1) is (word == "LWM2M")
    for path in ("/firmware/{}", "/devices/{}/index/0"):
        status, found = ada.raw("GET", f"{path}?clientType=HTTP")
        assert (status, found["errorMessage"]) == (400, "Invalid clientType")
