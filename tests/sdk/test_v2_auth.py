"""Tokens and sessions from the client's side (API 2), over the life of both."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from verizon.exceptions.api_exception import APIException
from verizon.exceptions.connectivity_management_result_exception import (
    ConnectivityManagementResultException,
)
from verizon.exceptions.oauth_provider_exception import OauthProviderException
from verizon.models.log_in_request import LogInRequest
from verizon.models.session_reset_password_request import SessionResetPasswordRequest

from overair.clock import ManualClock, SystemClock
from tests.peers import sdk
from tests.sdk.world import (
    BOTH,
    INACTIVE,
    KEY,
    OTHER,
    PASSWORD,
    SECRET,
    Sdk,
    World,
    ask,
    open_world,
)

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
INVALID = "UnifiedWebService.REQUEST_FAILED.SessionToken.Invalid"
EXPIRED = "UnifiedWebService.REQUEST_FAILED.SessionToken.Expired"


@pytest.fixture
def wall() -> ManualClock:
    """The wall's clock, moved by hand; it starts at the true time, which the client keeps too."""
    return ManualClock(SystemClock().now())


@pytest.fixture
def world_in_time(database_url: str, tmp_path: Path, wall: ManualClock) -> Iterator[World]:
    """A world whose tokens live on that clock."""
    with open_world(tmp_path / "world", database_url) as world:
        world.server.api_gate.clock = wall
        yield world


def entering(world: World) -> Any:
    """A client that has not logged in."""
    return sdk.client(f"{world.base}/api", key=KEY, secret=SECRET)


def close(client: Any) -> None:
    client.config.http_client.session.close()


def oauth(world: World, path: str, form: str, basic: str | None = None) -> tuple[int, Any]:
    """A token call that the client does not make."""
    sent = {**FORM, "Authorization": sdk.basic(KEY, SECRET) if basic is None else basic}
    if not basic and basic is not None:
        del sent["Authorization"]
    status, body = ask(world.base, "POST", f"/api/ts/v1/oauth2/{path}", form.encode(), sent)
    return status, json.loads(body)


def login(client: Any, username: str = "ada", password: str = PASSWORD) -> str:
    return str(
        client.session_management.start_connectivity_management_session(
            LogInRequest(username, password)
        ).body.session_token
    )


def on_session(world: World, session: str) -> Sdk:
    client = sdk.client(f"{world.base}/api", key=KEY, secret=SECRET, session_token=session)
    connection = sdk.Connection(client=client, access_token="", session_token=session)
    return Sdk(connection=connection, account=BOTH, base=world.base)


def test_one_token_an_hour(world_in_time: World, wall: ManualClock) -> None:
    """Within its hour the same token is given again, with the seconds left; then a new one."""
    world = world_in_time
    client = entering(world)
    request = client.oauth_authorization.request_token_thingspace_oauth
    first = request(sdk.basic(KEY, SECRET)).body
    assert first.token_type == "Bearer"
    world.ada.ok("list_account_devices")
    wall.advance(timedelta(minutes=30))
    again = request(sdk.basic(KEY, SECRET)).body
    assert again.access_token == first.access_token
    assert first.expires_in - again.expires_in == 1800
    wall.advance(timedelta(minutes=31))
    new = request(sdk.basic(KEY, SECRET)).body
    assert new.access_token != first.access_token
    assert new.expires_in == 3600
    with pytest.raises(APIException) as caught:
        # Ada's client keeps the first one: its own clock was not moved.
        world.ada.call("list_account_devices")
    assert caught.value.response_code == 401
    close(client)


def test_a_revoked_token(world_in_time: World) -> None:
    """A revoked token is refused at once, and the next one is new; an unknown one is revoked too."""
    world = world_in_time
    client = entering(world)
    request = client.oauth_authorization.request_token_thingspace_oauth
    first = request(sdk.basic(KEY, SECRET)).body.access_token
    world.ada.ok("list_account_devices")
    for _ in range(2):
        assert oauth(world, "revoke", f"token={first}&grant_type=client_credentials") == (
            200,
            {"result": "revoked"},
        )
    assert oauth(world, "revoke", "token=unknown")[0] == 200
    with pytest.raises(APIException) as caught:
        world.ada.call("list_account_devices")
    assert caught.value.response_code == 401
    body = json.loads(caught.value.response.text)
    assert body["fault"]["code"] == body["errorCode"] == "900901"
    assert request(sdk.basic(KEY, SECRET)).body.access_token != first
    # A client that takes a new token works on with its old session.
    fresh = on_session(world, world.ada.connection.session_token)
    fresh.ok("list_account_devices")
    close(fresh.connection.client)
    close(client)


def test_wrong_token_requests(world_sqlite: World) -> None:
    """Each refusal is the client's own exception, in the words of OAuth."""
    client = entering(world_sqlite)
    request = client.oauth_authorization.request_token_thingspace_oauth
    for header in (
        sdk.basic(KEY, "wrong"),
        sdk.basic("nobody", SECRET),
        "Basic !",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Bearer x",
    ):
        with pytest.raises(OauthProviderException) as caught:
            request(header)
        error: Any = caught.value
        assert (error.response_code, error.error) == (401, "invalid_client")
        assert error.error_description
        assert error.error_uri
    for form, basic, status, word in (
        ("", None, 400, "invalid_request"),
        ("grant_type=password", None, 400, "unsupported_grant_type"),
        ("grant_type=client_credentials", "", 401, "invalid_client"),
    ):
        found, body = oauth(world_sqlite, "token", form, basic)
        assert (found, body["error"]) == (status, word)
        assert body["error_description"]
    status, body = oauth(world_sqlite, "token", "grant_type=client_credentials&scope=a&other=1")
    assert (status, body["token_type"]) == (200, "Bearer")
    close(client)


def test_a_session_lives_while_it_is_used(world_in_time: World, wall: ManualClock) -> None:
    """Twenty minutes without use end it; each use gives it twenty more. Others go on."""
    world = world_in_time
    client = entering(world)
    second = on_session(world, login(client))
    for _ in range(2):
        wall.advance(timedelta(minutes=19))
        world.ada.ok("list_account_devices")
    refusal = second.refused("list_account_devices")
    assert (refusal.code, refusal.message) == (EXPIRED, "session has expired")
    with pytest.raises(ConnectivityManagementResultException) as caught:
        second.connection.client.session_management.end_connectivity_management_session()
    assert caught.value.error_code == EXPIRED
    wall.advance(timedelta(minutes=19))
    world.ada.ok("list_account_devices")
    close(second.connection.client)
    close(client)


def test_logout_and_password(world_in_time: World) -> None:
    """A new password counts at once, sessions stay; a session that was ended opens nothing."""
    world = world_in_time
    client = entering(world)
    sessions = world.ada.connection.client.session_management
    with pytest.raises(ConnectivityManagementResultException) as caught:
        sessions.reset_connectivity_management_password(SessionResetPasswordRequest("wrong"))
    assert caught.value.error_code == "UnifiedWebService.INPUT_INVALID.Login.InvalidCredentials"
    new = sessions.reset_connectivity_management_password(
        SessionResetPasswordRequest(PASSWORD)
    ).body.new_password
    world.ada.ok("list_account_devices")
    with pytest.raises(ConnectivityManagementResultException) as caught:
        login(client)
    assert caught.value.error_code == "UnifiedWebService.INPUT_INVALID.Login.InvalidCredentials"
    second = on_session(world, login(client, password=new))
    ended = sessions.end_connectivity_management_session().body.session_token
    assert ended == world.ada.connection.session_token
    assert world.ada.refused("list_account_devices").code == INVALID
    second.ok("list_account_devices")
    close(second.connection.client)
    close(client)


def test_users_and_accounts(world_sqlite: World) -> None:
    """A session opens its user's accounts, whichever application's token goes with it."""
    world = world_sqlite
    assert world.ada.on(OTHER).refused("list_account_devices").code == "UNAUTHORIZED_ACCOUNT"
    assert world.bob.on(BOTH).refused("list_account_devices").code == "UNAUTHORIZED_ACCOUNT"
    assert world.bob.on(INACTIVE).refused("list_account_devices").code == "UNAUTHORIZED_ACCOUNT"
    assert len(world.bob.ok("list_account_devices")["deviceList"]) == 3
    client = entering(world)
    for username, password in (
        ("ada", ""),
        ("", PASSWORD),
        ("nobody", PASSWORD),
        ("Ada", PASSWORD),
    ):
        with pytest.raises(ConnectivityManagementResultException) as caught:
            login(client, username, password)
        assert caught.value.response_code == 400
        assert caught.value.error_code.startswith("UnifiedWebService.")
    close(client)
