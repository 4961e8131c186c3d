"""What a device may be offered now, and why not.

``decide`` turns (a campaign's rules, a device's place in it, now) into a complete decision: an
offer, or a wait with its reason and, where one can be told, its end. The device's poll, the
``explain`` command and the engine ask the same function, so that what a person is told is what the
device meets. It reads nothing and changes nothing.

The rules are ``lifecycle.md`` 4.2 and ``http-ddi.md`` 6 and 7.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum, auto
from typing import NamedTuple

from overair.core.attempt import LINKED, AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.upgrade import UpgradeState
from overair.core.window import Windows, end_of, is_open, next_close, next_open, overlap, start_of

_IN_TURN = frozenset({UpgradeState.ACCEPTED, UpgradeState.PENDING})
_STOPPED = frozenset({CampaignStatus.CANCELLED, CampaignStatus.ABORTED})
_ENDED = frozenset({CampaignStatus.ENDED, CampaignStatus.FAILED})


class Wait(StrEnum):
    """What a device that is not offered anything waits for."""

    CHECKS = "checks"  # the campaign's device checks
    START = "start"  # the campaign's start date
    DOWNLOAD_DATE = "download_date"
    DOWNLOAD_WINDOW = "download_window"
    INSTALL_DATE = "install_date"
    INSTALL_WINDOW = "install_window"
    RETRY = "retry"  # the pause after a failed attempt
    OTHER_ATTEMPT = "other_attempt"  # an earlier action that it has not answered yet
    NEVER_BOTH = "never_both"  # its windows never overlap, and it cannot download ahead
    NO_TIME_LEFT = "no_time_left"  # no window is open again before the campaign's end
    NO_TRANSPORT = "no_transport"  # there is no server for its protocol
    OTHER_PROTOCOL = "other_protocol"  # it was moved from the protocol that the software is for
    NO_IMAGE = "no_image"  # the package has no image any more
    OVER = "over"  # the campaign is over
    DONE = "done"  # its own part is over
    CHECK_IN = "check_in"  # nothing: it is offered at its next check-in
    TURN = "turn"  # its notification, which is due
    ATTACH = "attach"  # to be seen by the network, or to open a session
    REACH = "reach"  # to be reachable
    SLOT = "slot"  # its slot
    CELL = "cell"  # room in its cell
    VERSION = "version"  # to show the version that it says it has installed


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a campaign says about time."""

    status: CampaignStatus
    start_date: date
    end_date: date
    download_after: date | None = None
    download_windows: Windows = ()
    install_after: date | None = None
    install_windows: Windows = ()

    @property
    def is_plain(self) -> bool:
        """Whether it is only from one day to another, as most campaigns are."""
        return not (
            self.download_after
            or self.install_after
            or self.download_windows
            or self.install_windows
        )

    @property
    def ends_at(self) -> datetime:
        return end_of(self.end_date)


class Place(NamedTuple):
    """What the decision has to know of a device in a campaign. A tuple, because every look makes one."""

    state: UpgradeState
    not_before: datetime | None = None
    two_phase: bool = False
    busy: bool = False  # an earlier attempt is not at its end
    served: bool = True  # there is a server for its protocol
    zone: tzinfo = UTC


class Decision(NamedTuple):
    """May the device have it now? ``until`` is when to ask again; None: when something happens."""

    offer: bool
    wait: Wait
    until: datetime | None = None
    install: bool = False  # offered: it may install, not only download
    phased: bool = False  # offered to a two-phase device of a campaign with windows


def phase(rules: Rules, place: Place, now: datetime) -> tuple[bool, bool]:
    """Whether a two-phase device's offer is (phased, may install now).

    An offer is phased when the campaign has install dates or windows; then the device is told
    ``maintenanceWindow`` at every look (``http-ddi.md`` 7).
    """
    phased = place.two_phase and (rules.install_after is not None or bool(rules.install_windows))
    if not phased:
        return False, True
    installing = _begun(rules.install_after, now) and is_open(
        rules.install_windows, now, place.zone
    )
    return True, installing


def decide(
    rules: Rules, place: Place, now: datetime, *, install_window_alone: bool = True
) -> Decision:
    """The whole decision for one device."""
    early = _not_running(rules, place, now)
    if early is not None:
        return early
    if rules.is_plain:
        if place.not_before is not None and now < place.not_before:
            return Decision(offer=False, wait=Wait.RETRY, until=place.not_before)
        return Decision(offer=True, wait=Wait.CHECK_IN, until=rules.ends_at, install=True)
    gates = _gates(rules, place, install_window_alone)
    if gates is None:
        return Decision(offer=False, wait=Wait.NEVER_BOTH, until=rules.ends_at)
    for after, windows, date_wait, window_wait in gates:
        closed = None
        if not _begun(after, now):
            closed = date_wait
        elif not is_open(windows, now, place.zone):
            closed = window_wait
        if closed is not None:
            pairs = tuple((gate[0], gate[1]) for gate in gates)
            opens = next_open(pairs, now, rules.ends_at, place.zone)
            if opens is None:
                return Decision(offer=False, wait=Wait.NO_TIME_LEFT, until=rules.ends_at)
            return Decision(offer=False, wait=closed, until=opens)
    if place.not_before is not None and now < place.not_before:
        return Decision(offer=False, wait=Wait.RETRY, until=place.not_before)
    phased, install = phase(rules, place, now)
    pairs = tuple((gate[0], gate[1]) for gate in gates)
    return Decision(
        offer=True,
        wait=Wait.CHECK_IN,
        until=next_close(pairs, now, rules.ends_at, place.zone),
        install=install,
        phased=phased,
    )


_Gate = tuple[date | None, Windows, Wait, Wait]


def _not_running(rules: Rules, place: Place, now: datetime) -> Decision | None:
    if place.state not in _IN_TURN:
        checks = place.state is UpgradeState.REQUESTED
        return Decision(offer=False, wait=Wait.CHECKS if checks else Wait.DONE)
    if rules.status is not CampaignStatus.SCHEDULED:
        if rules.status is CampaignStatus.REQUEST_PENDING:
            return Decision(offer=False, wait=Wait.CHECKS)
        if rules.status is CampaignStatus.REQUEST_QUEUED:
            begins = max(now, start_of(rules.start_date))
            return Decision(offer=False, wait=Wait.START, until=begins)
        return Decision(offer=False, wait=Wait.OVER)
    if now >= rules.ends_at:
        return Decision(offer=False, wait=Wait.OVER)
    if not _begun(rules.start_date, now):
        # Whoever started it has a clock ahead of this one.
        return Decision(offer=False, wait=Wait.START, until=start_of(rules.start_date))
    if place.busy:
        return Decision(offer=False, wait=Wait.OTHER_ATTEMPT)
    if not place.served:
        return Decision(offer=False, wait=Wait.NO_TRANSPORT, until=rules.ends_at)
    return None


def _gates(rules: Rules, place: Place, install_window_alone: bool) -> list[_Gate] | None:
    """Which date and window rules the offer has to pass; None if they can never all be open."""
    download: _Gate = (
        rules.download_after,
        rules.download_windows,
        Wait.DOWNLOAD_DATE,
        Wait.DOWNLOAD_WINDOW,
    )
    install: _Gate = (
        rules.install_after,
        rules.install_windows,
        Wait.INSTALL_DATE,
        Wait.INSTALL_WINDOW,
    )
    if place.two_phase:
        return [download]
    # It installs right after the download, so both have to be allowed.
    if overlap(rules.download_windows, rules.install_windows):
        return [download, install]
    if not install_window_alone:
        return None
    return [(rules.download_after, (), Wait.DOWNLOAD_DATE, Wait.DOWNLOAD_WINDOW), install]


def _begun(day: date | None, now: datetime) -> bool:
    return day is None or now >= start_of(day)


def poll_interval(normal_s: int, now: datetime, opens_at: datetime | None, minimum_s: int) -> int:
    """Seconds to the next check-in of a device that may be offered something at ``opens_at``.

    About three check-ins fall before the window opens; never below ``minimum_s``, never above the
    normal interval. What is due already waits for nothing but the device, so its interval is normal.
    """
    if opens_at is None or opens_at <= now:
        return normal_s
    third = int((opens_at - now) / timedelta(seconds=3))
    # In steps, because an answer that changes with every second has no use for an ETag.
    step = max((step for step in _STEPS_S if step <= third), default=0)
    return max(min(normal_s, step), min(minimum_s, normal_s))


_STEPS_S = (
    30,
    *(minute * 60 for minute in (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 720)),
)


class Link(StrEnum):
    """What a device that has an attempt is shown of it."""

    NOTHING = auto()
    DEPLOYMENT = auto()
    CANCEL = auto()


def link(
    state: AttemptState,
    rules: Rules,
    now: datetime,
    *,
    grace: timedelta,
    downloaded: bool,
    cancel_refused: bool,
) -> Link:
    """What the device is shown of an attempt that it has not answered, whatever the windows say.

    The offer is sticky from *retrieved* on, because clients report success only while they are
    still shown the deployment; it outlives the campaign's end by ``grace`` if the device has the
    artifact (``http-ddi.md`` 6). The stop of a campaign is obeyed at once, also before the engine
    has carried it to this attempt.
    """
    if state not in LINKED:
        return Link.CANCEL if state is AttemptState.CANCELLING else Link.NOTHING
    if now >= (rules.ends_at + grace if downloaded else rules.ends_at):
        return Link.NOTHING
    if rules.status in _STOPPED and not cancel_refused:
        return Link.NOTHING
    if rules.status in _ENDED and not downloaded:
        return Link.NOTHING
    return Link.DEPLOYMENT
