"""The published words, version by version."""

from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest

from overair.core.campaign import CampaignStatus
from overair.core.instants import minute_text
from overair.core.upgrade import OPEN, Reason, UpgradeState
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


# v3 ----------------------------------------------------------------------------------------------

BEGIN = datetime(2022, 10, 6, 18, 5, tzinfo=UTC)
END = datetime(2022, 10, 6, 20, 0, tzinfo=UTC)
UNHEARD = "The network does not report this device is reachable, no retry available, try count"


def standing(state: UpgradeState, reason: Reason, **changes: Any) -> v3.Standing:
    plain = v3.Standing(
        state=state,
        reason=reason,
        status=S.SCHEDULED,
        end_date=date(2022, 10, 31),
        attempts=0,
        begins_at=None,
        ends_at=None,
    )
    return replace(plain, **changes)


def placed(state: UpgradeState, reason: Reason, **changes: Any) -> v3.Standing:
    """The same with a place."""
    return standing(state, reason, begins_at=BEGIN, ends_at=END, **changes)


@pytest.mark.parametrize(
    ("device", "said"),
    [
        (standing(U.REQUESTED, R.NONE), ("RequestPending", "")),
        (
            standing(U.ACCEPTED, R.CHECKED, status=S.REQUEST_QUEUED),
            ("Accepted", "Device cleared all checks so it can be added to the scheduled list."),
        ),
        (
            standing(U.ACCEPTED, R.CHECKED, status=S.PRE_SCHEDULED),
            (
                "ReceivedDeviceDataFromNetwork",
                "Reachability information received from the network.",
            ),
        ),
        (
            standing(U.PENDING, R.CHECKED, attempts=2),
            (
                "ReceivedDeviceDataFromNetwork",
                "Reachability information received from the network, try count 2.",
            ),
        ),
        (
            standing(U.ACCEPTED, R.NOT_REACHABLE),
            ("NoDeviceDataFromNetwork", "The network reports this device is not reachable."),
        ),
        (
            standing(U.PENDING, R.NOT_REACHABLE, attempts=1),
            ("NoDeviceDataFromNetwork", "The network reports this device is not reachable."),
        ),
        (
            standing(U.PENDING, R.RETRY_QUEUED, attempts=1),
            (
                "ReceivedDeviceDataFromNetwork",
                "Reachability information received from the network, try count 1.",
            ),
        ),
        (
            placed(U.ACCEPTED, R.SLOTTED),
            (
                "UpgradeScheduled",
                (
                    "The upgrade is scheduled to begin on 06 Oct 22 18:05 UTC, and the estimated"
                    " completion is 06 Oct 22 20:00 UTC."
                ),
            ),
        ),
        (
            placed(U.PENDING, R.NOTIFIED, attempts=1),
            (
                "UpgradeScheduled",
                (
                    "The upgrade is scheduled to begin on 06 Oct 22 18:05 UTC, and the estimated"
                    " completion is 06 Oct 22 20:00 UTC."
                ),
            ),
        ),
        # No dot at its end: as the client's sample has it.
        (
            standing(U.ACCEPTED, R.CELL_FULL),
            (
                "UpgradePending",
                (
                    "Upgrade pending, the device upgrade is estimated to be scheduled for"
                    " 31 Oct 22 23:59 UTC"
                ),
            ),
        ),
        (
            standing(U.ACCEPTED, R.NO_TIME_LEFT),
            ("UpgradeFailed", "Upgrade failed, no retry available, try count 0."),
        ),
        (
            placed(U.PENDING, R.RETRY_QUEUED, attempts=3),
            (
                "UpgradeFailed",
                "Upgrade failed, estimated retry time on 06 Oct 22 18:05 UTC, try count 3.",
            ),
        ),
        (
            placed(U.PENDING, R.INTERNAL, attempts=1),
            (
                "RequestToFotaServerFailed",
                "Request to FOTA server failed, estimated retry time on 06 Oct 22 18:05 UTC.",
            ),
        ),
        (
            standing(U.FAILED, R.DOWNLOAD_FAILED, attempts=2),
            ("UpgradeFailed", "Upgrade failed, no retry available, try count 2."),
        ),
        (
            standing(U.FAILED, R.INTERNAL, attempts=2),
            (
                "RequestToFotaServerFailed",
                "Request to FOTA server failed, no retry available, try count 2.",
            ),
        ),
        (
            standing(U.FAILED, R.NOT_REACHABLE),
            ("NoDeviceDataFromNetwork", f"{UNHEARD} 0."),
        ),
        (
            standing(U.FAILED, R.NO_RESPONSE, attempts=5),
            ("NoDeviceDataFromNetwork", f"{UNHEARD} 5."),
        ),
        (
            standing(U.SUCCEEDED, R.SUCCESS, attempts=1),
            ("UpgradeSuccess", "Upgrade completed successfully"),
        ),
        (standing(U.REJECTED, R.NOT_FOUND), ("DeviceRejected", "Device not found.")),
        (
            standing(U.CANCELLED, R.BY_USER),
            ("CampaignCancelled", "Campaign canceled by user."),
        ),
        (standing(U.ABORTED, R.BY_USER), ("CampaignAborted", "Campaign aborted by user.")),
        (
            standing(U.CANCELLED, R.LICENSE_REMOVED),
            ("CampaignCancelled", "No license attached to device"),
        ),
    ],
)
def test_devices_of_v3(device: v3.Standing, said: tuple[str, str]) -> None:
    """Status and reason of a device are those of lifecycle.md 5.4, letter by letter."""
    assert v3.device_v3(device) == said


def test_every_combination_is_said_in_v3() -> None:
    """Whatever the database holds can be published; what may go on never says that it may not."""
    for state, reason, status, has_place in product(U, R, S, (False, True)):
        make = placed if has_place else standing
        word, text = v3.device_v3(make(state, reason, status=status, attempts=1))
        assert word in v3.DEVICE_V3
        assert "None" not in text
        if "no retry available" in text:
            assert state not in OPEN or reason is R.NO_TIME_LEFT


def test_campaigns_of_v3() -> None:
    """v3 shows every status, one of which the others do not have."""
    assert set(v3.CAMPAIGN_V3) == set(S)
    assert v3.CAMPAIGN_V3[S.PRE_SCHEDULED] == "CampaignPreScheduled"
    assert all(is_shown(3, status) for status in S)
    assert not any(is_shown(version, S.PRE_SCHEDULED) for version in (1, 2))
    assert {
        **{word: status for status, word in v3.CAMPAIGN_V3.items()},
        "CampaignQueued": S.REQUEST_QUEUED,
    } == v3.CAMPAIGN_FILTER_V3


def test_minutes_in_reasons() -> None:
    """Times in reasons are those of RFC 822 with two digits for the year, whatever the machine speaks."""
    assert minute_text(datetime(2006, 1, 2, 15, 4, 59, tzinfo=UTC)) == "02 Jan 06 15:04 UTC"
    months = [minute_text(datetime(2030, month, 1, tzinfo=UTC))[3:6] for month in range(1, 13)]
    assert months == [
        "Jan",
        "Feb",
        "Mar",
        "Apr",
        "May",
        "Jun",
        "Jul",
        "Aug",
        "Sep",
        "Oct",
        "Nov",
        "Dec",
    ]
