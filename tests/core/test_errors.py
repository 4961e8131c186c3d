"""The error catalogue: complete rows, each once."""

import re

from overair.core.errors import CredentialsError, Refusal, RequestError

# The catalogue as published (api.md 10.2 and 10.3), with what the rows that vary say of 20 devices.
PUBLISHED = """
INVALID_PARAMETER:
    Input binding error; Request body exceeds 20 bytes; Invalid value for deviceList;
    Device list is empty; Device list exceeds 20 devices; Invalid account name format;
    Account name differs from the path; Invalid device id format; Invalid index value;
    Invalid uuid; FotaPostUpgrades: invalid start date; Invalid end date;
    End date before start date; End date less than 24 hours from now;
    Invalid download after date; Invalid install after date; Invalid time window;
    Removing existing time windows is not allowed;
    Adding time windows after the start is not allowed; Invalid campaign status;
    Invalid upgrade status; Invalid protocol; Invalid distributionType; Invalid clientType;
    Invalid type; Invalid callback name; Invalid callback URL; A batch has 1 to 20 events;
    Index exceeds number of devices in list; Invalid upgradeId; LastSeenDeviceId Not Valid;
    LastSeenCampaignId Not Valid; Firmware not found; Software not found; File not found;
    firmwareFrom/firmwareTo do not match the firmware;
    softwareFrom/softwareTo do not match the software; File exists already in this version;
    File upload: fileupload is missing or malformed; File exceeds 20 bytes;
    Maximum number of devices with logging enabled is 20; Inactive account
DEVICE_NOT_FOUND: Device not found
CALLBACK_NOT_REGISTERED: Callback is not registered
UNAUTHORIZED_ACCOUNT: Not authorised for account
SUBSCRIPTION_NOT_FOUND: Not subscribed
PILOT_LIMIT_EXCEEDED: Device limit exceeded: pilot campaign limit is 20
INVALID_STATE:
    Upgrade has started; Campaign cannot be modified; Campaign cannot be cancelled;
    File is used by a scheduled or running campaign
UnifiedWebService.REQUEST_FAILED.SessionToken.Expired: session has expired
UnifiedWebService.REQUEST_FAILED.SessionToken.Invalid: session token is missing or not valid
UnifiedWebService.INPUT_INVALID.Login.InvalidCredentials: invalid credentials
UnifiedWebService.INPUT_INVALID.Login.Throttled: too many failed attempts, try again later
INTERNAL_SYSTEM_ERROR: Internal error
"""


def _published() -> set[tuple[str, str]]:
    rows = set()
    for row in re.split(r"\n(?=\w)", PUBLISHED.strip()):
        code, _, texts = row.partition(":")
        rows |= {(code, " ".join(text.split())) for text in texts.split(";")}
    return rows


def test_the_catalogue_is_what_is_published() -> None:
    """Each code and text of the catalogue stands as it is published, and there are no others."""
    errors = [
        RequestError(refusal, limit=20, member="deviceList", part="fileupload")
        for refusal in Refusal
    ]
    assert {(error.code, error.message) for error in errors} == _published()


def test_an_error_says_of_itself_what_its_caller_is_told() -> None:
    """In a log it reads as code and text."""
    assert str(RequestError(Refusal.UUID)) == "INVALID_PARAMETER: Invalid uuid"


def test_catalogue() -> None:
    """Every refusal has a code and a text, and no two are the same."""
    assert len({refusal.value for refusal in Refusal}) == len(list(Refusal))
    for refusal in Refusal:
        error = RequestError(refusal, limit=1, member="m", part="p")
        assert error.code
        assert error.message
        assert "{" not in error.message


def test_wrong_credentials_may_have_to_wait() -> None:
    """A throttled log-in says for how long; a wrong one says nothing of the kind."""
    assert CredentialsError().refusal is Refusal.CREDENTIALS
    assert CredentialsError().retry_after_s == 0
    throttled = CredentialsError(Refusal.LOGIN_THROTTLED, retry_after_s=30)
    assert (throttled.code, throttled.retry_after_s) == (Refusal.LOGIN_THROTTLED.code, 30)
