"""What several operations of v3 say alike: campaigns, windows, protocols, texts.

What is optional is left out where there is nothing to say, and what is required is always there, as in v2.
Where the vendor's documentation and its client call one thing by two names, an answer has both (API 11).
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from overair.api.wire import Answer, Uuid, protocol
from overair.core.errors import Refusal, RequestError
from overair.core.window import Windows
from overair.core.words.v3 import CAMPAIGN_V3, DEVICE_V3
from overair.store.campaigns import Campaign

PREFIX: Final = "/api/fota/v3"
API_VERSION: Final = 3

SERVED: Final = "LWM2M"
"""What v3 delivers by, and what its lists show unless they are asked for something else."""

CampaignWord = Annotated[str, Meta(extra_json_schema={"enum": [*CAMPAIGN_V3.values()]})]
DeviceWord = Annotated[str, Meta(extra_json_schema={"enum": [*DEVICE_V3]})]
PackageProtocol = Annotated[str, Meta(extra_json_schema={"enum": ["LWM2M", "OMD-DM"]})]
DeviceProtocol = Annotated[
    str, Meta(extra_json_schema={"enum": ["LWM2M", "OMADM", "HTTP", "NONE"]})
]
WantedProtocol = Annotated[str, Meta(examples=["LWM2M", "all"])]

PACKAGE_PROTOCOLS: Final[Mapping[str, str]] = {"LWM2M": "LWM2M", "OMADM": "OMD-DM"}
"""The published words for what firmware of v3 comes by. What is pulled over HTTP is v2's."""


def device_protocol(stored: str) -> str:
    """The published word for a device's protocol."""
    return stored or "NONE"


def scheduled_protocol(text: str) -> str:
    """The protocol that a campaign asks for; there is one. Raises RequestError."""
    found = protocol(text, Refusal.PROTOCOL)
    if found != SERVED:
        raise RequestError(Refusal.PROTOCOL)
    return found


def wanted_protocol(text: str | UnsetType) -> str | None:
    """The protocol that a list is filtered by; None: by none. Raises RequestError."""
    if text is UNSET:
        return SERVED
    return None if text.upper() == "ALL" else protocol(text, Refusal.PROTOCOL)


class CampaignHours(Answer):
    """Hours of the day in UTC: ``startTime`` <= hour < ``endTime``."""

    start_time: Annotated[int, Meta(ge=0, le=23)]
    end_time: Annotated[int, Meta(ge=1, le=24)]


def campaign_hours(windows: Windows) -> list[CampaignHours] | UnsetType:
    """The windows of a campaign, if it has any."""
    return [CampaignHours(start_time=w.start, end_time=w.end) for w in windows] or UNSET


class FirmwareCampaign(Answer, kw_only=True):
    """A campaign, as scheduling and reports answer (API 6.4, 6.14)."""

    id: Uuid
    account_name: str
    campaign_name: str | UnsetType = UNSET
    firmware_name: str
    firmware_from: str
    firmware_to: str
    protocol: PackageProtocol
    make: str
    model: str
    start_date: date
    end_date: date
    campaign_time_window_list: list[CampaignHours] | UnsetType = UNSET
    status: CampaignWord


class CampaignInformation(FirmwareCampaign, kw_only=True):
    """A campaign with all that was asked for (API 6.5)."""

    auto_assign_license_flag: bool
    auto_add_devices_flag: bool


def firmware_campaign(campaign: Campaign) -> FirmwareCampaign:
    """The campaign, as v3 shows it."""
    return FirmwareCampaign(
        id=campaign.uuid,
        account_name=campaign.account_name,
        campaign_name=campaign.name or UNSET,
        firmware_name=campaign.package_name,
        firmware_from=campaign.from_version,
        firmware_to=campaign.to_version,
        protocol=PACKAGE_PROTOCOLS[campaign.protocol],
        make=campaign.make,
        model=campaign.model,
        start_date=campaign.start_date,
        end_date=campaign.end_date,
        campaign_time_window_list=campaign_hours(campaign.download_windows),
        status=CAMPAIGN_V3[campaign.status],
    )


def campaign_information(campaign: Campaign) -> CampaignInformation:
    """The same with its flags."""
    plain = firmware_campaign(campaign)
    return CampaignInformation(
        id=plain.id,
        account_name=plain.account_name,
        campaign_name=plain.campaign_name,
        firmware_name=plain.firmware_name,
        firmware_from=plain.firmware_from,
        firmware_to=plain.firmware_to,
        protocol=plain.protocol,
        make=plain.make,
        model=plain.model,
        start_date=plain.start_date,
        end_date=plain.end_date,
        campaign_time_window_list=plain.campaign_time_window_list,
        status=plain.status,
        auto_assign_license_flag=campaign.auto_assign_licenses,
        auto_add_devices_flag=campaign.auto_add_devices,
    )


def last_id(ids: list[str]) -> str | UnsetType:
    """The cursor of a page: its last id; an empty page has none."""
    return ids[-1] if ids else UNSET
