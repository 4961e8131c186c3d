"""The published words of v1 and v2, and what all versions say alike."""

from itertools import product

import pytest

from overair.core.campaign import CampaignStatus
from overair.core.upgrade import Reason, UpgradeState
from overair.core.words import is_shown, v1, v2, v3

S = CampaignStatus
U = UpgradeState
R = Reason


OF_V2 = set(S) - {S.PRE_SCHEDULED}  # that one is v3's


def test_every_state_and_reason_has_a_word() -> None:
    """There is a published word for each campaign status, device state and reason."""
    assert set(v2.CAMPAIGN_V2) == OF_V2
    assert set(v2.DEVICE_V2) == set(U)
    assert set(v2.REASON_V2) == set(R)
    assert len(set(v2.CAMPAIGN_V2.values())) == len(OF_V2)
    # Whether it is tried on within its campaign or after it: it waits.
    assert len(set(v2.DEVICE_V2.values())) == len(U) - 1
    assert v2.DEVICE_V2[U.QUEUED] == v2.DEVICE_V2[U.PENDING]
    assert set(v1.DEVICE_V1) == set(U)
    assert set(v1.REASON_V1) == set(R)


def test_v1_has_no_word_for_what_was_cancelled() -> None:
    """A campaign that was stopped does not exist for users of v1; v2 shows every one (api.md 4.10)."""
    hidden = {status for status in OF_V2 if not is_shown(1, status)}
    assert hidden == {S.CANCELLED, S.ABORTED}
    assert set(v1.CAMPAIGN_V1) == OF_V2 - hidden
    assert all(is_shown(2, status) for status in OF_V2)
    assert v1.CAMPAIGN_FILTER_V1 == {
        "RequestPending": S.REQUEST_PENDING,
        "Queued": S.REQUEST_QUEUED,
        "InProgress": S.SCHEDULED,
        "Finished": S.ENDED,
        "RequestFailed": S.REQUEST_FAILED,
        "UpgradeFailed": S.FAILED,
    }


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        (U.ACCEPTED, R.CHECKED, ("Device Accepted", "success")),
        (U.REJECTED, R.NOT_FOUND, ("Device Rejected", "Device not found.")),
        (U.REJECTED, R.INVALID_IMEI, ("Device Rejected", "Invalid Device IMEI.")),
        (U.REJECTED, R.NOT_ELIGIBLE, ("Device Rejected", "Device not eligible for service.")),
        (U.REJECTED, R.UNKNOWN_TYPE, ("Device Rejected", "Unknown client device type.")),
        (
            U.REJECTED,
            R.IN_CAMPAIGN,
            (
                "Device Rejected",
                (
                    "Device scheduled for firmware-upgrade previously, it needs to be completed"
                    " before another upgrade is scheduled."
                ),
            ),
        ),
        (
            U.REJECTED,
            R.MAKE_MODEL,
            ("Device Rejected", "Device make/model does not meet software prerequisites."),
        ),
        (
            U.REJECTED,
            R.VERSION,
            (
                "Device Rejected",
                "Current device software version does not meet software prerequisites.",
            ),
        ),
        (
            U.REJECTED,
            R.NOT_ACTIVE,
            ("Device Rejected", "Device is not in active state or is not connected."),
        ),
        (U.REJECTED, R.NO_LICENSE, ("Device Rejected", "No license attached to device")),
        (U.REJECTED, R.INTERNAL, ("Device Rejected", "Internal Error.")),
        (U.PENDING, R.NOTIFIED, ("UpgradePending", "Device notified; waiting for the device")),
        (
            U.PENDING,
            R.RETRY_QUEUED,
            ("UpgradePending", "Upgrade failed, device is queued for retry"),
        ),
        (
            U.QUEUED,
            R.RETRY_QUEUED,
            ("UpgradePending", "Upgrade failed, device is queued for retry"),
        ),
        (U.SUCCEEDED, R.SUCCESS, ("UpgradeSuccess", "success")),
        (U.FAILED, R.NO_RESPONSE, ("UpgradeFailed", "Device did not respond within 4 hours")),
        (U.FAILED, R.DOWNLOAD_FAILED, ("UpgradeFailed", "Download failed")),
        (U.FAILED, R.INSTALL_FAILED, ("UpgradeFailed", "Install failed")),
        (U.CANCELLED, R.LICENSE_REMOVED, ("UpgradeFailed", "No license attached to device")),
    ],
)
def test_devices_of_v1(state: UpgradeState, reason: Reason, said: tuple[str, str]) -> None:
    """Status and reason of a device are those of lifecycle.md 3.3 and 3.5, letter by letter."""
    assert v1.device_v1(state, reason) == said


def test_every_combination_is_said() -> None:
    """Whatever the database holds can be published."""
    for state, reason, status in product(U, R, S):
        word, text = v2.device_v2(state, reason, status)
        assert word in v2.DEVICE_V2.values()
        assert isinstance(text, str)


@pytest.mark.parametrize(
    ("state", "reason", "status", "said"),
    [
        (
            U.ACCEPTED,
            R.CHECKED,
            S.REQUEST_QUEUED,
            (
                "Accepted",
                "Device cleared all checks so it can be added to the scheduled list.",
            ),
        ),
        # lifecycle.md 4.4, last line.
        (U.ACCEPTED, R.CHECKED, S.SCHEDULED, ("UpgradePending", "")),
        (U.PENDING, R.NO_REPORT, S.SCHEDULED, ("UpgradePending", "RovaClientDidNotReportStatus")),
        (
            U.PENDING,
            R.DOWNLOAD_FAILED,
            S.SCHEDULED,
            ("UpgradePending", "RovaClientDownloadFailed"),
        ),
        (
            U.PENDING,
            R.NOT_INSTALLED_YET,
            S.SCHEDULED,
            ("UpgradePending", "RovaClientDownloadNotInstalledYet"),
        ),
        (
            U.FAILED,
            R.INSTALL_FAILED,
            S.ENDED,
            ("UpgradeFailed", "RovaClientDownloadedInstallFailed"),
        ),
        (U.FAILED, R.UNKNOWN_ERROR, S.SCHEDULED, ("UpgradeFailed", "Unknown device error.")),
        (U.FAILED, R.OTHER, S.ENDED, ("UpgradeFailed", "Other.")),
        (U.SUCCEEDED, R.SUCCESS, S.ENDED, ("UpgradeSuccess", "DownloadInstallSucceeded")),
        (U.CANCELLED, R.BY_USER, S.CANCELLED, ("CampaignCancelled", "Campaign canceled by user.")),
        (U.ABORTED, R.BY_USER, S.ABORTED, ("CampaignAborted", "Campaign aborted by user.")),
        (
            U.CANCELLED,
            R.LICENSE_REMOVED,
            S.SCHEDULED,
            ("CampaignCancelled", "No license attached to device"),
        ),
        (U.REJECTED, R.INVALID_IMEI, S.SCHEDULED, ("DeviceRejected", "Invalid device IMEI.")),
        (U.REJECTED, R.NOT_FOUND, S.SCHEDULED, ("DeviceRejected", "Device not found.")),
        (
            U.REJECTED,
            R.UNKNOWN_TYPE,
            S.SCHEDULED,
            ("DeviceRejected", "Device not eligible for service (not FOTA capable)"),
        ),
        (
            U.REJECTED,
            R.NOT_ELIGIBLE,
            S.SCHEDULED,
            ("DeviceRejected", "Device not eligible for service (not FOTA capable)"),
        ),
        (
            U.REJECTED,
            R.NOT_ACTIVE,
            S.SCHEDULED,
            ("DeviceRejected", "Device is not in active state or is not connected."),
        ),
        (
            U.REJECTED,
            R.IN_CAMPAIGN,
            S.SCHEDULED,
            (
                "DeviceRejected",
                (
                    "Device scheduled for firmware upgrade previously, needs to be completed"
                    " before another upgrade is scheduled."
                ),
            ),
        ),
        (
            U.REJECTED,
            R.MAKE_MODEL,
            S.SCHEDULED,
            ("DeviceRejected", "Device make/model does not meet software prerequisites."),
        ),
        (
            U.REJECTED,
            R.VERSION,
            S.SCHEDULED,
            (
                "DeviceRejected",
                "Current device software version does not meet software prerequisites.",
            ),
        ),
        (
            U.REJECTED,
            R.NO_LICENSE,
            S.SCHEDULED,
            ("DeviceRejected", "No license attached to device"),
        ),
        (U.REJECTED, R.INTERNAL, S.SCHEDULED, ("DeviceRejected", "Internal Error.")),
    ],
)
def test_devices_are_described_as_published(
    state: UpgradeState, reason: Reason, status: CampaignStatus, said: tuple[str, str]
) -> None:
    """Status and reason of a device are those of lifecycle.md 4.4, letter by letter."""
    assert v2.device_v2(state, reason, status) == said


def test_campaigns_are_found_by_their_words() -> None:
    """The filter takes each published status, and the second spelling of one (api.md 11, 14)."""
    for status in OF_V2:
        assert v2.CAMPAIGN_FILTER_V2[v2.CAMPAIGN_V2[status]] is status
    assert v2.CAMPAIGN_FILTER_V2["CampaignQueued"] is S.REQUEST_QUEUED
    assert len(v2.CAMPAIGN_FILTER_V2) == len(OF_V2) + 1


def test_campaigns_are_called_as_published() -> None:
    """The words of lifecycle.md 4.1; v3 has one more (5.1), and v1 other ones (3.1)."""
    assert {
        S.REQUEST_PENDING: "CampaignRequestPending",
        S.REQUEST_QUEUED: "CampaignRequestQueued",
        S.SCHEDULED: "CampaignScheduled",
        S.ENDED: "CampaignEnded",
        S.REQUEST_FAILED: "CampaignRequestFailed",
        S.FAILED: "CampaignFailed",
        S.CANCELLED: "CampaignCancelled",
        S.ABORTED: "CampaignAborted",
    } == v2.CAMPAIGN_V2


@pytest.mark.parametrize("state", [U.PENDING, U.FAILED])
@pytest.mark.parametrize(
    ("reasons", "text"),
    [
        (
            [R.NO_REPORT, R.NOT_REACHABLE, R.NOTIFIED, R.NO_RESPONSE, R.REPORT_LOST],
            "RovaClientDidNotReportStatus",
        ),
        ([R.DOWNLOAD_FAILED], "RovaClientDownloadFailed"),
        ([R.NOT_INSTALLED_YET], "RovaClientDownloadNotInstalledYet"),
        (
            [R.INSTALL_FAILED, R.VERSION_UNCHANGED, R.UNEXPECTED_VERSION],
            "RovaClientDownloadedInstallFailed",
        ),
        ([R.UNKNOWN_ERROR], "Unknown device error."),
        (
            [R.CELL_FULL, R.NO_TIME_LEFT, R.RETRY_QUEUED, R.DECLINED, R.OTHER, R.SUPERSEDED],
            "Other.",
        ),
        ([R.NONE, R.SLOTTED, R.BY_USER], ""),
    ],
)
def test_v2_says_the_nearest_of_its_six(
    state: UpgradeState, reasons: list[Reason], text: str
) -> None:
    """Whatever went wrong, v2 has one of the six reasons of lifecycle.md 4.4 for it, or none."""
    for reason in reasons:
        assert v2.device_v2(state, reason, S.SCHEDULED) == (v2.DEVICE_V2[state], text)


def test_a_device_that_is_not_checked_yet_is_pending() -> None:
    """Before the checks every version says so, without a reason (lifecycle.md 3.3)."""
    assert v1.device_v1(U.REQUESTED, R.NONE) == ("RequestPending", "")
    assert v2.device_v2(U.REQUESTED, R.NONE, S.REQUEST_PENDING) == ("RequestPending", "")


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (R.NOT_REACHABLE, "Device is not reachable"),
        (R.SLOTTED, "Device waits for its turn"),
        (R.CELL_FULL, "No capacity left in the cell of the device"),
        (R.NO_TIME_LEFT, "No time left for the device"),
        (R.NO_REPORT, "Device did not report its status"),
        (R.DECLINED, "Upgrade declined by the device"),
        (R.NOT_INSTALLED_YET, "Downloaded; waiting for the installation"),
        (R.VERSION_UNCHANGED, "Device reported success but runs its old firmware"),
        (R.UNEXPECTED_VERSION, "Device runs an unexpected firmware version"),
        (R.REPORT_LOST, "Device did not report how the upgrade ended"),
        (R.UNKNOWN_ERROR, "Unknown device error."),
        (R.OTHER, "Other."),
        (R.BY_USER, "Upgrade canceled by user."),
        (R.SUPERSEDED, "Another upgrade was scheduled for the device"),
    ],
)
def test_v1_tells_what_went_wrong(reason: Reason, text: str) -> None:
    """Where the vendor's table has no text, ours says what happened, also of who was stopped."""
    for state in (U.FAILED, U.ABORTED):
        assert v1.device_v1(state, reason) == ("UpgradeFailed", text)


def test_changing_the_list_is_answered_as_published() -> None:
    """The words of api.md 4.9 and 6.6 for devices that were added or removed, or were not."""
    assert v1.ADDED_V1 == v3.ADDED_V3 == ("AddDeviceSucceed", "Device added Successfully")
    assert v1.REMOVED_V1 == v3.REMOVED_V3 == ("RemoveDeviceSucceed", "Device removed Successfully")
    assert v1.NOT_ADDED_V1 == v3.NOT_ADDED_V3 == "AddDeviceFailed"
    assert v1.NOT_REMOVED_V1 == ("RemoveDeviceFailed", "Device is not in the upgrade")
    assert v3.NOT_REMOVED_V3 == ("RemoveDeviceFailed", "Device is not in the campaign")
