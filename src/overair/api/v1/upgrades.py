"""Upgrades: schedule, show, change, cancel (API 4.7 to 4.10).

Devices of a new upgrade are checked after the answer, and a wrong one is a status in it and never an
error here; devices that are added later are checked at once, and each outcome is in the answer.
"""

from typing import ClassVar, Final

from msgspec import UNSET, UnsetType

from overair import ids
from overair.api.listed import ChangeWords, DeviceListChange, DeviceReason, change_devices
from overair.api.lookup import campaign_named, on_campaign
from overair.api.routing import Call, Routes
from overair.api.v1.shapes import (
    API_VERSION,
    PREFIX,
    PROTOCOLS,
    FirmwareUpgrade,
    firmware_upgrade,
    whole_upgrades,
)
from overair.api.wire import Answer, Body, Day, DeviceText, Success, Text, Uuid, uuid_text
from overair.core.errors import Refusal
from overair.core.ids import AccountId
from overair.core.words.v1 import ADDED_V1, NOT_ADDED_V1, NOT_REMOVED_V1, REASON_V1, REMOVED_V1
from overair.engine import schedule as engine
from overair.engine.advance import release
from overair.engine.schedule import CampaignRequest
from overair.store.database import Tx

routes = Routes(PREFIX, tag="v1 upgrades")

ID_ERRORS = (Refusal.UUID, Refusal.UPGRADE_ID)
LIST_ERRORS = (Refusal.DEVICE_LIST_EMPTY, Refusal.DEVICE_LIST_TOO_LONG)

WORDS: Final = ChangeWords(
    added=ADDED_V1,
    not_added=NOT_ADDED_V1,
    removed=REMOVED_V1,
    not_removed=NOT_REMOVED_V1,
    reasons=REASON_V1,
)


class ScheduleUpgrade(Body, kw_only=True):
    """Firmware to put on devices. Without ``endDate`` the upgrade ends after a week."""

    aliases: ClassVar = {"devicelist": "deviceList"}

    account_name: str
    firmware_name: Text
    firmware_to: Text
    start_date: Day
    end_date: Day | UnsetType = UNSET
    device_list: list[DeviceText]


class UpgradeListChanged(Answer):
    """What became of each device."""

    account_name: str
    id: Uuid
    device_list: list[DeviceReason]


@routes.add(
    "POST",
    "/upgrades",
    errors=(
        Refusal.ACCOUNT_NAME,
        Refusal.NOT_SUBSCRIBED,
        Refusal.FIRMWARE_NOT_FOUND,
        Refusal.FIRMWARE_VERSIONS,
        Refusal.START_DATE,
        Refusal.END_DATE,
        Refusal.END_BEFORE_START,
        *LIST_ERRORS,
    ),
)
async def schedule_upgrade(call: Call[ScheduleUpgrade, None]) -> FirmwareUpgrade:
    """Schedule firmware for devices; one that starts today begins within minutes."""
    body = call.body
    account = await call.account(body.account_name)
    imeis = call.formats.campaign_devices(body.device_list)
    request = CampaignRequest(
        uuid=ids.new_uuid(),
        account_id=account.id,
        api_version=API_VERSION,
        kind="software",
        name="",
        package_name=body.firmware_name,
        from_version=None,
        to_version=body.firmware_to,
        protocols=PROTOCOLS,
        distribution_type="",
        start_date=body.start_date,
        end_date=None if body.end_date is UNSET else body.end_date,
        download_after=None,
        download_windows=(),
        install_after=None,
        install_windows=(),
        imeis=imeis,
    )
    campaign = await call.db.transact(engine.schedule_campaign, request, call.settings, call.now)
    return firmware_upgrade(campaign, (), imeis)


@routes.add("GET", "/upgrades/{acc}/upgrade/{upgradeId}", errors=ID_ERRORS)
async def get_upgrade(call: Call[None, None]) -> FirmwareUpgrade:
    """Show an upgrade, and where each of its devices is."""
    account = await call.account()
    return await call.db.report(_upgrade, account.id, uuid_text(call.path["upgradeId"]))


def _upgrade(tx: Tx, account_id: AccountId, uuid: str) -> FirmwareUpgrade:
    campaign = campaign_named(tx, account_id, uuid, API_VERSION)
    return whole_upgrades(tx, [campaign])[0]


@routes.add(
    "PUT",
    "/upgrades/{acc}/upgrade/{upgradeId}",
    errors=(*ID_ERRORS, Refusal.CHANGE_TYPE, Refusal.UPGRADE_STARTED, *LIST_ERRORS),
)
async def change_upgrade_devices(call: Call[DeviceListChange, None]) -> UpgradeListChanged:
    """Add devices to an upgrade that has not started, or take devices out of it.

    Taking the last one out cancels it.
    """
    account = await call.account()
    uuid = uuid_text(call.path["upgradeId"])
    outcomes = await change_devices(call, account, uuid, API_VERSION, WORDS)
    return UpgradeListChanged(account_name=account.name, id=uuid, device_list=outcomes)


@routes.add(
    "DELETE",
    "/upgrades/{acc}/upgrade/{upgradeId}",
    errors=(*ID_ERRORS, Refusal.NOT_CANCELLABLE),
)
async def cancel_upgrade(call: Call[None, None]) -> Success:
    """Cancel an upgrade that has not started; it is as if it had never been."""
    account = await call.account()
    uuid = uuid_text(call.path["upgradeId"])
    stopped = await call.db.transact(
        on_campaign, account.id, uuid, API_VERSION, engine.stop_campaign, call.now
    )
    while await call.db.transact(release, stopped.id, call.settings, call.now):
        pass  # devices are free at once, piece by piece
    return Success()
