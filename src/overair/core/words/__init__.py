"""The published words for states and reasons, one pure table a version.

The API's reports and the callbacks say the same, so the words have one home below both. Nothing is
decided here; but a status that a version has no word for does not exist for its users.
"""

from collections.abc import Mapping
from typing import Final

from overair.core.campaign import CampaignStatus
from overair.core.words.v1 import CAMPAIGN_V1
from overair.core.words.v2 import CAMPAIGN_V2
from overair.core.words.v3 import CAMPAIGN_V3

CAMPAIGN: Final[Mapping[int, Mapping[CampaignStatus, str]]] = {
    1: CAMPAIGN_V1,
    2: CAMPAIGN_V2,
    3: CAMPAIGN_V3,
}
"""The campaign's status in each version."""


def is_shown(api_version: int, status: CampaignStatus) -> bool:
    """Whether users of that version see a campaign of that status."""
    return status in CAMPAIGN[api_version]
