"""The vendor's published client (PyPI `sdksio-verizon-apis-sdk` 2.0.0), pointed at a server of ours, unchanged.

How the base URL is overridden: `VerizonClient(config=…)` takes a `Configuration`, whose public class attribute
`environments` maps every server to its address. `configuration(base)` gives a subclass with the five servers that
this project serves and *no others*, so that a call to anything else is a KeyError and never leaves the machine.
`Configuration.clone_with` must not be used: it returns the base class and with it the vendor's addresses.

`connect` does what a user does: token and session login with a client that has no session yet, then a second client
with both. Clients use one `requests.Session` (keep-alive) and block: from async tests call them in a thread.

Calls return an `ApiResponse`: `.status_code`, `.body` (model, list of models or None), `.text`, `.headers`.
A 400 raises `FotaV1ResultException` or `FotaV2ResultException` (`.error_code`, `.error_message`, `.response_code`); session calls raise
`ConnectivityManagementResultException`; any other status outside 200..208 raises plain `APIException` (its `.response.text` has
the body). The token call maps 400 and 401 to `OauthProviderException` (`.error`, `.error_description`).

Authentication and sessions

| client.… | method(arguments) | call | body | gives |
| --- | --- | --- | --- | --- |
| oauth_authorization | request_token_thingspace_oauth(authorization, scope=None, _optional_form_parameters=None) | POST /ts/v1/oauth2/token | form | OauthToken |
| session_management | start_connectivity_management_session(body=None) | POST /m2m/v1/session/login | LogInRequest(username, password) | LogInResult.session_token |
| session_management | end_connectivity_management_session() | POST /m2m/v1/session/logout | none | LogOutRequest.session_token |
| session_management | reset_connectivity_management_password(body) | PUT /m2m/v1/session/password/actions/reset | SessionResetPasswordRequest(old_password) | SessionResetPasswordResult.new_password |

`/oauth2/revoke` is not in the client.

Version 1 (all 18 endpoints)

| client.… | method(arguments) | call under /fota/v1 | body | gives |
| --- | --- | --- | --- | --- |
| software_management_subscriptions_v1 | get_account_subscription_status(account) | GET /subscriptions/{} | | V1AccountSubscription |
| | get_account_license_status(account, start_index) | GET /licenses/{}/index/{} | | AccountLicenseInfo |
| software_management_licenses_v1 | assign_licenses_to_devices(account, body) † | POST /licenses/{}/assign | V1LicensesAssignedRemovedRequest(device_list) | V1LicensesAssignedRemovedResult |
| | remove_licenses_from_devices(account, body) † | POST /licenses/{}/remove | V1LicensesAssignedRemovedRequest | V1LicensesAssignedRemovedResult |
| | list_licenses_to_remove(account, start_index) † | GET /licenses/{}/cancel/index/{} | | V1ListOfLicensesToRemove |
| | create_list_of_licenses_to_remove(account, body) † | POST /licenses/{}/cancel | V1ListOfLicensesToRemoveRequest(device_list, mtype?) | V1ListOfLicensesToRemoveResult |
| | delete_list_of_licenses_to_remove(account) † | DELETE /licenses/{}/cancel | | FotaV1SuccessResult |
| firmware_v1 | list_available_firmware(account) | GET /firmware/{} | | [Firmware] |
| | schedule_firmware_upgrade(body) | POST /upgrades | FirmwareUpgradeRequest(account_name, firmware_name, firmware_to, start_date, end_date, device_list) | FirmwareUpgrade |
| | list_firmware_upgrade_details(account, upgrade_id) | GET /upgrades/{}/upgrade/{} | | FirmwareUpgrade |
| | update_firmware_upgrade_devices(account, upgrade_id, body) | PUT /upgrades/{}/upgrade/{} | FirmwareUpgradeChangeRequest(mtype, device_list) | FirmwareUpgradeChangeResult |
| | cancel_scheduled_firmware_upgrade(account, upgrade_id) | DELETE /upgrades/{}/upgrade/{} | | FotaV1SuccessResult |
| software_management_reports_v1 | list_account_devices(account, start_index) | GET /devices/{}/index/{} | | DeviceListQueryResult |
| | list_upgrades_for_specified_status(account, upgrade_status, start_index) | GET /reports/{}/status/{}/index/{} | | UpgradeListQueryResult |
| | get_device_firmware_upgrade_history(account, device_id) | GET /reports/{}/devices/{} | | [DeviceUpgradeHistory] |
| software_management_callbacks_v1 | list_registered_callbacks(account) | GET /callbacks/{} | | [RegisteredCallbacks] |
| | register_callback(account, body) | POST /callbacks/{} | FotaV1CallbackRegistrationRequest(name, url, username?, password?) | FotaV1CallbackRegistrationResult |
| | deregister_callback(account, service) | DELETE /callbacks/{}/name/{} | | FotaV1SuccessResult |

It has no argument for `clientType`, and knows no `endDate` of an upgrade in an answer.

Version 2 (32 of the 33 endpoints; `PUT /files/{acc}` is not in the client)

| client.… | method(arguments) | call under /fota/v2 | body | gives |
| --- | --- | --- | --- | --- |
| software_management_subscriptions_v2 | get_account_subscription_status(account) | GET /subscriptions/{} | | FotaV2Subscription |
| software_management_licenses_v2 | get_account_license_status(account, last_seen_device_id=None) | GET /licenses/{} | | V2LicenseSummary |
| | assign_licenses_to_devices(account, body) | POST /licenses/{}/assign | V2LicenseIMEI(device_list, account_name?) | V2LicensesAssignedRemovedResult |
| | remove_licenses_from_devices(account, body) | POST /licenses/{}/remove | V2LicenseIMEI | V2LicensesAssignedRemovedResult |
| | list_licenses_to_remove(account, start_index=None) † | GET /licenses/{}/cancel | | V2ListOfLicensesToRemove |
| | create_list_of_licenses_to_remove(account, body) † | POST /licenses/{}/cancel | V2ListOfLicensesToRemoveRequest(device_list, mtype?, count?) | V2ListOfLicensesToRemoveResult |
| | delete_list_of_licenses_to_remove(account) † | DELETE /licenses/{}/cancel | | FotaV2SuccessResult |
| campaigns_v2 | schedule_campaign_firmware_upgrade(account, body) | POST /campaigns/{} | CampaignSoftwareUpgrade | CampaignSoftware |
| | schedule_sw_upgrade_http_devices(acc, body) | POST /campaigns/software/{} | SchedulesSoftwareUpgradeRequest | UploadAndScheduleFileResponse |
| | schedule_file_upgrade(acc, body) | POST /campaigns/files/{} | UploadAndScheduleFileRequest | UploadAndScheduleFileResponse |
| | get_campaign_information(account, campaign_id) | GET /campaigns/{}/{} | | CampaignSoftware |
| | update_campaign_firmware_devices(account, campaign_id, body) | PUT /campaigns/{}/{} | V2AddOrRemoveDeviceRequest(mtype, device_list) | V2AddOrRemoveDeviceResult |
| | update_campaign_dates(account, campaign_id, body) | PUT /campaigns/{}/{}/dates | V2ChangeCampaignDatesRequest | CampaignSoftware |
| | cancel_campaign(account, campaign_id) | DELETE /campaigns/{}/{} | | FotaV2SuccessResult |
| configuration_files | get_list_of_files(acc, distribution_type) | GET /files/{} | | RetrievesAvailableFilesResponseList.available_files_response |
| | upload_config_file(acc, fileupload, file_version, make, model, local_target_path) | POST /files/{} | multipart | UploadConfigurationFilesResponse |
| software_management_reports_v2 | list_available_software(account, distribution_type=None) | GET /software/{} | | [SoftwarePackage] |
| | list_account_devices(account, last_seen_device_id=None, distribution_type=None) | GET /devices/{} | | V2AccountDeviceList |
| | get_device_firmware_upgrade_history(account, device_id) | GET /reports/{}/devices/{} | | [DeviceSoftwareUpgrade] |
| | get_campaign_history_by_status(account, campaign_status, last_seen_campaign_id=None) | GET /reports/{}/campaigns | | V2CampaignHistory |
| | get_campaign_device_status(account, campaign_id, last_seen_device_id=None) | GET /reports/{}/campaigns/{}/devices | | V2CampaignDevice |
| software_management_callbacks_v2 | list_registered_callbacks(account) | GET /callbacks/{} | | CallbackSummary |
| | register_callback(account, body) | POST /callbacks/{} | FotaV2CallbackRegistrationRequest(url) | FotaV2CallbackRegistrationResult |
| | update_callback(account, body) | PUT /callbacks/{} | FotaV2CallbackRegistrationRequest(url) | FotaV2CallbackRegistrationResult |
| | deregister_callback(account) | DELETE /callbacks/{} | | FotaV2SuccessResult |
| client_logging | list_devices_with_logging_enabled(account) | GET /logging/{}/devices | | [DeviceLoggingStatus] |
| | enable_logging_for_devices(account, body) | PUT /logging/{}/devices | DeviceLoggingRequest(device_ids) | [DeviceLoggingStatus] |
| | disable_logging_for_devices(account, device_ids) | DELETE /logging/{}/devices | query | None |
| | enable_device_logging(account, device_id) | PUT /logging/{}/devices/{} | none | DeviceLoggingStatus |
| | disable_device_logging(account, device_id) | DELETE /logging/{}/devices/{} | | None |
| | list_device_logs(account, device_id) | GET /logging/{}/devices/{}/logs | | [DeviceLog] |
| server_logging | get_device_check_in_history(account, device_id) | GET /logging/{}/devices/{}/checkInHistory | | [CheckInHistoryItem] |

† emits a DeprecationWarning when called; under warnings-as-errors wrap it in `deprecated_calls()`.

Request models, in argument order (`?` optional; left out of the body unless given)

* CampaignSoftwareUpgrade(software_name, software_from, software_to, distribution_type, start_date, end_date, device_list,
  campaign_name?, download_after_date?, download_time_window_list?, install_after_date?, install_time_window_list?): dates
  are `datetime.date`, windows `V2TimeWindow(start_time: int, end_time: int)`.
* SchedulesSoftwareUpgradeRequest(campaign_name?, software_name?, software_from?, software_to?, distribution_type?,
  start_date?, end_date?, download_after_date?, download_time_window_list?, install_after_date?,
  install_time_window_list?, device_list?): dates are **strings**, windows `DownloadTimeWindow(start_time: str, end_time: str)`.
* UploadAndScheduleFileRequest(campaign_name?, file_name?, file_version?, …the rest as above).
* V2ChangeCampaignDatesRequest(start_date, end_date, download_after_date?, download_time_window_list?,
  install_after_date?, install_time_window_list?): `datetime.date` and `V2TimeWindow`.

What the client does on the wire (each asserted in test_sdk_peer.py)

* Content-Type is `*/*` on the bodies of v2 POST and PUT, except `/campaigns/software`, `/campaigns/files` and the session calls
  (`application/json`). PUT without a body sends `Content-Length: 0` and no Content-Type.
* V2AddOrRemoveDeviceRequest.mtype is `Type` with a capital T on the wire; V2ListOfLicensesToRemoveRequest.mtype is `type`.
* The token form is `grant_type=client_credentials` alone, no scope member. The two logging DELETEs send requests'
  `Accept: */*` instead of application/json.
* `disable_logging_for_devices(account, device_ids)`: a string is sent as it is; a list becomes
  `deviceIds[0]=…&deviceIds[1]=…` with the brackets percent-encoded.
* Optional query arguments left at None are left out of the query.
* Multipart: a file opened by path is sent with that **whole path** as its file name. A stream without a `name` (a bare
  BytesIO) is an AttributeError before anything is sent; set `.name` on it. The part's type is
  application/octet-stream unless `FileWrapper(file, type)` is used.
* Dates in answers go through `dateutil.parser.parse(…).date()`: any common form is taken, and a full timestamp is cut to its date.
  DeviceLog.log_time and CheckInHistoryItem.time_completed are RFC 3339 only and raise ValueError on anything else; they
  come as `RFC3339DateTime`, whose `.datetime` is the value.
* A member that is missing in an answer is None and raises nothing; the JavaScript client is the strict one.
* Error bodies are read for `errorCode` and `errorMessage` only with status 400.
* A refused token request is swallowed: the call then raises AuthValidationException "ThingspaceOauth: OAuthToken is
  undefined or expired." To see the refusal itself call `request_token_thingspace_oauth` with a Basic header (`basic`).
* The package brings a top-level package named `tests` into site-packages: ours must be a regular package (with
  `__init__.py`) and come first on the path.
"""

import base64
import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from verizon.configuration import Configuration, Environment, Server
from verizon.http.auth.thingspace_oauth import ThingspaceOauthCredentials
from verizon.http.auth.vz_m2m_token import VZM2mTokenCredentials
from verizon.models.log_in_request import LogInRequest
from verizon.verizon_client import VerizonClient

TIMEOUT_S = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A client that holds both tokens, and what it was made from."""

    client: Any
    access_token: str
    session_token: str


def configuration(base: str, **settings: Any) -> Any:
    """Return the client's own configuration with its servers under `base`, e.g. http://127.0.0.1:8080/api."""
    base = base.rstrip("/")

    class LocalConfiguration(Configuration):
        environments: ClassVar[dict[Any, dict[Any, str]]] = {
            Environment.PRODUCTION: {
                Server.THINGSPACE: base,
                Server.OAUTH_SERVER: f"{base}/ts/v1",
                Server.SOFTWARE_MANAGEMENT_V1: f"{base}/fota/v1",
                Server.SOFTWARE_MANAGEMENT_V2: f"{base}/fota/v2",
                Server.SOFTWARE_MANAGEMENT_V3: f"{base}/fota/v3",
            }
        }

    return LocalConfiguration(timeout=TIMEOUT_S, **settings)


def client(
    base: str,
    *,
    key: str,
    secret: str,
    session_token: str | None = None,
    oauth_token: Any = None,
) -> Any:
    """Return a VerizonClient; without a session token it can only ask for tokens and log in."""
    settings: dict[str, Any] = {
        "thingspace_oauth_credentials": ThingspaceOauthCredentials(
            key, secret, oauth_token=oauth_token
        )
    }
    if session_token is not None:
        settings["vz_m2m_token_credentials"] = VZM2mTokenCredentials(session_token)
    return VerizonClient(config=configuration(base, **settings))


def basic(key: str, secret: str) -> str:
    """Return the Authorization value that the explicit token call wants."""
    return "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()


def connect(base: str, key: str, secret: str, username: str, password: str) -> Connection:
    """Take a token, log in, and return a client that may call everything."""
    entering = client(base, key=key, secret=secret)
    token = entering.oauth_authorization.request_token_thingspace_oauth(basic(key, secret)).body
    session = entering.session_management.start_connectivity_management_session(
        LogInRequest(username, password)
    ).body.session_token
    return Connection(
        client=client(base, key=key, secret=secret, session_token=session),
        access_token=token.access_token,
        session_token=session,
    )


@contextlib.contextmanager
def deprecated_calls() -> Iterator[None]:
    """Let the calls that the client marks as deprecated pass where warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
