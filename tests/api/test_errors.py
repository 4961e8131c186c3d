"""The shape of every error (API 10.1)."""

from typing import Any

import msgspec
import pytest

from overair.api.errors import (
    BearerError,
    HttpError,
    MethodError,
    NoRouteError,
    OAuthError,
    refuse,
)
from overair.core.errors import CredentialsError, Refusal, RequestError, SessionError
from overair.store.database import StoreBusyError, StoreError, StoreFullError

INTERNAL = "INTERNAL_SYSTEM_ERROR"
CASES: list[tuple[Exception, int, str]] = [
    (RequestError(Refusal.PILOT_LIMIT, limit=20), 400, "PILOT_LIMIT_EXCEEDED"),
    (SessionError(Refusal.SESSION_EXPIRED), 400, Refusal.SESSION_EXPIRED.code),
    (CredentialsError(), 400, Refusal.CREDENTIALS.code),
    (BearerError.missing(), 401, "900902"),
    (BearerError.invalid(), 401, "900901"),
    (NoRouteError(), 404, "900906"),
    (MethodError(["GET"]), 405, "METHOD_NOT_ALLOWED"),
    (StoreError("x"), 500, INTERNAL),
    (StoreBusyError("x"), 500, INTERNAL),
    (StoreFullError("x"), 500, INTERNAL),
    (ValueError("/path/of/ours"), 500, INTERNAL),
]


def plain(body: msgspec.Struct) -> Any:
    return msgspec.json.decode(msgspec.json.encode(body))


@pytest.mark.parametrize(("error", "status", "code"), CASES)
def test_every_error_has_code_and_message(error: Exception, status: int, code: str) -> None:
    """Whatever went wrong: its status, and non-empty errorCode and errorMessage."""
    refused = refuse(error)
    body = plain(refused.body)
    assert (refused.status, body["errorCode"]) == (status, code)
    assert body["errorMessage"]
    assert ("fault" in body) == isinstance(error, BearerError | NoRouteError)
    assert "/path/of/ours" not in repr(body)


@pytest.mark.parametrize("refusal", list(Refusal))
def test_every_refusal_can_be_answered(refusal: Refusal) -> None:
    """Each row of the catalogue is a 400 with its own code and text."""
    body = plain(refuse(RequestError(refusal, limit=1, member="m", part="p")).body)
    assert body == {
        "errorCode": refusal.code,
        "errorMessage": refusal.text.format(limit=1, member="m", part="p"),
    }


def test_token_endpoints_speak_oauth() -> None:
    """There a refusal of any room has OAuth's shape; a fault of ours keeps its own."""
    body = plain(refuse(RequestError(Refusal.BINDING), oauth=True).body)
    assert (body["error"], body["error_description"]) == ("invalid_request", "Input binding error")
    assert refuse(OAuthError("invalid_client", "x"), oauth=True).status == 401
    assert plain(refuse(ValueError(), oauth=True).body)["errorCode"] == INTERNAL


def test_waiting_times_are_headers() -> None:
    """Those who guessed too often are told when to come back."""
    throttled = CredentialsError(Refusal.LOGIN_THROTTLED, retry_after_s=7)
    assert ("retry-after", "7") in refuse(throttled).headers
    assert ("retry-after", "7") in OAuthError("invalid_client", "x", retry_after_s=7).headers()


def test_every_kind_of_error_is_tried_here() -> None:
    """The list above names each kind that the tree has."""

    def kinds(base: type[Exception]) -> set[type[Exception]]:
        return {base}.union(*(kinds(kind) for kind in base.__subclasses__()))

    abstract = {HttpError, BearerError.__bases__[0]}
    tried = {type(error) for error, _, _ in CASES} | {OAuthError} | abstract
    assert kinds(RequestError) | kinds(HttpError) <= tried
