"""Subscriptions and licences (API 6.1 to 6.3); a licence also lets the device be monitored (lifecycle 5.2)."""

from typing import ClassVar

from msgspec import UNSET, UnsetType, field

from overair.api import licensing
from overair.api.gate import Account
from overair.api.licensing import Subscription
from overair.api.lookup import START, device_cursor
from overair.api.routing import Call, Routes
from overair.api.v3.shapes import PREFIX, last_id
from overair.api.wire import Answer, Body, Imei, Query, TimeText
from overair.core.errors import Refusal
from overair.core.ids import AccountId
from overair.core.instants import time_text
from overair.core.license_words import Request, license_v3
from overair.engine import licenses as engine
from overair.engine.licenses import LicenseAnswer, LicensePage
from overair.store.database import Tx

routes = Routes(PREFIX, tag="v3 subscriptions and licenses")


class LicensePageQuery(Query):
    last_seen_device_id: str = START


class LicensedSince(Answer):
    """A device that has a licence, and since when."""

    device_id: Imei
    assignment_time: TimeText


class LicensesOfAccount(Answer, kw_only=True):
    """A page of licences, by IMEI; the size of the pool has two names."""

    account_name: str
    total_licenses: int
    total_license: int
    assigned_licenses: int
    has_more_data: bool
    last_seen_device_id: Imei | UnsetType = UNSET
    max_page_size: int
    device_list: list[LicensedSince]


class LicenseRequest(Body):
    """The devices to give licences to, or to take them from."""

    aliases: ClassVar = {"devicelist": "deviceList"}

    device_list: list[Imei]


class LicenseStatus(Answer):
    """What became of one device; the reason has two names."""

    device_id: Imei
    status: str
    result_reason: str
    reason: str = field(name="Reason")


class LicenseStatuses(Answer):
    """What became of each device, and how much of the pool is in use afterwards."""

    account_name: str
    lic_count: int
    lic_total_count: int
    lic_used_count: int
    device_list: list[LicenseStatus]


@routes.add("GET", "/subscriptions/{acc}", errors=(Refusal.NOT_SUBSCRIBED,))
async def get_subscription(call: Call[None, None]) -> Subscription:
    """Show the account's subscription."""
    return await licensing.subscription(call)


@routes.add("GET", "/licenses/{acc}", errors=(Refusal.NOT_SUBSCRIBED, Refusal.LAST_SEEN_DEVICE_ID))
async def list_licenses(call: Call[None, LicensePageQuery]) -> LicensesOfAccount:
    """List the devices that have a licence."""
    return await _page(call, call.query.last_seen_device_id)


@routes.add("GET", "/licenses/{acc}/index/{lastSeenDeviceId}", documented=False)
async def list_licenses_from(call: Call[None, None]) -> LicensesOfAccount:
    """List them with the cursor in the path (API 11, row 3)."""
    return await _page(call, call.path["lastSeenDeviceId"])


async def _page(
    call: Call[None, LicensePageQuery] | Call[None, None], cursor: str
) -> LicensesOfAccount:
    account = await call.account()
    limit = call.settings.limits.page_size
    page = await call.db.report(_licenses, account.id, cursor, limit)
    return LicensesOfAccount(
        account_name=account.name,
        total_licenses=page.subscription.license_count,
        total_license=page.subscription.license_count,
        assigned_licenses=page.subscription.license_used_count,
        has_more_data=page.has_more,
        last_seen_device_id=last_id([item.imei for item in page.licenses]),
        max_page_size=limit,
        device_list=[
            LicensedSince(device_id=item.imei, assignment_time=time_text(item.assigned_at))
            for item in page.licenses
        ],
    )


def _licenses(tx: Tx, account_id: AccountId, cursor: str, limit: int) -> LicensePage:
    after = device_cursor(tx, account_id, cursor)
    return engine.list_licenses(tx, account_id, after, limit)


@routes.add("POST", "/firmware/licenses/{acc}/assign", documented=False)
@routes.add(
    "POST",
    "/licenses/{acc}/assign",
    errors=(Refusal.NOT_SUBSCRIBED, Refusal.DEVICE_LIST_TOO_LONG),
)
async def assign_licenses(call: Call[LicenseRequest, None]) -> LicenseStatuses:
    """Give devices a licence, in the order given, while there are any.

    From then on their reachability is monitored. A device that cannot have a licence does not keep the
    others from theirs.
    """
    account = await call.account()
    answer = await licensing.assign(call, account, call.body.device_list)
    return _statuses(account, "Assign", answer)


@routes.add(
    "POST",
    "/licenses/{acc}/remove",
    errors=(Refusal.NOT_SUBSCRIBED, Refusal.DEVICE_LIST_TOO_LONG),
)
async def remove_licenses(call: Call[LicenseRequest, None]) -> LicenseStatuses:
    """Take licences back that were not used since they were assigned; this ends the monitoring."""
    account = await call.account()
    answer = await licensing.remove(call, account, call.body.device_list)
    return _statuses(account, "Remove", answer)


def _statuses(account: Account, request: Request, answer: LicenseAnswer) -> LicenseStatuses:
    devices = []
    for imei, outcome in answer.outcomes:
        status, reason = license_v3(request, outcome)
        devices.append(
            LicenseStatus(device_id=imei, status=status, result_reason=reason, reason=reason)
        )
    return LicenseStatuses(
        account_name=account.name,
        lic_count=answer.subscription.license_count,
        lic_total_count=answer.subscription.license_count,
        lic_used_count=answer.subscription.license_used_count,
        device_list=devices,
    )
