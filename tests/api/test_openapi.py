"""The OpenAPI document: valid, current, and true to the routes."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET, UnsetType
from openapi_spec_validator import validate

from overair.api.gate import Security
from overair.api.openapi import openapi_document, openapi_json
from overair.api.routing import Call, Routes, Streamed
from overair.api.wire import Answer, Body, Day, Hour, Query
from overair.core.errors import Refusal

CHECKED_IN = Path(__file__).parents[2] / "openapi" / "overair.json"


class Plan(Body):
    start_date: Day
    hour: Hour | UnsetType = UNSET


class Search(Query):
    campaign_status: str
    device_ids: list[str] | UnsetType = UNSET


class Upload(Body):
    make: str


def document() -> Any:
    routes = Routes("/api/fota/v2", tag="v2")

    @routes.add("PUT", "/campaigns/{acc}/{campaignId}", errors=[Refusal.NOT_MODIFIABLE])
    @routes.add("PUT", "/old/{acc}/{campaignId}", documented=False)
    async def change(call: Call[Plan, Search]) -> list[Answer]:
        """Change a plan.

        Only
        before it starts.
        """
        return []

    @routes.add("POST", "/files/{acc}", security=Security.BEARER)
    async def upload(call: Call[Streamed[Upload], None]) -> Answer:
        """Upload a file."""
        return Answer()

    return openapi_document(routes)


def test_document_is_current() -> None:
    """The checked-in document is the one that the code writes: `make openapi` writes it anew."""
    assert CHECKED_IN.read_bytes() == openapi_json()


def test_document_is_valid() -> None:
    """It is OpenAPI 3.1, and so is any document of the generator's."""
    validate(json.loads(openapi_json()))
    validate(document())


def test_operation() -> None:
    """Everything that a route declares is in its operation."""
    found = document()
    assert "/api/fota/v2/old/{acc}/{campaignId}" not in found["paths"]
    operation = found["paths"]["/api/fota/v2/campaigns/{acc}/{campaignId}"]["put"]
    assert operation["operationId"] == "v2_change"
    assert (operation["summary"], operation["description"]) == (
        "Change a plan",
        "Only before it starts.",
    )
    assert operation["security"] == [{"bearer": [], "session": []}]
    assert [
        (parameter["name"], parameter["in"], parameter["required"])
        for parameter in operation["parameters"]
    ] == [
        ("acc", "path", True),
        ("campaignId", "path", True),
        ("campaignStatus", "query", True),
        ("deviceIds", "query", False),
    ]
    assert "Campaign cannot be modified" in operation["responses"]["400"]["description"]
    plan = found["components"]["schemas"]["Plan"]
    assert plan["required"] == ["startDate"]
    assert plan["properties"]["startDate"] == {"type": "string", "format": "date"}
    assert "Search" not in found["components"]["schemas"]


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/api/ts/v1/oauth2/token", "application/x-www-form-urlencoded"),
        ("/api/m2m/v1/session/login", "application/json"),
    ],
)
def test_media_types(path: str, media_type: str) -> None:
    """Forms and JSON are told apart; so are uploads."""
    operation = json.loads(openapi_json())["paths"][path]["post"]
    assert list(operation["requestBody"]["content"]) == [media_type]
    upload = document()["paths"]["/api/fota/v2/files/{acc}"]["post"]
    assert list(upload["requestBody"]["content"]) == ["multipart/form-data"]
