"""The published words of v2."""

from itertools import product

import pytest

from overair.core import words
from overair.core.campaign import CampaignStatus
from overair.core.upgrade import Reason, UpgradeState

S = CampaignStatus
U = UpgradeState
R = Reason


def test_every_state_and_reason_has_a_word() -> None:
    """There is a published word for each campaign status, device state and reason."""
    assert set(words.CAMPAIGN_V2) == set(S)
    assert set(words.DEVICE_V2) == set(U)
    assert set(words.REASON_V2) == set(R)
    assert len(set(words.CAMPAIGN_V2.values())) == len(S)
    assert len(set(words.DEVICE_V2.values())) == len(U)


def test_every_combination_is_said() -> None:
    """Whatever the database holds can be published."""
    for state, reason, status in product(U, R, S):
        word, text = words.device_v2(state, reason, status)
        assert word in words.DEVICE_V2.values()
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
    assert words.device_v2(state, reason, status) == said


def test_campaigns_are_found_by_their_words() -> None:
    """The filter takes each published status, and the second spelling of one (api.md 11, 14)."""
    for status in S:
        assert words.CAMPAIGN_FILTER_V2[words.CAMPAIGN_V2[status]] is status
    assert words.CAMPAIGN_FILTER_V2["CampaignQueued"] is S.REQUEST_QUEUED
    assert len(words.CAMPAIGN_FILTER_V2) == len(S) + 1


def test_history_tells_of_endings() -> None:
    """A device's history has what succeeded and what failed (api.md 5.16)."""
    assert {U.SUCCEEDED, U.FAILED} == words.HISTORY_STATES
