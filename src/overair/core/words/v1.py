"""The published words of v1 for states and reasons (``lifecycle.md`` 3.1, 3.3, 3.5).

v1 has no word for an upgrade that was cancelled: it is as if it had never been (``api.md`` 4.10). Nor
has it one for a device that left a running upgrade because its licence was taken away; that one
failed, and the reason says why.

A device that is tried on is one that waits, whether its upgrade is over or not. Texts for what can
go wrong over OMA-DM are ours: the vendor's table has none.
"""

from typing import Final

from overair.core.campaign import CampaignStatus
from overair.core.upgrade import Reason, UpgradeState

_S = CampaignStatus
_U = UpgradeState
_R = Reason

CAMPAIGN_V1: Final = {
    _S.REQUEST_PENDING: "RequestPending",
    _S.REQUEST_QUEUED: "Queued",
    _S.SCHEDULED: "InProgress",
    _S.ENDED: "Finished",
    _S.REQUEST_FAILED: "RequestFailed",
    _S.FAILED: "UpgradeFailed",
}

# What may be asked for in the report of upgrades by status.
CAMPAIGN_FILTER_V1: Final = {word: status for status, word in CAMPAIGN_V1.items()}

DEVICE_V1: Final = {
    _U.REQUESTED: "RequestPending",
    _U.REJECTED: "Device Rejected",
    _U.ACCEPTED: "Device Accepted",
    _U.PENDING: "UpgradePending",
    _U.QUEUED: "UpgradePending",
    _U.SUCCEEDED: "UpgradeSuccess",
    _U.FAILED: "UpgradeFailed",
    _U.CANCELLED: "UpgradeFailed",
    _U.ABORTED: "UpgradeFailed",
}

REASON_V1: Final = {
    _R.NONE: "",
    _R.CHECKED: "success",
    _R.INVALID_IMEI: "Invalid Device IMEI.",
    _R.NOT_FOUND: "Device not found.",
    _R.UNKNOWN_TYPE: "Unknown client device type.",
    _R.NOT_ELIGIBLE: "Device not eligible for service.",
    _R.NOT_ACTIVE: "Device is not in active state or is not connected.",
    _R.IN_CAMPAIGN: (
        "Device scheduled for firmware-upgrade previously, it needs to be completed before another"
        " upgrade is scheduled."
    ),
    _R.MAKE_MODEL: "Device make/model does not meet software prerequisites.",
    _R.VERSION: "Current device software version does not meet software prerequisites.",
    _R.NO_LICENSE: "No license attached to device",
    _R.INTERNAL: "Internal Error.",
    _R.NOT_REACHABLE: "Device is not reachable",
    _R.SLOTTED: "Device waits for its turn",
    _R.CELL_FULL: "No capacity left in the cell of the device",
    _R.NO_TIME_LEFT: "No time left for the device",
    _R.NO_REPORT: "Device did not report its status",
    _R.NOTIFIED: "Device notified; waiting for the device",
    _R.RETRY_QUEUED: "Upgrade failed, device is queued for retry",
    _R.NO_RESPONSE: "Device did not respond within 4 hours",
    _R.DECLINED: "Upgrade declined by the device",
    _R.DOWNLOAD_FAILED: "Download failed",
    _R.NOT_INSTALLED_YET: "Downloaded; waiting for the installation",
    _R.INSTALL_FAILED: "Install failed",
    _R.VERSION_UNCHANGED: "Device reported success but runs its old firmware",
    _R.UNEXPECTED_VERSION: "Device runs an unexpected firmware version",
    _R.REPORT_LOST: "Device did not report how the upgrade ended",
    _R.UNKNOWN_ERROR: "Unknown device error.",
    _R.OTHER: "Other.",
    _R.SUCCESS: "success",
    _R.BY_USER: "Upgrade canceled by user.",
    _R.LICENSE_REMOVED: "No license attached to device",
    _R.SUPERSEDED: "Another upgrade was scheduled for the device",
}


def device_v1(state: UpgradeState, reason: Reason) -> tuple[str, str]:
    """(status, reason text) of a device in an upgrade."""
    return DEVICE_V1[state], REASON_V1[reason]


# Changing the device list (``api.md`` 4.9). What keeps a device from being added is one of the above.
ADDED_V1: Final = ("AddDeviceSucceed", "Device added Successfully")
NOT_ADDED_V1: Final = "AddDeviceFailed"
REMOVED_V1: Final = ("RemoveDeviceSucceed", "Device removed Successfully")
NOT_REMOVED_V1: Final = ("RemoveDeviceFailed", "Device is not in the upgrade")
