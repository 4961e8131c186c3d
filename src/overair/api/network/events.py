"""``POST /api/network/v1/events``: batches of what happened to devices, as a network would push them.

A batch is not all or nothing: the answer says of each event, in the order given, what became of it. What
is malformed refuses the whole batch, before anything is written. Batches are written in pieces, so if
the answer is an error of ours, or none, the batch is to be sent again: events that have counted change
nothing the second time.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypeVar

from msgspec import UNSET, Meta, UnsetType

from overair.api.gate import Security
from overair.api.routing import Call, Routes
from overair.api.wire import Answer, Body, DateTimeText, Imei
from overair.core.errors import Refusal, RequestError
from overair.core.network import (
    AddressError,
    EventKind,
    EventResult,
    NetworkEvent,
    split_address,
)
from overair.core.slots.radio import CellKey, cell_key, fault_of
from overair.engine import network as engine

T = TypeVar("T")

network_routes = Routes("/api/network/v1", tag="Network feed")

_KINDS: Final = {kind.value: kind for kind in EventKind}
_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_YEARS: Final = range(1970, 3000)
# What an event of a type has to say.
_NEEDED: Final = {
    EventKind.REACHABILITY: "reachable",
    EventKind.CELL: "cell",
    EventKind.SIGNAL: "rsrp",
}
_SHOWN = (
    "What became of it; `unknownType` is a type that this version does not know, `rejected` has a value"
    " that no network can mean."
)
_LOCATED: Final = (EventKind.CELL, EventKind.SIGNAL)


class Event(Body):
    """Something that happened to a device."""

    imei: Imei
    type: Annotated[
        str,
        Meta(
            description="`attach`, `detach`, `reachability`, `cell` or `signal`; others are answered `unknownType`.",
            extra_json_schema={"examples": ["attach", "detach", "reachability", "cell", "signal"]},
        ),
    ]
    at: Annotated[DateTimeText, Meta(description="When; absent: now.")] | UnsetType = UNSET
    address: (
        Annotated[
            str,
            Meta(
                description="Where notifications over UDP reach it from now on, as `host:port`.",
                extra_json_schema={"examples": ["198.51.100.7:2948", "[2001:db8::7]:2948"]},
            ),
        ]
        | UnsetType
    ) = UNSET
    reachable: (
        Annotated[bool, Meta(description="Of `reachability`: whether it can be reached.")]
        | UnsetType
    ) = UNSET
    mcc: Annotated[int, Meta(description="Of `cell`: the country code.")] | UnsetType = UNSET
    mnc: Annotated[int, Meta(description="Of `cell`: the network code.")] | UnsetType = UNSET
    cell: Annotated[int, Meta(description="Of `cell`: its identity.")] | UnsetType = UNSET
    bearer: (
        Annotated[
            int,
            Meta(description="Of `cell` and `signal`: as in LwM2M's 4/0/0, such as 6 for LTE-FDD."),
        ]
        | UnsetType
    ) = UNSET
    rsrp: (
        Annotated[int, Meta(description="Of `cell` and `signal`: the signal's RSRP in dBm.")]
        | UnsetType
    ) = UNSET


class EventBatch(Body):
    """Events in the order in which they happened."""

    events: list[Event]


class EventOutcome(Answer):
    """What became of one event."""

    imei: str
    status: Annotated[
        Literal["applied", "outdated", "unknownDevice", "unknownType", "rejected"],
        Meta(description=_SHOWN),
    ]
    reason: (
        Annotated[str, Meta(description="Of `rejected`: which value cannot be, and why.")]
        | UnsetType
    ) = UNSET


class EventOutcomes(Answer):
    """What became of a batch."""

    applied: int
    events: list[EventOutcome]


@network_routes.add("POST", "/events", security=Security.OPERATOR, errors=(Refusal.EVENTS,))
async def receive_events(call: Call[EventBatch, None]) -> EventOutcomes:
    """Take a batch of network events.

    An attached device that waits for an update is notified, in turn. The bearer token is an
    operator's, made with `overair token add`. An event that is older than what is known of its device,
    or a repeat, changes nothing.
    """
    limit = call.settings.limits.network_events
    given = call.body.events
    if not 1 <= len(given) <= limit:
        raise RequestError(Refusal.EVENTS, limit=limit)
    now = call.now
    events = [_read(call, place, event, now) for place, event in enumerate(given)]
    results: list[EventResult] = []
    piece = call.settings.limits.sweep_devices
    for start in range(0, len(events), piece):
        results += await call.db.transact(engine.apply, events[start : start + piece], now)
    return _told(events, results)


def _read(call: Call[EventBatch, None], place: int, event: Event, now: datetime) -> NetworkEvent:
    address = "" if event.address is UNSET else event.address
    if address:
        try:
            split_address(address, 1)
        except AddressError as error:
            raise RequestError(Refusal.VALUE, member=f"events[{place}].address") from error
    kind = _KINDS.get(event.type)
    needed = None if kind is None else _NEEDED.get(kind)
    if needed is not None and getattr(event, needed) is UNSET:
        raise RequestError(Refusal.VALUE, member=f"events[{place}].{needed}")
    return NetworkEvent(
        imei=_imei(call, place, event.imei),
        kind=kind,
        at=now if event.at is UNSET else _instant(event.at, place),
        address=address,
        reachable=_given(event.reachable),
        cell=_cell(event) if kind is EventKind.CELL else None,
        rsrp_dbm=_given(event.rsrp),
        bearer=_given(event.bearer),
        fault=_fault(event) if kind in _LOCATED else "",
    )


def _imei(call: Call[EventBatch, None], place: int, text: str) -> str:
    """An IMEI; of thousands of events the one with a wrong one has to be found."""
    try:
        return call.formats.imei(text)
    except RequestError as error:
        raise RequestError(Refusal.VALUE, member=f"events[{place}].imei") from error


def _fault(event: Event) -> str:
    return fault_of(
        mcc=_given(event.mcc),
        mnc=_given(event.mnc),
        cell=_given(event.cell),
        bearer=_given(event.bearer),
        rsrp_dbm=_given(event.rsrp),
    )


def _cell(event: Event) -> CellKey:
    return cell_key(_given(event.mcc), _given(event.mnc), _given(event.cell), _given(event.bearer))


def _given(value: T | UnsetType) -> T | None:
    return None if isinstance(value, UnsetType) else value


def _instant(text: str, place: int) -> datetime:
    """An instant of RFC 3339."""
    try:
        if _INSTANT.fullmatch(text):
            found = datetime.fromisoformat(text.upper()).astimezone(UTC)
            if found.year in _YEARS:
                return found
    except (ValueError, OverflowError):
        pass  # a day or an hour that the calendar does not have
    raise RequestError(Refusal.VALUE, member=f"events[{place}].at")


def _told(events: Sequence[NetworkEvent], results: Sequence[EventResult]) -> EventOutcomes:
    return EventOutcomes(
        applied=sum(result is EventResult.APPLIED for result in results),
        events=[
            EventOutcome(
                imei=event.imei,
                status=result.value,
                reason=event.fault if result is EventResult.REJECTED else UNSET,
            )
            for event, result in zip(events, results, strict=True)
        ],
    )
