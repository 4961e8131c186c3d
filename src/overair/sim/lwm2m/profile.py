"""What can happen to a simulated LwM2M device, how likely it is, and the dice.

The dice of an attempt depend on the seed, the device and the number of the attempt only, never on
timing: two runs with one seed fail the same devices in the same way. What a device is for good has dice
of its own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from random import Random

from overair.protocols.lwm2m.results import Result

HOUR = 3600.0
Span = tuple[float, float]


class Fate(Enum):
    """How an attempt goes if nobody interferes."""

    INSTALLS = "installs"
    DOWNLOAD_FAILS = "download fails"
    CORRUPTED = "corrupted"
    UNSUPPORTED = "unsupported package"
    BAD_URI = "will not fetch from there"
    INSTALL_FAILS = "install fails"
    FALLS_BACK = "falls back, and says so"
    VANISHES = "falls back, and says nothing"
    LOST_RESULT = "installs, and loses the result"
    HANGS = "hangs while it installs"
    DEFERS = "puts it off"
    RESTARTS_FIRST = "restarts before it installs"


class Oddity(Enum):
    """What clients do that the specification does not say (lwm2m 17)."""

    NO_CONTENT_FORMAT = "its answers have no content format"
    NO_INSTANCE_READS = "instances are not found, their resources are"
    NO_SENML = "it speaks 1.1 without SenML"
    NO_OBSERVE = "an observation gets a plain answer"
    NEW_PORT = "it wakes on another port and registers anew"
    SKIPS_DOWNLOADING = "a push shows only idle and downloaded"
    SMALL_BLOCKS = "it wants blocks of 256 bytes, and says so"
    SMALL_BUFFER = "it wants blocks of 256 bytes, and does not say so"
    SENDS_RESULT = "after a restart it sends state, result and version"
    OLD_TOKEN = "after a restart it notifies under its old token"  # noqa: S105 - CoAP's tokens
    CONFIRMS = "its notifications want to be acknowledged"


_MODERN = frozenset({Oddity.SENDS_RESULT, Oddity.NO_SENML})
_SMALL = frozenset({Oddity.SMALL_BLOCKS, Oddity.SMALL_BUFFER})
_DOWNLOAD_CODES = (
    Result.NOT_ENOUGH_STORAGE,
    Result.OUT_OF_MEMORY,
    Result.CONNECTION_LOST,
    Result.CANCELLED,
)
_URI_CODES = (Result.INVALID_URI, Result.UNSUPPORTED_PROTOCOL)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptPlan:
    """The draw of one attempt. ``cut_at`` (power goes) and ``stops_at`` are shares of the image.

    ``keeps_image``: after a failed installation it is in state 2, and not in 0.
    """

    fate: Fate = Fate.INSTALLS
    code: int = Result.CONNECTION_LOST
    uri_code: int = Result.INVALID_URI
    cut_at: float | None = None
    stops_at: float = 0.5
    keeps_image: bool = False
    install_s: float = 30.0
    reboot_s: float = 20.0
    hang_s: float = 6 * HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePlan:
    """The draw of one device, for good."""

    oddities: frozenset[Oddity] = frozenset()
    moves: bool = False
    loses_power: bool = False
    loses_network: bool = False
    slow: bool = False
    in_place: bool = False
    signal: int = -85

    def has(self, oddity: Oddity) -> bool:
        """Tell whether the device does that."""
        return oddity in self.oddities


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Rates of fates are probabilities per attempt, and exclude each other; ``cut`` is beside them.

    Shares are of devices, for good: ``moving`` between cells, ``unreachable`` and ``powerless`` at times,
    ``odd`` (one or two oddities), ``slow``, ``in_place`` (updates without a restart). Spans are drawn from.
    """

    download_failure: float = 0.0
    corruption: float = 0.0
    unsupported: float = 0.0
    bad_uri: float = 0.0
    install_failure: float = 0.0
    fallback: float = 0.0
    silent_fallback: float = 0.0
    lost_result: float = 0.0
    hang: float = 0.0
    deferral: float = 0.0
    early_restart: float = 0.0
    cut: float = 0.0

    moving: float = 0.0
    unreachable: float = 0.0
    powerless: float = 0.0
    odd: float = 0.0
    slow: float = 0.0
    in_place: float = 0.0
    slow_bytes_per_s: float = 4_000.0

    move_every_h: Span = (4.0, 48.0)
    reachable_h: Span = (4.0, 36.0)
    unreachable_h: Span = (1.0, 12.0)
    powered_h: Span = (8.0, 72.0)
    powerless_h: Span = (0.5, 12.0)
    install_s: Span = (30.0, 180.0)
    reboot_s: Span = (10.0, 60.0)
    hang_s: Span = (2 * HOUR, 12 * HOUR)
    signal_dbm: tuple[int, int] = (-120, -65)

    def __post_init__(self) -> None:
        shares = (
            *(self.cut, self.moving, self.unreachable, self.powerless),
            *(self.odd, self.slow, self.in_place),
        )
        rates = tuple(self._fates().values())
        if not all(0.0 <= rate <= 1.0 for rate in (*rates, *shares)):
            raise ValueError("rates are from 0 to 1")
        if sum(rates) > 1.0 + 1e-9:
            raise ValueError("the rates of the ways to fail add up to more than 1")
        if not self.slow_bytes_per_s > 0:
            raise ValueError("slow_bytes_per_s is above 0")
        hours = (self.move_every_h, self.reachable_h, self.unreachable_h)
        # Below a minute, a month would be mostly switching.
        if not all(
            1 / 60 <= low <= high for low, high in (*hours, self.powered_h, self.powerless_h)
        ):
            raise ValueError("hours are ranges of at least a minute")
        if not all(
            0.0 <= low <= high for low, high in (self.install_s, self.reboot_s, self.hang_s)
        ):
            raise ValueError("install_s, reboot_s and hang_s are ranges of seconds")

    def _fates(self) -> dict[Fate, float]:
        return {
            Fate.DOWNLOAD_FAILS: self.download_failure,
            Fate.CORRUPTED: self.corruption,
            Fate.UNSUPPORTED: self.unsupported,
            Fate.BAD_URI: self.bad_uri,
            Fate.INSTALL_FAILS: self.install_failure,
            Fate.FALLS_BACK: self.fallback,
            Fate.VANISHES: self.silent_fallback,
            Fate.LOST_RESULT: self.lost_result,
            Fate.HANGS: self.hang,
            Fate.DEFERS: self.deferral,
            Fate.RESTARTS_FIRST: self.early_restart,
        }

    def draw(self, seed: int, imei: str, attempt: int) -> AttemptPlan:
        """Draw what happens in a device's ``attempt``-th attempt."""
        dice = Random(f"{seed}/{imei}/{attempt}")
        fate, left = Fate.INSTALLS, dice.random()
        for each, rate in self._fates().items():
            if left < rate:
                fate = each
                break
            left -= rate
        return AttemptPlan(
            fate=fate,
            code=dice.choice(_DOWNLOAD_CODES),
            uri_code=dice.choice(_URI_CODES),
            cut_at=dice.uniform(0.1, 0.9) if dice.random() < self.cut else None,
            stops_at=dice.uniform(0.1, 0.9),
            keeps_image=dice.random() < 0.5,
            install_s=dice.uniform(*self.install_s),
            reboot_s=dice.uniform(*self.reboot_s),
            hang_s=dice.uniform(*self.hang_s),
        )

    def draw_device(self, seed: int, imei: str, *, version: str) -> DevicePlan:
        """Draw what a device is for good."""
        dice = Random(f"{seed}/{imei}/device")
        return DevicePlan(
            oddities=_oddities(dice, version) if dice.random() < self.odd else frozenset(),
            moves=dice.random() < self.moving,
            loses_network=dice.random() < self.unreachable,
            loses_power=dice.random() < self.powerless,
            slow=dice.random() < self.slow,
            in_place=dice.random() < self.in_place,
            signal=dice.randint(*self.signal_dbm),
        )


def _oddities(dice: Random, version: str) -> frozenset[Oddity]:
    possible = [each for each in Oddity if version != "1.0" or each not in _MODERN]
    drawn = frozenset(dice.sample(possible, dice.randint(1, 2)))
    return drawn - {Oddity.SMALL_BUFFER} if drawn >= _SMALL else drawn


def turns(dice: Random, on: Span, off: Span, start: float) -> Iterator[tuple[float, bool]]:
    """Yield when something comes (True) and goes, by spans in hours; the first is at ``start``."""
    is_on = dice.random() < sum(on) / (sum(on) + sum(off))
    length = dice.uniform(*(on if is_on else off)) * dice.random()
    at = start
    while True:
        yield at, is_on
        at += length * HOUR
        is_on = not is_on
        length = dice.uniform(*(on if is_on else off))
