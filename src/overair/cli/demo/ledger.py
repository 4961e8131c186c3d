"""Holds a campaign's report against what the devices say of themselves.

The devices' own account (``sim.tally.DeviceTruth``) knows which actions they were offered, which
closing reports were acknowledged and which version they run. ``expected`` says what a true report can
say of such a device. It is one answer, except where the server cannot know what the device does: a
download that the device breaks off, or finds corrupt, may have left the server whole.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from overair.sim.http.tally import DeviceTruth

SUCCESS: Final = "UpgradeSuccess"
FAILED: Final = "UpgradeFailed"
PENDING: Final = "UpgradePending"
REJECTED: Final = "DeviceRejected"
UNSETTLED: Final = frozenset({"RequestPending", "Accepted", PENDING})

SUCCEEDED_REASON: Final = "DownloadInstallSucceeded"
NO_REPORT: Final = "RovaClientDidNotReportStatus"
DOWNLOAD_FAILED: Final = "RovaClientDownloadFailed"
NOT_INSTALLED_YET: Final = "RovaClientDownloadNotInstalledYet"
INSTALL_FAILED: Final = "RovaClientDownloadedInstallFailed"
UNKNOWN_ERROR: Final = "Unknown device error."

LOOP_GUARD: Final = 5  # complete downloads in one action


class Standing(NamedTuple):
    """What a report says of a device."""

    status: str
    reason: str


# Of a device that nothing was offered to: when the campaign is over, and while it runs.
NEVER: Final = frozenset({Standing(FAILED, NO_REPORT), Standing(PENDING, "")})


def expected(
    truth: DeviceTruth, before: frozenset[int] = frozenset(), *, running: bool = False
) -> frozenset[Standing] | None:
    """What may stand in a campaign's report; None: it was offered nothing.

    ``before`` has the actions of earlier campaigns. ``running``: the campaign is not over yet, so a
    failure need not be the last word.
    """
    offers = [action for action in truth.offers if action not in before]
    if not offers:
        return None
    # 410: it was taken before, and only the answer was lost.
    taken = {c.action_id: c.finished for c in truth.closings if c.status in (200, 410)}
    if any(taken.get(action) == "success" for action in offers):
        return frozenset({Standing(SUCCESS, SUCCEEDED_REASON)})
    last = offers[-1]
    downloads = truth.downloads.count(last)
    if last in taken:
        reasons = [INSTALL_FAILED] if downloads else [DOWNLOAD_FAILED, INSTALL_FAILED]
        if not running:
            # A failure that is told after the end is taken, and changes nothing.
            reasons += [NOT_INSTALLED_YET] if downloads else [NO_REPORT, NOT_INSTALLED_YET]
    elif downloads >= LOOP_GUARD:
        reasons = [UNKNOWN_ERROR]
    elif downloads:
        reasons = [NOT_INSTALLED_YET]
    else:
        # Interrupted by the end; until it had the file, the reason was that of the try before.
        reasons = [NO_REPORT, DOWNLOAD_FAILED, INSTALL_FAILED, NOT_INSTALLED_YET]
    statuses = (FAILED, PENDING) if running else (FAILED,)
    return frozenset(Standing(status, reason) for status in statuses for reason in reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Devices of which a report says the same."""

    standing: Standing
    devices: int
    agree: int  # of these, the ones that tell the same of themselves


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """A report, line by line, and the devices that tell another story."""

    lines: tuple[Line, ...]
    disputes: tuple[str, ...]

    @property
    def total(self) -> int:
        return sum(line.devices for line in self.lines)


def compare(
    report: Mapping[str, Standing],
    truths: Mapping[str, DeviceTruth],
    version: str,
    before: Mapping[str, frozenset[int]] | None = None,
    *,
    running: bool = False,
) -> Ledger:
    """Hold ``report`` of a campaign against the devices it names.

    ``version`` is what the campaign brings: a device that succeeded runs it.
    """
    counts: Counter[Standing] = Counter()
    agree: Counter[Standing] = Counter()
    disputes = []
    for imei, standing in sorted(report.items()):
        counts[standing] += 1
        truth = truths.get(imei)
        right = None
        if truth is not None:
            right = expected(truth, (before or {}).get(imei, frozenset()), running=running)
        wrong = _dispute(standing, truth, right, version)
        if wrong is None:
            agree[standing] += 1
        else:
            disputes.append(f"{imei}: reported {standing.status} {standing.reason!r}, but {wrong}")
    lines = tuple(
        Line(standing=standing, devices=count, agree=agree[standing])
        for standing, count in sorted(counts.items(), key=_order)
    )
    return Ledger(lines=lines, disputes=tuple(disputes))


def _dispute(
    standing: Standing,
    truth: DeviceTruth | None,
    right: frozenset[Standing] | None,
    version: str,
) -> str | None:
    if truth is None:
        return None if standing.status == REJECTED else "there is no such device"
    if right is None:
        never = standing.status == REJECTED or standing in NEVER
        return None if never else "it was never offered anything"
    if standing not in right:
        return "it tells " + " or ".join(f"{s.status} {s.reason!r}" for s in sorted(right))
    if standing.status == SUCCESS and truth.version != version:
        return f"it runs {truth.version}"
    return None


def _order(item: tuple[Standing, int]) -> tuple[int, int, Standing]:
    standing, count = item
    ranks = (SUCCESS, FAILED, REJECTED)
    rank = ranks.index(standing.status) if standing.status in ranks else len(ranks)
    return rank, -count, standing


def versions(truths: Iterable[DeviceTruth]) -> Counter[str]:
    """How many devices run which version."""
    return Counter(truth.version for truth in truths)
