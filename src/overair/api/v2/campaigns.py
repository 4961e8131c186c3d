"""Campaigns: schedule, show, change, stop (API 5.5 to 5.9).

There are two scheduling calls for software, an older and a current one: one operation with two
answers. Devices are checked after the answer, so that a wrong one is a status in the campaign's
report and never an error here.
"""

from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, UnsetType

from overair import ids
from overair.api.lookup import campaign_named, on_campaign
from overair.api.routing import Call, Routes
from overair.api.v2.shapes import (
    API_VERSION,
    PREFIX,
    CampaignSoftware,
    Distribution,
    ScheduledCampaign,
    campaign_software,
    distribution_type,
    scheduled_campaign,
    scheduled_protocol,
)
from overair.api.wire import Answer, Body, Day, DeviceText, Success, Text, Uuid, Window, uuid_text
from overair.core import window as core
from overair.core.errors import Refusal
from overair.engine import schedule as engine
from overair.engine.schedule import CampaignRequest
from overair.store.campaigns import Campaign, Dates

routes = Routes(PREFIX, tag="v2 campaigns")

WindowList = Annotated[list[Window], Meta(max_length=100)]

DATE_ERRORS = (
    Refusal.START_DATE,
    Refusal.END_DATE,
    Refusal.END_BEFORE_START,
    Refusal.DOWNLOAD_AFTER_DATE,
    Refusal.INSTALL_AFTER_DATE,
    Refusal.TIME_WINDOW,
)
LIST_ERRORS = (Refusal.DEVICE_LIST_EMPTY, Refusal.DEVICE_LIST_TOO_LONG, Refusal.PILOT_LIMIT)
ID_ERRORS = (Refusal.UUID, Refusal.UPGRADE_ID)


class _Schedule(Body, kw_only=True):
    """When to do it, and to which devices."""

    aliases: ClassVar = {"devicelist": "deviceList"}

    campaign_name: Text | UnsetType = UNSET
    distribution_type: Distribution
    start_date: Day
    end_date: Day | UnsetType = UNSET
    download_after_date: Day | UnsetType = UNSET
    download_time_window_list: WindowList | UnsetType = UNSET
    install_after_date: Day | UnsetType = UNSET
    install_time_window_list: WindowList | UnsetType = UNSET
    device_list: list[DeviceText]


class ScheduleSoftware(_Schedule, kw_only=True):
    """Software to put on devices. Without ``endDate`` the campaign ends after a week."""

    software_name: Text
    software_from: Text
    software_to: Text


class ScheduleFile(_Schedule, kw_only=True):
    """A configuration file to put on devices. Without ``endDate`` the campaign ends after a week."""

    file_name: Text
    file_version: Text


class DeviceListChange(Body):
    """Devices to add to a campaign, or to take out of it."""

    aliases: ClassVar = {"Type": "type", "devicelist": "deviceList"}
    wrapper = "addOrRemoveDevice"

    type: Literal["append", "remove"]
    device_list: list[DeviceText]


class DeviceListChangeRequested(Answer):
    """The change is carried out later; the campaign's device report shows its result."""

    account_name: str
    campaign_id: Uuid
    request_id: Uuid


class CampaignDates(Body, kw_only=True):
    """All dates and windows: what is left out, the campaign has no longer."""

    start_date: Day
    end_date: Day
    download_after_date: Day | UnsetType = UNSET
    download_time_window_list: WindowList | UnsetType = UNSET
    install_after_date: Day | UnsetType = UNSET
    install_time_window_list: WindowList | UnsetType = UNSET


@routes.add(
    "POST",
    "/campaigns/{acc}",
    errors=(
        Refusal.NOT_SUBSCRIBED,
        Refusal.SOFTWARE_NOT_FOUND,
        Refusal.SOFTWARE_VERSIONS,
        Refusal.DISTRIBUTION_TYPE,
        *DATE_ERRORS,
        *LIST_ERRORS,
    ),
)
async def schedule_campaign(call: Call[ScheduleSoftware, None]) -> CampaignSoftware:
    """Schedule software, in the older form."""
    campaign, _ = await _schedule_software(call)
    return campaign_software(campaign)


@routes.add(
    "POST",
    "/campaigns/software/{acc}",
    errors=(
        Refusal.NOT_SUBSCRIBED,
        Refusal.SOFTWARE_NOT_FOUND,
        Refusal.SOFTWARE_VERSIONS,
        Refusal.DISTRIBUTION_TYPE,
        *DATE_ERRORS,
        *LIST_ERRORS,
    ),
)
async def schedule_software(call: Call[ScheduleSoftware, None]) -> ScheduledCampaign:
    """Schedule software."""
    return scheduled_campaign(*await _schedule_software(call))


@routes.add(
    "POST",
    "/campaigns/files/{acc}",
    errors=(
        Refusal.NOT_SUBSCRIBED,
        Refusal.FILE_NOT_FOUND,
        Refusal.DISTRIBUTION_TYPE,
        *DATE_ERRORS,
        *LIST_ERRORS,
    ),
)
async def schedule_file(call: Call[ScheduleFile, None]) -> ScheduledCampaign:
    """Schedule a configuration file."""
    campaign = await _schedule(
        call, call.body, "file", call.body.file_name, None, call.body.file_version
    )
    return scheduled_campaign(*campaign)


async def _schedule_software(call: Call[ScheduleSoftware, None]) -> tuple[Campaign, list[str]]:
    body = call.body
    return await _schedule(
        call, body, "software", body.software_name, body.software_from, body.software_to
    )


async def _schedule(
    call: Call[ScheduleSoftware, None] | Call[ScheduleFile, None],
    body: _Schedule,
    kind: str,
    package_name: str,
    from_version: str | None,
    to_version: str,
) -> tuple[Campaign, list[str]]:
    """The new campaign, and its devices as they were named."""
    account = await call.account()
    protocol = scheduled_protocol(body.distribution_type)
    imeis = call.formats.campaign_devices(body.device_list)
    request = CampaignRequest(
        uuid=ids.new_uuid(),
        account_id=account.id,
        api_version=API_VERSION,
        kind=kind,
        name="" if body.campaign_name is UNSET else body.campaign_name,
        package_name=package_name,
        from_version=from_version,
        to_version=to_version,
        protocols=frozenset({protocol}),
        distribution_type=distribution_type(protocol),
        start_date=body.start_date,
        end_date=_given(body.end_date),
        download_after=_given(body.download_after_date),
        download_windows=_windows(body.download_time_window_list),
        install_after=_given(body.install_after_date),
        install_windows=_windows(body.install_time_window_list),
        imeis=imeis,
    )
    campaign = await call.db.transact(engine.schedule_campaign, request, call.settings, call.now)
    return campaign, imeis


def _given(day: Day | UnsetType) -> Day | None:
    return None if day is UNSET else day


def _windows(windows: list[Window] | UnsetType) -> core.Windows:
    given = () if windows is UNSET else windows
    return tuple(core.Window(start=int(w.start_time), end=int(w.end_time)) for w in given)


@routes.add("GET", "/campaigns/{acc}/{campaignId}", errors=ID_ERRORS)
async def get_campaign(call: Call[None, None]) -> CampaignSoftware:
    """Show a campaign."""
    account = await call.account()
    uuid = uuid_text(call.path["campaignId"])
    return campaign_software(await call.db.read(campaign_named, account.id, uuid, API_VERSION))


@routes.add(
    "PUT",
    "/campaigns/{acc}/{campaignId}",
    errors=(*ID_ERRORS, Refusal.CHANGE_TYPE, Refusal.NOT_MODIFIABLE, *LIST_ERRORS),
)
async def change_campaign_devices(
    call: Call[DeviceListChange, None],
) -> DeviceListChangeRequested:
    """Add devices to a campaign that has not started, or take devices out of it."""
    account = await call.account()
    uuid = uuid_text(call.path["campaignId"])
    request_id = ids.new_uuid()
    await call.db.transact(
        on_campaign,
        account.id,
        uuid,
        API_VERSION,
        engine.change_devices,
        call.body.type,
        call.formats.campaign_devices(call.body.device_list),
        request_id,
        call.settings,
        call.now,
    )
    return DeviceListChangeRequested(
        account_name=account.name, campaign_id=uuid, request_id=request_id
    )


@routes.add(
    "PUT",
    "/campaigns/{acc}/{campaignId}/dates",
    errors=(
        *ID_ERRORS,
        *DATE_ERRORS,
        Refusal.END_TOO_SOON,
        Refusal.TIME_WINDOW_REMOVED,
        Refusal.NOT_MODIFIABLE,
    ),
)
async def change_campaign_dates(call: Call[CampaignDates, None]) -> CampaignSoftware:
    """Replace dates and windows of a campaign.

    After its start the end may move, to not less than 24 hours from now, and windows may be added.
    """
    account = await call.account()
    uuid = uuid_text(call.path["campaignId"])
    dates = Dates(
        start_date=call.body.start_date,
        end_date=call.body.end_date,
        download_after=_given(call.body.download_after_date),
        download_windows=_windows(call.body.download_time_window_list),
        install_after=_given(call.body.install_after_date),
        install_windows=_windows(call.body.install_time_window_list),
    )
    campaign = await call.db.transact(
        on_campaign,
        account.id,
        uuid,
        API_VERSION,
        engine.change_dates,
        dates,
        call.settings,
        call.now,
    )
    return campaign_software(campaign)


@routes.add("DELETE", "/campaigns/{acc}/{campaignId}", errors=(*ID_ERRORS, Refusal.NOT_CANCELLABLE))
async def stop_campaign(call: Call[None, None]) -> Success:
    """Cancel a campaign before its start, or abort it after."""
    account = await call.account()
    uuid = uuid_text(call.path["campaignId"])
    await call.db.transact(
        on_campaign, account.id, uuid, API_VERSION, engine.stop_campaign, call.now
    )
    return Success()
