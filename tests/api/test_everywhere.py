"""What holds for every operation of every version: tokens, accounts, garbage, and that none is left out."""

import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overair.api.openapi import openapi_document
from overair.api.routing import Route
from overair.api.v1 import v1_routes
from overair.api.v2 import v2_routes
from overair.api.v3 import v3_routes
from tests.api.v1_world import FIRMWARE, LIGHT_FIRMWARE, V1
from tests.api.v2_world import (
    ACCOUNT,
    INACTIVE_ACCOUNT,
    OTHER_ACCOUNT,
    Client,
    Refused,
    check,
)
from tests.engine.stock import imei
from tests.serving import ask

FOTA = "/api/fota"
NOWHERE = "60b5d639-ccdc-4db8-8824-069bd94c95bf"

# The index of the contract (API 3), rows 1 to 72; row 6 in the older spelling too, and at the end what
# an older text names under v3 (API 11, row 7).
INDEX = """
GET /v1/subscriptions/{acc}
GET /v1/licenses/{acc}/index/{startIndex}
POST /v1/licenses/{acc}/assign
POST /v1/licenses/{acc}/remove
POST /v1/licenses/{acc}/cancel
GET /v1/licenses/{acc}/cancel/index/{startIndex}
GET /v1/licenses/{acc}/cancel
DELETE /v1/licenses/{acc}/cancel
GET /v1/firmware/{acc}
GET /v1/devices/{acc}/index/{startIndex}
POST /v1/upgrades
GET /v1/upgrades/{acc}/upgrade/{upgradeId}
PUT /v1/upgrades/{acc}/upgrade/{upgradeId}
DELETE /v1/upgrades/{acc}/upgrade/{upgradeId}
GET /v1/reports/{acc}/status/{upgradeStatus}/index/{startIndex}
GET /v1/reports/{acc}/devices/{deviceId}
GET /v1/callbacks/{acc}
POST /v1/callbacks/{acc}
DELETE /v1/callbacks/{acc}/name/{service}
GET /v2/subscriptions/{acc}
GET /v2/licenses/{acc}
POST /v2/licenses/{acc}/assign
POST /v2/licenses/{acc}/remove
GET /v2/licenses/{acc}/cancel
POST /v2/licenses/{acc}/cancel
DELETE /v2/licenses/{acc}/cancel
POST /v2/campaigns/{acc}
POST /v2/campaigns/software/{acc}
POST /v2/campaigns/files/{acc}
GET /v2/campaigns/{acc}/{campaignId}
PUT /v2/campaigns/{acc}/{campaignId}
PUT /v2/campaigns/{acc}/{campaignId}/dates
DELETE /v2/campaigns/{acc}/{campaignId}
GET /v2/files/{acc}
POST /v2/files/{acc}
PUT /v2/files/{acc}
GET /v2/software/{acc}
GET /v2/devices/{acc}
GET /v2/reports/{acc}/devices/{deviceId}
GET /v2/reports/{acc}/campaigns
GET /v2/reports/{acc}/campaigns/{campaignId}/devices
GET /v2/callbacks/{acc}
POST /v2/callbacks/{acc}
PUT /v2/callbacks/{acc}
DELETE /v2/callbacks/{acc}
GET /v2/logging/{acc}/devices
PUT /v2/logging/{acc}/devices
DELETE /v2/logging/{acc}/devices
PUT /v2/logging/{acc}/devices/{deviceId}
DELETE /v2/logging/{acc}/devices/{deviceId}
GET /v2/logging/{acc}/devices/{deviceId}/logs
GET /v2/logging/{acc}/devices/{deviceId}/checkInHistory
GET /v3/subscriptions/{acc}
GET /v3/licenses/{acc}
POST /v3/licenses/{acc}/assign
POST /v3/licenses/{acc}/remove
POST /v3/campaigns/firmware/{acc}
GET /v3/campaigns/{acc}/{campaignId}
PUT /v3/campaigns/firmware/{acc}/{campaignId}
PUT /v3/campaigns/firmware/{acc}/{campaignId}/dates
DELETE /v3/campaigns/{acc}/{campaignId}
GET /v3/firmware/{acc}
PUT /v3/firmware/{acc}/devices
PUT /v3/firmware/{acc}/async/{deviceId}
GET /v3/devices/{acc}
POST /v3/devices/{acc}
GET /v3/reports/{acc}/firmware/campaigns
GET /v3/reports/{acc}/campaigns/{campaignId}/devices
GET /v3/reports/{acc}/devices/{deviceId}
GET /v3/callbacks/{acc}
POST /v3/callbacks/{acc}
PUT /v3/callbacks/{acc}
DELETE /v3/callbacks/{acc}
GET /v3/licenses/{acc}/cancel
POST /v3/licenses/{acc}/cancel
DELETE /v3/licenses/{acc}/cancel
GET /v3/files/{acc}
POST /v3/files/{acc}
PUT /v3/files/{acc}
POST /v3/campaigns/files/{acc}
""".strip().splitlines()

# Older spellings of paths (API 3.1, 11).
ALIASES = """
GET /v1/licenses/{acc}
GET /v1/devices/{acc}
GET /v1/reports/{acc}/status/{upgradeStatus}
GET /v1/reports/{acc}/device/{deviceId}
GET /v2/files/{acc}/HTTP
GET /v3/licenses/{acc}/index/{lastSeenDeviceId}
POST /v3/firmware/licenses/{acc}/assign
POST /v3/campaigns/software/{acc}
PUT /v3/campaigns/{acc}/{campaignId}
PUT /v3/firmware/{acc}/{deviceId}
GET /v3/reports/{acc}/campaigns
""".strip().splitlines()

# What makes each operation's body and query right, for a caller that should not get that far.
BODIES: dict[str, Any] = {
    "POST /v1/licenses/{acc}/assign": {"deviceList": [imei(1)]},
    "POST /v1/licenses/{acc}/remove": {"deviceList": [imei(1)]},
    "POST /v1/licenses/{acc}/cancel": {"deviceList": [imei(1)]},
    "PUT /v1/upgrades/{acc}/upgrade/{upgradeId}": {"type": "remove", "deviceList": [imei(1)]},
    "POST /v1/callbacks/{acc}": {"name": "Fota", "url": "http://example.com/"},
    "POST /v2/licenses/{acc}/assign": {"deviceList": [imei(1)]},
    "POST /v2/licenses/{acc}/remove": {"deviceList": [imei(1)]},
    "POST /v2/licenses/{acc}/cancel": {"deviceList": [imei(1)]},
    "PUT /v2/campaigns/{acc}/{campaignId}": {"type": "remove", "deviceList": [imei(1)]},
    "PUT /v2/campaigns/{acc}/{campaignId}/dates": {
        "startDate": "2026-03-03",
        "endDate": "2026-03-05",
    },
    "POST /v2/callbacks/{acc}": {"url": "https://example.com/"},
    "PUT /v2/callbacks/{acc}": {"url": "https://example.com/"},
    "PUT /v2/logging/{acc}/devices": {"deviceIds": [imei(1)]},
    "POST /v3/licenses/{acc}/assign": {"deviceList": [imei(1)]},
    "POST /v3/firmware/licenses/{acc}/assign": {"deviceList": [imei(1)]},
    "POST /v3/licenses/{acc}/remove": {"deviceList": [imei(1)]},
    "POST /v3/licenses/{acc}/cancel": {"deviceList": [imei(1)]},
    "PUT /v3/campaigns/{acc}/{campaignId}": {"type": "remove", "deviceList": [imei(1)]},
    "PUT /v3/campaigns/firmware/{acc}/{campaignId}": {
        "type": "remove",
        "deviceList": [imei(1)],
    },
    "PUT /v3/campaigns/firmware/{acc}/{campaignId}/dates": {
        "startDate": "2026-03-03",
        "endDate": "2026-03-05",
    },
    "PUT /v3/firmware/{acc}/devices": {"deviceList": [imei(1)]},
    "POST /v3/devices/{acc}": {"deviceList": [imei(1)]},
    "POST /v3/callbacks/{acc}": {"url": "https://example.com/"},
    "PUT /v3/callbacks/{acc}": {"url": "https://example.com/"},
}
QUERIES = {
    "GET /v2/reports/{acc}/campaigns": "?campaignStatus=CampaignEnded",
    "DELETE /v2/logging/{acc}/devices": f"?deviceIds={imei(1)}",
    "GET /v3/reports/{acc}/firmware/campaigns": "?campaignStatus=CampaignEnded",
    "GET /v3/reports/{acc}/campaigns": "?campaignStatus=CampaignEnded",
}


def name(route: Route) -> str:
    return f"{route.method} {route.path.removeprefix(FOTA)}"


ROUTES = [*v1_routes, *v2_routes, *v3_routes]
every = pytest.mark.parametrize("route", ROUTES, ids=name)


def ada_of(v1: V1) -> Client:
    """Ada, who calls any version."""
    return replace(v1.ada, base=FOTA)


def request_of(v1: V1, route: Route, account: str) -> tuple[str, Any]:
    """A request that could succeed, for this account."""
    path = route.path.removeprefix(FOTA).replace("{acc}", account)
    for parameter, value in (
        ("campaignId", NOWHERE),
        ("upgradeId", NOWHERE),
        ("deviceId", imei(1)),
        ("startIndex", "0"),
        ("lastSeenDeviceId", "0"),
        ("upgradeStatus", "Finished"),
        ("service", "Fota"),
    ):
        path = path.replace(f"{{{parameter}}}", value)
    body = BODIES.get(name(route))
    if body is None and name(route).startswith(("POST /v2/campaigns", "POST /v3/campaigns")):
        firmware = {"firmwareName": "x", "firmwareFrom": "01", "firmwareTo": "02"}
        body = v1.v2.campaign(fileName="x", fileVersion="1", **firmware)
    if name(route) == "POST /v1/upgrades":
        body = v1.upgrade([1], accountName=account)
    return path + QUERIES.get(name(route), ""), body


def test_the_index_is_served() -> None:
    """Every operation of the contract is there, and documented; and no others but the aliases."""
    documented = [name(route) for route in ROUTES if route.documented]
    assert sorted(documented) == sorted(INDEX)
    assert len(documented) == 18 + 1 + 33 + 21 + 7
    assert sorted(name(r) for r in ROUTES if not r.documented) == sorted(ALIASES)
    paths = openapi_document()["paths"]
    ids = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(ids) == len(set(ids))


@every
async def test_tokens_are_needed(v1_sqlite: V1, route: Route) -> None:
    """Without a bearer token 401 in the gateway's shape, without a session an error of its own."""
    path, _ = request_of(v1_sqlite, route, ACCOUNT)
    for headers, status, code in (
        ({}, 401, "900902"),
        ({"VZ-M2M-Token": "session of ada"}, 401, "900902"),
        ({"Authorization": "Bearer x", "VZ-M2M-Token": "session of ada"}, 401, "900901"),
        (
            {"Authorization": ada_of(v1_sqlite).headers["Authorization"]},
            400,
            "UnifiedWebService.REQUEST_FAILED.SessionToken.Invalid",
        ),
    ):
        answered = await ask(
            v1_sqlite.v2.server, route.method, (FOTA + path).encode(), headers=headers
        )
        check(route.method, (FOTA + path).partition("?")[0], answered)
        assert answered.status == status
        assert answered.json()["errorCode"] == code
        assert ("fault" in answered.json()) == (status == 401)


@every
async def test_accounts_are_separate(v1_sqlite: V1, route: Route) -> None:
    """Another's account is not told apart from one that does not exist; an inactive one is named."""
    for account in (OTHER_ACCOUNT, "9999999999-99999"):
        refused = await ada_of(v1_sqlite).refused(
            route.method, *request_of(v1_sqlite, route, account)
        )
        assert refused == Refused("UNAUTHORIZED_ACCOUNT", "Not authorised for account")
    found = await ada_of(v1_sqlite).why(
        route.method, *request_of(v1_sqlite, route, INACTIVE_ACCOUNT)
    )
    assert found == "Inactive account"
    for account in ("x", "0000123456", "0000123456-000011", "٠٠٠٠١٢٣٤٥٦-٠٠٠٠١", "0000123456_00001"):
        found = await ada_of(v1_sqlite).why(
            route.method, *request_of(v1_sqlite, route, quote(account))
        )
        assert found == "Invalid account name format"


@every
async def test_slashes_do_not_matter(v1_sqlite: V1, route: Route) -> None:
    """A doubled or trailing slash leads to the same operation."""
    path, body = request_of(v1_sqlite, route, OTHER_ACCOUNT)
    path, mark, query = path.partition("?")
    doubled = path.replace("/", "//") + "/" + mark + query
    refused = await ada_of(v1_sqlite).refused(route.method, doubled, body)
    assert refused.code == "UNAUTHORIZED_ACCOUNT"


@every
async def test_wrong_methods(v1_sqlite: V1, route: Route) -> None:
    """A method that a path does not have is 405, and says which it has."""
    path, _ = request_of(v1_sqlite, route, ACCOUNT)
    full = (FOTA + path).encode()
    answered = await ask(v1_sqlite.v2.server, "PATCH", full, headers=ada_of(v1_sqlite).headers)
    assert answered.status == 405
    assert route.method in answered.headers["allow"].split(", ")
    assert set(answered.json()) == {"errorCode", "errorMessage"}


def test_every_error_is_documented() -> None:
    """An error that an operation declares is in its description."""
    paths = openapi_document()["paths"]
    for route in ROUTES:
        if route.documented:
            described = paths[route.path][route.method.lower()]["responses"]["400"]["description"]
            assert [refusal for refusal in route.errors if refusal.text not in described] == []


# Garbage -----------------------------------------------------------------------------------------

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["append", "remove", "HTTP", imei(1), "2026-03-03", "24", "\0", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
MEMBERS = """
deviceList devicelist devceList accountName type Type
count campaignName softwareName softwareFrom softwareTo fileName
fileVersion distributionType startDate endDate downloadAfterDate downloadTimeWindowList
installAfterDate installTimeWindowList startTime endTime addOrRemoveDevice deviceLogging
deviceIds url callback
name username password firmwareName firmwareFrom firmwareTo protocol
campaignTimeWindowList autoAssignLicenseFlag autoAddDevicesFlag
"""
members = st.sampled_from(MEMBERS.split())
likely = st.dictionaries(members, anything, max_size=6)
windows = st.lists(st.fixed_dictionaries({"startTime": anything, "endTime": anything}), max_size=2)
texts = st.text(max_size=30)
nearly = st.fixed_dictionaries(
    {
        "accountName": st.just(ACCOUNT),
        "firmwareName": st.sampled_from([FIRMWARE, LIGHT_FIRMWARE]) | texts,
        "firmwareFrom": st.just("01") | texts,
        "firmwareTo": st.just("02") | texts,
        "name": st.sampled_from(["Fota", "fota", "x"]),
        "softwareName": st.just("FOTA_Acme_X1_01To02") | texts,
        "softwareFrom": st.just("01") | texts,
        "softwareTo": st.just("02") | texts,
        "fileName": texts,
        "fileVersion": texts,
        "distributionType": st.sampled_from(["HTTP", "OMA", "http", "LWM2M", "x"]),
        "startDate": st.dates().map(str) | st.sampled_from(["2026-03-02", "2026-03-03"]),
        "endDate": st.dates().map(str) | st.just("2026-03-04"),
        "deviceList": st.lists(texts | st.sampled_from([imei(1), imei(2)]), max_size=4),
        "type": st.sampled_from(["append", "remove"]),
        "url": texts.map("https://".__add__) | texts,
        "deviceIds": st.lists(st.sampled_from([imei(1), imei(2), "x"]), max_size=3),
    },
    optional={
        "username": texts,
        "password": texts,
        "campaignName": texts,
        "downloadAfterDate": st.dates().map(str),
        "downloadTimeWindowList": windows,
        "installTimeWindowList": windows,
        "campaignTimeWindowList": windows,
        "protocol": st.sampled_from(["LWM2M", "lwm2m", "OMA", "x"]),
        "autoAssignLicenseFlag": st.booleans(),
        "autoAddDevicesFlag": anything,
    },
)


def raw(body: Any) -> bytes:
    return json.dumps(body).encode("utf-8", "surrogatepass")


bodies = st.binary(max_size=60) | anything.map(raw) | likely.map(raw) | nearly.map(raw)
values = st.text(max_size=20) | st.sampled_from(
    [
        "0",
        imei(1),
        imei(101),
        NOWHERE,
        NOWHERE.upper(),
        "-1",
        "9" * 40,
        "CampaignEnded",
        "HTTP",
        "Queued",
        "Fota",
    ]
)
queries = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("lastSeenDeviceId", "lastSeenCampaignId", "startIndex", "distributionType"),
                *("campaignStatus", "deviceIds", "deviceIds[0]", "deviceIds[", "clientType", "x"),
                "protocol",
            ]
        ),
        values,
    ),
    max_size=3,
).map(lambda pairs: "&".join(f"{quote(n)}={quote(v, errors='surrogatepass')}" for n, v in pairs))


@every
@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
async def test_garbage(v1: V1, route: Route, data: st.DataObject) -> None:
    """Whatever comes in the path, the query and the body, the answer is 200 or a clear refusal."""
    path = re.sub(
        r"\{(?!acc)[a-zA-Z]+\}",
        lambda _: quote(data.draw(values), safe="", errors="surrogatepass") or "x",
        route.path,
    ).replace("{acc}", ACCOUNT)
    if path.endswith(("/.", "/..")):
        return
    full = f"{path}?{data.draw(queries)}"
    answered = await ask(
        v1.v2.server,
        route.method,
        full.encode(),
        headers=v1.ada.headers | {"Content-Type": data.draw(st.sampled_from(TYPES))},
        body=data.draw(bodies),
    )
    assert answered.status in (200, 400), answered
    check(route.method, path, answered)


TYPES = ["*/*", "application/json", "multipart/form-data; boundary=a"]
