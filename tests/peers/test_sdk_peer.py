"""The vendor's client, proven against a server scripted from the published contract: what it puts on the wire."""

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from apimatic_core.exceptions.auth_validation_exception import AuthValidationException
from verizon.exceptions.fota_v2_result_exception import FotaV2ResultException
from verizon.exceptions.oauth_provider_exception import OauthProviderException
from verizon.models.campaign_software_upgrade import CampaignSoftwareUpgrade
from verizon.models.device_logging_request import DeviceLoggingRequest
from verizon.models.download_time_window import DownloadTimeWindow
from verizon.models.schedules_software_upgrade_request import SchedulesSoftwareUpgradeRequest
from verizon.models.v2_add_or_remove_device_request import V2AddOrRemoveDeviceRequest
from verizon.models.v2_list_of_licenses_to_remove_request import V2ListOfLicensesToRemoveRequest
from verizon.models.v2_time_window import V2TimeWindow

from tests.peers.sdk import Connection, basic, client, connect, deprecated_calls
from tests.peers.wire import HEAD_LIMIT, Head, read_body, read_head, response

ACCOUNT = "0000123456-00001"
DEVICE = "990013907835573"
CAMPAIGN = "60b5d639-ccdc-4db8-8824-069bd94c95bf"

CAMPAIGN_ANSWER = {
    "id": CAMPAIGN,
    "accountName": ACCOUNT,
    "softwareName": "FOTA",
    "distributionType": "HTTP",
    "make": "Acme",
    "model": "X1",
    "softwareFrom": "01",
    "softwareTo": "02",
    "startDate": "2026-01-02",
    "endDate": "2026-01-09T00:00:00.000Z",
    "status": "CampaignRequestPending",
}


class ScriptedApi:
    """Answers from a table of "METHOD path" and keeps every request; runs a loop in a thread of its own."""

    def __init__(self) -> None:
        self.seen: list[tuple[Head, bytes]] = []
        self.answers: dict[str, tuple[int, Any]] = {
            "POST /api/ts/v1/oauth2/token": (
                200,
                {"access_token": "bearer", "token_type": "Bearer", "expires_in": 3600},
            ),
            "POST /api/m2m/v1/session/login": (200, {"sessionToken": "session"}),
        }
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def base(self) -> str:
        """Return what the client is given as base."""
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def last(self) -> tuple[Head, bytes]:
        """Return the latest request."""
        return self.seen[-1]

    def start(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_LIMIT)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while (head := await read_head(reader)) is not None:
                self.seen.append((head, await read_body(reader, head)))
                status, value = self.answers.get(
                    f"{head.method} {head.target.split('?')[0]}", (404, {})
                )
                body = b"" if value is None else json.dumps(value).encode()
                writer.write(response(status, body, headers={"Content-Type": "application/json"}))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


@pytest.fixture
def api() -> Iterator[ScriptedApi]:
    """Return a listening scripted server."""
    scripted = ScriptedApi()
    scripted.start()
    yield scripted
    scripted.stop()


@pytest.fixture
def connection(api: ScriptedApi) -> Iterator[Connection]:
    """Return a client with both tokens."""
    made = connect(api.base, "demo-key", "demo-secret", "demo", "demo-pass")
    yield made
    made.client.config.http_client.session.close()


def test_token_and_login(api: ScriptedApi) -> None:
    """The token is asked for with Basic and a form, the session with the bearer token and JSON."""
    made = connect(api.base, "demo-key", "demo-secret", "demo", "demo-pass")
    assert (made.access_token, made.session_token) == ("bearer", "session")
    (explicit, form), (automatic, again), (login, body) = api.seen
    assert explicit.target == automatic.target == "/api/ts/v1/oauth2/token"
    assert explicit.header("Authorization") == basic("demo-key", "demo-secret")
    assert explicit.header("Content-Type") == "application/x-www-form-urlencoded"
    assert form == again == b"grant_type=client_credentials"
    assert login.header("Authorization") == "Bearer bearer"
    assert login.header("VZ-M2M-Token") is None
    assert json.loads(body) == {"username": "demo", "password": "demo-pass"}


def test_both_tokens_travel(api: ScriptedApi, connection: Connection) -> None:
    """A version 2 call carries both tokens and its answer becomes a model."""
    api.answers[f"GET /api/fota/v2/subscriptions/{ACCOUNT}"] = (
        200,
        {"accountName": ACCOUNT, "purchaseType": "TS-HFOTA-MRC", "licenseCount": 500},
    )
    answer = connection.client.software_management_subscriptions_v2.get_account_subscription_status(
        ACCOUNT
    )
    head, body = api.last
    assert head.header("Authorization") == "Bearer bearer"
    assert head.header("VZ-M2M-Token") == "session"
    assert head.header("Accept") == "application/json"
    assert (answer.status_code, answer.body.license_count, body) == (200, 500, b"")


def test_schedule_types(api: ScriptedApi, connection: Connection) -> None:
    """Windows are numbers in one scheduling call and strings in the other; dates are plain dates in both."""
    api.answers[f"POST /api/fota/v2/campaigns/{ACCOUNT}"] = (200, CAMPAIGN_ANSWER)
    api.answers[f"POST /api/fota/v2/campaigns/software/{ACCOUNT}"] = (200, CAMPAIGN_ANSWER)
    campaigns = connection.client.campaigns_v2
    made = campaigns.schedule_campaign_firmware_upgrade(
        ACCOUNT,
        CampaignSoftwareUpgrade(
            "FOTA",
            "01",
            "02",
            "HTTP",
            date(2026, 1, 2),
            date(2026, 1, 9),
            [DEVICE],
            download_time_window_list=[V2TimeWindow(20, 21)],
        ),
    ).body
    head, body = api.last
    assert head.header("Content-Type") == "*/*"
    sent = json.loads(body)
    assert sent["startDate"] == "2026-01-02"
    assert sent["downloadTimeWindowList"] == [{"startTime": 20, "endTime": 21}]
    assert "campaignName" not in sent
    assert (made.start_date, made.end_date) == (date(2026, 1, 2), date(2026, 1, 9))
    campaigns.schedule_sw_upgrade_http_devices(
        ACCOUNT,
        SchedulesSoftwareUpgradeRequest(
            software_name="FOTA",
            start_date="2026-01-02",
            download_time_window_list=[DownloadTimeWindow("20", "21")],
            device_list=[DEVICE],
        ),
    )
    head, body = api.last
    assert head.header("Content-Type") == "application/json"
    assert json.loads(body)["downloadTimeWindowList"] == [{"startTime": "20", "endTime": "21"}]


def test_capital_type(api: ScriptedApi, connection: Connection) -> None:
    """Adding devices sends `Type`; the candidate list sends `type`."""
    api.answers[f"PUT /api/fota/v2/campaigns/{ACCOUNT}/{CAMPAIGN}"] = (
        200,
        {"accountName": ACCOUNT, "campaignId": CAMPAIGN, "requestId": CAMPAIGN},
    )
    connection.client.campaigns_v2.update_campaign_firmware_devices(
        ACCOUNT, CAMPAIGN, V2AddOrRemoveDeviceRequest("append", [DEVICE])
    )
    assert json.loads(api.last[1]) == {"Type": "append", "deviceList": [DEVICE]}
    api.answers[f"POST /api/fota/v2/licenses/{ACCOUNT}/cancel"] = (
        200,
        {"count": 1, "deviceList": [DEVICE]},
    )
    with deprecated_calls():
        connection.client.software_management_licenses_v2.create_list_of_licenses_to_remove(
            ACCOUNT, V2ListOfLicensesToRemoveRequest([DEVICE], "append")
        )
    assert json.loads(api.last[1]) == {"deviceList": [DEVICE], "type": "append"}


def test_logging_calls(api: ScriptedApi, connection: Connection) -> None:
    """A list of devices becomes indexed query members; the DELETE does not ask for JSON; a PUT may have no body."""
    logging = connection.client.client_logging
    path = f"/api/fota/v2/logging/{ACCOUNT}/devices"
    api.answers[f"DELETE {path}"] = (200, None)
    logging.disable_logging_for_devices(ACCOUNT, [DEVICE, "990013907884259"])
    head, _ = api.last
    assert head.target.split("?")[1] == (
        f"deviceIds%5B0%5D={DEVICE}&deviceIds%5B1%5D=990013907884259"
    )
    assert head.header("Accept") == "*/*"
    logging.disable_logging_for_devices(ACCOUNT, f"{DEVICE},990013907884259")
    assert api.last[0].target.split("?")[1] in (
        f"deviceIds={DEVICE},990013907884259",
        f"deviceIds={DEVICE}%2C990013907884259",
    )
    status = {"deviceId": DEVICE, "expiryDate": "2026-01-09"}
    api.answers[f"PUT {path}/{DEVICE}"] = (200, status)
    answer = logging.enable_device_logging(ACCOUNT, DEVICE)
    head, body = api.last
    assert (head.header("Content-Type"), head.length, body) == (None, 0, b"")
    assert answer.body.expiry_date == date(2026, 1, 9)
    api.answers[f"PUT {path}"] = (200, [status])
    assert (
        logging.enable_logging_for_devices(ACCOUNT, DeviceLoggingRequest([DEVICE]))
        .body[0]
        .device_id
        == DEVICE
    )
    assert json.loads(api.last[1]) == {"deviceIds": [DEVICE]}


def test_log_times_are_strict(api: ScriptedApi, connection: Connection) -> None:
    """Log times and check-in times must be RFC 3339, or the client raises."""
    path = f"GET /api/fota/v2/logging/{ACCOUNT}/devices/{DEVICE}/checkInHistory"
    entry = {
        "deviceId": DEVICE,
        "clientType": "RovaClient",
        "result": "Success",
        "failureType": "None",
    }
    api.answers[path] = (200, [{**entry, "timeCompleted": "2026-01-02T03:04:05.678Z"}])
    history = connection.client.server_logging.get_device_check_in_history(ACCOUNT, DEVICE).body
    assert history[0].time_completed.datetime.year == 2026
    api.answers[path] = (200, [{**entry, "timeCompleted": "2026-01-02 03:04:05.678 +0000 UTC"}])
    with pytest.raises(ValueError, match="2026-01-02"):
        connection.client.server_logging.get_device_check_in_history(ACCOUNT, DEVICE)


def test_upload_names(api: ScriptedApi, connection: Connection, tmp_path: Path) -> None:
    """A file opened by path is sent with its whole path as its name, and a buffer with the name it was given."""
    api.answers[f"POST /api/fota/v2/files/{ACCOUNT}"] = (
        200,
        {"fileName": "configfile-Acme_X1_a.txt", "launchDate": "2026-01-02"},
    )
    upload = connection.client.configuration_files.upload_config_file
    path = tmp_path / "hello-world.txt"
    path.write_bytes(b"hello")
    with path.open("rb") as file:
        made = upload(ACCOUNT, file, "1.0", "Acme", "X1", "/etc/hello").body
    assert made.launch_date == date(2026, 1, 2)
    head, body = api.last
    assert (head.header("Content-Type") or "").startswith("multipart/form-data; boundary=")
    assert b'name="fileupload"; filename="' + str(path).encode() + b'"' in body
    assert b"Content-Type: application/octet-stream" in body
    assert b'name="localTargetPath"\r\n\r\n/etc/hello' in body
    buffer = io.BytesIO(b"hello")
    buffer.name = "C:\\etc\\hello.txt"
    upload(ACCOUNT, buffer, "1.0", "Acme", "X1", "/etc/hello")
    assert b'name="fileupload"; filename="C:\\etc\\hello.txt"' in api.last[1]


def test_files_list_is_an_object(api: ScriptedApi, connection: Connection) -> None:
    """The list of files is read from the member `AvailableFilesResponse`."""
    api.answers[f"GET /api/fota/v2/files/{ACCOUNT}"] = (
        200,
        {"AvailableFilesResponse": [{"fileName": "configfile-Acme_X1_a.txt"}]},
    )
    files = connection.client.configuration_files.get_list_of_files(ACCOUNT, "HTTP").body
    assert files.available_files_response[0].file_name == "configfile-Acme_X1_a.txt"
    assert api.last[0].target.endswith("?distributionType=HTTP")


def test_errors(api: ScriptedApi, connection: Connection) -> None:
    """A 400 is read for its code and message; a refused token has an exception of its own."""
    api.answers[f"GET /api/fota/v2/callbacks/{ACCOUNT}"] = (
        400,
        {"errorCode": "INVALID_PARAMETER", "errorMessage": "no"},
    )
    with pytest.raises(FotaV2ResultException) as refused:
        connection.client.software_management_callbacks_v2.list_registered_callbacks(ACCOUNT)
    assert (refused.value.error_code, refused.value.response_code) == ("INVALID_PARAMETER", 400)
    api.answers["POST /api/ts/v1/oauth2/token"] = (
        401,
        {"error": "invalid_client", "error_description": "wrong"},
    )
    stranger = client(api.base, key="demo-key", secret="wrong", session_token="session")
    with pytest.raises(OauthProviderException) as unknown:
        stranger.oauth_authorization.request_token_thingspace_oauth(basic("demo-key", "wrong"))
    assert unknown.value.error == "invalid_client"
    with pytest.raises(AuthValidationException, match="OAuthToken is undefined or expired"):
        stranger.software_management_callbacks_v2.list_registered_callbacks(ACCOUNT)
