"""Subscriptions, licences, and the list of those that are to go first (API 4.1 to 4.4)."""

from dataclasses import dataclass
from typing import ClassVar

from msgspec import UNSET, UnsetType

from overair.api import licensing
from overair.api.gate import Account
from overair.api.licensing import CandidateDevices, CandidateList, LicensedDevice, Subscription
from overair.api.listed import DeviceReason
from overair.api.lookup import START, device_cursor
from overair.api.routing import Call, Routes
from overair.api.v1.shapes import PREFIX, Offset
from overair.api.wire import Answer, Body, DateTimeText, Imei, Success, index
from overair.core.errors import Refusal
from overair.core.ids import AccountId
from overair.core.instants import datetime_text
from overair.core.license_words import Request, license_v1
from overair.engine import licenses as engine
from overair.engine.licenses import LicenseAnswer, LicensePage
from overair.store import licenses as store
from overair.store.database import Tx

routes = Routes(PREFIX, tag="v1 subscriptions and licenses")

IMEI_DIGITS = 15  # a number so long is an IMEI, a shorter one that of a record


class AccountLicenses(Answer, kw_only=True):
    """A page of licences, by IMEI; ``lastSeenDeviceId`` is the number of the next record."""

    account_name: str
    total_licenses: int
    assigned_licenses: int
    has_more_data: bool
    last_seen_device_id: Offset
    device_list: list[LicensedDevice]


class LicenseList(Body):
    """The devices to give licences to, or to take them from."""

    aliases: ClassVar = {"devicelist": "deviceList"}

    device_list: list[Imei]


class LicenseOutcomes(Answer):
    """What became of each device, and how much of the pool is in use afterwards."""

    account_name: str
    lic_count: int
    lic_used_count: int
    device_list: list[DeviceReason]


class CandidatesAt(Answer, kw_only=True):
    """A page of the list; ``count`` is of the whole. Without a list there is no ``updateTime``."""

    count: int
    has_more_data: bool
    update_time: DateTimeText | UnsetType = UNSET
    device_list: list[Imei]


@routes.add("GET", "/subscriptions/{acc}", errors=(Refusal.NOT_SUBSCRIBED,))
async def get_subscription(call: Call[None, None]) -> Subscription:
    """Show the account's subscription."""
    return await licensing.subscription(call)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """A page of licences, and the number of the record after it."""

    found: LicensePage
    next: int


@routes.add("GET", "/licenses/{acc}", documented=False)
@routes.add(
    "GET",
    "/licenses/{acc}/index/{startIndex}",
    errors=(
        Refusal.NOT_SUBSCRIBED,
        Refusal.INDEX,
        Refusal.INDEX_TOO_HIGH,
        Refusal.LAST_SEEN_DEVICE_ID,
    ),
)
async def list_licenses(call: Call[None, None]) -> AccountLicenses:
    """List the devices that have a licence.

    The index is the number of a record, or an IMEI to begin after.
    """
    account = await call.account()
    limit = call.settings.limits.page_size
    start = call.path.get("startIndex", START)
    page = await call.db.report(_licenses, account.id, start, limit)
    return AccountLicenses(
        account_name=account.name,
        total_licenses=page.found.subscription.license_count,
        assigned_licenses=page.found.subscription.license_used_count,
        has_more_data=page.found.has_more,
        last_seen_device_id=page.next if page.found.has_more else 0,
        device_list=licensing.licensed_devices(page.found.licenses),
    )


def _licenses(tx: Tx, account_id: AccountId, start: str, limit: int) -> _Page:
    offset = index(start)
    if len(start) == IMEI_DIGITS:
        after = device_cursor(tx, account_id, start)
        found = engine.list_licenses(tx, account_id, after, limit)
        offset = store.rank(tx, account_id, after)
    else:
        found = engine.list_licenses_at(tx, account_id, offset, limit)
    return _Page(found=found, next=offset + len(found.licenses))


@routes.add(
    "POST",
    "/licenses/{acc}/assign",
    errors=(Refusal.NOT_SUBSCRIBED, Refusal.DEVICE_LIST_TOO_LONG),
)
async def assign_licenses(call: Call[LicenseList, None]) -> LicenseOutcomes:
    """Give devices a licence, in the order given, while there are any.

    A device that cannot have one does not keep the others from theirs.
    """
    account = await call.account()
    answer = await licensing.assign(call, account, call.body.device_list)
    return _outcomes(account, "Assign", answer)


@routes.add(
    "POST",
    "/licenses/{acc}/remove",
    errors=(Refusal.NOT_SUBSCRIBED, Refusal.DEVICE_LIST_TOO_LONG),
)
async def remove_licenses(call: Call[LicenseList, None]) -> LicenseOutcomes:
    """Take licences back that were not used since they were assigned."""
    account = await call.account()
    answer = await licensing.remove(call, account, call.body.device_list)
    return _outcomes(account, "Remove", answer)


def _outcomes(account: Account, request: Request, answer: LicenseAnswer) -> LicenseOutcomes:
    devices = []
    for imei, outcome in answer.outcomes:
        status, reason = license_v1(request, outcome)
        devices.append(DeviceReason(device_id=imei, status=status, reason=reason))
    return LicenseOutcomes(
        account_name=account.name,
        lic_count=answer.subscription.license_count,
        lic_used_count=answer.subscription.license_used_count,
        device_list=devices,
    )


@routes.add("GET", "/licenses/{acc}/cancel")
async def list_first_cancellation_candidates(call: Call[None, None]) -> CandidatesAt:
    """List them from the first."""
    return await _candidates(call, START)


@routes.add(
    "GET",
    "/licenses/{acc}/cancel/index/{startIndex}",
    errors=(Refusal.INDEX, Refusal.INDEX_TOO_HIGH),
)
async def list_cancellation_candidates(call: Call[None, None]) -> CandidatesAt:
    """List the devices that lose their licence first when the subscription shrinks."""
    return await _candidates(call, call.path["startIndex"])


async def _candidates(call: Call[None, None], start: str) -> CandidatesAt:
    page = await licensing.candidates(call, start)
    return CandidatesAt(
        count=page.count,
        has_more_data=page.has_more,
        update_time=UNSET if page.updated_at is None else datetime_text(page.updated_at),
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
