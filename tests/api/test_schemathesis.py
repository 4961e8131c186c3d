"""Generated requests with names that exist: what the document allows, aimed at a living installation.

``test_generated_requests.py`` lets the generator call the API as a stranger would, and most of its
requests name nothing that is there. Here accounts, campaigns, devices and cursors are exchanged, in
some of the cases, for ones that are: so requests get through to the engine, on a server with
campaigns in every state, and the operations of authentication are called too. No answer may be a
5xx, or have a status or a shape that the document lacks; whatever is refused has the shape of an
error.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from verizon.models.device_logging_request import DeviceLoggingRequest
from verizon.models.log_in_request import LogInRequest
from verizon.models.v2_license_imei import V2LicenseIMEI
from verizon.models.v2_list_of_licenses_to_remove_request import V2ListOfLicensesToRemoveRequest

from overair.api.openapi import openapi_document
from tests.peers import sdk
from tests.sdk import v3_world
from tests.sdk.v1_world import fail, scheduled, succeed
from tests.sdk.world import (
    BARE,
    BOTH,
    CELLULAR,
    CELLULAR_FLEET,
    EVENTS,
    FIRMWARE,
    INACTIVE,
    KEY,
    LIGHT_FIRMWARE,
    MONTHLY,
    OTHER,
    PASSWORD,
    PUSHED,
    PUSHED_FLEET,
    SECRET,
    SOFTWARE,
    World,
    ask,
    file,
    imei,
    imeis,
)

EXAMPLES = 25
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
DOCUMENT = schemathesis.openapi.from_dict(msgspec.to_builtins(openapi_document()))
OPERATIONS: list[Any] = []
for _found in DOCUMENT.get_all_operations():
    assert isinstance(_found, Ok), _found
    OPERATIONS.append(_found.ok())
ONE, TWO = PUSHED_FLEET[:2]
LIGHT = CELLULAR_FLEET
STATUSES = ["CampaignRequestQueued", "CampaignScheduled", "CampaignEnded", "CampaignCancelled"]


@dataclass(kw_only=True)
class Installation:
    """A world in which much has happened, and the names of what is there."""

    world: World
    campaigns: list[str]
    upgrades: list[str]
    sessions: Iterator[str]  # to be ended
    password: str = PASSWORD
    counts: Counter[int] = field(default_factory=Counter)

    @property
    def names(self) -> dict[str, list[Any]]:
        """Values for parameters and members, by their names."""
        devices = [imei(1), imei(30), imei(81), imei(ONE), imei(LIGHT[0])]
        return {
            "acc": [
                BOTH,
                BOTH,
                PUSHED,
                PUSHED,
                CELLULAR,
                CELLULAR,
                EVENTS,
                MONTHLY,
                OTHER,
                INACTIVE,
                BARE,
            ],
            "campaignId": self.campaigns,
            "upgradeId": self.upgrades,
            "upgradeStatus": ["Queued", "InProgress", "Finished"],
            "service": ["Fota", "fota"],
            "name": ["Fota"],
            "deviceId": devices,
            "lastSeenDeviceId": [*devices, "0"],
            "lastSeenCampaignId": [*self.campaigns, "0"],
            "startIndex": ["0", "1", "99", *devices],
            "campaignStatus": STATUSES,
            "distributionType": ["HTTP", "OMA", "LWM2M"],
            "deviceList": [
                imeis(30),
                imeis(31, 32, 33),
                imeis(*PUSHED_FLEET[4:6]),
                imeis(*LIGHT[6:8]),
                [],
            ],
            "deviceIds": [imeis(30), imeis(30, 31)],
            "accountName": [BOTH, PUSHED],
            "firmwareName": [FIRMWARE, LIGHT_FIRMWARE],
            "firmwareFrom": ["01"],
            "protocol": ["LWM2M", "all", "OMD-DM"],
            "firmwareTo": ["02"],
            "softwareName": [SOFTWARE],
            "softwareFrom": ["01"],
            "softwareTo": ["02"],
            "fileName": ["configfile-Acme_X1_a.txt"],
            "fileVersion": ["1", "2"],
            "startDate": [self.world.day(days).isoformat() for days in (0, 1)],
            "endDate": [self.world.day(days).isoformat() for days in (1, 5)],
            "type": ["append", "remove"],
            "url": ["https://listener.example.com/"],
            "grant_type": ["client_credentials"],
            "username": ["ada", "bob"],
            "password": [PASSWORD],
            "oldPassword": [self.password],
        }


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The installation, for all operations."""
    with v3_world.open_v3_world(tmp_path_factory.mktemp("generated")) as world:
        ada = world.ada
        ada.ok("assign_licenses_to_devices", V2LicenseIMEI(imeis(1, 30)))
        ada.ok("create_list_of_licenses_to_remove", V2ListOfLicensesToRemoveRequest(imeis(1, 30)))
        ada.ok("upload_config_file", file(b"a", "a.txt"), "1", "Acme", "X1", "/a")
        ended = world.campaign(1)
        world.device(1).succeed()
        running = world.campaign(2, 3)
        cancelled = world.campaign(4, start=1)
        ada.ok("cancel_campaign", cancelled)
        ada.ok("enable_logging_for_devices", DeviceLoggingRequest(imeis(1, 2)))
        queued = [world.campaign(number, start=1) for number in range(5, 10)]
        upgrades = [
            scheduled(world, ONE),
            scheduled(world, TWO, end=0),
            *(scheduled(world, number, start=1) for number in PUSHED_FLEET[2:4]),
        ]
        succeed(world, ONE)
        fail(world, TWO)
        light = [
            v3_world.scheduled(world, *LIGHT[:2]),
            *(v3_world.scheduled(world, number, start=1) for number in LIGHT[2:5]),
        ]
        v3_world.succeed(world, LIGHT[0])
        v3_world.fail(world, LIGHT[1])
        v3_world.on_v3(world.ada).ok("cancel_campaign", light[-1])
        world.settle()
        entering = sdk.client(f"{world.base}/api", key=KEY, secret=SECRET)
        sessions = [
            entering.session_management.start_connectivity_management_session(
                LogInRequest("bob", PASSWORD)
            ).body.session_token
            for _ in range(10)
        ]
        entering.config.http_client.session.close()
        made = Installation(
            world=world,
            upgrades=upgrades,
            campaigns=[ended, running, cancelled, *queued, *light],
            sessions=itertools.cycle(sessions),
        )
        yield made


def exchange(members: Any, names: dict[str, list[Any]], data: st.DataObject) -> None:
    """Put values that mean something in the place of some that were generated."""
    if isinstance(members, dict):
        for name in sorted(set(members) & set(names), key=str):
            if data.draw(st.integers(0, 3)):
                members[name] = data.draw(st.sampled_from(names[name]))


def headers_for(installation: Installation, case: Any) -> dict[str, str]:
    """The tokens that the operation wants; what a session call ends is not Ada's session."""
    if "/oauth2/" in case.path:
        return {"Authorization": sdk.basic(KEY, SECRET)}
    connection = installation.world.ada.connection
    session = connection.session_token
    if "/session/" in case.path:
        session = next(installation.sessions)
    return {"Authorization": f"Bearer {connection.access_token}", "VZ-M2M-Token": session}


def test_the_document_is_the_served_one(installation: Installation) -> None:
    """What the requests are made from is what a client gets."""
    status, body = ask(installation.world.base, "GET", "/openapi.json")
    assert (status, json.loads(body)) == (200, msgspec.to_builtins(openapi_document()))


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_operation(installation: Installation, operation: Any, data: st.DataObject) -> None:
    """The answer is one that the document has."""
    case = data.draw(operation.as_strategy())
    for members in (case.path_parameters, case.query, case.body):
        exchange(members, installation.names, data)
    answer = case.call_and_validate(
        base_url=installation.world.base,
        headers=headers_for(installation, case),
        checks=CHECKS,
    )
    installation.counts[answer.status_code] += 1
    if answer.status_code == 200:
        if operation.path.endswith("/actions/reset"):
            installation.password = answer.json()["newPassword"]
        return
    body = answer.json()
    if "/oauth2/" in case.path:
        assert body["error"] in ("invalid_request", "unsupported_grant_type", "invalid_client")
        assert body["error_description"]
        return
    assert {"errorCode", "errorMessage"} <= set(body) <= {"errorCode", "errorMessage", "fault"}
    assert all(isinstance(body[name], str) and body[name] for name in ("errorCode", "errorMessage"))


def test_many_got_through(installation: Installation) -> None:
    """Enough of the requests were not refused: they are about more than decoding."""
    assert installation.counts[200] * 20 >= sum(installation.counts.values())
