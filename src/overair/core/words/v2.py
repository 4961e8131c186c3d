"""The published words of v2 for states and reasons (``lifecycle.md`` 4.1, 4.4).

The words were made for devices that pull. A campaign of v2 may be distributed over OMA-DM too: what
happens there is said in the nearest of them.
"""

from typing import Final

from overair.core.campaign import CampaignStatus
from overair.core.upgrade import Reason, UpgradeState

_S = CampaignStatus
_U = UpgradeState
_R = Reason

CAMPAIGN_V2: Final = {
    _S.REQUEST_PENDING: "CampaignRequestPending",
    _S.REQUEST_QUEUED: "CampaignRequestQueued",
    _S.SCHEDULED: "CampaignScheduled",
    _S.ENDED: "CampaignEnded",
    _S.REQUEST_FAILED: "CampaignRequestFailed",
    _S.FAILED: "CampaignFailed",
    _S.CANCELLED: "CampaignCancelled",
    _S.ABORTED: "CampaignAborted",
}

# What the filter of the campaign report accepts; api.md 11, row 14 adds the second spelling.
CAMPAIGN_FILTER_V2: Final = {
    **{word: status for status, word in CAMPAIGN_V2.items()},
    "CampaignQueued": _S.REQUEST_QUEUED,
}

DEVICE_V2: Final = {
    _U.REQUESTED: "RequestPending",
    _U.REJECTED: "DeviceRejected",
    _U.ACCEPTED: "Accepted",
    _U.PENDING: "UpgradePending",
    _U.QUEUED: "UpgradePending",
    _U.SUCCEEDED: "UpgradeSuccess",
    _U.FAILED: "UpgradeFailed",
    _U.CANCELLED: "CampaignCancelled",
    _U.ABORTED: "CampaignAborted",
}

REASON_V2: Final = {
    _R.NONE: "",
    _R.CHECKED: "Device cleared all checks so it can be added to the scheduled list.",
    _R.INVALID_IMEI: "Invalid device IMEI.",
    _R.NOT_FOUND: "Device not found.",
    _R.UNKNOWN_TYPE: "Device not eligible for service (not FOTA capable)",
    _R.NOT_ELIGIBLE: "Device not eligible for service (not FOTA capable)",
    _R.NOT_ACTIVE: "Device is not in active state or is not connected.",
    _R.IN_CAMPAIGN: (
        "Device scheduled for firmware upgrade previously, needs to be completed before another"
        " upgrade is scheduled."
    ),
    _R.MAKE_MODEL: "Device make/model does not meet software prerequisites.",
    _R.VERSION: "Current device software version does not meet software prerequisites.",
    _R.NO_LICENSE: "No license attached to device",
    _R.INTERNAL: "Internal Error.",
    _R.NOT_REACHABLE: "RovaClientDidNotReportStatus",
    _R.SLOTTED: "",
    _R.CELL_FULL: "Other.",
    _R.NO_TIME_LEFT: "Other.",
    _R.NO_REPORT: "RovaClientDidNotReportStatus",
    _R.NOTIFIED: "RovaClientDidNotReportStatus",
    _R.RETRY_QUEUED: "Other.",
    _R.NO_RESPONSE: "RovaClientDidNotReportStatus",
    _R.DECLINED: "Other.",
    _R.DOWNLOAD_FAILED: "RovaClientDownloadFailed",
    _R.NOT_INSTALLED_YET: "RovaClientDownloadNotInstalledYet",
    _R.INSTALL_FAILED: "RovaClientDownloadedInstallFailed",
    _R.VERSION_UNCHANGED: "RovaClientDownloadedInstallFailed",
    _R.UNEXPECTED_VERSION: "RovaClientDownloadedInstallFailed",
    _R.REPORT_LOST: "RovaClientDidNotReportStatus",
    _R.UNKNOWN_ERROR: "Unknown device error.",
    _R.OTHER: "Other.",
    _R.SUCCESS: "DownloadInstallSucceeded",
    _R.BY_USER: "",
    _R.LICENSE_REMOVED: "No license attached to device",
    _R.SUPERSEDED: "Other.",
}

_BY_USER_V2: Final = {
    _U.CANCELLED: "Campaign canceled by user.",
    _U.ABORTED: "Campaign aborted by user.",
}


def device_v2(state: UpgradeState, reason: Reason, status: CampaignStatus) -> tuple[str, str]:
    """(status, reason text) of a device in a v2 campaign of that status.

    Once the campaign runs, a device that was not offered anything yet is UpgradePending without a
    reason (``lifecycle.md`` 4.4, last line).
    """
    if state is _U.ACCEPTED and status is _S.SCHEDULED:
        return DEVICE_V2[_U.PENDING], ""
    if reason is _R.BY_USER:
        return DEVICE_V2[state], _BY_USER_V2.get(state, REASON_V2[reason])
    return DEVICE_V2[state], REASON_V2[reason]
