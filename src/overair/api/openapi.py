"""The OpenAPI 3.1 document, written from the routes' own declarations.

``make openapi`` writes the one that is checked in; a test keeps it current.
Shapes come from msgspec, in the words of JSON Schema 2020-12; what a shape cannot say (the texts of
refusals, the forms of path parameters) is added here.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, get_args, get_origin

import msgspec

from overair import __version__
from overair.api.errors import ErrorAnswer, FaultAnswer, OAuthErrorAnswer
from overair.api.gate import Security
from overair.api.published import published_routes
from overair.api.routing import Route, Streamed
from overair.api.wire import Form, schema_hook
from overair.core.words.v1 import CAMPAIGN_FILTER_V1

PATH_PARAMETERS: dict[str, dict[str, Any]] = {
    "acc": {
        "description": "Account name",
        "schema": {"type": "string", "pattern": "^[0-9]{10}-[0-9]{5}$"},
        "example": "0000123456-00001",
    },
    "campaignId": {
        "description": "Campaign id",
        "schema": {"type": "string", "format": "uuid"},
    },
    "deviceId": {
        "description": "Device id: IMEI",
        "schema": {"type": "string", "pattern": "^[0-9]{15}$"},
        "example": "990013907835573",
    },
    "upgradeId": {
        "description": "Upgrade id",
        "schema": {"type": "string", "format": "uuid"},
    },
    "startIndex": {
        "description": "Where the page begins; 0: at the start",
        "schema": {"type": "string", "pattern": "^[0-9]{1,15}$"},
        "example": "0",
    },
    "upgradeStatus": {
        "description": "Status of the upgrades",
        "schema": {"type": "string", "enum": [*CAMPAIGN_FILTER_V1]},
    },
    "service": {
        "description": "Name of the callback service",
        "schema": {"type": "string", "enum": ["Fota"]},
    },
}

_SECURITY: dict[Security, list[dict[str, list[str]]]] = {
    Security.BASIC: [{"application": []}],
    Security.BEARER: [{"bearer": []}],
    Security.SESSION: [{"bearer": [], "session": []}],
    Security.OPERATOR: [{"operator": []}],
}

_SCHEMES: dict[str, dict[str, str]] = {
    "application": {
        "type": "http",
        "scheme": "basic",
        "description": "The application's key and secret.",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token from `POST /api/ts/v1/oauth2/token`.",
    },
    "session": {
        "type": "apiKey",
        "in": "header",
        "name": "VZ-M2M-Token",
        "description": "A session token from `POST /api/m2m/v1/session/login`.",
    },
    "operator": {
        "type": "http",
        "scheme": "bearer",
        "description": "An operator's token, made with `overair token add`.",
    },
}


def openapi_document(routes: Iterable[Route] | None = None) -> dict[str, Any]:
    """The document for ``routes``; for everything published, if none are given."""
    chosen = [
        route for route in (published_routes() if routes is None else routes) if route.documented
    ]
    shapes = _Shapes(chosen)
    paths: dict[str, dict[str, Any]] = {}
    for route in chosen:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, shapes)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "overair management API",
            "version": __version__,
            "description": "Software Management Services, as published by ThingSpace.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in chosen)],
        "paths": paths,
        "components": {"schemas": shapes.components, "securitySchemes": _SCHEMES},
    }


class _Shapes:
    """The JSON Schema of everything that ``routes`` read and write."""

    def __init__(self, routes: Iterable[Route]) -> None:
        kinds: list[Any] = [ErrorAnswer, FaultAnswer, OAuthErrorAnswer]
        queries: list[Any] = []
        for route in routes:
            kinds.append(route.response)
            if route.body is not type(None):
                kinds.append(body_kind(route))
            if route.query is not type(None):
                queries.append(route.query)
        self._kinds = [*kinds, *queries]
        self._schemas: tuple[dict[str, Any], ...]
        self.components: dict[str, Any]
        self._schemas, self.components = msgspec.json.schema_components(
            self._kinds,
            schema_hook=schema_hook,
            ref_template="#/components/schemas/{name}",
        )
        # Queries are written out as parameters, and referred to by nothing.
        self._queries = {
            query: self.components.pop(self._name(query)) for query in dict.fromkeys(queries)
        }

    def _name(self, kind: Any) -> str:
        return str(self.of(kind)["$ref"]).rpartition("/")[2]

    def of(self, kind: Any) -> dict[str, Any]:
        return self._schemas[self._kinds.index(kind)]

    def query(self, kind: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._queries[kind]
        return found


def body_kind(route: Route) -> Any:
    """The Struct that describes a route's body."""
    return get_args(route.body)[0] if get_origin(route.body) is Streamed else route.body


def _operation(route: Route, shapes: _Shapes) -> dict[str, Any]:
    summary, _, description = (route.handler.__doc__ or "").strip().partition("\n")
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "tags": [route.tag],
        "summary": summary.rstrip("."),
        "security": _SECURITY[route.security],
    }
    if description.strip():
        operation["description"] = " ".join(description.split())
    parameters = _parameters(route, shapes)
    if parameters:
        operation["parameters"] = parameters
    if route.body is not type(None):
        kind = body_kind(route)
        operation["requestBody"] = {
            "required": True,
            "content": {_media_type(route): {"schema": shapes.of(kind)}},
        }
    operation["responses"] = _responses(route, shapes)
    return operation


def _operation_id(route: Route) -> str:
    name = getattr(route.handler, "__name__", "")
    version = next((part for part in route.path.split("/") if part in ("v1", "v2", "v3")), "")
    return f"{version}_{name}" if version and "/fota/" in route.path else name


def _media_type(route: Route) -> str:
    if get_origin(route.body) is Streamed:
        return "multipart/form-data"
    if issubclass(route.body, Form):
        return "application/x-www-form-urlencoded"
    return "application/json"


def _parameters(route: Route, shapes: _Shapes) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, **PATH_PARAMETERS[name]}
        for name in route.parameters
    ]
    if route.query is not type(None):
        shape = shapes.query(route.query)
        required = shape.get("required", [])
        found += [
            {"name": name, "in": "query", "required": name in required, "schema": schema}
            for name, schema in shape["properties"].items()
        ]
    return found


def _responses(route: Route, shapes: _Shapes) -> dict[str, Any]:
    own = "".join(f"\n- `{refusal.code}`: {refusal.text}" for refusal in route.errors)
    refused = OAuthErrorAnswer if route.oauth else ErrorAnswer
    return {
        "200": _response("Done", shapes.of(route.response)),
        "400": _response(f"Refused{':' + own if own else ''}", shapes.of(refused)),
        "401": _response(
            "Who is calling is not known",
            shapes.of(OAuthErrorAnswer if route.oauth else FaultAnswer),
        ),
        "500": _response("A fault of the server", shapes.of(ErrorAnswer)),
    }


def _response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


@cache
def openapi_json() -> bytes:
    """The document as it is served and checked in."""
    raw = msgspec.json.encode(openapi_document())
    return msgspec.json.format(raw, indent=2) + b"\n"
