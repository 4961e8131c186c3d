"""What requests name, looked up: campaigns, devices, and the place where a page begins (API 7.2).

The functions run in a transaction, beside the read or the change that needs them, so that what was
found is still there when it is used. Whatever is not the account's own is not found: it makes no
difference whether it exists.

A page is read with one record more than it shows, which tells whether there are further ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Concatenate, Generic, ParamSpec, TypeVar

from overair.core.campaign import CampaignStatus
from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId, CampaignId, DeviceId
from overair.core.words import is_shown
from overair.store import campaigns, devices, upgrades
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.devices import Device

P = ParamSpec("P")
T = TypeVar("T")

START = "0"
"""The cursor before everything; an absent one means the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some records of a list."""

    items: Sequence[T]
    has_more: bool

    @classmethod
    def of(cls, found: Sequence[T], limit: int) -> "Page[T]":
        """The page of at most ``limit`` records; ``found`` has one more if there are more."""
        return cls(items=found[:limit], has_more=len(found) > limit)


def campaign_named(tx: Tx, account_id: AccountId, uuid: str, api_version: int) -> Campaign:
    """The account's campaign of that id, if its version shows it. Raises RequestError."""
    found = campaigns.by_uuid(tx, account_id, uuid, api_version=api_version)
    if found is None or not is_shown(api_version, found.status):
        raise RequestError(Refusal.UPGRADE_ID)
    return found


def on_campaign(
    tx: Tx,
    account_id: AccountId,
    uuid: str,
    api_version: int,
    change: Callable[Concatenate[Tx, Campaign, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Change the account's campaign of that id. Raises RequestError."""
    return change(tx, campaign_named(tx, account_id, uuid, api_version), *args, **kwargs)


def device_named(tx: Tx, account_id: AccountId, imei: str) -> DeviceId:
    """The id of the account's device. Raises RequestError."""
    found = devices.device_id(tx, account_id, imei)
    if found is None:
        raise RequestError(Refusal.DEVICE_NOT_FOUND)
    return found


def device_cursor(
    tx: Tx, account_id: AccountId, cursor: str, *, campaign_id: CampaignId | None = None
) -> str:
    """The IMEI that a page begins after. Raises RequestError if nothing is known of it.

    In a campaign's list there are also devices that are not the account's: rejected ones.
    """
    if cursor == START:
        return ""
    if devices.device_id(tx, account_id, cursor) is None and not (
        campaign_id is not None and upgrades.of_imeis(tx, campaign_id, [cursor])
    ):
        raise RequestError(Refusal.LAST_SEEN_DEVICE_ID)
    return cursor


def device_page(
    tx: Tx, account_id: AccountId, cursor: str, protocol: str | None, limit: int
) -> Page[Device]:
    """A page of the account's devices, of one protocol if given. Raises RequestError."""
    after = device_cursor(tx, account_id, cursor)
    return Page.of(devices.page(tx, account_id, after, protocol, limit + 1), limit)


def campaign_cursor(tx: Tx, account_id: AccountId, cursor: str, api_version: int) -> CampaignId:
    """The campaign that a page begins after. Raises RequestError if there is none."""
    if cursor == START:
        return CampaignId(0)
    # Ids compare without case (API 1.5).
    found = campaigns.by_uuid(tx, account_id, cursor.lower(), api_version=api_version)
    if found is None:
        raise RequestError(Refusal.LAST_SEEN_CAMPAIGN_ID)
    return found.id


def campaign_page(
    tx: Tx,
    account_id: AccountId,
    api_version: int,
    status: CampaignStatus,
    cursor: str,
    limit: int,
) -> Page[Campaign]:
    """A page of the account's campaigns of a version that have a status. Raises RequestError."""
    after = campaign_cursor(tx, account_id, cursor, api_version)
    found = campaigns.by_status(tx, account_id, api_version, status, after, limit + 1)
    return Page.of(found, limit)
