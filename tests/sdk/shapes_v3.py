"""What v3 may answer, as its published tables have it (API 6), and which method of the client asks for it.

Where the documentation and the client call one thing by two names, both are there.
"""

from typing import Any, Final

from tests.sdk.shapes import (
    ACCOUNT,
    DATE,
    DATETIME,
    IMEI,
    LISTENER,
    LISTENER_OR_NONE,
    SUBSCRIPTION,
    SUCCESS,
    TIMESTR,
    UUID,
    Members,
    array,
    boolean,
    form,
    group,
    integer,
    one_of,
    text,
)

CAMPAIGN_STATUS: Final = one_of(
    "CampaignRequestPending",
    "CampaignRequestFailed",
    "CampaignRequestQueued",
    "CampaignPreScheduled",
    "CampaignScheduled",
    "CampaignEnded",
    "CampaignFailed",
    "CampaignCancelled",
    "CampaignAborted",
)
PROTOCOL: Final = one_of("LWM2M", "OMD-DM")

# The reasons of lifecycle 5.4, with their times and numbers.
_TIME: Final = r"\d{2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{2} \d{2}:\d{2} UTC"
_OVER: Final = r"no retry available, try count \d+\."
_REJECTED: Final = r"[A-Z].*"
REASONS: Final = {
    "RequestPending": "",
    "Accepted": r"Device cleared all checks so it can be added to the scheduled list\.",
    "DeviceRejected": _REJECTED,
    "NoDeviceDataFromNetwork": (
        r"The network reports this device is not reachable\."
        rf"|The network does not report this device is reachable, {_OVER}"
    ),
    "ReceivedDeviceDataFromNetwork": (
        r"Reachability information received from the network(, try count \d+)?\."
    ),
    "RequestToFotaServerFailed": (
        rf"Request to FOTA server failed, (estimated retry time on {_TIME}\.|{_OVER})"
    ),
    "UpgradePending": (
        rf"Upgrade pending, the device upgrade is estimated to be scheduled for {_TIME}"
    ),
    "UpgradeScheduled": (
        rf"The upgrade is scheduled to begin on {_TIME},"
        rf" and the estimated completion is {_TIME}\."
    ),
    "UpgradeFailed": (
        rf"Upgrade failed, (estimated retry time on {_TIME}, try count \d+\.|{_OVER})"
    ),
    "UpgradeSuccess": "Upgrade completed successfully",
    "CampaignCancelled": r"Campaign canceled by user\.|No license attached to device",
    "CampaignAborted": r"Campaign aborted by user\.",
}


def said(status: Any, reason: Any, path: str) -> None:
    """A reason is one that its status may have."""
    assert status in REASONS, f"{path}: {status!r} is no status"
    form(REASONS[status])(reason, path)


def _standing(value: Any, path: str) -> None:
    Members(
        {
            "deviceId": text,
            "status": text,
            "resultReason": text,
            "updatedTime": DATETIME,
            "recentAttemptTime?": DATETIME,
            "nextAttemptTime?": DATETIME,
        }
    )(value, path)
    said(value["status"], value["resultReason"], path)


LICENSES: Final = Members(
    {
        "accountName": ACCOUNT,
        "totalLicenses": integer,
        "totalLicense": integer,
        "assignedLicenses": integer,
        "hasMoreData": boolean,
        "lastSeenDeviceId?": IMEI,
        "maxPageSize": integer,
        "deviceList": array(Members({"deviceId": IMEI, "assignmentTime": TIMESTR})),
    }
)
LICENSE_RESULT: Final = Members(
    {
        "accountName": ACCOUNT,
        "licCount": integer,
        "licTotalCount": integer,
        "licUsedCount": integer,
        "deviceList": array(
            Members(
                {
                    "deviceId": IMEI,
                    "status": one_of(
                        "LicenseAssignSuccess",
                        "LicenseAssignFailed",
                        "LicenseRemoveSuccess",
                        "LicenseRemoveFailed",
                    ),
                    "resultReason": text,
                    "Reason": text,
                }
            )
        ),
    }
)
FIRMWARE_CAMPAIGN: Final = Members(
    {
        "id": UUID,
        "accountName": ACCOUNT,
        "campaignName?": text,
        "firmwareName?": text,
        "firmwareFrom": text,
        "firmwareTo": text,
        "protocol": PROTOCOL,
        "make": text,
        "model": text,
        "status": CAMPAIGN_STATUS,
        "startDate": DATE,
        "endDate": DATE,
        "campaignTimeWindowList?": array(Members({"startTime": integer, "endTime": integer})),
    }
)
CAMPAIGN: Final = Members(
    {
        **FIRMWARE_CAMPAIGN.members,
        "autoAssignLicenseFlag": boolean,
        "autoAddDevicesFlag": boolean,
    }
)
CHANGED: Final = Members(
    {
        "accountName": ACCOUNT,
        "campaignId": UUID,
        "id": UUID,
        "deviceList": array(
            Members(
                {
                    "deviceId": text,
                    "status": one_of(
                        "AddDeviceSucceed",
                        "AddDeviceFailed",
                        "RemoveDeviceSucceed",
                        "RemoveDeviceFailed",
                    ),
                    "Reason": text,
                }
            )
        ),
    }
)
FIRMWARE: Final = array(
    Members(
        {
            "firmwareName": text,
            "firmwareFrom": text,
            "firmwareTo": text,
            "launchDate": DATETIME,
            "releaseNote": text,
            "model": text,
            "make": text,
            "protocol": PROTOCOL,
        }
    )
)
_SOFTWARE: Final = array(Members({"name": text, "version": text, "upgradeTime": DATETIME}))
_RECORD: Final = {
    "deviceId": IMEI,
    "mdn": text,
    "model": text,
    "make": text,
    "firmware": text,
    "fotaEligible": boolean,
    "status": text,
    "licenseAssigned": boolean,
    "protocol": one_of("LWM2M", "OMADM", "HTTP", "NONE"),
    "softwareList": _SOFTWARE,
    "fileList?": _SOFTWARE,
    "createTime?": TIMESTR,
    "updateTime?": TIMESTR,
    "refreshTime?": TIMESTR,
}
DEVICES: Final = Members(
    {
        "accountName": ACCOUNT,
        "hasMoreData": boolean,
        "lastSeenDeviceId?": IMEI,
        "maxPageSize": integer,
        "deviceList": array(Members({**_RECORD, "upgradeTime?": TIMESTR})),
    }
)
NAMED_DEVICES: Final = Members(
    {
        "accountName": ACCOUNT,
        "deviceCount": integer,
        "deviceList": array(
            Members(
                {
                    **{
                        name if name == "deviceId" or name.endswith("?") else f"{name}?": check
                        for name, check in _RECORD.items()
                    },
                    "requestStatus": one_of("Success", "Failure"),
                    "resultReason": text,
                    "statusTime?": TIMESTR,
                    "lastConnectionTime?": DATETIME,
                }
            )
        ),
    }
)
VERSIONS: Final = Members(
    {
        "accountName": ACCOUNT,
        "deviceFirmwarVersionList": array(
            Members(
                {
                    "deviceId": IMEI,
                    "firmwareVersion": text,
                    "status": one_of("FirmwareVersionUpdateSuccess", "FirmwareVersionUpdateFailed"),
                    "reason": text,
                    "Reason": text,
                    "firmwareVersionUpdateTime?": DATETIME,
                    "VersionUpdateTime?": DATETIME,
                }
            )
        ),
    }
)
CAMPAIGNS: Final = Members(
    {"hasMoreData": boolean, "lastSeenCampaignId?": UUID, "campaignList": array(FIRMWARE_CAMPAIGN)}
)
CAMPAIGN_DEVICES: Final = Members(
    {
        "totalDevice": integer,
        "hasMoreData": boolean,
        "lastSeenDeviceId?": text,
        "maxPageSize": integer,
        "deviceList": array(_standing),
    }
)


def _past(value: Any, path: str) -> None:
    Members(
        {
            "deviceId": IMEI,
            "campaignId": UUID,
            "id": UUID,
            "accountName": ACCOUNT,
            "startDate": DATE,
            "status": one_of(
                "UpgradeSuccess",
                "UpgradeFailed",
                "NoDeviceDataFromNetwork",
                "RequestToFotaServerFailed",
            ),
            "reason": text,
            "firmwareName?": text,
            "firmwareFrom?": text,
            "firmwareTo?": text,
            "reportUpdatedTime?": TIMESTR,
        }
    )(value, path)
    said(value["status"], value["reason"], path)


OPERATIONS: Final = {
    **group("software_management_subscriptions_v3", get_account_subscription_status=SUBSCRIPTION),
    **group(
        "software_management_licenses_v3",
        get_account_licenses_status=LICENSES,
        assign_licenses_to_devices=LICENSE_RESULT,
        remove_licenses_from_devices=LICENSE_RESULT,
    ),
    **group(
        "campaigns_v3",
        schedule_campaign_firmware_upgrade=FIRMWARE_CAMPAIGN,
        get_campaign_information=CAMPAIGN,
        update_campaign_firmware_devices=CHANGED,
        update_campaign_dates=FIRMWARE_CAMPAIGN,
        cancel_campaign=SUCCESS,
    ),
    **group(
        "firmware_v3",
        list_available_firmware=FIRMWARE,
        synchronize_device_firmware=VERSIONS,
        report_device_firmware=Members({"accountName": ACCOUNT, "requestId": UUID}),
    ),
    **group(
        "account_devices",
        get_account_device_information=DEVICES,
        list_account_devices_information=NAMED_DEVICES,
    ),
    **group(
        "software_management_reports_v3",
        get_campaign_history_by_status=CAMPAIGNS,
        get_campaign_device_status=CAMPAIGN_DEVICES,
        get_device_firmware_upgrade_history=array(_past),
    ),
    **group(
        "software_management_callbacks_v3",
        list_registered_callbacks=LISTENER_OR_NONE,
        register_callback=LISTENER,
        update_callback=LISTENER,
        deregister_callback=SUCCESS,
    ),
}
"""Every call of v3 that the client has, by the method's name."""
