"""Errors as the API answers them (API 10.1, 10.2): status, body, and the headers that belong to it.

Beside ``core.errors`` (the caller's errors that any room may find) there are those that only exist
because there is HTTP between us:

    Exception
    ├── core.errors.RequestError     400 {errorCode, errorMessage}
    └── HttpError                    knows its status
        ├── BearerError              401 gateway fault beside errorCode and errorMessage
        ├── NoRouteError             404 gateway fault, likewise
        ├── MethodError              405 {errorCode, errorMessage}
        └── OAuthError               400 or 401 in the shape of RFC 6749 5.2

Everything else is our own fault: 500 with ``INTERNAL_SYSTEM_ERROR`` and nothing about the inside.
Each body is a JSON object with non-empty strings in every case, because clients read it on any
status.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from overair.api.wire import Answer
from overair.artifacts.errors import StorageFullError
from overair.core.errors import CredentialsError, Refusal, RequestError
from overair.store.database import StoreFullError

ERROR_URI = "https://www.rfc-editor.org/rfc/rfc6749#section-5.2"

OAuthCode = Literal[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
]


class ErrorAnswer(Answer):
    """What every refused call answers."""

    error_code: str
    error_message: str


class Fault(Answer):
    """The gateway's own words for the same."""

    code: str
    message: str
    description: str


class FaultAnswer(Answer):
    """The gateway's shape, with the members every other error has beside it."""

    fault: Fault
    error_code: str
    error_message: str


class OAuthErrorAnswer(msgspec.Struct):
    """RFC 6749 5.2."""

    error: OAuthCode
    error_description: str
    error_uri: str = ERROR_URI


class HttpError(Exception):
    """A refusal that is a matter of HTTP."""

    status = 400

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)

    def headers(self) -> list[tuple[str, str]]:
        return []

    def body(self) -> msgspec.Struct:
        raise AssertionError("every kind of HttpError has a body")


class GatewayError(HttpError):
    """A fault of the gateway in front of the API."""

    def __init__(self, code: str, message: str, description: str) -> None:
        super().__init__(message)
        self.fault = Fault(code=code, message=message, description=description)

    def body(self) -> msgspec.Struct:
        return FaultAnswer(
            fault=self.fault, error_code=self.fault.code, error_message=self.fault.message
        )


class BearerError(GatewayError):
    """The bearer token is missing, or opens nothing."""

    status = 401

    @classmethod
    def missing(cls) -> "BearerError":
        return cls("900902", "Missing Credentials", "No bearer token in the Authorization header")

    @classmethod
    def invalid(cls) -> "BearerError":
        return cls("900901", "Invalid Credentials", "The bearer token is unknown or has expired")

    def headers(self) -> list[tuple[str, str]]:
        return [("www-authenticate", 'Bearer realm="overair"')]


class NoRouteError(GatewayError):
    """A path that no API has."""

    status = 404

    def __init__(self) -> None:
        super().__init__(
            "900906",
            "No matching resource found in the API for the given request",
            "Check the API documentation and call a resource that exists",
        )


class MethodError(HttpError):
    """A path that exists, but not for this method."""

    status = 405

    def __init__(self, allowed: Iterable[str]) -> None:
        super().__init__("Method not allowed")
        self.allowed = sorted(allowed)

    def headers(self) -> list[tuple[str, str]]:
        return [("allow", ", ".join(self.allowed))]

    def body(self) -> msgspec.Struct:
        return ErrorAnswer(error_code="METHOD_NOT_ALLOWED", error_message=self.message)


class OAuthError(HttpError):
    """Refused by a token endpoint."""

    def __init__(self, code: OAuthCode, description: str, *, retry_after_s: int = 0) -> None:
        super().__init__(description)
        self.code: OAuthCode = code
        self.status = 401 if code == "invalid_client" else 400
        self.retry_after_s = retry_after_s

    def headers(self) -> list[tuple[str, str]]:
        found = []
        if self.status == 401:
            # RFC 6749 5.2: a client that authenticated by header is told the scheme.
            found.append(("www-authenticate", 'Basic realm="overair"'))
        if self.retry_after_s:
            found.append(("retry-after", str(self.retry_after_s)))
        return found

    def body(self) -> msgspec.Struct:
        return OAuthErrorAnswer(error=self.code, error_description=self.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An error, ready to be written out."""

    status: int
    body: msgspec.Struct
    headers: list[tuple[str, str]] = field(default_factory=list)


def refuse(error: Exception, *, oauth: bool = False) -> Refused:
    """What to answer to ``error``; at a token endpoint everything is said in OAuth's shape."""
    if isinstance(error, RequestError) and oauth:
        error = OAuthError("invalid_request", error.message)
    if isinstance(error, HttpError):
        return Refused(status=error.status, body=error.body(), headers=error.headers())
    if isinstance(error, RequestError):
        headers = []
        if isinstance(error, CredentialsError) and error.retry_after_s:
            headers.append(("retry-after", str(error.retry_after_s)))
        answer = ErrorAnswer(error_code=error.code, error_message=error.message)
        return Refused(status=400, body=answer, headers=headers)
    code, text = Refusal.INTERNAL.value
    if isinstance(error, StoreFullError | StorageFullError):
        # Worth saying: the caller's operator can do something about it.
        text += ": no room left on the server's disk"
    return Refused(status=500, body=ErrorAnswer(error_code=code, error_message=text))
