"""Subscriptions, licences and candidates for cancellation: one transaction each.

Who gets or loses a licence is decided in ``core/licenses.py``; here it is carried out. Locks are
taken in the order subscription, devices; a device that leaves a campaign with its licence does so
in the same transaction.

Not in here: what the end of an upgrade does to a licence (``engine/billing.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from overair.config import Limits, Settings
from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId, DeviceId
from overair.core.licenses import (
    LicensedDevice,
    LicenseOutcome,
    Room,
    check_terms,
    choose_losers,
    has_pool,
    license_needed,
    once_each,
    plan_assignment,
    plan_removal,
)
from overair.core.upgrade import Reason
from overair.engine.admission import leave_campaign
from overair.store import billing, licenses, push, subscriptions
from overair.store.billing import BillingEvent
from overair.store.database import Tx
from overair.store.licenses import License
from overair.store.subscriptions import Subscription

# Subscriptions -----------------------------------------------------------------------------------


def get_subscription(tx: Tx, account_id: AccountId) -> Subscription:
    """The account's subscription. Raises RequestError if it has none."""
    return _subscribed(subscriptions.get(tx, account_id))


def _subscribed(subscription: Subscription | None) -> Subscription:
    if subscription is None:
        raise RequestError(Refusal.NOT_SUBSCRIBED)
    return subscription


def set_subscription(
    tx: Tx,
    account_id: AccountId,
    *,
    purchase_type: str,
    license_count: int,
    settings: Settings,
    now: datetime,
) -> Subscription:
    """Buy, or change what was bought; a smaller pool takes licences away (``lifecycle.md`` 6.4).

    If upgrades are paid by event no more, what was scheduled for devices without a licence and has not
    started is cancelled, as if they had lost one.

    Raises LicenseTermsError. The same terms again change nothing, not even the time of update.
    """
    terms = check_terms(purchase_type, license_count)
    freely = True  # whether upgrades needed no licence until now
    if not subscriptions.create(tx, account_id, terms, license_count, now):
        present = get_locked(tx, account_id)
        freely = not license_needed(present.purchase_type)
        if (present.purchase_type, present.license_count) != (terms, license_count):
            subscriptions.change(tx, account_id, terms, license_count, now)
            _shrink(tx, account_id, license_count, settings, now)
    if freely and license_needed(terms):
        for upgrade_id in licenses.unlicensed_upgrades(tx, account_id, None):
            leave_campaign(tx, upgrade_id, Reason.LICENSE_REMOVED, settings, now)
    return get_subscription(tx, account_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """What an account is to have."""

    account_id: AccountId
    purchase_type: str
    license_count: int


def approach_subscription(tx: Tx, purchase: Purchase, settings: Settings, now: datetime) -> bool:
    """Do a piece of what ``set_subscription`` would; False if it is not more than a piece itself (0007).

    A piece is the loss of ``sweep_devices`` licences, from a pool that is as large as what is left of them, or
    the cancellation of as many upgrades that the terms will not allow. Each leaves a subscription that is true, so
    whoever stops in between goes on with the same request.

    Raises LicenseTermsError.
    """
    terms = check_terms(purchase.purchase_type, purchase.license_count)
    account_id = purchase.account_id
    present = subscriptions.get(tx, account_id, lock=True)
    if present is None:
        return False
    piece = settings.limits.sweep_devices
    left = licenses.lasting_count(tx, account_id) - piece
    if left > purchase.license_count:
        subscriptions.change(tx, account_id, present.purchase_type, left, now)
        _shrink(tx, account_id, left, settings, now)
        return True
    if license_needed(present.purchase_type) or not license_needed(terms):
        return False
    unlicensed = licenses.unlicensed_upgrades(tx, account_id, piece + 1)
    if len(unlicensed) <= piece:
        return False
    for upgrade_id in unlicensed[:piece]:
        leave_campaign(tx, upgrade_id, Reason.LICENSE_REMOVED, settings, now)
    return True


def get_locked(tx: Tx, account_id: AccountId) -> Subscription:
    """The account's subscription, locked. Raises RequestError if it has none."""
    return _subscribed(subscriptions.get(tx, account_id, lock=True))


def _shrink(
    tx: Tx, account_id: AccountId, license_count: int, settings: Settings, now: datetime
) -> None:
    """Take away as many licences as do not fit: the list from its head, then oldest first."""
    excess = licenses.lasting_count(tx, account_id) - license_count
    if excess <= 0:
        return
    chosen = choose_losers(
        excess,
        licenses.listed_losers(tx, account_id, excess),
        licenses.oldest_losers(tx, account_id, excess),
    )
    losers = licenses.devices_by_id(tx, chosen)
    # A started upgrade completes, under a licence that is billed for another month.
    ending = [device for device in losers if device.open_upgrade_id and device.started]
    leaving = [device for device in losers if not (device.open_upgrade_id and device.started)]
    licenses.end_after_upgrade(tx, [device.id for device in ending])
    for device in ending:
        assert device.open_upgrade_id is not None
        billing.bill(
            tx,
            BillingEvent(
                account_id=account_id,
                device_id=device.id,
                campaign_id=billing.campaign_of(tx, device.open_upgrade_id),
                kind=billing.LICENSE_MONTH,
                at=now,
            ),
        )
    _take_away(tx, account_id, leaving, settings, now)


def _take_away(
    tx: Tx,
    account_id: AccountId,
    devices: Sequence[LicensedDevice],
    settings: Settings,
    now: datetime,
) -> None:
    """Drop licences; what was scheduled for these devices and not started is cancelled for them."""
    licenses.drop(tx, account_id, [device.id for device in devices], now)
    for device in devices:
        if device.open_upgrade_id is not None:
            leave_campaign(tx, device.open_upgrade_id, Reason.LICENSE_REMOVED, settings, now)
    for upgrade_id in push.queued(tx, [device.id for device in devices]):
        leave_campaign(tx, upgrade_id, Reason.LICENSE_REMOVED, settings, now)


# Licences ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class LicenseAnswer:
    """What became of an assign or remove request."""

    subscription: Subscription  # after it
    outcomes: tuple[tuple[str, LicenseOutcome], ...]  # in the order of the request


def assign_licenses(
    tx: Tx, account_id: AccountId, imeis: Sequence[str], limits: Limits, now: datetime
) -> LicenseAnswer:
    """Give licences to devices, in the order given, while there are any.

    One that was to go with the device's present upgrade stays, if the pool has room for it again.

    An account that pays by event has no pool: assigning succeeds, and there is nothing to count.
    """
    check_devices(imeis, limits)
    subscription = get_locked(tx, account_id)
    room = None
    if has_pool(subscription.purchase_type):
        bought = subscription.license_count
        room = Room(
            free=max(0, bought - subscription.license_used_count),
            lasting=max(0, bought - licenses.lasting_count(tx, account_id)),
        )
    plan = plan_assignment(imeis, licenses.devices_by_imei(tx, account_id, imeis), room)
    if plan.changed:
        licenses.add(tx, account_id, [device.id for device in plan.changed], now)
    licenses.keep(tx, [device.id for device in plan.kept])
    return LicenseAnswer(subscription=get_subscription(tx, account_id), outcomes=plan.outcomes)


def remove_licenses(
    tx: Tx, account_id: AccountId, imeis: Sequence[str], settings: Settings, now: datetime
) -> LicenseAnswer:
    """Take licences back that were not used since they were assigned."""
    check_devices(imeis, settings.limits)
    get_locked(tx, account_id)
    plan = plan_removal(imeis, licenses.devices_by_imei(tx, account_id, imeis))
    _take_away(tx, account_id, plan.changed, settings, now)
    return LicenseAnswer(subscription=get_subscription(tx, account_id), outcomes=plan.outcomes)


def check_devices(imeis: Sequence[str], limits: Limits) -> None:
    """A list of devices has at least one, and not more than a request may name."""
    if not imeis:
        raise RequestError(Refusal.DEVICE_LIST_EMPTY)
    if len(imeis) > limits.request_devices:
        raise RequestError(Refusal.DEVICE_LIST_TOO_LONG, limit=limits.request_devices)


@dataclass(frozen=True, slots=True, kw_only=True)
class LicensePage:
    """A page of licences: one more than ``limit`` was asked for, to know whether there are more."""

    subscription: Subscription
    licenses: tuple[License, ...]
    has_more: bool


def list_licenses(tx: Tx, account_id: AccountId, after_imei: str, limit: int) -> LicensePage:
    """Licences of devices with an IMEI greater than ``after_imei``."""
    subscription = get_subscription(tx, account_id)
    found = licenses.page(tx, account_id, after_imei, limit + 1)
    return LicensePage(
        subscription=subscription, licenses=tuple(found[:limit]), has_more=len(found) > limit
    )


def list_licenses_at(tx: Tx, account_id: AccountId, offset: int, limit: int) -> LicensePage:
    """The same by number of record, as v1 pages (``api.md`` 7.2)."""
    subscription = get_subscription(tx, account_id)
    check_offset(offset, subscription.license_used_count)
    found = licenses.page_at(tx, account_id, offset, limit + 1)
    return LicensePage(
        subscription=subscription, licenses=tuple(found[:limit]), has_more=len(found) > limit
    )


def check_offset(offset: int, count: int) -> None:
    """An offset past the end of a list that is not empty names nothing."""
    if offset >= count > 0:
        raise RequestError(Refusal.INDEX_TOO_HIGH)


def is_monitored(tx: Tx, device_id: DeviceId) -> bool:
    """Whether the reachability and the cell of a device are followed (``lifecycle.md`` 5.2).

    From the day it gets a licence until it loses it; without one, while it is in a v3 campaign, which needs
    to know (an account that pays by event need not assign any). What was learned is kept.
    """
    return licenses.is_monitored(tx, device_id)


# Candidates for cancellation ---------------------------------------------------------------------


def put_candidates(
    tx: Tx,
    account_id: AccountId,
    imeis: Sequence[str],
    limits: Limits,
    now: datetime,
    *,
    append: bool = False,
) -> list[str]:
    """Replace or extend the list of devices that lose their licence first; the whole list.

    IMEIs that are not the account's are dropped, repeated ones count where they were first.
    """
    check_devices(imeis, limits)
    licenses.lock_candidates(tx, account_id, now)
    if not append:
        licenses.clear_candidates(tx, account_id)
    licenses.add_candidates(tx, account_id, once_each(imeis))
    return licenses.candidates(tx, account_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidatePage:
    """A page of the list."""

    imeis: tuple[str, ...]
    count: int  # of the whole list
    updated_at: datetime | None  # None: there is no list
    has_more: bool


def list_candidates(tx: Tx, account_id: AccountId, offset: int, limit: int) -> CandidatePage:
    """The list from its record ``offset``. Raises RequestError past its end."""
    count = licenses.candidate_count(tx, account_id)
    check_offset(offset, count)
    imeis = licenses.candidates(tx, account_id, offset, limit)
    return CandidatePage(
        imeis=tuple(imeis),
        count=count,
        updated_at=licenses.candidates_updated_at(tx, account_id),
        has_more=offset + len(imeis) < count,
    )


def drop_candidates(tx: Tx, account_id: AccountId, now: datetime) -> None:
    """Forget the whole list, if there is one."""
    licenses.lock_candidates(tx, account_id, now)
    licenses.forget_candidates(tx, account_id)
