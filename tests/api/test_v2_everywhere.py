"""v2: what holds for every operation. Tokens, accounts, garbage, and that nothing is left out."""

import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overair.api.openapi import openapi_document
from overair.api.routing import Route
from overair.api.v2 import v2_routes
from tests.api.v2_world import (
    ACCOUNT,
    BASE,
    INACTIVE_ACCOUNT,
    OTHER_ACCOUNT,
    V2,
    Refused,
    check,
)
from tests.engine.stock import imei
from tests.serving import ask

NOWHERE = "60b5d639-ccdc-4db8-8824-069bd94c95bf"

# The index of the contract (API 3.2), rows 19 to 51.
INDEX = """
GET /subscriptions/{acc}
GET /licenses/{acc}
POST /licenses/{acc}/assign
POST /licenses/{acc}/remove
GET /licenses/{acc}/cancel
POST /licenses/{acc}/cancel
DELETE /licenses/{acc}/cancel
POST /campaigns/{acc}
POST /campaigns/software/{acc}
POST /campaigns/files/{acc}
GET /campaigns/{acc}/{campaignId}
PUT /campaigns/{acc}/{campaignId}
PUT /campaigns/{acc}/{campaignId}/dates
DELETE /campaigns/{acc}/{campaignId}
GET /files/{acc}
POST /files/{acc}
PUT /files/{acc}
GET /software/{acc}
GET /devices/{acc}
GET /reports/{acc}/devices/{deviceId}
GET /reports/{acc}/campaigns
GET /reports/{acc}/campaigns/{campaignId}/devices
GET /callbacks/{acc}
POST /callbacks/{acc}
PUT /callbacks/{acc}
DELETE /callbacks/{acc}
GET /logging/{acc}/devices
PUT /logging/{acc}/devices
DELETE /logging/{acc}/devices
PUT /logging/{acc}/devices/{deviceId}
DELETE /logging/{acc}/devices/{deviceId}
GET /logging/{acc}/devices/{deviceId}/logs
GET /logging/{acc}/devices/{deviceId}/checkInHistory
""".strip().splitlines()

# What makes each operation's body and query right, for a caller that should not get that far.
BODIES: dict[str, Any] = {
    "POST /licenses/{acc}/assign": {"deviceList": [imei(1)]},
    "POST /licenses/{acc}/remove": {"deviceList": [imei(1)]},
    "POST /licenses/{acc}/cancel": {"deviceList": [imei(1)]},
    "PUT /campaigns/{acc}/{campaignId}": {"type": "remove", "deviceList": [imei(1)]},
    "PUT /campaigns/{acc}/{campaignId}/dates": {"startDate": "2026-03-03", "endDate": "2026-03-05"},
    "POST /callbacks/{acc}": {"url": "https://example.com/"},
    "PUT /callbacks/{acc}": {"url": "https://example.com/"},
    "PUT /logging/{acc}/devices": {"deviceIds": [imei(1)]},
}
QUERIES = {
    "GET /reports/{acc}/campaigns": "?campaignStatus=CampaignEnded",
    "DELETE /logging/{acc}/devices": f"?deviceIds={imei(1)}",
}


def name(route: Route) -> str:
    return f"{route.method} {route.path.removeprefix(BASE)}"


every = pytest.mark.parametrize("route", v2_routes, ids=name)


def request_of(v2: V2, route: Route, account: str) -> tuple[str, Any]:
    """A request that could succeed, for this account."""
    path = route.path.removeprefix(BASE).replace("{acc}", account)
    path = path.replace("{campaignId}", NOWHERE).replace("{deviceId}", imei(1))
    body = BODIES.get(name(route))
    if body is None and name(route).startswith("POST /campaigns"):
        body = v2.campaign(fileName="x", fileVersion="1")
    return path + QUERIES.get(name(route), ""), body


def test_the_index_is_served() -> None:
    """Every operation of the contract is there, and documented; and no others but one alias."""
    documented = [name(route) for route in v2_routes if route.documented]
    assert sorted(documented) == sorted(INDEX)
    assert len(documented) == 33
    assert [name(route) for route in v2_routes if not route.documented] == ["GET /files/{acc}/HTTP"]
    paths = openapi_document()["paths"]
    ids = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(ids) == len(set(ids))


@every
async def test_tokens_are_needed(v2_sqlite: V2, route: Route) -> None:
    """Without a bearer token 401 in the gateway's shape, without a session an error of its own."""
    path, _ = request_of(v2_sqlite, route, ACCOUNT)
    for headers, status, code in (
        ({}, 401, "900902"),
        ({"VZ-M2M-Token": "session of ada"}, 401, "900902"),
        ({"Authorization": "Bearer x", "VZ-M2M-Token": "session of ada"}, 401, "900901"),
        (
            {"Authorization": v2_sqlite.ada.headers["Authorization"]},
            400,
            "UnifiedWebService.REQUEST_FAILED.SessionToken.Invalid",
        ),
    ):
        answered = await ask(
            v2_sqlite.server, route.method, (BASE + path).encode(), headers=headers
        )
        check(route.method, (BASE + path).partition("?")[0], answered)
        assert answered.status == status
        assert answered.json()["errorCode"] == code
        assert ("fault" in answered.json()) == (status == 401)


@every
async def test_accounts_are_separate(v2_sqlite: V2, route: Route) -> None:
    """Another's account is not told apart from one that does not exist; an inactive one is named."""
    for account in (OTHER_ACCOUNT, "9999999999-99999"):
        refused = await v2_sqlite.ada.refused(route.method, *request_of(v2_sqlite, route, account))
        assert refused == Refused("UNAUTHORIZED_ACCOUNT", "Not authorised for account")
    found = await v2_sqlite.ada.why(route.method, *request_of(v2_sqlite, route, INACTIVE_ACCOUNT))
    assert found == "Inactive account"
    for account in ("x", "0000123456", "0000123456-000011", "٠٠٠٠١٢٣٤٥٦-٠٠٠٠١", "0000123456_00001"):
        found = await v2_sqlite.ada.why(route.method, *request_of(v2_sqlite, route, quote(account)))
        assert found == "Invalid account name format"


@every
async def test_slashes_do_not_matter(v2_sqlite: V2, route: Route) -> None:
    """A doubled or trailing slash leads to the same operation."""
    path, body = request_of(v2_sqlite, route, OTHER_ACCOUNT)
    path, mark, query = path.partition("?")
    doubled = path.replace("/", "//") + "/" + mark + query
    refused = await v2_sqlite.ada.refused(route.method, doubled, body)
    assert refused.code == "UNAUTHORIZED_ACCOUNT"


@every
async def test_wrong_methods(v2_sqlite: V2, route: Route) -> None:
    """A method that a path does not have is 405, and says which it has."""
    path, _ = request_of(v2_sqlite, route, ACCOUNT)
    full = (BASE + path).encode()
    answered = await ask(v2_sqlite.server, "PATCH", full, headers=v2_sqlite.ada.headers)
    assert answered.status == 405
    assert route.method in answered.headers["allow"].split(", ")
    assert set(answered.json()) == {"errorCode", "errorMessage"}


def test_every_error_is_documented() -> None:
    """An error that an operation declares is in its description."""
    paths = openapi_document()["paths"]
    for route in v2_routes:
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
"""
members = st.sampled_from(MEMBERS.split())
likely = st.dictionaries(members, anything, max_size=6)
windows = st.lists(st.fixed_dictionaries({"startTime": anything, "endTime": anything}), max_size=2)
texts = st.text(max_size=30)
nearly = st.fixed_dictionaries(
    {
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
        "campaignName": texts,
        "downloadAfterDate": st.dates().map(str),
        "downloadTimeWindowList": windows,
        "installTimeWindowList": windows,
    },
)


def raw(body: Any) -> bytes:
    return json.dumps(body).encode("utf-8", "surrogatepass")


bodies = st.binary(max_size=60) | anything.map(raw) | likely.map(raw) | nearly.map(raw)
values = st.text(max_size=20) | st.sampled_from(
    ["0", imei(1), imei(101), NOWHERE, NOWHERE.upper(), "-1", "9" * 40, "CampaignEnded", "HTTP"]
)
queries = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("lastSeenDeviceId", "lastSeenCampaignId", "startIndex", "distributionType"),
                *("campaignStatus", "deviceIds", "deviceIds[0]", "deviceIds[", "x"),
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
async def test_garbage(v2: V2, route: Route, data: st.DataObject) -> None:
    """Whatever comes in the path, the query and the body, the answer is 200 or a clear refusal."""
    path = re.sub(
        r"\{(campaignId|deviceId)\}",
        lambda _: quote(data.draw(values), safe="", errors="surrogatepass") or "x",
        route.path,
    ).replace("{acc}", ACCOUNT)
    if path.endswith(("/.", "/..")):
        return
    full = f"{path}?{data.draw(queries)}"
    answered = await ask(
        v2.server,
        route.method,
        full.encode(),
        headers=v2.ada.headers | {"Content-Type": data.draw(st.sampled_from(TYPES))},
        body=data.draw(bodies),
    )
    assert answered.status in (200, 400), answered
    check(route.method, path, answered)


TYPES = ["*/*", "application/json", "multipart/form-data; boundary=a"]
