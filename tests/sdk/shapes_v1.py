"""What v1 may answer, as its published tables have it (API 4), and which method of the client asks for it."""

from typing import Any, Final

from tests.sdk.shapes import (
    ACCOUNT,
    CANDIDATES,
    DATE,
    DATETIME,
    IMEI,
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

UPGRADE_STATUS: Final = one_of(
    "RequestPending", "Queued", "RequestFailed", "InProgress", "Finished", "UpgradeFailed"
)
DEVICE_STATUS: Final = one_of(
    "RequestPending",
    "Device Accepted",
    "Device Rejected",
    "UpgradePending",
    "UpgradeSuccess",
    "UpgradeFailed",
)


def small(value: Any, path: str) -> None:
    """A number that fits 32 bits."""
    integer(value, path)
    assert 0 <= value < 2**31, f"{path}: {value!r} does not fit"


def never_or_time(value: Any, path: str) -> None:
    """When a device was upgraded, which may be never."""
    if value != "01/01/1900 0:0:0":
        TIMESTR(value, path)


LICENSES: Final = Members(
    {
        "accountName": ACCOUNT,
        "totalLicenses": integer,
        "assignedLicenses": integer,
        "hasMoreData": boolean,
        "lastSeenDeviceId": small,
        "deviceList": array(Members({"deviceId": IMEI, "assignmentTime": DATETIME})),
    }
)
LICENSE_RESULT: Final = Members(
    {
        "accountName": ACCOUNT,
        "licCount": integer,
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
                    "Reason": text,
                }
            )
        ),
    }
)
CANDIDATE_PAGE: Final = Members(
    {
        "count": integer,
        "hasMoreData": boolean,
        "updateTime?": DATETIME,
        "deviceList": array(IMEI),
    }
)
FIRMWARE: Final = array(
    Members(
        {
            "firmwareName": text,
            "participantName": text,
            "launchDate": DATETIME,
            "releaseNote": text,
            "model": text,
            "make": text,
            "fromVersion": text,
            "toVersion": text,
        }
    )
)
DEVICES: Final = Members(
    {
        "accountName": ACCOUNT,
        "hasMoreData": boolean,
        "lastSeenDeviceId": integer,
        "deviceList": array(
            Members(
                {
                    "deviceId": IMEI,
                    "mdn": text,
                    "model": text,
                    "make": text,
                    "firmware": text,
                    "fotaEligible": boolean,
                    "licenseAssigned": boolean,
                    "upgradeTime": never_or_time,
                }
            )
        ),
    }
)


def _upgrade_device(value: Any, path: str) -> None:
    Members({"deviceId": text, "status": DEVICE_STATUS, "resultReason?": text})(value, path)
    pending = value["status"] == "RequestPending"
    assert ("resultReason" in value) is not pending, f"{path}: {value!r}"


UPGRADE: Final = Members(
    {
        "id": UUID,
        "accountName": ACCOUNT,
        "firmwareName": text,
        "firmwareTo": text,
        "startDate": DATE,
        "endDate": DATE,
        "status": UPGRADE_STATUS,
        "deviceList": array(_upgrade_device),
    }
)
CHANGED: Final = Members(
    {
        "accountName": ACCOUNT,
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
UPGRADES: Final = Members(
    {"hasMoreFlag": boolean, "lastSeenUpgradeId": small, "reportList": array(UPGRADE)}
)
HISTORY: Final = array(
    Members(
        {
            "deviceId": IMEI,
            "id": UUID,
            "accountName": ACCOUNT,
            "firmwareFrom": text,
            "firmwareTo": text,
            "startDate": DATE,
            "upgradeStartTime?": form(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"),
            "status": one_of("UpgradePending", "UpgradeSuccess", "UpgradeFailed"),
            "reason": text,
        }
    )
)
LISTENERS: Final = array(
    Members(
        {
            "aname": ACCOUNT,
            "name": one_of("Fota"),
            "url": text,
            "username?": text,
            "password?": text,
        }
    )
)
REGISTERED: Final = Members({"accountName": ACCOUNT, "serviceName": one_of("Fota")})

OPERATIONS: Final = {
    **group(
        "software_management_subscriptions_v1",
        get_account_subscription_status=SUBSCRIPTION,
        get_account_license_status=LICENSES,
    ),
    **group(
        "software_management_licenses_v1",
        assign_licenses_to_devices=LICENSE_RESULT,
        remove_licenses_from_devices=LICENSE_RESULT,
        create_list_of_licenses_to_remove=CANDIDATES,
        delete_list_of_licenses_to_remove=SUCCESS,
        list_licenses_to_remove=CANDIDATE_PAGE,
    ),
    **group(
        "firmware_v1",
        list_available_firmware=FIRMWARE,
        list_firmware_upgrade_details=UPGRADE,
        update_firmware_upgrade_devices=CHANGED,
        cancel_scheduled_firmware_upgrade=SUCCESS,
    ),
    **group("firmware_v1", on_account=False, schedule_firmware_upgrade=UPGRADE),
    **group(
        "software_management_reports_v1",
        list_account_devices=DEVICES,
        list_upgrades_for_specified_status=UPGRADES,
        get_device_firmware_upgrade_history=HISTORY,
    ),
    **group(
        "software_management_callbacks_v1",
        list_registered_callbacks=LISTENERS,
        register_callback=REGISTERED,
        deregister_callback=SUCCESS,
    ),
}
"""Every call of v1 that the client has, by the method's name."""
