"""What must hold of every transition, one function each: it gives what contradicts it.

They are written from the specification and look only at rows, so that a rule of the engine is not checked
by itself: ``core/plan.py`` decides what may be offered, and here the hours are counted again.

Not here: recounts and references, which ``store/verify.py`` checks in each state.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from overair.core.attempt import CLOSED, AttemptState
from overair.core.campaign import FINAL as CAMPAIGN_OVER
from overair.core.campaign import CampaignStatus
from overair.core.ids import DeviceId
from overair.core.upgrade import FINAL, UpgradeState
from overair.engine.outcome import Taken
from overair.simulation.explore.ground import Event, Ground, Shown, Sight
from overair.simulation.explore.view import Record, Try, View
from overair.store.database import to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An event, what it found and what it left."""

    before: View
    after: View
    event: Event
    ground: Ground
    repeated: bool  # the same has just happened, and repeats are to change nothing
    same: bool  # the state is the same

    @property
    def now_ms(self) -> int:
        return to_ms(self.ground.now)

    def new_tries(self) -> Iterator[Try]:
        """Attempts that were made, and are not reports of a success that nobody had asked for."""
        known = {each.id for each in self.before.all_tries()}
        for each in self.after.all_tries():
            if each.id not in known and each.state is not AttemptState.FINISHED:
                yield each


Says = Callable[[Transition], Iterator[str]]


# What is closed ----------------------------------------------------------------------------------


def closed_attempts_stay_closed(step: Transition) -> Iterator[str]:
    """An attempt that is over stays so; one that expired may be told to have ended."""
    after = {each.id: each.state for each in step.after.all_tries()}
    late = (AttemptState.FINISHED, AttemptState.FAILED)
    for each in step.before.all_tries():
        if each.id not in after:
            yield f"attempt {each.number} is gone"
        elif each.state in CLOSED and after[each.id] not in (
            (each.state, *late) if each.state is AttemptState.EXPIRED else (each.state,)
        ):
            yield f"attempt {each.number} went from {each.state} to {after[each.id]}"


def ended_upgrades_stay_ended(step: Transition) -> Iterator[str]:
    """A device that is through with a campaign stays so; only success is never too late.

    Before the start devices come and go, and one that was rejected may be asked for again.
    """
    after = step.after.by("device_upgrade")
    for upgrade in step.before.upgrades:
        was = UpgradeState(upgrade["state"])
        row = after.get(upgrade["id"])
        if step.before.listed(upgrade)["status"] in _BEFORE_START and (
            row is None or was is UpgradeState.REJECTED
        ):
            continue
        if row is None:
            yield f"the place of {upgrade['imei']} is gone after the start"
        elif was in FINAL and row["state"] not in (
            (was,) if was is UpgradeState.REJECTED else (was, UpgradeState.SUCCEEDED)
        ):
            yield f"{upgrade['imei']} went from {was} to {row['state']}"


_BEFORE_START: Final = ("request_pending", "request_queued", "pre_scheduled")


def ended_campaigns_stay_ended(step: Transition) -> Iterator[str]:
    """A campaign that is over stays as it ended."""
    after = step.after.by("campaign")
    for campaign in step.before.campaigns:
        was = CampaignStatus(campaign["status"])
        if was in CAMPAIGN_OVER and after[campaign["id"]]["status"] != was:
            yield f"campaign {campaign['id']} went from {was} to {after[campaign['id']]['status']}"


def void_reports_change_nothing(step: Transition) -> Iterator[str]:
    """What was answered as void has changed nothing."""
    if step.ground.taken in (Taken.GONE, Taken.UNKNOWN) and not step.same:
        yield f"the report was {step.ground.taken}, and the state is another"


def repeats_change_nothing(step: Transition) -> Iterator[str]:
    """What a device says or asks twice is as if it had been once."""
    if step.repeated and not step.same:
        yield "the same again, and the state is another"


# What is offered ---------------------------------------------------------------------------------


def nothing_begins_outside_its_campaign(step: Transition) -> Iterator[str]:
    """An attempt begins only while its campaign runs, in its dates and hours; or for a queued device."""
    for each in step.new_tries():
        campaign = step.after.listed(each.upgrade)
        if each.upgrade["state"] == UpgradeState.QUEUED:
            if campaign["api_version"] != 1 or campaign["status"] != CampaignStatus.ENDED:
                yield f"a queued device is tried for campaign {campaign['id']}"
            continue
        if campaign["status"] != CampaignStatus.SCHEDULED:
            yield f"an attempt begins, and campaign {campaign['id']} is {campaign['status']}"
        today = step.ground.now.date().isoformat()
        if not campaign["start_date"] <= today <= campaign["end_date"]:
            yield f"an attempt begins on {today}"
        if not _in_hours(campaign["download_windows"], step.ground.now):
            yield f"an attempt begins at {step.ground.now:%H:%M}, in no window"


def _in_hours(windows: str, now: datetime) -> bool:
    pairs = [part.split("-") for part in windows.split(",") if part]
    return not pairs or any(int(start) <= now.hour < int(end) for start, end in pairs)


def nothing_begins_after_the_end_of_a_device(step: Transition) -> Iterator[str]:
    """No device is tried again that is through with its campaign, over its number of tries, or too early."""
    places = step.before.by("device_upgrade")
    http = step.ground.settings.limits.max_attempts
    for each in step.new_tries():
        was = places.get(each.own["upgrade_id"])
        if was is None or was["state"] not in ("accepted", "pending", "queued"):
            yield f"a device is tried that was {was and was['state']}"
            continue
        if was["not_before"] is not None and step.now_ms < was["not_before"]:
            yield "a device is tried in its pause"
        campaign = step.after.listed(each.upgrade)
        if campaign["api_version"] == 2 and each.own["number"] > http:
            yield f"a device is tried for the {each.own['number']}th time"


def nothing_begins_without_a_licence(step: Transition) -> Iterator[str]:
    """The pool of licences says who may be tried."""
    held = step.before.by("license", "device_id")
    for each in step.new_tries():
        if each.own["device_id"] not in held:
            yield "a device without a licence is tried"


def one_attempt_at_a_time(step: Transition) -> Iterator[str]:
    """A device has one attempt that is not over."""
    for device in step.after.devices:
        under_way = [each.number for each in step.after.tries(device["id"]) if each.open]
        if len(under_way) > 1:
            yield f"attempts {under_way} of a device are under way at once"


def slots_are_kept(step: Transition) -> Iterator[str]:
    """In v3 an attempt begins in its own slot, and a slot of a cell has as many as it has room for."""
    slots = step.after.by("slot", "upgrade_id")
    for each in step.new_tries():
        if step.after.listed(each.upgrade)["api_version"] != 3:
            continue
        slot = slots.get(each.own["upgrade_id"])
        if slot is None or not slot["starts_at"] <= step.now_ms < slot["ends_at"]:
            yield "a device begins in no slot of its own"
    room = step.ground.settings.slots.good
    for slot in slots.values():
        same = [
            other
            for other in slots.values()
            if (other["cell"], other["slot_key"]) == (slot["cell"], slot["slot_key"])
        ]
        if len(same) > room:
            yield f"{len(same)} devices in a slot of {slot['cell']} that has room for {room}"


def pilots_are_small(step: Transition) -> Iterator[str]:
    """A campaign of a package that is not proven has no more devices than a pilot may have."""
    if any(row["proven_at"] is not None for row in step.before.rows("package_proof")):
        return
    most = step.ground.settings.limits.pilot_devices
    for campaign in step.after.campaigns:
        members = [u for u in step.after.upgrades if u["campaign_id"] == campaign["id"]]
        if campaign["api_version"] != 1 and len(members) > most:
            yield f"a pilot campaign has {len(members)} devices"


# What is shown -----------------------------------------------------------------------------------


def nothing_is_shown_after_its_end(step: Transition) -> Iterator[str]:
    """A device is shown what is under way, not after a stop, and after the end only with the image there."""
    tries = {each.id: each for each in step.after.all_tries()}
    for sight in step.ground.seen:
        each = tries[sight.attempt_id]
        campaign = step.after.listed(each.upgrade)
        stopped = campaign["status"] in (CampaignStatus.CANCELLED, CampaignStatus.ABORTED)
        if not each.open:
            yield f"a device is shown attempt {each.number}, which is {each.state}"
        elif sight.what is Shown.DEPLOYMENT:
            if stopped and each.own["cancel_refused_at"] is None:
                yield f"a device is offered what was {campaign['status']}"
            yield from _shown_late(step, each, campaign)
        elif stopped and sight.what is not Shown.CANCEL:
            yield f"a device is called for what was {campaign['status']}"


def _shown_late(step: Transition, each: Try, campaign: Record) -> Iterator[str]:
    end = datetime.fromisoformat(campaign["end_date"]).replace(tzinfo=UTC) + timedelta(days=1)
    if each.own["downloaded_at"] is not None:
        end += timedelta(seconds=step.ground.settings.grace_s)
    if step.ground.now >= end:
        yield f"a device is shown attempt {each.number} after the end"
    if each.state is AttemptState.OFFERED and not _in_hours(
        campaign["download_windows"], step.ground.now
    ):
        yield f"a device is shown an offer at {step.ground.now:%H:%M}, in no window"


def calls_are_few_and_in_time(step: Transition) -> Iterator[str]:
    """A device is notified of an attempt that it has not taken up, in the window, a pause after the last."""
    before = {each.id: each for each in step.before.all_tries()}
    after = {each.id: each for each in step.after.all_tries()}
    pause = step.ground.settings.omadm.push_pause_s * 1000
    for sight in step.ground.seen:
        if sight.what is not Shown.CALLED:
            continue
        push = after[sight.attempt_id].push
        assert push is not None
        if step.now_ms >= push["window_ends_at"]:
            yield "a device is notified after its window"
        earlier = before.get(sight.attempt_id)
        last = None if earlier is None or earlier.push is None else earlier.push["pushed_at"]
        if last is not None and step.now_ms < last + pause:
            yield "a device is notified twice within the pause"


# What is told, and what it costs -----------------------------------------------------------------


class _Named(msgspec.Struct, frozen=True, rename="camel"):
    """The device of a message."""

    device_id: str
    status: str
    result_reason: str


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """What a message of v1 has its devices in."""

    device_list: tuple[_Named, ...] = ()


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    """What of a message is looked at."""

    device_list: tuple[_Named, ...] = ()
    upgrade_scheduled: _Part = _Part()
    upgrade_progress: _Part = _Part()


_message: Final = msgspec.json.Decoder(_Message).decode
_SILENT: Final = frozenset({CampaignStatus.REQUEST_PENDING, CampaignStatus.CANCELLED})  # in v1


def changes_are_told_once(step: Transition) -> Iterator[str]:
    """The listener is told of each device whose place in a campaign changed, and of its end once.

    In v3 a campaign that has other dates is pre-scheduled again: that its devices have no slots is told
    by that, and of each device when it has its new one.
    """
    told: dict[str, list[_Named]] = defaultdict(list)
    for row in step.after.rows("callback_message"):
        message = _message(row["body"])
        for part in (message, message.upgrade_scheduled, message.upgrade_progress):
            for device in part.device_list:
                told[f"{row['stream']} {device.device_id}"].append(device)
    earlier = step.before.by("device_upgrade")
    for upgrade in step.after.upgrades:
        was = earlier.get(upgrade["id"])
        campaign = step.after.listed(upgrade)
        if was is None or (campaign["api_version"] == 1 and campaign["status"] in _SILENT):
            continue
        if campaign["status"] == CampaignStatus.PRE_SCHEDULED and upgrade["state"] == was["state"]:
            continue
        messages = told[f"{campaign['uuid']} {upgrade['imei']}"]
        moved = (was["state"], was["reason"]) != (upgrade["state"], upgrade["reason"])
        if moved and not messages:
            yield f"nobody is told that {upgrade['imei']} is {upgrade['state']}"
            continue
        # Steps on the way may have the same words; an end has its own.
        ended = upgrade["state"] in FINAL and was["state"] != upgrade["state"]
        if ended and messages.count(messages[-1]) > 1:
            yield f"it is told twice that {upgrade['imei']} is {upgrade['state']}"


def licences_fit_the_pool(step: Transition) -> Iterator[str]:
    """No more licences are held than were bought, but for those that end with an upgrade under way."""
    (subscription,) = step.after.rows("subscription")
    lasting = [row for row in step.after.rows("license") if not row["ends_after_upgrade"]]
    if len(lasting) > subscription["license_count"]:
        yield f"{len(lasting)} licences of {subscription['license_count']} are held"


def told_success_is_believed(step: Transition) -> Iterator[str]:
    """A success that was acknowledged is one, however late it comes."""
    for each in step.after.all_tries():
        if each.id == step.ground.succeeded and (
            each.state is not AttemptState.FINISHED
            or each.upgrade["state"] != UpgradeState.SUCCEEDED
        ):
            yield f"attempt {each.number} is {each.state}, its device {each.upgrade['state']}"


def believed_success_is_one_that_was_told(step: Transition) -> Iterator[str]:
    """A device succeeds only by its own word."""
    earlier = step.before.by("device_upgrade")
    for upgrade in step.after.upgrades:
        was = earlier.get(upgrade["id"])
        new = was is not None and was["state"] != UpgradeState.SUCCEEDED
        by_device = step.event.text.startswith("device ")
        if new and upgrade["state"] == UpgradeState.SUCCEEDED and not by_device:
            yield f"{upgrade['imei']} succeeded, and has not said so"


INVARIANTS: Final[tuple[Says, ...]] = (
    closed_attempts_stay_closed,
    ended_upgrades_stay_ended,
    ended_campaigns_stay_ended,
    void_reports_change_nothing,
    repeats_change_nothing,
    nothing_begins_outside_its_campaign,
    nothing_begins_after_the_end_of_a_device,
    nothing_begins_without_a_licence,
    one_attempt_at_a_time,
    slots_are_kept,
    pilots_are_small,
    nothing_is_shown_after_its_end,
    calls_are_few_and_in_time,
    changes_are_told_once,
    licences_fit_the_pool,
    told_success_is_believed,
    believed_success_is_one_that_was_told,
)


def broken(step: Transition) -> Iterator[tuple[str, str]]:
    """The invariants that a transition contradicts, and how."""
    for says in INVARIANTS:
        for what in says(step):
            yield says.__name__.replace("_", " "), what


def unfinished(view: View, seen: Sequence[Sight]) -> Iterator[tuple[str, str]]:
    """What is not at its end, in a state that nobody will change any more."""
    name = "everything ends"
    for campaign in view.campaigns:
        if campaign["status"] not in CAMPAIGN_OVER or campaign["closing"] is not None:
            yield name, f"campaign {campaign['id']} is {campaign['status']}"
    for upgrade in view.upgrades:
        if upgrade["state"] not in FINAL:
            yield name, f"{upgrade['imei']} is {upgrade['state']} ({upgrade['reason']})"
    for device in view.devices:
        busy = device["open_upgrade_id"], device["open_attempt_id"]
        if busy != (None, None):
            yield name, f"{device['imei']} is not free"
        given = [s for s in seen if s.device_id == DeviceId(device["id"]) and not _at_end(s)]
        if given:
            yield name, f"{device['imei']} is still given something"


def _at_end(sight: Sight) -> bool:
    """Whether what a device was given came before it succeeded, at the end of all."""
    return sight.what is Shown.COMMAND
