"""What a campaign and a device are called in each version of the API (``lifecycle.md`` 3, 4.4, 5.4).

The words are the documentation's, written down here once more: whoever judges shares no code with what is
judged. Only of what is over; on the way there are many.
"""

from collections.abc import Mapping
from typing import Final

CAMPAIGNS: Final = {
    1: {"ended": "Finished", "request_failed": "RequestFailed", "failed": "UpgradeFailed"},
    2: {
        "ended": "CampaignEnded",
        "request_failed": "CampaignRequestFailed",
        "failed": "CampaignFailed",
        "cancelled": "CampaignCancelled",
        "aborted": "CampaignAborted",
    },
}
# What a device may be said to be, by what it is. Over v3 a failure has three words, by what it came from.
DEVICES: Final[Mapping[int, Mapping[str, tuple[str, ...]]]] = {
    1: {
        "rejected": ("Device Rejected",),
        "queued": ("UpgradePending",),
        "succeeded": ("UpgradeSuccess",),
        "failed": ("UpgradeFailed",),
        "cancelled": ("UpgradeFailed",),
    },
    2: {
        "rejected": ("DeviceRejected",),
        "succeeded": ("UpgradeSuccess",),
        "failed": ("UpgradeFailed",),
        "cancelled": ("CampaignCancelled",),
        "aborted": ("CampaignAborted",),
    },
    3: {
        "rejected": ("DeviceRejected",),
        "succeeded": ("UpgradeSuccess",),
        "failed": ("UpgradeFailed", "NoDeviceDataFromNetwork", "RequestToFotaServerFailed"),
        "cancelled": ("CampaignCancelled",),
        "aborted": ("CampaignAborted",),
    },
}
# Words of devices that are not tried any more; over v3 a failure may be followed by another try.
LAST: Final[Mapping[int, frozenset[str]]] = {
    version: frozenset(
        word
        for state, words in table.items()
        if state != "queued" and (version, state) != (3, "failed")
        for word in words
    )
    for version, table in DEVICES.items()
}
