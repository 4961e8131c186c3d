"""What several operations of v2 say alike: campaigns, windows, kinds of distribution, texts.

A member that the contract calls optional is left out where there is nothing to say; one that it
requires is always there, empty if need be (API 1.3).
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from overair.api.wire import Answer, DeviceText, Imei, Uuid, protocol
from overair.core.errors import Refusal, RequestError
from overair.core.window import Windows
from overair.core.words.v2 import CAMPAIGN_V2
from overair.store.campaigns import Campaign

PREFIX: Final = "/api/fota/v2"
API_VERSION: Final = 2

CampaignWord = Annotated[str, Meta(extra_json_schema={"enum": [*CAMPAIGN_V2.values()]})]
Distribution = Annotated[str, Meta(examples=["HTTP"])]

PLATFORM: Final = "IoT"
"""The ``devicePlatformId`` of everything: there is one platform."""

DISTRIBUTION_TYPES: Final[Mapping[str, str]] = {
    "HTTP": "HTTP",
    "OMADM": "OMD-DM",
    "LWM2M": "LWM2M",
}
# What a v2 campaign may be distributed by (API 1.5).
SCHEDULED: Final = frozenset({"HTTP", "OMADM"})


def distribution_type(stored: str) -> str:
    """The published word for a stored protocol; empty where a device has none of them."""
    return DISTRIBUTION_TYPES.get(stored, "")


def scheduled_protocol(text: str) -> str:
    """The protocol that a campaign asks for."""
    found = protocol(text)
    if found not in SCHEDULED:
        raise RequestError(Refusal.DISTRIBUTION_TYPE)
    return found


def wanted_protocol(text: str | UnsetType) -> str | None:
    """The protocol that a list is filtered by, if it is."""
    return None if text is UNSET else protocol(text)


class HourWindow(Answer):
    """Hours of the day in UTC: ``startTime`` <= hour < ``endTime``."""

    start_time: int
    end_time: int


class TextWindow(Answer):
    """The same in strings, which the client wants where campaigns are scheduled (API 5.5)."""

    start_time: Annotated[str, Meta(examples=["20"])]
    end_time: Annotated[str, Meta(examples=["24"])]


def hour_windows(windows: Windows) -> list[HourWindow] | UnsetType:
    """Windows in numbers, if there are any."""
    return [HourWindow(start_time=w.start, end_time=w.end) for w in windows] or UNSET


def text_windows(windows: Windows) -> list[TextWindow] | UnsetType:
    """Windows in strings, if there are any."""
    return [TextWindow(start_time=str(w.start), end_time=str(w.end)) for w in windows] or UNSET


class CampaignSoftware(Answer, kw_only=True):
    """A campaign (API 5.5).

    For a configuration file the members of software that must be there stand for the file's.
    """

    id: Uuid
    account_name: str
    campaign_name: str | UnsetType = UNSET
    software_name: str
    software_from: str
    software_to: str
    file_name: str | UnsetType = UNSET
    file_version: str | UnsetType = UNSET
    distribution_type: Distribution
    make: str
    model: str
    start_date: date
    end_date: date
    download_after_date: date | UnsetType = UNSET
    download_time_window_list: list[HourWindow] | UnsetType = UNSET
    install_after_date: date | UnsetType = UNSET
    install_time_window_list: list[HourWindow] | UnsetType = UNSET
    status: CampaignWord


def campaign_software(campaign: Campaign) -> CampaignSoftware:
    """The campaign, as v2 shows it."""
    is_file = campaign.kind == "file"
    return CampaignSoftware(
        id=campaign.uuid,
        account_name=campaign.account_name,
        campaign_name=campaign.name or UNSET,
        software_name=campaign.package_name,
        software_from="" if is_file else campaign.from_version,
        software_to=campaign.to_version,
        file_name=campaign.package_name if is_file else UNSET,
        file_version=campaign.to_version if is_file else UNSET,
        distribution_type=campaign.distribution_type,
        make=campaign.make,
        model=campaign.model,
        start_date=campaign.start_date,
        end_date=campaign.end_date,
        download_after_date=campaign.download_after or UNSET,
        download_time_window_list=hour_windows(campaign.download_windows),
        install_after_date=campaign.install_after or UNSET,
        install_time_window_list=hour_windows(campaign.install_windows),
        status=CAMPAIGN_V2[campaign.status],
    )


class ScheduledCampaign(Answer, kw_only=True):
    """A campaign as the current scheduling calls answer (API 5.5, "UploadAndScheduleFile…")."""

    id: Uuid
    account_name: str
    campaign_name: str | UnsetType = UNSET
    software_name: str | UnsetType = UNSET
    software_from: str | UnsetType = UNSET
    software_to: str | UnsetType = UNSET
    file_name: str | UnsetType = UNSET
    file_version: str | UnsetType = UNSET
    distribution_type: Distribution
    make: str
    model: str
    start_date: date
    end_date: date
    download_after_date: date | UnsetType = UNSET
    download_time_window_list: list[TextWindow] | UnsetType = UNSET
    install_after_date: date | UnsetType = UNSET
    install_time_window_list: list[TextWindow] | UnsetType = UNSET
    device_list: list[DeviceText]
    status: CampaignWord


def scheduled_campaign(campaign: Campaign, imeis: list[str]) -> ScheduledCampaign:
    """The campaign that was scheduled for these devices."""
    is_file = campaign.kind == "file"
    return ScheduledCampaign(
        id=campaign.uuid,
        account_name=campaign.account_name,
        campaign_name=campaign.name or UNSET,
        software_name=UNSET if is_file else campaign.package_name,
        software_from=UNSET if is_file else campaign.from_version,
        software_to=UNSET if is_file else campaign.to_version,
        file_name=campaign.package_name if is_file else UNSET,
        file_version=campaign.to_version if is_file else UNSET,
        distribution_type=campaign.distribution_type,
        make=campaign.make,
        model=campaign.model,
        start_date=campaign.start_date,
        end_date=campaign.end_date,
        download_after_date=campaign.download_after or UNSET,
        download_time_window_list=text_windows(campaign.download_windows),
        install_after_date=campaign.install_after or UNSET,
        install_time_window_list=text_windows(campaign.install_windows),
        device_list=imeis,
        status=CAMPAIGN_V2[campaign.status],
    )


class DeviceStatus(Answer):
    """What became of one device."""

    device_id: Imei
    status: str
    result_reason: str


def last_id(ids: list[str]) -> str | UnsetType:
    """The cursor of a page: its last id; an empty page has none."""
    return ids[-1] if ids else UNSET
