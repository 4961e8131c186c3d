"""Why is this device waiting, and until when?

The answer is put together from the same reads and the same pure rules as the device's own poll
(``engine/assign.py``, ``core/plan.py``): what a person is told is what the device meets. One thing
only the poll knows: a User-Agent that says of a device without a setting of its own that it can
download ahead (``two_phase_user_agents``). It reads only.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from overair.config import Settings
from overair.core.attempt import AttemptState
from overair.core.campaign import BEFORE_START
from overair.core.ids import DeviceId, UpgradeId
from overair.core.plan import Decision, Link, Wait, decide, link
from overair.core.protocols import PUSHED
from overair.core.upgrade import Reason, UpgradeState
from overair.engine.assign import place_of
from overair.engine.explain_push import why_pushed
from overair.store import attempts, campaigns, polls, push, sightings, upgrades
from overair.store.attempts import Attempt
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.polls import Deployment, Device
from overair.store.upgrades import Upgrade

ATTEMPTS_SHOWN = 10

SENTENCES = {
    Wait.CHECKS: "The campaign's device checks are not done yet.",
    Wait.START: "The campaign has not started.",
    Wait.DOWNLOAD_DATE: "The campaign's downloadAfterDate has not come.",
    Wait.DOWNLOAD_WINDOW: "No download window is open.",
    Wait.INSTALL_DATE: "The campaign's installAfterDate has not come.",
    Wait.INSTALL_WINDOW: "No install window is open, and the device installs as soon as it has"
    " downloaded.",
    Wait.RETRY: "The last attempt failed; the next one waits for the retry delay.",
    Wait.OTHER_ATTEMPT: "An earlier action of the device, of a campaign that is over, is not answered"
    " yet.",
    Wait.NEVER_BOTH: "The campaign's download and install windows never overlap, and this device"
    " cannot download ahead (see the setting install_window_alone).",
    Wait.NO_TIME_LEFT: "No window opens again before the campaign ends.",
    Wait.NO_TRANSPORT: "The device's protocol is not one by which devices ask for updates here.",
    Wait.OTHER_PROTOCOL: "The campaign's software is for devices over another protocol.",
    Wait.NO_IMAGE: "The package has no image any more.",
    Wait.OVER: "The campaign is over.",
    Wait.DONE: "The device's part in the campaign is over.",
    Wait.CHECK_IN: "The update is offered at the device's next check-in.",
    Wait.TURN: "The device is notified as soon as it is its turn.",
    Wait.ATTACH: "The device is notified when the network sees it.",
    Wait.REACH: "The device cannot be reached; it gets a slot when it can.",
    Wait.SLOT: "The device's slot has not begun.",
    Wait.CELL: "There is no room in the device's cell.",
    Wait.VERSION: "The device is to show the new version.",
}

UNDER_WAY = {
    AttemptState.OFFERED: "The update was offered; the device has not fetched it.",
    AttemptState.RETRIEVED: "The device has fetched the description of the update and said nothing"
    " since.",
    AttemptState.RUNNING: "The device is downloading, or reports that it is at work.",
    AttemptState.DOWNLOADED: "The device has the whole update; its report of the installation is"
    " awaited.",
    AttemptState.CANCELLING: "The device was asked to stop; its answer is awaited.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that is known of a device's way to its update."""

    imei: str
    account_name: str
    version: str
    last_seen: datetime | None
    campaign: Campaign | None
    upgrade: Upgrade | None
    wait: str  # a ``Wait``, the state of the attempt under way, or "no_campaign"
    sentence: str
    until: datetime | None
    attempts: tuple[Attempt, ...]


def explain_device(tx: Tx, imei: str, settings: Settings, now: datetime) -> Explanation | None:
    """Explain the device of that IMEI, or None if there is none."""
    found = sightings.device(tx, imei)
    if found is None:
        return None
    device = polls.get_device(tx, DeviceId(found.device_id))
    upgrade = _place(tx, device)
    campaign = None if upgrade is None else campaigns.by_id(tx, upgrade.campaign_id)
    wait, sentence, until = _why(tx, device, upgrade, campaign, settings, now)
    return Explanation(
        imei=imei,
        account_name=found.account_name,
        version=found.version,
        last_seen=found.last_seen,
        campaign=campaign,
        upgrade=upgrade,
        wait=wait,
        sentence=sentence,
        until=until,
        attempts=tuple(attempts.of_device(tx, device.id, ATTEMPTS_SHOWN)),
    )


def _place(tx: Tx, device: Device) -> Upgrade | None:
    """The device's place in the campaign that it is in or tried on for, else in the latest."""
    place = device.open_upgrade_id or push.wanted(tx, device.id)
    if place is not None:
        return upgrades.by_id(tx, place)
    return upgrades.latest_of_imei(tx, device.account_id, device.imei)


def _why(
    tx: Tx,
    device: Device,
    upgrade: Upgrade | None,
    campaign: Campaign | None,
    settings: Settings,
    now: datetime,
) -> tuple[str, str, datetime | None]:
    pushed = device.protocol in PUSHED or (campaign is not None and campaign.protocol in PUSHED)
    if pushed and upgrade is not None and campaign is not None:
        told = why_pushed(tx, device, upgrade, campaign, settings, now.astimezone(UTC))
        if told is not None:
            return told
    action = None
    if device.open_attempt_id is not None:
        action = polls.deployment(tx, device.open_attempt_id)
    if action is not None and device.open_upgrade_id in (None, action.upgrade_id):
        return _under_way(tx, device, action, settings, now)
    if upgrade is None or campaign is None:
        return "no_campaign", "No campaign has named this device.", None
    if device.open_upgrade_id is None:
        return upgrade.state.value, _end(upgrade, campaign), None
    busy = action is not None
    decision = _decision(tx, device, device.open_upgrade_id, settings, now, busy=busy)
    until = decision.until
    if action is not None and decision.wait is Wait.OTHER_ATTEMPT:
        until = _gives_up_at(tx, action)
    return decision.wait.value, SENTENCES[decision.wait], until


def _under_way(
    tx: Tx, device: Device, action: Deployment, settings: Settings, now: datetime
) -> tuple[str, str, datetime | None]:
    shown = link(
        action.state,
        action.rules,
        now,
        grace=timedelta(seconds=settings.grace_s),
        downloaded=action.downloaded_ms is not None,
        cancel_refused=action.cancel_refused_ms is not None,
    )
    if shown is Link.NOTHING:
        return "expiring", "The campaign was stopped or ended during the device's action.", None
    if action.state is AttemptState.OFFERED:
        # The device has not taken it up, so the windows still hold (``engine/assign.py``).
        decision = _decision(tx, device, action.upgrade_id, settings, now, busy=False)
        if not decision.offer:
            return decision.wait.value, SENTENCES[decision.wait], decision.until
    return action.state.value, UNDER_WAY[action.state], _gives_up_at(tx, action)


def _gives_up_at(tx: Tx, action: Deployment) -> datetime:
    """When an action is over by itself."""
    attempt = attempts.find(tx, action.attempt_id)
    return (attempt and attempt.due_at) or action.rules.ends_at


def _decision(
    tx: Tx,
    device: Device,
    upgrade_id: UpgradeId,
    settings: Settings,
    now: datetime,
    *,
    busy: bool,
) -> Decision:
    place = polls.open_upgrade(tx, upgrade_id)
    assert place is not None
    return decide(
        place.rules,
        place_of(device, place, settings, two_phase=bool(device.two_phase), busy=busy),
        now.astimezone(UTC),
        install_window_alone=settings.install_window_alone,
    )


def _end(upgrade: Upgrade, campaign: Campaign) -> str:
    match upgrade.state:
        case UpgradeState.SUCCEEDED:
            return f"The device has been updated to {campaign.to_version}."
        case UpgradeState.REJECTED:
            return f"The device was rejected by its latest campaign: {_spoken(upgrade.reason)}."
        case UpgradeState.FAILED:
            return f"The device failed in its latest campaign: {_spoken(upgrade.reason)}."
        case UpgradeState.QUEUED:
            return "The device's campaign is over; it is tried again when it is seen."
        case UpgradeState.CANCELLED | UpgradeState.ABORTED:
            return "The device's latest campaign was stopped for it."
        case UpgradeState.REQUESTED | UpgradeState.ACCEPTED | UpgradeState.PENDING:
            return SENTENCES[Wait.CHECKS if campaign.status in BEFORE_START else Wait.OVER]


def _spoken(reason: Reason) -> str:
    return reason.value.replace("_", " ") or "no reason is known"
