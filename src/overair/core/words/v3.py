"""The published words of v3 for states and reasons (``lifecycle.md`` 5.1, 5.4).

What is said of a device is said of its place: when it begins, when the next try begins, or that there is
none. Times in reasons are to the minute, in the form of RFC 822. "No retry available" is only said of
what is over; "try count" counts attempts from 1, and is 0 for a device that never had its turn.

The checks have the words of v2. What went wrong in an attempt has none: v3 says that it failed, and when
it is tried again. An operator is told more (``overair explain``).
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, assert_never

from overair.core.campaign import CampaignStatus
from overair.core.instants import minute_text
from overair.core.upgrade import Reason, UpgradeState
from overair.core.window import end_of
from overair.core.words.v2 import CAMPAIGN_V2, REASON_V2

_S = CampaignStatus
_U = UpgradeState
_R = Reason

CAMPAIGN_V3: Final = {**CAMPAIGN_V2, _S.PRE_SCHEDULED: "CampaignPreScheduled"}

# What the filter of the campaign report accepts; api.md 11, row 14 adds the second spelling.
CAMPAIGN_FILTER_V3: Final = {
    **{word: status for status, word in CAMPAIGN_V3.items()},
    "CampaignQueued": _S.REQUEST_QUEUED,
}

REQUESTED_V3: Final = "RequestPending"
ACCEPTED_V3: Final = "Accepted"
REJECTED_V3: Final = "DeviceRejected"
NO_DATA: Final = "NoDeviceDataFromNetwork"
DATA: Final = "ReceivedDeviceDataFromNetwork"
REQUEST_FAILED: Final = "RequestToFotaServerFailed"
PENDING_V3: Final = "UpgradePending"
SCHEDULED_V3: Final = "UpgradeScheduled"
FAILED_V3: Final = "UpgradeFailed"
SUCCEEDED_V3: Final = "UpgradeSuccess"
CANCELLED_V3: Final = "CampaignCancelled"
ABORTED_V3: Final = "CampaignAborted"

DEVICE_V3: Final = (
    REQUESTED_V3,
    ACCEPTED_V3,
    REJECTED_V3,
    NO_DATA,
    DATA,
    REQUEST_FAILED,
    PENDING_V3,
    SCHEDULED_V3,
    FAILED_V3,
    SUCCEEDED_V3,
    CANCELLED_V3,
    ABORTED_V3,
)
"""Every status of a device."""

# Why a device that is at its end was never heard of, and not that something went wrong with it.
_UNHEARD: Final = frozenset({_R.NOT_REACHABLE, _R.NO_RESPONSE})
_BEFORE_PLACES: Final = frozenset({_S.REQUEST_PENDING, _S.REQUEST_QUEUED})
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All that v3 says of a device in a campaign."""

    state: UpgradeState
    reason: Reason
    status: CampaignStatus  # of the campaign
    end_date: date  # of the campaign
    attempts: int
    begins_at: datetime | None = None  # its place, if it has one
    ends_at: datetime | None = None


def device_v3(device: Standing) -> tuple[str, str]:
    """(status, reason text) of a device in a v3 campaign."""
    match device.state:
        case _U.REQUESTED:
            return REQUESTED_V3, ""
        case _U.REJECTED:
            return REJECTED_V3, REASON_V2[device.reason]
        case _U.ACCEPTED | _U.PENDING | _U.QUEUED:
            return _open(device)
        case _U.SUCCEEDED:
            return SUCCEEDED_V3, "Upgrade completed successfully"
        case _U.FAILED:
            return _failed(device.reason, device.attempts)
        case _U.CANCELLED:
            return CANCELLED_V3, _stopped(device.reason, "Campaign canceled by user.")
        case _U.ABORTED:
            return ABORTED_V3, _stopped(device.reason, "Campaign aborted by user.")
        case _:
            assert_never(device.state)


def _open(device: Standing) -> tuple[str, str]:
    """A device that is not at its end."""
    reason = device.reason
    if reason in (_R.NONE, _R.CHECKED):
        if device.status in _BEFORE_PLACES:
            return ACCEPTED_V3, REASON_V2[_R.CHECKED]
        return DATA, _received(device.attempts)
    if reason is _R.NO_TIME_LEFT:
        return _failed(reason, device.attempts)
    if reason is _R.CELL_FULL:
        return PENDING_V3, _estimated(device)
    if reason is _R.NOT_REACHABLE:
        return NO_DATA, "The network reports this device is not reachable."
    if device.begins_at is None or device.ends_at is None:
        return DATA, _received(device.attempts)  # it lost its place, and is about to get another
    at = minute_text(device.begins_at)
    if reason in (_R.SLOTTED, _R.NOTIFIED, _R.NOT_INSTALLED_YET):
        end = minute_text(device.ends_at)
        return (
            SCHEDULED_V3,
            f"The upgrade is scheduled to begin on {at}, and the estimated completion is {end}.",
        )
    if reason is _R.INTERNAL:
        return REQUEST_FAILED, f"Request to FOTA server failed, estimated retry time on {at}."
    return (
        FAILED_V3,
        f"Upgrade failed, estimated retry time on {at}, try count {device.attempts}.",
    )


def _received(attempts: int) -> str:
    text = "Reachability information received from the network"
    return f"{text}, try count {attempts}." if attempts else f"{text}."


def _estimated(device: Standing) -> str:
    # Nothing better is known than that it is within the campaign. No dot: as in the client's sample.
    last = minute_text(end_of(device.end_date) - _MINUTE)
    return f"Upgrade pending, the device upgrade is estimated to be scheduled for {last}"


def _failed(reason: Reason, attempts: int) -> tuple[str, str]:
    """A device that is not tried any more."""
    over = f"no retry available, try count {attempts}."
    if reason in _UNHEARD:
        return NO_DATA, f"The network does not report this device is reachable, {over}"
    if reason is _R.INTERNAL:
        return REQUEST_FAILED, f"Request to FOTA server failed, {over}"
    return FAILED_V3, f"Upgrade failed, {over}"


def _stopped(reason: Reason, by_user: str) -> str:
    return by_user if reason is _R.BY_USER else REASON_V2[reason]


# Changing the device list (``api.md`` 6.6). What keeps a device from being added is one of v2's texts.
ADDED_V3: Final = ("AddDeviceSucceed", "Device added Successfully")
NOT_ADDED_V3: Final = "AddDeviceFailed"
REMOVED_V3: Final = ("RemoveDeviceSucceed", "Device removed Successfully")
NOT_REMOVED_V3: Final = ("RemoveDeviceFailed", "Device is not in the campaign")

# Synchronising reported firmware (``api.md`` 6.10).
VERSION_KNOWN: Final = ("FirmwareVersionUpdateSuccess", "Success")
VERSION_OF_NO_DEVICE: Final = ("FirmwareVersionUpdateFailed", "Device not found.")
VERSION_NOT_KNOWN: Final = (
    "FirmwareVersionUpdateFailed",
    "The device has not reported its firmware version.",
)


# Asking a device itself (``api.md`` 6.11): what its details say until it has answered, and if it never does.
def report_text(asked_at: datetime, *, refused: bool, overdue: bool) -> str:
    """The reason of a device that was asked for its firmware then, and has not told it since."""
    asked = f"The device was asked for its firmware version on {minute_text(asked_at)}"
    if refused:
        return f"{asked}, and does not tell it."
    if overdue:
        return f"{asked}, and has not answered in time."
    return f"{asked}, and has not answered yet."
