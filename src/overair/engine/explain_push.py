"""Why is a device over OMA-DM waiting, and until when? The part of ``engine/explain.py`` that is its own.

It reads what ``engine/push`` acts on: the attempt under way with its notifications, the pause after a
failure, and the instant at which the device is due.
"""

from datetime import UTC, datetime

from overair.config import Settings
from overair.core.attempt import AttemptState
from overair.core.campaign import BEFORE_START
from overair.core.plan import Place, Wait, decide
from overair.core.protocols import OMADM
from overair.core.terms import TERMS
from overair.core.upgrade import Reason, UpgradeState
from overair.engine.push.opening import is_ahead, obstacle
from overair.store import attempts, dm_accounts, network, push, slots
from overair.store.campaigns import Campaign
from overair.store.database import Tx
from overair.store.polls import Device
from overair.store.upgrades import Upgrade

Why = tuple[str, str, datetime | None]

FAILURES = {
    Reason.NO_RESPONSE: "it did not come while its notification was alive",
    Reason.DECLINED: "it declined",
    Reason.DOWNLOAD_FAILED: "it could not download the package",
    Reason.INSTALL_FAILED: "it could not install the package",
    Reason.VERSION: "it runs neither the old nor the new version",
    Reason.VERSION_UNCHANGED: "it reported success and still shows the old version",
    Reason.UNEXPECTED_VERSION: "it shows neither the old nor the new version",
    Reason.REPORT_LOST: "it took its command and never said how it ended",
    Reason.NOT_INSTALLED_YET: "it downloaded the package and never said how it ended",
    Reason.UNKNOWN_ERROR: "it gave up and did not say why",
    Reason.LICENSE_REMOVED: "its licence was taken away",
}
OBSTACLES = {
    Wait.OTHER_PROTOCOL: "The software is for devices over {campaign}, and this one is over {device}"
    " now. Back over {campaign} it has its turn.",
    Wait.NO_TRANSPORT: "This installation has no server for devices over {campaign} (see its settings).",
    Wait.NO_IMAGE: "The package has no image any more. With one the device has its turn.",
    Wait.DONE: "The device was queued, and there is no further attempt (setting omadm.requeue).",
}
NO_SECRETS = (
    "But it has no secrets, so it can neither be notified nor have a session: `overair device account`"
    " sets them."
)
# By carrier: what has to be known of a device for anything to be sent to it.
NO_PLACE = {
    "udp": "But nothing can be sent to it: neither the network nor its account says where it hears"
    " notifications.",
    "smpp": "But nothing can be sent to it: it has no phone number (mdn).",
}
# Waits in which the device is called, or is to be.
_CALLED = (AttemptState.OFFERED.value, Wait.TURN.value, Wait.RETRY.value, Wait.ATTACH.value)

_WAITING = (UpgradeState.ACCEPTED, UpgradeState.PENDING, UpgradeState.QUEUED)


def why_pushed(
    tx: Tx, device: Device, upgrade: Upgrade, campaign: Campaign, settings: Settings, now: datetime
) -> Why | None:
    """What the device waits for; None if its part in the campaign is over, or has not begun."""
    found = _why(tx, device, upgrade, campaign, settings, now)
    if found is None or device.protocol != OMADM or campaign.protocol != OMADM:
        return found
    wait, sentence, until = found
    terms = dm_accounts.terms_of(tx, [device.id]).get(device.id)
    if terms is None or terms.secrets is None:
        return wait, f"{sentence} {NO_SECRETS}", until
    carrier = settings.omadm.notify
    place = network.places(tx, [device.id])[device.id]
    known = {"udp": place.address or terms.notify_host, "smpp": place.mdn}
    if wait in _CALLED and carrier in known and not known[carrier]:
        return wait, f"{sentence} {NO_PLACE[carrier]}", until
    return found


def _why(
    tx: Tx, device: Device, upgrade: Upgrade, campaign: Campaign, settings: Settings, now: datetime
) -> Why | None:
    attempt = None
    if device.open_attempt_id is not None:
        attempt = attempts.find(tx, device.open_attempt_id)
    if attempt is not None and attempt.upgrade_id == upgrade.id:
        own = push.find(tx, attempt.id)
        if own is not None:
            return _under_way(attempt.state, own, upgrade)
    if upgrade.state not in _WAITING or campaign.status in BEFORE_START:
        return None
    wait = obstacle(tx, device, upgrade, campaign, settings)
    if wait is not None:
        names = {"device": device.protocol, "campaign": campaign.protocol}
        return wait.value, OBSTACLES[wait].format(**names), upgrade.due_at
    if upgrade.state is UpgradeState.QUEUED:
        return _queued(tx, upgrade, campaign, settings, now)
    if TERMS[campaign.api_version].slots:
        return _slotted(tx, upgrade)
    zone = device.zone if settings.windows_in_device_time else None
    place = Place(state=upgrade.state, busy=attempt is not None, zone=zone or UTC)
    decision = decide(
        campaign.rules, place, now, install_window_alone=settings.install_window_alone
    )
    if not decision.offer:
        return None  # its campaign says when: as for every device
    if upgrade.state is UpgradeState.PENDING:
        return _queued(tx, upgrade, campaign, settings, now)
    return Wait.TURN.value, "The device is notified as soon as it is its turn.", upgrade.due_at


def _under_way(state: AttemptState, own: push.PushAttempt, upgrade: Upgrade) -> Why:
    if own.verify_until is not None:
        sentence = "The device reported success; it is to show the new version."
        return Wait.VERSION.value, sentence, own.verify_until
    if state is AttemptState.OFFERED:
        times = "once" if own.pushes == 1 else f"{own.pushes} times"
        if own.pushes:
            sentence = f"The device was notified {times} and has not taken its command."
        elif own.call.pushed_at is None:
            sentence = (
                "The device is not notified yet: the carrier did not take it, and is tried again."
            )
        else:
            sentence = "The device is here, and has not taken its command."
        return state.value, sentence, own.call.window_ends_at
    sentence = (
        "The device has the package; its report of the installation is awaited."
        if state is AttemptState.DOWNLOADED
        else "The device has taken its command; its report is awaited."
    )
    return state.value, sentence, upgrade.due_at


def _slotted(tx: Tx, upgrade: Upgrade) -> Why | None:
    """What a device of a v3 campaign waits for while it is not at work."""
    place = slots.places(tx, [upgrade.id]).get(upgrade.id)
    if place is not None and not place.begun:
        where = f"cell {place.held.cell}" if place.held.cell else "a cell that is not known"
        failure = " after its last attempt failed" if upgrade.attempts else ""
        return (
            Wait.SLOT.value,
            f"The device has a slot in {where}{failure}, until {place.ends_at:%d %b %H:%M} UTC.",
            place.starts_at,
        )
    match upgrade.reason:
        case Reason.NOT_REACHABLE:
            sentence = (
                "The device is not registered, or the network does not see it; it gets a slot when it"
                " can be reached."
            )
            return Wait.REACH.value, sentence, None
        case Reason.CELL_FULL:
            sentence = "All slots of the device's cell are taken up to the campaign's end."
            return Wait.CELL.value, sentence, upgrade.due_at
        case Reason.NO_TIME_LEFT:
            return Wait.NO_TIME_LEFT.value, "No slot is left in the campaign.", None
        case _:
            return Wait.TURN.value, "The device gets its slot next.", upgrade.due_at


def _queued(tx: Tx, upgrade: Upgrade, campaign: Campaign, settings: Settings, now: datetime) -> Why:
    latest = attempts.of_upgrade(tx, upgrade.id)[-1:]
    failure = FAILURES.get(Reason(latest[0].reason)) if latest else None
    told = f"The last attempt failed: {failure}. " if failure else ""
    paused = upgrade.not_before is not None and now < upgrade.not_before
    if paused and not is_ahead(upgrade, campaign, settings, now):
        return Wait.RETRY.value, f"{told}The next one waits for a pause.", upgrade.not_before
    sentence = (
        f"{told}The device is queued: it is notified again when the network sees it, and served when"
        " it opens a session."
    )
    return Wait.ATTACH.value, sentence, upgrade.due_at
