"""Subscriptions, licences, and the list of those that are to go first (API 5.1 to 5.4)."""

from typing import ClassVar

from msgspec import UNSET, UnsetType

from overair.api import licensing
from overair.api.gate import Account
from overair.api.licensing import CandidateDevices, CandidateList, LicensedDevice, Subscription
from overair.api.lookup import START, device_cursor
from overair.api.routing import Call, Routes
from overair.api.v2.shapes import PREFIX, DeviceStatus, last_id
from overair.api.wire import Answer, Body, Imei, Query, Success, TimeText
from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId
from overair.core.instants import time_text
from overair.core.license_words import Request, license_v2
from overair.engine import licenses as engine
from overair.engine.licenses import LicenseAnswer, LicensePage
from overair.store.database import Tx

routes = Routes(PREFIX, tag="v2 subscriptions and licenses")


class LicenseQuery(Query):
    last_seen_device_id: str = START


class LicenseSummary(Answer, kw_only=True):
    """A page of licences, by IMEI."""

    account_name: str
    total_license: int
    assigned_licenses: int
    has_more_data: bool
    last_seen_device_id: Imei | UnsetType = UNSET
    max_page_size: int
    device_list: list[LicensedDevice]


class LicenseDevices(Body):
    """The devices to give licences to, or to take them from."""

    aliases: ClassVar = {"devicelist": "deviceList"}

    device_list: list[Imei]
    account_name: str | UnsetType = UNSET


class LicenseResult(Answer):
    """What became of each device, and how much of the pool is in use afterwards."""

    account_name: str
    lic_total_count: int
    lic_used_count: int
    device_list: list[DeviceStatus]


class CandidateQuery(Query):
    start_index: str = "0"


class CandidatePage(Answer):
    """A page of the list; ``count`` is of the whole."""

    count: int
    has_more_data: bool
    update_time: TimeText
    device_list: list[Imei]


@routes.add("GET", "/subscriptions/{acc}", errors=(Refusal.NOT_SUBSCRIBED,))
async def get_subscription(call: Call[None, None]) -> Subscription:
    """Show the account's subscription."""
    return await licensing.subscription(call)


@routes.add("GET", "/licenses/{acc}", errors=(Refusal.NOT_SUBSCRIBED, Refusal.LAST_SEEN_DEVICE_ID))
async def list_licenses(call: Call[None, LicenseQuery]) -> LicenseSummary:
    """List the devices that have a licence."""
    account = await call.account()
    limit = call.settings.limits.page_size
    page = await call.db.report(_licenses, account.id, call.query.last_seen_device_id, limit)
    return LicenseSummary(
        account_name=account.name,
        total_license=page.subscription.license_count,
        assigned_licenses=page.subscription.license_used_count,
        has_more_data=page.has_more,
        last_seen_device_id=last_id([item.imei for item in page.licenses]),
        max_page_size=limit,
        device_list=licensing.licensed_devices(page.licenses),
    )


def _licenses(tx: Tx, account_id: AccountId, cursor: str, limit: int) -> LicensePage:
    after = device_cursor(tx, account_id, cursor)
    return engine.list_licenses(tx, account_id, after, limit)


@routes.add(
    "POST",
    "/licenses/{acc}/assign",
    errors=(Refusal.NOT_SUBSCRIBED, Refusal.DEVICE_LIST_TOO_LONG, Refusal.ACCOUNT_MISMATCH),
)
async def assign_licenses(call: Call[LicenseDevices, None]) -> LicenseResult:
    """Give devices a licence, in the order given, while there are any.

    A device that cannot have one does not keep the others from theirs.
    """
    account = await _account(call)
    answer = await licensing.assign(call, account, call.body.device_list)
    return _result(account, "Assign", answer)


@routes.add(
    "POST",
    "/licenses/{acc}/remove",
    errors=(Refusal.NOT_SUBSCRIBED, Refusal.DEVICE_LIST_TOO_LONG, Refusal.ACCOUNT_MISMATCH),
)
async def remove_licenses(call: Call[LicenseDevices, None]) -> LicenseResult:
    """Take licences back that were not used since they were assigned."""
    account = await _account(call)
    answer = await licensing.remove(call, account, call.body.device_list)
    return _result(account, "Remove", answer)


async def _account(call: Call[LicenseDevices, None]) -> Account:
    """The account in the path; the one in the body must be the same."""
    account = await call.account()
    given = call.body.account_name
    if given is not UNSET and call.formats.account(given) != account.name:
        raise RequestError(Refusal.ACCOUNT_MISMATCH)
    return account


def _result(account: Account, request: Request, answer: LicenseAnswer) -> LicenseResult:
    devices = []
    for imei, outcome in answer.outcomes:
        status, reason = license_v2(request, outcome)
        devices.append(DeviceStatus(device_id=imei, status=status, result_reason=reason))
    return LicenseResult(
        account_name=account.name,
        lic_total_count=answer.subscription.license_count,
        lic_used_count=answer.subscription.license_used_count,
        device_list=devices,
    )


@routes.add("GET", "/licenses/{acc}/cancel", errors=(Refusal.INDEX, Refusal.INDEX_TOO_HIGH))
async def list_cancellation_candidates(call: Call[None, CandidateQuery]) -> CandidatePage:
    """List the devices that lose their licence first when the subscription shrinks."""
    page = await licensing.candidates(call, call.query.start_index)
    return CandidatePage(
        count=page.count,
        has_more_data=page.has_more,
        update_time="" if page.updated_at is None else time_text(page.updated_at),
        device_list=list(page.imeis),
    )


@routes.add(
    "POST",
    "/licenses/{acc}/cancel",
    errors=(Refusal.CHANGE_TYPE, Refusal.DEVICE_LIST_TOO_LONG),
)
async def put_cancellation_candidates(call: Call[CandidateDevices, None]) -> CandidateList:
    """Replace the list of devices that lose their licence first, or append to it."""
    return await licensing.put_candidates(call)


@routes.add("DELETE", "/licenses/{acc}/cancel")
async def drop_cancellation_candidates(call: Call[None, None]) -> Success:
    """Drop the whole list, if there is one."""
    return await licensing.drop_candidates(call)
