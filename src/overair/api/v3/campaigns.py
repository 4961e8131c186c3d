"""Campaigns: schedule, show, change, stop (API 6.4 to 6.8).

Devices of a new campaign are checked after the answer, and a wrong one is a status in its report and
never an error here; devices that are added later are checked at once, and each outcome is in the answer.

How a campaign is spread over cells and slots shows in its device report only.
"""

from typing import Annotated, ClassVar, Final

from msgspec import UNSET, Meta, UnsetType

from overair import ids
from overair.api.listed import ChangeWords, DeviceListChange, DeviceReason, change_devices
from overair.api.lookup import campaign_named, on_campaign
from overair.api.routing import Call, Routes
from overair.api.v3.shapes import (
    API_VERSION,
    PREFIX,
    SERVED,
    CampaignInformation,
    FirmwareCampaign,
    campaign_information,
    firmware_campaign,
    scheduled_protocol,
)
from overair.api.wire import Answer, Body, Day, DeviceText, Success, Text, Uuid, Window, uuid_text
from overair.core import window as core
from overair.core.errors import Refusal
from overair.core.words.v2 import REASON_V2
from overair.core.words.v3 import ADDED_V3, NOT_ADDED_V3, NOT_REMOVED_V3, REMOVED_V3
from overair.engine import schedule as engine
from overair.engine.schedule import CampaignRequest
from overair.store.campaigns import Dates

routes = Routes(PREFIX, tag="v3 campaigns")

WindowList = Annotated[list[Window], Meta(max_length=100)]

ID_ERRORS = (Refusal.UUID, Refusal.UPGRADE_ID)
DATE_ERRORS = (
    Refusal.START_DATE,
    Refusal.END_DATE,
    Refusal.END_BEFORE_START,
    Refusal.TIME_WINDOW,
)
LIST_ERRORS = (Refusal.DEVICE_LIST_EMPTY, Refusal.DEVICE_LIST_TOO_LONG, Refusal.PILOT_LIMIT)

WORDS: Final = ChangeWords(
    added=ADDED_V3,
    not_added=NOT_ADDED_V3,
    removed=REMOVED_V3,
    not_removed=NOT_REMOVED_V3,
    reasons=REASON_V2,
)


class ScheduleFirmware(Body, kw_only=True):
    """Firmware to put on devices, in slots that the server chooses within dates and windows."""

    aliases: ClassVar = {"devicelist": "deviceList"}

    campaign_name: Text | UnsetType = UNSET
    firmware_name: Text
    firmware_from: Text
    firmware_to: Text
    protocol: Annotated[str, Meta(examples=[SERVED])] = SERVED
    start_date: Day
    end_date: Day
    campaign_time_window_list: WindowList | UnsetType = UNSET
    device_list: list[DeviceText]
    auto_assign_license_flag: bool = False
    auto_add_devices_flag: bool = False


class CampaignListChanged(Answer):
    """What became of each device; the campaign's id has two names."""

    account_name: str
    campaign_id: Uuid
    id: Uuid
    device_list: list[DeviceReason]


class CampaignDatesChange(Body, kw_only=True):
    """All dates and windows: what is left out, the campaign has no longer."""

    start_date: Day
    end_date: Day
    campaign_time_window_list: WindowList | UnsetType = UNSET


@routes.add("POST", "/campaigns/software/{acc}", documented=False)
@routes.add(
    "POST",
    "/campaigns/firmware/{acc}",
    errors=(
        Refusal.NOT_SUBSCRIBED,
        Refusal.FIRMWARE_NOT_FOUND,
        Refusal.FIRMWARE_VERSIONS,
        Refusal.PROTOCOL,
        *DATE_ERRORS,
        *LIST_ERRORS,
    ),
)
async def schedule_firmware(call: Call[ScheduleFirmware, None]) -> FirmwareCampaign:
    """Schedule firmware.

    Devices of one cell are not updated all at once. A campaign that is too large for its dates and windows
    leaves some of them; up to a month is advised.
    """
    body = call.body
    account = await call.account()
    request = CampaignRequest(
        uuid=ids.new_uuid(),
        account_id=account.id,
        api_version=API_VERSION,
        kind="software",
        name="" if body.campaign_name is UNSET else body.campaign_name,
        package_name=body.firmware_name,
        from_version=body.firmware_from,
        to_version=body.firmware_to,
        protocols=frozenset({scheduled_protocol(body.protocol)}),
        distribution_type=SERVED,
        start_date=body.start_date,
        end_date=body.end_date,
        download_after=None,
        download_windows=_windows(body.campaign_time_window_list),
        install_after=None,
        install_windows=(),
        imeis=call.formats.campaign_devices(body.device_list),
        auto_assign_licenses=body.auto_assign_license_flag,
        auto_add_devices=body.auto_add_devices_flag,
    )
    campaign = await call.db.transact(engine.schedule_campaign, request, call.settings, call.now)
    return firmware_campaign(campaign)


def _windows(windows: list[Window] | UnsetType) -> core.Windows:
    given = () if windows is UNSET else windows
    return tuple(core.Window(start=int(w.start_time), end=int(w.end_time)) for w in given)


@routes.add("GET", "/campaigns/{acc}/{campaignId}", errors=ID_ERRORS)
async def get_campaign(call: Call[None, None]) -> CampaignInformation:
    """Show a campaign."""
    account = await call.account()
    uuid = uuid_text(call.path["campaignId"])
    return campaign_information(await call.db.read(campaign_named, account.id, uuid, API_VERSION))


@routes.add("PUT", "/campaigns/{acc}/{campaignId}", documented=False)
@routes.add(
    "PUT",
    "/campaigns/firmware/{acc}/{campaignId}",
    errors=(*ID_ERRORS, Refusal.CHANGE_TYPE, Refusal.NOT_MODIFIABLE, *LIST_ERRORS),
)
async def change_campaign_devices(call: Call[DeviceListChange, None]) -> CampaignListChanged:
    """Add devices to a campaign that is not scheduled yet, or take devices out of it.

    Taking the last one out cancels it.
    """
    account = await call.account()
    uuid = uuid_text(call.path["campaignId"])
    outcomes = await change_devices(call, account, uuid, API_VERSION, WORDS)
    return CampaignListChanged(
        account_name=account.name, campaign_id=uuid, id=uuid, device_list=outcomes
    )


@routes.add(
    "PUT",
    "/campaigns/firmware/{acc}/{campaignId}/dates",
    errors=(
        *ID_ERRORS,
        *DATE_ERRORS,
        Refusal.END_TOO_SOON,
        Refusal.TIME_WINDOW_REMOVED,
        Refusal.TIME_WINDOW_ADDED,
        Refusal.NOT_MODIFIABLE,
    ),
)
async def change_campaign_dates(call: Call[CampaignDatesChange, None]) -> FirmwareCampaign:
    """Replace dates and windows of a campaign; its devices get new slots.

    After its start only the end may move, to not less than 24 hours from now.
    """
    account = await call.account()
    uuid = uuid_text(call.path["campaignId"])
    dates = Dates(
        start_date=call.body.start_date,
        end_date=call.body.end_date,
        download_windows=_windows(call.body.campaign_time_window_list),
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
    return firmware_campaign(campaign)


@routes.add("DELETE", "/campaigns/{acc}/{campaignId}", errors=(*ID_ERRORS, Refusal.NOT_CANCELLABLE))
async def cancel_campaign(call: Call[None, None]) -> Success:
    """Cancel a campaign before its start date.

    After it a campaign runs to its end, unless the installation lets it be aborted (`slots.allow_abort`).
    """
    account = await call.account()
    uuid = uuid_text(call.path["campaignId"])
    await call.db.transact(
        on_campaign,
        account.id,
        uuid,
        API_VERSION,
        engine.stop_campaign,
        call.now,
        abortable=call.settings.slots.allow_abort,
    )
    return Success()
