"""What can happen to a simulated OMA-DM device, how likely it is, and the dice.

The dice of an attempt depend on the seed, the device and the number of the attempt only, never on
timing: two runs with one seed fail the same devices in the same way. What a device is for good (its
power, its manners, its link, whether its secrets are right) has dice of its own.
"""

from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import TypeVar

from overair.protocols.syncml.fumo import Result
from overair.sim.omadm.manners import Manners, Oddity, draw_oddities, wbxml_form, xml_form
from overair.sim.omadm.power import Habit, PowerHours

_DOWNLOAD_CODES = (Result.DOWNLOAD_TIMEOUT, Result.DOWNLOAD_NETWORK_ERROR)


class Fate(Enum):
    """How an attempt goes if nobody interferes."""

    INSTALLS = "installs"
    DOWNLOAD_FAILS = "download fails"
    CORRUPTED = "corrupted"
    INSTALL_FAILS = "install fails"
    FALLS_BACK = "falls back, and reports success"
    VANISHES = "falls back, and reports nothing"
    LOST_REPORT = "installs, and reports nothing"
    DECLINES = "declines"
    SILENT = "accepts, and does nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptPlan:
    """The draw of one attempt. ``cut_at`` and ``stops_at`` are shares of the file.

    ``refuses_exec``: one that declines says so at once, with status 304, and not in a report.
    ``says_downloaded``: it reports 255 before the installation. ``reports_early``: it reports success
    before it restarts, and so still has its old version then. ``stuck``: a silent one seems to download.
    """

    fate: Fate = Fate.INSTALLS
    code: int = Result.DOWNLOAD_TIMEOUT
    cut_at: float | None = None
    stops_at: float = 0.5
    install_s: float = 30.0
    reboot_s: float = 20.0
    refuses_exec: bool = False
    says_downloaded: bool = False
    reports_early: bool = False
    reports_twice: bool = False
    stuck: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """Rates are probabilities per attempt; those of the fates exclude each other.

    Shares are of devices, for good: those of the habits exclude each other, and the others are always
    on. ``wrong_credentials``: half of them show a wrong secret, half expect another of the server.
    ``boot_session``: the device opens a session of its own at each start. ``reaction_s`` passes between
    a notification and its session, ``think_s`` before each message of a slow device.
    """

    download_failure: float = 0.0
    corruption: float = 0.0
    install_failure: float = 0.0
    fallback: float = 0.0
    silent_fallback: float = 0.0
    lost_report: float = 0.0
    decline: float = 0.0
    silence: float = 0.0
    cut: float = 0.0
    says_downloaded: float = 0.0
    early_report: float = 0.0
    double_report: float = 0.0

    off_at_night: float = 0.0
    off_for_days: float = 0.0
    erratic: float = 0.0
    late: float = 0.0
    hours: PowerHours = field(default_factory=PowerHours)

    odd: float = 0.0
    xml: float = 0.0
    wrong_credentials: float = 0.0
    boot_session: float = 0.0
    slow: float = 0.0
    slow_bytes_per_s: float = 16_000.0
    think_s: tuple[float, float] = (0.5, 4.0)

    reaction_s: tuple[float, float] = (1.0, 20.0)
    install_s: tuple[float, float] = (60.0, 240.0)
    reboot_s: tuple[float, float] = (20.0, 60.0)

    def __post_init__(self) -> None:
        rates = (
            *self._fates().values(),
            *self._habits().values(),
            *(self.cut, self.says_downloaded, self.early_report, self.double_report),
            *(self.odd, self.xml, self.wrong_credentials, self.boot_session, self.slow),
        )
        if not all(0.0 <= rate <= 1.0 for rate in rates):
            raise ValueError("rates are from 0 to 1")
        if sum(self._fates().values()) > 1.0 + 1e-9:
            raise ValueError("the rates of the ways to fail add up to more than 1")
        if sum(self._habits().values()) > 1.0 + 1e-9:
            raise ValueError("the shares of devices that are off at times add up to more than 1")
        if not self.slow_bytes_per_s > 0:
            raise ValueError("slow_bytes_per_s is above 0")
        spans = (self.think_s, self.reaction_s, self.install_s, self.reboot_s)
        if not all(0.0 <= low <= high for low, high in spans):
            raise ValueError("think_s, reaction_s, install_s and reboot_s are ranges of seconds")

    def _fates(self) -> dict[Fate, float]:
        return {
            Fate.DOWNLOAD_FAILS: self.download_failure,
            Fate.CORRUPTED: self.corruption,
            Fate.INSTALL_FAILS: self.install_failure,
            Fate.FALLS_BACK: self.fallback,
            Fate.VANISHES: self.silent_fallback,
            Fate.LOST_REPORT: self.lost_report,
            Fate.DECLINES: self.decline,
            Fate.SILENT: self.silence,
        }

    def _habits(self) -> dict[Habit, float]:
        return {
            Habit.OFF_AT_NIGHT: self.off_at_night,
            Habit.OFF_FOR_DAYS: self.off_for_days,
            Habit.ERRATIC: self.erratic,
            Habit.LATE: self.late,
        }

    def draw(self, seed: int, imei: str, attempt: int) -> AttemptPlan:
        """Draw what happens in a device's ``attempt``-th attempt."""
        dice = Random(f"{seed}/{imei}/{attempt}")
        return AttemptPlan(
            fate=_pick(dice, self._fates()) or Fate.INSTALLS,
            code=dice.choice(_DOWNLOAD_CODES),
            cut_at=dice.uniform(0.1, 0.9) if dice.random() < self.cut else None,
            stops_at=dice.uniform(0.1, 0.9),
            install_s=dice.uniform(*self.install_s),
            reboot_s=dice.uniform(*self.reboot_s),
            refuses_exec=dice.random() < 0.5,
            says_downloaded=dice.random() < self.says_downloaded,
            reports_early=dice.random() < self.early_report,
            reports_twice=dice.random() < self.double_report,
            stuck=dice.random() < 0.5,
        )

    def draw_device(self, seed: int, imei: str, root: str) -> "DevicePlan":
        """Draw what a device is for good."""
        dice = Random(f"{seed}/{imei}/device")
        habit = _pick(dice, self._habits()) or Habit.ALWAYS_ON
        xml = dice.random() < self.xml
        odd = dice.random() < self.odd
        oddities = draw_oddities(dice) if odd else frozenset()
        old = Oddity.OLD_MEDIA_TYPE in oddities
        wrong = dice.random()
        return DevicePlan(
            habit=habit,
            manners=Manners(
                form=xml_form(old=old) if xml else wbxml_form(old=old),
                oddities=oddities,
                root=root,
            ),
            wrong_client_secret=wrong < self.wrong_credentials / 2,
            wrong_server_secret=self.wrong_credentials / 2 <= wrong < self.wrong_credentials,
            boot_session=dice.random() < self.boot_session,
            slow=dice.random() < self.slow,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePlan:
    """The draw of one device."""

    habit: Habit = Habit.ALWAYS_ON
    manners: Manners = field(default_factory=Manners)
    wrong_client_secret: bool = False
    wrong_server_secret: bool = False
    boot_session: bool = False
    slow: bool = False


_Kind = TypeVar("_Kind", Fate, Habit)


def _pick(dice: Random, rates: dict[_Kind, float]) -> _Kind | None:
    left = dice.random()
    for kind, rate in rates.items():
        if left < rate:
            return kind
        left -= rate
    return None
