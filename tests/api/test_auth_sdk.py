"""The vendor's own client logs in and out here (API 2), unchanged."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from verizon.exceptions.connectivity_management_result_exception import (
    ConnectivityManagementResultException,
)
from verizon.exceptions.oauth_provider_exception import OauthProviderException
from verizon.models.log_in_request import LogInRequest
from verizon.models.session_reset_password_request import SessionResetPasswordRequest

from overair.store import Database
from tests.api.conftest import KEY, PASSWORD, SECRET, USER, World
from tests.peers import sdk
from tests.serving import serving


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """One kind of database is enough for the other end of the wire."""
    return sqlite_database


@pytest.fixture
async def base(world: World) -> AsyncIterator[str]:
    async with serving(world.api) as url:
        yield f"{url}/api"


async def test_session_from_login_to_logout(base: str) -> None:
    """Token, login, new password, login with it, logout; then the session is refused."""

    def walk() -> str:
        connection = sdk.connect(base, KEY, SECRET, USER, PASSWORD)
        sessions: Any = connection.client.session_management
        reset = sessions.reset_connectivity_management_password(
            SessionResetPasswordRequest(PASSWORD)
        )
        again = sdk.connect(base, KEY, SECRET, USER, reset.body.new_password)
        assert again.access_token == connection.access_token
        assert again.session_token != connection.session_token
        ended = sessions.end_connectivity_management_session()
        assert ended.body.session_token == connection.session_token
        with pytest.raises(ConnectivityManagementResultException) as caught:
            sessions.end_connectivity_management_session()
        return str(caught.value.error_code)

    code = await asyncio.to_thread(walk)
    assert code == "UnifiedWebService.REQUEST_FAILED.SessionToken.Invalid"


async def test_refusals(base: str) -> None:
    """A wrong password and a wrong secret are the client's own exceptions, with what we said."""

    def walk() -> tuple[str, str, str]:
        client = sdk.client(base, key=KEY, secret=SECRET)
        with pytest.raises(ConnectivityManagementResultException) as login:
            client.session_management.start_connectivity_management_session(
                LogInRequest(USER, "wrong")
            )
        with pytest.raises(OauthProviderException) as token:
            client.oauth_authorization.request_token_thingspace_oauth(sdk.basic(KEY, "wrong"))
        return login.value.error_code, token.value.error, token.value.error_description

    assert await asyncio.to_thread(walk) == (
        "UnifiedWebService.INPUT_INVALID.Login.InvalidCredentials",
        "invalid_client",
        "invalid credentials",
    )
