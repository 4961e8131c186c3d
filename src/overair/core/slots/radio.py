"""Where a device is on the radio network, how well it hears it, and whether it can be reached.

A cell is known by a text, ``mcc-mnc-cell``, which is also what the store keeps; the empty text is the
pool of all devices whose cell is not known. Values are as devices and networks report them, so each
may be missing or nonsense, and then says "unknown" instead of failing (``lwm2m.md`` 11).

Not here: reading them from a device (``protocols/lwm2m``), or when to read them again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NewType

CellKey = NewType("CellKey", str)

UNKNOWN_CELL: Final = CellKey("")

_NR: Final = frozenset({8, 9})  # bearers whose cell identity has 36 bits, not 28
_RSRP_BEARERS: Final = frozenset({5, 6, 7, 8, 9})  # LTE, NB-IoT and NR; on others 4/0/2 is no RSRP
_HIGHEST_BEARER: Final = 50  # of 4/0/0
_LOWEST_DBM: Final = -156  # TS 38.133 10.1.6: what an RSRP can be
_HIGHEST_DBM: Final = -31


def cell_key(
    mcc: int | None, mnc: int | None, cell: int | None, bearer: int | None = None
) -> CellKey:
    """The cell of these values of object 4, or the pool of the unknown.

    The MNC's two or three digits are lost in an integer, so they are compared as integers.
    """
    bits = 36 if bearer in _NR else 28
    if cell is None or not 0 <= cell < 1 << bits:
        return UNKNOWN_CELL
    if mcc is None or not 1 <= mcc <= 999:
        return CellKey(f"0-0-{cell}")
    # Networks with MNC 0 exist; one that is missing is no worse than that.
    return CellKey(f"{mcc}-{mnc if mnc is not None and 0 <= mnc <= 999 else 0}-{cell}")


def fault_of(
    *,
    mcc: int | None = None,
    mnc: int | None = None,
    cell: int | None = None,
    bearer: int | None = None,
    rsrp_dbm: int | None = None,
) -> str:
    """Which of these values a network cannot mean, and what it may be; "": there is none."""
    most = (1 << (36 if bearer in _NR else 28)) - 1
    for name, value, low, high in (
        ("bearer", bearer, 0, _HIGHEST_BEARER),
        ("mcc", mcc, 1, 999),
        ("mnc", mnc, 0, 999),
        ("cell", cell, 0, most),
        ("rsrp", rsrp_dbm, _LOWEST_DBM, _HIGHEST_DBM),
    ):
        if value is not None and not low <= value <= high:
            return f"{name} is {low} to {high}"
    return ""


class Signal(StrEnum):
    """How well a device hears its cell, in the classes that limits are given for."""

    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From which RSRP on a signal is good, and from which on fair; below that it is poor."""

    good_dbm: int = -95
    fair_dbm: int = -110

    def __post_init__(self) -> None:
        if not _LOWEST_DBM <= self.fair_dbm < self.good_dbm <= _HIGHEST_DBM:
            raise ValueError(
                f"thresholds are {_LOWEST_DBM} <= fair < good <= {_HIGHEST_DBM} (dBm RSRP)"
            )


def signal_class(rsrp_dbm: int | None, thresholds: Thresholds, bearer: int | None = None) -> Signal:
    """The class of a signal strength; positive numbers occur and mean nothing."""
    if rsrp_dbm is None or not _LOWEST_DBM <= rsrp_dbm <= _HIGHEST_DBM:
        return Signal.UNKNOWN
    if bearer is not None and bearer not in _RSRP_BEARERS:
        return Signal.UNKNOWN
    if rsrp_dbm >= thresholds.good_dbm:
        return Signal.GOOD
    return Signal.FAIR if rsrp_dbm >= thresholds.fair_dbm else Signal.POOR


class Reach(StrEnum):
    """Whether a device can be reached, as far as is known."""

    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
    """Neither the device nor the network has said anything yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """What is known of a device's being there: by itself, and by the network."""

    registered: bool | None = None  # None: it never was
    queue_mode: bool = False
    lifetime: timedelta = timedelta()  # none: its registration never ends (``lwm2m.md`` 3)
    last_contact: datetime | None = None
    network: bool | None = None  # the network's last word, None: it gave none
    network_at: datetime | None = None


def reach_of(contact: Contact, now: datetime) -> Reach:
    """Whether a device can be reached now.

    The device's own registration counts (``lwm2m.md`` 4: registered, and in queue mode heard from
    within its lifetime), because without one there is nobody to talk to. The network can take that
    away, if its word is newer than the device's; of a device that never registered it is all we have.
    """
    if contact.registered is None:
        if contact.network is None:
            return Reach.UNKNOWN
        return Reach.REACHABLE if contact.network else Reach.UNREACHABLE
    heard = contact.last_contact
    if contact.network is False and (
        heard is None or (contact.network_at is not None and contact.network_at > heard)
    ):
        return Reach.UNREACHABLE
    if not contact.registered:
        return Reach.UNREACHABLE
    if not contact.queue_mode or not contact.lifetime:
        # A registration that never ends has no time within which to be heard of.
        return Reach.REACHABLE
    late = heard is None or now > heard + contact.lifetime
    return Reach.UNREACHABLE if late else Reach.REACHABLE
