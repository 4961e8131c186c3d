"""What all versions say alike of subscriptions, licences and candidates for cancellation.

One pool serves all of them (``lifecycle.md`` 7), so their operations differ in paths and in the names
of some members only. What is here has the same shape in each; a version's own is beside its routes.
"""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta, UnsetType

from overair.api.gate import Account
from overair.api.routing import Call
from overair.api.wire import Answer, Body, DateTimeText, Imei, Success, index
from overair.core.errors import Refusal, RequestError
from overair.core.instants import datetime_text
from overair.engine import licenses as engine
from overair.engine.licenses import CandidatePage, LicenseAnswer
from overair.store.licenses import License


class Subscription(Answer):
    """What the account has bought; one pool serves all protocols."""

    account_name: str
    purchase_type: Annotated[str, Meta(examples=["TS-HFOTA-EVNT,TS-HFOTA-MRC"])]
    license_count: int
    license_used_count: int
    update_time: DateTimeText


class LicensedDevice(Answer):
    device_id: Imei
    assignment_time: DateTimeText


class CandidateDevices(Body):
    """Devices for the list; ``append`` adds them to it, otherwise they replace it."""

    aliases: ClassVar = {"devicelist": "deviceList", "Type": "type"}

    device_list: list[Imei]
    type: Annotated[str, Meta(examples=["append"])] | UnsetType = UNSET


class CandidateList(Answer):
    """The whole list."""

    count: int
    device_list: list[Imei]


async def subscription(call: Call[None, None]) -> Subscription:
    """The account's subscription. Raises RequestError."""
    account = await call.account()
    found = await call.db.read(engine.get_subscription, account.id)
    return Subscription(
        account_name=account.name,
        purchase_type=found.purchase_type,
        license_count=found.license_count,
        license_used_count=found.license_used_count,
        update_time=datetime_text(found.updated_at),
    )


def licensed_devices(licenses: Sequence[License]) -> list[LicensedDevice]:
    """Licences as all versions list them."""
    return [
        LicensedDevice(device_id=item.imei, assignment_time=datetime_text(item.assigned_at))
        for item in licenses
    ]


async def assign(call: Call[Any, None], account: Account, devices: Sequence[str]) -> LicenseAnswer:
    """Give devices a licence, in the order given, while there are any. Raises RequestError."""
    imeis = call.formats.imeis(devices)
    return await call.db.transact(
        engine.assign_licenses, account.id, imeis, call.settings.limits, call.now
    )


async def remove(call: Call[Any, None], account: Account, devices: Sequence[str]) -> LicenseAnswer:
    """Take licences back that were not used since they were assigned. Raises RequestError."""
    imeis = call.formats.imeis(devices)
    return await call.db.transact(
        engine.remove_licenses, account.id, imeis, call.settings, call.now
    )


async def candidates(call: Call[None, Any], start: str) -> CandidatePage:
    """The list of those that lose their licence first, from that record. Raises RequestError."""
    account = await call.account()
    limit = call.settings.limits.page_size
    return await call.db.report(engine.list_candidates, account.id, index(start), limit)


async def put_candidates(call: Call[CandidateDevices, None]) -> CandidateList:
    """Replace the list, or append to it. Raises RequestError."""
    account = await call.account()
    if call.body.type not in (UNSET, "append"):
        raise RequestError(Refusal.CHANGE_TYPE)
    listed = await call.db.transact(
        engine.put_candidates,
        account.id,
        call.formats.imeis(call.body.device_list),
        call.settings.limits,
        call.now,
        append=call.body.type == "append",
    )
    return CandidateList(count=len(listed), device_list=listed)


async def drop_candidates(call: Call[None, None]) -> Success:
    """Drop the whole list, if there is one."""
    account = await call.account()
    await call.db.transact(engine.drop_candidates, account.id, call.now)
    return Success()
