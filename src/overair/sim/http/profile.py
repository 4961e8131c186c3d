"""What can happen to a simulated device, how likely it is, and the dice.

The dice of an attempt depend on the seed, the device and the number of the attempt only, never on
timing: two runs with one seed fail the same devices in the same way.
"""

from dataclasses import dataclass
from enum import Enum
from random import Random


class Fate(Enum):
    """How an attempt goes if nobody interferes."""

    INSTALLS = "installs"
    DOWNLOAD_FAILS = "download fails"
    CORRUPTED = "corrupted"
    INSTALL_FAILS = "install fails"
    FALLS_BACK = "falls back"
    SILENT = "silent"
    FORGETFUL = "forgetful"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptPlan:
    """The draw of one attempt. ``cut_at`` and ``stops_at`` are shares of the file."""

    fate: Fate = Fate.INSTALLS
    cut_at: float | None = None
    stops_at: float = 0.5
    install_s: float = 30.0
    reboot_s: float = 20.0
    refuses_cancel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Rates are probabilities per attempt; those of the fates exclude each other.

    ``silence``: installs and never reports. ``forgetfulness``: is not told its state after the
    restart, as a SWUpdate device set up wrongly, and installs again and again (the server's loop
    guard is for these). ``slow_share`` is the share of devices behind a slow link.
    """

    download_failure: float = 0.0
    corruption: float = 0.0
    install_failure: float = 0.0
    fallback: float = 0.0
    silence: float = 0.0
    forgetfulness: float = 0.0
    cut: float = 0.0
    cancel_refusal: float = 0.0
    slow_share: float = 0.0
    slow_bytes_per_s: float = 64_000.0
    install_s: tuple[float, float] = (20.0, 60.0)
    reboot_s: tuple[float, float] = (10.0, 40.0)
    poll_interval_s: float | None = None

    def __post_init__(self) -> None:
        rates = (*self._fates().values(), self.cut, self.cancel_refusal, self.slow_share)
        if not all(0.0 <= rate <= 1.0 for rate in rates):
            raise ValueError("rates are from 0 to 1")
        if sum(self._fates().values()) > 1.0 + 1e-9:
            raise ValueError("the rates of the ways to fail add up to more than 1")
        if not self.slow_bytes_per_s > 0:
            raise ValueError("slow_bytes_per_s is above 0")
        if not all(0.0 <= low <= high for low, high in (self.install_s, self.reboot_s)):
            raise ValueError("install_s and reboot_s are ranges of seconds")
        if self.poll_interval_s is not None and not self.poll_interval_s > 0:
            raise ValueError("poll_interval_s is above 0")

    def _fates(self) -> dict[Fate, float]:
        return {
            Fate.DOWNLOAD_FAILS: self.download_failure,
            Fate.CORRUPTED: self.corruption,
            Fate.INSTALL_FAILS: self.install_failure,
            Fate.FALLS_BACK: self.fallback,
            Fate.SILENT: self.silence,
            Fate.FORGETFUL: self.forgetfulness,
        }

    def draw(self, seed: int, controller_id: str, attempt: int) -> AttemptPlan:
        """Draw what happens in a device's ``attempt``-th attempt."""
        dice = Random(f"{seed}/{controller_id}/{attempt}")
        left = dice.random()
        drawn = Fate.INSTALLS
        for fate, rate in self._fates().items():
            if left < rate:
                drawn = fate
                break
            left -= rate
        return AttemptPlan(
            fate=drawn,
            cut_at=dice.uniform(0.1, 0.9) if dice.random() < self.cut else None,
            stops_at=dice.uniform(0.1, 0.9),
            install_s=dice.uniform(*self.install_s),
            reboot_s=dice.uniform(*self.reboot_s),
            refuses_cancel=dice.random() < self.cancel_refusal,
        )

    def link_speed(self, seed: int, controller_id: str) -> float | None:
        """Bytes per second of a device's link; None is as fast as it goes."""
        slow = Random(f"{seed}/{controller_id}/link").random() < self.slow_share
        return self.slow_bytes_per_s if slow else None
