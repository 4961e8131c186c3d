"""Writing messages into the queue, for those who listen."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import msgspec

from overair.core.ids import AccountId
from overair.engine.notify.shape import Campaign, DeviceChange, Package, Shape
from overair.engine.notify.v1 import SHAPE_V1
from overair.engine.notify.v2 import SHAPE_V2
from overair.engine.notify.v3 import SHAPE_V3
from overair.store import attempts, callbacks, slots, upgrades
from overair.store.callbacks import Listener
from overair.store.database import Tx

MESSAGE_DEVICES: Final = 1000  # in one message; more are split
CATALOGUE: Final = "catalogue"

SHAPES: Final[Mapping[int, Shape]] = {1: SHAPE_V1, 2: SHAPE_V2, 3: SHAPE_V3}
# The API versions whose catalogue has packages of a protocol.
VERSIONS: Final[Mapping[str, tuple[int, ...]]] = {"HTTP": (2,), "OMADM": (1,), "LWM2M": (1, 3)}


def notify_campaign(tx: Tx, campaign: Campaign, now: datetime) -> None:
    """Tell of the campaign's status."""
    told = _told(tx, campaign)
    if told is None:
        return
    listener, shape = told
    if campaign.status in shape.listed:
        # As many messages as a thousand devices each need, all in the transaction of the change: the
        # price of a list that v1 wants whole, paid only where somebody listens.
        bodies = [shape.devices(listener, campaign, part) for part in _members(tx, campaign)]
    else:
        bodies = [shape.campaign(listener, campaign)]
    _queue(tx, listener, campaign.uuid, bodies, now)


def notify_devices(
    tx: Tx, campaign: Campaign, changes: Iterable[DeviceChange], now: datetime
) -> None:
    """Tell where devices of the campaign are now, at most a thousand to a message.

    ``changes`` is looked at only if somebody listens.
    """
    told = _told(tx, campaign)
    if told is not None:
        listener, shape = told
        listed = list(changes)
        if shape.placed:
            listed = _placed(tx, listed)
        bodies = [shape.devices(listener, campaign, part) for part in _parts(listed)]
        _queue(tx, listener, campaign.uuid, bodies, now)


def notify_package(
    tx: Tx, package: Package, account_ids: Sequence[AccountId], now: datetime
) -> None:
    """Tell accounts of a package that became available for devices of theirs."""
    for api_version in VERSIONS.get(package.protocol, ()):
        for listener in callbacks.listeners_of(tx, account_ids, api_version):
            body = SHAPES[api_version].package(listener, package)
            _queue(tx, listener, CATALOGUE, [body], now)


def _told(tx: Tx, campaign: Campaign) -> tuple[Listener, Shape] | None:
    """Who is told of the campaign, and how; None if nobody is."""
    shape = SHAPES.get(campaign.api_version)
    if shape is None or campaign.status in shape.silent:
        return None
    listener = callbacks.listener(tx, campaign.account_id, campaign.api_version)
    return None if listener is None else (listener, shape)


def _members(tx: Tx, campaign: Campaign) -> Iterator[Sequence[DeviceChange]]:
    after = ""
    while found := upgrades.page(tx, campaign.id, after, MESSAGE_DEVICES):
        yield [DeviceChange(imei=u.imei, state=u.state, reason=u.reason) for u in found]
        after = found[-1].imei


def _placed(tx: Tx, changes: Sequence[DeviceChange]) -> list[DeviceChange]:
    """The same changes, with the places of the devices, and the tries that were some."""
    ids = [change.upgrade_id for change in changes if change.upgrade_id is not None]
    places = slots.places(tx, ids)
    missed = attempts.missed(tx, ids)
    found = []
    for change in changes:
        place = None if change.upgrade_id is None else places.get(change.upgrade_id)
        if place is not None:
            change = replace(change, begins_at=place.starts_at, ends_at=place.ends_at)
        if change.upgrade_id in missed:
            change = replace(change, attempts=change.attempts - missed[change.upgrade_id])
        found.append(change)
    return found


def _parts(changes: Sequence[DeviceChange]) -> Iterator[Sequence[DeviceChange]]:
    for start in range(0, len(changes), MESSAGE_DEVICES):
        yield changes[start : start + MESSAGE_DEVICES]


def _queue(
    tx: Tx, listener: Listener, stream: str, bodies: Sequence[msgspec.Struct], now: datetime
) -> None:
    texts = [msgspec.json.encode(body).decode() for body in bodies]
    callbacks.add_messages(tx, listener, stream, texts, now)
    tx.hint("callbacks")
