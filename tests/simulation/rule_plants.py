"""Bugs each of which only one rule can tell: what it says must be what finds them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from msgspec import structs

from overair.api import installed
from overair.api.v2 import catalog
from overair.core import attempt as attempt_table
from overair.core import plan
from overair.core import push as core_push
from overair.core.attempt import CLOSED, AttemptEvent, AttemptState
from overair.core.campaign import CampaignStatus
from overair.core.plan import Link, Rules
from overair.core.upgrade import Reason, UpgradeState
from overair.core.window import start_of
from overair.core.words import v1, v2, v3
from overair.devices.dm.effects import Effects
from overair.devices.seen import SeenBuffer
from overair.engine import admission, advance, assign, licenses, push, schedule, setbacks
from overair.engine.notify import v2 as notify_v2
from overair.engine.push import reports, turns
from overair.simulation.template import VERSIONS
from overair.store import attempts, billing, callbacks, campaigns, devices, inventory, polls
from overair.store import licenses as stored_licenses
from overair.store import push as stored_push
from tests.simulation.plants import Patch


def free_while_at_work(patch: Patch) -> None:
    """A device whose attempt is under way counts as free, and is given another."""
    real = polls.candidate
    insert = attempts.insert

    def candidate(tx: Any, device_id: Any) -> Any:
        found = real(tx, device_id)
        return None if found is None else structs.replace(found, open_attempt_id=None)

    def insert_anyway(tx: Any, **known: Any) -> Any:
        tx.execute("update device set open_attempt_id = null where id = ?", (known["device_id"],))
        return insert(tx, **known)

    patch.setattr(polls, "candidate", candidate)
    patch.setattr(attempts, "insert", insert_anyway)


def licence_gone_campaign_stays(patch: Patch) -> None:
    """Who loses a licence stays in the campaign."""
    patch.setattr(licenses, "leave_campaign", lambda *_: None)


def pilot_as_large_as_you_like(patch: Patch) -> None:
    """A package that is not proven goes to all."""
    patch.setattr(schedule, "_check_pilot", lambda size, settings: None)


def over_and_not_over(patch: Patch) -> None:
    """An attempt that was cancelled is taken up again by what its device says of it."""
    for event in (AttemptEvent.SUCCEED, AttemptEvent.FAIL, AttemptEvent.PROGRESS):
        for state in (AttemptState.CANCELLED, AttemptState.FAILED):
            patch.setitem(attempt_table.TABLE, (state, event), AttemptState.RUNNING)


def without_end(patch: Patch) -> None:
    """A campaign whose last day is over goes on."""

    def end(tx: Any, campaign: Any, settings: Any, now: Any) -> None:
        campaigns.set_due(tx, campaign.id, now + timedelta(days=1))

    patch.setattr(advance, "_end", end)


def dropped_at_the_first_failure(patch: Patch) -> None:
    """A message that its listener did not take is given up at once."""

    def retry(tx: Any, message_id: int, failed: int, due_at: Any) -> None:
        callbacks.finish(tx, message_id, "dropped", failed, due_at)

    patch.setattr(callbacks, "retry", retry)


def stopped_in_words_only(patch: Patch) -> None:
    """Whoever stops a campaign is told that it is."""
    patch.setattr(schedule, "stop_campaign", lambda tx, campaign, now, **_: campaign)


def taken_at_its_word(patch: Patch) -> None:
    """A device that says that it succeeded has, whatever it runs then."""

    def succeeded(tx: Any, job: Any, settings: Any, now: Any, *, text: str) -> None:
        push.succeeded(tx, job, job.to_version, settings, now, text=text)

    patch.setattr(push, "await_version", succeeded)


def failure_taken_for_success(patch: Patch) -> None:
    """How an attempt was closed does not matter."""
    for state in AttemptState:
        if state not in CLOSED:
            patch.setitem(attempt_table.TABLE, (state, AttemptEvent.FAIL), AttemptState.FINISHED)


def newer_than_it_is(patch: Patch) -> None:
    """A device over HTTP that tells of itself is put down as running the newest version."""
    real = inventory.set_identity

    def set_identity(tx: Any, device_id: Any, known: Any, new: Any, now: Any) -> None:
        real(tx, device_id, known, replace(new, version=VERSIONS[-1]), now)

    patch.setattr(inventory, "set_identity", set_identity)


def deaf_to_devices_that_come(patch: Patch) -> None:
    """What a device over OMA-DM reports is acknowledged, and not written down."""
    patch.setattr(Effects, "_report", lambda self, event: None)


def shown_and_not_believed(patch: Patch) -> None:
    """A device that is told to come shows the new version, and its upgrade goes on."""
    patch.setattr(reports, "_succeed", lambda *_: False)


def no_rest_after_a_failure(patch: Patch) -> None:
    """A device that failed is tried again at once."""
    real = setbacks.policy_of

    def policy_of(campaign: Any, settings: Any) -> Any:
        return replace(real(campaign, settings), pause=timedelta(0))

    patch.setattr(setbacks, "policy_of", policy_of)


def everybody_fits(patch: Patch) -> None:
    """Whoever is there is taken in, of whatever model and version."""
    patch.setattr(admission, "check_device", lambda device, wanted: Reason.CHECKED)


def over_before_it_is(patch: Patch) -> None:
    """A campaign ends when its last day begins."""
    patch.setattr(Rules, "ends_at", property(lambda rules: start_of(rules.end_date)))


def every_other_contact(patch: Patch) -> None:
    """Of two check-ins one is forgotten."""
    real = SeenBuffer._add
    count = iter(range(10**9))

    def add(self: Any, check_in: Any) -> None:
        if next(count) % 2:
            real(self, check_in)

    patch.setattr(SeenBuffer, "_add", add)


def dates_in_words_only(patch: Patch) -> None:
    """Whoever changes the dates of a campaign is told that they are changed."""
    patch.setattr(campaigns, "set_dates", lambda *_: None)


def deaf_to_the_network(patch: Patch) -> None:
    """Nobody is called because the network sees him."""
    patch.setattr(stored_push, "hasten", lambda tx, device_ids, now: 0)


def half_a_window(patch: Patch) -> None:
    """A device that is notified has two hours to come."""

    def carry_on(call: Any, *known: Any) -> Any:
        ends_at = call.called_at + (call.window_ends_at - call.called_at) / 2
        return core_push.carry_on(replace(call, window_ends_at=ends_at), *known)

    patch.setattr(turns, "carry_on", carry_on)


def added_in_words_only(patch: Patch) -> None:
    """Devices that are to be added are forgotten."""
    real = admission.carry_out

    def carry_out(tx: Any, campaign: Any, change: Any, now: Any) -> None:
        real(tx, campaign, replace(change, imeis=()) if change.type == "append" else change, now)

    patch.setattr(advance, "carry_out", carry_out)


def licensed_in_words_only(patch: Patch) -> None:
    """Who assigns licences is told that they are assigned."""
    patch.setattr(stored_licenses, "add", lambda *_: None)


# What listeners are told, and what is billed -------------------------------------------------------


def failure_told_as_success(patch: Patch) -> None:
    """A message of v2 says of a device that failed that it succeeded."""

    def device(state: Any, reason: Any, status: Any) -> tuple[str, str]:
        told = UpgradeState.SUCCEEDED if state is UpgradeState.FAILED else state
        return v2.device_v2(told, reason, status)

    patch.setattr(notify_v2, "device_v2", device)


def the_first_listener_for_ever(patch: Patch) -> None:
    """Messages go where the account's first listener was, whoever listens now."""
    real = callbacks.lock_listener
    first: dict[Any, str] = {}

    def lock_listener(tx: Any, key: Any, *, wait: bool) -> Any:
        row = real(tx, key, wait=wait)
        return row if row is None or not row[1] else (row[0], first.setdefault(key, row[1]))

    patch.setattr(callbacks, "lock_listener", lock_listener)


def nothing_is_billed(patch: Patch) -> None:
    """Upgrades are free."""
    patch.setattr(billing, "bill", lambda tx, event: None)


# What a device is shown ----------------------------------------------------------------------------


def only_in_the_first_window(patch: Patch) -> None:
    """Of several windows the later ones never open."""
    real = assign._decide

    def decide(rules: Any, *known: Any) -> Any:
        return real(replace(rules, download_windows=rules.download_windows[:1]), *known)

    patch.setattr(assign, "_decide", decide)


def shown_once(patch: Patch) -> None:
    """A deployment that was fetched is not shown any more."""
    real = plan.link

    def link(state: Any, *known: Any, **more: Any) -> Link:
        found = real(state, *known, **more)
        fetched = state is AttemptState.RETRIEVED and found is Link.DEPLOYMENT
        return Link.NOTHING if fetched else found

    patch.setattr(assign, "link", link)


def install_at_any_time(patch: Patch) -> None:
    """A device that downloads first is told to install as soon as it has the image."""
    real = plan.phase

    def phase(*known: Any) -> tuple[bool, bool]:
        phased, _ = real(*known)
        return phased, True

    patch.setattr(assign, "phase", phase)


def deployment_until_it_is_cancelled(patch: Patch) -> None:
    """What is to be cancelled is shown as if it were not."""
    real = plan.link

    def link(*known: Any, **more: Any) -> Link:
        found = real(*known, **more)
        return Link.DEPLOYMENT if found is Link.CANCEL else found

    patch.setattr(assign, "link", link)


def offer_that_never_ages(patch: Patch) -> None:
    """An offer that was not taken up is shown again, whatever the hour."""
    real = assign._look_at

    def look_at(tx: Any, device: Any, found: Any, *more: Any) -> Any:
        return real(tx, device, structs.replace(found, state=AttemptState.RETRIEVED), *more)

    patch.setattr(assign, "_look_at", look_at)


# What the API says ---------------------------------------------------------------------------------


def failure_shown_as_success(patch: Patch) -> None:
    """A report of v2 says of a device that failed that it succeeded."""
    patch.setitem(v2.DEVICE_V2, UpgradeState.FAILED, v2.DEVICE_V2[UpgradeState.SUCCEEDED])


def v1_says_that_all_failed(patch: Patch) -> None:
    """An upgrade of v1 shows devices that succeeded as failed."""
    patch.setitem(v1.DEVICE_V1, UpgradeState.SUCCEEDED, v1.DEVICE_V1[UpgradeState.FAILED])


def v3_says_that_all_failed(patch: Patch) -> None:
    """A report of v3 shows devices that succeeded as failed."""
    patch.setattr(v3, "SUCCEEDED_V3", v3.FAILED_V3)


def ended_shown_as_aborted(patch: Patch) -> None:
    """A campaign that ran to its end is shown as one that was stopped."""
    patch.setitem(v2.CAMPAIGN_V2, CampaignStatus.ENDED, v2.CAMPAIGN_V2[CampaignStatus.ABORTED])


def an_old_version_is_shown(patch: Patch) -> None:
    """The list of devices shows what they came with."""

    def running(device: Any) -> Any:
        return installed.running(replace(device, version=VERSIONS[0]))

    patch.setattr(catalog, "running", running)


def no_history(patch: Patch) -> None:
    """Devices have no history, it is said."""
    patch.setattr(devices, "history", lambda *_: [])
    patch.setattr(devices, "history_with_retries", lambda *_: [])


def licences_are_not_shown(patch: Patch) -> None:
    """The list of devices shows none with a licence."""
    real = catalog._device

    def device(held: Any) -> Any:
        return real(replace(held, licensed=False))

    patch.setattr(catalog, "_device", device)
