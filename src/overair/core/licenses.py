"""Licences: who gets one, whose goes, and when one is needed (``lifecycle.md`` 6).

An account buys licences monthly (a pool of a fixed number, each on one device for any number of
upgrades), or pays for each completed upgrade as an event, or both. One pool serves all protocols
and all versions of the API.

Pure: what is known comes in, what is to be done goes out. Not here: the published texts
(``core/license_words.py``), the rows (``store/licenses.py``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Final

from overair.core.ids import DeviceId, UpgradeId

MONTHLY: Final = "TS-HFOTA-MRC"
EVENT: Final = "TS-HFOTA-EVNT"
PURCHASE_TYPES: Final = (EVENT, MONTHLY)  # the order in which both are published


class LicenseTermsError(ValueError):
    """A subscription that nobody can have bought; the message says why."""


class LicenseOutcome(StrEnum):
    """What became of one device of an assign or remove request."""

    ASSIGNED = auto()
    PREEXISTING = auto()
    REMOVED = auto()
    NOT_FOUND = auto()
    NOT_ELIGIBLE = auto()
    POOL_EMPTY = auto()
    NOT_LICENSED = auto()
    IN_USE = auto()  # an upgrade since it was assigned, or one under way


def parse_purchase_type(text: str) -> str:
    """The purchase type as published: its kinds once each, in one order."""
    kinds = {part.strip().upper() for part in text.split(",")}
    unknown = kinds.difference(PURCHASE_TYPES)
    if unknown:
        raise LicenseTermsError(
            f"a purchase type is {EVENT}, {MONTHLY} or both with a comma, not {text!r}"
        )
    return ",".join(kind for kind in PURCHASE_TYPES if kind in kinds)


def check_terms(purchase_type: str, license_count: int) -> str:
    """The purchase type as published, if it can be bought with that many licences."""
    parsed = parse_purchase_type(purchase_type)
    if license_count < 0:
        raise LicenseTermsError("the number of licences is 0 or more")
    if license_count and not has_pool(parsed):
        raise LicenseTermsError(f"{parsed} has no pool of licences: their number is 0")
    return parsed


def has_pool(purchase_type: str) -> bool:
    """Whether licences are bought monthly."""
    return MONTHLY in purchase_type


def bills_events(purchase_type: str) -> bool:
    """Whether upgrades of devices without a licence are billed one by one."""
    return EVENT in purchase_type


def license_needed(purchase_type: str) -> bool:
    """Whether a device must have a licence to be upgraded."""
    return has_pool(purchase_type) and not bills_events(purchase_type)


@dataclass(frozen=True, slots=True, kw_only=True)
class LicensedDevice:
    """What the decisions know of a device of the account."""

    id: DeviceId
    eligible: bool
    licensed: bool
    ending: bool  # its licence goes when its present upgrade has ended
    used: bool  # an upgrade has completed since its licence was assigned
    open_upgrade_id: UpgradeId | None
    started: bool  # its open upgrade was offered to it
    at_work: bool  # it has an action that is not at its end

    @property
    def in_progress(self) -> bool:
        return self.at_work or self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class LicensePlan:
    """The whole answer to a request, and what it changes."""

    outcomes: tuple[tuple[str, LicenseOutcome], ...]  # request order
    changed: tuple[LicensedDevice, ...]  # devices that get or lose a licence
    kept: tuple[LicensedDevice, ...] = ()  # devices whose licence stays after all


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What a pool has to give."""

    free: int  # licences that no device has
    lasting: int  # those, and the ones that end with an upgrade: they may stay, or go to others


def plan_assignment(
    imeis: Sequence[str], devices: Mapping[str, LicensedDevice], room: Room | None
) -> LicensePlan:
    """Assign in request order while licences last; ``room`` None: the account has no pool.

    A licence that would go with the upgrade under way stays, if the pool has grown again.
    """
    outcomes: list[tuple[str, LicenseOutcome]] = []
    given: dict[str, LicensedDevice] = {}
    kept: dict[str, LicensedDevice] = {}
    for imei in imeis:
        device = devices.get(imei)
        if device is None:
            outcome = LicenseOutcome.NOT_FOUND
        elif (device.licensed and not device.ending) or imei in given or imei in kept:
            outcome = LicenseOutcome.PREEXISTING
        elif not device.eligible:
            outcome = LicenseOutcome.NOT_ELIGIBLE
        elif room is not None and (
            len(given) + len(kept) >= room.lasting
            or (not device.licensed and len(given) >= room.free)
        ):
            outcome = LicenseOutcome.POOL_EMPTY
        else:
            outcome = LicenseOutcome.ASSIGNED
            if room is not None:
                (kept if device.licensed else given)[imei] = device
        outcomes.append((imei, outcome))
    return LicensePlan(
        outcomes=tuple(outcomes), changed=tuple(given.values()), kept=tuple(kept.values())
    )


def plan_removal(imeis: Sequence[str], devices: Mapping[str, LicensedDevice]) -> LicensePlan:
    """Take back what was not used."""
    outcomes: list[tuple[str, LicenseOutcome]] = []
    taken: dict[str, LicensedDevice] = {}
    for imei in imeis:
        device = devices.get(imei)
        if device is None:
            outcome = LicenseOutcome.NOT_FOUND
        elif not device.licensed or imei in taken:
            outcome = LicenseOutcome.NOT_LICENSED
        elif device.used or device.in_progress:
            outcome = LicenseOutcome.IN_USE
        else:
            outcome = LicenseOutcome.REMOVED
            taken[imei] = device
        outcomes.append((imei, outcome))
    return LicensePlan(outcomes=tuple(outcomes), changed=tuple(taken.values()))


def choose_losers(
    excess: int, listed: Iterable[DeviceId], oldest_first: Iterable[DeviceId]
) -> list[DeviceId]:
    """Whose licence goes when the pool shrinks by ``excess``: the list from its head, then FIFO.

    Both name only devices that have a licence to lose.
    """
    chosen: dict[DeviceId, None] = {}
    for source in (listed, oldest_first):
        for device_id in source:
            if len(chosen) >= excess:
                return list(chosen)
            chosen.setdefault(device_id)
    return list(chosen)


def once_each(imeis: Iterable[str]) -> list[str]:
    """Without repetitions, in the order in which they were first seen (``api.md`` 4.4)."""
    return list(dict.fromkeys(imeis))
