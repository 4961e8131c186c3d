"""What v2 may answer, as its published tables have it (API 5), and what the client must make of it.

The Python client is forgiving: a missing member is None to it. The JavaScript client of the same API
refuses a whole answer for one required member that is missing, null or of another type. So every
answer is held against the tables twice: the JSON by ``conforms``, which takes nothing for granted and
nothing that the tables do not name, and the client's model by ``deserialized``, member by member.
"""

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import verizon.controllers
from apimatic_core.utilities.api_helper import ApiHelper

Check = Callable[[Any, str], None]


def text(value: Any, path: str) -> None:
    assert isinstance(value, str), f"{path}: {value!r} is no string"


def integer(value: Any, path: str) -> None:
    assert isinstance(value, int), f"{path}: {value!r} is no integer"
    assert not isinstance(value, bool), f"{path}: {value!r} is no integer"


def boolean(value: Any, path: str) -> None:
    assert isinstance(value, bool), f"{path}: {value!r} is no boolean"


def form(pattern: str) -> Check:
    """A string of that form."""

    def check(value: Any, path: str) -> None:
        text(value, path)
        assert re.fullmatch(pattern, value), f"{path}: {value!r} has not the form {pattern}"

    return check


def one_of(*words: str) -> Check:
    """One of the listed words."""

    def check(value: Any, path: str) -> None:
        assert value in words, f"{path}: {value!r} is none of {words}"

    return check


def array(of: Check) -> Check:
    """An array, each element alike."""

    def check(value: Any, path: str) -> None:
        assert isinstance(value, list), f"{path}: {value!r} is no array"
        for number, element in enumerate(value):
            of(element, f"{path}[{number}]")

    return check


@dataclass(frozen=True, slots=True)
class Members:
    """An object with these members and no others; the name of an optional one ends in ``?``."""

    members: Mapping[str, Check]

    def __call__(self, value: Any, path: str) -> None:
        assert isinstance(value, dict), f"{path}: {value!r} is no object"
        names = {name.removesuffix("?") for name in self.members}
        assert value.keys() <= names, f"{path}: {value.keys() - names} are not in the contract"
        for name, check in self.members.items():
            if name.removesuffix("?") in value:
                check(value[name.removesuffix("?")], f"{path}.{name.removesuffix('?')}")
            else:
                assert name.endswith("?"), f"{path}.{name} is required and missing"


DATE: Final = form(r"\d{4}-\d{2}-\d{2}")
DATETIME: Final = form(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
TIMESTR: Final = form(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3} \+0000 UTC")
UUID: Final = form(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
IMEI: Final = form(r"\d{15}")
ACCOUNT: Final = form(r"\d{10}-\d{5}")
DISTRIBUTION: Final = one_of("LWM2M", "OMD-DM", "HTTP")
CAMPAIGN_STATUS: Final = one_of(
    "CampaignRequestPending",
    "CampaignRequestFailed",
    "CampaignRequestQueued",
    "CampaignCancelled",
    "CampaignAborted",
    "CampaignFailed",
    "CampaignScheduled",
    "CampaignEnded",
)

SUBSCRIPTION: Final = Members(
    {
        "accountName": ACCOUNT,
        "purchaseType": one_of("TS-HFOTA-MRC", "TS-HFOTA-EVNT", "TS-HFOTA-EVNT,TS-HFOTA-MRC"),
        "licenseCount": integer,
        "licenseUsedCount": integer,
        "updateTime": DATETIME,
    }
)
LICENSES: Final = Members(
    {
        "accountName": ACCOUNT,
        "totalLicense?": integer,
        "assignedLicenses": integer,
        "hasMoreData": boolean,
        "lastSeenDeviceId?": IMEI,
        "maxPageSize": integer,
        "deviceList?": array(Members({"deviceId": IMEI, "assignmentTime": DATETIME})),
    }
)
LICENSE_RESULT: Final = Members(
    {
        "accountName": ACCOUNT,
        "licTotalCount": integer,
        "licUsedCount": integer,
        "deviceList": array(
            Members(
                {"deviceId": IMEI, "status": one_of("Success", "Failure"), "resultReason": text}
            )
        ),
    }
)
CANDIDATES: Final = Members({"count": integer, "deviceList": array(IMEI)})


def _candidate_time(value: Any, path: str) -> None:
    if value != "":
        TIMESTR(value, path)


CANDIDATE_PAGE: Final = Members(
    {
        "count": integer,
        "hasMoreData": boolean,
        "updateTime": _candidate_time,
        "deviceList": array(IMEI),
    }
)
SUCCESS: Final = Members({"success": one_of(True)})  # type: ignore[arg-type]  # compared like words
CAMPAIGN: Final = Members(
    {
        "id": UUID,
        "accountName": ACCOUNT,
        "softwareName": text,
        "distributionType": DISTRIBUTION,
        "make": text,
        "model": text,
        "softwareFrom": text,
        "softwareTo": text,
        "status": CAMPAIGN_STATUS,
        "startDate": DATE,
        "endDate": DATE,
        "campaignName?": text,
        "fileName?": text,
        "fileVersion?": text,
        "downloadAfterDate?": DATE,
        "installAfterDate?": DATE,
        "downloadTimeWindowList?": array(Members({"startTime": integer, "endTime": integer})),
        "installTimeWindowList?": array(Members({"startTime": integer, "endTime": integer})),
    }
)
_HOUR: Final = form(r"\d|1\d|2[0-4]")
SCHEDULED: Final = Members(
    {
        "id": UUID,
        "accountName": ACCOUNT,
        "softwareName?": text,
        "softwareFrom?": text,
        "softwareTo?": text,
        "fileName?": text,
        "fileVersion?": text,
        "distributionType": DISTRIBUTION,
        "make": text,
        "model": text,
        "status": CAMPAIGN_STATUS,
        "startDate": DATE,
        "endDate": DATE,
        "campaignName?": text,
        "downloadAfterDate?": DATE,
        "installAfterDate?": DATE,
        "downloadTimeWindowList?": array(Members({"startTime": _HOUR, "endTime": _HOUR})),
        "installTimeWindowList?": array(Members({"startTime": _HOUR, "endTime": _HOUR})),
        "deviceList": array(text),
    }
)
CHANGE_REQUESTED: Final = Members({"accountName": ACCOUNT, "campaignId": UUID, "requestId": UUID})
UPLOADED: Final = Members(
    {
        "fileName": text,
        "fileVersion": text,
        "launchDate": DATE,
        "releaseNote": text,
        "make": text,
        "model": text,
        "distributionType": DISTRIBUTION,
        "devicePlatformId": text,
        "localTargetPath": text,
    }
)
FILES: Final = Members(
    {
        "AvailableFilesResponse": array(
            Members({**UPLOADED.members, "launchDate": DATETIME}),
        )
    }
)
SOFTWARE: Final = array(
    Members(
        {
            "softwareName": text,
            "launchDate": DATE,
            "model": text,
            "make": text,
            "distributionType": DISTRIBUTION,
            "devicePlatformId": text,
            "releaseNote?": text,
        }
    )
)
DEVICES: Final = Members(
    {
        "accountName": ACCOUNT,
        "hasMoreData": boolean,
        "lastSeenDeviceId?": IMEI,
        "maxPageSize": integer,
        "deviceList": array(
            Members(
                {
                    "deviceId": IMEI,
                    "mdn": text,
                    "model": text,
                    "make": text,
                    "distributionType": DISTRIBUTION,
                    "fotaEligible": boolean,
                    "appFotaEligible": boolean,
                    "licenseAssigned": boolean,
                    "softwareList": array(
                        Members({"name": text, "version": text, "upgradeTime": DATETIME})
                    ),
                    "createTime?": TIMESTR,
                    "upgradeTime?": TIMESTR,
                    "updateTime?": TIMESTR,
                    "refreshTime?": TIMESTR,
                }
            )
        ),
    }
)
CAMPAIGNS: Final = Members(
    {"hasMoreData": boolean, "lastSeenCampaignId?": UUID, "campaignList": array(CAMPAIGN)}
)
CAMPAIGN_DEVICES: Final = Members(
    {
        "totalDevice": integer,
        "hasMoreData": boolean,
        "lastSeenDeviceId?": text,
        "maxPageSize": integer,
        "deviceList": array(
            Members(
                {
                    "deviceId": text,
                    "status": one_of(
                        "RequestPending",
                        "Accepted",
                        "DeviceRejected",
                        "UpgradePending",
                        "UpgradeFailed",
                        "UpgradeSuccess",
                        "CampaignCancelled",
                        "CampaignAborted",
                    ),
                    "resultReason": text,
                }
            )
        ),
    }
)
HISTORY: Final = array(
    Members(
        {
            "deviceId": IMEI,
            "id": UUID,
            "accountName": ACCOUNT,
            "startDate": DATE,
            "status": one_of("UpgradeSuccess", "UpgradeFailed"),
            "reason": text,
            "softwareName?": text,
            "upgradeStartTime?": DATETIME,
        }
    )
)
LISTENER: Final = Members({"url": text})
LISTENER_OR_NONE: Final = Members({"url?": text})
LOGGING: Final = Members({"deviceId": IMEI, "expiryDate": DATE})
LOGS: Final = array(
    Members(
        {
            "deviceId": IMEI,
            "logTime": DATETIME,
            "logType": one_of(
                "SoftwareUpdate",
                "Event",
                "UserNotification",
                "AgentService",
                "Wireless",
                "WirelessWeb",
                "MobileBroadbandModem",
                "WindowsMDM",
            ),
            "eventLog": text,
            "binaryLogFileBase64": text,
            "binaryLogFilename": text,
        }
    )
)
CHECK_INS: Final = array(
    Members(
        {
            "deviceId": IMEI,
            "clientType": one_of("RovaClient"),
            "result": one_of("Success", "Failure"),
            "failureType": one_of("None", "Download", "Install", "Network", "Other"),
            "timeCompleted": DATETIME,
        }
    )
)
NOTHING: Final = Members({})


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of the client: where it is, and what it gives."""

    controller: str
    answers: Check
    on_account: bool = True  # its first argument is the account


def group(controller: str, *, on_account: bool = True, **answers: Check) -> dict[str, Operation]:
    """Methods of one controller."""
    return {name: Operation(controller, check, on_account) for name, check in answers.items()}


OPERATIONS: Final = {
    **group("software_management_subscriptions_v2", get_account_subscription_status=SUBSCRIPTION),
    **group(
        "software_management_licenses_v2",
        get_account_license_status=LICENSES,
        assign_licenses_to_devices=LICENSE_RESULT,
        remove_licenses_from_devices=LICENSE_RESULT,
        list_licenses_to_remove=CANDIDATE_PAGE,
        create_list_of_licenses_to_remove=CANDIDATES,
        delete_list_of_licenses_to_remove=SUCCESS,
    ),
    **group(
        "campaigns_v2",
        schedule_campaign_firmware_upgrade=CAMPAIGN,
        schedule_sw_upgrade_http_devices=SCHEDULED,
        schedule_file_upgrade=SCHEDULED,
        get_campaign_information=CAMPAIGN,
        update_campaign_firmware_devices=CHANGE_REQUESTED,
        update_campaign_dates=CAMPAIGN,
        cancel_campaign=SUCCESS,
    ),
    **group("configuration_files", get_list_of_files=FILES, upload_config_file=UPLOADED),
    **group(
        "software_management_reports_v2",
        list_available_software=SOFTWARE,
        list_account_devices=DEVICES,
        get_device_firmware_upgrade_history=HISTORY,
        get_campaign_history_by_status=CAMPAIGNS,
        get_campaign_device_status=CAMPAIGN_DEVICES,
    ),
    **group(
        "software_management_callbacks_v2",
        list_registered_callbacks=LISTENER_OR_NONE,
        register_callback=LISTENER,
        update_callback=LISTENER,
        deregister_callback=SUCCESS,
    ),
    **group(
        "client_logging",
        list_devices_with_logging_enabled=array(LOGGING),
        enable_logging_for_devices=array(LOGGING),
        disable_logging_for_devices=NOTHING,
        enable_device_logging=LOGGING,
        disable_device_logging=NOTHING,
        list_device_logs=LOGS,
    ),
    **group("server_logging", get_device_check_in_history=CHECK_INS),
}
"""Every call of v2 that the client has, by the method's name."""


def methods_of(server: str) -> set[str]:
    """The client's methods that call that server of its."""
    found = set()
    for module in pkgutil.iter_modules(verizon.controllers.__path__):
        source = Path(verizon.controllers.__path__[0], f"{module.name}.py").read_text("utf-8")
        if f"Server.{server}" not in source:
            continue
        loaded = importlib.import_module(f"verizon.controllers.{module.name}")
        (controller,) = (
            kind
            for name, kind in vars(loaded).items()
            if name.endswith("Controller") and name != "BaseController"
        )
        found |= {name for name in vars(controller) if not name.startswith("_")}
    return found


def deserialized(model: Any, raw: Any, path: str = "$") -> None:
    """The client's model holds what the JSON says, each required member among it."""
    if isinstance(raw, list):
        assert isinstance(model, list), f"{path}: {model!r} is no list"
        assert len(model) == len(raw), path
        for number, (of_model, of_raw) in enumerate(zip(model, raw, strict=True)):
            deserialized(of_model, of_raw, f"{path}[{number}]")
    elif hasattr(model, "_names"):
        for attribute, name in model._names.items():
            member = f"{path}.{name}"
            if name not in raw:
                assert attribute in model._optionals, f"{member} is required and missing"
                assert not hasattr(model, attribute), member
                continue
            value = getattr(model, attribute, None)
            if raw[name] in ("", 0, []) and raw[name] is not False:
                # The client takes what is empty for what is absent.
                assert value in (None, raw[name]), member
            else:
                deserialized(value, raw[name], member)
    elif isinstance(model, ApiHelper.RFC3339DateTime):
        DATETIME(raw, path)
        assert model.datetime.isoformat()[:19] == raw[:19], path
    elif isinstance(model, date):
        DATE(raw, path)
        assert model.isoformat() == raw, path
    else:
        assert type(model) is type(raw), f"{path}: {model!r} of {raw!r}"
        assert model == raw, path
