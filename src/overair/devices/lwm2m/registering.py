"""Who may register, and what is kept of it: many registrations in one transaction (``lwm2m.md`` 3, 12).

    Arrival (what came, over which session) ── accept ──> Verdict (an answer, and the registration)

Over DTLS the session says who it is, and the name of the endpoint has to be one of that device. Without
DTLS the name is all there is. Devices that the operator does not know, or has made inactive, are refused
with 4.03, whichever it is.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from overair.config import Settings
from overair.core.checks import ACTIVE
from overair.core.ids import DeviceId
from overair.core.protocols import LWM2M
from overair.protocols.coap.numbers import Code
from overair.protocols.lwm2m.endpoint_name import imei_of
from overair.protocols.lwm2m.registration import Register, Update
from overair.store import lwm2m_accounts, push
from overair.store import lwm2m_registrations as store
from overair.store.database import Tx, to_ms
from overair.store.lwm2m_accounts import Owner
from overair.store.lwm2m_registrations import Presence, Registration, Wanted

_IMEI_DIGITS: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A Register."""

    asked: Register
    links: str
    """The list of objects, as it came."""
    address: str
    """host:port; "": over DTLS."""
    device_id: DeviceId | None
    """Whose session it is; None: there is none."""
    identity: str
    location: str
    """Where it is to be, if it is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An Update of a registration that is known."""

    registration: Registration
    """As it is to be, but for the address."""
    address: str
    same: bool
    """Nothing but its end has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of an Arrival."""

    code: Code
    registration: Registration | None = None
    model: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What came at about the same time."""

    arrivals: Sequence[Arrival] = ()
    changes: Sequence[Change] = ()
    gone: Sequence[Registration] = ()
    displaced: Sequence[DeviceId] = ()
    """Registered, and nobody knows where: at its address is another."""
    room: int
    """How many more registrations there may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What became of a batch."""

    verdicts: tuple[Verdict, ...]
    wanted: tuple[Wanted, ...]
    """Devices among them for which something is to be done."""


def accept(tx: Tx, batch: Batch, settings: Settings, now: datetime) -> Accepted:
    """Decide and write a batch; the caller bounds its size."""
    verdicts = _verdicts(tx, batch, settings, now)
    # Of a device that registers twice in a batch the last one counts.
    rows = {v.registration.device_id: v.registration for v in verdicts if v.registration}
    anew = set(rows)
    prolonged: dict[DeviceId, Registration] = {}
    for change in batch.changes:
        row = change.registration
        if row.device_id in rows:
            continue
        if change.same and row.device_id not in prolonged:
            prolonged[row.device_id] = row
        else:
            prolonged.pop(row.device_id, None)
            rows[row.device_id] = row._replace(address=change.address)
    # Only as far as the location is still the same: who registered anew is there.
    ended = {row.device_id for row in batch.gone} - anew
    store.put(tx, list(rows.values()))
    store.prolong(tx, [(row.device_id, row.expires_ms) for row in prolonged.values()])
    store.drop(tx, [(row.device_id, row.location) for row in batch.gone])
    store.forget_addresses(tx, [each for each in batch.displaced if each not in anew])
    there = [*rows.values(), *prolonged.values()]
    there = [row for row in there if row.device_id not in ended]
    store.note_presence(tx, [_presence(row, True) for row in there], now)
    left = {row.device_id: row for row in batch.gone if row.device_id in ended}
    store.note_presence(tx, [_presence(row, False) for row in left.values()], now)
    asked_since = now - timedelta(seconds=settings.lwm2m.report_timeout_s)
    wanted = store.wanted(tx, [row.device_id for row in there], asked_since)
    waiting = [each.device_id for each in wanted if each.attempt_id is None]
    if waiting and push.hasten_unplaced(tx, waiting, now):
        tx.hint("push")
    return Accepted(verdicts=tuple(verdicts), wanted=tuple(wanted))


def _presence(row: Registration, registered: bool) -> Presence:
    return Presence(row.device_id, registered, row.queue_mode, row.lifetime_s)


def _verdicts(tx: Tx, batch: Batch, settings: Settings, now: datetime) -> list[Verdict]:
    arrivals = batch.arrivals
    if not arrivals:
        return []
    by_id = lwm2m_accounts.by_ids(tx, sorted({a.device_id for a in arrivals if a.device_id}))
    plain = {a.asked.endpoint for a in arrivals if a.device_id is None and a.asked.endpoint}
    by_name = lwm2m_accounts.by_endpoints(tx, sorted(plain))
    imeis = {name: imei_of(name) for name in plain if name not in by_name}
    whole = sorted({imei for imei in imeis.values() if imei and len(imei) == _IMEI_DIGITS})
    by_imei = lwm2m_accounts.by_imeis(tx, whole)
    verdicts: list[Verdict] = []
    room = batch.room
    # One object for all of a batch that have the same: each is kept for as long as the registration.
    now_ms = to_ms(now)
    ends: dict[int, int | None] = {}
    for lifetime in {arrival.asked.lifetime for arrival in arrivals}:
        ends[lifetime] = ends_at(lifetime, settings.lwm2m.grace_s, now_ms)
    for arrival in arrivals:
        name = arrival.asked.endpoint
        if arrival.device_id is not None:
            owner = by_id.get(arrival.device_id)
            name = name or _name_of(owner)
        elif name is None:
            verdicts.append(Verdict(code=Code.BAD_REQUEST, why="no endpoint name"))
            continue
        else:
            owner = by_name.get(name) or _by_imei(tx, imeis.get(name), by_imei)
        why = _refusal(arrival, owner, name)
        if why or owner is None or name is None:
            verdicts.append(Verdict(code=Code.FORBIDDEN, why=why))
            continue
        # Whoever is registered has a place already, and registers anew each time it wakes or restarts.
        if room <= 0 and store.of_device(tx, owner.device_id) is None:
            verdicts.append(Verdict(code=Code.SERVICE_UNAVAILABLE, why="too many registrations"))
            continue
        room -= 1
        verdicts.append(
            Verdict(
                code=Code.CREATED,
                registration=_registration(
                    arrival, owner, name, now_ms, ends[arrival.asked.lifetime]
                ),
                model=sys.intern(f"{owner.make} {owner.model}"),
            )
        )
    return verdicts


def _by_imei(tx: Tx, imei: str | None, found: dict[str, Owner]) -> Owner | None:
    if imei is None:
        return None
    if len(imei) == _IMEI_DIGITS:
        return found.get(imei)
    return lwm2m_accounts.by_first_digits(tx, imei)


def _name_of(owner: Owner | None) -> str | None:
    return None if owner is None else owner.endpoint or owner.identity


def _refusal(arrival: Arrival, owner: Owner | None, name: str | None) -> str:
    """Why a device may not register so; "": it may."""
    if owner is None or name is None:
        return "no device is called so"
    if owner.protocol != LWM2M:
        return f"the device is one over {owner.protocol}"
    if not owner.active or owner.status.lower() != ACTIVE:
        return "the device, or its account, is not active"
    if arrival.device_id is not None and owner.identity != arrival.identity:
        return "the identity of the session is the device's no more"
    if owner.endpoint is not None:
        return "" if name == owner.endpoint else "the endpoint name is not that of the device"
    if arrival.device_id is not None and name == owner.identity:
        return ""
    imei = imei_of(name)
    if imei is None or not owner.imei.startswith(imei):
        return "the endpoint name is not that of the device"
    return ""


def _registration(
    arrival: Arrival, owner: Owner, name: str, now_ms: int, expires_ms: int | None
) -> Registration:
    asked = arrival.asked
    return Registration(
        device_id=owner.device_id,
        location=arrival.location,
        endpoint=name,
        address=arrival.address,
        identity=arrival.identity,
        version=asked.version,
        binding=asked.binding,
        queue_mode=asked.queue_mode,
        lifetime_s=asked.lifetime,
        sms=asked.sms or "",
        objects=sys.intern(arrival.links),
        registered_ms=now_ms,
        expires_ms=expires_ms,
    )


def ends_at(lifetime_s: int, grace_s: int, now_ms: int) -> int | None:
    """When a registration is over; None: never."""
    return None if lifetime_s == 0 else now_ms + (lifetime_s + grace_s) * 1000


def updated(
    before: Registration,
    asked: Update,
    links: str,
    address: str,
    settings: Settings,
    now: datetime,
    *,
    moved: bool,
) -> Change:
    """What an Update makes of a registration.

    ``moved``: the address is another; in memory a registration has none (``clients.py``).
    """
    lifetime = before.lifetime_s if asked.lifetime is None else asked.lifetime
    after = before._replace(
        binding=before.binding if asked.binding is None else asked.binding,
        queue_mode=before.queue_mode if asked.queue_mode is None else asked.queue_mode,
        lifetime_s=lifetime,
        sms=before.sms if asked.sms is None else asked.sms,
        objects=before.objects if asked.objects is None else sys.intern(links),
        expires_ms=ends_at(lifetime, settings.lwm2m.grace_s, to_ms(now)),
    )
    same = not moved and after._replace(expires_ms=before.expires_ms) == before
    return Change(registration=after, address=address, same=same)


__all__ = [
    "Accepted",
    "Arrival",
    "Batch",
    "Change",
    "Verdict",
    "accept",
    "ends_at",
    "updated",
]
