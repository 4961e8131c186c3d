"""The published words of v3."""

from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import product
from typing import Any

import pytest

from overair.core.campaign import CampaignStatus
from overair.core.instants import minute_text
from overair.core.upgrade import OPEN, Reason, UpgradeState
from overair.core.words import is_shown, v3

S = CampaignStatus
U = UpgradeState
R = Reason

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


def test_reported_firmware_is_answered_as_published() -> None:
    """The words of api.md 6.10 for a version that is known, or is not, or of no device."""
    assert v3.VERSION_KNOWN == ("FirmwareVersionUpdateSuccess", "Success")
    assert v3.VERSION_OF_NO_DEVICE == ("FirmwareVersionUpdateFailed", "Device not found.")
    assert v3.VERSION_NOT_KNOWN == (
        "FirmwareVersionUpdateFailed",
        "The device has not reported its firmware version.",
    )


@pytest.mark.parametrize(
    ("refused", "overdue", "end"),
    [
        (False, False, "has not answered yet."),
        (False, True, "has not answered in time."),
        (True, False, "does not tell it."),
        (True, True, "does not tell it."),
    ],
)
def test_a_device_that_was_asked(refused: bool, overdue: bool, end: str) -> None:
    """Its details say when it was asked, and whether an answer can still come (api.md 6.11)."""
    text = v3.report_text(BEGIN, refused=refused, overdue=overdue)
    asked = "The device was asked for its firmware version on 06 Oct 22 18:05 UTC"
    assert text == f"{asked}, and {end}"


@pytest.mark.parametrize("half", [{"begins_at": BEGIN}, {"ends_at": END}])
def test_half_a_place_is_none(half: dict[str, datetime]) -> None:
    """Without begin and end of a slot nothing is said of a time."""
    status, text = v3.device_v3(standing(U.PENDING, R.SLOTTED, attempts=1, **half))
    assert status == "ReceivedDeviceDataFromNetwork"
    assert text == "Reachability information received from the network, try count 1."


@pytest.mark.parametrize("reason", [R.NO_RESPONSE, R.NOT_REACHABLE, R.INTERNAL])
def test_tries_are_counted_for_whoever_is_at_its_end(reason: Reason) -> None:
    """What is said at the end has the number of its tries, and none that may come."""
    _, text = v3.device_v3(standing(U.FAILED, reason, attempts=7))
    assert text.endswith(", no retry available, try count 7.")
